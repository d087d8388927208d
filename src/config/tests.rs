//! What good files become, and that no file makes a parser panic. What is said about broken ones stands in `tests/bad_input.rs`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;
use serde_json::json;

use super::{
    diagnostics::Problems,
    profile::{Details, ProviderKind},
    profile_file::ProfileFile,
    scenario::{
        AddedDisk, Datastore, DedicatedHosts, DiskController, DiskMode, DiskType, ExpectedFailure, Hook, Label, PowerWish, PvcNameTemplate,
        RdmType, Requirements, Scenario, ScenarioPlan, ScenarioVm, TargetNamespace, VirtualDisk,
    },
    scenario_file,
    settings::Settings,
    settings_keys::{KEYS, Value},
    settings_load::{self, Origin, Sources},
};
use crate::secrets::{MASK, mask};

const FULL_SCENARIO: &str = r#"
[scenario.full]
description = "Everything at once"
aliases = ["test_full", "MTV-1"]
markers = ["tier0", "warm"]
requires = { providers = ["vsphere", "ovirt"], min_mtv_version = "2.6.0", min_ocp_version = "4.18", jira = "MTV-2846" }
warm_migration = true
copyoffload = true
dedicated_migration_hosts = ["host-9"]
pin_to_non_dedicated_host = true
remote = true
target_power_state = "off"
preserve_static_ips = true
vm_target_namespace = "vms"
multus_namespace = "default"
pvc_name_template = { vsphere = "v-{{.DiskIndex}}", default = "d" }
pvc_name_template_use_generate_name = false
rdm_as_lun = true
enable_nested_virtualization = true
data_marker = true
run_preflight_inspection = false
pre_hook = { expected_result = "succeed" }
post_hook = { playbook_base64 = "LSBob3N0czogbG9jYWxob3N0" }
expect_failure = { step = "PostHook", text = "why" }
guest_agent_timeout = "10m"
plan_wait_timeout = "2h"
inventory_timeout = "20m"
cutover_delay = "1m"
target_labels = { purpose = "test", "example.com/run" = { unique = true } }
target_node_selector = { node = { unique = true } }

[scenario.full.target_affinity.podAffinity]
preferredDuringSchedulingIgnoredDuringExecution = [
    { weight = 50, podAffinityTerm = { topologyKey = "kubernetes.io/hostname", labelSelector.matchLabels = { app = { unique = true } } } },
]

[[scenario.full.plans]]
name = "xcopy"
[[scenario.full.plans]]
name = "vddk"
copyoffload = false

[[scenario.full.virtual_machines]]
name = "a"
plan = "vddk"
source_vm_power = "on"
guest_agent = true
clone = true
clone_name = "A_B"
preserve_name_format = true
disk_type = "thick-eager"
target_datastore_id = "non_xcopy_datastore_id"
target_esxi_host = "esxi-1.lab"
target_name = "mine"
add_disks = [
    { size_gb = 30, provision_type = "thick-lazy", disk_mode = "independent_persistent", controller = "sata", datastore_id = "secondary_datastore_id", datastore_path = "a/b" },
    { size_gb = 1 },
    { rdm_type = "physical" },
]

[[scenario.full.virtual_machines]]
name = "b"
plan = "xcopy"
source_vm_power = "on"
"#;

fn scenario(text: &str) -> Scenario {
    let mut problems = Problems::default();
    let found = scenario_file::parse(Path::new("x.toml"), text, &mut problems);
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(found.len(), 1);
    Scenario::clone(&found[0].scenario)
}

