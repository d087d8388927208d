//! The cloud over its handler, without a network.

mod identity;
mod images;
mod servers;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::Cloud;
use crate::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    web::Handler as _,
    world::World,
};

struct Client {
    cloud: Cloud,
    token: String,
}

impl Client {
    async fn ask(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value, String) {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-auth-token", &self.token)
            .header("openstack-api-version", "compute 2.60")
            .body(bytes)
            .unwrap();
        let (head, body) = self.cloud.answer(request).await.into_parts();
        let token = head.headers.get("x-subject-token").map(|t| t.to_str().unwrap().to_owned()).unwrap_or_default();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, serde_json::from_slice(&body).unwrap_or(Value::Null), token)
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await.1
    }

    async fn until(&self, path: &str, pointer: &str, state: &str) {
        while self.get(path).await.pointer(pointer) != Some(&json!(state)) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

fn cloud(file: &str) -> Cloud {
    let world = World::new(DataCenter::parse(file).unwrap(), Clock::new(1000.0));
    Cloud::new(&world, "https://cloud.lab")
}

async fn login_to(cloud: Cloud, password: &str) -> (StatusCode, Client) {
    let mut client = Client { cloud, token: String::new() };
    let user = json!({ "name": "admin", "domain": { "name": "Default" }, "password": password });
    let scope = json!({ "project": { "name": "admin", "domain": { "id": "default" } } });
    let body = json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": user } }, "scope": scope } });
    let (status, _, token) = client.ask("POST", "/identity/v3/auth/tokens", &body).await;
    client.token = token;
    (status, client)
}

async fn login(password: &str) -> (StatusCode, Client) {
    login_to(cloud(DEFAULT), password).await
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let (status, client) = login("wrong").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(client.ask("GET", "/compute/v2.1/servers", &Value::Null).await.0, StatusCode::UNAUTHORIZED);
    let versions = client.get("/compute/v2.1").await;
    assert_eq!(versions["version"]["id"], "v2.1", "versions need no token");
}

#[tokio::test]
async fn lists_have_pages() {
    let (_, client) = login("lab-openstack").await;
    let first = client.get("/compute/v2.1/servers?limit=1").await;
    assert_eq!(first["servers"].as_array().unwrap().len(), 1);
    let next = first["servers_links"][0]["href"].as_str().unwrap().replace("https://cloud.lab", "");
    let second = client.get(&next).await;
    assert_ne!(first["servers"][0]["id"], second["servers"][0]["id"]);
    let named = client.get("/compute/v2.1/servers/detail?name=%5Emtv-tests-rhel8%24").await;
    assert_eq!(named["servers"].as_array().unwrap().len(), 1);
    assert!(named["servers"][0]["flavor"]["vcpus"].is_u64(), "flavors are inside since 2.47");
}

#[tokio::test(start_paused = true)]
async fn a_volume_goes_from_server_to_server() {
    let (_, client) = login("lab-openstack").await;
    let found = client.get("/compute/v2.1/servers/detail?name=%5Emtv-tests-rhel8%24").await;
    let source = found["servers"][0].clone();
    let project = client.cloud.model().project.clone();
    let volumes = format!("/volume/v3/{project}");
    let volume = source["os-extended-volumes:volumes_attached"][0]["id"].clone();
    let body = json!({ "snapshot": { "name": "s", "volume_id": volume } });
    assert_eq!(client.ask("POST", &format!("{volumes}/snapshots"), &body).await.0, StatusCode::BAD_REQUEST, "in use: wants force");
    let body = json!({ "snapshot": { "name": "s", "volume_id": volume, "force": true } });
    let snapshot = client.ask("POST", &format!("{volumes}/snapshots"), &body).await.1["snapshot"]["id"].clone();
    client.until(&format!("{volumes}/snapshots/{}", snapshot.as_str().unwrap()), "/snapshot/status", "available").await;
    let copy = client.ask("POST", &format!("{volumes}/volumes"), &json!({ "volume": { "name": "v", "snapshot_id": snapshot } })).await.1;
    let copy = copy["volume"]["id"].as_str().unwrap().to_owned();
    let path = format!("{volumes}/volumes/{copy}");
    client.until(&path, "/volume/status", "available").await;
    let flavor = client.get("/compute/v2.1/flavors").await["flavors"][0]["id"].clone();
    let network = client.get("/network/v2.0/networks").await["networks"][0]["id"].clone();
    let server = json!({ "server": { "name": "clone", "flavorRef": flavor, "networks": [{ "uuid": network }], "block_device_mapping_v2": [
        { "uuid": copy, "source_type": "volume", "destination_type": "volume", "boot_index": 0, "delete_on_termination": true },
    ] } });
    let (status, made, _) = client.ask("POST", "/compute/v2.1/servers", &server).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{made}");
    let path_of = format!("/compute/v2.1/servers/{}", made["server"]["id"].as_str().unwrap());
    client.until(&path_of, "/server/status", "ACTIVE").await;
    assert_eq!(client.ask("DELETE", &path, &Value::Null).await.0, StatusCode::BAD_REQUEST, "a volume in use stays");
    client.ask("DELETE", &path_of, &Value::Null).await;
    while client.ask("GET", &path_of, &Value::Null).await.0 != StatusCode::NOT_FOUND {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(client.get(&path).await["volume"]["status"], "deleting", "the volume goes with its server, a moment later");
    while client.ask("GET", &path, &Value::Null).await.0 != StatusCode::NOT_FOUND {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
