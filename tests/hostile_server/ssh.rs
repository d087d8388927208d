//! The SSH server of an ESXi host that is not the right one, or prints without an end.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
};

use russh::{
    Channel, ChannelId, MethodKind, MethodSet,
    keys::{Algorithm, HashAlg, PrivateKey},
    server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, run_stream},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use crate::{
    bed::{Bed, judge, mtv_test, told},
    lab::Lab,
};

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prints {
    Nothing,
    /// Without an end, to standard output or standard error.
    Endless(Option<u32>),
}

struct Host {
    prints: Prints,
    /// Passwords that somebody has sent.
    passwords: Arc<Mutex<Vec<String>>>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Handler for Host {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        self.passwords.lock().unwrap().push(password.to_owned());
        Ok(Auth::Accept)
    }

    async fn channel_open_session(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, _: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(id)?;
        match (self.prints, self.channels.remove(&id)) {
            (Prints::Endless(stream), Some(channel)) => {
                tokio::spawn(async move {
                    let mut writer = channel.make_writer_ext(stream);
                    let piece = vec![b'x'; 32 * 1024];
                    while writer.write_all(&piece).await.is_ok() {}
                });
            }
            _ => {
                session.exit_status_request(id, 0)?;
                session.eof(id)?;
                session.close(id)?;
            }
        }
        Ok(())
    }
}

/// A server of its own; its address, the fingerprint of its key, and the passwords that it is sent.
async fn serve(prints: Prints) -> (String, String, Arc<Mutex<Vec<String>>>) {
    let mut seed = [0; 32];
    getrandom(&mut seed);
    let key = PrivateKey::from(russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&seed));
    assert_eq!(key.algorithm(), Algorithm::Ed25519);
    let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
    let config = Arc::new(Config { keys: vec![key], methods: MethodSet::from(&[MethodKind::Password][..]), ..Config::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let passwords = Arc::<Mutex<Vec<String>>>::default();
    let seen = passwords.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let host = Host { prints, passwords: seen.clone(), channels: HashMap::new() };
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = run_stream(config, stream, host).await {
                    let _gone = session.await;
                }
            });
        }
    });
    (address, fingerprint, passwords)
}

/// Another key in every test.
fn getrandom(seed: &mut [u8; 32]) {
    use std::{collections::hash_map::RandomState, hash::BuildHasher as _};
    for part in seed.chunks_mut(8) {
        part.copy_from_slice(&RandomState::new().hash_one(0).to_le_bytes());
    }
}

/// A run that lets MTV's key into the host, whose key the profile names, or not.
fn run(bed: &Bed, lab: &Lab, name: &str, address: &str, key: Option<&str>) -> (std::process::Output, String) {
    let place = bed.place(name);
    let lines = lab.profiles();
    let mut text: String = lines.lines().filter(|line| !line.starts_with("esxi_ssh_host_key")).map(|line| format!("{line}\n")).collect();
    if let Some(key) = key {
        text = text.replace("esxi_clone_method = \"ssh\"\n", &format!("esxi_clone_method = \"ssh\"\nesxi_ssh_host_key = \"{key}\"\n"));
        assert!(text.contains(key), "the lab's profile has changed");
    }
    fs::write(place.join("providers.toml"), text).unwrap();
    let mut command = mtv_test(&place);
    command.args(["run", "copyoffload-thin", "--provider", "vsphere", "--providers", "providers.toml", "--kubeconfig", &lab.kubeconfig()]);
    command.args(["--results-dir", "results", "--skip-data-collector"]).env("COPYOFFLOAD_ESXI_SSH_ADDRESS", address);
    let output = command.output().unwrap();
    let junit = fs::read_to_string(place.join("results/latest/junit-report.xml")).unwrap();
    (output, junit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_key_is_judged_before_a_password_is_sent() {
    let (bed, lab) = (Bed::new(), Lab::start());
    let wrong = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let (address, fingerprint, passwords) = serve(Prints::Nothing).await;
    let (output, junit) = run(&bed, &lab, "wrong-key", &address, Some(wrong));
    judge(&output, &[&address, &fingerprint, wrong]).unwrap();
    assert!(passwords.lock().unwrap().is_empty(), "the password was sent to a host with another key");
    assert!(!junit.contains("ssh_host_key_unverified"), "{junit}");

    // The right key, in whichever form.
    let (output, junit) = run(&bed, &lab, "right-key", &address, Some(&fingerprint));
    judge(&output, &[&address]).unwrap();
    assert!(!passwords.lock().unwrap().is_empty() && !told(&output).contains("trusted on first use"), "{}", told(&output));
    assert!(!junit.contains("ssh_host_key_unverified"), "{junit}");

    // None: trusted on first use, and reported.
    let (output, junit) = run(&bed, &lab, "no-key", &address, None);
    judge(&output, &["trusted on first use", &fingerprint, "esxi_ssh_host_key"]).unwrap();
    assert!(junit.contains("name=\"ssh_host_key_unverified\"") && junit.contains(&fingerprint), "{junit}");
    let events = fs::read_to_string(bed.folder.path().join("no-key/results/latest/events.ndjson")).unwrap();
    assert!(events.contains("ssh_host_key_unverified"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_prints_without_an_end_is_an_error() {
    let (bed, lab) = (Bed::new(), Lab::start());
    for (name, prints) in [("stdout", Prints::Endless(None)), ("stderr", Prints::Endless(Some(1)))] {
        let (address, _, _) = serve(prints).await;
        let (output, _) = run(&bed, &lab, name, &address, None);
        judge(&output, &[&address, "printed more than 1 MiB"]).unwrap();
    }
}
