//! must-gather: by hand, by itself when a scenario fails, and what it says when it cannot.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use mtv_api::kinds;

use crate::support::{Lab, binary, junit, not_well, told};

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

/// A data centre whose Linux guests have another password than their profile says: SSH of the migrated VM fails.
fn with_a_wrong_guest_password(lab: &Lab) {
    let path = lab.path("lab/providers.toml");
    let text = fs::read_to_string(&path).unwrap();
    let changed: String = text
        .lines()
        .map(|line| {
            if line.starts_with("guest_vm_linux_password") {
                "guest_vm_linux_password = \"another-one\"\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(path, changed).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_that_fails_is_gathered_once_before_its_teardown() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    with_a_wrong_guest_password(&lab);
    let arguments = ["--set", "ssh_timeout=5s", "--data-collector-path", "collected", "sanity-warm", "--set", "cutover_delay=10s"];
    let output = lab.run(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let run = mtv_test::journal::read(&lab.path("results/latest/resources.json")).unwrap().header.unwrap().run;
    let gathered = files(&lab.path("collected").join(&run).join("sanity-warm"));
    for expected in ["/plans/sanity-warm.yaml", "must-gather.log", "/pods/", "forklift-controller"] {
        assert!(gathered.iter().any(|file| file.contains(expected)), "{expected} is not in {gathered:#?}\n{}", told(&output));
    }
    assert_eq!(
        fs::read_to_string(lab.path("collected/resources.json")).unwrap(),
        fs::read_to_string(lab.path("results/latest/resources.json")).unwrap()
    );
    let cases = junit(&lab.path("results/latest/junit-report.xml"));
    let not_passed = not_well(&cases);
    assert!(matches!(not_passed.as_slice(), [(name, ended)] if name.ends_with("/ssh") && ended == "failure"), "{cases:?}");
    assert_eq!(lab.objects().await, before, "{}", told(&output));

    // Not with the old suite's switch.
    let output =
        lab.run(&["--set", "ssh_timeout=5s", "--skip-data-collector", "sanity-warm", "--set", "cutover_delay=10s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(!lab.path("results/latest/must-gather").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_is_collected_wherever_it_went_wrong() {
    // With the teardown switched off, where no step cleans up.
    let lab = Lab::start(&[]);
    with_a_wrong_guest_password(&lab);
    let output = lab.run(&["--set", "ssh_timeout=2s", "--skip-teardown", "sanity-cold"]).output().unwrap();
    let text = told(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let gathered = files(&lab.path("results/latest/must-gather/sanity-cold"));
    assert!(gathered.iter().any(|file| file.contains("/plans/sanity-cold.yaml")), "{gathered:?}\n{text}");
    assert!(text.contains("must-gather/sanity-cold (") && text.contains(&format!("({} files)", gathered.len())), "{text}");
    assert!(text.contains("still in place, as --skip-teardown asks") && !text.contains("left behind"), "{text}");
    let report = fs::read_to_string(lab.path("results/latest/junit-report.xml")).unwrap();
    assert!(report.contains("name=\"collected\"") && report.contains("the teardown is switched off"), "{report}");

    // A source VM that does not exist: nothing was made, so there is nothing to collect.
    fs::create_dir(lab.path("own")).unwrap();
    let missing = "[scenario.typo]\n[[scenario.typo.virtual_machines]]\nname = \"no-such-vm\"\n";
    fs::write(lab.path("own/s.toml"), missing).unwrap();
    let output = lab.run_into("missing", &["typo", "--scenarios", "own"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(!lab.path("missing/latest/must-gather").exists(), "{}", told(&output));

    // A set-up that fails: the Provider's URL is not what MTV can reach.
    lab.fault(&["add", r#"server = "vsphere", client = "mtv-lab*", effect = "close""#]);
    let output = lab.run_into("set-up", &["sanity-cold", "--set", "provider_ready_timeout=20s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    let gathered = files(&lab.path("set-up/latest/must-gather/set_up"));
    assert!(gathered.iter().any(|file| file.contains("/providers/")), "{gathered:?}\n{}", told(&output));
    assert!(told(&output).contains("must-gather/set_up ("), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_behind_is_collected_of() {
    let lab = Lab::start(&[]);
    lab.fault(&["add", r#"server = "kubernetes", verb = "delete", resource = "plans", effect = "status", status = 403"#]);
    let output = lab.run(&["sanity-cold", "--set", "object_timeout=10s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", told(&output));
    let gathered = files(&lab.path("results/latest/must-gather/left_behind"));
    assert!(!gathered.is_empty() && told(&output).contains("must-gather/left_behind ("), "{}", told(&output));
    assert!(!lab.objects().await.iter().any(|object| object.contains("mtv-test-gather")), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_it_gathers_a_plan_a_vm_or_everything() {
    let lab = Lab::start(&[]);
    let output = lab.run(&["--skip-teardown", "sanity-cold"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    // The check of the guest has started the VM and stopped it again; what is left of it may go at any moment.
    let running = |object: &String| object.starts_with("VirtualMachineInstance ") || object.contains("virt-launcher");
    let mut before = lab.objects().await;
    before.retain(|object| !running(object));
    let plans: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(lab.client().await, &kinds::PLAN.resource());
    let plan = plans.list(&kube::api::ListParams::default()).await.unwrap().items.remove(0);
    let (namespace, name) = (plan.metadata.namespace.unwrap(), plan.metadata.name.unwrap());
    let full_name = format!("{namespace}/{name}");
    let vm = plan.data["spec"]["vms"][0]["name"].as_str().unwrap_or_default().to_owned();
    let gather = |arguments: &[&str]| {
        let mut command = binary();
        command.current_dir(lab.folder.path()).args(["must-gather", "--kubeconfig", "lab/kubeconfig"]).args(arguments);
        command.output().unwrap()
    };
    for (folder, arguments) in [("plan", vec!["--plan", &full_name]), ("vm", vec!["--plan", &full_name, "--vm", &vm]), ("all", vec![])] {
        let output = gather(&[&["--dest-dir", folder], arguments.as_slice()].concat());
        assert_eq!(output.status.code(), Some(0), "{folder}: {}", told(&output));
        let gathered = files(&lab.path(folder));
        assert!(gathered.iter().any(|file| file.ends_with(&format!("/plans/{name}.yaml"))), "{folder}: {gathered:#?}");
        assert_eq!(folder == "all", gathered.iter().any(|file| file.contains("/forkliftcontrollers/")), "{folder}: {gathered:#?}");
        let mut after = lab.objects().await;
        after.retain(|object| !running(object));
        assert_eq!(after, before, "{folder}: {}", told(&output));
        assert_eq!(fs::metadata(lab.path(folder)).unwrap().permissions().mode() & 0o777, 0o700);
    }
    for (arguments, words) in [
        (vec!["--plan", "a/none"], format!("the cluster has {full_name}")),
        (vec!["--plan", &full_name, "--vm", "none"], format!("it has {vm}")),
    ] {
        let output = gather(&arguments);
        assert_eq!(output.status.code(), Some(7), "{}", told(&output));
        assert!(told(&output).contains(&words), "{}", told(&output));
    }
    let output = gather(&["--dest-dir", "all"]);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(told(&output).contains("all is not empty"), "{}", told(&output));
    // Bounded in time, with nothing left of it.
    let output = gather(&["--set", "must_gather_timeout=1ms"]);
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    // The first connection counts, too.
    let bounded = ["was not done within", "was not reached within"].iter().any(|words| told(&output).contains(words));
    assert!(bounded, "{}", told(&output));
    assert_eq!(
        lab.objects().await.into_iter().filter(|o| !running(o)).collect::<std::collections::BTreeSet<_>>(),
        before,
        "{}",
        told(&output)
    );
}

/// What keeps it from gathering is told, and nothing is left of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_gathered_is_said() {
    let place = tempfile::TempDir::new().unwrap();
    let file = place.path().join("datacenter.toml");
    fs::write(&file, mtv_lab::datacenter::DEFAULT.to_owned() + "\n[[faults.images]]\nimage = \"*must-gather*\"\n").unwrap();
    let lab = Lab::start(&["--datacenter", file.to_str().unwrap()]);
    let before = lab.objects().await;
    let gather = || {
        let mut command = binary();
        command.current_dir(lab.folder.path()).args(["must-gather", "--kubeconfig", "lab/kubeconfig"]).output().unwrap()
    };
    let output = gather();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    for words in ["ImagePullBackOff", "manifest unknown", "mirrors"] {
        assert!(told(&output).contains(words), "{words}: {}", told(&output));
    }
    let rule = "server = \"kubernetes\", verb = \"create\", resource = \"clusterrolebindings\", effect = \"status\", status = 403";
    lab.fault(&["add", rule]);
    let output = gather();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    for words in ["failed to create ClusterRoleBinding", "cluster-admin"] {
        assert!(told(&output).contains(words), "{words}: {}", told(&output));
    }
    lab.fault(&["clear"]);
    assert_eq!(lab.objects().await, before);
}
