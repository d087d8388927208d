//! A hook's pod runs an Ansible playbook. The lab runs no Ansible: it sees whether a task fails by its nature.

use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::Api;

use super::{Running, workload::Exit};

/// Reads the playbook that is mounted into the pod.
pub(super) async fn run(running: &Running<'_>) -> anyhow::Result<Exit> {
    use kube::ResourceExt;
    let spec = running.pod.spec.as_ref();
    let volumes = spec.and_then(|s| s.volumes.as_ref()).into_iter().flatten();
    let maps: Api<ConfigMap> = Api::namespaced(running.cx.client.clone(), &running.pod.namespace().unwrap_or_default());
    for name in volumes.filter_map(|v| v.config_map.as_ref()).map(|c| c.name.clone()) {
        let Some(map) = maps.get_opt(&name).await? else { continue };
        let plain = map.data.unwrap_or_default().remove("playbook.yml");
        let binary = map.binary_data.unwrap_or_default().remove("playbook.yml");
        let text = plain.or_else(|| binary.map(|ByteString(bytes)| String::from_utf8_lossy(&bytes).into_owned()));
        if text.is_some_and(|text| fails(&text)) {
            return Ok(Exit::Failure);
        }
    }
    Ok(Exit::Success)
}

/// Whether a task of the playbook uses the `fail` module, or a command that cannot succeed, without being told to go on.
fn fails(playbook: &str) -> bool {
    let mut failing = false;
    let mut ignored = false;
    for line in playbook.lines() {
        let text = line.trim_start();
        if text.starts_with('#') {
            continue;
        }
        let item = text.strip_prefix("- ");
        if item.is_some() {
            if failing && !ignored {
                return true;
            }
            (failing, ignored) = (false, false);
        }
        let key = item.unwrap_or(text).trim();
        let module = key.split_once(':').map_or(key, |(module, _)| module).trim().trim_matches('"');
        let value = key.split_once(':').map_or("", |(_, value)| value).trim().trim_matches('"');
        match module.rsplit('.').next().unwrap_or(module) {
            "fail" => failing = true,
            "command" | "shell" if matches!(value, "false" | "/bin/false" | "exit 1") => failing = true,
            "ignore_errors" => ignored = matches!(value, "true" | "yes" | "True"),
            _ => {}
        }
    }
    failing && !ignored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fail_task_fails() {
        let table = [
            ("- hosts: localhost\n  tasks:\n    - name: no\n      fail:\n        msg: told to\n", true),
            ("- hosts: localhost\n  tasks:\n    - ansible.builtin.fail: msg=no\n", true),
            ("- hosts: localhost\n  tasks:\n    - shell: exit 1\n", true),
            ("- hosts: localhost\n  tasks:\n    - fail: msg=no\n      ignore_errors: true\n    - debug: msg=yes\n", false),
            ("- hosts: localhost\n  tasks:\n    - name: fail safe\n      debug:\n        msg: hello\n", false),
            ("# fail:\n- hosts: localhost\n", false),
            ("", false),
        ];
        for (playbook, expected) in table {
            assert_eq!(fails(playbook), expected, "{playbook}");
        }
    }
}
