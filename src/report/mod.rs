//! What comes out of a run. Every report is a [`Sink`], fed by events and by nothing else; a new one is a file and a line.

pub mod console;
pub mod junit;
pub mod log;
pub mod model;
pub mod ndjson;
pub mod results;
pub mod screen;
#[cfg(test)]
pub(crate) mod tests;

use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::model::Run;
use crate::events::{Event, What};

/// Takes the events of a run, in order.
pub trait Sink: Send {
    /// What it writes, for messages: `junit-report.xml`.
    fn name(&self) -> &str;

    /// Takes one event, and the run as it is with this event. What it writes should be on its way to the disk on return: the process
    /// can die at any moment.
    fn event(&mut self, event: &Event, run: &Run) -> Result<()>;
}

/// The thread that hands the events to the sinks.
#[derive(Debug)]
pub struct Reports {
    thread: JoinHandle<Vec<String>>,
}

/// Starts the thread. It ends after `RunFinished`, or when nobody can emit any more.
///
/// It is a thread and no task, because sinks write to files and terminals, which may block.
pub fn start(sinks: Vec<Box<dyn Sink>>) -> Result<(UnboundedSender<Event>, Reports)> {
    let (send, events) = unbounded_channel();
    let thread = thread::Builder::new()
        .name("reports".to_owned())
        .spawn(move || fan_out(sinks, events))
        .context("failed to start the thread of the reports")?;
    Ok((send, Reports { thread }))
}

impl Reports {
    /// Waits until everything is written. Returns what could not be, one sentence per sink.
    pub fn finish(self) -> Vec<String> {
        self.thread.join().unwrap_or_else(|_| vec!["the thread of the reports panicked".to_owned()])
    }
}

fn fan_out(mut sinks: Vec<Box<dyn Sink>>, mut events: UnboundedReceiver<Event>) -> Vec<String> {
    let mut problems: Vec<Option<String>> = sinks.iter().map(|_| None).collect();
    // Folded once, for all of them.
    let mut run = Run::default();
    while let Some(event) = events.blocking_recv() {
        run.apply(&event);
        for (sink, problem) in sinks.iter_mut().zip(&mut problems) {
            // A sink that failed is tried again: a full disk can get room, and the next report may then be whole.
            if let Err(error) = sink.event(&event, &run) {
                problem.get_or_insert_with(|| format!("failed to write {}: {error:#}", sink.name()));
            }
        }
        if matches!(event.what, What::RunFinished { .. }) {
            break;
        }
    }
    problems.into_iter().flatten().collect()
}
