//! Watches that break in every way, and waits that must not notice. Time is paused: what takes minutes here takes none there.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use kube::client::Body;
use mtv_api::kinds::{self, Kind};
use mtv_lab::{
    faults::{Effect, Faults, Rule, Server},
    kubernetes::{ApiServer, Options, User},
};
use mtv_test::{
    cluster::{Awaited, Cluster, ObjectExt as _},
    engine::{Deadline, Emitter, StepCx},
};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Waits in the test.
const WAITS: usize = 1000;
/// Kinds that they are about.
const KINDS: [&Kind; 4] = [&kinds::CONFIG_MAP, &kinds::SECRET, &kinds::PVC, &kinds::NAMESPACE];
/// Time within which the waits begin, seconds.
const SPAN: u64 = 3600;
/// Requests that a kind may cost in a second.
const PER_SECOND: usize = 3;
/// Longest time from a change to the end of its wait: a silent connection counts as dead after a minute, and its successor may be
/// silent too.
const LATEST: Duration = Duration::from_mins(4);

/// When each kind was asked for, by path segment.
type Log = Arc<Mutex<Vec<(String, Instant)>>>;

/// A server, a client that faults happen to and whose requests are written down, and one that looks behind.
struct Bed {
    cluster: Cluster,
    behind: Cluster,
    log: Log,
}

impl Bed {
    fn new(rules: Vec<Rule>) -> Self {
        let faults = Faults::default();
        for rule in rules {
            assert!(faults.add(rule).is_ok());
        }
        let user = User { name: "u".to_owned(), token: "t".to_owned(), groups: vec!["system:masters".to_owned()], password: None };
        let server = ApiServer::new(vec![user], Options { faults, ..Options::default() });
        let (log, inner) = (Log::default(), server.outside_client("u"));
        let written = log.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let kind = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            written.lock().unwrap().push((kind, Instant::now()));
            let inner = inner.clone();
            async move { inner.send(request).await }
        });
        let cluster = Cluster::over(kube::Client::new(service, "default"));
        Self { cluster, behind: Cluster::over(server.client("u")), log }
    }

    /// The largest number of requests for one kind in any second.
    fn busiest(&self) -> usize {
        let log = self.log.lock().unwrap();
        let of = |kind: &Kind| log.iter().filter(|(name, _)| name == kind.plural).map(|(_, at)| *at).collect::<Vec<_>>();
        let most = |times: Vec<Instant>| {
            let within = |first: Instant| times.iter().filter(|at| **at >= first && **at < first + Duration::from_secs(1)).count();
            times.iter().map(|first| within(*first)).max().unwrap_or_default()
        };
        KINDS.into_iter().map(|kind| most(of(kind))).max().unwrap_or_default()
    }
}

fn cx() -> StepCx {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    StepCx { emitter: Emitter::new("r", events), deadline: Deadline::after(Duration::from_hours(4)), cancel: CancellationToken::new() }
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn place(kind: &Kind) -> Option<&'static str> {
    kind.namespaced.then_some("default")
}

/// Makes an object, changes it a few times, brings it to its end, deletes half of them; waits for both. Returns how late the waits were.
async fn one(bed: &Bed, number: usize, mut numbers: Numbers) -> Result<Duration, String> {
    let kind = KINDS[number % KINDS.len()];
    let (namespace, name) = (place(kind), format!("x-{number}"));
    let mut body = json!({ "apiVersion": kind.api_version(), "kind": kind.kind, "metadata": { "name": name } });
    if kind.plural == kinds::PVC.plural {
        body["spec"] = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    }
    let deleted = number.is_multiple_of(2) && kind.namespaced;
    // Waits begin all over the time, as steps of scenarios do.
    tokio::time::sleep(Duration::from_secs(numbers.below(SPAN))).await;
    let happening = async {
        let pause = |seconds: u64| tokio::time::sleep(Duration::from_millis(seconds * 1000));
        pause(numbers.below(20)).await;
        bed.behind.post(kind, namespace, &body, Duration::from_mins(1)).await.unwrap();
        for turn in 0..numbers.below(3) {
            pause(numbers.below(20)).await;
            let patch = json!({ "metadata": { "annotations": { "state": format!("turn-{turn}") } } });
            bed.behind.patch(kind, namespace, &name, &patch).await.unwrap();
        }
        pause(numbers.below(30)).await;
        bed.behind.patch(kind, namespace, &name, &json!({ "metadata": { "annotations": { "state": "end" } } })).await.unwrap();
        Instant::now()
    };
    let cx = cx();
    let awaited = Awaited { kind, namespace, name: &name, until: "to end", limit: Duration::from_hours(1) };
    let waiting = async {
        let ended = bed.cluster.wait(&cx, awaited, |object| {
            let annotations = object.and_then(|o| o.metadata.annotations.as_ref());
            Ok(annotations.and_then(|a| a.get("state")).filter(|state| *state == "end").map(drop))
        });
        ended.await.map(|()| Instant::now()).map_err(|failure| format!("{name}: {failure:?}"))
    };
    let (happened, seen) = tokio::join!(happening, waiting);
    let mut late = seen?.saturating_duration_since(happened);
    if deleted {
        let uid = bed.behind.get(kind, namespace, &name).await.unwrap().unwrap().metadata.uid;
        let happening = async {
            tokio::time::sleep(Duration::from_secs(numbers.below(30))).await;
            bed.behind.patch(kind, namespace, &name, &json!({ "metadata": { "finalizers": null } })).await.unwrap();
            bed.behind.delete(kind, namespace, &name, None).await.unwrap();
            // A claim is held by a finalizer that only a controller takes off.
            bed.behind.patch(kind, namespace, &name, &json!({ "metadata": { "finalizers": null } })).await.unwrap();
            Instant::now()
        };
        let gone = async {
            let gone = bed.cluster.wait_gone(&cx, kind, namespace, &name, uid.as_deref(), Duration::from_hours(1)).await;
            gone.map(|()| Instant::now()).map_err(|failure| format!("{name}, to be gone: {failure:?}"))
        };
        let (happened, seen) = tokio::join!(happening, gone);
        late = late.max(seen?.saturating_duration_since(happened));
    }
    Ok(late)
}

