//! Requests from outside: those that faults can happen to, and the endpoint that says which.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use serde_json::{Value, json};

use super::{
    Asked, Inner, handled, read_whole,
    request::{Query, Target},
    response::{self, Body},
    status::Failure,
};
use crate::faults::{Ask, Cut, Refusal, Server, admin};

/// Answers one request, or what a fault makes of it.
pub async fn answer<B>(inner: &Arc<Inner>, request: Request<B>) -> Result<Response<Body>, Cut>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: std::fmt::Display,
{
    let Asked { parts, body, upgrade } = match read_whole(request).await {
        Ok(asked) => asked,
        Err(failure) => return Ok(response::failure(&failure)),
    };
    let faults = &inner.options.faults;
    if admin::is_here(parts.uri.path()) {
        return Ok(faults.administer(&parts.method, parts.uri.path(), &parts.headers, &body));
    }
    let told = Told::of(&parts, &body);
    let ask = told.ask(inner.options.server, &parts);
    let asked = Asked { parts: parts.clone(), body: body.clone(), upgrade };
    faults.around(&ask, |refusal| refuse(&told, refusal), handled(inner, asked)).await
}

/// What path and body say.
struct Told {
    target: Option<Target>,
    verb: String,
    resource: String,
    name: String,
}

impl Told {
    fn of(parts: &Parts, body: &Bytes) -> Self {
        let target = Target::parse(parts.uri.path());
        let watch = Query::parse(parts.uri.query().unwrap_or_default()).flag("watch");
        let verb = target.as_ref().map_or_else(|| parts.method.as_str().to_lowercase(), |t| t.verb(&parts.method, watch).to_owned());
        let resource = target.as_ref().map(|t| match t.subresource.as_str() {
            "" => t.plural.clone(),
            subresource => format!("{}/{subresource}", t.plural),
        });
        let mut name = target.as_ref().map(|t| t.name.clone()).unwrap_or_default();
        if verb == "create" && name.is_empty() {
            let object: Value = serde_json::from_slice(body).unwrap_or_default();
            object["metadata"]["name"].as_str().unwrap_or_default().clone_into(&mut name);
        }
        Self { target, verb, resource: resource.unwrap_or_default(), name }
    }

    fn ask<'a>(&'a self, server: Server, parts: &'a Parts) -> Ask<'a> {
        Ask {
            server,
            verb: &self.verb,
            resource: &self.resource,
            namespace: self.target.as_ref().map_or("", |t| t.namespace.as_str()),
            object: &self.name,
            path: parts.uri.path(),
            client: crate::faults::agent(&parts.headers),
            cutter: parts.extensions.get().cloned(),
        }
    }
}

/// A refusal as the real server words it.
fn refuse(told: &Told, refusal: &Refusal) -> Response<Body> {
    let reason = match refusal.code.as_u16() {
        409 if told.verb == "create" => "AlreadyExists",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    let mut failure = Failure::new(refusal.code, reason, refusal.message.clone());
    let mut details = json!({});
    if let Some(target) = &told.target {
        details = json!({ "name": told.name, "group": target.group, "kind": target.plural });
    }
    if let Some(seconds) = refusal.retry_after {
        details["retryAfterSeconds"] = seconds.into();
    }
    failure.details = Some(details);
    response::failure(&failure)
}
