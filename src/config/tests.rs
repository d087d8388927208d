//! What good files become, and that no file makes a parser panic. What is said about broken ones stands in `tests/bad_input.rs`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    diagnostics::Problems,
    profile::ProviderKind,
    profile_file::ProfileFile,
    scenario::{DEFAULT_GUEST_AGENT_TIMEOUT, PowerWish, ScenarioVm},
    scenario_file,
    settings::Settings,
    settings_keys::{KEYS, Value},
    settings_load::{self, Origin, Sources},
};

const FULL_SCENARIO: &str = r#"
[scenario.full]
description = "Everything at once"
aliases = ["test_full", "MTV-1"]
markers = ["tier0", "warm"]
requires = { providers = ["vsphere", "ovirt"], min_mtv_version = "2.6.0", min_ocp_version = "4.18" }
warm_migration = true
target_power_state = "off"
preserve_static_ips = true
vm_target_namespace = "vms"
multus_namespace = "default"
guest_agent_timeout = "10m"
target_labels = { purpose = "test", "example.com/run" = { unique = true } }

[[scenario.full.virtual_machines]]
name = "a"
source_vm_power = "on"
guest_agent = true

[[scenario.full.virtual_machines]]
name = "b"
source_vm_power = "on"
"#;

#[test]
fn every_key_of_a_scenario_arrives() {
    let mut problems = Problems::default();
    let found = scenario_file::parse(Path::new("x.toml"), FULL_SCENARIO, &mut problems);
    assert!(problems.is_empty(), "{problems}");
    let scenario = &found[0].scenario;
    assert_eq!((scenario.name.as_str(), scenario.line), ("full", 2));
    assert_eq!(scenario.aliases, ["test_full", "MTV-1"]);
    assert_eq!(scenario.markers, ["tier0", "warm"]);
    assert_eq!(scenario.requires.providers, [ProviderKind::Vsphere, ProviderKind::Ovirt]);
    assert_eq!(scenario.requires.min_mtv_version.as_deref(), Some("2.6.0"));
    assert_eq!(scenario.requires.min_ocp_version.as_deref(), Some("4.18"));
    assert!(scenario.warm_migration && scenario.preserve_static_ips);
    assert_eq!(scenario.target_power_state, Some(PowerWish::Off));
    assert_eq!(scenario.vm_target_namespace.as_deref(), Some("vms"));
    assert_eq!(scenario.multus_namespace.as_deref(), Some("default"));
    assert_eq!(scenario.guest_agent_timeout, Duration::from_mins(10));
    let labels = [("example.com/run".to_owned(), None), ("purpose".to_owned(), Some("test".to_owned()))];
    assert_eq!(scenario.target_labels, BTreeMap::from(labels));
    let vm =
        |name: &str, guest_agent| ScenarioVm { name: name.to_owned(), source_vm_power: Some(PowerWish::On), guest_agent, snapshots: 0 };
    assert_eq!(scenario.virtual_machines, [vm("a", true), vm("b", false)]);
}

#[test]
fn a_scenario_needs_little() {
    let mut problems = Problems::default();
    let found = scenario_file::parse(Path::new("x.toml"), "[[scenario.x.virtual_machines]]\nname = \"a\"\nsnapshots = 2\n", &mut problems);
    assert!(problems.is_empty(), "{problems}");
    let scenario = &found[0].scenario;
    assert_eq!(scenario.virtual_machines, [ScenarioVm { name: "a".to_owned(), source_vm_power: None, guest_agent: false, snapshots: 2 }]);
    assert_eq!(scenario.guest_agent_timeout, DEFAULT_GUEST_AGENT_TIMEOUT);
    assert!(!scenario.warm_migration && scenario.target_power_state.is_none() && scenario.markers.is_empty());
}

#[test]
fn the_example_of_profiles_has_every_type_and_no_mistake() {
    let file = ProfileFile::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("providers.example.toml")).unwrap();
    assert!(file.check().is_empty(), "{}", file.check());
    let kinds: Vec<ProviderKind> = file.names().map(|name| file.kind(name).unwrap()).collect();
    assert_eq!(kinds, ProviderKind::ALL);
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
    assert_eq!((profile.kind, profile.version.as_str(), profile.fqdn.as_str()), (ProviderKind::Openstack, "17.1", "[2001:db8::1]"));
    // One line end is cut off; a blank at the end can belong to a password.
    assert_eq!(profile.password.expose(), "from a file ");
    let guest = profile.guest_linux.unwrap();
    assert_eq!((guest.user.as_str(), guest.password.expose()), ("root", "from the environment"));
    assert!(profile.guest_windows.is_none() && !profile.insecure_skip_verify);
    assert_eq!(profile.extra["region_name"], "r");
    let broken = file.check().to_string();
    assert!(broken.contains("`nothing` is no value of `type`") && broken.contains("did you mean `password`?"), "{broken}");
}

#[test]
fn an_inline_secret_is_a_warning_only_where_others_can_read_it() {
    let text = "[provider.x]\ntype = \"ova\"\napi_url = \"nfs.example.com:/ova\"\npassword = \"pa55word\"\n";
    for (world_readable, warned) in [(true, true), (false, false)] {
        let file = ProfileFile::parse(Path::new("p.toml"), text, world_readable).unwrap();
        let (profile, warnings) = file.select("x", &|_| None).unwrap();
        assert_eq!((profile.fqdn.as_str(), profile.password.expose()), ("nfs.example.com", "pa55word"));
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
            problems.append(file.check());
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
