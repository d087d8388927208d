//! Options whose value can be a text or a table: labels, affinity, namespaces, PVC name templates.

use std::{collections::BTreeMap, ops::Range};

use mtv_api::template::{self, DiskData, TemplateError};
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Reader;
use crate::config::{
    names::{is_label_key, is_label_value, is_namespace},
    profile::ProviderKind,
    read::{self, At},
    scenario::{DedicatedHosts, Label, PvcNameTemplate, TargetNamespace},
    suggest::did_you_mean,
};

/// Longest prefix of a namespace that leaves room for a dash and the run's id in the 63 characters of its name.
const LONGEST_PREFIX: usize = 52;

/// `{ unique = true }`.
fn is_unique(table: &DeTable<'_>) -> bool {
    table.len() == 1 && table.get("unique").is_some_and(|v| v.get_ref().as_bool() == Some(true))
}

impl Reader<'_> {
    pub(super) fn labels(&mut self, found: &DeTable<'_>) -> BTreeMap<String, Label> {
        let mut labels = BTreeMap::new();
        for (name, value) in found {
            let key = name.get_ref().to_string();
            if !is_label_key(&key) {
                self.wrong(&name.span(), format!("`{key}` is no key for a label"), "", "for example `example.com/purpose`");
            }
            let label = match value.get_ref() {
                DeValue::String(text) => {
                    if !is_label_value(text) {
                        let help = "at most 63 characters: letters, digits, `-`, `_`, `.`, with a letter or digit at both ends";
                        self.wrong(&value.span(), format!("`{text}` is no value for a label"), "", help);
                    }
                    Label::Text(text.to_string())
                }
                DeValue::Table(table) if is_unique(table) => Label::Unique,
                other => {
                    let problem = read::wrong_kind(self.source, value.span(), &key, "a string or `{ unique = true }`", other);
                    self.problems.push(problem.help("write a text between quotes, or `{ unique = true }` for the run's id"));
                    continue;
                }
            };
            labels.insert(key, label);
        }
        labels
    }

    /// One label: a node gets it.
    pub(super) fn node_selector(&mut self, found: &At<DeTable<'_>>) -> Option<(String, Label)> {
        let mut labels = self.labels(&found.value);
        if found.value.len() != 1 {
            let label = format!("{} labels", found.value.len());
            self.wrong(
                &found.span,
                "`target_node_selector` takes one label".to_owned(),
                &label,
                "keep one: a node is given it for the test",
            );
        }
        labels.pop_first()
    }

    /// A Kubernetes affinity. The three tables at its top are known, the rest is the API server's to judge.
    pub(super) fn affinity(&mut self, found: &At<DeTable<'_>>) -> Value {
        const KNOWN: [&str; 3] = ["nodeAffinity", "podAffinity", "podAntiAffinity"];
        for (key, value) in &found.value {
            let name = key.get_ref().as_ref();
            if !KNOWN.contains(&name) {
                let help = did_you_mean(name, "an affinity has", KNOWN).unwrap_or_default();
                self.wrong(&key.span(), format!("`{name}` is no part of an affinity"), "", &help);
            } else if value.get_ref().as_table().is_none() {
                let problem = read::wrong_kind(self.source, value.span(), name, "a table", value.get_ref());
                self.problems.push(problem);
            }
        }
        if found.value.is_empty() {
            self.wrong(&found.span, "`target_affinity` is empty".to_owned(), "", "remove it, or write for example `podAffinity`");
        }
        self.json_table(&found.value)
    }

    fn json_table(&mut self, table: &DeTable<'_>) -> Value {
        if is_unique(table) {
            return Value::Null;
        }
        table.iter().map(|(key, value)| (key.get_ref().to_string(), self.json(value))).collect()
    }

    fn json(&mut self, value: &Spanned<DeValue<'_>>) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(switch) => Value::from(*switch),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => {
                    self.wrong(&value.span(), format!("`{}` is too large", number.as_str()), "", "Kubernetes counts up to 2^63-1");
                    Value::from(0)
                }
            },
            DeValue::Array(values) => values.iter().map(|value| self.json(value)).collect(),
            DeValue::Table(table) => self.json_table(table),
            other => {
                let problem = read::wrong_kind(self.source, value.span(), "target_affinity", "what JSON has", other);
                self.problems.push(problem.help("an affinity has texts, whole numbers, lists and tables"));
                Value::from("")
            }
        }
    }

    /// `copyoffload` is whether the array copies in any of its Plans.
    pub(super) fn dedicated_hosts(&mut self, found: Spanned<DeValue<'_>>, copyoffload: bool) -> Option<DedicatedHosts> {
        const KEY: &str = "dedicated_migration_hosts";
        let span = found.span();
        let hosts = match found.into_inner() {
            DeValue::Boolean(false) => return None,
            DeValue::Boolean(true) => DedicatedHosts::Profile,
            DeValue::Array(values) => {
                let mut ids = Vec::new();
                for value in &values {
                    match value.get_ref().as_str() {
                        Some(id) if !id.trim().is_empty() => ids.push(id.to_owned()),
                        Some(_) => self.wrong(
                            &value.span(),
                            "a host has no id".to_owned(),
                            "",
                            "write a managed object reference such as \"host-34\"",
                        ),
                        None => self.problems.push(read::wrong_kind(self.source, value.span(), KEY, "strings", value.get_ref())),
                    }
                }
                if values.is_empty() {
                    self.wrong(&span, format!("`{KEY}` is empty"), "", "remove it, or write `true` for those of the profile");
                }
                DedicatedHosts::Ids(ids)
            }
            other => {
                let problem = read::wrong_kind(self.source, span, KEY, "true or a list of strings", &other);
                self.problems.push(problem.help("write `true` for those of the profile, or ids such as [\"host-34\"]"));
                return None;
            }
        };
        if !copyoffload {
            self.wrong(&span, format!("`{KEY}` needs `copyoffload`"), "", "only the storage array's copies run on chosen hosts");
        }
        Some(hosts)
    }

    pub(super) fn target_namespace(&mut self, found: Spanned<DeValue<'_>>) -> Option<TargetNamespace> {
        const KEY: &str = "vm_target_namespace";
        let span = found.span();
        match found.into_inner() {
            DeValue::String(text) => self.namespace(KEY, Some(At { value: text.into_owned(), span })).map(TargetNamespace::Named),
            DeValue::Table(table) if table.len() == 1 && table.contains_key("prefix") => {
                let prefix = table.get("prefix")?;
                let Some(text) = prefix.get_ref().as_str() else {
                    self.problems.push(read::wrong_kind(self.source, prefix.span(), "prefix", "a string", prefix.get_ref()));
                    return None;
                };
                if !is_namespace(text) || text.len() > LONGEST_PREFIX {
                    let help = format!("use a-z, 0-9 and `-`, at most {LONGEST_PREFIX} characters, a letter or digit at both ends");
                    self.wrong(&prefix.span(), format!("`{text}` is no beginning of a namespace's name"), "", &help);
                }
                Some(TargetNamespace::Prefix(text.to_owned()))
            }
            other => {
                let problem = read::wrong_kind(self.source, span, KEY, "a string or `{ prefix = \"…\" }`", &other);
                self.problems.push(problem.help("write a name between quotes, or `{ prefix = \"…\" }` for a namespace of each run"));
                None
            }
        }
    }

    /// `providers` are the kinds that the scenario works with: each needs a template, its own or the default.
    pub(super) fn pvc_template(&mut self, found: Spanned<DeValue<'_>>, providers: &[ProviderKind]) -> Option<PvcNameTemplate> {
        const KEY: &str = "pvc_name_template";
        let span = found.span();
        let table = match found.into_inner() {
            DeValue::String(text) => return self.template(KEY, &text, &span).map(PvcNameTemplate::All),
            DeValue::Table(table) => table,
            other => {
                let problem = read::wrong_kind(self.source, span, KEY, "a string or a table", &other);
                self.problems.push(problem.help("write a template between quotes, or `{ vsphere = \"…\", default = \"…\" }`"));
                return None;
            }
        };
        let (mut kinds, mut default) = (BTreeMap::new(), None);
        for (key, value) in &table {
            let name = key.get_ref().as_ref();
            let Some(text) = value.get_ref().as_str() else {
                self.problems.push(read::wrong_kind(self.source, value.span(), name, "a string", value.get_ref()));
                continue;
            };
            let text = self.template(name, text, &value.span());
            match ProviderKind::ALL.iter().find(|kind| kind.name() == name) {
                _ if name == "default" => default = text,
                Some(kind) => kinds.extend(text.map(|text| (*kind, text))),
                None => {
                    let known = ProviderKind::ALL.iter().map(|kind| kind.name()).chain(["default"]);
                    let help = did_you_mean(name, "one of", known).unwrap_or_default();
                    self.wrong(&key.span(), format!("`{name}` is no kind of source"), "", &help);
                }
            }
        }
        let all = if providers.is_empty() { ProviderKind::ALL } else { providers };
        let without: Vec<&str> = all.iter().filter(|kind| !kinds.contains_key(kind)).map(|kind| kind.name()).collect();
        if !table.contains_key("default") && !without.is_empty() {
            let help = "add `default = \"…\"`, or name the kinds of sources in `requires.providers`";
            self.wrong(&span, format!("no template of PVC names for {}", without.join(", ")), "", help);
        }
        Some(PvcNameTemplate::ByKind { kinds, default })
    }

    fn template(&mut self, key: &str, text: &str, span: &Range<usize>) -> Option<String> {
        if text.trim().is_empty() {
            self.wrong(span, format!("`{key}` is empty"), "", "write a Go template such as \"{{.VmName}}-disk-{{.DiskIndex}}\"");
            return None;
        }
        if let Err(why) = usable(text) {
            self.wrong(
                span,
                format!("`{key}` is a template that MTV refuses: {why}"),
                "",
                "fields are for example {{.VmName}}, {{.TargetVmName}}, {{.PlanName}} and {{.DiskIndex}}; the result must be a DNS label",
            );
            return None;
        }
        Some(text.to_owned())
    }
}

