//! vSphere: a vCenter or an ESXi host, whose disks virt-v2v or CDI copies and virt-v2v converts.

mod keys;
mod session;

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use super::{
    Collection, Disk, Import, Kind, Login, Machine, Migrating, Nic, Query, Refused, Reply, Session, Site, Source, Traits, Volumes, Wanted,
};
use crate::{
    forklift::{
        cluster::Look,
        reference::Reference,
        vcenter::{Access, Error, Vcenter},
    },
    inventory::News,
    inventory::vsphere::{
        Collector,
        model::{self, Model},
        tree,
        vm::{self, GuestNetwork, Vm},
    },
};

/// Setting that says whether the URL leads to a vCenter or to an ESXi host.
const ENDPOINT: &str = "sdkEndpoint";

/// The kind.
pub struct Vsphere;

/// How a Provider reaches its vCenter.
pub fn access(login: &Login) -> Access {
    Access {
        url: login.url.clone(),
        user: login.text("user").to_owned(),
        password: login.text("password").to_owned(),
        ca: if login.insecure() { None } else { login.ca().map(str::to_owned) },
    }
}

impl Kind for Vsphere {
    fn name(&self) -> &'static str {
        "vsphere"
    }

    fn traits(&self) -> Traits {
        Traits { warm: true, converts: true, v2v_copies: true, vddk: true, ..Traits::PLAIN }
    }

    fn missing(&self, login: &Login) -> Vec<String> {
        login.lacks_with_ca(&["user", "password"])
    }

    fn test<'a>(&'a self, _site: &'a Site, login: &'a Login) -> BoxFuture<'a, Result<String, Refused>> {
        async move {
            let vcenter = Vcenter::connect(&access(login)).await.map_err(|error| match error {
                Error::Fault { .. } => Refused::other(format!("Connection test, failed: {error}")),
                other => Refused::other(other.to_string()),
            })?;
            vcenter.logout().await;
            let (wanted, is_vcenter) =
                (login.settings.get(ENDPOINT).map(String::as_str), vcenter.about.get("apiType") == Some("VirtualCenter"));
            match wanted {
                Some("vcenter") if !is_vcenter => Err(Refused::other("sdkEndpoint says vcenter, but an ESXi host answers")),
                Some("esxi") if is_vcenter => Err(Refused::other("sdkEndpoint says esxi, but a vCenter answers")),
                _ => Ok(vcenter.fingerprint),
            }
        }
        .boxed()
    }

    fn open(&self, _site: &Site, provider: &str, login: Login, changed: broadcast::Sender<News>) -> Arc<dyn Source> {
        let collector = Collector::start(provider.to_owned(), access(&login), changed);
        Arc::new(Connected { login, collector })
    }

    fn beside<'a>(&'a self, site: &'a Site, provider: &'a Value) -> BoxFuture<'a, anyhow::Result<()>> {
        keys::ensure(&site.cluster, provider).boxed()
    }
}

/// A Provider of the kind.
pub struct Connected {
    login: Login,
    /// What is known of the vCenter.
    pub collector: Arc<Collector>,
}

impl Source for Connected {
    fn login(&self) -> &Login {
        &self.login
    }

    fn has_parity(&self) -> bool {
        self.collector.has_parity()
    }

