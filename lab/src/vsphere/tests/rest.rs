//! Sessions and tags over REST.

use serde_json::{Value, json};

use super::Lab;

async fn ask(lab: &Lab, token: Option<&str>, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = lab.client.request(method, format!("{}{path}", lab.url));
    if let Some(token) = token {
        request = request.header("vmware-api-session-id", token);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

async fn login(lab: &Lab, path: &str, password: &str) -> (u16, Value) {
    let answer = lab.client.post(format!("{}{path}", lab.url)).basic_auth(&lab.login.0, Some(password)).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_session_is_proved_and_ends() {
    use reqwest::Method;
    let lab = Lab::start().await;
    let path = "/rest/com/vmware/cis/session";
    assert_eq!(login(&lab, path, "wrong").await.0, 401);
    let (code, old) = login(&lab, path, &lab.login.1).await;
    let (newer, new) = login(&lab, "/api/session", &lab.login.1).await;
    assert_eq!((code, newer), (200, 201));
    let token = old["value"].as_str().unwrap();
    let shown = ask(&lab, Some(token), Method::POST, &format!("{path}?~action=get"), None).await;
    assert_eq!(shown.1["value"]["user"], lab.login.0);
    assert_eq!(ask(&lab, new.as_str(), Method::GET, "/api/session", None).await.1["user"], lab.login.0);
    assert_eq!(ask(&lab, Some(token), Method::DELETE, path, None).await.0, 200);
    assert_eq!(ask(&lab, Some(token), Method::GET, "/rest/com/vmware/cis/tagging/tag", None).await.0, 401);
    lab.vcenter.end_sessions();
    assert_eq!(ask(&lab, new.as_str(), Method::GET, "/api/session", None).await.0, 401);
}

#[tokio::test]
async fn a_tag_is_attached_to_what_is_there() {
    use reqwest::Method;
    let lab = Lab::start().await;
    let token = login(&lab, "/api/session", &lab.login.1).await.1;
    let token = token.as_str();
    let post =
        async |path: &str, body: Value| ask(&lab, token, Method::POST, &format!("/rest/com/vmware/cis/tagging/{path}"), Some(body)).await;
    let spec =
        json!({ "create_spec": { "name": "tier", "description": "", "cardinality": "SINGLE", "associable_types": ["VirtualMachine"] } });
    let category = post("category", spec.clone()).await.1["value"].clone();
    assert_eq!(post("category", spec).await.0, 400);
    let tag = json!({ "create_spec": { "name": "gold", "description": "", "category_id": category } });
    let tag = post("tag", tag).await.1["value"].as_str().unwrap().to_owned();
    let vm = json!({ "object_id": { "id": lab.vm("mtv-tests-rhel8").id, "type": "VirtualMachine" } });
    let gone = json!({ "object_id": { "id": "vm-9999", "type": "VirtualMachine" } });
    assert_eq!(post(&format!("tag-association/id:{tag}?~action=attach"), gone).await.0, 404);
    assert_eq!(post(&format!("tag-association/id:{tag}?~action=attach"), vm.clone()).await.0, 200);
    assert_eq!(post("tag-association?~action=list-attached-tags", vm.clone()).await.1["value"], json!([tag]));
    let on = post("tag-association?~action=list-attached-objects-on-tags", json!({ "tag_ids": [tag] })).await.1;
    assert_eq!(on["value"][0]["object_ids"], json!([vm["object_id"]]));
    let read = ask(&lab, token, Method::GET, &format!("/api/cis/tagging/tag/{tag}"), None).await.1;
    assert_eq!((&read["name"], &read["category_id"]), (&json!("gold"), &category));
    let category = category.as_str().unwrap();
    assert_eq!(ask(&lab, token, Method::DELETE, &format!("/api/cis/tagging/category/{category}"), None).await.0, 204);
    assert_eq!(post("tag-association?~action=list-attached-tags", vm).await.1["value"], json!([]));
}
