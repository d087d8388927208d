//! Tags, their categories, and the objects that they are attached to.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Call, Refusal};

/// An object of the inventory: kind and id.
type Target = (String, String);

/// Categories and tags by id.
#[derive(Default)]
pub struct Tagging {
    categories: BTreeMap<String, Value>,
    tags: BTreeMap<String, Value>,
    attached: BTreeMap<String, BTreeSet<Target>>,
    made: u64,
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn target(value: &Value) -> Target {
    (text(value, "type").to_owned(), text(value, "id").to_owned())
}

fn shown((kind, id): &Target) -> Value {
    json!({ "id": id, "type": kind })
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The specification in a body: `/rest` names it, `/api` does not.
fn spec<'v>(body: &'v Value, name: &str) -> &'v Value {
    body.get(name).unwrap_or(body)
}

/// Says whether an object of the inventory is still there.
type There<'a> = &'a dyn Fn(&str, &str) -> bool;

impl Tagging {
    /// Answers a request; none: there is no such resource.
    pub(super) fn call(&mut self, call: &Call<'_>, there: There<'_>) -> Option<Result<Value, Refusal>> {
        match call.resource {
            "category" => Some(self.category(call)),
            "tag" => Some(self.tag(call)),
            "tag-association" => self.association(call, there),
            _ => None,
        }
    }

    fn id(&mut self, kind: &str) -> String {
        self.made += 1;
        let uuid = crate::vsphere::model::uuid(0x54, &format!("{kind}/{}", self.made));
        format!("urn:vmomi:InventoryService{kind}:{uuid}:GLOBAL")
    }

    fn category(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        match (call.method, call.id) {
            (&Method::GET, None) => Ok(self.categories.keys().cloned().collect()),
            (&Method::POST, None) => {
                let spec = spec(&call.body, "create_spec");
                let cardinality = text(spec, "cardinality");
                if text(spec, "name").is_empty() || !["SINGLE", "MULTIPLE"].contains(&cardinality) {
                    return Err(Refusal::invalid("a category needs a name and a cardinality, SINGLE or MULTIPLE"));
                }
                taken(self.categories.values(), text(spec, "name"), "category")?;
                let category = json!({ "name": spec["name"], "description": text(spec, "description"), "cardinality": cardinality,
                    "associable_types": texts(&spec["associable_types"]), "used_by": [] });
                let id = self.id("Category");
                Ok(keep(&mut self.categories, id, category))
            }
            (method, Some(id)) => {
                let answer = change(&mut self.categories, method, id, "category", spec(&call.body, "update_spec"));
                if *method == Method::DELETE && answer.is_ok() {
                    let orphans: Vec<String> =
                        self.tags.iter().filter(|(_, tag)| text(tag, "category_id") == id).map(|(id, _)| id.clone()).collect();
                    for orphan in orphans {
                        self.tags.remove(&orphan);
                        self.attached.remove(&orphan);
                    }
                }
                answer
            }
            _ => Err(method_not_allowed()),
        }
    }

    fn tag(&mut self, call: &Call<'_>) -> Result<Value, Refusal> {
        match (call.method, call.id, call.action) {
            (&Method::GET, None, _) => Ok(self.tags.keys().cloned().collect()),
            (&Method::POST, Some(category), Some("list-tags-for-category")) => Ok(self.of_category(category)),
            (&Method::POST, None, Some("list-tags-for-category")) => Ok(self.of_category(text(&call.body, "category_id"))),
            (&Method::POST, None, _) => {
                let spec = spec(&call.body, "create_spec");
                let category = text(spec, "category_id");
                if !self.categories.contains_key(category) {
                    return Err(Refusal::missing("category", category));
                }
                let (name, beside) = (text(spec, "name"), self.tags.values().filter(|tag| text(tag, "category_id") == category));
                if name.is_empty() {
                    return Err(Refusal::invalid("a tag needs a name"));
                }
                taken(beside, name, "tag")?;
                let tag = json!({ "name": name, "description": text(spec, "description"), "category_id": category, "used_by": [] });
                let id = self.id("Tag");
                Ok(keep(&mut self.tags, id, tag))
            }
            (method, Some(id), None) => {
                let answer = change(&mut self.tags, method, id, "tag", spec(&call.body, "update_spec"));
                if *method == Method::DELETE {
                    self.attached.remove(id);
                }
                answer
            }
            _ => Err(method_not_allowed()),
        }
    }

    fn of_category(&self, category: &str) -> Value {
        self.tags.iter().filter(|(_, tag)| text(tag, "category_id") == category).map(|(id, _)| id.clone()).collect()
    }

