//! Where a clone goes: folder, pool, host, and the datastores of its disks, from what was collected of the source and around it and
//! from what the request says. Pure: `place` collects.

use std::collections::BTreeMap;

use super::{health, lookup, props::Object, wire::MoRef};
use crate::{
    config::scenario::DiskType,
    providers::{CloneRequest, NewDiskKind, ProviderError, ProviderResult},
};

/// The path of a VM's configuration file, `[DATASTORE] FOLDER/FILE`.
pub const VMX: &str = "config.files.vmPathName";

/// A datastore.
#[derive(Debug, Clone)]
pub struct Store {
    /// Which one.
    pub id: MoRef,
    /// Name.
    pub name: String,
    /// Free bytes; none where it does not tell.
    pub free: Option<u64>,
}

/// Where a clone goes.
#[derive(Debug, Clone)]
pub struct Place {
    /// Folder.
    pub folder: MoRef,
    /// Resource pool.
    pub pool: MoRef,
    /// Datastore.
    pub datastore: MoRef,
    /// Host, if one is asked for.
    pub host: Option<MoRef>,
    /// Datacenter; known only where the request is special.
    pub datacenter: Option<MoRef>,
    /// Datastores; known only where the request is special.
    pub stores: Vec<Store>,
}

/// A decision that may still lack its pool.
#[derive(Debug)]
pub struct Draft {
    source: Object,
    doing: String,
    folder: MoRef,
    /// Resource pool; none: any that sees the datastore, which takes another look.
    pub pool: Option<MoRef>,
    /// Datastore.
    pub datastore: MoRef,
    host: Option<MoRef>,
}

/// The source among what was collected, if it is whole.
pub fn source<'o>(id: &MoRef, objects: &'o [Object], wanted: &CloneRequest) -> ProviderResult<&'o Object> {
    let source = objects.iter().find(|o| o.id == *id);
    let source = source.ok_or_else(|| ProviderError::not_found(format!("{}: it does not exist (any more)", doing(id, wanted))))?;
    health::check(source, objects)?;
    Ok(source)
}

/// What errors begin with.
pub fn doing(id: &MoRef, wanted: &CloneRequest) -> String {
    format!("read `{}` ({})", wanted.source, id.value)
}

/// Decides where the clone goes. `objects` are the source, its datastores, host and vApp; `around` is there where the request is special.
pub fn decide(source: &Object, objects: &[Object], around: Option<&Surroundings>, wanted: &CloneRequest) -> ProviderResult<Draft> {
    let doing = doing(&source.id, wanted);
    let missing = |what: &str| missing(&doing, what);
    let datastore = match (&wanted.datastore, around) {
        (Some(id), Some(around)) => store(&around.stores, id)?.id.clone(),
        _ => home(source, objects).ok_or_else(|| missing("datastore"))?,
    };
    let host = match (&wanted.host, around) {
        (Some(name), Some(around)) => Some(around.host(name)?),
        (None, Some(around)) if !wanted.avoided_hosts.is_empty() => Some(around.host_beside(&wanted.avoided_hosts)?),
        _ => None,
    };
    if let Some(host) = host.as_ref().filter(|host| wanted.avoided_hosts.contains(&host.value)) {
        return Err(ProviderError::operation(format!(
            "{doing}: its clone is to be placed on {}, which is one of the hosts that it must not be on",
            host.value
        ))
        .hint("take another esxi_host, or another list of dedicated_migration_hosts"));
    }
    let folder = source
        .reference("parent")
        .or_else(|| objects.iter().find_map(|o| o.reference("parentFolder")))
        .ok_or_else(|| missing("folder that its clone could go to"))?;
    // A template has no pool: that of its host's cluster, else of any that sees the datastore.
    let of_host = || objects.iter().find(|o| o.id.kind.ends_with("ComputeResource")).and_then(|o| o.reference("resourcePool"));
    let asked = match (&wanted.resource_pool, &host, around) {
        (Some(name), host, Some(around)) => Some(around.pool(name, host.as_ref(), &datastore)?),
        // The pool of the host's own cluster: another one would contradict the host.
        (None, Some(host), Some(around)) => around.pool_of(host),
        _ => None,
    };
    let sees = |pool: &MoRef| around.is_none_or(|around| wanted.datastore.is_none() || around.sees(pool, &datastore));
    let pool = asked.or_else(|| source.reference("resourcePool").or_else(of_host).filter(sees));
    Ok(Draft { source: source.clone(), folder, pool, datastore, host, doing })
}

