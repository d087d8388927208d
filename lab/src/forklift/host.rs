//! Hosts: credentials of single ESXi hosts.

use std::time::Duration;

use anyhow::{Context as _, bail};
use mtv_api::{
    forklift::Status,
    kinds::{HOST, PROVIDER, SECRET},
};
use serde_json::json;

use super::{
    Context,
    cluster::{Key, Look},
    conditions::{Staged, condition},
    provider::secret_text,
    vcenter::{Access, Vcenter},
};

/// Looks at a Host. One whose address does not answer gets no status at all and is tried again, as recorded.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    let Some(host) = context.cluster.get(&HOST, &key.namespace, &key.name).await? else { return Ok(None) };
    let written: Status = serde_json::from_value(host["status"].clone()).unwrap_or_default();
    let now = context.now();
    let mut staged = Staged::begin(&written.conditions);
    let provider = context.cluster.get(&PROVIDER, host.text("/spec/provider/namespace"), host.text("/spec/provider/name")).await?;
    if provider.as_ref().is_some_and(|p| p.text("/spec/type") != "vsphere") {
        staged.set(condition("TypeNotValid", "Critical", "NotSupported", "Only vSphere providers have hosts."), &now);
    }
    let address = host.text("/spec/ipAddress");
    if address.is_empty() {
        staged.set(condition("IpNotValid", "Critical", "NotSet", "`ipAddress` must be set."), &now);
    }
    let secret = context.cluster.get(&SECRET, host.text("/spec/secret/namespace"), host.text("/spec/secret/name")).await?;
    let Some(secret) = secret else { bail!("the secret of host {key} is not there") };
    if !staged.blocked() {
        let get = |name: &str| secret_text(&secret, name).unwrap_or_default();
        let access = Access { url: format!("https://{address}/sdk"), user: get("user"), password: get("password"), ca: None };
        let vcenter = Vcenter::connect(&access).await.with_context(|| format!("host {key} does not answer"))?;
        vcenter.logout().await;
        staged.set(condition("Validated", "Advisory", "Completed", "The host was validated."), &now);
        staged.set(condition("ConnectionTestSucceeded", "Required", "Tested", "The connection test passed."), &now);
        staged.set(condition("Ready", "Required", "", "The host can be used."), &now);
    }
    staged.end();
    let status = json!({ "conditions": staged.list(), "observedGeneration": host.number("/metadata/generation") });
    context.publish(&HOST, "host", &host, &written.conditions, &staged, status).await?;
    Ok(None)
}
