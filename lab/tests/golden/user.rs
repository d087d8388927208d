//! What the user did: creates, patches and deletions, with this lab's addresses, ids and times.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use mtv_api::kinds::{self, Kind};
use mtv_lab::roles::write;
use serde_json::{Value, json};

use crate::{
    bench::{Bench, HOME},
    replay::{source_id, text},
};

/// "- hosts: localhost", a task of module fail: the recorded hook failed by decree.
const FAILING: &str = "LSBob3N0czogbG9jYWxob3N0CiAgdGFza3M6CiAgLSBuYW1lOiBubwogICAgZmFpbDoKICAgICAgbXNnOiBubwo=";
/// Recorded ids with the collection and the name of what they mean.
const IDS: &[(&str, &str, &str)] = &[
    ("dvportgroup-12", "networks", "DC0_DVPG0"),
    ("network-6", "networks", "VM Network"),
    ("datastore-61", "datastores", "LocalDS_0"),
    ("vm-66", "vms", "rhel9-a"),
    ("vm-69", "vms", "DC0_H0_VM1"),
    ("vm-72", "vms", "DC0_H0_VM2"),
    ("vm-75", "vms", "rhel9-b"),
];

/// The user of a recording.
pub struct User<'a> {
    bench: &'a Bench,
    recording: &'a Value,
    inputs: Vec<Value>,
    vcenter: String,
    /// Jobs of hooks failed.
    failing: bool,
}

/// A kind by its name: the first one of that name.
fn kind(name: &str) -> Option<&'static Kind> {
    kinds::ALL.iter().copied().find(|kind| kind.kind == name)
}

impl<'a> User<'a> {
    pub fn new(bench: &'a Bench, recording: &'a Value) -> Self {
        let refused = recording["description"].as_str().is_some_and(|d| d.contains("refused"));
        let address = bench.url.trim_start_matches("https://").trim_end_matches("/sdk");
        Self {
            bench,
            recording,
            inputs: recording["input"].as_array().cloned().unwrap_or_default(),
            vcenter: if refused { "127.0.0.1:1".to_owned() } else { address.to_owned() },
            failing: ["BackoffLimitExceeded", "backoff limit"].iter().any(|words| recording["collapsed"].to_string().contains(words)),
        }
    }

