//! The forms in which a secret can come back: what writers of JSON, XML, YAML, URLs, shells and base64 make of it.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};

use super::masking::Reach;

/// A line of a longer secret that is shorter says little, and is in every text.
const SHORTEST_LINE: usize = 6;

/// Parts of a base64 text that are shorter are found by chance.
const SHORTEST_PART: usize = 8;

/// What begins the lines around a PEM text: no secret, and the same in all of them.
const MARKER: &str = "-----";

/// All forms of a secret, itself included, with where each is masked: an encoded form everywhere, even that of an ordinary word.
pub(super) fn of(secret: &str) -> BTreeMap<String, Reach> {
    let plain = std::iter::once(secret).chain(lines(secret)).map(|form| (form.to_owned(), Reach::of(form)));
    let plain: BTreeMap<String, Reach> = plain.collect();
    let reach = |form: &String| if form.chars().count() > SHORTEST_FORM { Reach::Anywhere } else { Reach::Alone };
    let mut forms: BTreeMap<String, Reach> = encoded(secret)
        .into_iter()
        .map(|form| {
            let reach = reach(&form);
            (form, reach)
        })
        .collect();
    // What an encoding leaves as it is, is no encoding.
    forms.extend(plain);
    forms
}

/// Encoded forms that are not longer are found by chance.
const SHORTEST_FORM: usize = 4;

/// The lines of a longer text, which come back one by one.
fn lines(secret: &str) -> impl Iterator<Item = &str> {
    let several = secret.contains('\n');
    let long = |line: &&str| line.chars().count() >= SHORTEST_LINE && !line.starts_with(MARKER);
    secret.lines().filter(move |_| several).map(str::trim).filter(long)
}

fn encoded(secret: &str) -> Vec<String> {
    let mut forms = vec![
        // Single quotes of shells and of YAML, C and Rust.
        secret.replace('\'', "'\\''"),
        secret.replace('\'', "'\"'\"'"),
        secret.replace('\'', "''"),
        secret.escape_debug().to_string(),
        secret.escape_default().to_string(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        hex(secret, false),
        hex(secret, true),
    ];
    forms.extend(json(secret));
    forms.extend(xml(secret));
    forms.extend(url(secret));
    forms.extend((0..3).flat_map(|shift| part(secret, shift)));
    forms
}

fn hex(secret: &str, upper: bool) -> String {
    secret.bytes().fold(String::new(), |mut text, byte| {
        let _infallible = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
        text
    })
}

/// As serde, Go (`<`, `>` and `&` escaped), PHP (`/` escaped) and writers that keep to ASCII do.
fn json(secret: &str) -> Vec<String> {
    let text = serde_json::to_string(secret).unwrap_or_default();
    let plain = text.get(1..text.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let go = plain.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    let ascii = |text: &str| -> String {
        let mut escaped = String::new();
        for c in text.chars() {
            if c.is_ascii() {
                escaped.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _infallible = write!(escaped, "\\u{unit:04x}");
                }
            }
        }
        escaped
    };
    vec![ascii(&plain), ascii(&go), plain.replace('/', "\\/"), go, plain]
}

/// With every habit of writing quotes and line ends.
fn xml(secret: &str) -> Vec<String> {
    let base = secret.replace('&', "&amp;").replace('<', "&lt;");
    let mut forms = Vec::new();
    for greater in [">", "&gt;"] {
        for double in ["\"", "&quot;", "&#34;", "&#x22;"] {
            for single in ["'", "&apos;", "&#39;", "&#x27;"] {
                for (line, carriage) in [("\n", "\r"), ("&#10;", "&#13;"), ("&#xA;", "&#xD;")] {
                    let form = base.replace('>', greater).replace('"', double).replace('\'', single);
                    forms.push(form.replace('\n', line).replace('\r', carriage));
                }
            }
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// With everything escaped that can be, and as forms, browsers and paths do.
fn url(secret: &str) -> Vec<String> {
    let escape = |safe: &[u8]| -> String {
        secret.bytes().fold(String::new(), |mut text, byte| {
            if byte.is_ascii_alphanumeric() || safe.contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _infallible = write!(text, "%{byte:02X}");
            }
            text
        })
    };
    // RFC 3986; Python's quote; encodeURIComponent; the form encoding of the WHATWG.
    let forms = [escape(b"-._~"), escape(b"-._~/"), escape(b"-._~!*'()"), escape(b"-._*")];
    let lower = |text: &String| -> String {
        let mut escape = 0;
        text.chars()
            .map(|c| {
                escape = if c == '%' { 3 } else { i32::max(escape, 1) - 1 };
                if escape > 0 { c.to_ascii_lowercase() } else { c }
            })
            .collect()
    };
    let all: Vec<String> = forms.iter().flat_map(|form| [form.clone(), lower(form)]).collect();
    let plus = all.iter().map(|form| form.replace("%20", "+"));
    plus.chain(all.iter().cloned()).collect()
}

/// What stays the same of the base64 of a longer text in which the secret stands `shift` bytes after a group of three.
fn part(secret: &str, shift: usize) -> Vec<String> {
    let mut bytes = vec![0; shift];
    bytes.extend(secret.bytes());
    // The first characters hold bits of what stands before, the last ones of what follows.
    let (from, to) = (if shift == 0 { 0 } else { shift + 1 }, bytes.len() * 8 / 6);
    [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD]
        .into_iter()
        .filter_map(|engine| engine.encode(&bytes).get(from..to).filter(|part| part.len() >= SHORTEST_PART).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_case_escapes_leave_the_letters_alone() {
        assert!(of("Ab/Ü").contains_key("Ab%2f%c3%9c"), "{:?}", of("Ab/Ü"));
    }

    #[test]
    fn parts_of_base64_are_those_that_never_change() {
        for (shift, before) in [(0, "xyz"), (1, "x"), (2, "xy")] {
            for after in ["", "1", "é"] {
                let whole = STANDARD.encode(format!("{before}twelve-bytes{after}"));
                assert!(part("twelve-bytes", shift).iter().any(|part| whole.contains(part.as_str())), "{shift} {after}");
            }
        }
    }
}
