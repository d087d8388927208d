//! Names of everything that a run creates. All hold the run id, so that two runs never meet and a clone tells whose it is.

use sha2::{Digest as _, Sha256};

/// Label on every object that a run creates on the cluster.
pub const RUN_LABEL: &str = "mtv-test.io/run";

/// Label that names the scenario an object belongs to.
pub const SCENARIO_LABEL: &str = "mtv-test.io/scenario";

/// Longest name of a Kubernetes object that becomes a label or a host name (RFC 1123), and of a clone.
const LONGEST: usize = 63;

/// Longest name of a Plan: MTV calls a Job `vddk-validator-` and that, the API server adds five characters, and the Job's pods
/// carry its name in a label.
const LONGEST_PLAN: usize = LONGEST - "vddk-validator-".len() - 5;

/// Lower-case letters and digits without those that are read as one another: 32 characters, 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A new run id: 10 characters, 50 random bits.
///
/// # Errors
/// The operating system gives no random numbers.
pub fn run_id() -> anyhow::Result<String> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the operating system gives no random numbers: {e}"))?;
    Ok(bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect())
}

/// Whether a text can be the ID of a run: ten lower-case letters and digits.
pub fn is_run_id(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Namespace of a run's source VMs on an OpenShift source.
pub fn source_namespace(run: &str) -> String {
    format!("mtv-test-{run}-source-vms")
}

/// Prefix of the names of must-gather's namespaces and bindings; the run ID and four hexadecimal digits follow.
pub const GATHER: &str = "mtv-test-gather";

/// Whether a namespace has a name that holds the run ID where runs write it: `PREFIX-RUN`, the namespace of source VMs, or one of
/// must-gather. Namespaces that scenarios name are not among them.
pub fn is_own_namespace(run: &str, name: &str) -> bool {
    let prefixed = name == run || name.strip_suffix(run).is_some_and(|prefix| prefix.ends_with('-'));
    is_run_id(run) && (prefixed || name == source_namespace(run) || is_gather(run, name))
}

/// Whether a name is one of must-gather's in this run.
pub fn is_gather(run: &str, name: &str) -> bool {
    let digits = name.strip_prefix(GATHER).and_then(|rest| rest.strip_prefix('-')?.strip_prefix(run)?.strip_prefix('-'));
    is_run_id(run) && digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a name is one that a run gives to a clone, of whichever VM: `mtv-test-RUN-…-SCENARIO-VM`.
pub fn is_clone(run: &str, name: &str) -> bool {
    let number = |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let Some(rest) = name.strip_prefix("mtv-test-").and_then(|rest| rest.strip_prefix(run)?.strip_prefix('-')) else { return false };
    let mut parts = rest.rsplitn(3, '-');
    let (vm, scenario) = (parts.next(), parts.next());
    is_run_id(run) && number(vm) && number(scenario)
}

/// Whether a NetworkAttachmentDefinition has a name that this run gives to those of a scenario: the base, or the base and a number.
pub fn is_nad(run: &str, scenario: &str, name: &str) -> bool {
    let Some(rest) = name.strip_prefix(&nad_base(run, scenario)) else { return false };
    rest.is_empty() || rest.strip_prefix('-').is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a namespace belongs to the cluster itself: nothing deletes it, whatever a file or a label says.
pub fn is_of_the_system(namespace: &str) -> bool {
    matches!(namespace, "default" | "openshift") || ["kube-", "openshift-"].iter().any(|prefix| namespace.starts_with(prefix))
}

/// Namespace of a run.
pub fn namespace(prefix: &str, run: &str) -> String {
    let prefix: String = prefix.chars().take(LONGEST - 1 - run.len()).collect();
    format!("{}-{run}", prefix.trim_end_matches('-')).trim_start_matches('-').to_owned()
}

/// Name of a clone: run, source, and where it stands in the run. A source name that is no DNS label is made one, so that
/// Forklift need not rename the VM.
pub fn clone(run: &str, source: &str, scenario: usize, vm: usize) -> String {
    let tail = format!("-{scenario}-{vm}");
    let head = format!("mtv-test-{run}-");
    let source: String = dns_label(source).chars().take(LONGEST - head.len() - tail.len()).collect();
    format!("{head}{}{tail}", source.trim_end_matches('-'))
}

/// Whether `clone` is a name that [`clone`] gives to a clone of this VM in this run.
pub fn is_clone_of(run: &str, source: &str, clone: &str) -> bool {
    let mut parts = clone.rsplitn(3, '-');
    let (vm, scenario) = (parts.next().and_then(|n| n.parse().ok()), parts.next().and_then(|n| n.parse().ok()));
    matches!((scenario, vm), (Some(scenario), Some(vm)) if self::clone(run, source, scenario, vm) == clone)
}

/// As [`clone`], with the name as it is: upper case and underscores are left, and Forklift has to rename the VM.
pub fn clone_as_is(run: &str, source: &str, scenario: usize, vm: usize) -> String {
    let tail = format!("-{scenario}-{vm}");
    let head = format!("mtv-test-{run}-");
    let source: String = source.chars().filter(|c| !c.is_control()).take(LONGEST - head.len() - tail.len()).collect();
    format!("{head}{}{tail}", source.trim_end_matches('-'))
}

/// Base of the NetworkAttachmentDefinitions of a scenario. Bridges are named like them, and Linux allows 15 characters.
pub fn nad_base(run: &str, scenario: &str) -> String {
    let digest = Sha256::digest(format!("{run}\0{scenario}"));
    format!("cb-{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2])
}

/// Name of an object of a scenario inside the run's own namespace.
pub fn object(scenario: &str) -> String {
    let label = dns_label(scenario);
    label.chars().take(LONGEST).collect::<String>().trim_end_matches('-').to_owned()
}

/// Name of an object of one of a scenario's Plans, if it has several: two dashes keep it from being another scenario's.
pub fn plan_object(scenario: &str, plan: Option<&str>) -> String {
    let name = plan.map_or_else(|| object(scenario), |plan| format!("{}--{plan}", object(scenario)));
    if name.len() <= LONGEST_PLAN {
        return name;
    }
    // What is cut off must still tell two apart.
    let digest = Sha256::digest(name.as_bytes());
    let tail: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    let start: String = name.chars().take(LONGEST_PLAN - 1 - tail.len()).collect();
    format!("{}-{tail}", start.trim_end_matches('-'))
}

/// Lower case, with everything else than letters, digits and dashes made a dash.
fn dns_label(name: &str) -> String {
    let mut label = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.ends_with('-') {
            label.push('-');
        }
    }
    label.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_names_of_plans_are_cut_and_still_differ() {
        let short = "copyoffload-multi-disk-different-path";
        assert_eq!(plan_object(short, None), short);
        let names = ["a", "b"].map(|plan| plan_object("copyoffload-multi-disk-different-datastore-path", Some(plan)));
        assert!(names[0] != names[1] && names.iter().all(|n| n.len() <= 43 && n.starts_with("copyoffload-multi-disk-")), "{names:?}");
    }

    #[test]
    fn run_ids_differ() {
        let (a, b) = (run_id().unwrap(), run_id().unwrap());
        assert_eq!(a.len(), 10);
        assert_ne!(a, b);
    }

    #[test]
    fn namespaces_of_a_run_hold_its_id_where_runs_write_it() {
        let run = "abcdefghij";
        for (name, expected) in [
            ("mtv-test-abcdefghij", true),
            ("team-x-abcdefghij", true),
            ("abcdefghij", true),
            ("mtv-test-abcdefghij-source-vms", true),
            ("mtv-test-gather-abcdefghij-0af9", true),
            ("mtv-test-gather-abcdefghij-0af9-mine", false),
            ("mtv-test-abcdefghij-mine", false),
            ("xabcdefghij", false),
            ("debug", false),
            ("kube-system", false),
        ] {
            assert_eq!(is_own_namespace(run, name), expected, "{name}");
        }
        assert!(!is_own_namespace("", "mtv-test-"), "no run has no namespace");
        assert!(is_own_namespace(run, &namespace("mtv-test", run)) && is_own_namespace(run, &namespace(&"x".repeat(80), run)));
        assert!(is_own_namespace(run, &namespace(GATHER, &format!("{run}-00ff"))));
    }

    #[test]
    fn copies_of_clones_have_names_that_no_run_gives() {
        let run = "abcdefghij";
        assert!(is_clone(run, &clone(run, "mtv-tests-rhel8", 0, 3)) && is_clone(run, &clone_as_is(run, "Win_2019", 12, 0)));
        for name in ["my-debug-vm", "mtv-test-abcdefghij-rhel8-0-0-copy", "mtv-test-abcdefghij-rhel8", "mtv-test-abcdefghik-rhel8-0-0"] {
            assert!(!is_clone(run, name), "{name}");
        }
        assert!(!is_clone("", "mtv-test--rhel8-0-0"));
        let base = nad_base(run, "warm");
        assert!(is_nad(run, "warm", &base) && is_nad(run, "warm", &format!("{base}-2")) && !is_nad(run, "warm", &format!("{base}-copy")));
        assert!(!is_nad(run, "cold", &base));
    }

    proptest! {
        #[test]
        fn a_clone_is_known_by_its_source(source in "[a-zA-Z0-9_. -]{1,80}", scenario in 0usize..500, vm in 0usize..20) {
            let name = clone("abcdefghij", &source, scenario, vm);
            prop_assert!(is_clone("abcdefghij", &name) && is_clone("abcdefghij", &clone_as_is("abcdefghij", &source, scenario, vm)));
            prop_assert!(is_clone_of("abcdefghij", &source, &name));
            prop_assert!(!is_clone_of("abcdefghik", &source, &name));
        }

        /// Names of other sources are no clones of this one, also where one is the beginning of the other.
        #[test]
        fn a_clone_is_not_one_of_another_source(source in "[a-z][a-z0-9]{1,20}", more in "[a-z0-9]{1,10}", scenario in 0usize..500, vm in 0usize..20) {
            let name = clone("abcdefghij", &format!("{source}{more}"), scenario, vm);
            prop_assert!(!is_clone_of("abcdefghij", &source, &name), "{name}");
        }

        #[test]
        fn names_are_dns_labels(source in ".{0,80}", scenario in 0usize..500, vm in 0usize..20) {
            for name in [clone("abcdefghij", &source, scenario, vm), namespace("mtv-test", "abcdefghij"), nad_base("r", &source)] {
                prop_assert!(name.len() <= LONGEST, "{name}");
                prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
                prop_assert!(!name.starts_with('-') && !name.ends_with('-'), "{name}");
            }
            prop_assert!(nad_base("r", &source).len() <= 12);
        }
    }
}
