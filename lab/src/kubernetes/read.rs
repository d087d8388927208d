//! get and list.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Response, StatusCode};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{
    operation::Operation,
    request::Shape,
    response::{self, Body},
    selector::{Fields, Labels, Selector},
    status::{Answer, Cause, Failure},
    store::Key,
    syntax, table,
};

const EXPIRED_LIST: &str = "The resourceVersion for the provided list is too old.";
const EXPIRED_TOKEN: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// Reads a resource version of a request; 0 and absent are none.
pub fn version(text: &str) -> Answer<Option<u64>> {
    match text {
        "" | "0" => Ok(None),
        text => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Failure::bad_request(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))),
        },
    }
}

/// Renders one object in the wanted shape.
fn rendered<'a>(op: &Operation, object: &'a Value) -> Cow<'a, Value> {
    let object = op.resource.present(object);
    match op.format.shape {
        Shape::Whole => object,
        Shape::Metadata => Cow::Owned(table::metadata_only(&object)),
        Shape::Table => {
            let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
            Cow::Owned(table::table(&op.resource, &[object], &metadata, op.query.get("includeObject"), true))
        }
    }
}

/// An answer with one object.
pub fn answer(op: &Operation, code: StatusCode, object: &Value, warnings: &[String]) -> Answer<Response<Body>> {
    response::object(code, &*rendered(op, object), op.format, warnings)
}

/// `GET …/NAME`.
pub fn get(op: &Operation) -> Answer<Response<Body>> {
    let name = &op.target.name;
    let (object, revision) = op.server.store.read(|state| (state.get(&op.key(name)), state.revision()));
    let wanted = version(op.query.get("resourceVersion"))
        .map_err(|failure| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", failure.message.clone()))?;
    if let Some(wanted) = wanted
        && wanted > revision
    {
        return Err(Failure::too_large_version(wanted, revision));
    }
    answer(op, StatusCode::OK, &*object.ok_or_else(|| op.not_found(name))?, &[])
}

/// `GET …/pods/NAME/log`: what the pod has printed.
pub fn log(op: &Operation) -> Answer<Response<Body>> {
    let name = &op.target.name;
    let pod = op.server.store.read(|state| state.get(&op.key(name))).ok_or_else(|| op.not_found(name))?;
    let number = |key: &str| op.query.get(key).parse::<i64>().ok();
    let mut causes = Vec::new();
    for (key, least, words) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ] {
        if let Some(given) = number(key).filter(|given| *given < least) {
            causes.push(Cause::invalid(key, &given.into(), words));
        }
    }
    if op.query.has("sinceSeconds") && op.query.has("sinceTime") {
        causes.push(Cause::forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if !causes.is_empty() {
        return Err(Failure::invalid("", "PodLogOptions", name, &causes));
    }
    let container = op.query.get("container");
    let names = |list: &str| pod["spec"][list].as_array().cloned().unwrap_or_default();
    let all: Vec<Value> = ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(names).collect();
    if !container.is_empty() && all.iter().all(|known| known["name"] != container) {
        return Err(Failure::bad_request(format!("container {container} is not valid for pod {name}")));
    }
    let containers = names("containers");
    if container.is_empty() && containers.len() > 1 && pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].is_null() {
        let shown = |list: &[Value]| list.iter().filter_map(|c| c["name"].as_str()).collect::<Vec<_>>().join(" ");
        let init = names("initContainers");
        let more = if init.is_empty() { String::new() } else { format!(" or one of the init containers: [{}]", shown(&init)) };
        let message = format!("a container name must be specified for pod {name}, choose one of: [{}]{more}", shown(&containers));
        return Err(Failure::bad_request(message));
    }
    let text = op.server.options.logs.of(pod.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default());
    let lines: Vec<&str> = text.lines().collect();
    let wanted = op.query.get("tailLines").parse::<usize>().unwrap_or(usize::MAX).min(lines.len());
    let text: String = lines[lines.len() - wanted..].iter().flat_map(|line| [*line, "\n"]).collect();
    Ok(response::with(StatusCode::OK, "text/plain", response::full(text)))
}

/// The selectors of a list, watch or deletecollection.
pub fn selector(op: &Operation) -> Answer<Selector> {
    Ok(Selector {
        labels: Labels::parse(op.query.get("labelSelector"))?,
        fields: Fields::parse(op.query.get("fieldSelector"), &op.resource)?,
    })
}

/// Where a list goes on.
struct Continue {
    /// The revision that all pages show; none: whatever is newest.
    revision: Option<u64>,
    /// Path of the last object of the page before.
    after: String,
}

impl Continue {
    fn encode(&self, prefix: &str) -> String {
        // -1 asks for an inconsistent continuation, as the real token does.
        let revision = self.revision.map_or(json!(-1), Value::from);
        let start = format!("/{}\0", self.after.strip_prefix(prefix).unwrap_or(&self.after));
        BASE64_URL_SAFE_NO_PAD.encode(json!({ "v": "meta.k8s.io/v1", "rv": revision, "start": start }).to_string())
    }

    fn decode(token: &str, prefix: &str) -> Answer<Self> {
        let refuse = |why: String| Failure::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| {
            let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let at = token.bytes().position(|byte| !good(&byte)).unwrap_or(token.len());
            refuse(format!("illegal base64 data at input byte {at}"))
        })?;
        syntax::check(&bytes).map_err(refuse)?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        let version = value["v"].as_str().unwrap_or_default();
        if version != "meta.k8s.io/v1" {
            return Err(refuse(format!("server does not recognize this encoded version {version}")));
        }
        let revision = value["rv"].as_i64().unwrap_or(0);
        if revision == 0 {
            return Err(refuse(format!("incorrect encoded start resourceVersion (version {version})")));
        }
        let start = value["start"].as_str().unwrap_or_default();
        if start.is_empty() {
            return Err(refuse(format!("encoded start key empty (version {version})")));
        }
        let after = format!("{prefix}{}", start.trim_start_matches('/').trim_end_matches('\0'));
        Ok(Self { revision: u64::try_from(revision).ok(), after })
    }
}

