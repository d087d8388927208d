//! Functions: those of the language, and those that Kubernetes adds.

use std::net::IpAddr;

use regex::Regex;
use serde_json::Value;

use super::{
    super::quantity::Quantity,
    eval::{NO_OVERLOAD, equal, held, optional, order},
};

type Outcome = Result<Value, String>;

fn overload<T>() -> Result<T, String> {
    Err(NO_OVERLOAD.to_owned())
}

fn size(value: &Value) -> Outcome {
    match value {
        Value::String(text) => Ok(text.chars().count().into()),
        Value::Array(items) => Ok(items.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        _ => overload(),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| NO_OVERLOAD.to_owned())
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("error parsing regexp: {error}"))
}

/// A function that belongs to no object.
pub fn function(name: &str, arguments: &[Value]) -> Outcome {
    match (name, arguments) {
        ("optional.none", []) => Ok(optional(None)),
        ("optional.of", [value]) => Ok(optional(Some(value.clone()))),
        ("optional.ofNonZeroValue", [value]) => {
            let zero = value.is_null() || *value == "" || *value == 0 || *value == false || size(value) == Ok(0.into());
            Ok(optional((!zero).then(|| value.clone())))
        }
        ("dyn", [value]) => Ok(value.clone()),
        ("int" | "uint", [Value::String(text)]) => {
            text.parse::<i64>().map(Value::from).map_err(|_| format!("type conversion error from '{text}' to 'int'"))
        }
        #[expect(clippy::cast_possible_truncation, reason = "what the language does")]
        ("int" | "uint", [Value::Number(number)]) => {
            Ok(number.as_i64().unwrap_or_else(|| number.as_f64().unwrap_or_default() as i64).into())
        }
        ("double", [Value::String(text)]) => {
            text.parse::<f64>().map(Value::from).map_err(|_| format!("type conversion error from '{text}' to 'double'"))
        }
        ("double", [Value::Number(number)]) => Ok(number.as_f64().into()),
        ("string", [Value::String(text)]) => Ok(text.as_str().into()),
        ("string", [value]) => Ok(value.to_string().into()),
        ("bool", [Value::String(text)]) => Ok((text == "true").into()),
        ("bool", [Value::Bool(value)]) => Ok((*value).into()),
        ("isIP", [value]) => Ok(text(value)?.parse::<IpAddr>().is_ok().into()),
        ("isCIDR", [value]) => Ok(cidr(text(value)?).into()),
        ("isURL", [value]) => {
            let text = text(value)?;
            Ok((text.starts_with('/') || reqwest::Url::parse(text).is_ok_and(|url| url.has_host())).into())
        }
        ("isQuantity", [value]) => Ok(Quantity::parse(text(value)?).is_ok().into()),
        // Values of Kubernetes' own types stay their texts.
        ("quantity", [value]) => Quantity::parse(text(value)?).map(|_| value.clone()).map_err(str::to_owned),
        ("ip" | "cidr" | "url", [value]) => Ok(text(value)?.into()),
        ("format.named" | "timestamp" | "duration", [value]) => Ok(text(value)?.into()),
        (_, [first, ..]) if matches!(name, "size" | "matches") && !first.is_null() => method(name, arguments),
        _ => overload(),
    }
}

fn quantities(values: &[Value]) -> Option<(i128, i128)> {
    let of = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok()).map(Quantity::nano);
    Some((of(values.first()?)?, of(values.get(1)?)?))
}

/// A function of an object, which comes first among the values.
pub fn method(name: &str, values: &[Value]) -> Outcome {
    let Some((object, arguments)) = values.split_first() else { return overload() };
    if let Some(inner) = held(object).map(<[Value]>::first) {
        return match (name, arguments) {
            ("hasValue", []) => Ok(inner.is_some().into()),
            ("value", []) => inner.cloned().ok_or_else(|| "optional.none() dereference".to_owned()),
            ("orValue", [other]) => Ok(inner.unwrap_or(other).clone()),
            ("or", [other]) => Ok(if inner.is_some() { object.clone() } else { other.clone() }),
            _ => overload(),
        };
    }
    match (name, object) {
        ("size", _) if arguments.is_empty() => size(object),
        ("compareTo" | "isGreaterThan" | "isLessThan", _) => {
            let Some((a, b)) = quantities(values) else { return overload() };
            match name {
                "compareTo" => Ok((a.cmp(&b) as i64).into()),
                "isGreaterThan" => Ok((a > b).into()),
                _ => Ok((a < b).into()),
            }
        }
        (_, Value::String(text)) => of_text(name, text, arguments),
        (_, Value::Array(items)) => of_list(name, items, arguments),
        _ => overload(),
    }
}

fn number(value: &Value) -> Result<usize, String> {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or_else(|| NO_OVERLOAD.to_owned())
}

