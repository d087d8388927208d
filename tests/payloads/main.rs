//! Every object that a scenario creates or patches, sent to a real kube-apiserver with the real CRDs: no unknown field,
//! no missing one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails ends the test")]

mod recorded;
#[path = "../lab/support.rs"]
#[allow(dead_code, reason = "each of the tests that share it uses a part")]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, ValidationDirective},
    core::{ApiResource, GroupVersionKind},
};
use mtv_api::{
    forklift::{HookRef, MapSpec, ObjectRef, ProviderPair, ProviderSpec, StorageEntry},
    kinds::{self, Kind},
};
use mtv_test::{
    config::{
        catalogue::Catalogue,
        copyoffload::{CopyOffload, EsxiCloneMethod, StorageVendor},
        profile::{Details, Profile, ProviderKind, VsphereProfile},
        scenario::{Scenario, ScenarioVm},
    },
    forklift::{self, Cutover, NetworkTarget, PlanInput, PlannedVm, manifest},
    providers::{Disk, Nic, Power, VmDescription},
    run::{Offload, names, namespace_body, source_secret, storage_secret},
    secrets::{Secret, SecretValue},
    steps::{self, nad_body},
};
use mtv_testkit::{Options, RealCluster, assets, async_cases, crds, suite::Suite};
use serde_json::{Value, json};

const RUN: &str = "abcdefghij";

struct Judge {
    client: Client,
    sent: usize,
    refused: Vec<String>,
}

