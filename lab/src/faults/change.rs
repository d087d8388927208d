//! Things that turn out otherwise than they should: objects that controllers get wrong, guests and machines that misbehave.
//! Where rules are about requests, changes are about what checks of a migrated VM look at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Faults, rule::like};

/// `[[faults.objects]]`: an object of the Kubernetes API is created otherwise than it was asked for, whoever asks. Patterns may
/// hold `*` for any text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectChange {
    /// Pattern of the plural, such as `virtualmachines`.
    pub resource: String,
    /// Pattern of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pattern of the name, or of the beginning that a generated one gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Ends after so many objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Values by JSON pointer; what is missing on the way is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
    /// JSON pointers to what is taken away, after `set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// What a guest's SSH server does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SshFault {
    /// Its port refuses connections.
    Closed,
    /// It takes connections and says nothing.
    Silent,
    /// It refuses every login.
    Refuses,
}

/// `[[faults.guests]]`: a migrated guest comes up otherwise than it should.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestChange {
    /// Pattern of the VirtualMachine's name.
    pub vm: String,
    /// `false`: its agent does not connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<bool>,
    /// What its SSH server does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshFault>,
    /// Other names of adapters, by the names they should have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Addresses with prefix length that it does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lose_addresses: Vec<String>,
    /// `true`: files that were written into it before its migration are not there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lose_files: bool,
    /// `true`: it has no default gateway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lose_gateway: bool,
}

/// `[[faults.machines]]`: a source VM does more than it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineChange {
    /// Pattern of its name.
    pub vm: String,
    /// Its newest snapshot is gone once it is off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lose_snapshot: bool,
    /// When it is asked to shut down, the engine's log says that a user has powered it off (oVirt).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped_by_user: bool,
}

/// `[[faults.copies]]`: a storage array copies a disk otherwise than it should.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyChange {
    /// Pattern of the disk's file, `[datastore] folder/file.vmdk`.
    pub disk: String,
    /// Whether the array copies by itself, whatever it could; otherwise the ESXi host does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xcopy: Option<bool>,
    /// The copy fails, with this text in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<String>,
}

/// `[[faults.images]]`: an image that nodes cannot pull. Pods with it never start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageChange {
    /// Pattern of its name.
    pub image: String,
    /// What the kubelet says of it.
    #[serde(default = "not_found")]
    pub message: String,
}

fn not_found() -> String {
    "manifest unknown".to_owned()
}

/// All changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    /// Objects.
    pub objects: Vec<ObjectChange>,
    /// Guests.
    pub guests: Vec<GuestChange>,
    /// Source VMs.
    pub machines: Vec<MachineChange>,
    /// Images.
    pub images: Vec<ImageChange>,
    /// Copies by a storage array.
    pub copies: Vec<CopyChange>,
}

impl ObjectChange {
    /// Whether it is complete.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.set.is_empty() || !self.remove.is_empty(), "`set` or `remove` is needed");
        let wrong = self.set.keys().chain(&self.remove).find(|pointer| !pointer.starts_with('/'));
        anyhow::ensure!(wrong.is_none(), "`{}` is no JSON pointer: it has to start with a slash", wrong.cloned().unwrap_or_default());
        Ok(())
    }

    fn fits(&self, resource: &str, namespace: &str, name: &str) -> bool {
        let fits = |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|pattern| like(pattern, text));
        like(&self.resource, resource) && fits(&self.namespace, namespace) && fits(&self.object, name)
    }
}

impl Changes {
    /// Whether all are complete.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn check(&self) -> anyhow::Result<()> {
        use anyhow::Context as _;
        for (number, change) in (1..).zip(&self.objects) {
            change.check().with_context(|| format!("[[faults.objects]] number {number}"))?;
        }
        Ok(())
    }
}

impl Faults {
    /// Adds changes to those that there are.
    ///
    /// # Errors
    /// One of them is not complete.
    pub fn change(&self, more: Changes) -> anyhow::Result<()> {
        more.check()?;
        self.with(|state| {
            state.changes.objects.extend(more.objects);
            state.changes.guests.extend(more.guests);
            state.changes.machines.extend(more.machines);
            state.changes.images.extend(more.images);
            state.changes.copies.extend(more.copies);
        });
        Ok(())
    }

    /// All changes that are there.
    pub fn changes(&self) -> Changes {
        self.with(|state| state.changes.clone())
    }

    /// Takes all changes away. What was changed stays.
    pub fn clear_changes(&self) {
        self.with(|state| state.changes = Changes::default());
    }

