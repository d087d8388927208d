//! Regular expressions as Go reads them: `\d`, `\w`, `\s` and `\b` mean ASCII, brackets inside of a class and braces that
//! count nothing mean themselves. The pattern is rewritten for the `regex` crate, which otherwise reads the same language.

use ::regex::{Captures, Regex, RegexBuilder};

/// Largest compiled expression, in bytes.
const LARGEST: usize = 1 << 20;

/// Go's `ReplaceAllString`.
///
/// # Errors
/// A pattern that is none, as Go says it.
pub fn replace_all(pattern: &str, text: &str, with: &str) -> Result<String, String> {
    let rewritten = rewrite(pattern).map_err(|error| format!("error parsing regexp: {error}"))?;
    let build = || RegexBuilder::new(&rewritten).size_limit(LARGEST).octal(true).build();
    let regex = build().map_err(|error| format!("error parsing regexp: {}", mistake(pattern, &error)))?;
    Ok(regex.replace_all(text, |found: &Captures<'_>| expand(&regex, with, found)).into_owned())
}

/// What stands in place of a match: `$1`, `${1}`, `$name` and `$$` are filled in; any other `$` stays.
fn expand(regex: &Regex, with: &str, found: &Captures<'_>) -> String {
    let mut out = String::new();
    let mut rest = with;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let braced = rest.starts_with('{');
        let inner = if braced { &rest[1..] } else { rest };
        let length = inner.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(inner.len());
        let closed = !braced || inner[length..].starts_with('}');
        if length == 0 || !closed {
            out.push('$');
            continue;
        }
        let name = &inner[..length];
        let group = match name.parse::<usize>() {
            Ok(number) => found.get(number),
            Err(_) if regex.capture_names().flatten().any(|n| n == name) => found.name(name),
            Err(_) => None,
        };
        out.push_str(group.map(|g| g.as_str()).unwrap_or_default());
        rest = &inner[length + usize::from(braced)..];
    }
    out.push_str(rest);
    out
}

/// The pattern in the words of the `regex` crate.
fn rewrite(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    let mut groups = 0_usize;
    // Whether what came last can be repeated.
    let mut repeatable = false;
    while let Some(c) = rest.chars().next() {
        let (here, after) = (rest, &rest[c.len_utf8()..]);
        rest = after;
        let was = std::mem::replace(&mut repeatable, true);
        match c {
            '\\' => rest = escape(after, &mut out)?,
            '[' => rest = class(here, &mut out)?,
            '(' => {
                groups += 1;
                out.push('(');
                repeatable = false;
                if let Some(flags) = after.strip_prefix('?') {
                    // Flags and names are the same on both sides.
                    let end = flags.find([':', ')', '>']).ok_or_else(|| format!("missing closing ): `{pattern}`"))?;
                    let head = &flags[..=end];
                    if head.contains(['=', '!', 'x', 'u', 'R']) && !head.starts_with(['P', '<']) || head.starts_with(['=', '!']) {
                        return Err(format!(
                            "invalid or unsupported Perl syntax: `{}`",
                            &here[..2 + flags.chars().next().map_or(0, char::len_utf8)]
                        ));
                    }
                    out.push('?');
                    out.push_str(head);
                    groups -= usize::from(head.ends_with(')'));
                    rest = &flags[end + 1..];
                }
            }
            ')' => {
                groups = groups.checked_sub(1).ok_or_else(|| format!("unexpected ): `{pattern}`"))?;
                out.push(')');
            }
            '|' | '^' => {
                out.push(c);
                repeatable = c == '^';
            }
            '*' | '+' | '?' => {
                if !was {
                    return Err(format!("missing argument to repetition operator: `{c}`"));
                }
                out.push(c);
                rest = lazy(here, &here[c.len_utf8()..], &mut out)?;
            }
            '{' => match count(here) {
                Some(length) => {
                    if !was {
                        return Err(format!("missing argument to repetition operator: `{}`", &here[..length]));
                    }
                    out.push_str(&here[..length]);
                    rest = lazy(here, &here[length..], &mut out)?;
                }
                None => out.push_str("\\{"),
            },
            '}' => out.push_str("\\}"),
            ']' => out.push_str("\\]"),
            c => out.push(c),
        }
    }
    if groups > 0 { Err(format!("missing closing ): `{pattern}`")) } else { Ok(out) }
}

/// Copies the `?` behind a repetition; a second repetition is refused, as Go does.
fn lazy<'a>(whole: &'a str, rest: &'a str, out: &mut String) -> Result<&'a str, String> {
    let after = rest.strip_prefix('?').unwrap_or(rest);
    if after.len() < rest.len() {
        out.push('?');
    }
    let doubled = match after.chars().next() {
        Some(c @ ('*' | '+' | '?')) => c.len_utf8(),
        Some('{') => count(after).unwrap_or_default(),
        _ => 0,
    };
    if doubled > 0 {
        let end = whole.len() - after.len() + doubled;
        return Err(format!("invalid nested repetition operator: `{}`", &whole[..end]));
    }
    Ok(after)
}

/// Length of `{2}`, `{2,}` or `{2,3}` at the start of the text.
fn count(text: &str) -> Option<usize> {
    let end = text.find('}')?;
    let (least, most) = text[1..end].split_once(',').unwrap_or((&text[1..end], ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some(end + 1)
}

/// What a backslash stands for, outside of a class.
fn escape<'a>(rest: &'a str, out: &mut String) -> Result<&'a str, String> {
    let Some(c) = rest.chars().next() else { return Err("trailing backslash at end of expression: ``".to_owned()) };
    let after = &rest[c.len_utf8()..];
    match c {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str("[\\t\\n\\f\\r ]"),
        'S' => out.push_str("[^\\t\\n\\f\\r ]"),
        'b' => out.push_str("(?-u:\\b)"),
        'B' => out.push_str("(?-u:\\B)"),
        'Q' => {
            let (quoted, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&::regex::escape(quoted));
            return Ok(after);
        }
        'E' => {}
        'A' | 'z' | 'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'p' | 'P' | '0'..='7' => out.extend(['\\', c]),
        c if c.is_ascii_punctuation() => out.push_str(&::regex::escape(&c.to_string())),
        c => return Err(format!("invalid escape sequence: `\\{c}`")),
    }
    Ok(after)
}

/// A class in brackets. `text` starts with its bracket.
fn class<'a>(text: &'a str, out: &mut String) -> Result<&'a str, String> {
    let missing = || format!("missing closing ]: `{text}`");
    out.push('[');
    let mut rest = &text[1..];
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    loop {
        let c = rest.chars().next().ok_or_else(missing)?;
        let after = &rest[c.len_utf8()..];
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(after);
            }
            '[' if after.starts_with(':') && after.contains(":]") => {
                let end = after.find(":]").map_or(after.len(), |end| end + 2);
                out.push('[');
                out.push_str(&after[..end]);
                rest = &after[end..];
            }
            '\\' => {
                let escaped = after.chars().next().ok_or_else(missing)?;
                rest = &after[escaped.len_utf8()..];
                match escaped {
                    'd' => out.push_str("0-9"),
                    'w' => out.push_str("0-9A-Za-z_"),
                    's' => out.push_str("\\t\\n\\f\\r "),
                    'D' => out.push_str("[^0-9]"),
                    'W' => out.push_str("[^0-9A-Za-z_]"),
                    'S' => out.push_str("[^\\t\\n\\f\\r ]"),
                    _ => rest = escape(after, out)?,
                }
            }
            // A hyphen is a range between two characters only, and means itself at either end.
            '-' if first || after.starts_with(']') => {
                out.push_str("\\-");
                rest = after;
            }
            '[' | ']' | '&' | '~' | '^' => {
                out.extend(['\\', c]);
                rest = after;
            }
            c => {
                out.push(c);
                rest = after;
            }
        }
        first = false;
    }
}

/// What is wrong with a pattern, in Go's words where they are known.
fn mistake(pattern: &str, error: &::regex::Error) -> String {
    let text = error.to_string();
    if text.contains("invalid character class range") {
        let range = pattern.char_indices().zip(pattern.chars().skip(1)).zip(pattern.chars().skip(2));
        for (((_, from), middle), to) in range {
            if middle == '-' && from > to {
                return format!("invalid character class range: `{from}-{to}`");
            }
        }
    }
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
