//! Role-based access control: what roles and their bindings allow.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Inner,
    auth::Caller,
    managed,
    request::Target,
    store::{Key, State},
    typed,
    write::{now, uid},
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Roles that every cluster has: name, rules about resources as group, resources, verbs; rules about paths.
type Default = (
    &'static str,
    &'static [(&'static str, &'static [&'static str], &'static [&'static str])],
    &'static [&'static str],
    &'static [&'static str],
);

const READ: &[&str] = &["get"];
const CREATE: &[&str] = &["create"];
const ALL: &[&str] = &["*"];
const ROLES: &[Default] = &[
    ("cluster-admin", &[("*", ALL, ALL)], ALL, ALL),
    (
        "system:discovery",
        &[],
        READ,
        &["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"],
    ),
    (
        "system:basic-user",
        &[
            ("authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], CREATE),
            ("authentication.k8s.io", &["selfsubjectreviews"], CREATE),
        ],
        READ,
        &[],
    ),
    ("system:public-info-viewer", &[], READ, &["/healthz", "/livez", "/readyz", "/version", "/version/"]),
];

/// Who has the roles that every cluster has.
const BINDINGS: &[(&str, &[&str])] = &[
    ("cluster-admin", &["system:masters"]),
    ("system:discovery", &["system:authenticated"]),
    ("system:basic-user", &["system:authenticated"]),
    ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
];

fn storage(plural: &str) -> Arc<str> {
    Arc::from(format!("{GROUP}/{plural}"))
}

/// The roles and bindings of the first second.
pub fn seed(server: &Arc<Inner>) {
    let metadata = |name: &str| {
        json!({ "name": name, "uid": uid().unwrap_or_default(), "creationTimestamp": now(), "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
            "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" } })
    };
    let api_version = format!("{GROUP}/v1");
    let mut made: Vec<(&str, &str, Value)> = Vec::new();
    for (name, resources, verbs, paths) in ROLES {
        let mut rules: Vec<Value> =
            resources.iter().map(|(group, names, verbs)| json!({ "verbs": verbs, "apiGroups": [group], "resources": names })).collect();
        if !paths.is_empty() {
            rules.push(json!({ "verbs": verbs, "nonResourceURLs": paths }));
        }
        made.push((
            "clusterroles",
            name,
            json!({ "kind": "ClusterRole", "apiVersion": api_version, "metadata": metadata(name), "rules": rules }),
        ));
    }
    for (name, groups) in BINDINGS {
        let subjects: Vec<Value> = groups.iter().map(|group| json!({ "kind": "Group", "apiGroup": GROUP, "name": group })).collect();
        let role = json!({ "apiGroup": GROUP, "kind": "ClusterRole", "name": name });
        let binding = json!({ "kind": "ClusterRoleBinding", "apiVersion": api_version, "metadata": metadata(name), "subjects": subjects, "roleRef": role });
        made.push(("clusterrolebindings", name, binding));
    }
    for (plural, name, object) in made {
        let Some(resource) = server.registry(|registry| registry.find(GROUP, "v1", plural)) else { continue };
        let mut object = resource.message.map_or_else(|| object.clone(), |message| typed::write(message, &object));
        managed::seeded(&resource, &mut object);
        server.store.write(|state| state.put(Key::new(&resource.storage, "", name), object));
    }
}

/// What somebody wants to do.
pub enum Wish<'a> {
    /// With a resource.
    Resource(&'a Target),
    /// With a path that is no resource.
    Path(&'a str),
}

/// What the roles say.
pub enum Verdict {
    /// Yes, and why.
    Allowed(String),
    /// No; bindings of the one who asks name these roles, which do not exist.
    Denied(Vec<String>),
}

fn has(list: &Value, wanted: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|item| item == "*" || item == wanted))
}

fn allows(rule: &Value, verb: &str, wish: &Wish<'_>) -> bool {
    if !has(&rule["verbs"], verb) {
        return false;
    }
    match wish {
        Wish::Resource(target) => {
            let whole =
                if target.subresource.is_empty() { target.plural.clone() } else { format!("{}/{}", target.plural, target.subresource) };
            let any_of_sub = format!("*/{}", target.subresource);
            let named =
                rule["resourceNames"].as_array().is_none_or(|names| names.is_empty() || names.iter().any(|name| *name == target.name));
            let resource = has(&rule["resources"], &whole) || !target.subresource.is_empty() && has(&rule["resources"], &any_of_sub);
            has(&rule["apiGroups"], &target.group) && resource && named
        }
        Wish::Path(path) => {
            rule["nonResourceURLs"].as_array().into_iter().flatten().filter_map(Value::as_str).any(|known| match known.strip_suffix('*') {
                Some(start) => path.starts_with(start),
                None => known == *path,
            })
        }
    }
}

