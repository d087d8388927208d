//! What the engine runs: set-up, the steps of the scenarios, teardown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::{
    ClonesUnderWay, ScenarioState, Session, Teardown,
    alive::Heartbeat,
    offload,
    owned::Owner,
    protect,
    session::{Needs, cluster_facts, connect_cluster, open, own_namespace, provider_failure, tell_facts},
};
use crate::{
    cluster::{Cluster, ConnectOptions},
    config::{profile::Profile, scenario::Scenario, settings::Settings},
    diagnosis::{Diagnosis, Id},
    engine::{Closed, Failure, Leftover, StepCx, Workload},
    jira::{self, Jira},
    journal::{self, Journal},
    providers::{self, Source},
    select::{Product, Skip, Surroundings, Version, closed, known_issue, too_low},
    steps::{Scene, Step, collect},
};

/// A scenario with its steps.
pub struct Planned {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Its steps in order.
    pub steps: Vec<Step>,
    /// Whether it will be run.
    pub wanted: bool,
}

/// Everything that a run needs, resolved.
pub struct MigrationRun {
    /// Run id.
    pub run: String,
    /// Where the cluster is.
    pub connect: ConnectOptions,
    /// Where VMs come from.
    pub profile: Profile,
    /// Settings.
    pub settings: Settings,
    /// Scenarios in order.
    pub scenarios: Vec<Planned>,
    /// What is made is written down here.
    pub journal: Journal,
    /// Where to ask about known issues.
    pub jira: Option<jira::Options>,
    /// Whether the user chose the scenarios by name or marker.
    pub chosen: bool,
    /// Why scenarios with a known issue do not run, by issue.
    issues: OnceLock<BTreeMap<String, Closed>>,
    /// Set as soon as there is a connection: the teardown needs them even when the set-up fails half-way.
    cluster: OnceLock<Cluster>,
    source: OnceLock<Arc<dyn Source>>,
    session: OnceLock<Session>,
    /// Its sign of life on the cluster.
    heartbeat: Mutex<Heartbeat>,
    states: Vec<Mutex<ScenarioState>>,
    clones: Vec<ClonesUnderWay>,
}

impl MigrationRun {
    /// Puts a run together; contacts nobody yet.
    pub fn new(
        run: String,
        connect: ConnectOptions,
        profile: Profile,
        settings: Settings,
        scenarios: Vec<Planned>,
        journal: Journal,
        jira: Option<jira::Options>,
    ) -> Self {
        let states = scenarios.iter().map(|_| Mutex::default()).collect();
        let clones = scenarios.iter().map(|_| ClonesUnderWay::default()).collect();
        Self {
            run,
            connect,
            profile,
            settings,
            scenarios,
            journal,
            jira,
            chosen: false,
            issues: OnceLock::new(),
            cluster: OnceLock::new(),
            source: OnceLock::new(),
            session: OnceLock::new(),
            heartbeat: Mutex::default(),
            states,
            clones,
        }
    }

    /// Ends the sign of life and writes down that the run is over, with the exit code of its process. What cannot be written keeps
    /// nothing from being cleaned up later.
    pub async fn end(&self, exit: u8) {
        std::mem::take(&mut *self.heartbeat.lock().await).end(&self.journal).await;
        if let Err(error) = self.journal.ended(exit).await {
            tracing::warn!(error = format!("{error:#}"), "the end of the run was not noted");
        }
    }

