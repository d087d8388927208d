//! Subresources: which ones a resource has, of which kind they are, and what can be done with them.

use http::Method;

use super::resource::Resource;

/// A subresource.
#[derive(Debug, Clone, Copy)]
pub struct Subresource {
    /// Last part of its path.
    pub name: &'static str,
    /// Kind of what is sent and answered; empty: that of the resource.
    pub kind: &'static str,
    /// Group and version of that kind, if they are not the resource's own.
    pub group_version: Option<(&'static str, &'static str)>,
    /// What can be done with it, in the words of authorization.
    pub verbs: &'static [&'static str],
}

impl Subresource {
    const fn new(
        name: &'static str,
        kind: &'static str,
        group_version: Option<(&'static str, &'static str)>,
        verbs: &'static [&'static str],
    ) -> Self {
        Self { name, kind, group_version, verbs }
    }

    /// Whether a method is among what can be done with it.
    pub fn allows(&self, method: &Method) -> bool {
        let verb = match method.as_str() {
            "GET" => "get",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => return false,
        };
        self.verbs.contains(&verb)
    }
}

const EDIT: &[&str] = &["get", "patch", "update"];
const OPEN: &[&str] = &["create", "get"];
const CREATE: &[&str] = &["create"];

const PODS: &[Subresource] = &[
    Subresource::new("attach", "PodAttachOptions", None, OPEN),
    Subresource::new("binding", "Binding", None, CREATE),
    Subresource::new("ephemeralcontainers", "", None, EDIT),
    Subresource::new("eviction", "Eviction", Some(("policy", "v1")), CREATE),
    Subresource::new("exec", "PodExecOptions", None, OPEN),
    Subresource::new("log", "", None, &["get"]),
    Subresource::new("portforward", "PodPortForwardOptions", None, OPEN),
];
const NAMESPACES: &[Subresource] = &[Subresource::new("finalize", "", None, &["update"])];
const ACCOUNTS: &[Subresource] = &[Subresource::new("token", "TokenRequest", Some(("authentication.k8s.io", "v1")), CREATE)];
const SCALE: Subresource = Subresource::new("scale", "Scale", Some(("autoscaling", "v1")), EDIT);
const STATUS: Subresource = Subresource::new("status", "", None, EDIT);

/// The subresources of a resource, in the order of their names but for `status` of custom resources, which comes first.
pub fn of(resource: &Resource) -> Vec<Subresource> {
    let mut all = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => PODS.to_vec(),
        ("", "namespaces") => NAMESPACES.to_vec(),
        ("", "serviceaccounts") => ACCOUNTS.to_vec(),
        _ => Vec::new(),
    };
    let status = resource.status.then_some(STATUS);
    let scale = resource.scale.as_ref().map(|_| SCALE);
    all.extend(if resource.custom { [status, scale] } else { [scale, status] }.into_iter().flatten());
    all
}

/// One of them by its name.
pub fn find(resource: &Resource, name: &str) -> Option<Subresource> {
    of(resource).into_iter().find(|subresource| subresource.name == name)
}
