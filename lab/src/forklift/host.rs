//! Hosts: credentials of single ESXi hosts.

use std::time::Duration;

use anyhow::Context as _;
use mtv_api::{
    forklift::Status,
    kinds::{HOST, PROVIDER, SECRET},
};
use serde_json::{Value, json};

use super::{
    Context,
    cluster::{Key, Look},
    conditions::{Staged, about, condition},
    provider::secret_text,
    reference::Reference,
    source::vsphere::Connected,
    vcenter::{Access, Vcenter},
};
use crate::inventory::vsphere::model;

/// After how long a host that did not answer is tried again.
const RETRY: Duration = Duration::from_mins(15);

/// Looks at a Host. One whose certificate cannot be verified gets no status at all and is tried again, as recorded.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    let Some(host) = context.cluster.get(&HOST, &key.namespace, &key.name).await? else { return Ok(None) };
    let written: Status = serde_json::from_value(host["status"].clone()).unwrap_or_default();
    let now = context.now();
    let mut staged = Staged::begin(&written.conditions);
    let provider = look_at_provider(context, &host, &mut staged, &now).await?;
    look_at_reference(context, &host, provider.as_ref(), &mut staged, &now)?;
    if host.text("/spec/ipAddress").is_empty() {
        staged.set(condition("IpNotValid", "Critical", "NotSet", "`ipAddress` must be set."), &now);
    }
    let secret = look_at_secret(context, &host, provider.as_ref(), &mut staged, &now).await?;
    staged.set(condition("Validated", "Advisory", "Completed", "What the host refers to was looked at."), &now);
    if let Some(secret) = secret.filter(|_| !staged.blocked()) {
        match connect(&host, &secret).await {
            Ok(()) => {
                staged.set(condition("ConnectionTestSucceeded", "Required", "Tested", "The connection test passed."), &now);
                staged.set(condition("Ready", "Required", "", "The host can be used."), &now);
            }
            Err(error) => {
                staged.set(condition("ConnectionTestFailed", "Critical", "Tested", format!("The host does not answer: {error}")), &now);
            }
        }
    }
    staged.end();
    let status = json!({ "conditions": staged.list(), "observedGeneration": host.number("/metadata/generation") });
    context.publish(&HOST, "host", &host, &written.conditions, &staged, status).await?;
    Ok(staged.has("ConnectionTestFailed").then_some(RETRY))
}

async fn look_at_provider(context: &Context, host: &Value, staged: &mut Staged, now: &str) -> anyhow::Result<Option<Value>> {
    let (namespace, name) = (host.text("/spec/provider/namespace"), host.text("/spec/provider/name"));
    let not_valid = |reason: &str| condition("ProviderNotValid", "Critical", reason, "The provider cannot be used.");
    if namespace.is_empty() || name.is_empty() {
        staged.set(not_valid("NotSet"), now);
        return Ok(None);
    }
    let Some(provider) = context.cluster.get(&PROVIDER, namespace, name).await? else {
        staged.set(not_valid("NotFound"), now);
        return Ok(None);
    };
    if !provider.holds("Ready") {
        staged.set(condition("ProviderNotReady", "Critical", "", "The provider is not Ready."), now);
    }
    if provider.text("/spec/type") != "vsphere" {
        staged.set(condition("TypeNotValid", "Critical", "TypeErr", "Only vSphere providers have hosts."), now);
    }
    Ok(Some(provider))
}

fn look_at_reference(context: &Context, host: &Value, provider: Option<&Value>, staged: &mut Staged, now: &str) -> anyhow::Result<()> {
    let not_valid = |reason: &str, text: &str| condition("RefNotValid", "Critical", reason, text);
    let reference = Reference::read(&host["spec"]);
    if reference.id.is_empty() && reference.name.is_empty() {
        staged.set(not_valid("NotSet", "The host is named neither by id nor by name."), now);
        return Ok(());
    }
    let Some(provider) = provider.filter(|provider| provider.text("/spec/type") == "vsphere") else { return Ok(()) };
    let source = context.inventories.get(provider.uid()).filter(|source| source.has_parity()).context("the inventory is not read yet")?;
    let source: &dyn std::any::Any = source.as_ref();
    let Some(source) = source.downcast_ref::<Connected>() else { return Ok(()) };
    let model = source.collector.model();
    let found = model.find(model::collection("hosts").unwrap_or_default(), &reference.id, &reference.name);
    match found.as_slice() {
        [] => staged.set(not_valid("NotFound", "The source has no such host."), now),
        [(id, _)] => {
            let Some(object) = model.get(id) else { return Ok(()) };
            let runtime = object.properties.get("runtime").and_then(|runtime| runtime.get("inMaintenanceMode"));
            if runtime == Some("true") {
                staged.set(condition("InMaintenance", "Critical", "StateEvaluated", "The host is in maintenance mode."), now);
            }
        }
        _ => staged.set(not_valid("Ambiguous", "The source has several such hosts."), now),
    }
    Ok(())
}

async fn look_at_secret(
    context: &Context,
    host: &Value,
    provider: Option<&Value>,
    staged: &mut Staged,
    now: &str,
) -> anyhow::Result<Option<Value>> {
    let (namespace, name) = (host.text("/spec/secret/namespace"), host.text("/spec/secret/name"));
    let not_valid = |reason: &str, text: &str| condition("SecretNotValid", "Critical", reason, text);
    if namespace.is_empty() || name.is_empty() {
        staged.set(not_valid("NotSet", "`secret` must be set."), now);
        return Ok(None);
    }
    let Some(secret) = context.cluster.get(&SECRET, namespace, name).await? else {
        staged.set(not_valid("NotFound", "The secret is not there."), now);
        return Ok(None);
    };
    if provider.is_none() {
        return Ok(Some(secret));
    }
    let get = |key: &str| secret_text(&secret, key).filter(|value| !value.is_empty());
    if get("insecureSkipVerify").as_deref() != Some("true") {
        // The certificate is looked at before anything else is told.
        connect(host, &secret).await.with_context(|| format!("host {} does not answer", host.text("/metadata/name")))?;
    }
    let missing: Vec<String> = ["user", "password"].into_iter().filter(|key| get(key).is_none()).map(str::to_owned).collect();
    if !missing.is_empty() {
        staged.set(about(not_valid("DataErr", "`secret` lacks keys."), missing), now);
    }
    Ok(Some(secret))
}

/// Logs in on the host itself.
async fn connect(host: &Value, secret: &Value) -> Result<(), super::vcenter::Error> {
    let get = |key: &str| secret_text(secret, key).unwrap_or_default();
    let url = format!("https://{}/sdk", host.text("/spec/ipAddress"));
    let ca = Some(get("cacert")).filter(|ca| !ca.is_empty() && get("insecureSkipVerify") != "true");
    let session = Vcenter::connect(&Access { url, user: get("user"), password: get("password"), ca }).await?;
    session.logout().await;
    Ok(())
}
