//! Their client, our server.

use std::{fs, net::SocketAddr, path::PathBuf, process::Output, sync::Arc};

use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    guests::{Files, Guest, host_key},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command, task::JoinHandle};

use crate::support::{installed, key_pair};

/// A guest that listens on a port of this machine.
struct Listening {
    folder: TempDir,
    address: SocketAddr,
    user: String,
    password: String,
    key: PathBuf,
    serving: JoinHandle<()>,
}

impl Listening {
    async fn start(name: &str) -> Option<Self> {
        if !installed() {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let key = key_pair(folder.path(), "key", "ed25519");
        let mut model = DataCenter::parse(DEFAULT).unwrap().guests.remove(name).unwrap();
        model.authorized_keys.push(fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned());
        let (user, password) = (model.login.user.clone(), model.login.password.clone());
        let host_key = host_key(b"openssh", "disk").unwrap();
        let guest = Arc::new(Guest {
            model,
            interfaces: vec![],
            disks: vec![],
            clock: Clock::new(100.0),
            host_key: host_key.clone(),
            ssh: None,
            files: Files::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // The client checks the host key, so that it is seen to be the same one at every connection.
        let known = format!("[127.0.0.1]:{} {}\n", address.port(), host_key.public_key().to_openssh().unwrap());
        fs::write(folder.path().join("known_hosts"), known).unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&guest).serve(stream));
            }
        });
        Some(Self { folder, address, user, password, key, serving })
    }

    /// Runs `ssh` with more options and a command.
    async fn ssh(&self, password: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "NumberOfPasswordPrompts=1"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.folder.path().join("known_hosts").display()));
        command.args(["-l", &self.user, "-p", &self.address.port().to_string()]);
        match password {
            None => command.arg("-i").arg(&self.key).args(["-o", "BatchMode=yes"]),
            Some(password) => {
                use std::os::unix::fs::PermissionsExt as _;
                let asker = self.folder.path().join("ask");
                fs::write(&asker, "#!/bin/sh\nprintf '%s\\n' \"$ANSWER\"\n").unwrap();
                fs::set_permissions(&asker, fs::Permissions::from_mode(0o700)).unwrap();
                command.env("SSH_ASKPASS", asker).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0").env("ANSWER", password);
                command.args(["-o", "PubkeyAuthentication=no", "-i", "none"])
            }
        };
        let output = command.arg("127.0.0.1").args(arguments).stdin(std::process::Stdio::null()).kill_on_drop(true).output();
        tokio::time::timeout(std::time::Duration::from_mins(1), output).await.unwrap().unwrap()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

pub async fn a_key_logs_in_and_commands_answer() {
    let Some(guest) = Listening::start("rhel8").await else { return };
    let output = guest.ssh(None, &["uname -s; cat /none; exit 7"]).await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(7), "Linux\n"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("/none"), "{}", text(&output.stderr));
    let output = guest.ssh(None, &["sleep 5 && hostname"]).await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "mtv-rhel8\n"));
    assert_eq!(guest.ssh(None, &["frobnicate"]).await.status.code(), Some(127));
}

pub async fn passwords_log_in_by_both_methods_and_wrong_ones_do_not() {
    let Some(guest) = Listening::start("rhel9").await else { return };
    for method in ["password", "keyboard-interactive"] {
        let option = format!("PreferredAuthentications={method}");
        let output = guest.ssh(Some(&guest.password), &["-o", &option, "whoami"]).await;
        assert_eq!(text(&output.stdout).trim(), guest.user, "{method}: {}", text(&output.stderr));
        let output = guest.ssh(Some("wrong"), &["-o", &option, "whoami"]).await;
        assert_eq!(output.status.code(), Some(255));
        assert!(text(&output.stderr).contains("Permission denied"), "{method}: {}", text(&output.stderr));
    }
}

pub async fn windows_answers_too() {
    let Some(guest) = Listening::start("win2019").await else { return };
    let output = guest.ssh(Some(&guest.password), &["ver"]).await;
    assert!(text(&output.stdout).contains("10.0.17763"), "{}{}", text(&output.stdout), text(&output.stderr));
}

pub async fn no_terminal_and_no_subsystem() {
    let Some(guest) = Listening::start("rhel8").await else { return };
    for arguments in [&["-T"][..], &["-s", "sftp"]] {
        let output = guest.ssh(None, arguments).await;
        assert_eq!(output.status.code(), Some(255), "{arguments:?}");
        assert!(text(&output.stderr).contains("failed on channel"), "{arguments:?}: {}", text(&output.stderr));
    }
}
