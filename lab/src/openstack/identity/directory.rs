//! What there is: one domain, project, user and region, the roles that a cloud begins with, services and their endpoints.

use serde_json::{Value, json};

use super::{
    super::{
        Cloud,
        reply::{Answered, Ask, Fault, Reply},
    },
    DOMAIN, USER,
};
use crate::vsphere::model::uuid;

/// Roles with their ids; the user has all of them in the project.
pub const ROLES: &[(&str, &str)] = &[
    ("79e913c8a84b48dd9538c154f4b2817b", "admin"),
    ("409b56326ddc42569e0c649bd82aa5c3", "manager"),
    ("58e49d6c2e944fe3b830c6605376795a", "member"),
    ("9bb245e148b840388e365127babea377", "reader"),
];

/// Services with their types, and where they are below the cloud's address.
const SERVICES: &[(&str, &str, &str)] = &[
    ("keystone", "identity", "/identity/v3"),
    ("nova", "compute", "/compute/v2.1"),
    ("cinderv3", "block-storage", "/volume/v3/PROJECT"),
    ("cinderv3", "volumev3", "/volume/v3/PROJECT"),
    ("glance", "image", "/image"),
    ("neutron", "network", "/network"),
];

fn id(of: &str) -> String {
    uuid(0x0e, of).replace('-', "")
}

/// Services as Keystone lists them.
pub fn services() -> Vec<Value> {
    let service = |(name, kind, _): &(&str, &str, &str)| json!({ "id": id(&format!("openstack/service/{kind}")), "name": name, "type": kind, "enabled": true });
    SERVICES.iter().map(service).collect()
}

/// Endpoints as Keystone lists them.
pub fn endpoints(cloud: &Cloud) -> Vec<Value> {
    let region = &cloud.inner.world.datacenter.openstack.region;
    let project = cloud.model().project.clone();
    let of_service = |(_, kind, path): &(&str, &str, &str)| {
        let url = format!("{}{}", cloud.inner.address, path.replace("PROJECT", &project));
        let service = id(&format!("openstack/service/{kind}"));
        ["public", "internal", "admin"].map(|interface| {
            json!({
                "id": id(&format!("openstack/endpoint/{kind}/{interface}")), "interface": interface, "region": region, "region_id": region,
                "service_id": service, "url": url, "enabled": true,
            })
        })
    };
    SERVICES.iter().flat_map(of_service).collect()
}

/// Lists and members, all read-only.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>) -> Answered {
    let file = &cloud.inner.world.datacenter.openstack;
    let project_id = cloud.model().project.clone();
    let project = || {
        json!({ "id": project_id, "name": file.project, "domain_id": DOMAIN, "enabled": true, "is_domain": false, "parent_id": DOMAIN,
            "description": "", "tags": [], "options": {} })
    };
    let domain = || json!({ "id": DOMAIN, "name": file.domain, "enabled": true, "description": "", "tags": [], "options": {} });
    let user =
        || json!({ "id": USER, "name": file.login.user, "domain_id": DOMAIN, "enabled": true, "password_expires_at": null, "options": {} });
    let region = || json!({ "id": file.region, "description": "", "parent_region_id": null });
    let role = |(id, name): &(&str, &str)| json!({ "id": id, "name": name, "domain_id": null, "description": null, "options": { "immutable": true } });
    let roles = || ROLES.iter().map(role).collect::<Vec<_>>();
    let list = |member: &str, all: Vec<Value>| {
        let fits = |object: &Value| {
            ask.query.iter().all(|(key, value)| match object.get(key) {
                Some(Value::String(text)) => text == value,
                Some(Value::Bool(on)) => value.parse().map_or(*on == (value != "0"), |asked: bool| asked == *on),
                _ => true,
            })
        };
        let place = format!("{}{}", cloud.inner.address, ask.place);
        let query = ask.query.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&");
        let own = if query.is_empty() { place.clone() } else { format!("{place}?{query}") };
        let linked = all.into_iter().filter(fits).map(|object| linked(cloud, member, object)).collect::<Vec<_>>();
        Ok(Reply::ok(json!({ member: linked, "links": { "next": null, "self": own, "previous": null } })))
    };
    let one = |member: &str, all: Vec<Value>, wanted: &str| match all.into_iter().find(|object| object["id"] == wanted) {
        Some(found) => Ok(Reply::ok(json!({ member.trim_end_matches('s'): linked(cloud, member, found) }))),
        None => {
            let kind = member.trim_end_matches('s');
            Err(Fault::new(http::StatusCode::NOT_FOUND, format!("Could not find {kind}: {wanted}.")))
        }
    };
    match ask.path {
        ["auth", "projects"] | ["projects"] | ["users", _, "projects"] => list("projects", vec![project()]),
        ["projects", id] => one("projects", vec![project()], id),
        ["auth", "system"] => {
            Ok(Reply::ok(json!({ "system": [{ "all": true }], "links": { "self": format!("{}{}", cloud.inner.address, ask.place) } })))
        }
        ["auth", "domains"] => list("domains", Vec::new()),
        ["domains"] => list("domains", vec![domain()]),
        ["domains", id] => one("domains", vec![domain()], id),
        ["users"] => list("users", vec![user()]),
        ["users", USER, "groups"] => list("groups", Vec::new()),
        ["users", USER, "application_credentials"] => list("application_credentials", Vec::new()),
        ["users", id] => one("users", vec![user()], id),
        ["groups"] => list("groups", Vec::new()),
        ["roles"] => list("roles", roles()),
        ["roles", id] => one("roles", roles(), id),
        ["projects", _, "users", USER, "roles"] => list("roles", roles()),
        ["regions"] => list("regions", vec![region()]),
        ["regions", id] => one("regions", vec![region()], id),
        ["services"] => list("services", services()),
        ["services", id] => one("services", services(), id),
        ["endpoints"] => list("endpoints", endpoints(cloud)),
        ["endpoints", id] => one("endpoints", endpoints(cloud), id),
        ["role_assignments"] => {
            let named = ask.asked("include_names").is_some_and(|asked| !matches!(asked, "False" | "false" | "0"));
            let domain = json!({ "id": DOMAIN, "name": file.domain });
            let assigned = |(role, name): &(&str, &str)| {
                let place = format!("{}/identity/v3/projects/{project_id}/users/{USER}/roles/{role}", cloud.inner.address);
                let mut out = json!({
                    "scope": { "project": { "id": project_id } }, "user": { "id": USER }, "role": { "id": role }, "links": { "assignment": place },
                });
                if named {
                    out["scope"]["project"] = json!({ "id": project_id, "name": file.project, "domain": domain });
                    out["user"] = json!({ "id": USER, "name": file.login.user, "domain": domain });
                    out["role"]["name"] = json!(name);
                }
                out
            };
            list("role_assignments", ROLES.iter().map(assigned).collect())
        }
        _ => Err(Fault::no_such_path()),
    }
}

fn linked(cloud: &Cloud, member: &str, mut object: Value) -> Value {
    if let Some(id) = object["id"].as_str() {
        let own = format!("{}/identity/v3/{member}/{id}", cloud.inner.address);
        object["links"] = json!({ "self": own });
    }
    object
}
