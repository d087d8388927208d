//! What all scenarios of a run share: the cluster, the source, one namespace, one source and one destination Provider.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use kube::api::DynamicObject;
use mtv_api::{
    forklift::{ObjectRef, ProviderPair, ProviderSpec},
    kinds,
};
use serde_json::{Value, json};

use super::{
    alive::{self, Heartbeat},
    names,
    offload::{self, Offload},
    owned::Owner,
    shared::{Changed, Field, Shared},
};
use crate::{
    cluster::{Awaited, Cluster, ConnectOptions, ObjectExt as _},
    config::{
        profile::{Profile, ProviderKind},
        settings::Settings,
    },
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx, human},
    events::What,
    forklift::{self, Inventory},
    journal::Journal,
    providers::{Access, ProviderError, Source, http::without_login},
    secrets::SecretValue,
    select::Version,
    verify::LabelledNode,
};

/// Longest wait for the operator's pods, as mtv-api-tests has it.
const OPERATOR_PODS: Duration = Duration::from_mins(5);

/// Name of the operator's settings object in MTV.
const CONTROLLER: &str = "forklift-controller";

/// StorageClass whose StorageProfile a run completes, and the name of that profile.
const NFS: &str = "nfs";

/// What the cluster says of itself.
#[derive(Debug, Clone, Default)]
pub struct ClusterFacts {
    /// OpenShift release; `None` on other Kubernetes.
    pub openshift: Option<Version>,
    /// MTV release.
    pub mtv: Option<Version>,
    /// UID of the namespace `kube-system`: what tells one cluster from another.
    pub id: String,
    /// StorageClass that maps use.
    pub storage_class: String,
}

/// What all scenarios share.
pub struct Session {
    /// Creates objects.
    pub owner: Owner,
    /// The source.
    pub source: Arc<dyn Source>,
    /// Its profile.
    pub profile: Profile,
    /// Settings.
    pub settings: Settings,
    /// Facts.
    pub facts: ClusterFacts,
    /// Namespace of the run.
    pub namespace: String,
    /// Source and destination Provider.
    pub providers: ProviderPair,
    /// The same with a destination by URL and token, if a scenario needs it.
    pub remote: Option<ProviderPair>,
    /// Inventory of the source Provider.
    pub inventory: Inventory,
    /// What scenarios with copy-offload share; `None` if no scenario of the run has it.
    pub offload: Option<Offload>,
    /// Held while a scenario sees to its namespace: scenarios may share one.
    pub namespaces: tokio::sync::Mutex<()>,
    /// Nodes that were labelled for scenarios, which may share one.
    pub labelled_nodes: tokio::sync::Mutex<Vec<LabelledNode>>,
}

impl Session {
    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.owner.cluster
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.owner.journal
    }

    /// Run id.
    pub fn run(&self) -> &str {
        &self.owner.run
    }
}

/// Reads what has to be known of the cluster before anything is created.
pub async fn cluster_facts(cluster: &Cluster, settings: &Settings) -> Result<ClusterFacts, Failure> {
    let (system, version, csvs, classes) = tokio::join!(
        cluster.get(&kinds::NAMESPACE, None, "kube-system"),
        cluster.get(&kinds::CLUSTER_VERSION, None, "version"),
        cluster.list(&kinds::CSV, Some(&settings.mtv_namespace), ""),
        cluster.list(&kinds::STORAGE_CLASS, None, ""),
    );
    let id = system?.and_then(|n| n.metadata.uid).context("namespace kube-system has no UID")?;
    let openshift = version.ok().flatten().and_then(|v| v.text("/status/desired/version").and_then(Version::parse));
    let mtv = csvs.unwrap_or_default().iter().find_map(|csv| {
        let name = csv.metadata.name.as_deref()?;
        (name.starts_with("mtv-operator") || name.starts_with("forklift-operator"))
            .then(|| csv.text("/spec/version").and_then(Version::parse))?
    });
    let classes = classes?;
    let names: Vec<String> = classes.iter().filter_map(|c| c.metadata.name.clone()).collect();
    let default = || {
        let marked = |c: &&kube::api::DynamicObject| {
            c.metadata.annotations.as_ref().and_then(|a| a.get("storageclass.kubernetes.io/is-default-class")).is_some_and(|v| v == "true")
        };
        classes.iter().find(marked).and_then(|c| c.metadata.name.clone())
    };
    let storage_class = match &settings.storage_class {
        Some(name) if names.contains(name) => name.clone(),
        Some(name) => {
            return Err(Failure::Errored(
                Diagnosis::new(Id::ClusterNoStorageClass, format!("StorageClass `{name}` does not exist"))
                    .hint(format!("the cluster has: {}", names.join(", "))),
            ));
        }
        None => default().ok_or_else(|| {
            Failure::Errored(
                Diagnosis::new(Id::ClusterNoStorageClass, "no storage class is chosen, and the cluster has no default one")
                    .hint(format!("choose with --storage-class; the cluster has: {}", names.join(", "))),
            )
        })?,
    };
    Ok(ClusterFacts { openshift, mtv, id, storage_class })
}

