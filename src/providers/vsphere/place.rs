//! Where a clone goes: folder, pool, host, and the datastores of its disks, from what the source and the request say.

use std::collections::BTreeMap;

use super::{
    collector::retrieve,
    health, lookup,
    props::{Object, again, along, filter, named, properties, start},
    session::Session,
    wire::MoRef,
};
use crate::{
    config::scenario::DiskType,
    providers::{CloneRequest, NewDiskKind, ProviderError, ProviderResult},
};

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

/// Reads the source with all that stands around it, and decides where the clone goes.
pub async fn locate(session: &Session, id: &MoRef, wanted: &CloneRequest) -> ProviderResult<(Object, Place)> {
    let name = &wanted.source;
    let doing = format!("read `{name}` ({})", id.value);
    let objects = retrieve(session, |_| {
        let compute = along("HostSystem", "parent", []);
        filter(
            "specSet",
            [
                properties(
                    "VirtualMachine",
                    &["name", "config.hardware", "datastore", "resourcePool", "parent", "runtime.connectionState"],
                ),
                properties("Datastore", &["name", "summary.accessible"]),
                properties("ComputeResource", &["resourcePool"]),
                properties("VirtualApp", &["parentFolder"]),
            ],
            [start(
                id,
                false,
                [
                    along("VirtualMachine", "datastore", []),
                    along("VirtualMachine", "runtime.host", [compute]),
                    along("VirtualMachine", "parentVApp", []),
                ],
            )],
        )
    })
    .await
    .map_err(|error| error.explained(&doing))?;
    let source =
        objects.iter().find(|o| o.id == *id).ok_or_else(|| ProviderError::not_found(format!("{doing}: it does not exist (any more)")))?;
    health::check(source, &objects)?;
    let around = if wanted.is_special() { Some(surroundings(session, id).await?) } else { None };
    let missing = |what: &str| ProviderError::operation(format!("{doing}: it has no {what}"));
    let own = || source.references("datastore").into_iter().next().ok_or_else(|| missing("datastore"));
    let datastore = match (&wanted.datastore, &around) {
        (Some(id), Some(around)) => store(&around.stores, id)?.id.clone(),
        _ => own()?,
    };
    let host = match (&wanted.host, &around) {
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
    let asked = match (&wanted.resource_pool, &host, &around) {
        (Some(name), _, Some(around)) => Some(around.pool(name)?),
        // The pool of the host's own cluster: another one would contradict the host.
        (None, Some(host), Some(around)) => around.pool_of(host),
        _ => None,
    };
    let sees = |pool: &MoRef| around.as_ref().is_none_or(|around| wanted.datastore.is_none() || around.sees(pool, &datastore));
    let pool = match asked.or_else(|| source.reference("resourcePool").or_else(of_host).filter(sees)) {
        Some(pool) => pool,
        None => pool_that_sees(session, &datastore).await?.ok_or_else(|| missing("resource pool, and no cluster sees its datastore"))?,
    };
    let (datacenter, stores) = around.map(|around| (around.datacenter, around.stores)).unwrap_or_default();
    Ok((source.clone(), Place { folder, pool, datastore, host, datacenter, stores }))
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
struct Surroundings {
    stores: Vec<Store>,
    datacenter: Option<MoRef>,
    objects: Vec<Object>,
}

/// All datastores, hosts and pools, and the datacenter of a VM: one collection.
async fn surroundings(session: &Session, vm: &MoRef) -> ProviderResult<Surroundings> {
    let objects = retrieve(session, |live| {
        let pools = || named("pools", "ResourcePool", "resourcePool", [again("pools")]);
        let up = named("up", "ManagedEntity", "parent", [again("up")]);
        filter(
            "specSet",
            [
                properties("Datastore", &["name", "summary.accessible", "summary.freeSpace"]),
                properties("HostSystem", &["name", "parent"]),
                properties("ComputeResource", &["name", "resourcePool", "datastore"]),
                properties("ResourcePool", &["name", "owner"]),
                properties("Datacenter", &["name"]),
            ],
            [
                start(
                    &live.view,
                    true,
                    [along(
                        "ContainerView",
                        "view",
                        [
                            along("ComputeResource", "datastore", []),
                            along("ComputeResource", "host", []),
                            along("ComputeResource", "resourcePool", [pools()]),
                        ],
                    )],
                ),
                start(vm, true, [up]),
            ],
        )
    })
    .await
    .map_err(|error| error.explained("list datastores, hosts and resource pools"))?;
    Ok(Surroundings {
        stores: stores(&objects),
        datacenter: objects.iter().find(|o| o.id.kind == "Datacenter").map(|o| o.id.clone()),
        objects,
    })
}

fn stores(objects: &[Object]) -> Vec<Store> {
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

/// All datastores that can be reached.
pub async fn all_stores(session: &Session) -> ProviderResult<Vec<Store>> {
    let objects = retrieve(session, |live| {
        let clusters = along("ContainerView", "view", [along("ComputeResource", "datastore", [])]);
        filter(
            "specSet",
            [properties("Datastore", &["name", "summary.accessible", "summary.freeSpace"])],
            [start(&live.view, true, [clusters])],
        )
    })
    .await
    .map_err(|error| error.explained("list datastores"))?;
    Ok(stores(&objects))
}

impl Surroundings {
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

    fn pool(&self, name: &str) -> ProviderResult<MoRef> {
        self.named("ResourcePool", "resource pool", name)
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

async fn pool_that_sees(session: &Session, datastore: &MoRef) -> ProviderResult<Option<MoRef>> {
    let mut objects = retrieve(session, |live| {
        filter(
            "specSet",
            [properties("ComputeResource", &["name", "resourcePool", "datastore"])],
            [start(&live.view, true, [along("ContainerView", "view", [])])],
        )
    })
    .await
    .map_err(|error| error.explained("list compute resources"))?;
    objects.sort_by(|a, b| a.text("name").cmp(&b.text("name")));
    Ok(objects.iter().filter(|o| o.references("datastore").contains(datastore)).find_map(|o| o.reference("resourcePool")))
}