    fn reads_all_within(&self, patience: Duration) -> BoxFuture<'_, bool> {
        self.collector.reads_all_within(patience).boxed()
    }

    fn counters(&self) -> BoxFuture<'_, Value> {
        ready(self.collector.model().counters()).boxed()
    }

    fn answer<'a>(&'a self, provider: &'a str, rest: &'a [&'a str], query: &'a Query) -> BoxFuture<'a, Reply> {
        ready(self.reply(provider, rest, query)).boxed()
    }

    fn find<'a>(&'a self, what: Collection, reference: &'a Reference) -> BoxFuture<'a, anyhow::Result<Vec<Reference>>> {
        let model = self.collector.model();
        let found = match what {
            Collection::Vms => {
                model.find_vm(&reference.id, &reference.name).into_iter().map(|vm| (vm.id.clone(), vm.name.clone())).collect()
            }
            Collection::Networks => model.find(model::collection("networks").unwrap_or_default(), &reference.id, &reference.name),
            Collection::Storage => model.find(model::collection("datastores").unwrap_or_default(), &reference.id, &reference.name),
        };
        drop(model);
        ready(Ok(found.into_iter().map(|(id, name)| Reference { id, name, ..reference.clone() }).collect())).boxed()
    }

    fn machine<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Machine>>> {
        let found = self.with_vm(id, |_, vm| machine(vm));
        ready(Ok(found)).boxed()
    }

    fn problems<'a>(&'a self, id: &'a str, wanted: Wanted) -> BoxFuture<'a, anyhow::Result<Vec<&'static str>>> {
        let found = self.with_vm(id, |model, vm| problems(model, vm, wanted));
        ready(Ok(found.unwrap_or_default())).boxed()
    }

    fn session(&self) -> BoxFuture<'_, anyhow::Result<Box<dyn Session>>> {
        async move {
            let vcenter = Vcenter::connect(&self.collector.access).await?;
            Ok(Box::new(session::LoggedIn(vcenter)) as Box<dyn Session>)
        }
        .boxed()
    }

    fn volumes<'a>(&'a self, migrating: &'a Migrating<'a>) -> BoxFuture<'a, anyhow::Result<Volumes>> {
        let imports = migrating.machine.sorted_disks().map(|disk| import(migrating, disk)).collect();
        ready(Ok(Volumes::Imports(imports))).boxed()
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        let access = &self.collector.access;
        let mut data = vec![("accessKeyId", access.user.clone()), ("secretKey", access.password.clone())];
        data.extend(access.ca.clone().map(|ca| ("cacert", ca)));
        data
    }

    fn v2v_settings(&self, migrating: &Migrating<'_>) -> anyhow::Result<Value> {
        let access = &self.collector.access;
        let authority = access.url.split("://").last().and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let user: String = access.user.replace('\\', "%5c").replace('@', "%40");
        let verify = if access.ca.is_none() { "?no_verify=1" } else { "" };
        let esxi = self.login.settings.get(ENDPOINT).is_some_and(|endpoint| endpoint == "esxi");
        let work = migrating.work;
        let fingerprint = work.source.as_ref().map(|s| s.text("/status/fingerprint")).unwrap_or_default();
        let settings = self.with_vm(&migrating.vm.id, |model, vm| {
            let mut settings = json!({
                "V2V_HOSTNAME": vm.host_name,
                "V2V_fingerprint": fingerprint,
                "V2V_libvirtURL": match esxi {
                    true => format!("esx://{user}@{}{verify}", authority.split(':').next().unwrap_or_default()),
                    false => format!("vpx://{user}@{authority}{}{verify}", model.host_path(vm)),
                },
                "V2V_source": "vSphere",
            });
            if work.spec.preserve_static_ips.unwrap_or(true) {
                settings["V2V_preserveStaticIPs"] = json!("true");
                let addresses = static_ips(vm);
                if !addresses.is_empty() {
                    settings["V2V_staticIPs"] = json!(addresses);
                }
            }
            settings
        });
        settings.ok_or_else(|| anyhow::anyhow!("vm {} is not in the source's inventory", migrating.vm.id))
    }
}

/// Addresses that the converted guest is to keep: of Windows those that were configured by hand, of Linux, whose tools do not
/// tell, all. IPv4 first; each with the default gateway of its adapter.
fn static_ips(vm: &Vm) -> String {
    let windows = vm.is_windows();
    let link_local = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let known = vm.guest_networks.iter().filter_map(|g| Some((g.ip.parse::<IpAddr>().ok()?, g)));
    let mut kept: Vec<_> = known.filter(|(ip, g)| !link_local(ip) && (!windows || g.origin == "manual")).collect();
    kept.sort_by_key(|(ip, _)| ip.is_ipv6());
    let entry = |(ip, g): &(IpAddr, &GuestNetwork)| {
        let default = if ip.is_ipv4() { "0.0.0.0" } else { "::" };
        let route = vm.guest_ip_stacks.iter().find(|s| s.device == g.device && s.network == default && !s.gateway.is_empty());
        let gateway = route.map(|route| route.gateway.as_str()).unwrap_or_default();
        let text = format!("{}:ip:{},{gateway},{},{}", g.mac, g.ip, g.prefix, g.dns.join(","));
        text.strip_suffix(',').map_or(text.clone(), str::to_owned)
    };
    kept.iter().map(entry).collect::<Vec<_>>().join("_")
}

