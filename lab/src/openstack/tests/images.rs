//! Glance: content, properties, pages.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::login;
use crate::web::Handler as _;

#[tokio::test]
async fn an_image_gets_its_content() {
    let (_, client) = login("lab-openstack").await;
    let (status, made, _) = client.ask("POST", "/image/v2/images", &json!({ "name": "i", "os_type": "linux" })).await;
    assert_eq!((status, made["status"].as_str(), made["size"].is_null()), (StatusCode::CREATED, Some("queued"), true));
    let path = format!("/image/v2/images/{}", made["id"].as_str().unwrap());
    let send = |method: &str, kind: &str, body: &'static str| {
        let request = Request::builder().method(method).uri(if kind.contains("patch") { path.clone() } else { format!("{path}/file") });
        client.cloud.answer(request.header("x-auth-token", &client.token).header("content-type", kind).body(Bytes::from(body)).unwrap())
    };
    let octets = "application/octet-stream";
    assert_eq!(send("PUT", octets, "content").await.status(), StatusCode::BAD_REQUEST, "formats come first");
    let patch = "application/openstack-images-v2.1-json-patch";
    let formats = r#"[{"op":"replace","path":"/disk_format","value":"raw"},{"op":"replace","path":"/container_format","value":"bare"}]"#;
    assert_eq!(send("PATCH", patch, formats).await.status(), StatusCode::OK);
    assert_eq!(send("PUT", octets, "content").await.status(), StatusCode::NO_CONTENT);
    let read = send("GET", octets, "").await.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(read, "content");
    let image = client.get(&path).await;
    assert_eq!((image["status"].as_str(), image["size"].as_u64()), (Some("active"), Some(7)));
    assert_eq!(image["checksum"], "9a0364b9e99bb480dd25e1f0284c8555");
    assert_eq!(send("PATCH", patch, r#"[{"op":"replace","path":"/status","value":"killed"}]"#).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(send("PATCH", patch, r#"[{"op":"replace","path":"/nope","value":"x"}]"#).await.status(), StatusCode::CONFLICT);
    assert_eq!(send("PATCH", patch, r#"[{"op":"add","path":"/protected","value":true}]"#).await.status(), StatusCode::OK);
    let (status, said, _) = client.ask("DELETE", &path, &Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!((said["code"].as_str(), said["title"].as_str()), (Some("403 Forbidden"), Some("Forbidden")), "as WebOb writes it");
}

#[tokio::test]
async fn pages_are_of_25_unless_asked() {
    let (_, client) = login("lab-openstack").await;
    let already = client.get("/image/v2/images").await["images"].as_array().map(Vec::len).unwrap();
    for number in already..30 {
        client.ask("POST", "/image/v2/images", &json!({ "name": format!("i{number}") })).await;
    }
    let first = client.get("/image/v2/images").await;
    assert_eq!(first["images"].as_array().map(Vec::len), Some(25));
    let next = first["next"].as_str().unwrap();
    assert!(next.starts_with("/v2/images?"), "{next}");
    let second = client.get(&format!("/image{next}")).await;
    assert_eq!(second["images"].as_array().map(Vec::len), Some(5));
    assert!(second.get("next").is_none());
}
