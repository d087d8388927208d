//! One request to a resource, with everything that its handler needs.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use super::{
    Inner,
    auth::Caller,
    protobuf,
    request::{Format, Query, Target},
    resource::Resource,
    status::{Answer, Failure},
    store::Key,
};

/// Binary bodies of built-in kinds.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Types of bodies of built-in kinds.
const BUILT_IN_TYPES: &[&str] = &["application/json", "application/yaml", PROTOBUF];
/// Types of bodies of custom resources.
const CUSTOM_TYPES: &[&str] = &["application/json", "application/yaml"];

/// What to do with unknown and repeated fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// Drop silently.
    Ignore,
    /// Drop and warn.
    Warn,
    /// Refuse.
    Strict,
}

/// A request to a resource.
pub struct Operation<'a> {
    /// The server.
    pub server: &'a Arc<Inner>,
    /// The resource.
    pub resource: Arc<Resource>,
    /// Path.
    pub target: &'a Target,
    /// Parameters.
    pub query: &'a Query,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// Who asks.
    pub caller: &'a Caller,
    /// Body.
    pub body: &'a Bytes,
    /// Wanted format.
    pub format: Format,
    /// Whether it is a DELETE, whose options have a name of their own in refusals.
    pub deletes: bool,
}

impl Operation<'_> {
    /// Where the object of this name stands.
    pub fn key(&self, name: &str) -> Key {
        Key::new(&self.resource.storage, &self.target.namespace, name)
    }

    /// 404 for the object of this request.
    pub fn not_found(&self, name: &str) -> Failure {
        Failure::not_found(&self.resource.group, &self.resource.plural, name)
    }

    /// 422 for the object of this request, if there are causes.
    pub fn check(&self, name: &str, causes: &[super::status::Cause]) -> Answer<()> {
        if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&self.resource.group, &self.resource.kind, name, causes)) }
    }

    /// Whether nothing must be written.
    pub fn dry_run(&self) -> Answer<bool> {
        let mut asked = self.query.all("dryRun");
        match (asked.next(), asked.next()) {
            (None | Some(""), _) => Ok(false),
            (Some("All"), None) => Ok(true),
            (Some(other), _) => {
                let cause = super::status::Cause::not_supported("dryRun", &Value::from(vec![other]), &["All".to_owned()]);
                Err(Failure::invalid("meta.k8s.io", self.options_kind(), "", &[cause]))
            }
        }
    }

    fn options_kind(&self) -> &'static str {
        match self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
            Some(media) if media.contains("patch") => "PatchOptions",
            _ if self.deletes => "DeleteOptions",
            _ if self.target.name.is_empty() => "CreateOptions",
            _ => "UpdateOptions",
        }
    }

    /// What to do with unknown fields.
    pub fn validation(&self) -> Answer<Validation> {
        match self.query.get("fieldValidation") {
            "Ignore" => Ok(Validation::Ignore),
            // The default since 1.25, for every client that does not say.
            "" | "Warn" => Ok(Validation::Warn),
            "Strict" => Ok(Validation::Strict),
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"].map(str::to_owned);
                let cause = super::status::Cause::not_supported("fieldValidation", &other.into(), &supported);
                Err(Failure::invalid("meta.k8s.io", self.options_kind(), "", &[cause]))
            }
        }
    }

    /// Who owns the fields that this request writes.
    pub fn manager(&self) -> String {
        let named = self.query.get("fieldManager");
        if !named.is_empty() {
            return named.to_owned();
        }
        let agent = self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let prefix = agent.split('/').next().unwrap_or_default();
        if prefix.is_empty() { "unknown".to_owned() } else { prefix.chars().take(128).collect() }
    }

    /// Media type of the body without parameters; JSON if the request does not say.
    pub fn media(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = value.split(';').next().unwrap_or_default().trim();
        if media.is_empty() { "application/json" } else { media }
    }

    /// The object in the body.
    pub fn object(&self) -> Answer<Value> {
        match self.media() {
            "application/json" | "application/yaml" => {}
            PROTOBUF if !self.resource.custom => {
                return protobuf::decode(self.body)
                    .map_err(|error| Failure::bad_request(format!("the body could not be decoded: {error}")));
            }
            _ => return Err(Failure::unsupported_media_type(if self.resource.custom { CUSTOM_TYPES } else { BUILT_IN_TYPES })),
        }
        let kind = &self.resource.kind;
        let value = parse(self.body, self.media() == "application/yaml").map_err(|error| {
            let start: String = String::from_utf8_lossy(self.body).chars().take(30).collect();
            let start = match (start.len(), self.body.len()) {
                (0, _) => "<empty>".to_owned(),
                (shown, all) if shown < all => format!("{start} ..."),
                _ => start,
            };
            Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {error} ({start})"
            ))
        })?;
        if !value.is_object() {
            return Err(Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): json: cannot unmarshal {value} into Go value"
            )));
        }
        Ok(value)
    }
}

/// Reads JSON, or YAML.
pub fn parse(body: &[u8], yaml: bool) -> Result<Value, String> {
    if yaml {
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        return serde_saphyr::from_str(text).map_err(|error| error.to_string());
    }
    serde_json::from_slice(body).map_err(|error| if error.is_eof() { "unexpected end of JSON input".to_owned() } else { error.to_string() })
}
