//! Label and field selectors.

use serde_json::Value;

use super::{
    event, meta,
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
    More(String, i64),
    Less(String, i64),
}

/// A label selector: all terms must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<Term>);

impl Labels {
    /// Reads what stands in `labelSelector`.
    pub fn parse(text: &str) -> Answer<Self> {
        Parser { tokens: tokens(text), at: 0 }.selector().map(Self).map_err(Failure::bad_request)
    }

    /// Whether an object's labels satisfy it.
    pub fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        let number = |key: &str| label(key).and_then(|value| value.parse::<i64>().ok());
        self.0.iter().all(|term| match term {
            Term::In(key, values) => label(key).is_some_and(|value| values.iter().any(|v| v == value)),
            Term::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|v| v != value)),
            Term::Exists(key) => label(key).is_some(),
            Term::Missing(key) => label(key).is_none(),
            Term::More(key, least) => number(key).is_some_and(|value| value > *least),
            Term::Less(key, most) => number(key).is_some_and(|value| value < *most),
        })
    }
}

/// A label selector of an object, `matchLabels` or plain labels, as text.
pub fn text(selector: &Value) -> String {
    let labels =
        if selector["matchLabels"].is_object() || selector["matchExpressions"].is_array() { &selector["matchLabels"] } else { selector };
    let mut terms: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    terms.sort();
    terms.join(",")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Word,
    In,
    NotIn,
    Not,
    Open,
    Close,
    Comma,
    Equal,
    NotEqual,
    More,
    Less,
    /// Signs that mean nothing.
    Wrong,
    End,
}

/// Signs that are no words, the longer ones first.
const SIGNS: [(&str, Token); 9] = [
    ("==", Token::Equal),
    ("!=", Token::NotEqual),
    ("=", Token::Equal),
    ("!", Token::Not),
    ("(", Token::Open),
    (")", Token::Close),
    (",", Token::Comma),
    (">", Token::More),
    ("<", Token::Less),
];

fn tokens(text: &str) -> Vec<(Token, &str)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (token, length) = match SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            Some((sign, token)) => (*token, sign.len()),
            None => {
                let end = rest.find(|c: char| c.is_ascii_whitespace() || "=!(),<>".contains(c)).unwrap_or(rest.len());
                let token = match &rest[..end] {
                    "in" => Token::In,
                    "notin" => Token::NotIn,
                    "" => Token::Wrong,
                    _ => Token::Word,
                };
                (token, end.max(1))
            }
        };
        found.push((token, &rest[..length]));
        rest = rest[length..].trim_start();
    }
    found
}

struct Parser<'a> {
    tokens: Vec<(Token, &'a str)>,
    at: usize,
}

impl<'a> Parser<'a> {
    /// The next token, where operators are words too.
    fn peek(&self) -> (Token, &'a str) {
        match self.operator() {
            (Token::In | Token::NotIn, word) => (Token::Word, word),
            other => other,
        }
    }

    fn operator(&self) -> (Token, &'a str) {
        self.tokens.get(self.at).copied().unwrap_or((Token::End, ""))
    }

