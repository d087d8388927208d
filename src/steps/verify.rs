//! Verify: fetch what the cluster has of each migrated VM, ask its guest, and run all checks. Every problem of every VM is
//! collected before the step fails.

use std::time::Duration;

use mtv_api::{forklift::VmStatus, kinds};

use super::Scene;
use crate::{
    cluster::{Awaited, ObjectExt as _, name_of},
    config::{profile::GuestLogin, scenario::ExpectedFailure},
    engine::{Failure, StepCx},
    events::Trouble,
    guest,
    run::{Migrating, ScenarioState, provider_failure},
    verify::{self, Asked, Report, Subject, TargetVm},
};

/// How long a VM may be between states before its power is judged, as mtv-api-tests has it.
const POWER_SETTLES: Duration = Duration::from_mins(2);

/// Longest time for a command that prints one line.
const COMMAND: Duration = Duration::from_secs(30);

/// What is printed in the guest and must come back.
const GREETING: &str = "mtv-test was here";

/// Runs the step.
pub async fn run(scene: &Scene<'_>, state: &ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let mut reports = Vec::new();
    let mut notes = Vec::new();
    for vm in &state.vms {
        let plan = state.plans.get(vm.wish.plan).cloned().unwrap_or_default();
        if let Some(step) = plan.failed_in.filter(|step| !ExpectedFailure::leaves_vms(step)) {
            notes.push(format!("{}: not checked: the migration failed in step {step}, as expected, and that leaves no VM", vm.source.name));
            continue;
        }
        let migrated = plan.status.as_ref().and_then(|s| s.migration.as_ref()).map(|m| m.vms.as_slice()).unwrap_or_default();
        let Some(status) = migrated.iter().find(|m| m.id == vm.source.id) else {
            return Err(Failure::Failed(Trouble::new(format!("the Plan's status does not name VM {}", vm.source.name))));
        };
        reports.push(check_vm(scene, state, vm, status, cx).await?);
    }
    let problems: Vec<String> = reports.iter().flat_map(|r| r.problems.clone()).collect();
    notes.extend(reports.into_iter().flat_map(|r| r.notes));
    if problems.is_empty() {
        return Ok(notes);
    }
    let summary = match problems.as_slice() {
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        [] => String::new(),
    };
    Err(Failure::Failed(Trouble { summary, details: problems.into_iter().chain(notes).collect(), hints: Vec::new() }))
}

async fn check_vm(scene: &Scene<'_>, state: &ScenarioState, vm: &Migrating, status: &VmStatus, cx: &StepCx) -> Result<Report, Failure> {
    let session = scene.session;
    let cluster = session.cluster();
    let namespace = state.target_namespace.as_str();
    let name = status.target_name();
    cx.progress(format!("checking VirtualMachine {namespace}/{name}"), None);
    let awaited = |kind, until, limit| Awaited { kind, namespace: Some(namespace), name, until, limit };
    let settled = cluster
        .wait(cx, awaited(&kinds::VM, "to be Running or Stopped", POWER_SETTLES), |object| {
            Ok(object.filter(|o| matches!(o.text("/status/printableStatus"), Some("Running" | "Stopped"))).cloned())
        })
        .await;
    let object = match settled {
        Ok(object) => object,
        Err(Failure::Interrupted) => return Err(Failure::Interrupted),
        // Not there, or in another state for too long: the checks say what it is.
        Err(_) => cluster.get(&kinds::VM, Some(namespace), name).await?.ok_or_else(|| {
            Failure::Failed(Trouble::new(format!("{} does not exist after its migration", name_of(&kinds::VM, Some(namespace), name))))
        })?,
    };
    let claims = cluster.watched(cx, &kinds::PVC, Some(namespace), |_| true).await?;
    let target = TargetVm::read(&object, &claims);
    let (agent, ssh) = ask_guest(scene, namespace, vm, &target, cx).await?;
    let snapshots = if vm.source.snapshots.is_empty() {
        None
    } else {
        Some(session.source.describe_vm(&vm.source.id).await.map_err(provider_failure)?.snapshots)
    };
    Ok(verify::check(&Subject {
        scenario: scene.scenario,
        wish: &vm.wish,
        source: &vm.source,
        snapshots_after: snapshots.as_deref(),
        target: &target,
        networks: &state.networks,
        storage_class: &session.facts.storage_class,
        openshift: session.facts.openshift.as_ref(),
        agent: &agent,
        ssh: &ssh,
        offload: state.plans.get(vm.wish.plan).and_then(|plan| plan.offload.as_ref()),
    }))
}

