//! A dry run says exactly what the real one does.

use std::{collections::BTreeSet, fs};

use crate::{
    bed::{clean, killed, text},
    support::{Lab, binary, told},
    traces::Eyes,
};

/// Words that the names of objects in the lab's list begin with, and in what `clean` prints: `Kind namespace/name`.
fn printed<'a>(output: &'a str, verb: &'a str) -> BTreeSet<&'a str> {
    output.lines().filter_map(|line| line.strip_prefix(verb)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_lists_what_the_real_one_deletes_and_restores() {
    let lab = Lab::start(&["--time-scale", "50"]);
    let eyes = Eyes::of(&lab).await;
    let settings = eyes.settings().await;
    let (folder, run, namespace) = killed(&lab, "dry", "sanity-warm").await;
    let journal = fs::read(folder.join("resources.json")).unwrap();
    let changed = eyes.settings().await;
    let before = lab.objects().await;
    let clones = lab.clones_of(&run).await;

    let dry = clean(&lab, &[text(&folder), "--dry-run"]);
    assert!(dry.status.success(), "{}", told(&dry));
    assert_eq!(fs::read(folder.join("resources.json")).unwrap(), journal, "a dry run wrote into the journal");
    assert_eq!(eyes.settings().await, changed);
    assert_eq!(lab.clones_of(&run).await, clones);
    let dry_text = String::from_utf8(dry.stdout.clone()).unwrap();
    let would = printed(&dry_text, "would delete ");

    let done = clean(&lab, &[text(&folder)]);
    assert!(done.status.success(), "{}", told(&done));
    let after = lab.objects().await;
    let whole = format!("Namespace {namespace} with everything in it");
    assert!(would.contains(whole.as_str()), "{dry_text}");
    for gone in before.difference(&after) {
        let (kind, name) = gone.split_once(' ').unwrap();
        // Volumes go with their claims, and what is in the namespace goes with it.
        let inside = kind == "PersistentVolume" || name.starts_with(&format!("{namespace}/")) || name == format!("/{namespace}");
        assert!(inside || would.contains(gone.as_str()), "{gone} went without a word: {dry_text}");
    }
    for name in ["Plan", "Migration", "StorageMap", "NetworkMap"] {
        assert!(would.contains(format!("{name} {namespace}/sanity-warm").as_str()), "{name}: {dry_text}");
    }
    for clone in &clones {
        assert!(would.contains(format!("VM {clone} on vsphere").as_str()), "{clone}: {dry_text}");
    }
    for object in &would {
        let there = after.iter().any(|name| name.replacen(" /", " ", 1) == *object);
        assert!(!there, "{object} is still there: {}", told(&done));
    }
    let setting = "/spec/controller_precopy_interval of ForkliftController openshift-mtv/forklift-controller";
    assert_eq!(printed(&dry_text, "would restore "), BTreeSet::from([setting]), "{dry_text}");
    assert!(String::from_utf8_lossy(&done.stdout).lines().any(|line| line == format!("restored {setting}")), "{}", told(&done));
    assert_eq!(eyes.settings().await, settings);

    // The same journal from before: nothing is there any more, and nobody is blamed.
    fs::write(lab.path("again.json"), &journal).unwrap();
    for options in [&["again.json", "--dry-run"][..], &["again.json"]] {
        let again = clean(&lab, options);
        assert!(again.status.success() && told(&again).contains("nothing is left of run"), "{}", told(&again));
        assert!(!told(&again).contains("changed by somebody else") && !told(&again).contains("would "), "{}", told(&again));
    }

    // Without a cluster the file alone is told, and that it is the file alone.
    fs::write(lab.path("again.json"), &journal).unwrap();
    // Nothing listens where something did a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let kubeconfig = fs::read_to_string(lab.path("lab/kubeconfig")).unwrap();
    let server = kubeconfig.lines().find(|line| line.trim_start().starts_with("server: ")).unwrap();
    fs::write(lab.path("silent"), kubeconfig.replace(server, &format!("    server: https://{closed}"))).unwrap();
    let mut command = binary();
    command.current_dir(&lab.folder).args(["clean", "again.json", "--dry-run", "--kubeconfig", "silent"]);
    let alone = command.output().unwrap();
    assert!(alone.status.success(), "{}", told(&alone));
    for words in ["warning: ", "by the file alone, not checked", &format!("would delete Namespace {namespace}")] {
        assert!(told(&alone).contains(words), "{words}: {}", told(&alone));
    }
}
