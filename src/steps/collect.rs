//! What is collected where something went wrong, before the teardown deletes it: once, bounded in time, and never in the way of
//! the verdict.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    config::settings::Settings,
    engine::{Failure, StepCx},
    events::What,
    gather::{self, Target},
    journal::{Entry, Journal, Record, State},
    run::{Owner, ScenarioState},
};

use super::Scene;
use mtv_api::kinds;

/// What a set-up or teardown keeps of its time beside the gathering.
const KEPT: Duration = Duration::from_mins(1);

/// Collects of a scenario that went wrong, if it has made anything. Returns notes for the report.
///
/// # Errors
/// Only an interrupt; what does not work is a warning.
pub async fn after_failure(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let settings = &session.settings;
    if !state.went_wrong || std::mem::replace(&mut state.collected, true) || settings.skip_data_collector {
        return Ok(Vec::new());
    }
    let (journal, scenario) = (session.journal(), &scene.scenario.name);
    if !has_made(journal, Some(scenario)) {
        // A source VM that does not exist, for example: the cluster knows nothing of it.
        return Ok(Vec::new());
    }
    // The plan that was made last is the one that the scenario was at; without one, everything can be the reason.
    let plan = |record: &Record| match &record.entry {
        Entry::Object { kind, namespace, name, scenario: Some(of), .. } if *kind == kinds::PLAN.kind && of == scenario => {
            Some((namespace.clone(), name.clone()))
        }
        _ => None,
    };
    let plan = journal.snapshot().iter().rev().find_map(plan);
    collect(&session.owner, settings, cx, &Target { plan, vm: None }, scenario).await
}

/// Collects all of MTV for what belongs to no scenario, into the folder `name`.
///
/// # Errors
/// Only an interrupt; what does not work is a warning.
pub async fn everything(owner: &Owner, settings: &Settings, cx: &StepCx, name: &str) -> Result<(), Failure> {
    if settings.skip_data_collector {
        return Ok(());
    }
    collect(owner, settings, cx, &Target::default(), name).await.map(drop)
}

/// Whether something was made, for this scenario or at all, beside what only an attempt was noted of.
pub fn has_made(journal: &Journal, wanted: Option<&str>) -> bool {
    let made = |record: &Record| match &record.entry {
        Entry::Object { scenario, .. } | Entry::Clone { scenario, .. } => {
            record.state != State::Intent && (wanted.is_none() || scenario.as_deref() == wanted)
        }
        _ => false,
    };
    journal.snapshot().iter().any(made)
}

async fn collect(owner: &Owner, settings: &Settings, cx: &StepCx, target: &Target, name: &str) -> Result<Vec<String>, Failure> {
    let folder = folder(owner, settings, name);
    let limit = settings.must_gather_timeout.min(cx.deadline.left().saturating_sub(KEPT));
    match gather::gather(owner, cx, &settings.mtv_namespace, target, &folder, limit).await {
        Ok(gathered) => {
            cx.emitter.emit(What::Collected { folder: gathered.folder.clone(), files: gathered.files });
            let notes = gathered.notes.into_iter().map(|note| format!("must-gather: {note}"));
            Ok(std::iter::once(format!("must-gather: {} files in {}", gathered.files, gathered.folder.display())).chain(notes).collect())
        }
        Err(Failure::Interrupted) => Err(Failure::Interrupted),
        Err(Failure::Failed(trouble) | Failure::Errored(trouble)) => {
            cx.warn_with(format!("nothing could be collected: {}", trouble.line(": ")), trouble.hints);
            Ok(Vec::new())
        }
    }
}

/// Below the results, or below the folder that the user names for it.
fn folder(owner: &Owner, settings: &Settings, name: &str) -> PathBuf {
    let results = owner.journal.path().parent().unwrap_or_else(|| Path::new("."));
    let base = settings.data_collector_path.as_ref().map_or_else(|| results.join("must-gather"), |path| path.join(&owner.run));
    base.join(name)
}
