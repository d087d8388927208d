//! A virtual machine as the inventory shows it, read from vSphere's properties.

use mtv_api::xml::Node;
use serde::Serialize;

use super::model::datastore_id;
use crate::forklift::vcenter::{MoRef, Properties};

/// Properties that a VM is read from.
pub const PATHS: &[&str] = &["name", "parent", "config", "guest", "runtime", "snapshot", "summary", "network"];

/// Kind and id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ref {
    /// Such as `Network`.
    pub kind: String,
    /// Managed object id.
    pub id: String,
}

impl Ref {
    /// Builds one.
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned() }
    }
}

/// A disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Device key.
    pub key: i64,
    /// Place on its controller.
    pub unit_number: i64,
    /// Key of its controller.
    pub controller_key: i64,
    /// Backing file.
    pub file: String,
    /// Datastore of the backing file.
    pub datastore: Ref,
    /// Bytes.
    pub capacity: i64,
    /// Several VMs may write to it.
    pub shared: bool,
    /// A LUN of the array.
    pub rdm: bool,
    /// `scsi`, `sata`, `ide` or `nvme`.
    pub bus: String,
    /// Such as `persistent` or `independent_persistent`.
    pub mode: String,
    /// UUID of the backing.
    pub serial: String,
    /// Whether changed blocks are tracked on this disk.
    pub change_tracking_enabled: bool,
    /// Backing file that a snapshot's delta builds upon.
    pub parent: String,
}

/// A network adapter.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// Network.
    pub network: Ref,
    /// Lower case with colons.
    pub mac: String,
    /// Place among the adapters, from zero.
    pub order: usize,
    /// Device key.
    pub device_key: i64,
    /// Address on the guest's PCI bus, if known.
    pub pci_address: String,
    /// Whether the link is up at the start.
    pub start_connected: bool,
}

/// A device other than a disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Type in `vim25`.
    pub kind: String,
    /// Device key.
    pub key: i64,
    /// PCI slot, zero if unknown.
    pub pci_slot_number: i64,
}

/// An address that the guest's tools report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestNetwork {
    /// Place among the reported adapters.
    pub device: String,
    /// Device key of the adapter.
    pub device_config_id: i64,
    /// MAC address.
    pub mac: String,
    /// Address.
    pub ip: String,
    /// Such as `dhcp` or `manual`.
    pub origin: String,
    /// Prefix length.
    pub prefix: i64,
    /// Name servers.
    pub dns: Vec<String>,
    /// Network name.
    pub network: String,
}

/// A route that the guest's tools report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GuestIpStack {
    /// Place among the reported adapters.
    pub device: String,
    /// Gateway.
    pub gateway: String,
    /// Destination network.
    pub network: String,
    /// Prefix length.
    pub prefix: i64,
    /// Name servers.
    pub dns: Vec<String>,
}

/// A virtual machine. Field order and names are those of the service's JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the fields are those of the service")]
#[expect(missing_docs, reason = "the names are vSphere's own, see `VirtualMachineConfigInfo` and `GuestInfo`")]
pub struct Vm {
    #[serde(skip)]
    pub id: String,
    #[serde(skip)]
    pub name: String,
    #[serde(skip)]
    pub parent: MoRef,
    pub revision_validated: i64,
    pub is_template: bool,
    pub power_state: String,
    pub host: String,
    pub networks: Vec<Ref>,
    pub disks: Vec<Disk>,
    pub concerns: Vec<serde_json::Value>,
    pub policy_version: i64,
    pub uuid: String,
    pub instance_uuid: String,
    pub firmware: String,
    pub connection_state: String,
    pub snapshot: Ref,
    pub change_tracking_enabled: bool,
    pub consolidation_needed: bool,
    pub cpu_affinity: Vec<i64>,
    pub cpu_hot_add_enabled: bool,
    pub cpu_hot_remove_enabled: bool,
    pub memory_hot_add_enabled: bool,
    pub fault_tolerance_enabled: bool,
    pub cpu_count: i64,
    pub cores_per_socket: i64,
    #[serde(rename = "memoryMB")]
    pub memory_mb: i64,
    pub guest_name: String,
    pub guest_name_from_vmware_tools: String,
    pub host_name: String,
    pub guest_id: String,
    pub ballooned_memory: i64,
    pub ip_address: String,
    pub storage_used: i64,
    pub tpm_enabled: bool,
    pub numa_node_affinity: Vec<String>,
    pub devices: Vec<Device>,
    pub nics: Vec<Nic>,
    pub guest_networks: Vec<GuestNetwork>,
    pub guest_disks: Vec<serde_json::Value>,
    pub guest_ip_stacks: Vec<GuestIpStack>,
    pub secure_boot: bool,
    pub tools_status: String,
    pub tools_running_status: String,
    pub tools_version_status2: String,
    pub disk_enable_uuid: bool,
    #[serde(rename = "nestedHVEnabled")]
    pub nested_hv_enabled: bool,
    pub custom_def: Vec<serde_json::Value>,
    pub custom_values: Vec<serde_json::Value>,
    pub tags: Vec<serde_json::Value>,
}

