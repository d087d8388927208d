//! CustomResourceDefinitions created at run time: what they define is served as soon as they are stored.

use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::{
    aggregate,
    meta::NameRule,
    operation::Operation,
    resource::{ALL_VERBS, Registry, Resource, Scale},
    schema::Schema,
    table::Column,
    write::now,
};

fn is_definition(op: &Operation) -> bool {
    op.resource.kind == "CustomResourceDefinition"
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// Fills in what the server says about a definition before it is stored.
pub fn prepare(op: &Operation, old: Option<&Value>, object: &mut Value) {
    if !is_definition(op) {
        return;
    }
    let names = object["spec"]["names"].clone();
    let kind = text(&names["kind"]);
    if names["singular"].as_str().is_none_or(str::is_empty) {
        object["spec"]["names"]["singular"] = kind.to_lowercase().into();
    }
    if names["listKind"].as_str().is_none_or(str::is_empty) {
        object["spec"]["names"]["listKind"] = format!("{kind}List").into();
    }
    if object["spec"]["conversion"].is_null() {
        object["spec"]["conversion"] = json!({ "strategy": "None" });
    }
    if old.is_some_and(|old| old["status"]["conditions"].is_array()) {
        object["status"]["acceptedNames"] = object["spec"]["names"].clone();
        return;
    }
    let stored = object["spec"]["versions"].as_array().into_iter().flatten().find(|version| version["storage"] == true);
    let condition = |kind: &str, reason: &str, message: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now(), "reason": reason, "message": message });
    object["status"] = json!({
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": object["spec"]["names"],
        "storedVersions": [stored.map(|version| text(&version["name"])).unwrap_or_default()],
    });
}

/// The resources that a definition defines, one for each served version.
fn resources(definition: &Value) -> Vec<Resource> {
    let spec = &definition["spec"];
    let (group, names) = (text(&spec["group"]), &spec["names"]);
    let plural = text(&names["plural"]);
    let versions = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true);
    versions
        .map(|version| {
            let columns: Vec<Column> = version["additionalPrinterColumns"].as_array().into_iter().flatten().map(Column::declared).collect();
            let fields = version["selectableFields"].as_array().into_iter().flatten();
            Resource {
                group: group.clone(),
                version: text(&version["name"]),
                kind: text(&names["kind"]),
                list_kind: text(&names["listKind"]),
                plural: plural.clone(),
                singular: text(&names["singular"]),
                short_names: strings(&names["shortNames"]),
                categories: strings(&names["categories"]),
                namespaced: spec["scope"] == "Namespaced",
                status: !version["subresources"]["status"].is_null(),
                generation: true,
                custom: true,
                name_rule: NameRule::Subdomain,
                verbs: ALL_VERBS,
                storage: Arc::from(format!("{group}/{plural}")),
                schema: Some(Arc::new(Schema::parse(&version["schema"]["openAPIV3Schema"]))),
                message: None,
                scale: scale(&version["subresources"]["scale"]),
                deprecated: deprecated(&group, version, names),
                columns,
                fields: fields.map(|field| text(&field["jsonPath"]).trim_start_matches('.').to_owned()).collect(),
            }
        })
        .collect()
}

/// Where the kind's numbers stand, if it can be scaled.
fn scale(declared: &Value) -> Option<Scale> {
    let pointer = |path: &Value| text(path).replace('.', "/");
    declared.is_object().then(|| Scale {
        wanted: pointer(&declared["specReplicasPath"]),
        running: pointer(&declared["statusReplicasPath"]),
        selector: pointer(&declared["labelSelectorPath"]),
    })
}

/// What a client of a version that will go is told.
fn deprecated(group: &str, version: &Value, names: &Value) -> Option<String> {
    let said = || version["deprecationWarning"].as_str().map(str::to_owned);
    let own = || format!("{group}/{} {} is deprecated", text(&version["name"]), text(&names["kind"]));
    (version["deprecated"] == true).then(|| said().unwrap_or_else(own))
}

fn registry(op: &Operation, change: impl FnOnce(&mut Registry)) {
    change(&mut op.server.registry.write().unwrap_or_else(PoisonError::into_inner));
}

/// Serves what a stored definition defines; without an object it was removed by its last finalizer.
pub fn changed(op: &Operation, object: Option<&Value>) {
    if let Some(object) = object.filter(|object| op.resource.kind == "APIService" && object["status"]["conditions"].is_null()) {
        aggregate::observe(op.server, object);
    }
    if !is_definition(op) {
        return;
    }
    let (plural, group) = op.target.name.split_once('.').unwrap_or_default();
    match object {
        Some(definition) => {
            let resources = resources(definition);
            registry(op, |registry| {
                let (group, plural) = (text(&definition["spec"]["group"]), text(&definition["spec"]["names"]["plural"]));
                registry.remove(&group, &plural);
                for resource in resources {
                    registry.add(resource);
                }
            });
        }
        None => forget(op, group, plural),
    }
}

/// Ends serving what a removed definition defined, and removes its objects.
pub fn removed(op: &Operation, object: &Value) {
    if !is_definition(op) {
        return;
    }
    forget(op, &text(&object["spec"]["group"]), &text(&object["spec"]["names"]["plural"]));
}

fn forget(op: &Operation, group: &str, plural: &str) {
    registry(op, |registry| registry.remove(group, plural));
    let storage: Arc<str> = Arc::from(format!("{group}/{plural}"));
    op.server.store.write(|state| {
        for (key, _) in state.list(&storage, "") {
            state.remove(&key);
        }
    });
}
