//! What a run reports of a migration that stands still, of clocks that differ and of names that vSphere escapes.

use std::{
    fs,
    process::{Command, Output},
};

use crate::support::{Lab, binary, told};

/// The built-in data centre with more behind it.
fn data_center(folder: &std::path::Path, more: &str) {
    let output = binary().args(["lab", "datacenter", "--print"]).output().unwrap();
    let built_in = if output.status.success() {
        String::from_utf8(output.stdout).unwrap()
    } else {
        include_str!("../../lab/src/datacenter.toml").to_owned()
    };
    fs::write(folder.join("dc.toml"), format!("{built_in}\n{more}")).unwrap();
}

/// Runs scenarios against a lab of their own with these faults or machines.
fn run(more: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::TempDir::new().unwrap();
    data_center(folder.path(), more);
    let mut command = binary();
    command.current_dir(folder.path()).args(["run", "--lab", "--datacenter", "dc.toml", "--skip-data-collector"]).args(arguments);
    command.output().unwrap()
}

fn assert_holds(output: &Output, code: i32, parts: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", told(output));
    for part in parts {
        assert!(told(output).contains(part), "`{part}` is missing in {}", told(output));
    }
}

#[test]
fn a_hook_image_that_cannot_be_pulled_is_named() {
    let fault = "[[faults.images]]\nimage = \"*hook*\"\nmessage = \"x509: certificate signed by unknown authority\"\n";
    let output = run(fault, &["hooks-succeed", "--set", "plan_wait_timeout=15s"]);
    assert_holds(
        &output,
        1,
        &["is in step PreHook", "ImagePullBackOff", "x509: certificate signed by unknown authority", "hint: a node cannot pull an image"],
    );
}

#[test]
fn a_vddk_image_that_cannot_be_pulled_is_named() {
    let fault = "[[faults.images]]\nimage = \"*vddk*\"\nmessage = \"unauthorized: authentication required\"\n";
    let output = run(fault, &["sanity-cold", "--set", "plan_ready_timeout=15s"]);
    assert_holds(&output, 7, &["vddk-validator", "unauthorized: authentication required", "hint: a node cannot pull an image"]);
}

/// A rule that refuses what the cluster's own controllers create.
fn refused(resource: &str, message: &str) -> String {
    format!(
        "[[faults.requests]]\nserver = \"kubernetes\"\nverb = \"create\"\nresource = \"{resource}\"\nnamespace = \"mtv-test-*\"\nclient = \"*\"\neffect = \"status\"\nstatus = 403\nmessage = {message:?}\n"
    )
}

#[test]
fn a_quota_that_refuses_pods_is_named() {
    let fault = refused("pods", "pods \"x\" is forbidden: failed quota: team-a: must specify limits.cpu");
    let output = run(&fault, &["sanity-cold", "--set", "plan_ready_timeout=15s"]);
    assert_holds(&output, 7, &["Job mtv-test-", "FailedCreate", "failed quota: team-a", "hint: look at quotas"]);
    // A pod that the controller itself creates has no owner with an event: only its log tells.
    let output = run(&fault, &["--provider", "ova", "sanity-cold", "--set", "plan_wait_timeout=15s"]);
    assert_holds(&output, 1, &["is in step ImageConversion", "forklift-controller", "failed quota: team-a", "hint: look at quotas"]);
}

#[test]
fn a_quota_that_refuses_claims_is_named() {
    let fault = refused(
        "persistentvolumeclaims",
        "persistentvolumeclaims \"x\" is forbidden: exceeded quota: team-a, requested: requests.storage=16Gi",
    );
    let output = run(&fault, &["sanity-cold", "--set", "plan_wait_timeout=15s"]);
    assert_holds(&output, 1, &["DataVolume mtv-test-", "ErrExceededQuota", "exceeded quota: team-a", "hint: look at quotas"]);
}

#[test]
fn a_guest_that_refuses_the_login_is_asked_until_the_time_is_up() {
    let output = run("[[faults.guests]]\nvm = \"*\"\nssh = \"refuses\"\n", &["sanity-cold", "--set", "ssh_timeout=12s"]);
    // At least the time that was set: the pauses of 0.5, 1, 2, 4 s and the rest.
    assert_holds(&output, 1, &["no SSH login to the guest", "within 12", "attempts were refused"]);
}

