//! Servers, and texts, that nobody means well with: whatever they do, a client ends with an ordinary error, within its memory, says
//! with whom it talked, and tells nobody else its secrets. `parsers` is the same for everything that reads text.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

mod bed;
mod cluster;
mod good;
mod lab;
mod parsers;
mod server;
mod sources;
mod ssh;
