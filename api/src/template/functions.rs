//! The functions of name templates: Go's own and the twenty-nine of the Sprig library that Forklift adds, with the types of
//! their parameters.

use super::{
    format,
    node::Operand,
    regex, strings,
    text::{float, integer},
    value::Value,
};

/// Type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `string`.
    Text,
    /// `int`.
    Int,
    /// `float64`.
    Float,
    /// Anything.
    Any,
}

impl Kind {
    /// Go's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Int => "int",
            Self::Float => "float64",
            Self::Any => "interface {}",
        }
    }
}

/// Parameters of a function.
#[derive(Debug)]
pub struct Signature {
    /// Those that must be given.
    pub fixed: &'static [Kind],
    /// The type of any number more.
    pub variadic: Option<Kind>,
}

/// Largest text that a function may make, in bytes: a name has at most 63.
const LARGEST: usize = 1 << 16;

/// Parameters of the function of that name; `None` if there is none.
#[expect(clippy::match_same_arms, reason = "Go's own functions and Sprig's are listed apart")]
pub fn signature(name: &str) -> Option<&'static Signature> {
    use Kind::{Any, Float, Int, Text};
    macro_rules! signature {
        ($($fixed:expr),*) => { &Signature { fixed: &[$($fixed),*], variadic: None } };
        ($($fixed:expr),* ; $more:expr) => { &Signature { fixed: &[$($fixed),*], variadic: Some($more) } };
    }
    Some(match name {
        // Go's own.
        "and" | "or" | "call" | "index" | "slice" | "eq" => signature![Any; Any],
        "html" | "js" | "urlquery" | "print" | "println" => signature![; Any],
        "printf" => signature![Text; Any],
        "len" | "not" => signature![Any],
        "ne" | "lt" | "le" | "gt" | "ge" => signature![Any, Any],
        // Sprig's.
        "lower" | "upper" | "trim" | "title" | "untitle" | "nospace" | "initials" => signature![Text],
        "contains" | "trimAll" | "trimSuffix" | "trimPrefix" | "hasPrefix" | "hasSuffix" => signature![Text, Text],
        "replace" | "mustRegexReplaceAll" => signature![Text, Text, Text],
        "repeat" | "trunc" => signature![Int, Text],
        "substr" => signature![Int, Int, Text],
        "add" => signature![; Any],
        "add1" | "floor" | "ceil" => signature![Any],
        "sub" | "div" | "mod" => signature![Any, Any],
        "mul" | "max" | "min" => signature![Any; Any],
        "round" => signature![Any, Int; Float],
        _ => return None,
    })
}

/// Calls a function. `first` is its first argument as written, which only `call` tells.
///
/// # Errors
/// What the function of that name complains of.
pub fn call(name: &str, values: &[Value], first: Option<&Operand>) -> Result<Value, String> {
    let text = |index: usize| if let Some(Value::Text(text)) = values.get(index) { text.as_str() } else { "" };
    let int = |index: usize| values.get(index).and_then(Value::integer).unwrap_or_default();
    let whole = |index: usize| to_integer(values.get(index).unwrap_or(&Value::Nil));
    let real = |index: usize| to_float(values.get(index).unwrap_or(&Value::Nil));
    let nil = Value::Nil;
    let value = |index: usize| values.get(index).unwrap_or(&nil);
    let rest = values.get(1..).unwrap_or_default();
    Ok(match name {
        "not" => Value::Bool(!value(0).truth()),
        "len" => match value(0) {
            Value::Text(text) => Value::Int(i64::try_from(text.len()).unwrap_or(i64::MAX)),
            Value::Nil => return Err("len of nil pointer".to_owned()),
            other => return Err(format!("len of type {}", other.kind())),
        },
        "eq" => Value::Bool(equal(value(0), rest)?),
        "ne" => Value::Bool(!equal(value(0), rest)?),
        "lt" => Value::Bool(less(value(0), value(1))?),
        "le" => Value::Bool(less(value(0), value(1))? || equal(value(0), rest)?),
        "gt" => Value::Bool(!(less(value(0), value(1))? || equal(value(0), rest)?)),
        "ge" => Value::Bool(!less(value(0), value(1))?),
        "print" => Value::Text(format::print(values)),
        "println" => Value::Text(format::println(values)),
        "printf" => Value::Text(format::printf(text(0), rest)),
        "index" => strings::index(value(0), rest)?,
        "slice" => strings::slice(value(0), rest)?,
        "html" => Value::Text(strings::html(&format::print(values))),
        "js" => Value::Text(strings::js(&format::print(values))),
        "urlquery" => Value::Text(strings::urlquery(&format::print(values))),
        "call" => match value(0) {
            Value::Nil => return Err("call of nil".to_owned()),
            other => {
                let written = first.map_or_else(|| other.to_string(), ToString::to_string);
                return Err(format!("non-function {written} of type {}", other.kind()));
            }
        },
        "lower" => Value::Text(text(0).to_lowercase()),
        "upper" => Value::Text(text(0).to_uppercase()),
        "trim" => Value::Text(text(0).trim().to_owned()),
        "title" => Value::Text(strings::title(text(0))),
        "untitle" => Value::Text(strings::untitle(text(0))),
        "nospace" => Value::Text(strings::nospace(text(0))),
        "initials" => Value::Text(strings::initials(text(0))),
        "contains" => Value::Bool(text(1).contains(text(0))),
        "hasPrefix" => Value::Bool(text(1).starts_with(text(0))),
        "hasSuffix" => Value::Bool(text(1).ends_with(text(0))),
        "trimAll" => Value::Text(text(1).trim_matches(|c| text(0).contains(c)).to_owned()),
        "trimSuffix" => Value::Text(text(1).strip_suffix(text(0)).unwrap_or(text(1)).to_owned()),
        "trimPrefix" => Value::Text(text(1).strip_prefix(text(0)).unwrap_or(text(1)).to_owned()),
        "replace" => bounded(text(2).replace(text(0), text(1)))?,
        "mustRegexReplaceAll" => bounded(regex::replace_all(text(0), text(1), text(2))?)?,
        "repeat" => {
            let count = usize::try_from(int(0)).map_err(|_| "strings: negative Repeat count")?;
            if count.saturating_mul(text(1).len()) > LARGEST {
                return Err(format!("the text has more than {LARGEST} bytes"));
            }
            Value::Text(text(1).repeat(count))
        }
        "trunc" => Value::Text(strings::trunc(int(0), text(1))),
        "substr" => Value::Text(strings::substr(int(0), int(1), text(2))?),
        "add" => Value::Int64((0..values.len()).fold(0, |sum, index| whole(index).wrapping_add(sum))),
        "add1" => Value::Int64(whole(0).wrapping_add(1)),
        "sub" => Value::Int64(whole(0).wrapping_sub(whole(1))),
        "mul" => Value::Int64((0..values.len()).fold(1, |product, index| whole(index).wrapping_mul(product))),
        "div" | "mod" if whole(1) == 0 => return Err("runtime error: integer divide by zero".to_owned()),
        "div" => Value::Int64(whole(0).wrapping_div(whole(1))),
        "mod" => Value::Int64(whole(0).wrapping_rem(whole(1))),
        "max" => Value::Int64((0..values.len()).map(whole).max().unwrap_or_default()),
        "min" => Value::Int64((0..values.len()).map(whole).min().unwrap_or_default()),
        "floor" => Value::Float(real(0).floor()),
        "ceil" => Value::Float(real(0).ceil()),
        "round" => Value::Float(round(real(0), int(1), if let Some(Value::Float(on)) = values.get(2) { *on } else { 0.5 })),
        _ => return Err(format!("function \"{name}\" not defined")),
    })
}

