//! Blots secrets out of the text of a profile file, so that the line of an error can be shown.
//!
//! It works on the raw text, because it must also hold for a file that is no valid TOML. It errs on the side of hiding.

use std::ops::Range;

/// Parts of keys that hold secrets. `…_env` and `…_file` hold names, not secrets.
const SECRET_WORDS: &[&str] = &["password", "passwd", "passphrase", "secret", "token"];

/// The same text with each byte of a secret replaced by `*`; bytes keep their places and lines their ends.
pub fn blot(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut offset = 0;
    // Delimiter of a multi-line secret that is still open.
    let mut open: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let hide: Option<Range<usize>> = if let Some(end) = open {
            if line.contains(end) {
                open = None;
            }
            Some(0..line.len())
        } else {
            secret_value(line).map(|start| {
                let value = line[start..].trim_start();
                open = ["\"\"\"", "'''"].into_iter().find(|quote| value.starts_with(quote) && !value[3..].contains(quote));
                start..line.len()
            })
        };
        for byte in hide.into_iter().flatten() {
            let byte = &mut bytes[offset + byte];
            if !byte.is_ascii_whitespace() {
                *byte = b'*';
            }
        }
        offset += line.len();
    }
    // Whole lines from a character boundary on are replaced, so this is text again; lossy only as a precaution.
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Where the value of a secret key begins in a line: after the `=` that follows the first such key.
fn secret_value(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = lower[from..].find('=').map(|at| from + at) {
        let key = lower[from..at].trim_end_matches([' ', '\t', '"', '\'']);
        let key = key.rsplit(['{', ',', '.', '"', '\'', ' ', '\t']).next().unwrap_or_default();
        if SECRET_WORDS.iter().any(|word| key.contains(word)) && !key.ends_with("_env") && !key.ends_with("_file") {
            return Some(at + 1);
        }
        from = at + 1;
    }
    // A secret key without `=` is a slip such as `password: x` or `password "x"`.
    let first = SECRET_WORDS.iter().filter_map(|word| Some(lower.find(word)? + word.len())).min()?;
    (!lower.contains('=')).then_some(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        for (text, want) in [
            ("password = \"abc\"\n", "password = *****\n"),
            ("password_env = \"ABC\"\n", "password_env = \"ABC\"\n"),
            ("guest_vm_linux_password=\"a b\"", "guest_vm_linux_password=** **"),
            ("username = \"u\"\npassword = \"é\"\r\nx = 1", "username = \"u\"\npassword = ****\r\nx = 1"),
            ("p = { username = \"u\", password = \"s\" }", "p = { username = \"u\", password = *** *"),
            ("password = \"\"\"\nabc\n\"\"\"\nx = \"y\"", "password = ***\n***\n***\nx = \"y\""),
            ("password = 'abc", "password = ****"),
            ("password: abc", "password* ***"),
            ("\"password\" = \"abc\"", "\"password\" = *****"),
        ] {
            assert_eq!(blot(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn places_stay(text in "(\\PC|\n|password = |\"\"\"){0,60}") {
            let blotted = blot(&text);
            prop_assert_eq!(blotted.len(), text.len());
            prop_assert_eq!(blotted.matches('\n').count(), text.matches('\n').count());
        }
    }
}
