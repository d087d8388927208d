//! One session, shared by all scenarios of a run: log in, call, log in again when the session ended, retry what may be retried.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mtv_api::xml::Node;
use reqwest::{Url, header};
use tokio::sync::{Mutex as AsyncMutex, RwLock};

use super::{
    collector::Pool,
    fault::explain,
    wire::{Answer, Fault, MoRef, answer, envelope, request},
};
pub use crate::providers::http::Safety;
use crate::{
    config::profile::Profile,
    diagnosis::Hinted,
    kill_points,
    limits::{Form, Limit},
    providers::{
        ProviderError, ProviderErrorKind, ProviderResult,
        http::{self, CONNECT, Counts, Lost, address, host_port},
        tls::Trust,
    },
    retry::{self, Fate as RetryFate, Policy, Story},
    secrets::excerpt,
    trace::Exchange,
};

/// The time of an ordinary call: the policy's. Collecting thousands of objects on a loaded vCenter takes seconds, not a minute.
pub const CALL: Option<Duration> = None;
/// The version that every vCenter knows; used until the server has said its own.
const FIRST_ACTION: &str = "urn:vim25";

/// Why a call gave no response.
#[derive(Debug)]
pub enum CallError {
    /// The server answered with a fault.
    Fault(Fault),
    /// It is not known whether the request was carried out.
    Unclear(Hinted),
    /// Anything else, in the tool's terms.
    Other(ProviderError),
}

