//! Copies that people make inherit the run's mark or labels, and stay.

use std::fs;

use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};
use mtv_test::{
    config::profile_file::ProfileFile,
    providers::{CloneRequest, Source, connect},
};
use serde_json::{Value, json};

use crate::{
    bed::{clean, everything, killed, make, text},
    craft::RUN,
    support::{Lab, told},
    traces::Eyes,
};

async fn copy_of(eyes: &Eyes, kind: &'static Kind, (namespace, name): (&str, &str), to: (&str, &str), lab: &Lab) {
    let object: DynamicObject = eyes.api(kind, Some(namespace)).get(name).await.unwrap();
    let mut rest: Value = object.data;
    rest.as_object_mut().unwrap().remove("status");
    rest["metadata"] = json!({"labels": object.metadata.labels, "annotations": object.metadata.annotations});
    make(&lab.client().await, kind, Some(to.0), to.1, rest).await;
}

async fn clone(source: &dyn Source, of: &str, name: &str, run: &str) -> String {
    // As vCenter does with extraConfig, Nova and Cinder with metadata, and people with comments: the mark is in the copy.
    let request = CloneRequest { source: of.into(), name: name.into(), run: run.into(), ..CloneRequest::default() };
    source.cloner().unwrap().clone_vm(&request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_survive_a_clean_up_and_are_told() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let client = lab.client().await;
    let (folder, run, namespace) = killed(&lab, "copied", "sanity-cold").await;
    make(&client, &kinds::NAMESPACE, None, "debug", json!({})).await;
    for (kind, name) in [(&kinds::STORAGE_MAP, "sanity-cold"), (&kinds::NETWORK_MAP, "sanity-cold"), (&kinds::PROVIDER, "destination-host")]
    {
        copy_of(&eyes, kind, (&namespace, name), ("debug", name), &lab).await;
    }
    let theirs = [eyes.source().cloner().unwrap().of_run(&run).await.unwrap()[0].name.clone(), format!("mtv-test-{run}-rhel8-0-0-copy")];
    let copies = [clone(eyes.source(), &theirs[0], "my-debug-vm", &run).await, clone(eyes.source(), &theirs[0], &theirs[1], &run).await];
    let before = everything(&client).await;
    let debug = |all: &std::collections::BTreeMap<String, crate::bed::Victim>| {
        let there = all.iter().filter(|(_, victim)| victim.namespace == "debug" && victim.kind != "Event");
        there.map(|(name, victim)| (name.clone(), victim.clone())).collect::<Vec<_>>()
    };
    let kept = debug(&before);
    assert!(kept.len() >= 3);

    let file = text(&folder).to_owned();
    let journal = fs::read(folder.join("resources.json")).unwrap();
    let dry = clean(&lab, &[&file, "--dry-run"]);
    let done = clean(&lab, &[&file]);
    assert!(done.status.success(), "{}", told(&done));
    // The same by a copy of the file from before, and without the file: the originals are gone, so nothing says that they were copied.
    fs::write(lab.path("again.json"), journal).unwrap();
    let again = clean(&lab, &["again.json"]);
    let orphans = clean(&lab, &["--orphans", "--older-than", "0s", "--provider", "vsphere"]);
    assert!(again.status.success() && orphans.status.success(), "{}{}", told(&again), told(&orphans));
    for (what, output) in [("dry", &dry), ("clean", &done), ("again", &again), ("orphans", &orphans)] {
        for object in [
            "VM my-debug-vm on vsphere",
            &format!("VM {} on vsphere", theirs[1]),
            "StorageMap debug/sanity-cold",
            "Provider debug/destination-host",
        ] {
            let told_of = format!("{object}: carries the mark of run {run} but is not named by it");
            assert!(told(output).contains(&told_of), "{what}: {told_of}: {}", told(output));
        }
    }
    for (id, name) in copies.iter().zip(["my-debug-vm", &theirs[1]]) {
        assert_eq!(eyes.source().cloner().unwrap().describe_vm(id).await.unwrap().name, name);
        eyes.source().cloner().unwrap().delete(id).await.unwrap();
    }
    assert_eq!(debug(&everything(&client).await), kept);
    assert!(eyes.source().cloner().unwrap().of_run(&run).await.unwrap().is_empty());
    let left = eyes.traces(&run).await;
    assert!(left.iter().all(|trace| trace.contains(" debug/")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_on_other_sources_survive_a_search_for_orphans() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let file = ProfileFile::load(&lab.path("lab/providers.toml")).unwrap();
    for provider in ["ovirt", "openstack"] {
        let (profile, _) = file.select(provider, &|_| None).unwrap();
        let source = connect(&profile).await.unwrap();
        let left = clone(source.as_ref(), "mtv-tests-rhel8", &format!("mtv-test-{RUN}-rhel8-0-0"), RUN).await;
        let copy = clone(source.as_ref(), "mtv-tests-rhel8", "my-precious-copy", RUN).await;
        let done = clean(&lab, &["--orphans", "--older-than", "0s", "--provider", provider]);
        assert!(done.status.success(), "{}", told(&done));
        let told_of = format!("my-precious-copy on {provider}: carries the mark of run {RUN} but is not named by it");
        assert!(told(&done).contains(&told_of), "{}", told(&done));
        let (there, _) = eyes.beside().await;
        let named = |name: &str| there.iter().filter(|shown| shown.contains(name)).count();
        assert_eq!(named(&format!("mtv-test-{RUN}")), 0, "{provider} {left}: {there:?}");
        // The server, and the volume or image that is its own.
        assert!(named("my-precious-copy") >= 1 && source.cloner().unwrap().describe_vm(&copy).await.is_ok(), "{provider}: {there:?}");
        source.cloner().unwrap().delete(&copy).await.unwrap();
    }
}
