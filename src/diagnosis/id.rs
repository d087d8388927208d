//! The stable names of failures. `docs/troubleshooting.md` has a section for each of them.

use serde::{Serialize, Serializer};

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// The stable name of a kind of failure: it never changes its meaning, and is documented in `docs/troubleshooting.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Id {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Id {
            /// Every id, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name, as in events, in the `type` of JUnit's failures and in the documentation.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Name of the variant in the code, for the test that looks for the places that produce it.
            #[cfg(test)]
            pub(super) const fn variant(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }
    };
}

ids! {
    /// A check found a migrated VM different from its source or from its scenario.
    CheckFailed = "check.failed",
    /// A VM that must exist after a migration does not.
    VmMissing = "check.vm-missing",

    /// A condition keeps a Plan from becoming Ready.
    PlanNotReady = "plan.not-ready",
    /// Forklift does not find a VM of the Plan.
    PlanVmNotFound = "plan.not-ready.vm-not-found",
    /// A condition keeps a NetworkMap or StorageMap from becoming Ready.
    MapNotReady = "map.not-ready",
    /// A condition keeps a Provider from becoming Ready.
    ProviderNotReady = "provider.not-ready",
    /// Forklift cannot connect to the source of a Provider.
    ProviderConnectionFailed = "provider.not-ready.connection-failed",
    /// A condition keeps another object of Forklift from becoming Ready.
    ObjectNotReady = "object.not-ready",
    /// An object was deleted during a wait for it.
    ObjectDeleted = "object.deleted",
    /// An object of this name exists and does not belong to the run.
    ObjectExists = "object.exists",
    /// An object that is needed does not exist.
    ObjectMissing = "object.missing",
    /// Other clients kept changing an object.
    ObjectConflict = "object.conflict",

    /// A migration failed in a step without an id of its own.
    MigrationFailed = "migration.failed",
    /// The playbook of a hook failed.
    MigrationHookFailed = "migration.hook-failed",
    /// virt-v2v could not convert a guest.
    MigrationConversionFailed = "migration.conversion-failed",
    /// A disk could not be copied.
    MigrationDiskTransferFailed = "migration.disk-transfer-failed",
    /// The inspection before a migration found what keeps a guest from being migrated.
    MigrationInspectionFailed = "migration.inspection-failed",
    /// A migration was canceled by somebody else.
    MigrationCanceled = "migration.canceled",
    /// A migration did not end in time.
    MigrationTimeout = "migration.timeout",
    /// A warm migration succeeded without a precopy.
    MigrationNoPrecopy = "migration.no-precopy",
    /// Plans that must run at the same time did not.
    MigrationNotConcurrent = "migration.not-concurrent",
    /// A migration succeeded that had to fail, or failed otherwise than the scenario expects.
    MigrationUnexpected = "migration.unexpected-outcome",

    /// The storage array refused the login of a populator.
    OffloadArrayAuthRefused = "offload.array-auth-refused",
    /// A populator could not reach the storage array.
    OffloadArrayUnreachable = "offload.array-unreachable",
    /// A populator could not copy a disk with the storage array.
    OffloadCopyFailed = "offload.copy-failed",
    /// The profile lacks what copy-offload needs.
    OffloadNotConfigured = "offload.not-configured",
    /// Forklift did not create the Secret of a Plan with copy-offload.
    OffloadSecretMissing = "offload.secret-missing",

    /// The source refused the login.
    SourceAuthRefused = "source.auth-refused",
    /// There is no connection to the source.
    SourceUnreachable = "source.unreachable",
    /// The certificate of the source is not trusted.
    SourceCertificateUntrusted = "source.certificate-untrusted",
    /// An object of the source does not exist, or exists twice.
    SourceNotFound = "source.not-found",
    /// The source refused or failed an operation.
    SourceOperationFailed = "source.operation-failed",
    /// The source did not finish an operation in time.
    SourceTimeout = "source.timeout",
    /// The source does not support an operation.
    SourceUnsupported = "source.unsupported",
    /// The source VM does not have what the scenario is about.
    SourceVmUnsuitable = "source.vm-unsuitable",

    /// There is no connection to the cluster.
    ClusterUnreachable = "cluster.unreachable",
    /// The cluster refused the login.
    ClusterAuthRefused = "cluster.auth-refused",
    /// The login lacks a right.
    ClusterForbidden = "cluster.forbidden",
    /// The certificate of the API server is not trusted.
    ClusterCertificateUntrusted = "cluster.certificate-untrusted",
    /// The API server did not answer in time.
    ClusterTimeout = "cluster.timeout",
    /// The API server refused or failed a request.
    ClusterRequestFailed = "cluster.request-failed",
    /// A watch of the cluster ended for good.
    ClusterWatchLost = "cluster.watch-lost",
    /// No cluster is configured, or its kubeconfig cannot be used.
    ClusterNotConfigured = "cluster.not-configured",
    /// The login of the kubeconfig could not be obtained.
    ClusterLoginUnusable = "cluster.login-unusable",
    /// A rule protects the cluster from runs.
    ClusterProtected = "cluster.protected",
    /// The cluster is not the one that the journal belongs to.
    ClusterMismatch = "cluster.mismatch",
    /// The cluster has no node that the scenario can use.
    ClusterNoNode = "cluster.no-node",
    /// The cluster has no usable StorageClass.
    ClusterNoStorageClass = "cluster.no-storage-class",

    /// MTV is not installed, or not in this namespace.
    MtvNotInstalled = "mtv.not-installed",
    /// Pods of MTV do not run.
    MtvNotRunning = "mtv.not-running",
    /// The inventory refused the login to the cluster.
    InventoryRefused = "inventory.refused",
    /// The certificate of the inventory's Route is not trusted.
    InventoryCertificateUntrusted = "inventory.certificate-untrusted",
    /// A VM did not appear in the inventory in time.
    InventoryTimeout = "inventory.timeout",

    /// The SSH server of a guest refused the login.
    GuestSshRefused = "guest.ssh-refused",
    /// There is no SSH connection to a guest.
    GuestSshUnreachable = "guest.ssh-unreachable",
    /// The SSH server has another host key than expected.
    GuestHostKeyMismatch = "guest.host-key-mismatch",
    /// The guest of a source VM could not be prepared.
    GuestPreparationFailed = "guest.preparation-failed",

    /// A wait timed out.
    WaitTimeout = "wait.timeout",
    /// A step did not end in time.
    StepTimeout = "step.timeout",
    /// The user or a signal interrupted the run.
    ScenarioInterrupted = "scenario.interrupted",
    /// Something that a selected scenario needs is missing.
    ScenarioRequirementMissing = "scenario.requirement-missing",
    /// The run had not ended when the report was written.
    RunUnfinished = "run.unfinished",
    /// An error of the environment without an id of its own.
    RunEnvironment = "run.environment",

    /// Objects were left behind.
    TeardownLeftovers = "teardown.leftovers",
    /// An object was left alone, because it is not provably the run's.
    TeardownNotOwned = "teardown.not-owned",
    /// Something could not be deleted.
    TeardownFailed = "teardown.failed",
    /// A teardown did not end in time.
    TeardownTimeout = "teardown.timeout",
    /// A provider profile that the teardown needs cannot be used.
    TeardownProfileUnusable = "teardown.profile-unusable",
    /// must-gather failed.
    MustGatherFailed = "must-gather.failed",
    /// must-gather did not end in time.
    MustGatherTimeout = "must-gather.timeout",

    /// A defect of mtv-test.
    ToolPanicked = "tool.panicked",
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
