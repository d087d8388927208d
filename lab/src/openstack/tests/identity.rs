//! Keystone, against what a real one (30.0, bootstrapped, Fernet tokens) answered to the same questions.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Client, cloud, login, login_to};
use crate::datacenter::DEFAULT;

const BAD: &str = "The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.";

fn auth(user: &Value, scope: Option<Value>) -> Value {
    let mut auth = json!({ "identity": { "methods": ["password"], "password": { "user": user } } });
    if let Some(scope) = scope {
        auth["scope"] = scope;
    }
    json!({ "auth": auth })
}

#[tokio::test]
async fn refusals_are_keystones() {
    let client = Client { cloud: cloud(DEFAULT), token: String::new() };
    let domain = json!({ "id": "default" });
    let user = json!({ "name": "admin", "domain": domain, "password": "lab-openstack" });
    let with = |key: &str, value: Value| {
        let mut other = user.clone();
        other[key] = value;
        other
    };
    let project = |name: &str| Some(json!({ "project": { "name": name, "domain": domain } }));
    let refused = "The request you have made requires authentication.";
    let domainless = |place: &str| format!("Expecting to find domain in {place}. {BAD}");
    let cases: [(Value, u16, String); 9] = [
        (auth(&with("password", json!("x")), project("admin")), 401, refused.to_owned()),
        (auth(&with("name", json!("nobody")), project("admin")), 401, refused.to_owned()),
        (auth(&user, project("nope")), 401, refused.to_owned()),
        (auth(&with("domain", json!({ "name": "nope" })), project("admin")), 401, refused.to_owned()),
        (auth(&user, Some(json!({ "project": { "name": "admin" } }))), 400, domainless("project")),
        (auth(&json!({ "name": "admin", "password": "lab-openstack" }), project("admin")), 400, domainless("user")),
        (auth(&user, Some(json!({ "domain": domain }))), 401, refused.to_owned()),
        (json!({}), 400, format!("Expecting to find auth in request body. {BAD}")),
        (
            json!({ "auth": { "identity": { "methods": ["magic"], "magic": {} } } }),
            401,
            "Attempted to authenticate with an unsupported method.".to_owned(),
        ),
    ];
    for (body, status, message) in cases {
        let (answered, said, _) = client.ask("POST", "/identity/v3/auth/tokens", &body).await;
        assert_eq!((answered.as_u16(), said["error"]["message"].as_str()), (status, Some(message.as_str())), "{body}");
    }
}

#[tokio::test]
async fn a_token_without_a_scope_only_asks_for_another() {
    let mut client = Client { cloud: cloud(DEFAULT), token: String::new() };
    let user = json!({ "name": "admin", "domain": { "id": "default" }, "password": "lab-openstack" });
    let (status, first, token) = client.ask("POST", "/identity/v3/auth/tokens", &auth(&user, None)).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(first["token"].get("catalog").is_none() && first["token"].get("project").is_none(), "{first}");
    client.token.clone_from(&token);
    assert_eq!(client.ask("GET", "/compute/v2.1/servers", &Value::Null).await.0, StatusCode::UNAUTHORIZED);
    let scope = json!({ "project": { "name": "admin", "domain": { "name": "Default" } } });
    let body = json!({ "auth": { "identity": { "methods": ["token"], "token": { "id": token } }, "scope": scope } });
    let (status, second, token) = client.ask("POST", "/identity/v3/auth/tokens", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{second}");
    assert_eq!(second["token"]["methods"], json!(["password", "token"]));
    assert_eq!(second["token"]["expires_at"], first["token"]["expires_at"], "a chain ends when its first token does");
    assert_eq!(second["token"]["audit_ids"][1], first["token"]["audit_ids"][0]);
    assert!(second["token"]["catalog"].as_array().is_some_and(|all| all.iter().any(|entry| entry["type"] == "compute")));
    client.token = token;
    assert_eq!(client.ask("GET", "/compute/v2.1/servers", &Value::Null).await.0, StatusCode::OK);
}

#[tokio::test]
async fn tokens_end() {
    let (_, client) = login_to(cloud(&DEFAULT.replace("[openstack]\n", "[openstack]\ntoken_seconds = 0\n")), "lab-openstack").await;
    assert_eq!(client.ask("GET", "/compute/v2.1/servers", &Value::Null).await.0, StatusCode::UNAUTHORIZED, "its time is over");
    let (_, client) = login("lab-openstack").await;
    client.cloud.tokens().clear();
    assert_eq!(client.ask("GET", "/identity/v3/projects", &Value::Null).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn lists_can_be_narrowed() {
    let (_, client) = login("lab-openstack").await;
    assert_eq!(client.get("/identity/v3/projects?name=nope").await["projects"], json!([]));
    let all = client.get("/identity/v3/projects").await;
    let id = all["projects"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(client.get(&format!("/identity/v3/projects/{id}")).await["project"]["name"], "admin");
    let (status, body, _) = client.ask("GET", "/identity/v3/projects/nope", &Value::Null).await;
    assert_eq!((status, body["error"]["message"].as_str()), (StatusCode::NOT_FOUND, Some("Could not find project: nope.")));
}
