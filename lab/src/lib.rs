//! The lab: a simulated data centre behind real protocols on loopback.
//!
//! OpenShift with MTV and KubeVirt, a vCenter and guests with SSH. Each simulator is a role of its own: the Kubernetes
//! API is a server, everything that acts on it is an ordinary client of it, with watches and optimistic locking, so that
//! any real component can take a simulator's place.

pub mod clock;
pub mod datacenter;
pub mod esxi;
pub mod faults;
pub mod forklift;
pub mod guests;
pub mod inventory;
pub mod jira;
pub mod kubernetes;
pub mod lab;
pub mod monitoring;
pub mod openstack;
pub mod ova;
pub mod ovirt;
pub mod roles;
pub mod tls;
pub mod trust;
pub mod vsphere;
pub mod web;
pub mod world;
