//! Kubeconfigs of all kinds, as kubectl takes them, and what is said of those that cannot be used.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    bed::{Place, Server, kubeconfig, reach, text, write},
    support::{Lab, binary, told},
};

/// What must not be shown of any of them.
const SECRET: &str = "s3cr3t-0f-kubeconfig";

#[test]
fn forms_that_kubectl_takes_work() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let folder = lab.folder.path();
    let (cluster, user) = (place.cluster(), place.user());
    write(folder, "kc/token", format!("{}\n\n", place.token));
    write(folder, "kc/ca.pem", &place.ca);
    let with = |base: &Value, key: &str, value: Value| {
        let mut changed = base.clone();
        changed[key] = value;
        changed
    };
    let without_ca = with(&cluster, "certificate-authority-data", Value::Null);
    let localhost = with(&cluster, "server", json!(place.api.replace("127.0.0.1", "localhost")));
    let plain = kubeconfig(&cluster, &user);
    let yaml = serde_saphyr::to_string(&plain).unwrap();
    let token_file = |path: String| kubeconfig(&cluster, &json!({ "tokenFile": path })).to_string();
    for (name, text) in [
        ("plain", plain.to_string()),
        ("yaml", yaml.clone()),
        ("bom", format!("\u{feff}{yaml}")),
        ("crlf", yaml.replace('\n', "\r\n")),
        ("documents", format!("{yaml}---\n{yaml}")),
        ("token file with line ends", token_file(folder.join("kc/token").display().to_string())),
        ("token file beside it", token_file("token".to_owned())),
        ("token file that is gone, beside a token", kubeconfig(&cluster, &with(&user, "tokenFile", json!("gone"))).to_string()),
        ("ca file beside it", kubeconfig(&with(&without_ca, "certificate-authority", json!("ca.pem")), &user).to_string()),
        ("unverified", kubeconfig(&with(&without_ca, "insecure-skip-tls-verify", json!(true)), &user).to_string()),
        ("another name in the certificate", kubeconfig(&with(&localhost, "tls-server-name", json!("127.0.0.1")), &user).to_string()),
        ("upper case", kubeconfig(&with(&cluster, "server", json!(place.api.replace("https", "HTTPS"))), &user).to_string()),
        ("slash", kubeconfig(&with(&cluster, "server", json!(format!("{}/", place.api))), &user).to_string()),
        ("oidc", kubeconfig(&cluster, &json!({ "auth-provider": { "name": "oidc", "config": { "id-token": place.token } } })).to_string()),
    ] {
        let file = write(folder, "kc/k", &text);
        let output = reach(folder, &file).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", told(&output));
        assert!(!crate::bed::text(&output).contains(&place.token), "{name}: {}", told(&output));
    }

    // Several files: what is missing is passed over, and an empty current context is none.
    let part = |keep: &str| {
        let mut part = plain.clone();
        for key in ["clusters", "users", "contexts"] {
            if key != keep {
                part[key] = Value::Null;
            }
        }
        part["current-context"] = if keep == "contexts" { json!("here") } else { json!("") };
        part
    };
    let parts: Vec<String> = ["clusters", "users", "contexts"]
        .iter()
        .map(|keep| write(folder, &format!("kc/{keep}"), part(keep)).display().to_string())
        .collect();
    let mut command = binary();
    command.current_dir(folder).args(["clean", "--orphans"]);
    let output = command.env("KUBECONFIG", format!(":/no/such/file:{}:", parts.join(":"))).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));

    // Impersonation: the server judges the other user.
    let file = write(folder, "kc/k", kubeconfig(&cluster, &with(&user, "as", json!("system:serviceaccount:no:body"))));
    let output = reach(folder, &file).output().unwrap();
    assert!(text(&output).contains("system:serviceaccount:no:body"), "{}", told(&output));
}

