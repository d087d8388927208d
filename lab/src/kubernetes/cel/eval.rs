//! What expressions come to.

use serde_json::{Map, Number, Value};

use super::{call, parse::Expression};

/// What cannot be done with these types.
pub const NO_OVERLOAD: &str = "no such overload";
/// The key under which an optional value is kept; nothing a schema allows is called so.
const OPTIONAL: &str = "\u{0}optional";

/// The variables.
#[derive(Clone)]
pub struct Scope<'a> {
    known: Vec<(&'a str, &'a Value)>,
}

impl<'a> Scope<'a> {
    /// A scope with these variables.
    pub fn of(known: &[(&'a str, &'a Value)]) -> Self {
        Self { known: known.to_vec() }
    }

    fn find(&self, name: &str) -> Option<&'a Value> {
        self.known.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

type Outcome = Result<Value, String>;

fn overload<T>() -> Result<T, String> {
    Err(NO_OVERLOAD.to_owned())
}

/// An optional value.
pub fn optional(value: Option<Value>) -> Value {
    let mut map = Map::new();
    map.insert(OPTIONAL.to_owned(), value.map_or(Value::Null, |value| Value::Array(vec![value])));
    Value::Object(map)
}

/// What an optional value holds, one value or none; nothing for a value that is not optional.
pub fn held(value: &Value) -> Option<&[Value]> {
    value.as_object()?.get(OPTIONAL).map(|inner| inner.as_array().map_or(&[][..], Vec::as_slice))
}

/// Evaluates an expression.
pub fn evaluate(expression: &Expression, scope: &Scope<'_>) -> Outcome {
    match expression {
        Expression::Literal(value) => Ok(value.clone()),
        Expression::Name(name) => scope.find(name).cloned().ok_or_else(|| format!("no such attribute(s): {name}")),
        Expression::Field(object, field, lenient) => {
            let object = evaluate(object, scope)?;
            if let Some(inner) = held(&object) {
                return Ok(optional(inner.first().and_then(|inner| inner.get(field)).cloned()));
            }
            if *lenient {
                return Ok(optional(object.get(field).cloned()));
            }
            match &object {
                Value::Object(map) => map.get(field).cloned().ok_or_else(|| format!("no such key: {field}")),
                _ => overload(),
            }
        }
        Expression::Has(object, field) => match evaluate(object, scope)? {
            Value::Object(map) => Ok(map.contains_key(field).into()),
            _ => overload(),
        },
        Expression::Index(object, index, lenient) => {
            let (object, index) = (evaluate(object, scope)?, evaluate(index, scope)?);
            let (object, lenient) = match held(&object) {
                Some(inner) => (inner.first().cloned().unwrap_or_default(), true),
                None => (object, *lenient),
            };
            let found = element(&object, &index);
            if lenient { Ok(optional(found.ok())) } else { found }
        }
        Expression::Call(object, name, arguments) => {
            let object = object.as_deref();
            // A name that is no variable may be the first part of a function's name.
            if let Some(Expression::Name(space)) = object
                && scope.find(space).is_none()
            {
                let arguments = arguments.iter().map(|argument| evaluate(argument, scope)).collect::<Result<Vec<_>, _>>()?;
                return call::function(&format!("{space}.{name}"), &arguments);
            }
            let mut values = Vec::new();
            if let Some(object) = object {
                values.push(evaluate(object, scope)?);
            }
            for argument in arguments {
                values.push(evaluate(argument, scope)?);
            }
            if object.is_some() { call::method(name, &values) } else { call::function(name, &values) }
        }
        Expression::Each(object, name, variable, parts) => each(&evaluate(object, scope)?, name, variable, parts, scope),
        Expression::Choice(condition, yes, no) => match evaluate(condition, scope)? {
            Value::Bool(true) => evaluate(yes, scope),
            Value::Bool(false) => evaluate(no, scope),
            _ => overload(),
        },
        Expression::Binary(operator @ ("&&" | "||"), left, right) => {
            logic(*operator == "&&", evaluate(left, scope), || evaluate(right, scope))
        }
        Expression::Binary(operator, left, right) => binary(operator, &evaluate(left, scope)?, &evaluate(right, scope)?),
        Expression::Unary(operator, operand) => match (operator, evaluate(operand, scope)?) {
            ('!', Value::Bool(value)) => Ok((!value).into()),
            ('-', Value::Number(number)) => {
                number.as_i64().map_or_else(|| double(-number.as_f64().unwrap_or_default()), |number| Ok((-number).into()))
            }
            _ => overload(),
        },
        Expression::List(items) => items.iter().map(|item| evaluate(item, scope)).collect(),
        Expression::Map(pairs) => {
            let mut map = Map::new();
            for (key, value) in pairs {
                let key = evaluate(key, scope)?;
                map.insert(key.as_str().map_or_else(|| key.to_string(), str::to_owned), evaluate(value, scope)?);
            }
            Ok(Value::Object(map))
        }
    }
}

fn double(number: f64) -> Outcome {
    Number::from_f64(number).map(Value::Number).ok_or_else(|| "no number".to_owned())
}

fn element(object: &Value, index: &Value) -> Outcome {
    match (object, index) {
        (Value::Array(items), Value::Number(number)) => {
            let found = number.as_u64().and_then(|at| usize::try_from(at).ok()).and_then(|at| items.get(at));
            found.cloned().ok_or_else(|| format!("index out of bounds: {number}"))
        }
        (Value::Object(map), Value::String(key)) => map.get(key).cloned().ok_or_else(|| format!("no such key: {key}")),
        (Value::Object(map), key) => map.get(&key.to_string()).cloned().ok_or_else(|| format!("no such key: {key}")),
        _ => overload(),
    }
}

/// `&&` and `||`: a side that comes to nothing does not matter if the other one decides.
fn logic(and: bool, left: Outcome, right: impl FnOnce() -> Outcome) -> Outcome {
    let decides = Value::Bool(!and);
    if left.as_ref() == Ok(&decides) {
        return Ok(decides);
    }
    let right = right();
    if right.as_ref() == Ok(&decides) {
        return Ok(decides);
    }
    match (left?, right?) {
        (Value::Bool(_), Value::Bool(_)) => Ok(Value::Bool(and)),
        _ => overload(),
    }
}

/// Equality of values; numbers are equal whatever their type.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        (a, b) => a == b,
    }
}

