//! What stands in the simulated data centre: a TOML file that a user can replace.
//!
//! Names of keys are those of the field: moRefs are given by the simulators, everything else can be said.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{faults::FaultsModel, jira::JiraModel};

/// The whole data centre.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataCenter {
    /// The OpenShift cluster with MTV and KubeVirt.
    pub cluster: ClusterModel,
    /// Another OpenShift, which VMs can come from.
    pub source_cluster: Option<ClusterModel>,
    /// The vCenter.
    pub vsphere: VsphereModel,
    /// Storage arrays, which datastores and storage classes can lie on.
    pub arrays: Vec<ArrayModel>,
    /// The oVirt engine.
    pub ovirt: OvirtModel,
    /// OpenStack.
    pub openstack: OpenstackModel,
    /// The Jira.
    pub jira: JiraModel,
    /// The share with OVA files.
    pub ova: OvaModel,
    /// Guest operating systems by name; disks of VMs refer to them.
    pub guests: BTreeMap<String, GuestModel>,
    /// What is to go wrong.
    pub faults: FaultsModel,
}

/// The OpenShift cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterModel {
    /// `status.infrastructureName` of the Infrastructure.
    pub infrastructure_name: String,
    /// Domain of the cluster's Routes.
    pub domain: String,
    /// `status.desired.version` of the ClusterVersion.
    pub openshift_version: String,
    /// `spec.version` of the MTV ClusterServiceVersion.
    pub mtv_version: String,
    /// Namespace of the MTV operator.
    pub mtv_namespace: String,
    /// Worker nodes.
    pub workers: Vec<String>,
    /// Memory that the cluster's own pods have asked for on a worker, in MiB, as monitoring tells it; 0 unless said.
    pub requested_mib: BTreeMap<String, u64>,
    /// Storage classes, the default one first.
    pub storage_classes: Vec<StorageClassModel>,
    /// User name and password of the cluster administrator (OAuth login).
    pub admin: Login,
}

/// A storage class of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageClassModel {
    /// Name.
    pub name: String,
    /// `Filesystem` or `Block`.
    pub volume_mode: String,
    /// `ReadWriteOnce` or `ReadWriteMany`.
    pub access_mode: String,
    /// Storage array of its volumes.
    #[serde(default)]
    pub array: Option<String>,
}

/// A storage array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrayModel {
    /// Name.
    pub name: String,
    /// Kind, as Forklift's StorageMap spells it, such as `ontap`.
    pub vendor: String,
    /// Address of its management API. Nothing answers there: the lab knows the login.
    pub hostname: String,
    /// Login of its management API.
    pub login: Login,
    /// Further keys of the storage Secret that must be right, such as `ONTAP_SVM`.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
    /// Beginning of the names of its devices, behind `naa.`.
    pub naa: String,
    /// Whether it copies by itself; otherwise the ESXi host copies over the network.
    #[serde(default = "yes")]
    pub xcopy: bool,
}

/// User name and password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// The vCenter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VsphereModel {
    /// `about.version`.
    pub version: String,
    /// Login of the SDK.
    pub login: Login,
    /// Datacenter name.
    pub datacenter: String,
    /// Cluster name.
    pub cluster: String,
    /// ESXi hosts of the cluster.
    pub hosts: Vec<String>,
    /// Datastores.
    pub datastores: Vec<DatastoreModel>,
    /// LUNs that are no datastores, for raw device mappings.
    pub luns: Vec<LunModel>,
    /// SSH login of the ESXi hosts.
    pub esxi_login: Login,
    /// Networks.
    pub networks: Vec<NetworkModel>,
    /// Virtual machines and templates.
    pub vms: Vec<VmModel>,
}

/// The oVirt engine, with one data center and one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OvirtModel {
    /// Version of the engine.
    pub version: String,
    /// Login of SSO and API.
    pub login: Login,
    /// Data center name.
    pub data_center: String,
    /// Cluster name.
    pub cluster: String,
    /// Hosts.
    pub hosts: Vec<String>,
    /// Storage domains; `datastore` of a disk names one.
    pub storage_domains: Vec<DatastoreModel>,
    /// Networks, the first one for management. Each has a vNIC profile of its name.
    pub networks: Vec<NetworkModel>,
    /// Virtual machines and templates; templates are what is cloned.
    pub vms: Vec<VmModel>,
}

