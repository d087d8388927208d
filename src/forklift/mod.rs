//! forklift