/// The datastore that a VM is at home on: that of its configuration file. The list of its datastores has that of a mounted ISO as
/// well, and in no order.
fn home(source: &Object, objects: &[Object]) -> Option<MoRef> {
    let all = source.references("datastore");
    let name = source.text(VMX).and_then(|path| Some(path.strip_prefix('[')?.split_once("] ")?.0));
    let is_home = |id: &&MoRef| objects.iter().any(|o| o.id == **id && name.is_some() && o.text("name") == name);
    all.iter().find(is_home).or(all.first()).cloned()
}

fn missing(doing: &str, what: &str) -> ProviderError {
    ProviderError::operation(format!("{doing}: it has no {what}"))
}

impl Draft {
    /// The source lacks something.
    pub fn missing(&self, what: &str) -> ProviderError {
        missing(&self.doing, what)
    }

    /// The source and the place, with the pool.
    pub fn place(self, pool: MoRef, around: Option<Surroundings>) -> (Object, Place) {
        let (datacenter, stores) = around.map(|around| (around.datacenter, around.stores)).unwrap_or_default();
        (self.source, Place { folder: self.folder, pool, datastore: self.datastore, host: self.host, datacenter, stores })
    }
}

/// The pool of the first cluster by name that sees a datastore.
pub fn pool_that_sees(compute: &[Object], datastore: &MoRef) -> Option<MoRef> {
    let mut compute: Vec<&Object> = compute.iter().collect();
    compute.sort_by(|a, b| a.text("name").cmp(&b.text("name")));
    compute.into_iter().filter(|o| o.references("datastore").contains(datastore)).find_map(|o| o.reference("resourcePool"))
}

impl Place {
    /// The datastore of a disk: the one it asks for, else that of the clone.
    pub fn store(&self, wanted: Option<&str>) -> ProviderResult<&Store> {
        store(&self.stores, wanted.unwrap_or(&self.datastore.value))
    }

    /// Refuses what cannot fit: disks that take all their blocks at once. Thin ones take theirs later, if ever.
    pub fn check_space(&self, source: &Object, wanted: &CloneRequest) -> ProviderResult<()> {
        let mut needed: BTreeMap<&str, u64> = BTreeMap::new();
        if wanted.provisioning.is_some_and(|p| p != DiskType::Thin) {
            let disks = source.props.get("config.hardware").into_iter().flat_map(|h| h.children_named("device"));
            let bytes = disks.filter_map(|d| d.get("capacityInKB")?.trim().parse::<u64>().ok()).map(|kib| kib * 1024).sum::<u64>();
            *needed.entry(&self.datastore.value).or_default() += bytes;
        }
        for disk in &wanted.disks {
            if let NewDiskKind::Empty { bytes, provisioning: DiskType::ThickLazy | DiskType::ThickEager, .. } = &disk.kind {
                *needed.entry(disk.datastore.as_deref().unwrap_or(&self.datastore.value)).or_default() += bytes;
            }
        }
        for (id, bytes) in needed {
            let store = self.store(Some(id))?;
            if let Some(free) = store.free.filter(|free| *free < bytes) {
                let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
                return Err(ProviderError::operation(format!(
                    "clone `{}`: its thick disks need {:.1} GiB of datastore `{}` ({id}), which has {:.1} GiB free",
                    wanted.source,
                    gib(bytes),
                    store.name,
                    gib(free)
                )));
            }
        }
        Ok(())
    }
}

