//! Results that are delivered in parts.

use std::collections::BTreeMap;

use crate::vsphere::value::Object;

/// Parts that were not delivered yet, by token.
#[derive(Default)]
pub struct Pages {
    waiting: BTreeMap<String, (Vec<Object>, usize)>,
    counter: u64,
}

/// Most objects in one part when the client names no limit; vCenter delivers about that many.
const MOST: usize = 1_000;

impl Pages {
    /// `RetrieveResult` with the first part; none for an empty result.
    pub fn first(&mut self, objects: Vec<Object>, limit: Option<usize>) -> Option<Object> {
        if objects.is_empty() {
            return None;
        }
        let limit = limit.filter(|l| *l > 0).unwrap_or(MOST).min(MOST);
        Some(self.part(objects, limit))
    }

    /// The next part; none for an unknown token.
    pub fn next(&mut self, token: &str) -> Option<Object> {
        let (objects, limit) = self.waiting.remove(token)?;
        Some(self.part(objects, limit))
    }

    /// Forgets the rest; false for an unknown token.
    pub fn cancel(&mut self, token: &str) -> bool {
        self.waiting.remove(token).is_some()
    }

    fn part(&mut self, mut objects: Vec<Object>, limit: usize) -> Object {
        let rest = objects.split_off(limit.min(objects.len()));
        let mut result = Object::new("RetrieveResult");
        if !rest.is_empty() {
            self.counter += 1;
            let token = self.counter.to_string();
            result = result.set("token", &token);
            self.waiting.insert(token, (rest, limit));
        }
        result.list("objects", "ObjectContent", objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vsphere::value::Value;

    #[test]
    fn parts_add_up() {
        let objects: Vec<Object> = (0..5).map(|n: i32| Object::new("ObjectContent").set("n", n)).collect();
        let mut pages = Pages::default();
        let mut part = pages.first(objects, Some(2)).unwrap();
        let mut sizes = Vec::new();
        loop {
            if let Some(Value::List(_, items)) = part.get("objects") {
                sizes.push(items.len());
            }
            let Some(token) = part.get("token").and_then(Value::text) else { break };
            part = pages.next(&token).unwrap();
            assert!(!pages.cancel(&token), "a token is good for one part");
        }
        assert_eq!(sizes, [2, 2, 1]);
        assert!(pages.first(Vec::new(), None).is_none());
    }
}
