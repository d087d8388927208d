//! Counts of requests, for those who want to know what a client asks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

/// Counts by user and method. Requests without a session count for the empty user.
#[derive(Debug, Default)]
pub struct Requests(Mutex<BTreeMap<String, BTreeMap<String, u64>>>);

impl Requests {
    /// Counts a request.
    pub fn count(&self, user: &str, method: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(user.to_owned()).or_default().entry(method.to_owned()).or_default() += 1;
    }

    /// Forgets all counts.
    pub fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All counts: `total`, `methods` over all users, and `users` with their methods.
    pub fn report(&self) -> Value {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut methods: BTreeMap<&String, u64> = BTreeMap::new();
        for (method, n) in counts.values().flatten() {
            *methods.entry(method).or_default() += n;
        }
        json!({ "total": methods.values().sum::<u64>(), "methods": methods, "users": &*counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_users() {
        let requests = Requests::default();
        for (user, method) in [("a", "Login"), ("b", "Login"), ("b", "Fetch")] {
            requests.count(user, method);
        }
        let report = requests.report();
        assert_eq!(report["total"], 3);
        assert_eq!(report["methods"]["Login"], 2);
        assert_eq!(report["users"]["b"]["Fetch"], 1);
        requests.reset();
        assert_eq!(requests.report()["total"], 0);
    }
}
