//! Surroundings that cannot be used end with 7 and say how to go on.

use std::{fs, os::unix::fs::PermissionsExt as _};

use tempfile::TempDir;

use crate::support::{Lab, binary, junit, told};

#[test]
fn without_a_cluster_both_ways_on_are_said() {
    let folder = TempDir::new().unwrap();
    let output = binary().env("HOME", folder.path()).current_dir(folder.path()).args(["run", "-m", "tier0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(told(&output).contains("--kubeconfig") && told(&output).contains("--lab"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_with_7_and_creates_nothing() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    let profiles = fs::read_to_string(lab.path("lab/providers.toml")).unwrap();
    let secret = "Cn4ry\\\"q<&%-é";
    let wrong: String = profiles
        .lines()
        .map(|line| if line.starts_with("password") { format!("password = \"{secret}\"\n") } else { format!("{line}\n") })
        .collect();
    fs::write(lab.path("lab/providers.toml"), wrong).unwrap();
    let output = lab.run(&["-vv", "-m", "tier0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(!told(&output).contains("Cn4ry"), "the password was printed");
    assert_eq!(lab.objects().await, before);
    for file in ["junit-report.xml", "resources.json", "events.ndjson", "run.log"] {
        let text = fs::read_to_string(lab.path("results/latest").join(file)).unwrap();
        assert!(!text.contains("Cn4ry"), "the password is in {file}");
    }
}

/// A run in the built-in lab.
fn in_lab(folder: &TempDir, results: &str, arguments: &[&str]) -> std::process::Output {
    binary().current_dir(folder).args(["run", "--lab", "--results-dir", results]).args(arguments).output().unwrap()
}

#[test]
fn a_run_of_which_nothing_ran_is_no_success() {
    let folder = TempDir::new().unwrap();
    let output = in_lab(&folder, "r", &["-m", "copyoffload", "--provider", "ovirt"]);
    assert_eq!(output.status.code(), Some(9), "{}", told(&output));
    assert!(told(&output).contains("skipped") && told(&output).contains("nothing ran"), "{}", told(&output));
    let report = folder.path().join("r/latest/junit-report.xml");
    let text = fs::read_to_string(&report).unwrap();
    assert!(text.contains("9 (nothing ran") && !text.contains("when this report was written"), "{text}");
    assert!(junit(&report).iter().all(|(_, ended)| ended == "skipped"), "{text}");
    let output = in_lab(&folder, "allowed", &["-m", "copyoffload", "--provider", "ovirt", "--allow-all-skipped"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

#[test]
fn a_failure_is_not_hidden_by_a_scenario_that_could_not_be_tested() {
    let lab = Lab::start(&[]);
    fs::create_dir(lab.path("own")).unwrap();
    let missing = "[scenario.typo]\n[[scenario.typo.virtual_machines]]\nname = \"no-such-vm\"\n";
    fs::write(lab.path("own/s.toml"), missing).unwrap();
    let arguments = ["typo", "sanity-cold", "--scenarios", "own", "--skip-data-collector", "--set", "plan_wait_timeout=50ms"];
    let output = lab.run(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("1 failed, 1 error") && told(&output).contains("1 scenario could not be tested"), "{}", told(&output));
    let cases = junit(&lab.path("results/latest/junit-report.xml"));
    for ended in ["failure", "error"] {
        assert_eq!(cases.iter().filter(|(_, e)| e == ended).count(), 1, "{cases:?}");
    }
}

#[test]
fn missing_credentials_of_the_array_are_an_error_and_no_skip() {
    let lab = Lab::start(&[]);
    let path = lab.path("lab/providers.toml");
    let text = fs::read_to_string(&path).unwrap();
    let mut file: toml::Table = toml::from_str(&text).unwrap();
    let profile = file["provider"]["vsphere"].as_table_mut().unwrap();
    profile["copyoffload"].as_table_mut().unwrap().remove("storage_password");
    fs::write(&path, file.to_string()).unwrap();
    let output = lab.run(&["copyoffload-thin", "sanity-cold"]).output().unwrap();
    let text = told(&output);
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains("`storage_password`") && text.contains("hint") && text.contains("providers.example.toml"), "{text}");
    let cases = junit(&lab.path("results/latest/junit-report.xml"));
    let of = |name: &str| cases.iter().find(|(case, _)| case.ends_with(name)).map(|(_, ended)| ended.as_str());
    assert_eq!((of("copyoffload-thin/prepare"), of("sanity-cold/verify")), (Some("error"), Some("passed")), "{cases:?}");

    // Without the section, too: it was asked for. A listing says the same.
    let profile = file["provider"]["vsphere"].as_table_mut().unwrap();
    profile.remove("copyoffload");
    fs::write(&path, file.to_string()).unwrap();
    let output = lab.run_into("none", &["-m", "copyoffload"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    let list = ["list", "-m", "copyoffload", "--provider", "vsphere", "--providers", "lab/providers.toml"];
    let output = binary().current_dir(&lab.folder).args(list).output().unwrap();
    assert!(output.status.success() && told(&output).contains("that cannot run"), "{}", told(&output));
}

#[test]
fn a_jira_that_refuses_or_does_not_answer_is_an_error() {
    let lab = Lab::start(&[]);
    let info: serde_json::Value = serde_json::from_str(&fs::read_to_string(lab.path("lab/lab.json")).unwrap()).unwrap();
    let jira = format!("jira_url={}", info["jira"].as_str().unwrap());
    for (number, (url, token)) in [(jira.as_str(), "a-token-that-is-wrong"), ("jira_url=https://127.0.0.1:1", "")].into_iter().enumerate() {
        let results = format!("jira-{number}");
        let mut run = lab.run_into(&results, &["sanity-warm", "--provider", "ovirt", "--set", url, "--set", "insecure_verify_skip=true"]);
        let output = run.env("MTV_TEST_JIRA_TOKEN", token).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{}", told(&output));
        assert!(told(&output).contains("MTV-2846") && told(&output).contains("jira_url"), "{}", told(&output));
        let cases = junit(&lab.path(&results).join("latest/junit-report.xml"));
        assert!(cases.iter().any(|(case, ended)| case.ends_with("sanity-warm/prepare") && ended == "error"), "{cases:?}");
    }
}

#[test]
fn reports_are_for_their_owner_and_a_file_named_latest_stays() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("r")).unwrap();
    fs::write(folder.path().join("r/latest"), "notes").unwrap();
    let output = in_lab(&folder, "r", &["-m", "copyoffload", "--provider", "ovirt", "--allow-all-skipped"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(fs::read_to_string(folder.path().join("r/latest")).unwrap(), "notes");
    let own: Vec<_> = fs::read_dir(folder.path().join("r")).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert_eq!(own.len(), 1, "{own:?}");
    let name = own[0].file_name().unwrap().to_str().unwrap();
    let warning = told(&output).lines().find(|line| line.starts_with("warning: ")).map(str::to_owned).unwrap_or_default();
    assert!(warning.contains("latest") && warning.contains(name), "{}", told(&output));
    for file in ["junit-report.xml", "resources.json", "events.ndjson", "run.log"] {
        assert_eq!(fs::metadata(own[0].join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn results_that_cannot_be_written_have_a_way_on() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let output = in_lab(&folder, "file/r", &["sanity-cold"]);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(told(&output).contains("--results-dir"), "{}", told(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_is_no_internal_error() {
    let folder = TempDir::new().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = binary().current_dir(&folder).arg("list").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(told(&output).contains("cannot write to stdout"), "{}", told(&output));
}

/// What would steer a terminal: a title, a cleared screen, a forged line, a C1 code, text that runs backwards.
const HOSTILE: &str = "a\u{1b}]0;title\u{7}\u{1b}[2J\rnothing is left\u{9b}1m\u{202e}b\u{2066}c\u{7f}";

fn toml_text(text: &str) -> String {
    let escaped: Vec<String> =
        text.chars().map(|c| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect();
    format!("\"{}\"", escaped.concat())
}

/// No output steers a terminal.
fn harmless(which: &str, output: &std::process::Output) {
    let text = told(output);
    let bad = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    assert!(!text.contains(bad), "{which}: {text:?}");
}

#[test]
fn no_text_from_outside_steers_the_terminal() {
    let lab = Lab::start(&[]);
    lab.fault(&["add", &format!("server = \"kubernetes\", effect = \"status\", status = 403, message = {}", toml_text(HOSTILE))]);
    let place = ["--kubeconfig", "lab/kubeconfig"];
    for arguments in [vec!["clean", "--orphans"], vec!["must-gather"], vec!["-vv", "must-gather", "--plan", "a/b"]] {
        let output = binary().current_dir(&lab.folder).args(&arguments).args(place).output().unwrap();
        assert!(!output.status.success() && told(&output).contains("title"), "{arguments:?}: {}", told(&output));
        harmless(&format!("{arguments:?}"), &output);
    }
    let output = lab.run(&["-v", "sanity-cold"]).output().unwrap();
    assert!(told(&output).contains("title"), "{}", told(&output));
    harmless("run", &output);
    // Arguments and files of others.
    fs::create_dir(lab.path(HOSTILE)).unwrap();
    fs::write(lab.path("hostile.toml"), format!("[provider.{0}]\n{0} = {0}\n", toml_text(HOSTILE))).unwrap();
    fs::write(lab.path("bad.toml"), format!("[scenario.\"{HOSTILE}\"]\n")).unwrap();
    for arguments in [
        vec!["list", HOSTILE],
        vec!["list", "--marker", HOSTILE],
        vec!["list", "--scenarios", HOSTILE],
        vec!["clean", HOSTILE],
        vec!["config", "--set", HOSTILE],
        vec!["validate", "hostile.toml"],
        vec!["validate", "bad.toml"],
        vec!["config", "--results-dir", HOSTILE],
    ] {
        let output = binary().current_dir(&lab.folder).args(&arguments).output().unwrap();
        harmless(&format!("{arguments:?}"), &output);
    }
}
