//! `mtv-test generate`: the files of the repository that come from the code.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args as ClapArgs, ValueHint};

use super::{CliError, CliResult, command, completions::Supported, error::print_data};
use crate::{config::schema, exit};

/// Write completion scripts, manual pages and JSON schemas
#[derive(Debug, ClapArgs)]
#[command(hide = true)]
pub(super) struct Args {
    /// Folder that gets completions/, man/ and schemas/
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

/// All generated files: path below the folder, and content.
fn files() -> Result<Vec<(PathBuf, Vec<u8>)>, CliError> {
    let mut files: Vec<(PathBuf, Vec<u8>)> =
        Supported::ALL.iter().map(|(shell, name)| (Path::new("completions").join(name), shell.script())).collect();
    let mut root = command();
    root.build();
    pages(&root, "mtv-test", &mut files)?;
    for (name, schema) in schema::all() {
        let text = serde_json::to_string_pretty(&schema).map_err(|e| CliError::internal(format!("cannot write {name}: {e}")))?;
        files.push((Path::new("schemas").join(name), (text + "\n").into_bytes()));
    }
    Ok(files)
}

/// One page per command that help shows.
fn pages(command: &clap::Command, name: &str, files: &mut Vec<(PathBuf, Vec<u8>)>) -> Result<(), CliError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut page)
        .map_err(|e| CliError::internal(format!("cannot write the page of {name}: {e}")))?;
    files.push((Path::new("man").join(format!("{name}.1")), page));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages(sub, &format!("{name}-{}", sub.get_name()), files)?;
    }
    Ok(())
}

pub(super) fn run(args: &Args) -> CliResult {
    for (path, content) in files()? {
        let path = args.folder.join(path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
        written.map_err(|e| CliError::usage(format!("cannot write {}: {e}", path.display())))?;
        print_data(&format!("{}\n", path.display()))?;
    }
    Ok(exit::PASSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_files_are_not_stale() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files = files().unwrap();
        for (path, content) in &files {
            let committed = fs::read(root.join(path)).unwrap_or_default();
            assert!(committed == *content, "{} is stale: run `cargo run -- generate .`", path.display());
        }
        for folder in ["completions", "man", "schemas"] {
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let path = Path::new(folder).join(entry.unwrap().file_name());
                assert!(files.iter().any(|(known, _)| *known == path), "{} is not generated any more: delete it", path.display());
            }
        }
    }
}
