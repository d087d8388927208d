//! `mtv-test lab fault`: lets things go wrong in a lab that runs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand, ValueHint};
use mtv_lab::faults::{Rule, words};
use reqwest::Method;
use serde_json::Value;

use super::{ADMIN_TOKEN, CliError};
use crate::{
    cli::error::print_data,
    exit::{self, ExitCode},
    files,
};

/// Inject faults into a running lab
#[derive(Debug, ClapArgs)]
#[command(
    long_about = about(),
    after_help = "Examples:\n  mtv-test lab fault --dir lab add 'server = \"kubernetes\", verb = \"create\", effect = \"status\", status = 503, times = 2'\n  mtv-test lab fault --dir lab list\n  mtv-test lab fault --dir lab clear"
)]
pub(super) struct Args {
    /// Folder of the lab, as given to `lab serve`
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// The help, whose words are those that the lab knows.
fn about() -> String {
    format!(
        "Inject faults into a running lab

A rule says which requests it is for, how often, and what happens to them. Its
keys are those of `[[faults.requests]]` in a data-centre file.

{}",
        words::help()
    )
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the rules with the number of requests seen and affected
    List,
    /// Add a rule, such as 'server = "kubernetes", verb = "create", effect = "status", status = 503, times = 2'
    Add {
        /// Keys and values as in an inline table of TOML
        rule: String,
    },
    /// Remove one rule, or all of them
    Clear {
        /// Number of the rule, as `list` shows it
        id: Option<u64>,
    },
}

/// The rule that a user wrote.
fn parse(text: &str) -> Result<Rule, CliError> {
    let bad = |why: String| CliError::usage(format!("`{text}` is not a rule: {why}")).hint("see mtv-test lab fault --help");
    let table: toml::Table = toml::from_str(&format!("rule = {{ {text} }}")).map_err(|e| bad(e.message().to_owned()))?;
    let rule: Rule = table
        .get("rule")
        .cloned()
        .unwrap_or_else(|| toml::Table::new().into())
        .try_into()
        .map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
    rule.check().map_err(|e| bad(e.to_string()))?;
    Ok(rule)
}

/// Runs it.
///
/// # Errors
/// The rule is none, or no lab of this folder runs.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (method, more, body) = match &args.command {
        Command::List => (Method::GET, String::new(), None),
        Command::Add { rule } => (Method::POST, String::new(), Some(serde_json::to_string(&parse(rule)?)?)),
        Command::Clear { id } => (Method::DELETE, id.map(|id| format!("/{id}")).unwrap_or_default(), None),
    };
    let dir = args.dir.as_deref().ok_or_else(|| CliError::usage("no lab is named").hint("add --dir DIR, the folder of `lab serve`"))?;
    let answer = ask(dir, method, &more, body).await?;
    print_data(&(serde_json::to_string_pretty(&answer)? + "\n"))?;
    Ok(exit::PASSED)
}

async fn ask(dir: &Path, method: Method, more: &str, body: Option<String>) -> anyhow::Result<Value> {
    let read = |name: &str| {
        let path = dir.join(name);
        files::read_text(&path, files::LIMIT).map_err(|e| {
            CliError::usage(format!("failed to read {}: {e}", path.display())).hint("is DIR the folder of a `lab serve` that runs?")
        })
    };
    let info: Value = serde_json::from_str(&read("lab.json")?).context("lab.json is no JSON")?;
    let token = read(ADMIN_TOKEN)?;
    let url = info["faults"].as_str().ok_or_else(|| CliError::usage("this lab has no server that things could go wrong with"))?;
    let ca = reqwest::Certificate::from_pem(info["ca_pem"].as_str().unwrap_or_default().as_bytes()).context("the lab's CA")?;
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().context("failed to set up a client")?;
    let request = client.request(method, format!("{url}{more}")).bearer_auth(token.trim()).body(body.unwrap_or_default());
    let response = request.send().await.map_err(|e| CliError::environment(format!("the lab does not answer: {}", e.without_url())))?;
    let refused = !response.status().is_success();
    let answer: Value = response.json().await.context("the lab's answer is no JSON")?;
    if refused {
        return Err(CliError::usage(answer["error"].as_str().unwrap_or("the lab refused").to_owned()).into());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_inline_tables() {
        let rule = parse("server = \"kubernetes\", verb = \"create\", effect = \"status\", status = 503, times = 2").unwrap();
        assert_eq!((rule.status, rule.times), (Some(503), Some(2)));
        for bad in ["", "x", "effect = \"status\"", "effect = \"close\" }, x = { a = 1", "verb = 1, effect = \"close\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
