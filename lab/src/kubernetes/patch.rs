//! What a PATCH says, in each of its four languages.

use serde_json::Value;

use super::{
    edit,
    operation::{self, Operation},
    status::{Answer, Cause, Failure},
    strategic, syntax,
    types::Message,
};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";
/// How many operations a JSON patch may have.
const MOST_OPERATIONS: usize = 10_000;

/// A patch.
#[derive(Debug)]
pub enum Patch {
    /// RFC 6902.
    Json(Vec<Value>),
    /// RFC 7396.
    Merge(Value),
    /// Kubernetes' own, for built-in kinds.
    Strategic(Value),
    /// Server-side apply.
    Apply(Value),
}

/// Looks at the content type and at the parameters that only some patches may have. Nothing is said of the body yet: first
/// the object must be there.
///
/// # Errors
/// 415, or 422 for a parameter.
pub fn check(op: &Operation) -> Answer<()> {
    let all = [JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH];
    let accepted: Vec<&str> = all.into_iter().filter(|media| !op.resource.custom || *media != STRATEGIC_MERGE_PATCH).collect();
    if !accepted.contains(&op.media()) {
        // A path of a built-in kind is refused by the router before anybody looks at the types.
        return Err(if op.resource.custom { Failure::unsupported_media_type(&accepted) } else { Failure::unsupported_patch() });
    }
    if op.media() != APPLY_PATCH && op.query.has("force") {
        let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
        return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
    }
    Ok(())
}

/// Whether the request is a server-side apply.
pub fn applies(op: &Operation) -> bool {
    op.media() == APPLY_PATCH
}

/// What a map in Go says of JSON that is none.
fn no_map(value: &Value, of: &str) -> String {
    let what = match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Object(_) => "object",
        _ => "number",
    };
    format!("json: cannot unmarshal {what} into Go value of type {of}")
}

impl Patch {
    /// Reads the body as its content type says.
    pub fn parse(op: &Operation) -> Answer<Self> {
        const MAP: &str = "map[string]interface {}";
        check(op)?;
        let media = op.media();
        let prefix = if media == STRATEGIC_MERGE_PATCH { "" } else { "error decoding patch: " };
        let refuse = |why: String| Failure::bad_request(format!("{prefix}{why}"));
        if media == APPLY_PATCH {
            let value = operation::parse(op.body, true).map_err(|why| Failure::bad_request(format!("error decoding YAML: {why}")))?;
            return match value {
                Value::Object(_) => Ok(Self::Apply(value)),
                Value::Null => Ok(Self::Apply(Value::Object(serde_json::Map::new()))),
                other => Err(Failure::bad_request(format!("error decoding YAML: {}", no_map(&other, MAP)))),
            };
        }
        syntax::check(op.body).map_err(refuse)?;
        let value: Value = serde_json::from_slice(op.body).map_err(|error| refuse(error.to_string()))?;
        match (media, value) {
            (JSON_PATCH, Value::Array(operations)) => {
                if operations.len() > MOST_OPERATIONS {
                    let message = format!("The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}", operations.len());
                    return Err(Failure::new(http::StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message));
                }
                if let Some(odd) = operations.iter().find(|operation| !operation.is_object() && !operation.is_null()) {
                    return Err(refuse(no_map(odd, "handlers.jsonPatchOp")));
                }
                Ok(Self::Json(operations))
            }
            (JSON_PATCH, Value::Null) => Ok(Self::Json(Vec::new())),
            (JSON_PATCH, other) => Err(refuse(no_map(&other, "[]handlers.jsonPatchOp"))),
            (MERGE_PATCH, Value::Null) => Err(Failure::bad_request("Invalid JSON Patch")),
            (_, Value::Null) => Ok(Self::Strategic(Value::Object(serde_json::Map::new()))),
            (MERGE_PATCH, value @ Value::Object(_)) => Ok(Self::Merge(value)),
            (_, value @ Value::Object(_)) => Ok(Self::Strategic(value)),
            (_, other) => Err(refuse(no_map(&other, MAP))),
        }
    }

    /// The patched object of the request's resource.
    pub fn apply(&self, op: &Operation, object: &Value) -> Answer<Value> {
        self.apply_to(op, object, op.resource.message)
    }

    /// The patched object of another type.
    pub fn apply_to(&self, op: &Operation, object: &Value, message: Option<&'static Message>) -> Answer<Value> {
        let mut patched = object.clone();
        match self {
            Self::Json(operations) => edit::apply(&mut patched, operations).map_err(|_| Failure::rejected_patch())?,
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Strategic(patch) => {
                let message = message.ok_or_else(|| Failure::internal("a kind without a type has no strategic merge patch"))?;
                strategic::merge(&mut patched, patch, message)
                    .map_err(|why| Failure::new(http::StatusCode::INTERNAL_SERVER_ERROR, "", why))?;
            }
            Self::Apply(_) => return Err(Failure::internal("an apply patch is no edit")),
        }
        let name = patched["metadata"]["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err(Failure::unnamed(&op.target.name));
        }
        Ok(patched)
    }
}
