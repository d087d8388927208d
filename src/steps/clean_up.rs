//! Clean up: a scenario's migrated VMs and clones go as soon as it is done; what the run shares goes at its end.

use super::Scene;
use crate::{
    engine::{Failure, StepCx},
    events::Trouble,
    run::Teardown,
};

/// Runs the step.
pub async fn run(scene: &Scene<'_>, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let teardown = Teardown::of_session(session);
    let done = teardown.scenario(&scene.scenario.name, cx).await?;
    if done.left.is_empty() {
        return Ok(done.deleted);
    }
    let left = done.left.iter().map(|l| format!("{}: {}", l.object, l.reason)).collect();
    Err(Failure::Errored(Trouble {
        summary: format!("{} objects of the scenario could not be deleted", done.left.len()),
        details: left,
        hints: vec!["the end of the run tries again; `mtv-test clean` does so later".to_owned()],
    }))
}
