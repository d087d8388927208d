//! Each check against a subject that is right, and against one that is wrong in exactly one way: that check, and only that
//! check, must report it.

use serde_json::{Value, json};

use super::*;
use crate::{
    config::scenario::PowerWish,
    forklift::Copied,
    providers::{Disk, Nic, Power},
    select::Version,
};

const UUID: &str = "422c6a2a-5ea9-1083-39f3-3b140fffb444";

fn vm() -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"template": {"spec": {
            "domain": {"cpu": {"sockets": 2, "cores": 2}, "memory": {"guest": "2048Mi"},
                "firmware": {"serial": vmware_serial(UUID)},
                "devices": {"interfaces": [{"name": "net-0", "macAddress": "00:50:56:00:00:01"}, {"name": "net-1", "macAddress": "00:50:56:00:00:02"}]}},
            "networks": [{"name": "net-0", "pod": {}}, {"name": "net-1", "multus": {"networkName": "ns/cb-1"}}],
            "volumes": [{"name": "vol-0", "persistentVolumeClaim": {"claimName": "disk-0"}}]}}},
        "status": {"printableStatus": "Running"}
    })
}

fn claim() -> Value {
    json!({"metadata": {"name": "disk-0"}, "spec": {"storageClassName": "sc", "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "16Gi"}}}})
}

fn source() -> VmDescription {
    let nic = |n: u8, network: &str| Nic {
        name: format!("Network adapter {n}"),
        mac: format!("00:50:56:00:00:0{n}"),
        network: network.to_owned(),
        network_id: format!("id-{network}"),
        ..Nic::default()
    };
    VmDescription {
        id: "vm-1".into(),
        name: "a".into(),
        uuid: UUID.into(),
        power: Power::On,
        sockets: 2,
        cores_per_socket: 2,
        memory_mib: 2048,
        nics: vec![nic(1, "VM Network"), nic(2, "other")],
        disks: vec![Disk {
            name: "Hard disk 1".into(),
            bytes: 16 << 30,
            storage: "ds".into(),
            key: 2000,
            file: "[ds] a/a.vmdk".into(),
            ..Disk::default()
        }],
        snapshots: vec![Snapshot { id: 1, name: "s".into(), created: "2026-01-02T03:04:05Z".into(), state: "poweredOff".into() }],
        tools_running: true,
        ..VmDescription::default()
    }
}

fn scenario() -> Scenario {
    Scenario::new("s", vec![])
}

/// What one test changes.
struct World {
    vm: Value,
    claim: Value,
    scenario: Scenario,
    after: Vec<Snapshot>,
    agent: Asked,
    ssh: Asked,
    openshift: &'static str,
    xcopy_used: &'static str,
}

fn report(change: impl FnOnce(&mut World)) -> Report {
    let source = source();
    let mut world = World {
        vm: vm(),
        claim: claim(),
        scenario: scenario(),
        after: source.snapshots.clone(),
        agent: Asked::Yes(String::new()),
        ssh: Asked::Yes(String::new()),
        openshift: "4.20.1",
        // The VM has a snapshot.
        xcopy_used: "0",
    };
    change(&mut world);
    let target = TargetVm::read(&serde_json::from_value(world.vm).unwrap(), &[serde_json::from_value(world.claim).unwrap()]);
    let networks = [
        ("id-VM Network".to_owned(), NetworkTarget::Pod),
        ("id-other".to_owned(), NetworkTarget::Multus { namespace: "ns".into(), name: "cb-1".into() }),
    ];
    let copied = Copied { task: Some(world.xcopy_used.to_owned()), ..Copied::default() };
    let offload = Offloaded { copies: [("[ds] a/a.vmdk".to_owned(), copied)].into(), non_xcopy: None };
    check(&Subject {
        scenario: &world.scenario,
        wish: &ScenarioVm { name: "a".into(), guest_agent: true, snapshots: 1, ..ScenarioVm::default() },
        source: &source,
        snapshots_after: Some(&world.after),
        target: &target,
        networks: &networks,
        storage_class: "sc",
        openshift: Some(&Version::parse(world.openshift).unwrap()),
        agent: &world.agent,
        ssh: &world.ssh,
        offload: Some(&offload),
    })
}

#[test]
fn what_is_right_has_no_problem() {
    let report = report(|_| {});
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.notes.len(), CHECKS.len());
}

#[test]
fn each_fault_is_reported_by_its_check_alone() {
    type Fault = (&'static str, Box<dyn FnOnce(&mut World)>, &'static str);
    let spec = |pointer: &'static str, value: Value| -> Box<dyn FnOnce(&mut World)> {
        Box::new(move |w| *w.vm.pointer_mut(&format!("/spec/template/spec{pointer}")).unwrap() = value)
    };
    let faults: Vec<Fault> = vec![
        ("power state", Box::new(|w| w.vm["status"]["printableStatus"] = json!("Stopped")), "expected on, actual off (Stopped)"),
        ("power state", Box::new(|w| w.scenario.target_power_state = Some(PowerWish::Off)), "expected off, actual on (Running)"),
        ("cpu", spec("/domain/cpu/sockets", json!(1)), "sockets: expected 2, actual 1"),
        ("cpu", spec("/domain/cpu/cores", json!(4)), "cores per socket: expected 2, actual 4"),
        ("memory", spec("/domain/memory/guest", json!("2G")), "expected 2048 MiB, actual 1907.3 MiB"),
        (
            "network",
            spec("/domain/devices/interfaces/0/macAddress", json!("00:50:56:00:00:09")),
            "no such MAC, only [00:50:56:00:00:09, 00:50:56:00:00:02]",
        ),
        ("network", spec("/networks/1", json!({"name": "net-1", "pod": {}})), "expected ns/cb-1, actual pod"),
        ("storage", Box::new(|w| w.claim["spec"]["storageClassName"] = json!("slow")), "storage class of disk-0: expected sc, actual slow"),
        (
            "storage",
            Box::new(|w| w.claim["spec"]["resources"]["requests"]["storage"] = json!("15Gi")),
            "size of disk-0: expected at least 17179869184 bytes, actual 16106127360 bytes",
        ),
        ("storage", spec("/volumes", json!([])), "number of disks: expected 1, actual 0 []"),
        ("snapshots", Box::new(|w| w.after.clear()), "snapshot 1: expected `s` poweredOff 2026-01-02T03:04, actual gone"),
        ("snapshots", Box::new(|w| w.after[0].name = "t".into()), "actual `t` poweredOff 2026-01-02T03:04"),
        ("serial", spec("/domain/firmware/serial", json!(UUID)), "actual 422c6a2a"),
        ("serial", Box::new(|w| w.openshift = "4.19.9"), "firmware serial: expected 422c6a2a"),
        ("guest agent", Box::new(|w| w.agent = Asked::Failed("absent after 5m".into())), "expected True, actual absent after 5m"),
        ("ssh", Box::new(|w| w.ssh = Asked::Failed("refused".into())), "expected works, actual refused"),
        ("copy-offload", Box::new(|w| w.xcopy_used = "1"), "expected 0 (disks on snapshots are read through by the host), actual 1"),
    ];
    for (check, fault, text) in faults {
        let report = report(fault);
        assert!(!report.problems.is_empty(), "{check}: nothing was reported for {text}");
        for problem in &report.problems {
            assert!(problem.starts_with(&format!("a: {check} - ")), "another check reported: {problem}");
        }
        assert!(report.problems.iter().any(|p| p.contains(text)), "{text} is not in {:?}", report.problems);
    }
}

#[test]
fn the_vmware_notation_splits_after_eight_bytes() {
    assert_eq!(vmware_serial(UUID), "VMware-42 2c 6a 2a 5e a9 10 83-39 f3 3b 14 0f ff b4 44");
}

#[test]
fn quantities() {
    for (text, bytes) in [("1", 1), ("2Gi", 2 << 30), ("1500M", 1_500_000_000), ("1.5Gi", 3 << 29), ("0.5k", 500)] {
        assert_eq!(quantity_bytes(text), Some(bytes), "{text}");
    }
    assert_eq!(quantity_bytes("2Qx"), None);
    assert_eq!(quantity_bytes("99999999999999999999"), None);
}
