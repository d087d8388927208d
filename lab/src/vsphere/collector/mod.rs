//! The property collector: what clients read properties and follow changes with.

pub mod filter;
pub mod page;
pub mod read;
pub mod traversal;
pub mod updates;
pub mod view;