/// Connects to the cluster, and sees whether it answers and takes the login.
pub async fn connect_cluster(options: &ConnectOptions) -> Result<Cluster, Failure> {
    let cluster = Cluster::connect(options).await?;
    cluster.greet().await.map_err(anyhow::Error::from)?;
    Ok(cluster)
}

/// What a provider's error means for a step.
pub fn provider_failure(error: ProviderError) -> Failure {
    Failure::Errored(error.into())
}

/// A source lacks what is needed of it.
pub fn cannot(source: &dyn Source, what: &str) -> Failure {
    Failure::Errored(Diagnosis::new(Id::SourceUnsupported, format!("a source of type {} {what}", source.kind())))
}

/// MTV must be installed in that namespace: told at once, where waiting for its pods would take minutes. What may not be read is
/// left to the wait.
async fn require_operator(cluster: &Cluster, namespace: &str) -> Result<(), Failure> {
    let Ok(there) = cluster.get(&kinds::NAMESPACE, None, namespace).await else { return Ok(()) };
    let controllers = cluster.list(&kinds::FORKLIFT_CONTROLLER, None, "").await;
    let elsewhere = controllers.as_ref().map(Vec::as_slice).unwrap_or_default();
    if there.is_some() && (controllers.is_err() || elsewhere.iter().any(|c| c.metadata.namespace.as_deref() == Some(namespace))) {
        return Ok(());
    }
    let what = if there.is_some() {
        format!("namespace {namespace} has no ForkliftController")
    } else {
        format!("namespace {namespace} does not exist")
    };
    let trouble = Diagnosis::new(Id::MtvNotInstalled, format!("MTV is not installed in {namespace}: {what}"));
    let found: Vec<&str> = elsewhere.iter().filter_map(|c| c.metadata.namespace.as_deref()).collect();
    Err(Failure::Errored(match found.first() {
        Some(first) => trouble.hint(format!("it is in {}: set mtv_namespace, with `--set mtv_namespace={first}`", found.join(", "))),
        None => trouble.hint("install the Migration Toolkit for Virtualization Operator, and create its ForkliftController"),
    }))
}

/// Waits until the operator is there and its pods run.
pub async fn wait_for_operator(cluster: &Cluster, cx: &StepCx, namespace: &str) -> Result<(), Failure> {
    require_operator(cluster, namespace).await?;
    cx.progress(format!("waiting for the MTV pods in {namespace} to run"), None);
    let awaited = Awaited { kind: &kinds::POD, namespace: Some(namespace), name: "", until: "of MTV to run", limit: OPERATOR_PODS };
    let mut last = String::new();
    let result = cluster
        .wait_all(cx, awaited, |pods| {
            let missing = not_running(pods);
            last = missing.join(", ");
            Ok(missing.is_empty().then_some(()))
        })
        .await;
    result.map_err(|failure| match failure {
        Failure::Errored(trouble) => Failure::Errored(
            Diagnosis { id: Id::MtvNotRunning, ..trouble }
                .evidence(last)
                .hint(format!("is MTV installed in {namespace}? Set mtv_namespace if it is elsewhere")),
        ),
        other => other,
    })
}

