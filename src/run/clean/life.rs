//! Whether the run that a clean-up is about still goes on: then nothing of it is touched.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::environment;
use crate::{
    cli::{CliError, say},
    cluster::Cluster,
    engine::{Deadline, Emitter, Failure, StepCx},
    journal::{Holder, Life, Read},
    run::alive::{self, Sign, Verdict},
};

/// What `clean` says of a run that goes on.
fn refused(run: &str, words: &str) -> CliError {
    CliError::usage(format!("run {run} is still running{words}; nothing was deleted"))
        .hint("the same command works when the run is over; to end it, interrupt its process")
}

/// A context for waits of this module: they say what they do by themselves.
fn quiet(run: &str, limit: Duration) -> StepCx {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let deadline = Deadline::current().unwrap_or_else(|| Deadline::after(limit));
    StepCx { emitter: Emitter::new(run, events), deadline, cancel: CancellationToken::new() }
}

/// Refuses to go on while the run of a journal still does.
///
/// # Errors
/// It goes on (exit code 4), or that cannot be found out (7).
pub async fn must_be_over(cluster: &Cluster, run: &str, journal: &Read, limit: Duration) -> Result<(), CliError> {
    let maker = journal.maker.as_ref();
    // The file was free to be locked although its own process never let go of it: that process is dead.
    if journal.left_behind {
        return Ok(());
    }
    let life = maker.map_or(Life::Unknown, Holder::life);
    let cx = quiet(run, limit);
    let signs = match alive::signs(cluster, Some(run)).await {
        Ok(signs) => signs,
        // A run that ended, or whose process is gone, may be on a cluster that is gone too.
        Err(_) if life == Life::Dead || journal.ended.is_some() => return Ok(()),
        Err(error) => {
            if let (Some(maker), Life::Alive) = (maker, life) {
                return Err(refused(run, &format!(" on {} (process {})", maker.host, maker.pid)));
            }
            let mut failure = environment(error.into());
            failure = failure.hint(format!("whether run {run} still goes on cannot be found out without the cluster; nothing was deleted"));
            return Err(failure);
        }
    };
    let sign = signs.get(run);
    // The run's own word. Where a sign of life contradicts it, that is looked into.
    if journal.ended.is_some() && sign.is_none() {
        return Ok(());
    }
    match alive::judge(cluster, sign, maker, &cx).await.map_err(environment)? {
        Verdict::Alive(words) => Err(refused(run, &words)),
        Verdict::Over(why) => {
            say(&format!("run {run} is over: {why}"));
            Ok(())
        }
        Verdict::Unclear(words) => Err(CliError::usage(format!("run {run} may still be running: {words}; nothing was deleted"))
            .hint(format!("give it more than {} with --timeout", crate::engine::human(alive::SILENCE)))),
    }
}

/// Whether runs that have left something are over.
pub struct Lives {
    signs: BTreeMap<String, Sign>,
    now: Timestamp,
}

impl Lives {
    /// Reads the signs of life of all runs, and the cluster's time.
    ///
    /// # Errors
    /// The namespaces cannot be listed, or the cluster's answers carry no time.
    pub async fn read(cluster: &Cluster) -> Result<Self, CliError> {
        let signs = alive::signs(cluster, None).await.map_err(|error| environment(error.into()))?;
        let now = cluster.clock().now().ok_or_else(|| {
            CliError::environment(format!("{} does not say what time it is, so ages cannot be told", cluster.server()))
                .hint("its answers lack the header `Date`; clean up with the runs' own resources.json")
        })?;
        Ok(Self { signs, now })
    }

    /// How long ago something was made, by the cluster's clock; nothing where that lies in the future.
    pub fn age(&self, made: Timestamp) -> Duration {
        let age: SignedDuration = self.now.duration_since(made);
        Duration::try_from(age).unwrap_or_default()
    }

    /// Why each of these runs is kept; `None` for those that are over. Those with a fresh sign of life are watched all at once.
    pub async fn kept(&self, cluster: &Cluster, runs: &[&str], limit: Duration) -> Result<Vec<Option<String>>, Failure> {
        try_join_all(runs.iter().map(async |run| {
            let Some(sign) = self.signs.get(*run) else { return Ok(None) };
            Ok(match alive::judge(cluster, Some(sign), None, &quiet(run, limit)).await? {
                Verdict::Alive(words) => Some(format!("it is still running{words}")),
                Verdict::Unclear(words) => Some(format!("it may still be running: {words}")),
                Verdict::Over(_) => None,
            })
        }))
        .await
    }
}
