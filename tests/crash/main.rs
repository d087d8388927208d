//! Crash safety of the whole binary, against the lab in a process of its own: killed at every point, interrupted at any moment,
//! beside foreign objects and beside itself.
//!
//! By default a sample; `MTV_TEST_KILLS=all` does all of it, `MTV_TEST_KILLS=200` so many kills.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

mod alive;
mod answers;
mod broken;
mod clean;
mod disk;
mod foreign;
mod front;
mod kill;
mod matrix;
mod signals;
mod sources;
mod sources_clean;
#[path = "../lab/support.rs"]
#[allow(dead_code, reason = "each of the tests that share it uses a part")]
mod support;
mod traces;
mod two_runs;