    fn next(&mut self) -> (Token, &'a str) {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Term>, String> {
        let mut terms = Vec::new();
        loop {
            match self.peek() {
                (Token::Word | Token::Not, _) => {
                    terms.push(self.term().map_err(|why| format!("unable to parse requirement: {why}"))?);
                    match self.next() {
                        (Token::End, _) => return Ok(terms),
                        (Token::Comma, _) => match self.peek() {
                            (Token::Word | Token::Not, _) => {}
                            (_, found) => return Err(format!("found '{found}', expected: identifier after ','")),
                        },
                        (_, found) => return Err(format!("found '{found}', expected: ',' or 'end of string'")),
                    }
                }
                (Token::End, _) => return Ok(terms),
                (_, found) => return Err(format!("found '{found}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn term(&mut self) -> Result<Term, String> {
        let mut found = self.next();
        let missing = found.0 == Token::Not;
        if missing {
            found = self.next();
        }
        let (Token::Word, key) = found else { return Err(format!("found '{}', expected: identifier", found.1)) };
        let key = checked_key(key)?;
        if missing {
            return Ok(Term::Missing(key));
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(Term::Exists(key));
        }
        let (operator, shown) = self.operator();
        self.at += 1;
        match operator {
            Token::In | Token::NotIn => {
                let values = self.values()?;
                let values = checked_values(&key, values)?;
                Ok(if operator == Token::In { Term::In(key, values) } else { Term::NotIn(key, values) })
            }
            Token::Equal | Token::NotEqual | Token::More | Token::Less => {
                let value = self.value()?;
                if matches!(operator, Token::More | Token::Less) {
                    let number = value.parse().map_err(|_| {
                        format!("values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer")
                    })?;
                    return Ok(if operator == Token::More { Term::More(key, number) } else { Term::Less(key, number) });
                }
                let values = checked_values(&key, vec![value])?;
                Ok(if operator == Token::Equal { Term::In(key, values) } else { Term::NotIn(key, values) })
            }
            _ => Err(format!("found '{shown}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn value(&mut self) -> Result<&'a str, String> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok("");
        }
        match self.next() {
            (Token::Word, value) => Ok(value),
            (_, found) => Err(format!("found '{found}', expected: identifier")),
        }
    }

    fn values(&mut self) -> Result<Vec<&'a str>, String> {
        match self.next() {
            (Token::Open, _) => {}
            (_, found) => return Err(format!("found '{found}' expected: '('")),
        }
        let mut values = Vec::new();
        match self.peek() {
            (Token::Word | Token::Comma, _) => {}
            (Token::Close, _) => {
                self.at += 1;
                return Ok(vec![""]);
            }
            (_, found) => return Err(format!("found '{found}', expected: ',', ')' or identifier")),
        }
        loop {
            match self.next() {
                (Token::Word, value) => {
                    values.push(value);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => break,
                        (_, found) => return Err(format!("found '{found}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.push("");
                    }
                    match self.peek() {
                        (Token::Close, _) => {
                            values.push("");
                            break;
                        }
                        (Token::Comma, _) => {
                            self.at += 1;
                            values.push("");
                        }
                        _ => {}
                    }
                }
                (_, found) => return Err(format!("found '{found}', expected: ',', or identifier")),
            }
        }
        self.at += 1;
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

fn checked_key(key: &str) -> Result<String, String> {
    match meta::qualified_name(key).first() {
        None => Ok(key.to_owned()),
        Some(why) => Err(format!("<nil>: Invalid value: {key:?}: {why}")),
    }
}

fn checked_values(key: &str, values: Vec<&str>) -> Result<Vec<String>, String> {
    let mut checked = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        if let Some(why) = meta::label_value(value).first() {
            return Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {why}"));
        }
        checked.push(value.to_owned());
    }
    Ok(checked)
}

/// A field selector: all terms must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, bool, String)>);

/// Splits at commas that are not escaped.
fn terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Field, whether it must be equal, and value as it was written.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let mut escaped = false;
    for (at, c) in term.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        escaped = c == '\\';
        for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = term[at..].strip_prefix(sign) {
                return Some((&term[..at], equal, value));
            }
        }
    }
    None
}

fn unescaped(value: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => return Err(format!("invalid escape sequence: \\{}", other.map(String::from).unwrap_or_default())),
            },
            ',' | '=' => return Err(format!("unescaped character in value: {}", u32::from(c))),
            c => out.push(c),
        }
    }
    Ok(out)
}

impl Fields {
    /// Reads what stands in `fieldSelector`; fields that the resource does not index are refused.
    pub fn parse(text: &str, resource: &Resource) -> Answer<Self> {
        let mut found = Vec::new();
        for part in terms(text) {
            let Some((field, equal, value)) = split_term(part) else {
                return Err(Failure::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            let value = unescaped(value).map_err(|why| Failure::bad_request(format!("invalid field selector: {why}")))?;
            if !resource.selectable(field) {
                return Err(Failure::bad_request(resource.unknown_field(field)));
            }
            let field = if resource.group == "events.k8s.io" { event::core_field(field) } else { field.to_owned() };
            found.push((field, equal, value));
        }
        Ok(Self(found))
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

    /// Whether an object of this name can match.
    pub fn admit(&self, name: &str) -> bool {
        self.0.iter().all(|(field, equal, value)| field != "metadata.name" || (name == value) == *equal)
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
            ("a>0", true),
            ("a<1", false),
            ("x.io/b>0", false),
            ("a in (,1)", true),
            ("a=1,c", false),
        ] {
            assert_eq!(Labels::parse(text).unwrap().matches(&object), expected, "{text}");
        }
    }

    #[test]
    fn refusals_in_the_words_of_the_real_parser() {
        for (text, told) in [
            ("a=b,", "found '', expected: identifier after ','"),
            (",a=b", "found ',', expected: !, identifier, or 'end of string'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a===b", "unable to parse requirement: found '=', expected: identifier"),
            ("!!a", "unable to parse requirement: found '!', expected: identifier"),
            ("!a=b", "found '=', expected: ',' or 'end of string'"),
            ("a in", "unable to parse requirement: found '' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a>b", "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ] {
            assert_eq!(Labels::parse(text).unwrap_err().message, told, "{text}");
        }
    }

    #[test]
    fn values_of_field_selectors_are_escaped() {
        assert_eq!(terms(r"a=1\,2,b=3,,"), [r"a=1\,2", "b=3"]);
        assert_eq!(split_term("a!=b"), Some(("a", false, "b")));
        assert_eq!(unescaped(r"1\,2"), Ok("1,2".to_owned()));
        assert_eq!(unescaped("=a"), Err("unescaped character in value: 61".to_owned()));
        assert_eq!(unescaped(r"\x"), Err(r"invalid escape sequence: \x".to_owned()));
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
