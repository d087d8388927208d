//! Verbs of the Kubernetes API. Each cell has a namespace of its own on one lab.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use mtv_api::kinds::{self, Kind};
use mtv_lab::{
    datacenter::{DEFAULT, DataCenter},
    faults::{Rule, Server},
    lab::{Lab, Options},
};
use mtv_test::{
    cluster::{Awaited, Cluster, ConnectOptions},
    journal::{Header, Journal, State},
    run::Owner,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Row, Seen, cx};

/// What all cells share.
pub struct Bed {
    pub lab: Lab,
    pub folder: TempDir,
}

impl Bed {
    pub async fn start() -> Arc<Self> {
        let lab = Lab::start(Options::new(DataCenter::parse(DEFAULT).unwrap())).await.unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), lab.kubeconfig()).unwrap();
        Arc::new(Self { lab, folder })
    }

    /// A client with counts of its own.
    pub async fn cluster(&self) -> Cluster {
        let options = ConnectOptions { kubeconfig: Some(self.folder.path().join("kubeconfig")), ..ConnectOptions::default() };
        Cluster::connect(&options).await.unwrap()
    }

    /// A cluster without faults, to prepare and to look behind.
    pub fn behind(&self) -> Cluster {
        Cluster::over(self.lab.client().clone())
    }

    pub async fn make(&self, kind: &'static Kind, namespace: Option<&str>, body: Value) -> String {
        let made = self.behind().post(kind, namespace, &body, Duration::from_mins(1)).await.unwrap();
        made.metadata.uid.unwrap()
    }
}

fn config_map(namespace: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x", "namespace": namespace }, "data": { "a": "1" } })
}

/// A cell: namespace, fault, call, counts.
async fn cell(bed: Arc<Bed>, verb: &'static str, rule: Rule, namespace: String) -> Seen {
    let cluster = bed.cluster().await;
    bed.make(&kinds::NAMESPACE, None, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } })).await;
    let kind = if verb == "update" { &kinds::VM } else { &kinds::CONFIG_MAP };
    let uid = match verb {
        "create" | "watch" => String::new(),
        "update" => {
            let spec = json!({ "runStrategy": "Halted", "template": { "spec": { "domain": { "devices": {} } } } });
            let vm = json!({ "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": { "name": "x", "namespace": namespace }, "spec": spec });
            bed.make(kind, Some(&namespace), vm).await
        }
        _ => bed.make(kind, Some(&namespace), config_map(&namespace)).await,
    };
    let resource = if verb == "update" { "virtualmachines/start" } else { kind.plural };
    let rule = Rule { verb: Some(verb.to_owned()), resource: Some(resource.to_owned()), namespace: Some(namespace.clone()), ..rule };
    bed.lab.faults().add(rule).unwrap();
    let ns = Some(namespace.as_str());
    let mut made = None;
    let result = match verb {
        "get" => cluster.get(kind, ns, "x").await.map(|found| assert!(found.is_some())),
        "list" => {
            cluster.list(kind, ns, "app!=nobody").await.map(|found| assert!(found.iter().any(|o| o.metadata.name.as_deref() == Some("x"))))
        }
        "patch" => {
            let patched = cluster.patch(kind, ns, "x", &json!({ "data": { "a": "2" } })).await;
            patched.map(|object| assert_eq!(object.unwrap().data["data"]["a"], "2"))
        }
        "delete" => cluster.delete(kind, ns, "x", Some(&uid)).await.map(drop),
        "update" => cluster.switch(&namespace, "x", "start").await,
        "watch" => watch(&bed, &cluster, &namespace).await,
        _ => {
            let (result, count) = create(&bed, &cluster, &namespace).await;
            made = Some(count);
            result
        }
    };
    if verb == "delete" && result.is_ok() {
        assert!(bed.behind().get(kind, ns, "x").await.unwrap().is_none(), "still there after a delete that passed");
    }
    let requests = cluster.requests();
    let count = |verb: &str| requests.get(verb).copied().unwrap_or_default();
    let looked = verb != "get" && count("get") > 0;
    Seen { result: result.map_err(|error| format!("{error:#}")), sends: count(verb), looked, made }
}

