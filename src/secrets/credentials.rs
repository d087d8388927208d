//! Whether an ordinary word in a text can be a secret, by what stands beside it.

use std::ops::Range;

use super::MASK;

/// Words in the name of a field whose value is a credential; `key` is one only at the end of a longer name, as in `api_key`.
const FIELDS: [&str; 5] = ["pass", "pwd", "secret", "token", "credential"];

/// What joins the parts of a name: of a host, a file, an image, an option, a field.
const JOINTS: [char; 4] = ['-', '_', '.', '/'];

/// How many bytes before a value are looked at for the name of its field.
const FIELD_WITHIN: usize = 80;

/// Whether the word at this place can be the secret itself: it stands alone, or it is the value of a credential.
pub(super) fn can_be_secret(text: &str, at: Range<usize>) -> bool {
    let (before, word, after) = (&text[..at.start], &text[at.clone()], &text[at.end..]);
    if after.chars().next().is_some_and(char::is_alphanumeric)
        || (names_a_field(word) && (is_key(after) || is_tag(before)))
        || is_mask(before, word, after)
    {
        return false;
    }
    is_value(before) || (!joined_left(before) && !joined_right(before, after))
}

/// Whether a mask stands here already.
fn is_mask(before: &str, word: &str, after: &str) -> bool {
    MASK.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) == Some(word) && before.ends_with('[') && after.starts_with(']')
}

/// `: ` or `=` after a word that is the name of a field, such as `password`: the value comes behind it.
fn is_key(after: &str) -> bool {
    let after = after.trim_start_matches(['"', '\'', '\\']).trim_start();
    after.starts_with([':', '=', '>']) || after.starts_with("%3D") || after.starts_with("%3A")
}

/// Whether what stands before opens or closes a tag of XML, perhaps with a prefix: `<v:`.
fn is_tag(before: &str) -> bool {
    let prefix = before.strip_suffix(':').map(|before| before.trim_end_matches(|c: char| c.is_ascii_alphanumeric()));
    let before = prefix.unwrap_or(before);
    before.ends_with('<') || before.ends_with("</")
}

fn names_a_field(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    FIELDS.iter().any(|field| word.contains(field)) || (word.len() > "key".len() && word.ends_with("key"))
}

/// Whether what stands before is the field of a credential: `password: "`, `token=`, `<password>`, `-p`.
fn is_value(before: &str) -> bool {
    let mut from = before.len().saturating_sub(FIELD_WITHIN);
    while !before.is_char_boundary(from) {
        from += 1;
    }
    let quotes = ['"', '\'', '`', '\\'];
    let blanks = [' ', '\t'];
    let near = &before[from..];
    if near.ends_with(" -p") {
        return true;
    }
    let open = near.trim_end_matches(quotes).trim_end_matches(blanks);
    if let Some(tag) = open.strip_suffix('>') {
        let name = |start| tag[start..].split(blanks).next().unwrap_or_default();
        return tag.rfind('<').is_some_and(|start| names_a_field(name(start)));
    }
    let separated = ["%3D", "%3A", ":", "="].into_iter().find_map(|separator| open.strip_suffix(separator));
    let Some(name) = separated.map(|name| name.trim_end_matches(blanks).trim_end_matches(quotes)) else { return false };
    let of_name = |c: char| c.is_alphanumeric() || JOINTS.contains(&c);
    names_a_field(name.rsplit(|c| !of_name(c)).next().unwrap_or_default())
}

/// Whether the word goes on to the left: a letter or digit, or one behind a joint.
fn joined_left(before: &str) -> bool {
    if ends_in_escape(before) {
        return false;
    }
    let mut left = before.chars().rev();
    match left.next() {
        Some(c) if c.is_alphanumeric() => true,
        Some('@') => true,
        Some(c) if JOINTS.contains(&c) => left.next().is_some_and(char::is_alphanumeric),
        _ => false,
    }
}

/// Whether the word goes on to the right. Behind `//` or `:` a word before `@` belongs to the login of a URL.
fn joined_right(before: &str, after: &str) -> bool {
    let mut right = after.chars();
    match right.next() {
        Some('@') => !before.ends_with([':', '/']) && right.next().is_some_and(char::is_alphanumeric),
        Some(':') => !before.ends_with("//") && right.next().is_some_and(|c| c.is_ascii_digit()),
        Some(c) if JOINTS.contains(&c) => right.next().is_some_and(char::is_alphanumeric),
        _ => false,
    }
}

/// Whether the last letters are no letters of a word but the end of an escape: `\n`, `\u003d`, `%3D`, or of a terminal's colour.
fn ends_in_escape(before: &str) -> bool {
    let bytes = before.as_bytes();
    let tail = |length: usize| bytes.len().checked_sub(length).map(|at| &bytes[at..]);
    let hex = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_hexdigit);
    let color = || {
        let rest = before.strip_suffix('m')?;
        rest.trim_end_matches(|c: char| c.is_ascii_digit() || c == ';').ends_with("\u{1b}[").then_some(())
    };
    tail(2).is_some_and(|t| t[0] == b'\\' && matches!(t[1], b'n' | b'r' | b't'))
        || tail(3).is_some_and(|t| t[0] == b'%' && hex(&t[1..]))
        || tail(4).is_some_and(|t| t.starts_with(b"\\x") && hex(&t[2..]))
        || tail(6).is_some_and(|t| t.starts_with(b"\\u") && hex(&t[2..]))
        || color().is_some()
}
