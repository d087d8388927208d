//! Each check against a lab in which exactly one thing goes wrong: that check, and no other, must report it, with what was
//! expected and what is there. One scenario has a VM for each fault, and some that nothing happens to, so that one migration
//! tells of all.

use std::{collections::BTreeMap, fs};

use mtv_test::verify::CHECKS;

use crate::support::{Lab, told};

/// A VM of the scenario: its name in the source, what goes wrong with it in `[faults]` of the data centre, and, of what is
/// reported, the check and parts of its text.
struct Broken {
    vm: &'static str,
    faults: &'static str,
    reports: &'static [(&'static str, &'static [&'static str])],
}

const LINUX: &str = r#"
guest = "rhel8"
cpus = 2
cores_per_socket = 2
memory_mib = 1024
disks = [{ size_gib = 2 }, { size_gib = 1, datastore = "block-datastore" }]
nics = [{ network = "VM Network" }, { network = "VM Test Network", addresses = ["192.168.77.10/24", "192.168.77.11/24"] }]
"#;

const WINDOWS: &str = r#"
guest = "win2019"
cpus = 2
memory_mib = 1024
disks = [{ size_gib = 2, controller = "lsilogic-sas" }]
nics = [{ network = "cnv-test", adapter = "e1000e", addresses = ["172.20.6.10/16"] }]
"#;

