//! The property collector: reading many objects with one request, and waiting for one object without polling.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mtv_api::xml::Node;
use tokio::time::Instant;

use super::{
    fault::explain,
    props::{Object, filter, properties, start},
    session::{CALL, CallError, Live, Renewals, Safety, Session, session_ended},
    wire::{MoRef, request},
};
use crate::{
    diagnosis::Hinted,
    limits::{Total, weight_of_node},
    providers::{ProviderError, ProviderErrorKind, ProviderResult},
};

/// Objects per answer. A name and a mark are about 400 bytes: below 1 MB, so that even a large inventory is read in few
/// requests and no answer is long under way.
pub const PAGE: usize = 2000;
/// Filters that a collector may gather before it is replaced. A finished filter costs nothing but a few bytes in the next
/// first answer; destroying each by itself would cost a request per operation.
const FILTERS: u32 = 24;
/// Pause after a wait that the server ended with an error, before the collector is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// A collector that one wait at a time uses.
#[derive(Debug)]
struct Collector {
    id: MoRef,
    filters: u32,
}

/// Idle collectors of a session. They stay with the server until the session ends.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Vec<Collector>>);

impl Pool {
    fn take(&self) -> Option<Collector> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, collector: Collector) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(collector);
    }
}

/// What came of reading all pages.
enum Pages {
    All(Vec<Object>),
    /// The session has ended, and the pages with it; some servers say so per property instead of
    /// with a fault.
    Ended,
    /// A page was lost, or cannot be what the server has sent. Its token dies with its first use, so
    /// that only beginning anew helps.
    Lost(Hinted),
}

/// Collects properties: what `spec` selects, over all pages.
pub async fn retrieve(session: &Session, spec: impl Fn(&Live) -> Node) -> Result<Vec<Object>, CallError> {
    let mut live = session.live().await;
    let mut renewals = Renewals::default();
    let mut tries = session.policy().start();
    loop {
        tries.begin();
        match retrieve_in(session, &live, &spec).await? {
            Pages::All(objects) => return Ok(objects),
            Pages::Ended if renewals.another() => live = session.renew(&live).await.map_err(CallError::Other)?,
            Pages::Ended => {
                return Err(CallError::Other(ProviderError::login("a new session may not read properties either".into())));
            }
            Pages::Lost(why) => {
                if !tries.again(None).await {
                    return Err(CallError::Unclear(why));
                }
                live = session.live().await;
            }
        }
    }
}

/// Reads all pages in one session: a token belongs to the session that has given it.
async fn retrieve_in(session: &Session, live: &Live, spec: &impl Fn(&Live) -> Node) -> Result<Pages, CallError> {
    let (mut objects, mut total) = (Vec::new(), Total::default());
    let begin = request("RetrievePropertiesEx", &live.collector).with(spec(live)).with(Node::new("options").field("maxObjects", PAGE));
    let mut answer = session.call_in(live, Safety::Repeatable, CALL, &begin).await;
    loop {
        let page = match answer {
            Ok(page) => page,
            Err(CallError::Fault(fault)) if session_ended(&fault, live) => return Ok(Pages::Ended),
            // The first one was repeated as often as it may be.
            Err(CallError::Unclear(why)) if total != Total::default() => return Ok(Pages::Lost(why)),
            Err(error) => return Err(error),
        };
        let Some(result) = page.child("returnval") else { break };
        for content in result.children_named("objects") {
            let Some(object) = Object::read(content) else {
                return Ok(Pages::Lost("the server answers with an object that has no id".to_owned().into()));
            };
            total.add(weight_of_node(content)).map_err(|why| CallError::Other(ProviderError::operation(why.to_string())))?;
            objects.push(object);
        }
        let Some(token) = result.get("token").filter(|token| !token.is_empty()) else { break };
        let more = request("ContinueRetrievePropertiesEx", &live.collector).field("token", token);
        answer = session.call_in(live, Safety::Once, CALL, &more).await;
    }
    let stranger = objects.iter().any(|o| o.missing.values().any(|fault| fault.kind == "NotAuthenticated"));
    Ok(if stranger { Pages::Ended } else { Pages::All(objects) })
}

/// What a wait is about.
#[derive(Debug, Clone, Copy)]
pub struct Awaited<'a> {
    /// The object.
    pub object: &'a MoRef,
    /// Its properties.
    pub paths: &'a [&'a str],
    /// What is awaited, for the error: "task-12 (clone `a` to `b`)".
    pub what: &'a str,
    /// How long.
    pub patience: Duration,
}

