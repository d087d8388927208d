//! Results of checks as data: which VM, which check, how it ended, and what was compared.
//!
//! A leaf module: checks produce these values, events carry them, reports show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The VM that a result is about, by the names it has on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CheckedVm {
    /// Name in the scenario. It is the same in each run.
    pub source: String,
    /// Name of the VM that was migrated, where that is a clone of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<String>,
    /// Name of the VirtualMachine on the cluster; `None` if there is none.
    pub target: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Everything that was compared is as expected.
    Passed,
    /// Something is not as expected.
    Failed,
    /// The check does not apply, or could not be made, for a reason that is no failure.
    Skipped,
}

/// One property that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The property: `sockets`, `network of 00:50:56:…`.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub actual: String,
    /// Unit of both, where they are amounts: `MiB`, `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Stands for a value that is not there. It has no unit.
pub const NONE: &str = "none";

impl Finding {
    /// A property without a unit.
    pub fn new(what: impl Into<String>, expected: impl ToString, actual: impl ToString) -> Self {
        Self { what: what.into(), expected: expected.to_string(), actual: actual.to_string(), unit: None }
    }

    /// The same with a unit.
    #[must_use]
    pub fn unit(mut self, unit: &str) -> Self {
        self.unit = Some(unit.to_owned());
        self
    }

    fn amount(&self, value: &str) -> String {
        match &self.unit {
            Some(unit) if value != NONE => format!("{value} {unit}"),
            _ => value.to_owned(),
        }
    }

    /// What it should be, with the unit.
    pub fn expected_amount(&self) -> String {
        self.amount(&self.expected)
    }

    /// What it is, with the unit.
    pub fn actual_amount(&self) -> String {
        self.amount(&self.actual)
    }

    /// The property and what it is; what it should be as well, where that is not the same text.
    pub fn seen(&self) -> String {
        if self.expected == self.actual { format!("{}: {}", self.what, self.actual_amount()) } else { self.to_string() }
    }

    fn map_texts(self, map: &impl Fn(String) -> String) -> Self {
        Self { what: map(self.what), expected: map(self.expected), actual: map(self.actual), unit: self.unit }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: expected {}, actual {}", self.what, self.expected_amount(), self.actual_amount())
    }
}

/// Stable id of the failure of a check, as in JUnit's `type` and in `docs/troubleshooting.md`.
pub fn id(check: &str) -> String {
    format!("check.{}", check.replace(' ', "-"))
}

/// The result of one check of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckResult {
    /// The VM.
    pub vm: CheckedVm,
    /// Stable name of the check: `memory`, `static ips`.
    pub check: String,
    /// How it ended.
    pub verdict: CheckVerdict,
    /// Why it was skipped, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Properties that are not as expected; empty unless the check failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Properties that were compared and are as expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Finding>,
}

impl CheckResult {
    /// Name of the VM for people: that on the cluster, if it is there.
    pub fn vm_name(&self) -> &str {
        self.vm.target.as_deref().or(self.vm.clone.as_deref()).unwrap_or(&self.vm.source)
    }

    /// Stable id of its failure: `check.memory`, `check.static-ips`.
    pub fn id(&self) -> String {
        id(&self.check)
    }

    /// A line per failed property, or one line for the whole check.
    pub fn lines(&self) -> Vec<String> {
        let (vm, check) = (self.vm_name(), &self.check);
        match self.verdict {
            CheckVerdict::Passed => vec![format!("{vm}: {check} ok")],
            CheckVerdict::Skipped => vec![format!("{vm}: {check} not checked: {}", self.reason.as_deref().unwrap_or("no reason"))],
            CheckVerdict::Failed => self.findings.iter().map(|finding| format!("{vm}: {check} - {finding}")).collect(),
        }
    }

    /// Changes every text that can hold what a server or a guest said.
    #[must_use]
    pub fn map_texts(self, map: &impl Fn(String) -> String) -> Self {
        let all = |findings: Vec<Finding>| findings.into_iter().map(|finding| finding.map_texts(map)).collect();
        Self {
            vm: CheckedVm { source: map(self.vm.source), clone: self.vm.clone.map(map), target: self.vm.target.map(map) },
            check: self.check,
            verdict: self.verdict,
            reason: self.reason.map(map),
            findings: all(self.findings),
            evidence: all(self.evidence),
        }
    }
}
