//! The lab's oVirt engine: SSO and REST API on loopback, in JSON and in XML, good enough for its SDK and for Forklift.
//!
//! The way of a request: `http` reads it, checks its token and chooses the form of the answer; `read` finds documents in the
//! `model` and `operate` changes it; `documents` is how the API shows things, `xml` how it writes them.

mod documents;
mod http;
pub mod model;
mod operate;
mod read;
mod search;
mod xml;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::model::Model;
use crate::{web, world::World};

/// The engine. Clones are the same one.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    model: Mutex<Model>,
    /// Users by token.
    tokens: Mutex<HashMap<String, String>>,
    /// Certificate that the engine gives away as its CA.
    ca_pem: String,
    world: World,
}

impl Engine {
    /// The engine that the world's data-centre file describes.
    pub fn new(world: &World, ca_pem: &str) -> Self {
        let model = Mutex::new(Model::new(world));
        Self { inner: Arc::new(Inner { model, tokens: Mutex::default(), ca_pem: ca_pem.to_owned(), world: world.clone() }) }
    }

    /// What stands in it. Held for moments only, never across a wait.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.inner.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all sessions, as time does.
    pub fn end_sessions(&self) {
        self.tokens().clear();
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.inner.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the model when the time that the real engine takes has passed.
    fn later(&self, real: Duration, change: impl FnOnce(&Self, &mut Model) + Send + 'static) {
        let engine = self.clone();
        tokio::spawn(async move {
            engine.inner.world.clock.sleep(real).await;
            let mut model = engine.model();
            change(&engine, &mut model);
        });
    }

    /// Serves until it is cancelled.
    pub async fn serve(&self, listener: TcpListener, tls: Arc<rustls::ServerConfig>, cancel: CancellationToken) {
        web::serve(Arc::new(self.clone()), listener, tls, cancel).await;
    }
}
