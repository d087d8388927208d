use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use kube::api::DynamicObject;
use mtv_api::{forklift::PlanStatus, kinds};
use serde_json::{Value, json};

use super::{known_issues::all, *};
use crate::{
    cluster::describe,
    engine::Failure,
    forklift::{self, Executed, PopulatorFailure},
    providers::{ProviderError, ProviderErrorKind},
    retry::Story,
};

const GUIDE: &str = include_str!("../../docs/troubleshooting.md");

const EXECUTED: Executed<'_> = Executed { namespace: "ns", plan: "p", migration: "" };

/// A Plan whose VM failed in a step, as the controller writes it.
fn failed_in(step: &str, reason: &str) -> PlanStatus {
    serde_json::from_value(json!({
        "conditions": [{"type": "Failed", "status": "True", "category": "Advisory", "message": "failed", "lastTransitionTime": ""}],
        "migration": {"vms": [{"id": "vm-1", "name": "a", "phase": "Completed", "error": {"phase": "X", "reasons": [reason]},
            "pipeline": [{"name": step, "progress": {"completed": 0, "total": 1}, "started": "x", "error": {"phase": "Running", "reasons": [reason]}}]}]}
    }))
    .unwrap()
}

/// What becomes of a Plan that failed in a step.
fn step(name: &str, reason: &str) -> Diagnosis {
    forklift::trouble_of(&failed_in(name, reason), EXECUTED, &[])
}

/// What becomes of a Plan whose populator said this.
fn populator(said: &str) -> Diagnosis {
    let failure = PopulatorFailure { file: "[ds] a/a.vmdk".to_owned(), said: said.to_owned() };
    forklift::trouble_of(&failed_in("DiskTransfer", "populator pod failed for PVC x. Please check its logs"), EXECUTED, &[failure])
}

/// What becomes of an object that a condition keeps from becoming Ready.
fn condition(kind: &'static kinds::Kind, name: &str, message: &str) -> Diagnosis {
    let object: DynamicObject = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns"},
        "status": {"conditions": [{"type": name, "status": "True", "category": "Critical", "reason": "NotValid", "message": message}]}
    }))
    .unwrap();
    forklift::not_ready_of(kind, &object)
}

/// What becomes of a wait that ended while an object below the Plan does not go on.
fn obstacle(kind: &'static kinds::Kind, status: Value, events: &[Value]) -> Diagnosis {
    let object = json!({"metadata": {"name": "o", "namespace": "ns", "uid": "uid-o", "labels": {"plan": "plan-uid"}}, "status": status});
    let parse = |value: Value| serde_json::from_value::<DynamicObject>(value).unwrap();
    let events: Vec<DynamicObject> = events.iter().cloned().map(parse).collect();
    let waited = Diagnosis::new(Id::MigrationTimeout, "timed out").evidence("last state: Executing");
    forklift::explained_by("plan-uid", vec![(kind, parse(object))], &events, waited)
}

fn pod_waits(reason: &str) -> Diagnosis {
    let waiting = json!({"waiting": {"reason": reason, "message": "no such manifest"}});
    obstacle(&kinds::POD, json!({"phase": "Pending", "containerStatuses": [{"name": "c", "state": waiting}]}), &[])
}

fn quota() -> Diagnosis {
    let event = json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "FailedCreate", "involvedObject": {"uid": "uid-o"},
        "message": "Error creating: pods \"x\" is forbidden: exceeded quota: team-a"});
    obstacle(&kinds::JOB, json!({"active": 1}), &[event])
}

fn status(code: u16, reason: &str, message: &str) -> kube::Error {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message});
    kube::Error::Api(serde_json::from_value(status).unwrap())
}

fn of_cluster(error: &kube::Error) -> Diagnosis {
    let Failure::Errored(diagnosis) = Failure::from(describe(error, Story::default(), "get", "Plan ns/p")) else { panic!() };
    diagnosis
}

