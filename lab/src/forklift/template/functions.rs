//! Running a template's nodes, and its functions.

use super::{
    Fields, Value,
    parse::{Node, Operand, Pipeline},
};

/// Names of all functions.
pub const NAMES: &[&str] = &[
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "and",
    "or",
    "not",
    "len",
    "print",
    "printf",
    "println",
    "lower",
    "upper",
    "contains",
    "replace",
    "trim",
    "trimAll",
    "trimSuffix",
    "trimPrefix",
    "title",
    "untitle",
    "repeat",
    "substr",
    "nospace",
    "trunc",
    "initials",
    "hasPrefix",
    "hasSuffix",
    "mustRegexReplaceAll",
    "add",
    "add1",
    "sub",
    "div",
    "mod",
    "mul",
    "max",
    "min",
    "floor",
    "ceil",
    "round",
];

/// Runs nodes.
pub fn run(nodes: &[Node], fields: &Fields, kind: &str) -> Result<String, String> {
    let mut out = String::new();
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Out(pipeline) => out.push_str(&evaluate(pipeline, fields, kind)?.to_string()),
            Node::If(condition, then, otherwise) => {
                let taken = if evaluate(condition, fields, kind)?.truth() { then } else { otherwise };
                out.push_str(&run(taken, fields, kind)?);
            }
        }
    }
    Ok(out)
}

fn evaluate(pipeline: &Pipeline, fields: &Fields, kind: &str) -> Result<Value, String> {
    let mut last: Option<Value> = None;
    for command in pipeline {
        let mut values = Vec::new();
        let (function, operands) = match command.split_first() {
            Some((Operand::Function(name), operands)) => (Some(name.as_str()), operands),
            _ => (None, command.as_slice()),
        };
        for operand in operands {
            values.push(match operand {
                Operand::Field(name, column) => fields.get(name.as_str()).cloned().ok_or_else(|| {
                    format!("template:1:{column}: executing \"template\" at <.{name}>: can't evaluate field {name} in type {kind}")
                })?,
                Operand::Function(name) => call(name, &[])?,
                Operand::Text(text) => Value::Text(text.clone()),
                Operand::Number(number) => Value::Number(*number),
                Operand::Bool(value) => Value::Bool(*value),
                Operand::Nested(nested) => evaluate(nested, fields, kind)?,
            });
        }
        values.extend(last.take());
        last = Some(match function {
            Some(name) => call(name, &values)?,
            None if values.len() == 1 => values.swap_remove(0),
            None => return Err("can't give argument to non-function".to_owned()),
        });
    }
    last.ok_or_else(|| "missing value for command".to_owned())
}

