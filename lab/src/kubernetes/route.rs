//! From a request to its handler.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode, request::Parts};
use hyper::upgrade::OnUpgrade;
use serde_json::json;

use super::{
    Inner, access, aggregate,
    auth::Caller,
    binding, delete, discovery, exec, oauth, openapi,
    operation::Operation,
    read,
    request::{Format, Query, Shape, Target},
    resource::Resource,
    response::{self, Body},
    status::{Answer, Failure},
    watch, write,
};

/// What every answer about Endpoints says since Kubernetes 1.33.
const ENDPOINTS_WARNING: &str = "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";

/// Answers a request.
pub async fn route(server: &Arc<Inner>, parts: &Parts, body: Bytes, upgrade: Option<OnUpgrade>) -> Answer<Response<Body>> {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    // The old way to say that a path is watched.
    let old = path.split_once("/watch/").filter(|(before, _)| matches!(before.split('/').count(), 3 | 4));
    let (path, query) = match old {
        Some((before, after)) => (format!("{before}/{after}"), Query::parse(&format!("watch=true&{query}"))),
        None => (path.to_owned(), Query::parse(query)),
    };
    let path = path.as_str();
    if let Some(answer) = oauth::route(server, parts, &query, &body) {
        return answer;
    }
    let caller = server.users.authenticate(&parts.headers)?;
    if let Some(backend) = handed_over(server, path) {
        let target = Target::parse(path);
        match &target {
            Some(target) => {
                let verb = target.verb(&parts.method, query.flag("watch"));
                server.counts.add(&caller.name, verb, &counted(target));
                access::authorize(&caller, verb, target)?;
            }
            None => access::authorize_path(&caller, &parts.method.as_str().to_lowercase(), path)?,
        }
        return aggregate::proxy(&backend?, parts, body, upgrade, &caller).await;
    }
    let Some(target) = Target::parse(path) else { return other(server, parts, &caller).await };
    let verb = target.verb(&parts.method, query.flag("watch"));
    server.counts.add(&caller.name, verb, &counted(&target));
    access::authorize(&caller, verb, &target)?;
    let resource = find(server, &target)?;
    if resource.is_core("pods") && target.subresource == "exec" && matches!(parts.method, Method::GET | Method::POST) {
        return exec::exec(server, &target, &query, parts, upgrade, &caller).await;
    }
    if !resource.custom && !Format::spoken(&parts.headers) {
        return Err(Failure::no_representation(target.name.is_empty() && parts.method == Method::GET));
    }
    let format = Format::negotiate(&parts.headers)?;
    if format.list && !target.name.is_empty() && parts.method == Method::GET && !query.flag("watch") {
        let package = if resource.group.is_empty() { "core" } else { resource.group.split('.').next().unwrap_or_default() };
        let kind = &resource.kind;
        let message = format!("you requested PartialObjectMetadataList, but the requested object is not a list (*{package}.{kind})");
        return Err(Failure::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message));
    }
    let include = query.get("includeObject");
    if format.shape == Shape::Table && !matches!(include, "" | "None" | "Metadata" | "Object") {
        return Err(Failure::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {include:?}: must be 'Metadata', 'Object', 'None', or empty"
        )));
    }
    let op = Operation {
        server,
        resource,
        target: &target,
        query: &query,
        headers: &parts.headers,
        caller: &caller,
        body: &body,
        format,
        deletes: parts.method == Method::DELETE,
    };
    let mut answer = dispatch(&op, &parts.method)?;
    if op.resource.is_core("endpoints") {
        answer.headers_mut().append(http::header::WARNING, http::HeaderValue::from_static(ENDPOINTS_WARNING));
    }
    Ok(answer)
}

/// How a target stands in the counts.
fn counted(target: &Target) -> String {
    let resource = super::status::qualified(&target.group, &target.plural);
    if target.subresource.is_empty() { resource } else { format!("{resource}/{}", target.subresource) }
}

/// The backend of a path whose group version the server does not serve itself.
fn handed_over(server: &Arc<Inner>, path: &str) -> Option<Answer<aggregate::Backend>> {
    let mut segments = path.strip_prefix("/apis/")?.split('/');
    let (group, version) = (segments.next()?, segments.next().filter(|version| !version.is_empty())?);
    if server.registry(|registry| registry.serves(group, version)) {
        return None;
    }
    aggregate::find(server, group, version)
}

