//! OVA files on an NFS share. The tool does not mount the share: Forklift's own server reads it, and what the tool knows of a
//! VM is what Forklift's inventory says. So there are no clones, and VMs are migrated under names of the run.

mod describe;

use std::{collections::BTreeMap, time::Duration};

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use serde_json::Value;

use super::{Abilities, CloneRequest, Power, ProviderError, ProviderResult, SourceProvider, SourceVm, VmDescription};
use crate::config::profile::{Profile, ProviderKind};

/// A share.
#[derive(Debug)]
pub struct Ova {
    share: String,
}

impl Ova {
    /// Looks at the profile only: nobody but Forklift mounts the share.
    pub fn new(profile: &Profile) -> ProviderResult<Self> {
        let share = profile.api_url.trim();
        match share.split_once(":/") {
            Some((host, _)) if !host.is_empty() && !host.contains('/') => Ok(Self { share: share.to_owned() }),
            _ => Err(ProviderError::unreachable(format!(
                "api_url `{share}` of profile `{}` is no NFS share; expected HOST:/PATH",
                profile.name
            ))),
        }
    }

    fn cannot<T>(&self, what: &str) -> ProviderResult<T> {
        Err(ProviderError::unsupported(format!("{what}: a VM in an OVA file on {} cannot be changed", self.share)))
    }
}

impl SourceProvider for Ova {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Ova
    }

    fn describe(&self) -> String {
        format!("ova {}", self.share)
    }

    fn abilities(&self) -> Abilities {
        Abilities { clones: false, snapshots: false, guest_commands: false }
    }

    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>> {
        ready(Ok(None)).boxed()
    }

    fn clone_vm<'a>(&'a self, request: &'a CloneRequest) -> BoxFuture<'a, ProviderResult<String>> {
        ready(self.cannot(&format!("clone {}", request.source))).boxed()
    }

    fn set_power<'a>(&'a self, id: &'a str, _power: Power) -> BoxFuture<'a, ProviderResult<()>> {
        ready(self.cannot(&format!("switch {id}"))).boxed()
    }

    fn wait_for_guest<'a>(&'a self, _id: &'a str, _patience: Duration) -> BoxFuture<'a, ProviderResult<bool>> {
        ready(Ok(false)).boxed()
    }

    fn snapshot<'a>(&'a self, id: &'a str, _name: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        ready(self.cannot(&format!("take a snapshot of {id}"))).boxed()
    }

    fn describe_vm<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<VmDescription>> {
        ready(Err(ProviderError::unsupported(format!("VM {id} of an OVA source is described by the inventory only")))).boxed()
    }

    fn describe_inventory(&self, vm: &Value) -> ProviderResult<VmDescription> {
        describe::vm(vm)
    }

    fn find<'a>(&'a self, _names: &'a [String]) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn of_run<'a>(&'a self, _run: &'a str) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn marked(&self) -> BoxFuture<'_, ProviderResult<Vec<super::MarkedVm>>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        ready(self.cannot(&format!("delete {id}"))).boxed()
    }

    fn disconnect(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}
