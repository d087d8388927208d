//! Prepare: clone the source VMs, bring them to the wanted power, take snapshots, describe them, wait for the inventory.

mod guest;

use std::{collections::BTreeSet, time::Duration};

use futures::future::try_join_all;
use mtv_api::kinds;

use super::Scene;
use crate::{
    config::{
        profile::ProviderKind,
        scenario::{PowerWish, ScenarioVm},
    },
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    events::What,
    journal::Entry,
    providers::{CloneRequest, InventoryDescribed, Machines, VmDescription},
    run::{Migrating, ScenarioState, cannot, names, provider_failure},
    verify::has_static_addresses,
};

/// How long a guest may take to report its network before the migration; a guest without tools is no failure.
const GUEST_PATIENCE: Duration = Duration::from_mins(2);

/// Runs the step.
pub async fn run(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let target =
        scene.scenario.vm_target_namespace.as_ref().map_or_else(|| session.namespace.clone(), |namespace| namespace.of(session.run()));
    scene.ensure_namespace(&target, cx).await?;
    names_are_free(scene, &target, cx).await?;
    state.target_namespace = target;
    let vms = scene.scenario.virtual_machines.iter().enumerate();
    state.vms = try_join_all(vms.map(|(index, wish)| prepare_vm(scene, index, wish, cx))).await?;
    Ok(state
        .vms
        .iter()
        .map(|vm| {
            let d = &vm.source;
            let how = if scene.session.source.cloner().is_some() { "cloned to" } else { "taken as" };
            let count = |number: Option<u64>| number.map_or("unknown".to_owned(), |number| number.to_string());
            format!(
                "VM {} {how} {} ({}): {} sockets of {} cores, {} MiB, {} disks, {} adapters",
                vm.wish.name,
                d.name,
                d.id,
                count(d.sockets.map(u64::from)),
                count(d.cores_per_socket.map(u64::from)),
                count(d.memory_mib),
                d.disks.len(),
                d.nics.len()
            )
        })
        .collect())
}

/// Forklift refuses a Plan whose VM has the name of one that is there (VMAlreadyExists): told before anything is cloned.
async fn names_are_free(scene: &Scene<'_>, namespace: &str, cx: &StepCx) -> Result<(), Failure> {
    for name in scene.scenario.virtual_machines.iter().filter_map(|vm| vm.target_name.as_deref()) {
        cx.progress(format!("checking that no VirtualMachine {namespace}/{name} exists"), None);
        if scene.session.cluster().get(&kinds::VM, Some(namespace), name).await?.is_some() {
            return Err(Failure::Errored(
                Diagnosis::new(
                    Id::ObjectExists,
                    format!("VirtualMachine {namespace}/{name} exists already, and a VM of the scenario has this `target_name`"),
                )
                .hint("it was left alone; delete it, or choose another target_name or vm_target_namespace"),
            ));
        }
    }
    Ok(())
}

async fn prepare_vm(scene: &Scene<'_>, index: usize, wish: &ScenarioVm, cx: &StepCx) -> Result<Migrating, Failure> {
    let session = scene.session;
    let cloner = match session.source.machines() {
        Machines::Cloned(cloner) => cloner,
        Machines::Taken(inventory) => return take(scene, inventory, index, wish, cx).await,
    };
    let mut wish = wish.clone();
    if let Some(offload) = session.profile.copyoffload() {
        // From here on the VM has the name of the one that is really cloned.
        wish.name = offload.source_name(&wish).to_owned();
    }
    let base = wish.clone_name.as_deref().unwrap_or(&wish.name);
    let mut request = CloneRequest {
        source: wish.name.clone(),
        name: if wish.preserve_name_format {
            names::clone_as_is(session.run(), base, scene.index, index)
        } else {
            names::clone(session.run(), base, scene.index, index)
        },
        run: session.run().to_owned(),
        changed_block_tracking: scene.scenario.warm_migration,
        ..CloneRequest::default()
    };
    super::offload::describe(scene, &wish, &mut request)?;
    cx.progress(format!("cloning VM {} to {}", request.source, request.name), None);
    let id = make_clone(scene, &request, cx).await?;
    if let Some(power) = wish.source_vm_power {
        cx.progress(format!("bringing VM {} to power {power:?}", request.name).to_lowercase(), None);
        guarded(cx, async { cloner.set_power(&id, power).await.map_err(provider_failure) }).await?;
    }
    if wish.source_vm_power == Some(PowerWish::On) {
        cx.progress(format!("waiting for the guest of VM {} to report its network", request.name), None);
        // Addresses that are to be kept must be known; others are only looked at.
        let patience =
            if scene.scenario.preserve_static_ips { GUEST_PATIENCE.max(scene.scenario.guest_agent_timeout) } else { GUEST_PATIENCE };
        let told = guarded(cx, async { cloner.wait_for_guest(&id, patience).await.map_err(provider_failure) }).await?;
        if !told {
            cx.warn(format!("the guest of VM {} did not report its network within {}s; going on", request.name, patience.as_secs()));
        }
    }
    match session.source.snapshots() {
        Some(snapshots) => {
            for number in 1..=wish.snapshots {
                let name = format!("{}-snapshot-{number}", request.name);
                cx.progress(format!("taking snapshot {number} of VM {}", request.name), None);
                guarded(cx, async { snapshots.snapshot(&id, &name).await.map_err(provider_failure) }).await?;
            }
        }
        None if wish.snapshots > 0 => {
            cx.warn(format!("VM {} gets no snapshots: a source of type {} takes none", request.name, session.profile.kind()));
        }
        None => {}
    }
    let mut source = guarded(cx, async { cloner.describe_vm(&id).await.map_err(provider_failure) }).await?;
    if scene.scenario.preserve_static_ips {
        guest::ask(scene, &mut source, cx).await?;
    }
    let marked = guest::mark(scene, &source, cx).await?;
    if scene.scenario.preserve_static_ips && session.profile.kind() == ProviderKind::Vsphere && !has_static_addresses(&source) {
        return Err(nothing_to_keep(&source));
    }
    let limit = scene.scenario.inventory_timeout.unwrap_or(session.settings.inventory_timeout);
    session.inventory.wait_for_vm(cx, &id, &request.name, limit).await?;
    let storage: BTreeSet<String> = source.disks.iter().map(|disk| disk.storage.clone()).collect();
    cx.emitter.emit(What::Cloned { source: request.source, clone: request.name, id, storage: storage.into_iter().collect() });
    Ok(Migrating { wish, source, marked })
}

