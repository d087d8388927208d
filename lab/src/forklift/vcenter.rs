//! A client of vSphere's SDK: SOAP over HTTPS, as much of `vim25` as controllers and inventory need.

use std::{fmt, time::Duration};

use mtv_api::xml::Node;

use crate::{faults::OWN_AGENT, trust};

/// Deadline of one request. `WaitForUpdatesEx` asks the server to answer within less.
const REQUEST: Duration = Duration::from_mins(1);
/// Deadline of the TCP and TLS handshake: `controller_tls_connection_timeout_sec` of the ForkliftController.
const CONNECT: Duration = Duration::from_secs(5);

/// Where a vCenter is and how to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// URL of the SDK.
    pub url: String,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// PEM certificates that are trusted; `None`: the server's certificate is not verified.
    pub ca: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why a request failed.
#[derive(Debug)]
pub enum Error {
    /// No connection, broken TLS, no HTTP answer.
    Transport(String),
    /// The server answered with a fault: its type in `vim25`, and its text.
    Fault {
        /// Type of the detail, such as `InvalidLogin`; empty if there is none.
        kind: String,
        /// The fault string.
        text: String,
    },
    /// The answer is none that the schema knows.
    Answer(String),
}

impl Error {
    /// Whether the server says that an object is gone.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Fault { kind, .. } if kind == "ManagedObjectNotFound")
    }

    /// Whether the session is over.
    pub fn is_session_over(&self) -> bool {
        matches!(self, Self::Fault { kind, .. } if kind == "NotAuthenticated")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(text) | Self::Answer(text) => f.write_str(text),
            Self::Fault { text, .. } => write!(f, "ServerFaultCode: {text}"),
        }
    }
}

impl std::error::Error for Error {}

/// Result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// A managed object reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MoRef {
    /// Such as `VirtualMachine`.
    pub kind: String,
    /// Such as `vm-66`.
    pub id: String,
}

impl MoRef {
    /// Builds one.
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned() }
    }

    /// Reads one. On an element that is a value, `xsi:type` stands beside the reference's own `type`.
    pub fn read(node: &Node) -> Self {
        let kind = node.attrs.iter().filter(|(name, _)| name == "type").map(|(_, value)| value.rsplit(':').next().unwrap_or(value));
        Self { kind: kind.into_iter().find(|v| *v != "ManagedObjectReference").unwrap_or_default().to_owned(), id: node.text.clone() }
    }

    /// Writes it as an element.
    pub fn node(&self, name: &str) -> Node {
        Node::text(name, &self.id).attr("type", &self.kind)
    }
}

/// What an object looks like: its reference and its properties by path.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    /// The object.
    pub object: MoRef,
    /// Path and value.
    pub values: Vec<(String, Node)>,
}

impl Properties {
    /// The value at a path that was asked for.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.values.iter().find(|(p, _)| p == path).map(|(_, v)| v)
    }

    /// The text at a path that was asked for, empty if there is none.
    pub fn text(&self, path: &str) -> &str {
        self.get(path).map_or("", |n| n.text.as_str())
    }
}

/// A logged-in session.
pub struct Vcenter {
    http: reqwest::Client,
    url: String,
    /// `about` of the service content.
    pub about: Node,
    content: Node,
    /// SHA-1 of the server's certificate, `AA:BB:…`.
    pub fingerprint: String,
}

