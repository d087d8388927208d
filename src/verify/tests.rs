//! Each check against a subject that is right, and against one that is wrong in exactly one way: that check, and only that
//! check, must report it.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};

use super::*;
use crate::{
    config::scenario::{Hook, Label, PowerWish, PvcNameTemplate, RdmType},
    forklift::Copied,
    guest::{Address, GuestNic},
    providers::{Boot, Disk, GuestAddress, Nic, Power},
    select::Version,
};

const UUID: &str = "422c6a2a-5ea9-1083-39f3-3b140fffb444";
const RUN: &str = "run1";

fn vm() -> Value {
    let volume = |index: usize| json!({"name": format!("vol-{index}"), "persistentVolumeClaim": {"claimName": format!("a-disk-{index}")}});
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"template": {
            "metadata": {"labels": {"app": "a", "team": "blue", "run": RUN}},
            "spec": {
                "affinity": {"podAffinity": {"x": 1}},
                "nodeSelector": {"node": RUN},
                "domain": {"cpu": {"sockets": 2, "cores": 2, "features": [{"name": "vmx", "policy": "disable"}, {"name": "svm", "policy": "disable"}]}, "memory": {"guest": "2048Mi"},
                    "firmware": {"serial": vmware_serial(UUID), "bootloader": {"efi": {"secureBoot": true}}},
                    "devices": {"tpm": {"enabled": false}, "disks": [{"name": "vol-0", "disk": {"bus": "virtio"}}, {"name": "vol-1", "lun": {"bus": "scsi"}}],
                        "interfaces": [{"name": "net-0", "macAddress": "00:50:56:00:00:01"}, {"name": "net-1", "macAddress": "00:50:56:00:00:02"}]}},
                "networks": [{"name": "net-0", "pod": {}}, {"name": "net-1", "multus": {"networkName": "ns/cb-1"}}],
                "volumes": [volume(0), volume(1)]}}},
        "status": {"printableStatus": "Running"}
    })
}

