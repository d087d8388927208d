//! What OpenShift's security context constraints do to pods before an API server judges them by the namespace's
//! `pod-security.kubernetes.io` labels: who makes pods for OpenShift relies on it. A real API server does it by a policy; the
//! lab's own judges no pods.

use mtv_api::kinds::Kind;
use serde_json::{Value, json};

use super::Item;

const POLICY: Kind = Kind {
    group: "admissionregistration.k8s.io",
    version: "v1",
    kind: "MutatingAdmissionPolicy",
    plural: "mutatingadmissionpolicies",
    namespaced: false,
};
const BINDING: Kind = Kind {
    group: "admissionregistration.k8s.io",
    version: "v1",
    kind: "MutatingAdmissionPolicyBinding",
    plural: "mutatingadmissionpolicybindings",
    namespaced: false,
};
/// Name of both; the constraint that pods get who ask for nothing.
const NAME: &str = "restricted-v2.lab.mtv-test.io";

/// Nobody runs as root who does not ask for it.
const NO_ROOT: &str = "!has(object.spec.securityContext) || !has(object.spec.securityContext.runAsNonRoot) ? \
     Object{spec: Object.spec{securityContext: Object.spec.securityContext{runAsNonRoot: true}}} : Object{}";
/// The runtime's own filter of system calls for those who name none.
const FILTER: &str = "!has(object.spec.securityContext) || !has(object.spec.securityContext.seccompProfile) ? \
     Object{spec: Object.spec{securityContext: Object.spec.securityContext{seccompProfile: \
     Object.spec.securityContext.seccompProfile{type: \"RuntimeDefault\"}}}} : Object{}";

/// Containers of a list that ask for nothing gain no rights. A configuration that is applied may not touch the list of
/// dropped capabilities, so this is a patch by index; no pod of Forklift's has as many containers.
fn no_rights(list: &str) -> String {
    let context = format!("Object.spec.{list}.securityContext");
    format!(
        "has(object.spec.{list}) ? [0, 1, 2, 3, 4, 5, 6, 7].filter(i, size(object.spec.{list}) > i && \
         !has(object.spec.{list}[i].securityContext)).map(i, JSONPatch{{op: \"add\", path: \"/spec/{list}/\" + string(i) + \"/securityContext\", \
         value: {context}{{allowPrivilegeEscalation: false, capabilities: {context}.capabilities{{drop: [\"ALL\"]}}}}}}) : []"
    )
}

/// The policy and its binding.
pub(super) fn items() -> [Item; 2] {
    let applied = [NO_ROOT, FILTER].map(|text| json!({ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": text } }));
    let patched =
        ["containers", "initContainers"].map(|list| json!({ "patchType": "JSONPatch", "jsonPatch": { "expression": no_rights(list) } }));
    let mutations: Vec<Value> = applied.into_iter().chain(patched).collect();
    let pods = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] });
    let policy = json!({
        "metadata": { "name": NAME },
        "spec": { "matchConstraints": { "resourceRules": [pods] }, "failurePolicy": "Ignore", "reinvocationPolicy": "Never", "mutations": mutations },
    });
    let binding = json!({ "metadata": { "name": NAME }, "spec": { "policyName": NAME } });
    [Item::new(&POLICY, policy), Item::new(&BINDING, binding)]
}
