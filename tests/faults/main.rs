//! Faults of the API and the network change nothing but the time.
//!
//! `retry_table` is the table of what each fault means for each verb, `watch_chaos` the watches, `soak` whole runs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

mod retry_table;
mod soak;
mod watch_chaos;

#[path = "../rest_sources/bed.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod rest_bed;
#[path = "../lab/support.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod support;