impl Connected {
    fn with_vm<T>(&self, id: &str, look: impl FnOnce(&Model, &Vm) -> T) -> Option<T> {
        let model = self.collector.model();
        let vm = model.get(id)?.vm.as_ref()?;
        Some(look(&model, vm))
    }

    fn reply(&self, provider: &str, rest: &[&str], query: &Query) -> Reply {
        let name = rest[0];
        if let ["tree", which] = rest {
            if !self.has_parity() {
                return Reply::Status(StatusCode::PARTIAL_CONTENT);
            }
            return tree(&self.collector.model(), which, provider, query.detail.unwrap_or(0)).map_or(Reply::NoSuchPath, Reply::Json);
        }
        let Some(kinds) = model::collection(name) else { return Reply::NoSuchPath };
        if !self.has_parity() {
            return Reply::Status(StatusCode::PARTIAL_CONTENT);
        }
        let model = self.collector.model();
        let shown =
            |object: &&model::Object| object.vm.as_ref().is_none_or(|vm| !vm.is_template && !vm.uuid.is_empty() && !vm.host.is_empty());
        match rest {
            [_] if name != "workloads" => {
                // This release lists VMs in full whatever `detail` says.
                let detail = if name == "vms" { u8::MAX } else { query.detail.unwrap_or(0) };
                let list = model.of(kinds).filter(shown).filter(|object| {
                    let properties = &object.properties;
                    query.name.is_empty() || model::named(properties.text("name"), &model.path(&properties.object.id), &query.name)
                });
                Reply::Json(query.page(list.map(|object| model.json(object, provider, name, detail)).collect()))
            }
            [_, id] => match model.of(kinds).find(|object| object.properties.object.id == *id) {
                Some(object) if name == "workloads" => Reply::Json(workload(&model, object, provider)),
                Some(object) => Reply::Json(model.json(object, provider, name, u8::MAX)),
                None => Reply::Status(StatusCode::NOT_FOUND),
            },
            _ => Reply::NoSuchPath,
        }
    }
}

/// A backing file's name without the number that a snapshot gives its delta: `a-000001.vmdk` is `a.vmdk`.
pub fn base_file(file: &str) -> String {
    let Some(stem) = file.strip_suffix(".vmdk") else { return file.to_owned() };
    match stem.rsplit_once('-') {
        Some((base, number)) if number.len() == 6 && number.bytes().all(|b| b.is_ascii_digit()) => format!("{base}.vmdk"),
        _ => file.to_owned(),
    }
}

fn machine(vm: &Vm) -> Machine {
    let place = |disk: &vm::Disk| vm.disks.iter().position(|d| std::ptr::eq(d, disk));
    Machine {
        id: vm.id.clone(),
        name: vm.name.clone(),
        uuid: vm.uuid.clone(),
        host: vm.host.clone(),
        windows: vm.is_windows(),
        efi: vm.firmware == "efi",
        secure_boot: vm.secure_boot,
        tpm: vm.tpm_enabled,
        sockets: (vm.cpu_count / vm.cores_per_socket.max(1)).max(1),
        cores: vm.cores_per_socket,
        memory_mib: vm.memory_mb,
        networks: vm.networks.iter().map(|n| n.id.clone()).collect(),
        nics: vm
            .nics
            .iter()
            .map(|nic| Nic { network: nic.network.id.clone(), mac: nic.mac.clone(), connected: nic.start_connected })
            .collect(),
        disks: vm
            .disks
            .iter()
            .map(|disk| Disk {
                task: base_file(&disk.file),
                key: disk.key,
                file: disk.file.clone(),
                storage: disk.datastore.id.clone(),
                capacity: disk.capacity,
                shared: disk.shared,
                rdm: disk.rdm,
                serial: disk.serial.clone(),
                claim: None,
            })
            .collect(),
        order: vm.sorted_disks().into_iter().filter_map(place).collect(),
        ..Machine::default()
    }
}

