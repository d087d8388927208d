//! Go's template syntax, first half: from text to tokens.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The text cannot be read any further; the token's text says why.
    Error,
    /// `true` or `false`.
    Bool,
    /// A character that stands for itself, such as a comma.
    Char,
    /// `'a'`.
    CharConstant,
    /// `1+2i`.
    Complex,
    /// `=`.
    Assign,
    /// `:=`.
    Declare,
    /// The end.
    Eof,
    /// `.Name`.
    Field,
    /// A word.
    Identifier,
    /// `{{`.
    LeftDelim,
    /// `(`.
    LeftParen,
    /// A number.
    Number,
    /// `|`.
    Pipe,
    /// Text in back quotes.
    RawString,
    /// `}}`.
    RightDelim,
    /// `)`.
    RightParen,
    /// Blanks between arguments.
    Space,
    /// Text in double quotes.
    String,
    /// Text outside of actions.
    Text,
    /// `$` or `$name`.
    Variable,
    /// `.`.
    Dot,
    /// `nil`.
    Nil,
    /// `block`.
    Block,
    /// `break`.
    Break,
    /// `continue`.
    Continue,
    /// `define`.
    Define,
    /// `else`.
    Else,
    /// `end`.
    End,
    /// `if`.
    If,
    /// `range`.
    Range,
    /// `template`.
    Template,
    /// `with`.
    With,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it starts, in bytes.
    pub at: usize,
    /// Its text as written.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Eof => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.text),
            kind if keyword(kind) => write!(f, "<{}>", self.text),
            // Ten characters are as many as Go shows of a token.
            _ if self.text.len() > 10 => write!(f, "{}...", super::text::quote(&self.text.chars().take(10).collect::<String>())),
            _ => f.write_str(&super::text::quote(&self.text)),
        }
    }
}

/// Whether Go takes it as a key word; `.` is one.
fn keyword(kind: Kind) -> bool {
    use Kind::{Block, Break, Continue, Define, Dot, Else, End, If, Nil, Range, Template, With};
    matches!(kind, Block | Break | Continue | Define | Dot | Else | End | If | Nil | Range | Template | With)
}

fn word(text: &str) -> Kind {
    match text {
        "block" => Kind::Block,
        "break" => Kind::Break,
        "continue" => Kind::Continue,
        "define" => Kind::Define,
        "else" => Kind::Else,
        "end" => Kind::End,
        "if" => Kind::If,
        "nil" => Kind::Nil,
        "range" => Kind::Range,
        "template" => Kind::Template,
        "with" => Kind::With,
        "true" | "false" => Kind::Bool,
        _ => Kind::Identifier,
    }
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

/// Whether an action's text starts with the marker that trims what stands before it.
fn trims_left(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACES))
}

/// Whether the text is the marker that trims what stands behind an action, and its end.
fn trims_right(text: &str) -> bool {
    let mut rest = text.chars();
    rest.next().is_some_and(is_space) && rest.as_str().starts_with("-}}")
}

struct Lexer<'a> {
    input: &'a str,
    at: usize,
    start: usize,
    tokens: Vec<Token>,
    /// How far lines have been counted, and how many line ends there were: counting goes on from there, not from the start.
    counted: (usize, usize),
}

