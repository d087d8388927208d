//! SSH keys on ESXi hosts: only whole lines that the run wrote go.

use std::{fs, process::Stdio};

use mtv_test::{
    config::profile::GuestLogin,
    guest::{Output, Ssh},
    journal::{self, Entry},
    secrets::Secret,
};
use serde_json::{Value, json};

use crate::{
    bed::{clean, cluster_id},
    craft::{Crafted, RUN},
    support::{Lab, told},
    traces::wait_for_folder,
};

/// Keys of people.
const ADMIN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f admin";
const BACKUP: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA backup";
/// Where they are.
const FILE: &str = "/etc/ssh/keys-root/authorized_keys";

/// Runs a command on the lab's ESXi host.
async fn on_host(lab: &Lab, command: &str) -> Output {
    let file: toml::Table = toml::from_str(&fs::read_to_string(lab.path("lab/providers.toml")).unwrap()).unwrap();
    let offload = file["provider"]["vsphere"]["copyoffload"].as_table().unwrap();
    let text = |key: &str| offload[key].as_str().unwrap().to_owned();
    let stream = tokio::net::TcpStream::connect(text("esxi_ssh_address")).await.unwrap();
    let login = GuestLogin { user: text("esxi_user"), password: Secret::new(text("esxi_password")) };
    let ssh = Ssh::connect(stream, &login).await.unwrap();
    let output = ssh.run(command).await.unwrap();
    ssh.close().await;
    output
}

async fn keys(lab: &Lab) -> String {
    on_host(lab, &format!("cat {FILE}")).await.stdout
}

fn entry(key: &str) -> Value {
    json!({"type": "authorized_key", "profile": "vsphere", "host": "esxi-0", "key": key})
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_others_stay_whatever_a_file_says() {
    let lab = Lab::start(&["--time-scale", "100"]);
    let id = cluster_id(&lab.client().await).await;
    // One of the foreign lines is forced to a command, as the tool's are.
    let theirs = format!("{ADMIN}\ncommand=\"/bin/backup\",no-port-forwarding {BACKUP}\n");
    let put = format!("mkdir -p /etc/ssh/keys-root && printf '{}' > {FILE}", theirs.replace('\n', "\\n"));
    assert_eq!(on_host(&lab, &put).await.status, Some(0));
    assert_eq!(keys(&lab).await, theirs);
    let blob = ADMIN.split(' ').nth(1).unwrap();
    for (key, refused) in [
        ("ssh-rsa A", true),
        ("ssh-rsa AAAA", true),
        ("ssh-ed25519 =", true),
        ("x ssh", true),
        (&format!("ssh-rsa {blob}"), true),
        (&format!("{ADMIN}\n{BACKUP}"), true),
        (ADMIN, false),
        (BACKUP, false),
        (&format!("ssh-ed25519 {blob}"), false),
    ] {
        let mut journal = Crafted::new(RUN, Some(&id));
        journal.created(&entry(key), "esxi-0");
        journal.write(&lab.path("crafted.json"));
        let dry = clean(&lab, &["crafted.json", "--dry-run"]);
        assert!(!told(&dry).contains("would delete"), "{key}: {}", told(&dry));
        let done = clean(&lab, &["crafted.json"]);
        assert_eq!(done.status.code(), Some(if refused { 8 } else { 0 }), "{key}: {}", told(&done));
        assert_eq!(refused, told(&done).contains("is not a public key"), "{key}: {}", told(&done));
        assert_eq!(keys(&lab).await, theirs, "{key}");
    }

    // The same beside a key that a run really let in: its own line goes and the others stay.
    let mut run = lab.run_into("results", &["copyoffload-thin"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (folder, run_id) = wait_for_folder(&mut run, &lab.path("results"));
    let path = folder.join("resources.json");
    let let_in = || {
        let records = journal::read(&path).ok()?.records;
        records.into_iter().find_map(|record| match record.entry {
            Entry::AuthorizedKey { key, .. } if record.state == journal::State::Created => Some(key),
            _ => None,
        })
    };
    let key = loop {
        if let Some(key) = let_in() {
            break key;
        }
        assert!(run.try_wait().unwrap().is_none(), "the run ended before it had let its key in");
        tokio::task::yield_now().await;
    };
    run.kill().unwrap();
    run.wait().unwrap();
    let now = keys(&lab).await;
    assert!(now.starts_with(&theirs) && now.contains(&key) && now.contains(&run_id), "{now}");
    // Another run does not take it, although it knows the key; nor does its own run take a line of somebody with the key in it.
    let mut other = Crafted::new(RUN, Some(&id));
    other.created(&entry(&key), "esxi-0");
    other.write(&lab.path("crafted.json"));
    let done = clean(&lab, &["crafted.json"]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(keys(&lab).await, now);
    assert_eq!(on_host(&lab, &format!("printf '%s\\n' 'from=\"10.0.0.1\" {key}' >> {FILE}")).await.status, Some(0));
    let dry = clean(&lab, &[folder.to_str().unwrap(), "--dry-run"]);
    assert!(told(&dry).contains("would delete SSH key on "), "{}", told(&dry));
    let done = clean(&lab, &[folder.to_str().unwrap()]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(keys(&lab).await, format!("{theirs}from=\"10.0.0.1\" {key}\n"), "{}", told(&done));
}
