//! Tokens, and the catalogue that comes with those that are scoped.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::Cloud,
    DOMAIN, USER,
    directory::{ROLES, endpoints, services},
};

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only to ask for another one.
    None,
    /// The project.
    Project,
    /// The whole cloud.
    System,
}

/// A token.
#[derive(Debug, Clone)]
pub struct Token {
    /// How it was asked for.
    pub methods: Vec<&'static str>,
    /// Its own audit id, then that of the first one of its chain.
    pub audit: Vec<String>,
    /// What it is good for.
    pub scope: Scope,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

impl Token {
    /// Whether it is good for anything but asking for another one.
    pub fn is_scoped(&self) -> bool {
        self.scope != Scope::None
    }

    /// As Keystone shows it.
    pub fn shown(&self, cloud: &Cloud, with_catalogue: bool) -> Value {
        let file = &cloud.inner.world.datacenter.openstack;
        let write = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
        let domain = json!({ "id": DOMAIN, "name": file.domain });
        let mut token = json!({
            "methods": self.methods, "issued_at": write(self.issued), "expires_at": write(self.expires), "audit_ids": self.audit,
            "user": { "id": USER, "name": file.login.user, "domain": domain, "password_expires_at": null },
        });
        match self.scope {
            Scope::None => {}
            Scope::Project => {
                token["project"] = json!({ "id": cloud.model().project, "name": file.project, "domain": domain });
                token["is_domain"] = json!(false);
            }
            Scope::System => token["system"] = json!({ "all": true }),
        }
        if self.is_scoped() {
            token["roles"] = ROLES.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
            if with_catalogue {
                token["catalog"] = catalogue(cloud);
            }
        }
        json!({ "token": token })
    }
}

/// Services with their endpoints.
pub fn catalogue(cloud: &Cloud) -> Value {
    let endpoints = endpoints(cloud);
    let entry = |service: Value| {
        let of_service = endpoints.iter().filter(|endpoint| endpoint["service_id"] == service["id"]);
        let shown = of_service.map(
            |e| json!({ "id": e["id"], "interface": e["interface"], "region": e["region"], "region_id": e["region_id"], "url": e["url"] }),
        );
        json!({ "id": service["id"], "name": service["name"], "type": service["type"], "endpoints": shown.collect::<Vec<_>>() })
    };
    services().into_iter().map(entry).collect()
}
