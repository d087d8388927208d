//! What a Plan needs before it can run, in the order in which the real controller looks at it: the order shows in the
//! conditions.

use anyhow::bail;
use mtv_api::{
    kinds::{HOOK, NAD, NETWORK_MAP, SERVICE_ACCOUNT, STORAGE_MAP},
    template,
};
use serde_json::Value;

use super::Work;
use crate::forklift::{
    cluster::Look,
    conditions::{about, condition},
    names, provider,
    reference::Reference,
};

/// Annotation of a NetworkAttachmentDefinition that names the gateway of a transfer network.
const ROUTE: &str = "forklift.konveyor.io/route";

impl Work<'_> {
    /// Sets a condition.
    pub(super) fn tell(&mut self, condition: mtv_api::condition::Condition) {
        let now = self.now();
        self.staged.set(condition, &now);
    }

    /// Validates everything.
    ///
    /// # Errors
    /// Something that must be looked at cannot be; no status is written then, and the look is repeated.
    pub(super) async fn validate(&mut self) -> anyhow::Result<()> {
        let pair = provider::pair(self.context, &self.object).await?;
        (self.source, self.destination) = (pair.source, pair.destination);
        for condition in pair.conditions {
            self.tell(condition);
        }
        if self.staged.has("SourceProviderNotReady") {
            return Ok(());
        }
        self.target_namespace();
        self.network_map().await?;
        self.storage_map().await?;
        if self.staged.blocked() {
            return Ok(());
        }
        self.kind_of_migration();
        self.validate_vms().await?;
        self.transfer_network().await?;
        self.service_account().await?;
        self.hooks().await?;
        self.validate_vddk().await?;
        self.name_templates();
        self.temporary_storage();
        Ok(())
    }

    fn target_namespace(&mut self) {
        let name = self.spec.target_namespace.clone();
        let not_valid = |reason: &str| condition("NamespaceNotValid", "Critical", reason, "The target namespace cannot be used.");
        if name.is_empty() {
            self.tell(not_valid("NotSet"));
        } else if !names::is_subdomain(&name) {
            self.tell(not_valid("NotValid"));
        }
    }

    async fn network_map(&mut self) -> anyhow::Result<()> {
        let reference = self.spec.map.network.clone();
        let not_valid = |reason: &str| condition("NetworkMapRefNotValid", "Critical", reason, "The network map cannot be used.");
        if reference.name.is_empty() || reference.namespace.is_empty() {
            self.tell(not_valid("NotSet"));
            return Ok(());
        }
        let Some(map) = self.context.cluster.get(&NETWORK_MAP, &reference.namespace, &reference.name).await? else {
            self.tell(not_valid("NotFound"));
            return Ok(());
        };
        if !map.holds("Ready") {
            self.tell(condition("NetworkMapNotReady", "Critical", "", "The network map is not Ready."));
        }
        let rows = map.items("/spec/map");
        let vsphere = self.source.as_ref().is_some_and(|s| matches!(s.text("/spec/type"), "vsphere" | "hyperv"));
        if vsphere && self.spec.preserve_static_ips.unwrap_or(true) && rows.iter().any(|row| row.text("/destination/type") == "pod") {
            let text = "Static addresses are to be kept, but the pod network gives addresses of its own.";
            self.tell(condition("NetMapPreservingIPsOnPodNetwork", "Warn", "", text));
        }
        for row in rows {
            let (namespace, name) = (row.text("/destination/namespace"), row.text("/destination/name"));
            if row.text("/destination/type") == "multus" && namespace != self.spec.target_namespace && namespace != "default" {
                let text = format!("{namespace}/{name} is neither in the target namespace nor in `default`, so that pods cannot use it.");
                self.tell(condition("NetMapDestinationNADNotValid", "Critical", "NotValid", text));
                return Ok(());
            }
        }
        self.network = Some(map);
        Ok(())
    }

    async fn storage_map(&mut self) -> anyhow::Result<()> {
        if self.spec.kind.as_deref() == Some("conversion") {
            return Ok(());
        }
        let reference = self.spec.map.storage.clone();
        let not_valid = |reason: &str| condition("StorageRefNotValid", "Critical", reason, "The storage map cannot be used.");
        if reference.name.is_empty() || reference.namespace.is_empty() {
            self.tell(not_valid("NotSet"));
            return Ok(());
        }
        let Some(map) = self.context.cluster.get(&STORAGE_MAP, &reference.namespace, &reference.name).await? else {
            self.tell(not_valid("NotFound"));
            return Ok(());
        };
        if !map.holds("Ready") {
            self.tell(condition("StorageMapNotReady", "Critical", "", "The storage map is not Ready."));
        }
        self.storage = Some(map);
        Ok(())
    }

    fn kind_of_migration(&mut self) {
        let kind = self.spec.kind.clone().unwrap_or_default();
        let source = self.source.as_ref().map(|s| s.text("/spec/type").to_owned()).unwrap_or_default();
        if self.is_warm() && !self.traits().warm {
            self.tell(condition("WarmMigrationNotReady", "Critical", "NotSupported", "This source cannot be migrated warm."));
        }
        let known = matches!(kind.as_str(), "" | "cold" | "warm" | "conversion") || (kind == "live" && source == "openshift");
        if !known {
            self.tell(condition("MigrationTypeNotValid", "Critical", "NotSupported", format!("This source cannot be migrated `{kind}`.")));
        }
    }

    async fn transfer_network(&mut self) -> anyhow::Result<()> {
        let Some(network) = self.spec.rest.get("transferNetwork").cloned() else { return Ok(()) };
        let not_valid = |reason: &str, text: &str| condition("TransferNetworkNotValid", "Critical", reason, text);
        let namespace = network.text("/namespace");
        let Some(nad) = self.context.cluster.get(&NAD, namespace, network.text("/name")).await? else {
            self.tell(not_valid("NotFound", "The transfer network is not there."));
            return Ok(());
        };
        if namespace != self.spec.target_namespace && namespace != "default" {
            self.tell(not_valid("NotValid", "The transfer network is neither in the target namespace nor in `default`."));
            return Ok(());
        }
        match nad.annotation(ROUTE) {
            None => {
                let text = "The transfer network does not name its gateway.";
                self.tell(condition("TransferNetworkMissingDefaultRoute", "Warn", "NotValid", text));
            }
            Some("none") => {}
            Some(route) if route.parse::<std::net::IpAddr>().is_ok() => {}
            Some(_) => self.tell(not_valid("NotValid", "The gateway of the transfer network is no address.")),
        }
        Ok(())
    }

    async fn service_account(&mut self) -> anyhow::Result<()> {
        let name = self.spec.rest.get("serviceAccount").and_then(Value::as_str).unwrap_or_default().to_owned();
        let namespace = self.spec.target_namespace.clone();
        if !name.is_empty() && self.context.cluster.get(&SERVICE_ACCOUNT, &namespace, &name).await?.is_none() {
            let text = format!("Namespace `{namespace}` has no service account `{name}`.");
            self.tell(condition("ServiceAccountNotValid", "Critical", "NotFound", text));
        }
        Ok(())
    }

    async fn hooks(&mut self) -> anyhow::Result<()> {
        let (mut steps, mut unset, mut unready, mut accounts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for vm in &self.spec.vms.clone() {
            let reference = self.best_reference(vm).await;
            for hook in &vm.hooks {
                let key = &hook.hook;
                let item = format!(
                    "VM: {reference} hook: &ObjectReference{{Kind:,Namespace:{},Name:{},UID:,APIVersion:,ResourceVersion:,FieldPath:,}}",
                    key.namespace, key.name
                );
                if !matches!(hook.step.as_str(), "PreHook" | "PostHook") {
                    steps.push(format!("VM: {reference} step: {}", hook.step));
                }
                if key.name.is_empty() || key.namespace.is_empty() {
                    unset.push(format!("VM: {reference}"));
                    continue;
                }
                // Not told in a condition: the real controller fails here and tries again.
                let Some(found) = self.context.cluster.get(&HOOK, &key.namespace, &key.name).await? else {
                    bail!("hook {}/{} is not there", key.namespace, key.name)
                };
                if !found.holds("Ready") {
                    unready.push(item.clone());
                }
                let account = found.text("/spec/serviceAccount");
                if !account.is_empty() && self.context.cluster.get(&SERVICE_ACCOUNT, self.namespace(), account).await?.is_none() {
                    accounts.push(item);
                }
            }
        }
        for (kind, reason, text, items) in [
            ("HookNotValid", "NotSet", "A hook is named without namespace or name.", unset),
            ("HookNotReady", "NotFound", "A hook is not Ready.", unready),
            ("HookStepNotValid", "NotValid", "A hook's step is neither PreHook nor PostHook.", steps),
            ("HookServiceAccountNotValid", "NotFound", "A hook's service account is not there.", accounts),
        ] {
            if !items.is_empty() {
                self.tell(about(condition(kind, "Critical", reason, text), items));
            }
        }
        Ok(())
    }

    /// The reference of a plan's VM, with what the inventory adds to it.
    pub async fn best_reference(&self, vm: &mtv_api::forklift::PlanVm) -> Reference {
        let asked = Reference {
            id: vm.id.clone().unwrap_or_default(),
            name: vm.name.clone().unwrap_or_default(),
            namespace: vm.namespace.clone().unwrap_or_default(),
            kind: String::new(),
        };
        match self.resolve(&asked).await {
            Ok(found) if found.len() == 1 => found[0].clone(),
            _ => asked,
        }
    }

    fn name_templates(&mut self) {
        for (name, title, fields) in [
            ("volumeNameTemplate", "volume", volume_fields("pvc", 0)),
            ("networkNameTemplate", "network", network_fields("n", "ns", "Multus", 0)),
        ] {
            let template = self.spec.rest.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if !template.is_empty() && template::label(&template, fields).is_err() {
                self.tell(condition("NotValid", "Critical", "", format!("The {title} name template cannot be used.")));
            }
        }
    }

    fn temporary_storage(&mut self) {
        let set = |name: &str| self.spec.rest.get(name).and_then(Value::as_str).is_some_and(|v| !v.is_empty());
        if set("conversionTempStorageClass") != set("conversionTempStorageSize") {
            self.tell(condition("NotValid", "Critical", "", "Temporary storage for the conversion needs both a class and a size."));
        }
    }
}

/// Data of a volume name template.
pub fn volume_fields(pvc: &str, index: i64) -> template::Data {
    template::Data { kind: "v1beta1.VolumeNameTemplateData", fields: vec![("PVCName", pvc.into()), ("VolumeIndex", index.into())] }
}

/// Data of a network name template.
pub fn network_fields(name: &str, namespace: &str, kind: &str, index: i64) -> template::Data {
    template::Data {
        kind: "v1beta1.NetworkNameTemplateData",
        fields: vec![
            ("NetworkName", name.into()),
            ("NetworkNamespace", namespace.into()),
            ("NetworkType", kind.into()),
            ("NetworkIndex", index.into()),
        ],
    }
}
