//! What stands on the sources of a lab, asked for by requests of the test's own: what the tool's clients do not see counts too.

use std::{collections::BTreeMap, path::Path};

use futures::future::join_all;
use mtv_test::{config::profile::GuestLogin, guest::Ssh, secrets::Secret};
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

/// Lists of an oVirt engine that a run can leave something in, with the name of their members.
const OVIRT: [(&str, &str); 2] = [("vms", "vm"), ("disks", "disk")];

/// Lists of a cloud: service, path, member.
const OPENSTACK: [(&str, &str, &str); 5] = [
    ("compute", "/servers/detail", "servers"),
    ("block-storage", "/volumes/detail", "volumes"),
    ("block-storage", "/snapshots/detail", "snapshots"),
    ("image", "/v2/images", "images"),
    ("network", "/v2.0/ports", "ports"),
];

/// Folder of an ESXi host that MTV's keys go into.
const KEYS: &str = "/etc/ssh/keys-root";

/// Reaches the sources of a lab that have a server of their own beside the vCenter.
pub struct Sources {
    http: Client,
    profiles: toml::Table,
}

impl Sources {
    /// By the profiles of the lab.
    pub fn of(providers: &Path) -> Self {
        let file: toml::Table = toml::from_str(&std::fs::read_to_string(providers).unwrap()).unwrap();
        let profiles = file["provider"].as_table().unwrap().clone();
        // All certificates of a lab are of one authority.
        let authority = Certificate::from_pem(profiles["ovirt"]["ca_pem"].as_str().unwrap().as_bytes()).unwrap();
        // Faults are for the tool: the lab's own clients are spared.
        let http = Client::builder().tls_certs_only([authority]).user_agent(mtv_lab::faults::OWN_AGENT).no_proxy().build().unwrap();
        Self { http, profiles }
    }

    fn text(&self, profile: &str, key: &str) -> String {
        self.profiles[profile][key].as_str().unwrap_or_default().to_owned()
    }

    /// Everything on oVirt and OpenStack, by `kind name id`, as it is shown.
    pub async fn all(&self) -> BTreeMap<String, String> {
        let (mut all, openstack) = tokio::join!(self.ovirt(), self.openstack());
        all.extend(openstack);
        all
    }

    async fn ovirt(&self) -> BTreeMap<String, String> {
        let (url, user, password) = (self.text("ovirt", "api_url"), self.text("ovirt", "username"), self.text("ovirt", "password"));
        let lists = OVIRT.map(|(list, member)| {
            let request = self.http.get(format!("{url}/{list}")).basic_auth(&user, Some(&password)).header("Accept", "application/json");
            async move { named(&format!("oVirt {member}"), &body(request).await[member]) }
        });
        join_all(lists).await.into_iter().flatten().collect()
    }

    async fn openstack(&self) -> BTreeMap<String, String> {
        let text = |key: &str| self.text("openstack", key);
        let (domain, project) = (json!({"name": text("user_domain_name")}), text("project_name"));
        let question = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"name": text("username"), "password": text("password"), "domain": domain}}},
            "scope": {"project": {"name": project, "domain": domain}},
        }});
        let login = self.http.post(format!("{}/auth/tokens", text("api_url"))).json(&question).send().await.unwrap();
        let token = login.headers()["x-subject-token"].to_str().unwrap().to_owned();
        let login: Value = login.json().await.unwrap();
        let catalogue = login["token"]["catalog"].as_array().unwrap().clone();
        let lists = OPENSTACK.map(|(service, path, member)| {
            let entry = catalogue.iter().find(|entry| entry["type"] == service).unwrap();
            let endpoint = entry["endpoints"].as_array().unwrap().iter().find(|e| e["interface"] == "public").unwrap();
            let url = format!("{}{path}", endpoint["url"].as_str().unwrap());
            let request = self.http.get(url).header("X-Auth-Token", &token);
            async move { named(&format!("OpenStack {}", member.trim_end_matches('s')), &body(request).await[member]) }
        });
        let found: BTreeMap<String, String> = join_all(lists).await.into_iter().flatten().collect();
        let url = format!("{}/auth/tokens", text("api_url"));
        self.http.delete(url).header("X-Auth-Token", &token).header("X-Subject-Token", &token).send().await.unwrap();
        found
    }

    /// Files of the ESXi hosts with keys, with their text. An empty one lets nobody in.
    pub async fn keys(&self) -> BTreeMap<String, String> {
        let Some(offload) = self.profiles["vsphere"].get("copyoffload") else { return BTreeMap::new() };
        let text = |key: &str| offload[key].as_str().unwrap().to_owned();
        let stream = tokio::net::TcpStream::connect(text("esxi_ssh_address")).await.unwrap();
        let login = GuestLogin { user: text("esxi_user"), password: Secret::new(text("esxi_password")) };
        let ssh = Ssh::connect(stream, &login).await.unwrap();
        let listed = ssh.run(&format!("ls {KEYS}")).await.unwrap();
        let mut files = BTreeMap::new();
        for name in listed.stdout.lines() {
            let output = ssh.run(&format!("cat {KEYS}/{name}")).await.unwrap();
            // One that went in between is not there any more.
            if output.status == Some(0) && !output.stdout.is_empty() {
                files.insert(name.to_owned(), output.stdout);
            }
        }
        ssh.close().await;
        files
    }
}

async fn body(request: reqwest::RequestBuilder) -> Value {
    request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
}

fn named(kind: &str, list: &Value) -> Vec<(String, String)> {
    let text = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|object| (format!("{kind} {} {}", text(object, "name"), text(object, "id")), object.to_string())).collect()
}
