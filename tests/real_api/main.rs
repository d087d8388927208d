//! The same runs as in the lab, with a real kube-apiserver, etcd and kube-controller-manager in place of the lab's own.
//! The definitions are the real ones where there are any, otherwise those that the lab makes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

#[path = "../crash/matrix.rs"]
#[allow(dead_code, reason = "each of the two tests that share it uses a part")]
mod matrix;
mod runs;
#[path = "../crash/sources.rs"]
#[allow(dead_code, reason = "each of the two tests that share it uses a part")]
mod sources;
#[path = "../lab/support.rs"]
#[allow(dead_code, reason = "each of the two tests that share it uses a part")]
mod support;
#[path = "../crash/traces.rs"]
#[allow(dead_code, reason = "each of the two tests that share it uses a part")]
mod traces;
