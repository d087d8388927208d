//! `[[protect]]` in the settings file: clusters on which nothing may be created.
//!
//! Rules only add up. They stand in the file alone: no option and no variable takes one away.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::{Spanned, de::DeValue};

use super::{
    diagnostics::{Problem, Problems, Source},
    read,
    suggest::did_you_mean,
};

/// Name of the table.
pub(super) const TABLE: &str = "protect";

/// Its keys.
pub(super) const KEYS: &[&str] = &["cluster_id", "api_host", "infrastructure_name", "reason"];

/// What of a cluster a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// `spec.clusterID` of the ClusterVersion, or the UID of the namespace `kube-system`.
    ClusterId,
    /// Host of the API server, without port: as it is reached, and as the cluster names it.
    ApiHost,
    /// `status.infrastructureName` of the Infrastructure.
    InfrastructureName,
}

impl Subject {
    /// The key that asks for it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ClusterId => "cluster_id",
            Self::ApiHost => "api_host",
            Self::InfrastructureName => "infrastructure_name",
        }
    }
}

/// One pattern of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it looks at.
    pub subject: Subject,
    /// Text in which `*` stands for any text; capital and small letters are the same.
    pub pattern: String,
    /// Why, in the user's words.
    pub reason: Option<String>,
    /// Where it stands.
    pub file: PathBuf,
    /// Line from 1.
    pub line: usize,
}

impl Rule {
    /// Whether it means this cluster id, host or name.
    pub fn means(&self, value: &str) -> bool {
        matches(&self.pattern.to_lowercase(), &value.to_lowercase())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protect.{} = \"{}\" ({}:{})", self.subject.key(), self.pattern, self.file.display(), self.line)
    }
}

/// Whether a text is meant by a pattern in which `*` stands for any text. Linear in the length of both times the stars.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// Reads `[protect]` or `[[protect]]`.
pub(super) fn read(
    source: &Arc<Source>,
    file: &Path,
    name: Range<usize>,
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems,
) -> Vec<Rule> {
    let tables: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(tables) => tables.iter().collect(),
        DeValue::Table(_) => vec![value],
        other => {
            problems.push(
                read::wrong_kind(source, value.span(), TABLE, "tables", other)
                    .help("write `[[protect]]` and below it `api_host = \"api.prod.example.com\"`"),
            );
            return Vec::new();
        }
    };
    if tables.is_empty() {
        problems.push(Problem::error("`protect` protects nothing").at(source, name.clone(), "").help("remove it, or write a rule"));
    }
    tables.into_iter().flat_map(|table| rules(source, file, &name, table, problems)).collect()
}

/// The rules of one table.
fn rules(source: &Arc<Source>, file: &Path, name: &Range<usize>, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Vec<Rule> {
    let DeValue::Table(table) = value.get_ref() else {
        problems.push(read::wrong_kind(source, value.span(), TABLE, "a table", value.get_ref()));
        return Vec::new();
    };
    let reason = table.get("reason").and_then(|reason| reason.get_ref().as_str()).map(str::to_owned);
    let mut rules = Vec::new();
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let mut mistakes = false;
    for (key, value) in keys {
        let subjects = [Subject::ClusterId, Subject::ApiHost, Subject::InfrastructureName];
        if let Some(subject) = subjects.into_iter().find(|subject| subject.key() == key.get_ref()) {
            for pattern in patterns(source, subject, value, problems) {
                let line = source.line(pattern.span().start);
                let pattern = pattern.into_inner();
                rules.push(Rule { subject, pattern, reason: reason.clone(), file: file.to_owned(), line });
            }
        } else if key.get_ref() != "reason" {
            mistakes = true;
            problems.push(
                Problem::error(format!("unknown key `{}` of `protect`", key.get_ref()))
                    .at(source, key.span(), "")
                    .help_maybe(did_you_mean(key.get_ref(), "known keys", KEYS.iter().copied())),
            );
        } else if value.get_ref().as_str().is_none() {
            problems.push(read::wrong_kind(source, value.span(), "reason", "a string", value.get_ref()));
        }
    }
    if rules.is_empty() && !mistakes && !problems.has_errors() {
        problems.push(
            Problem::error("a rule of `protect` names no cluster")
                .at(source, name.clone(), "")
                .help("add `cluster_id`, `api_host` or `infrastructure_name`"),
        );
    }
    rules
}

/// One pattern, or a list of them.
fn patterns(source: &Arc<Source>, subject: Subject, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Vec<Spanned<String>> {
    let values: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(values) => values.iter().collect(),
        _ => vec![value],
    };
    let mut found = Vec::new();
    for value in values {
        match value.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                problems.push(
                    Problem::error(format!("`{}` of `protect` is empty", subject.key()))
                        .at(source, value.span(), "")
                        .help("write a text; `*` stands for any text, as in \"api.prod-*\""),
                );
            }
            DeValue::String(text) if subject == Subject::ApiHost && text.contains(['/', ':']) => {
                problems.push(
                    Problem::error(format!("`{text}` is no host"))
                        .at(source, value.span(), "")
                        .help("write the host alone, without scheme and port: \"api.prod.example.com\""),
                );
            }
            DeValue::String(text) => found.push(Spanned::new(value.span(), text.trim().to_owned())),
            other => problems.push(read::wrong_kind(source, value.span(), subject.key(), "a string or a list of strings", other)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::settings_load::{self, Sources};

    fn load(text: &str) -> Result<Vec<super::Rule>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(file), ..Sources::default() };
        settings_load::load(&sources).map(|resolved| resolved.settings.protect).map_err(|problems| problems.to_string())
    }

    #[test]
    fn rules_know_their_lines() {
        let text = "jobs = 2\n[[protect]]\napi_host = [\"api.prod.*\",\n  \"*.example.com\"]\nreason = \"customers\"\n\n[[protect]]\ncluster_id = \"1-2\"\ninfrastructure_name = \"Prod-*\"\n";
        let rules = load(text).unwrap();
        let told: Vec<String> = rules.iter().map(|r| format!("{} {} {}", r.line, r.subject.key(), r.pattern)).collect();
        assert_eq!(told, ["3 api_host api.prod.*", "4 api_host *.example.com", "8 cluster_id 1-2", "9 infrastructure_name Prod-*"]);
        assert_eq!(rules[0].reason.as_deref(), Some("customers"));
        assert!(rules[3].means("prod-x7k2p") && !rules[3].means("preprod-x7k2p"));
        assert!(rules[0].to_string().ends_with("s.toml:3)"), "{}", rules[0]);
    }

    #[test]
    fn one_table_is_enough() {
        assert_eq!(load("[protect]\napi_host = \"API.example.com\"\n").unwrap().len(), 1);
    }

    #[test]
    fn a_rule_that_protects_nothing_is_an_error() {
        for text in [
            "[protect]\n",
            "protect = []\n",
            "protect = \"x\"\n",
            "[protect]\nreason = \"x\"\n",
            "[protect]\napi_host = \"\"\n",
            "[protect]\napi_host = \"https://x:6443\"\n",
            "[protect]\napi_hosts = \"x\"\n",
            "[protect]\napi_host = 5\n",
        ] {
            assert!(load(text).unwrap_err().contains("protect") || load(text).unwrap_err().contains("host"), "{text}");
        }
    }
}
