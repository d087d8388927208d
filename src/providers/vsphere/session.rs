//! One session, shared by all scenarios of a run: log in, call, log in again when the session ended, retry what may be retried.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use mtv_api::xml::Node;
use reqwest::{StatusCode, Url, header};
use tokio::sync::{Mutex as AsyncMutex, RwLock};

use super::{
    collector::Pool,
    fault::explain,
    wire::{Answer, Fault, MoRef, answer, envelope, request},
};
pub use crate::providers::http::Safety;
use crate::{
    config::profile::Profile,
    kill_points,
    providers::{
        ProviderError, ProviderResult,
        http::{self, CONNECT, Counts, Lost, address, host_port},
        tls::Trust,
    },
    trace::Exchange,
};

/// Longest wait for an ordinary answer. Collecting thousands of objects on a loaded vCenter takes seconds, not a minute.
pub const CALL: Duration = Duration::from_mins(1);
/// First pause before a retry; it doubles, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Retries after the first try: together about 1.5 s, enough for a proxy in front of vCenter to swap its backend.
const RETRIES: usize = 3;
/// The version that every vCenter knows; used until the server has said its own.
const FIRST_ACTION: &str = "urn:vim25";

/// Why a call gave no response.
#[derive(Debug)]
pub enum CallError {
    /// The server answered with a fault.
    Fault(Fault),
    /// It is not known whether the request arrived.
    Unclear(String),
    /// Anything else, in the tool's terms.
    Other(ProviderError),
}

impl CallError {
    /// The tool's error, for callers that treat no fault in a special way.
    pub fn explained(self, doing: &str) -> ProviderError {
        match self {
            Self::Fault(fault) => explain(&fault, doing),
            Self::Unclear(why) => ProviderError::Unreachable(format!("{doing}: the answer was lost: {why}")),
            Self::Other(error) => error,
        }
    }
}

/// A login with what belongs to it. Views and collectors die with their session, so they live here.
#[derive(Debug)]
pub struct Live {
    /// Counts logins.
    generation: u64,
    client: reqwest::Client,
    action: String,
    /// `PropertyCollector` of the service.
    pub collector: MoRef,
    /// `SessionManager`.
    sessions: MoRef,
    /// `about.fullName`.
    pub product: String,
    /// Whether it is a vCenter; an ESXi host cannot clone.
    pub vcenter: bool,
    /// `FileManager`, if there is one.
    pub files: Option<MoRef>,
    /// View of all virtual machines and compute resources.
    pub view: MoRef,
    /// Collectors that wait.
    pub pool: Pool,
}

/// The session.
#[derive(Debug)]
pub struct Session {
    url: Url,
    profile: Profile,
    trust: Trust,
    live: RwLock<Arc<Live>>,
    login: AsyncMutex<()>,
    counts: Counts,
}

/// Why one try gave no response.
enum TryError {
    Fault(Fault),
    /// 502, 503, 504: somebody in front of vCenter answered.
    Busy(StatusCode),
    /// No answer.
    Lost(Lost),
    /// Not a vSphere answer.
    Foreign(String),
}

impl Session {
    /// Logs in.
    pub async fn open(profile: &Profile) -> ProviderResult<Self> {
        let url = http::endpoint(&profile.api_url, "https://HOST/sdk")?;
        let trust = Trust::of(profile)?;
        let counts = Counts::default();
        let live = login(&url, profile, &trust, &counts, 1).await?;
        Ok(Self { url, profile: profile.clone(), trust, live: RwLock::new(Arc::new(live)), login: AsyncMutex::new(()), counts })
    }

    /// The session as it is now.
    pub async fn live(&self) -> Arc<Live> {
        self.live.read().await.clone()
    }

    /// Host and port of the endpoint.
    pub fn endpoint(&self) -> (String, u16) {
        host_port(&self.url)
    }

    /// The certificates by which Forklift can verify the endpoint.
    pub async fn ca_chain(&self) -> ProviderResult<Option<String>> {
        if self.url.scheme() == "http" {
            return Ok(None);
        }
        let (host, port) = self.endpoint();
        self.trust.ca_chain(&host, port).await
    }

