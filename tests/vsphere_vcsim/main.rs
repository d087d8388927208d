//! The vSphere client against a real server: govmomi's vcsim, with govc as a second client that prepares and checks.
//!
//! The programs come from `tests/servers/build`; see CONTRIBUTING.md. Each test has a server of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clones;
mod disks;
mod front;
mod lookups;
mod lost_answers;
mod operations;
mod sessions;
mod support;
mod trust;
