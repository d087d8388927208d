//! The lab's Kubernetes API, seen by kube-rs and by plain requests in the same process.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use http::{Method, Request};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::DynamicObject,
};
use mtv_api::kinds;
use mtv_lab::kubernetes::{ApiServer, Options, User};
use serde_json::{Value, json};

/// Longest wait of a test: far more than anything here takes, so that only a defect reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

fn server() -> ApiServer {
    let user = |name: &str, groups: &[&str], password: Option<&str>| User {
        name: name.to_owned(),
        token: format!("token-of-{name}"),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        password: password.map(str::to_owned),
    };
    ApiServer::new(vec![user("admin", &["system:masters"], Some("secret")), user("bob", &[], None)], Options::default())
}

/// Sends a request and gives back code and body; a body that is no JSON becomes a string.
async fn send(client: &Client, method: Method, path: &str, media: &str, body: Option<Value>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", media);
    let request = request.body(body.map_or_else(Vec::new, |body| body.to_string().into_bytes()).into()).unwrap();
    let answer = client.send(request).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect_bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()))
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    send(client, Method::GET, path, "application/json", None).await
}

async fn post(client: &Client, path: &str, body: Value) -> (u16, Value) {
    send(client, Method::POST, path, "application/json", Some(body)).await
}

async fn merge(client: &Client, path: &str, body: Value) -> (u16, Value) {
    send(client, Method::PATCH, path, "application/merge-patch+json", Some(body)).await
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name }, "data": { "k": "v" } })).unwrap()
}

fn config_maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

