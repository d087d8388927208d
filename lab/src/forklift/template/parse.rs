//! From a template's text to nodes.

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Text as it stands.
    Text(String),
    /// An action's pipeline.
    Out(Pipeline),
    /// `if` with its branches.
    If(Pipeline, Vec<Node>, Vec<Node>),
}

/// Commands; each one's result is the last argument of the next.
pub type Pipeline = Vec<Vec<Operand>>;

/// What a command is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// `.Name`, with its column in the template, from one.
    Field(String, usize),
    /// A name of a function.
    Function(String),
    /// Text in quotes.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Bool(bool),
    /// A pipeline in parentheses.
    Nested(Pipeline),
}

enum Token {
    Text(String),
    Action(String, usize),
}

/// Reads a template.
pub fn parse(template: &str) -> Result<Vec<Node>, String> {
    let tokens = tokens(template)?;
    let mut position = 0;
    let (nodes, end) = block(&tokens, &mut position, 0)?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(format!("unexpected {{{{{end}}}}}")),
    }
}

fn tokens(template: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let (mut rest, mut column, mut trim) = (template, 0, false);
    while let Some(start) = rest.find("{{") {
        let mut text = &rest[..start];
        let inner = &rest[start + 2..];
        let end = inner.find("}}").ok_or("unclosed action")?;
        let mut action = &inner[..end];
        if trim {
            text = text.trim_start();
        }
        if let Some(stripped) = action.strip_prefix("- ") {
            text = text.trim_end();
            action = stripped;
        }
        trim = action.ends_with(" -");
        let action = action.strip_suffix(" -").unwrap_or(action);
        if !text.is_empty() {
            tokens.push(Token::Text(text.to_owned()));
        }
        if !action.trim().starts_with("/*") {
            tokens.push(Token::Action(action.to_owned(), column + start + 2));
        }
        column += start + 2 + end + 2;
        rest = &inner[end + 2..];
    }
    let text = if trim { rest.trim_start() } else { rest };
    if !text.is_empty() {
        tokens.push(Token::Text(text.to_owned()));
    }
    Ok(tokens)
}

/// Reads nodes until `end`, `else` or the template's end, which is returned. `depth` bounds nesting.
fn block(tokens: &[Token], position: &mut usize, depth: usize) -> Result<(Vec<Node>, Option<String>), String> {
    if depth > 32 {
        return Err("nested too deeply".to_owned());
    }
    let mut nodes = Vec::new();
    while let Some(token) = tokens.get(*position) {
        *position += 1;
        match token {
            Token::Text(text) => nodes.push(Node::Text(text.clone())),
            Token::Action(action, column) => {
                let word = action.split_whitespace().next().unwrap_or_default();
                match word {
                    "end" | "else" => return Ok((nodes, Some(action.trim().to_owned()))),
                    "if" => {
                        let at = action.find("if").unwrap_or_default() + 2;
                        nodes.push(branch(&action[at..], column + at, tokens, position, depth)?);
                    }
                    "range" | "with" | "define" | "template" | "block" => {
                        return Err(format!("{word} is not supported in a name template"));
                    }
                    _ => nodes.push(Node::Out(pipeline(action, *column)?)),
                }
            }
        }
    }
    if depth > 0 { Err("unexpected EOF".to_owned()) } else { Ok((nodes, None)) }
}

fn branch(condition: &str, column: usize, tokens: &[Token], position: &mut usize, depth: usize) -> Result<Node, String> {
    let condition = pipeline(condition, column)?;
    let (then, end) = block(tokens, position, depth + 1)?;
    let otherwise = match end.as_deref() {
        Some("end") => Vec::new(),
        Some("else") => block(tokens, position, depth + 1)?.0,
        Some(other) => match other.strip_prefix("else").map(str::trim_start).and_then(|rest| rest.strip_prefix("if")) {
            Some(rest) => vec![branch(rest, column, tokens, position, depth + 1)?],
            None => return Err(format!("unexpected {{{{{other}}}}}")),
        },
        None => return Err("unexpected EOF".to_owned()),
    };
    Ok(Node::If(condition, then, otherwise))
}

fn pipeline(text: &str, column: usize) -> Result<Pipeline, String> {
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let mut position = 0;
    let out = commands(text, &characters, &mut position, column, 0)?;
    if position < characters.len() { Err("unexpected right paren".to_owned()) } else { Ok(out) }
}

fn commands(text: &str, characters: &[(usize, char)], position: &mut usize, column: usize, depth: usize) -> Result<Pipeline, String> {
    if depth > 32 {
        return Err("nested too deeply".to_owned());
    }
    let mut pipeline: Pipeline = vec![Vec::new()];
    while let Some(&(at, c)) = characters.get(*position) {
        match c {
            c if c.is_whitespace() => *position += 1,
            ')' if depth > 0 => break,
            ')' => return Err("unexpected right paren".to_owned()),
            '(' => {
                *position += 1;
                let nested = commands(text, characters, position, column, depth + 1)?;
                if characters.get(*position).map(|(_, c)| *c) != Some(')') {
                    return Err("unclosed left paren".to_owned());
                }
                *position += 1;
                push(&mut pipeline, Operand::Nested(nested));
            }
            '|' => {
                *position += 1;
                pipeline.push(Vec::new());
            }
            '"' | '`' => {
                let (value, next) = quoted(characters, *position, c)?;
                *position = next;
                push(&mut pipeline, Operand::Text(value));
            }
            _ => {
                let end = characters[*position..].iter().position(|(_, c)| c.is_whitespace() || "()|\"`".contains(*c));
                let next = end.map_or(characters.len(), |e| *position + e);
                let to = characters.get(next).map_or(text.len(), |(i, _)| *i);
                push(&mut pipeline, word(&text[at..to], column + at)?);
                *position = next;
            }
        }
    }
    if pipeline.iter().any(Vec::is_empty) { Err("missing value for command".to_owned()) } else { Ok(pipeline) }
}

fn push(pipeline: &mut Pipeline, operand: Operand) {
    if let Some(command) = pipeline.last_mut() {
        command.push(operand);
    }
}

fn quoted(characters: &[(usize, char)], start: usize, quote: char) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut position = start + 1;
    while let Some(&(_, c)) = characters.get(position) {
        position += 1;
        match c {
            c if c == quote => return Ok((value, position)),
            '\\' if quote == '"' => {
                let escaped = characters.get(position).map(|(_, c)| *c).unwrap_or_default();
                position += 1;
                value.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
            }
            c => value.push(c),
        }
    }
    Err("unterminated quoted string".to_owned())
}

fn word(word: &str, column: usize) -> Result<Operand, String> {
    if let Some(field) = word.strip_prefix('.') {
        return Ok(Operand::Field(field.to_owned(), column));
    }
    match word {
        "true" => return Ok(Operand::Bool(true)),
        "false" => return Ok(Operand::Bool(false)),
        _ => {}
    }
    if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return word.parse().map(Operand::Number).map_err(|_| format!("bad number syntax: \"{word}\""));
    }
    if !word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return Err(format!("unexpected \"{word}\" in command"));
    }
    if super::functions::NAMES.contains(&word) {
        Ok(Operand::Function(word.to_owned()))
    } else {
        Err(format!("function \"{word}\" not defined"))
    }
}
