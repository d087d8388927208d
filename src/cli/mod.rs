//! The command line: one file per subcommand, and the only code that prints or decides an exit code.

mod clean;
mod completions;
mod config;
mod context;
mod error;
mod generate;
#[cfg(feature = "lab")]
pub mod lab;
mod list;
mod must_gather;
mod options;
mod run;
mod validate;

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use clean::{CleanRequest, CleanTarget};
pub use error::{CliError, CliResult, say, tell, unwritten};
pub use must_gather::GatherRequest;
pub use options::{ClusterOptions, ColorChoice, GlobalOptions, ScenarioOptions, SelectOptions, SettingsOptions};
pub use run::{ProfileChoice, RunRequest};

use crate::exit;

/// Test that MTV really migrates virtual machines into OpenShift Virtualization
#[derive(Debug, Parser)]
#[command(name = "mtv-test", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

/// Subcommands in the order of the help.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    List(list::Args),
    Clean(clean::Args),
    MustGather(must_gather::Args),
    Validate(validate::Args),
    Config(config::Args),
    #[cfg(feature = "lab")]
    Lab(lab::Args),
    Completions(completions::Args),
    Generate(generate::Args),
}

/// The whole command line, with the exit codes in its help. Completions and manual pages are made from the same value.
pub fn command() -> clap::Command {
    Cli::command().after_help(exit_codes()).mut_subcommands(|command| {
        let help = if command.get_name() == "config" { config::settings_help() } else { exit_codes() };
        command.after_long_help(help)
    })
}

/// The table of exit codes as help shows it.
fn exit_codes() -> String {
    let rows: Vec<String> = exit::ALL.iter().map(|exit| format!("  {}  {}", exit.code, exit.meaning)).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// Runs a command line, prints what it says, and returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> exit::ExitCode {
    let parsed = command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too: they are data, and no mistake. Nobody is left to tell when printing fails.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::PASSED };
        }
    };
    cli.global.color.apply();
    let done = match cli.command {
        Command::Run(args) => run::run(&cli.global, args),
        Command::List(args) => list::run(&args),
        Command::Clean(args) => clean::run(&cli.global, args),
        Command::MustGather(args) => must_gather::run(&cli.global, args),
        Command::Validate(args) => validate::run(&args),
        Command::Config(args) => config::run(&args),
        #[cfg(feature = "lab")]
        Command::Lab(args) => lab::main(&cli.global, args),
        Command::Completions(args) => completions::run(&args),
        Command::Generate(args) => generate::run(&args),
    };
    done.unwrap_or_else(|error| {
        error.print();
        error.exit()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
