//! Which image gathers: the one of the installed release, from where this cluster takes images of releases that are not out yet.

use kube::api::DynamicObject;
use mtv_api::kinds;
use serde_json::Value;

use crate::cluster::{Cluster, ObjectExt as _};

/// Names of the operator, downstream and upstream.
const OPERATORS: [&str; 2] = ["mtv-operator", "forklift-operator"];

/// Variable of the operator's container that names the image.
const VARIABLE: &str = "MUST_GATHER_IMAGE";

/// Annotation by which any operator can name its image.
const ANNOTATION: &str = "operators.openshift.io/must-gather-image";

/// What gathers where nothing names an image: that of upstream, as mtv-api-tests once had it.
const FALLBACK: &str = "quay.io/kubev2v/forklift-must-gather:latest";

/// Word that tells the image of a must-gather among others.
const WORD: &str = "must-gather";

/// An image, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Reference for a container.
    pub reference: String,
    /// Where it comes from, and what was looked for in vain: a sentence each.
    pub notes: Vec<String>,
}

/// Finds the image of the MTV in `namespace`. What cannot be read is noted, and the next best is taken.
pub async fn resolve(cluster: &Cluster, namespace: &str) -> Image {
    let mut notes = Vec::new();
    let subscriptions = told(cluster.list(&kinds::SUBSCRIPTION, Some(namespace), "").await, &mut notes);
    let subscription = subscriptions.iter().find(|s| s.text("/spec/name").is_some_and(|name| OPERATORS.contains(&name)));
    let installed = subscription.and_then(|s| s.text("/status/installedCSV"));
    if subscription.is_none() {
        notes.push(format!("no Subscription of {} in {namespace}", OPERATORS.join(" or ")));
    }
    let versions = told(cluster.list(&kinds::CSV, Some(namespace), "").await, &mut notes);
    let named = |csv: &&DynamicObject, name: &str| csv.metadata.name.as_deref().is_some_and(|n| n == name);
    let of_operator = |csv: &&DynamicObject| {
        let name = csv.metadata.name.as_deref().unwrap_or_default();
        OPERATORS.iter().any(|operator| name.starts_with(operator))
    };
    let csv = match installed {
        Some(installed) => versions.iter().find(|csv| named(csv, installed)),
        None => versions.iter().find(of_operator),
    };
    let Some(csv) = csv else {
        notes.push(format!("no ClusterServiceVersion of MTV in {namespace}: {FALLBACK}"));
        return Image { reference: FALLBACK.to_owned(), notes };
    };
    let Some(image) = of_csv(csv) else {
        notes.push(format!("ClusterServiceVersion {} names no image: {FALLBACK}", csv.metadata.name.as_deref().unwrap_or_default()));
        return Image { reference: FALLBACK.to_owned(), notes };
    };
    let Some(set) = subscription.and_then(|s| s.text("/spec/channel")).and_then(mirror_set) else {
        return Image { reference: image, notes };
    };
    match cluster.get(&kinds::IMAGE_DIGEST_MIRROR_SET, None, &set).await {
        Ok(Some(found)) => match mirrored(&image, &found.data) {
            Some(reference) => {
                notes.push(format!("from the mirror that ImageDigestMirrorSet {set} names"));
                return Image { reference, notes };
            }
            None => notes.push(format!("ImageDigestMirrorSet {set} has no mirror for {image}")),
        },
        // Clusters with a released MTV have no such set.
        Ok(None) => {}
        Err(error) => notes.push(format!("{error:#}")),
    }
    Image { reference: image, notes }
}

fn told(result: anyhow::Result<Vec<DynamicObject>>, notes: &mut Vec<String>) -> Vec<DynamicObject> {
    result.unwrap_or_else(|error| {
        notes.push(format!("{error:#}"));
        Vec::new()
    })
}

