//! The two servers, as one client sees them.

use std::sync::Arc;

use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    kubernetes::{ApiServer, Options, User},
    roles,
    tls::Authority,
    world::World,
};
use mtv_testkit::{RealCluster, cluster};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Changes that the lab's store has seen before the first interaction: its versions are long numbers then, which are
/// found and removed in messages without hitting another number.
const WARM_UP: usize = 3000;

/// A server with a client for it.
pub struct Side {
    /// For messages.
    pub name: &'static str,
    /// URL of the API.
    pub url: String,
    /// Trusts the server.
    pub http: reqwest::Client,
}

fn http(authority: &str) -> reqwest::Client {
    let roots = vec![reqwest::Certificate::from_pem(authority.as_bytes()).unwrap()];
    reqwest::Client::builder().no_proxy().tls_certs_only(roots).build().unwrap()
}

impl Side {
    /// The real one.
    pub fn real(cluster: &RealCluster) -> Self {
        Self { name: "kube-apiserver", url: cluster.url().to_owned(), http: http(cluster.ca_pem()) }
    }
}

/// The lab's API server with the controllers that the real one has beside it.
pub struct Lab {
    /// The client's side.
    pub side: Side,
    _end: DropGuard,
}

impl Lab {
    /// Starts it.
    pub async fn start() -> Self {
        let user = |name: &str, groups: &[&str]| User {
            name: name.to_owned(),
            token: cluster::token(name),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            password: None,
        };
        let users = vec![user(cluster::ADMIN, &["system:masters"]), user(cluster::NOBODY, &[])];
        let server = ApiServer::new(users, Options::default());
        let cancel = CancellationToken::new();
        let authority = Authority::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (tls, copy, end): (Arc<_>, _, _) = (authority.server(&[]).unwrap(), server.clone(), cancel.clone());
        tokio::spawn(async move { copy.serve(listener, tls, end).await });
        warm_up(&server.client(cluster::ADMIN)).await;
        let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(40.0));
        let cx = roles::Context::new(server.client(cluster::ADMIN), world, cancel.clone());
        roles::namespace::start(&cx).await.unwrap();
        roles::gc::start(&cx).await.unwrap();
        Self { side: Side { name: "lab", url, http: http(authority.pem()) }, _end: cancel.drop_guard() }
    }
}

async fn warm_up(client: &kube::Client) {
    use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client.clone(), "default");
    let object = serde_json::from_value(json!({ "metadata": { "name": "warm-up" } })).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    for round in 0..WARM_UP {
        api.patch("warm-up", &PatchParams::default(), &Patch::Merge(json!({ "data": { "n": round.to_string() } }))).await.unwrap();
    }
    api.delete("warm-up", &DeleteParams::default()).await.unwrap();
}
