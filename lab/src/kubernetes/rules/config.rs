//! ConfigMaps and Secrets.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    super::{meta, status::Cause},
    default, immutable,
};

/// The defaults of a secret; text becomes data.
pub fn fill_secret(object: &mut Value) {
    default(object, "/type", "Opaque".into());
    if let Some(Value::Object(texts)) = object.as_object_mut().and_then(|map| map.shift_remove("stringData")) {
        default(object, "/data", json!({}));
        for (key, text) in texts {
            let text = text.as_str().unwrap_or_default();
            object["data"][key] = BASE64_STANDARD.encode(text).into();
        }
    }
}

fn keys(object: &Value, field: &str, causes: &mut Vec<Cause>) {
    for key in object[field].as_object().into_iter().flatten().map(|(key, _)| key.as_str()) {
        causes.extend(meta::config_key(key).iter().map(|problem| Cause::invalid(format!("{field}[{key}]"), &key.into(), problem)));
        if field == "data" && !object["binaryData"][key].is_null() {
            causes.push(Cause::invalid(format!("data[{key}]"), &key.into(), "duplicate of key present in binaryData"));
        }
    }
}

fn sealed(old: Option<&Value>, object: &Value, fields: &[&str], causes: &mut Vec<Cause>) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    let detail = "field is immutable when `immutable` is set";
    if object["immutable"] != true {
        causes.push(Cause::forbidden("immutable", detail));
    }
    for field in fields.iter().filter(|field| old[**field] != object[**field]) {
        causes.push(Cause::forbidden(*field, detail));
    }
}

/// What is wrong with a ConfigMap.
pub fn validate_map(old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    sealed(old, object, &["data", "binaryData"], causes);
    for field in ["data", "binaryData"] {
        keys(object, field, causes);
    }
}

/// What is wrong with a Secret.
pub fn validate_secret(old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    if let Some(old) = old {
        immutable("type", &old["type"], &object["type"], causes);
        sealed(Some(old), object, &["data"], causes);
    }
    keys(object, "data", causes);
    let needed: &[&str] = match object["type"].as_str().unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let account = object["metadata"]["annotations"]["kubernetes.io/service-account.name"].as_str().unwrap_or_default();
            if account.is_empty() {
                causes.push(Cause::required("metadata.annotations[kubernetes.io/service-account.name]", ""));
            }
            &[]
        }
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        // One of the two is enough.
        "kubernetes.io/basic-auth" if object["data"]["username"].is_null() && object["data"]["password"].is_null() => {
            &["username", "password"]
        }
        _ => &[],
    };
    for key in needed.iter().filter(|key| object["data"][**key].is_null()) {
        causes.push(Cause::required(format!("data[{key}]"), ""));
    }
    let json = ["kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"].contains(&object["type"].as_str().unwrap_or_default());
    for key in needed.iter().filter(|_| json) {
        let decoded = object["data"][*key].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
        if let Some(bytes) = decoded
            && let Err(why) = super::super::syntax::check(&bytes)
        {
            causes.push(Cause::invalid(format!("data[{key}]"), &"<secret contents redacted>".into(), &why));
        }
    }
}