    async fn prepare(&self, cx: &StepCx) -> Result<Vec<String>, Failure> {
        cx.progress("connecting to the cluster and the source", None);
        let cluster = connect_cluster(&self.connect).await?;
        let cluster = self.cluster.get_or_init(|| cluster);
        protect::check(cluster, &self.settings.protect).await?;
        let (facts, source) = tokio::join!(cluster_facts(cluster, &self.settings), providers::connect_at(&self.profile, Some(cluster)));
        let facts = facts?;
        let source: Arc<dyn Source> = source.map_err(provider_failure)?.into();
        let source = self.source.get_or_init(|| source).clone();
        self.journal.connected(journal::Cluster { server: cluster.server(), id: facts.id.clone() }).await?;
        tell_facts(cx, &facts, cluster, source.as_ref(), &self.profile);
        let notes = vec![
            format!("cluster {}", cluster.server()),
            format!("source {}", source.describe()),
            format!("storage class {}", facts.storage_class),
        ];
        let owner = Owner { cluster: cluster.clone(), journal: self.journal.clone(), run: self.run.clone() };
        let issues = self.ask_about_issues(cx).await;
        self.issues.get_or_init(|| issues);
        let will_run = |s: &&Planned| s.wanted && self.closed(&s.scenario).is_none();
        let needs = Needs {
            warm: self.scenarios.iter().filter(will_run).any(|s| s.scenario.warm_migration),
            remote: self.scenarios.iter().filter(will_run).any(|s| s.scenario.remote),
        };
        *self.heartbeat.lock().await = own_namespace(&owner, cx, &self.settings).await?;
        let mut session = Box::pin(open(owner, cx, source, self.profile.clone(), self.settings.clone(), facts, needs)).await?;
        if self.scenarios.iter().filter(will_run).any(|s| s.scenario.copies_offload()) {
            let (namespace, provider) = (session.namespace.clone(), session.providers.source.name.clone());
            let source = session.source.clone();
            session.offload = Some(offload::prepare(&session.owner, cx, source.as_ref(), &self.profile, &namespace, &provider).await?);
        }
        self.session.get_or_init(|| session);
        Ok(notes)
    }

    /// What Jira says of each known issue that a scenario waits for: its status, or why it did not say, which leaves open whether
    /// the scenario could run. Resolved ones are left out.
    async fn ask_about_issues(&self, cx: &StepCx) -> BTreeMap<String, Closed> {
        let wanted = self.scenarios.iter().filter(|s| s.wanted);
        let keys: BTreeSet<&str> = wanted.filter_map(|s| known_issue(&s.scenario, Some(self.profile.kind()))).collect();
        let Some(options) = self.jira.as_ref().filter(|_| !keys.is_empty()) else { return BTreeMap::new() };
        cx.progress(format!("asking Jira at {}", options.url), None);
        let jira = Jira::new(options.clone());
        let ask = |key: &str| {
            let (key, jira) = (key.to_owned(), &jira);
            async move {
                let answer = match jira {
                    Ok(jira) => jira.issue(&key).await,
                    Err(why) => Err(why.clone()),
                };
                let open = match answer {
                    Ok(issue) if issue.resolved => None,
                    Ok(issue) => Some(Closed::Skip(format!("known issue {key} is not resolved; its status is {}.", issue.status))),
                    Err(why) => Some(Closed::Error(
                        Diagnosis::new(
                            Id::ScenarioRequirementMissing,
                            format!("it is not known whether issue {key}, which the scenario waits for, is resolved"),
                        )
                        .cause(why.text)
                        .hints(why.hints)
                        .hint("check `jira_url` and its token, or leave `jira_url` unset to skip scenarios that wait for an issue"),
                    )),
                };
                open.map(|closed| (key, closed))
            }
        };
        futures::future::join_all(keys.into_iter().map(ask)).await.into_iter().flatten().collect()
    }

    /// The first gate that is closed, as far as profile, settings and Jira tell.
    fn closed(&self, scenario: &Scenario) -> Option<Closed> {
        let known = Surroundings {
            kind: Some(self.profile.kind()),
            profile: Some(&self.profile),
            remote: self.settings.remote_ocp_cluster.is_some(),
            jira: self.jira.is_some(),
            chosen: self.chosen,
        };
        let issue = || self.issues.get()?.get(known_issue(scenario, known.kind)?).cloned();
        closed(scenario, &known).as_ref().map(unmet).or_else(issue)
    }

    /// Collects all of MTV into the folder `name`, if the run has made anything on the cluster that MTV could have acted on.
    async fn collect_of_mtv(&self, cx: &StepCx, name: &str) -> Result<(), Failure> {
        let Some(cluster) = self.cluster.get().filter(|_| collect::has_made(&self.journal, None)) else { return Ok(()) };
        let owner = Owner { cluster: cluster.clone(), journal: self.journal.clone(), run: self.run.clone() };
        collect::everything(&owner, &self.settings, cx, name).await
    }

