//! The lab's cluster, vCenter and Forklift in one process, for tests of Forklift.

// Each test binary uses what it needs.
#![allow(dead_code)]

use std::{sync::Arc, time::Duration};

use kube::{Api, Client, api::DynamicObject, runtime::wait::await_condition};
use mtv_api::kinds::{self, Kind};
use mtv_lab::{
    clock::Clock,
    datacenter::DataCenter,
    forklift,
    inventory::Inventories,
    kubernetes::{ApiServer, Options, User},
    roles::{self, write},
    tls::Authority,
    vsphere::Vcenter,
    world::World,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Namespace of the user's objects.
pub const HOME: &str = "mig";

/// Everything; it ends with the value.
pub struct Bench {
    pub cx: roles::Context,
    pub server: ApiServer,
    pub vcenter: Vcenter,
    pub url: String,
    pub inventories: Arc<Inventories>,
    pub authority: Authority,
    pub cancel: CancellationToken,
    _end: DropGuard,
}

fn user(name: &str, groups: &[&str]) -> User {
    User { name: name.to_owned(), token: format!("token-{name}"), groups: groups.iter().map(|g| (*g).to_owned()).collect(), password: None }
}

impl Bench {
    /// Starts a data centre whose time runs `scale` times as fast.
    pub async fn start(datacenter: &str, scale: f64) -> Self {
        // RUST_LOG=mtv_lab::forklift=debug tells why something is tried again.
        let _ = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_test_writer().try_init();
        let server = ApiServer::new(vec![user("admin", &["system:masters"]), user("nobody", &[])], Options::default());
        let cancel = CancellationToken::new();
        let world = World::new(DataCenter::parse(datacenter).unwrap(), Clock::new(scale));
        let cx = roles::Context::new(server.client("admin"), world.clone(), cancel.clone());
        let authority = Authority::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/sdk", listener.local_addr().unwrap());
        let vcenter = Vcenter::new(&world);
        let (tls, vsphere, end) = (authority.server(&["127.0.0.1"]).unwrap(), vcenter.clone(), cancel.clone());
        tokio::spawn(async move { vsphere.serve(listener, tls, end).await });
        let inventories = Arc::new(Inventories::default());
        let bench = Self { cx, server, vcenter, url, inventories, authority, cancel: cancel.clone(), _end: cancel.drop_guard() };
        for name in [HOME, "openshift-mtv", "default"] {
            let _ = write::create(bench.client(), "test", &kinds::NAMESPACE, json!({ "metadata": { "name": name } })).await;
        }
        bench.make(&kinds::NODE, json!({ "metadata": { "name": "worker-0" } })).await;
        for class in &world.datacenter.cluster.storage_classes {
            let object =
                json!({ "metadata": { "name": class.name }, "provisioner": roles::provisioner::DRIVER, "reclaimPolicy": "Delete" });
            bench.make(&kinds::STORAGE_CLASS, object).await;
        }
        bench
    }

    /// Starts what stands beside Forklift.
    pub async fn start_roles(&self) {
        self.start_roles_without_cdi().await;
        roles::cdi::start(&self.cx).await.unwrap();
    }

    /// Starts it for a test that writes the states of volumes itself.
    pub async fn start_roles_without_cdi(&self) {
        roles::pv::start(&self.cx).await.unwrap();
        roles::provisioner::start(&self.cx).await.unwrap();
        roles::namespace::start(&self.cx).await.unwrap();
        roles::gc::start(&self.cx).await.unwrap();
        roles::kubelet::start(&self.cx, &mtv_lab::tls::Authority::new().unwrap()).await.unwrap();
        roles::jobs::start(&self.cx).await.unwrap();
        roles::kubevirt::start(&self.cx, &self.authority).await.unwrap();
    }

    /// Starts Forklift's controllers.
    pub fn start_forklift(&self) {
        let (world, client, inventories) = (self.cx.world.clone(), self.client().clone(), Arc::clone(&self.inventories));
        let cancel = self.cancel.clone();
        tokio::spawn(async move { forklift::run(world, client, forklift::Options::default(), inventories, cancel).await.unwrap() });
    }

    pub fn client(&self) -> &Client {
        &self.cx.client
    }

    pub async fn make(&self, kind: &Kind, object: Value) -> DynamicObject {
        write::create(self.client(), "user", kind, object).await.unwrap().unwrap()
    }

    pub fn api(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        write::api(self.client(), kind, namespace)
    }

    /// Waits until an object is as wanted. The time only ends a test that would hang.
    pub async fn until(&self, kind: &Kind, namespace: &str, name: &str, wanted: impl Fn(&Value) -> bool + Send + Sync) -> Value {
        let condition = move |object: Option<&DynamicObject>| object.is_some_and(|o| wanted(&serde_json::to_value(o).unwrap()));
        let found = tokio::time::timeout(Duration::from_mins(1), await_condition(self.api(kind, namespace), name, condition)).await;
        if let Ok(found) = found {
            return serde_json::to_value(found.unwrap().unwrap()).unwrap();
        }
        let now = self.api(kind, namespace).get_opt(name).await.unwrap();
        panic!("{} {namespace}/{name} stays {}", kind.kind, serde_json::to_string_pretty(&now).unwrap())
    }

    /// Makes the host provider, the Secret and the vSphere provider, and waits for them.
    pub async fn providers(&self) {
        let host = json!({ "metadata": { "name": "host", "namespace": "openshift-mtv" }, "spec": { "type": "openshift", "url": "", "secret": {} } });
        self.make(&kinds::PROVIDER, host).await;
        let login = &self.cx.world.datacenter.vsphere.login;
        let secret = json!({
            "metadata": { "name": "vcenter", "namespace": HOME },
            "stringData": { "user": login.user, "password": login.password, "insecureSkipVerify": "true", "url": self.url },
        });
        self.make(&kinds::SECRET, secret).await;
        let provider = json!({
            "metadata": { "name": "vsphere", "namespace": HOME },
            "spec": {
                "type": "vsphere", "url": self.url, "secret": { "name": "vcenter", "namespace": HOME },
                "settings": { "sdkEndpoint": "vcenter", "vddkInitImage": "quay.io/lab/vddk:8" },
            },
        });
        self.make(&kinds::PROVIDER, provider).await;
        self.until(&kinds::PROVIDER, "openshift-mtv", "host", |o| holds(o, "Ready")).await;
        self.until(&kinds::PROVIDER, HOME, "vsphere", |o| holds(o, "Ready")).await;
    }
}

/// Whether a condition holds.
pub fn holds(object: &Value, kind: &str) -> bool {
    write::holds(write::list(object, "/status/conditions"), kind)
}

/// Source and destination of maps and plans.
pub fn pair() -> Value {
    json!({ "source": { "name": "vsphere", "namespace": HOME }, "destination": { "name": "host", "namespace": "openshift-mtv" } })
}
