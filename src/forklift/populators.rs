//! What Forklift's populators tell of the disks that a storage array copied: in the Plan's tasks, and, in MTV releases that say
//! nothing there, in the logs of their pods. Pods go when a migration ends well, so they are read while it runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::api::DynamicObject;
use mtv_api::{forklift::PlanStatus, kinds};

use crate::{
    cluster::{Awaited, Cluster, ObjectExt as _},
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
};

/// Label of populators' pods: the ESXi host that copies.
const HOST: &str = "sourceHost";

/// Start of the names of populators' pods.
const POD: &str = "populate-";

/// How long the controller may take to make the Secrets of a Plan with copy-offload, as mtv-api-tests has it.
const SECRETS: Duration = Duration::from_mins(1);

/// What is known of the copy of one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// `xcopyUsed` of the Plan's task: `1` if the array copied by itself, `0` if the ESXi host did.
    pub task: Option<String>,
    /// `xcopyUsed` of the pod's log.
    pub log: Option<String>,
    /// `cloneMethod` of the Plan's task: `vib`, `ssh`, `vvol`, `rdm`.
    pub method: Option<String>,
    /// Why the pod says that it failed.
    pub failed: Option<String>,
    /// Id of the ESXi host that the pod's label names.
    pub host: Option<String>,
}

impl Copied {
    /// `xcopyUsed`, from wherever it is known.
    pub fn xcopy_used(&self) -> Option<&str> {
        self.task.as_deref().or(self.log.as_deref())
    }
}

/// What a populator that failed said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopulatorFailure {
    /// The source's backing file, `[datastore] folder/file.vmdk`.
    pub file: String,
    /// Its words, or those of the storage array.
    pub said: String,
}

impl std::fmt::Display for PopulatorFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the populator of {} says: {}", self.file, self.said)
    }
}

/// What the populators that failed said.
pub fn failures(copies: &Copies) -> Vec<PopulatorFailure> {
    let failed = |(file, copied): (&String, &Copied)| Some(PopulatorFailure { file: file.clone(), said: copied.failed.clone()? });
    copies.iter().filter_map(failed).collect()
}

/// Copies by the source's backing file, `[datastore] folder/file.vmdk`.
pub type Copies = BTreeMap<String, Copied>;

/// Adds what the tasks of a Plan tell.
pub fn add_tasks(status: &PlanStatus, copies: &mut Copies) {
    let tasks = status.migration.iter().flat_map(|m| &m.vms).flat_map(|vm| &vm.pipeline).flat_map(|step| &step.tasks);
    for task in tasks {
        let told = |name: &str| task.annotations.get(name).filter(|value| !value.is_empty()).cloned();
        if let Some(used) = told("xcopyUsed") {
            let copied = copies.entry(task.name.clone()).or_default();
            copied.task = Some(used);
            copied.method = told("cloneMethod");
        }
    }
}

/// Steps of the pipeline before the controller sees to disks.
const BEFORE_DISKS: [&str; 3] = ["Initialize", "PreflightInspection", "PreHook"];

/// Whether a Plan has begun with the disks of a VM. VMs may have to wait for others, and for playbooks.
fn at_disks(plan: &DynamicObject) -> bool {
    let status: PlanStatus = plan.status();
    let steps = status.migration.iter().flat_map(|m| &m.vms).flat_map(|vm| &vm.pipeline);
    steps.into_iter().any(|step| step.started.is_some() && !BEFORE_DISKS.contains(&step.name.as_str()))
}

/// Waits for the Secrets that the controller makes for populators of a Plan, from the time on when it has begun with the disks of a
/// VM. `namespaces` are those of the Plan and of its VMs; `limit` is that of the migration.
///
/// # Errors
/// None was there in time: with the Secrets that were.
pub async fn wait_for_secret(
    cluster: &Cluster,
    cx: &StepCx,
    (plan_namespace, namespace): (&str, &str),
    plan: &str,
    limit: Duration,
) -> Result<(), Failure> {
    let begun = Awaited { kind: &kinds::PLAN, namespace: Some(plan_namespace), name: plan, until: "to begin with its disks", limit };
    cluster.wait(cx, begun, |object| Ok(object.filter(|plan| at_disks(plan)).map(drop))).await?;
    let prefix = format!("{plan}-");
    let mine = |secret: &DynamicObject| {
        let labels = secret.metadata.labels.as_ref();
        let label = |name: &str| labels.and_then(|l| l.get(name)).map(String::as_str);
        let labelled = label("plan-name") == Some(plan) && label("isPopulator").is_some();
        labelled || secret.metadata.name.as_deref().is_some_and(|name| name.starts_with(&prefix))
    };
    let until = "of the Plan's populators to be made";
    let awaited = Awaited { kind: &kinds::SECRET, namespace: Some(namespace), name: "", until, limit: SECRETS };
    let mut seen = Vec::new();
    let result = cluster
        .wait_all(cx, awaited, |secrets| {
            seen = secrets.iter().filter_map(|s| s.metadata.name.clone()).collect();
            Ok(secrets.iter().any(|secret| mine(secret)).then_some(()))
        })
        .await;
    result.map_err(|failure| match failure {
        Failure::Errored(trouble) => {
            let names = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
            Failure::Failed(
                Diagnosis { id: Id::OffloadSecretMissing, ..trouble }
                    .evidence(format!("Secrets in {namespace}: {names}"))
                    .hint("is feature_copy_offload on in the ForkliftController?"),
            )
        }
        other => other,
    })
}

