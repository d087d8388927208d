//! A clean-up from the resolved request to the exit code.

use crate::cli::{CleanRequest, CliError, CliResult};

/// Deletes what the journal lists.
pub fn execute(request: CleanRequest) -> CliResult {
    Err(CliError::internal(format!("this build cannot clean {}: the clean-up is not built in yet", request.journal.display())))
}
