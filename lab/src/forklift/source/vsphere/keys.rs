//! Keys that the controller makes for every vSphere Provider.

use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::kinds::{PROVIDER, SECRET};
use serde_json::{Value, json};

use crate::forklift::cluster::{Cluster, Look, MANAGER};

/// The two Secrets with a key pair that copy offload over SSH would use. The real keys are RSA; these are ECDSA, because
/// making an RSA key takes seconds in an unoptimised build and nothing in the lab logs in with them.
pub async fn ensure(cluster: &Cluster, provider: &Value) -> anyhow::Result<()> {
    let (namespace, name) = (provider.text("/metadata/namespace"), provider.text("/metadata/name"));
    let private = format!("offload-ssh-keys-{name}-private");
    if cluster.get(&SECRET, namespace, &private).await?.is_some() {
        return Ok(());
    }
    let pair = rcgen::KeyPair::generate()?;
    let metadata = |secret: &str| {
        json!({
            "name": secret,
            "labels": {
                "app.kubernetes.io/name": "forklift", "app.kubernetes.io/component": "ssh-keys",
                "app.kubernetes.io/managed-by": MANAGER, "forklift.konveyor.io/provider": name,
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
        match cluster.create(&SECRET, namespace, object).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_reads_as_openssh_does() {
        let line = authorized_key(&[4; 65]);
        let blob = STANDARD.decode(line.split(' ').nth(1).unwrap().trim()).unwrap();
        assert_eq!(blob.len(), 4 + 19 + 4 + 8 + 4 + 65);
    }
}
