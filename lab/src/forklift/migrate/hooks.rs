//! Hooks: a Job in the Plan's namespace, with the playbook and what it is about in a ConfigMap.

use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::{
    forklift::VmStatus,
    kinds::{CONFIG_MAP, HOOK, JOB, PLAN},
};
use serde_json::{Value, json};

use super::{Fatal, Outcome, Run, itinerary::Facts, step, steps};
use crate::forklift::cluster::Look;

/// How many failed pods end a hook whose Job has not given up itself: `HOOK_RETRY`.
const RETRIES: i64 = 3;

impl Run<'_, '_> {
    /// Runs the hook of the current phase.
    pub(super) async fn hook(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        let now = self.work.now();
        let hooks = vm.rest.get("hooks").cloned().unwrap_or_default();
        let reference = hooks.items("").iter().find(|h| h.text("/step") == vm.phase).map(|h| h["hook"].clone()).unwrap_or_default();
        let hook = self.work.context.cluster.get(&HOOK, reference.text("/namespace"), reference.text("/name")).await?;
        let Some(hook) = hook else {
            if let Some(step) = step(facts, vm) {
                steps::phase(step, "Running");
                steps::complete(step, &now);
            }
            return Err(Fatal("the hook is not there".to_owned()).into());
        };
        let job = self.hook_job(vm, &hook).await?;
        let Some(step) = step(facts, vm) else { return Ok(Outcome::Stay) };
        steps::start(step, &now);
        steps::phase(step, "Running");
        let failed = job.items("/status/conditions").iter().find(|c| c.text("/type") == "Failed" && c.text("/status") == "True");
        if let Some(failed) = failed {
            steps::fail(step, failed.text("/message"));
            steps::complete(step, &now);
        } else if job.number("/status/failed") > RETRIES {
            steps::fail(step, "The hook failed too often.");
            steps::complete(step, &now);
        } else if job.number("/status/succeeded") > 0 {
            step.progress.completed = 1;
            steps::complete(step, &now);
        }
        let done = step.completed.is_some() && step.error.is_none();
        Ok(if done { Outcome::Next } else { Outcome::Stay })
    }

    async fn hook_job(&self, vm: &VmStatus, hook: &Value) -> anyhow::Result<Value> {
        let work = &*self.work;
        let cluster = &work.context.cluster;
        let namespace = work.namespace();
        let labels = json!({
            "migration": self.migration.uid(), "plan": work.uid(), "vmID": vm.id, "resource": "hook-config",
            "hook": hook.uid(), "step": vm.phase,
        });
        let selector = format!(
            "migration={},plan={},vmID={},resource=hook-config,hook={},step={}",
            self.migration.uid(),
            work.uid(),
            vm.id,
            hook.uid(),
            vm.phase
        );
        let prefix = format!("{}-{}-{}-", work.name(), vm.id, vm.phase).to_lowercase();
        let found = cluster.list(&CONFIG_MAP, namespace, &selector).await?.into_iter().next();
        let map = if let Some(map) = found {
            map
        } else {
            let playbook = STANDARD.decode(hook.text("/spec/playbook")).unwrap_or_default();
            let map = json!({
                "metadata": { "generateName": prefix, "labels": labels },
                "data": {
                    "workload.yml": serde_json::to_string_pretty(&json!(vm))?,
                    "playbook.yml": String::from_utf8_lossy(&playbook),
                    "plan.yml": serde_json::to_string_pretty(&work.object["spec"])?,
                },
            });
            cluster.create(&CONFIG_MAP, namespace, map).await?
        };
        let found = cluster.list(&JOB, namespace, &selector).await?.into_iter().next();
        let job = if let Some(job) = found {
            job
        } else {
            let job = job(&prefix, &labels, hook, &map, work.uid(), work.name(), work.spec.rest.get("serviceAccount"));
            cluster.create(&JOB, namespace, job).await?
        };
        if !map.items("/metadata/ownerReferences").iter().any(|owner| owner.text("/uid") == job.uid()) {
            let owner = json!({
                "apiVersion": JOB.api_version(), "kind": JOB.kind, "name": job.text("/metadata/name"), "uid": job.uid(),
            });
            let patch = json!({ "metadata": { "ownerReferences": [owner] } });
            cluster.merge(&CONFIG_MAP, namespace, map.text("/metadata/name"), &patch).await?;
        }
        Ok(job)
    }
}

fn job(prefix: &str, labels: &Value, hook: &Value, map: &Value, plan_uid: &str, plan: &str, account: Option<&Value>) -> Value {
    let mut container = json!({
        "name": "hook", "image": hook.text("/spec/image"),
        "resources": { "requests": { "cpu": "100m", "memory": "150Mi" }, "limits": { "cpu": "1", "memory": "1Gi" } },
        "volumeMounts": [{ "name": "hook", "mountPath": "/tmp/hook" }],
    });
    if !hook.text("/spec/playbook").is_empty() {
        container["command"] = json!(["/bin/entrypoint", "ansible-runner", "run", "/tmp/runner", "-p", "/tmp/hook/playbook.yml"]);
    }
    let mut spec = json!({
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{ "name": "hook", "configMap": { "name": map.text("/metadata/name") } }],
    });
    if hook.number("/spec/deadline") > 0 {
        spec["activeDeadlineSeconds"] = hook["spec"]["deadline"].clone();
    }
    let own = hook.text("/spec/serviceAccount");
    if !own.is_empty() {
        spec["serviceAccountName"] = json!(own);
    } else if let Some(account) = account {
        spec["serviceAccountName"] = account.clone();
    }
    json!({
        "metadata": {
            "generateName": prefix, "labels": labels,
            "ownerReferences": [{ "apiVersion": PLAN.api_version(), "kind": PLAN.kind, "name": plan, "uid": plan_uid }],
        },
        "spec": { "backoffLimit": 1, "template": { "spec": spec } },
    })
}
