//! Known issues: which ids, conditions, pipeline steps, waiting reasons and foreign error texts are known, and how to go on.
//!
//! Only words of other programs are searched, and only in the [`Fact`]s that hold them: the texts of storage arrays, virt-v2v,
//! Forklift, Kubernetes and sources. Our own sentences are never matched.

use super::{Diagnosis, Fact, Id, Speaker};

/// What makes an issue known.
enum When {
    /// A blocking condition of one of these types.
    Condition(&'static [&'static str]),
    /// A failed step of the pipeline.
    FailedStep(&'static [&'static str]),
    /// A container that waits for one of these reasons.
    Waiting(&'static [&'static str]),
    /// One of the first words in a text of this speaker, and one of the second words if there are any; in lower case.
    Said(Speaker, &'static [&'static str], &'static [&'static str]),
    /// One of these words in a text of anybody else's program.
    Anybody(&'static [&'static str]),
    /// This id.
    Is(Id),
    /// A system call of this machine failed with one of these error numbers.
    Os(&'static [i32]),
}

/// A known issue.
struct Known {
    /// It applies if any of these holds.
    when: &'static [When],
    /// How to go on.
    advice: &'static str,
}

/// Advice on an image that cannot be pulled.
pub const IMAGE: &str = "a node cannot pull an image: look at its registry, pull secret and mirrors";

/// Advice on something that does not fit.
const ROOM: &str = "there is no room: look at the storage class's pool, quotas of the namespace, and the source's datastores";

/// Advice on a full disk of this machine.
const FULL: &str = "the disk below the results folder is full: make room there, or choose another place with --results-dir";

/// `ENOSPC` and `EDQUOT`.
const NO_SPACE: &[i32] = &[28, 122];

/// How arrays say that they refuse a login.
const REFUSED: &[&str] = &["401", "unauthorized", "authentication failed", "invalid credentials"];

/// How Go says that there is no connection.
const UNREACHABLE: &[&str] =
    &["no such host", "connection refused", "no route to host", "i/o timeout", "deadline exceeded", "network is unreachable"];

const KNOWN: &[Known] = &[
    Known {
        when: &[When::Is(Id::OffloadArrayAuthRefused)],
        advice: "storage_username and storage_password (or COPYOFFLOAD_STORAGE_USERNAME and COPYOFFLOAD_STORAGE_PASSWORD) must be a login of the array's management API",
    },
    Known {
        when: &[When::Is(Id::OffloadArrayUnreachable)],
        advice: "storage_hostname (or COPYOFFLOAD_STORAGE_HOSTNAME) must be the array's management API as the cluster's pods reach it",
    },
    Known {
        when: &[When::Said(Speaker::Populator, &["storage mapper"], &["404", "is not one of", "not found"])],
        advice: "storage_vendor_product and the vendor's own fields (ontap_svm, vantara_…, pure_cluster_prefix, …) must be those of this array",
    },
    Known {
        when: &[When::Said(Speaker::Populator, &["ssh access", "ssh key"], &[]), When::Condition(&["SSHNotReady"])],
        advice: "esxi_clone_method = \"ssh\" needs the SSH service of the ESXi host, and a login there that may write /etc/ssh/keys-root",
    },
    Known {
        when: &[When::Said(Speaker::Populator, &["vib"], &[])],
        advice: "the extension (VIB) needs acceptance level CommunitySupported and an open firewall on the ESXi host; or set esxi_clone_method = \"ssh\"",
    },
    Known {
        when: &[When::Said(Speaker::Populator, &["to a lun", "resolve the volume"], &[])],
        advice: "the storage class must be block storage on the same array as the datastore; look at its CSI driver",
    },
    Known {
        when: &[When::Said(Speaker::Populator, &["host with id"], &[])],
        advice: "dedicated_migration_hosts takes managed object references of ESXi hosts, such as \"host-34\"",
    },
    Known {
        when: &[When::Condition(&["ConnectionTestFailed", "ConnectionFailed"]), When::Is(Id::ProviderConnectionFailed)],
        advice: "Forklift cannot reach the source: the URL's suffix (/sdk, /ovirt-engine/api, :5000/v3), user, password, certificates, and the way from the cluster's pods",
    },
    Known {
        when: &[When::Condition(&["VMDuplicateNADMappings", "VMMultiplePodNetworkMappings"])],
        advice: "two adapters of a VM are mapped to one destination network: take a VM whose adapters are on different networks",
    },
    Known {
        when: &[
            When::Condition(&["VDDKInvalid", "VDDKInitImageUnavailable"]),
            When::Said(Speaker::Condition, &["vddk init image"], &[]),
            When::Said(Speaker::Pipeline, &["vddk init image"], &[]),
        ],
        advice: "vddk_init_image of the profile must be an image with the VDDK that the cluster's nodes can pull",
    },
    Known {
        when: &[When::Condition(&["VMMissingChangedBlockTracking"])],
        advice: "warm migrations need changed block tracking: the clone has it switched on, so look at its hardware version and snapshots",
    },
    Known {
        when: &[When::Condition(&["VMNotFound"]), When::Is(Id::PlanVmNotFound)],
        advice: "Forklift's inventory does not have the VM: look at the source Provider, or give it more time with inventory_timeout",
    },
    Known {
        when: &[
            When::Condition(&["VMCriticalConcerns"]),
            When::FailedStep(&["PreflightInspection"]),
            When::Said(Speaker::Pipeline, &["critical concerns"], &[]),
            When::Said(Speaker::Condition, &["critical concerns"], &[]),
        ],
        advice: "the inspection of the guest found what keeps it from being migrated: kubectl get conversions.forklift.konveyor.io -o yaml names it; run_preflight_inspection = false leaves it out",
    },
    Known {
        when: &[When::Said(Speaker::Pipeline, &["luks", "passphrase"], &[])],
        advice: "an encrypted disk was not opened: Forklift was handed no passphrase for it, so take a VM without encrypted disks",
    },
    Known {
        when: &[When::FailedStep(&["PreHook", "PostHook"])],
        advice: "a playbook failed: the log of the pod of its Job (label job-name) has Ansible's output",
    },
    Known {
        when: &[When::FailedStep(&["ImageConversion", "DiskTransferV2v"])],
        advice: "the log of the virt-v2v pod (label forklift.app=virt-v2v) says what the conversion stumbled over",
    },
    Known { when: &[When::Anybody(&["exceeded quota", "no space left", "insufficient", "not enough free space"])], advice: ROOM },
    Known { when: &[When::Waiting(&["ImagePullBackOff", "ErrImagePull"])], advice: IMAGE },
    Known { when: &[When::Os(NO_SPACE)], advice: FULL },
];