impl CallError {
    /// The tool's error, for callers that treat no fault in a special way.
    pub fn explained(self, doing: &str) -> ProviderError {
        match self {
            Self::Fault(fault) => explain(&fault, doing),
            Self::Unclear(why) => ProviderError::unreachable(format!("{doing}: the answer was lost: {why}")).with_hints(why.hints),
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
    /// `GuestOperationsManager`, if there is one.
    pub guest: Option<MoRef>,
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
    policy: Policy,
}

/// An answer that refuses.
#[derive(Debug)]
enum Refusal {
    Fault(Fault),
    /// One that vCenter does not give.
    Foreign(String),
}

/// Why one try gave no response.
type TryError = retry::TryError<Lost, Refusal>;

impl Session {
    /// Logs in.
    pub async fn open(profile: &Profile) -> ProviderResult<Self> {
        let url = http::endpoint(&profile.api_url, "https://HOST/sdk")?;
        http::require_tls(&url, profile, "api_url")?;
        let trust = Trust::of(profile)?;
        let counts = Counts::default();
        let policy = Policy::current();
        let live = login(&url, profile, &trust, &counts, policy, 1).await?;
        Ok(Self { url, profile: profile.clone(), trust, live: RwLock::new(Arc::new(live)), login: AsyncMutex::new(()), counts, policy })
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
        let fresh = Arc::new(login(&self.url, &self.profile, &self.trust, &self.counts, self.policy, old.generation + 1).await?);
        *self.live.write().await = fresh.clone();
        Ok(fresh)
    }

    /// Calls a method in the current session; when that has ended, logs in and calls again.
    pub async fn call(&self, safety: Safety, patience: Option<Duration>, body: impl Fn(&Live) -> Node) -> Result<Node, CallError> {
        let mut live = self.live().await;
        let mut renewals = Renewals::default();
        loop {
            match self.call_in(&live, safety, patience, &body(&live)).await {
                Err(CallError::Fault(fault)) if session_ended(&fault, &live) && renewals.another() => {
                    live = self.renew(&live).await.map_err(CallError::Other)?;
                }
                other => return other,
            }
        }
    }

    /// Calls a method in one session.
    pub async fn call_in(&self, live: &Live, safety: Safety, patience: Option<Duration>, body: &Node) -> Result<Node, CallError> {
        let send = Send { client: &live.client, url: &self.url, action: &live.action, counts: &self.counts, policy: self.policy };
        send.call(safety, patience, body).await
    }

    /// Reads what stands at an address that the server has named, which may be that of one of its hosts. Certificates are verified as
    /// those of the server itself.
    pub async fn fetch(&self, url: &Url) -> ProviderResult<String> {
        http::require_tls(url, &self.profile, "the address of a file of the guest,")?;
        let client = http::client(url, &self.trust, false)?;
        let get = |patience: Duration| {
            self.counts.add("GET");
            let request = client.get(url.clone()).timeout(patience);
            async move {
                let response = request.send().await.map_err(|error| TryError::Lost(Lost::from(error)))?;
                let answer = http::read(response, Limit::File, Form::Text).await.map_err(TryError::Lost)?;
                let status = answer.status;
                if let Some(fate) = RetryFate::of_status(status.as_u16(), http::asked_pause(&answer.headers)) {
                    return Err(TryError::Busy(status, fate, String::new()));
                }
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                if status.is_success() { Ok(text) } else { Err(TryError::Refused(Refusal::Foreign(format!("HTTP {status}")))) }
            }
        };
        let fate = |error: &TryError| error.fate(|lost| lost.fate(Safety::Repeatable));
        match self.policy.run(Safety::Repeatable, fate, get).await {
            Ok(text) => Ok(text),
            Err(gave_up) => Err(match gave_up.error {
                TryError::Lost(lost) => lost.explained(url, gave_up.story).await,
                TryError::Busy(status, ..) => {
                    ProviderError::unreachable(format!("{} answered HTTP {status}{}", address(url), gave_up.story))
                }
                TryError::Refused(Refusal::Fault(fault)) => explain(&fault, "read a file of the guest"),
                TryError::Garbled(_, why) | TryError::Refused(Refusal::Foreign(why)) => {
                    ProviderError::operation(format!("{} does not give a file of the guest: {why}{}", address(url), gave_up.story))
                }
            }),
        }
    }

    /// How requests are repeated.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Ends the session. What fails is not worth a word: the server ends idle sessions by itself.
    pub async fn close(&self) {
        let live = self.live().await;
        let body = request("Logout", &live.sessions);
        let _ = self.call_in(&live, Safety::Once, Some(CONNECT), &body).await;
    }
}

/// Sessions that one call may go through. A vCenter that restarts, or one of several behind an
/// address, may end a session that has just begun; one that takes no session at all must not be
/// asked for ever.
const SESSIONS: u32 = 4;

/// Counts the sessions of one call.
#[derive(Debug, Default)]
pub struct Renewals(u32);

impl Renewals {
    /// Whether there may be another session after the one that has ended.
    pub const fn another(&mut self) -> bool {
        self.0 += 1;
        self.0 < SESSIONS
    }
}

/// Whether a fault says that the session is gone: by name, or because the session's own view is.
pub fn session_ended(fault: &Fault, live: &Live) -> bool {
    fault.kind == "NotAuthenticated"
        || (fault.kind == "ManagedObjectNotFound" && fault.detail.get("obj").is_some_and(|obj| obj.trim() == live.view.value))
}

/// Why a login did not come to its end.
enum Unfinished {
    /// Its answer was lost. The same session cannot log in again if the server has carried it out: a new one has to.
    Lost(ProviderError),
    Failed(ProviderError),
}

impl From<ProviderError> for Unfinished {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

/// What a refusal means for a login: a session may end before it is ready, as that of a server that
/// restarts does, and then another login helps.
fn unfinished(error: CallError, doing: &str) -> Unfinished {
    let ended = matches!(&error, CallError::Fault(fault) if fault.kind == "NotAuthenticated");
    let error = error.explained(doing);
    if ended { Unfinished::Lost(error) } else { Unfinished::Failed(error) }
}

async fn login(url: &Url, profile: &Profile, trust: &Trust, counts: &Counts, policy: Policy, generation: u64) -> ProviderResult<Live> {
    let mut tries = policy.start();
    loop {
        tries.begin();
        match log_in(url, profile, trust, counts, policy, generation).await {
            Ok(live) => return Ok(live),
            Err(Unfinished::Failed(error)) => return Err(error),
            // The session that nobody knows ends by itself.
            Err(Unfinished::Lost(_)) if tries.again(None).await => {}
            Err(Unfinished::Lost(why)) => {
                let lost = ProviderError::unreachable(format!("{why}{}", tries.story()));
                return Err(lost.with_hints(why.hints().iter().cloned()));
            }
        }
    }
}

async fn log_in(url: &Url, profile: &Profile, trust: &Trust, counts: &Counts, policy: Policy, generation: u64) -> Result<Live, Unfinished> {
    // A client of its own per login: no cookie of an ended session gets into the new one.
    let client = http::client(url, trust, true)?;
    let ask = async |action: &str, safety: Safety, body: Node| {
        // Only the first login may find that the address is wrong.
        let policy = if generation == 1 { policy.first_contact() } else { policy };
        Send { client: &client, url, action, counts, policy }.call(safety, CALL, &body).await
    };
    let doing = format!("log in to {} with profile `{}`", address(url), profile.name);
    let response =
        ask(FIRST_ACTION, Safety::Repeatable, request("RetrieveServiceContent", &MoRef::new("ServiceInstance", "ServiceInstance")))
            .await
            .map_err(|error| unfinished(error, &doing))?;
    let content = response.child("returnval").cloned().unwrap_or_default();
    let part = |name: &str| {
        content.child(name).and_then(MoRef::read).ok_or_else(|| {
            ProviderError::unreachable(format!(
                "{doing}: the server's content has no {name}; is {} the SDK of a vCenter?",
                http::place(url)
            ))
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
    ask(&action, Safety::Once, body).await.map_err(|error| match error {
        CallError::Unclear(_) => Unfinished::Lost(error.explained(&doing)),
        CallError::Fault(fault) if matches!(fault.kind.as_str(), "InvalidLogin" | "NoPermission") => ProviderError::login(format!(
            "{doing}: {} for user `{}`",
            if fault.kind == "InvalidLogin" { "the user name or password was refused" } else { "logging in is not permitted" },
            profile.username
        ))
        .hint(format!(
            "check `username`{} and `password` of the profile",
            // The users of a host have no domain.
            if about.get("apiType") == Some("HostAgent") { "" } else { " (with its domain, as in user@vsphere.local)" }
        ))
        .into(),
        other => unfinished(other, &doing),
    })?;
    let body = request("CreateContainerView", &views)
        .with(root.node("container"))
        .field("type", "VirtualMachine")
        .field("type", "ComputeResource")
        .field("recursive", true);
    let response = ask(&action, Safety::Repeatable, body).await.map_err(|error| unfinished(error, &doing))?;
    let view = response
        .child("returnval")
        .and_then(MoRef::read)
        .ok_or_else(|| ProviderError::operation(format!("{doing}: the answer to CreateContainerView names no view")))?;
    Ok(Live {
        generation,
        client,
        action,
        collector,
        sessions,
        product: about.get("fullName").unwrap_or("unknown version").to_owned(),
        vcenter: about.get("apiType") == Some("VirtualCenter"),
        files: content.child("fileManager").and_then(MoRef::read),
        guest: content.child("guestOperationsManager").and_then(MoRef::read),
        view,
        pool: Pool::default(),
    })
}

/// Longest part of an element's name that an error repeats, characters.
const NAMED: usize = 100;

/// How much of a method's answer is read.
fn limit(method: &str) -> Limit {
    match method {
        "RetrieveServiceContent" | "Login" | "Logout" | "CreateContainerView" => Limit::Login,
        "RetrievePropertiesEx" | "ContinueRetrievePropertiesEx" | "WaitForUpdatesEx" => Limit::List,
        _ => Limit::Object,
    }
}

/// How a request is sent.
struct Send<'a> {
    client: &'a reqwest::Client,
    url: &'a Url,
    action: &'a str,
    counts: &'a Counts,
    policy: Policy,
}

impl Send<'_> {
    /// Sends a request until it has an answer or may not be repeated. `patience` is that of calls that the server holds.
    async fn call(&self, safety: Safety, patience: Option<Duration>, body: &Node) -> Result<Node, CallError> {
        let text = &envelope(body);
        let sent = self.policy.run(
            safety,
            |error: &TryError| error.fate(|lost| lost.fate(safety)),
            |ordinary| {
                self.counts.add(&body.name);
                async move {
                    kill_points::pass(&body.name);
                    let answer = self.once(patience.unwrap_or(ordinary), &body.name, text).await;
                    kill_points::pass("answer of vSphere");
                    answer
                }
            },
        );
        match sent.await {
            Ok(node) => Ok(node),
            Err(gave_up) => Err(self.refine(gave_up.error, gave_up.story).await),
        }
    }

    async fn once(&self, patience: Duration, method: &str, text: &str) -> Result<Node, TryError> {
        let (url, action) = (self.url, self.action);
        let exchange = Exchange::begin(|| format!("vsphere POST {} {action}", address(url)), "text/xml", text.as_bytes());
        let lost = |lost: Lost| {
            exchange.answer(&format!("no answer: {lost}"), "", b"");
            TryError::Lost(lost)
        };
        let response = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "text/xml; charset=utf-8")
            .header("SOAPAction", self.action)
            .timeout(patience)
            .body(text.to_owned())
            .send()
            .await
            .map_err(|error| lost(error.into()))?;
        let http::Answer { status, headers, body } = http::read(response, limit(method), Form::Xml).await.map_err(lost)?;
        if let Some(fate) = RetryFate::of_status(status.as_u16(), http::asked_pause(&headers)) {
            exchange.answer(status.as_str(), "", b"");
            return Err(TryError::Busy(status, fate, String::new()));
        }
        exchange.answer(status.as_str(), "text/xml", &body);
        match answer(&String::from_utf8_lossy(&body)) {
            Ok(Answer::Response(node)) if status.is_success() && node.name.strip_suffix("Response") == Some(method) => Ok(node),
            Ok(Answer::Response(node)) if status.is_success() => {
                Err(TryError::Garbled(status, format!(" with the answer `{}` to {method}", excerpt(&node.name, NAMED))))
            }
            Ok(Answer::Fault(fault)) => Err(TryError::Refused(Refusal::Fault(fault))),
            Ok(Answer::Response(_)) => Err(TryError::Refused(Refusal::Foreign(format!("HTTP {status} with an answer that is no fault")))),
            // Faults come with 500, so that a 500 without one is not vCenter's own.
            Err(why) if status.is_success() || status.is_server_error() => Err(TryError::Garbled(status, format!(": {why}"))),
            Err(why) => Err(TryError::Refused(Refusal::Foreign(format!("HTTP {status}: {why}")))),
        }
    }

    /// From a failed try to what callers see, with the address and a hint.
    async fn refine(&self, error: TryError, story: Story) -> CallError {
        let address = address(self.url);
        let foreign = |why: &str| {
            Hinted::new(format!("{address} does not answer like a vCenter: {why}{story}"), "`api_url` should read https://HOST/sdk")
        };
        match error {
            TryError::Refused(Refusal::Fault(fault)) => CallError::Fault(fault),
            TryError::Lost(Lost::Unclear(why)) => CallError::Unclear(format!("{address}: {why}{story}").into()),
            // Only what may be sent twice has ended with it for good.
            TryError::Lost(Lost::TooLarge(why)) => CallError::Unclear(format!("{address}: {why}{story}").into()),
            TryError::Busy(status, RetryFate::NotNow(_), _) => {
                CallError::Other(ProviderError::unreachable(format!("{address} answered HTTP {status}{story}")))
            }
            TryError::Busy(status, ..) => CallError::Unclear(format!("{address} answered HTTP {status}{story}").into()),
            TryError::Lost(lost) => CallError::Other(lost.explained(self.url, story).await),
            TryError::Garbled(status, what) => CallError::Unclear(foreign(&format!("HTTP {status}{what}"))),
            TryError::Refused(Refusal::Foreign(why)) => {
                CallError::Other(ProviderError::from_hinted(ProviderErrorKind::Unreachable, foreign(&why)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::profile::{Details, VsphereProfile},
        providers::{
            scripted::{Asked, Say, Scripted},
            vsphere::{
                collector::retrieve,
                props::{filter, properties, start},
            },
        },
    };

    /// Whether this session ends at this method.
    type Ends = fn(usize, &str) -> bool;

    /// A vCenter that counts sessions: each has a property collector of its own.
    struct Vcenter {
        ends: Ends,
        refuses: bool,
    }

    fn envelope_of(body: &str) -> String {
        format!(
            "<soapenv:Envelope xmlns:soapenv=\"s\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
        )
    }

    fn fault(kind: &str) -> Say {
        let body =
            format!("<soapenv:Fault><faultstring>{kind}</faultstring><detail><{kind}Fault xsi:type=\"{kind}\"/></detail></soapenv:Fault>");
        Say::Answer(500, envelope_of(&body))
    }

    fn vms(ids: &[&str], token: &str) -> String {
        let objects = ids.iter().map(|id| {
            format!("<objects><obj type=\"VirtualMachine\">{id}</obj><propSet><name>name</name><val>name of {id}</val></propSet></objects>")
        });
        format!("{}{}", if token.is_empty() { String::new() } else { format!("<token>{token}</token>") }, objects.collect::<String>())
    }

    impl Vcenter {
        async fn serve(self) -> Scripted {
            let logins = std::sync::atomic::AtomicUsize::new(0);
            Scripted::serve(move |asked, _| {
                use std::sync::atomic::Ordering::Relaxed;
                let method = method_of(asked);
                let session = logins.load(Relaxed);
                let response = |inner: &str| {
                    Say::Answer(200, envelope_of(&format!("<{method}Response><returnval>{inner}</returnval></{method}Response>")))
                };
                match method.as_str() {
                    "RetrieveServiceContent" => {
                        let part = |name: &str, kind: &str| format!("<{name} type=\"{kind}\">{kind}-of-session-{}</{name}>", session + 1);
                        response(&format!(
                            "{}{}{}{}<about><fullName>test</fullName><apiVersion>8.0</apiVersion><apiType>VirtualCenter</apiType></about>",
                            part("rootFolder", "Folder"),
                            part("propertyCollector", "PropertyCollector"),
                            part("viewManager", "ViewManager"),
                            part("sessionManager", "SessionManager")
                        ))
                    }
                    "Login" if self.refuses => fault("InvalidLogin"),
                    "Login" => {
                        logins.fetch_add(1, Relaxed);
                        response("")
                    }
                    "CreateContainerView" => Say::Answer(
                        200,
                        envelope_of(&format!(
                            "<{method}Response><returnval type=\"ContainerView\">view-{session}</returnval></{method}Response>"
                        )),
                    ),
                    // What comes with an old collector, or at the end of a session, is refused.
                    _ if !asked.body.contains(&format!("PropertyCollector-of-session-{session}<")) => fault("NotAuthenticated"),
                    method if (self.ends)(session, method) => fault("NotAuthenticated"),
                    "RetrievePropertiesEx" => response(&vms(&["vm-1", "vm-2"], "page-2")),
                    "ContinueRetrievePropertiesEx" => response(&vms(&["vm-3"], "")),
                    _ => fault("NotSupported"),
                }
            })
            .await
        }
    }

    fn method_of(asked: &Asked) -> String {
        let (_, body) = asked.body.split_once("Body><").unwrap();
        body.split([' ', '>', '/']).next().unwrap().to_owned()
    }

    async fn opened(server: &Scripted) -> ProviderResult<Session> {
        Session::open(&server.profile("/sdk", Details::from(VsphereProfile::default()))).await
    }

    async fn names(session: &Session) -> Result<Vec<String>, String> {
        let spec = |live: &Live| filter("specSet", [properties("VirtualMachine", &["name"])], [start(&live.view, true, [])]);
        let found = retrieve(session, spec).await.map_err(|error| error.explained("list").to_string())?;
        Ok(found.iter().map(|object| object.id.value.clone()).collect())
    }

    /// How many requests there were, by method.
    fn count(server: &Scripted, method: &str) -> usize {
        server.asked().iter().filter(|asked| method_of(asked) == method).count()
    }

    /// Where sessions end; logins, first pages and further pages that it takes to read everything once.
    #[tokio::test]
    async fn all_pages_are_read_in_one_session_wherever_another_ends() {
        let cases: [(&str, Ends, [usize; 3]); 4] = [
            ("none ends", |_, _| false, [1, 1, 1]),
            ("at the first page", |session, method| session == 1 && method == "RetrievePropertiesEx", [2, 2, 1]),
            ("at the second page", |session, method| session == 1 && method.starts_with("Continue"), [2, 2, 2]),
            (
                "at the second page, and the next at its first",
                |session, method| session < 3 && method.starts_with(if session == 1 { "Continue" } else { "Retrieve" }),
                [3, 3, 2],
            ),
        ];
        for (case, ends, expected) in cases {
            Policy::STANDARD
                .faster(20)
                .scope(async {
                    let server = Vcenter { ends, refuses: false }.serve().await;
                    let session = opened(&server).await.unwrap();
                    assert_eq!(names(&session).await.unwrap(), ["vm-1", "vm-2", "vm-3"], "{case}: each once");
                    let seen =
                        [count(&server, "Login"), count(&server, "RetrievePropertiesEx"), count(&server, "ContinueRetrievePropertiesEx")];
                    assert_eq!(seen, expected, "{case}");
                })
                .await;
        }
    }

    #[tokio::test]
    async fn a_vcenter_that_ends_every_session_is_not_asked_for_ever() {
        let server = Vcenter { ends: |_, _| true, refuses: false }.serve().await;
        let session = opened(&server).await.unwrap();
        let error = names(&session).await.unwrap_err();
        assert!(error.contains("a new session may not read properties either"), "{error}");
        assert_eq!(count(&server, "Login"), SESSIONS as usize);
    }

    #[tokio::test]
    async fn all_who_meet_the_end_of_a_session_share_the_new_one() {
        let server = Vcenter { ends: |session, _| session == 1, refuses: false }.serve().await;
        let session = opened(&server).await.unwrap();
        let (one, two, three) = tokio::join!(names(&session), names(&session), names(&session));
        assert_eq!((one.unwrap().len(), two.unwrap().len(), three.unwrap().len()), (3, 3, 3));
        assert_eq!(count(&server, "Login"), 2);
    }

    #[tokio::test]
    async fn a_refused_login_is_not_repeated() {
        let server = Vcenter { ends: |_, _| false, refuses: true }.serve().await;
        let error = opened(&server).await.unwrap_err();
        assert!(error.is(ProviderErrorKind::Login) && error.to_string().contains("refused for user `joe`"), "{error:?}");
        assert_eq!(count(&server, "Login"), 1, "more would lock the account");
    }
}
