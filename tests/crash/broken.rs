//! What breaks a run from outside: its results deleted, its namespace or its clone taken away, its login refused, its cluster gone.
//! Each ends with a sentence that says so and the documented exit code, and leaves nothing that `clean` could not take away.

use std::{
    fs,
    process::{Output, Stdio},
    time::Duration,
};

use kube::api::{DeleteParams, DynamicObject};
use mtv_api::kinds;
use mtv_test::run::names;

use crate::{
    matrix::wanted,
    support::{Lab, binary, junit, not_well, told},
    traces::{Eyes, wait_for_folder},
};

fn clean(lab: &Lab, folder: &std::path::Path) -> Output {
    let mut command = binary();
    command.current_dir(&lab.folder).arg("clean").arg(folder).args(["--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]);
    command.output().unwrap()
}

/// A run of the cold scenario to which something happens while its Migration goes on.
async fn disturbed(lab: &Lab, results: &str, what: impl AsyncFnOnce(&str, &std::path::Path)) -> (Output, std::path::PathBuf, String) {
    let mut run = lab.run_into(results, &["sanity-cold"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (folder, id) = wait_for_folder(&mut run, &lab.path(results));
    let namespace = names::namespace("mtv-test", &id);
    let of_run = |plan: &DynamicObject| {
        plan.metadata.namespace.as_deref() == Some(namespace.as_str()) && plan.data.pointer("/status/migration/started").is_some()
    };
    lab.wait_for(&kinds::PLAN, of_run).await;
    what(&id, &folder).await;
    let waited = tokio::task::spawn_blocking(move || run.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_mins(10), waited).await.expect("the run does not end").unwrap();
    (output, folder, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_are_deleted_come_back() {
    let lab = Lab::start(&["--time-scale", "50"]);
    let before = lab.objects().await;
    // In one step, so that no file comes into the folder while it goes.
    let deleted = async |_: &str, folder: &std::path::Path| {
        let aside = folder.with_extension("deleted");
        fs::rename(folder, &aside).unwrap();
        fs::remove_dir_all(aside).unwrap();
    };
    let (output, folder, _) = disturbed(&lab, "deleted", deleted).await;
    assert!(output.status.success(), "{}", told(&output));
    let cases = junit(&folder.join("junit-report.xml"));
    assert!(cases.len() >= 9 && not_well(&cases).is_empty(), "{cases:?}");
    let journal = mtv_test::journal::read(&folder.join("resources.json")).unwrap();
    assert_eq!(journal.damage, []);
    assert!(journal.records.len() > 5, "{:?}", journal.records);
    let events = fs::read_to_string(folder.join("events.ndjson")).unwrap();
    assert!(events.starts_with('{') && events.contains("run_started") && events.contains("run_finished"), "{events}");
    assert_eq!(lab.objects().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_takes_away_is_told_and_the_rest_goes() {
    let lab = Lab::start(&["--time-scale", "50"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    let namespace_goes = async |id: &str, _: &std::path::Path| {
        let namespaces = eyes.api(&kinds::NAMESPACE, None);
        namespaces.delete(&names::namespace("mtv-test", id), &DeleteParams::default()).await.unwrap();
    };
    let (output, folder, id) = disturbed(&lab, "namespace", namespace_goes).await;
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("was deleted while it ran"), "{}", told(&output));
    assert_eq!(eyes.traces(&id).await, Vec::<String>::new(), "{}", told(&output));
    assert!(clean(&lab, &folder).status.success());

    let clone_goes = async |id: &str, _: &std::path::Path| {
        for vm in eyes.source().cloner().unwrap().of_run(id).await.unwrap() {
            eyes.source().cloner().unwrap().delete(&vm.id).await.unwrap();
        }
    };
    let (output, folder, id) = disturbed(&lab, "clone", clone_goes).await;
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    // What Forklift meets first: its inventory has lost the VM, or vCenter has.
    let words = ["is not in the source's inventory", "is gone or was never there"];
    assert!(words.iter().any(|words| told(&output).contains(words)), "{}", told(&output));
    assert_eq!(eyes.traces(&id).await, Vec::<String>::new(), "{}", told(&output));
    assert!(clean(&lab, &folder).status.success());
    assert_eq!(lab.objects().await, before);
}

/// A watch that is open goes on, and a refused one is given up after a minute of real time: part of the whole edition only.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_runs_out_ends_the_run() {
    if wanted(0).is_some() {
        println!("left out: MTV_TEST_KILLS=all runs it");
        return;
    }
    let lab = Lab::start(&["--time-scale", "20"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    let runs_out = async |_: &str, _: &std::path::Path| {
        lab.fault(&["add", r#"server = "kubernetes", effect = "status", status = 401, client = "mtv-test*""#]);
    };
    let (output, folder, id) = disturbed(&lab, "refused", runs_out).await;
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    for words in ["401", "cannot be used any more", "To delete what is left:"] {
        assert!(told(&output).contains(words), "{words}: {}", told(&output));
    }
    // The clone is on the source, which can still be used.
    assert_eq!(lab.clones_of(&id).await, Vec::<String>::new(), "{}", told(&output));
    lab.fault(&["clear"]);
    let done = clean(&lab, &folder);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(eyes.traces(&id).await, Vec::<String>::new());
    assert_eq!(lab.objects().await, before);
}
