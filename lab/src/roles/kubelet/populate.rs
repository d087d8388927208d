//! A populator's pod: has a storage array copy a disk of the source to the volume, tells progress, and writes a log.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::{Api, ResourceExt};
use tokio::sync::Notify;

use super::{Running, serve, workload::Exit};
use crate::{datacenter::ArrayModel, forklift::source::vsphere::base_file, world::World};

/// Port of the metrics.
const METRICS: u16 = 8443;
/// Copying by the array, whatever the size.
const BY_ARRAY: Duration = Duration::from_secs(4);
/// Copying by the ESXi host, whatever the size: the lab's disks are empty.
const BY_HOST: Duration = Duration::from_secs(9);
/// Looking for the array, the host and the volume.
const SET_UP: Duration = Duration::from_secs(2);
/// Progress is told this often.
const TICKS: u32 = 10;
/// How long the pod waits for its last metrics to be read.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// What the pod was told.
struct Told {
    args: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
}

impl Told {
    fn arg(&self, name: &str) -> &str {
        self.args.get(name).map_or("", String::as_str)
    }

    fn env(&self, name: &str) -> &str {
        self.env.get(name).map_or("", String::as_str)
    }
}

/// Runs the pod.
pub(super) async fn run(running: &Running<'_>) -> anyhow::Result<(Exit, String)> {
    let cx = running.cx;
    let (ip, listening) = serve::address(METRICS).await?;
    if let Some(port) = listening.other_port {
        running.publish(serve::METRICS_PORT, port).await?;
    }
    running.up(&ip.to_string()).await?;
    let told = told(running).await?;
    let shown = Arc::new(Mutex::new(String::new()));
    let scraped = Arc::new(Notify::new());
    let (page, looked) = (Arc::clone(&shown), Arc::clone(&scraped));
    let metrics = serve::serve(listening, move |method, path| match (method, path) {
        (&Method::GET, "/metrics") => {
            let text = page.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if text.contains("copy_duration_seconds") {
                looked.notify_one();
            }
            serve::text("text/plain; version=0.0.4", text)
        }
        _ => serve::code(StatusCode::NOT_FOUND),
    });
    let uid = running.pod.uid().unwrap_or_default();
    let log = |line: String| cx.world.logs.add(&uid, &line);
    let show = |line: String| shown.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
    let work = async {
        let (vmdk, pvc) = (told.arg("source-vmdk"), told.arg("owner-name"));
        log(format!("copy-offload: \"copy-offload started\" pvc=\"{pvc}\" source_vmdk=\"{vmdk}\""));
        cx.world.clock.sleep(SET_UP).await;
        let class = target_class(running, &told).await?;
        let exit = match plan(&cx.world, &told, &class) {
            Err(why) => {
                log(format!("copy-offload: \"copy-offload failed\" err=\"{why}\" pvc=\"{pvc}\" source_vmdk=\"{vmdk}\""));
                show(completion(&told, "failure", 0, 0.1));
                Exit::Failure
            }
            Ok(by_array) => {
                let used = u8::from(by_array);
                log(format!("copy-offload.xcopy.clone: \"xcopy\" pvc=\"{pvc}\" source_vmdk=\"{vmdk}\" xcopyUsed={used}"));
                let owner = told.arg("owner-uid");
                let vendor = told.arg("storage-vendor-product");
                show(format!("vsphere_xcopy_volume_populator_xcopy_used{{owner_uid=\"{owner}\",storage_vendor=\"{vendor}\"}} {used}\n"));
                let takes = if by_array { BY_ARRAY } else { BY_HOST };
                for tick in 1..=TICKS {
                    cx.world.clock.sleep(takes / TICKS).await;
                    let percent = tick * 100 / TICKS;
                    show(format!("vsphere_xcopy_volume_populator_progress{{owner_uid=\"{owner}\"}} {percent}\n"));
                    log(format!("copy-offload.xcopy.clone: \"clone progress\" pvc=\"{pvc}\" source_vmdk=\"{vmdk}\" progress={percent}"));
                }
                cx.world.disks.copy(vmdk, format!("pvc:{owner}"));
                show(completion(&told, "success", used, takes.as_secs_f64()));
                log(format!("copy-offload: \"copy-offload finished, waiting for metrics scrape\" pvc=\"{pvc}\" source_vmdk=\"{vmdk}\""));
                Exit::Success
            }
        };
        let _elapsed = tokio::time::timeout(cx.world.clock.scaled(LAST_LOOK), scraped.notified()).await;
        anyhow::Ok(exit)
    };
    let exit = tokio::select! {
        () = metrics => Exit::Failure,
        done = work => done?,
    };
    Ok((exit, ip.to_string()))
}

