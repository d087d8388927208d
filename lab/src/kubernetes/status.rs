//! What a Kubernetes API server answers when it refuses: `Status` objects with reason, details and HTTP code.

use std::ops::{Deref, DerefMut};

use http::StatusCode;
use serde_json::{Map, Value, json};

/// One reason of a refused object, as it stands in `details.causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldValueInvalid`, …
    pub reason: &'static str,
    /// The message without the field.
    pub message: String,
    /// Path of the field, such as `spec.vms[0].id`.
    pub field: String,
}

impl Cause {
    /// A required field is missing.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self { reason: "FieldValueRequired", message, field: field.into() }
    }

    /// A value that is not acceptable.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self { reason: "FieldValueInvalid", message: format!("Invalid value: {}: {detail}", shown(value)), field: field.into() }
    }

    /// A value of the wrong type.
    pub fn wrong_type(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self { reason: "FieldValueTypeInvalid", ..Self::invalid(field, value, detail) }
    }

    /// A value outside of a closed set.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[String]) -> Self {
        let supported = supported.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ");
        let message = format!("Unsupported value: {}: supported values: {supported}", shown(value));
        Self { reason: "FieldValueNotSupported", message, field: field.into() }
    }

    /// A value that is there already.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self { reason: "FieldValueDuplicate", message: format!("Duplicate value: {}", shown(value)), field: field.into() }
    }

    /// A name that nothing has.
    pub fn not_found(field: impl Into<String>, name: &str) -> Self {
        Self { reason: "FieldValueNotFound", message: format!("Not found: {name:?}"), field: field.into() }
    }

    /// A field that must not be set.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueForbidden", message: format!("Forbidden: {detail}"), field: field.into() }
    }

    fn text(&self) -> String {
        if self.field.is_empty() { self.message.clone() } else { format!("{}: {}", self.field, self.message) }
    }
}

/// A value as Go's `field.Error` shows it: strings quoted, anything else as JSON.
fn shown(value: &Value) -> String {
    value.to_string()
}

/// A refusal. Everything that goes wrong in a handler becomes one. Boxed, because a `Result` is as large as its larger half.
#[derive(Debug, Clone)]
pub struct Failure(Box<Refusal>);

impl Deref for Failure {
    type Target = Refusal;

    fn deref(&self) -> &Refusal {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Refusal {
        &mut self.0
    }
}

/// The parts of a refusal.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// HTTP code.
    pub code: StatusCode,
    /// Machine-readable reason, such as `NotFound`; empty if there is none.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// `details`, if any.
    pub details: Option<Value>,
    /// `metadata.continue` of an expired list that can go on.
    pub continue_token: Option<String>,
    /// Plain text instead of a `Status`, as the HTTP router itself answers.
    pub plain: bool,
}

/// What handlers give back.
pub type Answer<T> = Result<T, Failure>;

/// Group and plural, as messages name a resource: `pods`, `plans.forklift.konveyor.io`.
pub fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

fn details(name: &str, group: &str, kind: &str) -> Value {
    let mut map = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            map.insert(key.to_owned(), value.into());
        }
    }
    Value::Object(map)
}