impl fmt::Debug for Vcenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vcenter").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Vcenter {
    /// Connects and logs in.
    pub async fn connect(access: &Access) -> Result<Self> {
        let url =
            reqwest::Url::parse(&access.url).map_err(|_| Error::Transport(format!("dial tcp: lookup {}: no such host", access.url)))?;
        let (config, seen) = trust::config(access.ca.as_deref()).map_err(Error::Transport)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .cookie_store(true)
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .no_proxy()
            .user_agent(OWN_AGENT)
            .build()
            .map_err(|error| Error::Transport(chain(&error)))?;
        let mut session = Self { http, url: url.to_string(), about: Node::default(), content: Node::default(), fingerprint: String::new() };
        let instance = MoRef::new("ServiceInstance", "ServiceInstance");
        let content = session.call(Node::new("RetrieveServiceContent").with(instance.node("_this"))).await?;
        session.content = content.child("returnval").cloned().unwrap_or_default();
        session.about = session.content.child("about").cloned().unwrap_or_default();
        let manager = session.manager("sessionManager", "SessionManager");
        session
            .call(
                Node::new("Login")
                    .with(manager.node("_this"))
                    .field("userName", &access.user)
                    .field("password", &access.password)
                    .field("locale", "en_US"),
            )
            .await?;
        session.fingerprint = seen.fingerprint();
        Ok(session)
    }

    /// Ends the session. One that cannot be ended runs out on the server.
    pub async fn logout(&self) {
        let manager = self.manager("sessionManager", "SessionManager");
        if let Err(error) = self.call(Node::new("Logout").with(manager.node("_this"))).await {
            tracing::debug!(%error, "session was not ended");
        }
    }

    /// A manager that the service content names.
    pub fn manager(&self, field: &str, kind: &str) -> MoRef {
        self.content.child(field).map_or_else(
            || MoRef::new(kind, kind),
            |node| {
                let found = MoRef::read(node);
                if found.kind.is_empty() { MoRef::new(kind, &found.id) } else { found }
            },
        )
    }

    /// The root folder.
    pub fn root(&self) -> MoRef {
        self.manager("rootFolder", "Folder")
    }

    /// Calls a method: `body` is its element with `_this` and parameters. Returns the `…Response` element.
    pub async fn call(&self, body: Node) -> Result<Node> {
        let envelope = Node::new("soapenv:Envelope")
            .attr("xmlns:soapenv", "http://schemas.xmlsoap.org/soap/envelope/")
            .attr("xmlns:xsd", "http://www.w3.org/2001/XMLSchema")
            .attr("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
            .with(Node::new("soapenv:Body").with(body.attr("xmlns", "urn:vim25")));
        let answer = self
            .http
            .post(&self.url)
            .header("Content-Type", "text/xml; charset=utf-8")
            .header("SOAPAction", "urn:vim25/7.0")
            .body(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{envelope}"))
            .send()
            .await
            .map_err(|error| Error::Transport(chain(&error)))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| Error::Transport(chain(&error)))?;
        let document = Node::parse(&text).map_err(|error| Error::Answer(format!("answer with status {status} is no XML: {error}")))?;
        let inner = document
            .child("Body")
            .and_then(|body| body.children.first())
            .ok_or_else(|| Error::Answer(format!("answer with status {status} is no SOAP envelope")))?;
        if inner.name == "Fault" {
            let detail = inner.child("detail").and_then(|d| d.children.first());
            let kind = detail.map(|d| d.xsi_type().unwrap_or(d.name.trim_end_matches("Fault")).to_owned());
            return Err(Error::Fault { kind: kind.unwrap_or_default(), text: inner.get("faultstring").unwrap_or("fault").to_owned() });
        }
        Ok(inner.clone())
    }

    /// Starts a task on an object and returns the task's id.
    pub async fn task(&self, object: &MoRef, method: &str, parameters: Vec<Node>) -> Result<String> {
        let answer = self.call(Node::new(method).with(object.node("_this")).all(parameters)).await?;
        answer.get("returnval").map(str::to_owned).ok_or_else(|| Error::Answer(format!("{method} returned no task")))
    }

    /// Properties of objects of one kind. What is gone or cannot be read is left out.
    pub async fn properties(&self, kind: &str, ids: &[String], paths: &[&str]) -> Result<Vec<Properties>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let collector = self.manager("propertyCollector", "PropertyCollector");
        let spec = Node::new("specSet")
            .with(property_spec(kind, paths))
            .all(ids.iter().map(|id| Node::new("objectSet").with(MoRef::new(kind, id).node("obj")).field("skip", false)));
        let mut answer =
            self.call(Node::new("RetrievePropertiesEx").with(collector.node("_this")).with(spec).with(Node::new("options"))).await?;
        let mut found = Vec::new();
        loop {
            let Some(page) = answer.child("returnval") else { return Ok(found) };
            found.extend(page.children_named("objects").map(|object| {
                Properties {
                    object: object.child("obj").map(MoRef::read).unwrap_or_default(),
                    values: object
                        .children_named("propSet")
                        .filter_map(|set| Some((set.get("name")?.to_owned(), set.child("val")?.clone())))
                        .collect(),
                }
            }));
            let Some(token) = page.get("token").filter(|t| !t.is_empty()).map(str::to_owned) else { return Ok(found) };
            answer = self.call(Node::new("ContinueRetrievePropertiesEx").with(collector.node("_this")).field("token", token)).await?;
        }
    }

    /// One property of one object.
    pub async fn property(&self, object: &MoRef, path: &str) -> Result<Option<Node>> {
        let found = self.properties(&object.kind, std::slice::from_ref(&object.id), &[path]).await?;
        Ok(found.first().and_then(|p| p.get(path)).cloned())
    }

    /// Power state of a VM: `poweredOn`, `poweredOff` or `suspended`.
    pub async fn power_state(&self, vm: &str) -> Result<String> {
        let state = self.property(&MoRef::new("VirtualMachine", vm), "runtime.powerState").await?;
        Ok(state.map(|n| n.text).unwrap_or_default())
    }

    /// Asks the guest to shut down. Does not wait for it.
    pub async fn shut_down_guest(&self, vm: &str) -> Result<()> {
        self.call(Node::new("ShutdownGuest").with(MoRef::new("VirtualMachine", vm).node("_this"))).await.map(|_| ())
    }

    /// Switches a VM on, if it is not.
    pub async fn power_on(&self, vm: &str) -> Result<()> {
        if self.power_state(vm).await? != "poweredOn" {
            self.task(&MoRef::new("VirtualMachine", vm), "PowerOnVM_Task", Vec::new()).await?;
        }
        Ok(())
    }

    /// State of a task: `queued`, `running`, `success` or `error`, with the result's id or the error's text.
    pub async fn task_state(&self, task: &str) -> Result<(String, String)> {
        let Some(info) = self.property(&MoRef::new("Task", task), "info").await? else {
            return Err(Error::Fault { kind: "ManagedObjectNotFound".to_owned(), text: format!("task {task} is gone") });
        };
        let state = info.get("state").unwrap_or_default().to_owned();
        let result = match state.as_str() {
            "error" => info.at(&["error", "localizedMessage"]).map(|n| n.text.clone()),
            _ => info.child("result").map(|n| n.text.clone()),
        };
        Ok((state, result.unwrap_or_default()))
    }
}

/// A TLS configuration that verifies nothing.
///
/// # Errors
/// The provider of cryptography has no usable protocol version.
pub fn insecure_tls() -> std::result::Result<(rustls::ClientConfig, trust::Seen), String> {
    trust::config(None)
}

/// `propSet` of a property filter.
pub fn property_spec(kind: &str, paths: &[&str]) -> Node {
    Node::new("propSet").field("type", kind).field("all", false).all(paths.iter().map(|path| Node::text("pathSet", path)))
}

/// An error with its causes: reqwest's own text says little without them. It never holds what was sent.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_told_from_its_xsi_type() {
        let xml =
            r#"<val xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="Folder" xsi:type="ManagedObjectReference">group-v3</val>"#;
        assert_eq!(MoRef::read(&Node::parse(xml).unwrap()), MoRef::new("Folder", "group-v3"));
        assert_eq!(MoRef::new("Folder", "group-v3").node("obj").to_string(), r#"<obj type="Folder">group-v3</obj>"#);
    }

    #[test]
    fn debug_hides_the_password() {
        let access = Access { url: "https://x/sdk".into(), user: "u".into(), password: "secret".into(), ca: None };
        assert!(!format!("{access:?}").contains("secret"));
    }
}
