//! OpenStack over Keystone v3, Nova, Cinder, Glance and Neutron.
//!
//! `wire` is how the services write, `session` the login and the way to them, `lookup`, `clone`, `operate` and `describe` what the
//! tool does with servers, `remains` what clones leave beside them. Nothing can be watched: services are asked with growing pauses.

mod clone;
mod describe;
mod lookup;
mod operate;
mod remains;
mod session;
mod wire;

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};

use self::{session::Session, wire::text};
use super::{
    CloneRequest, Cloner, Leaving, Machines, MarkedVm, ProviderResult, Snapshots, Source, SourceVm, VmDescription, VolumeSnapshots,
    poll::Wait,
};
use crate::config::{
    profile::{OpenstackProfile, Profile, ProviderKind},
    scenario::PowerWish,
};

/// A cloud with a login to one project.
#[derive(Debug)]
pub struct Openstack {
    session: Session,
    description: String,
}

impl Openstack {
    /// Logs in, and looks whether the compute service answers.
    pub async fn connect(profile: &Profile, cloud: &OpenstackProfile) -> ProviderResult<Self> {
        let session = Session::open(profile, cloud).await?;
        let address = session.rest().address();
        session.look(&format!("list servers of {address}")).await?;
        let description = format!("openstack {address}, project {}", session.project().await);
        Ok(Self { session, description })
    }
}

impl Source for Openstack {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Openstack
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>> {
        self.session.rest().ca_chain().boxed()
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        self.session.rest().requests()
    }

    fn disconnect(&self) -> BoxFuture<'_, ()> {
        self.session.close().boxed()
    }

    fn machines(&self) -> Machines<'_> {
        Machines::Cloned(self)
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn volume_snapshots(&self) -> Option<&dyn VolumeSnapshots> {
        Some(self)
    }
}

impl Cloner for Openstack {
    fn clone_vm<'a>(&'a self, request: &'a CloneRequest) -> BoxFuture<'a, ProviderResult<String>> {
        clone::clone(&self.session, request).boxed()
    }

    fn set_power<'a>(&'a self, id: &'a str, power: PowerWish) -> BoxFuture<'a, ProviderResult<()>> {
        operate::set_power(&self.session, id, power).boxed()
    }

    /// Neutron knows the addresses without the guest, so there is nothing to wait for but a server that has some.
    fn wait_for_guest<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, ProviderResult<bool>> {
        async move {
            let mut wait = Wait::new(format!("for addresses of {id}"), patience);
            loop {
                let server = clone::server(&self.session, id, "wait for addresses").await?;
                if text(&server, "/status") == "ACTIVE" && server["addresses"].as_object().is_some_and(|a| !a.is_empty()) {
                    return Ok(true);
                }
                if wait.pause(text(&server, "/status")).await.is_err() {
                    return Ok(false);
                }
            }
        }
        .boxed()
    }

    fn describe_vm<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<VmDescription>> {
        describe::vm(&self.session, id).boxed()
    }

    fn find<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>> {
        lookup::by_names(&self.session, names).boxed()
    }

    fn of_run<'a>(&'a self, run: &'a str) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>> {
        lookup::by_run(&self.session, run).boxed()
    }

    fn marked(&self) -> BoxFuture<'_, ProviderResult<Vec<MarkedVm>>> {
        lookup::marked(&self.session).boxed()
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        operate::delete(&self.session, id).boxed()
    }

    /// The server, and what its cloning left: a run that was killed half-way may have made volumes and images alone.
    fn remove<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<bool>> {
        match leaving.id {
            Some(_) => operate::remove(&self.session, leaving).boxed(),
            None => operate::remove_in_the_making(&self.session, leaving).boxed(),
        }
    }

    fn remains<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<Vec<String>>> {
        operate::remains(&self.session, leaving).boxed()
    }
}

impl Snapshots for Openstack {
    fn snapshot<'a>(&'a self, id: &'a str, name: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        operate::snapshot(&self.session, id, name).boxed()
    }
}

impl VolumeSnapshots for Openstack {
    fn volume_snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<Option<String>>> {
        remains::snapshot(&self.session, id).boxed()
    }

    fn delete_volume_snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        remains::delete_snapshot(&self.session, id).boxed()
    }
}
