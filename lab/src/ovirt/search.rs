//! The engine's search language, as far as clients of it go: `name=a* and status="up" or id=1 sortby name page 2`.

use serde_json::Value;

/// Members of a page, as the engine has it.
const PAGE: usize = 100;

/// A search that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// One of these must hold; in each, all.
    any: Vec<Vec<Term>>,
    /// Page from 1.
    page: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: String,
    not: bool,
    pattern: String,
}

/// Words, operators and quoted texts of a query.
fn tokens(query: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = query.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            '"' => {
                chars.next();
                tokens.push(chars.by_ref().take_while(|c| *c != '"').collect());
            }
            '=' => {
                chars.next();
                tokens.push("=".to_owned());
            }
            '!' => {
                chars.next();
                chars.next_if_eq(&'=');
                tokens.push("!=".to_owned());
            }
            c if c.is_whitespace() => {
                chars.next();
            }
            _ => {
                let mut word = String::new();
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !matches!(c, '=' | '!' | '"')) {
                    word.push(c);
                }
                tokens.push(word);
            }
        }
    }
    tokens
}

impl Search {
    /// Reads a query.
    ///
    /// # Errors
    /// What cannot be read, for a fault.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut search = Self { any: vec![Vec::new()], page: None };
        let mut tokens = tokens(query).into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token.to_lowercase().as_str() {
                "and" => {}
                "or" => search.any.push(Vec::new()),
                "sortby" => {
                    tokens.next();
                    tokens.next_if(|t| matches!(t.as_str(), "asc" | "desc"));
                }
                "page" => {
                    let number = tokens.next().unwrap_or_default();
                    search.page = Some(number.parse().map_err(|_| format!("page `{number}` is no number"))?);
                }
                _ => {
                    let operator = tokens.next_if(|t| t == "=" || t == "!=");
                    let Some(operator) = operator else { return Err(format!("`{token}` is followed by no operator")) };
                    let pattern = tokens.next().unwrap_or_default();
                    // Fields of another kind are named with it: `Vms.name`.
                    let field = token.to_lowercase();
                    if let Some(all) = search.any.last_mut() {
                        all.push(Term { field, not: operator == "!=", pattern: pattern.to_lowercase() });
                    }
                }
            }
        }
        Ok(search)
    }

    /// Whether a document is found. `read` gives the value of a field, if the kind has it.
    pub fn finds(&self, document: &Value, read: impl Fn(&Value, &str) -> Option<String>) -> bool {
        let holds = |term: &Term| {
            let value = read(document, &term.field).unwrap_or_default().to_lowercase();
            matches(&term.pattern, &value) != term.not
        };
        self.any.iter().any(|all| all.iter().all(holds))
    }

    /// The page that is asked for.
    pub fn page<T>(&self, list: Vec<T>) -> Vec<T> {
        match self.page {
            Some(page) => list.into_iter().skip(page.saturating_sub(1) * PAGE).take(PAGE).collect(),
            None => list,
        }
    }
}

/// Whether a text is what a pattern says; `*` is anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((begin, rest)) => {
            let Some(tail) = text.strip_prefix(begin) else { return false };
            (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| matches(rest, &tail[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finds(query: &str, name: &str) -> bool {
        let document = json!({"name": name, "status": "up"});
        let read = |d: &Value, field: &str| d[field].as_str().map(str::to_owned);
        Search::parse(query).unwrap().finds(&document, read)
    }

    #[test]
    fn queries_find_what_they_say() {
        for (query, name, found) in [
            ("", "a", true),
            ("name=a", "a", true),
            ("name = A", "a", true),
            ("name=\"a b\"", "a b", true),
            ("name=a", "ab", false),
            ("name=a*", "ab", true),
            ("name=*b*", "abc", true),
            ("name=\"x\" or name=\"a\"", "a", true),
            ("name=a and status=down", "a", false),
            ("name=a and status!=down", "a", true),
            ("name=a sortby name asc page 1", "a", true),
        ] {
            assert_eq!(finds(query, name), found, "{query} on {name}");
        }
        assert!(Search::parse("name").is_err());
        assert!(Search::parse("name=a page x").is_err());
    }

    #[test]
    fn pages_are_of_a_hundred() {
        let search = Search::parse("page 2").unwrap();
        assert_eq!(search.page((0..250).collect()), (100..200).collect::<Vec<_>>());
    }
}
