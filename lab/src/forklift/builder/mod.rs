//! Objects that a migration creates in the destination.

pub mod conversion;
mod copied;
pub mod disks;
pub mod offload;
pub mod pod;
pub mod vm;

use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::kinds::SECRET;
use serde_json::{Map, Value, json};

use super::{
    cluster::Look,
    plan::Work,
    reference::Reference,
    source::{Collection, machine::POD_NETWORK},
};

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
    let credentials = work.connected()?.credentials();
    let data: Map<String, Value> = credentials.into_iter().map(|(key, value)| (key.to_owned(), json!(STANDARD.encode(value)))).collect();
    let mut labels = labels(work, migration, vm);
    labels[purpose] = json!("true");
    let secret = json!({ "metadata": { "generateName": prefix(work, vm), "labels": labels }, "type": "Opaque", "data": data });
    Ok(cluster.create(&SECRET, namespace, secret).await?.text("/metadata/name").to_owned())
}

/// Rows of a map whose source is this object, by id or by name.
pub async fn rows<'m>(work: &Work<'_>, map: Option<&'m Value>, what: Collection, id: &str) -> anyhow::Result<Vec<&'m Value>> {
    let source = work.connected()?;
    let mut rows = Vec::new();
    for row in map.map(|map| map.items("/spec/map")).unwrap_or_default() {
        let reference = Reference::read(&row["source"]);
        let is = if id == POD_NETWORK || !reference.kind.is_empty() {
            reference.kind == id
        } else {
            source.find(what, &reference).await?.iter().any(|found| found.id == id)
        };
        if is {
            rows.push(row);
        }
    }
    Ok(rows)
}
