//! Providers: credentials, connection, inventory.

use std::time::Duration;

use anyhow::bail;
use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::{
    condition::Condition,
    forklift::ProviderStatus,
    kinds::{PROVIDER, SECRET},
};
use serde_json::{Value, json};

use super::{
    Context, SLOW,
    cluster::{Key, Look},
    conditions::{Staged, about, condition},
    source::{self, Kind, Login, Refused},
};

/// How often a healthy provider is tested again.
const LONG: Duration = Duration::from_secs(30);

/// How long a look waits for the inventory before it says that it is being read.
const LOAD: Duration = Duration::from_secs(5);

/// Types that the real controller accepts. Those without a simulated source are told so by their failing connection test.
const TYPES: &[&str] = &["openshift", "vsphere", "ovirt", "openstack", "ova", "ec2", "hyperv", "nutanix"];

/// Whether a Provider is the cluster that Forklift runs in.
pub fn is_host(provider: &Value) -> bool {
    provider.text("/spec/type") == "openshift" && provider.text("/spec/url").is_empty()
}

/// A value of a Secret as text.
pub fn secret_text(secret: &Value, key: &str) -> Option<String> {
    let encoded = secret.get("data")?.get(key)?.as_str()?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

/// Looks at a Provider.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    let Some(provider) = context.cluster.get(&PROVIDER, &key.namespace, &key.name).await? else { return Ok(None) };
    let written: ProviderStatus = serde_json::from_value(provider["status"].clone()).unwrap_or_default();
    let now = context.now();
    let mut staged = Staged::begin(&written.conditions);
    let mut status = provider.get("status").filter(|s| s.is_object()).cloned().unwrap_or_else(|| json!({}));
    status["phase"] = json!("Staging");

    validate_shape(&provider, &mut staged, &now);
    let secret = if is_host(&provider) { None } else { read_secret(context, &provider, &mut staged, &now).await? };
    let kind = source::kind(provider.text("/spec/type"));
    let login = match (kind, &secret) {
        (Some(kind), Some(secret)) => whole(kind, Login::read(&provider, Some(secret)), &mut staged, &now),
        (Some(_), None) if is_host(&provider) => Some(Login::read(&provider, None)),
        _ => None,
    };
    let source = kind.zip(login);
    // Of a vCenter the certificate is read whatever else is wrong.
    let nowhere = staged.has("UrlNotValid") && provider.text("/spec/type") == "vsphere" && secret.is_some();
    if nowhere && !staged.has("SecretNotValid") {
        staged.set(condition("ConnectionTestFailed", "Critical", "Tested", "The url names no host."), &now);
        status["phase"] = json!("ConnectionFailed");
    } else if staged.blocked() {
        status["phase"] = json!("ValidationFailed");
    } else {
        match connect(context, &provider, source.as_ref()).await {
            Ok(fingerprint) => {
                if !fingerprint.is_empty() {
                    status["fingerprint"] = json!(fingerprint);
                }
                staged.set(condition("ConnectionTestSucceeded", "Required", "Tested", "The connection test passed."), &now);
            }
            Err(refused) => {
                let name = if refused.login { "ConnectionAuthFailed" } else { "ConnectionTestFailed" };
                staged.set(condition(name, "Critical", "Tested", refused.text), &now);
                status["phase"] = json!("ConnectionFailed");
            }
        }
    }
    inventory(context, &provider, source, secret.as_ref(), &mut staged, &mut status).await?;
    if !is_host(&provider) && secret.is_none() {
        // What follows cannot do without: nothing is written, and the look is repeated.
        bail!("the provider names no secret")
    }
    let healthy = staged.has("ConnectionTestSucceeded") && staged.has("InventoryCreated");
    if healthy && !staged.blocked() {
        status["phase"] = json!("Ready");
        staged.set(condition("Ready", "Required", "", "The provider can be used."), &now);
    }
    staged.end();
    status["conditions"] = json!(staged.list());
    status["observedGeneration"] = json!(provider.number("/metadata/generation"));
    context.publish(&PROVIDER, "provider", &provider, &written.conditions, &staged, status).await?;
    // A refused login is not tried again, lest the account be locked: another spec or Secret brings the next look.
    Ok((!staged.has("ConnectionAuthFailed")).then_some(if healthy { LONG } else { SLOW }))
}

fn validate_shape(provider: &Value, staged: &mut Staged, now: &str) {
    let kind = provider.text("/spec/type");
    if !TYPES.contains(&kind) {
        staged.set(condition("ProviderTypeNotSupported", "Critical", "NotSupported", format!("`{kind}` is no known provider type.")), now);
    }
    if provider.text("/spec/url").is_empty() && kind != "openshift" && kind != "ec2" {
        staged.set(condition("UrlNotValid", "Critical", "NotSet", "`url` must be set."), now);
    }
    if !is_host(provider) && (provider.text("/spec/secret/name").is_empty() || provider.text("/spec/secret/namespace").is_empty()) {
        staged.set(condition("SecretNotValid", "Critical", "NotSet", "`secret` must be set."), now);
    }
}

