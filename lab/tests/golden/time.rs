//! Virtual time that advances only when the lab is idle, so that a busy machine does not change the order of events.

use std::{
    future::Future,
    net::UdpSocket,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Builder;

/// One step of time: less than the shortest interval that matters to a recording.
const STEP: Duration = Duration::from_millis(100);
/// How long the thread of the lab must have been asleep, in real time, before the lab counts as idle.
const LOOK: Duration = Duration::from_micros(100);

/// Runs a future in a runtime whose clock only this function moves.
pub fn run<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let parks = Arc::new(AtomicU64::new(0));
    let count = |parks: &Arc<AtomicU64>| {
        let parks = Arc::clone(parks);
        move || {
            parks.fetch_add(1, Ordering::SeqCst);
        }
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        // One thread keeps the clock paused, the other one waits for the lab to be idle: it waits behind every other blocking task.
        .max_blocking_threads(2)
        .on_thread_park(count(&parks))
        .on_thread_unpark(count(&parks))
        .build()
        .map_err(|error| error.to_string())?;
    let idle = Arc::new(Idle::new(parks).map_err(|error| error.to_string())?);
    runtime.block_on(async {
        // A paused clock advances by itself while the runtime waits for its sockets, but not while a blocking task runs.
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let blocked = tokio::task::spawn_blocking(move || wait.recv());
        let done = tokio::select! {
            done = future => done,
            () = pass(&idle) => unreachable!("time has no end"),
        };
        drop(end);
        idle.ended.store(true, Ordering::SeqCst);
        let _ = blocked.await;
        Ok(done)
    })
}

async fn pass(idle: &Arc<Idle>) {
    loop {
        let idle = Arc::clone(idle);
        let _ = tokio::task::spawn_blocking(move || idle.wait()).await;
        tokio::time::advance(STEP).await;
    }
}

/// Tells when the runtime's only thread sleeps because no task is runnable and no socket is ready.
struct Idle {
    /// How often the thread parked and unparked: odd while it is parked.
    parks: Arc<AtomicU64>,
    /// The thread's state as the kernel reports it.
    stat: PathBuf,
    /// Sends to itself: what was sent over loopback before arrives before.
    loopback: UdpSocket,
    /// Nobody waits any more, and the thread may not park again.
    ended: AtomicBool,
}

impl Idle {
    /// Must be called by the thread that runs the runtime.
    fn new(parks: Arc<AtomicU64>) -> std::io::Result<Self> {
        let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
        let loopback = UdpSocket::bind("127.0.0.1:0")?;
        loopback.connect(loopback.local_addr()?)?;
        loopback.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self { parks, stat: Path::new("/proc").join(thread).join("stat"), loopback, ended: AtomicBool::new(false) })
    }

    /// Blocks until the thread slept through a whole look.
    ///
    /// Parked is not enough on a busy machine: the thread may have been woken by a socket and not have got a processor yet.
    fn wait(&self) {
        while !self.ended.load(Ordering::SeqCst) {
            let before = self.asleep();
            std::thread::sleep(LOOK);
            if self.loopback.send(&[0]).is_ok() {
                let _ = self.loopback.recv(&mut [0]);
            }
            if before.is_some() && self.asleep() == before {
                return;
            }
        }
    }

    /// The number of the park through which the thread sleeps.
    fn asleep(&self) -> Option<u64> {
        let parks = self.parks.load(Ordering::SeqCst);
        let sleeping =
            std::fs::read_to_string(&self.stat).map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|s| s.starts_with('S')));
        (parks % 2 == 1 && sleeping && self.parks.load(Ordering::SeqCst) == parks).then_some(parks)
    }
}
