//! The pod in which a storage array is told to fill a volume.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{ResourceExt, api::DynamicObject};
use mtv_api::kinds::Kind;
use serde_json::{Value, json};

use super::SHARED;

/// Image of the populators.
const IMAGE: &str = "lab.invalid/vsphere-copy-offload-populator:latest";

/// The pod.
///
/// # Errors
/// The populator is not what its kind says.
pub(super) fn of(claim: &PersistentVolumeClaim, populator: &DynamicObject, kind: &Kind, name: &str, prime: &str) -> anyhow::Result<Pod> {
    let spec = &populator.data["spec"];
    let text = |key: &str| spec[key].as_str().unwrap_or_default().to_owned();
    let namespace = claim.namespace().unwrap_or_default();
    let mut args = vec![
        format!("--source-vm-id={}", text("vmId")),
        format!("--source-vmdk={}", text("vmdkPath")),
        format!("--target-namespace={namespace}"),
        format!("--cr-name={}", populator.name_any()),
        format!("--cr-namespace={namespace}"),
        format!("--owner-name={}", claim.name_any()),
        format!("--owner-uid={}", claim.uid().unwrap_or_default()),
        format!("--secret-name={}", text("secretName")),
        format!("--storage-vendor-product={}", text("storageVendorProduct")),
    ];
    let host = Some(text("migrationHost")).filter(|host| !host.is_empty());
    args.extend(host.iter().map(|host| format!("--migration-host={host}")));
    let mut labels: serde_json::Map<String, Value> =
        SHARED.iter().filter_map(|key| Some(((*key).to_owned(), json!(populator.labels().get(*key)?)))).collect();
    labels.insert("pvcName".to_owned(), json!(claim.name_any()));
    if let Some(host) = host.as_ref().or_else(|| populator.labels().get("sourceHost")) {
        labels.insert("sourceHost".to_owned(), json!(host));
    }
    let owner = json!([{ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": claim.name_any(), "uid": claim.uid() }]);
    let pod = json!({
        "metadata": { "name": name, "namespace": namespace, "labels": labels, "ownerReferences": owner },
        "spec": {
            "serviceAccountName": "populator",
            "restartPolicy": "Never",
            "containers": [{
                "name": "populate", "image": IMAGE, "args": args,
                "ports": [{ "name": "metrics", "containerPort": 8443 }],
                "envFrom": [{ "secretRef": { "name": text("secretName") } }],
                "volumeDevices": [{ "name": "target", "devicePath": "/dev/block" }],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 107,
                    "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
                },
            }],
            "volumes": [{ "name": "target", "persistentVolumeClaim": { "claimName": prime } }],
        },
    });
    serde_json::from_value(pod).with_context(|| format!("build the pod of a {}", kind.kind))
}
