//! OVA files on an NFS share. The tool does not mount the share: Forklift's own server reads it, and what the tool knows of a
//! VM is what Forklift's inventory says. So there are no clones, and VMs are migrated under names of the run.

mod describe;

use std::collections::BTreeMap;

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use serde_json::Value;

use super::{InventoryDescribed, Machines, ProviderError, ProviderResult, Source, VmDescription};
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
            // `https://…` is a URL, not a share.
            Some((host, path)) if !host.is_empty() && !host.contains('/') && !path.starts_with('/') => Ok(Self { share: share.to_owned() }),
            _ => Err(ProviderError::unreachable(format!(
                "api_url `{share}` of profile `{}` is no NFS share; expected HOST:/PATH",
                profile.name
            ))),
        }
    }
}

impl Source for Ova {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Ova
    }

    fn describe(&self) -> String {
        format!("ova {}", self.share)
    }

    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>> {
        ready(Ok(None)).boxed()
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    fn disconnect(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }

    fn machines(&self) -> Machines<'_> {
        Machines::Taken(self)
    }
}

impl InventoryDescribed for Ova {
    fn describe_inventory(&self, vm: &Value) -> ProviderResult<VmDescription> {
        describe::vm(vm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::profile::Details;

    #[test]
    fn a_share_only_has_what_forklift_reads_from_it() {
        let profile = Profile { api_url: "nfs.example.com:/ova".to_owned(), ..Profile::new("x", Details::Ova) };
        let share = Ova::new(&profile).unwrap();
        assert!(matches!(share.machines(), Machines::Taken(_)) && share.cloner().is_none());
        assert!(share.snapshots().is_none() && share.guest_exec().is_none() && share.power_log().is_none());
        assert!(share.volume_snapshots().is_none() && share.offload_host().is_none());
        for url in ["nfs.example.com", "https://nfs.example.com/ova", ":/ova", ""] {
            assert!(Ova::new(&Profile { api_url: url.to_owned(), ..profile.clone() }).is_err(), "{url}");
        }
    }
}
