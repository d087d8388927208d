//! What acts on the cluster beside the API server, vCenter and Forklift: controllers, the kubelet, CDI, KubeVirt.
//!
//! Each role is an ordinary client of the Kubernetes API. It knows nothing of the others but the objects that they write,
//! so that a real component can take its place: start the lab with fewer [`Roles`] and run the component beside it.

pub mod cdi;
pub mod gc;
pub mod jobs;
pub mod kubelet;
pub mod kubevirt;
pub mod life;
pub mod namespace;
pub mod openshift;
pub mod populator;
pub mod provisioner;
pub mod pv;
pub mod quantity;
pub mod write;

use std::{collections::BTreeSet, fmt, str::FromStr};

use kube::Client;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::world::World;

/// What a role works with.
#[derive(Clone)]
pub struct Context {
    /// Client of the Kubernetes API.
    pub client: Client,
    /// Data centre, time, disks.
    pub world: World,
    /// Ends the role.
    pub cancel: CancellationToken,
    /// Tasks of the role, so that the lab can wait for their end.
    pub tasks: TaskTracker,
}

impl Context {
    /// A context whose tasks end when the token is cancelled.
    pub fn new(client: Client, world: World, cancel: CancellationToken) -> Self {
        Self { client, world, cancel, tasks: TaskTracker::new() }
    }

    /// Runs something until the lab ends.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = task => {}
            }
        });
    }
}

macro_rules! roles {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A simulator that can be left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Role { $($(#[$doc])* $variant),* }

        impl Role {
            /// All roles, in the order in which they start.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Name as on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

roles! {
    /// The Kubernetes API server.
    Kubernetes = "kubernetes";
    /// Contents of terminating namespaces.
    Namespace = "namespace";
    /// Collection of owned objects.
    Gc = "gc";
    /// Binding of claims to volumes.
    Pv = "pv";
    /// Making and removing of volumes: the storage driver.
    Provisioner = "provisioner";
    /// Jobs and their pods.
    Jobs = "jobs";
    /// Scheduler and kubelet: pods.
    Kubelet = "kubelet";
    /// CDI: DataVolumes.
    Cdi = "cdi";
    /// Forklift's volume populators.
    Populator = "populator";
    /// KubeVirt: virtual machines, their subresources and guests.
    Kubevirt = "kubevirt";
    /// What an OpenShift cluster with MTV holds from the start.
    Openshift = "openshift";
    /// The vCenter.
    Vsphere = "vsphere";
    /// The oVirt engine.
    Ovirt = "ovirt";
    /// The services of OpenStack.
    Openstack = "openstack";
    /// The Jira.
    Jira = "jira";
    /// The share with OVA files.
    Ova = "ova";
    /// A second OpenShift, which VMs come from.
    SourceCluster = "source-cluster";
    /// Forklift's inventory service.
    Inventory = "inventory";
    /// Forklift's controllers.
    Forklift = "forklift";
}

impl Role {
    /// Profiles of sources that a role serves; none for roles that are no source.
    pub const fn profiles(self) -> &'static [&'static str] {
        match self {
            Self::Vsphere => &["vsphere", "vsphere-esxi"],
            Self::Ovirt => &["ovirt"],
            Self::Openstack => &["openstack"],
            Self::Ova => &["ova"],
            Self::SourceCluster => &["openshift-remote"],
            _ => &[],
        }
    }
}

/// Names of all profiles of the lab: those of its sources, and the cluster itself.
pub fn profiles() -> Vec<&'static str> {
    Role::ALL.iter().flat_map(|role| role.profiles().iter().copied()).chain(["openshift"]).collect()
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        Self::ALL.iter().copied().find(|role| role.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|role| role.name()).collect();
            anyhow::anyhow!("no role `{name}`; roles are {}", known.join(", "))
        })
    }
}

/// Which simulators run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Default for Roles {
    fn default() -> Self {
        Self(Role::ALL.iter().copied().collect())
    }
}

impl Roles {
    /// Only these.
    pub fn only(roles: impl IntoIterator<Item = Role>) -> Self {
        Self(roles.into_iter().collect())
    }

    /// All but these.
    pub fn without(roles: &[Role]) -> Self {
        Self(Role::ALL.iter().copied().filter(|role| !roles.contains(role)).collect())
    }

    /// These, without the servers of other sources than that of a profile. One that no role serves changes nothing.
    #[must_use]
    pub fn for_source(&self, profile: &str) -> Self {
        let serves = |role: &Role| role.profiles().contains(&profile);
        // The cluster itself needs no server beside those that every run has.
        if profile != "openshift" && !self.0.iter().any(serves) {
            return self.clone();
        }
        Self(self.0.iter().copied().filter(|role| role.profiles().is_empty() || serves(role)).collect())
    }

    /// What runs on top of a real API server: all but the server, and what a kube-controller-manager does there.
    pub fn beside_control_plane() -> Self {
        Self::without(&[Role::Kubernetes, Role::Namespace, Role::Gc, Role::Pv, Role::Jobs])
    }

    /// Whether a role runs.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// A choice among these. `text` has names separated by commas: of the roles to run, or, with a minus before each, of
    /// those to leave out of these.
    ///
    /// # Errors
    /// A name that is none, or both ways in one text.
    pub fn choose(&self, text: &str) -> anyhow::Result<Self> {
        let (without, only): (Vec<_>, Vec<_>) = text.split(',').map(str::trim).filter(|s| !s.is_empty()).partition(|s| s.starts_with('-'));
        let parse = |names: Vec<&str>| names.into_iter().map(|n| n.trim_start_matches('-').parse()).collect::<anyhow::Result<Vec<Role>>>();
        match (parse(without)?, parse(only)?) {
            (without, only) if only.is_empty() => Ok(Self(self.0.iter().copied().filter(|role| !without.contains(role)).collect())),
            (without, only) if without.is_empty() => Ok(Self::only(only)),
            _ => anyhow::bail!("either names of roles to run or names with a minus to leave out, not both: `{text}`"),
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod names {
    use super::*;

    #[test]
    fn roles_are_named_or_left_out() {
        let all = Roles::default();
        let few = all.choose("gc, pv").unwrap();
        assert!(few.has(Role::Gc) && few.has(Role::Pv) && !few.has(Role::Cdi));
        let most = all.choose("-vsphere,-forklift").unwrap();
        assert!(!most.has(Role::Vsphere) && !most.has(Role::Forklift) && most.has(Role::Cdi));
        assert!(all.choose("gc,-pv").is_err());
        assert!(all.choose("scheduler").unwrap_err().to_string().contains("kubelet"));
    }

    #[test]
    fn beside_a_control_plane_less_is_left_out() {
        let roles = Roles::beside_control_plane().choose("-vsphere").unwrap();
        assert!(!roles.has(Role::Vsphere) && !roles.has(Role::Gc) && !roles.has(Role::Kubernetes));
        assert!(roles.has(Role::Kubelet) && roles.has(Role::Provisioner));
        assert!(roles.choose("gc").unwrap().has(Role::Gc));
    }
}