impl Judge {
    fn api(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(kind.group, kind.version, kind.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural);
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    /// Sends a create as the run does: with its labels.
    async fn create(&mut self, kind: &Kind, mut body: Value) {
        body["metadata"]["labels"][names::RUN_LABEL] = json!(RUN);
        body["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("mtv-test");
        let namespace = body["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let url = format!("{}?fieldValidation=Strict", self.api(kind, &namespace).resource_url());
        // As JSON, not through a typed object: nothing may be lost on the way.
        let request = http::Request::post(url).header("content-type", "application/json").body(body.to_string().into_bytes()).unwrap();
        let answer: Result<Value, kube::Error> = self.client.request(request).await;
        self.note(kind, &body, answer.err());
    }

    async fn patch(&mut self, kind: &Kind, namespace: &str, name: &str, patch: Value) {
        let params = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() };
        let answer = self.api(kind, namespace).patch(name, &params, &Patch::Merge(&patch)).await;
        self.note(kind, &patch, answer.err());
    }

    fn note(&mut self, kind: &Kind, body: &Value, error: Option<kube::Error>) {
        self.sent += 1;
        if let Some(error) = error {
            self.refused.push(format!("{}: {error}\n{body}", kind.kind));
        }
    }
}

fn vm(name: &str) -> VmDescription {
    let nic = |n: usize| Nic {
        name: format!("Network adapter {n}"),
        mac: format!("00:50:56:00:00:0{n}"),
        network: format!("net-{n}"),
        network_id: format!("network-{n}"),
        ..Nic::default()
    };
    let disk =
        |n: i64| Disk { name: format!("Hard disk {n}"), bytes: 1 << 30, storage: format!("store-{n}"), key: 2000 + n, ..Disk::default() };
    VmDescription {
        id: format!("vm-{name}"),
        name: name.to_owned(),
        uuid: Some("4203cdd8-0000-0000-0000-000000000000".into()),
        power: Power::Off,
        sockets: Some(1),
        cores_per_socket: Some(1),
        memory_mib: Some(1024),
        nics: vec![nic(1), nic(2), nic(3)],
        disks: vec![disk(1), disk(2)],
        tools_running: true,
        ..VmDescription::default()
    }
}

fn profile() -> Profile {
    let copyoffload = Some(CopyOffload {
        vendor: Some(StorageVendor::Ontap),
        datastore_id: Some("datastore-1".into()),
        secondary_datastore_id: Some("datastore-2".into()),
        non_xcopy_datastore_id: Some("datastore-3".into()),
        storage: BTreeMap::from([("STORAGE_PASSWORD".to_owned(), SecretValue::Secret(Secret::new("of the array")))]),
        clone_method: EsxiCloneMethod::Ssh,
        ..CopyOffload::default()
    });
    let vddk_init_image = Some("registry.example.com/vddk:8".into());
    Profile {
        api_url: "https://vcenter.example.com/sdk".into(),
        username: "admin".into(),
        password: Secret::new("secret"),
        ..Profile::new("source", Details::from(VsphereProfile { vddk_init_image, copyoffload, clone_provider: None }))
    }
}

fn offload_map(profile: &Profile, needed: &BTreeSet<&str>) -> Vec<StorageEntry> {
    let offload = Offload { secret: "copyoffload-storage".into(), vendor: StorageVendor::Ontap.name().into() };
    steps::offload_rows(profile.copyoffload().unwrap(), &offload, needed, "standard", &["host-1".to_owned()])
}

async fn scenario(judge: &mut Judge, scenario: &Scenario, namespace: &str, providers: &ProviderPair) {
    let mut hooks = Vec::new();
    for (step, suffix, hook) in [("PreHook", "pre-hook", &scenario.pre_hook), ("PostHook", "post-hook", &scenario.post_hook)] {
        let Some(hook) = hook else { continue };
        let name = names::plan_object(&scenario.name, Some(suffix));
        let spec = forklift::hook_spec("quay.io/example/hook-runner", hook);
        judge.create(&kinds::HOOK, manifest(&kinds::HOOK, Some(namespace), &name, &spec)).await;
        hooks.push(HookRef { step: step.to_owned(), hook: ObjectRef::new(namespace, name) });
    }
    for index in 0..scenario.plans.len() {
        plan(judge, scenario, index, namespace, providers, &hooks).await;
    }
}

async fn plan(judge: &mut Judge, scenario: &Scenario, index: usize, namespace: &str, providers: &ProviderPair, hooks: &[HookRef]) {
    let name = names::plan_object(&scenario.name, scenario.plans[index].name.as_deref());
    let vms: Vec<VmDescription> = scenario.vms_of(index).map(|(_, wish)| vm(&wish.name)).collect();
    let sources: Vec<&VmDescription> = vms.iter().collect();
    let map = match scenario.plans[index].copyoffload {
        true => offload_map(&profile(), &scenario.profile_fields()),
        false => forklift::storage_entries(&sources, "standard"),
    };
    let storage = MapSpec { provider: providers.clone(), map };
    judge.create(&kinds::STORAGE_MAP, manifest(&kinds::STORAGE_MAP, Some(namespace), &name, &storage)).await;
    let (map, targets) = forklift::network_entries(&sources, namespace, &names::nad_base(RUN, &name));
    for (index, target) in targets.iter().enumerate() {
        if let NetworkTarget::Multus { namespace, name } = &target.1 {
            judge.create(&kinds::NAD, nad_body(namespace, name, index)).await;
        }
    }
    let network = MapSpec { provider: providers.clone(), map };
    judge.create(&kinds::NETWORK_MAP, manifest(&kinds::NETWORK_MAP, Some(namespace), &name, &network)).await;
    let planned = |(source, (_, wish)): (&VmDescription, (usize, &ScenarioVm))| PlannedVm {
        id: source.id.clone(),
        name: source.name.clone(),
        namespace: source.namespace.clone(),
        target_name: wish.target_name.clone(),
    };
    let plan = forklift::plan_spec(PlanInput {
        scenario,
        plan: index,
        kind: ProviderKind::Vsphere,
        provider: providers.clone(),
        map: PlanInput::maps(namespace, &name, &name),
        target_namespace: namespace,
        vms: vms.iter().zip(scenario.vms_of(index)).map(planned).collect(),
        hooks: hooks.to_vec(),
        run: RUN,
    });
    judge.create(&kinds::PLAN, manifest(&kinds::PLAN, Some(namespace), &name, &plan)).await;
    for (suffix, cutover) in [("cold", Cutover::None), ("warm", Cutover::After(Duration::from_mins(5)))] {
        let spec = forklift::migration_spec(ObjectRef::new(namespace, &name), cutover, jiff::Timestamp::now());
        let migration = format!("{name}-{suffix}");
        judge.create(&kinds::MIGRATION, manifest(&kinds::MIGRATION, Some(namespace), &migration, &spec)).await;
        let cancel: Vec<Value> = plan.vms.iter().map(|vm| json!({ "id": vm.id, "name": vm.name })).collect();
        judge.patch(&kinds::MIGRATION, namespace, &migration, json!({ "spec": { "cancel": cancel } })).await;
    }
    judge.patch(&kinds::PLAN, namespace, &name, json!({ "spec": { "archived": true } })).await;
}

async fn every_object_of_every_scenario_is_valid() {
    let Some(folder) = crds::folder() else { return };
    let Some(cluster) = RealCluster::start(Options::default()).await.unwrap() else { return };
    let client = cluster.client().await.unwrap();
    crds::install(&client, &crds::read(&folder).unwrap()).await.unwrap();
    let mut judge = Judge { client, sent: 0, refused: Vec::new() };
    let namespace = names::namespace("mtv-test", RUN);
    judge.create(&kinds::NAMESPACE, namespace_body(&namespace)).await;
    let profile = profile();
    judge
        .create(&kinds::SECRET, source_secret(profile.kind(), &namespace, "vsphere-credentials", &forklift::access(&profile, Some("PEM"))))
        .await;
    let providers = ProviderPair { source: ObjectRef::new(&namespace, "source"), destination: ObjectRef::new(&namespace, "host") };
    let source = ProviderSpec {
        kind: profile.kind().to_string(),
        url: profile.api_url.clone(),
        secret: ObjectRef::new(&namespace, "vsphere-credentials"),
        settings: forklift::settings(&profile),
    };
    assert_eq!(source.settings.keys().collect::<Vec<_>>(), ["esxiCloneMethod", "vddkInitImage"]);
    judge.create(&kinds::SECRET, storage_secret(profile.copyoffload().unwrap(), &namespace)).await;
    let map = offload_map(&profile, &BTreeSet::from(["secondary_datastore_id", "non_xcopy_datastore_id"]));
    assert_eq!(map.len(), 3);
    let map = MapSpec { provider: providers.clone(), map };
    judge.create(&kinds::STORAGE_MAP, manifest(&kinds::STORAGE_MAP, Some(&namespace), "copy-offload", &map)).await;
    let host = ProviderSpec { kind: "openshift".to_owned(), ..ProviderSpec::default() };
    for (name, spec) in [("source", &source), ("host", &host)] {
        judge.create(&kinds::PROVIDER, manifest(&kinds::PROVIDER, Some(&namespace), name, spec)).await;
    }
    // The operator's own object, whose interval a warm scenario sets for the time of the run.
    judge
        .create(&kinds::FORKLIFT_CONTROLLER, manifest(&kinds::FORKLIFT_CONTROLLER, Some(&namespace), "forklift-controller", &json!({})))
        .await;
    let interval = json!({ "spec": { "controller_precopy_interval": 1 } });
    judge.patch(&kinds::FORKLIFT_CONTROLLER, &namespace, "forklift-controller", interval).await;
    let catalogue = Catalogue::load(None).unwrap();
    assert!(!catalogue.scenarios().is_empty());
    for one in catalogue.scenarios() {
        scenario(&mut judge, one, &namespace, &providers).await;
    }
    println!("{} payloads of {} scenarios", judge.sent, catalogue.scenarios().len());
    assert!(judge.refused.is_empty(), "kube-apiserver refuses:\n{}", judge.refused.join("\n"));
}

fn main() -> ExitCode {
    Suite::new()
        .with(
            assets::missing(&["etcd", "kube-apiserver"]).or_else(|| crds::folder().is_none().then(|| "folder of CRDs".to_owned())),
            async_cases![every_object_of_every_scenario_is_valid, recorded::what_a_run_sends_is_valid],
        )
        .run()
}
