//! Values of a template, with the types that Go gives them: its functions and its errors depend on them.

use std::sync::Arc;

use super::text;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `string`.
    Text(String),
    /// `int`: numbers of templates and of data.
    Int(i64),
    /// `int64`: what the arithmetic functions give. Go compares it with an `int`, but does not pass it as one.
    Int64(i64),
    /// `uint8`: a byte of a string.
    Byte(u8),
    /// `float64`.
    Float(f64),
    /// `bool`.
    Bool(bool),
    /// A structure.
    Data(Arc<Data>),
    /// No value at all.
    Nil,
}

/// A structure of Go: what a template is filled from.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Go's name of its type, which stands in errors.
    pub kind: &'static str,
    /// Fields in their order, by their names in Go.
    pub fields: Vec<(&'static str, Value)>,
}

impl Value {
    /// Go's name of its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Byte(_) => "uint8",
            Self::Float(_) => "float64",
            Self::Bool(_) => "bool",
            Self::Data(data) => data.kind,
            Self::Nil => "<nil>",
        }
    }

    /// Whether Go takes it as true: not empty, not zero.
    pub fn truth(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Int(number) | Self::Int64(number) => *number != 0,
            Self::Byte(byte) => *byte != 0,
            Self::Float(number) => *number != 0.0,
            Self::Bool(value) => *value,
            Self::Data(_) => true,
            Self::Nil => false,
        }
    }

    /// It as a whole number, if its type is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Int(number) | Self::Int64(number) => Some(*number),
            Self::Byte(byte) => Some(i64::from(*byte)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) | Self::Int64(number) => write!(f, "{number}"),
            Self::Byte(byte) => write!(f, "{byte}"),
            Self::Float(number) => f.write_str(&text::general(*number)),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Data(data) => {
                f.write_str("{")?;
                for (index, (_, value)) in data.fields.iter().enumerate() {
                    if index > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_str("}")
            }
            Self::Nil => f.write_str("<nil>"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
