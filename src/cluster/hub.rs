//! One shared watch per kind and namespace for the whole process. Waits look at its store; waiting costs no requests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::api::DynamicObject;
use mtv_api::kinds::Kind;
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{
    Awaited, Cluster, name_of, state_of,
    watch::{Keeper, Store},
};
use crate::{
    engine::{Failure, StepCx},
    events::{Trouble, What},
};

type Key = (&'static Kind, Option<String>);

/// A running watch; it ends with the hub.
struct Watch {
    store: watch::Receiver<Store>,
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
    /// Starts the watch of a kind and namespace if it does not run yet.
    fn subscribe(&self, cluster: &Cluster, kind: &'static Kind, namespace: Option<&str>) -> watch::Receiver<Store> {
        let key = (kind, namespace.map(str::to_owned));
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = watches.entry(key).or_insert_with(|| {
            let (sender, store) = watch::channel(Store::default());
            let keeper = Keeper::new(cluster.api(kind, namespace), cluster.policy, sender);
            let task = tokio::spawn(keeper.run()).abort_handle();
            Watch { store, task }
        });
        running.store.clone()
    }

    /// Waits until `look` finds what it wants in the store; `news` says whether anything
    /// of interest has changed since it was asked last, `state` what was seen last.
    async fn wait<T>(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        awaited: &Awaited<'_>,
        mut news: impl FnMut(&Store) -> bool,
        mut look: impl FnMut(&Store) -> Result<Option<T>, Failure>,
        state: impl Fn(&Store) -> String,
    ) -> Result<T, Failure> {
        let Awaited { kind, namespace, name, until, limit } = *awaited;
        let subject = name_of(kind, namespace, name);
        let started = Instant::now();
        let deadline = cx.deadline.within(limit);
        let mut store = self.subscribe(cluster, kind, namespace);
        let mut last_state = String::new();
        loop {
            let (trouble, hopeless) = {
                let now = store.borrow_and_update();
                if now.listed && news(&now) {
                    let state = state(&now);
                    if state != last_state {
                        cx.emitter.emit(What::StateChanged { object: subject.clone(), state: state.clone() });
                        last_state = state;
                    }
                    if let Some(found) = look(&now)? {
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
                    return Err(Failure::Errored(Trouble::new("the shared watch ended unexpectedly")));
                },
                () = tokio::time::sleep_until(deadline.at()) => {
                    return Err(timed_out(&format!("{subject} {until}"), started.elapsed(), &last_state, trouble.as_deref()));
                }
                () = tokio::time::sleep_until(hopeless.unwrap_or(deadline.at())), if hopeless.is_some() => {
                    return Err(lost(&format!("{subject} {until}"), &last_state, trouble.as_deref()));
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
        let mut seen: Option<Option<Arc<DynamicObject>>> = None;
        // A thousand waits are not to look again at each change of any other object.
        let news = |store: &Store| {
            let now = one(store);
            let same = match (&seen, &now) {
                (Some(Some(seen)), Some(now)) => Arc::ptr_eq(seen, now),
                (Some(None), None) => true,
                _ => false,
            };
            seen = Some(now);
            !same
        };
        self.wait(cluster, cx, &awaited, news, |store| look(one(store).as_deref()), |store| state_of(one(store).as_deref())).await
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
        self.wait(cluster, cx, &awaited, |_| true, all, |store| format!("{} {}", store.objects.len(), kind.plural)).await
    }
}

/// What a wait says when the cluster can be watched no more.
fn lost(what: &str, state: &str, trouble: Option<&str>) -> Failure {
    let state = if state.is_empty() { "never seen" } else { state };
    let text = format!("gave up waiting for {what}, because the cluster cannot be watched any more: {}", trouble.unwrap_or_default());
    Failure::Errored(
        Trouble::new(text)
            .detail(format!("last state: {state}"))
            .hint("is the cluster still there, and the login still valid? `oc login` renews it; `mtv-test clean` takes away what is left"),
    )
}

/// What a wait says when its time is up.
fn timed_out(what: &str, waited: Duration, state: &str, trouble: Option<&str>) -> Failure {
    let state = if state.is_empty() { "never seen" } else { state };
    let mut details = vec![format!("last state: {state}")];
    details.extend(trouble.map(|trouble| format!("the watch does not work: {trouble}")));
    Failure::Errored(Trouble {
        summary: format!("timed out after {} waiting for {what}", crate::engine::human(waited)),
        details,
        hints: Vec::new(),
    })
}
