//! Takes away what the journal knows: at the end of a scenario, at the end of a run, and in `clean`. The order comes from
//! [`crate::journal::order`]; here is how each stage is carried out, how long it may take, and how ownership is proved.
//!
//! What cannot be removed is told and left; it never keeps the rest from going.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use futures::StreamExt as _;
use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};
use tokio::time::{Instant, timeout_at};

use super::{Session, names};
use crate::{
    cluster::{Cluster, name_of},
    diagnosis::{Diagnosis, Id},
    engine::{Failure, Leftover, StepCx, human},
    events::What,
    journal::{
        Entry, Journal, Record, State,
        order::{Action, Stage, order},
    },
    providers::Source,
};

/// So many objects are removed at the same time.
const SIDE_BY_SIDE: usize = 32;

/// How far beyond its time a removal may go: a wait that ends by itself tells more.
const OVERRUN: Duration = Duration::from_secs(1);

/// What a teardown came to.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// What was deleted, a line each.
    pub deleted: Vec<String>,
    /// Shared settings that were put back, a line each.
    pub restored: Vec<String>,
    /// What is still there.
    pub left: Vec<Leftover>,
    /// What carries the run's label or mark and is not the run's: copies that people made.
    pub kept: Vec<Leftover>,
    /// What a dry run would do, a line each, in order.
    pub planned: Vec<String>,
}

impl Done {
    /// Adds what a further teardown came to.
    pub fn add(&mut self, more: Self) {
        self.deleted.extend(more.deleted);
        self.restored.extend(more.restored);
        self.left.extend(more.left);
        self.kept.extend(more.kept);
        self.planned.extend(more.planned);
    }
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Removed {
    /// It was there and is gone now.
    Deleted,
    /// There was nothing to delete.
    Absent,
    /// A namespace that other runs still use; what is ours in it has to go one by one.
    LeftToOthers,
    /// A shared setting has its value from before the run again.
    Restored,
    /// What would be done, a line each: this is a dry run.
    Would(Vec<String>),
}

impl Removed {
    /// One thing that would be done: `delete Plan x`.
    pub(super) fn would(what: impl std::fmt::Display) -> Self {
        Self::Would(vec![format!("would {what}")])
    }
}

/// Sources by profile name; those that could not be reached with the reason.
pub type Sources = BTreeMap<String, Result<Arc<dyn Source>, Diagnosis>>;

/// Carries a teardown out.
pub struct Teardown<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What is known, and where it is written down that it is gone.
    pub journal: &'a Journal,
    /// Run id, the proof of ownership where no UID is known.
    pub run: String,
    /// Where clones are.
    pub sources: Sources,
    /// Longest wait for one object to go.
    pub limit: Duration,
    /// The objects were looked up and judged a moment ago, by other proof than a run's label.
    pub(super) looked_up: bool,
    /// Nothing is changed; what would be done is said.
    pub(super) dry: bool,
    /// Whether it was told that the journal cannot be written.
    pub(super) told_unwritten: AtomicBool,
    /// Set when the cluster answers nothing any more.
    silent: OnceLock<()>,
}

impl<'a> Teardown<'a> {
    /// For a run that is going on.
    pub fn of_session(session: &'a Session) -> Self {
        Self {
            cluster: session.cluster(),
            journal: session.journal(),
            run: session.run().to_owned(),
            sources: BTreeMap::from([(session.profile.name.clone(), Ok(session.source.clone()))]),
            limit: session.settings.object_timeout,
            looked_up: false,
            dry: false,
            told_unwritten: AtomicBool::new(false),
            silent: OnceLock::new(),
        }
    }

    /// For what a journal holds.
    pub fn new(cluster: &'a Cluster, journal: &'a Journal, run: &str, sources: Sources, limit: Duration) -> Self {
        let (told_unwritten, silent) = (AtomicBool::new(false), OnceLock::new());
        Self { cluster, journal, run: run.to_owned(), sources, limit, looked_up: false, dry: false, told_unwritten, silent }
    }

    /// For objects that were looked up and judged a moment ago, as those of lists of mtv-api-tests are: their UIDs are proof enough.
    #[must_use]
    pub fn of_looked_up(self) -> Self {
        Self { looked_up: true, ..self }
    }

    /// Changes nothing: takes the same decisions and says what would be done, in [`Done::planned`].
    #[must_use]
    pub fn dry_run(self, dry: bool) -> Self {
        Self { dry, ..self }
    }

