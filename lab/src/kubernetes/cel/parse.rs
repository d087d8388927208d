//! From text to expressions.

use serde_json::{Number, Value};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A value as it is written.
    Literal(Value),
    /// A variable.
    Name(String),
    /// A field of an object; `true`: what is missing is no mistake.
    Field(Box<Expression>, String, bool),
    /// Whether a field is there.
    Has(Box<Expression>, String),
    /// An element of a list or map; `true`: what is missing is no mistake.
    Index(Box<Expression>, Box<Expression>, bool),
    /// A call, of an object or not.
    Call(Option<Box<Expression>>, String, Vec<Expression>),
    /// A call that goes over the elements of its object: variable, what is asked of each, what becomes of each.
    Each(Box<Expression>, String, String, Vec<Expression>),
    /// `a ? b : c`.
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
    /// Two operands.
    Binary(&'static str, Box<Expression>, Box<Expression>),
    /// `!` or `-`.
    Unary(char, Box<Expression>),
    /// `[a, b]`.
    List(Vec<Expression>),
    /// `{a: b}`.
    Map(Vec<(Expression, Expression)>),
}

/// Calls that go over elements.
const MACROS: &[&str] = &["all", "exists", "exists_one", "existsOne", "map", "filter"];
/// Operators, from those that bind least, each level with those of equal rank.
const LEVELS: &[&[&str]] = &[&["||"], &["&&"], &["==", "!=", "<=", ">=", "<", ">", "in"], &["+", "-"], &["*", "/", "%"]];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Number(Number),
    Text(String),
    Sign(&'static str),
    End,
}

const SIGNS: &[&str] = &[
    "||", "&&", "==", "!=", "<=", ">=", "[?", ".?", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]", "{",
    "}",
];

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

/// Reads a whole expression.
pub fn expression(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let expression = parser.choice()?;
    if parser.peek() != &Token::End {
        return Err(parser.odd());
    }
    Ok(expression)
}

/// Whether a variable stands somewhere in an expression.
pub fn names(expression: &Expression, variable: &str) -> bool {
    let of = |part: &Expression| names(part, variable);
    match expression {
        Expression::Literal(_) => false,
        Expression::Name(name) => name == variable,
        Expression::Field(object, ..) | Expression::Has(object, _) | Expression::Unary(_, object) => of(object),
        Expression::Index(a, b, _) | Expression::Binary(_, a, b) => of(a) || of(b),
        Expression::Call(object, _, arguments) => object.as_deref().is_some_and(of) || arguments.iter().any(of),
        Expression::Each(object, _, _, parts) => of(object) || parts.iter().any(of),
        Expression::Choice(a, b, c) => of(a) || of(b) || of(c),
        Expression::List(items) => items.iter().any(of),
        Expression::Map(pairs) => pairs.iter().any(|(key, value)| of(key) || of(value)),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix(['r', 'R']).filter(|rest| rest.starts_with(['"', '\'']));
        if first == '"' || first == '\'' || raw.is_some() {
            let (value, after) = quoted(raw.unwrap_or(rest), raw.is_some())?;
            tokens.push(Token::Text(value));
            rest = after;
        } else if first.is_ascii_digit() {
            let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
            let written = rest[..length].trim_end_matches(['u', 'U']);
            let number = match written.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).ok().map(Number::from),
                None => written.parse::<i64>().ok().map(Number::from).or_else(|| written.parse::<f64>().ok().and_then(Number::from_f64)),
            };
            tokens.push(Token::Number(number.ok_or_else(|| format!("{written} is no number"))?));
            rest = &rest[length..];
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            tokens.push(Token::Name(rest[..length].to_owned()));
            rest = &rest[length..];
        } else {
            let sign =
                SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or_else(|| format!("token recognition error at: '{first}'"))?;
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    tokens.push(Token::End);
    Ok(tokens)
}

