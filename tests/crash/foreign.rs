//! A hundred foreign objects under names of ours: runs that fail because of them, are interrupted beside them and are cleaned up
//! leave every byte of them as it was.
//!
//! The names hold the id of the run, so each run is stopped for a moment as soon as its id is known, and goes on when the
//! look-alikes stand.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use mtv_api::kinds::{self, Kind};
use mtv_test::{providers::CloneRequest, run::names};
use serde_json::{Value, json};

use crate::{
    support::{Lab, told},
    traces::{Eyes, key, wait_for_folder},
};

fn send(run: &Child, signal: &str) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &run.id().to_string()]).status().unwrap().success());
}

/// A run that has been stopped as soon as its id was known.
fn stopped(lab: &Lab, results: &str, scenario: &str) -> (Child, PathBuf, String) {
    let mut run = lab.run_into(results, &[scenario]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (folder, id) = wait_for_folder(&mut run, &lab.path(results));
    send(&run, "STOP");
    (run, folder, id)
}

/// Objects that are not ours, and how they were.
struct Foreign<'a> {
    eyes: &'a Eyes,
    objects: BTreeMap<String, (&'static Kind, Option<String>, String)>,
    were: BTreeMap<String, Value>,
}

impl<'a> Foreign<'a> {
    fn new(eyes: &'a Eyes) -> Self {
        Self { eyes, objects: BTreeMap::new(), were: BTreeMap::new() }
    }

    /// Makes one; every third has a finalizer, every second an owner's label.
    async fn make(&mut self, kind: &'static Kind, namespace: Option<&str>, name: &str, rest: Value) {
        let mut body = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name}});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        if self.objects.len().is_multiple_of(3) && kind != &kinds::NAMESPACE {
            body["metadata"]["finalizers"] = json!(["example.com/keep"]);
        }
        if self.objects.len().is_multiple_of(2) {
            body["metadata"]["labels"] = json!({"mtv-test.io/run": "someoneelse", "app.kubernetes.io/managed-by": "mtv-test"});
        }
        let object: DynamicObject = serde_json::from_value(body).unwrap();
        let api = self.eyes.api(kind, namespace);
        match api.create(&PostParams::default(), &object).await {
            Ok(made) => {
                self.objects.insert(key(kind, &made), (kind, namespace.map(str::to_owned), name.to_owned()));
            }
            // The run was faster: this one is its own.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{} {name}: {error}", kind.kind),
        }
    }

    /// Everything of the names that a run of the cold scenario gives inside a namespace, and some more.
    async fn look_alikes(&mut self, namespace: &str, run: &str) {
        let data = json!({"stringData": {"password": "not yours"}});
        for name in
            ["vsphere-credentials", "destination-host", "source-vsphere", "sanity-cold", &names::clone(run, "mtv-tests-rhel8", 0, 0)]
        {
            self.make(&kinds::SECRET, Some(namespace), name, data.clone()).await;
            self.make(&kinds::CONFIG_MAP, Some(namespace), name, json!({"data": {"a": "b"}})).await;
            self.make(&kinds::SERVICE_ACCOUNT, Some(namespace), name, json!({})).await;
        }
        for name in ["source-vsphere", "destination-host"] {
            let spec = json!({"spec": {"type": "vsphere", "url": "https://elsewhere.example/sdk", "secret": {}}});
            self.make(&kinds::PROVIDER, Some(namespace), name, spec).await;
        }
        let base = names::nad_base(run, "sanity-cold");
        for name in ["sanity-cold", &base, &format!("{base}-1"), &format!("{base}-2")] {
            let spec = json!({"spec": {"config": "{\"cniVersion\":\"0.3.1\",\"type\":\"bridge\"}"}});
            self.make(&kinds::NAD, Some(namespace), name, spec).await;
        }
        let none = json!({"spec": {"provider": {"source": {}, "destination": {}}, "map": []}});
        for kind in [&kinds::STORAGE_MAP, &kinds::NETWORK_MAP] {
            self.make(kind, Some(namespace), "sanity-cold", none.clone()).await;
        }
        let plan = json!({"spec": {"provider": {"source": {}, "destination": {}}, "map": {"network": {}, "storage": {}}, "targetNamespace": namespace, "vms": []}});
        self.make(&kinds::PLAN, Some(namespace), "sanity-cold", plan).await;
        let vm = json!({"spec": {"running": false, "template": {"spec": {"domain": {"devices": {}}}}}});
        self.make(&kinds::VM, Some(namespace), &names::clone(run, "mtv-tests-rhel8", 0, 0), vm).await;
    }

    /// What must not change: all of an object that no controller works on, and all but the controllers' part of the others.
    async fn now(&self) -> BTreeMap<String, Value> {
        let mut now = BTreeMap::new();
        for (name, (kind, namespace, plain)) in &self.objects {
            let object = self.eyes.api(kind, namespace.as_deref()).get_opt(plain).await.unwrap();
            let mut value = serde_json::to_value(&object).unwrap();
            if ![&kinds::SECRET, &kinds::CONFIG_MAP, &kinds::NAD, &kinds::SERVICE_ACCOUNT].contains(kind)
                && let Some(object) = value.as_object_mut()
            {
                object.remove("status");
                for field in ["managedFields", "resourceVersion", "generation"] {
                    object["metadata"].as_object_mut().unwrap().remove(field);
                }
            }
            now.insert(name.clone(), value);
        }
        now
    }

    async fn remember(&mut self) {
        self.were = self.now().await;
    }

    async fn must_be_as_they_were(&self, when: &str) {
        for (name, now) in self.now().await {
            assert_eq!(now, self.were[&name], "{when}: {name}");
        }
    }

    /// Takes the finalizers off and deletes, as their owner would.
    async fn remove(&mut self) {
        for (kind, namespace, name) in self.objects.values() {
            let api = self.eyes.api(kind, namespace.as_deref());
            let free = json!({"metadata": {"finalizers": null}});
            let _ = api.patch(name, &PatchParams::default(), &Patch::Merge(&free)).await;
            let _ = api.delete(name, &DeleteParams::default()).await;
        }
        self.objects.clear();
    }
}