/// The Secret. One that does not exist ends the reconcile without any status, as recorded.
async fn read_secret(context: &Context, provider: &Value, staged: &mut Staged, now: &str) -> anyhow::Result<Option<Value>> {
    let (namespace, name) = (provider.text("/spec/secret/namespace"), provider.text("/spec/secret/name"));
    if namespace.is_empty() || name.is_empty() {
        return Ok(None);
    }
    let Some(secret) = context.cluster.get(&SECRET, namespace, name).await? else { bail!("secret {namespace}/{name} is not there") };
    if secret_text(&secret, "insecureSkipVerify").as_deref() == Some("true")
        && ["vsphere", "ovirt", "hyperv", "nutanix"].contains(&provider.text("/spec/type"))
    {
        let text = "The server's certificate is not verified: somebody in between could read and change what is sent.";
        staged.set(condition("ConnectionInsecure", "Warn", "SkipTLSVerification", text), now);
    }
    Ok(Some(secret))
}

/// The login, if the Secret has all that the kind needs.
fn whole(kind: &dyn Kind, login: Login, staged: &mut Staged, now: &str) -> Option<Login> {
    let missing = kind.missing(&login);
    if missing.is_empty() {
        return Some(login);
    }
    staged.set(about(condition("SecretNotValid", "Critical", "DataErr", "`secret` lacks keys."), missing), now);
    None
}

/// Tests the connection; returns the fingerprint of the server's certificate, or what went wrong.
async fn connect(context: &Context, provider: &Value, source: Option<&(&dyn Kind, Login)>) -> Result<String, Refused> {
    match source {
        Some((kind, login)) => kind.test(&context.site(), login).await,
        None => Err(Refused::other(format!("no source of type {} is simulated", provider.text("/spec/type")))),
    }
}

/// Opens the source once the connection works, and tells when everything in it was read.
async fn inventory(
    context: &Context,
    provider: &Value,
    source: Option<(&dyn Kind, Login)>,
    secret: Option<&Value>,
    staged: &mut Staged,
    status: &mut Value,
) -> anyhow::Result<()> {
    let Some((kind, login)) = source else { return Ok(()) };
    let site = context.site();
    if staged.blocked() || !staged.has("ConnectionTestSucceeded") {
        return kind.beside(&site, provider).await;
    }
    let now = context.now();
    let uid = provider.uid();
    let mut open = false;
    match context.inventories.get(uid).filter(|source| *source.login() == login) {
        // Reading takes real time, however fast the lab's clock runs: in the real one it is over long before the second look.
        Some(source) if source.reads_all_within(LOAD).await => {
            staged.set(condition("InventoryCreated", "Required", "Completed", "The inventory was read."), &now);
        }
        Some(_) => staged.set(condition("LoadInventory", "Advisory", "Started", "The inventory is being read."), &now),
        None => open = true,
    }
    staged.set(condition("Validated", "Advisory", "Completed", "The provider was validated."), &now);
    kind.beside(&site, provider).await?;
    if open {
        context.inventories.open(kind, &site, uid, login);
    }
    if let Some(version) = secret.map(|s| s.text("/metadata/resourceVersion")) {
        status["secretResourceVersion"] = json!(version);
    }
    Ok(())
}

/// Conditions about a pair of Providers, and the Providers.
pub struct Pair {
    /// Problems.
    pub conditions: Vec<Condition>,
    /// The source, if it is there.
    pub source: Option<Value>,
    /// The destination, if it is there.
    pub destination: Option<Value>,
}

/// Looks at the Providers that a map or plan names.
pub async fn pair(context: &Context, object: &Value) -> kube::Result<Pair> {
    let mut found = Pair { conditions: Vec::new(), source: None, destination: None };
    for (side, title, slot) in [("source", "Source", 0), ("destination", "Destination", 1)] {
        let (namespace, name) =
            (object.text(&format!("/spec/provider/{side}/namespace")), object.text(&format!("/spec/provider/{side}/name")));
        let not_valid = |reason: &str| {
            condition(&format!("{title}ProviderNotValid"), "Critical", reason, format!("The {side} provider cannot be used."))
        };
        if namespace.is_empty() || name.is_empty() {
            found.conditions.push(not_valid("NotSet"));
            continue;
        }
        let Some(provider) = context.cluster.get(&PROVIDER, namespace, name).await? else {
            found.conditions.push(not_valid("NotFound"));
            continue;
        };
        if slot == 1 && provider.text("/spec/type") != "openshift" {
            found.conditions.push(not_valid("TypeNotValid"));
        }
        if !provider.holds("Ready") {
            found.conditions.push(condition(
                &format!("{title}ProviderNotReady"),
                "Critical",
                "",
                format!("The {side} provider is not Ready."),
            ));
        }
        if slot == 0 { found.source = Some(provider) } else { found.destination = Some(provider) }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_openshift_provider_without_url_is_the_host() {
        assert!(is_host(&json!({ "spec": { "type": "openshift" } })));
        assert!(!is_host(&json!({ "spec": { "type": "openshift", "url": "https://x" } })));
        assert!(!is_host(&json!({ "spec": { "type": "vsphere" } })));
    }
}
