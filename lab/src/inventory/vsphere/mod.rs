//! Inventory of a vSphere provider: a collector that follows a vCenter, and the model that it fills.

mod collector;
pub mod model;
pub mod vm;

pub use collector::Collector;
