//! OpenShift as a source. Each cell is a run of its own on one lab, with its own namespace of source VMs.

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use mtv_api::kinds;
use mtv_lab::faults::{Rule, Server};
use mtv_test::{
    config::profile::{Profile, ProviderKind},
    providers::{CloneRequest, Power, ProviderResult, SourceProvider, connect_at},
    secrets::Secret,
};
use tokio::sync::Mutex;

use super::{Row, Seen, kubernetes::Bed};

/// The profile of the cluster of the run.
fn profile() -> Profile {
    Profile {
        name: "openshift".into(),
        file: "providers.toml".into(),
        kind: ProviderKind::Openshift,
        version: "4".into(),
        fqdn: String::new(),
        api_url: String::new(),
        username: String::new(),
        password: Secret::new(""),
        insecure_skip_verify: false,
        ca_file: None,
        ca_pem: None,
        vddk_init_image: None,
        guest_linux: None,
        guest_windows: None,
        extra: BTreeMap::default(),
        extra_secrets: BTreeMap::default(),
        copyoffload: None,
        clone_provider: None,
    }
}

fn clone_of(run: &str, name: &str) -> CloneRequest {
    CloneRequest { source: "rhel9".into(), name: name.into(), run: run.into(), ..CloneRequest::default() }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Connect,
    Clone,
    PowerOn,
    Delete,
}

async fn act(source: &dyn SourceProvider, act: Act, run: &str, id: &str) -> ProviderResult<()> {
    match act {
        Act::Connect => Ok(()),
        Act::Clone => source.clone_vm(&clone_of(run, "second")).await.map(drop),
        Act::PowerOn => source.set_power(id, Power::On).await,
        Act::Delete => source.delete(id).await,
    }
}

/// `verb` and `resource` are those of the request that goes wrong.
async fn cell(
    bed: Arc<Bed>,
    alone: Arc<Mutex<()>>,
    what: Act,
    (verb, resource): (&'static str, &'static str),
    rule: Rule,
    run: String,
) -> Seen {
    let cluster = bed.cluster().await;
    let count = |verb: &str| cluster.requests().get(verb).copied().unwrap_or_default();
    // What is asked at connection time names no run: one after the other.
    let connecting = alone.lock().await;
    if what == Act::Connect {
        bed.lab.faults().add(Rule { path: Some("/apis/kubevirt.io/v1".to_owned()), ..rule }).unwrap();
        let result = connect_at(&profile(), Some(&cluster)).await.map(drop).map_err(|error| error.to_string());
        return Seen { result, sends: count("get"), looked: false, made: None };
    }
    let source = connect_at(&profile(), Some(&cluster)).await.unwrap();
    drop(connecting);
    let id = source.clone_vm(&clone_of(&run, "first")).await.unwrap();
    let namespace = format!("mtv-test-{run}-source-vms");
    let (sends, looks) = (count(verb), count("get"));
    let rule = Rule { verb: Some(verb.to_owned()), resource: Some(resource.to_owned()), namespace: Some(namespace.clone()), ..rule };
    bed.lab.faults().add(rule).unwrap();
    let result = act(source.as_ref(), what, &run, &id).await;
    // What a clone asks for and makes without faults: three objects of the cluster, and namespace and network that are there already
    // and are looked at.
    let (usual_sends, usual_looks) = if what == Act::Clone { (if verb == "create" { 2 } else { 0 }, 5) } else { (0, 0) };
    let sends = (count(verb) - sends).saturating_sub(usual_sends);
    let looked = count("get") - looks > usual_looks;
    let there = bed.behind().list(&kinds::VM, Some(&namespace), "").await.unwrap();
    let named = |name: &str| there.iter().filter(|vm| vm.metadata.name.as_deref() == Some(name)).count();
    if (what, result.is_ok()) == (Act::Delete, true) {
        assert_eq!(named("first"), 0, "still there after a delete that passed");
    }
    if (what, result.is_ok()) == (Act::PowerOn, true) {
        assert_eq!(source.describe_vm(&id).await.unwrap().power, Power::On);
    }
    let made = (what == Act::Clone && verb == "create").then(|| named("second"));
    Seen { result: result.map_err(|error| error.to_string()), sends, looked, made }
}

/// The rows.
pub async fn rows() -> Vec<Row> {
    let bed = Bed::start().await;
    let alone = Arc::new(Mutex::new(()));
    let row = |name: &'static str, what: Act, request, expected| {
        let (bed, alone) = (bed.clone(), alone.clone());
        let run = move |rule: Rule, column: usize| -> BoxFuture<'static, Seen> {
            // Runs have ids of ten letters and digits.
            let number: usize = name.bytes().map(usize::from).sum();
            cell(bed.clone(), alone.clone(), what, request, rule, format!("run{number:04}x{column:02}")).boxed()
        };
        Row { name, server: Server::Kubernetes, expected, run: Box::new(run) }
    };
    // 409 410 422 429+ 429 500 503 504c reset close stall slow garbled closed-c silent
    vec![
        row("OpenShift source connect", Act::Connect, ("get", ""), "XXXRRRRRRRPRRRR"),
        row("OpenShift source clone", Act::Clone, ("create", "virtualmachines"), "CXXRRCCLLCPLLLC"),
        // The disk is seen by the list that comes first, or by the one after a watch that broke.
        row("OpenShift source wait", Act::Clone, ("list", "datavolumes"), "RRRRRRRRRRPRRRR"),
        row("OpenShift source power on", Act::PowerOn, ("update", "virtualmachines/start"), "RXXRRRRRRRPPPRR"),
        row("OpenShift source delete", Act::Delete, ("delete", "virtualmachines"), "CXXRRRRRRRPRRRR"),
    ]
}
