//! The lab's OpenStack: Keystone v3, Nova, Cinder, Glance and Neutron on loopback, behind one address with a path for each.
//!
//! The way of a request: `http` checks the token and finds the service; each service (`identity`, `compute`, `volume`, `image`,
//! `network`) answers from the `model` or changes it, by way of `reply` and `paging`. What takes time is done `later`.

mod compute;
mod http;
mod identity;
mod image;
pub mod model;
mod network;
mod paging;
mod reply;
mod versions;
mod volume;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::{identity::token::Token, model::Model};
use crate::{web, world::World};

/// The cloud. Clones are the same one.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    model: Mutex<Model>,
    tokens: Mutex<HashMap<String, Token>>,
    /// Address in the catalogue: `https://127.0.0.1:PORT`.
    address: String,
    requests: AtomicU64,
    world: World,
}

impl Cloud {
    /// The cloud that the world's data-centre file describes, reached at this address.
    pub fn new(world: &World, address: &str) -> Self {
        let model = Mutex::new(Model::new(world));
        Self {
            inner: Arc::new(Inner {
                model,
                tokens: Mutex::default(),
                address: address.to_owned(),
                requests: AtomicU64::new(0),
                world: world.clone(),
            }),
        }
    }

    /// What stands in it. Held for moments only, never across a wait.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.inner.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, Token>> {
        self.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all tokens, as time does.
    pub fn end_sessions(&self) {
        self.tokens().clear();
    }

    /// The number of a request, for the id that its answer carries.
    fn count_request(&self) -> u64 {
        self.inner.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Does something to the model when the time that the real services take has passed.
    fn later(&self, real: Duration, change: impl FnOnce(&Self, &mut Model) + Send + 'static) {
        let cloud = self.clone();
        tokio::spawn(async move {
            cloud.inner.world.clock.sleep(real).await;
            let mut model = cloud.model();
            change(&cloud, &mut model);
        });
    }

    /// Serves until it is cancelled.
    pub async fn serve(&self, listener: TcpListener, tls: Arc<rustls::ServerConfig>, cancel: CancellationToken) {
        web::serve(Arc::new(self.clone()), listener, tls, cancel).await;
    }
}
