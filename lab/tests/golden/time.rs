//! Time that passes only when nothing is left to do, so that a busy machine changes no order of events.

use std::{future::Future, time::Duration};

use tokio::runtime::{Builder, Handle};

/// How far time goes at once: less than anything that a recording tells apart.
const STEP: Duration = Duration::from_millis(100);
/// How long, in real time, nothing may happen before the lab counts as idle. All of it runs in one thread, and loopback
/// delivers at once: this is no time-out, it only lets the thread look at its sockets.
const LOOK: Duration = Duration::from_micros(100);

/// Runs a future in a runtime whose time only this function moves.
pub fn run<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        // A paused clock goes on by itself while the runtime waits for its sockets, but not while a blocking task runs.
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let blocked = tokio::task::spawn_blocking(move || wait.recv());
        let done = tokio::select! {
            done = future => done,
            () = pass() => unreachable!("time has no end"),
        };
        drop(end);
        let _ = blocked.await;
        Ok(done)
    })
}

async fn pass() {
    let metrics = Handle::current().metrics();
    loop {
        loop {
            let before = metrics.worker_park_unpark_count(0);
            let _ = tokio::task::spawn_blocking(|| std::thread::sleep(LOOK)).await;
            // Once to sleep, once woken by the task above: nobody else woke the thread.
            if metrics.worker_park_unpark_count(0) - before <= 2 {
                break;
            }
        }
        tokio::time::advance(STEP).await;
    }
}