fn call(name: &str, values: &[Value]) -> Result<Value, String> {
    let wrong = || format!("error calling {name}: wrong number or type of arguments");
    let text = |index: usize| values.get(index).map(Value::to_string).ok_or_else(wrong);
    let number = |index: usize| match values.get(index) {
        Some(Value::Number(number)) => Ok(*number),
        Some(Value::Text(text)) => text.parse().map_err(|_| wrong()),
        _ => Err(wrong()),
    };
    let size = |index: usize| number(index).map(|n| usize::try_from(n).unwrap_or_default());
    let value = |index: usize| values.get(index).ok_or_else(wrong);
    let checked = |result: Option<i64>| result.map(Value::Number).ok_or_else(|| format!("error calling {name}: no result"));
    let fold = |start: i64, with: fn(i64, i64) -> Option<i64>| {
        let mut total = start;
        for index in 0..values.len() {
            total = with(total, number(index)?).ok_or_else(wrong)?;
        }
        Ok::<_, String>(Value::Number(total))
    };
    Ok(match name {
        "eq" => Value::Bool(values.len() > 1 && values[1..].iter().any(|v| v == &values[0])),
        "ne" => Value::Bool(value(0)? != value(1)?),
        "lt" => Value::Bool(order(values, &wrong)?.is_lt()),
        "le" => Value::Bool(order(values, &wrong)?.is_le()),
        "gt" => Value::Bool(order(values, &wrong)?.is_gt()),
        "ge" => Value::Bool(order(values, &wrong)?.is_ge()),
        "and" => values.iter().find(|v| !v.truth()).or(values.last()).cloned().ok_or_else(wrong)?,
        "or" => values.iter().find(|v| v.truth()).or(values.last()).cloned().ok_or_else(wrong)?,
        "not" => Value::Bool(!value(0)?.truth()),
        "len" => Value::Number(i64::try_from(text(0)?.len()).unwrap_or(i64::MAX)),
        "print" => Value::Text(values.iter().map(ToString::to_string).collect()),
        "println" => Value::Text(values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => Value::Text(format(&text(0)?, &values[1..])),
        "lower" => Value::Text(text(0)?.to_lowercase()),
        "upper" => Value::Text(text(0)?.to_uppercase()),
        "contains" => Value::Bool(text(1)?.contains(&text(0)?)),
        "replace" => Value::Text(text(2)?.replace(&text(0)?, &text(1)?)),
        "trim" => Value::Text(text(0)?.trim().to_owned()),
        "trimAll" => {
            let set = text(0)?;
            Value::Text(text(1)?.trim_matches(|c| set.contains(c)).to_owned())
        }
        "trimSuffix" => Value::Text(text(1)?.strip_suffix(&text(0)?).map_or(text(1)?, str::to_owned)),
        "trimPrefix" => Value::Text(text(1)?.strip_prefix(&text(0)?).map_or(text(1)?, str::to_owned)),
        "title" => Value::Text(words(&text(0)?, |c| c.to_uppercase().collect())),
        "untitle" => Value::Text(words(&text(0)?, |c| c.to_lowercase().collect())),
        // A thousand: the result is a name of at most 63 characters.
        "repeat" => Value::Text(text(1)?.repeat(size(0)?.min(1000))),
        "substr" => Value::Text(text(2)?.chars().take(size(1)?).skip(size(0)?).collect()),
        "nospace" => Value::Text(text(0)?.chars().filter(|c| !c.is_whitespace()).collect()),
        "trunc" => {
            let (count, whole) = (number(0)?, text(1)?);
            let keep = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            let skip = if count < 0 { whole.chars().count().saturating_sub(keep) } else { 0 };
            Value::Text(whole.chars().skip(skip).take(keep).collect())
        }
        "initials" => Value::Text(text(0)?.split_whitespace().filter_map(|w| w.chars().next()).collect()),
        "hasPrefix" => Value::Bool(text(1)?.starts_with(&text(0)?)),
        "hasSuffix" => Value::Bool(text(1)?.ends_with(&text(0)?)),
        "mustRegexReplaceAll" => Value::Text(replace_class(&text(0)?, &text(1)?, &text(2)?)?),
        "add" => fold(0, i64::checked_add)?,
        "mul" => fold(1, i64::checked_mul)?,
        "add1" => checked(number(0)?.checked_add(1))?,
        "sub" => checked(number(0)?.checked_sub(number(1)?))?,
        "div" => checked(number(0)?.checked_div(number(1)?))?,
        "mod" => checked(number(0)?.checked_rem(number(1)?))?,
        "max" => fold(i64::MIN, |a, b| Some(a.max(b)))?,
        "min" => fold(i64::MAX, |a, b| Some(a.min(b)))?,
        "floor" | "ceil" | "round" => Value::Number(number(0)?),
        _ => return Err(format!("function \"{name}\" not defined")),
    })
}

fn order(values: &[Value], wrong: &dyn Fn() -> String) -> Result<std::cmp::Ordering, String> {
    match values {
        [Value::Number(a), Value::Number(b)] => Ok(a.cmp(b)),
        [Value::Text(a), Value::Text(b)] => Ok(a.cmp(b)),
        _ => Err(wrong()),
    }
}

fn words(text: &str, change: fn(char) -> String) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let out = if start { change(c) } else { c.to_string() };
            start = c.is_whitespace();
            out
        })
        .collect()
}

/// Go's `Sprintf` with `%s`, `%v`, `%q` and `%d`, the last one with zero padding.
fn format(pattern: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut width = String::new();
        let verb = loop {
            match rest.next() {
                Some(d) if d.is_ascii_digit() => width.push(d),
                other => break other,
            }
        };
        match verb {
            Some('%') | None => out.push('%'),
            Some('q') => out.extend(["\"", &values.next().map(ToString::to_string).unwrap_or_default(), "\""]),
            Some(_) => {
                let value = values.next().map(ToString::to_string).unwrap_or_default();
                let fill = if width.starts_with('0') { '0' } else { ' ' };
                // Sixty-three: longer than any name.
                let missing = width.parse::<usize>().unwrap_or_default().min(63).saturating_sub(value.len());
                out.extend(std::iter::repeat_n(fill, missing));
                out.push_str(&value);
            }
        }
    }
    out
}

/// Replaces what matches a regular expression of the kind that names are cleaned with: a literal, or one class in brackets,
/// each with an optional `+`. Anything else is refused rather than read wrongly.
fn replace_class(pattern: &str, text: &str, with: &str) -> Result<String, String> {
    let unsupported = || format!("error calling mustRegexReplaceAll: the lab knows no regular expression like `{pattern}`");
    let (core, many) = pattern.strip_suffix('+').map_or((pattern, false), |core| (core, true));
    if let Some(class) = core.strip_prefix('[').and_then(|c| c.strip_suffix(']')) {
        let (negated, class) = class.strip_prefix('^').map_or((false, class), |c| (true, c));
        if class.contains(['[', '\\']) {
            return Err(unsupported());
        }
        let letters: Vec<char> = class.chars().collect();
        let holds = |c: char| {
            let mut index = 0;
            let mut found = false;
            while index < letters.len() {
                if index + 2 < letters.len() && letters[index + 1] == '-' {
                    found |= (letters[index]..=letters[index + 2]).contains(&c);
                    index += 3;
                } else {
                    found |= letters[index] == c;
                    index += 1;
                }
            }
            found != negated
        };
        let mut out = String::new();
        let mut inside = false;
        for c in text.chars() {
            let matched = holds(c);
            if !matched {
                out.push(c);
            } else if !(many && inside) {
                out.push_str(with);
            }
            inside = matched;
        }
        return Ok(out);
    }
    if core.is_empty() || core.contains(|c: char| "\\^$.|?*+()[]{}".contains(c)) {
        return Err(unsupported());
    }
    Ok(text.replace(core, with))
}
