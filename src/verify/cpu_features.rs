//! CPU features: a Plan that says whether guests may run virtual machines of their own decides about the instructions for that, of
//! Intel (vmx) and of AMD (svm).

use super::{Check, Comparison, Finding, NONE, Subject};
use crate::config::profile::ProviderKind;

/// Instructions for nested virtualization.
pub struct CpuFeatures;

/// Their names in `domain.cpu.features`.
const NESTED: [&str; 2] = ["vmx", "svm"];

impl Check for CpuFeatures {
    fn name(&self) -> &'static str {
        "cpu features"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if subject.kind == ProviderKind::Openshift {
            return Some("VMs of an OpenShift source keep their own".to_owned());
        }
        subject.scenario.enable_nested_virtualization.is_none().then(|| "the scenario does not say enable_nested_virtualization".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let Some(enabled) = subject.scenario.enable_nested_virtualization else { return };
        for feature in NESTED {
            let policy = subject.target.cpu_features.get(feature).map_or(NONE, String::as_str);
            let good = if enabled { policy != "disable" && policy != "forbid" } else { policy == "disable" };
            let expected = if enabled { "optional" } else { "disable" };
            seen.judge(good, Finding::new(format!("policy of {feature}"), expected, policy));
        }
    }
}