#[tokio::test(start_paused = true)]
async fn no_wait_misses_its_end() {
    let watch = |effect| Rule { verb: Some("watch".to_owned()), ..Rule::new(Server::Kubernetes, effect) };
    let mut rules = vec![
        // One resume in five is too old, told in both ways that servers have.
        Rule { every: Some(10), ..watch(Effect::Expire) },
        Rule { every: Some(9), after: 4, status: Some(410), ..watch(Effect::Status) },
        Rule { every: Some(60), ..watch(Effect::Silence) },
        Rule { every: Some(5), seconds: Some(4.0), ..watch(Effect::Duplicate) },
        Rule { every: Some(60), seconds: Some(7.0), ..watch(Effect::Late) },
        Rule { every: Some(35), ..watch(Effect::Reset) },
        Rule { every: Some(45), status: Some(503), ..watch(Effect::Status) },
    ];
    // All others end after one to five seconds.
    rules.extend((1..5).map(|n| Rule { every: Some(5), seconds: Some(f64::from(n)), ..watch(Effect::Drop) }));
    rules.push(Rule { seconds: Some(5.0), ..watch(Effect::Drop) });
    // Lists fail too, now and then.
    rules.push(Rule { verb: Some("list".to_owned()), every: Some(11), status: Some(503), ..Rule::new(Server::Kubernetes, Effect::Status) });
    let bed = Bed::new(rules);
    let waits: FuturesUnordered<_> = (0..WAITS).map(|number| one(&bed, number, Numbers(number as u64 * 7919 + 1))).collect();
    let ended: Vec<Result<Duration, String>> = waits.collect().await;
    let missed: Vec<&String> = ended.iter().filter_map(|ended| ended.as_ref().err()).collect();
    let latest = ended.iter().flatten().max().copied().unwrap_or_default();
    let requests = bed.log.lock().unwrap().len();
    let busiest = bed.busiest();
    println!(
        "watch chaos: {} waits, {} missed, the latest {latest:?} after its end; {requests} requests, at most {busiest} a second per kind",
        ended.len(),
        missed.len()
    );
    assert!(missed.is_empty(), "{missed:?}");
    assert_eq!(ended.len(), WAITS);
    assert!(latest <= LATEST, "{latest:?}");
    assert!(busiest <= PER_SECOND, "{busiest}");
    assert!(requests >= 1000, "{requests}: the watches did not break often enough");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_every_watch_at_once_is_not_stormed() {
    let rule = Rule { verb: Some("watch".to_owned()), ..Rule::new(Server::Kubernetes, Effect::Drop) };
    let bed = Bed::new(vec![rule]);
    let waits: FuturesUnordered<_> = (0..20).map(|number| one(&bed, number, Numbers(number as u64 + 1))).collect();
    let ended: Vec<Result<Duration, String>> = waits.collect().await;
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert!(bed.busiest() <= PER_SECOND, "{}", bed.busiest());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_in_vain_says_what_it_waited_for() {
    let rule = Rule { verb: Some("list".to_owned()), status: Some(503), ..Rule::new(Server::Kubernetes, Effect::Status) };
    let bed = Bed::new(vec![rule]);
    let limit = Duration::from_mins(3);
    let awaited = Awaited { kind: &kinds::CONFIG_MAP, namespace: Some("default"), name: "x", until: "to be there", limit };
    let start = Instant::now();
    let failure = bed.cluster.wait(&cx(), awaited, |object| Ok(object.map(drop))).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 180);
    let told = format!("{failure:?}");
    for words in ["timed out after 3m00s waiting for ConfigMap default/x to be there", "last state: never seen", "503"] {
        assert!(told.contains(words), "{told}");
    }
    // A login that is refused is not waited with, and a cluster that is silent not for ever.
    for (code, after) in [(401, 60), (503, 300)] {
        let rule = Rule { status: Some(code), ..Rule::new(Server::Kubernetes, Effect::Status) };
        let bed = Bed::new(vec![rule]);
        let awaited = Awaited { kind: &kinds::CONFIG_MAP, namespace: Some("default"), name: "x", until: "to be there", limit: 10 * limit };
        let start = Instant::now();
        let failure = bed.cluster.wait(&cx(), awaited, |object| Ok(object.map(drop))).await.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), after, "{code}");
        let told = format!("{failure:?}");
        for words in ["gave up waiting for ConfigMap default/x to be there", &code.to_string(), "oc login"] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
    // Where the object is known, its state is told.
    let bed = Bed::new(Vec::new());
    bed.behind.patch(&kinds::NAMESPACE, None, "default", &json!({ "metadata": { "labels": { "a": "b" } } })).await.unwrap();
    let awaited = Awaited { kind: &kinds::NAMESPACE, namespace: None, name: "default", until: "to be gone", limit };
    let failure = bed.cluster.wait(&cx(), awaited, |object| Ok(object.is_none().then_some(()))).await.unwrap_err();
    assert!(format!("{failure:?}").contains("last state: Active"), "{failure:?}");
    let found = bed.behind.get(&kinds::NAMESPACE, None, "default").await.unwrap().unwrap();
    assert_eq!(found.text("/status/phase"), Some("Active"));
}

