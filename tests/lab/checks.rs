//! Each check against a lab in which exactly one thing goes wrong: that check, and no other, must report it, with what was
//! expected and what is there. One scenario has VMs for all faults, and some that nothing happens to, so that one migration tells
//! of all.

use std::{collections::BTreeMap, fs};

use kube::{
    Api,
    api::{DynamicObject, ListParams},
};
use mtv_api::kinds;
use mtv_test::verify::CHECKS;

use crate::support::{Lab, told};

/// A VM of the scenario: its name in the source; what goes wrong with it in `[faults]` of the data centre, with `VM` for the
/// pattern of its name; and what is reported of it: check and parts of the text. Nothing else may be reported.
struct Broken {
    vm: &'static str,
    faults: &'static [&'static str],
    reports: &'static [(&'static str, &'static [&'static str])],
}

/// Beginning of a fault that has a VirtualMachine created otherwise.
macro_rules! machine {
    ($change:literal) => {
        concat!("[[faults.objects]]\nresource = \"virtualmachines\"\nobject = \"VM\"\n", $change)
    };
}

/// The same for a claim.
macro_rules! claim {
    ($change:literal) => {
        concat!("[[faults.objects]]\nresource = \"persistentvolumeclaims\"\nobject = \"VM\"\n", $change)
    };
}

/// The same for a guest.
macro_rules! guest {
    ($change:literal) => {
        concat!("[[faults.guests]]\nvm = \"VM\"\n", $change)
    };
}

const LINUX: &str = r#"
guest = "rhel8"
cpus = 2
cores_per_socket = 2
memory_mib = 1024
nics = [{ network = "VM Network" }, { network = "VM Test Network", addresses = ["192.168.77.10/24", "192.168.77.11/24"] }]
"#;

const WINDOWS: &str = r#"
guest = "win2019"
cpus = 2
cores_per_socket = 2
memory_mib = 1024
nics = [{ network = "cnv-test", adapter = "e1000e", addresses = ["172.20.6.10/16"] }]
"#;

