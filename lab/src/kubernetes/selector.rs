//! Label and field selectors.

use serde_json::Value;

use super::{
    meta,
    resource::Resource,
    status::{Answer, Failure},
};

/// One term of a label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// A label selector: all terms must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<Term>);

impl Labels {
    /// Reads what stands in `labelSelector`.
    pub fn parse(text: &str) -> Answer<Self> {
        let refuse = |why: String| match why.strip_prefix(NO_KEY) {
            Some(why) => Failure::bad_request(why),
            None => Failure::bad_request(format!("unable to parse requirement: {why}")),
        };
        let mut terms = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                // "a=b," ends in an empty term, which is refused; an empty selector selects everything.
                if text.trim().is_empty() {
                    continue;
                }
                return Err(Failure::bad_request("found ',', expected: identifier after ','"));
            }
            terms.push(term(part).map_err(refuse)?);
        }
        Ok(Self(terms))
    }

    /// Whether an object's labels satisfy it.
    pub fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        self.0.iter().all(|term| match term {
            Term::In(key, values) => label(key).is_some_and(|value| values.iter().any(|v| v == value)),
            Term::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|v| v != value)),
            Term::Exists(key) => label(key).is_some(),
            Term::Missing(key) => label(key).is_none(),
        })
    }
}

/// Marks a refusal that comes before there is a requirement.
const NO_KEY: &str = "\0";

/// Splits at commas that stand outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn term(part: &str) -> Result<Term, String> {
    if let Some(operator) = ["==", "=", "("].into_iter().find(|operator| part.starts_with(operator)) {
        return Err(format!("{NO_KEY}found '{operator}', expected: !, identifier, or 'end of string'"));
    }
    let key = part.split(['=', ' ', '!', '(']).next().unwrap_or_default();
    if !key.is_empty() && part[key.len()..].starts_with('!') && !part[key.len()..].starts_with("!=") {
        return Err("found '!', expected: in, notin, =, ==, !=, gt, lt".to_owned());
    }
    let mut words = part.split_whitespace().skip(1);
    if let (Some("in" | "notin"), Some(found)) = (words.next(), words.next())
        && !found.starts_with('(')
    {
        return Err(format!("found '{found}' expected: '('"));
    }
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Term::Missing(checked_key(key)?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Term::NotIn(checked_key(key)?, vec![checked_value(key, 0, value)?]));
    }
    if let Some((key, value)) = part.split_once('=') {
        return Ok(Term::In(checked_key(key)?, vec![checked_value(key, 0, value.strip_prefix('=').unwrap_or(value))?]));
    }
    if let Some(open) = part.find('(') {
        let values = part[open + 1..].strip_suffix(')').ok_or_else(|| format!("found '{part}', expected: ')'"))?;
        let key = part.split_whitespace().next().unwrap_or_default();
        let values = values.split(',').enumerate().map(|(index, value)| checked_value(key, index, value)).collect::<Result<Vec<_>, _>>()?;
        let mut words = part[..open].split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok(Term::In(checked_key(key)?, values)),
            (Some(key), Some("notin"), None) => Ok(Term::NotIn(checked_key(key)?, values)),
            _ => Err(format!("found '{}', expected: in, notin", part[..open].trim())),
        };
    }
    if part.split_whitespace().count() > 1 {
        let found = part.split_whitespace().nth(1).unwrap_or_default();
        return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
    }
    Ok(Term::Exists(checked_key(part)?))
}

fn checked_key(key: &str) -> Result<String, String> {
    let key = key.trim();
    match meta::qualified_name(key).first() {
        None => Ok(key.to_owned()),
        Some(why) => Err(format!("key: Invalid value: {key:?}: {why}")),
    }
}

fn checked_value(key: &str, index: usize, value: &str) -> Result<String, String> {
    let (key, value) = (key.trim(), value.trim());
    match meta::label_value(value).first() {
        None => Ok(value.to_owned()),
        Some(why) => Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {why}")),
    }
}

/// A field selector: all terms must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, bool, String)>);

impl Fields {
    /// Reads what stands in `fieldSelector`; fields that the resource does not index are refused.
    pub fn parse(text: &str, resource: &Resource) -> Answer<Self> {
        let mut terms = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (field, true, value)
            } else {
                return Err(Failure::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            if !resource.selectable(field) {
                return Err(Failure::bad_request(resource.unknown_field(field)));
            }
            terms.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(Self(terms))
    }

    /// Whether an object satisfies it.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, equal, value)| {
            let pointer = format!("/{}", field.replace('.', "/"));
            let found = match object.pointer(&pointer) {
                None | Some(Value::Null) => default_of(field).to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            (found == *value) == *equal
        })
    }
}

/// What an absent field counts as.
fn default_of(field: &str) -> &'static str {
    match field {
        "spec.unschedulable" | "spec.hostNetwork" => "false",
        "status.successful" | "status.replicas" => "0",
        _ => "",
    }
}

/// Both selectors of a list or watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// By labels.
    pub labels: Labels,
    /// By fields.
    pub fields: Fields,
}

impl Selector {
    /// Whether an object satisfies both.
    pub fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.labels.0.is_empty() && self.fields.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_operator() {
        let object = json!({ "metadata": { "labels": { "a": "1", "x.io/b": "" } } });
        for (text, expected) in [
            ("", true),
            ("a=1", true),
            ("a==1", true),
            ("a = 1", true),
            ("a!=1", false),
            ("c!=1", true),
            ("a in (1,2)", true),
            ("a in (2, 3)", false),
            ("c in ()", false),
            ("a notin (2)", true),
            ("c notin (2)", true),
            ("a", true),
            ("x.io/b", true),
            ("x.io/b=", true),
            ("!a", false),
            ("!c", true),
            ("a=1,!c,x.io/b notin (y,z)", true),
            ("a=1,c", false),
        ] {
            assert_eq!(Labels::parse(text).unwrap().matches(&object), expected, "{text}");
        }
    }

    #[test]
    fn what_no_selector_is_gets_400() {
        for text in ["a=b,", "a b", "a in 1", "a in (1", "-a=1", "a=b c", "a=/"] {
            assert_eq!(Labels::parse(text).unwrap_err().code, 400, "{text}");
        }
    }

    proptest! {
        /// A term and its negation never agree.
        #[test]
        fn a_term_and_its_negation_differ(key in "[a-c]", value in "[a-c]", labels in proptest::collection::btree_map("[a-c]", "[a-c]", 0..3)) {
            let object = json!({ "metadata": { "labels": labels } });
            for (yes, no) in [(format!("{key}={value}"), format!("{key}!={value}")), (key.clone(), format!("!{key}")),
                (format!("{key} in ({value},a)"), format!("{key} notin ({value},a)"))] {
                prop_assert_ne!(Labels::parse(&yes).unwrap().matches(&object), Labels::parse(&no).unwrap().matches(&object));
            }
        }
    }
}
