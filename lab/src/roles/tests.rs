//! Roles against the lab's own API server, in this process.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams},
    runtime::wait::await_condition,
};
use mtv_api::kinds::{self, Kind};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    kubernetes::{ApiServer, Options, User},
    tls::Authority,
    world::DiskImage,
};

/// A server and a context; the roles end with it.
struct Bench {
    cx: Context,
    _end: tokio_util::sync::DropGuard,
}

/// Time runs 200 times as fast: ten seconds of a real component take 50 ms.
async fn bench(namespace: &str) -> Bench {
    // Another test may have been first.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let user = User { name: "admin".to_owned(), token: "t".to_owned(), groups: vec!["system:masters".to_owned()], password: None };
    let server = ApiServer::new(vec![user], Options::default());
    let cancel = CancellationToken::new();
    let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(200.0));
    let cx = Context::new(server.client("admin"), world, cancel.clone());
    let bench = Bench { cx, _end: cancel.drop_guard() };
    bench.make(&kinds::NAMESPACE, json!({ "metadata": { "name": namespace } })).await;
    bench.make(&kinds::NODE, json!({ "metadata": { "name": "worker-0" } })).await;
    let class = json!({ "metadata": { "name": "lab-block" }, "provisioner": provisioner::DRIVER, "reclaimPolicy": "Delete" });
    bench.make(&kinds::STORAGE_CLASS, class).await;
    bench
}

impl Bench {
    fn client(&self) -> &Client {
        &self.cx.client
    }

    async fn make(&self, kind: &Kind, object: Value) -> DynamicObject {
        write::create(self.client(), "test", kind, object).await.unwrap().unwrap()
    }

    fn api(&self, kind: &Kind) -> Api<DynamicObject> {
        write::api(self.client(), kind, "n")
    }

    /// Waits until an object is as wanted. The time only ends a test that would hang.
    async fn until(&self, kind: &Kind, name: &str, wanted: impl Fn(&Value) -> bool + Send + Sync) -> Value {
        let condition = move |object: Option<&DynamicObject>| object.is_some_and(|o| wanted(&o.data));
        let found = tokio::time::timeout(Duration::from_secs(30), await_condition(self.api(kind), name, condition)).await;
        match found {
            Ok(found) => found.unwrap().unwrap().data,
            Err(tokio::time::error::Elapsed { .. }) => panic!("{} {name} stays {:?}", kind.kind, self.api(kind).get_opt(name).await),
        }
    }

    async fn until_gone(&self, kind: &Kind, name: &str) {
        let gone = |object: Option<&DynamicObject>| object.is_none();
        let waited = tokio::time::timeout(Duration::from_secs(30), await_condition(self.api(kind), name, gone)).await;
        assert!(waited.is_ok(), "{} {name} stays {:?}", kind.kind, self.api(kind).get_opt(name).await);
    }

    async fn remove(&self, kind: &Kind, name: &str, params: DeleteParams) {
        self.api(kind).delete(name, &params).await.unwrap();
    }
}

fn phase(wanted: &'static str) -> impl Fn(&Value) -> bool + Send + Sync {
    move |object| write::text(object, "/status/phase") == wanted
}

fn claim(name: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": "n" },
        "spec": { "accessModes": ["ReadWriteMany"], "volumeMode": "Block", "storageClassName": "lab-block", "resources": { "requests": { "storage": "1Gi" } } } })
}

#[tokio::test]
async fn a_claim_is_bound_and_its_volume_goes_with_it() {
    let bench = bench("n").await;
    pv::start(&bench.cx).await.unwrap();
    provisioner::start(&bench.cx).await.unwrap();
    bench.make(&kinds::PVC, claim("c")).await;
    let bound = bench.until(&kinds::PVC, "c", phase("Bound")).await;
    assert_eq!(write::text(&bound, "/status/capacity/storage"), "1Gi");
    let volume = write::text(&bound, "/spec/volumeName").to_owned();
    assert_eq!(pv::volumes_of(&bench.cx, "n").await.unwrap(), std::slice::from_ref(&volume));
    bench.remove(&kinds::PVC, "c", DeleteParams::default()).await;
    bench.until_gone(&kinds::PVC, "c").await;
    bench.until_gone(&kinds::PV, &volume).await;
}

