//! With what a Provider logs in.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use crate::forklift::{cluster::Look, provider::secret_text};

/// URL, Secret and settings of a Provider.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// `spec.url`.
    pub url: String,
    /// `spec.settings`.
    pub settings: BTreeMap<String, String>,
    /// Namespace of the Provider.
    pub namespace: String,
    secret: BTreeMap<String, String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Login {
    /// Reads a Provider and its Secret; the cluster that Forklift runs on has none.
    pub fn read(provider: &Value, secret: Option<&Value>) -> Self {
        let keys = secret.and_then(|s| s.get("data")).and_then(Value::as_object);
        let text = |key: &str| secret.and_then(|s| secret_text(s, key)).filter(|value| !value.is_empty());
        let settings = provider.pointer("/spec/settings").and_then(Value::as_object);
        Self {
            url: provider.text("/spec/url").to_owned(),
            settings: settings.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
            namespace: provider.text("/metadata/namespace").to_owned(),
            secret: keys.into_iter().flatten().filter_map(|(key, _)| Some((key.clone(), text(key)?))).collect(),
        }
    }

    /// A value of the Secret that is there and not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.secret.get(key).map(String::as_str)
    }

    /// A value of the Secret, empty if there is none.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// Whether the user wants no certificate verified.
    pub fn insecure(&self) -> bool {
        self.get("insecureSkipVerify") == Some("true")
    }

    /// PEM certificates to trust: the new key, else the old one.
    pub fn ca(&self) -> Option<&str> {
        self.get("ca.crt").or_else(|| self.get("cacert"))
    }

    /// Which of these keys the Secret lacks.
    pub fn lacks(&self, keys: &[&str]) -> Vec<String> {
        keys.iter().filter(|key| self.get(key).is_none()).map(|key| (*key).to_owned()).collect()
    }

    /// Which of these keys the Secret lacks, and the certificate unless the user wants none verified.
    pub fn lacks_with_ca(&self, keys: &[&str]) -> Vec<String> {
        let mut missing = self.lacks(keys);
        if !self.insecure() && self.ca().is_none() {
            missing.push("ca.crt".to_owned());
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::json;

    use super::*;

    fn login(pairs: &[(&str, &str)]) -> Login {
        let data: serde_json::Map<String, Value> = pairs.iter().map(|(k, v)| ((*k).to_owned(), json!(STANDARD.encode(v)))).collect();
        Login::read(&json!({ "spec": { "url": "https://vc/sdk", "type": "vsphere" } }), Some(&json!({ "data": data })))
    }

    #[test]
    fn missing_keys_are_named() {
        let keys = ["user", "password"];
        assert_eq!(login(&[("insecureSkipVerify", "true")]).lacks_with_ca(&keys), keys);
        assert_eq!(login(&[("user", "a"), ("password", "b")]).lacks_with_ca(&keys), ["ca.crt"]);
        assert_eq!(login(&[("user", "a"), ("password", "")]).lacks(&keys), ["password"]);
        let whole = login(&[("user", "a"), ("password", "b"), ("cacert", "PEM")]);
        assert!(whole.lacks_with_ca(&keys).is_empty());
        assert_eq!(whole.ca(), Some("PEM"));
    }

    #[test]
    fn debug_hides_the_password() {
        assert!(!format!("{:?}", login(&[("password", "hunter2")])).contains("hunter2"));
    }
}