    /// Takes away what belongs to one scenario. Its maps and networks lie in the run's namespace and go with it.
    pub async fn scenario(&self, scenario: &str, cx: &StepCx) -> Result<Done, Failure> {
        let mine = |r: &Record| match &r.entry {
            Entry::Object { scenario: Some(s), .. } | Entry::Clone { scenario: Some(s), .. } => s == scenario,
            _ => false,
        };
        let records: Vec<Record> = self.journal.snapshot().into_iter().filter(mine).collect();
        self.carry_out(&records, cx).await
    }

    /// Takes away everything.
    pub async fn everything(&self, cx: &StepCx) -> Result<Done, Failure> {
        let records = self.journal.snapshot();
        self.carry_out(&records, cx).await
    }

    /// Deletes what gathered diagnostics: its namespace and the right to read.
    pub async fn gatherer(&self, cx: &StepCx) -> Result<Done, Failure> {
        let records: Vec<Record> = self.journal.snapshot().into_iter().filter(|record| gathers(&record.entry)).collect();
        self.carry_out(&records, cx).await
    }

    /// Whether something is left on a cluster that still answers, where what MTV says of it can be collected.
    pub fn left_on_cluster(&self, left: &[Leftover]) -> bool {
        let records = self.journal.snapshot();
        let on = |object: &str| records.iter().any(|record| on_cluster(&record.entry) && record.entry.to_string() == object);
        self.silent.get().is_none() && left.iter().any(|left| on(&left.object))
    }

    /// Takes away what is on sources, which needs no cluster.
    pub async fn on_sources(&self, cx: &StepCx) -> Result<Done, Failure> {
        let there =
            |record: &Record| matches!(record.entry, Entry::Clone { .. } | Entry::VolumeSnapshot { .. } | Entry::AuthorizedKey { .. });
        let records: Vec<Record> = self.journal.snapshot().into_iter().filter(there).collect();
        self.carry_out(&records, cx).await
    }

    async fn carry_out(&self, records: &[Record], cx: &StepCx) -> Result<Done, Failure> {
        // Namespaces of ours take along what is in them: objects there need no request of their own, unless they mean
        // something to the controller (Migrations and Plans).
        let mut ours: BTreeSet<String> = self.journal.snapshot().iter().filter_map(namespace_name).collect();
        let mut done = Done::default();
        let standing = self.stages(records, &ours, cx, &mut done).await?;
        if !standing.is_empty() && !self.dry {
            // They stay, so what is ours in them has to go by itself.
            ours.retain(|namespace| !standing.contains(namespace));
            let inside = |r: &Record| matches!(&r.entry, Entry::Object { namespace, .. } if standing.contains(namespace));
            let wanted: BTreeSet<_> = records.iter().map(|r| r.id).collect();
            let rest: Vec<Record> = self.journal.snapshot().into_iter().filter(|r| inside(r) && wanted.contains(&r.id)).collect();
            self.stages(&rest, &ours, cx, &mut done).await?;
        }
        Ok(done)
    }

    /// Carries the stages out. Returns the namespaces that stay.
    async fn stages(&self, records: &[Record], ours: &BTreeSet<String>, cx: &StepCx, done: &mut Done) -> Result<BTreeSet<String>, Failure> {
        let mut standing = BTreeSet::new();
        let stages = order(records);
        let count = stages.len();
        for (number, mut stage) in stages.into_iter().enumerate() {
            stage.records.retain(|r| self.dry || stage.action != Action::Delete || !goes_along(&r.entry, ours));
            if stage.records.is_empty() {
                continue;
            }
            cx.progress(format!("{} {}", if self.dry { "looking at" } else { "removing" }, stage.what), None);
            // Half of the time that is left, so that a stage that hangs leaves some to the next ones.
            let left = cx.deadline.left();
            let share = if number + 1 == count { left } else { left / 2 };
            let cx = &StepCx { deadline: cx.deadline.within(share), ..cx.clone() };
            let mut results = match stage.action {
                Action::Cancel => self.each(&stage, cx, |r| self.cancel(r, cx)).await?,
                Action::Archive => self.each(&stage, cx, |r| self.archive(r, cx)).await?,
                Action::Restore => self.each(&stage, cx, |r| self.restore(r, cx)).await?,
                Action::Delete => self.each(&stage, cx, |r| self.delete(r, cx)).await?,
            };
            self.notice_silence(&mut results, cx).await;
            for (record, result) in results {
                let stays = !matches!(result, Ok(Removed::Deleted | Removed::Absent));
                if stays && let Some(namespace) = namespace_name(record) {
                    standing.insert(namespace);
                }
                match result {
                    Err(reason) if matches!(stage.action, Action::Delete | Action::Restore) => {
                        done.left.push(Leftover { object: record.entry.to_string(), reason });
                    }
                    // Cancel and archive come before the deletion, which tells what is left.
                    Err(_) if self.silent.get().is_some() => {}
                    Err(reason) => cx.warn(format!("{}: {reason}", record.entry)),
                    Ok(Removed::Deleted) => {
                        let object = record.entry.to_string();
                        cx.emitter.emit(What::Deleted { object: object.clone() });
                        done.deleted.push(object);
                    }
                    Ok(Removed::Restored) => {
                        let object = record.entry.to_string();
                        cx.emitter.emit(What::Restored { object: object.clone() });
                        done.restored.push(object);
                    }
                    Ok(Removed::Would(lines)) => done.planned.extend(lines),
                    Ok(Removed::Absent | Removed::LeftToOthers) => {}
                }
            }
        }
        Ok(standing)
    }

