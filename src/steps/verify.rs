//! Verify: fetch what the cluster has of each migrated VM, ask its guest, and run all checks. Every problem of every VM is
//! collected before the step fails.

mod guest;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{StreamExt as _, future::BoxFuture, stream};
use kube::api::DynamicObject;
use mtv_api::{forklift::VmStatus, kinds};
use serde_json::Value;

use super::Scene;
use crate::{
    checks::{CheckResult, CheckVerdict},
    cluster::{Awaited, ObjectExt as _, name_of},
    config::{profile::ProviderKind, scenario::ExpectedFailure},
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    events::What,
    run::{Migrating, ScenarioState, provider_failure},
    verify::{self, ProviderTls, Subject, TargetVm},
};

/// How long a VM may be between states before its power is judged, as mtv-api-tests has it.
const POWER_SETTLES: Duration = Duration::from_mins(2);

/// How many VMs are looked at beside each other: guests are waited for most of the time.
const AT_ONCE: usize = 16;

/// StorageClass whose claims are ReadWriteMany unless the map says otherwise, whatever its StorageProfile says: live migration
/// needs it (BZ#2064936).
const CEPH_RBD: &str = "ocs-storagecluster-ceph-rbd";

/// Label with the source id of a migrated VM.
const VM_ID: &str = "vmID";

/// What the VMs of a scenario have in common.
struct Common {
    access_mode: Option<String>,
    tls: Option<ProviderTls>,
}

/// Runs the step.
pub async fn run(scene: &Scene<'_>, state: &ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let mut results = Vec::new();
    let mut there = Vec::new();
    for vm in &state.vms {
        let plan = state.plans.get(vm.wish.plan).cloned().unwrap_or_default();
        if let Some(step) = plan.failed_in.filter(|step| !ExpectedFailure::leaves_vms(step)) {
            let reason = format!("the migration failed in step {step}, as expected, and that leaves no VM");
            results.extend(report(verify::unchecked(&vm.wish, &vm.source, &reason), cx));
            continue;
        }
        let migrated = plan.status.and_then(|s| s.migration).map(|m| m.vms).unwrap_or_default();
        let Some(status) = migrated.into_iter().find(|m| m.id == vm.source.id) else {
            let what = format!("VM {} in the Plan's status", vm.source.name);
            results.extend(report(verify::missing(&vm.wish, &vm.source, &what, "the status does not name it"), cx));
            continue;
        };
        there.push((vm, status));
    }
    let common = Common { access_mode: access_mode(scene).await?, tls: provider_tls(scene).await? };
    let mut looks: Vec<BoxFuture<'_, Result<Vec<CheckResult>, Failure>>> = Vec::new();
    for (index, (vm, status)) in there.iter().enumerate() {
        let tls = common.tls.as_ref().filter(|_| index == 0);
        looks.push(Box::pin(check_vm(scene, state, vm, status, common.access_mode.as_deref(), tls, cx)));
    }
    let checked: Vec<Result<Vec<CheckResult>, Failure>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    for of_vm in checked {
        results.extend(of_vm?);
    }
    let lines = |failed: bool| {
        let wanted = move |result: &&CheckResult| (result.verdict == CheckVerdict::Failed) == failed;
        results.iter().filter(wanted).flat_map(CheckResult::lines).collect::<Vec<_>>()
    };
    let (problems, notes) = (lines(true), lines(false));
    if problems.is_empty() {
        return Ok(notes);
    }
    let summary = match problems.as_slice() {
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        [] => String::new(),
    };
    let namespace = &state.target_namespace;
    let hint = format!(
        "the migration itself succeeded: look at VirtualMachines, instances, claims and virt-launcher pods in {namespace}, at the guest and its login, not at the Plan"
    );
    let mut diagnosis = Diagnosis::new(Id::CheckFailed, summary).hint(hint);
    diagnosis.causes = problems;
    diagnosis.evidence = notes;
    Err(Failure::Failed(diagnosis))
}

async fn check_vm(
    scene: &Scene<'_>,
    state: &ScenarioState,
    vm: &Migrating,
    status: &VmStatus,
    access_mode: Option<&str>,
    tls: Option<&ProviderTls>,
    cx: &StepCx,
) -> Result<Vec<CheckResult>, Failure> {
    let session = scene.session;
    let namespace = state.target_namespace.as_str();
    let Some(object) = machine(scene, namespace, vm, status, cx).await? else {
        let what = name_of(&kinds::VM, Some(namespace), status.target_name());
        return Ok(report(verify::missing(&vm.wish, &vm.source, &what, "does not exist"), cx));
    };
    let claims = session.cluster().watched(cx, &kinds::PVC, Some(namespace), |_| true).await?;
    let mut target = TargetVm::read(&object, &claims);
    let told = guest::ask(scene, namespace, vm, &target, cx).await?;
    target.node = told.node;
    let snapshots = match session.source.cloner() {
        Some(cloner) if !vm.source.snapshots.is_empty() => {
            Some(cloner.describe_vm(&vm.source.id).await.map_err(provider_failure)?.snapshots)
        }
        _ => None,
    };
    let stops = match session.source.power_log() {
        Some(log) => Some(log.stopped_by_user(&vm.source.id).await.map_err(provider_failure)?),
        None => None,
    };
    let results = verify::check(&Subject {
        scenario: scene.scenario,
        run: session.run(),
        kind: session.profile.kind(),
        plan: &scene.object(vm.wish.plan),
        wish: &vm.wish,
        status,
        source: &vm.source,
        snapshots_after: snapshots.as_deref(),
        target: &target,
        networks: &state.networks,
        storage_class: &session.facts.storage_class,
        access_mode,
        openshift: session.facts.openshift.as_ref(),
        agent: &told.agent,
        ssh: &told.ssh,
        marker: &told.marker,
        offload: state.plans.get(vm.wish.plan).and_then(|plan| plan.offload.as_ref()),
        guest: &told.view,
        node: state.node.as_ref(),
        tls,
        stopped_by_user: stops.as_deref(),
    });
    Ok(report(results, cx))
}