/// How a wait can end.
#[derive(Debug)]
pub enum Ended<T> {
    /// The condition holds.
    Done(T),
    /// The object does not exist any more.
    Gone,
    /// The deadline is over; the last properties seen.
    Late(BTreeMap<String, Node>),
}

/// Waits until `done` gives a value for the object's properties.
///
/// The server holds each request open until something changes. Lost answers, ended sessions and lost versions begin a new
/// filter, whose first answer is the whole present state: nothing that happens between two requests is missed.
pub async fn wait<T>(
    session: &Session,
    awaited: Awaited<'_>,
    mut done: impl FnMut(&BTreeMap<String, Node>) -> Option<T>,
) -> ProviderResult<Ended<T>> {
    let deadline = Instant::now() + awaited.patience;
    let mut seen = BTreeMap::new();
    loop {
        let live = session.live().await;
        let round = round(session, &live, &awaited, deadline, &mut seen, &mut done);
        // A request that hangs does not outlast the deadline; its collector is not used again.
        let Ok(round) = tokio::time::timeout_at(deadline, round).await else { return Ok(Ended::Late(seen)) };
        match round {
            Ok(Some(value)) => return Ok(Ended::Done(value)),
            Ok(None) => return Ok(Ended::Gone),
            Err(CallError::Fault(fault)) if fault.is_gone(&awaited.object.value) && fault.detail.get("obj").is_some() => {
                return Ok(Ended::Gone);
            }
            Err(CallError::Fault(fault)) if matches!(fault.kind.as_str(), "NotAuthenticated") => match session.renew(&live).await {
                Ok(_) => {}
                Err(why) if why.is(ProviderErrorKind::Unreachable) => tracing::debug!(%why, what = awaited.what, "no new session yet"),
                Err(error) => return Err(error),
            },
            // The collector or its version is lost: that of an ended session, of a restarted server.
            Err(CallError::Fault(fault))
                if matches!(fault.kind.as_str(), "InvalidCollectorVersion" | "ManagedObjectNotFound" | "RequestCanceled") =>
            {
                tracing::debug!(fault = %fault.kind, what = awaited.what, "the wait was lost; beginning anew");
            }
            Err(CallError::Unclear(why)) => tracing::debug!(%why, what = awaited.what, "the wait was cut; beginning anew"),
            // A vCenter that restarts is away for minutes; the deadline says how many of them are too many.
            Err(CallError::Other(why)) if why.is(ProviderErrorKind::Unreachable) => {
                tracing::debug!(%why, what = awaited.what, "the wait cannot reach the server; beginning anew");
            }
            Err(CallError::Fault(fault)) => return Err(explain(&fault, &format!("wait for {}", awaited.what))),
            Err(CallError::Other(error)) => return Err(error),
        }
        if Instant::now() + PAUSE >= deadline {
            return Ok(Ended::Late(seen));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One filter from its beginning until the condition holds (some value) or the object is gone (none).
async fn round<T>(
    session: &Session,
    live: &Live,
    awaited: &Awaited<'_>,
    deadline: Instant,
    seen: &mut BTreeMap<String, Node>,
    done: &mut impl FnMut(&BTreeMap<String, Node>) -> Option<T>,
) -> Result<Option<T>, CallError> {
    let mut collector = match live.pool.take() {
        Some(collector) => collector,
        None => create(session, live).await?,
    };
    let spec = filter("spec", [properties(&awaited.object.kind, awaited.paths)], [start(awaited.object, false, [])])
        .field("reportMissingObjectsInResults", true);
    let body = request("CreateFilter", &collector.id).with(spec).field("partialUpdates", false);
    session.call_in(live, Safety::Repeatable, CALL, &body).await?;
    collector.filters += 1;
    let ended = follow(session, live, &collector.id, awaited, deadline, seen, done).await?;
    // After an error the collector is not used again; its session's end removes it.
    if collector.filters < FILTERS {
        live.pool.put(collector);
    } else {
        let body = request("DestroyPropertyCollector", &collector.id);
        let _ = session.call_in(live, Safety::Once, CALL, &body).await;
    }
    Ok(ended)
}

async fn create(session: &Session, live: &Live) -> Result<Collector, CallError> {
    let body = request("CreatePropertyCollector", &live.collector);
    let answer = session.call_in(live, Safety::Repeatable, CALL, &body).await?;
    let id = answer.child("returnval").and_then(MoRef::read);
    let id =
        id.ok_or_else(|| CallError::Other(ProviderError::operation("the answer to CreatePropertyCollector names no collector".into())))?;
    Ok(Collector { id, filters: 0 })
}

async fn follow<T>(
    session: &Session,
    live: &Live,
    collector: &MoRef,
    awaited: &Awaited<'_>,
    deadline: Instant,
    seen: &mut BTreeMap<String, Node>,
    done: &mut impl FnMut(&BTreeMap<String, Node>) -> Option<T>,
) -> Result<Option<T>, CallError> {
    // Empty: the whole present state. Filters of earlier waits report too, about other objects.
    let mut version = String::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: at zero the server answers at once, and the loop would spin until the deadline.
        // Held for the policy's patience, a minute: short enough that a connection that died silently is noticed within a
        // minute and a half, long enough that an idle wait costs a request a minute.
        let policy = session.policy();
        let hold = (left.as_secs() + 1).min(policy.patience.as_secs().max(1));
        let body =
            request("WaitForUpdatesEx", collector).field("version", &version).with(Node::new("options").field("maxWaitSeconds", hold));
        let answer = session.call_in(live, Safety::Once, Some(Duration::from_secs(hold) + policy.patience / 2), &body).await?;
        // No result: nothing changed within the time.
        let Some(set) = answer.child("returnval") else { continue };
        if let Some(next) = set.get("version") {
            next.clone_into(&mut version);
        }
        if apply(set, awaited.object, seen) {
            return Ok(None);
        }
        if let Some(value) = done(seen) {
            return Ok(Some(value));
        }
    }
}

/// Takes over what an update set says of one object. True: the object is gone.
fn apply(set: &Node, object: &MoRef, seen: &mut BTreeMap<String, Node>) -> bool {
    let mut gone = false;
    for update in set.children_named("filterSet") {
        let missing = update.children_named("missingObjects").filter_map(|m| m.child("obj").and_then(MoRef::read));
        gone |= missing.into_iter().any(|id| id == *object);
        for item in update.children_named("objectSet") {
            if item.child("obj").and_then(MoRef::read).as_ref() != Some(object) {
                continue;
            }
            match item.get("kind") {
                Some("leave") => gone = true,
                Some("enter") => {
                    gone = false;
                    seen.clear();
                }
                _ => {}
            }
            for change in item.children_named("changeSet") {
                let Some(name) = change.get("name") else { continue };
                match change.child("val") {
                    Some(value) if change.get("op") != Some("indirectRemove") => seen.insert(name.to_owned(), value.clone()),
                    _ => seen.remove(name),
                };
            }
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(objects: &str) -> Node {
        Node::parse(&format!(r#"<returnval xmlns:xsi="x"><version>1</version><filterSet>{objects}</filterSet></returnval>"#)).unwrap()
    }

    #[test]
    fn updates_enter_change_and_leave() {
        let object = MoRef::vm("vm-1");
        let mut seen = BTreeMap::new();
        let enter = set(r#"<objectSet><kind>enter</kind><obj type="VirtualMachine">vm-1</obj>
                 <changeSet><name>a</name><op>assign</op><val>1</val></changeSet>
                 <changeSet><name>b</name><op>assign</op><val>2</val></changeSet></objectSet>
               <objectSet><kind>enter</kind><obj type="VirtualMachine">vm-2</obj>
                 <changeSet><name>a</name><op>assign</op><val>9</val></changeSet></objectSet>"#);
        assert!(!apply(&enter, &object, &mut seen));
        let texts = |seen: &BTreeMap<String, Node>| seen.iter().map(|(k, v)| format!("{k}={}", v.text)).collect::<Vec<_>>().join(" ");
        assert_eq!(texts(&seen), "a=1 b=2");
        let modify = set(r#"<objectSet><kind>modify</kind><obj type="VirtualMachine">vm-1</obj>
                 <changeSet><name>a</name><op>assign</op></changeSet>
                 <changeSet><name>b</name><op>assign</op><val>3</val></changeSet></objectSet>"#);
        assert!(!apply(&modify, &object, &mut seen));
        assert_eq!(texts(&seen), "b=3");
        assert!(apply(&set(r#"<objectSet><kind>leave</kind><obj type="VirtualMachine">vm-1</obj></objectSet>"#), &object, &mut seen));
    }

    #[test]
    fn an_object_that_was_never_there_is_gone() {
        let missing = set(r#"<missingObjects><obj type="VirtualMachine">vm-1</obj><fault/></missingObjects>"#);
        assert!(apply(&missing, &MoRef::vm("vm-1"), &mut BTreeMap::new()));
        assert!(!apply(&missing, &MoRef::vm("vm-2"), &mut BTreeMap::new()));
    }
}