fn bounded(text: String) -> Result<Value, String> {
    if text.len() > LARGEST { Err(format!("the text has more than {LARGEST} bytes")) } else { Ok(Value::Text(text)) }
}

/// Rounds to so many places, up from `on` of the next.
fn round(value: f64, places: i64, on: f64) -> f64 {
    let power = 10_f64.powf(places as f64);
    let digits = power * value;
    let rounded = if digits.fract() >= on { digits.ceil() } else { digits.floor() };
    rounded / power
}

/// What Sprig's arithmetic makes of a value: text is read as a number, what is none is zero.
fn to_integer(value: &Value) -> i64 {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "as Go does")]
        Value::Float(number) => *number as i64,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => {
            let whole = text.trim_end_matches('0').strip_suffix('.').filter(|_| text.ends_with('0')).unwrap_or(text);
            integer(whole).and_then(|n| i64::try_from(n).ok()).unwrap_or_default()
        }
        other => other.integer().unwrap_or_default(),
    }
}

fn to_float(value: &Value) -> f64 {
    match value {
        Value::Float(number) => *number,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) => float(text).unwrap_or_default(),
        other => other.integer().unwrap_or_default() as f64,
    }
}

/// What two values are compared as. Signed numbers and bytes differ in type, and are compared all the same.
#[derive(PartialEq)]
enum Basic<'a> {
    Bool(bool),
    Whole(i64),
    Float(f64),
    Text(&'a str),
}

fn basic(value: &Value) -> Option<Basic<'_>> {
    Some(match value {
        Value::Bool(value) => Basic::Bool(*value),
        Value::Float(number) => Basic::Float(*number),
        Value::Text(text) => Basic::Text(text),
        Value::Int(_) | Value::Int64(_) | Value::Byte(_) => Basic::Whole(value.integer()?),
        Value::Data(_) | Value::Nil => return None,
    })
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.kind(), b.kind())
}

fn equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        let same = match (basic(first), basic(other)) {
            (Some(a), Some(b)) if std::mem::discriminant(&a) == std::mem::discriminant(&b) => a == b,
            (None, None) => first == other,
            // Something that is nothing equals nothing else.
            _ if matches!((first, other), (Value::Nil, _) | (_, Value::Nil)) => false,
            _ => return Err(incompatible(first, other)),
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    match (basic(a).ok_or("invalid type for comparison")?, basic(b).ok_or("invalid type for comparison")?) {
        (Basic::Whole(a), Basic::Whole(b)) => Ok(a < b),
        (Basic::Float(a), Basic::Float(b)) => Ok(a < b),
        (Basic::Text(a), Basic::Text(b)) => Ok(a < b),
        (Basic::Bool(_), Basic::Bool(_)) => Err("invalid type for comparison".to_owned()),
        _ => Err(incompatible(a, b)),
    }
}
