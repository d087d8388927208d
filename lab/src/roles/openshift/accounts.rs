//! What every namespace gets: service accounts and the certificates to trust.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, runtime::watcher};
use mtv_api::kinds;
use serde_json::json;

use super::MANAGER;
use crate::roles::{
    Context,
    life::{self, Latest},
    write,
};

/// Service accounts of a project in OpenShift.
const ACCOUNTS: [&str; 3] = ["default", "builder", "deployer"];

/// Starts the controllers.
pub(super) async fn start(cx: &Context, ca: String) -> anyhow::Result<()> {
    let context = cx.clone();
    life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |namespace| {
        furnish(context.clone(), ca.clone(), namespace)
    })
    .await?;
    Ok(())
}

async fn furnish(cx: Context, ca: String, mut latest: Latest<Namespace>) -> anyhow::Result<()> {
    let namespace = latest.get();
    if namespace.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = namespace.name_any();
    for account in ACCOUNTS {
        write::create(&cx.client, MANAGER, &kinds::SERVICE_ACCOUNT, json!({ "metadata": { "name": account, "namespace": name } })).await?;
    }
    let map = json!({ "metadata": { "name": "kube-root-ca.crt", "namespace": name }, "data": { "ca.crt": ca } });
    write::create(&cx.client, MANAGER, &kinds::CONFIG_MAP, map).await.map(drop)
}
