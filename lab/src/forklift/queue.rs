//! A work queue as controllers use it: a key is worked on by one task at a time, adding it twice before that is adding it
//! once, and adding it for later does not replace adding it now.
//!
//! The last rule can be seen from outside: a plan that ends between two looks is looked at once more, when the look that was
//! planned before comes round. That is when conditions of its VMs come back after a failure.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::cluster::Key;

/// How many objects of a kind are worked on at once: `controller_max_concurrent_reconciles` of the ForkliftController.
const WORKERS: usize = 10;

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    waiting: HashMap<Key, Instant>,
    running: HashSet<Key>,
}

/// A queue of keys.
#[derive(Clone, Default)]
pub struct Queue {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Queue {
    /// Adds a key to be worked on now.
    pub fn add(&self, key: Key) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.ready.contains(&key) {
            state.ready.push_back(key);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Adds a key to be worked on later; of two later moments the earlier one counts.
    pub fn add_after(&self, key: Key, delay: Duration) {
        let due = Instant::now() + delay;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = state.waiting.entry(key).or_insert(due);
        *entry = due.min(*entry);
        drop(state);
        self.changed.notify_one();
    }

    /// A key to work on, or the moment of the next one.
    fn next(&self) -> Result<Key, Option<Instant>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due: Vec<Key> = state.waiting.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            state.waiting.remove(&key);
            if !state.ready.contains(&key) {
                state.ready.push_back(key);
            }
        }
        let next = state.waiting.values().min().copied();
        if state.running.len() >= WORKERS {
            return Err(next);
        }
        let Some(index) = state.ready.iter().position(|key| !state.running.contains(key)) else { return Err(next) };
        let Some(key) = state.ready.remove(index) else { return Err(next) };
        state.running.insert(key.clone());
        Ok(key)
    }

    fn done(&self, key: &Key) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).running.remove(key);
        self.changed.notify_one();
    }

    /// Works on keys until cancelled. `work` says when the key comes round again, if at all.
    pub async fn run<F, W>(self, cancel: CancellationToken, work: F)
    where
        F: Fn(Key) -> W + Send + Sync + 'static,
        W: Future<Output = Option<Duration>> + Send + 'static,
    {
        let work = Arc::new(work);
        let mut tasks = tokio::task::JoinSet::new();
        while !cancel.is_cancelled() {
            while tasks.try_join_next().is_some() {}
            match self.next() {
                Ok(key) => {
                    let queue = self.clone();
                    let work = Arc::clone(&work);
                    tasks.spawn(async move {
                        if let Some(delay) = work(key.clone()).await {
                            queue.add_after(key.clone(), delay);
                        }
                        queue.done(&key);
                    });
                }
                Err(next) => {
                    // An hour stands for "never": a change wakes the loop before.
                    let until = next.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
                    tokio::select! {
                        () = cancel.cancelled() => break,
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
            }
        }
        tasks.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_worked_on_by_one_task_at_a_time() {
        let queue = Queue::default();
        let key = Key::new("a", "b");
        queue.add(key.clone());
        queue.add(key.clone());
        assert_eq!(queue.next(), Ok(key.clone()));
        queue.add(key.clone());
        assert_eq!(queue.next(), Err(None), "still worked on");
        queue.done(&key);
        assert_eq!(queue.next(), Ok(key.clone()));
        queue.done(&key);
        assert_eq!(queue.next(), Err(None));
    }

    #[test]
    fn later_does_not_replace_now() {
        let queue = Queue::default();
        let key = Key::new("a", "b");
        queue.add_after(key.clone(), Duration::from_hours(1));
        queue.add(key.clone());
        assert_eq!(queue.next(), Ok(key.clone()));
        queue.done(&key);
        assert!(matches!(queue.next(), Err(Some(_))), "the later look is still due");
    }
}
