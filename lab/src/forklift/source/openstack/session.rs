//! What a migration does on a cloud: power.

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use serde_json::json;

use super::client::Cloud;
use crate::forklift::{
    cluster::Look,
    source::{Power, Session},
};

/// A session.
pub struct LoggedIn(pub Cloud);

impl LoggedIn {
    async fn status(&self, server: &str) -> anyhow::Result<String> {
        Ok(self.0.get("compute", &format!("/servers/{server}")).await?.text("/server/status").to_owned())
    }

    async fn act(&self, server: &str, action: &str) -> anyhow::Result<()> {
        self.0.post("compute", &format!("/servers/{server}/action"), json!({ action: null })).await.map(drop)
    }
}

impl Session for LoggedIn {
    fn power<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<Power>> {
        async move {
            Ok(match self.status(vm).await?.as_str() {
                "ACTIVE" => Power::On,
                "SHUTOFF" => Power::Off,
                _ => Power::Unknown,
            })
        }
        .boxed()
    }

    fn power_off<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        async move { if self.status(vm).await? == "ACTIVE" { self.act(vm, "os-stop").await } else { Ok(()) } }.boxed()
    }

    fn power_on<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        async move { if self.status(vm).await? == "SHUTOFF" { self.act(vm, "os-start").await } else { Ok(()) } }.boxed()
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        // Tokens expire by themselves.
        ready(()).boxed()
    }
}
