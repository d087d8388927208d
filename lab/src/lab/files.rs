//! What clients are given: kubeconfig, provider profiles, tokens.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::LabInfo;
use crate::datacenter::{DataCenter, Login};

/// A bearer token that nobody guesses: 128 random bits behind OpenShift's prefix.
pub(crate) fn token() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(bytes.iter().fold("sha256~".to_owned(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    }))
}

/// A kubeconfig, as YAML that every client reads.
pub(super) fn kubeconfig(url: &str, ca: &str, user: &str, token: &str) -> String {
    let ca = STANDARD.encode(ca);
    let user = serde_json::Value::from(user);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\nclusters:\n- name: lab\n  cluster:\n    server: {url}\n    certificate-authority-data: {ca}\n\
         contexts:\n- name: lab\n  context:\n    cluster: lab\n    user: {user}\n    namespace: default\nusers:\n- name: {user}\n  user:\n    token: {token}\n"
    )
}

/// The profiles of all sources that run.
pub(super) fn providers(model: &DataCenter, info: &LabInfo) -> String {
    let mut text = "# Profiles of the lab's sources; they hold while this lab runs.\n".to_owned();
    let Some(url) = &info.vsphere else { return text };
    let guest = |family: &str| model.guests.values().find(|g| g.family == family).map(|g| g.login.clone()).unwrap_or_default();
    let Login { user, password } = &model.vsphere.login;
    let (linux, windows) = (guest("linux"), guest("windows"));
    text.push_str("\n[provider.vsphere]\n");
    for (key, value) in [
        ("type", "vsphere"),
        ("version", model.vsphere.version.as_str()),
        ("api_url", url.as_str()),
        ("username", user.as_str()),
        ("password", password.as_str()),
        ("vddk_init_image", "lab.invalid/vddk:8.0.3"),
        ("guest_vm_linux_user", linux.user.as_str()),
        ("guest_vm_linux_password", linux.password.as_str()),
        ("guest_vm_win_user", windows.user.as_str()),
        ("guest_vm_win_password", windows.password.as_str()),
    ] {
        if !value.is_empty() {
            let _infallible = writeln!(text, "{key} = {}", toml::Value::from(value));
        }
    }
    let _infallible = writeln!(text, "ca_pem = '''\n{}'''", info.ca_pem);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datacenter::DEFAULT;

    #[test]
    fn profiles_are_toml_whatever_the_passwords() {
        let mut model = DataCenter::parse(DEFAULT).unwrap();
        model.vsphere.login.password = "a\"b'c\\d\n".to_owned();
        let info = LabInfo {
            api: String::new(),
            inventory: String::new(),
            vsphere: Some("https://127.0.0.1:1/sdk".to_owned()),
            faults: None,
            ca_pem: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned(),
            time_scale: 1.0,
            mtv_namespace: String::new(),
            storage_classes: Vec::new(),
            roles: Vec::new(),
        };
        let read: toml::Table = toml::from_str(&providers(&model, &info)).unwrap();
        let profile = read["provider"]["vsphere"].as_table().unwrap();
        assert_eq!(profile["password"].as_str(), Some("a\"b'c\\d\n"));
        assert_eq!(profile["ca_pem"].as_str(), Some(info.ca_pem.as_str()));
        assert_eq!(profile["guest_vm_win_user"].as_str(), Some("Administrator"));
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token().unwrap(), token().unwrap());
    }
}
