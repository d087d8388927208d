//! How the disks of a source VM are read: KubeVirt exports them, CDI imports them over HTTPS with the export's token.

use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::kinds::{CONFIG_MAP, SECRET, VM_EXPORT};
use serde_json::{Map, Value, json};

use crate::forklift::{
    cluster::{Cluster, Look, Propagation},
    migrate::Fatal,
    provider::secret_text,
    source::{Import, Migrating, Volumes},
};

/// Key of the export's certificate in the ConfigMap of the imports.
const CERTIFICATE: &str = "ca.pem";

/// Makes sure of the export, and says where each disk is once its links are there.
pub async fn volumes(source: &Cluster, migrating: &Migrating<'_>) -> anyhow::Result<Volumes> {
    let machine = migrating.machine;
    let (namespace, name) = (machine.namespace.as_str(), machine.name.as_str());
    let Some(export) = source.get(&VM_EXPORT, namespace, name).await? else {
        let spec = json!({ "source": { "apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": name } });
        let labels = json!({ "plan": migrating.work.uid(), "vmID": migrating.vm.id });
        source.create(&VM_EXPORT, namespace, json!({ "metadata": { "name": name, "labels": labels }, "spec": spec })).await?;
        return Ok(Volumes::NotYet);
    };
    if export.text("/status/phase") != "Ready" {
        return Ok(Volumes::NotYet);
    }
    let target = &migrating.work.context.cluster;
    let home = migrating.work.spec.target_namespace.as_str();
    let token = source.get(&SECRET, namespace, export.text("/status/tokenSecretRef")).await?;
    let token =
        token.and_then(|secret| secret_text(&secret, "token")).ok_or_else(|| Fatal("the export's token is not there".to_owned()))?;
    let header = STANDARD.encode(format!("x-kubevirt-export-token:{token}"));
    target.merge(&SECRET, home, migrating.secret, &json!({ "data": { "token": header } })).await?;
    let selector = format!("plan={},vmID={},migration={},resource=vm-config", migrating.work.uid(), migrating.vm.id, migrating.migration);
    let maps = target.list(&CONFIG_MAP, home, &selector).await?;
    let map = maps.first().ok_or_else(|| anyhow::anyhow!("the import's configmap is not there"))?.text("/metadata/name").to_owned();
    target.merge(&CONFIG_MAP, home, &map, &json!({ "data": { CERTIFICATE: export.text("/status/links/external/cert") } })).await?;
    let mut imports = Vec::new();
    for disk in machine.sorted_disks() {
        let claim = disk.claim.as_ref().map_or("", |(_, name)| name.as_str());
        let volume = export.items("/status/links/external/volumes").iter().find(|v| v.text("/name") == claim);
        let url = volume.and_then(|v| v.items("/formats").first()).map(|format| format.text("/url")).unwrap_or_default();
        if url.is_empty() {
            return Err(Fatal(format!("the export of {namespace}/{name} has no link for volume {claim}")).into());
        }
        let http = json!({ "url": url, "certConfigMap": map, "secretExtraHeaders": [migrating.secret] });
        imports.push(Import { source: json!({ "http": http }), annotations: Map::new() });
    }
    Ok(Volumes::Imports(imports))
}

/// Removes the export of a VM.
pub async fn release(source: &Cluster, plan: &str, vm: &str) -> anyhow::Result<()> {
    let mine = |export: &&Value| export.label("plan") == Some(plan) && export.label("vmID") == Some(vm);
    for export in source.list(&VM_EXPORT, "", "").await?.iter().filter(mine) {
        source.delete(&VM_EXPORT, export.text("/metadata/namespace"), export.text("/metadata/name"), Propagation::Background).await?;
    }
    Ok(())
}
