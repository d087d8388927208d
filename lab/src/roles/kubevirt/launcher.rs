//! The virt-launcher pod of an instance.

use kube::{ResourceExt, api::DynamicObject};
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{CREATED_BY, MANAGER};
use crate::roles::{Context, write};

/// Longest name of a virtual machine that still fits before the random part of the pod's name.
const NAME: usize = 63 - "virt-launcher--".len() - 5;

/// User and group `qemu`. The whole security context is what the Pod Security level `restricted` asks for.
const USER: u32 = 107;

/// Creates the pod. Scheduler and kubelet do the rest.
pub(super) async fn create(cx: &Context, instance: &DynamicObject) -> anyhow::Result<()> {
    let (name, namespace, uid) = (instance.name_any(), instance.namespace().unwrap_or_default(), instance.uid().unwrap_or_default());
    let mut labels = json!(instance.labels());
    labels["kubevirt.io"] = "virt-launcher".into();
    labels[CREATED_BY] = uid.as_str().into();
    labels["vm.kubevirt.io/name"] = name.as_str().into();
    let annotations = json!({ "kubevirt.io/domain": name, "kubevirt.io/migrationTransportUnix": "true", "kubectl.kubernetes.io/default-container": "compute" });
    let volumes: Vec<Value> = write::list(&instance.data, "/spec/volumes")
        .iter()
        .filter_map(|v| {
            let claim = v.pointer("/persistentVolumeClaim/claimName").or_else(|| v.pointer("/dataVolume/name"))?;
            Some(json!({ "name": v["name"], "persistentVolumeClaim": { "claimName": claim } }))
        })
        .collect();
    let mut spec = json!({
        "containers": [{ "name": "compute", "image": "registry.redhat.io/container-native-virtualization/virt-launcher-rhel9:v4.20.0",
            "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] }, "runAsGroup": USER, "runAsNonRoot": true, "runAsUser": USER,
            },
            "command": ["/usr/bin/virt-launcher-monitor", "--name", name, "--uid", uid, "--namespace", namespace] }],
        "restartPolicy": "Never",
        "securityContext": { "fsGroup": USER, "runAsGroup": USER, "runAsNonRoot": true, "runAsUser": USER, "seccompProfile": { "type": "RuntimeDefault" } },
        "hostname": name.split('.').next().unwrap_or_default().chars().take(63).collect::<String>().trim_end_matches('-'),
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 60,
        "volumes": volumes,
    });
    for field in ["nodeSelector", "affinity", "tolerations"] {
        if let Some(value) = instance.data.pointer(&format!("/spec/{field}")) {
            spec[field] = value.clone();
        }
    }
    spec["nodeSelector"]["kubevirt.io/schedulable"] = "true".into();
    let short: String = name.chars().take(NAME).collect();
    let pod = json!({
        "metadata": {
            "generateName": format!("virt-launcher-{short}-"),
            "namespace": namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [write::controller_of(&kinds::VMI, &name, &uid)],
        },
        "spec": spec,
    });
    write::create(&cx.client, MANAGER, &kinds::POD, pod).await.map(drop)
}