/// Waits for an object that is made when the watch runs.
async fn watch(bed: &Arc<Bed>, cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let (bed, place) = (bed.clone(), namespace.to_owned());
    let awaited =
        Awaited { kind: &kinds::CONFIG_MAP, namespace: Some(namespace), name: "x", until: "to be there", limit: Duration::from_mins(2) };
    let cx = cx(Duration::from_mins(2));
    let waiting = cluster.wait(&cx, awaited, |object| Ok(object.map(drop)));
    // Once the fault has happened, so that no first list finds the object.
    let making = async move {
        while bed.lab.faults().list().iter().any(|rule| rule.rule.namespace.as_deref() == Some(place.as_str()) && rule.done == 0) {
            tokio::task::yield_now().await;
        }
        bed.make(&kinds::CONFIG_MAP, Some(&place), config_map(&place)).await
    };
    let (waited, _) = tokio::join!(waiting, making);
    waited.map_err(|failure| anyhow::anyhow!("{failure:?}"))
}

/// Creates as a run does; what the journal says has to agree with the cluster.
async fn create(bed: &Bed, cluster: &Cluster, namespace: &str) -> (anyhow::Result<()>, usize) {
    let header = Header {
        run: "r1".to_owned(),
        tool: "test".to_owned(),
        started: jiff::Timestamp::now(),
        label: "mtv-test.io/run=r1".to_owned(),
        cluster: None,
        profiles: Vec::new(),
        providers_file: None,
        ephemeral: true,
    };
    let journal = Journal::create(&bed.folder.path().join(format!("{namespace}.json")), &header).unwrap();
    let owner = Owner { cluster: cluster.clone(), journal: journal.clone(), run: "r1".to_owned() };
    let created = owner.create(&kinds::CONFIG_MAP, config_map(namespace), None).await;
    let there = bed.behind().list(&kinds::CONFIG_MAP, Some(namespace), "mtv-test.io/run=r1").await.unwrap();
    let records = journal.snapshot();
    assert_eq!(records.len(), 1);
    // What is there is known by its UID; of what was refused nothing is expected any more.
    match &created {
        Ok(object) => {
            assert_eq!(object.metadata.uid, there[0].metadata.uid);
            assert_eq!(records[0].state, State::Created, "{:?}", records[0]);
        }
        Err(_) => assert_eq!(records[0].state, State::Gone, "{:?}", records[0]),
    }
    (created.map(drop).map_err(|failure| anyhow::anyhow!("{failure:?}")), there.len())
}

/// The rows.
pub async fn rows() -> Vec<Row> {
    let bed = Bed::start().await;
    let row = |name, verb: &'static str, expected| {
        let bed = bed.clone();
        let run = move |rule: Rule, column: usize| -> BoxFuture<'static, Seen> {
            cell(bed.clone(), verb, rule, format!("{verb}-{column}")).boxed()
        };
        Row { name, server: Server::Kubernetes, expected, run: Box::new(run) }
    };
    // 409 410 422 429+ 429 500 503 504c reset close stall slow garbled closed-c silent
    vec![
        row("Kubernetes get", "get", "XXXRRRRRRRPRRRR"),
        row("Kubernetes list", "list", "XRXRRRRRRRPRRRR"),
        row("Kubernetes watch", "watch", "RRRRRRRRRRPRRRR"),
        row("Kubernetes create", "create", "CXXRRCCLLCPLLLC"),
        row("Kubernetes patch", "patch", "RXXRRRRRRRPRRRR"),
        // The answer of a start has no body: what is wrong with it is not noticed.
        row("Kubernetes update", "update", "RXXRRRRRRRPPPRR"),
        row("Kubernetes delete", "delete", "CXXRRRRRRRPRRRR"),
    ]
}
