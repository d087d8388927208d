//! Requests whose answers count as evidence.
//!
//! A teardown notes that an object is gone because the server says so, so the answer must be one that only
//! an API server gives: an object of the kind and name that were asked for, with a UID; a list of that kind;
//! a `Status` that says `NotFound`. kube itself accepts `{}` as an object and any 404 as "not found". An
//! empty body, HTML, or the 404 of a proxy is an answer that cannot be read: it is asked for again, and then
//! reported as an error.

use kube::{
    Client, Error, Resource as _,
    api::{DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams},
    core::{Status, request::Request, response::StatusSummary},
};
use mtv_api::kinds::Kind;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::Value;

use super::error::is_not_found;
use crate::secrets::excerpt;

/// Characters of an unreadable answer that an error shows.
const SHOWN: usize = 120;

/// What the router of an API server answers for a path that it does not serve, as `http.NotFound` of Go
/// writes it.
const NO_SUCH_PATH: &str = "404 page not found";

/// A list with the version that a watch goes on from.
#[derive(Debug)]
pub(super) struct Page {
    pub version: Option<String>,
    pub items: Vec<DynamicObject>,
}

/// An answer that nothing can be concluded from.
fn garbled(why: String) -> Error {
    Error::SerdeError(serde_json::Error::custom(why))
}

/// Sends a request and reads its JSON answer.
async fn ask<T: DeserializeOwned>(client: &Client, request: http::Request<Vec<u8>>) -> Result<T, Error> {
    let text = client.request_text(request).await?;
    serde_json::from_str(&text).map_err(|error| garbled(unreadable(&text, &error)))
}

fn unreadable(text: &str, error: &serde_json::Error) -> String {
    let text = text.trim();
    if text.is_empty() {
        "it is empty".to_owned()
    } else if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        format!("{error}: `{}`", excerpt(text, SHOWN))
    } else {
        format!("it is not JSON: `{}`", excerpt(text, SHOWN))
    }
}

fn requests(kind: &Kind, namespace: Option<&str>) -> Request {
    Request::new(DynamicObject::url_path(&kind.resource(), namespace.filter(|_| kind.namespaced)))
}

fn built(request: Result<http::Request<Vec<u8>>, kube::core::request::Error>) -> Result<http::Request<Vec<u8>>, Error> {
    request.map_err(Error::BuildRequest)
}

/// Checks that an object is the one that was asked for.
pub(super) fn checked(kind: &Kind, name: &str, object: DynamicObject) -> Result<DynamicObject, Error> {
    let found = object.types.as_ref().map_or("", |types| types.kind.as_str());
    if found != kind.kind {
        let found = if found.is_empty() { "an object without a kind" } else { found };
        return Err(garbled(format!("it is {} and not {}", excerpt(found, SHOWN), kind.kind)));
    }
    identified(kind, &object)?;
    match object.metadata.name.as_deref() {
        Some(found) if found != name => Err(garbled(format!("it is about {} `{}`", kind.kind, excerpt(found, SHOWN)))),
        _ => Ok(object),
    }
}

/// Checks that an object has what every stored object has.
pub(super) fn identified(kind: &Kind, object: &DynamicObject) -> Result<(), Error> {
    let metadata = &object.metadata;
    for (field, value) in [("name", &metadata.name), ("UID", &metadata.uid)] {
        if value.as_deref().is_none_or(str::is_empty) {
            return Err(garbled(format!("it holds a {} without a {field}", kind.kind)));
        }
    }
    match &object.types {
        Some(types) if types.kind != kind.kind => {
            Err(garbled(format!("it holds a {} and not a {}", excerpt(&types.kind, SHOWN), kind.kind)))
        }
        _ => Ok(()),
    }
}

/// Reads an object; the error of one that does not exist satisfies [`is_not_found`].
pub(super) async fn get(client: &Client, kind: &Kind, namespace: Option<&str>, name: &str) -> Result<DynamicObject, Error> {
    let request = built(requests(kind, namespace).get(name, &GetParams::default()))?;
    let object = judged(client, kind, ask(client, request).await).await?;
    checked(kind, name, object)
}

/// Lists objects; the error of a kind that is not served satisfies [`is_not_found`].
pub(super) async fn list(client: &Client, kind: &Kind, namespace: Option<&str>, params: &ListParams) -> Result<Page, Error> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        kind: String,
        #[serde(default)]
        metadata: kube::core::ListMeta,
        // Without a default: a list without its member is not an empty list.
        #[serde(deserialize_with = "null_as_empty")]
        items: Vec<DynamicObject>,
    }
    let request = built(requests(kind, namespace).list(params))?;
    let answer = ask(client, request).await;
    let List { kind: found, metadata, items } = listed(client, Resource::of(kind), answer).await?;
    if found.strip_suffix("List") != Some(kind.kind) {
        let found = if found.is_empty() { "an object without a kind" } else { found.as_str() };
        return Err(garbled(format!("it is {} and not {}List", excerpt(found, SHOWN), kind.kind)));
    }
    items.iter().try_for_each(|object| identified(kind, object))?;
    Ok(Page { version: metadata.resource_version.filter(|version| !version.is_empty()), items })
}

/// A list of none is `null` where Go wrote it.
fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DynamicObject>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Patches an object.
pub(super) async fn patch(
    client: &Client,
    kind: &Kind,
    namespace: Option<&str>,
    name: &str,
    params: &PatchParams,
    patch: &Patch<&Value>,
) -> Result<DynamicObject, Error> {
    let request = built(requests(kind, namespace).patch(name, params, patch))?;
    let object = judged(client, kind, ask(client, request).await).await?;
    checked(kind, name, object)
}