/// Emits each result as soon as it is there.
fn report(results: Vec<CheckResult>, cx: &StepCx) -> Vec<CheckResult> {
    for result in &results {
        cx.emitter.emit(What::CheckFinished(result.clone()));
    }
    results
}

/// The VirtualMachine, once it is in a state that can be judged: that of the name that the Plan's status tells, else the one
/// that carries the source's id; `None` if there is none.
async fn machine(
    scene: &Scene<'_>,
    namespace: &str,
    vm: &Migrating,
    status: &VmStatus,
    cx: &StepCx,
) -> Result<Option<DynamicObject>, Failure> {
    let cluster = scene.session.cluster();
    let told = status.target_name();
    let mine = |o: &DynamicObject| o.metadata.labels.as_ref().and_then(|l| l.get(VM_ID)).is_some_and(|id| *id == vm.source.id);
    let named = |o: &DynamicObject| o.metadata.name.as_deref() == Some(told);
    let all = cluster.watched(cx, &kinds::VM, Some(namespace), |o| named(o) || mine(o)).await?;
    let found = all.iter().find(|o| named(o)).or(all.first()).and_then(|o| o.metadata.name.clone());
    let name = found.as_deref().unwrap_or(told);
    cx.progress(format!("checking VirtualMachine {namespace}/{name}"), None);
    let awaited = Awaited { kind: &kinds::VM, namespace: Some(namespace), name, until: "to be Running or Stopped", limit: POWER_SETTLES };
    let settled = cluster
        .wait(cx, awaited, |object| {
            Ok(object.filter(|o| matches!(o.text("/status/printableStatus"), Some("Running" | "Stopped"))).cloned())
        })
        .await;
    match settled {
        Ok(object) => Ok(Some(object)),
        Err(Failure::Interrupted) => Err(Failure::Interrupted),
        // Not there, or in another state for too long: the checks say what it is.
        Err(_) => Ok(cluster.get(&kinds::VM, Some(namespace), name).await?),
    }
}

/// The access mode that claims must have where the StorageMap names none: that of the class's StorageProfile, which CDI takes.
async fn access_mode(scene: &Scene<'_>) -> Result<Option<String>, Failure> {
    let class = scene.session.facts.storage_class.as_str();
    if class == CEPH_RBD || scene.scenario.copies_offload() {
        return Ok(Some("ReadWriteMany".to_owned()));
    }
    if scene.session.profile.kind() != ProviderKind::Vsphere {
        // Populators of other sources choose for themselves.
        return Ok(None);
    }
    let profile = scene.session.cluster().get(&kinds::STORAGE_PROFILE, None, class).await?;
    let sets = profile.as_ref().and_then(|p| p.at("/status/claimPropertySets")).and_then(Value::as_array);
    Ok(sets.and_then(|sets| sets.first()?.pointer("/accessModes/0")?.as_str().map(str::to_owned)))
}

/// What the source Provider's Secret says about verifying certificates, where the source is reached by TLS.
async fn provider_tls(scene: &Scene<'_>) -> Result<Option<ProviderTls>, Failure> {
    let session = scene.session;
    if !matches!(session.profile.kind(), ProviderKind::Vsphere | ProviderKind::Ovirt | ProviderKind::Openstack) {
        return Ok(None);
    }
    let provider = &session.providers.source;
    let cluster = session.cluster();
    let Some(object) = cluster.get(&kinds::PROVIDER, Some(&provider.namespace), &provider.name).await? else { return Ok(None) };
    let (Some(namespace), Some(name)) = (object.text("/spec/secret/namespace"), object.text("/spec/secret/name")) else { return Ok(None) };
    let secret = cluster.get(&kinds::SECRET, Some(namespace), name).await?;
    let encoded = secret.as_ref().and_then(|s| s.text("/data/insecureSkipVerify"));
    let actual = encoded.and_then(|text| STANDARD.decode(text).ok()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Some(ProviderTls { secret: format!("{namespace}/{name}"), skip_verify: session.profile.insecure_skip_verify, actual }))
}
