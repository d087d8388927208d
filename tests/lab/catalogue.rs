//! Every scenario of the catalogue in a lab in which one thing goes wrong with it: it has to fail, in the step and for the reason that
//! the fault is about, and for no other. A sample by default; all of them, and all of them passing in a lab without faults, with
//! `MTV_TEST_CATALOGUE=all`.

use std::fs;

use mtv_test::config::catalogue::Catalogue;
use serde_json::Value;

use crate::support::{Lab, told};

/// What goes wrong with a scenario, and how it has to fail.
struct Wrong {
    scenario: &'static str,
    /// `[faults]` of the data centre. `VM` stands for the pattern of the scenario's first VM, `PLACE` for its number in the run.
    fault: &'static str,
    /// The step that fails.
    step: &'static str,
    /// For `verify`: the check that reports, and nothing but it. Else empty.
    check: &'static str,
    /// What is told.
    words: &'static [&'static str],
    /// Whether it is of the sample.
    sample: bool,
}

macro_rules! wrong {
    ($scenario:literal, $fault:literal, $step:literal, $check:literal, $words:expr) => {
        Wrong { scenario: $scenario, fault: $fault, step: $step, check: $check, words: &$words, sample: false }
    };
    (sample $scenario:literal, $fault:literal, $step:literal, $check:literal, $words:expr) => {
        Wrong { scenario: $scenario, fault: $fault, step: $step, check: $check, words: &$words, sample: true }
    };
}

/// An ESXi host copies what the array should.
macro_rules! by_host {
    ($scenario:literal) => {
        wrong!(
            $scenario,
            "[[faults.copies]]\ndisk = \"VM*\"\nxcopy = false",
            "verify",
            "copy-offload",
            ["xcopyUsed of [", "expected 1 (its datastore is on the array), actual 0"]
        )
    };
}

