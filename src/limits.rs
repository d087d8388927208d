//! Limits on what the tool reads from a server, in one table.
//!
//! A server that never stops talking, or that claims a length it cannot have, must not end the
//! process: a run that is killed tears nothing down. Every answer is therefore read piece by piece
//! against the limit of its kind, and what is longer is an ordinary error.
//!
//! Compressed answers are not asked for and not unpacked, so a limit holds for what is sent as well
//! as for what is kept in memory.

use std::fmt;

use mtv_api::xml::Node;
use serde_json::Value;

/// One mebibyte.
const MIB: u64 = 1024 * 1024;

/// JSON values or XML elements that one answer may hold. Each takes about a hundred bytes of memory
/// and as little as two bytes of the answer, so bytes alone bound nothing. A virtual machine of an
/// inventory has about 300.
const MOST_VALUES: u64 = 4_000_000;

/// Attributes of one XML element. The parser compares each with all others; vSphere writes three.
const MOST_ATTRIBUTES: u64 = 1000;

/// Memory for what several answers add up to: the pages of a list, the objects of a watch. About
/// 200 000 virtual machines as an inventory describes them.
const MOST_MEMORY: u64 = 768 * MIB;

/// Kinds of answers, each with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Logins, tokens, the words of an error: 1 MiB. Real ones have a few kilobytes, the catalogue
    /// of an OpenStack cloud some hundred.
    Login,
    /// One object, or the answer to a change: 16 MiB. etcd refuses objects above 1.5 MiB, and the
    /// configuration of the largest virtual machine has less.
    Object,
    /// A list, an inventory, a page of collected properties: 256 MiB.
    List,
    /// A log that is read for the report: 4 MiB, of which the end is kept.
    Log,
    /// What a command in a guest or on a host prints, for each of its two streams: 1 MiB.
    Output,
    /// A file fetched from a guest: 16 MiB.
    File,
    /// The archive of a must-gather on disk: 4 GiB. What comes after that is cut off.
    Archive,
    /// One file of a must-gather: 512 MiB. What comes after that is cut off.
    ArchiveFile,
}

impl Limit {
    /// The limit in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Login | Self::Output => MIB,
            Self::Log => 4 * MIB,
            Self::Object | Self::File => 16 * MIB,
            Self::List => 256 * MIB,
            Self::ArchiveFile => 512 * MIB,
            Self::Archive => 4096 * MIB,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes() / MIB;
        if mib >= 1024 { write!(f, "{} GiB", mib / 1024) } else { write!(f, "{mib} MiB") }
    }
}

/// An answer, or a part of one, that is larger than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLarge {
    /// Longer than this.
    Bytes(Limit),
    /// More values or elements than [`MOST_VALUES`].
    Values,
    /// An XML element with more attributes than [`MOST_ATTRIBUTES`].
    Attributes,
    /// Answers that together need more than [`MOST_MEMORY`].
    Together,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(limit) => write!(f, "the answer is longer than {limit}, the most that is read of this kind"),
            Self::Values => write!(f, "the answer holds more than {MOST_VALUES} values, the most that is read"),
            Self::Attributes => write!(f, "the answer has an element with more than {MOST_ATTRIBUTES} attributes, the most that is read"),
            Self::Together => write!(f, "the answers together need more than {} MiB, the most that is kept", MOST_MEMORY / MIB),
        }
    }
}

impl std::error::Error for TooLarge {}

/// What the bytes of an answer are, as far as the meter cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// Anything else.
    Text,
}

/// Where in an answer the meter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// JSON outside of strings, XML outside of tags.
    Outside,
    /// In a JSON string.
    String,
    /// After a backslash in one.
    Escape,
    /// In an XML tag.
    Tag,
    /// In the value of an attribute that this quote ends.
    Value(u8),
}

/// Measures an answer as it arrives, in pieces of any size.
#[derive(Debug)]
pub struct Meter {
    limit: Limit,
    form: Form,
    bytes: u64,
    values: u64,
    attributes: u64,
    at: At,
}

impl Meter {
    /// A meter for one answer.
    pub const fn new(limit: Limit, form: Form) -> Self {
        Self { limit, form, bytes: 0, values: 0, attributes: 0, at: At::Outside }
    }

    /// Refuses an answer by the length that it announces.
    ///
    /// # Errors
    /// The length is beyond the limit.
    pub const fn announced(&self, length: u64) -> Result<(), TooLarge> {
        if length > self.limit.bytes() { Err(TooLarge::Bytes(self.limit)) } else { Ok(()) }
    }

