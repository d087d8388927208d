//! Go's text/template, as far as name templates use it: fields, pipelines, `if`, comparisons and the functions that
//! Forklift adds. An unknown function or field is an error, as it is there, in the words that stand in a Plan's condition.

mod functions;
mod parse;

use std::collections::BTreeMap;

/// A value in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A truth value.
    Bool(bool),
}

impl Value {
    /// Whether Go takes it as true: not empty, not zero.
    fn truth(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0,
            Self::Bool(value) => *value,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

/// Fields by name.
pub type Fields = BTreeMap<&'static str, Value>;

/// Fills a template in and trims the result, which must not be empty.
///
/// # Errors
/// What is wrong with the template. `kind` is Go's name of the data, which its message about an unknown field holds.
pub fn execute(template: &str, fields: &Fields, kind: &str) -> Result<String, String> {
    let nodes = parse::parse(template).map_err(|error| format!("Invalid template syntax caused by: 'template: template:1: {error}'"))?;
    let out = functions::run(&nodes, fields, kind).map_err(|error| format!("Template execution failed caused by: 'template: {error}'"))?;
    let out = out.trim();
    if out.is_empty() { Err("Template output is empty".to_owned()) } else { Ok(out.to_owned()) }
}

/// Fills a template in that must give a DNS-1123 label.
///
/// # Errors
/// As [`execute`], and a result that is no label.
pub fn label(template: &str, fields: &Fields, kind: &str) -> Result<String, String> {
    let out = execute(template, fields, kind)?;
    if super::names::is_label(&out) { Ok(out) } else { Err(format!("Template output is invalid k8s label [{out}]")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields::from([
            ("PlanName", Value::Text("a-rather-long-plan-name".into())),
            ("TargetVmName", Value::Text("rhel9".into())),
            ("FileName", Value::Text("disk_1.vmdk".into())),
            ("DiskIndex", Value::Number(1)),
            ("RootDiskIndex", Value::Number(0)),
            ("Shared", Value::Bool(false)),
        ])
    }

    #[test]
    fn templates_are_filled_in() {
        for (template, wanted) in [
            ("{{trunc 15 .PlanName}}-{{trunc 15 .TargetVmName}}-disk-{{.DiskIndex}}", "a-rather-long-p-rhel9-disk-1"),
            ("{{ .FileName | trimSuffix \".vmdk\" | replace \"_\" \"-\" }}", "disk-1"),
            ("{{if eq .DiskIndex .RootDiskIndex}}root{{else}}data{{end}}-{{.DiskIndex}}", "data-1"),
            ("{{if .Shared}}s{{else if eq .DiskIndex 1}}one{{end}}", "one"),
            ("{{- printf \"%s-%02d\" .TargetVmName .DiskIndex -}}", "rhel9-01"),
            ("x{{add1 .DiskIndex}}{{ (sub 5 2) }}", "x23"),
            ("{{mustRegexReplaceAll \"[^a-z]\" .TargetVmName \"\"}}", "rhel"),
            ("{{ .TargetVmName | upper | lower }}{{/* nothing */}}", "rhel9"),
            ("{{if and (not .Shared) (gt .DiskIndex 0)}}y{{end}}", "y"),
        ] {
            assert_eq!(execute(template, &fields(), "T"), Ok(wanted.to_owned()), "{template}");
        }
    }

    #[test]
    fn mistakes_are_told_in_gos_words() {
        assert_eq!(
            execute("{{.Nope", &fields(), "T").unwrap_err(),
            "Invalid template syntax caused by: 'template: template:1: unclosed action'"
        );
        assert_eq!(
            execute("{{.Nope}}-{{.DiskIndex}}", &fields(), "v1beta1.PVCNameTemplateData").unwrap_err(),
            "Template execution failed caused by: 'template: template:1:2: executing \"template\" at <.Nope>: can't evaluate field Nope in type v1beta1.PVCNameTemplateData'"
        );
        assert!(execute("{{nope 1}}", &fields(), "T").unwrap_err().contains("function \"nope\" not defined"));
        assert!(execute("{{if .Shared}}x{{end}}", &fields(), "T").unwrap_err().contains("empty"));
        assert!(label("{{.TargetVmName}}-", &fields(), "T").is_err());
    }
}