/// The resource that a path names.
fn find(server: &Arc<Inner>, target: &Target) -> Answer<Arc<Resource>> {
    let (found, built_in) = server.registry(|registry| {
        (registry.find(&target.group, &target.version, &target.plural), registry.built_in(&target.group, &target.version))
    });
    match found {
        Some(resource) => Ok(resource),
        None if built_in || server.registry(|registry| registry.has_built_in_group(&target.group)) => Err(Failure::no_such_resource()),
        None => Err(Failure::no_such_path()),
    }
}

fn dispatch(op: &Operation, method: &Method) -> Answer<Response<Body>> {
    let (resource, target) = (&op.resource, op.target);
    let named = !target.name.is_empty();
    if resource.verbs == super::resource::CREATE_ONLY {
        return match (method.as_str(), named) {
            ("POST", false) => access::review(op),
            _ => Err(Failure::method_not_allowed()),
        };
    }
    let scoped = resource.namespaced != target.namespace.is_empty();
    if !scoped && (named || method != Method::GET || !resource.namespaced) {
        // A namespaced resource without a namespace can only be listed; a cluster-scoped one has no namespace.
        return Err(if !resource.custom && (method == Method::POST || method == Method::DELETE) && !named {
            Failure::method_not_allowed()
        } else if resource.custom {
            Failure::no_such_path()
        } else {
            Failure::no_such_resource()
        });
    }
    match (method.as_str(), named, target.subresource.as_str()) {
        ("GET", _, "") if op.query.flag("watch") => watch::watch(op),
        ("GET", false, "") => read::list(op),
        ("POST", false, "") => write::create(op),
        ("DELETE", false, "") if resource.verbs.contains(&"deletecollection") => delete::delete_collection(op),
        ("GET", true, "") => read::get(op),
        ("PUT", true, "") => write::update(op),
        ("PATCH", true, "") => write::patch(op),
        ("DELETE", true, "") => delete::delete(op),
        ("GET", true, "status") if resource.status => read::get(op),
        ("PUT", true, "status") if resource.status => write::update(op),
        ("PATCH", true, "status") if resource.status => write::patch(op),
        ("GET", true, "log") if resource.is_core("pods") => read::log(op),
        ("PUT", true, "finalize") if resource.is_core("namespaces") => write::update(op),
        ("POST", true, "binding") if resource.is_core("pods") => binding::bind(op),
        ("POST", true, "eviction") if resource.is_core("pods") => delete::evict(op),
        (_, true, subresource) if !(subresource.is_empty() || subresource == "status" && resource.status) => {
            Err(if resource.custom { op.not_found(&target.name) } else { Failure::no_such_resource() })
        }
        ("PUT" | "PATCH", false, _) if resource.custom => Err(Failure::bad_request("name must be provided")),
        (_, _, _) if resource.custom => Err(Failure::verb_not_supported(&resource.group, &resource.plural, target.verb(method, false))),
        _ => Err(Failure::method_not_allowed()),
    }
}

/// Paths that are no resource: health, version, discovery, OpenAPI.
async fn other(server: &Arc<Inner>, parts: &Parts, caller: &Caller) -> Answer<Response<Body>> {
    let path = parts.uri.path().trim_end_matches('/');
    let verb = parts.method.as_str().to_lowercase();
    server.counts.add(&caller.name, &verb, path);
    match path {
        "/healthz" | "/livez" | "/readyz" => return Ok(response::with(StatusCode::OK, "text/plain; charset=utf-8", response::full("ok"))),
        "/version" => return Ok(response::json(StatusCode::OK, &discovery::version(&server.options.version))),
        _ => {}
    }
    access::authorize_path(caller, &verb, path)?;
    match path {
        "/debug/mtv-lab/requests" => Ok(response::json(StatusCode::OK, &json!({ "requests": server.counts.report() }))),
        "" | "/api" | "/apis" => discovery::root(server, parts).await,
        _ if path.starts_with("/openapi/") => openapi::route(server, path),
        _ if path.starts_with("/api/") || path.starts_with("/apis/") => discovery::group(server, path),
        _ => Err(Failure::no_such_path()),
    }
}