/// Fills a template in for two disks that any source could have. What fails for them fails for every VM.
fn usable(text: &str) -> Result<(), String> {
    let disk = |index: usize| DiskData {
        vm: "web-1".to_owned(),
        target: "web-1".to_owned(),
        plan: "plan-1".to_owned(),
        vm_id: "vm-1".to_owned(),
        index,
        root: 0,
        shared: index > 0,
        file: "web-1.vmdk".to_owned(),
        drive: "c".to_owned(),
        source_claim: Some(("source".to_owned(), "claim-1".to_owned())),
    };
    for index in [0, 1] {
        let mut data = template::pvc_data(&disk(index));
        // Fields of other kinds of sources, which are empty here.
        for (_, value) in &mut data.fields {
            if *value == template::Value::Text(String::new()) {
                *value = template::Value::Text("id-1".to_owned());
            }
        }
        match template::label(text, data) {
            Ok(_) => {}
            // A result can depend on the disk; the first one is that of every VM.
            Err(TemplateError::Empty | TemplateError::NotALabel(_)) if index > 0 => {}
            Err(TemplateError::Syntax(why) | TemplateError::Execution(why)) => return Err(why),
            Err(TemplateError::Empty) => return Err("nothing comes out".to_owned()),
            Err(TemplateError::NotALabel(out)) => return Err(format!("its result is not a DNS label: `{out}`")),
        }
    }
    Ok(())
}
