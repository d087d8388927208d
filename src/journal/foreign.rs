//! Lists of mtv-api-tests: kind, or provider type, to the objects made of it, `{"Plan": [{"name": …, "namespace": …}]}`.
//!
//! They hold no UIDs and no states, so every object counts as made, and ownership has to be proved by other means.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::model::{Entry, EntryId, Record, State};
use crate::config::profile::ProviderKind;

/// API versions of the kinds that mtv-api-tests makes.
const KINDS: &[(&str, &[&str])] = &[
    ("forklift.konveyor.io/v1beta1", &["Migration", "Plan", "Provider", "Host", "Hook", "Conversion", "StorageMap", "NetworkMap"]),
    ("k8s.cni.cncf.io/v1", &["NetworkAttachmentDefinition"]),
    ("kubevirt.io/v1", &["VirtualMachine", "VirtualMachineInstance"]),
    ("cdi.kubevirt.io/v1beta1", &["DataVolume"]),
    ("rbac.authorization.k8s.io/v1", &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]),
    ("v1", &["Namespace", "Secret", "Pod", "ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "PersistentVolume"]),
];

/// Converts a list. The API version of a kind that is not known is empty: the cluster's discovery has to tell.
pub fn records(list: &Value) -> Result<Vec<Record>> {
    let kinds = match list.as_object() {
        Some(kinds) if !kinds.is_empty() && !kinds.contains_key("format") => kinds,
        _ => bail!("this is neither a journal of mtv-test nor a resources.json of mtv-api-tests"),
    };
    let mut records = Vec::new();
    for (kind, objects) in kinds {
        let objects = objects.as_array().with_context(|| {
            format!("this is neither a journal of mtv-test nor a resources.json of mtv-api-tests: `{kind}` is not a list")
        })?;
        for (index, object) in objects.iter().enumerate() {
            let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let name = text("name");
            if name.is_empty() {
                bail!("entry {} of `{kind}` has no name", index + 1);
            }
            let id = Some(text("id")).filter(|id| !id.is_empty());
            let entry = match (provider(kind), kind.as_str()) {
                (Some(provider), _) => Entry::Clone { profile: String::new(), provider, name, scenario: None },
                // Kubernetes has a kind of this name too, but its objects have a namespace and no id.
                (None, "VolumeSnapshot") if id.is_some() => {
                    Entry::VolumeSnapshot { profile: String::new(), provider: ProviderKind::Openstack, name }
                }
                (None, kind) => {
                    let api_version = api_version(kind).to_owned();
                    Entry::Object { api_version, kind: kind.to_owned(), namespace: text("namespace"), name, scenario: None }
                }
            };
            let number = EntryId(records.len() as u64);
            records.push(Record { id: number, entry, state: State::Created, reference: id });
        }
    }
    Ok(records)
}

fn provider(key: &str) -> Option<ProviderKind> {
    Some(match key {
        "vsphere" => ProviderKind::Vsphere,
        // The old suite's profiles call it RHV, its code oVirt.
        "ovirt" | "rhv" => ProviderKind::Ovirt,
        "openstack" => ProviderKind::Openstack,
        "openshift" => ProviderKind::Openshift,
        "ova" => ProviderKind::Ova,
        "hyperv" => ProviderKind::Hyperv,
        _ => return None,
    })
}

fn api_version(kind: &str) -> &'static str {
    KINDS.iter().find(|(_, kinds)| kinds.contains(&kind)).map_or("", |(version, _)| version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_the_old_suite_becomes_records() {
        let list = json!({
            "Namespace": [{"name": "auto-ab12", "namespace": null, "module": "ocp_resources.namespace"}],
            "Plan": [{"name": "p", "namespace": "auto-ab12", "module": "ocp_resources.plan", "test_name": "t"}],
            "Gizmo": [{"name": "g", "namespace": "auto-ab12", "module": "ocp_resources.gizmo"}],
            "vsphere": [{"name": "auto-ab12-vm"}],
            "VolumeSnapshot": [{"id": "42", "name": "s"}],
        });
        let records = records(&list).unwrap();
        let shown: Vec<String> = records.iter().map(|r| r.entry.to_string()).collect();
        assert_eq!(
            shown,
            [
                "Namespace auto-ab12",
                "Plan auto-ab12/p",
                "Gizmo auto-ab12/g",
                "VM auto-ab12-vm on vsphere",
                "volume snapshot s on openstack"
            ]
        );
        assert!(records.iter().all(|r| r.state == State::Created));
        assert_eq!(records[4].reference.as_deref(), Some("42"));
        let versions: Vec<&str> = records
            .iter()
            .filter_map(|r| match &r.entry {
                Entry::Object { api_version, .. } => Some(api_version.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(versions, ["v1", "forklift.konveyor.io/v1beta1", ""]);
    }

    #[test]
    fn other_json_is_refused() {
        for (list, hint) in [
            (json!([]), "neither a journal"),
            (json!({}), "neither a journal"),
            (json!({"name": "x"}), "`name` is not a list"),
            (json!({"Plan": [{"namespace": "x"}]}), "entry 1 of `Plan` has no name"),
            (json!({"format": []}), "neither a journal"),
        ] {
            let error = records(&list).unwrap_err().to_string();
            assert!(error.contains(hint), "{list}: {error}");
        }
    }
}
