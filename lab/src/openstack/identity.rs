//! Keystone v3: tokens with a catalogue, projects, regions.

use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Cloud,
    reply::{Ask, Reply},
};
use crate::web::{self, Answer};

/// Id of the only domain.
const DOMAIN: &str = "default";
/// How long a token holds: Keystone's default of an hour is not played, only told.
const HOUR: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// Services with their types, and where they are below the cloud's address.
const SERVICES: &[(&str, &str, &str)] = &[
    ("keystone", "identity", "/identity/v3"),
    ("nova", "compute", "/compute/v2.1"),
    ("cinderv3", "block-storage", "/volume/v3/PROJECT"),
    ("cinderv3", "volumev3", "/volume/v3/PROJECT"),
    ("glance", "image", "/image"),
    ("neutron", "network", "/network"),
];

fn catalogue(cloud: &Cloud, project: &str) -> Value {
    let region = &cloud.inner.world.datacenter.openstack.region;
    let service = |(name, kind, path): &(&str, &str, &str)| {
        let url = format!("{}{}", cloud.inner.address, path.replace("PROJECT", project));
        let endpoint = |interface: &str| json!({ "id": format!("{name}-{kind}-{interface}"), "interface": interface, "region": region, "region_id": region, "url": url });
        json!({ "id": format!("{name}-{kind}"), "name": name, "type": kind, "endpoints": [endpoint("public"), endpoint("internal"), endpoint("admin")] })
    };
    SERVICES.iter().map(service).collect()
}

fn token_body(cloud: &Cloud, scoped: bool) -> Value {
    let file = &cloud.inner.world.datacenter.openstack;
    let project = cloud.model().project.clone();
    let now = cloud.inner.world.clock.moment();
    let write = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    let expires = now.checked_add(HOUR).unwrap_or(now);
    let domain = json!({ "id": DOMAIN, "name": file.domain });
    let mut token = json!({
        "methods": ["password"], "issued_at": write(now), "expires_at": write(expires), "audit_ids": ["lab"],
        "user": { "id": "0a5eb0a5eb0a5eb0a5eb0a5eb0a5eb0a", "name": file.login.user, "domain": domain, "password_expires_at": null },
    });
    if scoped {
        token["project"] = json!({ "id": project, "name": file.project, "domain": domain });
        token["is_domain"] = json!(false);
        token["roles"] = json!([{ "id": "admin", "name": "admin" }, { "id": "member", "name": "member" }]);
        token["catalog"] = catalogue(cloud, &project);
    }
    json!({ "token": token })
}

fn refused() -> Answer {
    let text = "The request you have made requires authentication.";
    web::json(StatusCode::UNAUTHORIZED, &json!({ "error": { "code": 401, "message": text, "title": "Unauthorized" } }))
}

/// Makes a token.
pub fn login(cloud: &Cloud, ask: &Ask<'_>) -> Answer {
    let file = &cloud.inner.world.datacenter.openstack;
    let user = "/auth/identity/password/user";
    let domain = |at: &str| {
        let (id, name) = (ask.text(&format!("{at}/domain/id")), ask.text(&format!("{at}/domain/name")));
        if id.is_empty() { name == file.domain } else { id == DOMAIN }
    };
    let by_password =
        ask.body.pointer("/auth/identity/methods").is_some_and(|m| m.as_array().is_some_and(|m| m.contains(&json!("password"))));
    let known = by_password
        && ask.text(&format!("{user}/name")) == file.login.user
        && ask.text(&format!("{user}/password")) == file.login.password
        && domain(user);
    if !known {
        return refused();
    }
    let project = "/auth/scope/project";
    let scoped = ask.body.pointer(project).is_some();
    let id = ask.text(&format!("{project}/id")).to_owned();
    let right =
        if id.is_empty() { ask.text(&format!("{project}/name")) == file.project && domain(project) } else { id == cloud.model().project };
    if scoped && !right {
        return refused();
    }
    let Ok(token) = crate::lab::token() else { return web::empty(StatusCode::INTERNAL_SERVER_ERROR) };
    cloud.tokens().insert(token.clone());
    let mut answer = web::json(StatusCode::CREATED, &token_body(cloud, scoped));
    if let Ok(value) = HeaderValue::from_str(&token) {
        answer.headers_mut().insert("X-Subject-Token", value);
    }
    answer
}

/// Answers what is asked with a token.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>, subject: Option<&str>) -> Reply {
    let file = &cloud.inner.world.datacenter.openstack;
    let project = cloud.model().project.clone();
    let project_body = json!({ "id": project, "name": file.project, "domain_id": DOMAIN, "enabled": true, "is_domain": false, "parent_id": DOMAIN, "description": "", "links": {}, "tags": [] });
    let region = json!({ "id": file.region, "description": "", "parent_region_id": null, "links": {} });
    match (ask.method, ask.path) {
        (&Method::GET, ["auth", "tokens"]) => match subject.filter(|token| cloud.tokens().contains(*token)) {
            Some(_) => Reply::ok(token_body(cloud, true)),
            None => Reply::missing("token", ""),
        },
        (&Method::DELETE, ["auth", "tokens"]) => {
            cloud.tokens().remove(subject.unwrap_or_default());
            Reply::empty(StatusCode::NO_CONTENT)
        }
        (&Method::GET, ["auth", "catalog"]) => Reply::ok(json!({ "catalog": catalogue(cloud, &project), "links": {} })),
        (&Method::GET, ["auth", "projects"] | ["projects"] | ["users", _, "projects"]) => {
            Reply::ok(json!({ "projects": [project_body], "links": {} }))
        }
        (&Method::GET, ["projects", id]) if *id == project => Reply::ok(json!({ "project": project_body })),
        (&Method::GET, ["regions"]) => Reply::ok(json!({ "regions": [region], "links": {} })),
        (&Method::GET, ["regions", id]) if *id == file.region => Reply::ok(json!({ "region": region })),
        (&Method::GET, ["domains"]) => {
            Reply::ok(json!({ "domains": [{ "id": DOMAIN, "name": file.domain, "enabled": true }], "links": {} }))
        }
        _ => Reply::missing("resource", &ask.path.join("/")),
    }
}
