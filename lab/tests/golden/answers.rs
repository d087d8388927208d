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

/// Asks what was asked and compares; `fields` names those of the inventory that need not be the same.
pub fn run(file: &Path, fields: &[String], strict: bool) -> Result<(), String> {
    let content = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let recording: Value = serde_json::from_str(&content).map_err(|error| error.to_string())?;
    let inventory = file.file_stem().is_some_and(|stem| stem == "inventory-responses");
    let differences = time::run(async {
        let bench = Bench::start(include_str!("../golden.toml"), 1.0).await;
        if inventory { ask_inventory(&bench, &recording, fields, strict).await } else { create(&bench, &recording).await }
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

async fn create(bench: &Bench, recording: &Value) -> Result<Vec<String>, String> {
    let mut differences = Vec::new();
    for answer in answers(recording) {
        let what = text(answer, "/what");
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

/// A text without what belongs to one vCenter or one cluster: ids, UUIDs, hardware addresses, placeholders.
fn common(text: &str) -> String {
    let kinds = ["vm", "host", "group", "datastore", "domain", "network", "dvportgroup", "datacenter", "dvs"];
    let one = |part: &str| {
        let id = part.rsplit_once('-').is_some_and(|(kind, number)| {
            let digits = number.trim_start_matches(|c: char| c.is_ascii_lowercase());
            kinds.contains(&kind) && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        });
        let uuid = part.len() == 36 && part.bytes().filter(|b| *b == b'-').count() == 4;
        let address = part.len() == 17 && part.bytes().filter(|b| *b == b':').count() == 5;
        // The group of a switch's ways out has the switch's name and number.
        let uplinks = part.contains("-DVUplinks-");
        if id || uuid || address || uplinks || part.starts_with('<') { "*".to_owned() } else { part.to_owned() }
    };
    text.split('/').map(one).collect::<Vec<_>>().join("/")
}

/// What counts as the same, and what of that was met.
struct Same<'a> {
    fields: &'a [String],
    met: BTreeSet<String>,
}

impl Same<'_> {
    fn has(&mut self, path: &str) -> bool {
        let path = path.replace("/*", "");
        let Some(field) = self.fields.iter().find(|field| path.ends_with(&format!("/{field}"))) else { return false };
        self.met.insert(field.clone());
        true
    }
}

/// Where two values differ. Entries of a list are found by their names, or by their places.
fn differ(path: &str, recorded: &Value, found: &Value, same: &mut Same<'_>, out: &mut BTreeSet<String>) {
    match (recorded, found) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let path = format!("{path}/{key}");
                let difference = match (a.get(key), b.get(key)) {
                    // Objects of Kubernetes inside are not the inventory's.
                    (Some(a), Some(_)) if key == "object" && a["metadata"].is_object() => continue,
                    (Some(a), Some(b)) => {
                        differ(&path, a, b, same, out);
                        continue;
                    }
                    (Some(_), None) => format!("{path} is missing"),
                    _ => format!("{path} is not recorded"),
                };
                if !same.has(&path) {
                    out.insert(difference);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.iter().chain(b).all(|entry| entry["name"].is_string()) => {
            for (here, there, fate) in [(a, b, "missing"), (b, a, "not recorded")] {
                for entry in here {
                    let name = common(text(entry, "/name"));
                    match there.iter().find(|other| common(text(other, "/name")) == name) {
                        Some(other) if fate == "missing" => differ(&format!("{path}/*"), entry, other, same, out),
                        Some(_) => {}
                        None if same.has(&format!("{path}/{name}")) => {}
                        None => drop(out.insert(format!("{path}/{name} is {fate}"))),
                    }
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() && !same.has(path) {
                out.insert(format!("{path}: recorded {} entries, found {}", a.len(), b.len()));
            }
            a.iter().zip(b).for_each(|(a, b)| differ(&format!("{path}/*"), a, b, same, out));
        }
        (Value::String(a), Value::String(b)) if common(a) == common(b) => {}
        (a, b) if a == b || same.has(path) => {}
        (a, b) => drop(out.insert(format!("{path}: recorded {a}, found {b}"))),
    }
}

async fn ask_inventory(bench: &Bench, recording: &Value, fields: &[String], strict: bool) -> Result<Vec<String>, String> {
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
    let mut same = Same { fields, met: BTreeSet::new() };
    for answer in answers(recording) {
        let name = text(answer, "/name");
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
        let mut here = BTreeSet::new();
        differ("", &answer["body"], &body, &mut same, &mut here);
        differences.extend(here.into_iter().map(|difference| format!("{name}: {difference}")));
    }
    differences.extend(
        fields.iter().filter(|field| strict && !same.met.contains(*field)).map(|field| format!("the difference in {field} is no more")),
    );
    Ok(differences)
}
