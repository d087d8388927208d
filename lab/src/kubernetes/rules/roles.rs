//! Roles and bindings.

use serde_json::{Value, json};

use super::{
    super::{resource::Resource, status::Cause},
    list_mut, one_of,
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The group of what a binding names, where it leaves it out.
pub fn fill(resource: &Resource, object: &mut Value) {
    if !resource.kind.ends_with("Binding") {
        return;
    }
    let missing = |value: &Value| value["apiGroup"].as_str().is_none_or(str::is_empty);
    if object["roleRef"].is_object() && missing(&object["roleRef"]) {
        object["roleRef"]["apiGroup"] = GROUP.into();
    }
    for subject in list_mut(object, "subjects") {
        if missing(subject) && matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            subject["apiGroup"] = GROUP.into();
        }
    }
}

fn rules(object: &Value, namespaced: bool, causes: &mut Vec<Cause>) {
    for (index, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
        let at = format!("rules[{index}]");
        let empty = |field: &str| rule[field].as_array().is_none_or(Vec::is_empty);
        if empty("verbs") {
            causes.push(Cause::required(format!("{at}.verbs"), "verbs must contain at least one value"));
        }
        if !empty("nonResourceURLs") {
            if namespaced {
                let detail = "namespaced rules cannot apply to non-resource URLs";
                causes.push(Cause::invalid(format!("{at}.nonResourceURLs"), &rule["nonResourceURLs"], detail));
            } else if !empty("apiGroups") || !empty("resources") || !empty("resourceNames") {
                let detail = "rules cannot apply to both regular resources and non-resource URLs";
                causes.push(Cause::invalid(format!("{at}.nonResourceURLs"), &rule["nonResourceURLs"], detail));
            }
            continue;
        }
        if empty("apiGroups") {
            causes.push(Cause::required(format!("{at}.apiGroups"), "resource rules must supply at least one api group"));
        }
        if empty("resources") {
            causes.push(Cause::required(format!("{at}.resources"), "resource rules must supply at least one resource"));
        }
    }
}

/// What is wrong with a role or a binding.
pub fn validate(resource: &Resource, old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    if !resource.kind.ends_with("Binding") {
        rules(object, resource.namespaced, causes);
        return;
    }
    let role = &object["roleRef"];
    let text = |field: &str| role[field].as_str().unwrap_or_default();
    if text("apiGroup") != GROUP {
        causes.push(Cause::not_supported("roleRef.apiGroup", &role["apiGroup"], &[GROUP.to_owned()]));
    }
    let kinds: &[&str] = if resource.namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    one_of(&role["kind"], kinds, "roleRef.kind", causes);
    if text("name").is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    for (index, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
        let at = format!("subjects[{index}]");
        if subject["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("{at}.name"), ""));
        }
        one_of(&subject["kind"], &["ServiceAccount", "User", "Group"], &format!("{at}.kind"), causes);
        if subject["kind"] == "ServiceAccount" && subject["namespace"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("{at}.namespace"), ""));
        }
    }
    if old.is_some_and(|old| old["roleRef"] != *role) {
        // The real server shows its own type here, whose fields have other names.
        let shown = json!({ "APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"] });
        causes.push(Cause::invalid("roleRef", &shown, "cannot change roleRef"));
    }
}
