//! What clients are given: kubeconfig, provider profiles, tokens.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::sources::Served;
use crate::datacenter::DataCenter;

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

/// The profiles of all sources that run. The certificate authority stands in those that have TLS.
pub(super) fn providers(model: &DataCenter, sources: &[Served], ca: &str) -> String {
    let mut text = "# Profiles of the lab's sources; they hold while this lab runs.\n".to_owned();
    let guest = |family: &str| model.guests.values().find(|g| g.family == family).map(|g| g.login.clone()).unwrap_or_default();
    let (linux, windows) = (guest("linux"), guest("windows"));
    for source in sources {
        let _infallible = writeln!(text, "\n[provider.{}]", source.profile);
        let common = [
            ("api_url", &source.url),
            ("guest_vm_linux_user", &linux.user),
            ("guest_vm_linux_password", &linux.password),
            ("guest_vm_win_user", &windows.user),
            ("guest_vm_win_password", &windows.password),
        ];
        for (key, value) in source.keys.iter().map(|(key, value)| (*key, value)).chain(common) {
            if !value.is_empty() {
                let _infallible = writeln!(text, "{key} = {}", toml::Value::from(value.as_str()));
            }
        }
        if source.url.starts_with("https://") {
            let ca = source.ca.as_deref().unwrap_or(ca);
            let _infallible = writeln!(text, "ca_pem = '''\n{ca}'''");
        }
        for (name, keys) in &source.tables {
            let _infallible = writeln!(text, "[provider.{}.{name}]", source.profile);
            for (key, value) in keys.iter().filter(|(_, value)| value.as_str() != Some("")) {
                let _infallible = writeln!(text, "{key} = {value}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datacenter::DEFAULT;

    #[test]
    fn profiles_are_toml_whatever_the_passwords() {
        let model = DataCenter::parse(DEFAULT).unwrap();
        let ca = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        let keys = vec![("type", "vsphere".to_owned()), ("password", "a\"b'c\\d\n".to_owned())];
        let source = Served { profile: "vsphere", url: "https://127.0.0.1:1/sdk".to_owned(), keys, tables: Vec::new(), ca: None };
        let tables = vec![("copyoffload", vec![("esxi_user".to_owned(), toml::Value::from("root"))])];
        let share = Served { profile: "ova", url: "nfs.lab:/ova".to_owned(), keys: vec![("type", "ova".to_owned())], tables, ca: None };
        let read: toml::Table = toml::from_str(&providers(&model, &[source, share], ca)).unwrap();
        assert!(read["provider"]["ova"].get("ca_pem").is_none());
        assert_eq!(read["provider"]["ova"]["copyoffload"]["esxi_user"].as_str(), Some("root"));
        let profile = read["provider"]["vsphere"].as_table().unwrap();
        assert_eq!(profile["password"].as_str(), Some("a\"b'c\\d\n"));
        assert_eq!(profile["ca_pem"].as_str(), Some(ca));
        assert_eq!(profile["guest_vm_win_user"].as_str(), Some("Administrator"));
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token().unwrap(), token().unwrap());
    }
}
