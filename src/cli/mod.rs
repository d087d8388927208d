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
mod mistakes;
mod must_gather;
mod options;
mod run;
mod validate;

use std::ffi::OsString;

use clap::{Args as _, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    #[command(alias = "completion")]
    Completions(completions::Args),
}

/// The whole command line, with examples and the exit codes in its help. Completions and manual pages are made from the same value.
pub fn command() -> clap::Command {
    Cli::command().after_help(exit_codes()).mut_subcommands(|command| {
        let help = if command.get_name() == "config" { config::settings_help() } else { exit_codes() };
        let examples = command.get_after_help().map(|examples| format!("{examples}\n\n")).unwrap_or_default();
        command.after_long_help(examples + &help)
    })
}

/// Name of the command that writes generated files: it is for contributors, and no help or completion shows it.
const GENERATE: &str = "generate";
/// Name of the command that does what `--version` does.
const VERSION: &str = "version";

/// What is parsed: [`command`], and what people try without being told.
fn parser() -> clap::Command {
    let generate = generate::Args::augment_args(clap::Command::new(GENERATE));
    let version = clap::Command::new(VERSION).about("Print version").hide(true);
    command().disable_help_subcommand(false).subcommand(generate).subcommand(version)
}

/// The table of exit codes as help shows it.
fn exit_codes() -> String {
    let rows: Vec<String> = exit::ALL.iter().map(|exit| format!("  {}  {}", exit.code, exit.meaning)).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// Runs a command line, prints what it says, and returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> exit::ExitCode {
    let parsed = parser().try_get_matches_from(args).and_then(|matches| match matches.subcommand() {
        Some((GENERATE, matches)) => Ok(Parsed::Generate(generate::Args::from_arg_matches(matches)?)),
        Some((VERSION, _)) => Ok(Parsed::Version),
        _ => Ok(Parsed::Command(Box::new(Cli::from_arg_matches(&matches)?))),
    });
    let cli = match parsed {
        Ok(Parsed::Command(cli)) => *cli,
        Ok(Parsed::Generate(args)) => return ended(generate::run(&args)),
        Ok(Parsed::Version) => return ended(error::print_data(&parser().render_version()).map(|()| exit::PASSED)),
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::PASSED };
            // Help and version come this way too: they are data, and no mistake. Nothing more can be done if printing fails.
            let _ = mistakes::explained(error).print();
            return code;
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
    };
    ended(done)
}

/// A command line.
enum Parsed {
    Command(Box<Cli>),
    Generate(generate::Args),
    Version,
}

/// Prints the error of a command, if it has one.
fn ended(done: CliResult) -> exit::ExitCode {
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
        super::parser().debug_assert();
    }
}
