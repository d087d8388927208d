//! Clean up: a scenario's migrated VMs and clones go as soon as it is done; what the run shares goes at its end.

use super::{Scene, collect};
use crate::{
    engine::{Failure, StepCx},
    run::{ScenarioState, Teardown},
};

/// Runs the step. What cannot be deleted is a note here and tried again at the end of the run, which decides about the exit code.
pub async fn run(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    scene.clones.finished().await;
    let collected = collect::after_failure(scene, state, cx).await?;
    let done = Teardown::of_session(scene.session).scenario(&scene.scenario.name, cx).await?;
    let later = done.left.into_iter().map(|left| format!("{} could not be deleted yet: {}", left.object, left.reason));
    let deleted = done.deleted.into_iter().map(|object| format!("deleted {object}"));
    Ok(collected.into_iter().chain(deleted).chain(later).collect())
}
