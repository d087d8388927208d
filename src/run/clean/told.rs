//! What a clean-up prints: results on stdout, messages on stderr.

use std::io::Write as _;

use super::environment;
use crate::{
    cli::{CliResult, say, tell, unwritten},
    diagnosis::with_hints,
    engine::{Failure, Leftover},
    events::{Event, What},
    exit,
    journal::{Read, Record, order},
    report::Sink,
    run::Done,
    secrets::{mask, printable},
};

/// Shows what would be deleted, in order.
pub fn order(nothing: &str, records: &[Record]) -> CliResult {
    let mut out = anstream::stdout().lock();
    let mut write = |text: &str| writeln!(out, "{}", printable(&mask(text))).map_err(|error| unwritten(&error));
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

/// Tells what a dry run came to; `whose` is what it was about.
pub fn planned(whose: &str, result: Result<Done, Failure>) -> CliResult {
    let done = match result {
        Ok(done) => done,
        Err(Failure::Interrupted) => {
            say("interrupted");
            return Ok(exit::INTERRUPTED);
        }
        Err(failure) => return Err(environment(failure)),
    };
    if done.planned.is_empty() && done.left.is_empty() {
        say(&format!("nothing is left of {whose}"));
    }
    for line in &done.planned {
        say(&mask(line));
    }
    for left in &done.left {
        say(&format!("would leave {}: {}", left.object, mask(&left.reason)));
    }
    kept(&done.kept);
    Ok(exit::PASSED)
}

/// Tells of copies that people made.
pub fn kept(kept: &[Leftover]) {
    for kept in kept {
        say(&format!("{}: {}", kept.object, mask(&kept.reason)));
    }
}

/// Warns of damage, with its place.
pub fn damage(found: &Read) {
    for damage in &found.damage {
        tell(&format!("warning: {damage}"));
    }
    for unknown in &found.unknown {
        tell(&format!("warning: {unknown}"));
    }
}

/// Tells how a clean-up ended; `whose` is what it was about: `run abc`.
pub fn ending(whose: &str, result: Result<Done, Failure>) -> CliResult {
    if let Ok(done) = &result {
        kept(&done.kept);
    }
    match result {
        Ok(done) if done.left.is_empty() => {
            say(&format!("nothing is left of {whose}"));
            Ok(exit::PASSED)
        }
        Ok(done) => {
            let count = done.left.len();
            say(&format!("{count} object{} of {whose} could not be removed:", if count == 1 { "" } else { "s" }));
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
            What::Restored { object } => say(&format!("restored {object}")),
            What::Warning { message, hints } => tell(&format!("warning: {}", with_hints(message, hints))),
            What::StepProgress { doing, .. } if self.verbose > 0 => tell(doing),
            _ => {}
        }
        Ok(())
    }
}
