//! Recorded answers to requests: of the inventory service and of the API server.

use std::{collections::BTreeSet, path::Path};

use kube::api::{DynamicObject, PostParams};
use mtv_api::kinds::{self, Kind};
use mtv_lab::{forklift::vcenter, inventory};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    bench::{Bench, HOME, holds},
    replay::text,
    time,
};

/// Files with answers instead of states.
pub const FILES: &[&str] = &["api-rejections", "inventory-responses"];

/// Asks what was asked and compares; `left_out` names answers that need not be the same.
pub fn run(file: &Path, left_out: &[String]) -> Result<(), String> {
    let content = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let recording: Value = serde_json::from_str(&content).map_err(|error| error.to_string())?;
    let inventory = file.file_stem().is_some_and(|stem| stem == "inventory-responses");
    let differences = time::run(async {
        let bench = Bench::start(include_str!("../golden.toml"), 1.0).await;
        if inventory { ask_inventory(&bench, &recording, left_out).await } else { create(&bench, &recording, left_out).await }
    })??;
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

fn answers(recording: &Value) -> impl Iterator<Item = &Value> {
    recording["responses"].as_array().into_iter().flatten()
}

/// Field and reason of each cause of a refusal.
fn causes(status: &Value) -> BTreeSet<(String, String)> {
    let list = status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
    list.map(|cause| (text(cause, "/field").to_owned(), text(cause, "/reason").to_owned())).collect()
}

async fn create(bench: &Bench, recording: &Value, left_out: &[String]) -> Result<Vec<String>, String> {
    let mut differences = Vec::new();
    for answer in answers(recording) {
        let what = text(answer, "/what");
        if left_out.iter().any(|name| name == what) {
            continue;
        }
        let object: DynamicObject = serde_json::from_value(answer["object"].clone()).map_err(|error| error.to_string())?;
        let kind = Kind::find(text(&answer["object"], "/apiVersion"), text(&answer["object"], "/kind")).ok_or("unknown kind")?;
        let (status, body) = match bench.api(kind, HOME).create(&PostParams::default(), &object).await {
            Ok(_) => (201, Value::Null),
            Err(kube::Error::Api(status)) => (u64::from(status.code), serde_json::to_value(&*status).map_err(|error| error.to_string())?),
            Err(error) => return Err(format!("{what}: {error}")),
        };
        if answer["status"] != status || causes(&answer["body"]) != causes(&body) {
            differences.push(format!(
                "{what}: recorded {} {:?}, found {status} {:?}",
                answer["status"],
                causes(&answer["body"]),
                causes(&body)
            ));
        }
    }
    Ok(differences)
}

/// Paths of all fields; entries of lists count as one. Objects of Kubernetes inside are not the inventory's.
fn fields(path: &str, value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{path}/{key}");
                if key != "object" {
                    fields(&path, value, out);
                }
                out.insert(path);
            }
        }
        Value::Array(list) => list.iter().for_each(|entry| fields(&format!("{path}/*"), entry, out)),
        _ => {}
    }
}

async fn ask_inventory(bench: &Bench, recording: &Value, left_out: &[String]) -> Result<Vec<String>, String> {
    bench.start_forklift();
    let host =
        json!({ "metadata": { "name": "host", "namespace": "openshift-mtv" }, "spec": { "type": "openshift", "url": "", "secret": {} } });
    bench.make(&kinds::PROVIDER, host).await;
    let secret = json!({
        "metadata": { "name": "vcenter", "namespace": HOME },
        "stringData": { "user": "admin", "password": "hunter2", "insecureSkipVerify": "true", "url": bench.url },
    });
    bench.make(&kinds::SECRET, secret).await;
    let provider = json!({
        "metadata": { "name": "vsphere", "namespace": HOME },
        "spec": { "type": "vsphere", "url": bench.url, "secret": { "name": "vcenter", "namespace": HOME }, "settings": { "sdkEndpoint": "vcenter" } },
    });
    bench.make(&kinds::PROVIDER, provider).await;
    let host = bench.until(&kinds::PROVIDER, "openshift-mtv", "host", |o| holds(o, "Ready")).await;
    let source = bench.until(&kinds::PROVIDER, HOME, "vsphere", |o| holds(o, "Ready")).await;
    bench.make(&kinds::NAD, json!({ "metadata": { "name": "br1", "namespace": "default" }, "spec": { "config": "{}" } })).await;
    let vm = json!({ "metadata": { "name": "existing", "namespace": HOME }, "spec": { "runStrategy": "Halted", "template": { "spec": { "domain": { "devices": {} } } } } });
    bench.make(&kinds::VM, vm).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let base = format!("https://{}", listener.local_addr().map_err(|error| error.to_string())?);
    let tls = bench.authority.server(&["127.0.0.1"]).map_err(|error| error.to_string())?;
    tokio::spawn(inventory::serve(
        bench.inventories.clone(),
        bench.client().clone(),
        listener,
        tls,
        mtv_lab::faults::Faults::default(),
        bench.cancel.clone(),
    ));
    let (tls, _) = vcenter::insecure_tls()?;
    let http = reqwest::Client::builder().tls_backend_preconfigured(tls).build().map_err(|error| error.to_string())?;
    let machine = bench
        .inventories
        .any()
        .and_then(|c| c.model().vms().find(|vm| vm.name == "rhel9-a").map(|vm| vm.id.clone()))
        .ok_or("no rhel9-a")?;
    let mut differences = Vec::new();
    for answer in answers(recording) {
        let name = text(answer, "/name");
        if left_out.iter().any(|left| left == name) {
            continue;
        }
        let path = text(answer, "/request/path")
            .replace("<uid-1>", text(&source, "/metadata/uid"))
            .replace("<uid-2>", text(&host, "/metadata/uid"))
            .replace("vm-66", &machine);
        let mut request = http.get(format!("{base}{path}"));
        let token = match text(answer, "/request/authorization") {
            "none" => None,
            "Bearer <invalid token>" => Some("Bearer none-of-ours"),
            "Bearer <token of a user without rights>" => Some("Bearer token-nobody"),
            "Basic <cluster-admin token>" => Some("Basic token-admin"),
            _ => Some("Bearer token-admin"),
        };
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        let found = request.send().await.map_err(|error| format!("{name}: {error}"))?;
        let (status, headers) = (found.status().as_u16(), found.headers().clone());
        let body = found.text().await.map_err(|error| format!("{name}: {error}"))?;
        if answer["status"] != status {
            differences.push(format!("{name}: recorded {}, found {status}", answer["status"]));
            continue;
        }
        for header in ["Content-Type", "X-Reason"] {
            let (recorded, found) = (answer["headers"][header].as_str(), headers.get(header).and_then(|value| value.to_str().ok()));
            if recorded != found {
                differences.push(format!("{name}: {header}: recorded {recorded:?}, found {found:?}"));
            }
        }
        if answer["headers"]["Forklift-Error-Message"].is_string() != headers.contains_key("Forklift-Error-Message") {
            differences.push(format!("{name}: Forklift-Error-Message: only on one side"));
        }
        let body: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
        let (mut recorded, mut found) = (BTreeSet::new(), BTreeSet::new());
        fields("", &answer["body"], &mut recorded);
        fields("", &body, &mut found);
        let (missing, more): (Vec<_>, Vec<_>) = (recorded.difference(&found).collect(), found.difference(&recorded).collect());
        if !missing.is_empty() || !more.is_empty() {
            differences.push(format!("{name}: missing {missing:?}, more {more:?}"));
        }
    }
    Ok(differences)
}