/// What is missing for MTV to work: its pods that do not run. A pod that failed counts only where no other one of the same workload
/// runs: Kubernetes keeps evicted pods, and those of a node that was restarted, beside their replacements.
fn not_running(pods: &[&DynamicObject]) -> Vec<String> {
    let name = |pod: &DynamicObject| pod.metadata.name.clone().unwrap_or_default();
    let phase = |pod: &DynamicObject| pod.text("/status/phase").unwrap_or("Unknown").to_owned();
    let good = |pod: &DynamicObject| matches!(phase(pod).as_str(), "Running" | "Succeeded");
    // `forklift-api-7d9c-x2x1` of ReplicaSet `forklift-api-7d9c` of Deployment `forklift-api`; a new release has another ReplicaSet.
    let workload = |pod: &DynamicObject| {
        let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
        let name = if owner.kind == "ReplicaSet" {
            owner.name.rsplit_once('-').map_or(owner.name.as_str(), |(name, _)| name)
        } else {
            &owner.name
        };
        Some(name.to_owned())
    };
    let mine: Vec<&&DynamicObject> = pods.iter().filter(|pod| name(pod).starts_with("forklift-")).collect();
    let replaced = |pod: &DynamicObject| {
        let of = workload(pod);
        phase(pod) == "Failed" && of.is_some() && mine.iter().any(|other| good(other) && workload(other) == of)
    };
    let mut missing: Vec<String> =
        mine.iter().filter(|pod| !good(pod) && !replaced(pod)).map(|pod| format!("{} is {}", name(pod), phase(pod))).collect();
    if !mine.iter().any(|pod| name(pod).starts_with("forklift-controller") && good(pod)) {
        missing.push("no running forklift-controller pod".to_owned());
    }
    missing
}

/// Labels of namespaces that VMs are created in: those of mtv-api-tests.
pub fn namespace_body(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/enforce-version": "latest",
            "mutatevirtualmachines.kubemacpool.io": "ignore",
        }},
    })
}

/// What the scenarios that will run need of their session.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// A warm migration among them.
    pub warm: bool,
    /// A destination by URL and token.
    pub remote: bool,
}

/// Creates the run's own namespace, with the sign of life that is renewed from then on.
pub async fn own_namespace(owner: &Owner, cx: &StepCx, settings: &Settings) -> Result<Heartbeat, Failure> {
    wait_for_operator(&owner.cluster, cx, &settings.mtv_namespace).await?;
    Inventory::greet(&owner.cluster, &settings.mtv_namespace, settings.inventory_timeout).await?;
    cx.progress("creating namespace and Providers", None);
    let mut body = namespace_body(&names::namespace(&settings.target_namespace_prefix, &owner.run));
    alive::mark(&mut body, &owner.cluster, &owner.run);
    let namespace = owner.create(&kinds::NAMESPACE, body, None).await?;
    Ok(Heartbeat::of(&owner.cluster, &namespace))
}