/// A text in quotes, and what follows it.
fn quoted(text: &str, raw: bool) -> Result<(String, &str), String> {
    let open = || "a text does not end".to_owned();
    let quote = text.chars().next().ok_or_else(open)?;
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Ok((value, &text[at + 1..])),
            '\\' if !raw => {
                let (_, escaped) = letters.next().ok_or_else(open)?;
                match escaped {
                    'n' => value.push('\n'),
                    't' => value.push('\t'),
                    'r' => value.push('\r'),
                    'x' | 'u' | 'U' => {
                        let length = match escaped {
                            'x' => 2,
                            'u' => 4,
                            _ => 8,
                        };
                        let hex: String = letters.by_ref().take(length).map(|(_, digit)| digit).collect();
                        let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                        value.push(code.ok_or_else(|| format!("\\{escaped}{hex} is no letter"))?);
                    }
                    other => value.push(other),
                }
            }
            other => value.push(other),
        }
    }
    Err(open())
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn odd(&self) -> String {
        let shown = match self.peek() {
            Token::Name(name) => name.clone(),
            Token::Number(number) => number.to_string(),
            Token::Text(text) => format!("{text:?}"),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::End => "<EOF>".to_owned(),
        };
        format!("Syntax error: mismatched input '{shown}'")
    }

    fn takes(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(next) if *next == sign);
        if there {
            self.at += 1;
        }
        there
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(self.odd()) }
    }

    fn choice(&mut self) -> Result<Expression, String> {
        let condition = self.level(0)?;
        if !self.takes("?") {
            return Ok(condition);
        }
        let yes = self.level(0)?;
        self.expect(":")?;
        let no = self.choice()?;
        Ok(Expression::Choice(Box::new(condition), Box::new(yes), Box::new(no)))
    }

    fn operator(&mut self, level: &[&'static str]) -> Option<&'static str> {
        let operator = *level.iter().find(|operator| match self.peek() {
            Token::Sign(sign) => sign == *operator,
            Token::Name(name) => name == **operator,
            _ => false,
        })?;
        self.at += 1;
        Some(operator)
    }

    fn level(&mut self, level: usize) -> Result<Expression, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.level(level + 1)?;
        while let Some(operator) = self.operator(operators) {
            let right = self.level(level + 1)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, String> {
        for (sign, operator) in [("!", '!'), ("-", '-')] {
            if self.takes(sign) {
                return Ok(Expression::Unary(operator, Box::new(self.unary()?)));
            }
        }
        let mut object = self.primary()?;
        loop {
            if self.takes(".?") {
                object = Expression::Field(Box::new(object), self.name()?, true);
            } else if self.takes(".") {
                let name = self.name()?;
                object = if self.takes("(") { self.call(object, name)? } else { Expression::Field(Box::new(object), name, false) };
            } else if self.takes("[?") {
                object = self.index(object, true)?;
            } else if self.takes("[") {
                object = self.index(object, false)?;
            } else {
                return Ok(object);
            }
        }
    }

    fn index(&mut self, object: Expression, optional: bool) -> Result<Expression, String> {
        let index = self.choice()?;
        self.expect("]")?;
        Ok(Expression::Index(Box::new(object), Box::new(index), optional))
    }

    fn call(&mut self, object: Expression, name: String) -> Result<Expression, String> {
        let mut arguments = self.list(")")?;
        if MACROS.contains(&name.as_str()) && arguments.len() >= 2 {
            let Expression::Name(variable) = arguments.remove(0) else { return Err("argument must be a simple name".to_owned()) };
            return Ok(Expression::Each(Box::new(object), name, variable, arguments));
        }
        Ok(Expression::Call(Some(Box::new(object)), name, arguments))
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Name(name) => Ok(escaped(&name)),
            _ => {
                self.at -= 1;
                Err(self.odd())
            }
        }
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expression>, String> {
        let mut items = Vec::new();
        while !self.takes(end) {
            items.push(self.choice()?);
            if !self.takes(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn primary(&mut self) -> Result<Expression, String> {
        match self.next() {
            Token::Number(number) => Ok(Expression::Literal(Value::Number(number))),
            Token::Text(text) => Ok(Expression::Literal(text.into())),
            Token::Name(name) => match name.as_str() {
                "true" => Ok(Expression::Literal(true.into())),
                "false" => Ok(Expression::Literal(false.into())),
                "null" => Ok(Expression::Literal(Value::Null)),
                _ if !self.takes("(") => Ok(Expression::Name(name)),
                "has" => match self.list(")")?.pop() {
                    Some(Expression::Field(object, field, _)) => Ok(Expression::Has(object, field)),
                    _ => Err("invalid argument to has() macro".to_owned()),
                },
                _ => Ok(Expression::Call(None, name, self.list(")")?)),
            },
            Token::Sign("(") => {
                let inner = self.choice()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Sign("[") => self.list("]").map(Expression::List),
            Token::Sign("{") => {
                let mut pairs = Vec::new();
                while !self.takes("}") {
                    let key = self.choice()?;
                    self.expect(":")?;
                    pairs.push((key, self.choice()?));
                    if !self.takes(",") {
                        self.expect("}")?;
                        break;
                    }
                }
                Ok(Expression::Map(pairs))
            }
            _ => {
                self.at -= 1;
                Err(self.odd())
            }
        }
    }
}

/// Kubernetes' way to write names of fields that the language does not allow.
fn escaped(name: &str) -> String {
    if !name.contains("__") {
        return name.to_owned();
    }
    let reserved = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    if let Some(reserved) = reserved.filter(|word| !word.contains("__")) {
        return reserved.to_owned();
    }
    name.replace("__underscores__", "__").replace("__dot__", ".").replace("__dash__", "-").replace("__slash__", "/")
}
