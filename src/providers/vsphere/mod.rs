//! VMware vSphere over SOAP.
//!
//! `wire` and `props` are the protocol, `session` and `collector` its use, `lookup`, `clone`, `operate` and `describe` what the
//! tool does with it. Nothing polls: tasks and guests are awaited with the property collector.

mod clone;
mod clone_spec;
mod collector;
mod describe;
mod disk_spec;
mod disks;
mod endpoint;
mod esxi;
mod fault;
mod guest_ops;
mod health;
mod lookup;
mod operate;
mod place;
mod placement;
mod props;
mod session;
mod slot;
mod task;
mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};

use self::session::Session;
use super::{
    CloneRequest, Cloner, Concerns, GuestAnswer, GuestCommand, GuestExec, Machines, MarkedVm, OffloadHost, ProviderError, ProviderResult,
    Snapshots, Source, SourceVm, VmDescription,
};
use crate::config::{
    profile::{GuestLogin, Profile, ProviderKind},
    scenario::PowerWish,
};

/// Connects to what a profile names: a vCenter, or an ESXi host with the vCenter that clones for it.
///
/// # Errors
/// Those of logging in, and an endpoint that is not of the kind that the profile says.
pub async fn connect(profile: &Profile) -> ProviderResult<Box<dyn Source>> {
    if let Some(cloner) = profile.clone_provider() {
        return Ok(Box::new(endpoint::Endpoint::connect(profile, cloner).await?));
    }
    let connected = Vsphere::connect(profile).await?;
    let live = connected.session.live().await;
    if live.vcenter {
        return Ok(Box::new(connected));
    }
    connected.disconnect().await;
    Err(ProviderError::unsupported(format!("{} of profile `{}` is {}, which cannot clone", profile.api_url, profile.name, live.product))
        .hint("write `endpoint_type = \"esxi\"` into the profile, and `clone_provider` with the name of the profile of its vCenter"))
}

/// A connected vCenter (or ESXi host, which can do all but clone).
#[derive(Debug)]
pub struct Vsphere {
    session: Arc<Session>,
    description: String,
    /// Where the profile has a copyoffload section.
    offload: Option<esxi::Offload>,
}

impl Vsphere {
    /// Logs in.
    pub async fn connect(profile: &Profile) -> ProviderResult<Self> {
        let session = Arc::new(Session::open(profile).await?);
        let (host, port) = session.endpoint();
        let description = format!("vsphere {host}:{port}, {}", session.live().await.product);
        let offload = profile.copyoffload().cloned().map(|offload| esxi::Offload::new(offload, session.clone()));
        Ok(Self { session, description, offload })
    }
}

impl Source for Vsphere {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Vsphere
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>> {
        self.session.ca_chain().boxed()
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        self.session.requests()
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

    fn guest_exec(&self) -> Option<&dyn GuestExec> {
        Some(self)
    }

    fn offload_host(&self) -> Option<&dyn OffloadHost> {
        self.offload.as_ref().map(|offload| offload as &dyn OffloadHost)
    }
}

impl Cloner for Vsphere {
    fn clone_vm<'a>(&'a self, request: &'a CloneRequest) -> BoxFuture<'a, ProviderResult<String>> {
        clone::clone(&self.session, request).boxed()
    }

    fn set_power<'a>(&'a self, id: &'a str, power: PowerWish) -> BoxFuture<'a, ProviderResult<()>> {
        operate::set_power(&self.session, id, power).boxed()
    }

    fn wait_for_guest<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, ProviderResult<bool>> {
        operate::wait_for_guest(&self.session, id, patience).boxed()
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

    fn settle<'a>(&'a self, concerns: &'a Concerns<'a>, patience: Duration) -> BoxFuture<'a, ProviderResult<Vec<String>>> {
        clone::settle(&self.session, concerns, patience).boxed()
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        operate::delete(&self.session, id).boxed()
    }
}

impl Snapshots for Vsphere {
    fn snapshot<'a>(&'a self, id: &'a str, name: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        operate::snapshot(&self.session, id, name).boxed()
    }
}

impl GuestExec for Vsphere {
    fn run_in_guest<'a>(
        &'a self,
        id: &'a str,
        login: &'a GuestLogin,
        command: &'a GuestCommand,
    ) -> BoxFuture<'a, ProviderResult<GuestAnswer>> {
        guest_ops::run(&self.session, id, login, command).boxed()
    }
}

/// Whether a text is an answer of a vCenter, a fault included: for whoever feeds the reader on purpose.
pub(crate) fn is_answer(text: &str) -> bool {
    wire::answer(text).is_ok()
}
