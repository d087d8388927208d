//! Sources of virtual machines: one small trait and a trait for each thing that only some sources can do. A new provider is one
//! folder and one line in [`connect_at`].

mod clone_request;
mod error;
pub(crate) mod http;
mod machine;
mod openshift;
mod openstack;
mod ova;
mod ovirt;
mod poll;
mod rest;
#[cfg(test)]
pub(crate) mod scripted;
mod session;
mod source;
pub(crate) mod tls;
pub mod vsphere;

pub use clone_request::{CloneRequest, Leaving, NewDisk, NewDiskKind};
pub use error::{ProviderError, ProviderErrorKind, ProviderResult};
pub use machine::{Boot, Disk, GuestAddress, MarkedVm, Nic, Power, Snapshot, SourceVm, VmDescription};
pub use source::{
    Access, Cloner, Concerns, GuestAnswer, GuestCommand, GuestExec, InventoryDescribed, Machines, OffloadHost, PowerLog, Snapshots, Source,
    VolumeSnapshots,
};

use crate::{
    cluster::Cluster,
    config::profile::{Details, Profile},
};

/// Connects to the source that a profile names, with what the profile alone says.
pub async fn connect(profile: &Profile) -> ProviderResult<Box<dyn Source>> {
    connect_at(profile, None).await
}

/// Connects to the source that a profile names. `home` is the cluster that the run works on: it is the source where a profile
/// of type openshift names no other.
pub async fn connect_at(profile: &Profile, home: Option<&Cluster>) -> ProviderResult<Box<dyn Source>> {
    match &profile.details {
        // One line per kind joins here as its client lands.
        Details::Vsphere(_) => Box::pin(vsphere::connect(profile)).await,
        Details::Openstack(cloud) => Ok(Box::new(openstack::Openstack::connect(profile, cloud).await?)),
        Details::Openshift => Ok(Box::new(openshift::Openshift::connect(profile, home).await?)),
        Details::Ova => Ok(Box::new(ova::Ova::new(profile)?)),
        Details::Ovirt(engine) => Ok(Box::new(ovirt::Ovirt::connect(profile, engine).await?)),
    }
}