/// The order of two values that have one.
pub fn order(left: &Value, right: &Value) -> Result<std::cmp::Ordering, String> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => a.as_f64().partial_cmp(&b.as_f64()).map_or_else(overload, Ok),
        },
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        _ => overload(),
    }
}

fn binary(operator: &str, left: &Value, right: &Value) -> Outcome {
    match operator {
        "==" => return Ok(equal(left, right).into()),
        "!=" => return Ok((!equal(left, right)).into()),
        "in" => {
            return match right {
                Value::Array(items) => Ok(items.iter().any(|item| equal(item, left)).into()),
                Value::Object(map) => Ok(left.as_str().is_some_and(|key| map.contains_key(key)).into()),
                _ => overload(),
            };
        }
        "<" => return Ok(order(left, right)?.is_lt().into()),
        "<=" => return Ok(order(left, right)?.is_le().into()),
        ">" => return Ok(order(left, right)?.is_gt().into()),
        ">=" => return Ok(order(left, right)?.is_ge().into()),
        _ => {}
    }
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => whole(operator, a, b),
            (None, None) => {
                let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
                match operator {
                    "+" => double(a + b),
                    "-" => double(a - b),
                    "*" => double(a * b),
                    "/" => double(a / b),
                    _ => overload(),
                }
            }
            _ => overload(),
        },
        (Value::String(a), Value::String(b)) if operator == "+" => Ok(format!("{a}{b}").into()),
        (Value::Array(a), Value::Array(b)) if operator == "+" => Ok(a.iter().chain(b).cloned().collect()),
        _ => overload(),
    }
}

fn whole(operator: &str, a: i64, b: i64) -> Outcome {
    let result = match operator {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        "/" if b == 0 => return Err("division by zero".to_owned()),
        "/" => a.checked_div(b),
        "%" if b == 0 => return Err("modulus by zero".to_owned()),
        "%" => a.checked_rem(b),
        _ => return overload(),
    };
    result.map(Value::from).ok_or_else(|| "integer overflow".to_owned())
}

fn each(object: &Value, name: &str, variable: &str, parts: &[Expression], scope: &Scope<'_>) -> Outcome {
    let items: Vec<Value> = match object {
        Value::Array(items) => items.clone(),
        // Of a map these calls see the keys.
        Value::Object(map) => map.keys().map(|key| Value::from(key.as_str())).collect(),
        _ => return overload(),
    };
    let of = |item: &Value, part: usize| -> Outcome {
        let mut known = scope.known.clone();
        known.push((variable, item));
        parts.get(part).map_or_else(overload, |part| evaluate(part, &Scope { known }))
    };
    let holds = |item: &Value, part: usize| match of(item, part)? {
        Value::Bool(value) => Ok(value),
        _ => overload(),
    };
    match name {
        "all" | "exists" => {
            let and = name == "all";
            let mut sum = Ok(Value::Bool(and));
            // An error is forgotten where a later item decides.
            for item in &items {
                sum = logic(and, sum, || of(item, 0));
            }
            sum
        }
        "exists_one" | "existsOne" => {
            let mut count = 0;
            for item in &items {
                count += usize::from(holds(item, 0)?);
            }
            Ok((count == 1).into())
        }
        "filter" => {
            let mut kept = Vec::new();
            for item in items {
                if holds(&item, 0)? {
                    kept.push(item);
                }
            }
            Ok(kept.into())
        }
        _ => {
            let mut mapped = Vec::new();
            let last = parts.len() - 1;
            for item in &items {
                if last == 0 || holds(item, 0)? {
                    mapped.push(of(item, last)?);
                }
            }
            Ok(mapped.into())
        }
    }
}