#[tokio::test]
async fn a_volume_goes_with_a_claim_that_went_before_it_was_bound() {
    let bench = bench("n").await;
    let mut held = claim("c");
    held["metadata"]["finalizers"] = json!(["example.com/keep"]);
    let uid = bench.make(&kinds::PVC, held).await.uid().unwrap();
    bench.remove(&kinds::PVC, "c", DeleteParams::default()).await;
    pv::start(&bench.cx).await.unwrap();
    provisioner::start(&bench.cx).await.unwrap();
    let name = provisioner::volume_of(&uid);
    let spec = json!({ "accessModes": ["ReadWriteMany"], "capacity": { "storage": "1Gi" }, "persistentVolumeReclaimPolicy": "Delete",
        "storageClassName": "lab-block", "volumeMode": "Block", "csi": { "driver": provisioner::DRIVER, "volumeHandle": name },
        "claimRef": { "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "c", "namespace": "n", "uid": uid } });
    let made_by = json!({ "pv.kubernetes.io/provisioned-by": provisioner::DRIVER });
    bench.make(&kinds::PV, json!({ "metadata": { "name": name, "annotations": made_by }, "spec": spec })).await;
    write::merge(&bench.api(&kinds::PVC), "test", "c", json!({ "metadata": { "finalizers": null } })).await.unwrap();
    bench.until_gone(&kinds::PVC, "c").await;
    bench.until_gone(&kinds::PV, &name).await;
}

fn job(name: &str, container: &str, map: Option<&str>) -> Value {
    let volumes = map.map(|m| json!([{ "name": "hook", "configMap": { "name": m } }])).unwrap_or_default();
    json!({ "metadata": { "name": name, "namespace": "n" }, "spec": { "backoffLimit": 1, "template": { "spec": {
        "restartPolicy": "Never", "initContainers": [{ "name": "first", "image": "i" }], "containers": [{ "name": container, "image": "i" }], "volumes": volumes } } } })
}

#[tokio::test]
async fn jobs_end_as_their_pods_do() {
    let bench = bench("n").await;
    kubelet::start(&bench.cx, &crate::tls::Authority::new().unwrap()).await.unwrap();
    jobs::start(&bench.cx).await.unwrap();
    let failing = json!({ "metadata": { "name": "bad", "namespace": "n" }, "data": { "playbook.yml": "- hosts: all\n  tasks:\n  - fail: msg=no\n" } });
    bench.make(&kinds::CONFIG_MAP, failing).await;
    bench.make(&kinds::JOB, job("good", "validator", None)).await;
    bench.make(&kinds::JOB, job("bad", "hook", Some("bad"))).await;
    let holds = |kind: &'static str| move |job: &Value| write::holds(write::list(job, "/status/conditions"), kind);
    let good = bench.until(&kinds::JOB, "good", holds("Complete")).await;
    assert!(write::holds(write::list(&good, "/status/conditions"), "SuccessCriteriaMet"));
    assert!(good["status"]["startTime"].is_string() && good["status"]["completionTime"].is_string());
    assert_eq!((&good["status"]["succeeded"], good["status"].get("active")), (&json!(1), None));
    let bad = bench.until(&kinds::JOB, "bad", holds("Failed")).await;
    assert_eq!(bad["status"]["failed"], 2);
    let reasons: Vec<_> = write::list(&bad, "/status/conditions").iter().map(|c| write::text(c, "/reason")).collect();
    assert_eq!(reasons, ["BackoffLimitExceeded", "BackoffLimitExceeded"]);
    let pods = Api::<Pod>::namespaced(bench.client().clone(), "n").list(&ListParams::default()).await.unwrap();
    assert!(pods.iter().all(|p| p.status.as_ref().unwrap().init_container_statuses.as_ref().is_some_and(|s| s.len() == 1)));
}

fn volume(name: &str, spec: &Value) -> Value {
    let mut object = json!({ "metadata": { "name": name, "namespace": "n", "labels": { "vmID": "vm-1" }, "annotations": { "forklift.konveyor.io/disk-source": "[ds] a/a.vmdk" } }, "spec": spec });
    object["spec"]["storage"] = json!({ "storageClassName": "lab-block", "resources": { "requests": { "storage": "2Gi" } } });
    object
}

#[tokio::test]
async fn a_blank_volume_is_a_claim_with_the_volumes_labels() {
    let bench = bench("n").await;
    pv::start(&bench.cx).await.unwrap();
    provisioner::start(&bench.cx).await.unwrap();
    cdi::start(&bench.cx).await.unwrap();
    let profile = bench.until(&kinds::STORAGE_PROFILE, "lab-block", |p| p.pointer("/status/claimPropertySets").is_some()).await;
    assert_eq!(write::text(&profile, "/status/claimPropertySets/0/volumeMode"), "Block");
    let made = bench.make(&kinds::DATA_VOLUME, volume("d", &json!({ "source": { "blank": {} } }))).await;
    let done = bench.until(&kinds::DATA_VOLUME, "d", phase("Succeeded")).await;
    assert_eq!(write::text(&done, "/status/claimName"), "d");
    let claim = bench.api(&kinds::PVC).get("d").await.unwrap();
    assert_eq!(claim.labels()["vmID"], "vm-1");
    assert_eq!(claim.annotations()["forklift.konveyor.io/disk-source"], "[ds] a/a.vmdk");
    assert_eq!(claim.owner_references()[0].uid, made.uid().unwrap());
    assert_eq!(write::text(&claim.data, "/spec/volumeMode"), "Block");
}

#[tokio::test]
async fn a_warm_import_pauses_at_each_checkpoint() {
    let bench = bench("n").await;
    pv::start(&bench.cx).await.unwrap();
    provisioner::start(&bench.cx).await.unwrap();
    cdi::start(&bench.cx).await.unwrap();
    bench.cx.world.disks.put("[ds] a/a.vmdk", DiskImage { guest: Some("rhel8".to_owned()) });
    let spec = |list: Value, last: bool| json!({ "source": { "vddk": { "backingFile": "[ds] a/a.vmdk" } }, "checkpoints": list, "finalCheckpoint": last });
    bench.make(&kinds::DATA_VOLUME, volume("w", &spec(json!([{ "current": "s1", "previous": "" }]), false))).await;
    bench.until(&kinds::DATA_VOLUME, "w", phase("Paused")).await;
    let copied = |claim: &DynamicObject, snapshot: &str| {
        claim.annotations().contains_key(&format!("cdi.kubevirt.io/storage.checkpoint.copied.{snapshot}"))
    };
    let claim = bench.api(&kinds::PVC).get("w").await.unwrap();
    assert!(copied(&claim, "s1") && !copied(&claim, "s2"));
    let patch = json!({ "spec": { "checkpoints": [{ "current": "s1", "previous": "" }, { "current": "s2", "previous": "x" }], "finalCheckpoint": true } });
    write::merge(&bench.api(&kinds::DATA_VOLUME), "test", "w", patch).await.unwrap();
    bench.until(&kinds::DATA_VOLUME, "w", phase("Succeeded")).await;
    let claim = bench.api(&kinds::PVC).get("w").await.unwrap();
    assert!(copied(&claim, "s2"));
    assert!(bench.cx.world.guest(&format!("pvc:{}", claim.uid().unwrap())).is_some());
}

#[tokio::test]
async fn a_claim_is_cloned_and_what_nobody_serves_is_never_done() {
    let bench = bench("n").await;
    pv::start(&bench.cx).await.unwrap();
    provisioner::start(&bench.cx).await.unwrap();
    cdi::start(&bench.cx).await.unwrap();
    let made = bench.make(&kinds::PVC, claim("golden")).await;
    bench.cx.world.disks.put(format!("pvc:{}", made.uid().unwrap()), DiskImage { guest: Some("rhel8".to_owned()) });
    let new = |name: &str, source: Value| {
        let mut object = volume(name, &json!({ "source": source }));
        object["metadata"].as_object_mut().unwrap().remove("annotations");
        object
    };
    bench.make(&kinds::DATA_VOLUME, new("copy", json!({ "pvc": { "name": "golden", "namespace": "n" } }))).await;
    bench.until(&kinds::DATA_VOLUME, "copy", phase("Succeeded")).await;
    let copy = bench.api(&kinds::PVC).get("copy").await.unwrap();
    assert!(bench.cx.world.guest(&format!("pvc:{}", copy.uid().unwrap())).is_some());
    for (name, source, phase, why) in [
        ("absent", json!({ "pvc": { "name": "none", "namespace": "n" } }), "CloneInProgress", "claim n/none does not exist"),
        (
            "image",
            json!({ "registry": { "url": "docker://x/y" } }),
            "ImportInProgress",
            "nothing in the lab serves the content of source [\"registry\"]",
        ),
    ] {
        bench.make(&kinds::DATA_VOLUME, new(name, source)).await;
        let crashing = |object: &Value| object.pointer("/status/restartCount") == Some(&json!(1));
        let seen = bench.until(&kinds::DATA_VOLUME, name, crashing).await;
        let running = write::list(&seen, "/status/conditions").iter().find(|c| c["type"] == "Running").unwrap();
        assert_eq!((write::text(running, "/reason"), write::text(running, "/message")), ("Error", why));
        assert_eq!(write::text(&seen, "/status/phase"), phase);
    }
}

fn owned(name: &str, owner: &DynamicObject) -> Value {
    json!({ "metadata": { "name": name, "namespace": "n", "ownerReferences": [write::controller_of(&kinds::CONFIG_MAP, &owner.name_any(), &owner.uid().unwrap())] } })
}

#[tokio::test]
async fn what_is_owned_goes_with_its_owner_unless_the_owner_was_replaced() {
    let bench = bench("n").await;
    gc::start(&bench.cx).await.unwrap();
    let config = |name: &str| json!({ "metadata": { "name": name, "namespace": "n" } });
    let first = bench.make(&kinds::CONFIG_MAP, config("first")).await;
    let second = bench.make(&kinds::CONFIG_MAP, config("second")).await;
    bench.make(&kinds::SECRET, owned("goes", &first)).await;
    bench.make(&kinds::SECRET, owned("stays", &first)).await;
    let patch = json!({ "metadata": { "ownerReferences": [write::controller_of(&kinds::CONFIG_MAP, "second", &second.uid().unwrap())] } });
    write::merge(&bench.api(&kinds::SECRET), "test", "stays", patch).await.unwrap();
    bench.remove(&kinds::CONFIG_MAP, "first", DeleteParams::background()).await;
    bench.until_gone(&kinds::SECRET, "goes").await;
    assert!(bench.api(&kinds::SECRET).get_opt("stays").await.unwrap().is_some());
    bench.remove(&kinds::CONFIG_MAP, "second", DeleteParams::foreground()).await;
    bench.until_gone(&kinds::SECRET, "stays").await;
    bench.until_gone(&kinds::CONFIG_MAP, "second").await;
}

#[tokio::test]
async fn an_orphan_loses_its_owner_and_an_owner_that_never_was_is_no_owner() {
    let bench = bench("n").await;
    gc::start(&bench.cx).await.unwrap();
    let owner = bench.make(&kinds::CONFIG_MAP, json!({ "metadata": { "name": "owner", "namespace": "n" } })).await;
    bench.make(&kinds::SECRET, owned("orphan", &owner)).await;
    bench.remove(&kinds::CONFIG_MAP, "owner", DeleteParams::orphan()).await;
    bench.until_gone(&kinds::CONFIG_MAP, "owner").await;
    let left = bench.api(&kinds::SECRET).get("orphan").await.unwrap();
    assert!(left.owner_references().is_empty());
    bench.make(&kinds::SECRET, owned("stray", &owner)).await;
    bench.until_gone(&kinds::SECRET, "stray").await;
}

#[tokio::test]
async fn a_namespace_goes_after_its_contents() {
    let bench = bench("n").await;
    namespace::start(&bench.cx).await.unwrap();
    bench.make(&kinds::SECRET, json!({ "metadata": { "name": "s", "namespace": "n" } })).await;
    bench.make(&kinds::CONFIG_MAP, json!({ "metadata": { "name": "kept", "namespace": "n", "finalizers": ["example.com/keep"] } })).await;
    let namespaces = write::all(bench.client(), &kinds::NAMESPACE);
    namespaces.delete("n", &DeleteParams::default()).await.unwrap();
    bench.until_gone(&kinds::SECRET, "s").await;
    let told = |namespace: &Value| write::holds(write::list(namespace, "/status/conditions"), "NamespaceFinalizersRemaining");
    bench.until(&kinds::NAMESPACE, "n", told).await;
    write::merge(&bench.api(&kinds::CONFIG_MAP), "test", "kept", json!({ "metadata": { "finalizers": null } })).await.unwrap();
    bench.until_gone(&kinds::NAMESPACE, "n").await;
}

/// All roles that a virtual machine needs.
async fn virtual_machines() -> Bench {
    let bench = bench("n").await;
    pv::start(&bench.cx).await.unwrap();
    provisioner::start(&bench.cx).await.unwrap();
    gc::start(&bench.cx).await.unwrap();
    kubelet::start(&bench.cx, &crate::tls::Authority::new().unwrap()).await.unwrap();
    kubevirt::start(&bench.cx, &Authority::new().unwrap()).await.unwrap();
    bench
}

fn vm(strategy: &str, claim: &str) -> Value {
    json!({ "metadata": { "name": "v", "namespace": "n" }, "spec": { "runStrategy": strategy, "template": {
        "metadata": { "labels": { "app": "v" } },
        "spec": {
            "domain": { "cpu": { "sockets": 2, "cores": 1 }, "memory": { "guest": "1Gi" },
                "devices": { "disks": [{ "name": "vol-0", "bootOrder": 1, "disk": { "bus": "virtio" } }], "interfaces": [{ "name": "net-0", "masquerade": {}, "macAddress": "00:50:56:00:00:01" }] } },
            "networks": [{ "name": "net-0", "pod": {} }],
            "volumes": [{ "name": "vol-0", "persistentVolumeClaim": { "claimName": claim } }] } } } })
}

fn printable(wanted: &'static str) -> impl Fn(&Value) -> bool + Send + Sync {
    move |object| write::text(object, "/status/printableStatus") == wanted
}

#[tokio::test]
async fn a_virtual_machine_starts_and_stops() {
    let bench = virtual_machines().await;
    let made = bench.make(&kinds::PVC, claim("c")).await;
    bench.cx.world.disks.put(format!("pvc:{}", made.uid().unwrap()), DiskImage { guest: Some("rhel8".to_owned()) });
    bench.make(&kinds::VM, vm("Always", "c")).await;
    let connected = |object: &Value| write::holds(write::list(object, "/status/conditions"), "AgentConnected");
    let running = bench.until(&kinds::VM, "v", connected).await;
    assert_eq!((write::text(&running, "/status/printableStatus"), &running["status"]["ready"]), ("Running", &json!(true)));
    let instance = bench.until(&kinds::VMI, "v", connected).await;
    assert_eq!(write::text(&instance, "/status/nodeName"), "worker-0");
    assert_eq!(write::text(&instance, "/status/interfaces/0/mac"), "00:50:56:00:00:01");
    assert_eq!(write::text(&instance, "/status/guestOSInfo/id"), "rhel");
    write::merge(&bench.api(&kinds::VM), "test", "v", json!({ "spec": { "runStrategy": "Halted" } })).await.unwrap();
    let stopped = bench.until(&kinds::VM, "v", printable("Stopped")).await;
    assert!(stopped["status"].get("ready").is_none() && stopped["status"].get("created").is_none());
    bench.until_gone(&kinds::VMI, "v").await;
    bench.remove(&kinds::VM, "v", DeleteParams::default()).await;
    bench.until_gone(&kinds::VM, "v").await;
}

#[tokio::test]
async fn a_virtual_machine_without_its_claim_says_so() {
    let bench = virtual_machines().await;
    bench.make(&kinds::VM, vm("Always", "nowhere")).await;
    bench.until(&kinds::VM, "v", printable("ErrorPvcNotFound")).await;
    bench.make(&kinds::PVC, claim("nowhere")).await;
    bench.until(&kinds::VM, "v", printable("Running")).await;
    bench.remove(&kinds::VM, "v", DeleteParams::default()).await;
    bench.until_gone(&kinds::VM, "v").await;
    bench.until_gone(&kinds::VMI, "v").await;
}

#[tokio::test]
async fn a_conversion_pod_copies_and_hands_out_results() {
    let bench = bench("n").await;
    kubelet::start(&bench.cx, &crate::tls::Authority::new().unwrap()).await.unwrap();
    let mut source = claim("c");
    source["metadata"]["annotations"] = json!({ "forklift.konveyor.io/disk-source": "[ds] a/a.vmdk" });
    let made = bench.make(&kinds::PVC, source).await;
    bench.cx.world.disks.put("[ds] a/a.vmdk", DiskImage { guest: Some("rhel9".to_owned()) });
    let pod = json!({ "metadata": { "name": "p", "namespace": "n", "labels": { "forklift.app": "virt-v2v" } }, "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "virt-v2v", "image": "i", "env": [{ "name": "V2V_vmName", "value": "a" }] }],
        "volumes": [{ "name": "d", "persistentVolumeClaim": { "claimName": "c" } }] } });
    bench.make(&kinds::POD, pod).await;
    let running = bench.until(&kinds::POD, "p", phase("Running")).await;
    let ip = write::text(&running, "/status/podIP").to_owned();
    let metrics = reqwest::get(format!("http://{ip}:2112/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("v2v_disk_transfers{disk_id=\"1\"}"), "{metrics}");
    // Refused until the work is done: that is how the real pod tells.
    let inspection = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match reqwest::get(format!("http://{ip}:8080/inspection")).await {
                Ok(answer) => break answer.text().await.unwrap(),
                Err(error) => assert!(error.is_connect(), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert!(inspection.contains("<osinfo>rhel9.6</osinfo>"), "{inspection}");
    assert!(bench.cx.world.guest(&format!("pvc:{}", made.uid().unwrap())).is_some());
    let vm = reqwest::get(format!("http://{ip}:8080/vm")).await.unwrap().text().await.unwrap();
    assert!(vm.contains("kind: VirtualMachine"), "{vm}");
    let told = reqwest::Client::new().post(format!("http://{ip}:8080/shutdown")).send().await.unwrap();
    assert_eq!(told.status(), 204);
    bench.until(&kinds::POD, "p", phase("Succeeded")).await;
}

#[tokio::test]
async fn a_pod_that_runs_ends_when_it_is_deleted() {
    let bench = bench("n").await;
    kubelet::start(&bench.cx, &crate::tls::Authority::new().unwrap()).await.unwrap();
    bench
        .make(
            &kinds::POD,
            json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": { "containers": [{ "name": "a", "image": "i" }] } }),
        )
        .await;
    bench.until(&kinds::POD, "p", phase("Running")).await;
    bench.remove(&kinds::POD, "p", DeleteParams::default()).await;
    bench.until_gone(&kinds::POD, "p").await;
}
