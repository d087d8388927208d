//! The target namespace.

use mtv_api::kinds::NAMESPACE;
use serde_json::json;

use crate::forklift::cluster::Cluster;

/// Creates a namespace unless it is there.
pub async fn ensure(cluster: &Cluster, name: &str) -> kube::Result<()> {
    if cluster.get(&NAMESPACE, "", name).await?.is_some() {
        return Ok(());
    }
    match cluster.create(&NAMESPACE, "", json!({ "metadata": { "name": name } })).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}
