//! `mtv-test completions`: completion scripts for shells.

use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::Shell;

use super::{CliError, CliResult, command, error::print_data};
use crate::exit;

/// Print a completion script
///
/// For example: `mtv-test completions bash > ~/.local/share/bash-completion/completions/mtv-test`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  source <(mtv-test completions bash)\n  mtv-test completions zsh > ~/.zfunc/_mtv-test\n  mtv-test completions fish > ~/.config/fish/completions/mtv-test.fish"
)]
pub(super) struct Args {
    /// Shell to complete in
    #[arg(value_name = "SHELL")]
    shell: Supported,
}

/// Shells whose scripts are also kept in `completions/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Supported {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

impl Supported {
    /// All of them, with the name under which the shell looks for its script.
    pub(super) const ALL: &[(Self, &str)] = &[(Self::Bash, "mtv-test.bash"), (Self::Zsh, "_mtv-test"), (Self::Fish, "mtv-test.fish")];

    /// The script.
    pub(super) fn script(self) -> Vec<u8> {
        let shell = match self {
            Self::Bash => Shell::Bash,
            Self::Zsh => Shell::Zsh,
            Self::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command(), NAME, &mut script);
        if self == Self::Bash { one_mangling(script) } else { script }
    }
}

/// Name of the program in its scripts.
const NAME: &str = "mtv-test";

/// Makes a script of bash use one name for each command. The generator mangles a dash in the program's name in two ways: where a
/// word leads to a command as `__`, and where the command's options stand as it does with a dash in a command's name.
fn one_mangling(script: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(script) {
        Ok(script) => script.replace(&NAME.replace('-', "__subcmd__"), &NAME.replace('-', "__")).into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

pub(super) fn run(args: &Args) -> CliResult {
    let script = String::from_utf8(args.shell.script()).map_err(|e| CliError::internal(format!("the script is no text: {e}")))?;
    print_data(&script)?;
    Ok(exit::PASSED)
}
