//! The lab's vCenter: the SOAP interface of vSphere on loopback, good enough for pyVmomi, govc and Forklift.
//!
//! The way of a request: `http` reads it, `soap` opens the envelope, `methods` finds the object and the method, these
//! change the `model` or ask the property `collector`, and `types` says how the API shows what is in the model. What takes
//! time is a task (`tasks`), what clients ask beside SOAP is in `rest`, what is to go wrong is in [`crate::faults`].

pub mod collector;
pub mod face;
pub mod fault;
pub mod http;
pub mod ids;
pub mod methods;
pub mod model;
pub mod requests;
pub mod rest;
pub mod sessions;
pub mod soap;
pub mod tasks;
pub mod types;
pub mod value;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{
    face::Face,
    model::{Model, Wakeup},
    requests::Requests,
    rest::Rest,
    sessions::Sessions,
};
use crate::{faults::Faults, world::World};

/// The vCenter, or the host agent of one of its ESXi hosts. Clones are the same one.
#[derive(Clone)]
pub struct Vcenter {
    inner: Arc<Inner>,
}

struct Inner {
    // Lock order: sessions or rest, then model.
    sessions: Mutex<Sessions>,
    /// The vCenter's, which its hosts share.
    model: Arc<Mutex<Model>>,
    changed: Arc<watch::Sender<u64>>,
    face: Face,
    requests: Requests,
    rest: Mutex<Rest>,
    world: World,
}

impl Vcenter {
    /// Ids of the datastores, by name.
    pub fn datastore_ids(&self) -> std::collections::BTreeMap<String, String> {
        self.look(|model| model.of_type("Datastore").map(|d| (d.name.clone(), d.id.clone())).collect())
    }

    /// Ids of the ESXi hosts, by name.
    pub fn host_ids(&self) -> std::collections::BTreeMap<String, String> {
        self.look(|model| model.of_type("HostSystem").map(|h| (h.name.clone(), h.id.clone())).collect())
    }

    /// The vCenter that the world's data-centre file describes. Says in the world what stands on its disks.
    pub fn new(world: &World) -> Self {
        let inner = Inner {
            sessions: Mutex::default(),
            model: Arc::new(Mutex::new(Model::new(world))),
            changed: Arc::new(watch::Sender::new(0)),
            face: Face::Vcenter,
            requests: Requests::default(),
            rest: Mutex::default(),
            world: world.clone(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The host agent of one of its ESXi hosts, by the host's name: another server with sessions of its own, and the same
    /// machines.
    pub fn agent(&self, host: &str) -> Option<Self> {
        let host = self.look(|model| model.named("HostSystem", host).map(|host| host.id.clone()))?;
        let inner = Inner {
            sessions: Mutex::default(),
            model: Arc::clone(&self.inner.model),
            changed: Arc::clone(&self.inner.changed),
            face: Face::Agent(host),
            requests: Requests::default(),
            rest: Mutex::default(),
            world: self.inner.world.clone(),
        };
        Some(Self { inner: Arc::new(inner) })
    }

    /// Who answers.
    pub fn face(&self) -> &Face {
        &self.inner.face
    }

    /// Answers requests until it is cancelled.
    pub async fn serve(&self, listener: tokio::net::TcpListener, tls: Arc<rustls::ServerConfig>, cancel: CancellationToken) {
        http::serve(self.clone(), listener, tls, cancel).await;
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.inner.world.faults
    }

    /// What was asked so far.
    pub fn requests(&self) -> &Requests {
        &self.inner.requests
    }

    /// The world that it stands in.
    pub fn world(&self) -> &World {
        &self.inner.world
    }

    /// Ends all sessions, as a restart of the server does: their next request is answered with `NotAuthenticated`.
    pub fn end_sessions(&self) {
        self.sessions().end_all();
        self.rest().end_sessions();
        self.notify();
    }

    /// Looks at the state.
    pub fn look<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.model())
    }

    /// Changes the state, tells those who wait for changes, and starts the timers that the change asked for.
    pub fn change<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        let (result, wakeups) = {
            let mut model = self.model();
            let result = change(&mut model);
            model.number_machines();
            (result, std::mem::take(&mut model.wakeups))
        };
        self.start_timers(wakeups);
        self.notify();
        result
    }

    fn start_timers(&self, wakeups: Vec<(Duration, Wakeup)>) {
        for (after, wakeup) in wakeups {
            let server = self.clone();
            tokio::spawn(async move {
                server.inner.world.clock.sleep(after).await;
                server.change(|model| model.wake(&wakeup));
            });
        }
    }

    fn notify(&self) {
        self.inner.changed.send_modify(|version| *version += 1);
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.inner.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.inner.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
