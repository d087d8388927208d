//! Placeholder until the first subcommand lands.
