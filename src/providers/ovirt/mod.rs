//! RHV / oVirt over the engine's REST API, as JSON.
//!
//! `wire` is how the engine writes, `session` its login, `lookup`, `clone`, `operate` and `describe` what the tool does with it.
//! The engine cannot be watched: it is asked with growing pauses.

mod clone;
mod describe;
mod lookup;
mod operate;
mod session;
mod wire;

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};

use self::{session::Session, wire::text};
use super::{
    CloneRequest, Cloner, Leaving, Machines, MarkedVm, PowerLog, ProviderError, ProviderResult, Snapshots, Source, SourceVm, VmDescription,
    poll::until_quiet,
};
use crate::config::{
    profile::{OvirtProfile, Profile, ProviderKind},
    scenario::PowerWish,
};

/// A connected engine.
#[derive(Debug)]
pub struct Ovirt {
    session: Session,
    description: String,
}

impl Ovirt {
    /// Logs in and looks at the engine.
    pub async fn connect(profile: &Profile, engine: &OvirtProfile) -> ProviderResult<Self> {
        let session = Session::open(profile, engine).await?;
        let address = session.rest().address();
        let api = session.get("GET api", "", &format!("read the API of {address}")).await?;
        let version = text(&api, "/product_info/version/full_version");
        if version.is_empty() && api.get("product_info").is_none() {
            return Err(ProviderError::unreachable(format!("{address} does not answer like an oVirt engine"))
                .hint("`api_url` should read https://HOST/ovirt-engine/api"));
        }
        clone::find_data_center(&session).await?;
        let product = text(&api, "/product_info/name");
        let description = format!("ovirt {address}, {} {version}", if product.is_empty() { "oVirt" } else { product });
        Ok(Self { session, description })
    }
}

impl Source for Ovirt {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Ovirt
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>> {
        self.session.ca_chain().boxed()
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

    fn power_log(&self) -> Option<&dyn PowerLog> {
        Some(self)
    }
}

impl Cloner for Ovirt {
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

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        operate::delete(&self.session, id).boxed()
    }

    /// By name and mark. A clone that a process has asked for right before it died may come yet.
    fn remove<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<bool>> {
        async move {
            if leaving.id.is_some() {
                return operate::remove(&self.session, leaving).await;
            }
            until_quiet(self.session.rest().policy(), || operate::remove(&self.session, leaving).boxed()).await
        }
        .boxed()
    }
}

impl Snapshots for Ovirt {
    fn snapshot<'a>(&'a self, id: &'a str, name: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        operate::snapshot(&self.session, id, name).boxed()
    }
}

impl PowerLog for Ovirt {
    fn stopped_by_user<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<Vec<String>>> {
        operate::stopped_by_user(&self.session, id).boxed()
    }
}
