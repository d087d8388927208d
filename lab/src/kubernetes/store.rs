//! All objects, their history and the one revision counter.
//!
//! A revision is given, the object written and the event published in one critical section: a watcher can never see
//! revision 8 before 7, and a list with revision N holds exactly what the events up to N made.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::sync::watch;

/// Where an object stands. Sorted as etcd sorts: by resource, then by the bytes of `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// `group/plural`; all versions of a resource share it.
    pub resource: Arc<str>,
    /// `namespace/name`, or the name alone for cluster-scoped resources.
    pub path: String,
}

impl Key {
    /// The key of an object; `namespace` is empty for cluster-scoped resources.
    pub fn new(resource: &Arc<str>, namespace: &str, name: &str) -> Self {
        let path = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        Self { resource: resource.clone(), path }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&*self.path, |(_, name)| name)
    }

    /// Whether the object lies in `namespace`; the empty one holds everything.
    pub fn within(&self, namespace: &str) -> bool {
        namespace.is_empty() || self.path.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It came.
    Added,
    /// It was written again.
    Modified,
    /// It went.
    Deleted,
}

/// An object at one of its revisions.
///
/// What is replaced or deleted is wanted by few: by watches that are resumed and by lists of the past. Its text takes a tenth of
/// the memory of its tree.
#[derive(Debug, Clone)]
pub enum Version {
    /// As it is worked with.
    Whole(Arc<Value>),
    /// As JSON.
    Packed(Arc<[u8]>),
}

impl Version {
    /// The object.
    pub fn whole(&self) -> Arc<Value> {
        match self {
            Self::Whole(value) => value.clone(),
            // It was written by `pack`, so it can be read.
            Self::Packed(text) => Arc::new(serde_json::from_slice(text).unwrap_or_default()),
        }
    }

    fn pack(&mut self) {
        if let Self::Whole(value) = self {
            *self = Self::Packed(value.to_string().into_bytes().into());
        }
    }
}

/// One entry of the history.
#[derive(Debug, Clone)]
pub struct Event {
    /// The revision that this change made.
    pub revision: u64,
    /// Which object.
    pub key: Key,
    /// What happened.
    pub change: Change,
    /// The object after the change; for a deletion its last state with the revision of the deletion.
    pub object: Version,
    /// The object before the change.
    pub previous: Option<Version>,
}

/// Changes that watchers are likely to ask for yet: objects of older ones are packed. Few in tests, so that they see both.
const FRESH: usize = if cfg!(test) { 8 } else { 256 };

/// The history does not reach back to the wanted revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The oldest revision that a watch could still start from.
    pub oldest: u64,
}

/// Objects and history behind one lock.
pub struct State {
    objects: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    events: VecDeque<Event>,
    capacity: usize,
    /// Watches can start from this revision or a later one.
    oldest: u64,
}

impl State {
    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// An object.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    /// The objects of a resource in a namespace (empty: all), in the order of their keys.
    pub fn list(&self, resource: &Arc<str>, namespace: &str) -> Vec<(Key, Arc<Value>)> {
        let start = Key { resource: resource.clone(), path: if namespace.is_empty() { String::new() } else { format!("{namespace}/") } };
        let of_resource = self.objects.range(start..).take_while(|(key, _)| key.resource == *resource && key.within(namespace));
        of_resource.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The same as it was at an earlier revision, by undoing what came later.
    ///
    /// # Errors
    /// The history does not reach back that far.
    pub fn list_at(&self, resource: &Arc<str>, namespace: &str, revision: u64) -> Result<Vec<(Key, Arc<Value>)>, Compacted> {
        if revision < self.oldest {
            return Err(Compacted { oldest: self.oldest });
        }
        let mut then: BTreeMap<Key, Arc<Value>> = self.list(resource, namespace).into_iter().collect();
        let later = self.events.iter().rev().take_while(|event| event.revision > revision);
        for event in later.filter(|event| event.key.resource == *resource && event.key.within(namespace)) {
            match &event.previous {
                Some(before) => then.insert(event.key.clone(), before.whole()),
                None => then.remove(&event.key),
            };
        }
        Ok(then.into_iter().collect())
    }

    /// The changes after `revision`.
    ///
    /// # Errors
    /// The history does not reach back that far.
    pub fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Event>, Compacted> {
        if revision < self.oldest {
            return Err(Compacted { oldest: self.oldest });
        }
        let first = self.events.partition_point(|event| event.revision <= revision);
        Ok(self.events.range(first..))
    }

    /// Writes an object and gives it its resource version.
    pub fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(object);
        let previous = self.objects.insert(key.clone(), object.clone());
        let change = if previous.is_some() { Change::Modified } else { Change::Added };
        let previous = previous.map(Version::Whole);
        self.publish(Event { revision: self.revision, key, change, object: Version::Whole(object.clone()), previous });
        object
    }

