//! The whole lab, from outside: what a client does with the kubeconfig and the profile that it is given.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use http::{Request, header};
use hyper_util::rt::TokioIo;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait::await_condition,
};
use mtv_api::kinds::{self, Kind};
use mtv_lab::{
    datacenter::{DEFAULT, DataCenter},
    lab::{Lab, Options},
    roles::write,
};
use russh::{ChannelMsg, client, keys::PublicKeyOrCertificate};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

const HOME: &str = "mig";
const VM: &str = "mtv-tests-rhel8";
/// Only ends a test that would hang.
const LONG: Duration = Duration::from_mins(1);

async fn user(lab: &Lab) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(lab.kubeconfig()).unwrap();
    Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()).unwrap()
}

async fn make(client: &Client, kind: &Kind, name: &str, mut object: Value) {
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    object["metadata"]["name"] = name.into();
    object["metadata"]["namespace"] = if kind.namespaced { HOME.into() } else { Value::Null };
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    write::api(client, kind, HOME).create(&PostParams::default(), &object).await.unwrap();
}

async fn until(client: &Client, kind: &Kind, name: &str, wanted: impl Fn(&Value) -> bool + Send) -> Value {
    let api: Api<DynamicObject> = write::api(client, kind, HOME);
    let condition = move |object: Option<&DynamicObject>| object.is_some_and(|o| wanted(&o.data));
    match tokio::time::timeout(LONG, await_condition(api.clone(), name, condition)).await {
        Ok(found) => found.unwrap().unwrap().data,
        Err(tokio::time::error::Elapsed { .. }) => panic!("{} {name} stays {:?}", kind.kind, api.get_opt(name).await),
    }
}

fn holds(kind: &'static str) -> impl Fn(&Value) -> bool + Send {
    move |object| write::holds(write::list(object, "/status/conditions"), kind)
}

/// A plan of one VM, with everything that it needs; Ready.
async fn plan(lab: &Lab, client: &Client) {
    let profiles: toml::Table = toml::from_str(lab.providers_toml()).unwrap();
    let profile = |key: &str| profiles["provider"]["vsphere"][key].as_str().unwrap().to_owned();
    let reference = |name: &str| json!({ "name": name, "namespace": HOME });
    let pair = json!({ "source": reference("vsphere"), "destination": { "name": "host", "namespace": "openshift-mtv" } });
    make(client, &kinds::NAMESPACE, HOME, json!({})).await;
    let secret =
        json!({ "user": profile("username"), "password": profile("password"), "url": profile("api_url"), "cacert": profile("ca_pem") });
    make(client, &kinds::SECRET, "vcenter", json!({ "stringData": secret })).await;
    let settings = json!({ "vddkInitImage": profile("vddk_init_image") });
    let provider = json!({ "type": "vsphere", "url": profile("api_url"), "secret": reference("vcenter"), "settings": settings });
    make(client, &kinds::PROVIDER, "vsphere", json!({ "spec": provider })).await;
    make(client, &kinds::NAD, "bridge", json!({ "spec": { "config": "{}" } })).await;
    let multus =
        |network: &str| json!({ "source": { "name": network }, "destination": { "type": "multus", "namespace": HOME, "name": "bridge" } });
    let networks =
        json!([{ "source": { "name": "VM Network" }, "destination": { "type": "pod" } }, multus("VM Test Network"), multus("cnv-test")]);
    make(client, &kinds::NETWORK_MAP, "network", json!({ "spec": { "provider": pair, "map": networks } })).await;
    let storage = json!([{ "source": { "name": "nfs-datastore" }, "destination": { "storageClass": lab.storage_class() } }]);
    make(client, &kinds::STORAGE_MAP, "storage", json!({ "spec": { "provider": pair, "map": storage } })).await;
    let spec = json!({ "provider": pair, "map": { "network": reference("network"), "storage": reference("storage") },
        "targetNamespace": HOME, "targetPowerState": "on", "vms": [{ "name": VM }] });
    make(client, &kinds::PLAN, "cold", json!({ "spec": spec })).await;
    until(client, &kinds::PLAN, "cold", holds("Ready")).await;
}

