//! Hooks of a scenario, and the failures that it asks for.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

/// Names of the pipeline's steps in a Plan's status, which a failure can be expected in.
pub const PIPELINE: &[&str] = &[
    "Initialize",
    "PreflightInspection",
    "PreHook",
    "DiskAllocation",
    "DiskTransfer",
    "Cutover",
    "DiskTransferV2v",
    "ImageConversion",
    "ConvertOpenstackSnapshot",
    "VirtualMachineCreation",
    "WaitForGuestReboots",
    "PostHook",
];

/// A playbook that Forklift runs before or after the migration of each VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// The built-in one that says a word and succeeds.
    Succeed,
    /// The built-in one that fails.
    Fail,
    /// The scenario's own, as text.
    Playbook(String),
}

/// Succeeds on any host-less runner.
const SUCCEEDS: &str = "\
- name: mtv-test hook that succeeds
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Say that the hook ran
      ansible.builtin.debug:
        msg: mtv-test hook ran
";

/// Fails in its only task.
const FAILS: &str = "\
- name: mtv-test hook that fails
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Fail, because the scenario asks for it
      ansible.builtin.fail:
        msg: mtv-test hook fails as the scenario asks
";

/// One of these keys makes a mapping a play of Ansible.
const PLAY_KEYS: &[&str] = &["hosts", "import_playbook", "ansible.builtin.import_playbook"];

impl Hook {
    /// The playbook's text.
    pub fn text(&self) -> &str {
        match self {
            Self::Succeed => SUCCEEDS,
            Self::Fail => FAILS,
            Self::Playbook(text) => text,
        }
    }

    /// The playbook as `Hook.spec.playbook` has it.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.text())
    }

    /// Checks a playbook: YAML whose top level is a list of plays, at least one. A play is a mapping with `hosts`, or one that
    /// imports another playbook. The error is a fragment.
    pub fn check(text: &str) -> Result<(), String> {
        let plays: serde_json::Value = serde_saphyr::from_str(text).map_err(|e| {
            let message = e.to_string();
            format!("it is no YAML: {}", message.lines().next().unwrap_or_default().trim_start_matches("error: "))
        })?;
        match plays {
            serde_json::Value::Array(plays) if !plays.is_empty() => {
                let is_play = |play: &serde_json::Value| PLAY_KEYS.iter().any(|key| play.get(key).is_some());
                match plays.iter().position(|play| !is_play(play)) {
                    None => Ok(()),
                    Some(at) => Err(format!("item {} of its list is not a play: a play is a mapping with `hosts`", at + 1)),
                }
            }
            serde_json::Value::Array(_) => Err("it has no play".to_owned()),
            _ => Err("its top level is no list of plays".to_owned()),
        }
    }
}

/// A migration that must fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExpectedFailure {
    /// The step of the pipeline that every VM must fail in; any if unset.
    pub step: Option<String>,
    /// What the reasons must contain; anything if unset.
    pub text: Option<String>,
    /// The step must be that of a hook, whichever: what mtv-api-tests means by `expected_migration_result = "fail"`.
    pub in_hook: bool,
}

/// Steps of hooks.
pub const HOOK_STEPS: [&str; 2] = ["PreHook", "PostHook"];

impl ExpectedFailure {
    /// Whether the migrated VMs are there to be checked: Forklift runs the hook after it has made them.
    pub fn leaves_vms(step: &str) -> bool {
        step == "PostHook"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playbooks_are_judged() {
        for hook in [Hook::Succeed, Hook::Fail] {
            Hook::check(hook.text()).unwrap();
            assert_eq!(STANDARD.decode(hook.base64()).unwrap(), hook.text().as_bytes());
        }
        Hook::check("- import_playbook: other.yml\n").unwrap();
        for (text, wrong) in [
            ("- hello", "item 1"),
            ("- hosts: all\n- 3", "item 2"),
            ("- tasks: []", "item 1"),
            ("a: 1", "list of plays"),
            ("[]", "no play"),
            ("", "list of plays"),
            ("- [", "no YAML"),
        ] {
            assert!(Hook::check(text).unwrap_err().contains(wrong), "{text}: {:?}", Hook::check(text));
        }
    }
}