#[test]
fn names_that_vsphere_escapes_are_compared_as_people_write_them() {
    let more = r#"
[[vsphere.datastores]]
name = "fast (50%)"
capacity_gib = 1024

[[vsphere.networks]]
name = "VLAN 10.0.0.0/8"
distributed = true

[[vsphere.vms]]
name = "ns/a%2fb\\c"
guest = "rhel8"
cpus = 1
memory_mib = 1024
disks = [{ size_gib = 1, datastore = "fast (50%)" }]
nics = [{ network = "VLAN 10.0.0.0/8" }]
"#;
    let folder = tempfile::TempDir::new().unwrap();
    data_center(folder.path(), more);
    fs::create_dir(folder.path().join("s")).unwrap();
    let vm = "[[scenario.NAME.virtual_machines]]\nname = 'ns/a%2fb\\c'\nsource_vm_power = \"on\"\n";
    let keep = "clone_name = 'ns/a%2fb\\c'\npreserve_name_format = true\n";
    let scenarios = format!(
        "[scenario.plain]\ndescription = \"x\"\n{}\n[scenario.kept]\ndescription = \"x\"\n{}{keep}",
        vm.replace("NAME", "plain"),
        vm.replace("NAME", "kept")
    );
    fs::write(folder.path().join("s/s.toml"), scenarios).unwrap();
    let mut command = binary();
    command.current_dir(folder.path()).args(["run", "--lab", "--datacenter", "dc.toml", "--scenarios", "s", "plain", "kept", "-vv"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

/// Source VMs of a run share a namespace: the scenario that removes the last one must not take it from one that begins.
#[test]
fn scenarios_of_an_openshift_source_share_their_namespace() {
    // The deletion comes late, so that others begin between the look and the deletion.
    let fault = "[[faults.requests]]\nserver = \"kubernetes\"\nverb = \"delete\"\nresource = \"namespaces\"\nobject = \"*-source-vms\"\neffect = \"stall\"\nseconds = 0.7\n";
    let folder = tempfile::TempDir::new().unwrap();
    data_center(folder.path(), fault);
    fs::create_dir(folder.path().join("s")).unwrap();
    let scenario = |number: usize| {
        format!("[scenario.n{number}]\ndescription = \"x\"\n[[scenario.n{number}.virtual_machines]]\nname = \"vm{number}\"\n")
    };
    fs::write(folder.path().join("s/s.toml"), (0..6).map(scenario).collect::<String>()).unwrap();
    let mut command = binary();
    command.current_dir(folder.path()).args(["run", "--lab", "--datacenter", "dc.toml", "--provider", "openshift", "--scenarios", "s"]);
    let output = command.args(["n*", "-j", "2"]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

/// `faketime`, or none where it is not installed; CI has it.
fn faketime(offset: &str, command: &Command) -> Option<Command> {
    if Command::new("faketime").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "faketime is missing, which CI must have");
        println!("skipped: faketime is not installed");
        return None;
    }
    let mut faked = Command::new("faketime");
    faked.args(["-f", offset]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => faked.env(name, value),
            None => faked.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        faked.current_dir(folder);
    }
    Some(faked)
}

#[test]
fn the_cutover_goes_by_the_clock_of_the_cluster() {
    let lab = Lab::start(&[]);
    for (offset, side) in [("+2h", "ahead of"), ("-2h", "behind")] {
        let arguments = ["sanity-warm", "--set", "cutover_delay=2m", "--set", "snapshots_interval=1m", "--set", "plan_wait_timeout=2m"];
        let Some(mut command) = faketime(offset, &lab.run_into(&format!("results{offset}"), &arguments)) else { return };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{offset}: {}", told(&output));
        assert!(told(&output).contains(&format!("{side} the cluster's")), "{offset}: {}", told(&output));
        let latest = lab.path(&format!("results{offset}/latest"));
        let report = fs::read_to_string(latest.join("junit-report.xml")).unwrap();
        let skew = if offset == "+2h" { "value=\"7" } else { "value=\"-7" };
        assert!(report.contains(&format!("name=\"clock_skew\" {skew}")), "{report}");
        // With a cutover in the past there would be one, with one in two hours no end.
        let precopies = report.split("precopies succeeded").next().and_then(|before| before.rsplit(' ').nth(1)).unwrap();
        assert!(precopies.parse::<u32>().unwrap() >= 2, "{offset}: {precopies} precopies");
    }
}
