//! What a PATCH says, in each of its four languages.

use serde_json::Value;

use super::{
    operation::{self, Operation},
    status::{Answer, Cause, Failure},
    strategic,
};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// A patch.
#[derive(Debug)]
pub enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7396.
    Merge(Value),
    /// Kubernetes' own, for built-in kinds.
    Strategic(Value),
    /// Server-side apply.
    Apply(Value),
}

impl Patch {
    /// Reads the body as its content type says.
    pub fn parse(op: &Operation) -> Answer<Self> {
        let custom = op.resource.custom;
        let refuse = || {
            let all = [JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH];
            let accepted: Vec<&str> = all.into_iter().filter(|media| !custom || *media != STRATEGIC_MERGE_PATCH).collect();
            // A path of a built-in kind is refused by the router before anybody looks at the types.
            if custom { Failure::unsupported_media_type(&accepted) } else { Failure::unsupported_patch() }
        };
        let media = op.media();
        if custom && media == STRATEGIC_MERGE_PATCH {
            return Err(refuse());
        }
        if media != APPLY_PATCH && op.query.has("force") {
            let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
            return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
        }
        let object = |yaml: bool| {
            let value = operation::parse(op.body, yaml).map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
            if value.is_object() {
                Ok(value)
            } else {
                let text = if value.is_array() {
                    "array"
                } else if value.is_string() {
                    "string"
                } else {
                    "number"
                };
                Err(Failure::bad_request(format!(
                    "error decoding patch: json: cannot unmarshal {text} into Go value of type map[string]interface {{}}"
                )))
            }
        };
        match media {
            JSON_PATCH => {
                let patch: Value =
                    operation::parse(op.body, false).map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
                if !patch.is_array() {
                    let message = "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
                    return Err(Failure::bad_request(message));
                }
                serde_json::from_value(patch).map(Self::Json).map_err(|_| Failure::rejected_patch())
            }
            MERGE_PATCH => object(false).map(Self::Merge),
            STRATEGIC_MERGE_PATCH => object(false).map(Self::Strategic),
            APPLY_PATCH => object(true).map(Self::Apply),
            _ => Err(refuse()),
        }
    }

    /// The patched object.
    pub fn apply(&self, op: &Operation, object: &Value) -> Answer<Value> {
        let mut patched = object.clone();
        match self {
            Self::Json(operations) => {
                // The real server keeps its reason to itself as well.
                json_patch::patch(&mut patched, operations).map_err(|_| Failure::rejected_patch())?;
            }
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Strategic(patch) => strategic::merge(&mut patched, patch, &op.resource.kind)
                .map_err(|why| Failure::new(http::StatusCode::INTERNAL_SERVER_ERROR, "", why))?,
            Self::Apply(_) => return Err(Failure::internal("an apply patch is no edit")),
        }
        if !patched.is_object() {
            return Err(Failure::bad_request("the patch leaves no object"));
        }
        Ok(patched)
    }
}