/// Real producers, with the id and the advice of each.
fn produced() -> Vec<(Diagnosis, Id, &'static str)> {
    vec![
        (populator("failed to initialize ontap storage mapper with 401 Unauthorized"), Id::OffloadArrayAuthRefused, "storage_password"),
        (populator("dial tcp: lookup array: no such host"), Id::OffloadArrayUnreachable, "storage_hostname"),
        (populator("failed to initialize vantara storage mapper with 404 page not found"), Id::OffloadCopyFailed, "storage_vendor_product"),
        (populator("failed to enable SSH access: manual SSH key configuration required"), Id::OffloadCopyFailed, "esxi_clone_method"),
        (populator("failed to ensure VIB is installed: vib denied"), Id::OffloadCopyFailed, "CommunitySupported"),
        (populator("failed to resolve the volume of storage class x to a LUN of y"), Id::OffloadCopyFailed, "same array"),
        (populator("didn't find any host with id host-9"), Id::OffloadCopyFailed, "dedicated_migration_hosts"),
        (condition(&kinds::PLAN, "SSHNotReady", "x"), Id::PlanNotReady, "esxi_clone_method"),
        (condition(&kinds::PROVIDER, "ConnectionTestFailed", "login failed"), Id::ProviderConnectionFailed, "/ovirt-engine/api"),
        (condition(&kinds::PLAN, "VMDuplicateNADMappings", "x"), Id::PlanNotReady, "different networks"),
        (condition(&kinds::PLAN, "VDDKInvalid", "VDDK init image is invalid"), Id::PlanNotReady, "vddk_init_image"),
        (condition(&kinds::PLAN, "VMMissingChangedBlockTracking", "x"), Id::PlanNotReady, "changed block tracking"),
        (condition(&kinds::PLAN, "VMNotFound", "x"), Id::PlanVmNotFound, "inventory_timeout"),
        (step("PreflightInspection", "VM has critical concerns"), Id::MigrationInspectionFailed, "conversions.forklift"),
        (step("ImageConversion", "wrong LUKS passphrase"), Id::MigrationConversionFailed, "encrypted disk"),
        (step("PostHook", "Job has reached the specified backoff limit"), Id::MigrationHookFailed, "job-name"),
        (step("ImageConversion", "exit status 1"), Id::MigrationConversionFailed, "virt-v2v"),
        (step("DiskTransfer", "exceeded quota: storage"), Id::MigrationDiskTransferFailed, "no room"),
        (quota(), Id::MigrationTimeout, "no room"),
        (pod_waits("ImagePullBackOff"), Id::MigrationTimeout, "pull secret"),
        (
            ProviderError::operation("failed to clone a: no space left on device".into()).said("no space left on device").into(),
            Id::SourceOperationFailed,
            "no room",
        ),
        (
            Diagnosis::of_error(&anyhow::Error::from(std::io::Error::from_raw_os_error(28)).context("failed to write the journal")),
            Id::RunEnvironment,
            "--results-dir",
        ),
    ]
}

#[test]
fn every_known_issue_is_recognized_from_what_real_producers_make() {
    let mut seen = BTreeSet::new();
    for (diagnosis, id, words) in produced() {
        assert_eq!(diagnosis.id, id, "{diagnosis:?}");
        let advice = hints(&diagnosis);
        assert!(advice.iter().any(|advice| advice.contains(words)), "{diagnosis:?}: {advice:?}");
        let advised = advise(diagnosis);
        assert!(advised.hints.iter().any(|hint| hint.contains(words)), "{advised:?}");
        seen.extend(advice);
    }
    for advice in all() {
        assert!(seen.contains(advice), "no producer of this test leads to: {advice}");
    }
}

