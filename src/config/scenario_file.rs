//! Scenario files: `[scenario.NAME]` tables become [`Scenario`]s, or problems with their places.

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{
    blot::{Show, blot},
    diagnostics::{Problem, Problems, Source},
    duration,
    names::{is_label_key, is_label_value, is_namespace, is_scenario_name, is_word},
    profile::ProviderKind,
    read::{self, At, Kind, LATER, Refused},
    scenario::{DEFAULT_GUEST_AGENT_TIMEOUT, PowerWish, Requirements, Scenario, ScenarioVm},
};
use crate::select::Version;

/// A scenario: what to migrate, with which options, and what must be true afterwards.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Scenario")]
pub(super) struct RawScenario {
    /// One sentence that says what the scenario proves.
    description: Option<At<String>>,
    /// Names that the scenario had elsewhere: pytest names, Polarion ids. It can be selected by each of them.
    aliases: Option<Vec<At<String>>>,
    /// Words to select by, such as `tier0` and `warm`.
    markers: Option<Vec<At<String>>>,
    /// What the scenario needs of its surroundings; unmet, it is skipped with the reason.
    #[expect(dead_code, reason = "read on its own, so that all its mistakes are told; it stands here for the schema and the known keys")]
    requires: Option<RawRequires>,
    /// Virtual machines to migrate, at least one.
    #[expect(dead_code, reason = "as `requires`")]
    virtual_machines: Option<Vec<RawVm>>,
    /// Precopies while the source runs, then a cutover. Default: false, a cold migration.
    warm_migration: Option<At<bool>>,
    /// Power of the migrated VMs: `spec.targetPowerState` of the Plan, and checked afterwards. Unset: as the source was.
    #[schemars(with = "Option<PowerWish>")]
    target_power_state: Option<At<String>>,
    /// `spec.preserveStaticIPs` of the Plan. Every VM needs `source_vm_power = "on"`. Default: false.
    preserve_static_ips: Option<At<bool>>,
    /// Namespace that the VMs are migrated into, instead of the run's own.
    vm_target_namespace: Option<At<String>>,
    /// Namespace of the NetworkAttachmentDefinitions, instead of the run's own.
    multus_namespace: Option<At<String>>,
    /// `spec.targetLabels` of the Plan. `{ unique = true }` instead of a text stands for the run's id.
    #[expect(dead_code, reason = "as `requires`")]
    target_labels: Option<BTreeMap<String, RawLabel>>,
    /// Longest wait for the guest agent of a migrated VM, such as "5m". Default: "5m1s".
    guest_agent_timeout: Option<At<String>>,
}

/// A virtual machine of a scenario.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VirtualMachine", extend("required" = ["name"]))]
pub(super) struct RawVm {
    /// Name of the VM or template in the source. It is cloned, and the clone is migrated.
    name: Option<At<String>>,
    /// Power of the clone before the migration. Unset: as it was made, which is off.
    #[schemars(with = "Option<PowerWish>")]
    source_vm_power: Option<At<String>>,
    /// Whether the guest agent of the migrated VM must connect. Default: false.
    guest_agent: Option<At<bool>>,
    /// Number of snapshots to take of the clone before the migration. Default: 0.
    snapshots: Option<At<u32>>,
}

/// What a scenario needs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Requirements")]
pub(super) struct RawRequires {
    /// Kinds of sources that the scenario works with. Unset: all.
    #[schemars(with = "Option<Vec<ProviderKind>>")]
    providers: Option<Vec<At<String>>>,
    /// Least MTV release, such as "2.6.0".
    min_mtv_version: Option<At<String>>,
    /// Least OpenShift release, such as "4.18".
    min_ocp_version: Option<At<String>>,
}

/// Value of a label: a text, or `{ unique = true }` for the run's id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "LabelValue")]
#[expect(dead_code, reason = "labels are read one by one, so that all their mistakes are told; this is for the schema")]
enum RawLabel {
    /// The value itself.
    Text(String),
    /// The run's id.
    Unique(RawUnique),
}