const WRONG: &[Wrong] = &[
    wrong!(
        sample "sanity-cold",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nset = { \"/spec/template/spec/domain/memory/guest\" = \"512Mi\" }",
        "verify", "memory", ["expected 2048 MiB, actual 512.0 MiB"]
    ),
    wrong!(
        "sanity-warm",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nset = { \"/spec/template/spec/domain/cpu/sockets\" = 1 }",
        "verify",
        "cpu",
        ["sockets: expected 2, actual 1"]
    ),
    wrong!(
        "warm-2disks2nics",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nset = { \"/spec/template/spec/networks/1\" = { name = \"net-1\", pod = {} } }",
        "verify",
        "network",
        ["VM Test Network", "actual pod"]
    ),
    wrong!(
        sample "comprehensive-cold",
        "[[faults.guests]]\nvm = \"VM\"\nlose_addresses = [\"172.20.6.10/16\"]",
        "verify", "static ips", ["expected 172.20.6.10/16", "has []"]
    ),
    wrong!(
        "comprehensive-warm",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nremove = [\"/spec/template/metadata/labels/static-label\"]",
        "verify",
        "labels",
        ["label static-label: expected static-value, actual none"]
    ),
    wrong!(
        sample "post-hook-retain-failed-vm",
        "[[faults.objects]]\nresource = \"plans\"\nobject = \"post-hook-retain-failed-vm\"\nremove = [\"/spec/vms/0/hooks\"]",
        "migrate", "", ["succeeded, but the scenario expects a failure in step PostHook"]
    ),
    wrong!(
        "hooks-succeed",
        // A list of one play whose only task fails.
        "[[faults.objects]]\nresource = \"hooks\"\nobject = \"hooks-succeed--post-hook\"\nset = { \"/spec/playbook\" = \"LSBob3N0czogbG9jYWxob3N0CiAgdGFza3M6CiAgICAtIGFuc2libGUuYnVpbHRpbi5mYWlsOgogICAgICAgIG1zZzogbm8K\" }",
        "migrate",
        "",
        ["failed in step PostHook"]
    ),
    wrong!(
        "pre-hook-fails",
        "[[faults.objects]]\nresource = \"plans\"\nobject = \"pre-hook-fails\"\nremove = [\"/spec/vms/0/hooks\"]",
        "migrate",
        "",
        ["succeeded, but the scenario expects a failure in step PreHook"]
    ),
    wrong!(
        sample "cold-remote-ocp",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nset = { \"/spec/template/spec/domain/firmware/serial\" = \"VMware-00\" }",
        "verify", "serial", ["expected VMware-42", "actual VMware-00"]
    ),
    wrong!("warm-remote-ocp", "[[faults.guests]]\nvm = \"VM\"\nssh = \"closed\"", "verify", "ssh", ["connection refused"]),
    wrong!(
        sample "copyoffload-thin",
        "[[faults.copies]]\ndisk = \"VM*\"\nxcopy = false",
        "verify", "copy-offload", ["xcopyUsed of [", "expected 1 (its datastore is on the array), actual 0"]
    ),
    by_host!("copyoffload-thick-lazy"),
    by_host!("copyoffload-thick-eager"),
    by_host!("copyoffload-multi-disk"),
    by_host!("copyoffload-dual-disk-mixed"),
    wrong!(
        "copyoffload-multi-disk-different-path",
        "[[faults.copies]]\ndisk = \"*shared_disks/VM*\"\nxcopy = false",
        "verify",
        "copy-offload",
        ["xcopyUsed of [block-datastore] shared_disks/", "actual 0"]
    ),
    wrong!(
        "copyoffload-10-mixed-disks",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nremove = [\"/spec/template/spec/volumes/7\", \"/spec/template/spec/domain/devices/disks/7\"]",
        "verify",
        "disk count",
        ["number of disks: expected 11, actual 10"]
    ),
    wrong!(
        "copyoffload-large-vm",
        "[[faults.copies]]\ndisk = \"VM*\"\nfail = \"failed to map the volume: LUN 7 is not there\"",
        "migrate",
        "",
        ["failed in step DiskTransfer: the populator of [", "LUN 7 is not there"]
    ),
    by_host!("copyoffload-independent-persistent-disk"),
    by_host!("copyoffload-independent-nonpersistent-disk"),
    wrong!(
        sample "copyoffload-rdm-virtual-disk",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nset = { \"/spec/template/spec/domain/devices/disks/1\" = { name = \"vol-1\", disk = { bus = \"virtio\" } } }",
        "verify", "raw devices", ["number of LUNs: expected 1, actual 0"]
    ),
    wrong!(
        "copyoffload-rdm-physical-disk",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nset = { \"/spec/template/spec/domain/devices/disks/1/lun/bus\" = \"virtio\" }",
        "verify",
        "raw devices",
        ["bus of LUN", "expected scsi, actual virtio"]
    ),
    wrong!(
        "copyoffload-multi-datastore",
        "[[faults.copies]]\ndisk = \"[block-datastore-2] VM*\"\nxcopy = false",
        "verify",
        "copy-offload",
        ["xcopyUsed of [block-datastore-2]", "actual 0"]
    ),
    wrong!(
        "copyoffload-multi-disk-different-datastore-path",
        "[[faults.copies]]\ndisk = \"[block-datastore-2] shared_disks/VM*\"\nxcopy = false",
        "verify",
        "copy-offload",
        ["xcopyUsed of [block-datastore-2] shared_disks/", "actual 0"]
    ),
    wrong!(
        sample "copyoffload-mixed-datastore",
        "[[faults.copies]]\ndisk = \"[local-datastore] VM*\"\nxcopy = true",
        "verify", "copy-offload", ["xcopyUsed of [local-datastore]", "expected 0 (its datastore is not on the array), actual 1"]
    ),
    wrong!(
        "copyoffload-fallback-large",
        "[[faults.copies]]\ndisk = \"VM*\"\nxcopy = true",
        "verify",
        "copy-offload",
        ["expected 0 (its datastore is not on the array), actual 1"]
    ),
    wrong!(
        sample "copyoffload-thin-snapshots",
        "[[faults.guests]]\nvm = \"VM\"\nlose_files = true",
        "verify", "data marker", ["marker.txt in the guest: expected mtv-data-integrity-", "No such file"]
    ),
    wrong!(
        "copyoffload-thick-lazy-snapshots",
        "[[faults.machines]]\nvm = \"VM\"\nlose_snapshot = true",
        "verify",
        "snapshots",
        ["number of snapshots: expected 2, actual 1"]
    ),
    wrong!(
        "copyoffload-thick-eager-snapshots",
        "[[faults.copies]]\ndisk = \"VM*\"\nxcopy = true",
        "verify",
        "copy-offload",
        ["expected 0 (disks on snapshots are read through by the host), actual 1"]
    ),
    wrong!("copyoffload-2tb-vm-snapshots", "[[faults.guests]]\nvm = \"VM\"\nlose_files = true", "verify", "data marker", ["No such file"]),
    wrong!(
        "copyoffload-nonconforming-name",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nset = { \"/metadata/name\" = \"somebody-else\" }",
        "verify",
        "target name",
        ["xcopy-test-vm-caps", "actual somebody-else"]
    ),
    by_host!("copyoffload-warm"),
    wrong!(
        "copyoffload-warm-rdm-virtual-disk",
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\nset = { \"/spec/template/spec/domain/devices/disks/1\" = { name = \"vol-1\", lun = { bus = \"scsi\" } } }",
        "verify",
        "raw devices",
        ["number of LUNs: expected 0, actual 1"]
    ),
    wrong!(
        "copyoffload-scale",
        // The last of its five VMs.
        "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*-PLACE-4\"\nremove = [\"/spec/template/spec/volumes/1\", \"/spec/template/spec/domain/devices/disks/1\"]",
        "verify",
        "disk count",
        ["-4: disk count", "number of disks: expected 2, actual 1"]
    ),
    wrong!(
        sample "copyoffload-dedicated-migration-hosts",
        "[[faults.objects]]\nresource = \"storagemaps\"\nobject = \"copyoffload-dedicated-migration-hosts\"\nremove = [\"/spec/map/0/offloadPlugin/vsphereXcopyConfig/dedicatedMigrationHosts\"]",
        "verify", "copy-offload", ["host that copies [block-datastore]", "expected host-13, actual host-12"]
    ),
    wrong!(
        "copyoffload-dedicated-host-invalid-id",
        "[[faults.objects]]\nresource = \"storagemaps\"\nobject = \"copyoffload-dedicated-host-invalid-id\"\nset = { \"/spec/map/0/offloadPlugin/vsphereXcopyConfig/dedicatedMigrationHosts\" = [\"host-13\"] }",
        "migrate",
        "",
        ["succeeded, but the scenario expects a failure in step DiskTransfer for a reason with `didn't find any host"]
    ),
    wrong!(
        sample "copyoffload-simultaneous-plans",
        "[[faults.objects]]\nresource = \"migrations\"\nobject = \"copyoffload-simultaneous-plans--plan2\"\nset = { \"/spec/plan/name\" = \"another-plan\" }",
        "migrate", "", ["did not run at the same time", "plan1 Succeeded", "plan2 not started"]
    ),
    wrong!(
        "copyoffload-concurrent-xcopy-vddk",
        "[[faults.copies]]\ndisk = \"VM*\"\nxcopy = false",
        "verify",
        "copy-offload",
        ["-0: copy-offload", "expected 1 (its datastore is on the array), actual 0"]
    ),
];

/// Settings of these runs: nothing is waited for longer than the lab needs, and remote scenarios run.
const SETTINGS: [&str; 9] = [
    "-j",
    "16",
    "--skip-data-collector",
    "--set",
    "ssh_timeout=30s",
    "--set",
    "static_ips_timeout=5s",
    "--set",
    "remote_ocp_cluster=127.0.0.1",
];

/// Scenarios that these runs are about: those of vSphere.
fn names() -> Vec<String> {
    use mtv_test::config::profile::ProviderKind::Vsphere;
    let catalogue = Catalogue::load(None).unwrap();
    let for_vsphere = catalogue.scenarios().iter().filter(|s| s.requires.providers.is_empty() || s.requires.providers.contains(&Vsphere));
    for_vsphere.map(|s| s.name.clone()).collect()
}

fn all() -> bool {
    std::env::var("MTV_TEST_CATALOGUE").is_ok_and(|value| value == "all")
}

#[test]
fn every_scenario_has_its_fault() {
    let known: Vec<&str> = WRONG.iter().map(|wrong| wrong.scenario).collect();
    assert_eq!(known, names(), "each scenario of the catalogue needs a fault here, in the same order");
}

#[test]
fn each_scenario_fails_for_the_right_reason() {
    let chosen: Vec<&Wrong> = WRONG.iter().filter(|wrong| wrong.sample || all()).collect();
    let mut datacenter = mtv_lab::datacenter::DEFAULT.to_owned();
    for (place, wrong) in chosen.iter().enumerate() {
        let fault = wrong.fault.replace("PLACE", &place.to_string());
        // Clones end in the scenario's place in the run and the VM's in the scenario; so do their folders.
        datacenter
            .push_str(&format!("\n{}\n", fault.replace("VM\"", &format!("*-{place}-0\"")).replace("VM*\"", &format!("*-{place}-0*\""))));
    }
    let place = tempfile::TempDir::new().unwrap();
    let file = place.path().join("datacenter.toml");
    fs::write(&file, datacenter).unwrap();
    let lab = Lab::start(&["--datacenter", file.to_str().unwrap()]);
    let output = lab.run(&SETTINGS).args(chosen.iter().map(|wrong| wrong.scenario)).output().unwrap();
    let text = told(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let events = events(&lab);
    let mut problems = Vec::new();
    for wrong in &chosen {
        let of = |event: &&Value| event["event"] == "step_finished" && event["scenario"] == wrong.scenario && !event["trouble"].is_null();
        let Some(failed) = events.iter().find(of) else {
            problems.push(format!("{} passed", wrong.scenario));
            continue;
        };
        let trouble = &failed["trouble"];
        let details =
            ["causes", "evidence"].into_iter().flat_map(|key| trouble[key].as_array().into_iter().flatten()).filter_map(Value::as_str);
        let lines: Vec<&str> = trouble["summary"].as_str().into_iter().chain(details).collect();
        if failed["step"] != wrong.step || failed["verdict"] != "failed" {
            problems.push(format!("{} ended in {} {}: {lines:#?}", wrong.scenario, failed["step"], failed["verdict"]));
        } else if !lines.iter().any(|line| wrong.words.iter().all(|word| line.contains(word))) {
            problems.push(format!("{}: {:?} are in none of {lines:#?}", wrong.scenario, wrong.words));
        }
        let others = lines.iter().filter(|line| line.contains(": expected ") && !line.contains(&format!(": {} - ", wrong.check)));
        problems
            .extend(others.filter(|_| wrong.step == "verify").map(|line| format!("{}: another check reported: {line}", wrong.scenario)));
    }
    println!("{} scenarios, {} of them as they should", chosen.len(), chosen.len() - problems.len().min(chosen.len()));
    assert!(problems.is_empty(), "{}\n\n{text}", problems.join("\n"));
}

/// All of them pass where nothing goes wrong.
#[test]
fn the_whole_catalogue_passes() {
    if !all() {
        return;
    }
    let lab = Lab::start(&[]);
    let output = lab.run(&SETTINGS).args(names()).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let passed = events(&lab).iter().filter(|e| e["event"] == "scenario_finished" && e["verdict"] == "passed").count();
    assert_eq!(passed, names().len(), "{}", told(&output));
}

fn events(lab: &Lab) -> Vec<Value> {
    let text = fs::read_to_string(lab.path("results/latest/events.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