/// Opens KubeVirt's port-forward; `Err` is the server's refusal.
async fn forward(client: &Client, port: u16) -> Result<DuplexStream, Value> {
    let request =
        Request::get(format!("/apis/subresources.kubevirt.io/v1/namespaces/{HOME}/virtualmachineinstances/{VM}/portforward/{port}/tcp"))
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(header::SEC_WEBSOCKET_PROTOCOL, "plain.kubevirt.io");
    let response = client.send(request.body(Body::empty()).unwrap()).await.unwrap();
    if response.status() != 101 {
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        return Err(serde_json::from_slice(&body).unwrap());
    }
    assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "plain.kubevirt.io");
    let upgraded = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let (mut sink, mut stream) = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await.split();
    let (here, there) = tokio::io::duplex(1 << 16);
    let (mut read, mut write) = tokio::io::split(there);
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            if message.is_binary() && write.write_all(&message.into_data()).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 14];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if sink.send(Message::Binary(bytes::Bytes::copy_from_slice(&buffer[..length]))).await.is_err() {
                break;
            }
        }
    });
    Ok(here)
}

struct AnyKey;

impl client::Handler for AnyKey {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn put(client: &Client, action: &str) -> Result<(), Value> {
    let path = format!("/apis/subresources.kubevirt.io/v1/namespaces/{HOME}/virtualmachines/{VM}/{action}");
    let response = client.send(Request::put(path).body(Body::empty()).unwrap()).await.unwrap();
    if response.status() == 202 {
        return Ok(());
    }
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    Err(serde_json::from_slice(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migrated_vm_answers_over_ssh_and_nothing_is_left_at_the_end() {
    let mut options = Options::new(DataCenter::parse(DEFAULT).unwrap());
    options.time_scale = 100.0;
    let lab = Lab::start(options).await.unwrap();
    let client = user(&lab).await;
    let route = write::api(&client, &kinds::ROUTE, "openshift-mtv").get("forklift-inventory").await.unwrap();
    assert_eq!(format!("https://{}", write::text(&route.data, "/spec/host")), lab.info().inventory);
    plan(&lab, &client).await;
    make(&client, &kinds::MIGRATION, "cold", json!({ "spec": { "plan": { "name": "cold", "namespace": HOME } } })).await;
    until(&client, &kinds::MIGRATION, "cold", |m| holds("Succeeded")(m) || holds("Failed")(m)).await;
    until(&client, &kinds::VMI, VM, holds("AgentConnected")).await;

    let refused = forward(&client, 23).await.unwrap_err();
    assert!(write::text(&refused, "/message").contains("refused"), "{refused}");
    let stream = forward(&client, 22).await.unwrap();
    let mut session = client::connect_stream(Arc::default(), stream, AnyKey).await.unwrap();
    assert!(session.authenticate_password("root", "lab-linux").await.unwrap().success());
    let mut channel = session.channel_open_session().await.unwrap();
    channel.exec(true, "hostname; exit 3").await.unwrap();
    let (mut out, mut code) = (String::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => out.push_str(&String::from_utf8_lossy(&data)),
            ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
            _ => {}
        }
    }
    assert_eq!((out.as_str(), code), ("mtv-rhel8\n", Some(3)));

    assert_eq!(put(&client, "start").await.unwrap_err()["code"], 409);
    put(&client, "stop").await.unwrap();
    let stopped = until(&client, &kinds::VM, VM, |vm| write::text(vm, "/status/printableStatus") == "Stopped").await;
    assert!(stopped["status"].get("ready").is_none());
    assert_eq!(put(&client, "stop").await.unwrap_err()["code"], 409);
    assert_eq!(forward(&client, 22).await.unwrap_err()["code"], 404);

    let namespaces = write::all(&client, &kinds::NAMESPACE);
    namespaces.delete(HOME, &DeleteParams::default()).await.unwrap();
    let gone = await_condition(namespaces, HOME, |n: Option<&DynamicObject>| n.is_none());
    tokio::time::timeout(LONG, gone).await.unwrap().unwrap();
    let volumes = write::all(&client, &kinds::PV);
    let none = async {
        while !volumes.list(&ListParams::default()).await.unwrap().items.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, none).await.unwrap();
    lab.shutdown().await;
}