async fn output(run: Child) -> Output {
    tokio::task::spawn_blocking(move || run.wait_with_output().unwrap()).await.unwrap()
}

fn clean(lab: &Lab, folder: &Path) -> Output {
    let mut command = crate::support::binary();
    command.current_dir(&lab.folder).arg("clean").arg(folder).args(["--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]);
    command.args(["--timeout", "5m"]).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_look_alikes_stay_as_they_are() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let mut foreign = Foreign::new(&eyes);
    let before = lab.objects().await;
    let mut count = 0;

    // The namespace's name is taken, and everything in it has names of ours: the run fails, and so does a second one beside it.
    for results in ["taken", "taken-again"] {
        let (run, folder, id) = stopped(&lab, results, "sanity-cold");
        let namespace = names::namespace("mtv-test", &id);
        foreign.make(&kinds::NAMESPACE, None, &namespace, json!({})).await;
        foreign.look_alikes(&namespace, &id).await;
        foreign.remember().await;
        send(&run, "CONT");
        let failed = output(run).await;
        assert_eq!(failed.status.code(), Some(7), "{}", told(&failed));
        assert!(told(&failed).contains("exists already and is not of this run"), "{}", told(&failed));
        foreign.must_be_as_they_were("after a run that failed").await;
        let cleaned = clean(&lab, &folder);
        assert!(cleaned.status.success(), "{}", told(&cleaned));
        foreign.must_be_as_they_were("after clean").await;
    }
    count += foreign.objects.len();

    // The namespace is ours, and somebody works in it.
    for (results, interrupted) in [("inside", false), ("inside-interrupted", true)] {
        let (run, folder, id) = stopped(&lab, results, "sanity-cold");
        let namespace = names::namespace("mtv-test", &id);
        send(&run, "CONT");
        lab.wait_for(&kinds::NAMESPACE, |n| n.metadata.name.as_deref() == Some(namespace.as_str())).await;
        send(&run, "STOP");
        let mut inside = Foreign::new(&eyes);
        inside.look_alikes(&namespace, &id).await;
        inside.remember().await;
        if interrupted {
            send(&run, "INT");
        }
        send(&run, "CONT");
        let ended = output(run).await;
        let code = ended.status.code();
        assert!(if interrupted { code == Some(2) } else { code == Some(7) }, "{}", told(&ended));
        assert!(told(&ended).contains("not of this run"), "{}", told(&ended));
        inside.must_be_as_they_were("after a run among foreign objects").await;
        let cleaned = clean(&lab, &folder);
        assert_eq!(cleaned.status.code(), Some(8), "{}", told(&cleaned));
        assert!(told(&cleaned).contains("not of this run"), "{}", told(&cleaned));
        inside.must_be_as_they_were("after clean among foreign objects").await;
        foreign.must_be_as_they_were("beside it").await;
        count += inside.objects.len();
        // When they are gone, the same command takes the rest.
        inside.remove().await;
        let cleaned = clean(&lab, &folder);
        assert!(cleaned.status.success(), "{}", told(&cleaned));
        assert_eq!(eyes.traces(&id).await, Vec::<String>::new());
    }

    // A clone's name is taken on the source.
    let (run, folder, id) = stopped(&lab, "source", "sanity-cold");
    let name = names::clone(&id, "mtv-tests-rhel8", 0, 0);
    let request =
        CloneRequest { source: "mtv-tests-rhel8".into(), name: name.clone(), run: "someoneelse".into(), ..CloneRequest::default() };
    let vm = eyes.source().cloner().unwrap().clone_vm(&request).await.unwrap();
    let was = eyes.source().cloner().unwrap().describe_vm(&vm).await.unwrap();
    send(&run, "CONT");
    let failed = output(run).await;
    assert_eq!(failed.status.code(), Some(7), "{}", told(&failed));
    let cleaned = clean(&lab, &folder);
    assert!(cleaned.status.success(), "{}", told(&cleaned));
    assert_eq!(eyes.source().cloner().unwrap().describe_vm(&vm).await.unwrap(), was);
    eyes.source().cloner().unwrap().delete(&vm).await.unwrap();
    count += 1;

    foreign.must_be_as_they_were("at the end").await;
    foreign.remove().await;
    let none = |names: std::collections::BTreeSet<String>| names.into_iter().filter(|n| !n.starts_with("Namespace")).collect::<Vec<_>>();
    assert_eq!(none(lab.objects().await), none(before));
    println!("{count} look-alikes, 5 runs that failed or were interrupted, each cleaned up: all as they were");
    assert!(count >= 100, "too few look-alikes came to stand: {count}");
}
