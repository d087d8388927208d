//! Changes of what others use too: settings of the operator, labels of nodes, namespaces of scenarios.
//!
//! Each run that relies on such a change says so on the object itself, in an annotation of its own (a *hold*). Who comes second
//! joins, and the last one to leave puts the value before back, or deletes the namespace; so runs that go on side by side never
//! take each other's ground away, and a hold can be found when the journal of its run is lost.
//!
//! Writes are conditional on the object's version: between the look and the write nobody else can have come in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{names::RUN_LABEL, proof};
use crate::{
    cluster::{Cluster, ObjectExt as _, name_of},
    diagnosis::{Diagnosis, Id},
    engine::Failure,
    journal::{Entry, Journal},
};

/// Annotation of a hold; the run id follows.
const HOLD: &str = "mtv-test.io/hold.";

/// How often a write is tried again because somebody else wrote in between.
const ATTEMPTS: usize = 20;

/// What a run says on an object that it shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Since when.
    pub since: Timestamp,
    /// Fields that it relies on, by JSON pointer; none on a namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Held>,
}

/// A field that is held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Value before the first run changed it; none when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Value that is relied on.
    pub after: Value,
}

/// Holds on an object, by run.
pub fn holds(object: &DynamicObject) -> BTreeMap<String, Hold> {
    let annotations = object.metadata.annotations.iter().flatten();
    annotations.filter_map(|(key, text)| Some((key.strip_prefix(HOLD)?.to_owned(), serde_json::from_str(text).ok()?))).collect()
}

fn annotation(run: &str) -> String {
    format!("{HOLD}{run}")
}

/// A field of an object that others use too.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Kind of the object.
    pub kind: &'static Kind,
    /// Namespace, for kinds that have one.
    pub namespace: Option<&'a str>,
    /// Name.
    pub name: &'a str,
    /// JSON pointer to the field.
    pub pointer: &'a str,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// The value was this already, and nobody had made it so for a while only.
    WasSo,
    /// It was set, or another run had set it and this one joined.
    Set,
    /// Another run relies on another value, which stays.
    Refused {
        /// That run.
        by: String,
        /// Its value.
        value: Value,
    },
}

/// What becomes of a changed field when a run gives it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It has the value before again.
    Back,
    /// Another run relies on it: it stays.
    HeldByOthers,
    /// Somebody else changed it since: it stays.
    ChangedSince,
    /// The run does not hold it.
    NotHeld,
}

/// What giving a field up comes to, and the patch that does it, for the version of the object that was read.
#[derive(Debug)]
pub struct Restoring {
    /// What becomes of the field.
    pub restored: Restored,
    patch: Option<(String, Value)>,
}

impl Restoring {
    fn nothing() -> Self {
        Self { restored: Restored::NotHeld, patch: None }
    }
}

/// Changes for one run.
pub struct Shared<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Where changes are written down before they are made.
    pub journal: &'a Journal,
    /// Run id.
    pub run: &'a str,
}