#[test]
fn every_key_of_a_scenario_arrives() {
    let found = scenario(FULL_SCENARIO);
    let text = str::to_owned;
    let disks = vec![
        AddedDisk::Virtual(VirtualDisk {
            size_gb: 30,
            provision_type: DiskType::ThickLazy,
            disk_mode: DiskMode::IndependentPersistent,
            controller: DiskController::Sata,
            datastore_id: Some(Datastore::Secondary),
            datastore_path: Some(text("a/b")),
        }),
        AddedDisk::Virtual(VirtualDisk {
            size_gb: 1,
            provision_type: DiskType::Thin,
            disk_mode: DiskMode::Persistent,
            controller: DiskController::Scsi,
            datastore_id: None,
            datastore_path: None,
        }),
        AddedDisk::Rdm(RdmType::Physical),
    ];
    let vm = |name: &str, plan| ScenarioVm { name: text(name), plan, source_vm_power: Some(PowerWish::On), ..ScenarioVm::default() };
    let wanted = Scenario {
        name: text("full"),
        file: PathBuf::from("x.toml"),
        line: 2,
        description: text("Everything at once"),
        aliases: vec![text("test_full"), text("MTV-1")],
        markers: vec![text("tier0"), text("warm")],
        requires: Requirements {
            providers: vec![ProviderKind::Vsphere, ProviderKind::Ovirt],
            min_mtv_version: Some(text("2.6.0")),
            min_ocp_version: Some(text("4.18")),
            jira: Some(text("MTV-2846")),
        },
        virtual_machines: vec![
            ScenarioVm {
                guest_agent: true,
                clone: true,
                clone_name: Some(text("A_B")),
                preserve_name_format: true,
                disk_type: Some(DiskType::ThickEager),
                add_disks: disks,
                target_datastore_id: Some(Datastore::NonXcopy),
                target_esxi_host: Some(text("esxi-1.lab")),
                target_name: Some(text("mine")),
                ..vm("a", 1)
            },
            vm("b", 0),
        ],
        plans: vec![
            ScenarioPlan { name: Some(text("xcopy")), copyoffload: true },
            ScenarioPlan { name: Some(text("vddk")), copyoffload: false },
        ],
        warm_migration: true,
        dedicated_hosts: Some(DedicatedHosts::Ids(vec![text("host-9")])),
        pin_to_non_dedicated_host: true,
        remote: true,
        target_power_state: Some(PowerWish::Off),
        preserve_static_ips: true,
        vm_target_namespace: Some(TargetNamespace::Named(text("vms"))),
        multus_namespace: Some(text("default")),
        pvc_name_template: Some(PvcNameTemplate::ByKind {
            kinds: BTreeMap::from([(ProviderKind::Vsphere, text("v-{{.DiskIndex}}"))]),
            default: Some(text("d")),
        }),
        pvc_name_template_use_generate_name: Some(false),
        target_node_selector: Some((text("node"), Label::Unique)),
        target_labels: BTreeMap::from([(text("example.com/run"), Label::Unique), (text("purpose"), Label::Text(text("test")))]),
        target_affinity: found.target_affinity.clone(),
        rdm_as_lun: Some(true),
        enable_nested_virtualization: Some(true),
        data_marker: true,
        run_preflight_inspection: Some(false),
        pre_hook: Some(Hook::Succeed),
        post_hook: Some(Hook::Playbook(text("- hosts: localhost"))),
        expect_failure: Some(ExpectedFailure { step: Some(text("PostHook")), text: Some(text("why")), in_hook: false }),
        guest_agent_timeout: Duration::from_mins(10),
        plan_wait_timeout: Some(Duration::from_hours(2)),
        inventory_timeout: Some(Duration::from_mins(20)),
        cutover_delay: Some(Duration::from_mins(1)),
    };
    assert_eq!(found, wanted);
    let fields: Vec<_> = found.profile_fields().into_iter().collect();
    assert_eq!(
        fields,
        [
            "datastore_id",
            "dedicated_migration_hosts",
            "non_xcopy_datastore_id",
            "rdm_lun_uuid",
            "secondary_datastore_id",
            "storage_vendor_product"
        ]
    );
    assert_eq!(found.vms_of(1).map(|(index, vm)| (index, vm.name.as_str())).collect::<Vec<_>>(), [(0, "a")]);
    assert_eq!(found.node_label("run1"), Some((text("node-run1"), text("run1"))));
    assert_eq!(found.labels("run1")["example.com/run"], "run1");
    assert_eq!(found.pvc_template(0, ProviderKind::Vsphere), Some("v-{{.DiskIndex}}"));
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "run1"}}});
    let affinity = json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 50, "podAffinityTerm": term}]}});
    assert_eq!(found.affinity("run1"), Some(affinity));
}