/// Creates Secret and Providers in the run's namespace and waits until both Providers are Ready.
pub async fn open(
    owner: Owner,
    cx: &StepCx,
    source: Arc<dyn Source>,
    profile: Profile,
    settings: Settings,
    facts: ClusterFacts,
    needs: Needs,
) -> Result<Session, Failure> {
    let namespace = names::namespace(&settings.target_namespace_prefix, &owner.run);
    let ca = source.ca_chain().await.map_err(provider_failure)?;
    let secret_name = format!("{}-credentials", profile.kind());
    let access = source.access().unwrap_or_else(|| forklift::access(&profile, ca.as_deref()));
    let mut secret = ObjectRef::default();
    if !access.secret.is_empty() {
        secret = ObjectRef::new(&namespace, &secret_name);
        owner.create(&kinds::SECRET, source_secret(profile.kind(), &namespace, &secret_name, &access), None).await?;
    }
    let source_ref = ObjectRef::new(&namespace, format!("source-{}", profile.kind()));
    let destination_ref = ObjectRef::new(&namespace, "destination-host");
    let spec = ProviderSpec { kind: profile.kind().to_string(), url: access.url, secret, settings: forklift::settings(&profile) };
    let host = ProviderSpec { kind: "openshift".to_owned(), ..ProviderSpec::default() };
    let manifest = |r: &ObjectRef, spec: &ProviderSpec| forklift::manifest(&kinds::PROVIDER, Some(&r.namespace), &r.name, spec);
    owner.create(&kinds::PROVIDER, manifest(&destination_ref, &host), None).await?;
    let mut source_body = manifest(&source_ref, &spec);
    if let Some(annotations) = offload::provider_annotations(&profile) {
        source_body["metadata"]["annotations"] = annotations;
    }
    let created = owner.create(&kinds::PROVIDER, source_body, None).await?;
    let limit = settings.provider_ready_timeout;
    for provider in [&destination_ref, &source_ref] {
        // The server that a Provider of OVA files starts first cannot be reached for a while, and its share may flap.
        let settle = if profile.kind() == ProviderKind::Ova { limit } else { forklift::SETTLE };
        forklift::wait_ready_unless(&owner.cluster, cx, &kinds::PROVIDER, &namespace, &provider.name, limit, settle).await.map_err(
            |failure| match failure {
                // A Provider that does not come up is the environment's trouble: nothing was tested yet.
                Failure::Failed(trouble) => Failure::Errored(trouble),
                other => other,
            },
        )?;
    }
    if facts.storage_class == NFS {
        set_nfs_profile(&owner, cx).await?;
    }
    let remote = if needs.remote { Some(super::remote::destination(&owner, cx, &settings, &namespace).await?) } else { None };
    if needs.warm {
        set_precopy_interval(&owner, cx, &settings).await?;
    }
    let uid = created.metadata.uid.unwrap_or_default();
    let inventory = Inventory::connect(&owner.cluster, &settings.mtv_namespace, profile.kind(), &uid).await?;
    inventory.check_rights().await?;
    let remote = remote.map(|destination| ProviderPair { source: source_ref.clone(), destination });
    let providers = ProviderPair { source: source_ref, destination: destination_ref };
    Ok(Session {
        owner,
        source,
        profile,
        settings,
        facts,
        namespace,
        providers,
        remote,
        inventory,
        offload: None,
        namespaces: tokio::sync::Mutex::default(),
        labelled_nodes: tokio::sync::Mutex::default(),
    })
}

/// The source's credentials as Forklift wants them.
pub fn source_secret(kind: ProviderKind, namespace: &str, name: &str, access: &Access) -> Value {
    let base64 = |value: &SecretValue| json!(base64::engine::general_purpose::STANDARD.encode(value.expose()));
    let data: serde_json::Map<String, Value> = access.secret.iter().map(|(key, value)| ((*key).to_owned(), base64(value))).collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace, "labels": {
            "createdForProviderType": kind.to_string(), "createdForResourceType": "providers",
        }},
        "data": data,
    })
}

/// Sets the interval between precopies, which is one for the whole cluster: only if it differs, shared with runs that go on
/// beside this one, and put back by the last of them.
async fn set_precopy_interval(owner: &Owner, cx: &StepCx, settings: &Settings) -> Result<(), Failure> {
    const FIELD: &str = "controller_precopy_interval";
    let namespace = settings.mtv_namespace.as_str();
    let minutes = settings.snapshots_interval.as_secs().div_ceil(60).max(1);
    let field =
        Field { kind: &kinds::FORKLIFT_CONTROLLER, namespace: Some(namespace), name: CONTROLLER, pointer: &format!("/spec/{FIELD}") };
    let shared = Shared { cluster: &owner.cluster, journal: &owner.journal, run: &owner.run };
    match shared.set(field, &json!(minutes)).await? {
        Changed::WasSo => return Ok(()),
        Changed::Refused { by, value } => {
            cx.warn(format!("run {by} needs {FIELD} to be {value}, this one wants {minutes}; going on with {value}"));
            return Ok(());
        }
        Changed::Set => {}
    }
    cx.progress("waiting for the operator to take the precopy interval over", None);
    let awaited = Awaited {
        kind: &kinds::FORKLIFT_CONTROLLER,
        namespace: Some(namespace),
        name: CONTROLLER,
        until: "to be reconciled",
        limit: OPERATOR_PODS,
    };
    owner
        .cluster
        .wait(cx, awaited, |object| {
            let conditions = object.and_then(|o| o.at("/status/conditions")).and_then(Value::as_array).cloned().unwrap_or_default();
            Ok(conditions.iter().any(|c| c["type"] == "Successful" && c["status"] == "True").then_some(()))
        })
        .await
}

