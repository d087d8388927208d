//! One shared watch per kind and namespace for the whole process. Waits look at its store; waiting costs no requests.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube::api::DynamicObject;
use mtv_api::kinds::Kind;
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{
    Awaited, Cluster, name_of, state_of,
    watch::{Broken, Keeper, Store},
};
use crate::{
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    events::What,
};

type Key = (&'static Kind, Option<String>);

/// A running watch; it ends with the hub.
struct Watch {
    store: watch::Receiver<Store>,
    /// When the youngest of the waits began that need a list of their own time.
    wanted: watch::Sender<Option<Instant>>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All watches of the process.
#[derive(Clone, Default)]
pub(super) struct Hub(Arc<Mutex<HashMap<Key, Watch>>>);

impl Hub {
    /// Starts the watch of a kind and namespace if it does not run yet. Returns its store, and where to ask for a newer list.
    fn subscribe(
        &self,
        cluster: &Cluster,
        kind: &'static Kind,
        namespace: Option<&str>,
    ) -> (watch::Receiver<Store>, watch::Sender<Option<Instant>>) {
        let key = (kind, namespace.map(str::to_owned));
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = watches.entry(key).or_insert_with(|| {
            let (sender, store) = watch::channel(Store::default());
            let (wanted, asked) = watch::channel(None);
            let keeper = Keeper::new(cluster, kind, namespace, sender, asked);
            let task = tokio::spawn(keeper.run()).abort_handle();
            Watch { store, wanted, task }
        });
        (running.store.clone(), running.wanted.clone())
    }

    /// Waits until `look` finds what it wants in the store; `news` says whether anything of interest has changed since it was
    /// asked last, `state` what was seen last.
    ///
    /// A store can be older than the wait: its watch is broken, or has not delivered the newest events yet. `proved` says whether
    /// what was seen holds all the same; otherwise the finding waits for a list that is asked for after the wait began.
    async fn wait<T>(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        awaited: &Awaited<'_>,
        (mut news, mut proved): (impl FnMut(&Store) -> bool, impl FnMut(&Store) -> bool),
        mut look: impl FnMut(&Store) -> Result<Option<T>, Failure>,
        state: impl Fn(&Store) -> String,
    ) -> Result<T, Failure> {
        let Awaited { kind, namespace, name, until, limit } = *awaited;
        let subject = name_of(kind, namespace, name);
        let started = Instant::now();
        let deadline = cx.deadline.within(limit);
        let (mut store, wanted) = self.subscribe(cluster, kind, namespace);
        let mut last_state = String::new();
        // Something was found that a newer list has to confirm.
        let mut unproved = false;
        loop {
            let (trouble, hopeless) = {
                let now = store.borrow_and_update();
                if now.listed.is_some() && (news(&now) || unproved) {
                    let state = state(&now);
                    if state != last_state {
                        cx.emitter.emit(What::StateChanged { object: subject.clone(), state: state.clone() });
                        last_state = state;
                    }
                    let found = look(&now);
                    unproved = !matches!(found, Ok(None)) && now.listed < Some(started) && !proved(&now);
                    if unproved {
                        wanted.send_if_modified(|wanted| {
                            let later = *wanted < Some(started);
                            *wanted = (*wanted).max(Some(started));
                            later
                        });
                    } else if let Some(found) = found? {
                        return Ok(found);
                    }
                }
                (now.trouble.clone(), now.hopeless(&cluster.policy))
            };
            // Whoever comes later hears of the next attempt at least.
            let hopeless = hopeless.map(|at| at.max(started + 2 * cluster.policy.longest_pause));
            tokio::select! {
                () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
                changed = store.changed() => if changed.is_err() {
                    return Err(Failure::Errored(Diagnosis::new(Id::ClusterWatchLost, "the shared watch ended unexpectedly")));
                },
                () = tokio::time::sleep_until(deadline.at()) => {
                    return Err(timed_out(&subject, until, started.elapsed(), &last_state, trouble.as_ref()));
                }
                () = tokio::time::sleep_until(hopeless.unwrap_or(deadline.at())), if hopeless.is_some() => {
                    return Err(lost(&subject, until, &last_state, trouble.as_ref()));
                }
            }
        }
    }

    pub(super) async fn wait_one<T>(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        awaited: Awaited<'_>,
        mut look: impl FnMut(Option<&DynamicObject>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let name = awaited.name;
        let one = |store: &Store| store.objects.get(name).cloned();
        let present = AtomicBool::new(false);
        let mut seen: Option<Option<Arc<DynamicObject>>> = None;
        // A thousand waits are not to look again at each change of any other object.
        let news = |store: &Store| {
            let now = one(store);
            let same = match (&seen, &now) {
                (Some(Some(seen)), Some(now)) => Arc::ptr_eq(seen, now),
                (Some(None), None) => true,
                _ => false,
            };
            present.fetch_or(now.is_some(), Ordering::Relaxed);
            seen = Some(now);
            !same
        };
        // What an object says was so when it said it. That there is none is proved by its deletion during the wait.
        let proved = |store: &Store| present.load(Ordering::Relaxed) || store.objects.contains_key(name);
        let state = |store: &Store| state_of(one(store).as_deref());
        self.wait(cluster, cx, &awaited, (news, proved), |store| look(one(store).as_deref()), state).await
    }

    pub(super) async fn wait_all<T>(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        awaited: Awaited<'_>,
        mut look: impl FnMut(&[&DynamicObject]) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let kind = awaited.kind;
        let all = |store: &Store| look(&store.objects.values().map(Arc::as_ref).collect::<Vec<_>>());
        let state = |store: &Store| format!("{} {}", store.objects.len(), kind.plural);
        // What is not among them may have been made a moment ago.
        self.wait(cluster, cx, &awaited, (|_: &Store| true, |_: &Store| false), all, state).await
    }
}

/// What a wait says when the cluster can be watched no more.
fn lost(subject: &str, until: &str, state: &str, trouble: Option<&Broken>) -> Failure {
    let state = if state.is_empty() { "never seen" } else { state };
    let text = format!(
        "gave up waiting for {subject} {until}, because the cluster cannot be watched any more: {}",
        trouble.map_or("", |broken| broken.words.as_str())
    );
    let diagnosis = Diagnosis::new(Id::ClusterWatchLost, text).about(subject).evidence(format!("last state: {state}"));
    if let Some(Broken { id, hints, .. }) = trouble.filter(|broken| !broken.hints.is_empty()) {
        return Failure::Errored(Diagnosis { id: *id, ..diagnosis }.hints(hints));
    }
    Failure::Errored(
        diagnosis
            .hint("is the cluster still there, and the login still valid? `oc login` renews it; `mtv-test clean` takes away what is left"),
    )
}

/// What a wait says when its time is up.
fn timed_out(subject: &str, until: &str, waited: Duration, state: &str, trouble: Option<&Broken>) -> Failure {
    let state = if state.is_empty() { "never seen" } else { state };
    let text = format!("timed out after {} waiting for {subject} {until}", crate::engine::human(waited));
    let diagnosis = Diagnosis::new(Id::WaitTimeout, text).about(subject).evidence(format!("last state: {state}"));
    Failure::Errored(match trouble {
        Some(trouble) => diagnosis.evidence(format!("the watch does not work: {}", trouble.words)),
        None => diagnosis,
    })
}
