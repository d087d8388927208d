//! Expected failures: a migration that must fail, in a step that the scenario names, for a reason that it names.

use mtv_api::forklift::PlanStatus;

use crate::{
    config::scenario::{ExpectedFailure, HOOK_STEPS},
    diagnosis::{Diagnosis, Id},
    forklift::{self, Executed, PopulatorFailure},
};

/// The step that all VMs of a Plan failed in.
///
/// # Errors
/// The migration did not fail, its VMs failed in different steps, or it failed in another step or for another reason.
/// `populators` is what failed populators said, beside the Plan's status.
pub fn judge(
    wanted: &ExpectedFailure,
    status: &PlanStatus,
    executed: Executed<'_>,
    populators: &[PopulatorFailure],
) -> Result<String, Diagnosis> {
    let asked = match (&wanted.step, &wanted.text) {
        (None, None) if wanted.in_hook => "a failure in the step of a hook".to_owned(),
        (Some(step), Some(text)) => format!("a failure in step {step} for a reason with `{text}`"),
        (Some(step), None) => format!("a failure in step {step}"),
        (None, Some(text)) => format!("a failure for a reason with `{text}`"),
        (None, None) => "a failure".to_owned(),
    };
    if forklift::succeeded(status, executed.migration) {
        let Executed { namespace, plan, .. } = executed;
        return Err(Diagnosis::new(
            Id::MigrationUnexpected,
            format!("Plan {namespace}/{plan} succeeded, but the scenario expects {asked}"),
        ));
    }
    let actual = forklift::trouble_of(status, executed, populators);
    let wrong = |summary: String| Err(Diagnosis { id: Id::MigrationUnexpected, summary, ..actual.clone() }.cause(actual.summary.clone()));
    let vms = status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default();
    let steps: Vec<(&str, Option<&str>)> = vms.iter().map(|vm| (vm.name.as_str(), forklift::failed_step(vm))).collect();
    let Some((_, Some(step))) = steps.first().copied() else {
        return wrong(format!("expected {asked}, but no step of the pipeline failed"));
    };
    if steps.iter().any(|(_, other)| *other != Some(step)) {
        let list: Vec<String> = steps.iter().map(|(vm, step)| format!("{vm} in {}", step.unwrap_or("no step"))).collect();
        return wrong(format!("VMs failed in different steps: {}", list.join(", ")));
    }
    if wanted.step.as_deref().is_some_and(|wanted| wanted != step) || (wanted.in_hook && !HOOK_STEPS.contains(&step)) {
        return wrong(format!("expected {asked}, but the step that failed is {step}"));
    }
    if let Some(text) = &wanted.text
        && !populators.iter().any(|failure| failure.said.contains(text.as_str()))
        && let Some(vm) = vms.iter().find(|vm| !forklift::reasons_of(vm).iter().any(|reason| reason.contains(text.as_str())))
    {
        return wrong(format!("expected {asked}, but VM {} failed because of: {}", vm.name, forklift::reasons_of(vm).join("; ")));
    }
    Ok(step.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EXECUTED: Executed<'_> = Executed { namespace: "ns", plan: "p", migration: "" };

    /// A Plan that ended, with the step that failed and its reason for each VM.
    fn ended(end: &str, vms: &[(Option<&str>, &str)]) -> PlanStatus {
        let vm = |(index, (failed, reason)): (usize, &(Option<&str>, &str))| {
            let step = |name: &str| {
                let mut step = json!({"name": name, "progress": {"completed": 0, "total": 1}});
                if Some(name) == *failed {
                    step["error"] = json!({"phase": "Running", "reasons": [reason]});
                }
                step
            };
            let pipeline = ["Initialize", "PreHook", "ImageConversion", "PostHook"].map(step);
            json!({"id": format!("vm-{index}"), "name": format!("vm{index}"), "phase": "Completed", "pipeline": pipeline})
        };
        serde_json::from_value(json!({
            "conditions": [{"type": end, "status": "True", "category": "Advisory", "message": "m", "lastTransitionTime": ""}],
            "migration": {"vms": vms.iter().enumerate().map(vm).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    #[test]
    fn a_reason_may_be_told_elsewhere() {
        let status = ended("Failed", &[(Some("ImageConversion"), "look at the pod")]);
        let wanted = ExpectedFailure { text: Some("no host".to_owned()), ..ExpectedFailure::default() };
        assert!(judge(&wanted, &status, EXECUTED, &[]).is_err());
        assert!(
            judge(
                &wanted,
                &status,
                EXECUTED,
                &[PopulatorFailure { file: "[ds] a/a.vmdk".to_owned(), said: "there is no host with this id".to_owned() }]
            )
            .is_ok()
        );
    }

    #[test]
    fn a_failure_is_what_the_scenario_asked_for_or_a_finding() {
        let post = (Some("PostHook"), "Job has reached the specified backoff limit");
        let pre = (Some("PreHook"), "why");
        let want = |step: &str, text: &str| ExpectedFailure {
            step: (!step.is_empty()).then(|| step.to_owned()),
            text: (!text.is_empty()).then(|| text.to_owned()),
            in_hook: false,
        };
        let in_hook = || ExpectedFailure { in_hook: true, ..ExpectedFailure::default() };
        let converting = (Some("ImageConversion"), "why");
        for (wanted, status, result) in [
            (want("PostHook", ""), ended("Failed", &[post]), Ok("PostHook")),
            (want("", ""), ended("Failed", &[post, post]), Ok("PostHook")),
            (want("PostHook", "backoff"), ended("Failed", &[post]), Ok("PostHook")),
            (want("PostHook", "passphrase"), ended("Failed", &[post]), Err("failed because of: Job has reached")),
            (
                want("PostHook", ""),
                ended("Succeeded", &[(None, "")]),
                Err("succeeded, but the scenario expects a failure in step PostHook"),
            ),
            (in_hook(), ended("Failed", &[pre]), Ok("PreHook")),
            (in_hook(), ended("Failed", &[post]), Ok("PostHook")),
            (
                in_hook(),
                ended("Failed", &[converting]),
                Err("a failure in the step of a hook, but the step that failed is ImageConversion"),
            ),
            (in_hook(), ended("Succeeded", &[(None, "")]), Err("succeeded, but the scenario expects a failure in the step of a hook")),
            (want("", ""), ended("Failed", &[converting]), Ok("ImageConversion")),
            (want("PostHook", ""), ended("Failed", &[pre]), Err("but the step that failed is PreHook")),
            (want("PostHook", ""), ended("Failed", &[post, pre]), Err("VMs failed in different steps: vm0 in PostHook, vm1 in PreHook")),
            (want("", ""), ended("Failed", &[post, (None, "")]), Err("vm1 in no step")),
            (want("", ""), ended("Failed", &[(None, "")]), Err("no step of the pipeline failed")),
            (want("", ""), ended("Canceled", &[(None, "")]), Err("no step of the pipeline failed")),
            (want("", ""), ended("Failed", &[]), Err("no step of the pipeline failed")),
        ] {
            match (judge(&wanted, &status, EXECUTED, &[]), result) {
                (Ok(step), Ok(wanted)) => assert_eq!(step, wanted),
                (Err(trouble), Err(part)) => assert!(trouble.summary.contains(part), "{}", trouble.summary),
                (got, wanted) => panic!("{got:?} instead of {wanted:?}"),
            }
        }
    }
}