/// The image that a ClusterServiceVersion names: in the operator's environment, in its annotation, among its related images.
fn of_csv(csv: &DynamicObject) -> Option<String> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let deployments = list(csv.at("/spec/install/spec/deployments"));
    let containers = deployments.iter().flat_map(|d| list(d.pointer("/spec/template/spec/containers")));
    let variables = containers.flat_map(|c| list(c.get("env")));
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let by_variable = variables.into_iter().find(|v| v["name"] == VARIABLE).and_then(|v| text(&v["value"]));
    let by_annotation = || csv.metadata.annotations.as_ref()?.get(ANNOTATION).filter(|image| !image.is_empty()).cloned();
    let related = || list(csv.at("/spec/relatedImages")).iter().filter_map(|i| text(&i["image"])).find(|image| image.contains(WORD));
    by_variable.or_else(by_annotation).or_else(related)
}

/// Name of the mirrors of a channel that is not released: `release-v2.10` has `devel-testing-for-2-10`.
fn mirror_set(channel: &str) -> Option<String> {
    let release = channel.strip_prefix("release-v").unwrap_or(channel).replace('.', "-");
    (!release.is_empty()).then(|| format!("devel-testing-for-{release}"))
}

/// The image at a mirror, by its digest. Mirrors at Quay can be reached without a login to the build system.
fn mirrored(image: &str, set: &Value) -> Option<String> {
    let (_, digest) = image.split_once('@')?;
    let sources = set.pointer("/spec/imageDigestMirrors")?.as_array()?;
    let entry = sources.iter().find(|entry| entry["source"].as_str().is_some_and(|source| source.contains(WORD)))?;
    let mirrors: Vec<&str> = entry["mirrors"].as_array()?.iter().filter_map(Value::as_str).collect();
    let mirror = mirrors.iter().find(|mirror| mirror.contains("quay")).or_else(|| mirrors.first())?;
    Some(format!("{mirror}@{digest}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const IMAGE: &str = "registry.example.com/mtv/mtv-must-gather-rhel9@sha256:abc";

    #[test]
    fn a_csv_names_its_image_in_three_ways() {
        let csv = |value: Value| -> DynamicObject {
            let mut object = json!({ "apiVersion": "v", "kind": "k", "metadata": { "name": "mtv-operator.v2.10.0" } });
            object.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            serde_json::from_value(object).unwrap()
        };
        let containers =
            json!([{ "name": "a" }, { "name": "b", "env": [{ "name": "X", "value": "y" }, { "name": VARIABLE, "value": IMAGE }] }]);
        let deployments = json!([{ "spec": { "template": { "spec": { "containers": containers } } } }]);
        for value in [
            json!({ "spec": { "install": { "spec": { "deployments": deployments } } } }),
            json!({ "metadata": { "annotations": { ANNOTATION: IMAGE } } }),
            json!({ "spec": { "relatedImages": [{ "name": "a", "image": "x/api@sha256:1" }, { "image": IMAGE }] } }),
        ] {
            assert_eq!(of_csv(&csv(value.clone())).as_deref(), Some(IMAGE), "{value}");
        }
        assert_eq!(of_csv(&csv(json!({ "spec": {} }))), None);
    }

    #[test]
    fn mirrors_are_named_after_the_channel() {
        assert_eq!(mirror_set("release-v2.10").as_deref(), Some("devel-testing-for-2-10"));
        assert_eq!(mirror_set("dev-preview").as_deref(), Some("devel-testing-for-dev-preview"));
        assert_eq!(mirror_set("release-v"), None);
    }

    #[test]
    fn a_mirror_at_quay_is_preferred() {
        let set = |mirrors: Value| {
            json!({ "spec": { "imageDigestMirrors": [
                { "source": "registry.example.com/mtv/api", "mirrors": ["quay.io/x/api"] },
                { "source": "registry.example.com/mtv/mtv-must-gather-rhel9", "mirrors": mirrors }] } })
        };
        let of = |mirrors: Value| mirrored(IMAGE, &set(mirrors));
        assert_eq!(of(json!(["brew/x", "quay.io/x/must-gather"])).as_deref(), Some("quay.io/x/must-gather@sha256:abc"));
        assert_eq!(of(json!(["brew/x", "other/y"])).as_deref(), Some("brew/x@sha256:abc"));
        assert_eq!(of(json!([])), None);
        assert_eq!(mirrored("registry.example.com/mtv/must-gather:latest", &set(json!(["quay.io/x"]))), None, "a tag is no digest");
        assert_eq!(mirrored(IMAGE, &json!({ "spec": {} })), None);
    }
}
