//! Services behind OpenShift's router, asked with the user's own login.

use anyhow::Context as _;
use kube::{Client, api::DynamicObject};
use mtv_api::kinds;
use serde_json::Value;

use super::{Cluster, ObjectExt as _};

/// Namespace and name of the ConfigMap with the CA that signs the router's certificates.
const INGRESS_CA: (&str, &str) = ("openshift-config-managed", "default-ingress-cert");

impl Cluster {
    /// A client for the service behind a Route; its certificate is verified with the ingress CA as well, which kubeconfigs
    /// rarely carry.
    ///
    /// # Errors
    /// There is no such Route, or it has no host yet.
    pub async fn behind_route(&self, namespace: &str, name: &str) -> anyhow::Result<Client> {
        let route = self.get(&kinds::ROUTE, Some(namespace), name).await?;
        let route = route.with_context(|| format!("Route {namespace}/{name} does not exist"))?;
        let host = host(&route).with_context(|| format!("Route {namespace}/{name} has no host yet"))?;
        let ingress = self.get(&kinds::CONFIG_MAP, Some(INGRESS_CA.0), INGRESS_CA.1).await.unwrap_or_default();
        let bundle = ingress.as_ref().and_then(|c| c.text("/data/ca-bundle.crt")).unwrap_or_default();
        self.client_for(&format!("https://{host}"), bundle)
    }
}

/// Host of a Route, with its port if that is not 443: the one under which a router has admitted it, else the one asked for.
fn host(route: &DynamicObject) -> Option<&str> {
    let admitted = |entry: &&Value| {
        let conditions = entry["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        conditions.iter().any(|c| c["type"] == "Admitted" && c["status"] == "True")
    };
    let ingress = route.data.pointer("/status/ingress").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let told = ingress.iter().find(admitted).and_then(|entry| entry["host"].as_str());
    told.or_else(|| route.text("/spec/host")).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_router_knows_the_host_best() {
        let route = |value: Value| -> DynamicObject { serde_json::from_value(value).unwrap() };
        let entry = |host: &str, status: &str| json!({ "host": host, "conditions": [{ "type": "Admitted", "status": status }] });
        let asked = json!({ "host": "inventory.apps.example" });
        let table = [
            (json!({ "spec": asked }), Some("inventory.apps.example")),
            (json!({ "spec": asked, "status": { "ingress": [entry("taken.example", "False")] } }), Some("inventory.apps.example")),
            (
                json!({ "spec": asked, "status": { "ingress": [entry("x", "False"), entry("127.0.0.1:4711", "True")] } }),
                Some("127.0.0.1:4711"),
            ),
            (json!({ "spec": {} }), None),
        ];
        for (value, expected) in table {
            assert_eq!(host(&route(value.clone())), expected, "{value}");
        }
    }
}