/// A datastore by its id.
pub fn store<'s>(stores: &'s [Store], id: &str) -> ProviderResult<&'s Store> {
    stores.iter().find(|store| store.id.value == id).ok_or_else(|| {
        let known: Vec<String> = stores.iter().map(|store| format!("{} (`{}`)", store.id.value, store.name)).collect();
        ProviderError::not_found(format!("no datastore has the id `{id}`; there are {}", known.join(", ")))
    })
}

/// What a special request refers to.
#[derive(Debug)]
pub struct Surroundings {
    stores: Vec<Store>,
    datacenter: Option<MoRef>,
    objects: Vec<Object>,
}

/// The datastores among these objects that can be reached, each once.
pub fn stores(objects: &[Object]) -> Vec<Store> {
    let mut stores: Vec<Store> = objects
        .iter()
        .filter(|o| o.id.kind == "Datastore" && o.text("summary.accessible") != Some("false"))
        .map(|o| Store {
            id: o.id.clone(),
            name: o.text("name").unwrap_or_default().to_owned(),
            free: o.text("summary.freeSpace").and_then(|text| text.trim().parse().ok()),
        })
        .collect();
    stores.sort_by(|a, b| a.id.cmp(&b.id));
    stores.dedup_by(|a, b| a.id == b.id);
    stores
}

impl Surroundings {
    /// From what was collected.
    pub fn of(objects: Vec<Object>) -> Self {
        let datacenter = objects.iter().find(|o| o.id.kind == "Datacenter").map(|o| o.id.clone());
        Self { stores: stores(&objects), datacenter, objects }
    }

    fn named(&self, kind: &str, what: &str, name: &str) -> ProviderResult<MoRef> {
        let all = || self.objects.iter().filter(|o| o.id.kind == kind);
        all().find(|o| o.text("name") == Some(name)).map(|o| o.id.clone()).ok_or_else(|| {
            let mut known: Vec<&str> = all().filter_map(|o| o.text("name")).collect();
            known.sort_unstable();
            known.dedup();
            ProviderError::not_found(format!(
                "no {what} is called `{name}`{}; there are {}",
                lookup::hint(name, known.iter().copied()),
                known.join(", ")
            ))
        })
    }

    fn host(&self, name: &str) -> ProviderResult<MoRef> {
        self.named("HostSystem", "host", name)
    }

    /// The first host by name that is none of these.
    fn host_beside(&self, avoided: &[String]) -> ProviderResult<MoRef> {
        let mut hosts: Vec<&Object> = self.objects.iter().filter(|o| o.id.kind == "HostSystem").collect();
        hosts.sort_by(|a, b| a.text("name").cmp(&b.text("name")));
        let free = hosts.iter().find(|host| !avoided.contains(&host.id.value));
        free.map(|host| host.id.clone()).ok_or_else(|| {
            ProviderError::not_found(format!("every ESXi host is one of dedicated_migration_hosts ({})", avoided.join(", ")))
                .hint("leave one out")
        })
    }

    /// A pool by its name, which need be unique below its parent only: every cluster's first one is called `Resources`. Of several
    /// the one in the cluster of the host is meant, else one in a cluster that sees the datastore, else the first.
    fn pool(&self, name: &str, host: Option<&MoRef>, datastore: &MoRef) -> ProviderResult<MoRef> {
        let first = self.named("ResourcePool", "resource pool", name)?;
        let all = || self.objects.iter().filter(|o| o.id.kind == "ResourcePool" && o.text("name") == Some(name));
        let cluster = host.and_then(|host| self.objects.iter().find(|o| o.id == *host)?.reference("parent"));
        let of_host = || all().find(|pool| cluster.is_some() && pool.reference("owner") == cluster);
        let seeing = || all().find(|pool| self.sees(&pool.id, datastore));
        Ok(of_host().or_else(seeing).map_or(first, |pool| pool.id.clone()))
    }

