//! Plans: validated at each look, executed when a Migration asks for it, archived.

mod execute;
mod namespace;
pub mod validate;
mod vddk;
pub mod vms;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use mtv_api::{
    forklift::{PlanSpec, PlanStatus, PlanVm, VmStatus},
    kinds::{HOOK, HOST, NETWORK_MAP, PLAN, PROVIDER},
};
use serde_json::{Value, json};

pub use self::namespace::ensure as ensure_namespace;
use super::{
    Context, SLOW,
    cluster::{Key, Look},
    conditions::{Staged, condition},
    migrate::Fatal,
    provider,
    reference::Reference,
    settings::Settings,
    source::{self, Collection, Kind, Machine, Source, Traits},
};

/// Annotation that says that the labels of volume populators were set, which the real controller does once per plan.
const POPULATOR_LABELS: &str = "populatorLabels";

/// A Plan during one look.
pub struct Work<'a> {
    /// Shared.
    pub context: &'a Context,
    /// The Plan as read.
    pub object: Value,
    /// Its spec.
    pub spec: PlanSpec,
    /// Its status as it will be written, but for the conditions.
    pub status: PlanStatus,
    /// Its conditions.
    pub staged: Staged,
    /// Source Provider.
    pub source: Option<Value>,
    /// Destination Provider.
    pub destination: Option<Value>,
    /// NetworkMap.
    pub network: Option<Value>,
    /// StorageMap.
    pub storage: Option<Value>,
    /// Operator's settings.
    pub settings: Settings,
}

impl Work<'_> {
    /// Now, as it is written.
    pub fn now(&self) -> String {
        self.context.now()
    }

    /// Name of the Plan.
    pub fn name(&self) -> &str {
        self.object.text("/metadata/name")
    }

    /// Namespace of the Plan.
    pub fn namespace(&self) -> &str {
        self.object.text("/metadata/namespace")
    }

    /// UID of the Plan.
    pub fn uid(&self) -> &str {
        self.object.uid()
    }

    /// Whether the source runs on while its disks are copied.
    pub fn is_warm(&self) -> bool {
        self.spec.warm || self.spec.kind.as_deref() == Some("warm")
    }

    /// The execution.
    pub fn execution(&mut self) -> &mut mtv_api::forklift::PlanMigration {
        self.status.migration.get_or_insert_default()
    }

    /// Whether the destination is the cluster that Forklift runs in.
    pub fn destination_is_host(&self) -> bool {
        self.destination.as_ref().is_some_and(provider::is_host)
    }

    /// Whether virt-v2v copies the disks itself, instead of converting what CDI copied.
    pub fn v2v_copies(&self) -> bool {
        let traits = self.traits();
        if !traits.v2v_copies {
            return false;
        }
        !self.is_warm()
            && self.destination_is_host()
            && self.spec.migrate_shared_disks.unwrap_or(true)
            && !self.spec.skip_guest_conversion.unwrap_or(false)
            && self.spec.kind.as_deref() != Some("conversion")
            && !self.offloads()
    }

    /// Whether storage arrays copy disks of the plan.
    pub fn offloads(&self) -> bool {
        self.storage.as_ref().is_some_and(|map| map.items("/spec/map").iter().any(|row| row.get("offloadPlugin").is_some()))
    }

    /// Whether virt-v2v converts the guest.
    pub fn converts(&self) -> bool {
        self.traits().converts && !self.spec.skip_guest_conversion.unwrap_or(false)
    }

    /// Whether the guest is inspected before a warm migration copies it.
    pub fn inspects(&self) -> bool {
        self.traits().vddk
            && self.is_warm()
            && self.spec.run_preflight_inspection.unwrap_or(true)
            && !self.spec.skip_guest_conversion.unwrap_or(false)
    }

    /// Image with VMware's disk library, empty if there is none.
    pub fn vddk_image(&self) -> String {
        let own = self.source.as_ref().map(|s| s.text("/spec/settings/vddkInitImage")).unwrap_or_default();
        if own.is_empty() { self.settings.vddk_image.clone() } else { own.to_owned() }
    }

    /// What migrations from this source look like.
    pub fn traits(&self) -> Traits {
        let kind = self.source.as_ref().and_then(|s| source::kind(s.text("/spec/type")));
        kind.map_or(Traits::PLAIN, Kind::traits)
    }

    /// The source, connected and read.
    pub fn connected(&self) -> anyhow::Result<Arc<dyn Source>> {
        let provider = self.source.as_ref().context("the plan has no source provider")?;
        let source = self.context.inventories.get(provider.uid()).filter(|source| source.has_parity());
        source.context("the source's inventory is not read yet")
    }

    /// A VM in the source's inventory. One that is gone does not come back: in the middle of a migration that ends it.
    pub async fn machine(&self, id: &str) -> anyhow::Result<Machine> {
        let found = self.connected()?.machine(id).await?;
        found.ok_or_else(|| Fatal(format!("vm {id} is not in the source's inventory")).into())
    }

    /// The VM of the plan with this id, which the inventory may have had to find by its name.
    pub fn plan_vm(&self, id: &str, name: &str) -> Option<&PlanVm> {
        let by_id = self.spec.vms.iter().find(|vm| vm.id.as_deref() == Some(id));
        by_id.or_else(|| self.spec.vms.iter().find(|vm| vm.id.as_deref().unwrap_or_default().is_empty() && named(vm, name)))
    }

    /// Looks a reference up in the source's inventory: all matches.
    pub async fn resolve(&self, reference: &Reference) -> anyhow::Result<Vec<Reference>> {
        self.connected()?.find(Collection::Vms, reference).await
    }

    /// The status of a VM of the execution.
    pub fn vm_status(&self, reference: &Reference) -> Option<&VmStatus> {
        let vms = &self.status.migration.as_ref()?.vms;
        vms.iter().find(|vm| !vm.id.is_empty() && vm.id == reference.id)
    }
}

