//! `mtv-test config`: each setting, and each key of the selected profile, with where its value comes from.

use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::{CliError, CliResult, ScenarioOptions, SettingsOptions, error::print_data};
use crate::{
    config::{
        profile_file::ProfileFile,
        settings::Settings,
        settings_keys::KEYS,
        settings_load::{self, Origin, Resolved},
    },
    exit,
    net::without_login,
    secrets::{mask, printable},
};

/// Show each setting with its value and where that comes from
///
/// The command line wins over MTV_TEST_* variables, these over mtv-test.toml, that over the default. A selected provider
/// profile is shown too, without its secrets.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mtv-test config\n  mtv-test config --provider vsphere-8 --set jobs=8")]
pub(super) struct Args {
    /// How to show them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    #[command(flatten)]
    scenarios: ScenarioOptions,
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
    let mut sources = args.settings.sources();
    args.scenarios.add_to(&mut sources);
    let resolved = settings_load::load(&sources)?;
    // Another name of a setting is no setting of its own.
    let settings = KEYS.iter().filter(|key| key.sets.is_none()).map(|key| Row {
        key: key.name.to_owned(),
        value: mask(&key.show(&resolved.settings)),
        from: resolved.origin(key.name).to_string(),
        about: key.about,
    });
    let profile = profile(&resolved)?;
    let text = match args.output {
        Format::Json => {
            let settings: Vec<Row> = settings.collect();
            let text = serde_json::to_string_pretty(&json!({ "settings": settings, "profile": profile }));
            text.map_err(|e| CliError::internal(format!("cannot write JSON: {e}")))? + "\n"
        }
        Format::Table if profile.is_empty() => printable(&table("SETTING", settings)),
        Format::Table => printable(&format!("{}\n{}", table("SETTING", settings), table("PROFILE", profile))),
    };
    print_data(&text)?;
    Ok(exit::PASSED)
}

/// A line of the table.
#[derive(Serialize)]
struct Row {
    key: String,
    value: String,
    from: String,
    about: &'static str,
}

/// Keys of the selected profile, secrets masked. Empty if none is selected, or its file is only a default and not there.
fn profile(resolved: &Resolved) -> Result<Vec<Row>, CliError> {
    let Some(name) = &resolved.settings.source_provider else { return Ok(Vec::new()) };
    let path = &resolved.settings.providers;
    if *resolved.origin("providers") == Origin::Default && !path.exists() {
        return Ok(Vec::new());
    }
    let file = ProfileFile::load(path)?;
    let keys = file.shown(name)?.iter().map(|shown| Row {
        key: shown.key.clone(),
        value: mask(&if shown.key.ends_with("_url") { without_login(&shown.value) } else { shown.value.clone() }),
        from: format!("{}:{}", path.display(), shown.line),
        about: "",
    });
    Ok(keys.collect())
}

fn table(title: &str, rows: impl IntoIterator<Item = Row>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([title, "VALUE", "FROM", "MEANING"]);
    for row in rows {
        let value = if row.value.is_empty() { "-".to_owned() } else { row.value };
        table.add_row([row.key.as_str(), &value, &row.from, row.about]);
    }
    table.lines().flat_map(|line| [line.trim().to_owned(), "\n".to_owned()]).collect()
}

/// The table of settings in the help: name, variable, default, meaning.
pub(super) fn settings_help() -> String {
    let defaults = Settings::default();
    let rows = KEYS.iter().map(|key| {
        let default = Some(key.show(&defaults)).filter(|default| !default.is_empty() && key.sets.is_none());
        let default = default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        format!("  {} ({})\n      {}{default}", key.name, key.env(), key.about)
    });
    format!("Settings, and their environment variables:\n{}\n\n{}", rows.collect::<Vec<_>>().join("\n"), super::exit_codes())
}
