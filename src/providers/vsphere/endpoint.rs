//! An ESXi host as an endpoint of its own. Forklift reads and copies from the host; the host cannot clone, so that the vCenter
//! that manages it makes the clones on it and takes them away again.
//!
//! The host numbers its machines itself: `12` there is `vm-4711` in the vCenter. Clones are told by the host's ids, which are
//! those of Forklift's inventory; both sides know a machine by its instance UUID.

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt as _, future::BoxFuture, join};

use super::{
    Vsphere,
    collector::retrieve,
    lookup,
    props::{Object, along, filter, properties, start},
    session::Session,
    wire::MoRef,
};
use crate::{
    config::{
        profile::{Profile, ProviderKind},
        scenario::PowerWish,
    },
    providers::{
        CloneRequest, Cloner, Concerns, Leaving, Machines, MarkedVm, ProviderError, ProviderErrorKind, ProviderResult, Snapshots, Source,
        SourceVm, VmDescription, poll::Wait,
    },
};

/// How long a host may take to show a clone that its vCenter has made on it. It registers the machine before the task ends; what
/// takes time is that its view of its own inventory follows.
const ARRIVAL: Duration = Duration::from_mins(1);
/// What vCenter and host call a machine alike.
const INSTANCE: &str = "config.instanceUuid";
/// What vCenter and host call a host alike.
const HARDWARE: &str = "summary.hardware.uuid";

/// An ESXi host and the vCenter that clones for it.
#[derive(Debug)]
pub struct Endpoint {
    host: Vsphere,
    center: Vsphere,
    /// The host's name in the vCenter.
    name: String,
}

impl Endpoint {
    /// Logs in to both and finds the host among those of the vCenter.
    pub async fn connect(profile: &Profile, cloner: &Profile) -> ProviderResult<Self> {
        let (host, center) = join!(Vsphere::connect(profile), Vsphere::connect(cloner));
        let (host, center) = (host?, center?);
        let live = host.session.live().await;
        if live.vcenter {
            return Err(ProviderError::unsupported(format!(
                "{} is {}, but profile `{}` says that it is an ESXi host",
                address(&host),
                live.product,
                profile.name
            ))
            .hint("remove `endpoint_type` and `clone_provider`, or write the host's own address into `api_url`"));
        }
        let cloning = center.session.live().await;
        if !cloning.vcenter {
            return Err(ProviderError::unsupported(format!("{} is {}, which cannot clone", address(&center), cloning.product))
                .hint(format!("`clone_provider` of profile `{}` must name the profile of a vCenter", profile.name)));
        }
        let (here, there) = join!(hosts(&host.session), hosts(&center.session));
        let here = here?.into_iter().next().map(|host| host.1).unwrap_or_default();
        let there = there?;
        let Some((name, _)) = there.iter().find(|(_, uuid)| !here.is_empty() && uuid.eq_ignore_ascii_case(&here)) else {
            let names: Vec<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
            return Err(ProviderError::not_found(format!(
                "the vCenter {} of `clone_provider` does not manage the ESXi host {} (hardware UUID {here}); its hosts are {}",
                address(&center),
                address(&host),
                names.join(", ")
            ))
            .hint("name the profile of the vCenter that manages this host"));
        };
        Ok(Self { name: name.clone(), host, center })
    }

    /// The request for a clone on this host.
    fn on_host(&self, request: &CloneRequest) -> ProviderResult<CloneRequest> {
        match &request.host {
            Some(other) if *other != self.name => Err(ProviderError::unsupported(format!(
                "clone `{}` is wanted on host `{other}`, but the source is the ESXi host `{}`",
                request.name, self.name
            ))
            .hint("leave `target_esxi_host` out, or use the profile of the vCenter")),
            _ => Ok(CloneRequest { host: Some(self.name.clone()), ..request.clone() }),
        }
    }

    async fn make(&self, request: &CloneRequest) -> ProviderResult<String> {
        let id = self.center.clone_vm(&self.on_host(request)?).await?;
        let arrived = self.arrival(&id, &request.name).await;
        if arrived.is_err()
            && let Err(left) = self.center.delete(&id).await
        {
            tracing::warn!(vm = id, "a clone that did not come to its host is still in the vCenter: {left}");
        }
        arrived
    }

    /// The host's id of a machine of the vCenter, once the host shows it.
    async fn arrival(&self, id: &str, name: &str) -> ProviderResult<String> {
        let instance = instance_of(&self.center.session, id).await?;
        let mut wait = Wait::new(format!("for host `{}` to show `{name}` ({id} in the vCenter)", self.name), ARRIVAL);
        loop {
            if let Some(here) = by_instance(&self.host.session, &instance).await? {
                return Ok(here);
            }
            wait.pause("not there").await.map_err(|error| {
                ProviderError::operation(error.to_string()).hint("does DRS of the cluster place machines on other hosts?")
            })?;
        }
    }