/// CDI knows no access mode for a plain NFS server: the profile of a class of this name says it, as in mtv-api-tests.
async fn set_nfs_profile(owner: &Owner, cx: &StepCx) -> Result<(), Failure> {
    let sets = json!([{ "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem" }]);
    let field = Field { kind: &kinds::STORAGE_PROFILE, namespace: None, name: NFS, pointer: "/spec/claimPropertySets" };
    let shared = Shared { cluster: &owner.cluster, journal: &owner.journal, run: &owner.run };
    if let Changed::Refused { by, value } = shared.set(field, &sets).await? {
        cx.warn(format!("run {by} needs claimPropertySets of StorageProfile {NFS} to be {value}; going on with that"));
    }
    Ok(())
}

/// The user's own exceptions from verified TLS.
#[derive(Debug, Default)]
struct TlsExceptions {
    /// Endpoints whose certificates are not verified, with whose choice that was.
    unverified: Vec<String>,
    /// Endpoints that are reached without TLS, in the same way.
    plain: Vec<String>,
}

impl TlsExceptions {
    fn of(cluster: &Cluster, profile: &Profile) -> Self {
        let mut found = Self::default();
        if cluster.server().starts_with("http://") {
            found.plain.push(format!("cluster {} (cluster_allow_plain_http)", cluster.server()));
        } else if !cluster.tls_verified() {
            found.unverified.push(format!("cluster {} and its inventory (kubeconfig, or insecure_verify_skip)", cluster.server()));
        }
        for profile in std::iter::once(profile).chain(profile.clone_provider()) {
            let (url, name) = (without_login(&profile.api_url), &profile.name);
            if profile.plain_http() {
                found.plain.push(format!("source {url} (allow_plain_http of profile `{name}`)"));
            } else if profile.insecure_skip_verify {
                let whose = format!("insecure_skip_verify of profile `{name}`, or source_provider_insecure_skip_verify");
                found.unverified.push(format!("source {url} ({whose})"));
            }
        }
        found
    }

    /// For the report: all of them, or `none`.
    fn fact(&self) -> String {
        let plain = self.plain.iter().map(|endpoint| format!("without TLS: {endpoint}"));
        let all: Vec<String> = self.unverified.iter().cloned().chain(plain).collect();
        if all.is_empty() { "none".to_owned() } else { all.join("; ") }
    }
}

/// Difference between this machine's clock and the cluster's from which on it is reported. NTP keeps clocks within a second; tokens and
/// certificates begin to be refused some minutes apart.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// What is told of two clocks that differ.
fn skew_warning(skew: SignedDuration, here: Timestamp) -> Option<String> {
    if skew.abs() <= SKEW {
        return None;
    }
    let there = here.checked_sub(skew).unwrap_or(here);
    let time = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let apart = human(skew.unsigned_abs());
    let side = if skew.is_positive() { "ahead of" } else { "behind" };
    Some(format!(
        "the clock of this machine ({}) is {apart} {side} the cluster's ({}): the cutover and ages of objects go by the cluster's clock, times in the reports by this machine's",
        time(here),
        time(there)
    ))
}

