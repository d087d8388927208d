//! The ladder of interrupts: first tear down, second leave things where they are, third go.
//!
//! Interrupts come in through a channel, so that tests can send them; [`from_system`] connects SIGINT, SIGTERM and SIGHUP.

use std::{future::pending, io, time::Duration};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::Emitter;
use crate::events::What;

/// Signals that arrive this soon after the one that counted are the same interrupt. GNU `timeout` and CI agents signal
/// the process and then its group within a few milliseconds; a person needs longer for a second ^C that is meant.
const SAME: Duration = Duration::from_secs(1);

/// Number of SIGXFSZ, see signal(7).
const SIGXFSZ: i32 = 25;

/// A signal that asks the process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// ^C.
    Int,
    /// What a CI host sends before it kills.
    Term,
    /// The terminal or the SSH session is gone.
    Hup,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Int => "SIGINT",
            Self::Term => "SIGTERM",
            Self::Hup => "SIGHUP",
        }
    }
}

/// A request of the user or of the CI host to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupt {
    /// The signal.
    pub signal: Signal,
    /// When it arrived, by the monotonic clock.
    pub at: Instant,
}

impl Interrupt {
    /// A signal that arrives now.
    pub fn now(signal: Signal) -> Self {
        Self { signal, at: Instant::now() }
    }
}

/// Where interrupts come from. A closed channel means that none will come any more.
pub type Interrupts = UnboundedReceiver<Interrupt>;

/// Decides which interrupts count: a signal that repeats the last one that counted does not, and a hang-up counts only as the
/// first, because it is repeated by shells, terminals and kernels without anybody meaning it.
#[derive(Debug, Default)]
pub struct Counted(Option<Instant>);

impl Counted {
    /// Whether this interrupt counts.
    fn counts(&mut self, interrupt: Interrupt) -> bool {
        let counts = match self.0 {
            None => true,
            Some(last) => interrupt.at.saturating_duration_since(last) >= SAME && interrupt.signal != Signal::Hup,
        };
        if counts {
            self.0 = Some(interrupt.at);
        } else {
            tracing::debug!(signal = interrupt.signal.name(), "the signal belongs to the interrupt before");
        }
        counts
    }

    /// Waits for the next interrupt that counts; `None` when none will come any more.
    pub async fn next(&mut self, interrupts: &mut Interrupts) -> Option<Interrupt> {
        loop {
            let interrupt = interrupts.recv().await?;
            if self.counts(interrupt) {
                return Some(interrupt);
            }
        }
    }
}

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

    /// Climbs a rung per interrupt that counts. Never returns: it is raced against the run.
    pub async fn climb(&self, mut interrupts: Interrupts, emitter: &Emitter) {
        let rungs = [
            (&self.work, "stopping, tearing down; once more to leave everything in place"),
            (&self.tear_down, "skipping the teardown; once more to leave at once"),
            (&self.leave, "leaving at once"),
        ];
        let mut counted = Counted::default();
        for (stage, (token, consequence)) in (1..).zip(rungs) {
            let Some(interrupt) = counted.next(&mut interrupts).await else { break };
            emitter.emit(What::CancelBegun { stage, reason: format!("{}: {consequence}", interrupt.signal.name()) });
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

/// SIGINT, SIGTERM and SIGHUP of this process, from now on. The task ends with the runtime, or when nobody listens any more.
///
/// A SIGHUP that was ignored when the process started stays ignored: that is how `nohup` works. SIGXFSZ no longer kills the
/// process, so that a file that grows beyond `ulimit -f` is an ordinary error of writing.
pub fn from_system() -> io::Result<Interrupts> {
    use tokio::signal::unix::{SignalKind, signal};
    let (send, interrupts): (UnboundedSender<Interrupt>, Interrupts) = unbounded_channel();
    // The handler stays when the stream is dropped, and writing goes on with EFBIG. A system without this signal needs none.
    let _ = signal(SignalKind::from_raw(SIGXFSZ));
    let mut sigint = signal(SignalKind::interrupt())?;
    let mut sigterm = signal(SignalKind::terminate())?;
    let mut sighup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    tokio::spawn(async move {
        loop {
            let hangup = async {
                match &mut sighup {
                    Some(sighup) => sighup.recv().await,
                    None => pending().await,
                }
            };
            let signal = tokio::select! {
                Some(()) = sigint.recv() => Signal::Int,
                Some(()) = sigterm.recv() => Signal::Term,
                Some(()) = hangup => Signal::Hup,
                else => break,
            };
            if send.send(Interrupt::now(signal)).is_err() {
                break;
            }
        }
    });
    Ok(interrupts)
}

/// Whether this process ignores SIGHUP, as the kernel has it. Where there is no `/proc`, it is taken not to.
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignored_in(&status))
}

/// Whether `/proc/PID/status` says that SIGHUP, the lowest bit of the mask, is ignored.
fn ignored_in(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signals_of_the_process_come_in() {
        let mut interrupts = from_system().unwrap();
        for (name, expected) in [("TERM", Signal::Term), ("INT", Signal::Int), ("HUP", Signal::Hup)] {
            if expected == Signal::Hup && ignores_hangup() {
                continue;
            }
            // From here on this process does not end by them: the handlers are in place.
            let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {}", std::process::id())]).status();
            assert!(sent.unwrap().success());
            assert_eq!(interrupts.recv().await.map(|interrupt| interrupt.signal), Some(expected));
        }
    }

    /// Which of these signals count; moments in milliseconds.
    fn counted(signals: &[(u64, Signal)]) -> Vec<u64> {
        let (start, mut counted) = (Instant::now(), Counted::default());
        let counts =
            |(moment, signal): &&(u64, Signal)| counted.counts(Interrupt { signal: *signal, at: start + Duration::from_millis(*moment) });
        signals.iter().filter(counts).map(|(moment, _)| *moment).collect()
    }

    #[test]
    fn signals_within_a_second_are_one_interrupt() {
        use Signal::{Hup, Int, Term};
        let table = [
            (vec![(0, Term), (0, Term), (3, Term)], vec![0]),
            (vec![(0, Term), (5, Int), (10, Hup), (999, Term)], vec![0]),
            (vec![(0, Int), (1000, Int), (2000, Int)], vec![0, 1000, 2000]),
            (vec![(0, Int), (400, Int), (800, Int), (1200, Int), (1300, Int)], vec![0, 1200]),
            (vec![(0, Hup), (1500, Hup), (9000, Hup)], vec![0]),
            (vec![(0, Hup), (1500, Term), (3000, Hup), (4000, Int)], vec![0, 1500, 4000]),
        ];
        for (signals, expected) in table {
            assert_eq!(counted(&signals), expected, "{signals:?}");
        }
    }

    #[test]
    fn the_kernel_tells_whether_hangups_are_ignored() {
        for (status, ignored) in [
            ("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n", true),
            ("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n", false),
            ("", false),
        ] {
            assert_eq!(ignored_in(status), ignored, "{status}");
        }
    }
}
