//! Exit codes: part of the public interface, named once. 0 to 5 are pytest's, because CI jobs already branch on them.

/// A documented exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode {
    /// What the process returns.
    pub code: u8,
    /// What it means, as shown in help.
    pub meaning: &'static str,
}

/// Everything selected passed.
pub const PASSED: ExitCode = ExitCode { code: 0, meaning: "everything selected passed" };
/// At least one scenario failed.
pub const FAILED: ExitCode = ExitCode { code: 1, meaning: "at least one scenario failed" };
/// Interrupted by a signal.
pub const INTERRUPTED: ExitCode = ExitCode { code: 2, meaning: "interrupted by SIGINT, SIGTERM or SIGHUP" };
/// A defect of the tool itself.
pub const INTERNAL: ExitCode = ExitCode { code: 3, meaning: "internal error, please report it" };
/// Wrong usage, or a file that cannot be used.
pub const USAGE: ExitCode = ExitCode { code: 4, meaning: "wrong usage, or a file that cannot be used" };
/// Nothing was selected.
pub const NOTHING_SELECTED: ExitCode = ExitCode { code: 5, meaning: "nothing selected" };
/// Cluster, provider or credentials cannot be used.
pub const ENVIRONMENT: ExitCode = ExitCode { code: 7, meaning: "cluster, provider or credentials cannot be used" };
/// Passed, but something was left behind.
pub const LEFT_BEHIND: ExitCode = ExitCode { code: 8, meaning: "passed, but something was left behind" };
/// Everything that was selected was skipped.
pub const NOTHING_RAN: ExitCode = ExitCode { code: 9, meaning: "nothing ran: everything selected was skipped" };

/// All codes in ascending order. 6 is not used, not even for a run of which nothing ran: pytest gives it to a warning limit, and
/// a CI job that knows pytest's codes would take one for the other.
pub const ALL: &[ExitCode] = &[PASSED, FAILED, INTERRUPTED, INTERNAL, USAGE, NOTHING_SELECTED, ENVIRONMENT, LEFT_BEHIND, NOTHING_RAN];