impl Default for OvirtModel {
    fn default() -> Self {
        Self {
            version: "4.5.5".to_owned(),
            login: Login { user: "admin@internal".to_owned(), password: "lab-ovirt".to_owned() },
            data_center: "Default".to_owned(),
            cluster: "Default".to_owned(),
            hosts: vec!["rhvh-0.lab".to_owned()],
            storage_domains: Vec::new(),
            networks: Vec::new(),
            vms: Vec::new(),
        }
    }
}

/// A project of an OpenStack cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenstackModel {
    /// Release, for the profile.
    pub version: String,
    /// Login with Keystone.
    pub login: Login,
    /// Name of the domain of user and project; its id is `default`.
    pub domain: String,
    /// Project name.
    pub project: String,
    /// Region.
    pub region: String,
    /// How long a token holds, in seconds; Keystone's default of an hour unless said.
    pub token_seconds: u32,
    /// Volume types; `datastore` of a disk names one.
    pub volume_types: Vec<DatastoreModel>,
    /// Networks.
    pub networks: Vec<NetworkModel>,
    /// Servers.
    pub vms: Vec<VmModel>,
    /// Names of those servers whose first disk is no volume: they boot from an image.
    pub image_servers: Vec<String>,
}

impl Default for OpenstackModel {
    fn default() -> Self {
        Self {
            version: "xena".to_owned(),
            login: Login { user: "admin".to_owned(), password: "lab-openstack".to_owned() },
            domain: "Default".to_owned(),
            project: "admin".to_owned(),
            region: "RegionOne".to_owned(),
            token_seconds: 3600,
            volume_types: Vec::new(),
            networks: Vec::new(),
            vms: Vec::new(),
            image_servers: Vec::new(),
        }
    }
}

/// A datastore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatastoreModel {
    /// Name.
    pub name: String,
    /// Capacity in GiB.
    pub capacity_gib: u64,
    /// Storage array that it lies on.
    #[serde(default)]
    pub array: Option<String>,
}

/// A LUN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LunModel {
    /// Canonical name, `naa.…`.
    pub name: String,
    /// Capacity in GiB.
    pub capacity_gib: u64,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkModel {
    /// Name.
    pub name: String,
    /// A distributed port group instead of a standard network.
    #[serde(default)]
    pub distributed: bool,
}

/// A virtual machine or template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmModel {
    /// Name.
    pub name: String,
    /// A template cannot be powered on.
    #[serde(default)]
    pub template: bool,
    /// Guest operating system, a key of `guests`.
    pub guest: String,
    /// Powered on at the start.
    #[serde(default)]
    pub powered_on: bool,
    /// `bios` or `efi`.
    #[serde(default = "bios")]
    pub firmware: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Cores per socket.
    #[serde(default = "one")]
    pub cores_per_socket: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Changed block tracking.
    #[serde(default)]
    pub changed_block_tracking: bool,
    /// Disks, the first one boots.
    pub disks: Vec<DiskModel>,
    /// Network adapters.
    pub nics: Vec<NicModel>,
}

fn bios() -> String {
    "bios".to_owned()
}

fn one() -> u32 {
    1
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskModel {
    /// Size in GiB.
    pub size_gib: u64,
    /// Datastore; default: the first one.
    pub datastore: Option<String>,
    /// `pvscsi`, `lsilogic-sas` or `sata`.
    #[serde(default = "pvscsi")]
    pub controller: String,
}

fn pvscsi() -> String {
    "pvscsi".to_owned()
}

/// A network adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicModel {
    /// Network name.
    pub network: String,
    /// `vmxnet3` or `e1000e`.
    #[serde(default = "vmxnet3")]
    pub adapter: String,
    /// Guest addresses with prefix length, reported by the guest's tools while it runs. Empty: DHCP gives one.
    #[serde(default)]
    pub addresses: Vec<String>,
}

fn vmxnet3() -> String {
    "vmxnet3".to_owned()
}

