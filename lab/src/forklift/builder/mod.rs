//! Objects that a migration creates in the destination.

pub mod conversion;
pub mod disks;
pub mod pod;
pub mod vm;

use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::kinds::SECRET;
use serde_json::{Value, json};

use super::{cluster::Look, plan::Work, provider, reference::Reference};
use crate::inventory::vsphere::model::{Model, collection};

/// Labels of everything that belongs to the migration of a VM.
pub fn labels(work: &Work<'_>, migration: &str, vm: &str) -> Value {
    json!({
        "migration": migration, "plan": work.uid(), "plan-name": work.name(), "plan-namespace": work.namespace(),
        "vmID": vm, "resource": "vm-config",
    })
}

/// Start of the names that the API server completes.
pub fn prefix(work: &Work<'_>, vm: &str) -> String {
    format!("{}-{vm}-", work.name())
}

/// The Secret with the source's credentials for CDI (`isDV`) or virt-v2v (`isV2V`); its name.
pub async fn source_secret(work: &Work<'_>, migration: &str, vm: &str, purpose: &str) -> anyhow::Result<String> {
    let cluster = &work.context.cluster;
    let namespace = &work.spec.target_namespace;
    let selector = format!("plan={},vmID={vm},migration={migration},{purpose}=true", work.uid());
    if let Some(secret) = cluster.list(&SECRET, namespace, &selector).await?.first() {
        return Ok(secret.text("/metadata/name").to_owned());
    }
    let source = work.source.clone().unwrap_or_default();
    let access = provider::access(work.context, &source).await?;
    let mut data = json!({ "accessKeyId": STANDARD.encode(&access.user), "secretKey": STANDARD.encode(&access.password) });
    if let Some(ca) = &access.ca {
        data["cacert"] = json!(STANDARD.encode(ca));
    }
    let mut labels = labels(work, migration, vm);
    labels[purpose] = json!("true");
    let secret = json!({ "metadata": { "generateName": prefix(work, vm), "labels": labels }, "type": "Opaque", "data": data });
    Ok(cluster.create(&SECRET, namespace, secret).await?.text("/metadata/name").to_owned())
}

/// Rows of a map whose source is this object, by id or by name.
pub fn rows<'m>(map: Option<&'m Value>, model: &Model, collection_name: &str, id: &str) -> Vec<&'m Value> {
    let kinds = collection(collection_name).unwrap_or_default();
    let is = |row: &&Value| {
        let source = Reference::read(&row["source"]);
        model.find(kinds, &source.id, &source.name).iter().any(|(found, _)| found == id)
    };
    map.map(|map| map.items("/spec/map")).unwrap_or_default().iter().filter(is).collect()
}