/// Reads the logs of populators' pods that have ended, all of them again: pods of a migration that failed stay, and the last ones
/// may have ended together with it.
pub async fn read_last_logs(cluster: &Cluster, namespace: &str, migration: &str, copies: &mut Copies) {
    let pods = match cluster.list(&kinds::POD, Some(namespace), &format!("migration={migration}")).await {
        Ok(pods) => pods,
        Err(error) => {
            tracing::debug!("the pods of populators could not be listed: {error:#}");
            return;
        }
    };
    for (name, host) in pods.iter().filter(|pod| ended(pod, migration)).filter_map(told) {
        copies.extend(read_log(cluster, namespace, &name, host).await);
    }
}

/// Name of a populator's pod, and the host that its label names.
fn told(pod: &DynamicObject) -> Option<(String, Option<String>)> {
    let host = pod.metadata.labels.as_ref().and_then(|labels| labels.get(HOST)).cloned();
    Some((pod.metadata.name.clone()?, host))
}

async fn read_log(cluster: &Cluster, namespace: &str, pod: &str, host: Option<String>) -> Option<(String, Copied)> {
    match cluster.pod_log(namespace, pod).await {
        Ok(text) => of_log(&text).map(|(file, copied)| (file, Copied { host, ..copied })),
        Err(error) => {
            tracing::debug!(pod, "the log of a populator could not be read: {error:#}");
            None
        }
    }
}

/// Reads the logs of populators' pods as they end, until it is dropped.
pub async fn read_logs(
    cluster: &Cluster,
    cx: &StepCx,
    namespace: &str,
    migration: &str,
    limit: Duration,
    copies: &std::sync::Mutex<Copies>,
) {
    let mut read = BTreeSet::new();
    loop {
        let awaited = Awaited { kind: &kinds::POD, namespace: Some(namespace), name: "", until: "of populators to end", limit };
        let ended = cluster
            .wait_all(cx, awaited, |pods| {
                let found = pods.iter().filter(|pod| ended(pod, migration)).filter_map(|pod| told(pod));
                let new: Vec<(String, Option<String>)> = found.filter(|(name, _)| !read.contains(name)).collect();
                Ok((!new.is_empty()).then_some(new))
            })
            .await;
        let Ok(names) = ended else { return };
        for (name, host) in names {
            if let Some((file, copied)) = read_log(cluster, namespace, &name, host).await {
                copies.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(file, copied);
            }
            read.insert(name);
        }
    }
}

fn ended(pod: &DynamicObject, migration: &str) -> bool {
    let mine = pod.metadata.labels.as_ref().and_then(|l| l.get("migration")).is_some_and(|uid| uid == migration);
    let named = pod.metadata.name.as_deref().is_some_and(|name| name.starts_with(POD));
    mine && named && matches!(pod.text("/status/phase"), Some("Succeeded" | "Failed"))
}

/// The disk that a log is about, and the last that it says of its copy.
fn of_log(text: &str) -> Option<(String, Copied)> {
    let after = |key: &str| text.rsplit_once(key).map(|(_, rest)| rest);
    let quoted = |key: &str| after(key).and_then(|rest| rest.split('"').next()).filter(|t| t.starts_with('[')).map(str::to_owned);
    let file = base_file(&quoted("source_vmdk=\"").or_else(|| quoted("source=\""))?);
    let used = after("xcopyUsed=").map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    let failed = text.lines().rfind(|line| line.contains("copy-offload failed")).map(reason);
    Some((file, Copied { log: used.filter(|u| !u.is_empty()), failed, ..Copied::default() }))
}

