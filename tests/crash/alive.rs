//! A run that goes on is never cleaned up: not by a copy of its journal, not by `--orphans`, whatever the clocks say. One that is
//! over is cleaned up at once where that shows, and else after its last sign of life has grown old.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use jiff::{SignedDuration, Timestamp};
use kube::api::{DynamicObject, Patch, PatchParams};
use mtv_api::kinds;
use mtv_test::{
    journal,
    run::{alive, names},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    clean::killed,
    support::{Lab, binary, told},
    traces::{Eyes, wait_for_folder},
};

/// Another machine, as journals and signs of life name it.
const ELSEWHERE: &str = "ci-runner-7";

fn clean(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = binary();
    command.current_dir(&lab.folder).arg("clean").args(arguments);
    command.args(["--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]);
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Says of a process that it is on another machine.
fn move_away(process: &mut Value) {
    process["host"] = json!(ELSEWHERE);
    process["boot"] = json!("00000000-0000-0000-0000-000000000000");
}

/// A copy of a journal that a run on another machine wrote: with this machine's marks of the process changed, and the sums right.
fn from_elsewhere(journal: &Path, copy: &Path) {
    let text = fs::read_to_string(journal).unwrap();
    let lines = text.lines().map(|line| {
        let (record, comma) = line.strip_suffix(',').map_or((line, ""), |record| (record, ","));
        let Ok(mut record) = serde_json::from_str::<serde_json::Map<String, Value>>(record) else { return line.to_owned() };
        if record.remove("sum").is_none() {
            return line.to_owned();
        }
        if let Some(holder) = record.get_mut("holder") {
            move_away(holder);
        }
        let body = serde_json::to_string(&record).unwrap();
        let body = body.strip_prefix('{').unwrap();
        let sum: String = Sha256::digest(body.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{{\"sum\":\"{sum}\",{body}{comma}")
    });
    fs::write(copy, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    assert_eq!(journal::read(copy).unwrap().damage, []);
}

/// The sign of life of a run, changed by a function of the process that it names and the time.
async fn change_sign(eyes: &Eyes, run: &str, change: impl FnOnce(&mut Value, &mut Timestamp)) {
    let namespace = names::namespace("mtv-test", run);
    let api = eyes.api(&kinds::NAMESPACE, None);
    let annotations = api.get(&namespace).await.unwrap().metadata.annotations.unwrap();
    let mut process: Value = serde_json::from_str(&annotations[alive::PROCESS]).unwrap();
    let mut stamp: Timestamp = annotations[alive::ALIVE].parse().unwrap();
    let before = stamp;
    change(&mut process, &mut stamp);
    let mut changed = json!({ alive::PROCESS: process.to_string() });
    if stamp != before {
        changed[alive::ALIVE] = json!(stamp.to_string());
    }
    let patch = Patch::Merge(json!({ "metadata": { "annotations": changed } }));
    api.patch(&namespace, &PatchParams::default(), &patch).await.unwrap();
}

/// A run that goes on until it is killed: its copies take minutes.
struct Living {
    child: Child,
    folder: PathBuf,
    run: String,
}

impl Living {
    async fn start(lab: &Lab, results: &str) -> Self {
        let mut child = lab.run_into(results, &["sanity-cold"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (folder, run) = wait_for_folder(&mut child, &lab.path(results));
        let namespace = names::namespace("mtv-test", &run);
        let of_run = |plan: &DynamicObject| plan.metadata.namespace.as_deref() == Some(namespace.as_str());
        lab.wait_for(&kinds::PLAN, of_run).await;
        Self { child, folder, run }
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("resources.json")
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// libfaketime's wrapper; with `CI=true` it has to be there.
fn faketime() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let there = Command::new("faketime").args(["-f", "+1h", "true"]).status().is_ok_and(|status| status.success());
        assert!(there || std::env::var("CI").is_err(), "faketime is required: apt-get install faketime");
        if !there {
            println!("skipped with other clocks: no faketime, see CONTRIBUTING.md");
        }
        there
    })
}

/// The same command on a machine whose clock is wrong.
fn at(shift: &str, command: &Command) -> Command {
    let mut shifted = Command::new("faketime");
    shifted.args(["-f", shift]).arg(command.get_program()).args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shifted.env(name, value),
            None => shifted.env_remove(name),
        };
    }
    shifted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_is_left_alone_until_it_is_over() {
    let lab = Lab::start(&["--time-scale", "1"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    let mut living = Living::start(&lab, "living").await;
    let (run, process) = (living.run.clone(), format!("process {}", living.child.id()));
    let copy = lab.path("copy.json");
    fs::copy(living.journal(), &copy).unwrap();
    let copy = copy.to_str().unwrap();
    let there = lab.objects().await;
    let kept = |ended: &Output, words: &[&str]| {
        assert_eq!(ended.status.code(), Some(4), "{}", told(ended));
        for word in words {
            assert!(told(ended).contains(word), "{word}: {}", told(ended));
        }
    };

    // On the same machine the process itself is seen.
    let refused = output(clean(&lab, &[copy])).await;
    kept(&refused, &[&run, "is still running", &process, "nothing was deleted"]);
    // The journal itself is locked.
    let locked = output(clean(&lab, &[living.folder.to_str().unwrap()])).await;
    kept(&locked, &[&process]);
    // By its label it is found as well, with a results folder of somebody else.
    let by_label = |older_than: &'static str| {
        clean(&lab, &["--orphans", "--provider", "vsphere", "--older-than", older_than, "--set", "results_dir=other"])
    };
    let orphans = output(by_label("0s")).await;
    assert!(orphans.status.success() && told(&orphans).contains("it is still running"), "{}", told(&orphans));
    if faketime() {
        for shift in ["+25h", "-25h"] {
            for (older_than, words) in [("24h", "younger than"), ("0s", "still running")] {
                let orphans = output(at(shift, &by_label(older_than))).await;
                assert!(orphans.status.success() && told(&orphans).contains(words), "{shift} {older_than}: {}", told(&orphans));
            }
            kept(&output(at(shift, &clean(&lab, &[copy]))).await, &["is still running"]);
        }
    }

    // From another machine only the sign of life is seen, and watched until it is renewed.
    change_sign(&eyes, &run, |process, _| move_away(process)).await;
    let elsewhere = lab.path("elsewhere.json");
    from_elsewhere(&living.journal(), &elsewhere);
    let elsewhere = elsewhere.to_str().unwrap();
    let (refused, orphans) = tokio::join!(output(clean(&lab, &[elsewhere])), output(by_label("0s")));
    kept(&refused, &[&run, "is still running", ELSEWHERE, &process, "nothing was deleted"]);
    assert!(orphans.status.success() && told(&orphans).contains("it is still running"), "{}", told(&orphans));
    // Without the time to see it renewed, nothing is known and nothing is done.
    let short = output(clean(&lab, &[elsewhere, "--timeout", "1s"])).await;
    assert!(matches!(short.status.code(), Some(4 | 7)), "{}", told(&short));
    assert!(there.is_subset(&lab.objects().await), "something was deleted of a run that goes on");
    assert!(!eyes.traces(&run).await.is_empty());

    // Its process is gone, and its sign of life grows old.
    living.kill();
    change_sign(&eyes, &run, |_, stamp| *stamp = stamp.checked_sub(SignedDuration::from_mins(2)).unwrap()).await;
    let done = output(clean(&lab, &[elsewhere])).await;
    assert!(done.status.success() && told(&done).contains("is over: last sign of life"), "{}", told(&done));
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new());
    assert_eq!(lab.objects().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_is_not_waited_for() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    // A copy on the machine of the process, at once.
    let (folder, run) = killed(&lab, "copied", "sanity-cold").await;
    let copy = lab.path("copy.json");
    fs::copy(folder.join("resources.json"), &copy).unwrap();
    // Two at the same time do no harm: what one has deleted, the other one finds gone.
    let second = lab.path("second.json");
    fs::copy(&copy, &second).unwrap();
    let both = tokio::join!(
        output(clean(&lab, &[copy.to_str().unwrap(), "--timeout", "2m"])),
        output(clean(&lab, &[second.to_str().unwrap(), "--timeout", "2m"]))
    );
    for ended in [&both.0, &both.1] {
        assert!(ended.status.success(), "{}", told(ended));
    }
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new());
    // The file is lost.
    let (folder, run) = killed(&lab, "lost", "sanity-cold").await;
    fs::remove_dir_all(folder).unwrap();
    let orphans = output(clean(&lab, &["--orphans", "--older-than", "0s", "--provider", "vsphere"])).await;
    assert!(orphans.status.success(), "{}", told(&orphans));
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new());
    assert_eq!(lab.objects().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_ended_says_so_in_its_journal() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    let ended = output(lab.run_into("left", &["sanity-cold", "--skip-teardown"])).await;
    assert!(matches!(ended.status.code(), Some(0 | 8)), "{}", told(&ended));
    let journal = lab.path("left/latest/resources.json");
    let document: Value = serde_json::from_slice(&fs::read(&journal).unwrap()).unwrap();
    assert_eq!(document["version"], 2);
    let last = document["records"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["change"], &last["exit"]), (&json!("ended"), &json!(ended.status.code())), "{last}");
    let run = document["records"][0]["header"]["run"].as_str().unwrap().to_owned();
    // Its namespace stays, and says no more that it goes on.
    let namespace = eyes.api(&kinds::NAMESPACE, None).get(&names::namespace("mtv-test", &run)).await.unwrap();
    assert!(!namespace.metadata.annotations.unwrap_or_default().contains_key(alive::ALIVE));
    // From another machine, where the process is not seen.
    let elsewhere = lab.path("elsewhere.json");
    from_elsewhere(&journal, &elsewhere);
    let done = output(clean(&lab, &[elsewhere.to_str().unwrap(), "--timeout", "50s"])).await;
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new());
    assert_eq!(lab.objects().await, before);
}
