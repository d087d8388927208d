//! Reading TOML so that all mistakes of a file are found, not only the first.
//!
//! A table is checked key by key against the struct that it becomes: unknown keys are told with the nearest known one, then
//! the struct is filled, and each value of a wrong type is told and left out until the rest fits. Structs therefore have
//! optional fields only, and what is required is asked for afterwards, with a better message than a missing field gives.

use std::{ops::Range, path::Path, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Visitor, value::Error as Captured},
};
use toml::de::{DeTable, DeValue};

use super::{
    diagnostics::{Problem, Problems, Source},
    suggest::did_you_mean,
};
use crate::files;

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for At<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// A key that is known but not accepted, and what to do instead.
pub type Refused = (&'static str, &'static str);

/// What to do about a key of mtv-api-tests that a later release brings.
pub const LATER: &str = "remove the key, or use a release that supports it";

/// What a table is, for messages: "scenario", and the keys that are refused with a reason of their own.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// With its article: "a scenario".
    pub noun: &'static str,
    /// Keys known from elsewhere that this release does not accept.
    pub refused: &'static [Refused],
}

/// A file's text, and why it cannot be read.
pub fn text(path: &Path) -> Result<String, Box<Problem>> {
    let bytes = files::read(path, files::LIMIT)
        .map_err(|e| Box::new(Problem::error(format!("cannot read {}: {}", path.display(), io_reason(&e)))))?;
    String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = e.as_bytes().iter().take(good).filter(|b| **b == b'\n').count() + 1;
        Box::new(Problem::error(format!("{}:{line} is not UTF-8", path.display())).help("save the file as UTF-8 text"))
    })
}

/// The reason without the number of the operating system's error.
pub fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// Parses a document. Broken syntax gives `None`; repeated keys are told, and the first of them counts.
pub fn document<'t>(source: &Arc<Source>, text: &'t str, problems: &mut Problems) -> Option<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut broken = false;
    // Once, because a file can have a mistake at each of its bytes.
    let other = if errors.is_empty() { None } else { other_format(text) };
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let repeated = error.message() == "duplicate key";
        broken |= !repeated;
        let problem = if repeated {
            let key = text.get(span.clone()).unwrap_or_default().trim();
            Problem::error(format!("`{key}` is given twice")).at(source, span, "second time").help("keep one of the two")
        } else {
            let mut lines = error.message().lines();
            let title = lines.next().unwrap_or_default();
            let problem = Problem::error(format!("not valid TOML: {title}")).at(source, span, lines.collect::<Vec<_>>().join(", "));
            problem.help_maybe(other.map(|format| format!("this looks like {format}: in TOML write `key = \"value\"`")))
        };
        problems.push(problem);
    }
    (!broken).then(|| table.into_inner())
}

/// Name of another format that a text seems to be in.
fn other_format(text: &str) -> Option<&'static str> {
    let first = text.trim_start_matches('\u{feff}').lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"'));
    match first.split_once(':') {
        _ if first.starts_with('{') => Some("JSON"),
        Some((key, rest)) if word(key) && (rest.is_empty() || rest.starts_with(' ')) => Some("YAML"),
        None if first == "---" => Some("YAML"),
        _ => None,
    }
}

/// The tables below a top-level key such as `scenario`, in the order of the file: name, span of the name, table.
pub fn named_tables<'t>(
    source: &Arc<Source>,
    document: &DeTable<'t>,
    group: &'static str,
    problems: &mut Problems,
) -> Vec<(At<String>, DeTable<'t>)> {
    let mut found = Vec::new();
    let mut keys: Vec<_> = document.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in keys {
        let name = key.get_ref().as_ref();
        if name != group {
            problems.push(
                Problem::error(format!("unknown table or key `{name}`"))
                    .at(source, key.span(), format!("this file holds tables `[{group}.NAME]`"))
                    .help(
                        super::suggest::nearest(name, [group])
                            .map_or_else(|| format!("move it below a table `[{group}.NAME]`"), |near| format!("did you mean `{near}`?")),
                    ),
            );
            continue;
        }
        let Some(table) = value.get_ref().as_table() else {
            problems.push(wrong_kind(source, value.span(), group, "a table", value.get_ref()).help(format!("write `[{group}.NAME]`")));
            continue;
        };
        for (name, value) in table {
            let at = At { value: name.get_ref().to_string(), span: name.span() };
            match value.get_ref().as_table() {
                Some(table) => found.push((at, table.clone())),
                None => problems.push(
                    wrong_kind(source, value.span(), &format!("{group}.{}", at.value), "a table", value.get_ref())
                        .help(format!("keys stand below a table with a name of its own: `[{group}.NAME]`")),
                ),
            }
        }
    }
    found.sort_by_key(|(name, _)| name.span.start);
    found
}

/// Takes an array of tables such as `virtual_machines` out of a table: span and table of each entry.
pub fn take_tables<'t>(
    source: &Arc<Source>,
    table: &mut DeTable<'t>,
    key: &str,
    path: &str,
    problems: &mut Problems,
) -> Option<At<Vec<At<DeTable<'t>>>>> {
    let value = table.remove(key)?;
    let span = value.span();
    let array = match value.into_inner() {
        DeValue::Array(array) => array,
        other => {
            let help = format!("write one `[[{path}]]` table, with two brackets, for each");
            problems.push(wrong_kind(source, span.clone(), key, "an array of tables", &other).help(help));
            return Some(At { value: Vec::new(), span });
        }
    };
    let mut tables = Vec::new();
    for value in array {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => tables.push(At { value: table, span }),
            other => problems.push(
                wrong_kind(source, span, key, "a table", &other)
                    .help(format!("write `{{ name = \"…\" }}`, or one `[[{path}]]` table for each")),
            ),
        }
    }
    Some(At { value: tables, span })
}