impl Shared<'_> {
    /// Sets a field, and holds it until [`Shared::restore`].
    pub async fn set(&self, field: Field<'_>, value: &Value) -> Result<Changed, Failure> {
        let Field { kind, namespace, name, pointer } = field;
        let subject = name_of(kind, namespace, name);
        for _ in 0..ATTEMPTS {
            let object = self.cluster.get(kind, namespace, name).await?;
            let object = object.ok_or_else(|| Failure::Errored(Diagnosis::new(Id::ObjectMissing, format!("{subject} does not exist"))))?;
            let mut all = holds(&object);
            let own = all.remove(self.run);
            if own.as_ref().and_then(|hold| hold.fields.get(pointer)).is_some_and(|held| held.after == *value) {
                return Ok(Changed::Set);
            }
            let other = all.iter().find_map(|(run, hold)| Some((run, hold.fields.get(pointer)?)));
            let current = value_at(&object, pointer);
            let current = current.as_ref();
            let before = match other {
                Some((by, held)) if held.after != *value => {
                    return Ok(Changed::Refused { by: by.clone(), value: held.after.clone() });
                }
                Some((_, held)) => held.before.clone(),
                None if same(current, value) => return Ok(Changed::WasSo),
                None => current.cloned(),
            };
            let entry = Entry::Patch {
                api_version: kind.api_version(),
                kind: kind.kind.to_owned(),
                namespace: namespace.unwrap_or_default().to_owned(),
                name: name.to_owned(),
                field: pointer.to_owned(),
                before: before.clone(),
                after: value.clone(),
            };
            let entry = self.journal.intend(entry).await?;
            let mut hold = own.unwrap_or_else(|| Hold { since: since(self.cluster), fields: BTreeMap::new() });
            hold.fields.insert(pointer.to_owned(), Held { before, after: value.clone() });
            let mut patch = nested(pointer, value.clone());
            patch["metadata"]["annotations"][annotation(self.run)] = text_of(&hold)?;
            if self.cluster.patch_at(kind, namespace, name, version(&object), &patch).await? {
                self.journal.created(entry, object.metadata.uid.clone().unwrap_or_default()).await?;
                return Ok(Changed::Set);
            }
            // Either somebody else wrote first, or this write arrived and its answer did not. The next look tells; until then the
            // entry stays, because it may be true.
            let again = self.cluster.get(kind, namespace, name).await?;
            if !again.is_some_and(|object| holds(&object).contains_key(self.run)) {
                self.journal.gone(entry).await?;
            }
        }
        Err(busy(&subject))
    }

    /// What giving a field up means now. The hold of the run on the object decides, and the value before is what the hold says: a
    /// journal alone changes nothing.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn decide(&self, field: Field<'_>) -> Result<Restoring, Failure> {
        let Field { kind, namespace, name, pointer } = field;
        if !proof::is_changed_by_runs(kind, pointer) {
            let text = proof::left_alone(&format!("runs change no field {pointer} of {}", name_of(kind, namespace, name)));
            return Err(Failure::Errored(Diagnosis::new(Id::TeardownNotOwned, text)));
        }
        let Some(object) = self.cluster.get(kind, namespace, name).await? else { return Ok(Restoring::nothing()) };
        let mut all = holds(&object);
        let Some(mut hold) = all.remove(self.run) else { return Ok(Restoring::nothing()) };
        let Some(held) = hold.fields.remove(pointer) else { return Ok(Restoring::nothing()) };
        let shared = all.values().any(|hold| hold.fields.contains_key(pointer));
        let untouched = same(value_at(&object, pointer).as_ref(), &held.after);
        let restored = match (untouched, shared) {
            (_, true) => Restored::HeldByOthers,
            (false, false) => Restored::ChangedSince,
            (true, false) => Restored::Back,
        };
        let mut patch = json!({});
        if restored == Restored::Back {
            patch = nested(pointer, back(held.before.as_ref(), &held.after));
        }
        let rest = if hold.fields.is_empty() { Value::Null } else { text_of(&hold)? };
        patch["metadata"]["annotations"][annotation(self.run)] = rest;
        Ok(Restoring { restored, patch: Some((version(&object).to_owned(), patch)) })
    }

    /// Gives a field up. The last run that does so puts the value before back, unless somebody else changed it since. Without a hold
    /// of this run there is nothing to give up.
    ///
    /// # Errors
    /// Runs do not change this field, the cluster does not answer, or others write at the same time.
    pub async fn restore(&self, field: Field<'_>) -> Result<Restored, Failure> {
        let Field { kind, namespace, name, .. } = field;
        for _ in 0..ATTEMPTS {
            let Restoring { restored, patch } = self.decide(field).await?;
            let Some((version, patch)) = patch else { return Ok(restored) };
            if self.cluster.patch_at(kind, namespace, name, &version, &patch).await? {
                return Ok(restored);
            }
        }
        Err(busy(&name_of(kind, namespace, name)))
    }

    /// Joins a namespace that runs of mtv-test share; false if it is not one of those, or is on its way out.
    pub async fn join(&self, namespace: &DynamicObject) -> Result<bool, Failure> {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        let entry = Entry::Object {
            api_version: kinds::NAMESPACE.api_version(),
            kind: kinds::NAMESPACE.kind.to_owned(),
            namespace: String::new(),
            name: name.clone(),
            scenario: None,
        };
        let mut noted = None;
        for _ in 0..ATTEMPTS {
            let Some(object) = self.cluster.get(&kinds::NAMESPACE, None, &name).await? else { break };
            let all = holds(&object);
            if all.contains_key(self.run) {
                return Ok(true);
            }
            if all.is_empty() || run_of(&object).is_none() || object.metadata.deletion_timestamp.is_some() {
                break;
            }
            let id = match noted {
                Some(id) => id,
                None => *noted.insert(self.journal.intend(entry.clone()).await?),
            };
            let patch = json!({"metadata": {"annotations": {annotation(self.run): own_hold(self.cluster)?}}});
            if self.cluster.patch_at(&kinds::NAMESPACE, None, &name, version(&object), &patch).await? {
                self.journal.created(id, object.metadata.uid.clone().unwrap_or_default()).await?;
                return Ok(true);
            }
        }
        if let Some(id) = noted {
            self.journal.gone(id).await?;
        }
        Ok(false)
    }

    /// Whether other runs still use a namespace.
    pub fn is_used_by_others(&self, namespace: &DynamicObject) -> bool {
        holds(namespace).into_keys().any(|run| run != self.run)
    }

    /// Leaves a namespace to the runs that still use it; false if there is none, and it can be deleted as it stands.
    pub async fn leave(&self, namespace: &DynamicObject) -> Result<bool, Failure> {
        if !self.is_used_by_others(namespace) {
            return Ok(false);
        }
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let patch = json!({"metadata": {"annotations": {annotation(self.run): null}}});
        Ok(self.cluster.patch_at(&kinds::NAMESPACE, None, name, version(namespace), &patch).await?)
    }
}

