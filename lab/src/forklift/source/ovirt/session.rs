//! What a migration does on an engine: power and snapshots.

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};

use super::client::Engine;
use crate::forklift::{
    cluster::Look,
    source::{Power, Session, Snapshots, TaskState},
};

/// Description of the snapshots, as Forklift gives it.
const SNAPSHOT: &str = "Forklift Operator warm migration precopy";

/// A session.
pub struct LoggedIn(pub Engine);

impl LoggedIn {
    async fn status(&self, vm: &str) -> anyhow::Result<String> {
        Ok(self.0.get(&format!("/vms/{vm}")).await?.text("/status").to_owned())
    }
}

impl Session for LoggedIn {
    fn power<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<Power>> {
        async move {
            Ok(match self.status(vm).await?.as_str() {
                "down" => Power::Off,
                "up" | "powering_up" | "wait_for_launch" => Power::On,
                _ => Power::Unknown,
            })
        }
        .boxed()
    }

    fn power_off<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            if self.status(vm).await? == "up" {
                self.0.post(&format!("/vms/{vm}/shutdown"), Engine::nothing()).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn power_on<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            if self.status(vm).await? == "down" {
                self.0.post(&format!("/vms/{vm}/start"), Engine::nothing()).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        self.0.end().boxed()
    }
}

/// A snapshot is its own task: `VM/SNAPSHOT`, the removal with a minus before it.
impl Snapshots for LoggedIn {
    fn create<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<String>> {
        async move {
            let body = json!({ "description": SNAPSHOT, "persist_memorystate": false });
            let made = self.0.post(&format!("/vms/{vm}/snapshots"), body).await?;
            Ok(format!("{vm}/{}", made.text("/id")))
        }
        .boxed()
    }

    fn remove<'a>(&'a self, vm: &'a str, snapshot: &'a str) -> BoxFuture<'a, anyhow::Result<String>> {
        async move {
            self.0.delete(&format!("/vms/{vm}/snapshots/{snapshot}")).await?;
            Ok(format!("-{vm}/{snapshot}"))
        }
        .boxed()
    }

    fn task<'a>(&'a self, task: &'a str) -> BoxFuture<'a, anyhow::Result<TaskState>> {
        async move {
            let (vm, snapshot) = task.trim_start_matches('-').split_once('/').unwrap_or_default();
            let found = self.0.find(&format!("/vms/{vm}/snapshots/{snapshot}")).await?;
            Ok(match (task.starts_with('-'), found.as_ref().map(|s| s.text("/snapshot_status"))) {
                (true, None) => TaskState::Done(String::new()),
                (false, None) => TaskState::Forgotten,
                (false, Some("ok")) => TaskState::Done(snapshot.to_owned()),
                _ => TaskState::Running,
            })
        }
        .boxed()
    }

    fn deltas<'a>(&'a self, _snapshot: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Value>>> {
        // The engine's image service knows deltas by itself.
        async { Ok(Vec::new()) }.boxed()
    }
}
