//! What a Plan needs before it can run, in the order in which the real controller looks at it: the order shows in the
//! conditions.

use anyhow::bail;
use mtv_api::{
    kinds::{CSI_STORAGE_CAPACITY, HOOK, NAD, NAMESPACE, NETWORK_MAP, SERVICE_ACCOUNT, STORAGE_CLASS, STORAGE_MAP},
    template,
};
use serde_json::Value;

use super::Work;
use crate::{
    forklift::{
        cluster::Look,
        conditions::{about, condition},
        hook, names, provider,
        reference::Reference,
    },
    kubernetes::Quantity,
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
        self.user_defined_networks().await?;
        self.kind_of_migration();
        self.validate_vms().await?;
        self.transfer_network().await?;
        self.service_account().await?;
        self.hooks().await?;
        self.virt_v2v_image();
        if !self.staged.has("VirtV2vImageNotValid") {
            self.validate_vddk().await?;
        }
        self.name_templates();
        self.temporary_storage().await?;
        self.pod_security().await
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
        if name.is_empty() {
            return Ok(());
        }
        // Pods of hooks run beside the plan.
        let (target, own) = (self.spec.target_namespace.clone(), self.namespace().to_owned());
        for namespace in [target.clone(), own] {
            if namespace != target && !self.has_pod_hooks().await? {
                continue;
            }
            if self.context.cluster.get(&SERVICE_ACCOUNT, &namespace, &name).await?.is_none() {
                let text = format!("Namespace `{namespace}` has no service account `{name}`.");
                self.tell(condition("ServiceAccountNotValid", "Critical", "NotFound", text));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether a hook of the plan runs in a pod.
    async fn has_pod_hooks(&self) -> anyhow::Result<bool> {
        for hook in self.spec.vms.iter().flat_map(|vm| &vm.hooks) {
            let found = self.context.cluster.get(&HOOK, &hook.hook.namespace, &hook.hook.name).await?;
            if found.is_some_and(|hook| !hook::is_on_platform(&hook) && hook::is_executable(&hook)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn hooks(&mut self) -> anyhow::Result<()> {
        let (mut steps, mut unset, mut unready, mut accounts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut gone, mut empty) = (Vec::new(), Vec::new());
        // A hook that is not there is told only if another one is found after it: else the real controller fails here.
        let mut failed = false;
        for vm in &self.spec.vms.clone() {
            let reference = self.best_reference(vm).await;
            for hook in &vm.hooks {
                let key = &hook.hook;
                let name = format!(
                    "&ObjectReference{{Kind:,Namespace:{},Name:{},UID:,APIVersion:,ResourceVersion:,FieldPath:,}}",
                    key.namespace, key.name
                );
                let item = format!("VM: {reference} hook: {name}");
                if !matches!(hook.step.as_str(), "PreHook" | "PostHook") {
                    steps.push(format!("VM: {reference} step: {}", hook.step));
                }
                if key.name.is_empty() || key.namespace.is_empty() {
                    unset.push(format!("VM: {reference}"));
                    continue;
                }
                let Some(found) = self.context.cluster.get(&HOOK, &key.namespace, &key.name).await? else {
                    failed = true;
                    gone.push(item);
                    continue;
                };
                failed = false;
                if !hook::is_executable(&found) {
                    empty.push(item.clone());
                }
                if !found.holds("Ready") {
                    unready.push(item.clone());
                }
                let account = found.text("/spec/serviceAccount");
                if account.is_empty() || hook::is_on_platform(&found) {
                    continue;
                }
                if self.context.cluster.get(&SERVICE_ACCOUNT, self.namespace(), account).await?.is_none() {
                    accounts.push(format!("{item} ServiceAccount '{account}' not found in namespace '{}'", self.namespace()));
                }
            }
        }
        for (kind, reason, text, items) in [
            ("HookNotValid", "NotSet", "A hook is named without namespace or name.", unset),
            ("HookNotValid", "NotFound", "A hook is not there.", gone),
            ("HookNotReady", "NotFound", "A hook is not Ready.", unready),
            ("HookStepNotValid", "NotValid", "A hook's step is neither PreHook nor PostHook.", steps),
            ("HookNotValid", "NotValid", "A hook has nothing to run.", empty),
            ("HookServiceAccountNotValid", "NotFound", "A hook's service account is not there.", accounts),
        ] {
            if !items.is_empty() {
                self.tell(about(condition(kind, "Critical", reason, text), items));
            }
        }
        if failed {
            bail!("a hook of plan {} is not there", self.name())
        }
        Ok(())
    }

    fn virt_v2v_image(&mut self) {
        let image = self.spec.rest.get("virtV2vImage").and_then(Value::as_str).unwrap_or_default();
        if !image.is_empty() && (!names::is_image(image) || !image.contains('/')) {
            self.tell(condition("VirtV2vImageNotValid", "Critical", "NotValid", "`virtV2vImage` is no whole image reference."));
        }
    }

    /// Networks of OpenShift that users define: those of the third layer are not for virtual machines.
    async fn user_defined_networks(&mut self) -> anyhow::Result<()> {
        let namespace = self.spec.target_namespace.clone();
        for nad in self.context.cluster.list(&NAD, &namespace, "k8s.ovn.org/user-defined-network=").await? {
            let config: Value = serde_json::from_str(nad.text("/spec/config")).unwrap_or_default();
            if config["type"] == "ovn-k8s-cni-overlay" && config["topology"] == "layer3" {
                self.tell(condition("UnsupportedUdn", "Critical", "NotSupported", "A network of layer 3 is in the target namespace."));
            }
        }
        Ok(())
    }

    /// Pods of conversions need more than a restricted namespace gives.
    async fn pod_security(&mut self) -> anyhow::Result<()> {
        let namespace = self.context.options.mtv_namespace.clone();
        let found = self.context.cluster.get(&NAMESPACE, "", &namespace).await?;
        if found.is_some_and(|namespace| namespace.label("pod-security.kubernetes.io/enforce") == Some("restricted")) {
            let text = format!("Namespace `{namespace}` refuses what conversions need.");
            self.tell(condition("RestrictedPodSecurity", "Warn", "", text));
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
        for (name, title) in [("volumeNameTemplate", "volume"), ("networkNameTemplate", "network")] {
            let template = self.spec.rest.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if !is_name_template(name, &template) {
                self.tell(condition("NotValid", "Critical", "", format!("The {title} name template cannot be used.")));
            }
        }
    }

    async fn temporary_storage(&mut self) -> anyhow::Result<()> {
        let get = |name: &str| self.spec.rest.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (class, size) = (get("conversionTempStorageClass"), get("conversionTempStorageSize"));
        if class.is_empty() && size.is_empty() {
            return Ok(());
        }
        let not_valid = |category: &str, text: String| condition("NotValid", category, "", text);
        if class.is_empty() || size.is_empty() {
            self.tell(not_valid("Critical", "Temporary storage for the conversion needs both a class and a size.".to_owned()));
            return Ok(());
        }
        let Ok(wanted) = Quantity::parse(&size) else {
            self.tell(not_valid("Critical", format!("`{size}` is no size of temporary storage.")));
            return Ok(());
        };
        if self.context.cluster.get(&STORAGE_CLASS, "", &class).await?.is_none() {
            self.tell(not_valid("Critical", format!("The cluster has no storage class `{class}` for temporary storage.")));
            return Ok(());
        }
        let known: Vec<Value> = self.context.cluster.list(&CSI_STORAGE_CAPACITY, "", "").await?;
        let known: Vec<&Value> = known.iter().filter(|capacity| capacity["storageClassName"] == class.as_str()).collect();
        let fits = |capacity: &&&Value| {
            let most =
                if capacity["maximumVolumeSize"].is_string() { capacity.text("/maximumVolumeSize") } else { capacity.text("/capacity") };
            Quantity::parse(most).is_ok_and(|most| most.nano() >= wanted.nano())
        };
        if known.is_empty() {
            self.tell(not_valid("Advisory", format!("Nobody tells how much room storage class `{class}` has.")));
        } else if known.iter().find(fits).is_none() {
            self.tell(not_valid("Critical", format!("Storage class `{class}` has no room for {size}.")));
        }
        Ok(())
    }
}

/// Whether a template of names can be used; none at all is none that cannot.
pub fn is_name_template(field: &str, template: &str) -> bool {
    let data = if field == "volumeNameTemplate" {
        volume_fields("test-pvc", 0)
    } else {
        network_fields("test-network", "test-namespace", "Multus", 0)
    };
    template.is_empty() || template::label(template, data).is_ok()
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
