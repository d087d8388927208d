//! Go's `Sprint`, `Sprintln` and `Sprintf` for the values that templates have.

use std::fmt::Write as _;

use super::{
    text::{general, quote},
    value::Value,
};

/// Widest field: a name has at most 63 characters.
const WIDEST: usize = 1 << 10;

/// Values one after the other, with a blank between two that are no text.
pub fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        let text = |v: &Value| matches!(v, Value::Text(_));
        if index > 0 && !text(value) && !text(&values[index - 1]) {
            out.push(' ');
        }
        out.push_str(&value.to_string());
    }
    out
}

/// Values with blanks between them, and a newline.
pub fn println(values: &[Value]) -> String {
    let words: Vec<String> = values.iter().map(ToString::to_string).collect();
    words.join(" ") + "\n"
}

#[derive(Default, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Go's")]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Arguments<'a> {
    values: &'a [Value],
    next: usize,
    reordered: bool,
    good: bool,
}

impl<'a> Arguments<'a> {
    fn take(&mut self) -> Option<&'a Value> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        Some(value)
    }

    /// `[2]`: the argument of that number comes next.
    fn index(&mut self, pattern: &[char], at: &mut usize) -> bool {
        if pattern.get(*at) != Some(&'[') {
            return false;
        }
        self.reordered = true;
        let Some(length) = pattern[*at..].iter().position(|c| *c == ']') else {
            self.good = false;
            *at += 1;
            return false;
        };
        let number: String = pattern[*at + 1..*at + length].iter().collect();
        *at += length + 1;
        if let Some(number) = number.parse::<usize>().ok().filter(|n| (1..=self.values.len()).contains(n)) {
            self.next = number - 1;
        } else {
            self.good = false;
        }
        true
    }

    /// A width or precision: digits, or `*` for the next argument.
    fn number(&mut self, pattern: &[char], at: &mut usize) -> Option<Result<i64, ()>> {
        if pattern.get(*at) == Some(&'*') {
            *at += 1;
            return Some(match self.take() {
                Some(Value::Int(n) | Value::Int64(n)) if n.unsigned_abs() <= 1_000_000 => Ok(*n),
                _ => Err(()),
            });
        }
        let digits: String = pattern[*at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        *at += digits.len();
        digits.parse().ok().map(Ok)
    }
}