    /// Counts the next piece.
    ///
    /// # Errors
    /// The answer is too large with it.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.limit.bytes() {
            return Err(TooLarge::Bytes(self.limit));
        }
        match self.form {
            Form::Json => self.json(piece),
            Form::Xml => self.xml(piece)?,
            Form::Text => {}
        }
        if self.values > MOST_VALUES { Err(TooLarge::Values) } else { Ok(()) }
    }

    /// Counts what separates values outside of strings.
    fn json(&mut self, piece: &[u8]) {
        for byte in piece {
            self.at = match (self.at, byte) {
                (At::String, b'\\') => At::Escape,
                (At::String, b'"') => At::Outside,
                (At::String | At::Escape, _) => At::String,
                (_, b'"') => At::String,
                (at, b',' | b'[' | b'{') => {
                    self.values += 1;
                    at
                }
                (at, _) => at,
            };
        }
    }

    /// Counts tags, and attributes by their signs of equality.
    fn xml(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        for byte in piece {
            self.at = match (self.at, byte) {
                // Not even the value of an attribute can hold this.
                (_, b'<') => {
                    self.values += 1;
                    self.attributes = 0;
                    At::Tag
                }
                (At::Tag, b'>') => At::Outside,
                (At::Tag, quote @ (b'"' | b'\'')) => At::Value(*quote),
                (At::Value(quote), byte) if quote == *byte => At::Tag,
                (At::Tag, b'=') => {
                    self.attributes += 1;
                    if self.attributes > MOST_ATTRIBUTES {
                        return Err(TooLarge::Attributes);
                    }
                    At::Tag
                }
                (at, _) => at,
            };
        }
        Ok(())
    }
}

/// Adds up what is kept of several answers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Total(u64);

impl Total {
    /// Counts what is kept.
    ///
    /// # Errors
    /// It is too much.
    pub fn add(&mut self, weight: u64) -> Result<(), TooLarge> {
        self.0 = self.0.saturating_add(weight);
        if self.0 > MOST_MEMORY { Err(TooLarge::Together) } else { Ok(()) }
    }
}

/// What one value or element takes beside its text, bytes; with the parts of an allocator's rounding.
const EACH: u64 = 100;

/// Memory that a JSON value takes, bytes; about.
pub fn weight(value: &Value) -> u64 {
    EACH + match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() as u64 + weight(value)).sum(),
        _ => 0,
    }
}

/// Memory that an XML element takes, bytes; about.
pub fn weight_of_node(node: &Node) -> u64 {
    let attributes: u64 = node.attrs.iter().map(|(name, value)| EACH + (name.len() + value.len()) as u64).sum();
    2 * EACH + (node.name.len() + node.text.len()) as u64 + attributes + node.children.iter().map(weight_of_node).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a text in pieces of every length up to three.
    fn measure(form: Form, text: &str) -> Result<(u64, u64), TooLarge> {
        let mut seen = None;
        for length in 1..=3 {
            let mut meter = Meter::new(Limit::Object, form);
            for piece in text.as_bytes().chunks(length) {
                meter.take(piece)?;
            }
            let now = (meter.values, meter.attributes);
            assert_eq!(*seen.get_or_insert(now), now, "{text} in pieces of {length}");
        }
        Ok(seen.unwrap_or_default())
    }

    #[test]
    fn counts_values_and_not_what_strings_hold() {
        for (form, text, values) in [
            (Form::Json, r#"{"a": [1, 2, {"b": "[,,,{"}]}"#, 5),
            (Form::Json, r#"["\"[,", "\\", ","]"#, 3),
            (Form::Xml, "<a b='<' c=\"1\">,,,<d/></a>", 4),
            (Form::Text, "[[[[<<<<", 0),
        ] {
            assert_eq!(measure(form, text).unwrap().0, values, "{text}");
        }
    }

    #[test]
    fn answers_add_up() {
        let page = weight(&serde_json::json!({"servers": [{"id": "a", "x": "y".repeat(1024 * 1024)}]}));
        assert!((1024 * 1024..1025 * 1024).contains(&page), "{page}");
        let node = weight_of_node(&Node::new("a").attr("b", "c").field("d", "e".repeat(1000)));
        assert!((1000..2000).contains(&node), "{node}");
        let mut total = Total::default();
        assert!(total.add(page).is_ok());
        assert_eq!((0..1000).find_map(|_| total.add(page).err()), Some(TooLarge::Together));
    }

    #[test]
    fn refuses_what_is_too_long_too_many_or_too_wide() {
        let attributes = |value: &str| (0..2000).map(|n| format!(" a{n}={value}")).collect::<String>();
        for value in ["''", "'>'", "\">'\"", "'='"] {
            for before in ["", "<!-- it's -->"] {
                assert_eq!(measure(Form::Xml, &format!("{before}<x{}/>", attributes(value))), Err(TooLarge::Attributes), "{value}");
            }
        }
        assert!(measure(Form::Xml, &format!("<x>{}</x>", "a = b ".repeat(2000))).is_ok());
        let mut meter = Meter::new(Limit::List, Form::Json);
        let piece = "[],".repeat(100_000);
        assert!((0..40).any(|_| meter.take(piece.as_bytes()) == Err(TooLarge::Values)));
        let mut meter = Meter::new(Limit::Login, Form::Text);
        assert!(meter.take(&vec![b'a'; 1024 * 1024]).is_ok());
        assert_eq!(meter.take(b"a"), Err(TooLarge::Bytes(Limit::Login)));
        assert!(meter.announced(1 << 40).is_err() && meter.announced(10).is_ok());
    }
}
