//! Inventory of an OpenShift provider: read from the cluster when it is asked for.

use mtv_api::kinds::{DATA_VOLUME, Kind, NAD, NAMESPACE, PVC, STORAGE_CLASS, VM, VMI};
use serde_json::{Value, json};

use crate::forklift::cluster::{Cluster, Look};

/// The kind behind a collection of the service.
pub fn collection(name: &str) -> Option<&'static Kind> {
    Some(match name {
        "namespaces" => &NAMESPACE,
        "storageclasses" => &STORAGE_CLASS,
        "networkattachmentdefinitions" => &NAD,
        "vms" => &VM,
        "persistentvolumeclaims" => &PVC,
        "datavolumes" => &DATA_VOLUME,
        _ => return None,
    })
}

/// Objects of a collection as JSON.
pub async fn list(cluster: &Cluster, provider: &str, name: &str, kind: &Kind, namespace: &str, detail: u8) -> kube::Result<Vec<Value>> {
    let mut objects = cluster.list(kind, namespace, "").await?;
    objects.sort_by(|a, b| {
        (a.text("/metadata/namespace"), a.text("/metadata/name")).cmp(&(b.text("/metadata/namespace"), b.text("/metadata/name")))
    });
    let instances = if kind == &VM && detail > 0 { cluster.list(&VMI, namespace, "").await? } else { Vec::new() };
    Ok(objects.iter().map(|object| render(provider, name, object, &instances, detail)).collect())
}

fn render(provider: &str, collection: &str, object: &Value, instances: &[Value], detail: u8) -> Value {
    let uid = object.uid();
    let mut out = json!({
        "uid": uid,
        "version": object.text("/metadata/resourceVersion"),
        "namespace": object.text("/metadata/namespace"),
        "name": object.text("/metadata/name"),
        "selfLink": format!("providers/openshift/{provider}/{collection}/{uid}"),
        "id": uid,
    });
    if detail > 0 {
        out["object"] = object.clone();
        let same = |i: &&Value| {
            i.text("/metadata/name") == object.text("/metadata/name") && i.text("/metadata/namespace") == object.text("/metadata/namespace")
        };
        if let Some(instance) = instances.iter().find(same) {
            out["instance"] = instance.clone();
        }
    }
    out
}

/// Counters of `GET /providers`.
pub async fn counters(cluster: &Cluster) -> kube::Result<Value> {
    Ok(json!({
        "vmCount": cluster.list(&VM, "", "").await?.len(),
        // The pod network counts as one.
        "networkCount": cluster.list(&NAD, "", "").await?.len() + 1,
        "storageClassCount": cluster.list(&STORAGE_CLASS, "", "").await?.len(),
    }))
}
