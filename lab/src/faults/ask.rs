//! A request as rules see it.

use http::{HeaderMap, Request, header};
use serde::{Deserialize, Serialize};

use super::wire::Cutter;

/// A server of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// The Kubernetes API.
    Kubernetes,
    /// The vCenter.
    Vsphere,
    /// The SDK of an ESXi host.
    Esxi,
    /// The Kubernetes API of the second OpenShift, which VMs come from.
    Openshift,
    /// Forklift's inventory.
    Inventory,
    /// The oVirt engine.
    Ovirt,
    /// The cluster's monitoring.
    Monitoring,
    /// The services of OpenStack.
    Openstack,
    /// Jira.
    Jira,
}

/// A request as rules see it. Parts that a protocol does not have are empty.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Who is asked.
    pub server: Server,
    /// Kubernetes: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; vSphere: the method, such as
    /// `CloneVM_Task`; REST: the HTTP method in lower case; `connect` for a connection that is not open yet; `operation` for
    /// what a request has begun and takes time.
    pub verb: &'a str,
    /// Kubernetes: plural, with a subresource behind a slash; vSphere: type of the object; REST: first segment of the path.
    pub resource: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Kubernetes: name, for a create that of the new object; vSphere: id of the object; REST: last segment of the path.
    pub object: &'a str,
    /// Path of the URL.
    pub path: &'a str,
    /// `User-Agent`.
    pub client: &'a str,
    /// By which its connection can be cut.
    pub cutter: Option<Cutter>,
}

impl<'a> Ask<'a> {
    /// A request to a REST server, which path and method tell.
    pub fn rest<B>(server: Server, request: &'a Request<B>, method: &'a str) -> Self {
        let path = request.uri().path();
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let first = segments.next().unwrap_or_default();
        Self {
            server,
            verb: method,
            resource: first,
            namespace: "",
            object: segments.next_back().unwrap_or(first),
            path,
            client: agent(request.headers()),
            cutter: request.extensions().get().cloned(),
        }
    }

    /// An operation that takes time, by its name and the new object's.
    pub(super) fn operation(server: Server, name: &'a str, object: &'a str) -> Self {
        Self { verb: "operation", resource: name, object, ..Self::connect(server) }
    }

    /// A connection that is not open yet.
    pub(super) fn connect(server: Server) -> Self {
        Self { server, verb: "connect", resource: "", namespace: "", object: "", path: "", client: "", cutter: None }
    }
}

/// `User-Agent` of a request.
pub(crate) fn agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
