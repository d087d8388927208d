//! Progress of disks that a storage array copies, as claims and populators tell it.

use mtv_api::{
    forklift::VmStatus,
    kinds::{POD, VSPHERE_XCOPY_VOLUME_POPULATOR},
};
use serde_json::Value;

use super::{Run, itinerary::Facts, step, steps};
use crate::forklift::{builder::disks, cluster::Look};

/// What a populator tells of its copy, and what the disk's task repeats.
const TOLD: &[&str] = &[
    "xcopyUsed",
    "copyDurationSeconds",
    "result",
    "storageVendor",
    "cloneMethod",
    "storageProtocol",
    "provisionedBytes",
    "allocatedBytes",
];

impl Run<'_, '_> {
    /// Updates the current step from the claims that populators fill.
    pub(super) async fn populator_progress(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<()> {
        let now = self.work.now();
        let cluster = &self.work.context.cluster;
        let namespace = self.work.spec.target_namespace.as_str();
        let selector = format!("migration={},vmID={}", self.migration.uid(), vm.id);
        let claims = disks::claims(self.work, self.migration.uid(), &vm.id).await?;
        let populators = cluster.list(&VSPHERE_XCOPY_VOLUME_POPULATOR, namespace, &selector).await?;
        let pods = cluster.list(&POD, namespace, &selector).await?;
        let Some(step) = step(facts, vm) else { return Ok(()) };
        let mut seen = Vec::new();
        for claim in &claims {
            let Some(task) = step.tasks.iter_mut().find(|t| claim.annotation(disks::SOURCE) == Some(t.name.as_str())) else { continue };
            seen.push(task.name.clone());
            let populator = populators.iter().find(|p| p.label("vmdkKey") == claim.label("vmdkKey"));
            let told = populator.map(|p| &p["status"]);
            for name in TOLD {
                if let Some(value) = told.and_then(|t| t.get(*name)).and_then(Value::as_str).filter(|v| !v.is_empty()) {
                    task.annotations.insert((*name).to_owned(), value.to_owned());
                }
            }
            if claim.text("/status/phase") == "Bound" {
                steps::transferred(task, &now);
                continue;
            }
            steps::start(task, &now);
            let percent = told.and_then(|t| t.get("progress")).and_then(Value::as_str).and_then(|p| p.parse::<i64>().ok()).unwrap_or(0);
            let progress = task.progress.total * percent / 100;
            let name = format!("populate-{}", claim.uid());
            let failed = pods.iter().any(|pod| pod.text("/metadata/name") == name && pod.text("/status/phase") == "Failed");
            if failed && progress == task.progress.completed {
                let uid = claim.uid();
                steps::fail(step, &format!("populator pod failed for PVC {uid}. Please check the pod logs"));
                return Ok(());
            }
            task.progress.completed = progress;
        }
        for task in step.tasks.iter_mut().filter(|t| t.completed.is_none() && t.error.is_none() && !seen.contains(&t.name)) {
            steps::fail(task, "PVC is missing; disk transfer cannot continue");
        }
        steps::reflect_tasks(step, &now);
        Ok(())
    }
}
