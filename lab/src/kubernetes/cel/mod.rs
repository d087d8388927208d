//! The Common Expression Language, as far as rules of custom resources use it (`x-kubernetes-validations`).
//!
//! Values are JSON. Text of the formats `date-time` and `duration` stays text: no definition that the lab knows compares it.

mod call;
mod eval;
mod parse;

use serde_json::Value;

pub use eval::Scope;
pub use parse::Expression;

/// Reads an expression.
///
/// # Errors
/// What cannot stand where it stands.
pub fn parse(text: &str) -> Result<Expression, String> {
    parse::expression(text)
}

/// Whether an expression names a variable.
pub fn names(expression: &Expression, variable: &str) -> bool {
    parse::names(expression, variable)
}

/// A value that may be missing, as expressions see it.
pub fn optional(value: Option<&Value>) -> Value {
    eval::optional(value.cloned())
}

/// What an expression comes to.
///
/// # Errors
/// Why it comes to nothing, in the words of the real server.
pub fn evaluate(expression: &Expression, scope: &Scope<'_>) -> Result<Value, String> {
    eval::evaluate(expression, scope)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(text: &str) -> Result<Value, String> {
        let object = json!({ "n": 3, "f": 1.5, "s": "abc", "l": [1, 2, 3], "names": [{ "name": "x" }, { "name": "y" }], "m": { "a": "b" }, "nul": null });
        evaluate(&parse(text)?, &Scope::of(&[("self", &object)]))
    }

    #[test]
    fn expressions() {
        for (text, value) in [
            ("1 + 2 * 3 == 7 && !(2 > 3)", json!(true)),
            ("self.n <= 3 ? 'yes' : \"no\"", json!("yes")),
            ("self.n / 2", json!(1)),
            ("-self.n % 2", json!(-1)),
            ("self.f * 2.0 == 3.0", json!(true)),
            ("has(self.s) && !has(self.none) && has(self.m.a)", json!(true)),
            ("self.none == 1 || true", json!(true)),
            ("false && self.none == 1", json!(false)),
            ("self.l.all(x, x > 0) && self.l.exists(x, x == 2) && self.l.exists_one(x, x == 3)", json!(true)),
            ("self.names.map(e, e.name)", json!(["x", "y"])),
            ("self.l.filter(x, x > 1).size()", json!(2)),
            ("self.m.all(k, self.m[k] == 'b')", json!(true)),
            ("'a' in self.m && 2 in self.l && !('z' in ['a'])", json!(true)),
            ("self.s.startsWith('a') && self.s.endsWith('c') && self.s.contains('b') && self.s.matches('^[a-c]+$')", json!(true)),
            ("size(self.s) + size(self.l)", json!(6)),
            ("'A.B'.lowerAscii().split('.').join('-')", json!("a-b")),
            ("int('5') + 1", json!(6)),
            ("string(5) + 'x'", json!("5x")),
            ("isIP('10.0.0.1') && !isCIDR('10.0.0.1') && isCIDR('10.0.0.0/8') && isURL('https://a.b/c')", json!(true)),
            ("self.nul == null", json!(true)),
            ("[1, 2] + [3] == [1, 2, 3]", json!(true)),
            ("{'a': 1}.a == 1", json!(true)),
            ("self.l[0] == 1 && self.m['a'] == \"b\"", json!(true)),
            ("'%s has %d'.format(['x', 5])", json!("x has 5")),
            ("self.?none.orValue('d')", json!("d")),
            ("r'\\d+' == '\\\\d+'", json!(true)),
            ("[1, 2, 3].sum() == 6 && [3, 1].min() == 1 && [1, 2].isSorted()", json!(true)),
            ("quantity('1Gi').compareTo(quantity('1024Mi')) == 0 && isQuantity('5k')", json!(true)),
        ] {
            assert_eq!(run(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_comes_to_nothing_says_why() {
        for (text, why) in [
            ("self.none", "no such key: none"),
            ("self.l[9]", "index out of bounds: 9"),
            ("1 / 0", "division by zero"),
            ("self.s + 1", "no such overload"),
            ("other", "no such attribute(s): other"),
            ("'x' && true", "no such overload"),
        ] {
            assert_eq!(run(text), Err(why.to_owned()), "{text}");
        }
        for text in ["1 +", "(1", "self.", "'open", "a b", "has(1)"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_are_found_wherever_they_stand() {
        assert!(names(&parse("has(oldSelf.a) && self.l.all(x, x in oldSelf)").unwrap(), "oldSelf"));
        assert!(!names(&parse("self.oldSelf").unwrap(), "oldSelf"));
    }
}
