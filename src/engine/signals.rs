//! The ladder of interrupts: first tear down, second leave things where they are, third go.
//!
//! Interrupts come in through a channel, so that tests can send them; [`from_system`] connects SIGINT and SIGTERM.

use std::{future::pending, io};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::Emitter;
use crate::events::What;

/// A request of the user or of the CI host to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// ^C.
    Sigint,
    /// What a CI host sends before it kills.
    Sigterm,
}

impl Interrupt {
    const fn name(self) -> &'static str {
        match self {
            Self::Sigint => "SIGINT",
            Self::Sigterm => "SIGTERM",
        }
    }
}

/// Where interrupts come from. A closed channel means that none will come any more.
pub type Interrupts = UnboundedReceiver<Interrupt>;

/// Three tokens, one tree: each stage of the ladder includes the ones below it.
#[derive(Debug, Clone)]
pub(super) struct Ladder {
    /// Stage 3: nobody waits for anything any more. The root.
    pub leave: CancellationToken,
    /// Stage 2: what cleans up stops too. Child of `leave`.
    pub tear_down: CancellationToken,
    /// Stage 1: what tests stops. Child of `tear_down`.
    pub work: CancellationToken,
}

impl Ladder {
    pub fn new() -> Self {
        let leave = CancellationToken::new();
        let tear_down = leave.child_token();
        let work = tear_down.child_token();
        Self { leave, tear_down, work }
    }

    /// How far it was climbed: 0 to 3.
    pub fn stage(&self) -> u8 {
        [&self.work, &self.tear_down, &self.leave].iter().map(|token| u8::from(token.is_cancelled())).sum()
    }

    /// Climbs a rung per interrupt. Never returns: it is raced against the run.
    pub async fn climb(&self, mut interrupts: Interrupts, emitter: &Emitter) {
        let rungs = [
            (&self.work, "stopping, tearing down; once more to leave everything in place"),
            (&self.tear_down, "skipping the teardown; once more to leave at once"),
            (&self.leave, "leaving at once"),
        ];
        for (stage, (token, consequence)) in (1..).zip(rungs) {
            let Some(interrupt) = interrupts.recv().await else { break };
            emitter.emit(What::CancelBegun { stage, reason: format!("{}: {consequence}", interrupt.name()) });
            token.cancel();
        }
        pending::<()>().await;
    }
}

/// Interrupts with one in front that was taken out already.
pub fn once_more(first: Interrupt, mut rest: Interrupts) -> Interrupts {
    let (send, interrupts) = unbounded_channel();
    // It cannot fail: the other end is in the hand.
    let _ = send.send(first);
    tokio::spawn(async move {
        while let Some(next) = rest.recv().await {
            if send.send(next).is_err() {
                break;
            }
        }
    });
    interrupts
}

/// SIGINT and SIGTERM of this process, from now on. The task ends with the runtime, or when nobody listens any more.
pub fn from_system() -> io::Result<Interrupts> {
    use tokio::signal::unix::{SignalKind, signal};
    let (send, interrupts): (UnboundedSender<Interrupt>, Interrupts) = unbounded_channel();
    let mut sigint = signal(SignalKind::interrupt())?;
    let mut sigterm = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            let interrupt = tokio::select! {
                Some(()) = sigint.recv() => Interrupt::Sigint,
                Some(()) = sigterm.recv() => Interrupt::Sigterm,
                else => break,
            };
            if send.send(interrupt).is_err() {
                break;
            }
        }
    });
    Ok(interrupts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signals_of_the_process_come_in() {
        let mut interrupts = from_system().unwrap();
        for (name, expected) in [("TERM", Interrupt::Sigterm), ("INT", Interrupt::Sigint)] {
            // From here on this process does not end by them: the handlers are in place.
            let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {}", std::process::id())]).status();
            assert!(sent.unwrap().success());
            assert_eq!(interrupts.recv().await, Some(expected));
        }
    }
}