    /// Does what was recorded next.
    pub async fn act(&mut self, action: &Value) -> Result<(), String> {
        let words = text(action, "/name");
        let mut parts = words.split(' ');
        let (verb, of, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        match verb {
            "create" => self.create(words, of, namespace, name).await,
            "delete" => {
                let kind = kind(of).ok_or_else(|| format!("{words}: unknown kind"))?;
                let deleted = self.bench.api(kind, namespace).delete(name, &DeleteParams::background()).await;
                deleted.map(drop).map_err(|error| format!("{words}: {error}"))
            }
            _ => {
                let body = self.localised(&self.timed(action));
                let (kind, namespace, name) = self.target(action, &body).await?;
                let api = self.bench.api(kind, &namespace);
                let patched = api.patch(&name, &PatchParams::default(), &Patch::Merge(&body)).await;
                patched.map(drop).map_err(|error| format!("{words}: {error}"))
            }
        }
    }

    async fn create(&mut self, words: &str, of: &str, namespace: &str, name: &str) -> Result<(), String> {
        let is = |input: &Value| text(input, "/kind") == of && text(input, "/metadata/name") == name;
        let index = self.inputs.iter().position(is).ok_or_else(|| format!("{words}: not among the inputs"))?;
        let mut object = {
            let input = self.inputs.remove(index);
            self.localised(&input)
        };
        if of == "Hook" && self.failing {
            object["spec"]["playbook"] = json!(FAILING);
        }
        let trusted = self.recording["collapsed"].to_string().contains("\"ConnectionTestSucceeded\"");
        if of == "Secret" && trusted {
            // The certificate of the recorded vCenter's authority is not that of this lab's.
            for key in ["cacert", "ca.crt"] {
                if object["stringData"][key].is_string() {
                    object["stringData"][key] = self.bench.authority.pem().into();
                }
            }
        }
        let kind = Kind::find(text(&object, "/apiVersion"), of).ok_or_else(|| format!("{words}: unknown kind"))?;
        if kind.namespaced {
            let space = json!({ "metadata": { "name": namespace } });
            let _ = write::create(self.bench.client(), "test", &kinds::NAMESPACE, space).await;
        }
        self.bench.make(kind, object).await;
        Ok(())
    }

    /// The user's object with this lab's addresses and ids.
    fn localised(&self, input: &Value) -> Value {
        let mut written = input.to_string().replace("<vcenter>", &self.vcenter);
        for (id, collection, name) in IDS {
            let quoted = format!("\"{id}\"");
            if written.contains(&quoted) {
                written = written.replace(&quoted, &format!("\"{}\"", source_id(self.bench, collection, name)));
            }
        }
        serde_json::from_str(&written).unwrap()
    }

    /// The body of an action with times of now. Times are numbered in their order: what was seen first of those that are not
    /// earlier than one tells how far it lay ahead.
    fn timed(&self, action: &Value) -> Value {
        let mut body = action["body"].to_string();
        let done = action["at"].as_f64().unwrap_or_default();
        while let Some(at) = body.find("<time-") {
            let end = body[at..].find('>').map_or(body.len(), |end| at + end + 1);
            let wanted = number(&body[at..end]);
            let entries = self.recording["sequence"].as_array().into_iter().flatten();
            let later = entries.filter(|entry| entry["kind"] != "Action" && entry["at"].as_f64().is_some_and(|at| at > done));
            let seen = later
                .filter(|entry| times(&entry["status"].to_string()).any(|number| number >= wanted))
                .find_map(|entry| entry["at"].as_f64());
            let ahead = seen.map_or(0.0, |seen| (seen - done).max(0.0).floor());
            #[expect(clippy::cast_possible_truncation, reason = "seconds of a recording")]
            let moment = self.bench.cx.world.clock.moment() + jiff::SignedDuration::from_secs(if ahead > 2.0 { ahead as i64 } else { 0 });
            body.replace_range(at..end, &moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        serde_json::from_str(&body).unwrap()
    }

    /// What a patch was for: the first object that the user is seen to have written then, or the one that the action names,
    /// or the newest one that has such a field.
    async fn target(&self, action: &Value, body: &Value) -> Result<(&'static Kind, String, String), String> {
        let words = text(action, "/name");
        let split = |name: &str| {
            let (namespace, name) = name.split_once('/').unwrap_or(("", name));
            (namespace.to_owned(), name.to_owned())
        };
        let sequence: Vec<&Value> = self.recording["sequence"].as_array().into_iter().flatten().collect();
        let place = sequence.iter().position(|entry| *entry == action).map_or(0, |place| place + 1);
        let next = sequence[place..].iter().take_while(|entry| entry["kind"] != "Action");
        let written = next.into_iter().find(|entry| text(entry, "/by").contains("user") && text(entry, "/event") == "MODIFIED");
        if let Some(entry) = written
            && let Some(kind) = kind(text(entry, "/kind"))
        {
            let (namespace, name) = split(text(entry, "/name"));
            return Ok((kind, namespace, name));
        }
        let named: Vec<&str> = words.split(' ').collect();
        if let Some((kind, name)) = named.windows(2).find_map(|pair| Some((kind(pair[0])?, pair[1])).filter(|(_, name)| name.contains('/')))
        {
            let (namespace, name) = split(name);
            return Ok((kind, namespace, name));
        }
        let kind = match () {
            () if body.get("stringData").is_some() => &kinds::SECRET,
            () if body.pointer("/spec/archived").is_some() => &kinds::PLAN,
            () => &kinds::MIGRATION,
        };
        let list = self.bench.api(kind, HOME).list(&ListParams::default()).await.map_err(|error| format!("{words}: {error}"))?;
        let newest = list.items.last().and_then(|object| object.metadata.name.clone());
        Ok((kind, HOME.to_owned(), newest.ok_or_else(|| format!("{words}: nothing to patch"))?))
    }
}

/// The number of a time's placeholder.
fn number(placeholder: &str) -> u64 {
    placeholder.trim_start_matches("<time-").trim_end_matches('>').parse().unwrap_or_default()
}

/// Numbers of the times in a text.
fn times(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split("<time-").skip(1).filter_map(|rest| rest.split('>').next()?.parse().ok())
}