    /// Changes an object that is about to be created.
    pub(crate) fn change_object(&self, resource: &str, namespace: &str, object: &mut Value) {
        self.with(|state| {
            if state.changes.objects.is_empty() {
                return;
            }
            let metadata = &object["metadata"];
            let named = metadata["name"].as_str().filter(|name| !name.is_empty()).or(metadata["generateName"].as_str());
            let name = named.unwrap_or_default().to_owned();
            for change in state.changes.objects.iter_mut().filter(|change| change.fits(resource, namespace, &name)) {
                match &mut change.times {
                    Some(0) => continue,
                    Some(times) => *times -= 1,
                    None => {}
                }
                tracing::debug!(resource, name, "changed on purpose");
                change.set.iter().for_each(|(pointer, value)| set(object, pointer, value.clone()));
                change.remove.iter().for_each(|pointer| remove(object, pointer));
            }
        });
    }

    /// How a guest comes up: the first change whose pattern fits.
    pub(crate) fn guest(&self, vm: &str) -> GuestChange {
        self.with(|state| state.changes.guests.iter().find(|change| like(&change.vm, vm)).cloned().unwrap_or_default())
    }

    /// How the copy of a disk turns out: the first change whose pattern fits.
    pub(crate) fn copying(&self, disk: &str) -> CopyChange {
        self.with(|state| state.changes.copies.iter().find(|change| like(&change.disk, disk)).cloned().unwrap_or_default())
    }

    /// Whether a VM's shutdown looks like a user's power-off.
    pub(crate) fn stopped_by_user(&self, vm: &str) -> bool {
        self.with(|state| state.changes.machines.iter().any(|change| change.stopped_by_user && like(&change.vm, vm)))
    }

    /// Whether a source VM loses its newest snapshot when it goes off.
    pub(crate) fn loses_snapshot(&self, vm: &str) -> bool {
        self.with(|state| state.changes.machines.iter().any(|change| change.lose_snapshot && like(&change.vm, vm)))
    }
}

impl Faults {
    /// Why one of these images cannot be pulled, if it cannot.
    pub(crate) fn pull<'a>(&self, images: impl IntoIterator<Item = &'a str>) -> Option<String> {
        self.with(|state| {
            let cannot = |image: &str| state.changes.images.iter().find(|change| like(&change.image, image));
            images.into_iter().find_map(|image| Some(format!("Back-off pulling image \"{image}\": {}", cannot(image)?.message)))
        })
    }
}

fn keys(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"))
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for key in keys(pointer) {
        place = match place {
            Value::Array(items) => match key.parse::<usize>().ok().filter(|index| *index < items.len()) {
                Some(index) => &mut items[index],
                // A place that the list does not have.
                None => return,
            },
            other => {
                if !other.is_object() {
                    *other = Value::Object(serde_json::Map::new());
                }
                &mut other[key]
            }
        };
    }
    *place = value;
}

fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    let key = key.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.shift_remove(&key);
        }
        Some(Value::Array(items)) => {
            if let Some(index) = key.parse::<usize>().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_turn_out_otherwise() {
        let faults = Faults::default();
        let change: ObjectChange = serde_json::from_value(json!({
            "resource": "virtualmachines", "object": "web-*", "times": 1,
            "set": { "/spec/a/b": 1, "/spec/list/0/x": "y", "/spec/list/7": 0 }, "remove": ["/spec/gone", "/metadata/labels/a~1b", "/spec/list/1"],
        }))
        .unwrap();
        faults.change(Changes { objects: vec![change], ..Changes::default() }).unwrap();
        let made = || json!({ "metadata": { "generateName": "web-", "labels": { "a/b": "c" } }, "spec": { "gone": 1, "list": [{}, {}] } });
        let mut object = made();
        faults.change_object("virtualmachines", "ns", &mut object);
        assert_eq!(
            object,
            json!({ "metadata": { "generateName": "web-", "labels": {} }, "spec": { "list": [{ "x": "y" }], "a": { "b": 1 } } })
        );
        let mut second = made();
        faults.change_object("virtualmachines", "ns", &mut second);
        assert_eq!(second, made(), "once only");
    }

    #[test]
    fn a_change_needs_something_to_do() {
        let change = ObjectChange { resource: "pods".into(), ..ObjectChange::default() };
        assert!(change.check().unwrap_err().to_string().contains("is needed"));
        let change = ObjectChange { remove: vec!["spec".into()], ..change };
        assert!(change.check().unwrap_err().to_string().contains("no JSON pointer"));
    }
}