type Items = Vec<(Key, Arc<Value>)>;

/// Rules for combining the version parameters of a list.
fn check_parameters(op: &Operation) -> Answer<()> {
    let (version, matching, token) = (op.query.get("resourceVersion"), op.query.get("resourceVersionMatch"), op.query.get("continue"));
    let mut causes = Vec::new();
    if !matching.is_empty() {
        if version.is_empty() {
            causes.push(Cause::forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"));
        }
        if !token.is_empty() {
            causes.push(Cause::forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            let supported = ["Exact", "NotOlderThan", ""].map(str::to_owned);
            causes.push(Cause::not_supported("resourceVersionMatch", &matching.into(), &supported));
        }
        if matching == "Exact" && version == "0" {
            causes.push(Cause::forbidden("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
        }
    }
    if op.query.has("sendInitialEvents") && !op.query.flag("watch") {
        causes.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid("meta.k8s.io", "ListOptions", "", &causes)) }
}

/// What the paths of a request's objects have in common.
fn prefix(op: &Operation) -> String {
    if op.target.namespace.is_empty() { String::new() } else { format!("{}/", op.target.namespace) }
}

/// Parameters that every list and watch has.
pub fn check_times(op: &Operation) -> Answer<()> {
    op.query.number("timeoutSeconds")?;
    let timeout = op.query.get("timeout");
    if !timeout.is_empty() && !duration(timeout) {
        let message = format!("invalid timeout specified in the request URL - time: invalid duration {timeout:?}");
        return Err(Failure::bad_request(message));
    }
    Ok(())
}

/// Whether a text is a duration in Go's form, such as `1m30s`.
pub fn duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut some = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |end| digits + end);
        if digits == 0 || !matches!(&rest[digits..unit], "ns" | "us" | "µs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = &rest[unit..];
        some = true;
    }
    some
}

/// The snapshot that a list shows, with its revision.
fn snapshot(op: &Operation, token: Option<&Continue>) -> Answer<(Items, u64)> {
    let (resource, namespace) = (&op.resource.storage, &op.target.namespace);
    let wanted = version(op.query.get("resourceVersion")).map_err(|mut failure| {
        failure.message = format!("invalid resource version: {}", failure.message);
        failure
    })?;
    let exact = op.query.get("resourceVersionMatch") == "Exact"
        // Without a match rule a limited list from a version is exact, as it was before the rule existed.
        || (op.query.get("resourceVersionMatch").is_empty() && wanted.is_some() && op.query.number("limit")?.unwrap_or(0) > 0);
    op.server.store.read(|state| {
        let newest = state.revision();
        match token {
            Some(Continue { revision: Some(revision), .. }) if *revision > newest => Err(Failure::too_large_version(*revision, newest)),
            Some(Continue { revision: Some(revision), after }) => match state.list_at(resource, namespace, *revision) {
                Ok(items) => Ok((items, *revision)),
                Err(_) => {
                    let token = Continue { revision: None, after: after.clone() }.encode(&prefix(op));
                    Err(Failure::expired(EXPIRED_TOKEN).continued(token))
                }
            },
            Some(_) => Ok((state.list(resource, namespace), newest)),
            None => match wanted {
                Some(wanted) if wanted > newest => Err(Failure::too_large_version(wanted, newest)),
                Some(wanted) if exact => {
                    state.list_at(resource, namespace, wanted).map(|items| (items, wanted)).map_err(|_| Failure::expired(EXPIRED_LIST))
                }
                _ => Ok((state.list(resource, namespace), newest)),
            },
        }
    })
}

/// What a list shows.
pub struct Listed {
    /// The objects, with where they stand.
    pub items: Items,
    /// `metadata` of the list.
    metadata: Value,
}

/// `GET` of a collection.
pub fn list(op: &Operation) -> Answer<Response<Body>> {
    let listed = listed(op)?;
    answer_list(op, listed, &[])
}

/// The objects that a request to a collection means.
pub fn listed(op: &Operation) -> Answer<Listed> {
    let selector = selector(op)?;
    check_times(op)?;
    check_parameters(op)?;
    let token = match op.query.get("continue") {
        "" => None,
        token => {
            if version(op.query.get("resourceVersion"))?.is_some() {
                return Err(Failure::bad_request("specifying resource version is not allowed when using continue"));
            }
            Some(Continue::decode(token, &prefix(op))?)
        }
    };
    let (mut items, revision) = snapshot(op, token.as_ref())?;
    if let Some(token) = &token {
        items.retain(|(key, _)| key.path > token.after);
    }
    let last = items.last().map(|(key, _)| key.path.clone());
    items.retain(|(_, object)| selector.matches(object));
    let limit = op.query.number("limit")?.unwrap_or(0);
    // A list from 0 comes from the cache, which knows no pages.
    let limit =
        if limit == 0 || op.query.get("resourceVersion") == "0" { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    // With a selector the server stops at the limit without looking whether what follows matches.
    let full = !selector.is_empty() && items.len() == limit && items.last().map(|(key, _)| &key.path) != last.as_ref();
    if items.len() > limit || full {
        let remaining = items.len() - limit;
        items.truncate(limit);
        let after = items.last().map(|(key, _)| key.path.clone()).unwrap_or_default();
        metadata["continue"] = Continue { revision: Some(revision), after }.encode(&prefix(op)).into();
        // With a selector the server would have to read everything to know.
        if selector.is_empty() {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    Ok(Listed { items, metadata })
}

/// The answer to a request to a collection.
pub fn answer_list(op: &Operation, listed: Listed, warnings: &[String]) -> Answer<Response<Body>> {
    let Listed { items, mut metadata } = listed;
    // Lists of custom resources write the token even if it is empty.
    if op.resource.custom && op.format.shape == Shape::Whole && metadata["continue"].is_null() {
        metadata["continue"] = "".into();
    }
    let objects: Vec<Cow<Value>> = items.iter().map(|(_, object)| op.resource.present(object)).collect();
    let answer = match op.format.shape {
        Shape::Table => table::table(&op.resource, &objects, &metadata, op.query.get("includeObject"), true),
        Shape::Metadata => json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "items": objects.iter().map(|object| table::metadata_only(object)).collect::<Vec<_>>() }),
        Shape::Whole => {
            let bare = !op.resource.custom;
            let items = objects.into_iter().map(|object| Item { object, bare }).collect();
            let list = List { kind: &op.resource.list_kind, api_version: op.resource.api_version(), metadata, items };
            return response::object(StatusCode::OK, &list, op.format, warnings);
        }
    };
    response::object(StatusCode::OK, &answer, op.format, warnings)
}

/// A list, written without a copy of what stands in it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'a str,
    api_version: String,
    metadata: Value,
    items: Vec<Item<'a>>,
}

/// One object of it.
struct Item<'a> {
    object: Cow<'a, Value>,
    /// Of a built-in kind: it carries no kind and no version of its own.
    bare: bool,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.object {
            Value::Object(map) if self.bare => {
                serializer.collect_map(map.iter().filter(|(key, _)| !matches!(key.as_str(), "kind" | "apiVersion")))
            }
            object => object.serialize(serializer),
        }
    }
}