/// The scenario asks to keep static addresses, and there are none: told before the migration, not after it.
fn nothing_to_keep(source: &VmDescription) -> Failure {
    let told: Vec<String> = source.nics.iter().flat_map(|nic| &nic.configured).map(|address| address.ip.to_string()).collect();
    Failure::Errored(
        Diagnosis::new(
            Id::SourceVmUnsuitable,
            format!("the guest of VM {} has no static address to keep, which `preserve_static_ips` is about", source.name),
        )
        .cause(if told.is_empty() {
            "its tools tell no address".to_owned()
        } else {
            format!("its tools tell [{}] by DHCP", told.join(", "))
        })
        .hint("open-vm-tools or VMware Tools must run in the source VM, and one of its adapters needs an address of its own"),
    )
}

/// Takes a VM as it is, where the source makes no clones: it is migrated under a name of the run, so that runs do not meet.
async fn take(
    scene: &Scene<'_>,
    inventory: &dyn InventoryDescribed,
    index: usize,
    wish: &ScenarioVm,
    cx: &StepCx,
) -> Result<Migrating, Failure> {
    let session = scene.session;
    let kind = session.profile.kind();
    let found = session.inventory.wait_for_name(cx, &wish.name, session.settings.inventory_timeout).await?;
    let source = inventory.describe_inventory(&found).map_err(provider_failure)?;
    let mut wish = wish.clone();
    wish.target_name.get_or_insert_with(|| names::clone(session.run(), &source.name, scene.index, index));
    if wish.source_vm_power.take() == Some(PowerWish::On) {
        cx.warn(format!("VM {} stays as it is: a source of type {kind} cannot be switched", source.name));
    }
    if wish.snapshots > 0 {
        cx.warn(format!("VM {} gets no snapshots: a source of type {kind} takes none", source.name));
    }
    if scene.scenario.data_marker {
        cx.warn(format!("VM {} gets no data marker: a source of type {kind} runs no commands in guests", source.name));
    }
    Ok(Migrating { wish, source, marked: false })
}

/// Writes the clone down, makes it, and writes down what it became. The making is a task of its own: when an interrupt drops
/// this step, it goes on to its end, and what cleans up waits for it.
async fn make_clone(scene: &Scene<'_>, request: &CloneRequest, cx: &StepCx) -> Result<String, Failure> {
    let session = scene.session;
    let under_way = scene.clones.begin().await;
    let entry = session
        .journal()
        .intend(Entry::Clone {
            profile: session.profile.name.clone(),
            provider: session.profile.kind(),
            name: request.name.clone(),
            scenario: Some(scene.scenario.name.clone()),
        })
        .await?;
    let (source, journal, request) = (session.source.clone(), session.journal().clone(), request.clone());
    let making = tokio::spawn(async move {
        // Asked for again: the task outlives this step, and so must what it borrows.
        let cloner = source.cloner().ok_or_else(|| cannot(source.as_ref(), "makes no clones"))?;
        let made = cloner.clone_vm(&request).await.map_err(provider_failure);
        if let Ok(id) = &made {
            journal.created(entry, id.clone()).await?;
        }
        drop(under_way);
        made
    });
    guarded(cx, async { making.await.map_err(|e| anyhow::anyhow!("the task that makes the clone was lost: {e}"))? }).await
}

/// Ends with an interrupt. What is under way on the source changes a clone that the journal has.
async fn guarded<T>(cx: &StepCx, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        () = cx.cancel.cancelled() => Err(Failure::Interrupted),
        result = work => result,
    }
}