#[test]
fn words_of_our_own_and_parts_of_foreign_words_lead_to_no_advice() {
    for diagnosis in [
        Diagnosis::new(Id::CheckFailed, "a: power state - power: expected on, actual off (Stopped)"),
        Diagnosis::new(Id::WaitTimeout, "timed out after 10s waiting for Secret ns/x to hold MTV's SSH key"),
        Diagnosis::new(Id::WaitTimeout, "the populator of [ds] a/a.vmdk says: 401 Unauthorized; VM a failed in step PostHook: x"),
        ProviderError::unreachable("connection refused, no space left, ImagePullBackOff".into()).into(),
    ] {
        assert_eq!(hints(&diagnosis), Vec::<&str>::new(), "{diagnosis:?}");
    }
    assert_eq!(populator("vm-401 is not on this array").id, Id::OffloadCopyFailed);
}

#[test]
fn advice_comes_first_and_once() {
    let two = advise(step("PostHook", "x").and(step("PreHook", "y")).hint("general"));
    assert_eq!(two.hints.iter().filter(|hint| hint.contains("a playbook failed")).count(), 1);
    assert!(two.hints[0].contains("a playbook failed"), "{:?}", two.hints);
    assert_eq!(advise(two.clone()), two);
}

#[test]
fn the_populator_s_reason_takes_the_place_of_forklift_s_reference_to_it() {
    let diagnosis = populator("401");
    assert_eq!(diagnosis.summary, "VM a failed in step DiskTransfer: the populator of [ds] a/a.vmdk says: 401");
    assert_eq!(diagnosis.causes[0], "the populator of [ds] a/a.vmdk says: 401");
    assert!(diagnosis.causes[1].contains("populator pod failed"), "{:?}", diagnosis.causes);
}

#[test]
fn a_source_s_hints_reach_the_diagnosis_and_stay_out_of_the_text() {
    use ProviderErrorKind::{Certificate, Deadline, Login, NotFound, Operation, Unreachable, Unsupported};
    for (kind, id) in [
        (Login, Id::SourceAuthRefused),
        (Unreachable, Id::SourceUnreachable),
        (Certificate, Id::SourceCertificateUntrusted),
        (NotFound, Id::SourceNotFound),
        (Operation, Id::SourceOperationFailed),
        (Deadline, Id::SourceTimeout),
        (Unsupported, Id::SourceUnsupported),
    ] {
        let error = ProviderError::new(kind, "log in to vc: refused\nwith a second line").hint("check `username`").hint("or the domain");
        let Failure::Errored(diagnosis) = crate::run::provider_failure(error) else { panic!() };
        assert_eq!((diagnosis.id, diagnosis.summary.as_str()), (id, "log in to vc: refused"));
        assert_eq!(diagnosis.causes, ["with a second line"]);
        assert_eq!(diagnosis.hints, ["check `username`", "or the domain"]);
    }
}

#[test]
fn errors_of_the_cluster_are_told_apart_by_type() {
    let forbidden = "plans.forklift.konveyor.io \"p\" is forbidden: User \"u\" cannot get resource \"plans\" in API group \
                     \"forklift.konveyor.io\" in the namespace \"ns\"";
    let service = |error: std::io::Error| kube::Error::Service(Box::new(error));
    for (error, id) in [
        (status(401, "Unauthorized", "Unauthorized"), Id::ClusterAuthRefused),
        (status(403, "Forbidden", forbidden), Id::ClusterForbidden),
        (status(403, "Forbidden", "pods \"p\" is forbidden: exceeded quota: q"), Id::ClusterRequestFailed),
        (status(422, "Invalid", "spec.x: Invalid value"), Id::ClusterRequestFailed),
        (service(std::io::ErrorKind::ConnectionRefused.into()), Id::ClusterUnreachable),
        (service(std::io::Error::other("the certificate was refused, it says")), Id::ClusterUnreachable),
        (kube::Error::Service(Box::new(crate::retry::NoAnswer(std::time::Duration::from_mins(1)))), Id::ClusterTimeout),
    ] {
        let diagnosis = of_cluster(&error);
        assert_eq!((diagnosis.id, diagnosis.subject.as_str()), (id, "Plan ns/p"), "{error:?}");
        assert_eq!(diagnosis.hints.is_empty(), id != Id::ClusterForbidden, "{diagnosis:?}");
    }
}

