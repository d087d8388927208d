//! In which order a run's objects are taken away. Data only: who carries it out decides how to wait and what to do on failure.
//!
//! Stages come one after the other, entries of a stage can go at the same time. A stage that does not succeed is no reason to
//! skip the next ones: what can go, goes.

use super::model::{Entry, Record, State};

/// What is done to the entries of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Cancel the VMs of Migrations that still run, and wait until they are.
    Cancel,
    /// Archive Plans, so that the controller removes what it made for them, and wait until it has.
    Archive,
    /// Delete and wait until it is gone.
    Delete,
    /// Put the value before back, if nobody changed it since.
    Restore,
}

/// Entries that can be handled at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What to do.
    pub action: Action,
    /// For people: `Migrations`, `clones on the sources`.
    pub what: &'static str,
    /// Records, the youngest first.
    pub records: Vec<Record>,
}

/// Which entries a stage takes.
enum Takes {
    Kinds(&'static [&'static str]),
    /// Objects of kinds that no other stage takes.
    OtherKinds,
    Sources,
    Keys,
    Patches,
}

use Takes::{Keys, Kinds, OtherKinds, Patches, Sources};

/// The stages, each with the reason for its place.
const STAGES: &[(Action, &str, Takes)] = &[
    // A Migration that runs would go on making objects behind us.
    (Action::Cancel, "running Migrations", Kinds(&["Migration"])),
    // The controller removes conversion pods, hook jobs and populators when a Plan is archived, not when it is deleted.
    (Action::Archive, "Plans", Kinds(&["Plan"])),
    // From here on nothing refers to what is deleted: users of an object go before the object.
    (Action::Delete, "Migrations", Kinds(&["Migration"])),
    (Action::Delete, "Plans", Kinds(&["Plan"])),
    // Nobody reads the clones any more. Before everything that can hang on a finalizer: they cost most.
    (Action::Delete, "clones on the sources", Sources),
    // No migration copies any more, so nobody needs to log in.
    (Action::Delete, "SSH keys on hosts of the sources", Keys),
    (Action::Delete, "virtual machines", Kinds(&["VirtualMachine"])),
    (Action::Delete, "virtual machine instances and pods", Kinds(&["VirtualMachineInstance", "Job", "Pod"])),
    // A DataVolume owns its claim and would make it again.
    (Action::Delete, "DataVolumes", Kinds(&["DataVolume"])),
    (Action::Delete, "volume claims", Kinds(&["PersistentVolumeClaim"])),
    (Action::Delete, "volumes", Kinds(&["PersistentVolume"])),
    (Action::Delete, "maps, hooks and conversions", Kinds(&["StorageMap", "NetworkMap", "Hook", "Conversion"])),
    // Hosts refer to their Provider, Providers to their Secret.
    (Action::Delete, "Hosts", Kinds(&["Host"])),
    (Action::Delete, "Providers", Kinds(&["Provider"])),
    (Action::Delete, "Secrets and network attachments", Kinds(&["Secret", "ConfigMap", "NetworkAttachmentDefinition"])),
    (Action::Delete, "service accounts and roles", Kinds(&["RoleBinding", "ClusterRoleBinding", "Role", "ClusterRole", "ServiceAccount"])),
    (Action::Delete, "other objects", OtherKinds),
    // The controller must work with its settings of the run until its objects are gone.
    (Action::Restore, "changed settings", Patches),
    // Last: whatever was forgotten goes with them, and finalizers above need them alive.
    (Action::Delete, "namespaces", Kinds(&["Namespace"])),
];

fn takes(takes: &Takes, entry: &Entry) -> bool {
    match (takes, entry) {
        (Kinds(kinds), Entry::Object { kind, .. }) => kinds.contains(&kind.as_str()),
        (OtherKinds, Entry::Object { kind, .. }) => {
            !STAGES.iter().any(|(_, _, t)| matches!(t, Kinds(kinds) if kinds.contains(&kind.as_str())))
        }
        (Sources, Entry::Clone { .. } | Entry::VolumeSnapshot { .. })
        | (Keys, Entry::AuthorizedKey { .. })
        | (Patches, Entry::Patch { .. }) => true,
        _ => false,
    }
}