async fn told(running: &Running<'_>) -> anyhow::Result<Told> {
    let container = running.pod.spec.iter().flat_map(|s| &s.containers).find(|c| c.name == "populate");
    let args = container.and_then(|c| c.args.clone()).unwrap_or_default();
    let args =
        args.iter().filter_map(|arg| arg.trim_start_matches("--").split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let secrets: Api<Secret> = Api::namespaced(running.cx.client.clone(), &running.pod.namespace().unwrap_or_default());
    let mut env = BTreeMap::new();
    for source in container.and_then(|c| c.env_from.clone()).unwrap_or_default() {
        let Some(reference) = source.secret_ref else { continue };
        let secret = secrets.get_opt(&reference.name).await?;
        anyhow::ensure!(secret.is_some(), "secret {} of a populator's pod is not there", reference.name);
        let data = secret.and_then(|s| s.data).unwrap_or_default();
        env.extend(data.into_iter().map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())));
    }
    Ok(Told { args, env })
}

/// Storage class of the volume.
async fn target_class(running: &Running<'_>, told: &Told) -> anyhow::Result<String> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(running.cx.client.clone(), &running.pod.namespace().unwrap_or_default());
    let claim = claims.get_opt(told.arg("owner-name")).await?;
    Ok(claim.and_then(|c| c.spec).and_then(|s| s.storage_class_name).unwrap_or_default())
}

/// Whether the array copies by itself, or the ESXi host has to.
fn plan(world: &World, told: &Told, class: &str) -> Result<bool, String> {
    let array = log_in(world, told)?;
    if told.env("ESXI_CLONE_METHOD") == "ssh" {
        authorized(world, told)?;
    }
    match world.datacenter.array_of_class(class) {
        Some(target) if target.name == array.name => {}
        _ => return Err(format!("failed to resolve the volume of storage class {class} to a LUN of {}", array.hostname)),
    }
    let vmdk = told.arg("source-vmdk");
    let (datastore, path) = vmdk
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .ok_or_else(|| format!("Invalid vmdkPath \\\"{vmdk}\\\", should be '[datastore] vmname/xyz.vmdk'"))?;
    if path.split('/').count() != 2 {
        return Err(format!("Invalid vmdkPath \\\"{vmdk}\\\", should be '[datastore] vmname/xyz.vmdk'"));
    }
    let host = told.arg("migration-host");
    if !host.is_empty() && !hosts(world).any(|known| known == host) {
        return Err(format!("didn't find any host with id {host}"));
    }
    if world.disks.get(vmdk).is_none() {
        return Err(format!("failed to open the source disk {vmdk}: no such file"));
    }
    let change = world.faults.copying(vmdk);
    if let Some(why) = change.fail {
        return Err(why);
    }
    let same = world.datacenter.array_of_datastore(datastore).is_some_and(|source| source.name == array.name);
    // A chain of differences is read through by the host.
    Ok(change.xcopy.unwrap_or(same && array.xcopy && base_file(vmdk) == vmdk))
}

/// Ids of the ESXi hosts: the vCenter counts them from its first one.
fn hosts(world: &World) -> impl Iterator<Item = String> {
    (0..world.datacenter.vsphere.hosts.len()).map(|at| format!("host-{}", crate::vsphere::model::FIRST_HOST + at as u64))
}

fn log_in<'w>(world: &'w World, told: &Told) -> Result<&'w ArrayModel, String> {
    let host = told.env("STORAGE_HOSTNAME");
    let vendor = told.arg("storage-vendor-product");
    let array =
        world.datacenter.arrays.iter().find(|a| a.hostname == host).ok_or_else(|| format!("dial tcp: lookup {host}: no such host"))?;
    if array.vendor != vendor {
        return Err(format!("failed to initialize {vendor} storage mapper with 404 page not found"));
    }
    if told.env("STORAGE_USERNAME") != array.login.user || told.env("STORAGE_PASSWORD") != array.login.password {
        return Err(format!("failed to initialize {vendor} storage mapper with 401 Unauthorized: user or password is wrong"));
    }
    for (key, value) in &array.keys {
        if told.env(key) != value {
            return Err(format!("failed to initialize {vendor} storage mapper: {key} is not one of {host}"));
        }
    }
    Ok(array)
}