/// `Sprintf`.
pub fn printf(pattern: &str, values: &[Value]) -> String {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut arguments = Arguments { values, next: 0, reordered: false, good: true };
    let mut out = String::new();
    let mut at = 0;
    while at < pattern.len() {
        if pattern[at] != '%' {
            out.push(pattern[at]);
            at += 1;
            continue;
        }
        at += 1;
        let mut flags = Flags::default();
        while let Some(c) = pattern.get(at) {
            match c {
                '+' => flags.plus = true,
                '-' => flags.minus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => break,
            }
            at += 1;
        }
        arguments.good = true;
        let mut indexed = arguments.index(&pattern, &mut at);
        match arguments.number(&pattern, &mut at) {
            Some(Ok(width)) => {
                flags.minus |= width < 0;
                flags.width = usize::try_from(width.unsigned_abs()).ok();
                arguments.good &= !(indexed && pattern.get(at - 1) != Some(&'*'));
            }
            Some(Err(())) => out.push_str("%!(BADWIDTH)"),
            None => {}
        }
        if pattern.get(at) == Some(&'.') {
            at += 1;
            indexed = arguments.index(&pattern, &mut at) || indexed;
            flags.precision = match arguments.number(&pattern, &mut at) {
                Some(Ok(precision)) => usize::try_from(precision).ok(),
                Some(Err(())) => {
                    out.push_str("%!(BADPREC)");
                    None
                }
                None => Some(0),
            };
        }
        arguments.index(&pattern, &mut at);
        if flags.minus {
            flags.zero = false;
        }
        let Some(verb) = pattern.get(at).copied() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        at += 1;
        if verb == '%' {
            out.push('%');
        } else if !arguments.good {
            // Writing to a String cannot fail, here and below.
            _ = write!(out, "%!{verb}(BADINDEX)");
        } else if let Some(value) = arguments.take() {
            one(&mut out, verb, flags, value);
        } else {
            _ = write!(out, "%!{verb}(MISSING)");
        }
    }
    if !arguments.reordered && arguments.next < values.len() {
        let extra: Vec<String> = values[arguments.next..].iter().map(typed).collect();
        _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

/// `string=text`, as it stands in what is wrong with a verb.
fn typed(value: &Value) -> String {
    if *value == Value::Nil { "<nil>".to_owned() } else { format!("{}={value}", value.kind()) }
}

fn one(out: &mut String, verb: char, mut flags: Flags, value: &Value) {
    // `%+v` asks for the names of fields, not for signs.
    let named = flags.plus && verb == 'v';
    flags.plus &= !named;
    let text = match (verb, value) {
        ('T', _) => Some(pad(value.kind(), flags, false)),
        ('v', Value::Nil) => Some(pad("<nil>", flags, false)),
        (_, Value::Text(text)) => string(verb, flags, text),
        (_, Value::Int(_) | Value::Int64(_) | Value::Byte(_)) => whole(verb, flags, value.integer().unwrap_or_default()),
        (_, Value::Float(number)) => real(verb, flags, *number),
        ('t' | 'v', Value::Bool(value)) => Some(pad(&value.to_string(), flags, false)),
        (_, Value::Data(data)) => {
            let mut inner = String::from("{");
            for (index, (name, field)) in data.fields.iter().enumerate() {
                if index > 0 {
                    inner.push(' ');
                }
                if named {
                    _ = write!(inner, "{name}:");
                }
                one(&mut inner, verb, Flags { plus: flags.plus || named, ..flags }, field);
            }
            Some(inner + "}")
        }
        _ => None,
    };
    match text {
        Some(text) => out.push_str(&text),
        None if *value == Value::Nil => _ = write!(out, "%!{verb}(<nil>)"),
        None => {
            _ = write!(out, "%!{verb}({}=", value.kind());
            one(out, 'v', flags, value);
            out.push(')');
        }
    }
}

/// Brings to the width. Zeros stand behind a sign.
fn pad(text: &str, flags: Flags, number: bool) -> String {
    let missing = flags.width.unwrap_or_default().min(WIDEST).saturating_sub(text.chars().count());
    if missing == 0 {
        return text.to_owned();
    }
    if flags.minus {
        return text.to_owned() + &" ".repeat(missing);
    }
    if !flags.zero {
        return " ".repeat(missing) + text;
    }
    let signed = usize::from(number && text.starts_with(['+', '-', ' ']));
    format!("{}{}{}", &text[..signed], "0".repeat(missing), &text[signed..])
}

fn string(verb: char, flags: Flags, text: &str) -> Option<String> {
    let shown: String = match flags.precision {
        Some(most) if verb != 'x' && verb != 'X' => text.chars().take(most).collect(),
        _ => text.to_owned(),
    };
    match verb {
        'v' if flags.sharp => Some(pad(&quote(&shown), flags, false)),
        'v' | 's' => Some(pad(&shown, flags, false)),
        'q' if flags.sharp && !shown.contains(['`', '\n']) => Some(pad(&format!("`{shown}`"), flags, false)),
        'q' => Some(pad(&quote(&shown), flags, false)),
        'x' | 'X' => {
            let bytes = shown.bytes().take(flags.precision.unwrap_or(usize::MAX));
            let pairs: Vec<String> = bytes.map(|b| if verb == 'x' { format!("{b:02x}") } else { format!("{b:02X}") }).collect();
            let prefix = if flags.sharp && !pairs.is_empty() { if verb == 'x' { "0x" } else { "0X" } } else { "" };
            let between = if flags.space { format!(" {prefix}") } else { String::new() };
            Some(pad(&format!("{prefix}{}", pairs.join(&between)), flags, false))
        }
        _ => None,
    }
}

fn whole(verb: char, flags: Flags, value: i64) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let sign = match value {
        ..0 => "-",
        _ if flags.plus => "+",
        _ if flags.space => " ",
        _ => "",
    };
    let (prefix, digits) = match verb {
        'd' | 'v' => ("", magnitude.to_string()),
        'b' => (if flags.sharp { "0b" } else { "" }, format!("{magnitude:b}")),
        'o' => (if flags.sharp { "0" } else { "" }, format!("{magnitude:o}")),
        'O' => ("0o", format!("{magnitude:o}")),
        'x' => (if flags.sharp { "0x" } else { "" }, format!("{magnitude:x}")),
        'X' => (if flags.sharp { "0X" } else { "" }, format!("{magnitude:X}")),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{FFFD}');
            let text = match verb {
                'c' => c.to_string(),
                'q' if c == '\'' => "'\\''".to_owned(),
                'q' if c == '"' => "'\"'".to_owned(),
                'q' => quote(&c.to_string()).replace('"', "'"),
                _ if flags.sharp => format!("U+{:04X} '{c}'", u32::from(c)),
                _ => format!("U+{:04X}", u32::from(c)),
            };
            return Some(pad(&text, flags, false));
        }
        _ => return None,
    };
    // A precision is the least number of digits, and switches the zeros of the width off.
    let Some(least) = flags.precision else {
        return Some(pad_digits(sign, prefix, &digits, flags));
    };
    let digits = if least == 0 && magnitude == 0 { String::new() } else { digits };
    let zeros = "0".repeat(least.min(WIDEST).saturating_sub(digits.len()));
    Some(pad(&format!("{sign}{prefix}{zeros}{digits}"), Flags { zero: false, ..flags }, false))
}

