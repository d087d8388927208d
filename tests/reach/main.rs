//! Reaching a cluster and its endpoints through the binary: proxies, kubeconfigs of all kinds, exec plugins, certificates, logins
//! that end, and refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

mod bed;
mod certificates;
mod kubeconfigs;
mod plugins;
mod proxies;
mod rights;

#[path = "../lab/support.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod support;
