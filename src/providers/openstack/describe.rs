//! One server as checks need it.

use serde_json::Value;

use super::{
    clone,
    operate::power,
    session::{Service, Session},
    wire::{items, number, text},
};
use crate::providers::{Disk, Nic, ProviderResult, VmDescription};

/// What a map calls the storage of a server that boots from an image.
const IMAGES: &str = "glance";

/// Describes a server: itself, its ports, their networks, its volumes.
pub async fn vm(session: &Session, id: &str) -> ProviderResult<VmDescription> {
    let doing = format!("describe {id}");
    let server = clone::server(session, id, &doing).await?;
    let of_server = format!("/ports?device_id={id}");
    let (volumes, ports) =
        tokio::try_join!(clone::attached(session, &server, &doing), session.list(Service::Network, "ports", &of_server, &doing))?;
    let mut ids: Vec<&str> = ports.iter().map(|port| text(port, "/network_id")).collect();
    ids.sort_unstable();
    ids.dedup();
    let filter: Vec<String> = ids.iter().map(|id| format!("id={id}")).collect();
    let networks = if filter.is_empty() {
        Vec::new()
    } else {
        session.list(Service::Network, "networks", &format!("/networks?{}", filter.join("&")), &doing).await?
    };
    // What a volume was made of counts as long as it is there; Forklift reads the same.
    let origin = || volumes.iter().map(|volume| text(volume, "/volume_image_metadata/image_id")).find(|id| !id.is_empty());
    let image = match Some(text(&server, "/image/id")).filter(|id| !id.is_empty()).or_else(origin) {
        None => Value::Null,
        Some(image) => {
            session.get_if_there(Service::Image, "GET images/ID", &format!("/images/{image}"), &doing).await?.unwrap_or_default()
        }
    };
    Ok(read(&server, &volumes, ports, &networks, &image))
}

