//! A run from the resolved request to the exit code.

use crate::cli::{CliError, CliResult, RunRequest};

/// Runs the plan.
pub fn execute(request: RunRequest) -> CliResult {
    let scenarios = request.plan.scenarios.len();
    Err(CliError::internal(format!("this build cannot run the {scenarios} selected scenarios: the engine is not built in yet")))
}