    /// What a tag is attached to, as far as it is there.
    fn objects(&self, tag: &str, there: There<'_>) -> Vec<Value> {
        self.attached.get(tag).into_iter().flatten().filter(|(kind, id)| there(kind, id)).map(shown).collect()
    }

    fn tags_of(&self, target: &Target) -> Vec<&String> {
        self.attached.iter().filter(|(_, objects)| objects.contains(target)).map(|(tag, _)| tag).collect()
    }

    fn association(&mut self, call: &Call<'_>, there: There<'_>) -> Option<Result<Value, Refusal>> {
        let body = &call.body;
        let tags = call.id.map_or_else(|| texts(&body["tag_ids"]), |id| vec![id.to_owned()]);
        let many: Vec<Target> = body["object_ids"].as_array().into_iter().flatten().map(target).collect();
        let objects = if body["object_id"].is_object() { vec![target(&body["object_id"])] } else { many };
        Some(match call.action? {
            "attach" | "attach-tag-to-multiple-objects" => self.attach(&tags, &objects, there).map(|()| outcome(call)),
            "attach-multiple-tags-to-object" => self.attach(&tags, &objects, there).map(|()| json!({ "success": true })),
            "detach" | "detach-tag-from-multiple-objects" => self.detach(&tags, &objects).map(|()| outcome(call)),
            "detach-multiple-tags-from-object" => self.detach(&tags, &objects).map(|()| json!({ "success": true })),
            "list-attached-tags" => Ok(objects.first().map(|object| json!(self.tags_of(object))).unwrap_or_default()),
            "list-attached-objects" => Ok(tags.first().map(|tag| json!(self.objects(tag, there))).unwrap_or_default()),
            "list-attached-objects-on-tags" => {
                Ok(tags.iter().map(|tag| json!({ "tag_id": tag, "object_ids": self.objects(tag, there) })).collect())
            }
            "list-attached-tags-on-objects" => {
                Ok(objects.iter().map(|object| json!({ "object_id": shown(object), "tag_ids": self.tags_of(object) })).collect())
            }
            _ => return None,
        })
    }

    fn known(&self, tags: &[String]) -> Result<(), Refusal> {
        tags.iter().find(|tag| !self.tags.contains_key(*tag)).map_or(Ok(()), |tag| Err(Refusal::missing("tag", tag)))
    }

    fn attach(&mut self, tags: &[String], objects: &[Target], there: There<'_>) -> Result<(), Refusal> {
        self.known(tags)?;
        if let Some((kind, id)) = objects.iter().find(|(kind, id)| !there(kind, id)) {
            return Err(Refusal::missing(kind, id));
        }
        for tag in tags {
            self.attached.entry(tag.clone()).or_default().extend(objects.iter().cloned());
        }
        Ok(())
    }

    fn detach(&mut self, tags: &[String], objects: &[Target]) -> Result<(), Refusal> {
        self.known(tags)?;
        for tag in tags {
            if let Some(attached) = self.attached.get_mut(tag) {
                attached.retain(|object| !objects.contains(object));
            }
        }
        Ok(())
    }
}

/// Methods for many say how it went, methods for one do not.
fn outcome(call: &Call<'_>) -> Value {
    if call.action.is_some_and(|action| action.contains("multiple")) { json!({ "success": true }) } else { Value::Null }
}

fn method_not_allowed() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "unsupported", "there is no such operation")
}

fn taken<'v>(mut all: impl Iterator<Item = &'v Value>, name: &str, what: &str) -> Result<(), Refusal> {
    match all.any(|other| text(other, "name") == name) {
        true => Err(Refusal::new(StatusCode::BAD_REQUEST, "already_exists", format!("a {what} {name} exists already"))),
        false => Ok(()),
    }
}

fn keep(all: &mut BTreeMap<String, Value>, id: String, mut value: Value) -> Value {
    value["id"] = json!(id);
    all.insert(id.clone(), value);
    json!(id)
}

/// Reads, updates or removes one.
fn change(all: &mut BTreeMap<String, Value>, method: &Method, id: &str, what: &str, spec: &Value) -> Result<Value, Refusal> {
    let found = all.get_mut(id).ok_or_else(|| Refusal::missing(what, id))?;
    match *method {
        Method::GET => Ok(found.clone()),
        Method::PATCH => {
            for field in ["name", "description", "cardinality"] {
                if spec[field].is_string() && found.get(field).is_some() {
                    found[field] = spec[field].clone();
                }
            }
            Ok(Value::Null)
        }
        Method::DELETE => {
            all.remove(id);
            Ok(Value::Null)
        }
        _ => Err(method_not_allowed()),
    }
}
