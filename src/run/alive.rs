//! A run's sign of life: an annotation on its own namespace that it renews, and what a clean-up makes of it.
//!
//! The annotation holds the API server's time, because a clean-up on another machine compares it with the
//! API server's time: the clocks of both machines may be wrong.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::api::DynamicObject;
use mtv_api::kinds;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

use super::names::RUN_LABEL;
use crate::{
    cli::tell,
    cluster::{Awaited, Cluster},
    engine::{Failure, StepCx, human},
    journal::{Entry, Holder, Journal, Life, State},
    retry::Policy,
};

/// Annotation with the API server's time at which the run was last known to go on, RFC 3339.
pub const ALIVE: &str = "mtv-test.io/alive";

/// Annotation that names the process of the run, as JSON.
pub const PROCESS: &str = "mtv-test.io/process";

/// How often a run renews it. Once in 20 s is little beside the requests of a run that does nothing but
/// wait, and lets a clean-up see within 20 s that a run goes on.
pub const INTERVAL: Duration = Duration::from_secs(20);

/// A run that did not renew it for so long is over: one renewal may be lost, the next one be late by a whole
/// interval, and the clocks of two API servers of a cluster differ by seconds at most.
pub const SILENCE: Duration = Duration::from_mins(1);

/// Longest wait for one renewal: the next one is due then.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longest wait, at the end of a run, for the renewals to stop and for the sign to be taken away.
const FAREWELL: Duration = Duration::from_secs(2);

/// Writes the first sign of life into the body of a namespace.
pub fn mark(body: &mut Value, cluster: &Cluster, run: &str) {
    let holder = serde_json::to_string(&Holder::this_process(run)).unwrap_or_default();
    body["metadata"]["annotations"][ALIVE] = json!(stamp(cluster));
    body["metadata"]["annotations"][PROCESS] = json!(holder);
}

/// The API server's time. One whose answers carry none is told apart by renewals alone, for which any time will do.
fn stamp(cluster: &Cluster) -> String {
    let now = cluster.clock().now().unwrap_or_else(Timestamp::now);
    // Whole milliseconds: two renewals never look the same.
    format!("{now:.3}")
}

/// The renewals of a run, for each namespace of its own. They end with this value.
#[derive(Debug, Default)]
pub struct Heartbeat {
    tasks: Vec<Renewals>,
}

#[derive(Debug)]
struct Renewals {
    namespace: String,
    task: JoinHandle<()>,
    /// Ends them; true: the sign is taken away.
    stop: mpsc::Sender<bool>,
}

impl Heartbeat {
    /// Renews the sign of life on a namespace that was made with [`mark`], from now on. What goes wrong is no failure of the run.
    pub fn of(cluster: &Cluster, namespace: &DynamicObject) -> Self {
        let mut heartbeat = Self::default();
        if let (Some(name), Some(uid)) = (namespace.metadata.name.clone(), namespace.metadata.uid.clone()) {
            let (stop, stopped) = mpsc::channel(1);
            let task = tokio::spawn(renew(cluster.clone(), name.clone(), uid, stopped));
            heartbeat.tasks.push(Renewals { namespace: name, task, stop });
        }
        heartbeat
    }

    /// Stops the renewals, and takes the sign away where the namespace stays: the run is over, and nobody need wait to find out.
    pub async fn end(mut self, journal: &Journal) {
        let gone = |namespace: &str| {
            let of =
                |entry: &Entry| matches!(entry, Entry::Object { kind, name, .. } if kind == kinds::NAMESPACE.kind && name == namespace);
            journal.snapshot().iter().any(|record| record.state == State::Gone && of(&record.entry))
        };
        let ends = std::mem::take(&mut self.tasks).into_iter().map(|Renewals { namespace, task, stop }| {
            let there = !gone(&namespace);
            async move {
                let _ = stop.send(there).await;
                let abort = task.abort_handle();
                if tokio::time::timeout(FAREWELL, task).await.is_err() {
                    abort.abort();
                }
            }
        });
        futures::future::join_all(ends).await;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|renewals| renewals.task.abort());
    }
}

async fn renew(cluster: Cluster, name: String, uid: String, mut stopped: mpsc::Receiver<bool>) {
    // Each renewal is tried once: the next one is the repetition.
    let cluster = cluster.with_policy(Policy { attempts: 1, patience: PATIENCE, budget: PATIENCE, ..Policy::STANDARD });
    // The UID keeps it off a namespace that somebody else made under the same name.
    let write = async |annotations: Value| {
        let patch = json!({ "metadata": { "uid": uid, "annotations": annotations } });
        cluster.patch(&kinds::NAMESPACE, None, &name, &patch).await
    };
    loop {
        let stop = tokio::time::timeout(INTERVAL, stopped.recv()).await.ok();
        if stop.is_some_and(|stop| stop != Some(true)) {
            return;
        }
        let over = stop.is_some();
        let annotations = if over { json!({ ALIVE: null, PROCESS: null }) } else { json!({ ALIVE: stamp(&cluster) }) };
        match write(annotations).await {
            Ok(Some(_)) => {}
            Ok(None) => tracing::debug!(namespace = %name, "the sign of life has no namespace any more"),
            Err(error) => tracing::debug!(namespace = %name, %error, "the sign of life was not renewed"),
        }
        if over {
            return;
        }
    }
}

