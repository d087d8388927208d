//! `clean` with files from anywhere: a journal that an attacker wrote, or an honest one beside things that people made. Nothing is
//! deleted or changed that does not say itself that it is the run's, nobody is contacted on the word of a file, and what stays is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

mod bed;
mod copies;
mod craft;
mod crafted;
mod dry_run;
mod esxi;
mod people;
#[path = "../crash/sources.rs"]
#[allow(dead_code, reason = "each of the tests that share it uses a part")]
mod sources;
#[path = "../lab/support.rs"]
#[allow(dead_code, reason = "each of the tests that share it uses a part")]
mod support;
#[path = "../crash/traces.rs"]
#[allow(dead_code, reason = "each of the tests that share it uses a part")]
mod traces;
