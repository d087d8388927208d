//! What a migration does on a vCenter: power and snapshots.

use futures::{FutureExt as _, future::BoxFuture};
use mtv_api::xml::Node;
use serde_json::{Value, json};

use super::base_file;
use crate::forklift::{
    source::{Power, Session, Snapshots, TaskState},
    vcenter::{MoRef, Vcenter},
};

/// Name of the snapshots, as Forklift gives it.
const SNAPSHOT: &str = "forklift-migration-precopy";

/// A session.
pub struct LoggedIn(pub Vcenter);

impl Session for LoggedIn {
    fn power<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<Power>> {
        async move {
            Ok(match self.0.power_state(vm).await?.as_str() {
                "poweredOn" => Power::On,
                "poweredOff" => Power::Off,
                _ => Power::Unknown,
            })
        }
        .boxed()
    }

    fn power_off<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        async move { Ok(self.0.shut_down_guest(vm).await?) }.boxed()
    }

    fn power_on<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        async move { Ok(self.0.power_on(vm).await?) }.boxed()
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        self.0.logout().boxed()
    }
}

impl Snapshots for LoggedIn {
    fn create<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<String>> {
        async move {
            let parameters = vec![
                Node::text("name", SNAPSHOT),
                Node::text("description", "Made by Forklift to copy the disks of a running VM."),
                Node::text("memory", false),
                Node::text("quiesce", true),
            ];
            Ok(self.0.task(&MoRef::new("VirtualMachine", vm), "CreateSnapshot_Task", parameters).await?)
        }
        .boxed()
    }

    /// Not those that build upon it.
    fn remove<'a>(&'a self, _vm: &'a str, snapshot: &'a str) -> BoxFuture<'a, anyhow::Result<String>> {
        async move {
            let parameters = vec![Node::text("removeChildren", false), Node::text("consolidate", true)];
            Ok(self.0.task(&MoRef::new("VirtualMachineSnapshot", snapshot), "RemoveSnapshot_Task", parameters).await?)
        }
        .boxed()
    }

    fn task<'a>(&'a self, task: &'a str) -> BoxFuture<'a, anyhow::Result<TaskState>> {
        async move {
            Ok(match self.0.task_state(task).await {
                Ok((state, text)) => match state.as_str() {
                    "success" => TaskState::Done(text),
                    "error" => TaskState::Failed(text),
                    _ => TaskState::Running,
                },
                Err(error) if error.is_gone() => TaskState::Forgotten,
                Err(error) => return Err(error.into()),
            })
        }
        .boxed()
    }

    fn deltas<'a>(&'a self, snapshot: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Value>>> {
        async move {
            let devices = self.0.property(&MoRef::new("VirtualMachineSnapshot", snapshot), "config.hardware.device").await?;
            let disks = devices.iter().flat_map(|d| &d.children).filter(|d| d.xsi_type() == Some("VirtualDisk"));
            Ok(disks
                .filter_map(|disk| disk.child("backing"))
                .map(|backing| {
                    let file = backing.get("fileName").or_else(|| backing.get("descriptorFileName")).unwrap_or_default();
                    json!({ "disk": base_file(file), "deltaId": backing.get("changeId").unwrap_or_default() })
                })
                .collect())
        }
        .boxed()
    }
}
