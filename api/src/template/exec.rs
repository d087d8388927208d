//! Running a template as Go does, with Go's words for what goes wrong, and where.

use std::{fmt::Display, sync::Arc};

use super::{
    functions::{self, Kind, Signature},
    node::{Branch, Command, Node, Number, Operand, Pipe, Term, Word},
    parse::Templates,
    text::quote,
    value::{Data, Value},
};

/// How deep templates may call each other. Go allows a hundred thousand; each call takes stack.
const DEPTH: usize = 100;

/// How many nodes a template may run, loops included: a name needs a few dozen.
const STEPS: usize = 100_000;

/// Why a walk stopped.
enum Stop {
    Break,
    Continue,
    Error(String),
}

type Run<T> = Result<T, Stop>;

struct State<'a> {
    source: &'a str,
    parse_name: &'a str,
    templates: &'a Templates,
    name: &'a str,
    variables: Vec<(&'a str, Value)>,
    node: Option<(usize, &'a dyn Display)>,
    out: String,
    depth: usize,
    steps: usize,
}

/// Runs the template of that name.
///
/// # Errors
/// What is wrong, as Go says it.
pub fn run(templates: &Templates, name: &str, source: &str, data: Data) -> Result<String, String> {
    let dot = Value::Data(Arc::new(data));
    let root = templates.get(name).map(Vec::as_slice).unwrap_or_default();
    let mut state = State {
        source,
        parse_name: name,
        templates,
        name,
        variables: vec![("$", dot.clone())],
        node: None,
        out: String::new(),
        depth: 0,
        steps: 0,
    };
    match state.list(&dot, root) {
        Ok(()) | Err(Stop::Break | Stop::Continue) => Ok(state.out),
        Err(Stop::Error(error)) => Err(error),
    }
}

impl<'a> State<'a> {
    fn at(&mut self, at: usize, node: &'a dyn Display) {
        self.node = Some((at, node));
    }

    fn at_operand(&mut self, operand: &'a Operand) {
        // A pipeline alone is written without its parentheses.
        match &operand.term {
            Term::Pipe(pipe) => self.at(pipe.at, pipe),
            _ => self.at(operand.at, operand),
        }
    }

    fn error<T>(&self, text: impl Display) -> Run<T> {
        let Some((at, node)) = self.node else { return Err(Stop::Error(format!("{}: {text}", self.name))) };
        let before = &self.source[..at];
        let line = 1 + before.matches('\n').count();
        let column = at - before.rfind('\n').map_or(0, |newline| newline + 1);
        Err(Stop::Error(format!("{}:{line}:{column}: executing {} at <{node}>: {text}", self.parse_name, quote(self.name))))
    }

    fn list(&mut self, dot: &Value, nodes: &'a [Node]) -> Run<()> {
        nodes.iter().try_for_each(|node| self.walk(dot, node))
    }

    fn walk(&mut self, dot: &Value, node: &'a Node) -> Run<()> {
        self.steps += 1;
        if self.steps > STEPS || self.out.len() > STEPS {
            return self.error(format!("it takes more than {STEPS} steps, or gives more text than that"));
        }
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action { pipe } => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.declarations.is_empty() {
                    match value {
                        Value::Nil => self.out.push_str("<no value>"),
                        value => self.out.push_str(&value.to_string()),
                    }
                }
            }
            Node::Branch(branch) => {
                let mark = self.variables.len();
                let done = match branch.word {
                    Word::Range => self.range(dot, branch, node),
                    Word::If | Word::With => self.choose(dot, branch),
                };
                self.variables.truncate(mark);
                done?;
            }
            Node::Template { at, name, pipe } => {
                self.at(*at, node);
                self.template(dot, name, pipe.as_ref())?;
            }
            Node::Break => return Err(Stop::Break),
            Node::Continue => return Err(Stop::Continue),
        }
        Ok(())
    }

    fn choose(&mut self, dot: &Value, branch: &'a Branch) -> Run<()> {
        let value = self.pipeline(dot, &branch.pipe)?;
        if value.truth() {
            return self.list(if branch.word == Word::With { &value } else { dot }, &branch.list);
        }
        branch.otherwise.as_ref().map_or(Ok(()), |nodes| self.list(dot, nodes))
    }

    fn range(&mut self, dot: &Value, branch: &'a Branch, node: &'a Node) -> Run<()> {
        self.at(branch.pipe.at, node);
        let value = self.pipeline(dot, &branch.pipe)?;
        let pipe = &branch.pipe;
        let mut any = false;
        match &value {
            Value::Int(_) | Value::Int64(_) | Value::Byte(_) => {
                if pipe.declarations.len() > 1 {
                    return self.error(format!("can't use {value} to iterate over more than one variable"));
                }
                let mark = self.variables.len();
                for index in 0..value.integer().unwrap_or_default() {
                    any = true;
                    let element = match &value {
                        Value::Int(_) => Value::Int(index),
                        Value::Byte(_) => Value::Byte(u8::try_from(index).unwrap_or_default()),
                        _ => Value::Int64(index),
                    };
                    if let Some(name) = pipe.declarations.first() {
                        if pipe.assigns {
                            self.set(name, &element)?;
                        } else if let Some(top) = self.variables.last_mut() {
                            top.1 = element.clone();
                        }
                    }
                    let done = self.list(&element, &branch.list);
                    self.variables.truncate(mark);
                    match done {
                        Ok(()) | Err(Stop::Continue) => {}
                        Err(Stop::Break) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }
            Value::Nil => {}
            other => return self.error(format!("range can't iterate over {other}")),
        }
        match &branch.otherwise {
            Some(nodes) if !any => self.list(dot, nodes),
            _ => Ok(()),
        }
    }

    fn template(&mut self, dot: &Value, name: &'a str, pipe: Option<&'a Pipe>) -> Run<()> {
        let templates = self.templates;
        let Some(nodes) = templates.get(name) else { return self.error(format!("template {} not defined", quote(name))) };
        if self.depth >= DEPTH {
            return self.error(format!("exceeded maximum template depth ({DEPTH})"));
        }
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        let outer_name = std::mem::replace(&mut self.name, name);
        let outer = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        self.depth += 1;
        self.list(&dot, nodes)?;
        self.depth -= 1;
        (self.name, self.variables) = (outer_name, outer);
        Ok(())
    }

    fn set(&mut self, name: &str, value: &Value) -> Run<()> {
        match self.variables.iter_mut().rev().find(|(n, _)| *n == name) {
            Some(variable) => variable.1 = value.clone(),
            None => return self.error(format!("undefined variable: {name}")),
        }
        Ok(())
    }

    fn pipeline(&mut self, dot: &Value, pipe: &'a Pipe) -> Run<Value> {
        self.at(pipe.at, pipe);
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.declarations {
            if pipe.assigns {
                self.set(name, &value)?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn no_arguments(&self, first: &Operand, arguments: &[Operand], last: Option<&Value>) -> Run<()> {
        if arguments.is_empty() && last.is_none() {
            return Ok(());
        }
        match &first.term {
            Term::Pipe(pipe) => self.error(format!("can't give argument to non-function {pipe}")),
            _ => self.error(format!("can't give argument to non-function {first}")),
        }
    }

    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<Value>) -> Run<Value> {
        let Some((first, arguments)) = command.operands.split_first() else { return self.error("missing value for command") };
        match &first.term {
            Term::Function(name) => {
                self.at(first.at, first);
                return self.call(dot, name, (command.at, command), arguments, last);
            }
            Term::Pipe(pipe) => {
                self.no_arguments(first, arguments, last.as_ref())?;
                return self.pipeline(dot, pipe);
            }
            _ => self.at_operand(first),
        }
        match &first.term {
            Term::Field(names) => self.fields(dot.clone(), names, !arguments.is_empty() || last.is_some()),
            Term::Chain(inner, names) => {
                let receiver = self.chained(dot, inner, first)?;
                self.fields(receiver, names, !arguments.is_empty() || last.is_some())
            }
            Term::Variable(names) if names.len() > 1 => {
                let value = self.variable(&names[0])?;
                self.fields(value, &names[1..], !arguments.is_empty() || last.is_some())
            }
            _ => {
                self.no_arguments(first, arguments, last.as_ref())?;
                match &first.term {
                    Term::Nil => self.error("nil is not a command"),
                    _ => self.literal(dot, first),
                }
            }
        }
    }

    fn chained(&mut self, dot: &Value, inner: &'a Operand, whole: &Operand) -> Run<Value> {
        match &inner.term {
            Term::Nil => self.error(format!("indirection through explicit nil in {whole}")),
            _ => self.argument(dot, Kind::Any, inner),
        }
    }

    fn variable(&self, name: &str) -> Run<Value> {
        match self.variables.iter().rev().find(|(n, _)| *n == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn fields(&self, mut receiver: Value, names: &[String], called: bool) -> Run<Value> {
        for (index, name) in names.iter().enumerate() {
            receiver = match &receiver {
                // Like a missing key: no value.
                Value::Nil => Value::Nil,
                Value::Data(data) => match data.fields.iter().find(|(n, _)| n == name) {
                    Some(_) if called && index + 1 == names.len() => {
                        return self.error(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    Some((_, value)) => value.clone(),
                    None => return self.error(format!("can't evaluate field {name} in type {}", data.kind)),
                },
                other => return self.error(format!("can't evaluate field {name} in type {}", other.kind())),
            };
        }
        Ok(receiver)
    }

    /// A value whose type its text alone decides.
    fn literal(&mut self, dot: &Value, operand: &'a Operand) -> Run<Value> {
        match &operand.term {
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::Dot => Ok(dot.clone()),
            Term::Number(number) => self.constant(number),
            Term::Text(_, text) => Ok(Value::Text(text.clone())),
            Term::Variable(names) => {
                let value = self.variable(&names[0])?;
                self.fields(value, &names[1..], false)
            }
            Term::Field(names) => self.fields(dot.clone(), names, false),
            Term::Pipe(pipe) => self.pipeline(dot, pipe),
            Term::Chain(inner, names) => {
                let receiver = self.chained(dot, inner, operand)?;
                self.at_operand(operand);
                self.fields(receiver, names, false)
            }
            Term::Function(name) => self.call(dot, name, (operand.at, operand), &[], None),
            Term::Nil => Ok(Value::Nil),
        }
    }

    fn constant(&self, number: &Number) -> Run<Value> {
        let hexadecimal = number.text.starts_with(['0']) && number.text[1..].starts_with(['x', 'X']) && !number.text.contains(['p', 'P']);
        let float = !hexadecimal && !number.text.starts_with('\'') && number.text.contains(['.', 'e', 'E', 'p', 'P']);
        match (number.int, number.float) {
            (_, Some(value)) if float => Ok(Value::Float(value)),
            (Some(value), _) => Ok(Value::Int(value)),
            _ => self.error(format!("{} overflows int", number.text)),
        }
    }

    fn call(
        &mut self,
        dot: &Value,
        name: &'a str,
        node: (usize, &'a dyn Display),
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Run<Value> {
        let Some(signature) = functions::signature(name) else { return self.error(format!("{} is not a defined function", quote(name))) };
        let count = arguments.len() + usize::from(last.is_some());
        let fixed = signature.fixed.len();
        match signature.variadic {
            Some(_) if count < fixed => {
                return self.error(format!("wrong number of args for {name}: want at least {fixed} got {}", arguments.len()));
            }
            None if count != fixed => return self.error(format!("wrong number of args for {name}: want {fixed} got {count}")),
            _ => {}
        }
        if name == "and" || name == "or" {
            return self.short_circuit(dot, name == "or", arguments, last);
        }
        let mut values = Vec::with_capacity(count);
        for (index, argument) in arguments.iter().enumerate() {
            values.push(self.argument(dot, expected(signature, index), argument)?);
        }
        if let Some(last) = last {
            values.push(self.checked(last, expected(signature, count - 1))?);
        }
        match functions::call(name, &values, arguments.first()) {
            Ok(value) => Ok(value),
            Err(error) => {
                self.at(node.0, node.1);
                self.error(format!("error calling {name}: {error}"))
            }
        }
    }

    fn short_circuit(&mut self, dot: &Value, or: bool, arguments: &'a [Operand], last: Option<Value>) -> Run<Value> {
        let mut value = Value::Nil;
        for argument in arguments {
            value = self.argument(dot, Kind::Any, argument)?;
            if value.truth() == or {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn argument(&mut self, dot: &Value, kind: Kind, operand: &'a Operand) -> Run<Value> {
        self.at_operand(operand);
        match (&operand.term, kind) {
            (Term::Nil, Kind::Any) => Ok(Value::Nil),
            (Term::Nil, kind) => self.error(format!("cannot assign nil to {}", kind.as_str())),
            (Term::Bool(_) | Term::Number(_) | Term::Text(..), Kind::Any) => self.literal(dot, operand),
            (Term::Text(_, text), Kind::Text) => Ok(Value::Text(text.clone())),
            (Term::Number(Number { int: Some(value), .. }), Kind::Int) => Ok(Value::Int(*value)),
            (Term::Number(Number { float: Some(value), .. }), Kind::Float) => Ok(Value::Float(*value)),
            (Term::Bool(_) | Term::Number(_) | Term::Text(..), kind) => {
                let wanted = if kind == Kind::Int { "integer" } else { kind.as_str() };
                self.error(format!("expected {}; found {operand}", wanted.trim_end_matches("64")))
            }
            _ => {
                let value = self.literal(dot, operand)?;
                self.checked(value, kind)
            }
        }
    }

    /// Go converts nothing on a call: the type must be the one that the function has.
    fn checked(&self, value: Value, kind: Kind) -> Run<Value> {
        let fits = match kind {
            Kind::Any => true,
            Kind::Text => matches!(value, Value::Text(_)),
            Kind::Int => matches!(value, Value::Int(_)),
            Kind::Float => matches!(value, Value::Float(_)),
        };
        match value {
            value if fits => Ok(value),
            Value::Nil => self.error(format!("invalid value; expected {}", kind.as_str())),
            other => self.error(format!("wrong type for value; expected {}; got {}", kind.as_str(), other.kind())),
        }
    }
}

fn expected(signature: &Signature, index: usize) -> Kind {
    signature.fixed.get(index).copied().or(signature.variadic).unwrap_or(Kind::Any)
}
