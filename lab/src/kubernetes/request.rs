//! What a request asks for: path, query and negotiated formats.

use http::{HeaderMap, Method, header};

use super::status::{Answer, Failure};

/// Path of a request to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// API group, empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural.
    pub plural: String,
    /// Namespace, empty if the path names none.
    pub namespace: String,
    /// Object name, empty for collections.
    pub name: String,
    /// What follows the name, such as `status`; empty for the object itself.
    pub subresource: String,
}

impl Target {
    /// Reads `/api/VERSION/…` and `/apis/GROUP/VERSION/…`; nothing for other paths and for discovery documents.
    pub fn parse(path: &str) -> Option<Self> {
        let segments: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
        let (group, version, rest) = match segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["api", version, rest @ ..] => (String::new(), (*version).to_owned(), rest.to_vec()),
            ["apis", group, version, rest @ ..] => ((*group).to_owned(), (*version).to_owned(), rest.to_vec()),
            _ => return None,
        };
        let (namespace, rest) = match rest.as_slice() {
            // `/namespaces/x/status` is a subresource of the namespace, not a resource inside it.
            ["namespaces", namespace, resource, ..] if !(group.is_empty() && matches!(*resource, "status" | "finalize")) => {
                (*namespace, &rest[2..])
            }
            _ => ("", rest.as_slice()),
        };
        let (plural, name) = (*rest.first()?, rest.get(1).copied().unwrap_or_default());
        Some(Self {
            group,
            version,
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: rest.get(2..).unwrap_or_default().join("/"),
        })
    }

    /// The verb that authorization and metrics know.
    pub fn verb(&self, method: &Method, watch: bool) -> &'static str {
        match (method.as_str(), self.name.is_empty()) {
            ("GET" | "HEAD", true) if watch => "watch",
            ("GET" | "HEAD", true) => "list",
            ("GET" | "HEAD", false) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "deletecollection",
            ("DELETE", false) => "delete",
            _ => "",
        }
    }
}

/// Percent-decodes; what is no valid escape stays.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape =
            bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], escape) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The parameters of a request or of an urlencoded form.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`.
    pub fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The first value of a parameter; empty if absent.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, value)| value)
    }

    /// Whether the parameter is there at all.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// A boolean as Go's parameter codec reads it: `watch`, `watch=1` and `watch=true` are true, `0` and `false` are not.
    pub fn flag(&self, key: &str) -> bool {
        self.has(key) && !matches!(self.get(key).to_ascii_lowercase().as_str(), "false" | "0")
    }

    /// A number; absent is none.
    pub fn number(&self, key: &str) -> Answer<Option<u64>> {
        match self.get(key) {
            "" => Ok(None),
            text => match text.parse::<i64>() {
                // A negative number counts as none.
                Ok(number) => Ok(u64::try_from(number).ok()),
                Err(_) => Err(Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))),
            },
        }
    }
}

/// In which shape an object or list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As it is.
    Whole,
    /// `Table` of meta.k8s.io/v1.
    Table,
    /// `PartialObjectMetadata` and its list.
    Metadata,
}

/// What `Accept` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Shape of the answer.
    pub shape: Shape,
    /// YAML instead of JSON.
    pub yaml: bool,
    /// The client names the shape of a list.
    pub list: bool,
}

/// The types that this server can write.
pub const WRITTEN: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// One entry of an `Accept` header: type, parameters.
fn entries(accept: &str) -> impl Iterator<Item = (&str, Vec<(&str, &str)>)> {
    accept.split(',').map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        (media, parts.filter_map(|part| part.split_once('=')).collect())
    })
}

/// Whether a type of an `Accept` header means JSON.
fn json(media: &str) -> bool {
    matches!(media, "application/json" | "*/*" | "application/*" | "")
}

impl Format {
    /// Whether the client understands any type that answers come in, whatever their shape.
    pub fn spoken(headers: &HeaderMap) -> bool {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        entries(accept)
            .into_iter()
            .any(|(media, _)| json(media) || matches!(media, "application/yaml" | "application/vnd.kubernetes.protobuf"))
    }

    /// Chooses the first entry that can be served. Protobuf cannot; the next entry is taken then.
    pub fn negotiate(headers: &HeaderMap) -> Answer<Self> {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        for (media, parameters) in entries(accept) {
            let yaml = media == "application/yaml";
            if !json(media) && !yaml {
                continue;
            }
            let get = |key: &str| parameters.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
            let shape = match (get("as"), get("g"), get("v")) {
                (None, ..) => Shape::Whole,
                (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Shape::Table,
                (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io"), Some("v1")) => Shape::Metadata,
                // An older version of the table, say: the next entry of the header may do.
                _ => continue,
            };
            return Ok(Self { shape, yaml, list: get("as") == Some("PartialObjectMetadataList") });
        }
        Err(Failure::not_acceptable(WRITTEN))
    }
}

/// Whether aggregated discovery is wanted, and in which version of apidiscovery.k8s.io.
pub fn aggregated_discovery(headers: &HeaderMap) -> Answer<Option<&'static str>> {
    let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    for (media, parameters) in entries(accept) {
        let get = |key: &str| parameters.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
        match (json(media), get("as"), get("g"), get("v")) {
            (true, Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => return Ok(Some("v2")),
            (true, None, ..) => return Ok(None),
            // v2beta1 went with Kubernetes 1.35.
            _ => {}
        }
    }
    Err(Failure::not_acceptable(WRITTEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(group: &str, version: &str, namespace: &str, plural: &str, name: &str, subresource: &str) -> Target {
        let [group, version, namespace, plural, name, subresource] =
            [group, version, namespace, plural, name, subresource].map(str::to_owned);
        Target { group, version, plural, namespace, name, subresource }
    }

    #[test]
    fn paths() {
        for (path, expected) in [
            ("/api/v1/pods", Some(target("", "v1", "", "pods", "", ""))),
            ("/api/v1/namespaces", Some(target("", "v1", "", "namespaces", "", ""))),
            ("/api/v1/namespaces/a", Some(target("", "v1", "", "namespaces", "a", ""))),
            ("/api/v1/namespaces/a/finalize", Some(target("", "v1", "", "namespaces", "a", "finalize"))),
            ("/api/v1/namespaces/a/pods/b/log", Some(target("", "v1", "a", "pods", "b", "log"))),
            ("/apis/g.io/v2/namespaces/a/things/x%3Ay/status", Some(target("g.io", "v2", "a", "things", "x:y", "status"))),
            ("/apis/g.io/v2", None),
            ("/version", None),
        ] {
            assert_eq!(Target::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn the_first_shape_that_can_be_served_wins() {
        let negotiate = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            Format::negotiate(&headers).map(|format| format.shape).ok()
        };
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(kubectl), Some(Shape::Table));
        assert_eq!(negotiate("application/vnd.kubernetes.protobuf,application/json"), Some(Shape::Whole));
        assert_eq!(negotiate("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), Some(Shape::Metadata));
        assert_eq!(negotiate("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(negotiate("text/html"), None);
    }

    #[test]
    fn flags_as_go_reads_them() {
        let query = Query::parse("a&b=1&c=true&d=0&e=false&f=x%20y+z");
        assert_eq!(["a", "b", "c", "d", "e", "g"].map(|key| query.flag(key)), [true, true, true, false, false, false]);
        assert_eq!(query.get("f"), "x y z");
    }
}