fn claims() -> Vec<Value> {
    let claim = |index: usize, size: &str| {
        json!({"metadata": {"name": format!("a-disk-{index}")},
            "spec": {"storageClassName": "sc", "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}}}})
    };
    vec![claim(0, "16Gi"), claim(1, "1Gi")]
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn source() -> VmDescription {
    let nic = |n: u8, network: &str| Nic {
        name: format!("Network adapter {n}"),
        mac: format!("00:50:56:00:00:0{n}"),
        network: network.to_owned(),
        network_id: format!("id-{network}"),
        guest_name: Some(format!("enp{n}s0")),
        ..Nic::default()
    };
    let mut fixed = nic(2, "other");
    let address = |text: &str| GuestAddress { ip: ip(text), prefix: Some(24), fixed: Some(true) };
    fixed.configured = vec![address("192.168.7.5"), address("192.168.7.6")];
    fixed.gateway = Some(ip("192.168.7.1"));
    // The order in which a source names disks is not that in which Forklift counts them.
    let disk = |name: &str, bytes, unit| Disk {
        name: name.into(),
        bytes,
        storage: "ds".into(),
        key: 2000 + unit,
        file: format!("[ds] a/{name}.vmdk"),
        bus: "scsi".into(),
        unit,
        ..Disk::default()
    };
    VmDescription {
        id: "vm-1".into(),
        name: "a".into(),
        uuid: Some(UUID.into()),
        power: Power::On,
        sockets: Some(2),
        cores_per_socket: Some(2),
        memory_mib: Some(2048),
        nics: vec![nic(1, "VM Network"), fixed],
        disks: vec![Disk { rdm: Some(RdmType::Virtual), ..disk("Hard disk 2", 1 << 30, 1) }, disk("Hard disk 1", 16 << 30, 0)],
        snapshots: vec![Snapshot { id: 1, name: "s".into(), created: "2026-01-02T03:04:05Z".into(), state: "poweredOff".into() }],
        tools_running: true,
        boot: Some(Boot { efi: true, secure: true, tpm: false }),
        ..VmDescription::default()
    }
}

fn scenario() -> Scenario {
    Scenario {
        preserve_static_ips: true,
        rdm_as_lun: Some(true),
        enable_nested_virtualization: Some(false),
        pvc_name_template: Some(PvcNameTemplate::All("{{.VmName}}-disk-{{.DiskIndex}}".into())),
        pvc_name_template_use_generate_name: Some(false),
        target_labels: [("team".into(), Label::Text("blue".into())), ("run".into(), Label::Unique)].into(),
        target_affinity: Some(json!({"podAffinity": {"x": 1}})),
        post_hook: Some(Hook::Succeed),
        ..Scenario::new("s", vec![])
    }
}

/// What one test changes.
struct World {
    vm: Value,
    claims: Vec<Value>,
    source: VmDescription,
    kind: ProviderKind,
    scenario: Scenario,
    wish: ScenarioVm,
    status: VmStatus,
    after: Vec<Snapshot>,
    agent: Asked,
    ssh: Asked,
    marker: Asked,
    nics: Vec<GuestNic>,
    node: &'static str,
    insecure: Option<&'static str>,
    stops: Vec<String>,
    openshift: &'static str,
    xcopy_used: &'static str,
}

impl World {
    fn right() -> Self {
        let source = source();
        let nic = |n: u8, addresses: &[&str], gateway: &str| GuestNic {
            name: format!("enp{n}s0"),
            mac: format!("00:50:56:00:00:0{n}"),
            addresses: addresses.iter().map(|a| Address { ip: ip(a), prefix: Some(24), dynamic: false }).collect(),
            gateways: vec![ip(gateway)],
        };
        Self {
            vm: vm(),
            claims: claims(),
            after: source.snapshots.clone(),
            source,
            kind: ProviderKind::Vsphere,
            scenario: scenario(),
            wish: ScenarioVm { name: "a".into(), guest_agent: true, snapshots: 1, ..ScenarioVm::default() },
            status: serde_json::from_value(
                json!({"id": "vm-1", "name": "a", "pipeline": [{"name": "PostHook", "completed": "2026-01-02T03:04:05Z"}]}),
            )
            .unwrap(),
            agent: Asked::Yes(String::new()),
            ssh: Asked::Yes(String::new()),
            marker: Asked::Yes("mtv-data-integrity-run1".into()),
            nics: vec![nic(1, &["10.0.2.2"], "10.0.2.1"), nic(2, &["192.168.7.5", "192.168.7.6"], "192.168.7.1")],
            node: "worker-1",
            insecure: Some("false"),
            stops: vec![],
            openshift: "4.20.1",
            // The VM has a snapshot.
            xcopy_used: "0",
        }
    }
}

/// The lines of what the checks found, as people read them.
struct Report {
    notes: Vec<String>,
    problems: Vec<String>,
}

fn report(change: impl FnOnce(&mut World)) -> Report {
    let mut report = Report { notes: Vec::new(), problems: Vec::new() };
    for result in results(change) {
        let lines = if result.verdict == CheckVerdict::Failed { &mut report.problems } else { &mut report.notes };
        lines.extend(result.lines());
    }
    report
}

fn results(change: impl FnOnce(&mut World)) -> Vec<CheckResult> {
    let mut world = World::right();
    change(&mut world);
    let claims: Vec<_> = world.claims.into_iter().map(|claim| serde_json::from_value(claim).unwrap()).collect();
    let mut target = TargetVm::read(&serde_json::from_value(world.vm).unwrap(), &claims);
    target.node = Some(world.node.to_owned());
    let networks = [
        ("id-VM Network".to_owned(), NetworkTarget::Pod),
        ("id-other".to_owned(), NetworkTarget::Multus { namespace: "ns".into(), name: "cb-1".into() }),
    ];
    let copied = Copied { task: Some(world.xcopy_used.to_owned()), ..Copied::default() };
    let copies = world.source.disks.iter().map(|disk| (disk.file.clone(), copied.clone())).collect();
    let offload = Offloaded { copies, non_xcopy: None, hosts: Vec::new() };
    check(&Subject {
        scenario: &world.scenario,
        run: RUN,
        kind: world.kind,
        plan: "p",
        wish: &world.wish,
        status: &world.status,
        source: &world.source,
        snapshots_after: Some(&world.after),
        target: &target,
        networks: &networks,
        storage_class: "sc",
        access_mode: Some("ReadWriteMany"),
        openshift: Some(&Version::parse(world.openshift).unwrap()),
        agent: &world.agent,
        ssh: &world.ssh,
        marker: &world.marker,
        offload: Some(&offload),
        guest: &GuestView::Seen(world.nics),
        node: Some(&LabelledNode { node: "worker-1".into(), key: "node".into(), value: RUN.into() }),
        tls: Some(&ProviderTls { secret: "ns/s".into(), skip_verify: false, actual: world.insecure.map(str::to_owned) }),
        stopped_by_user: Some(&world.stops),
    })
}

#[test]
fn what_is_right_has_no_problem() {
    let report = report(|_| {});
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.notes.len(), CHECKS.len());
    // Only the check of another kind of source does not apply.
    assert_eq!(report.notes.iter().filter(|note| note.contains("not checked")).count(), 1, "{:?}", report.notes);
}

#[test]
fn a_check_that_passes_shows_what_it_compared() {
    let results = results(|_| {});
    for result in &results {
        let CheckResult { verdict, reason, findings, evidence, check, .. } = result;
        assert!(findings.is_empty(), "{check}");
        match verdict {
            CheckVerdict::Passed => assert!(!evidence.is_empty() && reason.is_none(), "{check} has no evidence"),
            CheckVerdict::Skipped => assert!(evidence.is_empty() && reason.is_some(), "{check}"),
            CheckVerdict::Failed => panic!("{check} failed"),
        }
    }
    let memory = results.iter().find(|result| result.check == "memory").unwrap();
    assert_eq!(memory.evidence, [Finding::new("memory", 2048, 2048).unit("MiB")]);
    assert_eq!((memory.vm.source.as_str(), memory.vm.clone.as_deref(), memory.vm.target.as_deref()), ("a", None, Some("a")));
    let sockets = results.iter().find(|result| result.check == "cpu").unwrap();
    assert_eq!(sockets.evidence, [Finding::new("sockets", 2, 2), Finding::new("cores per socket", 2, 2)]);
}

#[test]
fn what_the_source_does_not_report_is_skipped_and_not_compared_with_zero() {
    let results = results(|world| {
        world.source.sockets = None;
        world.source.cores_per_socket = None;
        world.source.memory_mib = None;
        world.source.uuid = None;
    });
    for check in ["cpu", "memory", "serial"] {
        let result = results.iter().find(|result| result.check == check).unwrap();
        assert_eq!(result.verdict, CheckVerdict::Skipped, "{check}");
    }
}

#[test]
fn a_vm_that_does_not_exist_has_a_result_of_each_check() {
    let (wish, source) = (ScenarioVm { name: "rhel8".into(), ..ScenarioVm::default() }, source());
    let results = unchecked(&wish, &source, "the migration failed, as expected");
    assert_eq!(results.len(), CHECKS.len());
    for result in results {
        assert_eq!(result.verdict, CheckVerdict::Skipped);
        assert_eq!(result.vm, CheckedVm { source: "rhel8".into(), clone: Some("a".into()), target: None });
        assert!(result.lines()[0].ends_with("not checked: the migration failed, as expected"));
    }
}

#[test]
fn each_fault_is_reported_by_its_check_alone() {
    type Fault = (&'static str, Box<dyn FnOnce(&mut World)>, &'static str);
    let spec = |pointer: &'static str, value: Value| -> Box<dyn FnOnce(&mut World)> {
        Box::new(move |w| *w.vm.pointer_mut(&format!("/spec/template/spec{pointer}")).unwrap() = value)
    };
    let faults: Vec<Fault> = vec![
        ("tls setting", Box::new(|w| w.insecure = Some("true")), "insecureSkipVerify of Secret ns/s: expected false, actual true"),
        ("tls setting", Box::new(|w| w.insecure = None), "expected false, actual none"),
        (
            "target name",
            Box::new(|w| {
                w.wish.target_name = Some("b".into());
                w.scenario.pvc_name_template = None;
            }),
            "name for VM a: expected b, actual a",
        ),
        (
            "target name",
            Box::new(|w| {
                w.source.name = "A_b".into();
                w.scenario.pvc_name_template = None;
            }),
            "name for VM A_b: expected a-b, actual a",
        ),
        (
            "target name",
            Box::new(|w| {
                w.status.new_name = Some("c".into());
            }),
            "name in the Plan's status: expected a, actual c",
        ),
        ("power state", Box::new(|w| w.vm["status"]["printableStatus"] = json!("Stopped")), "expected on, actual off (Stopped)"),
        ("power state", Box::new(|w| w.scenario.target_power_state = Some(PowerWish::Off)), "expected off, actual on (Running)"),
        ("cpu", spec("/domain/cpu/sockets", json!(1)), "sockets: expected 2, actual 1"),
        ("cpu", spec("/domain/cpu/cores", json!(4)), "cores per socket: expected 2, actual 4"),
        ("memory", spec("/domain/memory/guest", json!("2G")), "expected 2048 MiB, actual 1907.3 MiB"),
        ("cpu features", spec("/domain/cpu/features/0/policy", json!("optional")), "policy of vmx: expected disable, actual optional"),
        (
            "cpu features",
            spec("/domain/cpu/features", json!([{"name": "vmx", "policy": "disable"}])),
            "policy of svm: expected disable, actual none",
        ),
        (
            "cpu features",
            Box::new(|w| w.scenario.enable_nested_virtualization = Some(true)),
            "policy of svm: expected optional, actual disable",
        ),
        ("boot", spec("/domain/firmware/bootloader", json!({"bios": {}})), "firmware: expected efi, actual bios"),
        ("boot", spec("/domain/firmware/bootloader/efi", json!({"secureBoot": false})), "secure boot: expected yes, actual no"),
        ("boot", spec("/domain/devices/tpm", json!({"persistent": true})), "TPM: expected no, actual yes"),
        (
            "raw devices",
            spec("/domain/devices/disks/1", json!({"name": "vol-1", "disk": {"bus": "virtio"}})),
            "number of LUNs: expected 1, actual 0",
        ),
        ("raw devices", spec("/domain/devices/disks/1/lun/bus", json!("virtio")), "bus of LUN a-disk-1: expected scsi, actual virtio"),
        ("raw devices", spec("/domain/devices/disks/0/disk/bus", json!("sata")), "bus of disk a-disk-0: expected virtio, actual sata"),
        ("raw devices", Box::new(|w| w.scenario.rdm_as_lun = None), "number of LUNs: expected 0, actual 1"),
        (
            "network",
            spec("/domain/devices/interfaces/0/macAddress", json!("00:50:56:00:00:09")),
            "no such MAC, only [00:50:56:00:00:09, 00:50:56:00:00:02]",
        ),
        ("network", spec("/networks/1", json!({"name": "net-1", "pod": {}})), "expected ns/cb-1, actual pod"),
        (
            "disk count",
            Box::new(|w| _ = w.vm["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap().pop()),
            "expected 2, actual 1 [a-disk-0]",
        ),
        ("disk count", Box::new(|w| w.source.disks.truncate(1)), "number of disks: expected 1, actual 2"),
        (
            "storage",
            Box::new(|w| w.claims[0]["spec"]["storageClassName"] = json!("slow")),
            "storage class of a-disk-0: expected sc, actual slow",
        ),
        (
            "storage",
            Box::new(|w| w.claims[1]["spec"]["accessModes"] = json!(["ReadWriteOnce"])),
            "access mode of a-disk-1: expected ReadWriteMany, actual [ReadWriteOnce]",
        ),
        (
            "storage",
            Box::new(|w| w.claims[0]["spec"]["resources"]["requests"]["storage"] = json!("15Gi")),
            "size of a-disk-0: expected at least 17179869184 bytes, actual 16106127360 bytes",
        ),
        (
            "pvc names",
            Box::new(|w| w.scenario.pvc_name_template = Some(PvcNameTemplate::All("{{.PlanName}}-{{.DiskIndex}}".into()))),
            "claim of disk 0 (Hard disk 1) by template `{{.PlanName}}-{{.DiskIndex}}`: expected p-0, actual a-disk-0",
        ),
        (
            "pvc names",
            Box::new(|w| w.vm["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap().reverse()),
            "expected a-disk-0, actual a-disk-1; a-disk-0 is that of disk 1",
        ),
        (
            "pvc names",
            Box::new(|w| w.scenario.pvc_name_template_use_generate_name = None),
            "expected a-disk-0-… and random characters, actual a-disk-0",
        ),
        (
            "pvc names",
            Box::new(|w| w.scenario.pvc_name_template = Some(PvcNameTemplate::All("{{.Nope}}".into()))),
            "can't evaluate field Nope",
        ),
        ("snapshots", Box::new(|w| w.after.clear()), "snapshot 1: expected `s` poweredOff 2026-01-02T03:04, actual gone"),
        ("snapshots", Box::new(|w| w.after[0].name = "t".into()), "actual `t` poweredOff 2026-01-02T03:04"),
        ("snapshots", Box::new(|w| w.after.push(Snapshot { id: 2, ..w.after[0].clone() })), "number of snapshots: expected 1, actual 2"),
        ("serial", spec("/domain/firmware/serial", json!(UUID)), "actual 422c6a2a"),
        ("serial", Box::new(|w| w.openshift = "4.19.9"), "firmware serial: expected 422c6a2a"),
        ("guest agent", Box::new(|w| w.agent = Asked::Failed("absent after 5m".into())), "expected True, actual absent after 5m"),
        ("ssh", Box::new(|w| w.ssh = Asked::Failed("refused".into())), "expected works, actual refused"),
        (
            "data marker",
            Box::new(|w| w.marker = Asked::Yes("mtv-data-integrity-run0".into())),
            "expected mtv-data-integrity-run1, actual `mtv-data-integrity-run0`",
        ),
        (
            "data marker",
            Box::new(|w| w.marker = Asked::Failed("no such file".into())),
            "marker.txt in the guest: expected mtv-data-integrity-run1, actual no such file",
        ),
        ("copy-offload", Box::new(|w| w.xcopy_used = "1"), "expected 0 (disks on snapshots are read through by the host), actual 1"),
        (
            "static ips",
            Box::new(|w| _ = w.nics[1].addresses.pop()),
            "address 192.168.7.6 of 00:50:56:00:00:02 (Network adapter 2): expected 192.168.7.6/24, actual enp2s0 has [192.168.7.5]",
        ),
        (
            "static ips",
            Box::new(|w| w.source.nics[1].configured.iter_mut().for_each(|address| address.fixed = Some(false))),
            "static addresses of the source's guest: expected at least one, actual none",
        ),
        ("static ips", Box::new(|w| w.nics[1].addresses[0].prefix = Some(16)), "expected 192.168.7.5/24, actual 192.168.7.5/16"),
        ("static ips", Box::new(|w| w.nics[1].gateways.clear()), "gateway of 00:50:56:00:00:02: expected 192.168.7.1, actual []"),
        ("nic names", Box::new(|w| w.nics[1].name = "eth9".into()), "name of 00:50:56:00:00:02 in the guest: expected enp2s0, actual eth9"),
        (
            "false power-off",
            Box::new(|w| {
                w.kind = ProviderKind::Ovirt;
                w.stops.push("VM a was stopped by admin".into());
            }),
            "expected none, actual VM a was stopped by admin",
        ),
        ("node placement", Box::new(|w| w.node = "worker-2"), "node: expected worker-1, actual worker-2"),
        ("node placement", spec("/nodeSelector", json!({})), "node selector node: expected run1, actual none"),
        (
            "labels",
            Box::new(|w| w.vm["spec"]["template"]["metadata"]["labels"]["team"] = json!("red")),
            "label team: expected blue, actual red",
        ),
        (
            "labels",
            Box::new(|w| w.vm["spec"]["template"]["metadata"]["labels"] = json!({"team": "blue"})),
            "label run: expected run1, actual none",
        ),
        ("affinity", spec("/affinity/podAffinity/x", json!(2)), r#"expected {"podAffinity":{"x":1}}, actual {"podAffinity":{"x":2}}"#),
        ("hooks", Box::new(|w| w.status.pipeline.clear()), "PostHook: expected succeeded, actual no such step in the pipeline"),
        ("hooks", Box::new(|w| w.scenario.post_hook = Some(Hook::Fail)), "PostHook: expected failed, actual succeeded"),
    ];
    let covered: BTreeSet<&str> = faults.iter().map(|(check, ..)| *check).collect();
    assert_eq!(covered, CHECKS.iter().map(|check| check.name()).collect(), "each check needs a fault");
    for (check, fault, text) in faults {
        let report = report(fault);
        assert!(!report.problems.is_empty(), "{check}: nothing was reported for {text}");
        for problem in &report.problems {
            assert!(problem.starts_with(&format!("a: {check} - ")), "{check}: another check reported: {problem}");
        }
        assert!(report.problems.iter().any(|p| p.contains(text)), "{text} is not in {:?}", report.problems);
    }
}

#[test]
fn a_name_that_is_taken_gets_a_random_end() {
    let named = |source: &str, target: &str| {
        report(|w| {
            w.source.name = source.to_owned();
            w.vm["metadata"]["name"] = json!(target);
            w.status.new_name = Some(target.to_owned());
            w.scenario.pvc_name_template = None;
        })
    };
    for (source, target) in [("Web_1", "web-1"), ("Web_1", "web-1-x7k2"), ("a.b", "a.b"), ("ÄÖ", "vm-x7k2")] {
        assert_eq!(named(source, target).problems, Vec::<String>::new(), "{source} {target}");
    }
    for (source, target) in [("web", "web-x7k2"), ("Web_1", "web1"), ("ÄÖ", "vm")] {
        assert_eq!(named(source, target).problems.len(), 1, "{source} {target}");
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