    fn pool_of(&self, host: &MoRef) -> Option<MoRef> {
        let parent = self.objects.iter().find(|o| o.id == *host)?.reference("parent")?;
        self.objects.iter().find(|o| o.id == parent)?.reference("resourcePool")
    }

    /// Whether the cluster of a pool sees a datastore. A pool that is not known is left to the server's judgement.
    fn sees(&self, pool: &MoRef, datastore: &MoRef) -> bool {
        let Some(owner) = self.objects.iter().find(|o| o.id == *pool).and_then(|o| o.reference("owner")) else { return true };
        self.objects.iter().find(|o| o.id == owner).is_none_or(|cluster| cluster.references("datastore").contains(datastore))
    }
}

#[cfg(test)]
mod tests {
    use mtv_api::xml::Node;

    use super::*;
    use crate::{config::scenario::DiskController, config::scenario::DiskMode, providers::NewDisk};

    fn reference(kind: &str, id: &str, element: &str) -> Node {
        MoRef::new(kind, id).node(element)
    }

    /// An object with a name as vCenter sends it, and references by property.
    fn object(kind: &str, id: &str, name: &str, refs: &[(&str, &str, &[&str])]) -> Object {
        let mut node = Node::new("objects").with(reference(kind, id, "obj"));
        node = node.with(Node::new("propSet").field("name", "name").with(Node::text("val", name)));
        for (property, kind, ids) in refs {
            let value = match ids {
                [id] if *property != "datastore" => reference(kind, id, "val"),
                ids => Node::new("val").all(ids.iter().map(|id| reference(kind, id, "ManagedObjectReference"))),
            };
            node = node.with(Node::new("propSet").field("name", *property).with(value));
        }
        Object::read(&node).unwrap()
    }

    /// A VM in a folder and a pool, with its files on `d1`, and with whatever else it has mounted from `d2`.
    fn vm(vmx: &str, pool: Option<&str>) -> Object {
        let mut vm = object("VirtualMachine", "vm-1", "web", &[("datastore", "Datastore", &["d2", "d1"]), ("parent", "Folder", &["f1"])]);
        vm.props.insert("config.hardware".into(), Node::new("val"));
        if !vmx.is_empty() {
            vm.props.insert(VMX.into(), Node::text("val", vmx));
        }
        vm.props.extend(pool.map(|pool| ("resourcePool".to_owned(), reference("ResourcePool", pool, "val"))));
        vm
    }

    fn datastores() -> Vec<Object> {
        vec![object("Datastore", "d1", "fast (50%25)", &[]), object("Datastore", "d2", "iso", &[])]
    }

    /// Two clusters with a host each, whose pools have the same names; the second one alone sees `d3`.
    fn around() -> Surroundings {
        let mut all = datastores();
        all.push(object("Datastore", "d3", "a%2fb", &[]));
        for (n, stores) in [("1", &["d1", "d2"][..]), ("2", &["d2", "d3"][..])] {
            let cluster = format!("c{n}");
            all.push(object(
                "ClusterComputeResource",
                &cluster,
                &format!("cluster {n}"),
                &[("resourcePool", "ResourcePool", &[&format!("root{n}")]), ("datastore", "Datastore", stores)],
            ));
            all.push(object("HostSystem", &format!("h{n}"), &format!("esxi-{n}"), &[("parent", "ClusterComputeResource", &[&cluster])]));
            for (id, name) in [(format!("root{n}"), "Resources"), (format!("own{n}"), if n == "1" { "te%2fst" } else { "other" })] {
                all.push(object("ResourcePool", &id, name, &[("owner", "ClusterComputeResource", &[&cluster])]));
            }
        }
        all.push(object("Datacenter", "dc", "DC", &[]));
        Surroundings::of(all)
    }

