//! OpenShift as a source: the cluster of the run, and another one. Each cell is a run of its own on one lab, with its own namespace
//! of source VMs.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use mtv_api::kinds;
use mtv_lab::faults::{Rule, Server};
use mtv_test::{
    cluster::Cluster,
    config::scenario::PowerWish,
    config::{profile::Profile, profile_file::ProfileFile},
    providers::{CloneRequest, Power, ProviderResult, Source, connect_at},
};
use tokio::sync::Mutex;

use super::{Row, Seen, kubernetes::Bed};

/// Which cluster is the source.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    /// The one that the run works on.
    Home,
    /// One with an address and a login of its own.
    Another,
}

impl Side {
    const fn server(self) -> Server {
        match self {
            Self::Home => Server::Kubernetes,
            Self::Another => Server::Openshift,
        }
    }

    /// Its profile in the lab.
    fn profile(self, bed: &Bed) -> Profile {
        let file = ProfileFile::parse(Path::new("providers.toml"), bed.lab.providers_toml(), false).unwrap();
        let name = if self == Self::Home { "openshift" } else { "openshift-remote" };
        file.select(name, &|_| None).unwrap().0
    }

    /// A look behind.
    fn behind(self, bed: &Bed) -> Cluster {
        match self {
            Self::Home => bed.behind(),
            Self::Another => Cluster::over(bed.lab.remote_client().unwrap().clone()),
        }
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

async fn act(source: &dyn Source, act: Act, run: &str, id: &str) -> ProviderResult<()> {
    match act {
        Act::Connect => Ok(()),
        Act::Clone => source.cloner().unwrap().clone_vm(&clone_of(run, "second")).await.map(drop),
        Act::PowerOn => source.cloner().unwrap().set_power(id, PowerWish::On).await,
        Act::Delete => source.cloner().unwrap().delete(id).await,
    }
}

/// A cell's call.
#[derive(Debug, Clone, Copy)]
struct Call {
    side: Side,
    act: Act,
    /// Verb and resource of the request that goes wrong.
    request: (&'static str, &'static str),
}

async fn cell(bed: Arc<Bed>, alone: Arc<Mutex<()>>, call: Call, rule: Rule, run: String) -> Seen {
    let Call { side, act: what, request: (verb, resource) } = call;
    let (home, profile) = (bed.cluster().await, side.profile(&bed));
    // What is asked at connection time names no run: one after the other.
    let connecting = alone.lock().await;
    if what == Act::Connect {
        bed.lab.faults().add(Rule { path: Some("/apis/kubevirt.io/v1".to_owned()), ..rule }).unwrap();
        let (result, sends) = match connect_at(&profile, Some(&home)).await {
            Ok(source) => (Ok(()), counts(source.as_ref(), &home, "get")),
            Err(error) => (Err(error.to_string()), 1),
        };
        return Seen { result, sends, looked: false, made: None };
    }
    let source = connect_at(&profile, Some(&home)).await.unwrap();
    drop(connecting);
    let count = |verb: &str| counts(source.as_ref(), &home, verb);
    let id = source.cloner().unwrap().clone_vm(&clone_of(&run, "first")).await.unwrap();
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
    let there = side.behind(&bed).list(&kinds::VM, Some(&namespace), "").await.unwrap();
    let named = |name: &str| there.iter().filter(|vm| vm.metadata.name.as_deref() == Some(name)).count();
    if (what, result.is_ok()) == (Act::Delete, true) {
        assert_eq!(named("first"), 0, "still there after a delete that passed");
    }
    if (what, result.is_ok()) == (Act::PowerOn, true) {
        assert_eq!(source.cloner().unwrap().describe_vm(&id).await.unwrap().power, Power::On);
    }
    let made = (what == Act::Clone && verb == "create").then(|| named("second"));
    Seen { result: result.map_err(|error| error.to_string()), sends, looked, made }
}

/// Requests of a verb: on the cluster of the run they are counted there.
fn counts(source: &dyn Source, home: &Cluster, verb: &str) -> u64 {
    let of = |counts: BTreeMap<String, u64>| counts.get(verb).copied().unwrap_or_default();
    of(source.requests()) + of(home.requests())
}

/// The rows.
pub async fn rows() -> Vec<Row> {
    let bed = Bed::start().await;
    // The two clusters' faults do not meet.
    let alone = [Arc::new(Mutex::new(())), Arc::new(Mutex::new(()))];
    let row = |name: &'static str, side: Side, act: Act, request, expected| {
        let (bed, alone) = (bed.clone(), alone[usize::from(side == Side::Another)].clone());
        let run = move |rule: Rule, column: usize| -> BoxFuture<'static, Seen> {
            // Runs have ids of ten letters and digits.
            let number: usize = name.bytes().map(usize::from).sum();
            let call = Call { side, act, request };
            cell(bed.clone(), alone.clone(), call, rule, format!("run{number:04}x{column:02}")).boxed()
        };
        Row { name, server: side.server(), expected, run: Box::new(run) }
    };
    // 409 410 422 429+ 429 500 503 504c reset close stall slow garbled closed-c silent
    vec![
        row("OpenShift source connect", Side::Home, Act::Connect, ("get", ""), "XXXRRRRRRRPRRRR"),
        row("OpenShift source clone", Side::Home, Act::Clone, ("create", "virtualmachines"), "CXXRRCCLLCPLLLC"),
        // The disk is seen by the list that comes first, or by the one after a watch that broke.
        row("OpenShift source wait", Side::Home, Act::Clone, ("list", "datavolumes"), "RRRRRRRRRRPRRRR"),
        row("OpenShift source power on", Side::Home, Act::PowerOn, ("update", "virtualmachines/start"), "RXXRRRRRRRPPPRR"),
        row("OpenShift source delete", Side::Home, Act::Delete, ("delete", "virtualmachines"), "CXXRRRRRRRPRRRR"),
        row("another OpenShift connect", Side::Another, Act::Connect, ("get", ""), "XXXRRRRRRRPRRRR"),
        row("another OpenShift clone", Side::Another, Act::Clone, ("create", "virtualmachines"), "CXXRRCCLLCPLLLC"),
        row("another OpenShift wait", Side::Another, Act::Clone, ("list", "datavolumes"), "RRRRRRRRRRPRRRR"),
        row("another OpenShift power on", Side::Another, Act::PowerOn, ("update", "virtualmachines/start"), "RXXRRRRRRRPPPRR"),
        row("another OpenShift delete", Side::Another, Act::Delete, ("delete", "virtualmachines"), "CXXRRRRRRRPRRRR"),
    ]
}