    /// Removes an object; gives back its stored state with the revision of the deletion.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let previous = self.objects.remove(key)?;
        self.revision += 1;
        let mut object = Value::clone(&previous);
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(object);
        let (change, previous) = (Change::Deleted, Some(Version::Whole(previous)));
        self.publish(Event { revision: self.revision, key: key.clone(), change, object: Version::Whole(object.clone()), previous });
        Some(object)
    }

    fn publish(&mut self, event: Event) {
        self.events.push_back(event);
        while self.events.len() > self.capacity {
            if let Some(dropped) = self.events.pop_front() {
                self.oldest = dropped.revision;
            }
        }
        if let Some(aged) = self.events.len().checked_sub(FRESH) {
            self.pack(aged);
        }
    }

    /// Packs what a change has replaced or deleted, here and where it was written.
    fn pack(&mut self, index: usize) {
        let event = &mut self.events[index];
        if event.change == Change::Deleted {
            event.object.pack();
        }
        let Some(previous) = &mut event.previous else { return };
        let written = previous.whole()["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok());
        previous.pack();
        let packed = previous.clone();
        if let Some(Ok(writer)) = written.map(|revision| self.events.binary_search_by_key(&revision, |event| event.revision)) {
            self.events[writer].object = packed;
        }
    }
}

/// The store.
pub struct Store {
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

impl Store {
    /// An empty store that remembers this many changes.
    pub fn new(capacity: usize) -> Self {
        // Revision 0 means "any" in requests, so the first state of an empty store is 1, as etcd's.
        let state = State { objects: BTreeMap::new(), revision: 1, events: VecDeque::new(), capacity, oldest: 1 };
        Self { state: Mutex::new(state), newest: watch::Sender::new(1) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads under the lock.
    pub fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.lock())
    }

    /// Reads and writes under the lock; watchers wake afterwards. `write` changes nothing if it refuses.
    pub fn write<R>(&self, write: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = write(&mut state);
        let revision = state.revision;
        drop(state);
        self.newest.send_if_modified(|newest| {
            let grown = revision > *newest;
            *newest = revision.max(*newest);
            grown
        });
        result
    }

    /// Wakes whenever a revision was given.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Forgets the history, as etcd's compaction does: watches from earlier revisions end with 410.
    pub fn compact(&self) {
        let mut state = self.lock();
        state.events.clear();
        state.oldest = state.revision;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn resource() -> Arc<str> {
        Arc::from("/configmaps")
    }

    #[test]
    fn keys_sort_by_the_bytes_of_the_path() {
        let store = Store::new(10);
        store.write(|state| {
            for namespace in ["a", "a-b"] {
                state.put(Key::new(&resource(), namespace, "x"), json!({ "metadata": {} }));
            }
        });
        let keys: Vec<String> = store.read(|state| state.list(&resource(), "").into_iter().map(|(key, _)| key.path).collect());
        assert_eq!(keys, ["a-b/x", "a/x"]);
        assert_eq!(store.read(|state| state.list(&resource(), "a").len()), 1);
    }

    #[test]
    fn what_fell_out_of_the_history_is_told() {
        let store = Store::new(2);
        for _ in 0..4 {
            store.write(|state| state.put(Key::new(&resource(), "n", "x"), json!({ "metadata": {} })));
        }
        store.read(|state| {
            assert_eq!(state.revision(), 5);
            assert_eq!(state.since(2).err(), Some(Compacted { oldest: 3 }));
            assert_eq!(state.since(3).unwrap().count(), 2);
        });
    }

    #[test]
    fn what_is_replaced_is_packed_once_and_what_is_there_is_not() {
        let store = Store::new(100);
        let (kept, changing) = (Key::new(&resource(), "n", "kept"), Key::new(&resource(), "n", "changing"));
        store.write(|state| {
            state.put(kept.clone(), json!({ "metadata": { "name": "kept" } }));
            for number in 0..=FRESH {
                state.put(changing.clone(), json!({ "metadata": {}, "number": number }));
            }
        });
        store.read(|state| {
            let packed = |version: &Version| matches!(version, Version::Packed(_));
            assert!(!packed(&state.events[0].object), "it is still there");
            assert!(packed(&state.events[1].object) && !packed(&state.events[2].object));
            let (Version::Packed(written), Some(Version::Packed(replaced))) = (&state.events[1].object, &state.events[2].previous) else {
                panic!("the first two versions: {:?}", &state.events.range(1..3));
            };
            assert!(Arc::ptr_eq(written, replaced));
            assert_eq!(state.events[1].object.whole()["number"], 0);
        });
    }

    proptest! {
        /// What a list at a revision says is what a list said when that revision was the newest.
        #[test]
        fn a_list_of_the_past_is_what_a_list_said_then(steps in proptest::collection::vec((0u8..4, any::<bool>()), 1..60)) {
            let store = Store::new(100);
            let mut seen = Vec::new();
            for (name, keep) in steps {
                store.write(|state| {
                    let key = Key::new(&resource(), "n", &name.to_string());
                    if keep { state.put(key, json!({ "metadata": {} })); } else { state.remove(&key); }
                });
                seen.push(store.read(|state| (state.revision(), state.list(&resource(), "n"))));
            }
            for (revision, then) in seen {
                prop_assert_eq!(store.read(|state| state.list_at(&resource(), "n", revision)), Ok(then));
            }
        }
    }
}