/// Faults that do not touch each other share a VM: a migration takes its time.
const BROKEN: &[Broken] = &[
    Broken {
        vm: "tls-cpu-label-agent",
        faults: &[
            // One Secret for all VMs: it is told with the first.
            "[[faults.objects]]\nresource = \"secrets\"\nobject = \"*-credentials\"\nset = { \"/data/insecureSkipVerify\" = \"dHJ1ZQ==\" }",
            machine!("set = { \"/spec/template/spec/domain/cpu/sockets\" = 2 }"),
            machine!("remove = [\"/spec/template/metadata/labels/example.com~1team\"]"),
            // The first change of a guest counts.
            guest!("agent = false\nlose_files = true\nrename = { ens224 = \"enp2s0\" }"),
        ],
        reports: &[
            ("tls setting", &["insecureSkipVerify", "expected false, actual true"]),
            ("cpu", &["sockets: expected 1, actual 2"]),
            ("labels", &["label example.com/team: expected blue, actual none"]),
            ("guest agent", &["expected True", "timed out"]),
            ("data marker", &["marker.txt in the guest: expected mtv-data-integrity-", "actual cat: /opt", "No such file"]),
            ("nic names", &["in the guest: expected ens224, actual enp2s0"]),
        ],
    },
    Broken { vm: "sound-linux", faults: &[], reports: &[] },
    Broken { vm: "sound-windows", faults: &[], reports: &[] },
    Broken {
        vm: "name-memory-affinity",
        faults: &[
            machine!("set = { \"/spec/template/spec/domain/memory/guest\" = \"512Mi\" }"),
            machine!("remove = [\"/spec/template/spec/affinity\", \"/spec/template/spec/domain/cpu/features/1\"]"),
            machine!("set = { \"/metadata/name\" = \"somebody-else\" }"),
        ],
        reports: &[
            ("target name", &["expected mtv-test-", "actual somebody-else"]),
            ("memory", &["expected 1024 MiB, actual 512.0 MiB"]),
            ("cpu features", &["policy of svm: expected disable, actual none"]),
            ("affinity", &["expected {\"podAffinity\"", "actual none"]),
        ],
    },
    Broken {
        vm: "stopped-serial",
        faults: &[
            machine!("set = { \"/spec/runStrategy\" = \"Halted\" }"),
            machine!(
                "set = { \"/spec/template/spec/domain/firmware/serial\" = \"VMware-00\", \"/spec/template/spec/domain/firmware/bootloader\" = { efi = {} } }"
            ),
        ],
        reports: &[
            ("power state", &["expected on, actual off (Stopped)"]),
            ("serial", &["expected VMware-", "actual VMware-00"]),
            ("boot", &["firmware: expected bios, actual efi"]),
            ("boot", &["secure boot: expected no, actual yes"]),
        ],
    },
    Broken {
        vm: "mac-class-address",
        faults: &[
            machine!("set = { \"/spec/template/spec/domain/devices/interfaces/0/macAddress\" = \"00:50:56:99:99:99\" }"),
            claim!("set = { \"/spec/storageClassName\" = \"lab-file\" }"),
            guest!("lose_addresses = [\"192.168.77.11/24\"]"),
        ],
        reports: &[
            ("network", &["VM Network", "expected an interface on pod", "no such MAC, only [00:50:56:99:99:99"]),
            ("storage", &["storage class of", "expected lab-block, actual lab-file"]),
            ("static ips", &["expected 192.168.77.11/24, actual ens224 has [192.168.77.10]"]),
        ],
    },
    Broken {
        vm: "network-mode-closed",
        faults: &[
            machine!("set = { \"/spec/template/spec/networks/1\" = { name = \"net-1\", pod = {} } }"),
            claim!("set = { \"/spec/accessModes\" = [\"ReadWriteOnce\"] }"),
            guest!("ssh = \"closed\""),
        ],
        reports: &[
            ("network", &["VM Test Network", "actual pod"]),
            ("storage", &["access mode of", "expected ReadWriteMany, actual [ReadWriteOnce]"]),
            ("ssh", &["expected works", "connection refused"]),
        ],
    },
    Broken {
        vm: "two-disks-snapshot",
        faults: &[
            machine!("remove = [\"/spec/template/spec/volumes/1\", \"/spec/template/spec/domain/devices/disks/1\"]"),
            "[[faults.machines]]\nvm = \"VM\"\nlose_snapshot = true",
        ],
        reports: &[
            ("disk count", &["expected 2, actual 1 [mtv-test-"]),
            ("snapshots", &["snapshot 1: expected", "-snapshot-1` poweredOff", "actual gone"]),
            ("snapshots", &["number of snapshots: expected 1, actual 0"]),
        ],
    },
    Broken {
        vm: "claim-node",
        faults: &[
            "[[faults.objects]]\nresource = \"datavolumes\"\nobject = \"VM\"\nset = { \"/metadata/generateName\" = \"something-\" }",
            machine!("set = { \"/spec/template/spec/nodeSelector\" = { \"kubernetes.io/hostname\" = \"worker-0\" } }"),
        ],
        reports: &[
            ("pvc names", &["claim of disk 0 (Hard disk 1)", "-disk-0-… and random characters, actual something-"]),
            ("node placement", &["node: expected worker-1, actual worker-0"]),
            ("node placement", &["node selector checks-node-", "actual none"]),
        ],
    },
    Broken {
        vm: "small-silent",
        faults: &[claim!("set = { \"/spec/resources/requests/storage\" = \"512Mi\" }"), guest!("ssh = \"silent\"")],
        reports: &[
            ("storage", &["size of", "expected at least 1073741824 bytes, actual 536870912 bytes"]),
            ("ssh", &["expected works", "no answer from the guest's SSH server"]),
        ],
    },
    Broken {
        vm: "windows-address",
        faults: &[guest!("lose_addresses = [\"172.20.6.10/16\"]")],
        reports: &[("static ips", &["expected 172.20.6.10/16, actual Ethernet Instance 0 has []"])],
    },
    Broken {
        vm: "windows-gateway",
        faults: &[guest!("lose_gateway = true")],
        reports: &[("static ips", &["gateway of", "expected 172.20.0.1, actual []"])],
    },
    // The last one, so that its place in the Plan is known.
    Broken {
        vm: "hook-login",
        faults: &[guest!("ssh = \"refuses\"")],
        reports: &[
            ("hooks", &["PostHook: expected succeeded, actual no such step in the pipeline"]),
            ("ssh", &["expected works", "the password of `root` was refused"]),
        ],
    },
];

/// Checks that this scenario cannot break, with where that is tested.
const ELSEWHERE: [(&str, &str); 3] = [
    ("false power-off", "below: RHV only"),
    ("copy-offload", "catalogue.rs: Plans with copy-offload only"),
    ("raw devices", "catalogue.rs: Plans with copy-offload only"),
];

