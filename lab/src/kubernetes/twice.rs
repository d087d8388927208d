//! Keys that stand twice in a JSON document: readers keep the last one, strict servers refuse them.

use std::{collections::BTreeSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Paths of the keys that stand twice, as `data.a` and `spec.list[0].a`. A document that is no JSON has none.
pub fn find(body: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let seed = Look { path: String::new(), found: &mut found };
    let _ = seed.deserialize(&mut serde_json::Deserializer::from_slice(body));
    found
}

struct Look<'a> {
    path: String,
    found: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! ignored {
    ($($visit:ident $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<(), E> { Ok(()) })*
    };
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    ignored! { visit_bool bool, visit_i64 i64, visit_u64 u64, visit_f64 f64, visit_str &str }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            if keys.insert(key) {
                map.next_value_seed(Look { path, found: &mut *self.found })?;
            } else {
                self.found.push(path);
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        while list.next_element_seed(Look { path: format!("{}[{index}]", self.path), found: &mut *self.found })?.is_some() {
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_stand_twice_are_told_by_their_paths() {
        let body = br#"{"a":1,"b":{"c":null,"c":true},"l":[{"x":1},{"x":1,"x":"2"}],"a":1.5}"#;
        assert_eq!(find(body), ["b.c", "l[1].x", "a"]);
        assert_eq!(find(b"{").len() + find(br#"{"a":[{"b":1}]}"#).len(), 0);
    }
}
