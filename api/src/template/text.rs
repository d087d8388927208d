//! Go's quoted text.

use std::fmt::Write as _;

/// Text in double quotes as `strconv.Quote` writes it.
pub fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            // Writing to a String cannot fail.
            c if u32::from(c) < 0x20 || c == '\u{7f}' => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text of a literal in double quotes, back quotes, or of a character in single ones; `None` where Go refuses it.
pub fn unquote(literal: &str) -> Option<String> {
    let quote = literal.chars().next()?;
    let inner = literal.get(1..literal.len().checked_sub(1)?)?;
    if quote == '`' {
        return Some(inner.replace('\r', ""));
    }
    // Bytes: `\xff` and octal escapes are bytes, not characters.
    let mut out: Vec<u8> = Vec::new();
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let escaped = rest.next()?;
        let byte = match escaped {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            c @ ('"' | '\'') if c == quote => u8::try_from(c).ok()?,
            'x' => u8::try_from(number(&mut rest, 2, 16)?).ok()?,
            '0'..='7' => {
                let first = escaped.to_digit(8)?;
                u8::try_from(first * 64 + number(&mut rest, 2, 8)?).ok()?
            }
            'u' | 'U' => {
                let c = char::from_u32(number(&mut rest, if escaped == 'u' { 4 } else { 8 }, 16)?)?;
                out.extend(c.encode_utf8(&mut [0; 4]).bytes());
                continue;
            }
            _ => return None,
        };
        out.push(byte);
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

fn number(rest: &mut std::str::Chars<'_>, digits: usize, radix: u32) -> Option<u32> {
    (0..digits).try_fold(0_u32, |sum, _| Some(sum.checked_mul(radix)? + rest.next()?.to_digit(radix)?))
}

/// A whole number as `strconv.ParseInt` reads it with base 0: decimal, `0x`, `0o`, `0b`, octal after a zero, underscores.
pub fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let plain = digits.replace('_', "");
    let separated = !(digits.ends_with('_') || digits.contains("__") || radix == 10 && digits.starts_with('_'));
    if plain.is_empty() || !separated || !plain.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(&plain, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// A number as `strconv.ParseFloat` reads it.
pub fn float(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    let shape = plain.trim_start_matches(['+', '-']);
    let named = ["inf", "infinity", "nan"].contains(&shape.to_ascii_lowercase().as_str());
    if !named && !shape.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    plain.parse().ok()
}

/// A floating-point number as `%v` writes it: the shortest form, with an exponent where that is below -4 or above 5.
pub fn general(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        assert_eq!(unquote(r#""a\tb\x41\101é\"""#).as_deref(), Some("a\tbAAé\""));
        assert_eq!(unquote(r#""\q""#), None);
        assert_eq!(unquote("`a\\n`").as_deref(), Some("a\\n"));
        assert_eq!(quote("a\"\n\u{1}"), r#""a\"\n\x01""#);
        for (text, value) in [("10", 10), ("0x1f", 31), ("-0b11", -3), ("010", 8), ("1_000", 1000), ("0", 0)] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        assert_eq!((integer("08"), integer("_1"), integer("")), (None, None, None));
        assert_eq!((general(3.0), general(1e6), general(1.5e-7)), ("3".into(), "1e+06".into(), "1.5e-07".into()));
    }
}