#[test]
fn a_scenario_needs_little() {
    let found = scenario("[[scenario.x.virtual_machines]]\nname = \"a\"\nsnapshots = 2\n");
    let vm = ScenarioVm { name: "a".to_owned(), snapshots: 2, ..ScenarioVm::default() };
    assert_eq!(found, Scenario { file: PathBuf::from("x.toml"), ..Scenario::new("x", vec![vm]) });
    assert!(found.profile_fields().is_empty());
    assert_eq!(found.pvc_template(0, ProviderKind::Vsphere), None);
}

/// The old way to expect a failure means the step of the hook that is made to fail.
#[test]
fn an_expected_failure_in_the_old_form() {
    for (hooks, step) in [
        ("post_hook = { expected_result = \"fail\" }", Some("PostHook")),
        ("pre_hook = { expected_result = \"fail\" }", Some("PreHook")),
        ("pre_hook = { expected_result = \"fail\" }\npost_hook = { expected_result = \"fail\" }", Some("PreHook")),
        // A playbook of one's own may fail in either step.
        ("post_hook = { playbook_base64 = \"LSBob3N0czogbG9jYWxob3N0\" }", None),
    ] {
        let text = format!("[scenario.x]\nvirtual_machines = [{{ name = \"a\" }}]\nexpected_migration_result = \"fail\"\n{hooks}\n");
        let wanted = ExpectedFailure { step: step.map(str::to_owned), text: None, in_hook: true };
        assert_eq!(scenario(&text).expect_failure, Some(wanted), "{hooks}");
    }
}

#[test]
fn a_playbook_comes_from_a_file_beside_the_scenario() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("play.yml"), "- hosts: localhost\n").unwrap();
    let text = "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { playbook_file = \"play.yml\" }\n";
    let mut problems = Problems::default();
    let found = scenario_file::parse(&folder.path().join("x.toml"), text, &mut problems);
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(found[0].scenario.pre_hook, Some(Hook::Playbook("- hosts: localhost\n".to_owned())));
}

#[test]
fn the_example_of_profiles_has_every_type_and_no_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("providers.toml");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("providers.example.toml"), &path).unwrap();
    let file = ProfileFile::load(&path).unwrap();
    // As it stands it needs variables and files that are nowhere: each is named, and there is no other mistake.
    let found = file.check(&|_| None);
    for problem in found.all() {
        let title = problem.title();
        assert!(title.starts_with("environment variable ") || title.contains("no such file"), "{title}");
    }
    assert!(found.to_string().contains("VSPHERE_PASSWORD") && found.to_string().contains("ovirt-password"), "{found}");
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(folder.path().join("secrets/ovirt-password"), "secret-of-the-example").unwrap();
    let ca = rcgen::generate_simple_self_signed(["engine.example.com".to_owned()]).unwrap();
    fs::write(folder.path().join("secrets/ovirt-ca.pem"), ca.cert.pem()).unwrap();
    let found = file.check(&|name| (!name.starts_with("COPYOFFLOAD_")).then(|| "value-of-a-variable".to_owned()));
    assert!(found.is_empty(), "{found}");
    let mut kinds: Vec<ProviderKind> = file.names().map(|name| file.kind(name).unwrap()).collect();
    // Those of one type stand together: a vCenter and an ESXi host.
    kinds.dedup();
    let supported: Vec<ProviderKind> = ProviderKind::ALL.iter().copied().filter(|kind| kind.unsupported().is_none()).collect();
    assert_eq!(kinds, supported);
}

/// Another profile of the file is broken: only the selected one has to be right.
const PROFILES: &str = r#"
[provider.broken]
type = "nothing"
passwort = 1

[provider.good]
type = "openstack"
version = "17.1"
api_url = "https://[2001:db8::1]:5000/v3"
username = "u"
password_file = "secret"
user_domain_name = "Default"
user_domain_id = "default"
project_name = "p"
project_domain_id = "default"
region_name = "r"
guest_vm_linux_user = "root"
guest_vm_linux_password_env = "GUEST"
"#;