/// Takes a table such as `requires` out of a table.
pub fn take_table<'t>(source: &Arc<Source>, table: &mut DeTable<'t>, key: &str, problems: &mut Problems) -> Option<At<DeTable<'t>>> {
    let value = table.remove(key)?;
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(value) => Some(At { value, span }),
        other => {
            problems.push(wrong_kind(source, span, key, "a table", &other).help(format!("write `{key} = {{ … }}`")));
            None
        }
    }
}

/// Fills a struct from a table; everything that does not fit is told and left out.
pub fn fill<T: DeserializeOwned + Default>(
    source: &Arc<Source>,
    mut table: DeTable<'_>,
    span: &Range<usize>,
    kind: Kind,
    problems: &mut Problems,
) -> T {
    let known = fields::<T>();
    let mut unknown: Vec<_> = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).cloned().collect();
    unknown.sort_by_key(|key| key.span().start);
    for key in unknown {
        let name = key.get_ref().as_ref();
        let problem = match kind.refused.iter().find(|(refused, _)| *refused == name) {
            Some((_, LATER)) => Problem::error(format!("`{name}` is not supported by this release"))
                .at(source, key.span(), "would have no effect")
                .help(LATER),
            Some((_, instead)) => Problem::error(format!("`{name}` is no key of {}", kind.noun)).at(source, key.span(), "").help(*instead),
            None => Problem::error(format!("unknown key `{name}`"))
                .at(source, key.span(), format!("not a key of {}", kind.noun))
                .help_maybe(did_you_mean(name, "known keys", known.iter().copied())),
        };
        problems.push(problem);
        table.remove(name);
    }
    loop {
        let value = toml::Spanned::new(span.clone(), DeValue::Table(table.clone()));
        let error = match T::deserialize(serde::de::IntoDeserializer::into_deserializer(value)) {
            Ok(filled) => return filled,
            Err(error) => error,
        };
        let place = error.span().unwrap_or_else(|| span.clone());
        let culprit = table
            .iter()
            .find(|(_, value)| value.span().start <= place.start && place.end <= value.span().end)
            .map(|(key, value)| (key.get_ref().to_string(), value.get_ref().clone()));
        let Some((key, value)) = culprit else {
            // Not reached with optional fields; told rather than lost, should a struct get a required one.
            problems.push(Problem::error(error.message().to_owned()).at(source, place, ""));
            return T::default();
        };
        problems.push(wrong_type(source, place, &key, &value, error.message()));
        table.remove(key.as_str());
    }
}

/// A value of a wrong type, from serde's message. The value itself is not repeated: it can be a password.
fn wrong_type(source: &Arc<Source>, place: Range<usize>, key: &str, value: &DeValue<'_>, message: &str) -> Problem {
    let Some((_, expected)) = message.rsplit_once("expected ") else {
        return Problem::error(format!("`{key}`: {message}")).at(source, place, "");
    };
    let found = article(value.type_str());
    let inner = value.is_array() || value.is_table();
    let label = if inner { format!("expected {expected}") } else { format!("expected {expected}, found {found}") };
    let quoted = value.as_str().is_some_and(|text| matches!(text.to_lowercase().as_str(), "true" | "false"));
    let help = match expected {
        "a boolean" if quoted => Some("write `true` or `false` without quotes".to_owned()),
        "a boolean" => Some("write `true` or `false`".to_owned()),
        "a string" if is_time(key) && value.is_integer() => {
            let number = value.as_integer().map(|number| number.as_str().to_owned()).unwrap_or_default();
            Some(format!("write a time with its unit between quotes, such as \"{number}s\" or \"5m\""))
        }
        "a string" if value.is_integer() || value.is_float() => Some("put the value between quotes".to_owned()),
        "a sequence" if value.is_str() => Some("write a list: `[\"…\"]`".to_owned()),
        "u32" | "usize" | "u64" => Some("write a whole number that is not negative".to_owned()),
        _ => None,
    };
    let label = label.replace("expected a sequence", "expected a list").replace("expected a map", "expected a table");
    let label = label.replace("expected u32", "expected a whole number").replace("expected usize", "expected a whole number");
    Problem::error(format!("`{key}` has the wrong type")).at(source, place, label).help_maybe(help)
}

/// Whether a key of this name takes a time.
fn is_time(key: &str) -> bool {
    key.ends_with("_timeout") || key.ends_with("_delay")
}

/// A value that is something else than it must be.
pub fn wrong_kind(source: &Arc<Source>, span: Range<usize>, key: &str, expected: &str, found: &DeValue<'_>) -> Problem {
    Problem::error(format!("`{key}` has the wrong type")).at(
        source,
        span,
        format!("expected {expected}, found {}", article(found.type_str())),
    )
}

/// A noun with its article.
pub fn article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// Names of a struct's fields in the order of its source, as serde knows them.
pub fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The answer is in `names`; the error is how the visit ends.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

/// A deserializer that only looks at which fields are asked for.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Captured;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Captured> {
        Err(serde::de::Error::custom("only structs have fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Captured> {
        *self.0 = fields;
        Err(serde::de::Error::custom("fields captured"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// One of a few words.
pub fn one_of<T: Copy>(source: &Arc<Source>, key: &str, found: &At<String>, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let hit = words.iter().find(|(word, _)| *word == found.value).map(|(_, value)| *value);
    if hit.is_none() {
        problems.push(
            Problem::error(format!("`{}` is no value of `{key}`", found.value))
                .at(source, found.span.clone(), "")
                .help_maybe(did_you_mean(&found.value, "one of", words.iter().map(|(word, _)| *word))),
        );
    }
    hit
}