impl Failure {
    /// A refusal with these parts and no details.
    pub fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Refusal { code, reason, message: message.into(), details: None, continue_token: None, plain: false }))
    }

    fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// The same with a token to go on from here.
    pub fn continued(mut self, token: String) -> Self {
        self.continue_token = Some(token);
        self
    }

    fn detailed(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// 404 for an object.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(group, plural));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).detailed(details(name, group, plural))
    }

    /// 404 of the HTTP router: a path that nothing serves.
    pub fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "404 page not found\n").plain()
    }

    /// 404 for a resource that an otherwise known built-in group does not have.
    pub fn no_such_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource").detailed(json!({}))
    }

    /// 405 for a built-in resource.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).detailed(json!({}))
    }

    /// 405 for a custom resource.
    pub fn verb_not_supported(group: &str, plural: &str, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind {:?}", qualified(group, plural));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).detailed(details("", group, plural))
    }

    /// 409: the name is taken.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(group, plural));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).detailed(details(name, group, plural))
    }

    /// 409: optimistic locking or a precondition.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(group, plural));
        Self::new(StatusCode::CONFLICT, "Conflict", message).detailed(details(name, group, plural))
    }

    /// 409 of optimistic locking.
    pub fn modified(group: &str, plural: &str, name: &str) -> Self {
        Self::conflict(group, plural, name, "the object has been modified; please apply your changes to the latest version and try again")
    }

    /// 409 of server-side apply: others own fields that this one wants.
    pub fn apply_conflict(message: String, causes: &[Cause]) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message).detailed(json!({ "causes": causes_json(causes) }))
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 400: an object without a name for a path with one.
    pub fn unnamed(name: &str) -> Self {
        Self::bad_request(format!("the name of the object ({name} based on URL) was undeterminable: name must be provided"))
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403 for an object, with the reason that admission gives.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let subject = if name.is_empty() { qualified(group, plural) } else { format!("{} {name:?}", qualified(group, plural)) };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", format!("{subject} is forbidden: {why}")).detailed(details(name, group, plural))
    }

    /// 403 for a path that is no resource; `more` is what else there is to say.
    pub fn path_forbidden(user: &str, path: &str, verb: &str, more: &str) -> Self {
        let message = format!("forbidden: User {user:?} cannot {verb} path {path:?}{more}");
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).detailed(json!({}))
    }

    /// 403: the namespace goes away.
    pub fn namespace_terminating(group: &str, plural: &str, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut failure = Self::forbidden(group, plural, name, &why);
        if let Some(details) = &mut failure.details {
            let message = format!("namespace {namespace} is being terminated");
            details["causes"] = json!([{ "reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace" }]);
        }
        failure
    }

    /// 422.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        // A cause that was found twice stands once in the message and twice among the causes, as in the real server.
        let mut errors: Vec<String> = Vec::new();
        for text in causes.iter().map(Cause::text) {
            if !errors.contains(&text) {
                errors.push(text);
            }
        }
        let errors = match errors.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut details = details(name, group, kind);
        details["causes"] = causes_json(causes);
        let message = format!("{} {name:?} is invalid: {errors}", qualified(group, kind));
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).detailed(details)
    }

    /// 422: a JSON patch that does not fit the object.
    pub fn rejected_patch() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).detailed(json!({}))
    }

    /// 415 with the accepted types.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!("the body of the request was in an unknown format - accepted media types include: {}", accepted.join(", "));
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 415 for a patch of a built-in kind.
    pub fn unsupported_patch() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "415: Unsupported Media Type").detailed(json!({}))
    }

    /// 406 of the router, for a type that no answer of a built-in kind has.
    pub fn no_representation(list: bool) -> Self {
        let watch = if list { ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch" } else { "" };
        let message = format!(
            "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf{watch}"
        );
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message).detailed(json!({}))
    }

    /// 422: a patch whose outcome cannot be decoded.
    pub fn undecodable_patch(patched: &Value, why: &str) -> Self {
        let cause = Cause::invalid("patch", &patched.to_string().into(), why);
        Self::invalid("", "", "", &[cause])
    }

    /// 406 with the accepted types.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 410: the wanted resource version is gone.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 504: the wanted resource version has not come yet.
    pub fn too_large_version(wanted: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let causes = json!([{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }]);
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message).detailed(json!({ "causes": causes, "retryAfterSeconds": 1 }))
    }

    /// 500.
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let causes = json!([{ "message": message }]);
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", format!("Internal error occurred: {message}"))
            .detailed(json!({ "causes": causes }))
    }

    /// 503 with plain text: a backend that does not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message).plain()
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message });
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = token.as_str().into();
        }
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status["code"] = self.code.as_u16().into();
        status
    }
}

fn causes_json(causes: &[Cause]) -> Value {
    let cause = |cause: &Cause| {
        let mut value = json!({ "reason": cause.reason, "message": cause.message });
        if !cause.field.is_empty() {
            value["field"] = cause.field.as_str().into();
        }
        value
    };
    Value::Array(causes.iter().map(cause).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_group_kind_and_object() {
        let status = Failure::not_found("forklift.konveyor.io", "plans", "p").status();
        assert_eq!(status["message"], "plans.forklift.konveyor.io \"p\" not found");
        assert_eq!(status["details"], json!({ "name": "p", "group": "forklift.konveyor.io", "kind": "plans" }));
        assert_eq!(Failure::not_found("", "pods", "a").status()["details"], json!({ "name": "a", "kind": "pods" }));
    }

    #[test]
    fn several_causes_stand_in_brackets() {
        let causes = [Cause::required("spec.a", ""), Cause::required("spec.b", "why")];
        let failure = Failure::invalid("g", "Kind", "n", &causes);
        assert_eq!(failure.message, "Kind.g \"n\" is invalid: [spec.a: Required value, spec.b: Required value: why]");
    }
}
