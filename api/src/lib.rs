//! Wire formats that both `mtv-test` and its lab speak: Forklift custom resources, views of KubeVirt and CDI objects, the
//! inventory's JSON and the XML of vSphere's SOAP. Nothing in this crate opens a file or a socket.

pub mod condition;
pub mod forklift;
pub mod inventory;
pub mod kinds;
pub mod names;
pub mod template;
pub mod xml;