#[test]
fn the_selected_profile_is_complete_and_has_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("providers.toml"), PROFILES).unwrap();
    fs::write(folder.path().join("secret"), "from a file \r\n").unwrap();
    let file = ProfileFile::load(&folder.path().join("providers.toml")).unwrap();
    let (profile, warnings) = file.select("good", &|name| (name == "GUEST").then(|| "from the environment".to_owned())).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(profile.kind(), ProviderKind::Openstack);
    // One line end is cut off; a blank at the end can belong to a password.
    assert_eq!(profile.password.expose(), "from a file ");
    let guest = profile.guest_linux.unwrap();
    assert_eq!((guest.user.as_str(), guest.password.expose()), ("root", "from the environment"));
    assert!(profile.guest_windows.is_none() && !profile.insecure_skip_verify);
    let Details::Openstack(cloud) = profile.details else { panic!("{:?}", profile.details) };
    assert_eq!(cloud.region_name, "r");
    let broken = file.check(&|_| None).to_string();
    assert!(broken.contains("`nothing` is no value of `type`") && broken.contains("did you mean `password`?"), "{broken}");
}

#[test]
fn variables_of_copy_offload_win_over_the_file() {
    let text = r#"
[provider.x]
type = "vsphere"
api_url = "https://h/sdk"
username = "u"
password_env = "PASSWORD"
[provider.x.copyoffload]
storage_vendor_product = "ontap"
datastore_id = "datastore-1"
storage_hostname = "of-the-file"
storage_username = "of-the-file"
storage_password_env = "NOT_THERE"
ontap_svm = "svm-of-the-file"
esxi_clone_method = "ssh"
esxi_user = "root"
[provider.x.copyoffload.storage_secret_extra]
STORAGE_RETRIES = 3
STORAGE_REGION = "north"
"#;
    let env = |name: &str| {
        let value = match name {
            "PASSWORD" => "of vcenter",
            "COPYOFFLOAD_STORAGE_HOSTNAME" => "of-the-variable",
            "COPYOFFLOAD_STORAGE_USERNAME" => " ",
            "COPYOFFLOAD_STORAGE_PASSWORD" => "canary-of-the-array",
            "COPYOFFLOAD_ESXI_PASSWORD" => "canary-of-the-host",
            "COPYOFFLOAD_ESXI_HOST" => "esxi-7",
            "COPYOFFLOAD_STORAGE_SECRET_EXTRA" => r#"{"STORAGE_REGION": "south"}"#,
            _ => return None,
        };
        Some(value.to_owned())
    };
    let file = ProfileFile::parse(Path::new("providers.toml"), text, true).unwrap();
    let (profile, _) = file.select("x", &env).unwrap();
    assert!(!format!("{profile:?}").contains("canary"), "{profile:?}");
    let offload = profile.copyoffload().unwrap();
    assert_eq!(offload.missing(), []);
    assert_eq!(offload.esxi.host.as_deref(), Some("esxi-7"));
    let storage: BTreeMap<&str, &str> = offload.storage.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
    let expected = BTreeMap::from([
        ("STORAGE_HOSTNAME", "of-the-variable"),
        ("STORAGE_USERNAME", "of-the-file"),
        ("STORAGE_PASSWORD", "canary-of-the-array"),
        ("ONTAP_SVM", "svm-of-the-file"),
        ("STORAGE_RETRIES", "3"),
        ("STORAGE_REGION", "south"),
    ]);
    assert_eq!(storage, expected);
}

