//! Discovery: which groups, versions and resources there are, in the old and in the aggregated form.

use std::{collections::BTreeMap, sync::Arc};

use http::{Response, StatusCode, request::Parts};
use serde_json::{Value, json};

use super::{
    Inner, aggregate,
    request::aggregated_discovery,
    resource::{Registry, Resource, version_priority},
    response::{self, Body},
    status::{Answer, Failure},
    subresource::{self, Subresource},
};

/// `/version`.
pub fn version(git: &str) -> Value {
    let mut parts = git.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("34"));
    json!({ "major": major, "minor": minor, "gitVersion": git, "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": "linux/amd64", "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": minor.parse::<u32>().map_or_else(|_| minor.to_owned(), |minor| (minor.max(1) - 1).to_string()) })
}

/// The groups of the server and of aggregated servers.
fn all_groups(server: &Inner) -> BTreeMap<String, Vec<String>> {
    let mut all = server.registry(groups);
    for (group, versions) in aggregate::groups(server) {
        let known = all.entry(group).or_default();
        known.extend(versions.into_iter().filter(|version| !known.contains(version)).collect::<Vec<_>>());
        known.sort_by_key(|version| std::cmp::Reverse(version_priority(version)));
    }
    all
}

/// Groups with their versions, the preferred one first. The core group is not among them.
fn groups(registry: &Registry) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in registry.all().filter(|resource| !resource.group.is_empty()) {
        let versions = groups.entry(resource.group.clone()).or_default();
        if !versions.contains(&resource.version) {
            versions.push(resource.version.clone());
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|version| std::cmp::Reverse(version_priority(version)));
    }
    groups
}

fn group_json(group: &str, versions: &[String]) -> Value {
    let version = |version: &String| json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    json!({ "name": group, "versions": versions.iter().map(version).collect::<Vec<_>>(), "preferredVersion": versions.first().map(version) })
}

/// Verbs in the order in which the real server lists them.
fn verbs(resource: &Resource) -> Vec<&'static str> {
    let mut verbs = resource.verbs.to_vec();
    if resource.custom {
        verbs.sort_by_key(|verb| {
            ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"].iter().position(|v| v == verb)
        });
    }
    verbs
}

/// What the real server derives from group, version and kind of the stored object: a client can tell a new storage version by it.
fn storage_version_hash(resource: &Resource) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    // Events of both groups are stored as those of the core group.
    let group = if resource.plural == "events" { "" } else { &resource.group };
    // Definitions alone are stored in another version than they are served in.
    let version = if group == "apiextensions.k8s.io" { "v1beta1" } else { &resource.version };
    let hash = sha2::Sha256::digest(format!("{group}/{version}/{}", resource.kind));
    base64::prelude::BASE64_STANDARD.encode(&hash[..8])
}

fn listed(resource: &Resource) -> Vec<Value> {
    let mut entry = json!({ "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced, "kind": resource.kind,
        "verbs": verbs(resource) });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = resource.short_names.clone().into();
    }
    if !resource.categories.is_empty() {
        entry["categories"] = resource.categories.clone().into();
    }
    if resource.verbs.contains(&"get") && resource.group != "apiregistration.k8s.io" {
        entry["storageVersionHash"] = storage_version_hash(resource).into();
    }
    let mut entries = vec![entry];
    for Subresource { name, kind, group_version, verbs } in subresource::of(resource) {
        let mut entry = json!({ "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
            "kind": if kind.is_empty() { resource.kind.as_str() } else { kind }, "verbs": verbs });
        if let Some((group, version)) = group_version {
            entry["group"] = group.into();
            entry["version"] = version.into();
        }
        entries.push(entry);
    }
    entries
}