/// The subject of a binding that is the caller, as reasons show it.
fn subject(binding: &Value, caller: &Caller) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    binding["subjects"].as_array().into_iter().flatten().find_map(|subject| {
        let (name, namespace) = (text(&subject["name"]), text(&subject["namespace"]));
        match subject["kind"].as_str() {
            Some("User") if name == caller.name => Some(format!("User {name:?}")),
            Some("Group") if caller.groups.contains(&name) => Some(format!("Group {name:?}")),
            Some("ServiceAccount") if caller.name == format!("system:serviceaccount:{namespace}:{name}") => {
                let whole = format!("{name}/{namespace}");
                Some(format!("ServiceAccount {whole:?}"))
            }
            _ => None,
        }
    })
}

/// Bindings that name the caller, with their rules and how a reason names them.
fn bindings(state: &State, caller: &Caller, namespace: &str) -> (Vec<(Vec<Value>, String)>, Vec<String>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let mut look = |kind: &str, binding: &Value, within: &str| {
        let Some(subject) = subject(binding, caller) else { return };
        let (role_kind, role) =
            (binding["roleRef"]["kind"].as_str().unwrap_or_default(), binding["roleRef"]["name"].as_str().unwrap_or_default());
        let key =
            if role_kind == "Role" { Key::new(&storage("roles"), within, role) } else { Key::new(&storage("clusterroles"), "", role) };
        match state.get(&key) {
            Some(object) => {
                let name = binding["metadata"]["name"].as_str().unwrap_or_default();
                let whole = if within.is_empty() { name.to_owned() } else { format!("{name}/{within}") };
                let reason = format!("RBAC: allowed by {kind} {whole:?} of {role_kind} {role:?} to {subject}");
                found.push((object["rules"].as_array().cloned().unwrap_or_default(), reason));
            }
            None => missing.push(format!("{}.{GROUP} {role:?} not found", role_kind.to_lowercase())),
        }
    };
    for (_, binding) in state.list(&storage("clusterrolebindings"), "") {
        look("ClusterRoleBinding", &binding, "");
    }
    if !namespace.is_empty() {
        for (_, binding) in state.list(&storage("rolebindings"), namespace) {
            look("RoleBinding", &binding, namespace);
        }
    }
    (found, missing)
}

/// Asks the roles.
pub fn verdict(server: &Inner, caller: &Caller, verb: &str, wish: &Wish<'_>) -> Verdict {
    let namespace = match wish {
        Wish::Resource(target) => target.namespace.as_str(),
        Wish::Path(_) => "",
    };
    let (found, missing) = server.store.read(|state| bindings(state, caller, namespace));
    for (rules, reason) in found {
        if rules.iter().any(|rule| allows(rule, verb, wish)) {
            return Verdict::Allowed(reason);
        }
    }
    Verdict::Denied(missing)
}

/// Everything that a caller may do in a namespace: rules about resources, and about paths.
pub fn rules(server: &Inner, caller: &Caller, namespace: &str) -> (Vec<Value>, Vec<Value>) {
    let (found, _) = server.store.read(|state| bindings(state, caller, namespace));
    let all = found.into_iter().flat_map(|(rules, _)| rules);
    let (paths, mut resources): (Vec<Value>, Vec<Value>) =
        all.partition(|rule| rule["nonResourceURLs"].as_array().is_some_and(|list| !list.is_empty()));
    let fields = ["verbs", "apiGroups", "resources", "resourceNames"];
    for rule in resources.iter_mut().filter_map(Value::as_object_mut) {
        rule.retain(|key, _| fields.contains(&key.as_str()));
    }
    (resources, paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(group: &str, plural: &str, name: &str, subresource: &str) -> Target {
        let [group, plural, name, subresource] = [group, plural, name, subresource].map(str::to_owned);
        Target { group, version: "v1".to_owned(), plural, namespace: "n".to_owned(), name, subresource }
    }

    #[test]
    fn rules_name_groups_resources_names_and_paths() {
        let rule = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log", "*/status"], "resourceNames": ["a"] });
        let may =
            |group: &str, plural: &str, name: &str, sub: &str| allows(&rule, "get", &Wish::Resource(&target(group, plural, name, sub)));
        assert!(may("", "pods", "a", "") && may("", "pods", "a", "log") && may("", "nodes", "a", "status"));
        assert!(!may("", "pods", "b", "") && !may("apps", "pods", "a", "") && !may("", "pods", "a", "exec"));
        assert!(!allows(&rule, "list", &Wish::Resource(&target("", "pods", "a", ""))));
        let paths = json!({ "verbs": ["get"], "nonResourceURLs": ["/api", "/apis/*"] });
        let may = |path: &str| allows(&paths, "get", &Wish::Path(path));
        assert!(may("/api") && may("/apis/apps") && !may("/api/v1") && !may("/metrics"));
    }
}