fn read(server: &Value, volumes: &[Value], mut ports: Vec<Value>, networks: &[Value], image: &Value) -> VmDescription {
    ports.sort_by(|a, b| text(a, "/created_at").cmp(text(b, "/created_at")));
    let name_of = |id: &str| networks.iter().find(|n| text(n, "/id") == id).map(|n| text(n, "/name").to_owned()).unwrap_or_default();
    let nic = |port: &Value| Nic {
        name: text(port, "/name").to_owned(),
        mac: text(port, "/mac_address").to_lowercase(),
        network: name_of(text(port, "/network_id")),
        network_id: text(port, "/network_id").to_owned(),
        addresses: items(port, "/fixed_ips").iter().map(|ip| text(ip, "/ip_address").to_owned()).collect(),
        ..Nic::default()
    };
    let boots_from_image = !text(server, "/image/id").is_empty();
    // What the image says goes before what the flavor says, each for itself.
    let count = |of_image: &str, of_flavor: &str| {
        let text = image.get(of_image).or_else(|| server.pointer("/flavor/extra_specs").and_then(|specs| specs.get(of_flavor)));
        text.and_then(|text| text.as_str()?.parse::<u64>().ok())
    };
    let sockets = count("hw_cpu_sockets", "hw:cpu_sockets").unwrap_or_else(|| number(server, "/flavor/vcpus"));
    let cores = count("hw_cpu_cores", "hw:cpu_cores").unwrap_or(1);
    let of_image = boots_from_image.then(|| Disk {
        name: text(image, "/name").to_owned(),
        // A flavor without a disk gives one of the image's size.
        bytes: match number(server, "/flavor/disk") {
            0 => Some(number(image, "/virtual_size")).filter(|size| *size > 0).unwrap_or_else(|| number(image, "/size")),
            disk => disk << 30,
        },
        storage: IMAGES.to_owned(),
        ..Disk::default()
    });
    let disk = |volume: &Value| Disk {
        name: [text(volume, "/name"), text(volume, "/id")].into_iter().find(|n| !n.is_empty()).unwrap_or_default().to_owned(),
        bytes: number(volume, "/size") << 30,
        storage: text(volume, "/volume_type").to_owned(),
        ..Disk::default()
    };
    let narrow = |n: u64| Some(u32::try_from(n).unwrap_or(u32::MAX)).filter(|n| *n > 0);
    VmDescription {
        boot: None,
        id: text(server, "/id").to_owned(),
        name: text(server, "/name").to_owned(),
        namespace: None,
        // The firmware serial is made of a BIOS UUID for VMware guests only.
        uuid: None,
        serial: None,
        power: power(text(server, "/status")),
        sockets: narrow(sockets),
        cores_per_socket: narrow(cores),
        memory_mib: Some(number(server, "/flavor/ram")).filter(|size| *size > 0),
        nics: ports.iter().map(nic).collect(),
        disks: of_image.into_iter().chain(volumes.iter().map(disk)).collect(),
        // Images and volume snapshots are objects of their own, which a migration does not touch.
        snapshots: Vec::new(),
        tools_running: text(server, "/status") == "ACTIVE",
        windows: text(image, "/os_type").eq_ignore_ascii_case("windows"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::providers::Power;

    #[test]
    fn a_server_reads_with_its_parts() {
        let server = json!({"id": "s", "name": "rhel8", "status": "SHUTOFF", "flavor": {"vcpus": 4, "ram": 2048, "disk": 20}, "image": ""});
        let volumes = [
            json!({"id": "v1", "name": "boot", "size": 10, "volume_type": "ceph", "volume_image_metadata": {"image_id": "i"}}),
            json!({"id": "v2", "name": "", "size": 4, "volume_type": "lvm"}),
        ];
        let ports = vec![
            json!({"mac_address": "FA:16:3E:00:00:02", "network_id": "n2", "created_at": "2", "fixed_ips": []}),
            json!({"mac_address": "fa:16:3e:00:00:01", "network_id": "n1", "created_at": "1", "fixed_ips": [{"ip_address": "192.0.2.5"}]}),
        ];
        let networks = [json!({"id": "n1", "name": "private"}), json!({"id": "n2", "name": "vlan10"})];
        let image = json!({"id": "i", "hw_cpu_cores": "2", "hw_cpu_sockets": "2"});
        let vm = read(&server, &volumes, ports, &networks, &image);
        assert_eq!((vm.power, vm.sockets, vm.cores_per_socket, vm.memory_mib), (Power::Off, Some(2), Some(2), Some(2048)));
        assert_eq!(vm.nics.iter().map(|n| n.network.as_str()).collect::<Vec<_>>(), ["private", "vlan10"]);
        assert_eq!(vm.disks.iter().map(|d| (d.name.as_str(), d.storage.as_str())).collect::<Vec<_>>(), [("boot", "ceph"), ("v2", "lvm")]);
        let booted = json!({"flavor": {"vcpus": 2, "ram": 512, "disk": 5}, "image": {"id": "i"}});
        let vm = read(&booted, &[], Vec::new(), &[], &json!({"name": "cirros", "os_type": "Windows"}));
        assert_eq!((vm.disks[0].storage.as_str(), vm.disks[0].bytes, vm.windows, vm.sockets), (IMAGES, 5 << 30, true, Some(2)));
        let specs = json!({"hw:cpu_sockets": "1", "hw:cpu_cores": "4"});
        let diskless = json!({"flavor": {"vcpus": 4, "ram": 512, "disk": 0, "extra_specs": specs}, "image": {"id": "i"}});
        let vm = read(&diskless, &[], Vec::new(), &[], &json!({"name": "cirros", "size": 7, "hw_cpu_cores": "2"}));
        assert_eq!(
            (vm.disks[0].bytes, vm.sockets, vm.cores_per_socket),
            (7, Some(1), Some(2)),
            "the image goes before the flavor, value by value"
        );
        let vm = read(&diskless, &[], Vec::new(), &[], &json!({"virtual_size": 9, "size": 7}));
        assert_eq!((vm.disks[0].bytes, vm.sockets, vm.cores_per_socket), (9, Some(1), Some(4)));
    }
}