fn aggregated(resource: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    // A built-in kind of the document's own group and version is named by its kind alone.
    let (own_group, own_version) = if resource.custom { (resource.group.as_str(), resource.version.as_str()) } else { ("", "") };
    let mut entry = json!({ "resource": resource.plural, "responseKind": kind(own_group, own_version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": resource.singular, "verbs": verbs(resource) });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = resource.short_names.clone().into();
    }
    if !resource.categories.is_empty() {
        entry["categories"] = resource.categories.clone().into();
    }
    let parts: Vec<Value> = subresource::of(resource)
        .into_iter()
        .map(|Subresource { name, kind: other, group_version, verbs }| {
            let (group, version) = group_version.unwrap_or((own_group, own_version));
            let shown = if other.is_empty() { &resource.kind } else { other };
            json!({ "subresource": name, "responseKind": kind(group, version, shown), "verbs": verbs })
        })
        .collect();
    if !parts.is_empty() {
        entry["subresources"] = parts.into();
    }
    entry
}

fn aggregated_group(registry: &Registry, group: &str, versions: &[String]) -> Value {
    let version = |version: &String| {
        let resources: Vec<Value> = registry
            .all()
            .filter(|resource| resource.group == group && resource.version == *version)
            .map(|resource| aggregated(resource))
            .collect();
        json!({ "version": version, "resources": resources, "freshness": "Current" })
    };
    let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
    json!({ "metadata": metadata, "versions": versions.iter().map(version).collect::<Vec<_>>() })
}

/// `/`, `/api` and `/apis`.
pub async fn root(server: &Arc<Inner>, parts: &Parts) -> Answer<Response<Body>> {
    let path = parts.uri.path().trim_end_matches('/');
    if path.is_empty() {
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
        for (group, versions) in all_groups(server) {
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
        }
        paths.extend(["/healthz", "/livez", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
        return Ok(response::json(StatusCode::OK, &json!({ "paths": paths })));
    }
    let core = path == "/api";
    if let Some(discovery) = aggregated_discovery(&parts.headers)? {
        let mut items: Vec<Value> = server.registry(|registry| {
            if core {
                return vec![aggregated_group(registry, "", &["v1".to_owned()])];
            }
            groups(registry).iter().map(|(group, versions)| aggregated_group(registry, group, versions)).collect()
        });
        if !core {
            items.extend(aggregate::discovery(server).await);
        }
        let list = json!({ "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{discovery}"), "metadata": {}, "items": items });
        let media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let mut response = response::with(StatusCode::OK, media, response::full(list.to_string()));
        // Clients may keep it and ask with its ETag.
        response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("public"));
        return Ok(response);
    }
    let document = if core {
        let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": host }] })
    } else {
        let groups: Vec<Value> = all_groups(server).iter().map(|(group, versions)| group_json(group, versions)).collect();
        json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
    };
    Ok(response::json(StatusCode::OK, &document))
}

/// `/api/v1`, `/apis/GROUP` and `/apis/GROUP/VERSION`.
pub fn group(server: &Arc<Inner>, path: &str) -> Answer<Response<Body>> {
    let (group, version) = match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), Some((*version).to_owned())),
        ["apis", group] => ((*group).to_owned(), None),
        ["apis", group, version] => ((*group).to_owned(), Some((*version).to_owned())),
        _ => return Err(Failure::no_such_path()),
    };
    let groups = all_groups(server);
    server.registry(|registry| {
        let Some(version) = version else {
            let versions = groups.get(&group).ok_or_else(Failure::no_such_path)?;
            let mut document = json!({ "kind": "APIGroup", "apiVersion": "v1" });
            for (key, value) in group_json(&group, versions).as_object().into_iter().flatten() {
                document[key] = value.clone();
            }
            return Ok(response::json(StatusCode::OK, &document));
        };
        if !registry.serves(&group, &version) {
            return Err(if registry.has_built_in_group(&group) { Failure::no_such_resource() } else { Failure::no_such_path() });
        }
        let resources = registry.all().filter(|resource| resource.group == group && resource.version == version);
        let name = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        let mut document =
            json!({ "kind": "APIResourceList", "groupVersion": name, "resources": resources.flat_map(|r| listed(r)).collect::<Vec<_>>() });
        if !group.is_empty() {
            document["apiVersion"] = "v1".into();
        }
        Ok(response::json(StatusCode::OK, &document))
    })
}
