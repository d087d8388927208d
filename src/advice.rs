//! What to look at when something goes wrong in a way that is known: words of conditions, reasons and logs, each with a sentence
//! that says how to go on. The words are Forklift's, KubeVirt's and those of storage arrays.

use crate::{engine::Failure, events::Trouble};

/// A known kind of trouble.
struct Known {
    /// One of these words, in any case, in one line of what is told.
    words: &'static [&'static str],
    /// And one of these in the same line, if there are any.
    with: &'static [&'static str],
    /// How to go on.
    advice: &'static str,
}

/// Beginning of what is told of a copy by the storage array; see `steps::offload`.
pub const POPULATOR: &str = "the populator of";

/// Advice on an image that cannot be pulled.
pub const IMAGE: &str = "a node cannot pull an image: look at its registry, pull secret and mirrors";

/// Advice on something that does not fit.
pub const ROOM: &str = "there is no room: look at the storage class's pool, quotas of the namespace, and the source's datastores";

const KNOWN: &[Known] = &[
    Known {
        words: &["401", "unauthorized", "authentication failed", "invalid credentials"],
        with: &[POPULATOR],
        advice: "storage_username and storage_password (or COPYOFFLOAD_STORAGE_USERNAME and COPYOFFLOAD_STORAGE_PASSWORD) must be a login of the array's management API",
    },
    Known {
        words: &["no such host", "connection refused", "no route to host", "i/o timeout", "deadline exceeded", "network is unreachable"],
        with: &[POPULATOR],
        advice: "storage_hostname (or COPYOFFLOAD_STORAGE_HOSTNAME) must be the array's management API as the cluster's pods reach it",
    },
    Known {
        words: &["storage mapper"],
        with: &["404", "is not one of", "not found"],
        advice: "storage_vendor_product and the vendor's own fields (ontap_svm, vantara_…, pure_cluster_prefix, …) must be those of this array",
    },
    Known {
        words: &["ssh access", "ssh key", "sshnotready"],
        with: &[POPULATOR, "sshnotready"],
        advice: "esxi_clone_method = \"ssh\" needs the SSH service of the ESXi host, and a login there that may write /etc/ssh/keys-root",
    },
    Known {
        words: &["vib "],
        with: &[POPULATOR],
        advice: "the extension (VIB) needs acceptance level CommunitySupported and an open firewall on the ESXi host; or set esxi_clone_method = \"ssh\"",
    },
    Known {
        words: &["to a lun", "resolve the volume"],
        with: &[POPULATOR],
        advice: "the storage class must be block storage on the same array as the datastore; look at its CSI driver",
    },
    Known {
        words: &["host with id"],
        with: &[POPULATOR],
        advice: "dedicated_migration_hosts takes managed object references of ESXi hosts, such as \"host-34\"",
    },
    Known {
        words: &["connectiontestfailed", "connectionfailed"],
        with: &[],
        advice: "Forklift cannot reach the source: the URL's suffix (/sdk, /ovirt-engine/api, :5000/v3), user, password, certificates, and the way from the cluster's pods",
    },
    Known {
        words: &["vmduplicatenadmappings", "vmmultiplepodnetworkmappings"],
        with: &[],
        advice: "two adapters of a VM are mapped to one destination network: take a VM whose adapters are on different networks",
    },
    Known {
        words: &["vddkinvalid", "vddkinitimageunavailable", "vddk init image"],
        with: &[],
        advice: "vddk_init_image of the profile must be an image with the VDDK that the cluster's nodes can pull",
    },
    Known {
        words: &["vmmissingchangedblocktracking"],
        with: &[],
        advice: "warm migrations need changed block tracking: the clone has it switched on, so look at its hardware version and snapshots",
    },
    Known {
        words: &["vmnotfound"],
        with: &[],
        advice: "Forklift's inventory does not have the VM: look at the source Provider, or give it more time with inventory_timeout",
    },
    Known {
        words: &["critical concerns", "vmcriticalconcerns", "preflightinspection"],
        with: &[],
        advice: "the inspection of the guest found what keeps it from being migrated: kubectl get conversions.forklift.konveyor.io -o yaml names it; run_preflight_inspection = false leaves it out",
    },
    Known {
        words: &["luks", "passphrase"],
        with: &["imageconversion"],
        advice: "an encrypted disk was not opened: Forklift was handed no passphrase for it, so take a VM without encrypted disks",
    },
    Known {
        words: &["step prehook", "step posthook"],
        with: &["failed"],
        advice: "a playbook failed: the log of the pod of its Job (label job-name) has Ansible's output",
    },
    Known {
        words: &["step imageconversion", "step disktransferv2v"],
        with: &["failed"],
        advice: "the log of the virt-v2v pod (label forklift.app=virt-v2v) says what the conversion stumbled over",
    },
    Known { words: &["exceeded quota", "no space left", "insufficient", "not enough free space"], with: &[], advice: ROOM },
    Known { words: &["imagepullbackoff", "errimagepull"], with: &[], advice: IMAGE },
];

