//! `clean` and what runs, and mtv-api-tests, have left on sources of every kind; also when a source or the cluster cannot be used.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use mtv_test::{
    config::profile_file::ProfileFile,
    journal,
    providers::{CloneRequest, Source, connect},
};
use serde_json::json;

use crate::{
    support::{Lab, binary, told},
    traces::{Eyes, wait_for_folder},
};

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_mins(1);

fn clean(lab: &Lab, arguments: &[&str], kubeconfig: &str, profiles: &str) -> Output {
    let mut command = binary();
    command.current_dir(&lab.folder).arg("clean").args(arguments).args(["--kubeconfig", kubeconfig, "--providers", profiles]);
    command.output().unwrap()
}

fn clean_here(lab: &Lab, arguments: &[&str]) -> Output {
    clean(lab, arguments, "lab/kubeconfig", "lab/providers.toml")
}

fn run(lab: &Lab, provider: &str, results: &Path) -> Command {
    let mut command = binary();
    command.current_dir(&lab.folder).args(["run", "sanity-cold", "--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]);
    command.args(["--provider", provider, "--results-dir"]).arg(results).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A run that is killed when it has passed the n-th point of a name and got an answer: in the middle of a clone, for one. Its folder
/// and its id.
fn killed_at(lab: &Lab, provider: &str, point: &str, nth: usize) -> (PathBuf, String) {
    let results = lab.path(&format!("killed-{provider}"));
    let log = lab.path(&format!("killed-{provider}.points"));
    let mut run = run(lab, provider, &results).env("MTV_TEST_KILL_LOG", &log).spawn().unwrap();
    let (folder, id) = wait_for_folder(&mut run, &results);
    let started = Instant::now();
    let passed = || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        let mut names = log.lines().filter_map(|line| Some(line.split_once(' ')?.1));
        // With an answer behind it: what was asked for has been begun.
        names.by_ref().filter(|name| *name == point).nth(nth - 1).is_some() && names.any(|name| name.starts_with("answer of "))
    };
    while !passed() {
        assert!(started.elapsed() < PATIENCE && run.try_wait().unwrap().is_none(), "{provider}: the run never came to {point}");
        std::thread::sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    (folder, id)
}

async fn source(lab: &Lab, name: &str) -> Box<dyn Source> {
    let file = ProfileFile::load(&lab.path("lab/providers.toml")).unwrap();
    let (profile, _) = file.select(name, &|_| None).unwrap();
    connect(&profile).await.unwrap()
}

/// Where a run from each source is killed: when a part of its clone has been asked for. OVA files are not cloned.
const IN_THE_MIDDLE: [(&str, &str, usize); 4] =
    [("ovirt", "POST vms", 1), ("openstack", "POST volume/volumes", 1), ("openshift", "create", 8), ("ova", "create", 8)];

#[tokio::test(flavor = "multi_thread")]
async fn what_dead_runs_have_left_on_every_source_is_found_without_their_files() {
    let lab = Lab::start(&["--time-scale", "100"]);
    let eyes = Eyes::of(&lab).await;
    let (before, beside) = (lab.objects().await, eyes.beside().await);
    for (provider, point, nth) in IN_THE_MIDDLE {
        let (folder, run) = killed_at(&lab, provider, point, nth);
        let left = eyes.traces(&run).await;
        let on_source = left.iter().any(|trace| trace.contains("on the source") || trace.contains("-source-vms"));
        assert_eq!(on_source, provider != "ova", "{provider}: {left:?}");
        fs::remove_dir_all(folder).unwrap();
        let dry = clean_here(&lab, &["--orphans", "--older-than", "0s", "--provider", provider, "--dry-run"]);
        assert!(dry.status.success() && told(&dry).contains("would delete"), "{provider}: {}", told(&dry));
        assert!(!eyes.traces(&run).await.is_empty(), "{provider}: a dry run deleted something");
        let done = clean_here(&lab, &["--orphans", "--older-than", "0s", "--provider", provider]);
        assert!(done.status.success(), "{provider}: {}", told(&done));
        assert_eq!(eyes.traces(&run).await, Vec::<String>::new(), "{provider}: {}", told(&done));
        let again = clean_here(&lab, &["--orphans", "--older-than", "0s", "--provider", provider]);
        assert!(again.status.success() && told(&again).contains("nothing is left"), "{provider}: {}", told(&again));
    }
    assert_eq!(lab.objects().await, before);
    assert_eq!(eyes.beside().await, beside);
    println!("{} sources, a run from each killed and its file lost: nothing left", IN_THE_MIDDLE.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_mtv_api_tests_with_vms_of_ovirt_and_openstack_are_carried_out() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let before = eyes.beside().await;
    for provider in ["ovirt", "openstack"] {
        let source = source(&lab, provider).await;
        let names = ["auto-ab12-rhel8-q2w3", "rhel8-of-somebody", "auto-ab12-of-a-run"];
        let mut clones = Vec::new();
        for (name, run) in names.iter().zip(["", "", "someoneelse"]) {
            let request =
                CloneRequest { source: "mtv-tests-rhel8".into(), name: (*name).into(), run: run.into(), ..CloneRequest::default() };
            clones.push(source.cloner().unwrap().clone_vm(&request).await.unwrap());
        }
        // The mark of no run is none; mtv-api-tests writes no mark at all.
        let mut list = json!({ provider: names.map(|name| json!({"name": name})),
            "Namespace": [{"name": "auto-ab12-mtv", "namespace": null, "module": "ocp_resources.namespace"}] });
        if provider == "openstack" {
            // Nova's snapshots of an image, which the old suite lists by id.
            source.snapshots().unwrap().snapshot(&clones[0], "auto-ab12-rhel8-q2w3-snapshot").await.unwrap();
            let there = eyes.beside().await.0;
            let of_nova = there.iter().find(|name| name.starts_with("OpenStack snapshot snapshot for auto-ab12-rhel8")).unwrap();
            let (name, id) = of_nova.strip_prefix("OpenStack snapshot ").unwrap().rsplit_once(' ').unwrap();
            list["VolumeSnapshot"] =
                json!([{"id": id, "name": name}, {"id": "00000000-0000-0000-0000-000000000000", "name": "snapshot for auto-ab12-gone"}]);
        }
        fs::write(lab.path("old.json"), list.to_string()).unwrap();
        let unnamed = clean_here(&lab, &["old.json"]);
        assert_eq!(unnamed.status.code(), Some(8), "{}", told(&unnamed));
        assert!(told(&unnamed).contains(&format!("name the profile of its source ({provider}) with --provider")), "{}", told(&unnamed));
        let proved = clean_here(&lab, &["old.json", "--provider", provider]);
        assert_eq!(proved.status.code(), Some(8), "{}", told(&proved));
        assert!(told(&proved).contains("is a clone of mtv-test") && told(&proved).contains("--by-name"), "{}", told(&proved));
        let there = |there: &[String]| names.map(|name| there.iter().any(|shown| shown.split(' ').any(|word| word == name)));
        let now: Vec<String> =
            eyes.beside().await.0.into_iter().filter(|shown| shown.contains("server ") || shown.contains("vm ")).collect();
        assert_eq!(there(&now), [false, true, true], "{}", told(&proved));
        let by_name = clean_here(&lab, &["old.json", "--provider", provider, "--by-name"]);
        assert_eq!(by_name.status.code(), Some(8), "{}", told(&by_name));
        let now: Vec<String> =
            eyes.beside().await.0.into_iter().filter(|shown| shown.contains("server ") || shown.contains("vm ")).collect();
        assert_eq!(there(&now), [false, false, true], "{}", told(&by_name));
        source.cloner().unwrap().delete(&clones[2]).await.unwrap();
        // What the lab's client made beside the servers, and mtv-api-tests would have made and deleted otherwise.
        let after = eyes.beside().await.0;
        let snapshots: Vec<&String> = after.difference(&before.0).filter(|name| name.contains("snapshot for")).collect();
        assert!(snapshots.is_empty(), "{snapshots:?}");
    }
}

/// The profiles of the lab with another value in one of them.
fn other_profiles(lab: &Lab, provider: &str, key: &str, value: &str) -> String {
    let mut file: toml::Table = toml::from_str(&fs::read_to_string(lab.path("lab/providers.toml")).unwrap()).unwrap();
    file["provider"][provider][key] = value.into();
    let path = lab.path(&format!("other-{key}.toml"));
    fs::write(&path, file.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_used_keeps_its_clones_and_nothing_else() {
    let lab = Lab::start(&["--time-scale", "100"]);
    let eyes = Eyes::of(&lab).await;
    let (before, beside) = (lab.objects().await, eyes.beside().await);
    // By the journal, another address is another source, and nobody is contacted there.
    for (provider, key, value, of_journal, words) in [
        ("ovirt", "password", "wrong", "the user name or password was refused", "the user name or password was refused"),
        ("openstack", "api_url", "https://127.0.0.1:9/identity/v3", "is of another source", "cannot be reached"),
    ] {
        let (folder, run) = killed_at(&lab, provider, if provider == "ovirt" { "POST vms" } else { "POST volume/volumes" }, 1);
        let profiles = other_profiles(&lab, provider, key, value);
        let folder = folder.to_str().unwrap();
        let journal = clean(&lab, &[folder], "lab/kubeconfig", &profiles);
        assert_eq!(journal.status.code(), Some(8), "{provider}: {}", told(&journal));
        assert!(
            told(&journal).contains(of_journal) && told(&journal).contains("the same command tries again"),
            "{provider}: {}",
            told(&journal)
        );
        assert_eq!(lab.objects().await, before, "{provider}: what is on the cluster is gone: {}", told(&journal));
        assert!(!eyes.traces(&run).await.is_empty(), "{provider}: the clone is still there");
        let orphans = clean(&lab, &["--orphans", "--older-than", "0s", "--provider", provider], "lab/kubeconfig", &profiles);
        assert_eq!(orphans.status.code(), Some(8), "{provider}: {}", told(&orphans));
        assert!(told(&orphans).contains(words), "{provider}: {}", told(&orphans));
        let done = clean_here(&lab, &[folder]);
        assert!(done.status.success(), "{provider}: {}", told(&done));
        assert_eq!(eyes.beside().await, beside, "{provider}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_cannot_be_used_keeps_no_clones() {
    let lab = Lab::start(&["--time-scale", "100"]);
    let eyes = Eyes::of(&lab).await;
    let (before, beside) = (lab.objects().await, eyes.beside().await);
    let (folder, run) = killed_at(&lab, "openstack", "POST volume/volumes", 1);
    let folder = folder.to_str().unwrap();
    let kubeconfig = fs::read_to_string(lab.path("lab/kubeconfig")).unwrap();
    let begin = kubeconfig.find("token: ").unwrap();
    fs::write(lab.path("expired"), format!("{}token: sha256~expired\n", &kubeconfig[..begin])).unwrap();
    let refused = clean(&lab, &[folder], "expired", "lab/providers.toml");
    assert_eq!(refused.status.code(), Some(7), "{}", told(&refused));
    for words in ["401", "nothing is left on the sources; the same command takes the rest", "deleted VM "] {
        assert!(told(&refused).contains(words), "{words}: {}", told(&refused));
    }
    assert_eq!(eyes.beside().await, beside);
    assert_ne!(lab.objects().await, before);
    let done = clean_here(&lab, &[folder]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(lab.objects().await, before);
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_is_alone_and_can_be_interrupted() {
    let lab = Lab::start(&["--time-scale", "100"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    // The run still lives.
    let results = lab.path("living");
    let mut living = run(&lab, "vsphere", &results).spawn().unwrap();
    let (folder, id) = wait_for_folder(&mut living, &results);
    let journal = folder.join("resources.json");
    while !journal.is_file() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let beside_it = clean_here(&lab, &[folder.to_str().unwrap()]);
    assert_eq!(beside_it.status.code(), Some(4), "{}", told(&beside_it));
    assert!(told(&beside_it).contains(&format!("process {}", living.id())) && told(&beside_it).contains(&id), "{}", told(&beside_it));
    living.kill().unwrap();
    living.wait().unwrap();

    let (folder, id) = killed_at(&lab, "ovirt", "POST vms", 1);
    let folder = folder.to_str().unwrap();
    let command = || {
        let mut command = binary();
        command.current_dir(&lab.folder).args(["clean", folder, "--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]);
        command
    };
    // The second one of two says who the first one is; the first one is told to stop.
    let first = command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while journal::holder(Path::new(&format!("{folder}/resources.json"))).is_none() {
        assert!(started.elapsed() < PATIENCE, "the first clean-up never took the journal");
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = command().output().unwrap();
    if second.status.code() == Some(4) {
        assert!(told(&second).contains(&format!("process {}", first.id())), "{}", told(&second));
    } else {
        assert!(second.status.success(), "the first one was through: {}", told(&second));
    }
    assert!(Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap().success());
    let first = first.wait_with_output().unwrap();
    assert!(matches!(first.status.code(), Some(0 | 2)), "{}", told(&first));
    assert_eq!(first.status.code() == Some(2), told(&first).contains("interrupted; the same command goes on"), "{}", told(&first));
    let done = command().output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(eyes.traces(&id).await, Vec::<String>::new());
    let first_run = clean_here(&lab, &[results.join("latest").to_str().unwrap()]);
    assert!(first_run.status.success(), "{}", told(&first_run));
    assert_eq!(lab.objects().await, before);
}