const BROKEN: &[Broken] = &[
    // The Provider's Secret is one for all: it is told with the first VM.
    Broken {
        vm: "flipped-tls",
        faults: "[[faults.objects]]\nresource = \"secrets\"\nobject = \"*source*\"\nset = { \"/data/insecureSkipVerify\" = \"dHJ1ZQ==\" }",
        reports: &[("tls setting", &["insecureSkipVerify", "expected false, actual true"])],
    },
    Broken { vm: "sound", faults: "", reports: &[] },
    Broken { vm: "sound-windows", faults: "", reports: &[] },
    Broken {
        vm: "wrong-name",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*wrong-name*\"\nset = { \"/metadata/name\" = \"somebody-else\" }",
        reports: &[("target name", &["expected mtv-test-", "actual somebody-else"])],
    },
    Broken {
        vm: "stopped",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*stopped*\"\nset = { \"/spec/runStrategy\" = \"Halted\" }",
        reports: &[("power state", &["expected on, actual off (Stopped)"])],
    },
    Broken {
        vm: "other-cpu",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*other-cpu*\"\nset = { \"/spec/template/spec/domain/cpu/sockets\" = 2 }",
        reports: &[("cpu", &["sockets: expected 1, actual 2"])],
    },
    Broken {
        vm: "less-memory",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*less-memory*\"\nset = { \"/spec/template/spec/domain/memory/guest\" = \"512Mi\" }",
        reports: &[("memory", &["expected 1024 MiB, actual 512.0 MiB"])],
    },
    Broken {
        vm: "wrong-mac",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*wrong-mac*\"\nset = { \"/spec/template/spec/domain/devices/interfaces/0/macAddress\" = \"00:50:56:99:99:99\" }",
        reports: &[("network", &["VM Network", "expected an interface on pod", "no such MAC, only [00:50:56:99:99:99"])],
    },
    Broken {
        vm: "wrong-network",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*wrong-network*\"\nset = { \"/spec/template/spec/networks/1\" = { name = \"net-1\", pod = {} } }",
        reports: &[("network", &["VM Test Network", "actual pod"])],
    },
    Broken {
        vm: "lost-disk",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*lost-disk*\"\nremove = [\"/spec/template/spec/volumes/1\", \"/spec/template/spec/domain/devices/disks/1\"]",
        reports: &[("disk count", &["expected 2, actual 1 [mtv-test-"])],
    },
    Broken {
        vm: "wrong-class",
        faults: "[[faults.objects]]\nresource = \"persistentvolumeclaims\"\nobject = \"*wrong-class*\"\nset = { \"/spec/storageClassName\" = \"lab-file\" }",
        reports: &[("storage", &["storage class of", "expected lab-block, actual lab-file"])],
    },
    Broken {
        vm: "wrong-mode",
        faults: "[[faults.objects]]\nresource = \"persistentvolumeclaims\"\nobject = \"*wrong-mode*\"\nset = { \"/spec/accessModes\" = [\"ReadWriteOnce\"] }",
        reports: &[("storage", &["access mode of", "expected ReadWriteMany, actual [ReadWriteOnce]"])],
    },
    Broken {
        vm: "small-disk",
        faults: "[[faults.objects]]\nresource = \"persistentvolumeclaims\"\nobject = \"*small-disk*-disk-0*\"\nset = { \"/spec/resources/requests/storage\" = \"1Gi\" }",
        reports: &[("storage", &["size of", "expected at least 2147483648 bytes, actual 1073741824 bytes"])],
    },
    Broken {
        vm: "odd-claim",
        faults: "[[faults.objects]]\nresource = \"datavolumes\"\nobject = \"*odd-claim*-disk-1*\"\nset = { \"/metadata/generateName\" = \"something-\" }",
        reports: &[("pvc names", &["claim of disk 1 (Hard disk 2)", "-disk-1-… and random characters, actual something-"])],
    },
    Broken {
        vm: "lost-snapshot",
        faults: "[[faults.machines]]\nvm = \"*lost-snapshot*\"\nlose_snapshot = true",
        reports: &[("snapshots", &["snapshot", "poweredOn", "actual gone"]), ("snapshots", &["number of snapshots: expected 1, actual 0"])],
    },
    Broken {
        vm: "wrong-serial",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*wrong-serial*\"\nset = { \"/spec/template/spec/domain/firmware/serial\" = \"VMware-00\" }",
        reports: &[("serial", &["expected VMware-", "actual VMware-00"])],
    },
    Broken {
        vm: "no-agent",
        faults: "[[faults.guests]]\nvm = \"*no-agent*\"\nagent = false",
        reports: &[("guest agent", &["expected True", "timed out"])],
    },
    Broken {
        vm: "closed-ssh",
        faults: "[[faults.guests]]\nvm = \"*closed-ssh*\"\nssh = \"closed\"",
        reports: &[("ssh", &["expected works", "connection refused"])],
    },
    Broken {
        vm: "silent-ssh",
        faults: "[[faults.guests]]\nvm = \"*silent-ssh*\"\nssh = \"silent\"",
        reports: &[("ssh", &["expected works", "no answer from the guest's SSH server"])],
    },
    Broken {
        vm: "refused-login",
        faults: "[[faults.guests]]\nvm = \"*refused-login*\"\nssh = \"refuses\"",
        reports: &[("ssh", &["expected works", "the guest refused the password of `root`"])],
    },
    Broken {
        vm: "lost-address",
        faults: "[[faults.guests]]\nvm = \"*lost-address*\"\nlose_addresses = [\"192.168.77.11/24\"]",
        reports: &[("static ips", &["expected 192.168.77.11/24, actual enp2s0 has [192.168.77.10]"])],
    },
    Broken {
        vm: "lost-windows-address",
        faults: "[[faults.guests]]\nvm = \"*lost-windows-address*\"\nlose_addresses = [\"172.20.6.10/16\"]",
        reports: &[("static ips", &["expected 172.20.6.10/16, actual Ethernet Instance 0 has []"])],
    },
    Broken {
        vm: "lost-windows-gateway",
        faults: "[[faults.guests]]\nvm = \"*lost-windows-gateway*\"\nlose_gateway = true",
        reports: &[("static ips", &["gateway of", "expected 172.20.0.1, actual []"])],
    },
    Broken {
        vm: "wrong-node",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*wrong-node*\"\nset = { \"/spec/template/spec/nodeSelector\" = { \"kubernetes.io/hostname\" = \"worker-0\" } }",
        reports: &[("node placement", &["node: expected worker-1, actual worker-0"]), ("node placement", &["node selector checks-node-", "actual none"])],
    },
    Broken {
        vm: "dropped-label",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*dropped-label*\"\nremove = [\"/spec/template/metadata/labels/example.com~1team\"]",
        reports: &[("labels", &["label example.com/team: expected blue, actual none"])],
    },
    Broken {
        vm: "lost-affinity",
        faults: "[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"*lost-affinity*\"\nremove = [\"/spec/template/spec/affinity\"]",
        reports: &[("affinity", &["expected {\"podAffinity\"", "actual none"])],
    },
    // The last one, so that its place in the Plan is known.
    Broken { vm: "skipped-hook", faults: "", reports: &[("hooks", &["PostHook: expected succeeded, actual no such step in the pipeline"])] },
];

/// Checks that this scenario cannot break, with where that is tested.
const ELSEWHERE: [(&str, &str); 3] = [
    ("false power-off", "verify/tests.rs: RHV only"),
    ("copy-offload", "verify/tests.rs: Plans with copy-offload only"),
    ("nic names", "verify/tests.rs: no source tells them yet"),
];

