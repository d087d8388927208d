//! StorageMaps and NetworkMaps: do source and destination of each row exist.

use std::time::Duration;

use anyhow::Context as _;
use mtv_api::{
    forklift::Status,
    kinds::{Kind, NAD, NETWORK_MAP, STORAGE_CLASS, STORAGE_MAP},
};
use serde_json::{Value, json};

use super::{
    Context, SLOW,
    cluster::{Key, Look},
    conditions::{Staged, about, condition},
    provider,
    reference::Reference,
    source::Collection,
};

/// Looks at a StorageMap.
pub async fn reconcile_storage(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    reconcile(context, key, &STORAGE_MAP).await
}

/// Looks at a NetworkMap.
pub async fn reconcile_network(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    reconcile(context, key, &NETWORK_MAP).await
}

async fn reconcile(context: &Context, key: &Key, kind: &'static Kind) -> anyhow::Result<Option<Duration>> {
    let Some(map) = context.cluster.get(kind, &key.namespace, &key.name).await? else { return Ok(None) };
    let written: Status = serde_json::from_value(map["status"].clone()).unwrap_or_default();
    let now = context.now();
    let mut staged = Staged::begin(&written.conditions);
    let mut status = map.get("status").filter(|s| s.is_object()).cloned().unwrap_or_else(|| json!({}));
    let pair = provider::pair(context, &map).await?;
    pair.conditions.into_iter().for_each(|c| staged.set(c, &now));
    if let (false, Some(source), Some(destination)) = (staged.blocked(), &pair.source, &pair.destination) {
        let references = sources(context, &map, source, kind, &mut staged, &now).await?;
        if references.is_empty() {
            status.as_object_mut().map(|s| s.remove("references"));
        } else {
            status["references"] = json!(references);
        }
        if kind == &STORAGE_MAP {
            storage_destinations(context, &map, &mut staged, &now).await?;
        } else {
            network_destinations(context, &map, destination, &mut staged, &now).await?;
        }
    }
    let ready = !staged.blocked();
    if ready {
        staged.set(condition("Ready", "Required", "", "The map can be used."), &now);
    }
    staged.end();
    status["conditions"] = json!(staged.list());
    status["observedGeneration"] = json!(map.number("/metadata/generation"));
    let component = if kind == &STORAGE_MAP { "storageMap" } else { "networkMap" };
    context.publish(kind, component, &map, &written.conditions, &staged, status).await?;
    // Classes and networks can come later without a change of anything that is watched.
    Ok((!ready && pair.source.is_some()).then_some(SLOW * 10))
}

/// Resolves the source of each row; returns those that were found.
async fn sources(
    context: &Context,
    map: &Value,
    source: &Value,
    kind: &'static Kind,
    staged: &mut Staged,
    now: &str,
) -> anyhow::Result<Vec<Value>> {
    let storage = kind == &STORAGE_MAP;
    let (name, word) = if storage { ("SourceStorageNotValid", "storage") } else { ("SourceNetworkNotValid", "network") };
    let (mut references, mut missing, mut ambiguous) = (Vec::new(), Vec::new(), Vec::new());
    for row in map.items("/spec/map") {
        let reference = Reference::read(&row["source"]);
        if reference.is_empty() {
            staged.set(condition(name, "Critical", "NotSet", format!("A row names no source {word}: id or name is needed.")), now);
            continue;
        }
        if !reference.kind.is_empty() {
            references.push(json!({ "type": reference.kind }));
            continue;
        }
        let found = find(context, source, storage, &reference).await?;
        match found.as_slice() {
            [] => missing.push(reference.to_string()),
            [(id, name)] => references.push(json!({ "id": id, "name": name })),
            _ => ambiguous.push(reference.to_string()),
        }
    }
    if !missing.is_empty() {
        staged.set(about(condition(name, "Warn", "NotFound", format!("The source has no such {word}.")), missing), now);
    }
    if !ambiguous.is_empty() {
        staged.set(about(condition(name, "Critical", "Ambiguous", format!("The source has several such {word}s.")), ambiguous), now);
    }
    Ok(references)
}

async fn find(context: &Context, source: &Value, storage: bool, reference: &Reference) -> anyhow::Result<Vec<(String, String)>> {
    let source = context.inventories.get(source.uid()).filter(|s| s.has_parity()).context("the source's inventory is not read yet")?;
    let what = if storage { Collection::Storage } else { Collection::Networks };
    Ok(source.find(what, reference).await?.into_iter().map(|found| (found.id, found.name)).collect())
}

async fn storage_destinations(context: &Context, map: &Value, staged: &mut Staged, now: &str) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for row in map.items("/spec/map") {
        let class = row.text("/destination/storageClass");
        if context.cluster.get(&STORAGE_CLASS, "", class).await?.is_none() {
            missing.push(class.to_owned());
        }
    }
    if !missing.is_empty() {
        let text = "The destination has no such storage class.";
        staged.set(about(condition("DestinationStorageNotValid", "Critical", "NotFound", text), missing), now);
    }
    Ok(())
}

async fn network_destinations(context: &Context, map: &Value, destination: &Value, staged: &mut Staged, now: &str) -> anyhow::Result<()> {
    let (mut missing, mut ambiguous) = (Vec::new(), Vec::new());
    for row in map.items("/spec/map") {
        if row.text("/destination/type") != "multus" {
            continue;
        }
        let (namespace, name) = (row.text("/destination/namespace"), row.text("/destination/name"));
        if namespace.is_empty() {
            ambiguous.push(name.to_owned());
            continue;
        }
        // A host provider elsewhere than beside the operator sees its own namespace, and `default`, which is for everybody.
        let home = destination.text("/metadata/namespace");
        let visible =
            !provider::is_host(destination) || home == context.options.mtv_namespace || home == namespace || namespace == "default";
        if !visible || context.cluster.get(&NAD, namespace, name).await?.is_none() {
            missing.push(format!("{namespace}/{name}"));
        }
    }
    if !missing.is_empty() {
        let text = "The destination has no such NetworkAttachmentDefinition.";
        staged.set(about(condition("DestinationNetworkNotValid", "Critical", "NotFound", text), missing), now);
    }
    if !ambiguous.is_empty() {
        let text = "A NetworkAttachmentDefinition needs its namespace.";
        staged.set(about(condition("DestinationNetworkNotValid", "Critical", "Ambiguous", text), ambiguous), now);
    }
    Ok(())
}
