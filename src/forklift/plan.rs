//! Specs of a Plan and its Hooks from a scenario: what the CRDs know and nothing else.

use mtv_api::forklift::{HookRef, ObjectRef, PlanMap, PlanSpec, PlanVm, ProviderPair};
use serde_json::{Value, json};

use crate::config::{
    profile::ProviderKind,
    scenario::{Hook, PowerWish, Scenario},
};

/// What a Plan is made of beside its scenario.
#[derive(Debug, Clone)]
pub struct PlanInput<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Which of its Plans.
    pub plan: usize,
    /// Kind of the source.
    pub kind: ProviderKind,
    /// Source and destination.
    pub provider: ProviderPair,
    /// Maps.
    pub map: PlanMap,
    /// Where VMs are created.
    pub target_namespace: &'a str,
    /// The VMs of this Plan.
    pub vms: Vec<PlannedVm>,
    /// Hooks of each VM.
    pub hooks: Vec<HookRef>,
    /// Run id, the value of labels that are given none.
    pub run: &'a str,
}

/// A VM of a Plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedVm {
    /// Inventory id.
    pub id: String,
    /// Name in the source.
    pub name: String,
    /// Namespace in the source, OpenShift sources only.
    pub namespace: Option<String>,
    /// Name in the destination, if it is to have another one.
    pub target_name: Option<String>,
}

/// Builds the spec.
pub fn plan_spec(input: PlanInput<'_>) -> PlanSpec {
    let PlanInput { scenario, run, .. } = input;
    let vm = |vm: PlannedVm| PlanVm {
        id: Some(vm.id),
        name: Some(vm.name),
        namespace: vm.namespace,
        target_name: vm.target_name,
        hooks: input.hooks.clone(),
        ..PlanVm::default()
    };
    PlanSpec {
        target_namespace: input.target_namespace.to_owned(),
        warm: scenario.warm_migration,
        provider: input.provider,
        map: input.map,
        vms: input.vms.into_iter().map(vm).collect(),
        preserve_static_ips: Some(scenario.preserve_static_ips),
        pvc_name_template: scenario.pvc_template(input.plan, input.kind).map(str::to_owned),
        pvc_name_template_use_generate_name: scenario.pvc_name_template_use_generate_name,
        target_power_state: scenario.target_power_state.map(|p| if p == PowerWish::On { "on" } else { "off" }.to_owned()),
        target_labels: scenario.labels(run),
        target_node_selector: scenario.node_label(run).into_iter().collect(),
        target_affinity: scenario.affinity(run),
        rdm_as_lun: scenario.rdm_as_lun,
        enable_nested_virtualization: scenario.enable_nested_virtualization,
        run_preflight_inspection: scenario.run_preflight_inspection,
        ..PlanSpec::default()
    }
}

/// Spec of a Hook.
pub fn hook_spec(image: &str, hook: &Hook) -> Value {
    json!({ "image": image, "playbook": hook.base64() })
}

impl PlanInput<'_> {
    /// References to the maps, both of one name and namespace.
    pub fn maps(namespace: &str, storage: &str, network: &str) -> PlanMap {
        PlanMap { network: ObjectRef::new(namespace, network), storage: ObjectRef::new(namespace, storage) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{
        diagnostics::Problems,
        scenario::{ScenarioPlan, ScenarioVm},
        scenario_file,
    };

    fn spec(scenario: &Scenario, plan: usize) -> Value {
        let reference = |name| ObjectRef::new("ns", name);
        let spec = plan_spec(PlanInput {
            scenario,
            plan,
            kind: ProviderKind::Vsphere,
            provider: ProviderPair { source: reference("source"), destination: reference("destination") },
            map: PlanInput::maps("ns", "s", "n"),
            target_namespace: "vms",
            vms: vec![PlannedVm { id: "vm-1".to_owned(), name: "a".to_owned(), namespace: None, target_name: Some("b".to_owned()) }],
            hooks: vec![HookRef { step: "PreHook".to_owned(), hook: reference("hook") }],
            run: "run1",
        });
        serde_json::to_value(spec).unwrap()
    }

    /// What a scenario does not say is not in the Plan, but for what the CRD would make true.
    #[test]
    fn a_plain_scenario_makes_a_plain_plan() {
        let reference = |name| json!({"namespace": "ns", "name": name});
        let mut wanted = json!({
            "targetNamespace": "vms",
            "provider": {"source": reference("source"), "destination": reference("destination")},
            "map": {"storage": reference("s"), "network": reference("n")},
            "vms": [{"id": "vm-1", "name": "a", "targetName": "b", "hooks": [{"step": "PreHook", "hook": reference("hook")}]}],
            "preserveStaticIPs": false,
        });
        let mut scenario = Scenario::new("x", vec![ScenarioVm::default()]);
        assert_eq!(spec(&scenario, 0), wanted);
        scenario.plans = vec![ScenarioPlan { name: None, copyoffload: true }];
        wanted["pvcNameTemplate"] = json!("pvc");
        assert_eq!(spec(&scenario, 0), wanted);
    }

    #[test]
    fn every_option_reaches_the_plan() {
        let text = r#"
            [scenario.x]
            warm_migration = true
            target_power_state = "on"
            preserve_static_ips = true
            pvc_name_template = { vsphere = "{{.VmName}}", default = "d" }
            pvc_name_template_use_generate_name = false
            target_node_selector = { node = { unique = true } }
            target_labels = { a = "b", c = { unique = true } }
            target_affinity = { nodeAffinity = { x = { unique = true } } }
            rdm_as_lun = true
            enable_nested_virtualization = false
            run_preflight_inspection = false
            virtual_machines = [{ name = "a", source_vm_power = "on" }]
        "#;
        let mut problems = Problems::default();
        let scenario = &scenario_file::parse(std::path::Path::new("x.toml"), text, &mut problems)[0].scenario;
        assert!(problems.is_empty(), "{problems}");
        let spec: BTreeMap<String, Value> = serde_json::from_value(spec(scenario, 0)).unwrap();
        for (key, wanted) in [
            ("warm", json!(true)),
            ("targetPowerState", json!("on")),
            ("preserveStaticIPs", json!(true)),
            ("pvcNameTemplate", json!("{{.VmName}}")),
            ("pvcNameTemplateUseGenerateName", json!(false)),
            ("targetNodeSelector", json!({"node-run1": "run1"})),
            ("targetLabels", json!({"a": "b", "c": "run1"})),
            ("targetAffinity", json!({"nodeAffinity": {"x": "run1"}})),
            ("rdmAsLun", json!(true)),
            ("enableNestedVirtualization", json!(false)),
            ("runPreflightInspection", json!(false)),
        ] {
            assert_eq!(spec.get(key), Some(&wanted), "{key}");
        }
    }

    #[test]
    fn a_hook_has_its_playbook_in_base64() {
        let spec = hook_spec("image", &Hook::Playbook("- hosts: localhost".to_owned()));
        assert_eq!(spec, json!({"image": "image", "playbook": "LSBob3N0czogbG9jYWxob3N0"}));
    }
}
