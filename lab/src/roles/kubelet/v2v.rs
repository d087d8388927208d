//! A virt-v2v pod: copies disks from the source (or converts them in place), reports progress, then hands out results
//! until it is told to go.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, ResourceExt};
use tokio::sync::Notify;

use super::{Running, serve, workload::Exit};
use crate::{datacenter::GuestModel, world::World};

/// Looking at the source before anything is copied, or converting in place. With the start of the pod no multiple of the three
/// seconds between two looks of Forklift: else a look falls between the pods of two VMs.
const CONVERT: Duration = Duration::from_secs(5);
/// Copying, whatever the size: the lab's disks are empty.
const COPY: Duration = Duration::from_secs(8);
/// Progress is told this often while copying.
const TICKS: u32 = 20;
/// Metrics and results, the ports of the real image.
const PORTS: (u16, u16) = (serve::METRICS, 8080);
/// Annotation of claims: the source disk.
const DISK_SOURCE: &str = "forklift.konveyor.io/disk-source";

/// Runs the pod; returns when it has been told to go.
pub(super) async fn run(running: &Running<'_>) -> anyhow::Result<(Exit, String)> {
    let cx = running.cx;
    let (ip, metrics) = serve::address(PORTS.0).await?;
    if let Some(port) = metrics.other_port {
        running.publish(serve::METRICS_PORT, port).await?;
    }
    running.up(&ip.to_string()).await?;
    let env = environment(&running.pod);
    let in_place = env.get("V2V_inPlace").is_some_and(|v| v == "1");
    let disks = claims(running).await?;
    let percent = Arc::new(AtomicU32::new(0));
    let (shown, count) = (Arc::clone(&percent), if in_place { 0 } else { disks.len() });
    let metrics = serve::serve(metrics, move |method, path| match (method, path) {
        (&Method::GET, "/metrics") => serve::text("text/plain; version=0.0.4", exposition(count, shown.load(Ordering::Relaxed))),
        _ => serve::code(StatusCode::NOT_FOUND),
    });
    let work = async {
        cx.world.clock.sleep(CONVERT).await;
        if !in_place {
            for done in 1..=TICKS {
                cx.world.clock.sleep(COPY / TICKS).await;
                percent.store(done * 100 / TICKS, Ordering::Relaxed);
            }
        }
        running.released().await;
        let guest = converted(&cx.world, &disks, &env, in_place);
        let results = serve::also(ip, PORTS.1).await?;
        if let Some(port) = results.other_port {
            running.publish(serve::RESULTS_PORT, port).await?;
        }
        let shutdown = Arc::new(Notify::new());
        let told = Arc::clone(&shutdown);
        let vm = if in_place { None } else { Some(vm_yaml(&cx.world, guest.as_ref(), &env, count)) };
        let inspection = inspection_xml(guest.as_ref());
        let results = serve::serve(results, move |method, path| match (method, path) {
            (&Method::GET, "/vm") => vm.clone().map_or_else(|| serve::code(StatusCode::NO_CONTENT), |vm| serve::text("text/yaml", vm)),
            (&Method::GET, "/inspection") => serve::text("application/xml", inspection.clone()),
            (&Method::GET, "/warnings") => serve::code(StatusCode::NO_CONTENT),
            (&Method::POST, "/shutdown") => {
                told.notify_one();
                serve::code(StatusCode::NO_CONTENT)
            }
            _ => serve::code(StatusCode::NOT_FOUND),
        });
        tokio::select! {
            () = results => {}
            () = shutdown.notified() => {
                // The answer to the request still has to leave.
                cx.world.clock.sleep(Duration::from_millis(200)).await;
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        () = metrics => {}
        done = work => done?,
    }
    Ok((Exit::Success, ip.to_string()))
}

/// Disk as the pod sees it.
struct Disk {
    /// `pvc:UID`.
    target: String,
    /// Backing file in the source.
    source: Option<String>,
}

async fn claims(running: &Running<'_>) -> anyhow::Result<Vec<Disk>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(running.cx.client.clone(), &running.pod.namespace().unwrap_or_default());
    let spec = running.pod.spec.as_ref();
    let names = spec.and_then(|s| s.volumes.as_ref()).into_iter().flatten().filter_map(|v| v.persistent_volume_claim.as_ref());
    let mut disks = Vec::new();
    for claim in names {
        if let Some(pvc) = api.get_opt(&claim.claim_name).await? {
            disks.push(Disk {
                target: format!("pvc:{}", pvc.uid().unwrap_or_default()),
                source: pvc.annotations().get(DISK_SOURCE).cloned(),
            });
        }
    }
    Ok(disks)
}

fn environment(pod: &Pod) -> BTreeMap<String, String> {
    let containers = pod.spec.as_ref().map(|s| s.containers.as_slice()).unwrap_or_default();
    let env = containers.iter().filter(|c| c.name == "virt-v2v").flat_map(|c| c.env.iter().flatten());
    env.filter_map(|e| Some((e.name.clone(), e.value.clone()?))).collect()
}

fn exposition(disks: usize, percent: u32) -> String {
    let mut text = "# HELP v2v_disk_transfers Percent of disk copied\n# TYPE v2v_disk_transfers gauge\n".to_owned();
    for disk in 1..=disks {
        let _infallible = writeln!(text, "v2v_disk_transfers{{disk_id=\"{disk}\"}} {percent}");
    }
    text
}

/// What stands on the target disks now; the operating system if one was found.
fn converted(world: &World, disks: &[Disk], env: &BTreeMap<String, String>, in_place: bool) -> Option<GuestModel> {
    for disk in disks {
        if let (false, Some(source)) = (in_place, &disk.source) {
            world.disks.copy(&world.disks.newest(source), &disk.target);
        }
    }
    let boot = disks.iter().find(|disk| world.guest(&disk.target).is_some())?;
    let told = env.get("V2V_staticIPs").map_or("", String::as_str);
    world.disks.set_addresses(&boot.target, static_addresses(told));
    world.disks.set_gateways(&boot.target, static_gateways(told));
    // Adapters whose addresses are kept keep their names where rules for them can be written into the guest, which is Linux.
    // Others are found anew.
    let system = world.guest(&boot.target);
    let kept = if system.as_ref().is_some_and(|system| system.family == "windows") { BTreeMap::new() } else { static_addresses(told) };
    let names = world.disks.names(&boot.target).into_iter().filter(|(mac, _)| kept.contains_key(&mac.to_lowercase()));
    world.disks.set_names(&boot.target, names.collect());
    system
}

/// `mac:ip:ADDRESS,GATEWAY,PREFIX,DNS…`, several separated by `_`: addresses with prefix length by MAC address.
fn static_addresses(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut addresses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in text.split('_') {
        let Some((mac, rest)) = entry.split_once(":ip:") else { continue };
        let mut parts = rest.split(',');
        let (Some(ip), _gateway, prefix) = (parts.next(), parts.next(), parts.next()) else { continue };
        let default = if ip.contains(':') { "64" } else { "24" };
        let prefix = prefix.filter(|p| !p.is_empty()).unwrap_or(default);
        addresses.entry(mac.to_lowercase()).or_default().push(format!("{ip}/{prefix}"));
    }
    addresses
}

/// Default gateways by MAC address, from the same text.
fn static_gateways(text: &str) -> BTreeMap<String, String> {
    let entries = text.split('_').filter_map(|entry| entry.split_once(":ip:"));
    let gateways = entries.filter_map(|(mac, rest)| Some((mac.to_lowercase(), rest.split(',').nth(1)?.to_owned())));
    gateways.filter(|(_, gateway)| !gateway.is_empty()).collect()
}

/// The virtual machine as virt-v2v writes it; Forklift reads the firmware from it.
fn vm_yaml(world: &World, guest: Option<&GuestModel>, env: &BTreeMap<String, String>, disks: usize) -> String {
    let name = env.get("V2V_NewName").or_else(|| env.get("V2V_vmName")).map_or("vm", String::as_str);
    let efi = guest.is_some_and(|guest| {
        let key = world.datacenter.guests.iter().find(|(_, g)| *g == guest).map(|(key, _)| key);
        world.datacenter.vsphere.vms.iter().any(|vm| Some(&vm.guest) == key && vm.firmware == "efi")
    });
    let firmware = if efi {
        "          bootloader:\n            efi:\n              secureBoot: false\n"
    } else {
        "          bootloader:\n            bios: {}\n"
    };
    let mut text = format!(
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata:\n  name: {name:?}\nspec:\n  runStrategy: Halted\n  template:\n    spec:\n      domain:\n        firmware:\n{firmware}        devices:\n          disks:\n"
    );
    for disk in 0..disks {
        let _infallible = writeln!(text, "            - disk:\n                bus: virtio\n              name: disk-{disk}");
        if disk == 0 {
            text.push_str("              bootOrder: 1\n");
        }
    }
    text
}

fn inspection_xml(guest: Option<&GuestModel>) -> String {
    let (name, distro, os_info) = guest.map_or(("linux", "unknown", "unknown"), |guest| {
        if guest.family == "windows" {
            ("windows", "windows", guest.os_info.as_str())
        } else {
            ("linux", guest.os_info.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'), guest.os_info.as_str())
        }
    });
    format!(
        "<?xml version='1.0' encoding='utf-8'?>\n<v2v-inspection>\n  <operatingsystem>\n    <name>{name}</name>\n    <distro>{distro}</distro>\n    <osinfo>{os_info}</osinfo>\n    <arch>x86_64</arch>\n  </operatingsystem>\n</v2v-inspection>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        datacenter::{DEFAULT, DataCenter},
        world::DiskImage,
    };

    #[test]
    fn static_addresses_are_read() {
        let found = static_addresses(
            "00:50:56:AA:bb:01:ip:10.0.0.5,10.0.0.1,16,8.8.8.8_00:50:56:aa:bb:01:ip:10.0.0.6,10.0.0.1,16_bad_x:ip:fd00::1,,",
        );
        assert_eq!(found["00:50:56:aa:bb:01"], ["10.0.0.5/16", "10.0.0.6/16"]);
        assert_eq!(found["x"], ["fd00::1/64"]);
        assert_eq!(found.len(), 2);
        assert!(static_addresses("").is_empty());
        assert_eq!(
            static_gateways("A:ip:10.0.0.5,10.0.0.1,16_b:ip:10.0.0.6,,16"),
            BTreeMap::from([("a".to_owned(), "10.0.0.1".to_owned())])
        );
    }

    #[test]
    fn disks_are_copied_from_where_their_claims_say() {
        let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1.0));
        world.disks.put("[ds] a/a.vmdk", DiskImage { guest: Some("win2022".to_owned()) });
        let disks = [
            Disk { target: "pvc:1".to_owned(), source: Some("[ds] gone/x.vmdk".to_owned()) },
            Disk { target: "pvc:2".to_owned(), source: Some("[ds] a/a.vmdk".to_owned()) },
        ];
        let guest = converted(&world, &disks, &BTreeMap::new(), false).unwrap();
        assert_eq!(guest.os_info, "win2k22");
        assert!(world.guest("pvc:1").is_none() && world.guest("pvc:2").is_some());
        assert!(vm_yaml(&world, Some(&guest), &BTreeMap::new(), 1).contains("efi:"));
        assert!(inspection_xml(Some(&guest)).contains("<osinfo>win2k22</osinfo>"));
        assert!(inspection_xml(world.datacenter.guests.get("rhel8")).contains("<distro>rhel</distro>"));
    }

    #[test]
    fn metrics_number_disks_from_one() {
        assert!(exposition(2, 40).ends_with("v2v_disk_transfers{disk_id=\"1\"} 40\nv2v_disk_transfers{disk_id=\"2\"} 40\n"));
    }
}
