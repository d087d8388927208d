//! Jobs: one pod after the other until one succeeds or the back-off limit is reached.
//!
//! The status is what a current API server accepts of a Job: a complete one has met its success criteria, a failed one
//! had a failure target, each with times.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::{
    batch::v1::{Job, JobCondition},
    core::v1::{Pod, PodSpec},
};
use kube::{
    Api, ResourceExt,
    api::ObjectMeta,
    runtime::{reflector::Store, watcher},
};
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{
    Context,
    life::{self, Latest, Lives},
    write,
};

const MANAGER: &str = "lab-jobs";
/// The job controller's first back-off after a failed pod; it doubles with each further one.
const BACK_OFF: Duration = Duration::from_secs(10);
/// How many failed pods a Job may have when it does not say.
const BACK_OFF_LIMIT: i32 = 6;

/// Starts the role.
///
/// # Errors
/// The lab ended meanwhile.
pub async fn start(cx: &Context) -> anyhow::Result<()> {
    // Pods and Jobs need each other: pods wake the Job that owns them.
    let (sender, receiver) = tokio::sync::watch::channel(None::<Lives<Job>>);
    let pods = life::observe(cx, Api::<Pod>::all(cx.client.clone()), (), move |pod| {
        if let (Some(jobs), Some(owner)) = (&*receiver.borrow(), owner(pod)) {
            jobs.poke(&pod.namespace().unwrap_or_default(), &owner.name);
        }
    })
    .await?;
    let context = cx.clone();
    let jobs = life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |job| sync(context.clone(), pods.clone(), job))
        .await?;
    jobs.poke_all();
    sender.send_replace(Some(jobs));
    Ok(())
}

fn owner(pod: &Pod) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    pod.owner_references().iter().find(|o| o.kind == "Job" && o.controller == Some(true))
}

async fn sync(cx: Context, pods: Store<Pod>, mut latest: Latest<Job>) -> anyhow::Result<()> {
    let seen = latest.get();
    let api: Api<Job> = Api::namespaced(cx.client.clone(), &seen.namespace().unwrap_or_default());
    // Read again: the watch may not have brought what this task wrote last, and an end is written once.
    let Some(job) = api.get_opt(&seen.name_any()).await?.filter(|job| job.uid() == seen.uid()) else { return Ok(()) };
    if job.metadata.deletion_timestamp.is_some() || finished(&job) {
        return Ok(());
    }
    let (name, namespace, uid) = (job.name_any(), job.namespace().unwrap_or_default(), job.uid().unwrap_or_default());
    let now = cx.world.clock.now();
    let start = job.status.as_ref().and_then(|s| s.start_time.clone());
    let started = start.is_some();
    let start = start.map_or(json!(now), |t| json!(t));
    let mine: Vec<_> = pods.state_filter(|pod| owner(pod).is_some_and(|o| o.uid == uid));
    let in_phase = |phase: &str| mine.iter().filter(|p| p.status.as_ref().and_then(|s| s.phase.as_deref()) == Some(phase)).count();
    let (succeeded, failed) = (in_phase("Succeeded"), in_phase("Failed"));
    let active = mine.len() - succeeded - failed;
    let spec = job.spec.clone().unwrap_or_default();
    let counts = |active: usize| json!({ "startTime": start, "active": if active == 0 { Value::Null } else { json!(active) }, "ready": 0, "terminating": 0, "failed": if failed == 0 { Value::Null } else { json!(failed) } });

    if succeeded > 0 {
        let mut status = counts(0);
        status["succeeded"] = json!(succeeded);
        status["completionTime"] = json!(now);
        status["conditions"] =
            conditions(&["SuccessCriteriaMet", "Complete"], "CompletionsReached", "Reached expected number of succeeded pods", &now);
        write::status(&api, MANAGER, &name, status).await?;
        return Ok(());
    }
    let limit = spec.backoff_limit.unwrap_or(BACK_OFF_LIMIT);
    if i64::try_from(failed).unwrap_or(i64::MAX) > i64::from(limit) {
        return fail(&cx, &api, &name, counts(0), "BackoffLimitExceeded", "Job has reached the specified backoff limit", &now).await;
    }
    if !started {
        write::status(&api, MANAGER, &name, json!({ "startTime": now, "active": 1, "ready": 0, "terminating": 0 })).await?;
    }
    if active == 0 {
        if failed > 0 {
            let factor = 1_u32 << (failed - 1).min(5);
            cx.world.clock.sleep(BACK_OFF * factor).await;
        }
        let made = create_pod(&cx, &job).await?;
        // The watch must have brought the pod before the next look, which would make another one.
        latest.until(|_| pods.find(|pod| pod.uid() == made)).await;
        return Box::pin(sync(cx, pods, latest)).await;
    }
    let ready = mine.iter().filter(|p| p.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))).count();
    let mut status = counts(active);
    status["ready"] = json!(ready);
    write::status(&api, MANAGER, &name, status).await?;
    if let Some(seconds) = spec.active_deadline_seconds.and_then(|s| u64::try_from(s).ok()) {
        let over = cx.world.clock.scaled(Duration::from_secs(seconds));
        if tokio::time::timeout(over, latest.changed()).await.is_err() {
            for pod in &mine {
                write::delete(&Api::<Pod>::namespaced(cx.client.clone(), &namespace), &pod.name_any(), pod.uid(), None).await?;
            }
            let now = cx.world.clock.now();
            return fail(&cx, &api, &name, counts(0), "DeadlineExceeded", "Job was active longer than specified deadline", &now).await;
        }
    }
    Ok(())
}

