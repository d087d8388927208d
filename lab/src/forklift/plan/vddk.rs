//! The image with VMware's disk library is tried in a Job before a plan is Ready. The Job is made even if the plan has
//! blockers, and for cold plans as well.

use anyhow::bail;
use mtv_api::kinds::{JOB, POD};
use serde_json::{Value, json};

use super::{Work, ensure_namespace};
use crate::forklift::{
    cluster::{Look, Propagation},
    conditions::condition,
};

impl Work<'_> {
    /// Validates the image.
    pub(super) async fn validate_vddk(&mut self) -> anyhow::Result<()> {
        if !self.traits().vddk {
            return Ok(());
        }
        let image = self.vddk_image();
        if image.is_empty() {
            let raw = self.spec.skip_guest_conversion.unwrap_or(false);
            if self.is_warm() || (raw && !self.offloads()) {
                let text = "This migration needs an image with VMware's disk library, in the provider or in the operator's settings.";
                self.tell(condition("VDDKInitImageUnavailable", "Critical", "NotSet", text));
            }
            return Ok(());
        }
        let job = self.vddk_job(&image).await?;
        let conditions = job.items("/status/conditions");
        let validating = || condition("ValidatingVDDK", "Advisory", "Started", "The image with VMware's disk library is being tried.");
        if conditions.is_empty() {
            self.tell(validating());
        }
        let selector = format!("job-name={}", job.text("/metadata/name"));
        let pods = self.context.cluster.list(&POD, &self.spec.target_namespace, &selector).await?;
        if let Some(pod) = pods.first() {
            let Some(init) = pod.items("/status/initContainerStatuses").first() else {
                self.tell(validating());
                return Ok(());
            };
            // A pod that comes up normally waits as well; only a failing pull is worth telling.
            let normal = ["PodInitializing", "ContainerCreating"];
            if let Some(waiting) = init.pointer("/state/waiting").filter(|w| !normal.contains(&w.text("/reason"))) {
                self.tell(condition("VDDKInitImageNotReady", "Advisory", waiting.text("/reason"), waiting.text("/message")));
            }
        }
        for found in conditions {
            match found.text("/type") {
                "Complete" => return Ok(()),
                "Failed" => {
                    self.tell(condition("VDDKInvalid", "Critical", "NotSet", "The image holds no usable disk library."));
                    return Ok(());
                }
                _ => {}
            }
        }
        if conditions.is_empty() {
            Ok(())
        } else {
            // Between "succeeded" and "complete" the real controller knows neither and looks again.
            bail!("job {} is neither complete nor failed", job.text("/metadata/name"))
        }
    }

    async fn vddk_job(&self, image: &str) -> anyhow::Result<Value> {
        let cluster = &self.context.cluster;
        let namespace = &self.spec.target_namespace;
        ensure_namespace(cluster, namespace).await?;
        let digest = format!("{:x}", md5::compute(image));
        let jobs = cluster.list(&JOB, namespace, &format!("plan={}", self.uid())).await?;
        for job in jobs.iter().filter(|j| j.label("vddk").is_some_and(|d| d != digest) && j.number("/status/active") > 0) {
            cluster.delete(&JOB, namespace, job.text("/metadata/name"), Propagation::Background).await?;
        }
        if let Some(job) = jobs.into_iter().find(|j| j.label("vddk") == Some(digest.as_str())) {
            return Ok(job);
        }
        let resources = json!({ "requests": { "cpu": "100m", "memory": "150Mi" }, "limits": { "cpu": "1", "memory": "500Mi" } });
        let mounts = json!([{ "name": "vddk-vol-mount", "mountPath": "/opt" }]);
        let confined = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
        let job = json!({
            "metadata": {
                "generateName": format!("vddk-validator-{}", self.name()),
                "labels": { "plan": self.uid(), "vddk": digest },
                "annotations": {
                    "provider": self.source.as_ref().map(|s| s.text("/metadata/name")).unwrap_or_default(),
                    "vddk": image, "plan": self.name(),
                },
            },
            "spec": { "completions": 1, "backoffLimit": 2, "template": { "spec": {
                "restartPolicy": "Never",
                "securityContext": { "runAsNonRoot": true, "runAsUser": 107, "seccompProfile": { "type": "RuntimeDefault" } },
                "volumes": [{ "name": "vddk-vol-mount", "emptyDir": {} }],
                "initContainers": [{
                    "name": "vddk-side-car", "image": image, "imagePullPolicy": "IfNotPresent",
                    "resources": resources, "volumeMounts": mounts, "securityContext": confined,
                }],
                "containers": [{
                    "name": "validator", "image": self.context.options.virt_v2v_image, "imagePullPolicy": "IfNotPresent",
                    "command": ["file", "-E", "/opt/vmware-vix-disklib-distrib/lib64/libvixDiskLib.so"],
                    "resources": resources, "volumeMounts": mounts, "securityContext": confined,
                }],
            } } },
        });
        Ok(cluster.create(&JOB, namespace, job).await?)
    }
}