fn text(node: Option<&Node>, path: &[&str]) -> String {
    node.and_then(|n| n.at(path)).map(|n| n.text.clone()).unwrap_or_default()
}

fn number(node: Option<&Node>, path: &[&str]) -> i64 {
    text(node, path).parse().unwrap_or_default()
}

fn flag(node: Option<&Node>, path: &[&str]) -> bool {
    matches!(text(node, path).as_str(), "true" | "1")
}

/// What Go prints for a value that is not there: the service formats the tools' states that way.
fn or_nil(value: String) -> String {
    if value.is_empty() { "<nil>".to_owned() } else { value }
}

impl Vm {
    /// Reads a VM.
    pub fn read(found: &Properties) -> Self {
        let config = found.get("config");
        let guest = found.get("guest");
        let runtime = found.get("runtime");
        let summary = found.get("summary");
        let mut vm = Self {
            id: found.object.id.clone(),
            name: found.text("name").to_owned(),
            parent: found.get("parent").map(MoRef::read).unwrap_or_default(),
            revision_validated: 1,
            is_template: flag(config, &["template"]) || flag(summary, &["config", "template"]),
            power_state: text(runtime, &["powerState"]),
            host: text(runtime, &["host"]),
            networks: found
                .get("network")
                .map(|n| n.children.iter().map(|net| Ref::new("Network", &net.text)).collect())
                .unwrap_or_default(),
            uuid: text(config, &["uuid"]),
            instance_uuid: text(config, &["instanceUuid"]),
            firmware: Some(text(config, &["firmware"])).filter(|f| !f.is_empty()).unwrap_or_else(|| "bios".to_owned()),
            connection_state: text(runtime, &["connectionState"]),
            snapshot: found
                .get("snapshot")
                .and_then(|n| n.child("currentSnapshot"))
                .map(|n| Ref::new("VirtualMachineSnapshot", &n.text))
                .unwrap_or_default(),
            change_tracking_enabled: flag(config, &["changeTrackingEnabled"]),
            consolidation_needed: flag(runtime, &["consolidationNeeded"]),
            cpu_hot_add_enabled: flag(config, &["cpuHotAddEnabled"]),
            cpu_hot_remove_enabled: flag(config, &["cpuHotRemoveEnabled"]),
            memory_hot_add_enabled: flag(config, &["memoryHotAddEnabled"]),
            cpu_count: number(config, &["hardware", "numCPU"]),
            cores_per_socket: number(config, &["hardware", "numCoresPerSocket"]).max(1),
            memory_mb: number(config, &["hardware", "memoryMB"]),
            guest_name: Some(text(summary, &["config", "guestFullName"]))
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| text(config, &["guestFullName"])),
            guest_name_from_vmware_tools: text(guest, &["guestFullName"]),
            host_name: text(guest, &["hostName"]),
            guest_id: text(config, &["guestId"]),
            ip_address: text(guest, &["ipAddress"]),
            storage_used: number(summary, &["storage", "committed"]),
            secure_boot: flag(config, &["bootOptions", "efiSecureBootEnabled"]),
            tools_status: or_nil(text(guest, &["toolsStatus"])),
            tools_running_status: or_nil(text(guest, &["toolsRunningStatus"])),
            tools_version_status2: or_nil(text(guest, &["toolsVersionStatus2"])),
            nested_hv_enabled: flag(config, &["nestedHVEnabled"]),
            disk_enable_uuid: config
                .into_iter()
                .flat_map(|c| c.children_named("extraConfig"))
                .any(|o| o.get("key").is_some_and(|k| k.eq_ignore_ascii_case("disk.enableUUID")) && o.get("value") == Some("TRUE")),
            ..Self::default()
        };
        vm.read_devices(config.and_then(|c| c.child("hardware")));
        vm.read_guest(guest);
        vm
    }

    fn read_devices(&mut self, hardware: Option<&Node>) {
        let devices: Vec<&Node> = hardware.into_iter().flat_map(|h| h.children_named("device")).collect();
        let bus = |key: i64| {
            let kind = devices.iter().find(|d| number(Some(d), &["key"]) == key).and_then(|d| d.xsi_type()).unwrap_or_default();
            match kind {
                k if k.contains("AHCI") || k.contains("SATA") => "sata",
                k if k.contains("IDE") => "ide",
                k if k.contains("NVME") => "nvme",
                _ => "scsi",
            }
        };
        for device in &devices {
            let kind = device.xsi_type().unwrap_or_default();
            let key = number(Some(device), &["key"]);
            let backing = device.child("backing");
            if kind == "VirtualDisk" {
                let backing_kind = backing.and_then(Node::xsi_type).unwrap_or_default();
                let bytes = number(Some(device), &["capacityInBytes"]);
                let controller_key = number(Some(device), &["controllerKey"]);
                self.disks.push(Disk {
                    key,
                    unit_number: number(Some(device), &["unitNumber"]),
                    controller_key,
                    file: text(backing, &["fileName"]),
                    datastore: Ref::new("Datastore", &datastore_id(&text(backing, &["datastore"]))),
                    capacity: if bytes > 0 { bytes } else { number(Some(device), &["capacityInKB"]) * 1024 },
                    shared: text(backing, &["sharing"]) == "sharingMultiWriter",
                    rdm: backing_kind.contains("RawDisk"),
                    bus: bus(controller_key).to_owned(),
                    mode: text(backing, &["diskMode"]),
                    serial: text(backing, &["uuid"]).to_lowercase(),
                    change_tracking_enabled: !text(backing, &["changeId"]).is_empty(),
                    parent: text(backing, &["parent", "fileName"]),
                });
                continue;
            }
            let is_nic = device.child("macAddress").is_some();
            if is_nic {
                let portgroup = text(backing, &["port", "portgroupKey"]);
                let network = if portgroup.is_empty() { text(backing, &["network"]) } else { portgroup };
                self.nics.push(Nic {
                    network: Ref::new("Network", &network),
                    mac: text(Some(device), &["macAddress"]).to_lowercase(),
                    order: self.nics.len(),
                    device_key: key,
                    pci_address: String::new(),
                    start_connected: device.at(&["connectable", "startConnected"]).is_none_or(|n| n.text != "false"),
                });
            }
            if is_nic || ["TPM", "USB", "PCIPassthrough", "Sriov"].iter().any(|word| kind.contains(word)) {
                self.tpm_enabled |= kind == "VirtualTPM";
                self.devices.push(Device {
                    kind: kind.to_owned(),
                    key,
                    pci_slot_number: number(Some(device), &["slotInfo", "pciSlotNumber"]),
                });
            }
        }
    }

    fn read_guest(&mut self, guest: Option<&Node>) {
        for (index, net) in guest.into_iter().flat_map(|g| g.children_named("net")).enumerate() {
            let dns: Vec<String> =
                net.child("dnsConfig").into_iter().flat_map(|d| d.children_named("ipAddress")).map(|n| n.text.clone()).collect();
            for address in net.child("ipConfig").into_iter().flat_map(|c| c.children_named("ipAddress")) {
                self.guest_networks.push(GuestNetwork {
                    device: index.to_string(),
                    device_config_id: number(Some(net), &["deviceConfigId"]),
                    mac: text(Some(net), &["macAddress"]).to_lowercase(),
                    ip: text(Some(address), &["ipAddress"]),
                    origin: text(Some(address), &["origin"]),
                    prefix: number(Some(address), &["prefixLength"]),
                    dns: dns.clone(),
                    network: text(Some(net), &["network"]),
                });
            }
        }
        for stack in guest.into_iter().flat_map(|g| g.children_named("ipStack")) {
            let dns: Vec<String> =
                stack.child("dnsConfig").into_iter().flat_map(|d| d.children_named("ipAddress")).map(|n| n.text.clone()).collect();
            for route in stack.child("ipRouteConfig").into_iter().flat_map(|c| c.children_named("ipRoute")) {
                self.guest_ip_stacks.push(GuestIpStack {
                    device: text(Some(route), &["gateway", "device"]),
                    gateway: text(Some(route), &["gateway", "ipAddress"]),
                    network: text(Some(route), &["network"]),
                    prefix: number(Some(route), &["prefixLength"]),
                    dns: dns.clone(),
                });
            }
        }
    }

    /// Whether it is a Windows guest: VMware's guest ids say so.
    pub fn is_windows(&self) -> bool {
        self.guest_id.to_lowercase().contains("windows") || self.guest_name.to_lowercase().contains("windows")
    }

    /// Disks in the order in which VMware's BIOS sees them: by bus, controller, unit and key.
    pub fn sorted_disks(&self) -> Vec<&Disk> {
        let mut disks: Vec<&Disk> = self.disks.iter().collect();
        let rank = |bus: &str| ["sata", "ide", "scsi", "nvme"].iter().position(|b| *b == bus).unwrap_or(4);
        disks.sort_by_key(|d| (rank(&d.bus), d.controller_key, d.unit_number, d.key));
        disks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_sort_by_bus_then_place() {
        let disk = |bus: &str, unit: i64, key: i64| Disk { bus: bus.into(), unit_number: unit, key, ..Disk::default() };
        let vm = Vm { disks: vec![disk("nvme", 0, 1), disk("scsi", 1, 2), disk("scsi", 0, 3), disk("sata", 5, 4)], ..Vm::default() };
        assert_eq!(vm.sorted_disks().iter().map(|d| d.key).collect::<Vec<_>>(), [4, 3, 2, 1]);
    }

    #[test]
    fn a_vm_is_read_from_vsphere_xml() {
        let config = Node::parse(
            r#"<val xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="VirtualMachineConfigInfo"><changeTrackingEnabled>true</changeTrackingEnabled>
            <hardware><numCPU>4</numCPU><numCoresPerSocket>2</numCoresPerSocket><memoryMB>2048</memoryMB>
            <device xsi:type="ParaVirtualSCSIController"><key>1000</key></device>
            <device xsi:type="VirtualDisk"><key>2000</key><backing xsi:type="VirtualDiskFlatVer2BackingInfo"><fileName>[ds] a/a.vmdk</fileName>
              <datastore type="Datastore">datastore-1</datastore><diskMode>persistent</diskMode></backing><controllerKey>1000</controllerKey>
              <unitNumber>0</unitNumber><capacityInKB>1048576</capacityInKB></device>
            <device xsi:type="VirtualVmxnet3"><key>4000</key><backing xsi:type="VirtualEthernetCardNetworkBackingInfo">
              <network type="Network">network-1</network></backing><macAddress>00:50:56:AA:00:01</macAddress></device>
            </hardware></val>"#,
        )
        .unwrap();
        let found = Properties { object: MoRef::new("VirtualMachine", "vm-1"), values: vec![("config".to_owned(), config)] };
        let vm = Vm::read(&found);
        assert_eq!((vm.cpu_count, vm.cores_per_socket, vm.memory_mb), (4, 2, 2048));
        assert_eq!(vm.disks[0].capacity, 1 << 30);
        assert_eq!(vm.disks[0].bus, "scsi");
        assert_eq!(vm.nics[0].mac, "00:50:56:aa:00:01");
        assert_eq!(vm.nics[0].network.id, "network-1");
        assert_eq!(vm.tools_status, "<nil>");
        assert!(vm.change_tracking_enabled);
    }
}
