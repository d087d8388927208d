//! Scenario files, provider profiles and run settings: typed, with spans, so that every error names file, line and column.

mod blot;
pub mod catalogue;
pub mod certificate;
pub mod copyoffload;
mod copyoffload_file;
pub mod diagnostics;
pub mod duration;
pub mod endpoint;
mod names;
pub mod profile;
pub mod profile_file;
pub mod protect;
pub(crate) mod read;
pub mod scenario;
pub mod scenario_file;
pub mod schema;
pub mod settings;
pub mod settings_keys;
pub mod settings_load;
pub mod suggest;
#[cfg(test)]
mod tests;
