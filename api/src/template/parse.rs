//! Go's template syntax, second half: from tokens to nodes, with Go's own words for what is wrong.

use std::collections::BTreeMap;

use super::{
    functions,
    lex::{self, Kind, Token},
    node::{Branch, Command, Node, Number, Operand, Pipe, Term, Word},
    text,
};

/// How deep actions and parentheses may nest. Go allows ten thousand; a name needs a handful, and each level takes stack.
const DEPTH: usize = 100;

/// Templates by name; the whole text is the one that is called as Forklift calls it.
pub type Templates = BTreeMap<String, Vec<Node>>;

/// What ends a list of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
    /// `else if` and `else with`: the word is still to be read.
    ElseWord,
}

impl Ending {
    fn as_str(self) -> &'static str {
        if self == Self::End { "{{end}}" } else { "{{else}}" }
    }
}

enum Found {
    Node(Node),
    Ending(Ending),
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// The token furthest read: errors tell its line.
    furthest: usize,
    variables: Vec<String>,
    templates: Templates,
    ranges: usize,
    parentheses: usize,
    depth: usize,
    action_line: usize,
    name: String,
}

type Parsed<T> = Result<T, String>;

/// Reads a template.
///
/// # Errors
/// What is wrong, as Go says it, without the name of the template in front.
pub fn parse(template: &str, name: &str) -> Parsed<Templates> {
    let mut parser = Parser {
        tokens: lex::tokens(template),
        next: 0,
        furthest: 0,
        variables: vec!["$".to_owned()],
        templates: Templates::new(),
        ranges: 0,
        parentheses: 0,
        depth: 0,
        action_line: 0,
        name: name.to_owned(),
    };
    parser.whole().map_err(|error| format!("{}: {error}", parser.tokens[parser.furthest].line))?;
    Ok(parser.templates)
}

/// Whether nodes print nothing but space.
fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

impl Parser {
    /// The token at an index; what is behind the last one is the last one again.
    fn token(&mut self, index: usize) -> Token {
        let index = index.min(self.tokens.len() - 1);
        self.furthest = self.furthest.max(index);
        self.tokens[index].clone()
    }

    fn take(&mut self) -> Token {
        let token = self.token(self.next);
        self.next += 1;
        token
    }

    fn peek(&mut self) -> Token {
        self.token(self.next)
    }

