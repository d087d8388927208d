//! Bans, licences and sources of every dependency, held to `deny.toml` by what cargo itself knows: no tool to install, no
//! network. `.ci/run` runs cargo-deny on the same file where it can, which knows advisories too.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};

/// What `deny.toml` says.
struct Rules {
    banned: BTreeSet<String>,
    licenses: BTreeSet<String>,
    /// Crate and the licences that it may have beside.
    exceptions: Vec<(String, BTreeSet<String>)>,
    registries: BTreeSet<String>,
}

impl Rules {
    fn read(text: &str) -> Self {
        let file: toml::Table = toml::from_str(text).unwrap();
        let texts = |value: &toml::Value| value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect();
        let name = |value: &toml::Value| value["crate"].as_str().unwrap().to_owned();
        let entries = |group: &str, key: &str| file[group].get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
        Self {
            banned: entries("bans", "deny")
                .iter()
                .map(|ban| {
                    assert!(ban.get("reason").is_some(), "the ban of {} has no reason", name(ban));
                    name(ban)
                })
                .collect(),
            licenses: texts(&file["licenses"]["allow"]),
            exceptions: entries("licenses", "exceptions").iter().map(|e| (name(e), texts(&e["allow"]))).collect(),
            registries: texts(&file["sources"]["allow-registry"]),
        }
    }

    fn allows(&self, package: &str, license: &str) -> bool {
        self.licenses.contains(license) || self.exceptions.iter().any(|(name, more)| name == package && more.contains(license))
    }

    /// What is wrong with the packages of a `cargo metadata`, one sentence each.
    fn complain(&self, metadata: &Value) -> Vec<String> {
        let used: BTreeSet<&str> =
            metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
        let packages = metadata["packages"].as_array().unwrap().iter().filter(|p| used.contains(p["id"].as_str().unwrap()));
        let mut wrong = Vec::new();
        for package in packages {
            let name = package["name"].as_str().unwrap();
            if self.banned.contains(name) {
                wrong.push(format!("{name} is banned"));
            }
            // Without a source it is a crate of this workspace.
            if let Some(source) = package["source"].as_str() {
                let registry = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+"));
                if !registry.is_some_and(|registry| self.registries.contains(registry)) {
                    wrong.push(format!("{name} comes from {source}"));
                }
            } else {
                for dependency in package["dependencies"].as_array().into_iter().flatten() {
                    if dependency["req"] == "*" && dependency["path"].is_null() {
                        wrong.push(format!("{name} takes any version of {}", dependency["name"]));
                    }
                }
            }
            match package["license"].as_str() {
                None => wrong.push(format!("{name} names no licence")),
                Some(license) if !satisfied(license, &|one| self.allows(name, one)) => {
                    wrong.push(format!("{name} has the licence {license}"));
                }
                Some(_) => {}
            }
        }
        wrong
    }
}

/// Whether an SPDX expression can be met; `/` is how crates once wrote OR.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any(&tokens, &mut at, allowed)
}

fn any(tokens: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = all(tokens, at, allowed);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(tokens, at, allowed);
    }
    met
}

fn all(tokens: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(tokens, at, allowed);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at, allowed);
    }
    met
}

fn one(tokens: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if *token == "(" {
        let met = any(tokens, at, allowed);
        *at += 1;
        return met;
    }
    if tokens.get(*at) == Some(&"WITH") {
        *at += 2;
        return allowed(&format!("{token} WITH {}", tokens.get(*at - 1).unwrap_or(&"")));
    }
    allowed(token)
}

fn rules() -> Rules {
    Rules::read(include_str!("../deny.toml"))
}

#[test]
fn bans_licences_and_sources() {
    // Of the platform of this build only, so that nothing has to be fetched that was not needed to build.
    let host = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())).arg("-vV").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["resolve"]["nodes"].as_array().unwrap().len();
    let wrong = rules().complain(&metadata);
    println!("{packages} packages, {} against deny.toml", wrong.len());
    assert!(packages > 100 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_deny_toml_forbids_is_found() {
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let package = |name: &str, source: Value, license: Value| {
        json!({ "packages": [{ "id": name, "name": name, "source": source, "license": license,
                "dependencies": [{ "name": "x", "req": "*", "path": null }] }],
            "resolve": { "nodes": [{ "id": name }] } })
    };
    for (name, source, license, expected) in [
        ("good", json!(registry), json!("MIT OR GPL-3.0"), None),
        ("ar_archive_writer", json!(registry), json!("Apache-2.0 WITH LLVM-exception"), None),
        ("openssl-sys", json!(registry), json!("MIT"), Some("openssl-sys is banned")),
        ("aws-lc-rs", json!(registry), json!("ISC AND (Apache-2.0 OR ISC)"), Some("aws-lc-rs is banned")),
        ("native-tls", json!(registry), json!("MIT/Apache-2.0"), Some("native-tls is banned")),
        ("copyleft", json!(registry), json!("MIT AND GPL-3.0"), Some("copyleft has the licence MIT AND GPL-3.0")),
        ("other", json!(registry), json!("Apache-2.0 WITH LLVM-exception"), Some("other has the licence Apache-2.0 WITH LLVM-exception")),
        ("bare", json!(registry), json!(null), Some("bare names no licence")),
        ("fork", json!("git+https://example.com/fork"), json!("MIT"), Some("fork comes from git+https://example.com/fork")),
        ("ours", json!(null), json!("MIT"), Some("ours takes any version of \"x\"")),
    ] {
        assert_eq!(rules().complain(&package(name, source, license)).first().map(String::as_str), expected, "{name}");
    }
}