fn of_text(name: &str, object: &str, arguments: &[Value]) -> Outcome {
    let letters = || object.chars();
    let part = |from: usize, to: usize| -> Outcome {
        if from > to || to > letters().count() {
            return Err(format!("index out of range: {to}"));
        }
        Ok(letters().skip(from).take(to - from).collect::<String>().into())
    };
    // Places are counted in letters, not in bytes.
    let place = |at: Option<usize>| Value::from(at.map_or(-1, |at| i64::try_from(object[..at].chars().count()).unwrap_or(-1)));
    match (name, arguments) {
        ("startsWith", [other]) => Ok(object.starts_with(text(other)?).into()),
        ("endsWith", [other]) => Ok(object.ends_with(text(other)?).into()),
        ("contains", [other]) => Ok(object.contains(text(other)?).into()),
        ("matches", [other]) => Ok(pattern(text(other)?)?.is_match(object).into()),
        ("find", [other]) => Ok(pattern(text(other)?)?.find(object).map_or("", |found| found.as_str()).into()),
        ("findAll", [other]) => Ok(pattern(text(other)?)?.find_iter(object).map(|found| found.as_str()).collect()),
        ("lowerAscii", []) => Ok(object.to_ascii_lowercase().into()),
        ("upperAscii", []) => Ok(object.to_ascii_uppercase().into()),
        ("trim", []) => Ok(object.trim().into()),
        ("split", [other]) => match text(other)? {
            "" => Ok(letters().map(|letter| letter.to_string()).collect()),
            other => Ok(object.split(other).collect()),
        },
        ("replace", [from, to]) => Ok(object.replace(text(from)?, text(to)?).into()),
        ("indexOf", [other]) => Ok(place(object.find(text(other)?))),
        ("lastIndexOf", [other]) => Ok(place(object.rfind(text(other)?))),
        ("charAt", [at]) => Ok(letters().nth(number(at)?).map(|letter| letter.to_string()).unwrap_or_default().into()),
        ("substring", [from]) => part(number(from)?, letters().count()),
        ("substring", [from, to]) => part(number(from)?, number(to)?),
        ("reverse", []) => Ok(letters().rev().collect::<String>().into()),
        ("format", [Value::Array(items)]) => formatted(object, items),
        ("family", []) => match object.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => Ok(4.into()),
            Ok(IpAddr::V6(_)) => Ok(6.into()),
            Err(_) => overload(),
        },
        ("getScheme" | "getHost" | "getHostname" | "getPort" | "getEscapedPath", []) => {
            let url = reqwest::Url::parse(object).map_err(|_| "URL parse error during conversion from string".to_owned())?;
            let host = url.host_str().unwrap_or_default();
            Ok(match name {
                "getScheme" => url.scheme().into(),
                "getHost" => url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")).into(),
                "getHostname" => host.into(),
                "getPort" => url.port().map(|port| port.to_string()).unwrap_or_default().into(),
                _ => url.path().into(),
            })
        }
        _ => overload(),
    }
}

/// A text with places for values.
fn formatted(pattern: &str, items: &[Value]) -> Outcome {
    let mut items = items.iter();
    let mut shown = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            shown.push(letter);
            continue;
        }
        match letters.next() {
            Some('%') => shown.push('%'),
            Some(_) => {
                let item = items.next().ok_or_else(|| "index 0 out of range".to_owned())?;
                shown.push_str(&item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            }
            None => return Err("unexpected end of string".to_owned()),
        }
    }
    Ok(shown.into())
}

fn of_list(name: &str, items: &[Value], arguments: &[Value]) -> Outcome {
    let place = |at: Option<usize>| Value::from(at.map_or(-1, |at| i64::try_from(at).unwrap_or(-1)));
    match (name, arguments) {
        ("join", rest) if rest.len() < 2 => {
            let between = rest.first().map_or(Ok(""), text)?;
            Ok(items.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(between).into())
        }
        ("isSorted", []) => {
            for pair in items.windows(2) {
                if order(&pair[0], &pair[1])?.is_gt() {
                    return Ok(false.into());
                }
            }
            Ok(true.into())
        }
        ("min" | "max", []) => {
            let mut best = items.first().ok_or_else(|| format!("{name} called on empty list"))?;
            for item in items {
                let order = order(item, best)?;
                if (name == "min" && order.is_lt()) || (name == "max" && order.is_gt()) {
                    best = item;
                }
            }
            Ok(best.clone())
        }
        ("sum", []) => {
            if let Some(whole) = items.iter().map(Value::as_i64).sum::<Option<i64>>() {
                return Ok(whole.into());
            }
            items.iter().map(Value::as_f64).sum::<Option<f64>>().map_or_else(overload, |sum| Ok(sum.into()))
        }
        ("indexOf", [item]) => Ok(place(items.iter().position(|known| equal(known, item)))),
        ("lastIndexOf", [item]) => Ok(place(items.iter().rposition(|known| equal(known, item)))),
        _ => overload(),
    }
}
