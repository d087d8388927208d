//! Which scenarios run: markers, names, gates.

pub mod version;