    fn take_word(&mut self) -> Token {
        loop {
            let token = self.take();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_word(&mut self) -> Token {
        let token = self.take_word();
        self.next -= 1;
        token
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return Err(format!("unexpected {token} in {context}"));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            let action = if token.text.ends_with(" action") { "" } else { " in action" };
            extra = format!("{action} started at {}:{}", self.name, self.action_line);
        }
        Err(format!("{token}{extra}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.take_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn add(&mut self, name: String, nodes: Vec<Node>) -> Parsed<()> {
        match self.templates.get(&name) {
            Some(there) if !is_empty(there) => {
                if is_empty(&nodes) {
                    return Ok(());
                }
                Err(format!("template: multiple definition of template {}", text::quote(&name)))
            }
            _ => {
                self.templates.insert(name, nodes);
                Ok(())
            }
        }
    }

    fn whole(&mut self) -> Parsed<()> {
        let mut root = Vec::new();
        while self.peek().kind != Kind::Eof {
            let mark = self.next;
            if self.take().kind == Kind::LeftDelim && self.take_word().kind == Kind::Define {
                self.definition()?;
                continue;
            }
            self.next = mark;
            match self.text_or_action()? {
                Found::Ending(ending) => return Err(format!("unexpected {}", ending.as_str())),
                Found::Node(node) => root.push(node),
            }
        }
        self.add(self.name.clone(), root)
    }

    fn definition(&mut self) -> Parsed<()> {
        let context = "define clause";
        let token = self.take_word();
        let name = self.template_name(&token, context)?;
        self.expect(Kind::RightDelim, context)?;
        let nodes = self.body(context)?;
        self.add(name, nodes)
    }

    /// A template of its own: it sees none of the variables around it.
    fn body(&mut self, context: &str) -> Parsed<Vec<Node>> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, ending) = self.list()?;
        if ending != Ending::End {
            return Err(format!("unexpected {} in {context}", ending.as_str()));
        }
        (self.variables, self.ranges) = (outer, ranges);
        Ok(nodes)
    }

    fn list(&mut self) -> Parsed<(Vec<Node>, Ending)> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("actions nest deeper than {DEPTH}"));
        }
        let mut nodes = Vec::new();
        while self.peek_word().kind != Kind::Eof {
            match self.text_or_action()? {
                Found::Node(node) => nodes.push(node),
                Found::Ending(ending) => {
                    self.depth -= 1;
                    return Ok((nodes, ending));
                }
            }
        }
        Err("unexpected EOF".to_owned())
    }

    fn text_or_action(&mut self) -> Parsed<Found> {
        let token = self.take_word();
        match token.kind {
            Kind::Text => Ok(Found::Node(Node::Text(token.text))),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let found = self.action()?;
                self.action_line = 0;
                Ok(found)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Found> {
        let token = self.take_word();
        let branch = |parser: &mut Self, word| parser.branch(word).map(|b| Found::Node(Node::Branch(Box::new(b))));
        match token.kind {
            Kind::Block => {
                let context = "block clause";
                let token = self.take_word();
                let name = self.template_name(&token, context)?;
                let pipe = self.pipeline(context, Kind::RightDelim)?;
                let nodes = self.body(context)?;
                self.add(name.clone(), nodes)?;
                Ok(Found::Node(Node::Template { at: token.at, name, pipe: Some(pipe) }))
            }
            Kind::Break | Kind::Continue => {
                let (word, node) = if token.kind == Kind::Break { ("{{break}}", Node::Break) } else { ("{{continue}}", Node::Continue) };
                self.expect(Kind::RightDelim, word)?;
                if self.ranges == 0 {
                    return Err(format!("{word} outside {{{{range}}}}"));
                }
                Ok(Found::Node(node))
            }
            Kind::Else => {
                if matches!(self.peek_word().kind, Kind::If | Kind::With) {
                    return Ok(Found::Ending(Ending::ElseWord));
                }
                self.expect(Kind::RightDelim, "else")?;
                Ok(Found::Ending(Ending::Else))
            }
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                Ok(Found::Ending(Ending::End))
            }
            Kind::If => branch(self, Word::If),
            Kind::With => branch(self, Word::With),
            Kind::Range => branch(self, Word::Range),
            Kind::Template => {
                let context = "template clause";
                let token = self.take_word();
                let name = self.template_name(&token, context)?;
                let pipe = if self.peek_word().kind == Kind::RightDelim {
                    self.take_word();
                    None
                } else {
                    Some(self.pipeline(context, Kind::RightDelim)?)
                };
                Ok(Found::Node(Node::Template { at: token.at, name, pipe }))
            }
            _ => {
                self.next -= 1;
                Ok(Found::Node(Node::Action { pipe: self.pipeline("command", Kind::RightDelim)? }))
            }
        }
    }

    fn template_name(&self, token: &Token, context: &str) -> Parsed<String> {
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return self.unexpected(token, context);
        }
        text::unquote(&token.text).ok_or_else(|| "invalid syntax".to_owned())
    }

    fn branch(&mut self, word: Word) -> Parsed<Branch> {
        let variables = self.variables.len();
        let pipe = self.pipeline(word.as_str(), Kind::RightDelim)?;
        self.ranges += usize::from(word == Word::Range);
        let (list, ending) = self.list()?;
        self.ranges -= usize::from(word == Word::Range);
        let otherwise = match ending {
            Ending::End => None,
            Ending::ElseWord => {
                let next = self.peek().kind;
                let chained = match word {
                    Word::If if next == Kind::If => Word::If,
                    Word::With if next == Kind::With => Word::With,
                    // `with … else if`: Go goes on as after `else`, and finds no text.
                    _ => {
                        let token = self.peek();
                        return self.unexpected(&token, "input");
                    }
                };
                self.take();
                self.depth += 1;
                if self.depth > DEPTH {
                    return Err(format!("actions nest deeper than {DEPTH}"));
                }
                let nested = self.branch(chained)?;
                self.depth -= 1;
                Some(vec![Node::Branch(Box::new(nested))])
            }
            Ending::Else => {
                let (nodes, ending) = self.list()?;
                if ending != Ending::End {
                    return Err(format!("expected end; found {}", ending.as_str()));
                }
                Some(nodes)
            }
        };
        self.variables.truncate(variables);
        Ok(Branch { word, pipe, list, otherwise })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let mut pipe = Pipe { at: self.peek_word().at, declarations: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.take_word();
            if token.kind == end {
                break;
            }
            match token.kind {
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipe.commands.is_empty() {
            return Err(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.operands.first().map(|operand| &operand.term);
            if matches!(first, Some(Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text(..))) {
                return Err(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_word().kind == Kind::Variable {
            let before = self.next;
            let variable = self.take_word().text;
            let next = self.peek_word();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.take_word();
                    pipe.assigns = next.kind == Kind::Assign;
                    pipe.declarations.push(variable.clone());
                    self.variables.push(variable);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.take_word();
                    pipe.declarations.push(variable.clone());
                    self.variables.push(variable);
                    if context != "range" || pipe.declarations.len() > 1 {
                        return Err(format!("too many declarations in {context}"));
                    }
                    if !matches!(self.peek_word().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return Err("range can only initialize variables".to_owned());
                    }
                }
                _ => {
                    self.next = before;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { at: self.peek_word().at, operands: Vec::new() };
        loop {
            self.peek_word();
            if let Some(operand) = self.operand()? {
                command.operands.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.operands.is_empty() { Err("empty command".to_owned()) } else { Ok(command) }
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        let first = self.peek();
        if first.kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        operand = match operand.term {
            Term::Field(mut all) => {
                all.extend(names);
                Operand { at: first.at, term: Term::Field(all) }
            }
            Term::Variable(mut all) => {
                all.extend(names);
                Operand { at: first.at, term: Term::Variable(all) }
            }
            Term::Bool(_) | Term::Text(..) | Term::Number(_) | Term::Nil | Term::Dot => {
                return Err(format!("unexpected . after term {}", text::quote(&operand.to_string())));
            }
            _ => Operand { at: first.at, term: Term::Chain(Box::new(operand), names) },
        };
        Ok(Some(operand))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.take_word();
        let term = match token.kind {
            Kind::Identifier => {
                if functions::signature(&token.text).is_none() {
                    return Err(format!("function {} not defined", text::quote(&token.text)));
                }
                Term::Function(token.text)
            }
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                if !self.variables.contains(&token.text) {
                    return Err(format!("undefined variable {}", text::quote(&token.text)));
                }
                Term::Variable(vec![token.text])
            }
            Kind::Field => Term::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => Term::Number(number(&token)?),
            Kind::LeftParen => {
                if self.parentheses >= DEPTH {
                    return Err("max expression depth exceeded".to_owned());
                }
                self.parentheses += 1;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.parentheses -= 1;
                // Go takes the place behind the parenthesis.
                return Ok(Some(Operand { at: pipe.at, term: Term::Pipe(pipe) }));
            }
            Kind::String | Kind::RawString => match text::unquote(&token.text) {
                Some(value) => Term::Text(token.text, value),
                None => return Err("invalid syntax".to_owned()),
            },
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: token.at, term }))
    }
}

/// Reads a number or a character as Go's literals are read.
fn number(token: &Token) -> Parsed<Number> {
    let text = token.text.clone();
    let illegal = || format!("illegal number syntax: {}", text::quote(&token.text));
    match token.kind {
        Kind::CharConstant => {
            let inner = text::unquote(&text).filter(|inner| !inner.is_empty()).ok_or("invalid syntax")?;
            let mut characters = inner.chars();
            let (Some(c), None) = (characters.next(), characters.next()) else {
                return Err(format!("malformed character constant: {text}"));
            };
            let value = i64::from(u32::from(c));
            Ok(Number { text, int: Some(value), float: Some(value as f64) })
        }
        Kind::Complex => Err(format!("complex numbers such as {text} have no place in a name")),
        _ if text.ends_with('i') => Err(format!("complex numbers such as {text} have no place in a name")),
        _ => {
            if let Some(value) = text::integer(&text) {
                return match i64::try_from(value) {
                    Ok(int) => Ok(Number { text, int: Some(int), float: Some(int as f64) }),
                    // An unsigned number: it has its place nowhere, but it is a number.
                    Err(_) if u64::try_from(value).is_ok() => Ok(Number { float: Some(value as f64), text, int: None }),
                    Err(_) => Err(format!("integer overflow: {}", text::quote(&text))),
                };
            }
            let float = text::float(&text).ok_or_else(illegal)?;
            // Go takes anything that looks whole for one that does not fit.
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", text::quote(&text)));
            }
            // Whole numbers may be written as 3.0.
            #[expect(clippy::cast_possible_truncation, clippy::float_cmp, reason = "taken only where it comes back as the same number")]
            let int = Some(float as i64).filter(|int| *int as f64 == float);
            Ok(Number { text, int, float: Some(float) })
        }
    }
}
