//! How often each user asked for what: the figures of the measuring script.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

/// Requests by user, verb and resource.
#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<(String, String, String), u64>>);

impl Counts {
    /// Counts one request; `resource` is `plural.group`, with its subresource behind a slash, or a path.
    pub fn add(&self, user: &str, verb: &str, resource: &str) {
        let key = (user.to_owned(), verb.to_owned(), resource.to_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
    }

    /// A list of `{user, verb, resource, count}`.
    pub fn report(&self) -> Value {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |((user, verb, resource), count): (&(String, String, String), &u64)| json!({ "user": user, "verb": verb, "resource": resource, "count": count });
        Value::Array(counts.iter().map(line).collect())
    }
}