fn named(vm: &PlanVm, name: &str) -> bool {
    vm.name.as_deref().is_some_and(|n| n == name || n.rsplit('/').next() == Some(name))
}

/// Looks at a Plan.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    let Some(object) = context.cluster.get(&PLAN, &key.namespace, &key.name).await? else {
        clean_up_after(context, key).await?;
        return Ok(None);
    };
    let archived = object.pointer("/spec/archived") == Some(&json!(true));
    // What is archived is over for good, what succeeded until it is archived.
    if (archived && object.holds("Archived")) || (object.holds("Succeeded") && !archived) {
        return Ok(None);
    }
    // Whether something that plans refer to waits for its own controller.
    let postponed = context.watched.any_unreconciled(&[&PROVIDER, &NETWORK_MAP, &HOST, &HOOK]);
    let status: Option<PlanStatus> = serde_json::from_value(object["status"].clone()).context("the plan's status cannot be read")?;
    let status = status.unwrap_or_default();
    let written = status.conditions.clone();
    let mut work = Work {
        context,
        spec: serde_json::from_value(object["spec"].clone()).context("the plan's spec cannot be read")?,
        staged: Staged::begin(&written),
        status,
        object,
        source: None,
        destination: None,
        network: None,
        storage: None,
        settings: Settings::read(&context.cluster, &context.options.mtv_namespace).await?,
    };
    work.execution();
    work.validate().await?;
    work.label_populators().await?;
    let now = work.now();
    if archived {
        work.archive().await;
        work.staged.set(condition("Archived", "Advisory", "UserRequested", "The plan was archived."), &now);
    }
    if !work.staged.blocked() && !work.staged.has_any(&["Archived", "ValidatingVDDK"]) {
        work.staged.set(condition("Ready", "Required", "", "The plan can be run."), &now);
    }
    work.staged.end();
    let again = work.execute().await?;
    work.status.conditions = work.staged.list();
    work.status.observed_generation = Some(work.object.number("/metadata/generation"));
    let mut status = json!(work.status);
    if work.status.migration.as_ref().is_some_and(|m| *m == mtv_api::forklift::PlanMigration::default()) {
        status["migration"] = json!({});
    }
    context.publish(&PLAN, "plan", &work.object, &written, &work.staged, status).await?;
    Ok(again.or(postponed.then_some(SLOW)))
}

/// Removes what a deleted Plan left and no VM uses.
async fn clean_up_after(context: &Context, key: &Key) -> kube::Result<()> {
    use super::cluster::Propagation;
    use mtv_api::kinds::{CONFIG_MAP, DATA_VOLUME, POD, PVC, SECRET};
    let selector = format!("plan-name={},plan-namespace={}", key.name, key.namespace);
    for kind in [&PVC, &DATA_VOLUME, &POD, &SECRET, &CONFIG_MAP] {
        for object in context.cluster.list(kind, "", &selector).await? {
            let used = object.items("/metadata/ownerReferences").iter().any(|owner| owner.text("/kind") == "VirtualMachine");
            if !used {
                let key = Key::of(&object);
                context.cluster.delete(kind, &key.namespace, &key.name, Propagation::Background).await?;
            }
        }
    }
    Ok(())
}

impl Work<'_> {
    /// Sets the annotation about populator labels on a plan that ran.
    async fn label_populators(&mut self) -> kube::Result<()> {
        let ran = self.staged.has_any(&["Succeeded", "Failed", "Canceled"]);
        if ran && self.object.annotation(POPULATOR_LABELS).is_none() {
            let patch = json!({ "metadata": { "annotations": { POPULATOR_LABELS: "True" } } });
            let patched = self.context.cluster.merge(&PLAN, self.namespace(), self.name(), &patch).await?;
            self.object["metadata"] = patched["metadata"].clone();
        }
        Ok(())
    }
}