/// Asks the guest agent and the SSH server. A VM that is off is started for the agent's sake and stopped again.
async fn ask_guest(scene: &Scene<'_>, namespace: &str, vm: &Migrating, target: &TargetVm, cx: &StepCx) -> Result<(Asked, Asked), Failure> {
    let session = scene.session;
    let cluster = session.cluster();
    let name = target.name.as_str();
    if !target.running && !vm.wish.guest_agent {
        let off = || Asked::No("the VM is off, as it should be".to_owned());
        return Ok((off(), off()));
    }
    let start = !target.running;
    if start {
        cx.progress(format!("starting VirtualMachine {namespace}/{name} to ask its guest"), None);
        cluster.switch(namespace, name, "start").await?;
    }
    let limit = scene.scenario.guest_agent_timeout;
    let agent = if vm.wish.guest_agent {
        cx.progress(format!("waiting for the guest agent of VirtualMachine {namespace}/{name}"), None);
        wait_for_agent(cluster, cx, namespace, name, limit).await?
    } else {
        Asked::No("the scenario says that the guest has none".to_owned())
    };
    let login = if vm.source.windows { &session.profile.guest_windows } else { &session.profile.guest_linux };
    let ssh = match login {
        Some(login) => {
            cx.progress(format!("logging in to VirtualMachine {namespace}/{name}"), None);
            greet(scene, namespace, name, login, cx).await?
        }
        None => Asked::Failed(format!(
            "no login: the profile has no guest_vm_{}_user and guest_vm_{0}_password",
            if vm.source.windows { "win" } else { "linux" }
        )),
    };
    if start {
        cluster.switch(namespace, name, "stop").await?;
    }
    Ok((agent, ssh))
}

async fn wait_for_agent(
    cluster: &crate::cluster::Cluster,
    cx: &StepCx,
    namespace: &str,
    name: &str,
    limit: Duration,
) -> Result<Asked, Failure> {
    let awaited = Awaited { kind: &kinds::VMI, namespace: Some(namespace), name, until: "to have its guest agent connected", limit };
    let connected = cluster
        .wait(cx, awaited, |object| {
            let conditions = object.and_then(|o| o.at("/status/conditions")).and_then(serde_json::Value::as_array);
            let yes = conditions.is_some_and(|c| c.iter().any(|c| c["type"] == "AgentConnected" && c["status"] == "True"));
            Ok(yes.then_some(()))
        })
        .await;
    match connected {
        Ok(()) => Ok(Asked::Yes("connected".to_owned())),
        Err(Failure::Errored(trouble)) => Ok(Asked::Failed(format!("{}; {}", trouble.summary, trouble.details.join("; ")))),
        Err(other) => Err(other),
    }
}

/// Logs in and runs a command that prints one line.
async fn greet(scene: &Scene<'_>, namespace: &str, name: &str, login: &GuestLogin, cx: &StepCx) -> Result<Asked, Failure> {
    let session = scene.session;
    let ssh = match guest::log_in(cx, session.cluster(), namespace, name, login, session.settings.ssh_timeout).await {
        Ok(ssh) => ssh,
        Err(Failure::Failed(trouble)) => {
            let more: Vec<String> = trouble.details.into_iter().chain(trouble.hints).collect();
            return Ok(Asked::Failed(format!("{}: {}", trouble.summary, more.join("; "))));
        }
        Err(other) => return Err(other),
    };
    let output = tokio::time::timeout(COMMAND, ssh.run(&format!("echo {GREETING}"))).await;
    ssh.close().await;
    Ok(match output {
        Ok(Ok(output)) if output.status == Some(0) && output.stdout.trim() == GREETING => Asked::Yes(format!("as {}", login.user)),
        Ok(Ok(output)) => {
            Asked::Failed(format!("`echo` ended with {:?} and printed `{}{}`", output.status, output.stdout.trim(), output.stderr.trim()))
        }
        Ok(Err(error)) => Asked::Failed(error.to_string()),
        Err(_) => Asked::Failed(format!("`echo` did not end within {}s", COMMAND.as_secs())),
    })
}
