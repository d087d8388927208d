//! A log of all requests, in the form of kube-apiserver's audit log: one `Event` of `audit.k8s.io/v1` a line.
//!
//! Bodies of writes stand in it, those of Secrets with other values in place of theirs, those of logins not at all.

use std::{
    fmt,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{StatusCode, header, request::Parts};
use serde_json::{Value, json};

use super::{
    Inner, access,
    auth::Caller,
    operation, protobuf,
    request::{Query, Target},
    write,
};

/// Annotation of an event: type of the body, which tells the patches apart.
pub const CONTENT_TYPE: &str = "lab.mtv-test.io/content-type";
/// What stands in place of a secret value.
const REDACTED: &str = "redacted";
/// The same where the value must be Base64.
const REDACTED_BASE64: &str = "cmVkYWN0ZWQ=";

/// Where the log goes; nowhere by default.
#[derive(Clone, Default)]
pub struct Audit {
    to: Option<Arc<Mutex<Box<dyn Write + Send>>>>,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("on", &self.to.is_some()).finish()
    }
}

impl Audit {
    /// A log in a file, which is made, or emptied if it is there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn to_file(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::create(path).with_context(|| format!("failed to write the audit log {}", path.display()))?;
        Ok(Self { to: Some(Arc::new(Mutex::new(Box::new(file)))) })
    }

    /// Begins to write down a request.
    pub(super) fn begin(&self, server: &Inner, parts: &Parts, body: &Bytes) -> Option<Entry> {
        let to = self.to.clone()?;
        let caller = server.users.authenticate(&parts.headers).unwrap_or_else(|_| Caller::anonymous());
        let caller = access::impersonated(server, caller.clone(), &parts.headers).unwrap_or(caller);
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": write::uid().unwrap_or_default(),
            "stage": "ResponseComplete", "requestURI": parts.uri.path_and_query().map(ToString::to_string),
            "verb": parts.method.as_str().to_lowercase(), "user": { "username": caller.name, "groups": caller.groups }, "userAgent": agent,
        });
        if let Some(target) = Target::parse(parts.uri.path()) {
            let watch = Query::parse(parts.uri.query().unwrap_or_default()).flag("watch");
            event["verb"] = target.verb(&parts.method, watch).into();
            let mut reference = json!({ "resource": target.plural });
            for (field, value) in [
                ("namespace", &target.namespace),
                ("name", &target.name),
                ("apiGroup", &target.group),
                ("apiVersion", &target.version),
                ("subresource", &target.subresource),
            ] {
                if !value.is_empty() {
                    reference[field] = value.as_str().into();
                }
            }
            event["objectRef"] = reference;
            let media = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
            if !body.is_empty() && !told_to_servers_only(&target) {
                event["level"] = "Request".into();
                event["requestObject"] = read(body, media, &target);
                event["annotations"] = json!({ CONTENT_TYPE: media });
            }
        }
        event["requestReceivedTimestamp"] = moment().into();
        Some(Entry { to, event })
    }
}

/// A request that is being answered.
pub struct Entry {
    to: Arc<Mutex<Box<dyn Write + Send>>>,
    event: Value,
}

impl Entry {
    /// Writes it down with what came of it.
    pub fn end(mut self, code: StatusCode) {
        self.event["responseStatus"] = json!({ "metadata": {}, "code": code.as_u16() });
        self.event["stageTimestamp"] = moment().into();
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(to, "{}", self.event) {
            tracing::warn!("failed to write the audit log: {error}");
        }
    }
}

fn moment() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Whether a body holds a login.
fn told_to_servers_only(target: &Target) -> bool {
    target.group == "authentication.k8s.io" || target.subresource == "token"
}

/// The body as JSON, without secret values; text that is none stays text.
fn read(body: &[u8], media: &str, target: &Target) -> Value {
    let object = if media.starts_with(operation::PROTOBUF) {
        protobuf::decode(body).ok()
    } else {
        operation::parse(body, media.contains("yaml")).ok()
    };
    let secret = target.group.is_empty() && target.plural == "secrets";
    match object {
        Some(object) if secret => hidden(object),
        Some(object) => object,
        None if secret => REDACTED.into(),
        None => String::from_utf8_lossy(body).into_owned().into(),
    }
}

/// A Secret, or a patch of one, without its values.
fn hidden(mut object: Value) -> Value {
    for (field, instead) in [("data", REDACTED_BASE64), ("stringData", REDACTED)] {
        for value in object.get_mut(field).and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut()) {
            if !value.is_null() {
                *value = instead.into();
            }
        }
    }
    // Of the operations of a JSON patch any may hold a value.
    for operation in object.as_array_mut().into_iter().flatten() {
        if let Some(value) = operation.get_mut("value") {
            *value = REDACTED.into();
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_not_written_down() {
        let target = Target::parse("/api/v1/namespaces/n/secrets/s").unwrap();
        for (body, media) in [
            (json!({ "metadata": { "name": "s" }, "data": { "a": "aHVudGVyMg==" }, "stringData": { "b": "hunter2" } }), "application/json"),
            (json!([{ "op": "add", "path": "/data/a", "value": "hunter2" }]), "application/json-patch+json"),
        ] {
            let written = read(body.to_string().as_bytes(), media, &target).to_string();
            assert!(!written.contains("hunter2") && !written.contains("aHVudGVyMg"), "{written}");
        }
        assert_eq!(read(b"password: hunter2: x", "application/yaml", &target), REDACTED);
        let other = Target::parse("/api/v1/namespaces/n/configmaps").unwrap();
        assert_eq!(read(b"{\"data\":{\"a\":\"b\"}}", "application/json", &other), json!({ "data": { "a": "b" } }));
    }

    #[test]
    fn logins_are_not_written_down() {
        for (path, hidden) in [
            ("/apis/authentication.k8s.io/v1/tokenreviews", true),
            ("/api/v1/namespaces/n/serviceaccounts/a/token", true),
            ("/api/v1/namespaces/n/pods", false),
        ] {
            assert_eq!(told_to_servers_only(&Target::parse(path).unwrap()), hidden, "{path}");
        }
    }
}
