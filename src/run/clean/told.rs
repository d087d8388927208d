//! What a clean-up prints: results on stdout, messages on stderr.

use std::io::Write as _;

use super::environment;
use crate::{
    cli::{CliError, CliResult, say, tell},
    engine::Failure,
    events::{Event, What},
    exit,
    journal::{Read, Record, order},
    report::Sink,
    run::Done,
    secrets::mask,
};

/// Shows what would be deleted, in order.
pub fn order(nothing: &str, records: &[Record]) -> CliResult {
    let mut out = anstream::stdout().lock();
    let mut write = |text: &str| writeln!(out, "{text}").map_err(|e| CliError::internal(format!("cannot write to stdout: {e}")));
    let stages = order::order(records);
    if stages.is_empty() {
        write(nothing)?;
    }
    for stage in stages {
        let (verb, condition) = match stage.action {
            order::Action::Cancel => ("would cancel", " if it still runs"),
            order::Action::Archive => ("would archive", " if it was executed"),
            order::Action::Delete => ("would delete", ""),
            order::Action::Restore => ("would restore", " if nobody else changed it since"),
        };
        for record in &stage.records {
            write(&format!("{verb} {}{condition}", record.entry))?;
        }
    }
    Ok(exit::PASSED)
}

/// Warns of damage, with its place.
pub fn damage(found: &Read) {
    for damage in &found.damage {
        tell(&format!("warning: {damage}"));
    }
}

/// Tells how a clean-up ended; `whose` is what it was about: `run abc`.
pub fn ending(whose: &str, result: Result<Done, Failure>) -> CliResult {
    match result {
        Ok(done) if done.left.is_empty() => {
            say(&format!("nothing is left of {whose}"));
            Ok(exit::PASSED)
        }
        Ok(done) => {
            say(&format!("{} of {whose} could not be removed:", done.left.len()));
            for left in done.left {
                say(&format!("  {}: {}", left.object, mask(&left.reason)));
            }
            say("the same command tries again");
            Ok(exit::LEFT_BEHIND)
        }
        Err(Failure::Interrupted) => {
            say("interrupted; the same command goes on");
            Ok(exit::INTERRUPTED)
        }
        Err(failure) => Err(environment(failure)),
    }
}

/// Says what is deleted as it goes.
pub struct Lines {
    /// Number of `-v`.
    pub verbose: u8,
}

impl Sink for Lines {
    fn name(&self) -> &'static str {
        "the messages"
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        match &event.what {
            What::Deleted { object } => say(&format!("deleted {object}")),
            What::Warning { message } => tell(&format!("warning: {message}")),
            What::StepProgress { doing, .. } if self.verbose > 0 => tell(doing),
            _ => {}
        }
        Ok(())
    }
}