#[tokio::test]
async fn a_stale_write_is_a_conflict_and_an_equal_one_no_write() {
    let client = server().client("admin");
    let api = config_maps(&client);
    let first = api.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let mut second = first.clone();
    second.data.as_mut().unwrap().insert("k".into(), "w".into());
    let second = api.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_ne!(first.resource_version(), second.resource_version());
    let same = api.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_eq!(same.resource_version(), second.resource_version());
    let kube::Error::Api(status) = api.replace("a", &PostParams::default(), &first).await.unwrap_err() else { panic!("no status") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
}

#[tokio::test]
async fn status_and_spec_are_written_separately_and_only_the_spec_counts() {
    let client = server().client("admin");
    let path = "/apis/forklift.konveyor.io/v1beta1/namespaces/default/migrations";
    let (code, made) = post(&client, path, json!({ "apiVersion": "forklift.konveyor.io/v1beta1", "kind": "Migration", "metadata": { "name": "m" }, "spec": { "plan": {} }, "status": { "x": 1 } })).await;
    assert_eq!((code, &made["status"], &made["metadata"]["generation"]), (201, &Value::Null, &json!(1)));
    let item = format!("{path}/m");
    let (code, written) =
        merge(&client, &format!("{item}/status"), json!({ "spec": { "plan": { "name": "other" } }, "status": { "x": 2 } })).await;
    assert_eq!((code, &written["status"]["x"], &written["metadata"]["generation"]), (200, &json!(2), &json!(1)));
    assert_eq!(written["spec"]["plan"], json!({}));
    let (code, written) = merge(&client, &item, json!({ "spec": { "plan": { "name": "p" } }, "status": { "x": 3 } })).await;
    assert_eq!((code, &written["status"]["x"], &written["metadata"]["generation"]), (200, &json!(2), &json!(2)));
    let (code, answer) = merge(&client, &item, json!({ "spec": { "cutover": "soon" } })).await;
    assert_eq!((code, &answer["reason"]), (422, &json!("Invalid")));
}

#[tokio::test]
async fn a_watch_sees_what_its_selector_selects() {
    let server = server();
    let client = server.client("admin");
    let api = config_maps(&client);
    api.create(&PostParams::default(), &config_map("before")).await.unwrap();
    let list = api.list(&ListParams::default()).await.unwrap();
    let params = WatchParams::default().labels("on=1").timeout(10);
    let events = api.watch(&params, list.metadata.resource_version.as_deref().unwrap()).await.unwrap();
    api.create(&PostParams::default(), &config_map("a")).await.unwrap();
    for patch in [json!({ "on": "1" }), json!({ "other": "1" }), json!({ "on": null })] {
        let patch = json!({ "metadata": { "labels": patch } });
        api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    let seen = events.take(3).map_ok(|event| match event {
        WatchEvent::Added(object) => ("added", object.name_any()),
        WatchEvent::Modified(object) => ("modified", object.name_any()),
        WatchEvent::Deleted(object) => ("deleted", object.name_any()),
        other => panic!("{other:?}"),
    });
    let seen: Vec<_> = tokio::time::timeout(PATIENCE, seen.try_collect::<Vec<_>>()).await.unwrap().unwrap();
    assert_eq!(seen, ["added", "modified", "deleted"].map(|what| (what, "a".to_owned())));
}

#[tokio::test]
async fn a_watch_list_ends_its_beginning_with_a_bookmark() {
    let client = server().client("admin");
    let api = config_maps(&client);
    api.create(&PostParams::default(), &config_map("a")).await.unwrap();
    let events = api.watch(&WatchParams::default().initial_events(), "0").await.unwrap();
    let events: Vec<_> = tokio::time::timeout(PATIENCE, events.take(2).try_collect::<Vec<_>>()).await.unwrap().unwrap();
    let [WatchEvent::Added(object), WatchEvent::Bookmark(bookmark)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(object.name_any(), "a");
    assert_eq!(bookmark.metadata.annotations.get("k8s.io/initial-events-end").map(String::as_str), Some("true"));
    assert_eq!(object.resource_version(), Some(bookmark.metadata.resource_version.clone()));
}

#[tokio::test]
async fn what_is_forgotten_is_gone() {
    let server = server();
    let client = server.client("admin");
    let api = config_maps(&client);
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &config_map(name)).await.unwrap();
    }
    let page = api.list(&ListParams::default().limit(1)).await.unwrap();
    server.compact();
    api.create(&PostParams::default(), &config_map("d")).await.unwrap();
    server.compact();
    let mut events = api.watch(&WatchParams::default(), "3").await.unwrap().boxed();
    let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
    let WatchEvent::Error(status) = event else { panic!("{event:?}") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    let token = page.metadata.continue_.unwrap();
    let (code, answer) = get(&client, &format!("/api/v1/namespaces/default/configmaps?limit=1&continue={token}")).await;
    assert_eq!((code, &answer["reason"]), (410, &json!("Expired")));
    // The answer holds a token that goes on with what is there now.
    let token = answer["metadata"]["continue"].as_str().unwrap();
    let (code, answer) = get(&client, &format!("/api/v1/namespaces/default/configmaps?continue={token}")).await;
    assert_eq!((code, answer["items"].as_array().map(Vec::len)), (200, Some(3)));
}

#[tokio::test]
async fn pages_show_one_moment() {
    let client = server().client("admin");
    let api = config_maps(&client);
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &config_map(name)).await.unwrap();
    }
    let page = api.list(&ListParams::default().limit(1)).await.unwrap();
    assert_eq!(page.metadata.remaining_item_count, Some(2));
    api.delete("b", &DeleteParams::default()).await.unwrap();
    api.create(&PostParams::default(), &config_map("b2")).await.unwrap();
    let rest = api.list(&ListParams::default().continue_token(page.metadata.continue_.as_deref().unwrap())).await.unwrap();
    assert_eq!(rest.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(rest.metadata.resource_version, page.metadata.resource_version);
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let client = server().client("admin");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &kinds::VM.resource());
    let mut vm = DynamicObject::new("vm", &kinds::VM.resource());
    vm.metadata.finalizers = Some(vec!["a.io/x".to_owned()]);
    api.create(&PostParams::default(), &vm).await.unwrap();
    let held = api.delete("vm", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    assert_eq!(held.metadata.deletion_grace_period_seconds, Some(0));
    let add = json!({ "metadata": { "finalizers": ["a.io/x", "a.io/y"] } });
    let refused = api.patch("vm", &PatchParams::default(), &Patch::Merge(add)).await.unwrap_err();
    assert!(refused.to_string().contains("no new finalizers can be added if the object is being deleted"), "{refused}");
    let last = api.patch("vm", &PatchParams::default(), &Patch::Merge(json!({ "metadata": { "finalizers": null } }))).await.unwrap();
    assert!(last.metadata.finalizers.is_none());
    assert!(api.get_opt("vm").await.unwrap().is_none());
}

#[tokio::test]
async fn a_pod_is_marked_before_it_goes_and_gets_its_time_once_it_runs_somewhere() {
    let client = server().client("admin");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod = |name: &str, node: Option<&str>| -> Pod {
        serde_json::from_value(
            json!({ "metadata": { "name": name }, "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i" }] } }),
        )
        .unwrap()
    };
    pods.create(&PostParams::default(), &pod("waiting", None)).await.unwrap();
    pods.create(&PostParams::default(), &pod("running", Some("n"))).await.unwrap();
    let version = pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let events = pods.watch(&WatchParams::default(), &version).await.unwrap();
    pods.delete("waiting", &DeleteParams::default()).await.unwrap();
    let held = pods.delete("running", &DeleteParams::default().grace_period(5)).await.unwrap().left().unwrap();
    assert_eq!(held.metadata.deletion_grace_period_seconds, Some(5));
    let longer = pods.delete("running", &DeleteParams::default().grace_period(9)).await.unwrap().left().unwrap();
    assert_eq!(longer.metadata.deletion_grace_period_seconds, Some(5), "the time can only get shorter");
    pods.delete("running", &DeleteParams::default().grace_period(0)).await.unwrap();
    let seen = events.take(5).map_ok(|event| match event {
        WatchEvent::Modified(pod) => (pod.name_any(), "modified", pod.metadata.deletion_grace_period_seconds),
        WatchEvent::Deleted(pod) => (pod.name_any(), "deleted", pod.metadata.deletion_grace_period_seconds),
        other => panic!("{other:?}"),
    });
    let seen: Vec<_> = tokio::time::timeout(PATIENCE, seen.try_collect::<Vec<_>>()).await.unwrap().unwrap();
    let expected = [
        ("waiting", "modified", 0),
        ("waiting", "deleted", 0),
        ("running", "modified", 5),
        ("running", "modified", 0),
        ("running", "deleted", 0),
    ];
    assert_eq!(seen, expected.map(|(name, what, grace)| (name.to_owned(), what, Some(grace))));
}