/// Over SSH the ESXi host must let MTV's key in, for the wrapper only.
fn authorized(world: &World, told: &Told) -> Result<(), String> {
    let key = told.env("SSH_PUBLIC_KEY").trim();
    let keys = world.esxi.read(crate::esxi::AUTHORIZED_KEYS).unwrap_or_default();
    let line = keys.lines().find(|line| !key.is_empty() && line.contains(key));
    match line {
        Some(line) if line.starts_with("command=\"") && line.contains("secure-vmkfstools-wrapper") => Ok(()),
        Some(_) => Err("the SSH key is allowed on the ESXi host, but not for the wrapper".to_owned()),
        None => Err("failed to enable SSH access: manual SSH key configuration required".to_owned()),
    }
}

fn completion(told: &Told, result: &str, used: u8, seconds: f64) -> String {
    let method = Some(told.env("ESXI_CLONE_METHOD")).filter(|m| !m.is_empty()).unwrap_or("vib");
    let mut text = String::new();
    let _infallible = writeln!(
        text,
        "vsphere_xcopy_volume_populator_copy_duration_seconds{{owner_uid=\"{}\",result=\"{result}\",storage_vendor=\"{}\",clone_method=\"{method}\",xcopy_used=\"{used}\",storage_protocol=\"fc\"}} {seconds}",
        told.arg("owner-uid"),
        told.arg("storage-vendor-product"),
    );
    text
}

/// Whether a pod is one of these; other populators talk to no array.
pub(super) fn is(pod: &Pod) -> bool {
    let told = |args: &[String]| args.iter().any(|arg| arg.starts_with("--storage-vendor-product="));
    pod.spec.iter().flat_map(|s| &s.containers).any(|c| c.name == "populate" && c.args.as_deref().is_some_and(told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        datacenter::{DEFAULT, DataCenter},
        world::DiskImage,
    };

    fn world() -> World {
        let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1.0));
        for disk in ["[block-datastore] a/a.vmdk", "[local-datastore] a/a.vmdk", "[block-datastore] b/b-000001.vmdk"] {
            world.disks.put(disk, DiskImage::default());
        }
        world
    }

    fn told(vmdk: &str, changes: &[(&str, &str)]) -> Told {
        let pairs = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let mut env = pairs(&[
            ("STORAGE_HOSTNAME", "array-a.lab"),
            ("STORAGE_USERNAME", "admin"),
            ("STORAGE_PASSWORD", "lab-array"),
            ("ONTAP_SVM", "svm-lab"),
        ]);
        env.extend(pairs(changes));
        Told { args: pairs(&[("source-vmdk", vmdk), ("storage-vendor-product", "ontap")]), env }
    }

    #[test]
    fn the_array_copies_what_it_holds_and_nothing_else() {
        let world = world();
        for (vmdk, expected) in
            [("[block-datastore] a/a.vmdk", true), ("[local-datastore] a/a.vmdk", false), ("[block-datastore] b/b-000001.vmdk", false)]
        {
            assert_eq!(plan(&world, &told(vmdk, &[]), "lab-block"), Ok(expected), "{vmdk}");
        }
        let error = plan(&world, &told("[block-datastore] a/a.vmdk", &[]), "lab-file").unwrap_err();
        assert!(error.contains("lab-file"), "{error}");
    }

    #[test]
    fn logins_are_checked() {
        let world = world();
        for (change, words) in [
            (("STORAGE_PASSWORD", "wrong"), "401"),
            (("STORAGE_HOSTNAME", "elsewhere"), "no such host"),
            (("ONTAP_SVM", "other"), "ONTAP_SVM"),
            (("ESXI_CLONE_METHOD", "ssh"), "SSH key configuration"),
        ] {
            let error = plan(&world, &told("[block-datastore] a/a.vmdk", &[change]), "lab-block").unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        for (host, good) in [("host-12", true), ("host-13", true), ("host-404", false)] {
            let mut told = told("[block-datastore] a/a.vmdk", &[]);
            told.args.insert("migration-host".to_owned(), host.to_owned());
            assert_eq!(plan(&world, &told, "lab-block").is_ok(), good, "{host}");
        }
    }
}