fn datacenter() -> String {
    let mut text = mtv_lab::datacenter::DEFAULT.to_owned();
    let mut faults = String::new();
    for broken in BROKEN {
        let model = if broken.vm.contains("windows") { WINDOWS } else { LINUX };
        text.push_str(&format!("\n[[vsphere.vms]]\nname = \"{}\"\n{model}\n", broken.vm));
        faults.push_str(&format!("\n{}\n", broken.faults));
    }
    let last = BROKEN.len() - 1;
    faults.push_str(&format!("\n[[faults.objects]]\nresource = \"plans\"\nremove = [\"/spec/vms/{last}/hooks\"]\n"));
    text + &faults
}

fn scenario() -> String {
    let mut text = r#"
[scenario.checks]
description = "Every check has something to find"
markers = ["checks"]
target_power_state = "on"
preserve_static_ips = true
pvc_name_template = "{{.VmName}}-disk-{{.DiskIndex}}"
target_node_selector = { checks-node = { unique = true } }
target_labels = { "example.com/team" = "blue", run = { unique = true } }
guest_agent_timeout = "20s"
post_hook = { expected_result = "succeed" }

[[scenario.checks.target_affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution]]
weight = 50
podAffinityTerm = { topologyKey = "kubernetes.io/hostname", labelSelector.matchLabels = { app = "test" } }
"#
    .to_owned();
    for broken in BROKEN {
        let snapshots = u8::from(broken.vm == "lost-snapshot");
        text.push_str(&format!(
            "\n[[scenario.checks.virtual_machines]]\nname = \"{}\"\nsource_vm_power = \"on\"\nguest_agent = true\nsnapshots = {snapshots}\n",
            broken.vm
        ));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_the_lab_is_reported_by_its_check_alone() {
    let covered: Vec<&str> = BROKEN.iter().flat_map(|b| b.reports).map(|(check, _)| *check).collect();
    for check in CHECKS {
        let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == check.name());
        assert!(covered.contains(&check.name()) != elsewhere, "the check {} needs a fault", check.name());
    }
    let place = tempfile::TempDir::new().unwrap();
    let file = place.path().join("datacenter.toml");
    fs::write(&file, datacenter()).unwrap();
    let lab = Lab::start(&["--time-scale", "200", "--datacenter", file.to_str().unwrap()]);
    let before = lab.objects().await;
    fs::create_dir(lab.path("scenarios")).unwrap();
    fs::write(lab.path("scenarios/checks.toml"), scenario()).unwrap();
    let output = lab.run(&["checks", "--scenarios", "scenarios", "--set", "ssh_timeout=20s"]).output().unwrap();
    let all = told(&output);
    assert_eq!(output.status.code(), Some(1), "{all}");

    let events = fs::read_to_string(lab.path("results/latest/events.ndjson")).unwrap();
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = events.iter().find(|e| e["event"] == "step_finished" && e["step"] == "verify").unwrap_or_else(|| panic!("{all}"));
    let details: Vec<&str> = failed["trouble"]["details"].as_array().unwrap_or_else(|| panic!("{failed}")).iter().filter_map(|d| d.as_str()).collect();
    // `VM: CHECK - ABOUT: expected …, actual …`, the VM named like its clone.
    let mut problems: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for line in &details {
        let Some((vm, rest)) = line.split_once(": ") else { continue };
        let Some((check, text)) = rest.split_once(" - ").filter(|(_, text)| text.contains(": expected ")) else { continue };
        let named = |broken: &&Broken| vm.contains(&format!("-{}-", broken.vm)) || (vm == "somebody-else" && broken.vm == "wrong-name");
        let broken = BROKEN.iter().find(named).unwrap_or_else(|| panic!("whose is {line}"));
        problems.entry(broken.vm).or_default().push((check, text));
    }
    let mut wrong = Vec::new();
    for broken in BROKEN {
        let found = problems.remove(broken.vm).unwrap_or_default();
        for (check, parts) in broken.reports {
            if !found.iter().any(|(name, text)| name == check && parts.iter().all(|part| text.contains(part))) {
                wrong.push(format!("{}: {check} did not report {parts:?}, but {found:#?}", broken.vm));
            }
        }
        let others: Vec<_> = found.iter().filter(|(name, _)| !broken.reports.iter().any(|(check, _)| check == name)).collect();
        if !others.is_empty() {
            wrong.push(format!("{}: other checks reported {others:#?}", broken.vm));
        }
    }
    assert!(wrong.is_empty(), "{}\n\n{}", wrong.join("\n"), details.join("\n"));
    assert_eq!(lab.objects().await, before, "nothing is left, the node's label included");
}
