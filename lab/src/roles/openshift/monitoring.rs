//! Service and Route of the cluster's monitoring.

use mtv_api::kinds;
use serde_json::json;

use super::{Addresses, Item, make, mtv};
use crate::roles::Context;

/// Namespace of the monitoring.
pub(super) const NAMESPACE: &str = "openshift-monitoring";

/// Name of the querier's Service and Route.
const QUERIER: &str = "thanos-querier";

/// Makes both.
pub(super) async fn furnish(cx: &Context, addresses: &Addresses) -> anyhow::Result<()> {
    let port = addresses.monitoring.port();
    let service = json!({ "metadata": { "name": QUERIER, "namespace": NAMESPACE },
        "spec": { "type": "ExternalName", "externalName": "localhost", "ports": [{ "name": "web", "port": port, "protocol": "TCP" }] } });
    make(cx, Item::new(&kinds::SERVICE, service)).await?;
    mtv::route(cx, NAMESPACE, QUERIER, &addresses.monitoring.to_string(), "web").await
}