/// What the cluster says of a run's life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sign {
    /// The namespace that carries it.
    pub namespace: String,
    /// The annotation as it stands there.
    pub stamp: String,
    /// The process that the run says it is.
    pub process: Option<Holder>,
}

impl Sign {
    fn of(namespace: &DynamicObject) -> Option<Self> {
        let annotations = namespace.metadata.annotations.as_ref()?;
        let stamp = annotations.get(ALIVE)?.clone();
        let process = annotations.get(PROCESS).and_then(|text| serde_json::from_str(text).ok());
        Some(Self { namespace: namespace.metadata.name.clone()?, stamp, process })
    }

    /// How old it is by the API server's clock; unknown if either time is.
    fn age(&self, cluster: &Cluster) -> Option<SignedDuration> {
        let stamp: Timestamp = self.stamp.parse().ok()?;
        Some(cluster.clock().now()?.duration_since(stamp))
    }
}

/// The signs of life of all runs, or of one: the newest of each.
///
/// # Errors
/// The namespaces cannot be listed.
pub async fn signs(cluster: &Cluster, run: Option<&str>) -> anyhow::Result<BTreeMap<String, Sign>> {
    let selector = run.map_or_else(|| RUN_LABEL.to_owned(), |run| format!("{RUN_LABEL}={run}"));
    let mut signs: BTreeMap<String, Sign> = BTreeMap::new();
    for namespace in cluster.list(&kinds::NAMESPACE, None, &selector).await? {
        let run = namespace.metadata.labels.as_ref().and_then(|labels| labels.get(RUN_LABEL)).cloned().unwrap_or_default();
        let Some(sign) = Sign::of(&namespace) else { continue };
        let newer = signs.get(&run).is_none_or(|known| known.stamp.parse::<Timestamp>().ok() < sign.stamp.parse().ok());
        if newer {
            signs.insert(run, sign);
        }
    }
    Ok(signs)
}

/// Whether a run goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does; in words, after "run X is still running".
    Alive(String),
    /// It is over; why, in words.
    Over(String),
    /// The time was up before either showed; in words.
    Unclear(String),
}

/// Judges a run by its process, where that can be seen from here, and by its sign of life; a fresh one is watched until it is
/// renewed or too old. `maker` is the run's process as its journal names it.
///
/// # Errors
/// The cluster cannot be watched, or the work was interrupted.
pub async fn judge(cluster: &Cluster, sign: Option<&Sign>, maker: Option<&Holder>, cx: &StepCx) -> Result<Verdict, Failure> {
    // What the cluster holds was written by the run; a file may come from anywhere.
    let maker = sign.and_then(|sign| sign.process.as_ref()).or(maker);
    let place = maker.map(|maker| format!(" on {} (process {})", maker.host, maker.pid)).unwrap_or_default();
    match maker.map(Holder::life) {
        Some(Life::Alive) => return Ok(Verdict::Alive(place)),
        Some(Life::Dead) => return Ok(Verdict::Over("its process has ended".to_owned())),
        Some(Life::Unknown) | None => {}
    }
    let Some(sign) = sign else { return Ok(Verdict::Over("it shows no sign of life on the cluster".to_owned())) };
    let silence = SignedDuration::try_from(SILENCE).unwrap_or(SignedDuration::MAX);
    let age = sign.age(cluster);
    let told = |age: Option<SignedDuration>| {
        let age = age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
        format!("last sign of life {} ago", human(age))
    };
    if age.is_some_and(|age| age > silence) {
        return Ok(Verdict::Over(told(age)));
    }
    // One from the future, or of a server that says no time, is watched for the whole time.
    let left = age.filter(|age| !age.is_negative()).map_or(silence, |age| silence - age);
    let left = Duration::try_from(left).unwrap_or(SILENCE) + Duration::from_secs(1);
    let seen = told(age);
    tell(&format!("run in Namespace {}: {seen}; watching for up to {} whether it goes on", sign.namespace, human(left)));
    let awaited =
        Awaited { kind: &kinds::NAMESPACE, namespace: None, name: &sign.namespace, until: "to show a sign of life", limit: 2 * left };
    let renewed = |namespace: Option<&DynamicObject>| namespace.and_then(Sign::of).filter(|now| now.stamp != sign.stamp);
    let watching = cluster.wait(cx, awaited, |namespace| Ok(renewed(namespace).map(drop)));
    let short = cx.deadline.left() < left;
    match tokio::time::timeout(left.min(cx.deadline.left()), watching).await {
        Ok(Ok(())) => return Ok(Verdict::Alive(format!("{place}: it renewed its sign of life a moment ago"))),
        Ok(Err(Failure::Interrupted)) => return Err(Failure::Interrupted),
        Err(_) if short => {
            return Ok(Verdict::Unclear(format!("{}, and the time was up before another one was due", told(sign.age(cluster)))));
        }
        // That nothing was seen is no proof where the watch does not work: a look tells.
        Ok(Err(_)) | Err(_) => {}
    }
    let now = cluster.get(&kinds::NAMESPACE, None, &sign.namespace).await?;
    Ok(match renewed(now.as_ref()) {
        Some(_) => Verdict::Alive(format!("{place}: it renewed its sign of life a moment ago")),
        None => Verdict::Over(told(sign.age(cluster))),
    })
}
