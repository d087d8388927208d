//! `exec` into a pod: the API server checks it and passes it on to the kubelet of the pod's node.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, Uri, request::Parts};
use hyper::upgrade::OnUpgrade;
use serde_json::Value;

use super::{
    Inner, aggregate,
    auth::Caller,
    operation::Operation,
    request::{Query, Target},
    response::Body,
    status::{Answer, Failure},
    store::Key,
};

/// Container that `kubectl exec` means when it names none.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Connects a client with a container.
pub async fn exec(
    server: &Arc<Inner>,
    target: &Target,
    query: &Query,
    parts: &Parts,
    upgrade: Option<OnUpgrade>,
    caller: &Caller,
) -> Answer<Response<Body>> {
    let get =
        |group: &str, namespace: &str, name: &str| server.store.read(|state| state.get(&Key::new(&Arc::from(group), namespace, name)));
    let name = target.name.as_str();
    let pod = get("/pods", &target.namespace, name).ok_or_else(|| Failure::not_found("", "pods", name))?;
    let container = container(&pod, query.get("container"))?;
    let node = pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty());
    let node = node.ok_or_else(|| Failure::bad_request(format!("pod {name} does not have a host assigned")))?;
    let node = get("/nodes", "", node).ok_or_else(|| Failure::not_found("", "pods", node))?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let port =
        port.ok_or_else(|| Failure::internal(format!("error dialing backend: node {} names no kubelet", node["metadata"]["name"])))?;
    // The kubelet has names of its own for the streams.
    let mut asked: Vec<(&str, &str)> = query.all("command").map(|word| ("command", word)).collect();
    for (ours, theirs) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if query.flag(ours) {
            asked.push((theirs, "1"));
        }
    }
    let mut url = reqwest::Url::parse("http://kubelet").map_err(|error| Failure::internal(error.to_string()))?;
    url.set_path(&format!("/exec/{}/{name}/{container}", target.namespace));
    url.query_pairs_mut().extend_pairs(asked);
    let mut parts = parts.clone();
    let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
    parts.uri = path.parse::<Uri>().map_err(|error| Failure::internal(error.to_string()))?;
    let kubelet = aggregate::Backend::kubelet(port).map_err(Failure::internal)?;
    aggregate::proxy(&kubelet, &parts, Bytes::new(), upgrade, caller).await
}

/// The refusal of a stream that the lab's kubelets do not serve: the one that would come first, or that they do not.
pub fn unreachable(op: &Operation) -> Failure {
    let get = |resource: &str, namespace: &str, name: &str| {
        op.server.store.read(|state| state.get(&Key::new(&Arc::from(resource), namespace, name)))
    };
    let name = op.target.name.as_str();
    let Some(pod) = get("/pods", &op.target.namespace, name) else { return op.not_found(name) };
    match pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()) {
        None => Failure::bad_request(format!("pod {name} does not have a host assigned")),
        Some(node) if get("/nodes", "", node).is_none() => Failure::not_found("", "pods", node),
        Some(_) => Failure::internal(format!("error dialing backend: the kubelet does not serve {}", op.target.subresource)),
    }
}

/// The container that is meant.
fn container(pod: &Value, wanted: &str) -> Answer<String> {
    let names: Vec<&str> = pod["spec"]["containers"].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect();
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let by_annotation = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str().filter(|by| names.contains(by));
    match (wanted, names.as_slice()) {
        ("", [only]) => Ok((*only).to_owned()),
        ("", _) if by_annotation.is_some() => Ok(by_annotation.unwrap_or_default().to_owned()),
        ("", many) => {
            Err(Failure::bad_request(format!("a container name must be specified for pod {name}, choose one of: [{}]", many.join(" "))))
        }
        (wanted, names) if names.contains(&wanted) => Ok(wanted.to_owned()),
        (wanted, _) => Err(Failure::bad_request(format!("container {wanted} is not valid for pod {name}"))),
    }
}
