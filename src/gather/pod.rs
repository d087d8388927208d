//! The pod that gathers, and what stands around it: as `oc adm must-gather` makes them.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::Target;
use crate::cluster::ObjectExt as _;

/// Container that runs the image's script.
pub(super) const GATHER: &str = "gather";

/// Container that keeps the files until they are fetched.
pub(super) const COPY: &str = "copy";

/// Where the image writes.
pub(super) const FOLDER: &str = "/must-gather";

/// Reasons of a waiting container that do not go away by themselves.
const HOPELESS: [&str; 6] =
    ["ImagePullBackOff", "ErrImagePull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/// The namespace. What gathers reads logs of nodes: no restriction holds it back.
pub(super) fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": name, "annotations": { "openshift.io/node-selector": "" }, "labels": {
            "pod-security.kubernetes.io/enforce": "privileged",
            "pod-security.kubernetes.io/audit": "privileged",
            "pod-security.kubernetes.io/warn": "privileged",
            "security.openshift.io/scc.podSecurityLabelSync": "false",
        } },
    })
}

/// Lets the namespace's default account read everything.
pub(super) fn binding(name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": name }],
    })
}

/// The pod. The script is the image's own: `NS=… PLAN=… VM=… /usr/bin/targeted`, or `/usr/bin/gather` for everything.
pub(super) fn pod(namespace: &str, image: &str, target: &Target, mtv_namespace: &str) -> Value {
    let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
    let (script, mut env) = match &target.plan {
        Some((namespace, plan)) => ("/usr/bin/targeted", vec![variable("NS", namespace), variable("PLAN", plan)]),
        None => ("/usr/bin/gather", vec![variable("NS", mtv_namespace)]),
    };
    env.extend(target.vm.iter().map(|vm| variable("VM", vm)));
    let mounts = json!([{ "name": "must-gather-output", "mountPath": FOLDER }]);
    let container = |name: &str, command: Vec<&str>, env: &[Value]| {
        json!({ "name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": command, "env": env,
            "volumeMounts": mounts, "terminationMessagePolicy": "FallbackToLogsOnError" })
    };
    let gather = format!("{script}; code=$?; sync; exit $code");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "must-gather", "namespace": namespace, "labels": { "app": "must-gather" } },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "priorityClassName": "system-cluster-critical",
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "tolerations": [{ "operator": "Exists" }],
            "volumes": [{ "name": "must-gather-output", "emptyDir": {} }],
            "containers": [
                container(GATHER, vec!["/bin/bash", "-c", &gather], &env),
                container(COPY, vec!["/bin/bash", "-c", "trap : TERM INT; sleep infinity & wait"], &[]),
            ],
        },
    })
}

/// How far the pod is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not done.
    Working(String),
    /// The script has ended with this code.
    Ended(i64),
    /// It will never run.
    Hopeless {
        /// Why, for people.
        why: String,
        /// The reason that a container waits for.
        waiting: Option<String>,
    },
}

/// Looks at a pod.
pub(super) fn progress(pod: &DynamicObject) -> Progress {
    let statuses = pod.at("/status/containerStatuses").and_then(Value::as_array).cloned().unwrap_or_default();
    for status in &statuses {
        let waiting = &status["state"]["waiting"];
        if let Some(reason) = waiting["reason"].as_str().filter(|reason| HOPELESS.contains(reason)) {
            let message = waiting["message"].as_str().unwrap_or_default();
            let why = format!("container {} cannot start: {reason} {message}", status["name"].as_str().unwrap_or_default());
            return Progress::Hopeless { why, waiting: Some(reason.to_owned()) };
        }
    }
    let of = |name: &str| statuses.iter().find(|s| s["name"] == name).map(|s| &s["state"]);
    if let Some(code) = of(GATHER).and_then(|state| state["terminated"]["exitCode"].as_i64()) {
        return Progress::Ended(code);
    }
    match pod.text("/status/phase") {
        Some(phase @ ("Failed" | "Succeeded")) => {
            let why = format!("the pod is {phase}: {}", pod.text("/status/message").unwrap_or("its containers ended"));
            Progress::Hopeless { why, waiting: None }
        }
        phase => {
            let unschedulable =
                pod.at("/status/conditions").and_then(Value::as_array).into_iter().flatten().find(|c| c["reason"] == "Unschedulable");
            let why = unschedulable.and_then(|c| c["message"].as_str()).map(|m| format!(", {m}")).unwrap_or_default();
            Progress::Working(format!("{}{why}", phase.unwrap_or("no status yet")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: Value) -> Progress {
        progress(&serde_json::from_value(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {}, "status": status })).unwrap())
    }

    #[test]
    fn the_script_gets_what_the_image_reads() {
        let target = Target { plan: Some(("mig".to_owned(), "p".to_owned())), vm: Some("vm-1".to_owned()) };
        let pod = pod("n", "i@sha256:1", &target, "openshift-mtv");
        let gather = &pod["spec"]["containers"][0];
        assert!(gather["command"][2].as_str().unwrap().starts_with("/usr/bin/targeted;"), "{gather}");
        assert_eq!(gather["env"], json!([{"name": "NS", "value": "mig"}, {"name": "PLAN", "value": "p"}, {"name": "VM", "value": "vm-1"}]));
        let all = super::pod("n", "i", &Target::default(), "openshift-mtv");
        assert!(all["spec"]["containers"][0]["command"][2].as_str().unwrap().starts_with("/usr/bin/gather;"));
        assert_eq!(all["spec"]["containers"][0]["env"], json!([{"name": "NS", "value": "openshift-mtv"}]));
    }

    #[test]
    fn a_pod_that_will_never_run_is_not_waited_for() {
        let gather = |state: Value| json!({ "phase": "Running", "containerStatuses": [{ "name": "copy", "state": { "running": {} } }, { "name": "gather", "state": state }] });
        assert_eq!(of(gather(json!({ "running": {} }))), Progress::Working("Running".to_owned()));
        assert_eq!(of(gather(json!({ "terminated": { "exitCode": 3 } }))), Progress::Ended(3));
        assert!(
            matches!(of(gather(json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such manifest" } }))), Progress::Hopeless { why, waiting } if why.contains("manifest") && waiting.as_deref() == Some("ImagePullBackOff"))
        );
        assert!(
            matches!(of(json!({ "phase": "Failed", "message": "evicted" })), Progress::Hopeless { why, .. } if why.contains("evicted"))
        );
        let pending =
            json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "reason": "Unschedulable", "message": "0/3 nodes" }] });
        assert_eq!(of(pending), Progress::Working("Pending, 0/3 nodes".to_owned()));
    }
}
