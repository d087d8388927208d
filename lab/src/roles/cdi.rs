//! cdi