fn datacenter() -> String {
    let mut text = mtv_lab::datacenter::DEFAULT.to_owned();
    let mut faults = String::new();
    for broken in BROKEN {
        let model = if broken.vm.contains("windows") { WINDOWS } else { LINUX };
        let second = if broken.vm.contains("two-disks") { r#", { size_gib = 1, datastore = "block-datastore" }"# } else { "" };
        text.push_str(&format!("\n[[vsphere.vms]]\nname = \"{}\"\n{model}disks = [{{ size_gib = 1 }}{second}]\n", broken.vm));
        for fault in broken.faults {
            faults.push_str(&format!("\n{}\n", fault.replace("VM\"", &format!("*-{}-*\"", broken.vm))));
        }
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
data_marker = true
enable_nested_virtualization = false
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
        let snapshots = u8::from(broken.vm.ends_with("snapshot"));
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
    let lab = Lab::start(&["--datacenter", file.to_str().unwrap()]);
    let before = lab.objects().await;
    fs::create_dir(lab.path("scenarios")).unwrap();
    fs::write(lab.path("scenarios/checks.toml"), scenario()).unwrap();
    let output =
        lab.run(&["checks", "--scenarios", "scenarios", "--set", "ssh_timeout=20s", "--set", "static_ips_timeout=5s"]).output().unwrap();
    let all = told(&output);
    assert_eq!(output.status.code(), Some(1), "{all}");

    let events = fs::read_to_string(lab.path("results/latest/events.ndjson")).unwrap();
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = events.iter().find(|e| e["event"] == "step_finished" && e["step"] == "verify").unwrap_or_else(|| panic!("{all}"));
    let details: Vec<&str> =
        failed["trouble"]["causes"].as_array().unwrap_or_else(|| panic!("{failed}")).iter().filter_map(|d| d.as_str()).collect();
    // `VM: CHECK - ABOUT: expected …, actual …`, the VM named like its clone.
    let mut problems: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for line in &details {
        let Some((vm, rest)) = line.split_once(": ") else { continue };
        let Some((check, text)) = rest.split_once(" - ").filter(|(_, text)| text.contains(": expected ")) else { continue };
        let named =
            |broken: &&Broken| vm.contains(&format!("-{}-", broken.vm)) || (vm == "somebody-else" && broken.vm.starts_with("name-"));
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
        if found.len() != broken.reports.len() {
            wrong.push(format!("{}: more or less was reported: {found:#?}", broken.vm));
        }
    }
    assert!(wrong.is_empty(), "{}\n\n{}", wrong.join("\n"), details.join("\n"));
    assert_eq!(lab.objects().await, before, "nothing is left");
    let nodes: Api<DynamicObject> = Api::all_with(lab.client().await, &kinds::NODE.resource());
    for node in nodes.list(&ListParams::default()).await.unwrap() {
        let metadata = node.metadata;
        let ours = |key: &String| key.contains("checks-node") || key.contains("mtv-test");
        let left: Vec<_> =
            metadata.labels.iter().flatten().chain(metadata.annotations.iter().flatten()).map(|(key, _)| key).filter(|k| ours(k)).collect();
        assert!(left.is_empty(), "{:?}: {left:?}", metadata.name);
    }
}

/// RHV's log of events: a source VM that Forklift shut down, and one of which the engine says that a user powered it off.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_off_by_a_user_is_reported_for_rhv() {
    let place = tempfile::TempDir::new().unwrap();
    let file = place.path().join("datacenter.toml");
    let fault = "\n[[faults.machines]]\nvm = \"*-0-1\"\nstopped_by_user = true\n";
    fs::write(&file, mtv_lab::datacenter::DEFAULT.to_owned() + fault).unwrap();
    let lab = Lab::start(&["--datacenter", file.to_str().unwrap()]);
    fs::create_dir(lab.path("scenarios")).unwrap();
    let vm = "[[scenario.two.virtual_machines]]\nname = \"mtv-tests-rhel8\"\nsource_vm_power = \"on\"\nguest_agent = true\n";
    fs::write(lab.path("scenarios/two.toml"), format!("[scenario.two]\n{vm}{vm}")).unwrap();
    let mut command = lab.run(&["two", "--scenarios", "scenarios", "--skip-data-collector", "--provider", "ovirt"]);
    let output = command.output().unwrap();
    let all = told(&output);
    assert_eq!(output.status.code(), Some(1), "{all}");
    let problems: Vec<&str> = all.lines().map(str::trim).filter(|line| line.contains(" - ") && line.contains(": expected ")).collect();
    assert!(
        !problems.is_empty() && problems.iter().all(|p| p.contains("-1: false power-off - ") && p.contains("powered off by")),
        "{problems:#?}\n{all}"
    );
}
