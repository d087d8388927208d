//! The destination of remote scenarios: a Provider with URL and token instead of the cluster's own, as another cluster has it.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mtv_api::{
    forklift::{ObjectRef, ProviderSpec},
    kinds,
};
use serde_json::{Value, json};

use super::owned::Owner;
use crate::{
    cluster::Cluster,
    config::settings::Settings,
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    forklift,
};

/// Name of the Secret and the Provider.
const NAME: &str = "destination-remote";

/// Creates Secret and Provider and waits until the Provider is Ready.
///
/// # Errors
/// `remote_ocp_cluster` is about another cluster, the login has no token, or the Provider does not become Ready.
pub async fn destination(owner: &Owner, cx: &StepCx, settings: &Settings, namespace: &str) -> Result<ObjectRef, Failure> {
    let server = owner.cluster.server();
    let wanted = settings.remote_ocp_cluster.as_deref().unwrap_or_default();
    if !server.contains(wanted) {
        return Err(Failure::Errored(
            Diagnosis::new(Id::ScenarioRequirementMissing, format!("remote_ocp_cluster `{wanted}` is no part of {server}"))
                .hint("remote scenarios reach the connected cluster by its URL: set remote_ocp_cluster to a part of its host name"),
        ));
    }
    cx.progress("creating the destination Provider with URL and token", None);
    let secret = secret(&owner.cluster, namespace, &server)?;
    owner.create(&kinds::SECRET, secret, None).await?;
    let spec =
        ProviderSpec { kind: "openshift".to_owned(), url: server, secret: ObjectRef::new(namespace, NAME), settings: BTreeMap::new() };
    owner.create(&kinds::PROVIDER, forklift::manifest(&kinds::PROVIDER, Some(namespace), NAME, &spec), None).await?;
    let limit = settings.provider_ready_timeout;
    forklift::wait_ready(&owner.cluster, cx, &kinds::PROVIDER, namespace, NAME, limit).await.map_err(|failure| match failure {
        // A Provider that does not come up is the environment's trouble: nothing was tested yet.
        Failure::Failed(trouble) => Failure::Errored(trouble),
        other => other,
    })?;
    Ok(ObjectRef::new(namespace, NAME))
}

/// The login as Forklift wants it. TLS is verified as this login itself verifies it.
fn secret(cluster: &Cluster, namespace: &str, server: &str) -> Result<Value, Failure> {
    let Some(token) = cluster.token() else {
        return Err(Failure::Errored(
            Diagnosis::new(
                Id::ScenarioRequirementMissing,
                "the login to the cluster has no token, which the destination Provider of remote scenarios needs",
            )
            .hint("log in with `oc login`, or by user and password (cluster_host, cluster_username)"),
        ));
    };
    let trusted = cluster.trusted();
    let mut fields =
        vec![("url", server.to_owned()), ("token", token.expose().to_owned()), ("insecureSkipVerify", trusted.is_none().to_string())];
    fields.extend(trusted.filter(|pem| !pem.is_empty()).map(|pem| ("cacert", pem)));
    let data: serde_json::Map<String, Value> =
        fields.into_iter().map(|(key, value)| (key.to_owned(), json!(STANDARD.encode(value)))).collect();
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {
            "createdForProviderType": "openshift", "createdForResourceType": "providers",
        }},
        "data": data,
    }))
}
