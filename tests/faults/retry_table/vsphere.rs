//! Verbs of vSphere. Each cell has a vCenter of its own.

use std::path::Path;

use futures::{FutureExt as _, future::BoxFuture};
use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    faults::{Rule, Server},
    tls::Authority,
    vsphere::Vcenter,
    world::World,
};
use mtv_test::{
    config::{profile::Profile, profile_file::ProfileFile},
    providers::{CloneRequest, Power, ProviderError, SourceProvider, connect},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Row, Seen};

struct Lab {
    vcenter: Vcenter,
    profile: Profile,
    _stop: DropGuard,
}

async fn lab() -> Lab {
    let datacenter = DataCenter::parse(DEFAULT).unwrap();
    let login = datacenter.vsphere.login.clone();
    let vcenter = Vcenter::new(&World::new(datacenter, Clock::new(1_000.0)));
    let authority = Authority::new().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let (served, tls, token) = (vcenter.clone(), authority.server(&[]).unwrap(), cancel.clone());
    tokio::spawn(async move { served.serve(listener, tls, token).await });
    let text = format!(
        "[provider.lab]\ntype = \"vsphere\"\nversion = \"8.0\"\napi_url = \"https://{address}/sdk\"\nusername = \"{}\"\npassword = \"{}\"\nca_pem = \"\"\"\n{}\"\"\"\n",
        login.user,
        login.password,
        authority.pem()
    );
    let file = ProfileFile::parse(Path::new("providers.toml"), &text, false).unwrap();
    let (profile, _) = file.select("lab", &|_| None).unwrap();
    Lab { vcenter, profile, _stop: cancel.drop_guard() }
}

fn clone_of(name: &str) -> CloneRequest {
    CloneRequest { source: "mtv-tests-rhel8".into(), name: name.into(), run: "r1".into(), ..CloneRequest::default() }
}

/// What a row does with a machine that is there already.
async fn act(source: &dyn SourceProvider, method: &str, id: &str) -> Result<(), ProviderError> {
    match method {
        "RetrievePropertiesEx" => source.find(&["mtv-tests-rhel8".to_owned()]).await.map(|found| assert_eq!(found.len(), 1)),
        "CloneVM_Task" => source.clone_vm(&clone_of("second")).await.map(drop),
        "CreateSnapshot_Task" => source.snapshot(id, "s").await,
        "PowerOnVM_Task" | "WaitForUpdatesEx" => source.set_power(id, Power::On).await,
        _ => source.delete(id).await,
    }
}

/// Looks that a call makes: collections of properties.
fn looks(source: &dyn SourceProvider) -> u64 {
    source.requests().get("RetrievePropertiesEx").copied().unwrap_or_default()
}

async fn cell(method: &'static str, rule: Rule) -> Seen {
    let lab = lab().await;
    let rule = Rule { verb: Some(method.to_owned()), ..rule };
    if method == "Login" {
        lab.vcenter.faults().add(rule).unwrap();
        return match connect(&lab.profile).await {
            Ok(source) => Seen { result: Ok(()), sends: source.requests()[method], looked: false, made: None },
            Err(error) => Seen { result: Err(error.to_string()), sends: 1, looked: false, made: None },
        };
    }
    let source = connect(&lab.profile).await.unwrap();
    let count = |method: &str| source.requests().get(method).copied().unwrap_or_default();
    let before = looks(source.as_ref());
    let id = source.clone_vm(&clone_of("first")).await.unwrap();
    // What the call looks at without faults: a delete reads the power state.
    let usual = match method {
        "CloneVM_Task" => looks(source.as_ref()) - before,
        "Destroy_Task" => 1,
        _ => 0,
    };
    // A wait asks as often as something changes; one that is begun anew shows in its filters.
    let counted = if method == "WaitForUpdatesEx" { "CreateFilter" } else { method };
    let before = (count(counted), looks(source.as_ref()));
    lab.vcenter.faults().add(rule).unwrap();
    let result = act(source.as_ref(), method, &id).await;
    let sends = count(counted) - before.0;
    let looked = method != "RetrievePropertiesEx" && looks(source.as_ref()) - before.1 > usual;
    let made = match method {
        "CloneVM_Task" => Some(source.of_run("r1").await.unwrap().len() - 1),
        "CreateSnapshot_Task" => Some(source.describe_vm(&id).await.unwrap().snapshots.len()),
        _ => None,
    };
    match (method, &result) {
        ("PowerOnVM_Task", Ok(())) => assert_eq!(source.describe_vm(&id).await.unwrap().power, Power::On),
        ("Destroy_Task", Ok(())) => assert!(source.of_run("r1").await.unwrap().is_empty()),
        _ => {}
    }
    Seen { result: result.map_err(|error| error.to_string()), sends, looked, made }
}

/// The rows.
pub fn rows() -> Vec<Row> {
    let row = |name, method: &'static str, expected| {
        let run = move |rule: Rule, _: usize| -> BoxFuture<'static, Seen> { cell(method, rule).boxed() };
        Row { name, server: Server::Vsphere, expected, run: Box::new(run) }
    };
    // 409 410 422 429+ 429 500 503 504c reset close stall slow garbled closed-c silent
    vec![
        row("vSphere log in", "Login", "XXXRRRRRRRPRRRR"),
        row("vSphere read", "RetrievePropertiesEx", "XXXRRRRRRRPRRRR"),
        // Begun anew means another filter here; after a 429 the same one is asked again.
        row("vSphere wait", "WaitForUpdatesEx", "RRRPPRRRRRPRRRR"),
        row("vSphere clone", "CloneVM_Task", "XXXRRCCLLCPLLLC"),
        row("vSphere snapshot", "CreateSnapshot_Task", "XXXRRCCLLCPLLLC"),
        row("vSphere power on", "PowerOnVM_Task", "XXXRRRRRRRPRRRR"),
        row("vSphere delete", "Destroy_Task", "XXXRRRRRRRPRRRR"),
    ]
}