/// `{ unique = true }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UniqueValue")]
struct RawUnique {
    /// Must be true.
    #[expect(dead_code, reason = "as `RawLabel`")]
    unique: bool,
}

const SCENARIO: Kind = Kind { noun: "a scenario", refused: PLAN_LATER };
const VM: Kind = Kind { noun: "a virtual machine", refused: VM_LATER };
const REQUIRES: Kind = Kind { noun: "`requires`", refused: &[("jira", LATER), ("remote", LATER)] };

/// Plan-level keys of mtv-api-tests that this release does not act on.
const PLAN_LATER: &[Refused] = &[
    ("clone_to_same_host", LATER),
    ("convertor_node_selector", LATER),
    ("copyoffload", LATER),
    ("disable_drs_for_vms", LATER),
    ("enable_nested_virtualization", LATER),
    ("expect_failure", LATER),
    ("expected_migration_result", LATER),
    ("inventory_timeout", "it is a run setting: `inventory_timeout` in mtv-test.toml"),
    ("jira", LATER),
    ("migrate_shared_disks", LATER),
    ("min_mtv_version", "write `requires = { min_mtv_version = \"…\" }`"),
    ("min_ocp_version", "write `requires = { min_ocp_version = \"…\" }`"),
    ("per_nic_network_map", LATER),
    ("pin_to_non_dedicated_host", LATER),
    ("post_hook", LATER),
    ("pre_hook", LATER),
    ("pvc_name_template", LATER),
    ("pvc_name_template_use_generate_name", LATER),
    ("rdm_as_lun", LATER),
    ("run_preflight_inspection", LATER),
    ("skip_clone", LATER),
    ("target_affinity", LATER),
    ("target_node_selector", LATER),
    ("xfs_check", LATER),
    ("xfs_compatibility", LATER),
];