/// A guest operating system: what stands on a disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestModel {
    /// vSphere guest id, such as `rhel8_64Guest`.
    pub guest_id: String,
    /// For people, such as `Red Hat Enterprise Linux 8 (64-bit)`.
    pub full_name: String,
    /// `linux` or `windows`.
    pub family: String,
    /// libosinfo short id as virt-inspector reports it, such as `rhel8.8`.
    pub os_info: String,
    /// Host name.
    pub host_name: String,
    /// SSH login.
    pub login: Login,
    /// SSH public keys that log in too, one a line as in `authorized_keys`.
    #[serde(default)]
    pub authorized_keys: Vec<String>,
    /// Whether qemu-guest-agent and open-vm-tools are installed.
    #[serde(default = "yes")]
    pub agent: bool,
    /// Whether open-vm-tools tell the guest's addresses; some never do, and static addresses cannot be kept then.
    #[serde(default = "yes")]
    pub tells_addresses: bool,
    /// Whether its tools run as soon as the power is on, as in simulators that know no booting.
    #[serde(default)]
    pub boots_at_once: bool,
}

fn yes() -> bool {
    true
}

/// An NFS share with OVA files: each VM is one file of its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OvaModel {
    /// `HOST:/PATH` of the share.
    pub share: String,
    /// Appliances. Their power, adapters and controllers mean nothing here.
    pub vms: Vec<VmModel>,
}

impl Default for OvaModel {
    fn default() -> Self {
        Self { share: "nfs.lab:/ova".to_owned(), vms: Vec::new() }
    }
}

impl Default for ClusterModel {
    fn default() -> Self {
        Self {
            infrastructure_name: "lab-x7k2p".to_owned(),
            domain: "apps.lab.invalid".to_owned(),
            openshift_version: "4.20.4".to_owned(),
            mtv_version: "2.10.0".to_owned(),
            mtv_namespace: "openshift-mtv".to_owned(),
            workers: ["worker-0", "worker-1", "worker-2"].map(str::to_owned).to_vec(),
            // Not the first worker has the most memory left.
            requested_mib: BTreeMap::from([("worker-0".to_owned(), 65_536), ("worker-2".to_owned(), 32_768)]),
            storage_classes: vec![
                StorageClassModel {
                    name: "lab-block".to_owned(),
                    volume_mode: "Block".to_owned(),
                    access_mode: "ReadWriteMany".to_owned(),
                    array: None,
                },
                StorageClassModel {
                    name: "lab-file".to_owned(),
                    volume_mode: "Filesystem".to_owned(),
                    access_mode: "ReadWriteOnce".to_owned(),
                    array: None,
                },
            ],
            admin: Login { user: "kubeadmin".to_owned(), password: "lab-kubeadmin".to_owned() },
        }
    }
}

impl Default for VsphereModel {
    fn default() -> Self {
        Self {
            version: "8.0.3".to_owned(),
            login: Login { user: "administrator@vsphere.local".to_owned(), password: "lab-vsphere".to_owned() },
            datacenter: "DC0".to_owned(),
            cluster: "DC0_C0".to_owned(),
            hosts: vec!["esxi-0.lab".to_owned(), "esxi-1.lab".to_owned()],
            datastores: Vec::new(),
            luns: Vec::new(),
            esxi_login: Login { user: "root".to_owned(), password: "lab-esxi".to_owned() },
            networks: Vec::new(),
            vms: Vec::new(),
        }
    }
}

impl DataCenter {
    /// Clusters by their names in the file.
    fn clusters(&self) -> impl Iterator<Item = (&'static str, &ClusterModel)> {
        std::iter::once(("cluster", &self.cluster)).chain(self.source_cluster.iter().map(|cluster| ("source_cluster", cluster)))
    }

    /// The storage array of a datastore.
    pub fn array_of_datastore(&self, name: &str) -> Option<&ArrayModel> {
        let datastore = self.vsphere.datastores.iter().find(|d| d.name == name)?;
        self.arrays.iter().find(|a| Some(&a.name) == datastore.array.as_ref())
    }

    /// The storage array of a storage class.
    pub fn array_of_class(&self, name: &str) -> Option<&ArrayModel> {
        let class = self.cluster.storage_classes.iter().find(|c| c.name == name)?;
        self.arrays.iter().find(|a| Some(&a.name) == class.array.as_ref())
    }
}

/// The data centre that the binary carries.
pub const DEFAULT: &str = include_str!("datacenter.toml");

