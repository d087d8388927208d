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

    proptest! {
        #[test]
        fn a_clone_is_known_by_its_source(source in "[a-zA-Z0-9_. -]{1,80}", scenario in 0usize..500, vm in 0usize..20) {
            let name = clone("abcdefghij", &source, scenario, vm);
            prop_assert!(is_clone_of("abcdefghij", &source, &name));
            prop_assert!(!is_clone_of("abcdefghik", &source, &name));
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