    async fn clean(&self, cx: &StepCx) -> Result<Vec<Leftover>, Failure> {
        let left = match self.cluster.get() {
            None => Vec::new(),
            Some(cluster) => {
                for clones in &self.clones {
                    clones.finished().await;
                }
                let sources = self.source.get().map(|s| (self.profile.name.clone(), Ok(s.clone())));
                let sources = sources.into_iter().collect();
                let teardown = Teardown::new(cluster, &self.journal, &self.run, sources, self.settings.object_timeout);
                let mut left = teardown.everything(cx).await?.left;
                // An interrupt ends the gathering, and what is left is told all the same.
                if teardown.left_on_cluster(&left) && self.collect_of_mtv(cx, "left_behind").await.is_ok() {
                    // What gathered must not stay either; what is left was tried a moment ago.
                    left.extend(teardown.gatherer(cx).await.map(|done| done.left).unwrap_or_default());
                }
                left
            }
        };
        if let Some(source) = self.source.get() {
            source.disconnect().await;
        }
        Ok(left)
    }
}

impl Workload for MigrationRun {
    fn set_up<'a>(&'a self, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let result = Box::pin(self.prepare(cx)).await.map_err(Failure::advised);
            if matches!(result, Err(Failure::Failed(_) | Failure::Errored(_))) {
                self.collect_of_mtv(cx, "set_up").await?;
            }
            result
        })
    }

    fn step<'a>(&'a self, scenario: usize, step: usize, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let planned = &self.scenarios[scenario];
            let Some(session) = self.session.get() else {
                return Err(anyhow::anyhow!("a step was started before the set-up had ended").into());
            };
            let scene = Scene { session, scenario: &planned.scenario, index: scenario, clones: &self.clones[scenario] };
            let mut state = self.states[scenario].lock().await;
            state.begin(&cx.cancel);
            let result = planned.steps[step].run(&scene, &mut state, cx).await;
            if result.is_ok() {
                state.passed();
            }
            result
        })
    }

    fn gate(&self, scenario: usize) -> Option<Closed> {
        let facts = &self.session.get()?.facts;
        let requires = &self.scenarios[scenario].scenario.requires;
        let text = |version: &Option<Version>| version.as_ref().map(ToString::to_string);
        let check = |product, found: &Option<Version>, least: &Option<String>| {
            least.as_ref().and_then(|least| too_low(product, text(found).as_deref(), least)).map(Closed::Skip)
        };
        self.closed(&self.scenarios[scenario].scenario)
            .or_else(|| check(Product::Mtv, &facts.mtv, &requires.min_mtv_version))
            .or_else(|| check(Product::OpenShift, &facts.openshift, &requires.min_ocp_version))
    }

    fn collect<'a>(&'a self, scenario: usize, cx: &'a StepCx) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let Some(session) = self.session.get() else { return Ok(()) };
            let scene = Scene { session, scenario: &self.scenarios[scenario].scenario, index: scenario, clones: &self.clones[scenario] };
            let mut state = self.states[scenario].lock().await;
            state.begin(&cx.cancel);
            collect::after_failure(&scene, &mut state, cx).await.map(drop)
        })
    }

    fn tear_down<'a>(&'a self, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<Leftover>, Failure>> {
        Box::pin(self.clean(cx))
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        let cluster = self.cluster.get().map(Cluster::requests).unwrap_or_default();
        let source = self.source.get().map(|s| s.requests()).unwrap_or_default();
        let named = |service: &'static str| move |(verb, count): (String, u64)| (format!("{service} {verb}"), count);
        let kind = self.profile.kind().to_string();
        cluster
            .into_iter()
            .map(named("kubernetes"))
            .chain(source.into_iter().map(move |(verb, count)| (format!("{kind} {verb}"), count)))
            .collect()
    }
}

/// A closed gate as the engine takes it.
pub(super) fn unmet(skip: &Skip) -> Closed {
    if !skip.error {
        return Closed::Skip(skip.reason.clone());
    }
    Closed::Error(
        Diagnosis::new(Id::ScenarioRequirementMissing, skip.reason.trim_end_matches('.'))
            .hint("add it to the profile; providers.example.toml shows the keys, `mtv-test validate` what is missing")
            .hint("or leave copy-offload out: `--marker 'not copyoffload'`"),
    )
}

/// A run that was interrupted before there was anything to work on.
pub(super) struct NothingBegun;

impl Workload for NothingBegun {
    fn set_up<'a>(&'a self, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async {
            cx.cancel.cancelled().await;
            Err(Failure::Interrupted)
        })
    }

    fn step<'a>(&'a self, _scenario: usize, _step: usize, _cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async { Err(Failure::Interrupted) })
    }

    fn tear_down<'a>(&'a self, _cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<Leftover>, Failure>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