fn finished(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c: &JobCondition| c.status == "True" && (c.type_ == "Complete" || c.type_ == "Failed"))
}

fn conditions(kinds: &[&str], reason: &str, message: &str, now: &str) -> Value {
    let condition = |kind: &&str| json!({ "type": kind, "status": "True", "reason": reason, "message": message, "lastProbeTime": now, "lastTransitionTime": now });
    kinds.iter().map(condition).collect()
}

async fn fail(cx: &Context, api: &Api<Job>, name: &str, mut status: Value, reason: &str, message: &str, now: &str) -> anyhow::Result<()> {
    status["conditions"] = conditions(&["FailureTarget"], reason, message, now);
    write::status(api, MANAGER, name, status).await?;
    // The real controller needs another look for the second one.
    cx.world.clock.sleep(Duration::from_millis(100)).await;
    write::status(api, MANAGER, name, json!({ "conditions": conditions(&["FailureTarget", "Failed"], reason, message, now) })).await?;
    Ok(())
}

async fn create_pod(cx: &Context, job: &Job) -> anyhow::Result<Option<String>> {
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    let namespace = job.namespace().unwrap_or_default();
    let template = job.spec.as_ref().map(|s| s.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    let mut labels = meta.labels.unwrap_or_default();
    for prefix in ["", "batch.kubernetes.io/"] {
        labels.insert(format!("{prefix}job-name"), name.clone());
        labels.insert(format!("{prefix}controller-uid"), uid.clone());
    }
    let spec: PodSpec = template.spec.with_context(|| format!("job {namespace}/{name} has no pod template"))?;
    let pod = Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            labels: Some(labels),
            annotations: meta.annotations,
            owner_references: Some(vec![write::controller_of(&kinds::JOB, &name, &uid)]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    };
    let made = write::create_in(&Api::namespaced(cx.client.clone(), &namespace), MANAGER, &pod).await;
    if let Some(words) = made.as_ref().err().and_then(write::refusal) {
        let message = format!("Error creating: {words}");
        let now = cx.world.clock.now();
        write::warn(&cx.client, "job-controller", &kinds::JOB, (&namespace, &name, &uid), ("FailedCreate", &message), &now).await?;
    }
    Ok(made?.and_then(|pod| pod.uid()))
}
