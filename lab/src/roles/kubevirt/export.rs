//! Exports of the disks of a virtual machine that is switched off: links under which they can be fetched, with a token.
//!
//! Nothing listens behind the links: what is on a disk is no stream of bytes in the lab, and an import finds it by the link.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, ResourceExt, api::DynamicObject};
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{MANAGER, Shared};
use crate::roles::{life::Latest, write};

/// From an export to the links: its server has to start.
const SERVER: Duration = Duration::from_secs(4);
/// How often an export looks whether its disks are free.
const LOOK: Duration = Duration::from_secs(3);
/// How long an export lives, unless it says so itself: KubeVirt's two hours.
const LIFE: Duration = Duration::from_hours(2);

/// Looks after one export.
pub(super) async fn tend(shared: Shared, mut latest: Latest<DynamicObject>) -> anyhow::Result<()> {
    let object = latest.get();
    let ready = write::text(&object.data, "/status/phase") == "Ready";
    if object.metadata.deletion_timestamp.is_some() || ready {
        return Ok(());
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let clock = shared.cx.world.clock;
    let api = write::api(&shared.cx.client, &kinds::VM_EXPORT, &namespace);
    let claims = loop {
        if api.get_opt(&name).await?.is_none_or(|now| now.metadata.uid != object.metadata.uid) {
            return Ok(());
        }
        match free(&shared, &object, &namespace).await? {
            Ok(claims) => break claims,
            Err(why) => {
                let now = clock.now();
                let conditions = write::condition(&[], "Ready", false, "PVCInUse", &why, &now);
                write::status(&api, MANAGER, &name, json!({ "phase": "Pending", "conditions": conditions })).await?;
            }
        }
        clock.sleep(LOOK).await;
    };
    clock.sleep(SERVER).await;
    let token = write::text(&object.data, "/spec/tokenSecretRef");
    let token = if token.is_empty() { made_token(&shared, &object).await? } else { token.to_owned() };
    let domain = &shared.cx.world.datacenter.cluster.domain;
    let base = format!("https://virt-exportproxy-{}.{domain}/api/export.kubevirt.io/v1beta1/namespaces/{namespace}", super::NAMESPACE);
    let mut volumes = Vec::new();
    for claim in claims {
        let url = format!("{base}/virtualmachineexports/{name}/volumes/{}/disk.img.gz", claim.name_any());
        shared.cx.world.disks.copy(&format!("pvc:{}", claim.uid().unwrap_or_default()), url.clone());
        volumes.push(json!({ "name": claim.name_any(), "formats": [{ "format": "gzip", "url": url }] }));
    }
    let link = json!({ "cert": shared.ca, "volumes": volumes });
    let expires = clock.moment().saturating_add(jiff::SignedDuration::try_from(LIFE)?)?;
    let status = json!({
        "phase": "Ready",
        "tokenSecretRef": token,
        "ttlExpirationTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "links": { "external": link, "internal": link },
        "conditions": write::condition(&[], "Ready", true, "PodReady", "", &clock.now()),
    });
    write::status(&api, MANAGER, &name, status).await.map(drop)
}

/// Claims of the exported virtual machine, or why they cannot be read now.
async fn free(shared: &Shared, export: &DynamicObject, namespace: &str) -> anyhow::Result<Result<Vec<PersistentVolumeClaim>, String>> {
    let (kind, name) = (write::text(&export.data, "/spec/source/kind"), write::text(&export.data, "/spec/source/name"));
    let api: Api<PersistentVolumeClaim> = Api::namespaced(shared.cx.client.clone(), namespace);
    let names: Vec<String> = match kind {
        "PersistentVolumeClaim" => vec![name.to_owned()],
        "VirtualMachine" => {
            if shared.instance(namespace, name).is_some() {
                return Ok(Err(format!("VirtualMachine {name} runs: its disks are in use")));
            }
            let Some(vm) = write::api(&shared.cx.client, &kinds::VM, namespace).get_opt(name).await? else {
                return Ok(Err(format!("VirtualMachine {name} does not exist")));
            };
            let volumes = write::list(&vm.data, "/spec/template/spec/volumes").iter();
            let names = volumes.filter_map(|v| v.pointer("/persistentVolumeClaim/claimName").or_else(|| v.pointer("/dataVolume/name")));
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        }
        other => return Ok(Err(format!("`{other}` cannot be exported"))),
    };
    let mut claims = Vec::new();
    for name in names {
        match api.get_opt(&name).await? {
            Some(claim) if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound") => claims.push(claim),
            _ => return Ok(Err(format!("PersistentVolumeClaim {name} is not bound"))),
        }
    }
    Ok(Ok(claims))
}

/// The Secret with a token that an export without one gets.
async fn made_token(shared: &Shared, export: &DynamicObject) -> anyhow::Result<String> {
    let (namespace, uid) = (export.namespace().unwrap_or_default(), export.uid().unwrap_or_default());
    let name = format!("export-token-{}", export.name_any());
    let metadata = json!({
        "name": name, "namespace": namespace,
        "ownerReferences": [write::controller_of(&kinds::VM_EXPORT, &export.name_any(), &uid)],
    });
    let secret = json!({ "metadata": metadata, "type": "Opaque", "stringData": { "token": crate::lab::token()? } });
    write::create(&shared.cx.client, MANAGER, &kinds::SECRET, secret).await?;
    Ok(name)
}