/// Tells the report what the run stands on.
pub fn tell_facts(cx: &StepCx, facts: &ClusterFacts, cluster: &Cluster, source: &dyn Source, profile: &Profile) {
    let text = |v: &Option<Version>| v.as_ref().map_or("unknown".to_owned(), ToString::to_string);
    let exceptions = TlsExceptions::of(cluster, profile);
    if !exceptions.unverified.is_empty() {
        cx.warn(format!("TLS certificates are not verified, by the user's own choice: {}", exceptions.unverified.join("; ")));
    }
    if !exceptions.plain.is_empty() {
        cx.warn(format!("passwords and tokens are sent without TLS, by the user's own choice: {}", exceptions.plain.join("; ")));
    }
    let skew = cluster.clock().skew();
    if let Some(warning) = skew.and_then(|skew| skew_warning(skew, Timestamp::now())) {
        cx.warn(warning);
    }
    let facts = BTreeMap::from([
        ("tls_unverified".to_owned(), exceptions.fact()),
        // Positive where this machine is ahead.
        ("clock_skew".to_owned(), skew.map_or("unknown".to_owned(), |skew| format!("{}s", skew.as_secs()))),
        ("cluster".to_owned(), cluster.server()),
        ("openshift_version".to_owned(), text(&facts.openshift)),
        ("mtv_version".to_owned(), text(&facts.mtv)),
        ("storage_class".to_owned(), facts.storage_class.clone()),
        ("source_provider".to_owned(), profile.name.clone()),
        ("source".to_owned(), source.describe()),
        ("source_tls_verified".to_owned(), (!profile.insecure_skip_verify && !profile.plain_http()).to_string()),
    ]);
    cx.emitter.emit(What::Facts { facts });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, owner: Option<&str>, phase: &str) -> DynamicObject {
        let owners: Vec<Value> = owner
            .iter()
            .map(|name| json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": true }))
            .collect();
        serde_json::from_value(json!({ "metadata": { "name": name, "ownerReferences": owners }, "status": { "phase": phase } })).unwrap()
    }

    #[test]
    fn failed_pods_with_a_replacement_do_not_count() {
        let controller = pod("forklift-controller-1-a", Some("forklift-controller-1"), "Running");
        let api = |hash: &str, phase| pod(&format!("forklift-api-{hash}-x"), Some(&format!("forklift-api-{hash}")), phase);
        for (name, pods, missing) in [
            ("all run", vec![controller.clone(), api("1", "Running")], vec![]),
            ("no controller", vec![api("1", "Running")], vec!["no running forklift-controller pod"]),
            ("evicted, with a replacement", vec![controller.clone(), api("1", "Failed"), api("1", "Running")], vec![]),
            ("evicted before an update", vec![controller.clone(), api("1", "Failed"), api("2", "Running")], vec![]),
            ("evicted, without one", vec![controller.clone(), api("1", "Failed")], vec!["forklift-api-1-x is Failed"]),
            (
                "the replacement is not there yet",
                vec![controller.clone(), api("1", "Failed"), api("2", "Pending")],
                vec!["forklift-api-1-x is Failed", "forklift-api-2-x is Pending"],
            ),
            ("a failed pod of its own", vec![controller.clone(), pod("forklift-x", None, "Failed")], vec!["forklift-x is Failed"]),
            ("others do not matter", vec![controller.clone(), pod("other", None, "Failed")], vec![]),
            (
                "an evicted controller with a replacement",
                vec![pod("forklift-controller-1-b", Some("forklift-controller-1"), "Failed"), controller.clone()],
                vec![],
            ),
        ] {
            let pods: Vec<&DynamicObject> = pods.iter().collect();
            assert_eq!(not_running(&pods), missing, "{name}");
        }
    }

    #[test]
    fn clocks_that_differ_are_reported_with_both_times() {
        let here: Timestamp = "2026-12-01T12:00:00Z".parse().unwrap();
        for seconds in [0, 30, -30] {
            assert_eq!(skew_warning(SignedDuration::from_secs(seconds), here), None);
        }
        let ahead = skew_warning(SignedDuration::from_hours(2), here).unwrap();
        assert!(ahead.contains("(2026-12-01T12:00:00Z) is 2h00m ahead of the cluster's (2026-12-01T10:00:00Z)"), "{ahead}");
        let behind = skew_warning(SignedDuration::from_secs(-31), here).unwrap();
        assert!(behind.contains("behind the cluster's (2026-12-01T12:00:31Z)"), "{behind}");
    }
}
