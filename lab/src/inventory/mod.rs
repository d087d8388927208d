//! The inventory service: what providers hold, over REST, for users that may see them.
//!
//! What it shows are the [`Source`]s that the controllers opened, one per Provider; they look VMs up there as well.

pub(crate) mod auth;
pub mod openshift;
mod server;
pub mod vsphere;

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

pub use server::serve;
use tokio::sync::broadcast;
use vsphere::Collector;

use crate::forklift::source::{Kind, Login, Site, Source, vsphere::Connected};

/// Something in a source changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// UID of the Provider.
    pub provider: String,
    /// Ids of the VMs that changed, where nothing else did; none: whatever there is may have changed.
    pub vms: Option<Vec<String>>,
}

/// Sources by the UID of their Provider.
pub struct Inventories {
    sources: RwLock<HashMap<String, Arc<dyn Source>>>,
    changed: broadcast::Sender<News>,
}

impl Default for Inventories {
    fn default() -> Self {
        // Sixteen unseen changes: a listener that lags behind looks at everything anyway.
        Self { sources: RwLock::default(), changed: broadcast::channel(16).0 }
    }
}

impl Inventories {
    /// The source of a Provider.
    pub fn get(&self, provider: &str) -> Option<Arc<dyn Source>> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).get(provider).cloned()
    }

    /// The collector of some vCenter, if one has read everything.
    pub fn any(&self) -> Option<Arc<Collector>> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        sources.values().filter(|source| source.has_parity()).find_map(|source| {
            let source: Arc<dyn Any + Send + Sync> = source.clone();
            Some(source.downcast::<Connected>().ok()?.collector.clone())
        })
    }

    /// Opens a source in place of one that may be open.
    pub fn open(&self, kind: &dyn Kind, site: &Site, provider: &str, login: Login) {
        let source = kind.open(site, provider, login, self.changed.clone());
        self.sources.write().unwrap_or_else(PoisonError::into_inner).insert(provider.to_owned(), source);
    }

    /// Closes all sources but those of the given Providers.
    pub fn keep(&self, providers: &[String]) {
        self.sources.write().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| providers.contains(uid));
    }

    /// What changes in sources.
    pub fn changes(&self) -> broadcast::Receiver<News> {
        self.changed.subscribe()
    }
}