#[test]
fn hints_survive_a_way_through_anyhow() {
    let inner = Explained(Diagnosis::new(Id::ClusterAuthRefused, "refused").cause("expired").hint("log in again"));
    let error = anyhow::Error::from(inner).context(Hinted::new("failed to start", "try later")).context("outermost");
    let diagnosis = Diagnosis::of_error(&error);
    assert_eq!(diagnosis.id, Id::ClusterAuthRefused);
    assert_eq!(
        (diagnosis.summary.as_str(), diagnosis.causes.as_slice()),
        ("outermost", ["failed to start", "refused", "expired"].map(String::from).as_slice())
    );
    assert!(!format!("{error:#}").contains("log in again"));
    assert!(diagnosis.hints.contains(&"log in again".to_owned()), "{diagnosis:?}");
    assert_eq!(Diagnosis::of_error(&anyhow::anyhow!("x")).id, Id::RunEnvironment);
}

#[test]
fn events_carry_every_field_but_the_facts() {
    let diagnosis = Diagnosis::new(Id::PlanNotReady, "s").about("Plan a/b").cause("c").evidence("e").hint("h").fact(Fact::Os(28));
    assert_eq!(
        serde_json::to_value(&diagnosis).unwrap(),
        json!({"id": "plan.not-ready", "subject": "Plan a/b", "summary": "s", "causes": ["c"], "evidence": ["e"], "hints": ["h"]})
    );
}

/// Every id has a section with all of its parts, no other section claims to be of an id, and the index lists them.
#[test]
fn the_guide_has_a_section_for_every_id() {
    let anchors: Vec<&str> = GUIDE.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let names: Vec<&str> = Id::ALL.iter().map(|id| id.name()).collect();
    assert_eq!(anchors, names, "docs/troubleshooting.md has a section per id, in the order of the ids");
    for name in &names {
        let section =
            GUIDE.split(&format!("<a id=\"{name}\"></a>\n\n### {name}\n")).nth(1).unwrap_or_else(|| panic!("no heading for {name}"));
        let section = section.split("\n<a id=").next().unwrap().split("\n## ").next().unwrap();
        let part = |label: &str| section.split(label).nth(1).is_some_and(|text| text.split_whitespace().count() > 2);
        assert!(part("**Usual causes:**") && part("**Remedy:**"), "{name} lacks causes or a remedy");
        let meaning = section.split("**Usual causes:**").next().unwrap();
        assert!(meaning.split_whitespace().count() > 3, "{name} does not say what it means");
    }
    let index = names.iter().fold(String::new(), |mut index, name| {
        let _ = writeln!(index, "- [`{name}`](#{name})");
        index
    });
    assert!(GUIDE.contains(&format!("\n## Index\n\n{index}\n")), "the index of docs/troubleshooting.md should be:\n{index}");
}

#[test]
fn every_id_is_produced_somewhere() {
    fn read(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, all);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("diagnosis/id.rs") && !path.ends_with("tests.rs") {
                // Without the tests at a file's end.
                all.push_str(fs::read_to_string(&path).unwrap().split("#[cfg(test)]\nmod tests {").next().unwrap());
            }
        }
    }
    let mut code = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let used = |id: &Id| {
        let name = format!("Id::{}", id.variant());
        code.match_indices(&name).any(|(at, _)| !code[at + name.len()..].starts_with(|c: char| c.is_alphanumeric()))
    };
    let unused: Vec<&str> = Id::ALL.iter().filter(|id| !used(id)).map(|id| id.name()).collect();
    assert_eq!(unused, Vec::<&str>::new(), "no code produces these ids");
}