#[test]
fn what_cannot_be_used_is_named_within_seconds() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let folder = lab.folder.path();
    let server = |url: &str| {
        let mut cluster = place.cluster();
        cluster["server"] = json!(url);
        kubeconfig(&cluster, &place.user()).to_string()
    };
    let context = |name: Value| {
        let mut config = kubeconfig(&place.cluster(), &place.user());
        config["current-context"] = name;
        config.to_string()
    };
    let without = |key: &str| {
        let mut config = kubeconfig(&place.cluster(), &place.user());
        config[key] = json!([]);
        config.to_string()
    };
    let user = |user: Value| kubeconfig(&place.cluster(), &user).to_string();
    let ca = |pem: &str| {
        let mut cluster = place.cluster();
        cluster["certificate-authority-data"] = json!(pem);
        kubeconfig(&cluster, &place.user()).to_string()
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = Server::start(|mut stream| async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let kubeconfig_line = format!("kubeconfig {}, context here, user u", folder.join("k").display());
    for (name, text, code, expected) in [
        (
            "refused",
            server(&format!("https://{closed}")),
            7,
            vec![format!("https://{closed}: connection refused"), kubeconfig_line.clone(), "hint: ".to_owned()],
        ),
        (
            "unknown host",
            server("https://api.nowhere.invalid:6443"),
            7,
            vec!["host `api.nowhere.invalid` cannot be resolved".to_owned(), kubeconfig_line.clone()],
        ),
        ("no TLS", server(&format!("https://127.0.0.1:{}", plain.port)), 7, vec!["the answer is not TLS".to_owned(), "hint: ".to_owned()]),
        (
            "http",
            server(&place.api.replace("https", "http")),
            7,
            vec!["without encryption".to_owned(), "cluster_allow_plain_http".to_owned()],
        ),
        (
            "no scheme",
            server(&place.api.replace("https://", "")),
            7,
            vec!["it has no scheme".to_owned(), format!("write {}", place.api.trim_end_matches('/'))],
        ),
        ("login in the URL", server(&format!("https://joe:{SECRET}@127.0.0.1:6443")), 7, vec!["it holds a login".to_owned()]),
        ("port", server("https://127.0.0.1:99999"), 7, vec!["invalid port number".to_owned()]),
        (
            "wrong token",
            user(json!({ "token": SECRET })),
            7,
            vec![
                format!("the login to the cluster at {} was refused (401)", place.api.trim_end_matches('/')),
                kubeconfig_line.clone(),
                "oc login".to_owned(),
            ],
        ),
        ("token with a line end", user(json!({ "token": format!("{SECRET}\nx") })), 7, vec!["cannot be sent".to_owned()]),
        ("token file is gone", user(json!({ "tokenFile": "/no/such/token" })), 7, vec!["/no/such/token".to_owned()]),
        ("basic", user(json!({ "username": "joe", "password": SECRET })), 7, vec!["system:anonymous".to_owned()]),
        (
            "auth-provider",
            user(json!({ "auth-provider": { "name": "azure", "config": { "client-secret": SECRET } } })),
            7,
            vec!["auth-provider `azure`".to_owned(), "exec plugin".to_owned()],
        ),
        ("nobody", user(json!({})), 7, vec!["system:anonymous".to_owned()]),
        ("no context", context(json!("")), 4, vec!["it has no current context".to_owned(), "its contexts are here".to_owned()]),
        ("unknown context", context(json!("there")), 4, vec!["it has no context `there`".to_owned(), "its contexts are here".to_owned()]),
        ("no cluster", without("clusters"), 4, vec!["it has no cluster `c`".to_owned()]),
        ("no user", without("users"), 4, vec!["it has no user `u`".to_owned()]),
        ("CA", ca("bm9uc2Vuc2U="), 4, vec!["holds no certificate".to_owned()]),
        ("CA, not base64", ca("%%%"), 4, vec!["not base64".to_owned()]),
        ("empty", String::new(), 4, vec!["it has no current context".to_owned(), "it has no contexts".to_owned()]),
        ("a list", format!("- {SECRET}\n"), 4, vec!["not valid YAML of a kubeconfig".to_owned()]),
        ("binary", format!("\0\u{1}{SECRET}"), 4, vec!["not valid YAML of a kubeconfig".to_owned()]),
        ("tabs", format!("users:\n\t- {SECRET}"), 4, vec!["not valid YAML of a kubeconfig".to_owned()]),
        ("wrong type", format!("users: {SECRET}"), 4, vec!["not valid YAML of a kubeconfig".to_owned()]),
    ] {
        let file = write(folder, "k", &text);
        let output = reach(folder, &file).output().unwrap();
        let said = crate::bed::text(&output);
        assert_eq!(output.status.code(), Some(code), "{name}: {}", told(&output));
        for words in expected {
            assert!(said.contains(&words), "{name} does not say `{words}`: {said}");
        }
        assert!(!said.contains(SECRET), "{name}: {said}");
    }

    // A directory and a pipe are not read; a file that is not there is a mistake of the command line.
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
    for (file, expected) in [
        (folder.to_owned(), "it is a folder, not a file"),
        (folder.join("pipe"), "not a regular file"),
        (folder.join("gone"), "no such file"),
    ] {
        let output = reach(folder, &file).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", told(&output));
        assert!(text(&output).contains(expected) && text(&output).contains(&file.display().to_string()), "{}", told(&output));
    }
    // `run` says the same, before it makes a folder for results.
    for (options, expected) in
        [(&["--kubeconfig", "gone"][..], "kubeconfig gone does not exist"), (&["--context", "there"], "it has no context `there`")]
    {
        let mut run = binary();
        run.current_dir(folder).args(["run", "--providers", "lab/providers.toml", "--provider", "vsphere", "sanity-cold"]).args(options);
        let output = run.env("KUBECONFIG", "lab/kubeconfig").output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", told(&output));
        assert!(text(&output).contains(expected), "{}", told(&output));
    }
    assert!(!folder.join("mtv-test-results").exists());

    // Said once for the run, with everything that helps, and not as the reason of each scenario only.
    let file = write(folder, "k", server(&format!("https://{closed}")));
    let mut run = binary();
    run.current_dir(folder).args(["run", "--providers", "lab/providers.toml", "--provider", "vsphere", "--kubeconfig"]).arg(&file);
    let output = run.args(["sanity-cold", "--results-dir", "r"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    let summary = String::from_utf8_lossy(&output.stdout);
    assert!(summary.contains(&kubeconfig_line) && summary.contains("hint: check the address"), "{summary}");
}

#[test]
fn logins_in_addresses_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let secret = format!("https://joe:{SECRET}@h.invalid");
    for setting in ["cluster_host", "jira_url"] {
        let output = binary().current_dir(folder.path()).args(["config", "--set", &format!("{setting}={secret}")]).output().unwrap();
        assert!(text(&output).contains("https://h.invalid") && !text(&output).contains(SECRET), "{}", told(&output));
    }
    for (host, expected) in [
        (secret.as_str(), "it holds a login"),
        ("joe:s3cr3t-0f-kubeconfig@h.invalid", "it holds a login"),
        ("https://h.invalid:99999", "invalid port number"),
        ("http://h.invalid", "cluster_allow_plain_http"),
        ("ftp://h.invalid", "unknown scheme `ftp`"),
    ] {
        let mut run = binary();
        run.current_dir(folder.path()).args(["must-gather", "--set", "cluster_username=joe", "--set", &format!("cluster_host={host}")]);
        let output = run.env("MTV_TEST_CLUSTER_PASSWORD", "x-0f-test").output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", told(&output));
        assert!(text(&output).contains(expected) && !text(&output).contains(SECRET), "{}", told(&output));
    }
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}
