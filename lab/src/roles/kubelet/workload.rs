//! What a pod stands for, told by its labels and containers.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// How long a container works that checks something or runs a playbook.
pub(super) const BRIEF: Duration = Duration::from_secs(3);

/// What runs in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// virt-v2v: copies and converts the disks of a VM.
    Conversion,
    /// Inspection of a snapshot before a warm migration.
    Inspection,
    /// A populator: fills a volume.
    Population,
    /// An Ansible playbook of a Forklift Hook.
    Hook,
    /// MTV's must-gather beside a container that keeps what it wrote.
    Gather,
    /// Something that ends by itself: a validator, a claim's first consumer.
    Brief,
    /// Something that runs until it is deleted.
    Service,
}

/// How a workload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Exit code 0.
    Success,
    /// Exit code 1.
    Failure,
}

impl Workload {
    /// What runs in this pod.
    pub(super) fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let gathers = |c: &k8s_openapi::api::core::v1::Container| {
            c.command.iter().chain(&c.args).flatten().any(|word| word.contains("/usr/bin/targeted") || word.contains("/usr/bin/gather"))
        };
        let container = |name: &str| spec.is_some_and(|s| s.containers.iter().any(|c| c.name == name));
        match pod.labels().get("forklift.app").map(String::as_str) {
            Some("virt-v2v") => Self::Conversion,
            Some("deep-inspection") => Self::Inspection,
            _ if spec.is_some_and(|s| s.containers.iter().any(gathers)) => Self::Gather,
            _ if container("virt-v2v") => Self::Conversion,
            _ if super::populate::is(pod) => Self::Population,
            _ if container("hook") && pod.labels().contains_key("job-name") => Self::Hook,
            _ if spec.and_then(|s| s.restart_policy.as_deref()).is_some_and(|p| p == "Never" || p == "OnFailure")
                && !pod.labels().contains_key("kubevirt.io") =>
            {
                Self::Brief
            }
            _ => Self::Service,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_known_by_what_they_carry() {
        let table = [
            (json!({ "metadata": { "labels": { "forklift.app": "virt-v2v" } } }), Workload::Conversion),
            (json!({ "metadata": { "labels": { "forklift.app": "deep-inspection" } } }), Workload::Inspection),
            (
                json!({ "metadata": { "labels": { "job-name": "x" } }, "spec": { "containers": [{ "name": "hook" }], "restartPolicy": "Never" } }),
                Workload::Hook,
            ),
            (json!({ "spec": { "containers": [{ "name": "validator" }], "restartPolicy": "Never" } }), Workload::Brief),
            (
                json!({ "metadata": { "labels": { "kubevirt.io": "virt-launcher" } }, "spec": { "containers": [{ "name": "compute" }], "restartPolicy": "Never" } }),
                Workload::Service,
            ),
            (json!({ "spec": { "containers": [{ "name": "main" }] } }), Workload::Service),
            (
                json!({ "spec": { "containers": [{ "name": "gather", "command": ["bash", "-c", "/usr/bin/targeted; sync"] }, { "name": "copy" }], "restartPolicy": "Never" } }),
                Workload::Gather,
            ),
        ];
        for (pod, expected) in table {
            assert_eq!(Workload::of(&serde_json::from_value(pod.clone()).unwrap()), expected, "{pod}");
        }
    }
}
