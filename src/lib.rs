//! `mtv-test` proves that MTV (upstream name Forklift) really migrates virtual machines into OpenShift Virtualization.
//!
//! Data flows one way: [`config`] is read, [`select`] makes the plan of the run, [`engine`] runs its [`steps`] and emits
//! [`events`], [`report`] writes what comes out, and the [`journal`] knows everything that has to be deleted again.

pub mod analyze;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod diagnosis;
pub mod engine;
pub mod events;
pub mod exit;
pub mod files;
pub mod forklift;
pub mod gather;
pub mod guest;
pub mod jira;
pub mod journal;
pub mod kill_points;
pub mod limits;
pub mod net;
#[doc(hidden)]
pub mod parsers;
pub mod providers;
pub mod report;
pub mod retry;
pub mod run;
pub mod secrets;
pub mod select;
pub mod steps;
pub mod trace;
pub mod verify;
