//! What is wrong with a JSON text, in the words of Go's scanner.

/// Looks at a text as a whole.
///
/// # Errors
/// The first byte that cannot stand where it stands.
pub fn check(text: &[u8]) -> Result<(), String> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.value()?;
    scanner.space();
    match scanner.text.get(scanner.at) {
        None => Ok(()),
        Some(&byte) => Err(invalid(byte, "after top-level value")),
    }
}

/// Deepest nesting, as in Go.
const DEPTH: usize = 10_000;

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

fn invalid(byte: u8, context: &str) -> String {
    let shown = match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x07 => r"'\a'".to_owned(),
        0x08 => r"'\b'".to_owned(),
        0x0b => r"'\v'".to_owned(),
        0x0c => r"'\f'".to_owned(),
        0x20..=0x7e => format!("'{}'", char::from(byte)),
        0xa1..=0xac | 0xae..=0xff => format!("'{}'", char::from(byte)),
        0x80.. => format!("'\\u{byte:04x}'"),
        _ => format!("'\\x{byte:02x}'"),
    };
    format!("invalid character {shown} {context}")
}

fn end() -> String {
    "unexpected end of JSON input".to_owned()
}

impl Scanner<'_> {
    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Result<u8, String> {
        self.space();
        self.text.get(self.at).copied().ok_or_else(end)
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.text.get(self.at).copied().ok_or_else(end)?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads one value. Without recursion: a hostile text may be nested deeply.
    fn value(&mut self) -> Result<(), String> {
        // What is open: objects are true, arrays false.
        let mut open: Vec<bool> = Vec::new();
        loop {
            let byte = self.peek()?;
            match byte {
                b'{' | b'[' => {
                    self.at += 1;
                    open.push(byte == b'{');
                    if open.len() > DEPTH {
                        return Err("exceeded max depth".to_owned());
                    }
                    let inside = self.peek()?;
                    if inside == if byte == b'{' { b'}' } else { b']' } {
                        self.at += 1;
                        open.pop();
                    } else {
                        if byte == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                other => return Err(invalid(other, "looking for beginning of value")),
            }
            // A value is over: what it stands in goes on or ends.
            loop {
                let Some(object) = open.last().copied() else { return Ok(()) };
                let byte = self.peek()?;
                match (byte, object) {
                    (b',', true) => {
                        self.at += 1;
                        self.peek()?;
                        self.key()?;
                        break;
                    }
                    (b',', false) => {
                        self.at += 1;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        open.pop();
                    }
                    (other, true) => return Err(invalid(other, "after object key:value pair")),
                    (other, false) => return Err(invalid(other, "after array element")),
                }
            }
        }
    }

    fn key(&mut self) -> Result<(), String> {
        match self.peek()? {
            b'"' => self.string()?,
            other => return Err(invalid(other, "looking for beginning of object key string")),
        }
        match self.peek()? {
            b':' => {
                self.at += 1;
                Ok(())
            }
            other => Err(invalid(other, "after object key")),
        }
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return Err(invalid(byte, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    other => return Err(invalid(other, "in string escape code")),
                },
                byte if byte < 0x20 => return Err(invalid(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    /// One digit must follow.
    fn digit(&mut self, context: &str) -> Result<(), String> {
        match self.next()? {
            byte if byte.is_ascii_digit() => Ok(()),
            other => Err(invalid(other, context)),
        }
    }

    fn number(&mut self) -> Result<(), String> {
        if self.text[self.at] == b'-' {
            self.at += 1;
        }
        let first = self.next()?;
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            other => return Err(invalid(other, "in numeric literal")),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if self.text.get(self.at).is_some_and(|byte| matches!(byte, b'e' | b'E')) {
            self.at += 1;
            if self.text.get(self.at).is_some_and(|byte| matches!(byte, b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        self.at += 1;
        for wanted in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != wanted {
                return Err(invalid(byte, &format!("in literal {word} (expecting '{}')", char::from(wanted))));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_go_tells_it() {
        for (text, told) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("nonsense", "invalid character 'o' in literal null (expecting 'u')"),
            ("{} {}", "invalid character '{' after top-level value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("01", "invalid character '1' after top-level value"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("\"\n\"", r"invalid character '\n' in string literal"),
            ("\u{9a}", "invalid character 'Â' looking for beginning of value"),
        ] {
            assert_eq!(check(text.as_bytes()), Err(told.to_owned()), "{text}");
        }
        assert!(check(br#" {"a":[1,-2.5e3,true,null,"\u00e4"],"b":{}} "#).is_ok());
    }

    proptest! {
        /// What Rust's parser takes, Go's scanner takes, and the other way round; but for texts that are no UTF-8 or numbers beyond all bounds.
        #[test]
        fn it_agrees_with_the_parser(text in r#"[\[\]{}",:0-9a-e \\ntrue.+-]{0,12}"#) {
            let parsed = serde_json::from_str::<serde_json::Value>(&text);
            if !parsed.as_ref().is_err_and(|error| error.to_string().contains("out of range")) {
                prop_assert_eq!(check(text.as_bytes()).is_ok(), parsed.is_ok());
            }
        }
    }
}
