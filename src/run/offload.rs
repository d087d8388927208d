//! What scenarios with copy-offload share: the Secret with the storage array's login, and MTV's SSH key on the ESXi host.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::api::DynamicObject;
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{Owner, provider_failure};
use crate::{
    cluster::{Awaited, ObjectExt as _},
    config::{
        copyoffload::{CopyOffload, EsxiCloneMethod},
        profile::Profile,
    },
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    events::What,
    journal::Entry,
    providers::{OffloadHost, Source},
};

/// Name of the Secret, which every StorageMap of the run refers to.
const SECRET: &str = "copyoffload-storage";

/// How long the controller may take to make the key pair of a Provider, as mtv-api-tests has it.
const KEYS: Duration = Duration::from_mins(2);

/// What is there once a run is prepared for copy-offload.
#[derive(Debug, Clone)]
pub struct Offload {
    /// Name of the storage Secret, in the namespace of the source Provider.
    pub secret: String,
    /// The array's kind, as StorageMaps spell it.
    pub vendor: String,
}

/// Annotations of the source Provider: without a VDDK image on purpose, as the console of MTV writes it.
pub fn provider_annotations(profile: &Profile) -> Option<Value> {
    profile.copyoffload().is_some().then(|| json!({ "forklift.konveyor.io/empty-vddk-init-image": "yes" }))
}

/// Creates the Secret and lets MTV's key into the ESXi host, if that is how it copies.
///
/// # Errors
/// The profile is not complete, or cluster or host refuse.
pub async fn prepare(
    owner: &Owner,
    cx: &StepCx,
    source: &dyn Source,
    profile: &Profile,
    namespace: &str,
    provider: &str,
) -> Result<Offload, Failure> {
    let offload = complete(profile)?;
    cx.progress("preparing copies by the storage array", None);
    let host = host_of(source, &profile.name)?;
    // Ids that do not exist are told now, not by clones and maps later.
    let mut name = String::new();
    for id in offload.datastores().into_iter().rev() {
        name = host.datastore_name(id).await.map_err(provider_failure)?;
    }
    owner.create(&kinds::SECRET, storage_secret(offload, namespace), None).await?;
    if offload.clone_method == EsxiCloneMethod::Ssh {
        authorize(owner, cx, host, profile, namespace, provider, &name).await?;
    }
    Ok(Offload { secret: SECRET.to_owned(), vendor: offload.vendor.map(|v| v.name().to_owned()).unwrap_or_default() })
}

/// The host that copies for a source.
pub(super) fn host_of<'a>(source: &'a dyn Source, profile: &str) -> Result<&'a dyn OffloadHost, Failure> {
    source.offload_host().ok_or_else(|| {
        Failure::Errored(Diagnosis::new(Id::OffloadNotConfigured, format!("provider profile `{profile}` has no copyoffload section")))
    })
}

/// The copy-offload section of the profile, if it says all that every such scenario needs.
fn complete(profile: &Profile) -> Result<&CopyOffload, Failure> {
    let Some(offload) = profile.copyoffload() else {
        return Err(Failure::Errored(
            Diagnosis::new(Id::OffloadNotConfigured, format!("provider profile `{}` has no copyoffload section", profile.name))
                .hint(format!("write a table `[provider.{}.copyoffload]`; providers.example.toml shows its keys", profile.name)),
        ));
    };
    let missing = offload.missing();
    if missing.is_empty() {
        return Ok(offload);
    }
    let trouble =
        Diagnosis::new(Id::OffloadNotConfigured, format!("the copyoffload section of provider profile `{}` is not complete", profile.name));
    Err(Failure::Errored(missing.into_iter().fold(trouble, |trouble, key| trouble.hint(format!("add {key}")))))
}

/// The array's login as MTV's populator reads it.
pub fn storage_secret(offload: &CopyOffload, namespace: &str) -> Value {
    let data: serde_json::Map<String, Value> =
        offload.storage.iter().map(|(key, value)| (key.clone(), json!(STANDARD.encode(value.expose())))).collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": SECRET, "namespace": namespace },
        "data": data,
    })
}

/// Waits for the key pair that the controller makes for the Provider, and lets its public half into the ESXi host. It is in
/// the journal before the host is touched.
async fn authorize(
    owner: &Owner,
    cx: &StepCx,
    copier: &dyn OffloadHost,
    profile: &Profile,
    namespace: &str,
    provider: &str,
    datastore: &str,
) -> Result<(), Failure> {
    let name = format!("offload-ssh-keys-{provider}-public");
    cx.progress(format!("waiting for MTV's SSH key in Secret {namespace}/{name}"), None);
    let awaited = Awaited { kind: &kinds::SECRET, namespace: Some(namespace), name: &name, until: "to hold MTV's SSH key", limit: KEYS };
    let key = owner.cluster.wait(cx, awaited, |secret| Ok(secret.and_then(public_key))).await?;
    let host = profile.copyoffload().and_then(|offload| offload.esxi.host.clone()).unwrap_or_default();
    cx.progress(format!("letting MTV's SSH key into the ESXi host {host}"), None);
    let entry = Entry::AuthorizedKey { profile: profile.name.clone(), host: host.clone(), key: key.clone() };
    let entry = owner.journal.intend(entry).await?;
    let authorized = copier.authorize_key(&key, &owner.run, datastore).await;
    report_host_key(copier, cx);
    authorized.map_err(provider_failure)?;
    owner.journal.created(entry, host).await?;
    Ok(())
}

/// Reports a host key that was taken without proof: whoever answered was sent the host's password.
pub(super) fn report_host_key(host: &dyn OffloadHost, cx: &StepCx) {
    let Some(key) = host.unverified_host_key() else { return };
    cx.warn(format!(
        "the SSH host key of the ESXi host {} was not verified: {} was trusted on first use; to verify it, set esxi_ssh_host_key in the \
         profile's copyoffload section to this fingerprint, or to `{}`",
        key.address, key.key.fingerprint, key.key.line
    ));
    cx.emitter.emit(What::Facts { facts: BTreeMap::from([("ssh_host_key_unverified".to_owned(), key.to_string())]) });
}

/// The public key without the newline at its end.
fn public_key(secret: &DynamicObject) -> Option<String> {
    let bytes = STANDARD.decode(secret.text("/data/public-key")?).ok()?;
    let key = String::from_utf8(bytes).ok()?.trim().to_owned();
    (!key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::secrets::{Secret, SecretValue};

    #[test]
    fn the_secret_holds_what_the_populator_reads() {
        let storage = BTreeMap::from([
            ("STORAGE_HOSTNAME".to_owned(), SecretValue::Plain("array".into())),
            ("STORAGE_PASSWORD".to_owned(), SecretValue::Secret(Secret::new("pass of array"))),
        ]);
        let secret = storage_secret(&CopyOffload { storage, ..CopyOffload::default() }, "ns");
        assert_eq!(secret["data"]["STORAGE_HOSTNAME"], STANDARD.encode("array"));
        assert_eq!(secret["data"]["STORAGE_PASSWORD"], STANDARD.encode("pass of array"));
        assert_eq!(secret["metadata"]["namespace"], "ns");
    }

    #[test]
    fn keys_come_without_their_newline() {
        let secret =
            |key: &str| serde_json::from_value::<DynamicObject>(json!({ "data": { "public-key": STANDARD.encode(key) } })).unwrap();
        assert_eq!(public_key(&secret("ssh-rsa AAA\n")).as_deref(), Some("ssh-rsa AAA"));
        assert_eq!(public_key(&secret("\n")), None);
    }
}
