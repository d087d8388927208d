//! The engine over its handler, without a network.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::Engine;
use crate::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    web::Handler as _,
    world::World,
};

fn engine() -> Engine {
    Engine::new(&World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1000.0)), "-----BEGIN CERTIFICATE-----")
}

async fn ask(engine: &Engine, method: &str, path: &str, accept: &str, token: &str, body: &str) -> (StatusCode, String) {
    let kind = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
    let request = Request::builder()
        .method(method)
        .uri(format!("/ovirt-engine{path}"))
        .header("accept", accept)
        .header("content-type", kind)
        .header("authorization", format!("Bearer {token}"))
        .body(Bytes::from(body.to_owned()))
        .unwrap();
    let answer = engine.answer(request).await;
    let (head, body) = answer.into_parts();
    (head.status, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

async fn login(engine: &Engine) -> String {
    let form = "grant_type=password&scope=ovirt-app-api&username=admin%40internal&password=lab-ovirt";
    let (status, text) = ask(engine, "POST", "/sso/oauth/token", "application/json", "", form).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["access_token"].as_str().unwrap().to_owned()
}

async fn get(engine: &Engine, token: &str, path: &str) -> (StatusCode, Value) {
    let (status, text) = ask(engine, "GET", path, "application/json", token, "").await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn nobody_gets_in_without_a_token() {
    let engine = engine();
    let (status, _) = get(&engine, "wrong", "/api/vms").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let form = "grant_type=password&username=admin%40internal&password=wrong";
    let (status, text) = ask(&engine, "POST", "/sso/oauth/token", "application/json", "", form).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("access_denied"), "{text}");
}

#[tokio::test]
async fn both_forms_are_written() {
    let engine = engine();
    let token = login(&engine).await;
    let (_, text) = ask(&engine, "GET", "/api/templates", "application/xml", &token, "").await;
    assert!(text.contains("<templates><template "), "{text}");
    let (_, list) =
        get(&engine, &token, "/api/templates?search=name%3Dmtv-tests-rhel8&follow=nics.vnic_profile,disk_attachments.disk").await;
    let template = &list["template"][0];
    assert!(template["memory"].is_string(), "numbers are text: {template}");
    assert_eq!(template["nics"]["nic"][0]["vnic_profile"]["name"], "ovirtmgmt");
    assert!(template["disk_attachments"]["disk_attachment"][0]["disk"]["provisioned_size"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_clone_has_a_life() {
    let engine = engine();
    let token = login(&engine).await;
    let (_, list) = get(&engine, &token, "/api/templates?search=name%3Dmtv-tests-rhel8").await;
    let template = &list["template"][0];
    let body = json!({"name": "clone", "comment": "mine", "template": {"id": template["id"]}, "cluster": template["cluster"]}).to_string();
    let (status, text) = ask(&engine, "POST", "/api/vms?clone=true", "application/json", &token, &body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    let id = serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
    let (status, text) = ask(&engine, "POST", "/api/vms", "application/json", &token, &body).await;
    assert_eq!(status, StatusCode::CONFLICT, "{text}");
    let path = format!("/api/vms/{id}");
    assert_eq!(get(&engine, &token, &path).await.1["status"], "image_locked");
    let (status, _) = ask(&engine, "POST", &format!("{path}/start"), "application/json", &token, "{}").await;
    assert_eq!(status, StatusCode::CONFLICT);
    let until = async |state: &str| {
        while get(&engine, &token, &path).await.1["status"] != state {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    until("down").await;
    ask(&engine, "POST", &format!("{path}/start"), "application/json", &token, "{}").await;
    until("up").await;
    let (status, _) = ask(&engine, "DELETE", &path, "application/json", &token, "").await;
    assert_eq!(status, StatusCode::CONFLICT, "a running VM is not removed");
    ask(&engine, "POST", &format!("{path}/stop"), "application/json", &token, "{}").await;
    let (_, events) = get(&engine, &token, &format!("/api/events?search=Vms.id+%3D+{id}")).await;
    assert_eq!(events["event"][0]["code"], "33", "{events}");
    ask(&engine, "DELETE", &path, "application/json", &token, "").await;
    while get(&engine, &token, &path).await.0 != StatusCode::NOT_FOUND {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