#[test]
fn no_password_of_a_file_can_be_printed_and_only_those_in_use_are_masked() {
    let text = "[provider.used]\ntype = \"ova\"\napi_url = \"h:/p\"\npassword = \"sealed-canary-one\"\n\
                [provider.other]\ntype = \"vsphere\"\npassword = \"sealed-canary-two\"\nguest_vm_linux_password = \"sealed-canary-three\"\n\
                [provider.other.copyoffload]\nstorage_password = \"sealed-canary-four\"\nesxi_password = \"sealed-canary-five\"\n";
    let file = ProfileFile::parse(Path::new("p.toml"), text, false).unwrap();
    let shown = format!("{file:?}");
    assert!(!shown.contains("canary") && shown.contains(MASK), "{shown}");
    let (profile, _) = file.select("used", &|_| None).unwrap();
    assert_eq!((mask("sealed-canary-one"), mask("sealed-canary-two")), (MASK.to_owned(), "sealed-canary-two".to_owned()));
    assert_eq!((profile.password.expose(), format!("{profile:?}").contains("canary")), ("sealed-canary-one", false));
}

#[test]
fn an_inline_secret_is_a_warning_only_where_others_can_read_it() {
    let text = "[provider.x]\ntype = \"ova\"\napi_url = \"nfs.example.com:/ova\"\npassword = \"pa55word\"\n";
    for (world_readable, warned) in [(true, true), (false, false)] {
        let file = ProfileFile::parse(Path::new("p.toml"), text, world_readable).unwrap();
        let (profile, warnings) = file.select("x", &|_| None).unwrap();
        assert_eq!((profile.api_url.as_str(), profile.password.expose()), ("nfs.example.com:/ova", "pa55word"));
        assert_eq!(!warnings.is_empty(), warned);
        assert!(!warnings.has_errors());
    }
}

/// Settings file, environment and `--set` of a test, in a folder of its own.
fn sources(folder: &Path, file: &str, env: &[(&str, &str)], set: &[&str]) -> Sources {
    fs::write(folder.join(settings_load::DEFAULT_FILE), file).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { folder: folder.to_owned(), env, set: set.iter().map(|s| (*s).to_owned()).collect(), ..Sources::default() }
}

#[test]
fn each_layer_wins_over_the_one_below() {
    let folder = tempfile::tempdir().unwrap();
    let file = "storage_class = \"file\"\nmtv_namespace = \"file\"\ntarget_namespace_prefix = \"file\"\nsource_provider = \"file\"\n";
    let env = [
        ("MTV_TEST_MTV_NAMESPACE", "env"),
        ("MTV_TEST_TARGET_NAMESPACE_PREFIX", "env"),
        ("MTV_TEST_SOURCE_PROVIDER", "env"),
        ("MTV_TEST_BIN", "not a setting"),
        ("OTHER", "not ours"),
    ];
    let mut sources =
        sources(folder.path(), file, &env, &["target_namespace_prefix=first", "target_namespace_prefix=set", "source_provider=set"]);
    sources.flags.push(("source_provider", Value::Text("flag".to_owned()), "--provider"));
    let resolved = settings_load::load(&sources).unwrap();
    let settings = &resolved.settings;
    assert_eq!(settings.storage_class.as_deref(), Some("file"));
    assert_eq!(settings.mtv_namespace, "env");
    assert_eq!(settings.target_namespace_prefix, "set");
    assert_eq!(settings.source_provider.as_deref(), Some("flag"));
    assert_eq!(resolved.origin("storage_class"), &Origin::File { file: folder.path().join("mtv-test.toml"), line: 1 });
    assert_eq!(resolved.origin("mtv_namespace"), &Origin::Env("MTV_TEST_MTV_NAMESPACE".to_owned()));
    assert_eq!(resolved.origin("target_namespace_prefix"), &Origin::Set);
    assert_eq!(resolved.origin("source_provider"), &Origin::Flag("--provider"));
    assert_eq!(resolved.origin("jobs"), &Origin::Default);
}

#[test]
fn the_old_name_of_the_cutover_sets_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let resolved = settings_load::load(&sources(folder.path(), "mins_before_cutover = 7\n", &[], &[])).unwrap();
    assert_eq!(resolved.settings.cutover_delay, Duration::from_mins(7));
    assert!(matches!(resolved.origin("cutover_delay"), Origin::File { line: 1, .. }));
}

