//! Exec plugins of kubeconfigs.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    bed::{Place, kubeconfig, reach, text, write},
    support::{Lab, told},
};

const SECRET: &str = "s3cr3t-0f-plugin";

/// A user with a plugin.
fn exec(command: &str, args: &[&str]) -> Value {
    json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": args, "interactiveMode": "Never",
        "env": [{ "name": "CLIENT_SECRET", "value": SECRET }], "installHint": "see https://example.com/get-it",
    } })
}

fn shell(script: &str) -> Value {
    exec("/bin/sh", &["-c", script])
}

/// A script that prints a credential with this status.
fn printing(status: &Value) -> String {
    let credential = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status });
    format!("cat <<'END'\n{credential}\nEND")
}

#[test]
fn a_plugin_s_credential_is_used_and_its_secrets_are_never_shown() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let folder = lab.folder.path();
    let good = printing(&json!({ "token": place.token }));
    let beside = write(folder, "plugins/plugin", format!("#!/bin/sh\n{good}\n"));
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
    let mut informed = shell(&format!("case $KUBERNETES_EXEC_INFO in *'\"server\":\"{}'*) ;; *) exit 9;; esac\n{good}", place.api));
    informed["exec"]["provideClusterInfo"] = json!(true);
    let mut asking = shell(&good);
    asking["exec"]["interactiveMode"] = json!("Always");
    let ending = json!({ "token": place.token, "expirationTimestamp": "2099-01-01T00:00:00Z" });
    let shows = format!("echo \"using $CLIENT_SECRET\" >&2\n{}\nexit 5", printing(&json!({ "token": SECRET })));
    for (name, user, code, expected) in [
        ("good", shell(&good), 0, ""),
        ("beside the kubeconfig", exec("plugins/plugin", &[]), 0, ""),
        ("with an end", shell(&printing(&ending)), 0, ""),
        ("YAML", shell(&format!("printf 'status:\\n  token: {}\\n'", place.token)), 0, ""),
        ("told of the cluster", informed, 0, ""),
        ("wrong token", shell(&printing(&json!({ "token": SECRET }))), 7, "was refused (401)"),
        ("fails", shell("echo 'please log in' >&2; exit 3"), 7, "failed: exit status: 3: it says: please log in"),
        ("shows its secret", shell(&shows), 7, "it says: using [secret]"),
        (
            "shows its arguments",
            exec("/bin/sh", &["-c", "echo $1 $3 >&2; exit 1", "x", "--token=s3cr3t-0f-plugin", "--password", SECRET]),
            7,
            "exit status: 1",
        ),
        ("prints nothing", shell("true"), 7, "prints no credential"),
        ("prints something else", shell(&format!("echo hello {SECRET}")), 7, "it is not an ExecCredential"),
        ("prints half a certificate", shell(&printing(&json!({ "clientCertificateData": "x" }))), 7, "belong together"),
        ("does not exist", exec("kubelogin-not-there", &[]), 7, "`kubelogin-not-there` of user u does not exist"),
        ("does not exist, hint", exec("kubelogin-not-there", &[]), 7, "hint: see https://example.com/get-it"),
        ("is killed", shell("kill -9 $$"), 7, "signal: 9"),
        ("wants to ask", asking, 7, "standard input is not a terminal"),
    ] {
        let file = write(folder, "k", kubeconfig(&place.cluster(), &user));
        let output = reach(folder, &file).stdin(Stdio::null()).output().unwrap();
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", told(&output));
        assert!(shown.contains(expected), "{name} does not say `{expected}`: {shown}");
        for secret in [SECRET, place.token.as_str(), "ExitStatus(", "Output {"] {
            assert!(!shown.contains(secret), "{name} shows {secret}: {shown}");
        }
    }
}

/// Only a variable whose whole value is a secret is kept from a plugin.
#[test]
fn a_plugin_keeps_its_environment() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let folder = lab.folder.path();
    // The password of the profile is known by then.
    let password = "lab-vsphere";
    assert!(fs::read_to_string(lab.path("lab/providers.toml")).unwrap().contains(&format!("\"{password}\"")));
    write(folder, "lab/kubeconfig", kubeconfig(&place.cluster(), &shell("env > seen; exit 1")));
    let mut run = lab.run(&["sanity-cold"]);
    run.env("WHOLE", password).env("PART", format!("/opt/{password}/bin")).env("HOME", password).env("USER", password);
    let output = run.output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    let seen = fs::read_to_string(folder.join("seen")).unwrap();
    let has = |line: String| seen.lines().any(|seen| seen == line);
    assert!(has(format!("PART=/opt/{password}/bin")) && has(format!("HOME={password}")) && has(format!("USER={password}")), "{seen}");
    assert!(!seen.contains("WHOLE=") && seen.contains("PATH=/") && seen.contains(&format!("CLIENT_SECRET={SECRET}")), "{seen}");
}

/// A plugin that never ends. It tells when it has begun, and which process it waits for.
fn hanging(folder: &Path) -> (Value, PathBuf) {
    let begun = folder.join("begun");
    let _ = fs::remove_file(&begun);
    assert!(Command::new("mkfifo").arg(&begun).status().unwrap().success());
    (shell(&format!("sleep 600 & echo $! > '{}'; wait", begun.display())), begun)
}

/// The process that a plugin waits for.
fn begun(pipe: &Path) -> u32 {
    let mut text = String::new();
    fs::File::open(pipe).unwrap().read_to_string(&mut text).unwrap();
    text.trim().parse().unwrap()
}

/// Whether a process is over: gone, or a zombie that its new parent has not waited for yet.
fn is_over(process: u32) -> bool {
    match fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

#[test]
fn a_plugin_that_hangs_is_ended_with_all_that_it_started() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let folder = lab.folder.path();
    let (user, pipe) = hanging(folder);
    let file = write(folder, "k", kubeconfig(&place.cluster(), &user));
    let child = reach(folder, &file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = begun(&pipe);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(text(&output).contains("the exec plugin `/bin/sh` of user u did not end within"), "{}", told(&output));
    assert!(is_over(process));

    // An interrupt of a run ends it, too.
    let (user, pipe) = hanging(folder);
    write(folder, "lab/kubeconfig", kubeconfig(&place.cluster(), &user));
    let child = lab.run(&["sanity-cold"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = begun(&pipe);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(is_over(process));
}