/// Asks for a deletion.
pub(super) async fn delete(client: &Client, kind: &Kind, namespace: Option<&str>, name: &str, params: &DeleteParams) -> Result<(), Error> {
    let request = built(requests(kind, namespace).delete(name, params))?;
    let answer: Value = judged(client, kind, ask(client, request).await).await?;
    // Either the object as it is now, or a `Status` that it is gone.
    if answer["kind"] == "Status" {
        let status: Status = serde_json::from_value(answer).map_err(Error::SerdeError)?;
        return match status.status {
            Some(StatusSummary::Success) => Ok(()),
            _ => Err(garbled(format!("it is a Status without success: {}", excerpt(&status.message, SHOWN)))),
        };
    }
    let object = serde_json::from_value(answer).map_err(Error::SerdeError)?;
    checked(kind, name, object).map(drop)
}

/// What a path is made of, for kinds that are not among [`Kind`]s too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resource<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    pub version: &'a str,
    pub plural: &'a str,
}

impl<'a> Resource<'a> {
    fn of(kind: &'a Kind) -> Self {
        Self { group: kind.group, version: kind.version, plural: kind.plural }
    }

    /// The same by an `apiVersion`.
    pub fn at(api_version: &'a str, plural: &'a str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group, version, plural }
    }
}

/// As [`judged`], for a list. One exists wherever its kind is served, so any 404 is about the kind.
pub(super) async fn listed<T>(client: &Client, of: Resource<'_>, answer: Result<T, Error>) -> Result<T, Error> {
    match answer {
        Err(error) if is_any_404(&error) => Err(unserved(client, of, error).await),
        answer => answer,
    }
}

/// Turns a 404 that proves nothing into an unreadable answer, and one for a kind that is not served into a
/// `NotFound`.
pub(super) async fn judged<T>(client: &Client, kind: &Kind, answer: Result<T, Error>) -> Result<T, Error> {
    match answer {
        Err(error) if is_any_404(&error) && !is_not_found(&error) => Err(unserved(client, Resource::of(kind), error).await),
        answer => answer,
    }
}

fn is_any_404(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// What a 404 for the path of a kind means: `NotFound` if the discovery of the server does not list the kind.
async fn unserved(client: &Client, of: Resource<'_>, error: Error) -> Error {
    let Error::Api(status) = &error else { return error };
    let said = excerpt(status.message.trim(), SHOWN);
    let of_proxy = || garbled(format!("a 404 that does not come from an API server: `{said}`"));
    // The core kinds are served by every API server, and the router says what it always says.
    if of.group.is_empty() || (status.reason != "NotFound" && status.message.trim() != NO_SUCH_PATH) {
        return of_proxy();
    }
    match serves(client, of).await {
        Ok(false) => {
            let message = format!("the cluster does not serve {} of {}/{}", of.plural, of.group, of.version);
            Error::Api(Status::failure(&message, "NotFound").with_code(404).boxed())
        }
        Ok(true) => garbled(format!("a 404 for {}, which the cluster serves: `{said}`", of.plural)),
        Err(error) => error,
    }
}

/// Whether the discovery of the server lists a kind of a named group.
async fn serves(client: &Client, of: Resource<'_>) -> Result<bool, Error> {
    let discover = async |path: String, document: &str| {
        let request = http::Request::get(path).body(Vec::new()).map_err(Error::HttpError)?;
        let found: Value = ask(client, request).await?;
        if found["kind"] == document { Ok(found) } else { Err(garbled(format!("the discovery answer is not an {document}"))) }
    };
    let has = |list: &Value, field: &str, wanted: &str| list.as_array().map(|list| list.iter().any(|one| one[field] == wanted));
    let groups = discover("/apis".to_owned(), "APIGroupList").await?;
    let group = groups["groups"].as_array().and_then(|groups| groups.iter().find(|group| group["name"] == of.group));
    let Some(group) = group else {
        // `apps` is a group of every API server.
        return match has(&groups["groups"], "name", "apps") {
            Some(true) => Ok(false),
            _ => Err(garbled("the discovery answer is not whole".to_owned())),
        };
    };
    match has(&group["versions"], "version", of.version) {
        Some(true) => {}
        Some(false) => return Ok(false),
        None => return Err(garbled("the discovery answer is not whole".to_owned())),
    }
    let resources = discover(format!("/apis/{}/{}", of.group, of.version), "APIResourceList").await?;
    has(&resources["resources"], "name", of.plural).ok_or_else(|| garbled("the discovery answer is not whole".to_owned()))
}

#[cfg(test)]
mod tests {
    use mtv_api::kinds;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_object_that_was_asked_for_counts() {
        let good = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "uid": "u"}});
        let judge = |value: Value| checked(&kinds::SECRET, "x", serde_json::from_value(value).unwrap());
        assert!(judge(good.clone()).is_ok());
        for (pointer, value) in [
            ("/kind", json!("Pod")),
            ("/metadata/name", json!("y")),
            ("/metadata/name", json!("")),
            ("/metadata/name", Value::Null),
            ("/metadata/uid", json!("")),
            ("/metadata/uid", Value::Null),
            ("/metadata", json!({})),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(judge(bad.clone()).is_err(), "{bad}");
        }
        assert!(judge(json!({})).is_err());
    }

    #[test]
    fn an_unreadable_answer_is_described_in_short() {
        let describe = |text: &str| unreadable(text, &serde_json::from_str::<Vec<u8>>(text).unwrap_err());
        assert_eq!(describe(" \n"), "it is empty");
        assert!(describe(&format!("<html>{}</html>", "x".repeat(5000))).starts_with("it is not JSON: `<html>xxx"));
        assert!(describe("{}").ends_with(": `{}`"));
    }
}
