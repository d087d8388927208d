//! Real servers for the tests, each on an ephemeral loopback port with a data folder of its own.
//!
//! Programs come from the folder that `MTV_TEST_ASSETS` (or kube's own `KUBEBUILDER_ASSETS`) names; `tests/servers/build`
//! makes it. Everything ends with the value that stands for it, and with the test process at the latest.

pub mod assets;
mod certificates;
pub mod cluster;
pub mod crds;
pub mod forklift;
mod process;
pub mod suite;
pub mod vcsim;

pub use cluster::{Options, RealCluster};
pub use process::Process;
pub use vcsim::Vcsim;