/// Cuts a template into tokens. The last one is [`Kind::Eof`], or [`Kind::Error`] where it cannot be read.
pub fn tokens(input: &str) -> Vec<Token> {
    let mut lexer = Lexer { input, at: 0, start: 0, tokens: Vec::new(), counted: (0, 0) };
    if let Err(error) = lexer.text() {
        let line = lexer.line(lexer.start);
        lexer.tokens.push(Token { kind: Kind::Error, at: lexer.start, text: error, line });
    }
    lexer.tokens
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.input[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        match self.peek() {
            Some(c) if wanted(c) => {
                self.at += c.len_utf8();
                true
            }
            _ => false,
        }
    }

    fn accept_all(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    fn line(&mut self, at: usize) -> usize {
        let (from, ends) = if self.counted.0 <= at { self.counted } else { (0, 0) };
        self.counted = (at, ends + self.input[from..at].matches('\n').count());
        self.counted.1 + 1
    }

    fn emit(&mut self, kind: Kind) {
        let line = self.line(self.start);
        self.tokens.push(Token { kind, at: self.start, text: self.input[self.start..self.at].to_owned(), line });
        self.start = self.at;
    }

    fn text(&mut self) -> Result<(), String> {
        while let Some(offset) = self.rest().find("{{") {
            let delimiter = self.at + offset;
            let inside = delimiter + 2;
            let trim = trims_left(&self.input[inside..]);
            let text = &self.input[self.at..delimiter];
            self.at += if trim { text.trim_end_matches(SPACES).len() } else { text.len() };
            if self.at > self.start {
                self.emit(Kind::Text);
            }
            (self.start, self.at) = (delimiter, inside);
            let after = inside + if trim { 2 } else { 0 };
            if self.input[after..].starts_with("/*") {
                (self.start, self.at) = (after, after);
                self.comment()?;
            } else {
                self.emit(Kind::LeftDelim);
                (self.start, self.at) = (after, after);
                self.action()?;
            }
        }
        self.at = self.input.len();
        if self.at > self.start {
            self.emit(Kind::Text);
        }
        self.emit(Kind::Eof);
        Ok(())
    }

    fn comment(&mut self) -> Result<(), String> {
        let end = self.rest()[2..].find("*/").ok_or("unclosed comment")?;
        self.at += 2 + end + 2;
        if !(self.rest().starts_with("}}") || trims_right(self.rest())) {
            return Err("comment ends before closing delimiter".to_owned());
        }
        self.close();
        Ok(())
    }

    /// Steps behind the end of an action, and behind the spaces that its marker trims.
    fn close(&mut self) {
        let trim = trims_right(self.rest());
        self.at += if trim { 4 } else { 2 };
        if trim {
            self.at += self.rest().len() - self.rest().trim_start_matches(SPACES).len();
        }
        self.start = self.at;
    }

    fn action(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        loop {
            if self.rest().starts_with("}}") || trims_right(self.rest()) {
                if depth > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                let line = self.line(self.at);
                let at = self.at + if trims_right(self.rest()) { 2 } else { 0 };
                self.tokens.push(Token { kind: Kind::RightDelim, at, text: "}}".to_owned(), line });
                self.close();
                return Ok(());
            }
            let Some(c) = self.next() else { return Err("unclosed action".to_owned()) };
            match c {
                c if is_space(c) => {
                    // A space before the marker that trims belongs to the marker.
                    while self.peek().is_some_and(is_space) && !trims_right(self.rest()) {
                        self.next();
                    }
                    if !trims_right(&self.input[self.start..]) {
                        self.emit(Kind::Space);
                    }
                }
                '=' => self.emit(Kind::Assign),
                ':' => {
                    if self.next() != Some('=') {
                        return Err("expected :=".to_owned());
                    }
                    self.emit(Kind::Declare);
                }
                '|' => self.emit(Kind::Pipe),
                '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
                '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
                '`' => {
                    let end = self.rest().find('`').ok_or("unterminated raw quoted string")?;
                    self.at += end + 1;
                    self.emit(Kind::RawString);
                }
                '$' => self.name(Kind::Variable, Kind::Variable)?,
                '.' if self.peek().is_some_and(|c| !c.is_ascii_digit()) => self.name(Kind::Field, Kind::Dot)?,
                '.' | '+' | '-' | '0'..='9' => {
                    self.at = self.start;
                    self.number()?;
                }
                c if is_word(c) => {
                    self.accept_all(is_word);
                    self.terminated()?;
                    self.emit(word(&self.input[self.start..self.at]));
                }
                '(' => {
                    depth += 1;
                    self.emit(Kind::LeftParen);
                }
                ')' => {
                    depth = depth.checked_sub(1).ok_or("unexpected right paren")?;
                    self.emit(Kind::RightParen);
                }
                c if c.is_ascii_graphic() => self.emit(Kind::Char),
                c => return Err(format!("unrecognized character in action: {}", point(c))),
            }
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return Err(unterminated.to_owned());
                    }
                }
                None | Some('\n') => return Err(unterminated.to_owned()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    /// A field or a variable, of which the first character is read.
    fn name(&mut self, named: Kind, bare: Kind) -> Result<(), String> {
        if self.at_end_of_word() {
            self.emit(bare);
            return Ok(());
        }
        self.accept_all(is_word);
        self.terminated()?;
        self.emit(named);
        Ok(())
    }

    fn at_end_of_word(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) => is_space(c) || ".,|:()".contains(c) || self.rest().starts_with("}}"),
        }
    }

    fn terminated(&mut self) -> Result<(), String> {
        if self.at_end_of_word() {
            return Ok(());
        }
        Err(format!("bad character {}", self.peek().map(point).unwrap_or_default()))
    }

    fn number(&mut self) -> Result<(), String> {
        let bad = |lexer: &Self| format!("bad number syntax: {}", super::text::quote(&lexer.input[lexer.start..lexer.at]));
        if !self.scan_number() {
            return Err(bad(self));
        }
        if matches!(self.peek(), Some('+' | '-')) {
            if !self.scan_number() || !self.input[..self.at].ends_with('i') {
                return Err(bad(self));
            }
            self.emit(Kind::Complex);
            return Ok(());
        }
        self.emit(Kind::Number);
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        self.accept(|c| "+-".contains(c));
        let mut digits = "0123456789_";
        if self.accept(|c| c == '0') {
            if self.accept(|c| "xX".contains(c)) {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept(|c| "oO".contains(c)) {
                digits = "01234567_";
            } else if self.accept(|c| "bB".contains(c)) {
                digits = "01_";
            }
        }
        self.accept_all(|c| digits.contains(c));
        if self.accept(|c| c == '.') {
            self.accept_all(|c| digits.contains(c));
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(|c| exponent.contains(c)) {
            self.accept(|c| "+-".contains(c));
            self.accept_all(|c| c.is_ascii_digit() || c == '_');
        }
        self.accept(|c| c == 'i');
        if self.peek().is_some_and(is_word) {
            self.next();
            return false;
        }
        true
    }
}

/// Go's `%#U`: `U+0021 '!'`.
fn point(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}