/// Whether a text of somebody else holds one of these words, in any case and not as a part of another word.
fn holds(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    words.iter().any(|word| {
        text.match_indices(word).any(|(at, found)| {
            !text[..at].chars().next_back().is_some_and(part) && !text[at + found.len()..].chars().next().is_some_and(part)
        })
    })
}

impl When {
    fn fits(&self, diagnosis: &Diagnosis) -> bool {
        let any = |fits: &dyn Fn(&Fact) -> bool| diagnosis.facts.iter().any(fits);
        match self {
            Self::Condition(kinds) => any(&|fact| matches!(fact, Fact::Condition { kind, .. } if kinds.contains(&kind.as_str()))),
            Self::FailedStep(steps) => any(&|fact| matches!(fact, Fact::FailedStep(step) if steps.contains(&step.as_str()))),
            Self::Waiting(reasons) => any(&|fact| matches!(fact, Fact::Waiting(reason) if reasons.contains(&reason.as_str()))),
            Self::Said(speaker, words, with) => any(
                &|fact| matches!(fact, Fact::Said { by, text } if by == speaker && holds(text, words) && (with.is_empty() || holds(text, with))),
            ),
            Self::Anybody(words) => any(&|fact| matches!(fact, Fact::Said { text, .. } if holds(text, words))),
            Self::Is(id) => diagnosis.id == *id,
            Self::Os(numbers) => any(&|fact| matches!(fact, Fact::Os(number) if numbers.contains(number))),
        }
    }
}

/// Advice on what is known of a diagnosis, each once.
pub fn hints(diagnosis: &Diagnosis) -> Vec<&'static str> {
    KNOWN.iter().filter(|known| known.when.iter().any(|when| when.fits(diagnosis))).map(|known| known.advice).collect()
}

/// Adds advice: what is known of this failure comes before what can be said of any.
#[must_use]
pub fn advise(mut diagnosis: Diagnosis) -> Diagnosis {
    let new: Vec<String> =
        hints(&diagnosis).into_iter().filter(|advice| !diagnosis.hints.iter().any(|hint| hint == advice)).map(str::to_owned).collect();
    diagnosis.hints.splice(0..0, new);
    diagnosis
}

/// What the words of a populator, which are those of the array and of Go, make of its failure.
pub fn of_populator(said: &str) -> Id {
    if holds(said, REFUSED) {
        Id::OffloadArrayAuthRefused
    } else if holds(said, UNREACHABLE) {
        Id::OffloadArrayUnreachable
    } else {
        Id::OffloadCopyFailed
    }
}

/// All advice, for the test that holds it against what producers make.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.advice)
}