/// How errors of this machine's own system calls end; what is known of clusters and sources is not about them.
const HERE: &str = "(os error ";

/// Advice on a full disk of this machine.
const FULL: &str = "the disk below the results folder is full: make room there, or choose another place with --results-dir";

/// Advice on these lines, each once.
fn on<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<&'static str> {
    let (here, lines): (Vec<String>, Vec<String>) =
        lines.into_iter().map(str::to_lowercase).partition(|line| line.contains(HERE) && !line.contains(POPULATOR));
    let holds = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
    let fits = |known: &&Known| lines.iter().any(|line| holds(line, known.words) && (known.with.is_empty() || holds(line, known.with)));
    let full = here.iter().any(|line| holds(line, &["no space left", "quota exceeded"])).then_some(FULL);
    KNOWN.iter().filter(fits).map(|known| known.advice).chain(full).collect()
}

/// Adds advice to what went wrong.
pub fn advised(failure: Failure) -> Failure {
    match failure {
        Failure::Failed(trouble) => Failure::Failed(add(trouble)),
        Failure::Errored(trouble) => Failure::Errored(add(trouble)),
        Failure::Interrupted => Failure::Interrupted,
    }
}

fn add(mut trouble: Trouble) -> Trouble {
    let lines = std::iter::once(trouble.summary.as_str()).chain(trouble.details.iter().map(String::as_str));
    let advice = on(lines);
    let new: Vec<String> =
        advice.into_iter().filter(|advice| !trouble.hints.iter().any(|hint| hint == advice)).map(str::to_owned).collect();
    // What is known of this trouble comes before what can be said of any.
    trouble.hints.splice(0..0, new);
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every entry has a line that it is for, and lines of good runs have none.
    #[test]
    fn each_known_trouble_has_its_advice() {
        let lines = [
            (
                "VM a failed in step DiskTransfer: the populator of [ds] a/a.vmdk says: failed to initialize ontap storage mapper with 401 Unauthorized",
                "storage_password",
            ),
            ("the populator of [ds] a/a.vmdk says: dial tcp: lookup array: no such host", "storage_hostname"),
            (
                "the populator of [ds] a/a.vmdk says: failed to initialize vantara storage mapper with 404 page not found",
                "storage_vendor_product",
            ),
            (
                "the populator of [ds] a/a.vmdk says: failed to enable SSH access: manual SSH key configuration required",
                "esxi_clone_method",
            ),
            ("the populator of [ds] a/a.vmdk says: failed to ensure VIB is installed: vib denied", "CommunitySupported"),
            ("the populator of [ds] a/a.vmdk says: failed to resolve the volume of storage class x to a LUN of y", "same array"),
            ("the populator of [ds] a/a.vmdk says: didn't find any host with id host-9", "dedicated_migration_hosts"),
            ("Provider ns/p cannot become Ready: ConnectionTestFailed (Tested): login failed", "/ovirt-engine/api"),
            ("Plan ns/p cannot become Ready: VMDuplicateNADMappings (NotValid): x [vm-1]", "different networks"),
            ("Plan ns/p cannot become Ready: VDDKInvalid (NotSet): VDDK init image is invalid", "vddk_init_image"),
            ("Plan ns/p cannot become Ready: VMMissingChangedBlockTracking: x", "changed block tracking"),
            ("Plan ns/p cannot become Ready: VMNotFound (NotFound): x", "inventory_timeout"),
            ("VM a failed in step PreflightInspection: VM has critical concerns", "conversions.forklift"),
            ("VM a failed in step ImageConversion: wrong LUKS passphrase", "encrypted disk"),
            ("VM a failed in step PostHook: Job has reached the specified backoff limit", "job-name"),
            ("VM a failed in step ImageConversion: exit status 1", "virt-v2v"),
            ("VM a failed in step DiskTransfer: exceeded quota: storage", "no room"),
            ("container gather cannot start: ImagePullBackOff no such manifest", "pull secret"),
        ];
        let mut seen = Vec::new();
        for (line, words) in lines {
            let advice = on([line]);
            assert!(advice.iter().any(|advice| advice.contains(words)), "{line}: {advice:?}");
            seen.extend(advice);
        }
        for known in KNOWN {
            assert!(seen.contains(&known.advice), "no line of this test is for: {}", known.advice);
        }
        assert_eq!(on(["failed to write the journal", "No space left on device (os error 28)"]), [FULL]);
        for line in [
            "a: power state - power: expected on, actual off (Stopped)",
            "timed out after 10s waiting for Secret ns/x to hold MTV's SSH key",
        ] {
            assert_eq!(on([line]), Vec::<&str>::new(), "{line}");
        }
    }

    #[test]
    fn advice_comes_first_and_once() {
        let failure =
            Failure::Failed(Trouble::new("VM a failed in step PostHook: x").detail("VM b failed in step PostHook: y").hint("general"));
        let Failure::Failed(trouble) = advised(failure) else { panic!() };
        assert_eq!(trouble.hints.len(), 2);
        assert_eq!(trouble.hints[1], "general");
    }
}
