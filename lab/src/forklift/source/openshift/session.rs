//! Power of a source VM: by its run strategy, as the user's own client would set it.

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use mtv_api::kinds::VM;
use serde_json::{Value, json};

use crate::forklift::{
    cluster::{Cluster, Look},
    source::{Power, Session},
};

/// A cluster with source VMs.
pub struct LoggedIn(pub Cluster);

impl LoggedIn {
    async fn vm(&self, id: &str) -> anyhow::Result<Value> {
        let all = self.0.list(&VM, "", "").await?;
        all.into_iter().find(|vm| vm.uid() == id).ok_or_else(|| anyhow::anyhow!("vm {id} is gone"))
    }

    async fn strategy(&self, id: &str, strategy: &str) -> anyhow::Result<()> {
        let vm = self.vm(id).await?;
        let patch = json!({ "spec": { "runStrategy": strategy, "running": null } });
        self.0.merge(&VM, vm.text("/metadata/namespace"), vm.text("/metadata/name"), &patch).await?;
        Ok(())
    }
}

impl Session for LoggedIn {
    fn power<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<Power>> {
        async move {
            Ok(match self.vm(vm).await?.text("/status/printableStatus") {
                "Running" => Power::On,
                "Stopped" => Power::Off,
                _ => Power::Unknown,
            })
        }
        .boxed()
    }

    fn power_off<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        self.strategy(vm, "Halted").boxed()
    }

    fn power_on<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        self.strategy(vm, "Always").boxed()
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}
