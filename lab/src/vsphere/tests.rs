//! The vCenter over TLS and HTTP, driven by requests of the shapes that pyVmomi and govc send.

mod agent;
mod clients;
mod collector;
mod operations;
mod rest;
mod sessions;

use std::sync::Arc;

use mtv_api::xml::Node;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Vcenter, ids::MoRef};
use crate::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    tls::Authority,
    world::World,
};

/// A served vCenter and a client of it.
struct Lab {
    vcenter: Vcenter,
    client: reqwest::Client,
    url: String,
    login: (String, String),
    _stop: DropGuard,
}

/// An answer: status and the first element of the SOAP body.
struct Answer {
    status: u16,
    body: Node,
}

impl Lab {
    async fn start() -> Self {
        // Fast enough that no test waits, slow enough that tasks are seen to run.
        Self::start_at(1_000.0).await
    }

    async fn start_at(scale: f64) -> Self {
        let datacenter = DataCenter::parse(DEFAULT).unwrap();
        let login = datacenter.vsphere.login.clone();
        Self::serve(Vcenter::new(&World::new(datacenter, Clock::new(scale))), (login.user, login.password)).await
    }

    /// The host agent of one of its hosts, with a client of its own.
    async fn agent(&self, host: &str) -> Self {
        let login = self.vcenter.inner.world.datacenter.vsphere.esxi_login.clone();
        Self::serve(self.vcenter.agent(host).unwrap(), (login.user, login.password)).await
    }

    async fn serve(vcenter: Vcenter, login: (String, String)) -> Self {
        let authority = Authority::new().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        let (served, tls, token) = (vcenter.clone(), authority.server(&[]).unwrap(), cancel.clone());
        tokio::spawn(async move { served.serve(listener, tls, token).await });
        let mut roots = rustls::RootCertStore::empty();
        let der = authority.pem().lines().filter(|l| !l.starts_with("-----")).collect::<String>();
        let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, der).unwrap();
        roots.add(der.into()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).cookie_store(true).build().unwrap();
        Self { vcenter, client, url, login, _stop: cancel.drop_guard() }
    }

    /// Sends a call whose inner XML is given.
    async fn call(&self, method: &str, this: &MoRef, arguments: &str) -> Answer {
        self.try_call(method, this, arguments).await.unwrap()
    }

    async fn try_call(&self, method: &str, this: &MoRef, arguments: &str) -> reqwest::Result<Answer> {
        let envelope = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<soapenv:Body><{method} xmlns="urn:vim25"><_this versionId="8.0.3.0" xsi:type="ManagedObjectReference" type="{}">{}</_this>{arguments}</{method}></soapenv:Body></soapenv:Envelope>"#,
            this.kind, this.id
        );
        let response =
            self.client.post(format!("{}/sdk", self.url)).header("SOAPAction", "\"urn:vim25/8.0.3.0\"").body(envelope).send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let envelope = Node::parse(&text).unwrap();
        Ok(Answer { status, body: envelope.child("Body").unwrap().children.first().unwrap().clone() })
    }

    async fn login(&self) {
        let (user, password) = &self.login;
        let answer = self.login_as(user, password).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    async fn login_as(&self, user: &str, password: &str) -> Answer {
        let content = self.call("RetrieveServiceContent", &MoRef::new("ServiceInstance", "ServiceInstance"), "").await;
        let manager = MoRef::read(content.value().child("sessionManager").unwrap());
        let arguments = format!("<userName>{user}</userName><password>{password}</password>");
        self.call("Login", &manager, &arguments).await
    }

    /// A property, by pyVmomi's own way of reading them.
    async fn fetch(&self, object: &MoRef, property: &str) -> Answer {
        self.call("Fetch", object, &format!("<prop>{property}</prop>")).await
    }

    fn vm(&self, name: &str) -> MoRef {
        self.vcenter.look(|m| m.named("VirtualMachine", name).unwrap().moref())
    }

    /// Waits for the end of a task as govmomi does, by following it; returns its info.
    async fn wait(&self, task: &Answer) -> Node {
        assert_eq!(task.status, 200, "{}", task.body);
        let task = MoRef::read(task.body.child("returnval").unwrap());
        let mut changes = self.vcenter.inner.changed.subscribe();
        loop {
            let info = self.fetch(&task, "info").await.body.child("returnval").unwrap().clone();
            if matches!(info.get("state"), Some("success" | "error")) {
                return info;
            }
            changes.changed().await.unwrap();
        }
    }
}

impl Answer {
    fn value(&self) -> &Node {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body.child("returnval").unwrap()
    }

    fn reference(&self) -> MoRef {
        MoRef::read(self.value())
    }

    /// Type of the fault.
    fn fault(&self) -> String {
        assert_eq!((self.status, self.body.name.as_str()), (500, "Fault"), "{}", self.body);
        let detail = self.body.child("detail").unwrap().children.first().unwrap();
        assert_eq!(detail.name, format!("{}Fault", detail.xsi_type().unwrap()));
        detail.xsi_type().unwrap().to_owned()
    }
}