    fn told(result: ProviderResult<Draft>) -> String {
        match result {
            Ok(draft) => {
                let of = |id: Option<&MoRef>| id.map_or("-", |id| id.value.as_str()).to_owned();
                format!("{} {} {} {}", draft.folder.value, draft.datastore.value, of(draft.host.as_ref()), of(draft.pool.as_ref()))
            }
            Err(error) => error.to_string(),
        }
    }

    /// Folder, datastore, host and pool of a clone.
    #[test]
    fn the_place_follows_from_source_and_request() {
        let ask = |edit: fn(&mut CloneRequest)| {
            let mut wanted = CloneRequest { source: "web".into(), ..CloneRequest::default() };
            edit(&mut wanted);
            wanted
        };
        let cases: &[(&str, CloneRequest, &str)] = &[
            ("as the source", ask(|_| ()), "f1 d1 - p1"),
            ("another datastore, which its pool does not see", ask(|w| w.datastore = Some("d3".into())), "f1 d3 - p1"),
            (
                "no such datastore",
                ask(|w| w.datastore = Some("d9".into())),
                "no datastore has the id `d9`; there are d1 (`fast (50%)`), d2 (`iso`), d3 (`a/b`)",
            ),
            ("a host brings the pool of its cluster", ask(|w| w.host = Some("esxi-2".into())), "f1 d1 h2 root2"),
            (
                "no such host",
                ask(|w| w.host = Some("esxi-3".into())),
                "no host is called `esxi-3`; did you mean `esxi-1`, `esxi-2`?; there are esxi-1, esxi-2",
            ),
            (
                "a host that must not be",
                ask(|w| {
                    w.host = Some("esxi-1".into());
                    w.avoided_hosts = vec!["h1".into()];
                }),
                "is one of the hosts that it must not be on",
            ),
            ("the first host that may be", ask(|w| w.avoided_hosts = vec!["h1".into()]), "f1 d1 h2 root2"),
            (
                "no host may be",
                ask(|w| w.avoided_hosts = vec!["h1".into(), "h2".into()]),
                "every ESXi host is one of dedicated_migration_hosts",
            ),
            ("a pool by a name with an escape", ask(|w| w.resource_pool = Some("te/st".into())), "f1 d1 - own1"),
            (
                "no such pool",
                ask(|w| w.resource_pool = Some("nothing".into())),
                "no resource pool is called `nothing`; there are Resources, other, te/st",
            ),
            (
                "of pools of one name that of the host",
                ask(|w| {
                    w.host = Some("esxi-2".into());
                    w.resource_pool = Some("Resources".into());
                }),
                "f1 d1 h2 root2",
            ),
            (
                "of pools of one name one that sees the datastore",
                ask(|w| {
                    w.datastore = Some("d3".into());
                    w.resource_pool = Some("Resources".into());
                }),
                "f1 d3 - root2",
            ),
        ];
        for (case, wanted, expected) in cases {
            let mut objects = datastores();
            objects.push(vm("[fast (50%)] web/web.vmx", Some("p1")));
            let source = source(&MoRef::vm("vm-1"), &objects, wanted).unwrap();
            let around = wanted.is_special().then(around);
            let got = told(decide(source, &objects, around.as_ref(), wanted));
            assert!(if expected.starts_with("f1") { got == *expected } else { got.contains(expected) }, "{case}: {got}");
        }
    }

    #[test]
    fn a_vm_is_at_home_where_its_configuration_is_and_not_where_an_iso_is() {
        for (vmx, expected) in [("[fast (50%)] web/web.vmx", "d1"), ("[iso] web/web.vmx", "d2"), ("[gone] web/web.vmx", "d2"), ("", "d2")] {
            let mut objects = datastores();
            objects.push(vm(vmx, None));
            assert_eq!(home(&objects[2], &objects).unwrap().value, expected, "{vmx}");
        }
    }

