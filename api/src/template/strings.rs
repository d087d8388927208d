//! Functions on text. Go counts bytes; where one of them cuts a character in two, what is left of it becomes U+FFFD here.

use std::fmt::Write as _;

use super::value::Value;

fn cut(text: &str, from: usize, to: usize) -> String {
    String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()
}

/// The first `count` bytes, or the last ones of a negative count.
pub fn trunc(count: i64, text: &str) -> String {
    let keep = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if keep >= text.len() {
        return text.to_owned();
    }
    if count < 0 { cut(text, text.len() - keep, text.len()) } else { cut(text, 0, keep) }
}

/// Bytes from `start` to `end`; a negative start is the beginning, an end that is negative or too far is the end.
///
/// # Errors
/// Bounds that Go's slices refuse.
pub fn substr(start: i64, end: i64, text: &str) -> Result<String, String> {
    let length = text.len();
    let bound = |value: i64| usize::try_from(value).ok();
    if start < 0 {
        return match bound(end) {
            None => Err(format!("runtime error: slice bounds out of range [:{end}]")),
            Some(to) if to > length => Err(format!("runtime error: slice bounds out of range [:{end}] with length {length}")),
            Some(to) => Ok(cut(text, 0, to)),
        };
    }
    let from = bound(start).unwrap_or(usize::MAX);
    let to = bound(end).filter(|to| *to <= length).unwrap_or(length);
    if from > to {
        return Err(format!("runtime error: slice bounds out of range [{start}:{to}]"));
    }
    Ok(cut(text, from, to))
}

/// Go's `strings.Title`: the first letter of each word is made large; anything but letters, digits and `_` ends a word.
pub fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = if c.is_ascii() { !(c.is_ascii_alphanumeric() || c == '_') } else { c.is_whitespace() };
    }
    out
}

/// The first letter after each blank is made small.
pub fn untitle(text: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for c in text.chars() {
        if start && !c.is_whitespace() {
            out.extend(c.to_lowercase());
            start = false;
        } else {
            out.push(c);
            start |= c.is_whitespace();
        }
    }
    out
}

/// Whether the library takes a byte as a blank: it reads bytes as characters.
fn blank(byte: u8) -> bool {
    matches!(byte, 9..=13 | b' ' | 0x85 | 0xA0)
}

/// Text without blanks.
pub fn nospace(text: &str) -> String {
    if !text.bytes().any(blank) {
        return text.to_owned();
    }
    text.bytes().filter(|byte| !blank(*byte)).map(char::from).collect()
}

/// The first byte of each word.
pub fn initials(text: &str) -> String {
    let mut gap = true;
    let mut out = String::new();
    for byte in text.bytes() {
        if !blank(byte) && gap {
            out.push(char::from(byte));
        }
        gap = blank(byte);
    }
    out
}

/// A byte of a text.
///
/// # Errors
/// What Go says of an index that is none.
pub fn index(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    let mut item = item.clone();
    if item == Value::Nil {
        return Err("index of untyped nil".to_owned());
    }
    for index in indexes {
        item = match &item {
            Value::Text(text) => match text.as_bytes().get(position(index, text.len())?) {
                Some(byte) => Value::Byte(*byte),
                None => return Err("reflect: string index out of range".to_owned()),
            },
            other => return Err(format!("can't index item of type {}", other.kind())),
        };
    }
    Ok(item)
}

/// Part of a text.
///
/// # Errors
/// What Go says of bounds that are none.
pub fn slice(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    if *item == Value::Nil {
        return Err("slice of untyped nil".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let Value::Text(text) = item else { return Err(format!("can't slice item of type {}", item.kind())) };
    if indexes.len() == 3 {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let from = indexes.first().map_or(Ok(0), |index| position(index, text.len()))?;
    let to = indexes.get(1).map_or(Ok(text.len()), |index| position(index, text.len()))?;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(Value::Text(cut(text, from, to)))
}

fn position(index: &Value, most: usize) -> Result<usize, String> {
    if *index == Value::Nil {
        return Err("cannot index slice/array with nil".to_owned());
    }
    let Some(number) = index.integer() else { return Err(format!("cannot index slice/array with type {}", index.kind())) };
    usize::try_from(number).ok().filter(|n| *n <= most).ok_or_else(|| format!("index out of range: {number}"))
}

/// Escaped for HTML.
pub fn html(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// Escaped for JavaScript.
pub fn js(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            // Writing to a String cannot fail.
            '<' | '>' | '&' | '=' => _ = write!(out, "\\u{:04X}", u32::from(c)),
            c if u32::from(c) < 0x20 => _ = write!(out, "\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

/// Escaped for the query of an address.
pub fn urlquery(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            byte => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}
