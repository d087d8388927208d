//! Scenario files: `[scenario.NAME]` tables become [`Scenario`]s, or problems with their places.

mod hooks;
mod options;
mod raw;
mod vms;

use std::{ops::Range, path::Path, sync::Arc, time::Duration};

pub(super) use raw::RawScenario;
use raw::{REQUIRES, RawRequires, SCENARIO};
use toml::de::DeTable;
use vms::LocatedVm;

use self::hooks::Hooks;
use super::{
    blot::{Show, blot},
    diagnostics::{Problem, Problems, Source},
    duration,
    names::{is_issue, is_namespace, is_scenario_name, is_word},
    profile::ProviderKind,
    read::{self, At},
    scenario::{DEFAULT_GUEST_AGENT_TIMEOUT, PowerWish, Requirements, Scenario, TargetNamespace},
};
use crate::select::Version;

const POWER: &[(&str, PowerWish)] = &[("on", PowerWish::On), ("off", PowerWish::Off)];

/// A scenario with the places that later checks point to.
#[derive(Debug)]
pub struct Located {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Its file.
    pub source: Arc<Source>,
    /// Its name in the file.
    pub name: Range<usize>,
    /// Its aliases in the file, in the order of [`Scenario::aliases`].
    pub aliases: Vec<Range<usize>>,
    /// Its markers with their places.
    pub markers: Vec<At<String>>,
}

/// Reads a scenario file. What can be used is returned even if something else is wrong; the caller looks at the problems.
pub fn parse(file: &Path, text: &str, problems: &mut Problems) -> Vec<Located> {
    let source = Source::new(file.display().to_string(), blot(text, Show::Most));
    let mut found = Problems::default();
    let mut located = Vec::new();
    if let Some(document) = read::document(&source, text, &mut found) {
        let tables = read::named_tables(&source, &document, "scenario", &mut found);
        if tables.is_empty() && found.is_empty() {
            found.push(Problem::error(format!("{} holds no scenario", file.display())).help("write a table `[scenario.NAME]`"));
        }
        for (name, table) in tables {
            located.push(Reader { source: &source, problems: &mut found }.scenario(file, name, table));
        }
    }
    found.sort();
    problems.append(found);
    located
}