    #[test]
    fn a_template_gets_the_pool_of_its_host_s_cluster_unless_that_does_not_see_the_datastore() {
        let cluster = || object("ClusterComputeResource", "c1", "cluster 1", &[("resourcePool", "ResourcePool", &["root1"])]);
        for (with_host, datastore, expected) in [
            (true, None, "f1 d1 - root1"),
            (false, None, "f1 d1 - -"),
            (true, Some("d3"), "f1 d3 - -"),
            (true, Some("d2"), "f1 d2 - root1"),
        ] {
            let wanted = CloneRequest { datastore: datastore.map(str::to_owned), ..CloneRequest::default() };
            let mut objects = datastores();
            objects.push(vm("[fast (50%)] t/t.vmtx", None));
            objects.extend(with_host.then(cluster));
            let around = wanted.is_special().then(around);
            assert_eq!(told(decide(&objects[2], &objects, around.as_ref(), &wanted)), expected, "{with_host} {datastore:?}");
        }
        let of = |id: &str| {
            pool_that_sees(
                &around().objects.into_iter().filter(|o| o.id.kind.ends_with("ComputeResource")).collect::<Vec<_>>(),
                &MoRef::new("Datastore", id),
            )
        };
        assert_eq!(of("d3").unwrap().value, "root2");
        assert_eq!(of("d2").unwrap().value, "root1", "the first by name");
        assert!(of("d9").is_none());
    }

    #[test]
    fn a_vm_in_a_vapp_has_the_folder_of_the_vapp_and_none_is_an_error() {
        let mut inside = vm("", Some("p1"));
        inside.props.remove("parent");
        let vapp = object("VirtualApp", "v1", "app", &[("parentFolder", "Folder", &["f7"])]);
        let wanted = CloneRequest { source: "web".into(), ..CloneRequest::default() };
        let of = |objects: &[Object]| told(decide(&objects[2], objects, None, &wanted));
        let mut objects = datastores();
        objects.push(inside);
        assert_eq!(of(&objects), "read `web` (vm-1): it has no folder that its clone could go to");
        objects.push(vapp);
        assert_eq!(of(&objects), "f7 d2 - p1");
    }

    #[test]
    fn thick_disks_must_fit_and_thin_ones_need_not() {
        let store = |id: &str, free| Store { id: MoRef::new("Datastore", id), name: format!("store {id}"), free };
        let place = Place {
            folder: MoRef::new("Folder", "f1"),
            pool: MoRef::new("ResourcePool", "p1"),
            datastore: MoRef::new("Datastore", "d1"),
            host: None,
            datacenter: None,
            stores: vec![store("d1", Some(3 << 30)), store("d2", None)],
        };
        let disk = |provisioning, datastore: Option<&str>| NewDisk {
            kind: NewDiskKind::Empty { bytes: 2 << 30, provisioning, mode: DiskMode::Persistent, controller: DiskController::Scsi },
            datastore: datastore.map(str::to_owned),
            folder: None,
        };
        let mut source = vm("", None);
        let hardware = Node::new("val").with(Node::new("device").field("capacityInKB", 2 << 20));
        source.props.insert("config.hardware".into(), hardware);
        for (disks, provisioning, fits) in [
            (vec![disk(DiskType::ThickLazy, None)], None, true),
            (vec![disk(DiskType::ThickLazy, None), disk(DiskType::ThickEager, None)], None, false),
            (vec![disk(DiskType::Thin, None), disk(DiskType::Thin, None)], None, true),
            (vec![disk(DiskType::ThickLazy, Some("d2")), disk(DiskType::ThickLazy, Some("d2"))], None, true),
            (vec![disk(DiskType::ThickLazy, None)], Some(DiskType::ThickEager), false),
            (Vec::new(), Some(DiskType::ThickEager), true),
        ] {
            let wanted = CloneRequest { provisioning, disks, ..CloneRequest::default() };
            assert_eq!(place.check_space(&source, &wanted).is_ok(), fits, "{wanted:?}");
        }
    }
}
