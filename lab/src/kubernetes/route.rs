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
    scale,
    status::{Answer, Failure},
    subresource, token, watch, write,
};

/// What every answer about Endpoints says since Kubernetes 1.33.
const ENDPOINTS_WARNING: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

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
    let caller = access::impersonated(server, server.users.authenticate(&parts.headers)?, &parts.headers)?;
    if let Some(backend) = handed_over(server, path) {
        let target = Target::parse(path);
        match &target {
            Some(target) => {
                let verb = target.verb(&parts.method, query.flag("watch"));
                server.counts.add(&caller.name, verb, &counted(target));
                access::authorize(server, &caller, verb, target)?;
            }
            None => access::authorize_path(server, &caller, &parts.method.as_str().to_lowercase(), path)?,
        }
        return aggregate::proxy(&backend?, parts, body, upgrade, &caller).await;
    }
    let Some(target) = Target::parse(path) else { return other(server, parts, &caller).await };
    let verb = target.verb(&parts.method, query.flag("watch"));
    server.counts.add(&caller.name, verb, &counted(&target));
    access::authorize(server, &caller, verb, &target)?;
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
        watches: parts.method == Method::GET && (old.is_some() || target.name.is_empty() && query.flag("watch")),
    };
    let answer = dispatch(&op, &parts.method);
    if op.resource.is_core("endpoints") {
        let mut answer = answer?;
        response::warn(&mut answer, ENDPOINTS_WARNING);
        return Ok(answer);
    }
    // Of a version that will go, refusals warn too.
    let Some(warning) = &op.resource.deprecated else { return answer };
    let mut answer = answer.unwrap_or_else(|failure| response::failure(&failure));
    response::warn(&mut answer, warning);
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
            ("POST", false) if resource.is_core("bindings") => binding::bind(op),
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
    if named && !target.subresource.is_empty() {
        return subresource(op, method);
    }
    match (method.as_str(), named) {
        ("GET", _) if op.watches => watch::watch(op),
        ("GET", false) => read::list(op),
        ("POST", false) => write::create(op),
        ("DELETE", false) if resource.verbs.contains(&"deletecollection") => delete::delete_collection(op),
        ("GET", true) => read::get(op),
        ("PUT", true) => write::update(op),
        ("PATCH", true) => write::patch(op),
        ("DELETE", true) => delete::delete(op),
        ("PUT" | "PATCH", false) if resource.custom => Err(Failure::bad_request("name must be provided")),
        _ if resource.custom => Err(Failure::verb_not_supported(&resource.group, &resource.plural, target.verb(method, false))),
        _ => Err(Failure::method_not_allowed()),
    }
}

fn subresource(op: &Operation, method: &Method) -> Answer<Response<Body>> {
    let (resource, target) = (&op.resource, op.target);
    let Some(found) = subresource::find(resource, &target.subresource) else {
        return Err(if resource.custom { op.not_found(&target.name) } else { Failure::no_such_resource() });
    };
    if !found.allows(method) {
        return Err(if resource.custom {
            Failure::verb_not_supported(&resource.group, &resource.plural, target.verb(method, false))
        } else {
            Failure::method_not_allowed()
        });
    }
    match (found.name, method.as_str()) {
        ("scale", "GET") => scale::get(op),
        ("scale", "PUT") => scale::update(op),
        ("scale", _) => scale::patch(op),
        ("log", _) => read::log(op),
        ("binding", _) => binding::bind(op),
        ("eviction", _) => delete::evict(op),
        ("token", _) => token::request(op),
        ("attach" | "portforward", _) => Err(exec::unreachable(op)),
        (_, "GET") => read::get(op),
        (_, "PUT") => write::update(op),
        _ => write::patch(op),
    }
}

/// Paths that are no resource: health, version, discovery, OpenAPI.
async fn other(server: &Arc<Inner>, parts: &Parts, caller: &Caller) -> Answer<Response<Body>> {
    let path = parts.uri.path().trim_end_matches('/');
    let verb = parts.method.as_str().to_lowercase();
    server.counts.add(&caller.name, &verb, path);
    if parts.method != Method::GET && (matches!(path, "/version" | "/api") || path.starts_with("/api/") || path.starts_with("/apis/")) {
        return Err(Failure::method_not_allowed());
    }
    let mut health = path.trim_start_matches('/').splitn(2, '/');
    if matches!(health.next(), Some("healthz" | "livez" | "readyz")) && matches!(health.next(), None | Some("ping" | "log" | "etcd")) {
        return Ok(response::with(StatusCode::OK, "text/plain; charset=utf-8", response::full("ok")));
    }
    if path == "/version" {
        return Ok(response::json(StatusCode::OK, &discovery::version(&server.options.version)));
    }
    access::authorize_path(server, caller, &verb, path)?;
    match path {
        "/debug/mtv-lab/requests" => Ok(response::json(StatusCode::OK, &json!({ "requests": server.counts.report() }))),
        "" | "/api" | "/apis" => discovery::root(server, parts).await,
        _ if path.starts_with("/openapi/") => openapi::route(server, path),
        _ if path.starts_with("/api/") || path.starts_with("/apis/") => discovery::group(server, path),
        _ => Err(Failure::no_such_path()),
    }
}
