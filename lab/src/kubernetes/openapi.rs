//! OpenAPI v3: enough for kubectl to find out that the server validates fields itself, and for `kubectl explain`.

use std::{collections::BTreeSet, sync::Arc};

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    Inner, protobuf,
    resource::{Registry, Resource},
    response::{self, Body},
    status::{Answer, Failure},
};

/// `/openapi/v3` and `/openapi/v3/…`. The old document exists as protobuf only, which this server does not write.
pub fn route(server: &Arc<Inner>, path: &str) -> Answer<Response<Body>> {
    if path == "/openapi/v2" {
        return Err(Failure::not_acceptable(&["application/json"]));
    }
    let rest = path.strip_prefix("/openapi/v3").ok_or_else(Failure::no_such_path)?.trim_matches('/');
    if rest.is_empty() {
        // The real server leaves the type of its index to be guessed.
        let index = server.registry(index).to_string();
        return Ok(response::with(StatusCode::OK, "text/plain; charset=utf-8", response::full(index)));
    }
    let (group, version) = match rest.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return Err(Failure::no_such_path()),
    };
    let document = server.registry(|registry| registry.serves(&group, &version).then(|| document(registry, &group, &version)));
    document.map(|document| response::json(StatusCode::OK, &document)).ok_or_else(Failure::no_such_path)
}

fn base(resource: &Resource) -> String {
    if resource.group.is_empty() { format!("api/{}", resource.version) } else { format!("apis/{}/{}", resource.group, resource.version) }
}

fn index(registry: &Registry) -> Value {
    let bases: BTreeSet<String> = registry.all().map(|resource| base(resource)).collect();
    let paths: Map<String, Value> =
        bases.into_iter().map(|base| (base.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{base}") }))).collect();
    json!({ "paths": paths })
}

fn schema_name(resource: &Resource) -> String {
    let group = if resource.group.is_empty() {
        "io.k8s.api.core".to_owned()
    } else {
        resource.group.split('.').rev().collect::<Vec<_>>().join(".")
    };
    format!("{group}.{}.{}", resource.version, resource.kind)
}

fn parameters() -> Value {
    let parameter = |name: &str, description: &str| json!({ "name": name, "in": "query", "description": description, "schema": { "type": "string", "uniqueItems": true } });
    json!([
        parameter("dryRun", "All: nothing is stored."),
        parameter("fieldManager", "Who owns the written fields."),
        parameter("fieldValidation", "Ignore, Warn or Strict: what happens to unknown fields."),
    ])
}

fn document(registry: &Registry, group: &str, version: &str) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in registry.all().filter(|resource| resource.group == group && resource.version == version) {
        let kind = json!({ "group": group, "version": version, "kind": resource.kind });
        let reference = json!({ "$ref": format!("#/components/schemas/{}", schema_name(resource)) });
        let body = json!({ "content": { "application/json": { "schema": reference } } });
        let operation = |action: &str, content: Option<Value>| {
            let mut operation = json!({ "parameters": parameters(), "responses": { "200": { "description": "OK", "content": body["content"] } },
                "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind });
            if let Some(content) = content {
                operation["requestBody"] = json!({ "content": content });
            }
            operation
        };
        let patches = json!({ "application/json-patch+json": { "schema": {} }, "application/merge-patch+json": { "schema": {} },
            "application/apply-patch+yaml": { "schema": {} } });
        let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let path = format!("/{}{place}/{}", base(resource), resource.plural);
        paths.insert(path.clone(), json!({ "get": operation("list", None), "post": operation("post", Some(body["content"].clone())) }));
        if resource.verbs.contains(&"patch") {
            let named = json!({ "get": operation("get", None), "put": operation("put", Some(body["content"].clone())),
                "patch": operation("patch", Some(patches)), "delete": operation("delete", None) });
            paths.insert(format!("{path}/{{name}}"), named);
        }
        let schema = described(resource, &kind, &mut schemas);
        schemas.insert(schema_name(resource), schema);
    }
    json!({ "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "mtv-lab" }, "paths": paths, "components": { "schemas": schemas } })
}

/// The schema of a kind, with those that it refers to in `all`.
fn described(resource: &Resource, kind: &Value, all: &mut Map<String, Value>) -> Value {
    let mut schema = if let Some(schema) = &resource.schema {
        schema.source.clone()
    } else if let Some(message) = resource.message {
        let parts =
            protobuf::schemas(message, |name| json!({ "allOf": [{ "$ref": format!("#/components/schemas/{name}") }], "default": {} }));
        let own = parts.get(message.name).cloned();
        all.extend(parts);
        own.unwrap_or_else(|| json!({ "x-kubernetes-preserve-unknown-fields": true }))
    } else {
        json!({ "x-kubernetes-preserve-unknown-fields": true })
    };
    schema["type"] = "object".into();
    if schema["description"].is_null() {
        schema["description"] = format!("{} of {}", resource.kind, resource.api_version()).into();
    }
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let properties = &mut schema["properties"];
    for (field, what) in [
        ("apiVersion", "APIVersion defines the versioned schema of this representation of an object."),
        ("kind", "Kind is the type of the object."),
    ] {
        properties[field] = json!({ "type": "string", "description": what });
    }
    if !properties["metadata"].is_object() {
        properties["metadata"] = json!({ "type": "object", "description": "Standard object's metadata." });
    }
    schema["x-kubernetes-group-version-kind"] = json!([kind]);
    schema
}
