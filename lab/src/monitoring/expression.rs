//! PromQL, as far as instant vectors need it: selectors with label matchers, comparison with a number, `and on (…)`, and
//! `sum by (…)`. Anything else is refused, as a mistake would be.

use std::collections::BTreeMap;

use super::Sample;

/// An expression that gives an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// `metric{label="value", other!="value"}`: name and matchers, `true` for those that must be equal.
    Selector(String, Vec<(String, bool, String)>),
    /// `inner == 1`: samples of that value stay.
    Equals(Box<Expression>, f64),
    /// `left and on (labels) right`: samples that have a partner stay.
    And(Box<Expression>, Vec<String>, Box<Expression>),
    /// `sum by (labels) (inner)`.
    Sum(Vec<String>, Box<Expression>),
}

struct Reader<'a> {
    rest: &'a str,
}

/// How deep expressions may nest.
const DEPTH: usize = 20;

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut reader = Reader { rest: text };
    let expression = reader.expression(0)?;
    reader.skip();
    if reader.rest.is_empty() { Ok(expression) } else { Err(format!("parse error: unexpected `{}`", reader.rest)) }
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("parse error: expected `{token}` before `{}`", self.rest)) }
    }

    fn word(&mut self) -> Result<String, String> {
        self.skip();
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("parse error: a name is expected before `{}`", self.rest));
        }
        self.rest = rest;
        Ok(word.to_owned())
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.skip();
        let follows = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        match self.rest.strip_prefix(word).filter(|rest| follows(rest)) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn labels(&mut self) -> Result<Vec<String>, String> {
        self.expect("(")?;
        let mut labels = Vec::new();
        while !self.take(")") {
            labels.push(self.word()?);
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(labels)
    }

    fn expression(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > DEPTH {
            return Err("parse error: nested too deeply".to_owned());
        }
        let mut left = self.operand(depth)?;
        loop {
            if self.take("==") {
                self.skip();
                let end = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest.len());
                let number = self.rest[..end].parse().map_err(|_| format!("parse error: a number is expected before `{}`", self.rest))?;
                self.rest = &self.rest[end..];
                left = Expression::Equals(Box::new(left), number);
            } else if self.keyword("and") {
                if !self.keyword("on") {
                    return Err("parse error: `and` is known here with `on` only".to_owned());
                }
                let labels = self.labels()?;
                left = Expression::And(Box::new(left), labels, Box::new(self.operand(depth)?));
            } else {
                return Ok(left);
            }
        }
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, String> {
        if self.take("(") {
            let inner = self.expression(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.keyword("sum") {
            if !self.keyword("by") {
                return Err("parse error: `sum` is known here with `by` only".to_owned());
            }
            let labels = self.labels()?;
            self.expect("(")?;
            let inner = self.expression(depth + 1)?;
            self.expect(")")?;
            return Ok(Expression::Sum(labels, Box::new(inner)));
        }
        let name = self.word()?;
        let mut matchers = Vec::new();
        if self.take("{") {
            while !self.take("}") {
                let label = self.word()?;
                let equal = !self.take("!=");
                if equal {
                    self.expect("=")?;
                }
                self.expect("\"")?;
                let end = self.rest.find('"').ok_or("parse error: unterminated quoted string")?;
                matchers.push((label, equal, self.rest[..end].to_owned()));
                self.rest = &self.rest[end + 1..];
                if !self.take(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        Ok(Expression::Selector(name, matchers))
    }
}

fn of(sample: &Sample, labels: &[String]) -> BTreeMap<String, String> {
    // A label that is not there is one without a value.
    labels.iter().filter_map(|label| Some((label.clone(), sample.labels.get(label)?.clone()))).collect()
}

impl Expression {
    /// The samples that it gives.
    pub(super) fn evaluate(&self, series: &[Sample]) -> Vec<Sample> {
        match self {
            Self::Selector(name, matchers) => {
                let holds = |sample: &&Sample| {
                    let value = |label: &str| sample.labels.get(label).map_or("", String::as_str);
                    value("__name__") == name && matchers.iter().all(|(label, equal, text)| (value(label) == text) == *equal)
                };
                series.iter().filter(holds).cloned().collect()
            }
            Self::Equals(inner, number) => {
                let mut samples = inner.evaluate(series);
                samples.retain(|sample| (sample.value - number).abs() < f64::EPSILON);
                samples
            }
            Self::And(left, labels, right) => {
                let partners: Vec<_> = right.evaluate(series).iter().map(|sample| of(sample, labels)).collect();
                let mut samples = left.evaluate(series);
                samples.retain(|sample| partners.contains(&of(sample, labels)));
                samples
            }
            Self::Sum(labels, inner) => {
                let mut sums: BTreeMap<BTreeMap<String, String>, f64> = BTreeMap::new();
                for sample in inner.evaluate(series) {
                    *sums.entry(of(&sample, labels)).or_default() += sample.value;
                }
                sums.into_iter().map(|(labels, value)| Sample { labels, value }).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels.iter().chain([&("__name__", name)]).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Sample { labels, value }
    }

    #[test]
    fn requests_of_running_pods_are_summed_by_node() {
        let series = [
            sample("requests", &[("node", "a"), ("pod", "x"), ("resource", "memory")], 5.0),
            sample("requests", &[("node", "a"), ("pod", "y"), ("resource", "memory")], 7.0),
            sample("requests", &[("node", "a"), ("pod", "x"), ("resource", "cpu")], 100.0),
            sample("requests", &[("node", "b"), ("pod", "z"), ("resource", "memory")], 1.0),
            sample("phase", &[("pod", "x"), ("phase", "Running")], 1.0),
            sample("phase", &[("pod", "y"), ("phase", "Running")], 0.0),
            sample("phase", &[("pod", "z"), ("phase", "Running")], 1.0),
        ];
        let query = r#"sum by (node) (requests{resource="memory"} and on (pod) (phase{phase="Running"} == 1))"#;
        let sums = parse(query).unwrap().evaluate(&series);
        let read: Vec<_> = sums.iter().map(|s| (s.labels["node"].as_str(), s.value)).collect();
        assert_eq!(read, [("a", 5.0), ("b", 1.0)]);
        assert_eq!(parse(r#"requests{resource!="memory"}"#).unwrap().evaluate(&series).len(), 1);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in ["", "rate(x[5m])", "sum(x)", "x and y", "x{a=~\"b\"}", "x == y", "(x", "x y"] {
            assert!(parse(query).unwrap_err().contains("parse error"), "{query}");
        }
    }
}