    /// After something has failed: a cluster that answers nothing any more is told once, and not asked again for each object.
    async fn notice_silence(&self, results: &mut [(&Record, Result<Removed, String>)], cx: &StepCx) {
        let failed = |(record, result): &(&Record, Result<Removed, String>)| on_cluster(&record.entry) && result.is_err();
        if self.silent.get().is_none() && results.iter().any(failed) {
            let asked = self.cluster.get(&kinds::NAMESPACE, None, "kube-system").await;
            if let Err(why) = asked {
                cx.warn(format!("{} cannot be used any more: {why:#}", self.cluster.server()));
                let _first = self.silent.set(());
            }
        }
        if self.silent.get().is_some() {
            for (record, result) in results.iter_mut() {
                if on_cluster(&record.entry) && result.is_err() {
                    tracing::debug!(entry = %record.entry, why = ?result, "left, because the cluster answers nothing");
                    *result = Err(self.silence());
                }
            }
        }
    }

    fn silence(&self) -> String {
        format!("{} cannot be used", self.cluster.server())
    }

    /// Does the same to all records of a stage, many at the same time. An interrupt ends it, anything else is a record's problem.
    async fn each<'r, F>(
        &self,
        stage: &'r Stage,
        cx: &StepCx,
        work: impl Fn(&'r Record) -> F,
    ) -> Result<Vec<(&'r Record, Result<Removed, String>)>, Failure>
    where
        F: Future<Output = Result<Removed, Failure>>,
    {
        let started = Instant::now();
        let until = cx.deadline.at() + OVERRUN;
        // A request that hangs must not take the time of all others.
        let bounded = |record: &'r Record| {
            let skipped = self.silent.get().filter(|()| on_cluster(&record.entry)).map(|()| self.silence());
            let work = work(record);
            async move {
                if let Some(why) = skipped {
                    return (record, Err(Failure::Errored(Diagnosis::new(Id::TeardownFailed, why))));
                }
                let result = timeout_at(until, work).await.unwrap_or_else(|_| {
                    let text = format!("not done after {}: the server did not answer", human(started.elapsed()));
                    Err(Failure::Errored(Diagnosis::new(Id::TeardownTimeout, text)))
                });
                (record, result)
            }
        };
        let all: Vec<_> = stage.records.iter().map(bounded).collect();
        let all: Vec<_> = futures::stream::iter(all).buffered(SIDE_BY_SIDE).collect().await;
        let mut results = Vec::new();
        for (record, result) in all {
            let result = match result {
                Ok(removed) => Ok(removed),
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(Failure::Failed(trouble) | Failure::Errored(trouble)) => Err(trouble.one_line()),
            };
            results.push((record, result));
        }
        Ok(results)
    }
}

/// Whether it is the cluster that is asked to remove it.
fn on_cluster(entry: &Entry) -> bool {
    matches!(entry, Entry::Object { .. } | Entry::Patch { .. })
}

/// Whether it was made to gather diagnostics.
fn gathers(entry: &Entry) -> bool {
    matches!(entry, Entry::Object { name, namespace, .. } if namespace.is_empty() && name.starts_with(names::GATHER))
}

fn namespace_name(record: &Record) -> Option<String> {
    match &record.entry {
        Entry::Object { kind, name, .. } if kind == kinds::NAMESPACE.kind && record.state != State::Gone => Some(name.clone()),
        _ => None,
    }
}

/// Whether an object goes with a namespace of ours and means nothing to a controller or a source beside that.
fn goes_along(entry: &Entry, ours: &BTreeSet<String>) -> bool {
    match entry {
        Entry::Object { kind, namespace, .. } => {
            ours.contains(namespace) && ![kinds::MIGRATION.kind, kinds::PLAN.kind].contains(&kind.as_str())
        }
        _ => false,
    }
}

/// For messages: `VM x`, `Plan a/b`.
pub(super) fn told(kind: &'static Kind, namespace: &str, object: &DynamicObject) -> String {
    name_of(kind, Some(namespace), object.metadata.name.as_deref().unwrap_or_default())
}
