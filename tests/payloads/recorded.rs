//! What a run really sends: the lab writes all requests down, and a real kube-apiserver gets the writes of the tool once more.

use std::{collections::BTreeMap, path::Path};

use http::StatusCode;
use kube::Client;
use mtv_api::kinds::{self, Kind};
use mtv_lab::kubernetes::CONTENT_TYPE;
use mtv_testkit::{Options, RealCluster, crds};
use serde_json::{Value, json};

use crate::support::{Lab, told};

/// Which scenarios run: arguments of `run`, or those of tier0.
const SCENARIOS: &str = "MTV_TEST_PAYLOADS";
/// The lab's own controllers, whose requests are not the tool's.
const CONTROLLERS: &str = "system:lab";

/// A write of the tool.
struct Write {
    verb: String,
    path: String,
    query: String,
    media: String,
    body: Value,
    group: String,
    plural: String,
    namespace: String,
    name: String,
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// The writes of the tool that the lab took, from its audit log.
fn writes(log: &Path) -> Vec<Write> {
    let lines = std::fs::read_to_string(log).unwrap();
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let taken = |event: &Value| {
        let agent = text(event, "userAgent");
        matches!(event["verb"].as_str(), Some("create" | "update" | "patch"))
            && event["user"]["username"] != CONTROLLERS
            && agent != mtv_lab::faults::OWN_AGENT
            && event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300)
            && event["requestObject"].is_object() | event["requestObject"].is_array()
            && matches!(event["objectRef"]["subresource"].as_str(), None | Some("status"))
    };
    let write = |event: Value| {
        let uri = text(&event, "requestURI");
        let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
        let others: Vec<&str> = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("fieldValidation=")).collect();
        let reference = &event["objectRef"];
        Write {
            verb: text(&event, "verb"),
            path: path.to_owned(),
            query: others.join("&"),
            media: text(&event["annotations"], CONTENT_TYPE),
            group: text(reference, "apiGroup"),
            plural: text(reference, "resource"),
            namespace: text(reference, "namespace"),
            name: text(reference, "name"),
            body: without_identity(event["requestObject"].clone()),
        }
    };
    events.filter(taken).map(write).collect()
}

/// A body without what ties it to the object of the other server: its uid and version.
fn without_identity(mut body: Value) -> Value {
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("uid");
        metadata.remove("resourceVersion");
    }
    if let Some(operations) = body.as_array_mut() {
        let tied = |path: &Value| path == "/metadata/uid" || path == "/metadata/resourceVersion";
        operations.retain(|operation| !tied(&operation["path"]));
    }
    body
}

struct Judge {
    client: Client,
}

impl Judge {
    async fn send(&self, method: &str, uri: &str, media: &str, body: &Value) -> Result<Value, kube::Error> {
        let request = http::Request::builder().method(method).uri(uri).header("content-type", media);
        self.client.request(request.body(body.to_string().into_bytes()).unwrap()).await
    }

    /// Sends a write. What it changes and nobody created, such as what the operator or a controller makes, is created as little
    /// as it may be.
    async fn judge(&self, write: &Write) -> Result<(), kube::Error> {
        let method = match write.verb.as_str() {
            "create" => "POST",
            "update" => "PUT",
            _ => "PATCH",
        };
        let uri = format!("{}?{}&fieldValidation=Strict", write.path, write.query).replace("?&", "?");
        let missing = |answer: &Result<Value, kube::Error>| matches!(answer, Err(kube::Error::Api(status)) if status.code == 404);
        let mut answer = self.send(method, &uri, &write.media, &write.body).await;
        if missing(&answer) {
            self.prepare(write).await?;
            answer = self.send(method, &uri, &write.media, &write.body).await;
        }
        match answer {
            // Names are used again after a deletion, which is not repeated here: what exists already was looked at before.
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn prepare(&self, write: &Write) -> Result<(), kube::Error> {
        if !write.namespace.is_empty() {
            let namespace = json!({ "metadata": { "name": write.namespace } });
            let _there = self.send("POST", "/api/v1/namespaces", "application/json", &namespace).await;
        }
        if write.verb == "create" {
            return Ok(());
        }
        let Some(kind) = kinds::ALL.iter().find(|kind| kind.group == write.group && kind.plural == write.plural) else { return Ok(()) };
        let collection = write.path.trim_end_matches("/status").trim_end_matches(&write.name).trim_end_matches('/');
        self.send("POST", collection, "application/json", &least(kind, &write.name)).await.map(drop)
    }
}

/// An object with nothing in it but what it must have.
fn least(kind: &Kind, name: &str) -> Value {
    let version = if kind.group.is_empty() { kind.version.to_owned() } else { format!("{}/{}", kind.group, kind.version) };
    let mut object = json!({ "apiVersion": version, "kind": kind.kind, "metadata": { "name": name } });
    if kind.kind == "VirtualMachine" {
        object["spec"] = json!({ "runStrategy": "Halted", "template": { "spec": { "domain": { "devices": {} } } } });
    }
    object
}

pub async fn what_a_run_sends_is_valid() {
    let Some(folder) = crds::folder() else { return };
    let Some(cluster) = RealCluster::start(Options::default()).await.unwrap() else { return };
    let client = cluster.client().await.unwrap();
    crds::install(&client, &crds::read(&folder).unwrap()).await.unwrap();

    let log = tempfile::NamedTempFile::new().unwrap();
    let lab = Lab::start(&["--audit-log", log.path().to_str().unwrap()]);
    let chosen = std::env::var(SCENARIOS).unwrap_or_else(|_| "--marker tier0".to_owned());
    let output = lab.run(&chosen.split(' ').collect::<Vec<_>>()).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));

    let writes = writes(log.path());
    let judge = Judge { client };
    let (mut counts, mut refused) = (BTreeMap::<String, usize>::new(), Vec::new());
    for write in &writes {
        *counts.entry(format!("{} {}", write.verb, write.plural)).or_default() += 1;
        if let Err(error) = judge.judge(write).await {
            refused.push(format!("{} {}: {error}\n{}", write.verb, write.path, write.body));
        }
    }
    println!("{} writes of a run: {counts:?}", writes.len());
    assert!(refused.is_empty(), "kube-apiserver refuses:\n{}", refused.join("\n"));
    for kind in ["namespaces", "secrets", "providers", "storagemaps", "networkmaps", "plans", "migrations"] {
        assert!(counts.contains_key(&format!("create {kind}")), "nothing of {kind} was written down: {counts:?}");
    }
    // A judge that refuses nothing would judge nothing.
    let plan = writes.iter().find(|write| write.verb == "create" && write.plural == "plans").unwrap();
    let mut odd = plan.body.clone();
    odd["metadata"]["name"] = json!("odd");
    odd["spec"]["noSuchField"] = json!(true);
    let answer = judge.send("POST", &format!("{}?fieldValidation=Strict", plan.path), "application/json", &odd).await;
    let Err(kube::Error::Api(status)) = answer else { panic!("an unknown field was taken") };
    assert_eq!(status.code, StatusCode::BAD_REQUEST.as_u16(), "{status:?}");
}
