//! Which versions the services speak: documents that need no token, and the minor versions that requests ask for.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{
    Cloud,
    reply::{Fault, Reply, Service},
};
use crate::web;

/// Newest minor version of the compute API that is played: 2.90 (Xena).
const COMPUTE: u32 = 90;
/// The oldest one.
const COMPUTE_LEAST: u32 = 1;
/// Newest minor version of the volume API: 3.66 (Xena).
const VOLUME: u32 = 66;

/// The minor version that a request asks for: `OpenStack-API-Version: compute 2.60`, or Nova's own older header.
pub fn minor(service: Service, request: &Request<Bytes>) -> Result<u32, Fault> {
    let Some(name) = service.micro() else { return Ok(0) };
    let (major, newest, least) = if service == Service::Compute { (2, COMPUTE, COMPUTE_LEAST) } else { (3, VOLUME, 0) };
    let headers = request.headers().get_all("openstack-api-version").iter().filter_map(|value| value.to_str().ok());
    let own = headers.flat_map(|value| value.split(',')).find_map(|one| one.trim().strip_prefix(name)?.strip_prefix(' '));
    let older = (service == Service::Compute).then(|| web::header(request, "x-openstack-nova-api-version")).flatten();
    let Some(asked) = own.or(older).map(str::trim) else { return Ok(least) };
    if asked == "latest" {
        return Ok(newest);
    }
    let whole = |text: &str| (text == "0" || !text.starts_with('0')).then(|| text.parse::<u32>().ok()).flatten();
    let Some((asked_major, minor)) = asked.split_once('.').and_then(|(a, b)| Some((whole(a)?, whole(b)?))) else {
        return Err(Fault::bad(format!("API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.")));
    };
    if asked_major != major || minor > newest || minor < least {
        return Err(Fault::new(
            StatusCode::NOT_ACCEPTABLE,
            format!("Version {asked} is not supported by the API. Minimum is {major}.{least} and maximum is {major}.{newest}."),
        ));
    }
    Ok(minor)
}

/// How an answer tells the minor version that it has.
pub fn told(service: Service, minor: u32) -> Vec<(&'static str, String)> {
    match service {
        Service::Compute => vec![
            ("OpenStack-API-Version", format!("compute 2.{minor}")),
            ("X-OpenStack-Nova-API-Version", format!("2.{minor}")),
            ("Vary", "OpenStack-API-Version, X-OpenStack-Nova-API-Version".to_owned()),
        ],
        Service::Volume => {
            vec![("OpenStack-API-Version", format!("volume 3.{minor}")), ("Vary", "OpenStack-API-Version".to_owned())]
        }
        _ => Vec::new(),
    }
}

/// A document of versions, if the path has one.
pub fn document(cloud: &Cloud, method: &Method, parts: &[&str]) -> Option<Reply> {
    if method != Method::GET {
        return None;
    }
    let href = |place: &str| format!("{}/{place}/", cloud.inner.address);
    let links = |place: &str| json!([{ "rel": "self", "href": href(place) }]);
    let keystone = || {
        json!({ "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z", "links": links("identity/v3"),
            "media-types": [{ "base": "application/json", "type": "application/vnd.openstack.identity-v3+json" }] })
    };
    let nova = |id: &str, status: &str| {
        let (version, least) = if id == "v2.1" { (format!("2.{COMPUTE}"), format!("2.{COMPUTE_LEAST}")) } else { Default::default() };
        json!({ "id": id, "status": status, "version": version, "min_version": least, "updated": "2013-07-23T11:33:21Z",
            "links": links(&format!("compute/{id}")) })
    };
    let cinder = || {
        json!({ "id": "v3.0", "status": "CURRENT", "version": format!("3.{VOLUME}"), "min_version": "3.0", "updated": "2021-08-25T00:00:00Z",
            "links": links("volume/v3"), "media-types": [{ "base": "application/json", "type": "application/vnd.openstack.volume+json;version=3" }] })
    };
    let glance = |id: &str, status: &str| json!({ "id": id, "status": status, "links": links("image/v2") });
    let neutron = || json!({ "id": "v2.0", "status": "CURRENT", "links": links("network/v2.0") });
    let choices = StatusCode::MULTIPLE_CHOICES;
    Some(match parts {
        ["identity"] => Reply::of(choices, json!({ "versions": { "values": [keystone()] } })).with("Location", href("identity/v3")),
        ["identity", "v3"] => Reply::ok(json!({ "version": keystone() })),
        ["compute"] => Reply::ok(json!({ "versions": [nova("v2.0", "SUPPORTED"), nova("v2.1", "CURRENT")] })),
        ["compute", id @ ("v2.0" | "v2.1")] => {
            let mut version = nova(id, if *id == "v2.1" { "CURRENT" } else { "SUPPORTED" });
            version["media-types"] =
                json!([{ "base": "application/json", "type": format!("application/vnd.openstack.compute+json;version={}", &id[1..]) }]);
            if let Some(list) = version["links"].as_array_mut() {
                list.push(json!({ "rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/" }));
            }
            Reply::ok(json!({ "version": version }))
        }
        ["volume"] => Reply::of(choices, json!({ "versions": [cinder()] })),
        ["volume", "v3"] => Reply::ok(json!({ "versions": [cinder()] })),
        ["image"] => Reply::of(choices, glance_versions(&glance)),
        ["image", "versions"] => Reply::ok(glance_versions(&glance)),
        ["network"] => Reply::ok(json!({ "versions": [neutron()] })),
        ["network", "v2.0"] => {
            let resource = |name: &str| {
                json!({ "name": name.trim_end_matches('s').replace('-', "_"), "collection": name.replace('-', "_"),
                    "links": [{ "rel": "self", "href": format!("{}{name}", href("network/v2.0")) }] })
            };
            let names = ["networks", "subnets", "ports", "security-groups", "security-group-rules", "quotas"];
            Reply::ok(json!({ "resources": names.map(resource) }))
        }
        _ => return None,
    })
}

fn glance_versions(one: &dyn Fn(&str, &str) -> Value) -> Value {
    let supported = (0..9).rev().map(|minor| one(&format!("v2.{minor}"), "SUPPORTED"));
    json!({ "versions": std::iter::once(one("v2.9", "CURRENT")).chain(supported).collect::<Vec<_>>() })
}
