//! Scenario files, provider profiles and run settings: typed, with spans, so that every error names file, line and column.

pub mod profile;
pub mod scenario;
pub mod settings;
