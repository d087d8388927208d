//! Programs that clients have started in guests.

/// A program of a guest.
#[derive(Debug, Clone)]
pub struct Program {
    /// Machine, a moRef value.
    pub vm: String,
    /// Number of the process.
    pub pid: i64,
    /// Name of the program.
    pub name: String,
    /// Who runs it.
    pub owner: String,
    /// Its command line.
    pub line: String,
    /// When it was started.
    pub started: String,
    /// When it ended, and with what exit status.
    pub ended: Option<(String, i32)>,
}