#[tokio::test]
async fn a_namespace_goes_when_it_is_finalized_and_takes_nothing_new_meanwhile() {
    let client = server().client("admin");
    let api: Api<Namespace> = Api::all(client.clone());
    let (code, _) = post(&client, "/api/v1/namespaces", json!({ "metadata": { "name": "n" } })).await;
    assert_eq!(code, 201);
    let held = api.delete("n", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(held.status.as_ref().unwrap().phase.as_deref(), Some("Terminating"));
    let (code, answer) = post(&client, "/api/v1/namespaces/n/configmaps", json!({ "metadata": { "name": "a" } })).await;
    assert_eq!((code, &answer["details"]["causes"][0]["reason"]), (403, &json!("NamespaceTerminating")));
    let mut object = serde_json::to_value(&held).unwrap();
    object["spec"] = json!({});
    let (code, _) = send(&client, Method::PUT, "/api/v1/namespaces/n/finalize", "application/json", Some(object)).await;
    assert_eq!(code, 200);
    assert!(api.get_opt("n").await.unwrap().is_none());
    let (code, answer) = post(&client, "/api/v1/namespaces/n/configmaps", json!({ "metadata": { "name": "a" } })).await;
    assert_eq!((code, &answer["message"]), (404, &json!("namespaces \"n\" not found")));
}

#[tokio::test]
async fn applied_fields_have_an_owner() {
    let client = server().client("admin");
    let path = "/api/v1/namespaces/default/configmaps/a";
    let apply = async |manager: &str, force: bool, data: Value| {
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": data });
        send(&client, Method::PATCH, &format!("{path}?fieldManager={manager}&force={force}"), "application/apply-patch+yaml", Some(body))
            .await
    };
    assert_eq!(apply("one", false, json!({ "a": "1", "b": "1" })).await.0, 201);
    assert_eq!(apply("two", false, json!({ "b": "1", "c": "1" })).await.0, 200);
    let (code, answer) = apply("two", false, json!({ "b": "2" })).await;
    assert_eq!((code, answer["message"].as_str()), (409, Some("Apply failed with 1 conflict: conflict with \"one\": .data.b")));
    assert_eq!(answer["details"]["causes"][0]["field"], ".data.b");
    // Forced, the field changes hands; what `two` leaves out and nobody else owns goes.
    let (code, forced) = apply("two", true, json!({ "b": "2" })).await;
    assert_eq!((code, &forced["data"]), (200, &json!({ "a": "1", "b": "2" })));
    let (_, left) = apply("one", false, json!({})).await;
    assert_eq!(left["data"], json!({ "b": "2" }));
    let again = apply("two", true, json!({ "b": "2" })).await.1;
    assert_eq!(again["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"], "an equal apply is no write");
    let (code, _) =
        send(&client, Method::PATCH, path, "application/apply-patch+yaml", Some(json!({ "apiVersion": "v1", "kind": "ConfigMap" }))).await;
    assert_eq!(code, 422, "an apply needs a manager");
}

#[tokio::test]
async fn a_definition_is_served_as_soon_as_it_is_there() {
    let client = server().client("admin");
    let schema = json!({ "type": "object", "properties": { "spec": { "type": "object", "required": ["size"], "properties": {
        "size": { "type": "integer", "minimum": 1 }, "mode": { "type": "string", "default": "a" } } } } });
    let definition = json!({ "metadata": { "name": "things.x.io" }, "spec": { "group": "x.io", "scope": "Namespaced",
        "names": { "plural": "things", "kind": "Thing" },
        "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
            "additionalPrinterColumns": [{ "name": "Size", "type": "integer", "jsonPath": ".spec.size" }] }] } });
    let (code, made) = post(&client, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    assert_eq!((code, &made["status"]["conditions"][1]["type"]), (201, &json!("Established")));
    let path = "/apis/x.io/v1/namespaces/default/things";
    let thing = |spec: Value| json!({ "apiVersion": "x.io/v1", "kind": "Thing", "metadata": { "name": "t" }, "spec": spec });
    let (code, answer) = post(&client, path, thing(json!({ "size": 0 }))).await;
    assert_eq!(code, 422);
    assert_eq!(
        answer["message"],
        "Thing.x.io \"t\" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"
    );
    let (code, answer) = post(&client, &format!("{path}?fieldValidation=Strict"), thing(json!({ "size": 1, "odd": 1 }))).await;
    assert_eq!((code, answer["message"].as_str().unwrap().contains("unknown field \"spec.odd\"")), (400, true));
    let (code, made) = post(&client, path, thing(json!({ "size": 1, "odd": 1 }))).await;
    assert_eq!((code, &made["spec"]), (201, &json!({ "size": 1, "mode": "a" })));
    let request = Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io").body(Vec::new().into()).unwrap();
    let table: Value = serde_json::from_slice(&client.send(request).await.unwrap().into_body().collect_bytes().await.unwrap()).unwrap();
    assert_eq!(table["rows"][0]["cells"], json!(["t", 1]));
    let (code, _) =
        send(&client, Method::DELETE, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.x.io", "application/json", None)
            .await;
    assert_eq!(code, 200);
    assert_eq!(get(&client, path).await.0, 404);
}

#[tokio::test]
async fn who_may_do_what() {
    let server = server();
    let (bob, nobody) = (server.client("bob"), server.client("nobody"));
    let (code, answer) = get(&bob, "/api/v1/namespaces/default/configmaps").await;
    assert_eq!((code, &answer["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        answer["message"],
        "configmaps is forbidden: User \"bob\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    assert_eq!((get(&bob, "/apis").await.0, get(&nobody, "/apis").await.0, get(&nobody, "/version").await.0), (200, 403, 200));
    let review = json!({ "spec": { "resourceAttributes": { "verb": "get", "resource": "pods" } } });
    let (code, answer) = post(&bob, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await;
    assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(false)));
    let review = json!({ "spec": { "token": "token-of-bob" } });
    let (_, answer) = post(&server.client("admin"), "/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    assert_eq!((&answer["status"]["authenticated"], &answer["status"]["user"]["username"]), (&json!(true), &json!("bob")));
}

#[tokio::test]
async fn requests_are_counted_by_user_verb_and_resource() {
    let server = server();
    let (admin, bob) = (server.client("admin"), server.client("bob"));
    for _ in 0..2 {
        get(&admin, "/api/v1/namespaces/default/pods").await;
    }
    get(&bob, "/apis/kubevirt.io/v1/namespaces/default/virtualmachines/x").await;
    let (_, report) = get(&admin, "/debug/mtv-lab/requests").await;
    let requests = report["requests"].as_array().unwrap();
    for (user, verb, resource, count) in [("admin", "list", "pods", 2), ("bob", "get", "virtualmachines.kubevirt.io", 1)] {
        assert!(requests.contains(&json!({ "user": user, "verb": verb, "resource": resource, "count": count })), "{report}");
    }
    assert_eq!(get(&bob, "/debug/mtv-lab/requests").await.0, 403);
}

/// Method, path, content type and body of a request; code and reason of its answer.
type Case<'a> = (Method, &'a str, &'a str, Option<Value>, u16, &'a str);

/// What a real server answers, path by path: code and, where it is a Status, the reason.
#[tokio::test]
async fn refusals() {
    let client = server().client("admin");
    post(&client, "/api/v1/namespaces/default/configmaps", json!({ "metadata": { "name": "a" } })).await;
    let (list, item) = ("/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/configmaps/a");
    let plans = "/apis/forklift.konveyor.io/v1beta1/namespaces/default/plans";
    let json_media = "application/json";
    let cases: [Case<'_>; 20] = [
        (Method::GET, "/api/v1/nothing", json_media, None, 404, "NotFound"),
        (Method::GET, "/apis/none.io/v1/nothing", json_media, None, 404, ""),
        (Method::GET, "/api/v1/namespaces/default/configmaps/none", json_media, None, 404, "NotFound"),
        (Method::PUT, list, json_media, Some(json!({})), 405, "MethodNotAllowed"),
        (Method::POST, item, json_media, Some(json!({})), 405, "MethodNotAllowed"),
        (Method::POST, list, "text/plain", Some(json!({})), 415, "UnsupportedMediaType"),
        (Method::PATCH, item, json_media, Some(json!({})), 415, "UnsupportedMediaType"),
        (Method::PATCH, &format!("{plans}/p"), "application/strategic-merge-patch+json", Some(json!({})), 415, "UnsupportedMediaType"),
        (Method::POST, list, json_media, Some(json!({ "metadata": { "name": "a" } })), 409, "AlreadyExists"),
        (Method::POST, list, json_media, Some(json!({ "metadata": { "name": "A" } })), 422, "Invalid"),
        (Method::POST, list, json_media, Some(json!({ "metadata": {} })), 422, "Invalid"),
        (Method::POST, list, json_media, Some(json!({ "metadata": { "name": "b", "namespace": "other" } })), 400, "BadRequest"),
        (Method::POST, list, json_media, Some(json!({ "kind": "Pod", "apiVersion": "v1" })), 400, "BadRequest"),
        (Method::POST, list, json_media, Some(json!({ "metadata": { "name": "b", "labels": { "-": "x" } } })), 422, "Invalid"),
        (Method::POST, "/api/v1/namespaces/none/configmaps", json_media, Some(json!({ "metadata": { "name": "b" } })), 404, "NotFound"),
        (Method::GET, &format!("{list}?labelSelector=a%20b"), json_media, None, 400, "BadRequest"),
        (Method::GET, &format!("{list}?fieldSelector=data.x%3D1"), json_media, None, 400, "BadRequest"),
        (Method::GET, &format!("{list}?resourceVersion=99999"), json_media, None, 504, "Timeout"),
        (Method::DELETE, item, json_media, Some(json!({ "preconditions": { "uid": "x" } })), 409, "Conflict"),
        (Method::DELETE, "/api/v1/namespaces/default", json_media, None, 403, "Forbidden"),
    ];
    for (method, path, media, body, code, reason) in cases {
        let (got, answer) = send(&client, method.clone(), path, media, body).await;
        assert_eq!((got, answer["reason"].as_str().unwrap_or_default()), (code, reason), "{method} {path}: {answer}");
    }
}
