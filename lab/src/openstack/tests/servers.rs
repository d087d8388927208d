//! Nova's rules that clients trip over.

use http::StatusCode;
use serde_json::{Value, json};

use super::login;

const SERVERS: &str = "/compute/v2.1/servers";

#[tokio::test(start_paused = true)]
async fn what_a_new_server_must_say() {
    let (_, client) = login("lab-openstack").await;
    let flavor = client.get("/compute/v2.1/flavors").await["flavors"][0]["id"].clone();
    let images = client.get("/image/v2/images").await;
    let image = images["images"][0]["id"].clone();
    let body = |networks: Value| json!({ "server": { "name": "n", "flavorRef": flavor, "imageRef": image, "networks": networks } });
    let (status, said, _) = client.ask("POST", SERVERS, &body(json!([]))).await;
    assert_eq!(status, StatusCode::CONFLICT, "no network among several: {said}");
    let (status, said, _) =
        client.ask("POST", SERVERS, &json!({ "server": { "name": "n", "flavorRef": flavor, "imageRef": image } })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "since 2.37 networks must be said: {said}");
    let mut wrong = body(json!("none"));
    wrong["server"]["colour"] = json!("red");
    assert_eq!(client.ask("POST", SERVERS, &wrong).await.0, StatusCode::BAD_REQUEST, "unknown keys are refused");
    let (status, made, _) = client.ask("POST", SERVERS, &body(json!("none"))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{made}");
    let path = format!("{SERVERS}/{}", made["server"]["id"].as_str().unwrap());
    client.until(&path, "/server/status", "ACTIVE").await;
    assert_eq!(client.get(&path).await["server"]["addresses"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn an_image_of_a_server_that_boots_from_one_leaves_its_volumes_alone() {
    let (_, client) = login("lab-openstack").await;
    let found = client.get(&format!("{SERVERS}/detail?name=cirros")).await;
    let path = format!("{SERVERS}/{}", found["servers"][0]["id"].as_str().unwrap());
    let snapshots = format!("/volume/v3/{}/snapshots", client.cloud.model().project);
    let body = json!({ "createImage": { "name": "copy" } });
    let (status, made, _) = client.ask("POST", &format!("{path}/action"), &body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{made}");
    assert_eq!(client.get(&path).await["server"]["OS-EXT-STS:task_state"], "image_snapshot");
    let (status, said, _) = client.ask("POST", &format!("{path}/action"), &json!({ "createImage": { "name": "other" } })).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is busy: {said}");
    let image = format!("/image/v2/images/{}", made["image_id"].as_str().unwrap());
    assert_eq!(client.get(&image).await["status"], "queued");
    client.until(&image, "/status", "active").await;
    assert_eq!(client.get(&snapshots).await["snapshots"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn an_image_of_a_server_that_boots_from_a_volume_snapshots_all_of_them() {
    let (_, client) = login("lab-openstack").await;
    let found = client.get(&format!("{SERVERS}/detail?name=win2019")).await;
    let path = format!("{SERVERS}/{}", found["servers"][0]["id"].as_str().unwrap());
    let (_, made, _) = client.ask("POST", &format!("{path}/action"), &json!({ "createImage": { "name": "copy" } })).await;
    let image = client.get(&format!("/image/v2/images/{}", made["image_id"].as_str().unwrap())).await;
    assert_eq!((image["status"].as_str(), image["size"].as_u64()), (Some("active"), Some(0)));
    let mapping: Value = serde_json::from_str(image["block_device_mapping"].as_str().unwrap()).unwrap();
    assert_eq!(mapping.as_array().map(Vec::len), Some(3));
    let snapshots = client.get(&format!("/volume/v3/{}/snapshots/detail?name=snapshot%20for%20copy", client.cloud.model().project)).await;
    assert_eq!(snapshots["snapshots"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(start_paused = true)]
async fn actions_want_their_state() {
    let (_, client) = login("lab-openstack").await;
    let found = client.get(&format!("{SERVERS}/detail?name=%5Emtv-tests-rhel8%24")).await;
    let path = format!("{SERVERS}/{}", found["servers"][0]["id"].as_str().unwrap());
    let action = format!("{path}/action");
    let running = found["servers"][0]["status"] == "ACTIVE";
    if running {
        client.ask("POST", &action, &json!({ "os-stop": null })).await;
        let (status, said, _) = client.ask("POST", &action, &json!({ "os-start": null })).await;
        assert_eq!(status, StatusCode::CONFLICT, "{said}");
        client.until(&path, "/server/status", "SHUTOFF").await;
    }
    let (status, said, _) = client.ask("POST", &action, &json!({ "os-stop": null })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let id = found["servers"][0]["id"].as_str().unwrap();
    let text = format!("Cannot 'stop' instance {id} while it is in vm_state stopped");
    assert_eq!(said["conflictingRequest"]["message"], json!(text));
    assert_eq!(client.ask("POST", &action, &json!({ "dance": null })).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pages_have_their_rules() {
    let (_, client) = login("lab-openstack").await;
    let (status, said, _) = client.ask("GET", &format!("{SERVERS}?marker=nope"), &Value::Null).await;
    assert_eq!((status, said["badRequest"]["message"].as_str()), (StatusCode::BAD_REQUEST, Some("marker [nope] not found")));
    assert_eq!(client.ask("GET", &format!("{SERVERS}?limit=-1"), &Value::Null).await.0, StatusCode::BAD_REQUEST);
    let all = client.get(SERVERS).await["servers"].as_array().map(Vec::len).unwrap();
    let full = client.get(&format!("{SERVERS}?limit={all}&name=mtv")).await;
    let next = full["servers_links"][0]["href"].as_str().unwrap().to_owned();
    assert!(next.contains("name=mtv") && next.contains("marker="), "filters stay: {next}");
    let rest = client.get(&next.replace("https://cloud.lab", "")).await;
    assert_eq!(rest["servers"], json!([]), "a page that is full has a next one, though it may be empty");
    let networks = client.get("/network/v2.0/networks?limit=1").await;
    assert_eq!(
        networks["networks_links"].as_array().unwrap().iter().map(|l| l["rel"].as_str().unwrap()).collect::<Vec<_>>(),
        ["next", "previous"]
    );
}