fn pad_digits(sign: &str, prefix: &str, digits: &str, flags: Flags) -> String {
    if !flags.zero {
        return pad(&format!("{sign}{prefix}{digits}"), flags, false);
    }
    // The width counts the sign, but not the prefix.
    let zeros = flags.width.unwrap_or_default().min(WIDEST).saturating_sub(digits.len() + sign.len());
    format!("{sign}{prefix}{}{digits}", "0".repeat(zeros))
}

fn real(verb: char, flags: Flags, value: f64) -> Option<String> {
    let text = match (verb, flags.precision) {
        ('v' | 'g', None) => general(value),
        ('G', None) => general(value).to_uppercase(),
        ('f' | 'F', precision) => format!("{value:.*}", precision.unwrap_or(6).min(WIDEST)),
        ('e' | 'E', precision) => {
            let text = exponent(&format!("{value:.*e}", precision.unwrap_or(6).min(WIDEST)));
            if verb == 'E' { text.to_uppercase() } else { text }
        }
        ('v' | 'g' | 'G', Some(precision)) => {
            let text = significant(value, precision.clamp(1, WIDEST));
            if verb == 'G' { text.to_uppercase() } else { text }
        }
        _ => return None,
    };
    let text = if value >= 0.0 && flags.plus && !text.starts_with('+') {
        format!("+{text}")
    } else if value >= 0.0 && flags.space {
        format!(" {text}")
    } else {
        text
    };
    Some(pad(&text, flags, true))
}

/// Rust's `1e7` as Go's `1e+07`.
fn exponent(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else { return text.to_owned() };
    let number: i32 = exponent.parse().unwrap_or_default();
    format!("{mantissa}e{}{:02}", if number < 0 { '-' } else { '+' }, number.abs())
}

/// `%.3g`: so many digits, without zeros at the end.
fn significant(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits - 1);
    let Some((mantissa, power)) = scientific.split_once('e') else { return scientific };
    let power: i32 = power.parse().unwrap_or_default();
    let trimmed =
        |text: &str| if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() };
    if power < -4 || usize::try_from(power).is_ok_and(|p| p >= digits) {
        return exponent(&format!("{}e{power}", trimmed(mantissa)));
    }
    let places = i64::try_from(digits).unwrap_or(i64::MAX) - 1 - i64::from(power);
    trimmed(&format!("{value:.*}", usize::try_from(places).unwrap_or_default()))
}