    /// Requests so far, by method.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.counts.all()
    }

    /// Logs in again, unless somebody else has done so since `old` was current.
    pub async fn renew(&self, old: &Live) -> ProviderResult<Arc<Live>> {
        let _one_at_a_time = self.login.lock().await;
        let current = self.live().await;
        if current.generation != old.generation {
            return Ok(current);
        }
        tracing::debug!(host = self.url.host_str(), "the vSphere session ended; logging in again");
        let fresh = Arc::new(login(&self.url, &self.profile, &self.trust, &self.counts, old.generation + 1).await?);
        *self.live.write().await = fresh.clone();
        Ok(fresh)
    }

    /// Calls a method in the current session; when that has ended, logs in once and calls again.
    pub async fn call(&self, safety: Safety, patience: Duration, body: impl Fn(&Live) -> Node) -> Result<Node, CallError> {
        let live = self.live().await;
        match self.call_in(&live, safety, patience, &body(&live)).await {
            Err(CallError::Fault(fault)) if session_ended(&fault, &live) => {
                let fresh = self.renew(&live).await.map_err(CallError::Other)?;
                self.call_in(&fresh, safety, patience, &body(&fresh)).await
            }
            other => other,
        }
    }

    /// Calls a method in one session.
    pub async fn call_in(&self, live: &Live, safety: Safety, patience: Duration, body: &Node) -> Result<Node, CallError> {
        let result = call(&live.client, &self.url, &live.action, &self.counts, safety, patience, body).await;
        match result {
            Ok(node) => Ok(node),
            Err(error) => Err(refine(&self.url, error).await),
        }
    }

    /// Ends the session. What fails is not worth a word: the server ends idle sessions by itself.
    pub async fn close(&self) {
        let live = self.live().await;
        let body = request("Logout", &live.sessions);
        let _ = self.call_in(&live, Safety::Once, CONNECT, &body).await;
    }
}

/// Whether a fault says that the session is gone: by name, or because the session's own view is.
fn session_ended(fault: &Fault, live: &Live) -> bool {
    fault.kind == "NotAuthenticated"
        || (fault.kind == "ManagedObjectNotFound" && fault.detail.get("obj").is_some_and(|obj| obj.trim() == live.view.value))
}

async fn login(url: &Url, profile: &Profile, trust: &Trust, counts: &Counts, generation: u64) -> ProviderResult<Live> {
    // A client of its own per login: no cookie of an ended session gets into the new one.
    let client = http::client(url, trust, true)?;
    let ask = async |action: &str, body: Node| match call(&client, url, action, counts, Safety::Repeatable, CALL, &body).await {
        Ok(node) => Ok(node),
        Err(error) => Err(refine(url, error).await),
    };
    let doing = format!("log in to {} with profile `{}`", address(url), profile.name);
    let response = ask(FIRST_ACTION, request("RetrieveServiceContent", &MoRef::new("ServiceInstance", "ServiceInstance")))
        .await
        .map_err(|error| error.explained(&doing))?;
    let content = response.child("returnval").cloned().unwrap_or_default();
    let part = |name: &str| {
        content.child(name).and_then(MoRef::read).ok_or_else(|| {
            ProviderError::Unreachable(format!("{doing}: the server's content has no {name}; is {url} the SDK of a vCenter?"))
        })
    };
    let (collector, sessions, views, root) =
        (part("propertyCollector")?, part("sessionManager")?, part("viewManager")?, part("rootFolder")?);
    let about = content.child("about").cloned().unwrap_or_default();
    let action = match about.get("apiVersion") {
        Some(version) if !version.is_empty() => format!("{FIRST_ACTION}/{version}"),
        _ => FIRST_ACTION.to_owned(),
    };
    let body = request("Login", &sessions).field("userName", &profile.username).field("password", profile.password.expose());
    ask(&action, body).await.map_err(|error| match error {
        CallError::Fault(fault) if matches!(fault.kind.as_str(), "InvalidLogin" | "NoPermission") => ProviderError::Login(format!(
            "{doing}: {} for user `{}`; hint: check `username` (with its domain, as in user@vsphere.local) and `password` of the profile",
            if fault.kind == "InvalidLogin" { "the user name or password was refused" } else { "logging in is not permitted" },
            profile.username
        )),
        other => other.explained(&doing),
    })?;
    let body = request("CreateContainerView", &views)
        .with(root.node("container"))
        .field("type", "VirtualMachine")
        .field("type", "ComputeResource")
        .field("recursive", true);
    let response = ask(&action, body).await.map_err(|error| error.explained(&doing))?;
    let view = response
        .child("returnval")
        .and_then(MoRef::read)
        .ok_or_else(|| ProviderError::Operation(format!("{doing}: the answer to CreateContainerView names no view")))?;
    Ok(Live {
        generation,
        client,
        action,
        collector,
        sessions,
        product: about.get("fullName").unwrap_or("unknown version").to_owned(),
        vcenter: about.get("apiType") == Some("VirtualCenter"),
        files: content.child("fileManager").and_then(MoRef::read),
        view,
        pool: Pool::default(),
    })
}