/// A ConfigMap `x`, made behind the back of the watch.
async fn make_behind(bed: &Bed) {
    let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" } });
    bed.behind.post(&kinds::CONFIG_MAP, Some("default"), &body, Duration::from_mins(1)).await.unwrap();
    // On paused time a list of the same moment would be as new as the wait.
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn absence_is_not_read_from_what_a_watch_knew_before() {
    let rule = |verb: &str, rule: Rule| Rule { verb: Some(verb.to_owned()), ..rule };
    let (kind, namespace) = (&kinds::CONFIG_MAP, Some("default"));
    let awaited = Awaited { kind, namespace, name: "x", until: "to be absent", limit: Duration::from_mins(1) };
    let refused = Rule { status: Some(503), ..Rule::new(Server::Kubernetes, Effect::Status) };
    // The first list passes, and then nothing more.
    let bed = Bed::new(vec![rule("list", Rule { after: 1, ..refused.clone() }), rule("watch", refused)]);
    bed.cluster.wait(&cx(), awaited.clone(), |object| Ok(object.is_none().then_some(()))).await.unwrap();
    make_behind(&bed).await;
    let gone = bed.cluster.wait_gone(&cx(), kind, namespace, "x", None, Duration::from_mins(2)).await;
    assert!(format!("{:?}", gone.unwrap_err()).contains("waiting for ConfigMap default/x to be gone"));
    let seen = bed.cluster.watched(&cx(), kind, namespace, |_| true).await;
    assert!(seen.is_err(), "an old list was taken for the present: {seen:?}");

    // A watch that works, whose events come late.
    let bed = Bed::new(vec![rule("watch", Rule { seconds: Some(40.0), ..Rule::new(Server::Kubernetes, Effect::Late) })]);
    bed.cluster.wait(&cx(), awaited, |object| Ok(object.is_none().then_some(()))).await.unwrap();
    make_behind(&bed).await;
    let seen = bed.cluster.watched(&cx(), kind, namespace, |object| object.metadata.name.as_deref() == Some("x")).await.unwrap();
    assert_eq!(seen.len(), 1);
    let cx = cx();
    let deleting = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        bed.behind.delete(kind, namespace, "x", None).await.unwrap()
    };
    let waiting = bed.cluster.wait_gone(&cx, kind, namespace, "x", None, Duration::from_mins(5));
    let start = Instant::now();
    let (gone, deleted) = tokio::join!(waiting, deleting);
    gone.unwrap();
    assert!(deleted && start.elapsed() >= Duration::from_secs(5));
}