/// The stages for these records. What is gone is left out, and so are empty stages. A record is in exactly one stage that
/// deletes or restores; Migrations and Plans are in an earlier one as well.
pub fn order(records: &[Record]) -> Vec<Stage> {
    STAGES
        .iter()
        .map(|(action, what, which)| {
            let wanted = |r: &&Record| r.state != State::Gone && takes(which, &r.entry);
            Stage { action: *action, what, records: records.iter().rev().filter(wanted).cloned().collect() }
        })
        .filter(|stage| !stage.records.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{config::profile::ProviderKind, journal::EntryId};

    fn object(id: u64, kind: &str, state: State) -> Record {
        let entry =
            Entry::Object { api_version: "x/v1".into(), kind: kind.into(), namespace: "n".into(), name: format!("o{id}"), scenario: None };
        Record { id: EntryId(id), entry, state, reference: None }
    }

    fn clone(id: u64) -> Record {
        let entry = Entry::Clone { profile: "p".into(), provider: ProviderKind::Vsphere, name: format!("vm{id}"), scenario: None };
        Record { id: EntryId(id), entry, state: State::Intent, reference: None }
    }

    fn patch(id: u64) -> Record {
        let entry = Entry::Patch {
            api_version: "x/v1".into(),
            kind: "ForkliftController".into(),
            namespace: "mtv".into(),
            name: "c".into(),
            field: "/spec/a".into(),
            before: None,
            after: 1.into(),
        };
        Record { id: EntryId(id), entry, state: State::Created, reference: None }
    }

    #[test]
    fn users_go_before_what_they_use() {
        let kinds = ["Namespace", "Secret", "Provider", "Gizmo", "StorageMap", "Plan", "Migration", "VirtualMachine", "Migration"];
        let mut records: Vec<Record> = (0..).zip(kinds).map(|(id, kind)| object(id, kind, State::Created)).collect();
        records.push(clone(9));
        records.push(patch(10));
        records.push(object(11, "Plan", State::Gone));
        let shown: Vec<String> = order(&records)
            .iter()
            .map(|s| format!("{:?} {}: {:?}", s.action, s.what, s.records.iter().map(|r| r.id.0).collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            shown,
            [
                "Cancel running Migrations: [8, 6]",
                "Archive Plans: [5]",
                "Delete Migrations: [8, 6]",
                "Delete Plans: [5]",
                "Delete clones on the sources: [9]",
                "Delete virtual machines: [7]",
                "Delete maps, hooks and conversions: [4]",
                "Delete Providers: [2]",
                "Delete Secrets and network attachments: [1]",
                "Delete other objects: [3]",
                "Restore changed settings: [10]",
                "Delete namespaces: [0]",
            ]
        );
    }

    proptest! {
        #[test]
        fn each_record_is_taken_away_once_and_namespaces_last(
            kinds in proptest::collection::vec("(Namespace|Plan|Migration|Secret|Host|Provider|[A-Z][a-z]{1,6}|-|=)", 0..40)
        ) {
            let records: Vec<Record> = (0..)
                .zip(&kinds)
                .map(|(id, kind)| match kind.as_str() {
                    "-" => clone(id),
                    "=" => patch(id),
                    kind => object(id, kind, State::Created),
                })
                .collect();
            let stages = order(&records);
            let mut times: BTreeMap<EntryId, usize> = BTreeMap::new();
            for stage in stages.iter().filter(|s| matches!(s.action, Action::Delete | Action::Restore)) {
                stage.records.iter().for_each(|r| *times.entry(r.id).or_default() += 1);
            }
            prop_assert_eq!(times.len(), records.len());
            prop_assert!(times.values().all(|n| *n == 1));
            if let Some(at) = stages.iter().position(|s| s.what == "namespaces") {
                prop_assert_eq!(at, stages.len() - 1);
            }
        }
    }
}