/// Reads the tables of one file.
struct Reader<'a> {
    source: &'a Arc<Source>,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    /// Tells a problem at one place; an empty help is left out.
    fn wrong(&mut self, span: &Range<usize>, title: String, label: &str, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.problems.push(Problem::error(title).at(self.source, span.clone(), label).help_maybe(help));
    }

    fn scenario(&mut self, file: &Path, name: At<String>, mut table: DeTable<'_>) -> Located {
        let before = self.problems.len();
        let path = format!("scenario.{}", name.value);
        let vms = read::take_tables(self.source, &mut table, "virtual_machines", &format!("{path}.virtual_machines"), self.problems);
        // A list of the wrong type is told already.
        let no_vms = vms.as_ref().is_none_or(|vms| vms.value.is_empty()) && self.problems.len() == before;
        let plans = read::take_tables(self.source, &mut table, "plans", &format!("{path}.plans"), self.problems);
        let mut take = |key| read::take_table(self.source, &mut table, key, self.problems);
        let (labels, selector, affinity) = (take("target_labels"), take("target_node_selector"), take("target_affinity"));
        let (pre_hook, post_hook, failure) = (take("pre_hook"), take("post_hook"), take("expect_failure"));
        let requires = take("requires");
        let (namespace, template) = (table.remove("vm_target_namespace"), table.remove("pvc_name_template"));
        let hosts = table.remove("dedicated_migration_hosts");
        let raw: RawScenario = read::fill(self.source, table, &name.span, SCENARIO, self.problems);
        if !is_scenario_name(&name.value) {
            let help =
                format!("for example `{}`", name.value.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-").trim_matches('-'));
            self.wrong(
                &name.span,
                format!("`{}` is no name for a scenario", name.value),
                "use a-z, 0-9 and `-`, at most 50 characters, a letter or digit at both ends",
                &help,
            );
        }
        let vms_span = vms.as_ref().map_or_else(|| name.span.clone(), |vms| vms.span.clone());
        let mut vms: Vec<_> = vms.into_iter().flat_map(|vms| vms.value).map(|table| self.vm(table, &name.value)).collect();
        if no_vms {
            self.wrong(
                &vms_span,
                format!("scenario `{}` has no virtual machines", name.value),
                "nothing to migrate",
                &format!("add `[[scenario.{}.virtual_machines]]` with a `name`", name.value),
            );
        }
        let plans = self.plans(plans, &mut vms, raw.copyoffload.as_ref().is_some_and(|c| c.value), &name);
        let dedicated_hosts = hosts.and_then(|found| self.dedicated_hosts(found, plans.iter().any(|plan| plan.copyoffload)));
        let requires = requires.map(|table| self.requires(table)).unwrap_or_default();
        let warm = raw.warm_migration.as_ref().filter(|warm| warm.value);
        if let Some(warm) = warm {
            self.warm(warm, &requires, &vms);
        }
        let static_ips = raw.preserve_static_ips.as_ref().filter(|keep| keep.value);
        if let Some(keep) = static_ips {
            self.needs_power(
                &keep.span,
                &vms,
                "`preserve_static_ips` needs every VM switched on",
                "addresses are read from the running guest",
            );
        }
        let marker = raw.data_marker.as_ref().filter(|marker| marker.value);
        if let Some(marker) = marker {
            self.needs_power(&marker.span, &vms, "`data_marker` needs every VM switched on", "the file is written by the running guest");
        }
        let hooks = Hooks {
            pre: pre_hook.and_then(|table| self.hook("pre_hook", table, file)),
            post: post_hook.and_then(|table| self.hook("post_hook", table, file)),
        };
        let expect_failure = self.expected_failure(failure, raw.expected_migration_result, &hooks);
        let located_markers = raw.markers.clone().unwrap_or_default();
        let markers = self.words(raw.markers.unwrap_or_default(), "marker");
        let aliases = self.aliases(raw.aliases.unwrap_or_default(), &name.value);
        let vm_target_namespace = namespace.and_then(|found| self.target_namespace(found));
        if let Some(found) = &raw.multus_namespace {
            self.reachable(found, vm_target_namespace.as_ref());
        }
        let scenario = Scenario {
            line: self.source.line(name.span.start),
            file: file.to_owned(),
            description: raw.description.map(|text| text.value).unwrap_or_default(),
            aliases: aliases.iter().map(|alias| alias.value.clone()).collect(),
            markers,
            virtual_machines: vms.into_iter().map(|vm| vm.vm).collect(),
            plans,
            warm_migration: warm.is_some(),
            dedicated_hosts,
            pin_to_non_dedicated_host: raw.pin_to_non_dedicated_host.is_some_and(|pin| pin.value),
            remote: raw.remote.is_some_and(|remote| remote.value),
            target_power_state: self.power("target_power_state", raw.target_power_state),
            preserve_static_ips: static_ips.is_some(),
            vm_target_namespace,
            multus_namespace: self.namespace("multus_namespace", raw.multus_namespace),
            pvc_name_template: template.and_then(|found| self.pvc_template(found, &requires.requirements.providers)),
            pvc_name_template_use_generate_name: raw.pvc_name_template_use_generate_name.map(|generate| generate.value),
            target_node_selector: selector.and_then(|found| self.node_selector(&found)),
            target_labels: labels.map(|labels| self.labels(&labels.value)).unwrap_or_default(),
            target_affinity: affinity.map(|found| self.affinity(&found)),
            enable_nested_virtualization: raw.enable_nested_virtualization.map(|nested| nested.value),
            rdm_as_lun: raw.rdm_as_lun.map(|lun| lun.value),
            run_preflight_inspection: raw.run_preflight_inspection.map(|inspect| inspect.value),
            data_marker: marker.is_some(),
            pre_hook: hooks.pre.map(|located| located.hook),
            post_hook: hooks.post.map(|located| located.hook),
            expect_failure,
            guest_agent_timeout: self.timeout("guest_agent_timeout", raw.guest_agent_timeout).unwrap_or(DEFAULT_GUEST_AGENT_TIMEOUT),
            plan_wait_timeout: self.timeout("plan_wait_timeout", raw.plan_wait_timeout),
            inventory_timeout: self.timeout("inventory_timeout", raw.inventory_timeout),
            cutover_delay: self.timeout("cutover_delay", raw.cutover_delay),
            requires: requires.requirements,
            name: name.value,
        };
        Located {
            scenario: Arc::new(scenario),
            source: self.source.clone(),
            name: name.span,
            aliases: aliases.into_iter().map(|alias| alias.span).collect(),
            markers: located_markers.into_iter().filter(|marker| is_word(&marker.value)).collect(),
        }
    }

    fn requires(&mut self, table: At<DeTable<'_>>) -> LocatedRequirements {
        let raw: RawRequires = read::fill(self.source, table.value, &table.span, REQUIRES, self.problems);
        let mut providers = Vec::new();
        let mut spans = Vec::new();
        let words: Vec<(&str, ProviderKind)> = ProviderKind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
        for provider in raw.providers.unwrap_or_default() {
            if let Some(kind) = read::one_of(self.source, "providers", &provider, &words, self.problems) {
                providers.push(kind);
                spans.push(provider.span);
            }
        }
        let min_mtv_version = self.version("min_mtv_version", raw.min_mtv_version);
        let min_ocp_version = self.version("min_ocp_version", raw.min_ocp_version);
        let jira = raw.jira.map(|issue| {
            if !is_issue(&issue.value) {
                self.wrong(&issue.span, format!("`{}` is no key of a Jira issue", issue.value), "", "write `jira = \"MTV-2846\"`");
            }
            issue.value
        });
        LocatedRequirements { requirements: Requirements { providers, min_mtv_version, min_ocp_version, jira }, providers: spans }
    }

    /// A warm migration copies a running VM while its changed blocks are tracked.
    fn warm(&mut self, warm: &At<bool>, requires: &LocatedRequirements, vms: &[LocatedVm]) {
        for (kind, span) in requires.requirements.providers.iter().zip(&requires.providers) {
            if !kind.can_warm() {
                self.problems.push(
                    Problem::error(format!("{kind} warm migration is not supported"))
                        .at(self.source, span.clone(), "cannot be migrated warm")
                        .also(self.source, warm.span.clone(), "asks for a warm migration")
                        .help(format!("remove `{kind}` from `requires.providers`, or `warm_migration`")),
                );
            }
        }
        self.needs_power(&warm.span, vms, "`warm_migration` needs every VM switched on", "changed blocks are tracked while the VM runs");
        for span in vms.iter().filter_map(|vm| vm.snapshots.as_ref()) {
            self.problems.push(
                Problem::error("`snapshots` and `warm_migration` exclude each other")
                    .at(self.source, span.clone(), "snapshots of its own")
                    .also(self.source, warm.span.clone(), "takes snapshots itself, for the precopies")
                    .help("test snapshots with a cold migration"),
            );
        }
    }

    fn power(&mut self, key: &str, found: Option<At<String>>) -> Option<PowerWish> {
        found.and_then(|found| read::one_of(self.source, key, &found, POWER, self.problems))
    }

    fn namespace(&mut self, key: &str, found: Option<At<String>>) -> Option<String> {
        let found = found?;
        if !is_namespace(&found.value) {
            self.wrong(
                &found.span,
                format!("`{}` is no name for a namespace", found.value),
                "",
                &format!("`{key}` takes a-z, 0-9 and `-`, at most 63 characters, a letter or digit at both ends"),
            );
        }
        Some(found.value)
    }

    /// Forklift's validation of a Plan: pods reach a NetworkAttachmentDefinition in their own namespace and in `default` only.
    fn reachable(&mut self, multus: &At<String>, target: Option<&TargetNamespace>) {
        let same = matches!(target, Some(TargetNamespace::Named(name)) if *name == multus.value);
        if multus.value != "default" && !same && is_namespace(&multus.value) {
            self.wrong(
                &multus.span,
                format!("`multus_namespace`: the migrated VMs cannot use networks of the namespace `{}`", multus.value),
                "",
                "leave it out for the namespace of the VMs, or write `default`",
            );
        }
    }

    fn version(&mut self, key: &str, found: Option<At<String>>) -> Option<String> {
        let found = found?;
        if Version::parse(&found.value).is_none() {
            self.wrong(&found.span, format!("`{}` is no version", found.value), "", &format!("write `{key} = \"2.6.0\"`"));
        }
        Some(found.value)
    }

    fn timeout(&mut self, key: &str, found: Option<At<String>>) -> Option<Duration> {
        let found = found?;
        match duration::parse(&found.value) {
            Ok(Duration::ZERO) => self.wrong(&found.span, format!("`{key}` must not be zero"), "", "leave it out for the default"),
            Ok(time) => return Some(time),
            Err((what, help)) => self.wrong(&found.span, what, "", &help),
        }
        None
    }

    fn words(&mut self, found: Vec<At<String>>, what: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for word in found {
            if !is_word(&word.value) {
                let help = format!("a {what} is one word of a-z, 0-9, `_` and `-`, other than `and`, `or` and `not`");
                self.wrong(&word.span, format!("`{}` is no {what}", word.value), "", &help);
            } else if words.contains(&word.value) {
                self.wrong(&word.span, format!("{what} `{}` is given twice", word.value), "", "keep one of the two");
            } else {
                words.push(word.value);
            }
        }
        words
    }

    fn aliases(&mut self, found: Vec<At<String>>, name: &str) -> Vec<At<String>> {
        let mut aliases: Vec<At<String>> = Vec::new();
        for alias in found {
            if alias.value.is_empty() || alias.value.contains(|c: char| c.is_whitespace() || c == '*' || c.is_control()) {
                self.wrong(&alias.span, format!("`{}` is no alias", alias.value), "", "an alias is one word without `*`");
            } else if alias.value == name || aliases.iter().any(|known| known.value == alias.value) {
                self.wrong(&alias.span, format!("`{}` is given twice", alias.value), "", "remove this alias");
            } else {
                aliases.push(alias);
            }
        }
        aliases
    }
}

/// Requirements with the places of the provider kinds.
#[derive(Default)]
struct LocatedRequirements {
    requirements: Requirements,
    providers: Vec<Range<usize>>,
}
