//! Providers: credentials, connection, inventory.

use std::time::Duration;

use anyhow::{Context as _, bail};
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
    vcenter::{Access, Vcenter},
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

/// How to reach the vCenter of a Provider, or the keys that its Secret lacks.
pub fn vsphere_access(provider: &Value, secret: &Value) -> Result<Access, Vec<String>> {
    let get = |key: &str| secret_text(secret, key).filter(|value| !value.is_empty());
    let insecure = get("insecureSkipVerify").as_deref() == Some("true");
    let ca = get("ca.crt").or_else(|| get("cacert"));
    let mut missing: Vec<String> = ["user", "password"].into_iter().filter(|key| get(key).is_none()).map(str::to_owned).collect();
    if !insecure && ca.is_none() {
        missing.push("ca.crt".to_owned());
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    Ok(Access {
        url: provider.text("/spec/url").to_owned(),
        user: get("user").unwrap_or_default(),
        password: get("password").unwrap_or_default(),
        ca: if insecure { None } else { ca },
    })
}

/// How to reach the vCenter of a Provider, whose Secret must be there and whole.
pub async fn access(context: &Context, provider: &Value) -> anyhow::Result<Access> {
    let (namespace, name) = (provider.text("/spec/secret/namespace"), provider.text("/spec/secret/name"));
    let secret = context.cluster.get(&SECRET, namespace, name).await?.with_context(|| format!("secret {namespace}/{name} is not there"))?;
    vsphere_access(provider, &secret).map_err(|missing| anyhow::anyhow!("secret {namespace}/{name} lacks {}", missing.join(", ")))
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
    let mut access = None;
    if provider.text("/spec/type") == "vsphere"
        && let Some(secret) = &secret
    {
        access = validate_vsphere_secret(&provider, secret, &mut staged, &now);
    }
    if staged.blocked() {
        status["phase"] = json!("ValidationFailed");
    } else {
        match connect(context, &provider, access.as_ref(), secret.as_ref()).await {
            Ok(fingerprint) => {
                if !fingerprint.is_empty() {
                    status["fingerprint"] = json!(fingerprint);
                }
                staged.set(condition("ConnectionTestSucceeded", "Required", "Tested", "The connection test passed."), &now);
                staged.set(condition("Validated", "Advisory", "Completed", "The provider was validated."), &now);
            }
            Err(text) => {
                staged.set(condition("ConnectionTestFailed", "Critical", "Tested", text), &now);
                status["phase"] = json!("ConnectionFailed");
            }
        }
    }
    inventory(context, &provider, access, secret.as_ref(), &mut staged, &mut status).await?;
    let healthy = staged.has("ConnectionTestSucceeded") && staged.has("InventoryCreated");
    if healthy && !staged.blocked() {
        status["phase"] = json!("Ready");
        staged.set(condition("Ready", "Required", "", "The provider can be used."), &now);
    }
    staged.end();
    status["conditions"] = json!(staged.list());
    status["observedGeneration"] = json!(provider.number("/metadata/generation"));
    context.publish(&PROVIDER, "provider", &provider, &written.conditions, &staged, status).await?;
    Ok(Some(if healthy { LONG } else { SLOW }))
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

fn validate_vsphere_secret(provider: &Value, secret: &Value, staged: &mut Staged, now: &str) -> Option<Access> {
    match vsphere_access(provider, secret) {
        Ok(access) => Some(access),
        Err(missing) => {
            staged.set(about(condition("SecretNotValid", "Critical", "DataErr", "`secret` lacks keys."), missing), now);
            None
        }
    }
}

/// Tests the connection; returns the fingerprint of the server's certificate, or what went wrong.
async fn connect(context: &Context, provider: &Value, access: Option<&Access>, secret: Option<&Value>) -> Result<String, String> {
    match provider.text("/spec/type") {
        "vsphere" => {
            let access = access.ok_or_else(|| "the secret is incomplete".to_owned())?;
            let vcenter = Vcenter::connect(access).await.map_err(|error| match error {
                super::vcenter::Error::Fault { .. } => format!("Connection test, failed: {error}"),
                other => other.to_string(),
            })?;
            vcenter.logout().await;
            Ok(vcenter.fingerprint)
        }
        "openshift" if is_host(provider) => {
            context.cluster.client().apiserver_version().await.map(|_| String::new()).map_err(|error| error.to_string())
        }
        "openshift" => remote_cluster(provider, secret).await.map(|()| String::new()).map_err(|error| format!("{error:#}")),
        other => Err(format!("no source of type {other} is simulated")),
    }
}

/// Tests the connection to another cluster with the token of its Secret.
async fn remote_cluster(provider: &Value, secret: Option<&Value>) -> anyhow::Result<()> {
    let get = |key: &str| secret.and_then(|s| secret_text(s, key)).filter(|v| !v.is_empty());
    let mut config = kube::Config::new(provider.text("/spec/url").parse().context("`url` is none")?);
    config.auth_info.token = Some(get("token").context("the secret has no token")?.into());
    config.accept_invalid_certs = get("insecureSkipVerify").as_deref() == Some("true");
    if let Some(pem) = get("ca.crt").or_else(|| get("cacert")) {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        config.root_cert = Some(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).map(|c| c.to_vec()).collect());
    }
    let client = kube::Client::try_from(config)?;
    // Any authenticated user may read this; an unknown token may not.
    client.request::<Value>(http::Request::get("/api/v1/namespaces/default").body(Vec::new())?).await?;
    Ok(())
}

/// Starts the collector once the connection works, and tells when it has read everything.
async fn inventory(
    context: &Context,
    provider: &Value,
    access: Option<Access>,
    secret: Option<&Value>,
    staged: &mut Staged,
    status: &mut Value,
) -> anyhow::Result<()> {
    if staged.blocked() || !staged.has("ConnectionTestSucceeded") {
        if provider.text("/spec/type") == "vsphere" && access.is_some() {
            ensure_ssh_keys(context, provider).await?;
        }
        return Ok(());
    }
    let now = context.now();
    let uid = provider.uid();
    let created = condition("InventoryCreated", "Required", "Completed", "The inventory was read.");
    let Some(access) = access else {
        // OpenShift is read when it is asked for; the first look only starts it.
        if status.get("observedGeneration").is_some() {
            staged.set(created, &now);
        }
        return Ok(());
    };
    ensure_ssh_keys(context, provider).await?;
    match context.inventories.get(uid).filter(|collector| collector.access == access) {
        // Reading takes real time, however fast the lab's clock runs: in the real one it is over long before the second look.
        Some(collector) if collector.reads_all_within(LOAD).await => staged.set(created, &now),
        Some(_) => staged.set(condition("LoadInventory", "Advisory", "Started", "The inventory is being read."), &now),
        None => context.inventories.start(uid, access),
    }
    if let Some(version) = secret.map(|s| s.text("/metadata/resourceVersion")) {
        status["secretResourceVersion"] = json!(version);
    }
    Ok(())
}

/// The two Secrets with a key pair that copy offload over SSH would use. The real keys are RSA; these are ECDSA, because
/// making an RSA key takes seconds in an unoptimised build and nothing in the lab logs in with them.
async fn ensure_ssh_keys(context: &Context, provider: &Value) -> anyhow::Result<()> {
    let (namespace, name) = (provider.text("/metadata/namespace"), provider.text("/metadata/name"));
    let private = format!("offload-ssh-keys-{name}-private");
    if context.cluster.get(&SECRET, namespace, &private).await?.is_some() {
        return Ok(());
    }
    let pair = rcgen::KeyPair::generate()?;
    let metadata = |secret: &str| {
        json!({
            "name": secret,
            "labels": {
                "app.kubernetes.io/name": "forklift", "app.kubernetes.io/component": "ssh-keys",
                "app.kubernetes.io/managed-by": super::cluster::MANAGER, "forklift.konveyor.io/provider": name,
            },
            "ownerReferences": [{
                "apiVersion": PROVIDER.api_version(), "kind": PROVIDER.kind, "name": name, "uid": provider.uid(),
                "controller": true, "blockOwnerDeletion": true,
            }],
        })
    };
    for (secret, data_key, data) in [
        (private, "private-key", pair.serialize_pem()),
        (format!("offload-ssh-keys-{name}-public"), "public-key", authorized_key(pair.public_key_raw())),
    ] {
        let object = json!({ "metadata": metadata(&secret), "type": "Opaque", "data": { data_key: STANDARD.encode(data) } });
        match context.cluster.create(&SECRET, namespace, object).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A P-256 key as a line of `authorized_keys` (RFC 5656).
fn authorized_key(point: &[u8]) -> String {
    const KIND: &str = "ecdsa-sha2-nistp256";
    let mut blob = Vec::new();
    for part in [KIND.as_bytes(), b"nistp256", point] {
        blob.extend(u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
        blob.extend(part);
    }
    format!("{KIND} {}\n", STANDARD.encode(blob))
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

    fn secret(pairs: &[(&str, &str)]) -> Value {
        json!({ "data": pairs.iter().map(|(k, v)| ((*k).to_owned(), json!(STANDARD.encode(v)))).collect::<serde_json::Map<_, _>>() })
    }

    #[test]
    fn missing_keys_are_named() {
        let provider = json!({ "spec": { "url": "https://vc/sdk", "type": "vsphere" } });
        assert_eq!(vsphere_access(&provider, &secret(&[("insecureSkipVerify", "true")])).unwrap_err(), ["user", "password"]);
        assert_eq!(vsphere_access(&provider, &secret(&[("user", "a"), ("password", "b")])).unwrap_err(), ["ca.crt"]);
        let access = vsphere_access(&provider, &secret(&[("user", "a"), ("password", "b"), ("cacert", "PEM")])).unwrap();
        assert_eq!(access.ca.as_deref(), Some("PEM"));
    }

    #[test]
    fn only_the_openshift_provider_without_url_is_the_host() {
        assert!(is_host(&json!({ "spec": { "type": "openshift" } })));
        assert!(!is_host(&json!({ "spec": { "type": "openshift", "url": "https://x" } })));
        assert!(!is_host(&json!({ "spec": { "type": "vsphere" } })));
    }

    #[test]
    fn a_public_key_reads_as_openssh_does() {
        let line = authorized_key(&[4; 65]);
        let blob = STANDARD.decode(line.split(' ').nth(1).unwrap().trim()).unwrap();
        assert_eq!(blob.len(), 4 + 19 + 4 + 8 + 4 + 65);
    }
}
