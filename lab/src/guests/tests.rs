use std::sync::Arc;

use russh::{
    ChannelMsg,
    client::{self, AuthResult},
    keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate},
};

use super::*;
use crate::datacenter::{DEFAULT, DataCenter};

struct Client {
    host_key: PrivateKey,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        Ok(key.key_data() == self.host_key.public_key().key_data())
    }
}

fn guest(name: &str) -> Guest {
    let model = DataCenter::parse(DEFAULT).unwrap().guests.remove(name).unwrap();
    let interface = Interface {
        name: "enp1s0".to_owned(),
        mac: "00:50:56:aa:bb:cc".to_owned(),
        addresses: vec!["172.20.6.10/16".to_owned()],
        fixed: true,
        gateway: Some("172.20.0.1".to_owned()),
    };
    Guest {
        model,
        interfaces: vec![interface],
        disks: vec![Disk { size: 1 << 34, serial: "abc".to_owned() }],
        clock: Clock::new(1000.0),
        host_key: host_key(b"test", "pvc:1").unwrap(),
        ssh: None,
        files: Files::default(),
    }
}

async fn connect(guest: Guest) -> client::Handle<Client> {
    let (here, there) = tokio::io::duplex(1 << 16);
    let host_key = guest.host_key.clone();
    tokio::spawn(Arc::new(guest).serve(there));
    client::connect_stream(Arc::default(), here, Client { host_key }).await.unwrap()
}

async fn exec(session: &client::Handle<Client>, command: &str) -> Output {
    let mut channel = session.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    let mut output = Output { code: u32::MAX, ..Output::default() };
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => output.out.push_str(&String::from_utf8_lossy(&data)),
            ChannelMsg::ExtendedData { data, .. } => output.err.push_str(&String::from_utf8_lossy(&data)),
            ChannelMsg::ExitStatus { exit_status } => output.code = exit_status,
            _ => {}
        }
    }
    output
}

#[tokio::test]
async fn commands_come_back_with_both_streams_and_status() {
    let mut session = connect(guest("rhel8")).await;
    assert!(!session.authenticate_password("root", "wrong").await.unwrap().success());
    assert!(session.authenticate_password("root", "lab-linux").await.unwrap().success());
    assert_eq!(exec(&session, "echo test").await, Output::ok("test\n"));
    let mixed = exec(&session, "echo out; cat /none; exit 7; echo never").await;
    assert_eq!((mixed.out.as_str(), mixed.code), ("out\n", 7));
    assert!(mixed.err.contains("/none"));
    assert_eq!(exec(&session, "frobnicate").await.code, 127);
    assert_eq!(exec(&session, "sleep 1 && hostname").await.out, "mtv-rhel8\n");
}

#[tokio::test]
async fn a_listed_key_logs_in_and_another_does_not() {
    let (mine, other) = (host_key(b"a", "me").unwrap(), host_key(b"a", "you").unwrap());
    let mut guest = guest("rhel9");
    guest.model.authorized_keys.push(mine.public_key().to_openssh().unwrap());
    let mut session = connect(guest).await;
    let with = |key| PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let refused = session.authenticate_publickey("root", with(other)).await.unwrap();
    assert!(matches!(refused, AuthResult::Failure { .. }));
    assert!(session.authenticate_publickey("root", with(mine)).await.unwrap().success());
}

#[tokio::test]
async fn linux_tells_its_network_and_disks() {
    let guest = guest("rhel9");
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let addresses = parse(&guest.run("ip -j addr").await.out);
    assert_eq!(addresses[1]["address"], "00:50:56:aa:bb:cc");
    assert_eq!(addresses[1]["addr_info"][0]["local"], "172.20.6.10");
    assert_eq!(addresses[1]["addr_info"][0]["prefixlen"], 16);
    assert!(parse(&guest.run("ip -j link").await.out)[1].get("addr_info").is_none());
    assert_eq!(parse(&guest.run("lsblk -J -b").await.out)["blockdevices"][0]["size"], 1_u64 << 34);
    let text = guest.run("nmcli device show").await.out;
    assert!(text.contains("GENERAL.HWADDR:") && text.contains("IP4.ADDRESS[1]:"), "{text}");
    assert!(guest.run("cat /etc/os-release").await.out.contains("VERSION_ID=\"9.6\""));
    assert_eq!(guest.run("false || uname -s").await.out, "Linux\n");
}

#[tokio::test]
async fn windows_tells_its_network() {
    let guest = guest("win2019");
    let text = guest.run("ipconfig /all").await.out;
    assert!(text.contains("00-50-56-AA-BB-CC") && text.contains("172.20.6.10(Preferred)") && text.contains("255.255.0.0"), "{text}");
    assert!(guest.run("ver").await.out.contains("10.0.17763"));
    assert_eq!(guest.run("cmd /c \"exit 3\"").await.code, 3);
    assert_eq!(guest.run("ls").await.code, 1);
}
