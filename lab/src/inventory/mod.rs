//! The inventory service: what providers hold, over REST, for users that may see them.
//!
//! Collectors are shared with the controllers, which start one per vSphere Provider and look VMs up in it.

mod auth;
mod openshift;
mod server;
pub mod vsphere;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

pub use server::serve;
use tokio::sync::broadcast;
use vsphere::Collector;

use crate::forklift::vcenter::Access;

/// Collectors by the UID of their Provider.
pub struct Inventories {
    collectors: RwLock<HashMap<String, Arc<Collector>>>,
    changed: broadcast::Sender<String>,
}

impl Default for Inventories {
    fn default() -> Self {
        // Sixteen unseen changes: a listener that lags behind looks at everything anyway.
        Self { collectors: RwLock::default(), changed: broadcast::channel(16).0 }
    }
}

impl Inventories {
    /// The collector of a Provider.
    pub fn get(&self, provider: &str) -> Option<Arc<Collector>> {
        self.collectors.read().unwrap_or_else(PoisonError::into_inner).get(provider).cloned()
    }

    /// Some collector, if one has read everything.
    pub fn any(&self) -> Option<Arc<Collector>> {
        self.collectors.read().unwrap_or_else(PoisonError::into_inner).values().find(|c| c.has_parity()).cloned()
    }

    /// Starts a collector in place of one that may run.
    pub fn start(&self, provider: &str, access: Access) {
        let collector = Collector::start(provider.to_owned(), access, self.changed.clone());
        self.collectors.write().unwrap_or_else(PoisonError::into_inner).insert(provider.to_owned(), collector);
    }

    /// Ends all collectors but those of the given Providers.
    pub fn keep(&self, providers: &[String]) {
        self.collectors.write().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| providers.contains(uid));
    }

    /// UIDs of Providers in whose source something changed.
    pub fn changes(&self) -> broadcast::Receiver<String> {
        self.changed.subscribe()
    }
}
