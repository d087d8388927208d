//! Clean up: a scenario's migrated VMs and clones go as soon as it is done; what the run shares goes at its end.

use super::Scene;
use crate::{
    engine::{Failure, StepCx},
    run::Teardown,
};

/// Runs the step. What cannot be deleted is told here and tried again at the end of the run, which decides about the exit code.
pub async fn run(scene: &Scene<'_>, cx: &StepCx) -> Result<Vec<String>, Failure> {
    scene.clones.finished().await;
    let done = Teardown::of_session(scene.session).scenario(&scene.scenario.name, cx).await?;
    for left in &done.left {
        cx.warn(format!("{} could not be deleted yet: {}", left.object, left.reason));
    }
    Ok(done.deleted.into_iter().map(|object| format!("deleted {object}")).collect())
}