impl DataCenter {
    /// Reads a description.
    ///
    /// # Errors
    /// What is wrong and where, in the TOML reader's words, or a name that is used but not described.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let model: Self = toml::from_str(text)?;
        let VsphereModel { networks, datastores, vms, .. } = &model.vsphere;
        model.check_vms("vsphere", vms, networks, "datastores", datastores)?;
        let OvirtModel { networks, storage_domains, vms, .. } = &model.ovirt;
        model.check_vms("ovirt", vms, networks, "storage_domains", storage_domains)?;
        let OpenstackModel { networks, volume_types, vms, image_servers, .. } = &model.openstack;
        model.check_vms("openstack", vms, networks, "volume_types", volume_types)?;
        if let Some(name) = image_servers.iter().find(|name| !vms.iter().any(|vm| vm.name == **name)) {
            anyhow::bail!("openstack.image_servers: `{name}` is not described under [[openstack.vms]]");
        }
        let arrays: Vec<_> = model.arrays.iter().map(|a| a.name.as_str()).collect();
        let on = model
            .vsphere
            .datastores
            .iter()
            .map(|d| (&d.name, &d.array))
            .chain(model.clusters().flat_map(|(_, cluster)| &cluster.storage_classes).map(|c| (&c.name, &c.array)));
        for (name, array) in on {
            let known = array.as_ref().is_none_or(|array| arrays.contains(&array.as_str()));
            anyhow::ensure!(known, "`{name}`: array `{}` is not described under [[arrays]]", array.as_deref().unwrap_or_default());
        }
        // An OVF file describes its own networks.
        let networks: Vec<NetworkModel> = model
            .ova
            .vms
            .iter()
            .flat_map(|vm| &vm.nics)
            .map(|nic| NetworkModel { name: nic.network.clone(), distributed: false })
            .collect();
        model.check_vms("ova", &model.ova.vms, &networks, "datastores", &[])?;
        anyhow::ensure!(model.ova.share.contains(":/"), "ova.share: `{}` is no share, expected HOST:/PATH", model.ova.share);
        anyhow::ensure!(!model.vsphere.datastores.is_empty(), "[[vsphere.datastores]]: at least one is needed");
        for (name, cluster) in model.clusters() {
            anyhow::ensure!(!cluster.storage_classes.is_empty(), "[[{name}.storage_classes]]: at least one is needed");
            anyhow::ensure!(!cluster.workers.is_empty(), "{name}.workers: at least one is needed");
        }
        model.faults.changes().check()?;
        for (number, rule) in (1..).zip(&model.faults.requests) {
            rule.check().with_context(|| format!("[[faults.requests]] number {number}"))?;
        }
        Ok(model)
    }

    /// Names that VMs of a source use must be described.
    fn check_vms(
        &self,
        source: &str,
        vms: &[VmModel],
        networks: &[NetworkModel],
        storage: &str,
        storages: &[DatastoreModel],
    ) -> anyhow::Result<()> {
        for vm in vms {
            anyhow::ensure!(self.guests.contains_key(&vm.guest), "vm `{}`: guest `{}` is not described under [guests]", vm.name, vm.guest);
            anyhow::ensure!(!vm.disks.is_empty(), "vm `{}`: needs at least one disk", vm.name);
            for nic in &vm.nics {
                anyhow::ensure!(
                    networks.iter().any(|n| n.name == nic.network),
                    "vm `{}`: network `{}` is not described under [[{source}.networks]]",
                    vm.name,
                    nic.network
                );
            }
            for datastore in vm.disks.iter().filter_map(|d| d.datastore.as_ref()) {
                anyhow::ensure!(
                    storages.iter().any(|d| d.name == *datastore),
                    "vm `{}`: datastore `{datastore}` is not described under [[{source}.{storage}]]",
                    vm.name
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_whole() {
        let model = DataCenter::parse(DEFAULT).unwrap();
        assert!(model.vsphere.vms.iter().any(|vm| vm.name == "mtv-tests-rhel8"));
    }

    #[test]
    fn a_dangling_name_is_told() {
        let text = DEFAULT.replace("network = \"VM Network\"", "network = \"nowhere\"");
        let error = DataCenter::parse(&text).unwrap_err().to_string();
        assert!(error.contains("`nowhere`"), "{error}");
    }
}