/// What a line of a structured log gives as its error: the text between the quotes of `err="…"`; else the whole line.
fn reason(line: &str) -> String {
    let Some((_, rest)) = line.split_once("err=\"") else { return line.trim().to_owned() };
    let mut reason = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => reason.extend(chars.next().map(|c| if c == 'n' { ' ' } else { c })),
            c => reason.push(c),
        }
    }
    reason.trim().to_owned()
}

/// The file that a chain of snapshots began with, which is what the Plan's tasks call a disk: `a-000002.vmdk` is `a.vmdk`.
fn base_file(file: &str) -> String {
    let base = file
        .strip_suffix(".vmdk")
        .and_then(|stem| stem.rsplit_once('-'))
        .filter(|(_, number)| number.len() == 6 && number.bytes().all(|b| b.is_ascii_digit()));
    base.map_or_else(|| file.to_owned(), |(base, _)| format!("{base}.vmdk"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_word_of_a_log_counts() {
        let text =
            "I0821 setup\nclone: \"xcopy\" source_vmdk=\"[ds] a/a.vmdk\" xcopyUsed=0\nclone: xcopyUsed=1 source_vmdk=\"[ds] a/a.vmdk\"\n";
        let (file, copied) = of_log(text).unwrap();
        assert_eq!((file.as_str(), copied.xcopy_used(), copied.failed.as_ref()), ("[ds] a/a.vmdk", Some("1"), None));
        let (_, copied) = of_log("x source=\"[ds] a/a.vmdk\"\n\"copy-offload failed\" err=\"401\"\n").unwrap();
        assert_eq!(copied.xcopy_used(), None);
        assert_eq!(copied.failed.as_deref(), Some("401"));
        for (line, told) in [
            (r#"copy-offload: "copy-offload failed" err="no \"x\" of\ny" pvc="p""#, "no \"x\" of y"),
            ("copy-offload failed: nobody knows why", "copy-offload failed: nobody knows why"),
        ] {
            assert_eq!(reason(line), told);
        }
        assert_eq!(of_log("nothing"), None);
        let (file, _) = of_log("source_vmdk=\"[ds] a/a-000002.vmdk\" xcopyUsed=0").unwrap();
        assert_eq!(file, "[ds] a/a.vmdk", "as the Plan's task is called");
    }

    #[test]
    fn a_plan_begins_with_disks_after_its_playbook() {
        let plan = |steps: serde_json::Value| -> DynamicObject {
            let vm = json!({ "id": "vm-1", "name": "a", "phase": "x", "pipeline": steps });
            serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": { "migration": { "vms": [vm] } } })).unwrap()
        };
        let step = |name: &str, started: bool| {
            let mut step = json!({ "name": name, "progress": { "completed": 0, "total": 1 } });
            if started {
                step["started"] = json!("2026-01-01T00:00:00Z");
            }
            step
        };
        assert!(!at_disks(&plan(json!([step("Initialize", true), step("PreHook", true), step("DiskTransfer", false)]))));
        assert!(at_disks(&plan(json!([step("Initialize", true), step("DiskTransfer", true)]))));
        assert!(!at_disks(&serde_json::from_value(json!({ "metadata": { "name": "p" } })).unwrap()));
    }

    #[test]
    fn tasks_win_over_logs() {
        let status: PlanStatus = serde_json::from_value(json!({ "migration": { "vms": [{ "id": "vm-1", "name": "a", "phase": "Completed",
            "pipeline": [{ "name": "DiskTransfer", "progress": { "completed": 1, "total": 1 }, "tasks": [
                { "name": "[ds] a/a.vmdk", "progress": { "completed": 1, "total": 1 }, "annotations": { "unit": "MB", "xcopyUsed": "1", "cloneMethod": "vib" } },
                { "name": "[ds] a/b.vmdk", "progress": { "completed": 1, "total": 1 }, "annotations": { "unit": "MB" } }] }] }] } }))
        .unwrap();
        let mut copies = Copies::from([("[ds] a/a.vmdk".to_owned(), Copied { log: Some("0".into()), ..Copied::default() })]);
        add_tasks(&status, &mut copies);
        let copied = &copies["[ds] a/a.vmdk"];
        assert_eq!((copied.xcopy_used(), copied.log.as_deref(), copied.method.as_deref()), (Some("1"), Some("0"), Some("vib")));
        assert_eq!(copies.len(), 1);
    }
}
