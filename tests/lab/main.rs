//! The binary against the lab, end to end: what a user starts, and what is left when it is stopped in the middle.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

mod analyze;
mod canaries;
mod catalogue;
mod checks;
mod crash;
mod environment;
mod events;
mod gather;
mod login;
mod offload;
mod sources;
#[allow(dead_code, reason = "other tests share it, each needs a part")]
mod support;
mod tier0;
mod vcsim;
mod waits;