/// VM-level keys of mtv-api-tests that this release does not act on.
const VM_LATER: &[Refused] = &[
    ("add_disks", LATER),
    ("add_nic", LATER),
    ("add_nic_start_connected", LATER),
    ("clone", "remove the key: every VM is cloned"),
    ("clone_name", LATER),
    ("disk_type", LATER),
    ("luks", LATER),
    ("luks_passphrase", LATER),
    ("migrate_shared_disks", LATER),
    ("preserve_name_format", LATER),
    ("target_datastore_id", LATER),
    ("target_esxi_host", LATER),
    ("win_os", LATER),
];

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
    fn wrong(&mut self, span: &Range<usize>, title: String, label: &str, help: &str) {
        self.problems.push(Problem::error(title).at(self.source, span.clone(), label).help(help));
    }

    fn scenario(&mut self, file: &Path, name: At<String>, mut table: DeTable<'_>) -> Located {
        let before = self.problems.len();
        let path = format!("scenario.{}.virtual_machines", name.value);
        let vms = read::take_tables(self.source, &mut table, "virtual_machines", &path, self.problems);
        // A list of the wrong type is told already.
        let no_vms = vms.as_ref().is_none_or(|vms| vms.value.is_empty()) && self.problems.len() == before;
        let labels = read::take_table(self.source, &mut table, "target_labels", self.problems);
        let requires = read::take_table(self.source, &mut table, "requires", self.problems);
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
        let vms: Vec<_> = vms.into_iter().flat_map(|vms| vms.value).map(|table| self.vm(table)).collect();
        if no_vms {
            self.wrong(
                &vms_span,
                format!("scenario `{}` has no virtual machines", name.value),
                "nothing to migrate",
                &format!("add `[[scenario.{}.virtual_machines]]` with a `name`", name.value),
            );
        }
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
        let markers = self.words(raw.markers.unwrap_or_default(), "marker");
        let aliases = self.aliases(raw.aliases.unwrap_or_default(), &name.value);
        let scenario = Scenario {
            line: self.source.line(name.span.start),
            file: file.to_owned(),
            description: raw.description.map(|text| text.value).unwrap_or_default(),
            aliases: aliases.iter().map(|alias| alias.value.clone()).collect(),
            markers,
            requires: requires.requirements,
            virtual_machines: vms.into_iter().map(|vm| vm.vm).collect(),
            warm_migration: warm.is_some(),
            target_power_state: self.power("target_power_state", raw.target_power_state),
            preserve_static_ips: static_ips.is_some(),
            vm_target_namespace: self.namespace("vm_target_namespace", raw.vm_target_namespace),
            multus_namespace: self.namespace("multus_namespace", raw.multus_namespace),
            target_labels: labels.map(|labels| self.labels(&labels.value)).unwrap_or_default(),
            guest_agent_timeout: self.timeout("guest_agent_timeout", raw.guest_agent_timeout).unwrap_or(DEFAULT_GUEST_AGENT_TIMEOUT),
            name: name.value,
        };
        Located {
            scenario: Arc::new(scenario),
            source: self.source.clone(),
            name: name.span,
            aliases: aliases.into_iter().map(|alias| alias.span).collect(),
        }
    }

    fn vm(&mut self, table: At<DeTable<'_>>) -> LocatedVm {
        let raw: RawVm = read::fill(self.source, table.value, &table.span, VM, self.problems);
        let name = raw.name.map(|name| (name.value.trim().to_owned(), name.span));
        match &name {
            None => self.wrong(
                &table.span,
                "a virtual machine has no name".to_owned(),
                "",
                "add `name = \"…\"`: the VM or template in the source",
            ),
            Some((name, span)) if name.is_empty() => {
                self.wrong(span, "a virtual machine has an empty name".to_owned(), "", "name the VM or template in the source");
            }
            Some(_) => {}
        }
        LocatedVm {
            span: name.as_ref().map_or_else(|| table.span.clone(), |(_, span)| span.clone()),
            snapshots: raw.snapshots.as_ref().filter(|s| s.value > 0).map(|s| s.span.clone()),
            vm: ScenarioVm {
                name: name.map(|(name, _)| name).unwrap_or_default(),
                source_vm_power: self.power("source_vm_power", raw.source_vm_power),
                guest_agent: raw.guest_agent.is_some_and(|agent| agent.value),
                snapshots: raw.snapshots.map_or(0, |snapshots| snapshots.value),
            },
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
        LocatedRequirements { requirements: Requirements { providers, min_mtv_version, min_ocp_version }, providers: spans }
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

    fn needs_power(&mut self, span: &Range<usize>, vms: &[LocatedVm], title: &str, why: &str) {
        let off: Vec<_> = vms.iter().filter(|vm| vm.vm.source_vm_power != Some(PowerWish::On)).collect();
        if off.is_empty() {
            return;
        }
        let problem = off.iter().fold(Problem::error(title).at(self.source, span.clone(), why), |problem, vm| {
            problem.also(self.source, vm.span.clone(), "not switched on")
        });
        self.problems.push(problem.help("add `source_vm_power = \"on\"` to it"));
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

    fn labels(&mut self, found: &DeTable<'_>) -> BTreeMap<String, Option<String>> {
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
                    Some(text.to_string())
                }
                DeValue::Table(table) if table.len() == 1 && table.get("unique").is_some_and(|v| v.get_ref().as_bool() == Some(true)) => {
                    None
                }
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
}

/// A virtual machine with the places that later checks point to.
struct LocatedVm {
    vm: ScenarioVm,
    /// Its name, or its table.
    span: Range<usize>,
    /// The number of snapshots, if there is one.
    snapshots: Option<Range<usize>>,
}

/// Requirements with the places of the provider kinds.
#[derive(Default)]
struct LocatedRequirements {
    requirements: Requirements,
    providers: Vec<Range<usize>>,
}
