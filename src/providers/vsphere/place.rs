//! Collects what decides where a clone goes. The decision itself is in `placement`.

use super::{
    collector::retrieve,
    placement::{self, Place, Store, Surroundings},
    props::{Object, again, along, filter, named, properties, start},
    session::Session,
    wire::MoRef,
};
use crate::providers::{CloneRequest, ProviderResult};

/// Reads the source with all that stands around it, and decides where the clone goes.
pub async fn locate(session: &Session, id: &MoRef, wanted: &CloneRequest) -> ProviderResult<(Object, Place)> {
    let objects = retrieve(session, |_| {
        let compute = along("HostSystem", "parent", []);
        filter(
            "specSet",
            [
                properties(
                    "VirtualMachine",
                    &["name", "config.hardware", placement::VMX, "datastore", "resourcePool", "parent", "runtime.connectionState"],
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
    .map_err(|error| error.explained(&placement::doing(id, wanted)))?;
    let source = placement::source(id, &objects, wanted)?;
    let around = if wanted.is_special() { Some(surroundings(session, id).await?) } else { None };
    let draft = placement::decide(source, &objects, around.as_ref(), wanted)?;
    let pool = match &draft.pool {
        Some(pool) => pool.clone(),
        None => placement::pool_that_sees(&compute_resources(session).await?, &draft.datastore)
            .ok_or_else(|| draft.missing("resource pool, and no cluster sees its datastore"))?,
    };
    Ok(draft.place(pool, around))
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
    Ok(Surroundings::of(objects))
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
    Ok(placement::stores(&objects))
}

/// All clusters and single hosts with what a pool is chosen by.
async fn compute_resources(session: &Session) -> ProviderResult<Vec<Object>> {
    retrieve(session, |live| {
        filter(
            "specSet",
            [properties("ComputeResource", &["name", "resourcePool", "datastore"])],
            [start(&live.view, true, [along("ContainerView", "view", [])])],
        )
    })
    .await
    .map_err(|error| error.explained("list compute resources"))
}
