//! Pods of Conversions.

use serde_json::{Value, json};

use crate::forklift::cluster::Look;

fn confined() -> Value {
    json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } })
}

fn vddk_container(image: &str) -> Value {
    json!({
        "name": "vddk-side-car", "image": image, "imagePullPolicy": "IfNotPresent",
        "resources": { "requests": { "cpu": "100m", "memory": "150Mi" }, "limits": { "cpu": "1", "memory": "500Mi" } },
        "volumeMounts": [{ "name": "vddk-vol-mount", "mountPath": "/opt" }], "securityContext": confined(),
    })
}

fn labels(conversion: &Value, app: &str) -> Value {
    let mut labels = conversion["metadata"]["labels"].clone();
    labels["conversion"] = conversion["metadata"]["name"].clone();
    labels["conversion-type"] = conversion["spec"]["type"].clone();
    labels["forklift.app"] = json!(app);
    labels
}

/// The virt-v2v pod of a Conversion.
pub fn virt_v2v(conversion: &Value) -> Value {
    let spec = &conversion["spec"];
    let secret = spec.text("/connection/secret/name");
    let kvm = spec.pointer("/podSettings/requestKVM") != Some(&json!(false));
    let (mut volumes, mut mounts, mut devices) = (Vec::new(), Vec::new(), Vec::new());
    for disk in spec.items("/disks") {
        let name = disk.text("/name");
        volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": name } }));
        if disk.text("/volumeMode") == "Block" {
            devices.push(json!({ "name": name, "devicePath": disk.text("/devicePath") }));
        } else {
            mounts.push(json!({ "name": name, "mountPath": disk.text("/mountPath") }));
        }
    }
    volumes.push(json!({ "name": "vddk-vol-mount", "emptyDir": {} }));
    volumes.push(json!({ "name": "secret-volume", "secret": { "secretName": secret } }));
    mounts.push(json!({ "name": "vddk-vol-mount", "mountPath": "/opt" }));
    mounts.push(json!({ "name": "secret-volume", "readOnly": true, "mountPath": "/etc/secret" }));
    let mut env: Vec<Value> = Vec::new();
    if spec.text("/type") == "InPlace" {
        env.push(json!({ "name": "V2V_inPlace", "value": "1" }));
    }
    if let Some(Value::Object(settings)) = spec.get("settings") {
        env.extend(settings.iter().map(|(name, value)| json!({ "name": name, "value": value })));
    }
    env.push(json!({ "name": "V2V_waitForGuestReboot", "value": "true" }));
    env.push(json!({ "name": "LOCAL_MIGRATION", "value": (spec["localMigration"] == json!(true)).to_string() }));
    let mut limits = json!({ "cpu": "4", "memory": "8Gi" });
    let mut requests = json!({ "cpu": "1", "memory": "1Gi" });
    if kvm {
        limits["devices.kubevirt.io/kvm"] = json!("1");
        requests["devices.kubevirt.io/kvm"] = json!("1");
    }
    let mut container = json!({
        "name": "virt-v2v", "image": spec.text("/image"), "imagePullPolicy": "Always",
        "ports": [{ "name": "metrics", "containerPort": 2112, "protocol": "TCP" }],
        "envFrom": [{ "prefix": "V2V_", "secretRef": { "name": secret } }],
        "env": env, "volumeMounts": mounts, "resources": { "limits": limits, "requests": requests }, "securityContext": confined(),
    });
    if !devices.is_empty() {
        container["volumeDevices"] = json!(devices);
    }
    let mut selector = json!({ "kubevirt.io/schedulable": "true" });
    if let Some(Value::Object(own)) = spec.pointer("/podSettings/nodeSelector") {
        own.iter().for_each(|(key, value)| selector[key] = value.clone());
    }
    let mut pod = json!({
        "restartPolicy": "Never",
        "volumes": volumes, "containers": [container], "nodeSelector": selector,
        "securityContext": { "runAsUser": 107, "runAsNonRoot": true, "fsGroup": 107, "seccompProfile": { "type": "RuntimeDefault" } },
    });
    if let Some(affinity) = spec.pointer("/podSettings/affinity") {
        pod["affinity"] = affinity.clone();
    }
    if let Some(account) = spec.pointer("/podSettings/serviceAccount") {
        pod["serviceAccountName"] = account.clone();
    }
    if !spec.text("/vddkImage").is_empty() {
        pod["initContainers"] = json!([vddk_container(spec.text("/vddkImage"))]);
    }
    json!({
        "metadata": { "generateName": spec.text("/podSettings/generateName"), "labels": labels(conversion, "virt-v2v") },
        "spec": pod,
    })
}

/// The pod of an inspection.
pub fn inspection(conversion: &Value, image: &str) -> Value {
    let spec = &conversion["spec"];
    let snapshot = spec.text("/settings/SNAPSHOT_MOREF");
    let container = json!({
        "name": "deep-inspection", "image": image, "imagePullPolicy": "Always",
        "env": [{ "name": "VM_MOREF", "value": spec.text("/vm/id") }, { "name": "SNAPSHOT_MOREF", "value": snapshot }],
        "resources": {
            "limits": { "cpu": "2", "memory": "4Gi", "devices.kubevirt.io/kvm": "1" },
            "requests": { "cpu": "100m", "memory": "512Mi", "devices.kubevirt.io/kvm": "1" },
        },
        "volumeMounts": [
            { "name": "vddk-vol-mount", "mountPath": "/opt" },
            { "name": "connection-secret", "readOnly": true, "mountPath": "/etc/secret" },
        ],
        "securityContext": confined(),
    });
    let mut pod = json!({
        "restartPolicy": "Never",
        "nodeSelector": { "kubevirt.io/schedulable": "true" },
        "securityContext": { "runAsUser": 1001, "runAsNonRoot": true, "fsGroup": 1001, "seccompProfile": { "type": "RuntimeDefault" } },
        "volumes": [
            { "name": "vddk-vol-mount", "emptyDir": {} },
            { "name": "connection-secret", "secret": { "secretName": spec.text("/connection/secret/name") } },
        ],
        "containers": [container],
    });
    if !spec.text("/vddkImage").is_empty() {
        pod["initContainers"] = json!([vddk_container(spec.text("/vddkImage"))]);
    }
    json!({
        "metadata": {
            "generateName": format!("{}-deep-inspection-", conversion.text("/metadata/name")),
            "labels": labels(conversion, "deep-inspection"),
        },
        "spec": pod,
    })
}
