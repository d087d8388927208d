//! Key pairs of the user.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Method, StatusCode};
use russh::keys::{
    PrivateKey,
    ssh_key::{
        LineEnding,
        private::{Ed25519Keypair, KeypairData},
    },
};
use serde_json::{Value, json};

use super::super::{
    Cloud,
    identity::USER,
    model::{KeyPair, Model},
    paging,
    reply::{Answered, Ask, Fault, Reply, Service},
};

fn shown(pair: &KeyPair, minor: u32, whole: bool) -> Value {
    let mut out = json!({ "name": pair.name, "public_key": pair.public_key, "fingerprint": pair.fingerprint });
    if minor >= 2 {
        out["type"] = json!("ssh");
    }
    if whole {
        let created = pair.created.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string();
        for (key, value) in [
            ("id", json!(1)),
            ("user_id", json!(USER)),
            ("created_at", json!(created)),
            ("updated_at", Value::Null),
            ("deleted", json!(false)),
            ("deleted_at", Value::Null),
        ] {
            out[key] = value;
        }
    }
    json!({ "keypair": out })
}

/// MD5 of what a line of `authorized_keys` holds, as Nova tells it; none if the line holds no key.
fn fingerprint(line: &str) -> Option<String> {
    let mut parts = line.split_whitespace();
    let (kind, data) = (parts.next()?, BASE64_STANDARD.decode(parts.next()?).ok()?);
    let named = u32::from_be_bytes(data.get(..4)?.try_into().ok()?) as usize;
    if data.get(4..4 + named)? != kind.as_bytes() {
        return None;
    }
    let bytes = md5::compute(&data).0;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// Answers a request; the path begins after `os-keypairs`.
pub fn answer(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    let missing = |name: &str| Fault::new(StatusCode::NOT_FOUND, format!("Keypair {name} not found for user {USER}"));
    match (ask.method, rest) {
        (&Method::GET, []) => {
            let all = model.keys.values().map(|pair| shown(pair, ask.minor, false)).collect();
            paging::page(Service::Compute, &cloud.inner.address, "keypairs", all, ask, |pair| pair)
        }
        (&Method::GET, [name]) => model.keys.get(*name).map(|pair| Reply::ok(shown(pair, ask.minor, true))).ok_or_else(|| missing(name)),
        (&Method::POST, []) => create(model, ask),
        (&Method::DELETE, [name]) => {
            let status = if ask.minor >= 2 { StatusCode::NO_CONTENT } else { StatusCode::ACCEPTED };
            model.keys.remove(*name).map(|_| Reply::empty(status)).ok_or_else(|| missing(name))
        }
        _ => Err(Fault::no_such_path()),
    }
}

fn create(model: &mut Model, ask: &Ask<'_>) -> Answered {
    let name = ask.text("/keypair/name").to_owned();
    if name.is_empty() {
        return Err(Fault::bad("Invalid input for field/attribute name. Value: . '' is too short"));
    }
    if model.keys.contains_key(&name) {
        return Err(Fault::conflict(format!("Key pair '{name}' already exists.")));
    }
    let given = ask.text("/keypair/public_key");
    let (public_key, private) = if given.is_empty() {
        let broken = |_| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Unexpected API Error.");
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Unexpected API Error."))?;
        let key = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&seed)), "").map_err(broken)?;
        let private = key.to_openssh(LineEnding::LF).map_err(broken)?.to_string();
        (format!("{} Generated-by-Nova", key.public_key().to_openssh().map_err(broken)?), Some(private))
    } else {
        (given.to_owned(), None)
    };
    let Some(fingerprint) = fingerprint(&public_key) else {
        return Err(Fault::bad("Keypair data is invalid: failed to generate fingerprint"));
    };
    let pair = KeyPair { name: name.clone(), public_key, fingerprint, created: model.now() };
    let mut body = shown(&pair, ask.minor, false);
    body["keypair"]["user_id"] = json!(USER);
    if let Some(private) = private {
        body["keypair"]["private_key"] = json!(private);
    }
    model.keys.insert(name, pair);
    let status = if ask.minor >= 2 { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Reply::of(status, body))
}