/// Sends a request until it has an answer or may not be repeated.
async fn call(
    client: &reqwest::Client,
    url: &Url,
    action: &str,
    counts: &Counts,
    safety: Safety,
    patience: Duration,
    body: &Node,
) -> Result<Node, TryError> {
    let text = envelope(body);
    let once = || async {
        counts.add(&body.name);
        kill_points::pass(&body.name);
        let answer = send(client, url, action, patience, &text).await;
        kill_points::pass("answer of vSphere");
        answer
    };
    once.retry(ExponentialBuilder::default().with_jitter().with_min_delay(FIRST_PAUSE).with_max_times(RETRIES))
        .when(|error| match error {
            TryError::Lost(Lost::NotSent(_)) => true,
            TryError::Busy(_) | TryError::Lost(Lost::Unclear(_)) => safety == Safety::Repeatable,
            TryError::Fault(_) | TryError::Lost(Lost::Tls(_)) | TryError::Foreign(_) => false,
        })
        .notify(|_, pause| tracing::debug!(method = %body.name, ?pause, "vSphere did not answer; trying again"))
        .await
}

async fn send(client: &reqwest::Client, url: &Url, action: &str, patience: Duration, text: &str) -> Result<Node, TryError> {
    let exchange = Exchange::begin(|| format!("vsphere POST {} {action}", address(url)), "text/xml", text.as_bytes());
    let lost = |error: reqwest::Error| {
        let lost = Lost::from(error);
        exchange.answer(&format!("no answer: {lost:?}"), "", b"");
        TryError::Lost(lost)
    };
    let response = client
        .post(url.clone())
        .header(header::CONTENT_TYPE, "text/xml; charset=utf-8")
        .header("SOAPAction", action)
        .timeout(patience)
        .body(text.to_owned())
        .send()
        .await
        .map_err(lost)?;
    let status = response.status();
    if matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) {
        return Err(TryError::Busy(status));
    }
    let text = response.text().await.map_err(lost)?;
    exchange.answer(status.as_str(), "text/xml", text.as_bytes());
    match answer(&text) {
        Ok(Answer::Response(node)) if status.is_success() => Ok(node),
        Ok(Answer::Response(_)) => Err(TryError::Foreign(format!("HTTP {status} with an answer that is no fault"))),
        Ok(Answer::Fault(fault)) => Err(TryError::Fault(fault)),
        Err(why) => Err(TryError::Foreign(format!("HTTP {status}: {why}"))),
    }
}

/// From a failed try to what callers see, with the address and a hint.
async fn refine(url: &Url, error: TryError) -> CallError {
    let address = address(url);
    match error {
        TryError::Fault(fault) => CallError::Fault(fault),
        TryError::Lost(Lost::Unclear(why)) => CallError::Unclear(format!("{address}: {why}")),
        TryError::Busy(status) => CallError::Unclear(format!("{address} answered HTTP {status}")),
        TryError::Lost(lost) => CallError::Other(lost.explained(url).await),
        TryError::Foreign(why) => CallError::Other(ProviderError::Unreachable(format!(
            "{address} does not answer like a vCenter: {why}; hint: `api_url` should read https://HOST/sdk"
        ))),
    }
}
