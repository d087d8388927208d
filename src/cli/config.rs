//! `mtv-test config`: each setting with where its value comes from.

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::json;

use super::{CliError, CliResult, SettingsOptions, error::print_data};
use crate::{
    config::{settings_keys::KEYS, settings_load},
    exit,
    secrets::mask,
};

/// Show each setting with its value and where that comes from
///
/// The command line wins over MTV_TEST_* variables, these over mtv-test.toml, that over the default. `storage_class` is
/// MTV_TEST_STORAGE_CLASS in the environment, and so on.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// How to show them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    #[command(flatten)]
    settings: SettingsOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

pub(super) fn run(args: &Args) -> CliResult {
    let resolved = settings_load::load(&args.settings.sources())?;
    // Another name of a setting is no setting of its own.
    let rows = KEYS.iter().filter(|key| key.sets.is_none()).map(|key| {
        let value = mask(&key.show(&resolved.settings));
        (key, value, resolved.origin(key.name).to_string())
    });
    let text = match args.output {
        Format::Json => {
            let rows: Vec<_> = rows
                .map(|(key, value, from)| json!({ "key": key.name, "value": value, "from": from, "env": key.env(), "about": key.about }))
                .collect();
            serde_json::to_string_pretty(&json!({ "settings": rows })).map_err(|e| CliError::internal(format!("cannot write JSON: {e}")))?
                + "\n"
        }
        Format::Table => {
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            table.set_header(["KEY", "VALUE", "FROM", "MEANING"]);
            for (key, value, from) in rows {
                let value = if value.is_empty() { "-".to_owned() } else { value };
                table.add_row([key.name, &value, &from, key.about]);
            }
            table.lines().flat_map(|line| [line.trim().to_owned(), "\n".to_owned()]).collect()
        }
    };
    print_data(&text)?;
    Ok(exit::PASSED)
}
