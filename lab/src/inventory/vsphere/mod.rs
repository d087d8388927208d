//! Inventory of a vSphere provider: a collector that follows a vCenter, and the model that it fills.

mod collector;
mod host;
pub mod model;
mod tree;
pub mod vm;

pub use collector::Collector;
pub use tree::tree;