#[test]
fn results_go_where_the_ci_host_collects_them_unless_a_setting_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = [("ARTIFACT_DIR", "/artifacts")];
    let resolved = settings_load::load(&sources(folder.path(), "", &artifacts, &[])).unwrap();
    assert_eq!(resolved.settings.results_dir, PathBuf::from("/artifacts"));
    assert_eq!(resolved.origin("results_dir"), &Origin::Env("ARTIFACT_DIR".to_owned()));
    let resolved = settings_load::load(&sources(folder.path(), "results_dir = \"mine\"\n", &artifacts, &[])).unwrap();
    assert_eq!(resolved.settings.results_dir, PathBuf::from("mine"));
}

#[test]
fn what_files_say_can_be_forgotten_and_what_the_command_line_says_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = "storage_class = \"file\"\nmtv_namespace = \"file\"\n";
    let mut resolved = settings_load::load(&sources(folder.path(), file, &[], &["storage_class=set"])).unwrap();
    resolved.forget_unless_given(&["storage_class", "mtv_namespace"]);
    assert_eq!(resolved.settings.storage_class.as_deref(), Some("set"));
    assert_eq!(resolved.settings.mtv_namespace, Settings::default().mtv_namespace);
    assert_eq!(resolved.origin("mtv_namespace"), &Origin::Default);
}

#[test]
fn every_setting_writes_its_own_value_and_no_other() {
    let samples =
        |key: &super::settings_keys::Key| ["7m", "7", "true", "sample"].iter().find_map(|text| key.takes.parse(text).ok().map(|_| *text));
    for key in KEYS {
        let text = samples(key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let setting = format!("{}={text}", key.name);
        let resolved = settings_load::load(&sources(folder.path(), "", &[], &[&setting])).unwrap();
        assert_eq!(key.show(&resolved.settings), text, "{}", key.name);
        let target = key.sets.unwrap_or(key.name);
        for other in KEYS.iter().filter(|other| other.sets.unwrap_or(other.name) != target) {
            assert_eq!(other.show(&resolved.settings), other.show(&Settings::default()), "{} changed {}", key.name, other.name);
        }
    }
}

/// A good text with a few places cut, doubled or overwritten: it reaches deeper into a parser than noise does.
fn damaged(good: &'static str) -> impl Strategy<Value = String> {
    let pieces = ["\"", "[", "]", "=", "\n", "{", "}", "true", "-1", "9999999999999999999", "é", "'''", "#", ".", ",", "\u{feff}", "\0"];
    let cut = (any::<prop::sample::Index>(), 0usize..12, prop::sample::select(pieces.to_vec()));
    prop::collection::vec(cut, 1..5).prop_map(move |cuts| {
        let mut text: Vec<char> = good.chars().collect();
        for (at, length, piece) in cuts {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

/// Parses a text as all three kinds of files; every problem can be shown.
fn parse_all(text: &str) {
    let mut problems = Problems::default();
    scenario_file::parse(Path::new("x.toml"), text, &mut problems);
    problems.append(settings_load::check(Path::new("x.toml"), text));
    match ProfileFile::parse(Path::new("x.toml"), text, true) {
        Ok(file) => {
            problems.append(file.check(&|_| None));
            if let Some(name) = file.names().next()
                && let Err(found) = file.select(name, &|_| None)
            {
                problems.append(found);
            }
        }
        Err(found) => problems.append(found),
    }
    assert_eq!(problems.render(false).is_empty(), problems.is_empty());
}

proptest! {
    #[test]
    fn damaged_scenarios_never_panic(text in damaged(FULL_SCENARIO)) {
        parse_all(&text);
    }

    #[test]
    fn damaged_profiles_never_panic(text in damaged(PROFILES)) {
        parse_all(&text);
    }

    #[test]
    fn damaged_settings_never_panic(text in damaged("storage_class = \"nfs\"\njobs = 4\nplan_wait_timeout = \"1h\"\nskip_teardown = true\n")) {
        parse_all(&text);
    }

    #[test]
    fn noise_never_panics(text in "(\\PC|\n|\\[scenario\\.|\\[provider\\.x\\]|= \"|type = \"vsphere\"){0,30}") {
        parse_all(&text);
    }
}
