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
    status::{Answer, Cause, Failure},
    store::Key,
    syntax,
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

/// Whether these values of `dryRun` ask for a dry run.
pub fn dry(asked: &[&str], options: &str) -> Answer<bool> {
    if asked.iter().any(|value| *value != "All") {
        let cause = Cause::not_supported("dryRun", &asked.into(), &["All".to_owned()]);
        return Err(Failure::invalid("meta.k8s.io", options, "", &[cause]));
    }
    Ok(!asked.is_empty())
}

/// How much of a body a refusal shows, bytes.
const SUMMARY: usize = 30;

/// A body as a refusal shows it: text if it looks like JSON, hexadecimal otherwise.
pub fn summary(body: &[u8]) -> String {
    let part = &body[..body.len().min(SUMMARY)];
    let shown = match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(part).into_owned(),
        Some(_) => part.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
    };
    if body.len() > SUMMARY { shown + " ..." } else { shown }
}

/// Looks for kind and version in a body, as the real server does before it reads the rest.
///
/// # Errors
/// The body is no JSON, or no object.
pub fn recognized(body: &[u8]) -> Result<Value, String> {
    const EXPECTED: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let refuse = |why: &str| format!("couldn't get version/kind; json parse error: {why}");
    syntax::check(body).map_err(|why| refuse(&why))?;
    let value: Value = serde_json::from_slice(body).map_err(|error| refuse(&error.to_string()))?;
    let what = match &value {
        Value::Object(_) => {
            for (field, name) in [("apiVersion", "apiVersion"), ("kind", "kind")] {
                let what = match &value[field] {
                    Value::Null | Value::String(_) => continue,
                    other => word(other),
                };
                return Err(refuse(&format!("json: cannot unmarshal {what} into Go struct field .{name} of type string")));
            }
            return Ok(value);
        }
        // Nothing is an object without fields.
        Value::Null => return Ok(Value::Object(serde_json::Map::new())),
        other => word(other),
    };
    Err(refuse(&format!("json: cannot unmarshal {what} into Go value of type {EXPECTED}")))
}

/// Go's word for the type of a JSON value.
pub fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
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
    /// Whether it is a watch. Of one object by its own path nobody can watch, but for the old paths.
    pub watches: bool,
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
    pub fn check(&self, name: &str, causes: &[Cause]) -> Answer<()> {
        if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&self.resource.group, &self.resource.kind, name, causes)) }
    }

    /// Whether nothing must be written.
    pub fn dry_run(&self) -> Answer<bool> {
        let asked: Vec<&str> = self.query.all("dryRun").collect();
        dry(&asked, self.options_kind())
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
                let cause = Cause::not_supported("fieldValidation", &other.into(), &supported);
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
        let known = BUILT_IN_TYPES.iter().find(|known| known.eq_ignore_ascii_case(media));
        if media.is_empty() { "application/json" } else { known.copied().unwrap_or(media) }
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
        let read = if self.media() == "application/yaml" {
            parse(self.body, true).and_then(|value| match value {
                Value::Object(_) => Ok(value),
                Value::Null => Ok(Value::Object(serde_json::Map::new())),
                other => recognized(other.to_string().as_bytes()),
            })
        } else {
            recognized(self.body)
        };
        read.map_err(|why| {
            let start = summary(self.body);
            Failure::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({start})"))
        })
    }

    /// Looks at the parameters that every write has.
    pub fn check_write(&self) -> Answer<()> {
        const LONGEST: usize = 128;
        let manager = self.query.get("fieldManager");
        let mut causes = Vec::new();
        if manager.len() > LONGEST {
            causes.push(Cause {
                reason: "FieldValueTooLong",
                message: format!("Too long: may not be more than {LONGEST} bytes"),
                field: "fieldManager".to_owned(),
            });
        }
        if let Some((at, odd)) = manager.char_indices().find(|(_, letter)| letter.is_control()) {
            let shown = manager.replace(odd, &format!("\\x{:02x}", u32::from(odd)));
            let message = format!("Invalid value: \"{shown}\": invalid character U+{:04X} (at position {at})", u32::from(odd));
            causes.push(Cause { reason: "FieldValueInvalid", message, field: "fieldManager".to_owned() });
        }
        if !causes.is_empty() {
            return Err(Failure::invalid("meta.k8s.io", self.options_kind(), "", &causes));
        }
        self.dry_run()?;
        self.validation().map(|_| ())
    }
}

/// Reads JSON, or YAML; of keys that stand twice in YAML the last one counts.
pub fn parse(body: &[u8], yaml: bool) -> Result<Value, String> {
    if yaml {
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
        return serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string());
    }
    syntax::check(body)?;
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