fn problems(model: &Model, vm: &Vm, wanted: Wanted) -> Vec<&'static str> {
    let maintenance = |host: &model::Object| host.properties.get("runtime").and_then(|r| r.get("inMaintenanceMode")) == Some("true");
    let known = |mac: &str| vm.nics.iter().any(|nic| nic.mac == mac);
    let unknown_addresses = (!vm.nics.is_empty() && vm.guest_networks.is_empty()) || !vm.guest_networks.iter().all(|g| known(&g.mac));
    let untold = matches!(vm.tools_status.as_str(), "" | "null" | "<nil>" | "toolsNotInstalled");
    let found = [
        ("HostNotReady", model.get(&vm.host).is_some_and(maintenance)),
        ("VMMissingGuestIPs", wanted.static_addresses && unknown_addresses),
        ("GuestToolsIssue", vm.power_state == "poweredOn" && (untold || vm.tools_running_status == "guestToolsNotRunning")),
        ("RDMDiskWarning", !wanted.warm && vm.disks.iter().any(|disk| disk.rdm)),
        ("IndependentDiskWarning", vm.disks.iter().any(|disk| disk.mode.starts_with("independent_"))),
        ("VMMissingChangedBlockTracking", wanted.warm && !vm.change_tracking_enabled),
        ("VMHasSnapshots", wanted.warm && !vm.snapshot.id.is_empty()),
        ("VMConsolidationNeeded", wanted.warm && vm.consolidation_needed),
    ];
    found.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}

/// An empty volume where virt-v2v copies, an import by VMware's disk library where CDI does.
fn import(migrating: &Migrating<'_>, disk: &Disk) -> Import {
    let work = migrating.work;
    if work.v2v_copies() {
        return Import::blank();
    }
    let provider = work.source.as_ref();
    let source = json!({ "vddk": {
        "backingFile": disk.task, "url": provider.map(|p| p.text("/spec/url")), "uuid": migrating.machine.uuid,
        "secretRef": migrating.secret, "thumbprint": provider.map(|p| p.text("/status/fingerprint")), "initImageURL": work.vddk_image(),
    } });
    Import { source, annotations: Map::new() }
}

fn without_path(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove("path");
    }
    object
}

/// A VM with its host, cluster and so on instead of their ids.
fn workload(model: &Model, object: &model::Object, uid: &str) -> Value {
    let id = &object.properties.object.id;
    let mut out = without_path(model.json(object, uid, "workloads", u8::MAX));
    let host_id = object.vm.as_ref().map(|vm| vm.host.clone()).unwrap_or_default();
    if let Some(host) = model.get(&host_id) {
        let mut host_json = without_path(model.json(host, uid, "hosts", u8::MAX));
        // Made of what is read beside the host, which is not done here.
        host_json["networkAdapters"] = json!([]);
        let cluster_id = host.properties.text("parent").to_owned();
        if let Some(cluster) = model.get(&cluster_id) {
            let mut cluster = without_path(model.json(cluster, uid, "clusters", u8::MAX));
            cluster["datacenter"] = Value::Null;
            host_json["cluster"] = cluster;
        }
        out["host"] = host_json;
    }
    out["selfLink"] = json!(format!("providers/vsphere/{uid}/workloads/{id}"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_number_is_cut() {
        assert_eq!(base_file("[ds] a/a-000012.vmdk"), "[ds] a/a.vmdk");
        assert_eq!(base_file("[ds] a/web-1.vmdk"), "[ds] a/web-1.vmdk");
        assert_eq!(base_file("disk"), "disk");
    }
}