    /// The vCenter's id of a machine of the host; none if one of them does not have it any more. Ids of a vCenter come back as they are.
    async fn in_center(&self, id: &str) -> ProviderResult<Option<String>> {
        if id.parse::<u64>().is_err() {
            return Ok(Some(id.to_owned()));
        }
        match instance_of(&self.host.session, id).await {
            Ok(instance) => by_instance(&self.center.session, &instance).await,
            Err(error) if error.is(ProviderErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn address(side: &Vsphere) -> String {
    let (host, port) = side.session.endpoint();
    format!("{host}:{port}")
}

/// Hosts by name and hardware UUID.
async fn hosts(session: &Session) -> ProviderResult<Vec<(String, String)>> {
    let objects = retrieve(session, |live| {
        let hosts = along("ContainerView", "view", [along("ComputeResource", "host", [])]);
        filter("specSet", [properties("HostSystem", &["name", HARDWARE])], [start(&live.view, true, [hosts])])
    })
    .await
    .map_err(|error| error.explained("list hosts"))?;
    let read = |host: &Object| (host.text("name").unwrap_or_default().to_owned(), host.text(HARDWARE).unwrap_or_default().to_owned());
    Ok(objects.iter().map(read).collect())
}

/// The instance UUID of a machine.
async fn instance_of(session: &Session, id: &str) -> ProviderResult<String> {
    let doing = format!("read the instance UUID of {id}");
    let objects = retrieve(session, |_| filter("specSet", [properties("VirtualMachine", &[INSTANCE])], [start(&MoRef::vm(id), false, [])]))
        .await
        .map_err(|error| error.explained(&doing))?;
    let found = objects.first().and_then(|vm| vm.text(INSTANCE)).map(str::to_owned);
    found.ok_or_else(|| ProviderError::not_found(format!("{doing}: it does not exist (any more)")))
}

/// The machine with an instance UUID.
async fn by_instance(session: &Session, instance: &str) -> ProviderResult<Option<String>> {
    let objects = retrieve(session, |live| {
        filter("specSet", [properties("VirtualMachine", &[INSTANCE])], [start(&live.view, true, [along("ContainerView", "view", [])])])
    })
    .await
    .map_err(|error| error.explained("list virtual machines"))?;
    let same = |vm: &&Object| vm.text(INSTANCE).is_some_and(|found| found.eq_ignore_ascii_case(instance));
    Ok(objects.iter().find(same).map(|vm| vm.id.value.clone()))
}

impl Source for Endpoint {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Vsphere
    }

    fn describe(&self) -> String {
        format!("{}; clones are made by {}", self.host.describe(), self.center.describe())
    }

    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>> {
        self.host.ca_chain()
    }

    /// Of both together, by the name of the call.
    fn requests(&self) -> BTreeMap<String, u64> {
        let mut all = self.host.requests();
        for (call, count) in self.center.requests() {
            *all.entry(call).or_default() += count;
        }
        all
    }

    fn disconnect(&self) -> BoxFuture<'_, ()> {
        async {
            join!(self.host.disconnect(), self.center.disconnect());
        }
        .boxed()
    }

    fn machines(&self) -> Machines<'_> {
        Machines::Cloned(self)
    }

    /// By the host itself.
    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(&self.host)
    }
}

impl Cloner for Endpoint {
    fn clone_vm<'a>(&'a self, request: &'a CloneRequest) -> BoxFuture<'a, ProviderResult<String>> {
        self.make(request).boxed()
    }

    /// By the host itself: a vCenter with DRS may choose another host when it powers a machine on.
    fn set_power<'a>(&'a self, id: &'a str, power: PowerWish) -> BoxFuture<'a, ProviderResult<()>> {
        self.host.set_power(id, power)
    }

    fn wait_for_guest<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, ProviderResult<bool>> {
        self.host.wait_for_guest(id, patience)
    }

    fn describe_vm<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<VmDescription>> {
        self.host.describe_vm(id)
    }

    /// As the vCenter has them: also a clone that has not come to the host.
    fn find<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>> {
        self.center.find(names)
    }

    fn of_run<'a>(&'a self, run: &'a str) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>> {
        self.center.of_run(run)
    }

    fn marked(&self) -> BoxFuture<'_, ProviderResult<Vec<MarkedVm>>> {
        lookup::marked(&self.center.session).boxed()
    }

    fn settle<'a>(&'a self, concerns: &'a Concerns<'a>, patience: Duration) -> BoxFuture<'a, ProviderResult<Vec<String>>> {
        self.center.settle(concerns, patience)
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        async move {
            match self.in_center(id).await? {
                Some(id) => self.center.delete(&id).await,
                None => Ok(()),
            }
        }
        .boxed()
    }

    /// By name and mark in the vCenter: the id that the journal has is the host's.
    fn remove<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<bool>> {
        self.center.remove(Leaving { id: None, ..leaving })
    }

    fn remains<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<Vec<String>>> {
        self.center.remains(Leaving { id: None, ..leaving })
    }
}