/// Annotations of a namespace that other runs may join.
pub fn joinable(cluster: &Cluster, run: &str) -> anyhow::Result<Value> {
    Ok(json!({annotation(run): own_hold(cluster)?}))
}

fn own_hold(cluster: &Cluster) -> anyhow::Result<Value> {
    text_of(&Hold { since: since(cluster), fields: BTreeMap::new() })
}

/// The API server's time: `clean --orphans` compares it with that of another machine's clean-up.
fn since(cluster: &Cluster) -> Timestamp {
    cluster.clock().now().unwrap_or_else(Timestamp::now)
}

fn text_of(hold: &Hold) -> anyhow::Result<Value> {
    Ok(Value::String(serde_json::to_string(hold)?))
}

fn run_of(object: &DynamicObject) -> Option<&String> {
    object.metadata.labels.as_ref()?.get(RUN_LABEL)
}

fn version(object: &DynamicObject) -> &str {
    object.metadata.resource_version.as_deref().unwrap_or_default()
}

fn busy(subject: &str) -> Failure {
    Failure::Errored(Diagnosis::new(Id::ObjectConflict, format!("{subject} was changed by others at each of {ATTEMPTS} tries")))
}

/// Equal as settings are: `2` and `"2"` mean the same to an operator.
fn same(current: Option<&Value>, wanted: &Value) -> bool {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    current.is_some_and(|current| current == wanted || (current.is_string() != wanted.is_string() && plain(current) == plain(wanted)))
}

/// A value by pointer, metadata included.
fn value_at(object: &DynamicObject, pointer: &str) -> Option<Value> {
    match pointer.strip_prefix("/metadata") {
        Some(rest) => serde_json::to_value(&object.metadata).ok()?.pointer(rest).cloned(),
        None => object.at(pointer).cloned(),
    }
}

/// What a merge patch has to hold so that `after` becomes `before` again: keys that came with `after` must be taken away by name.
fn back(before: Option<&Value>, after: &Value) -> Value {
    match (before, after) {
        (Some(Value::Object(before)), Value::Object(after)) => {
            let mut patch: serde_json::Map<String, Value> =
                after.iter().map(|(key, value)| (key.clone(), back(before.get(key), value))).collect();
            patch.extend(before.iter().filter(|(key, _)| !after.contains_key(*key)).map(|(key, value)| (key.clone(), value.clone())));
            Value::Object(patch)
        }
        (before, _) => before.cloned().unwrap_or(Value::Null),
    }
}

/// A merge patch that sets what a JSON pointer names.
fn nested(pointer: &str, value: Value) -> Value {
    let keys: Vec<String> = pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
    keys.into_iter().rev().fold(value, |value, key| json!({key: value}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_becomes_a_merge_patch() {
        assert_eq!(nested("/spec/a", json!(2)), json!({"spec": {"a": 2}}));
        assert_eq!(nested("/metadata/labels/mtv~1x~0y", Value::Null), json!({"metadata": {"labels": {"mtv/x~y": null}}}));
    }

    #[test]
    fn an_object_goes_back_key_by_key() {
        let (before, after) = (json!({"a": 1, "b": {"c": 2}}), json!({"a": 1, "b": {"c": 3, "d": 4}, "e": 5}));
        assert_eq!(back(Some(&before), &after), json!({"a": 1, "b": {"c": 2, "d": null}, "e": null}));
        assert_eq!(back(None, &after), Value::Null);
    }

    #[test]
    fn labels_are_values_too() {
        let node: DynamicObject = serde_json::from_value(json!({"metadata": {"name": "x", "labels": {"a/b": "c"}}})).unwrap();
        assert_eq!(value_at(&node, "/metadata/labels/a~1b"), Some(json!("c")));
    }

    #[test]
    fn numbers_and_texts_of_numbers_are_one_setting() {
        assert!(same(Some(&json!("2")), &json!(2)) && same(Some(&json!(2)), &json!(2)));
        assert!(!same(Some(&json!(3)), &json!(2)) && !same(None, &json!(2)));
    }

    #[test]
    fn holds_are_read_from_annotations_and_nothing_else_is_one() {
        let hold =
            Hold { since: Timestamp::UNIX_EPOCH, fields: BTreeMap::from([("/spec/a".into(), Held { before: None, after: json!(2) })]) };
        let object: DynamicObject = serde_json::from_value(json!({"metadata": {"name": "x", "annotations": {
            "mtv-test.io/hold.r1": serde_json::to_string(&hold).unwrap(), "mtv-test.io/hold.r2": "no JSON", "other": "x"}}}))
        .unwrap();
        assert_eq!(holds(&object), BTreeMap::from([("r1".to_owned(), hold)]));
    }
}
