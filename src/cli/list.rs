//! `mtv-test list`: what would run, and what would be skipped and why. Contacts nobody.

use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;

use super::{
    CliError, CliResult, ScenarioOptions, SelectOptions, SettingsOptions, context,
    error::{print_data, print_warnings},
};
use crate::{
    config::{
        catalogue::Catalogue,
        diagnostics::{Problem, Problems, Severity},
        profile::{Profile, ProviderKind},
        scenario::{Scenario, ScenarioVm},
        settings::Settings,
        settings_load,
    },
    exit,
    secrets::printable,
    select::{self, PlanOfRun, Product, Selected, Selection, Skip},
    steps::Step,
};

/// List the scenarios that a run would take, with their steps and the reason of each skip
///
/// Nothing is contacted. With a provider profile the list also shows which scenarios that source cannot run; versions of
/// MTV and OpenShift, and known issues, are asked when a run starts: the column NEEDS names them.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  mtv-test list -m 'tier0 and not remote'\n  mtv-test list --provider vsphere-8\n  mtv-test list -o json | jq -r '.scenarios[].name'"
)]
pub(super) struct Args {
    #[command(flatten)]
    select: SelectOptions,
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
    /// For programs: one object with everything known
    Json,
    /// One name per line
    Name,
}

/// A scenario as JSON shows it. Fields are only ever added.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    description: &'a str,
    aliases: &'a [String],
    markers: &'a [String],
    warm: bool,
    virtual_machines: Vec<&'a str>,
    steps: &'a [Step],
    /// What is asked when a run starts: versions, and whether a known issue is resolved.
    needs: Vec<String>,
    file: String,
    line: usize,
    skip: Option<&'a Skip>,
}

pub(super) fn run(args: &Args) -> CliResult {
    let mut sources = args.settings.sources();
    args.scenarios.add_to(&mut sources);
    let resolved = settings_load::load(&sources)?;
    let catalogue = Catalogue::load(resolved.settings.scenarios.as_deref())?;
    let (known, problems) = context::known(&resolved)?;
    let plan = select::plan(&catalogue, &Selection::from(&args.select), &known.surroundings())?;
    if plan.scenarios.is_empty() {
        return Err(nothing_selected());
    }
    refused(&resolved.settings, &problems);
    print_data(&match args.output {
        Format::Table => printable(&table(&plan, known.kind(), known.profile())),
        Format::Json => json(&plan, known.kind(), known.profile())?,
        Format::Name => plan.scenarios.iter().flat_map(|s| [s.scenario.name.as_str(), "\n"]).collect(),
    })?;
    Ok(exit::PASSED)
}

/// What a run would refuse this profile for, in one line: the list can be made all the same.
fn refused(settings: &Settings, problems: &Problems) {
    let Some(first) = problems.all().iter().find(|problem| problem.severity() == Severity::Error) else { return };
    let name = settings.source_provider.as_deref().unwrap_or_default();
    let check = format!("`mtv-test validate {}` shows all of it", settings.providers.display());
    let problem = Problem::warning(format!("a run would refuse profile `{name}`: {}", first.title())).help(check);
    print_warnings(&problem.into());
}

/// No scenario is selected: an error with an exit code of its own, because CI jobs must notice it.
pub(super) fn nothing_selected() -> CliError {
    CliError::new(exit::NOTHING_SELECTED, "no scenario is selected").hint("`mtv-test list` without names and marker shows all scenarios")
}

fn json(plan: &PlanOfRun, kind: Option<ProviderKind>, profile: Option<&Profile>) -> Result<String, CliError> {
    let rows: Vec<Row<'_>> = plan.scenarios.iter().map(|selected| row(selected, kind, profile)).collect();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "scenarios": rows }));
    Ok(text.map_err(|e| CliError::internal(format!("cannot write JSON: {e}")))? + "\n")
}

/// Name of the VM that is cloned for an entry: a profile can have another one in its place.
fn cloned<'a>(vm: &'a ScenarioVm, profile: Option<&'a Profile>) -> &'a str {
    profile.and_then(|profile| profile.copyoffload()).map_or(vm.name.as_str(), |offload| offload.source_name(vm))
}

fn row<'a>(selected: &'a Selected, kind: Option<ProviderKind>, profile: Option<&'a Profile>) -> Row<'a> {
    let scenario = &selected.scenario;
    Row {
        name: &scenario.name,
        description: &scenario.description,
        aliases: &scenario.aliases,
        markers: &scenario.markers,
        warm: scenario.warm_migration,
        virtual_machines: scenario.virtual_machines.iter().map(|vm| cloned(vm, profile)).collect(),
        steps: &selected.steps,
        needs: needs(scenario, kind),
        file: scenario.file.display().to_string(),
        line: scenario.line,
        skip: selected.skip.as_ref(),
    }
}

/// What only the cluster and Jira know: it is asked when a run starts, and the scenario is skipped then if it does not hold.
fn needs(scenario: &Scenario, kind: Option<ProviderKind>) -> Vec<String> {
    let requires = &scenario.requires;
    let version = |product, least: &Option<String>| least.as_ref().map(|least| format!("{product} {least}"));
    let versions = [version(Product::Mtv, &requires.min_mtv_version), version(Product::OpenShift, &requires.min_ocp_version)];
    let issue = select::known_issue(scenario, kind).map(|issue| format!("{issue} resolved"));
    versions.into_iter().flatten().chain(issue).collect()
}

/// The source VMs; one that several clones are made of stands there once, with their number.
fn vms(scenario: &Scenario, profile: Option<&Profile>) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for name in scenario.virtual_machines.iter().map(|vm| cloned(vm, profile)) {
        match counted.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counted.push((name, 1)),
        }
    }
    let shown = |(name, count): &(&str, usize)| if *count == 1 { (*name).to_owned() } else { format!("{count}x {name}") };
    counted.iter().map(shown).collect::<Vec<_>>().join(" ")
}

fn table(plan: &PlanOfRun, kind: Option<ProviderKind>, profile: Option<&Profile>) -> String {
    let needy = plan.scenarios.iter().any(|s| !needs(&s.scenario, kind).is_empty());
    let skips = plan.scenarios.iter().any(|s| s.skip.is_some());
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let mut header = vec!["NAME", "MARKERS", "VMS", "STEPS"];
    header.extend(needy.then_some("NEEDS"));
    header.extend(skips.then_some("SKIPPED BECAUSE"));
    table.set_header(header);
    for Selected { scenario, steps, skip } in &plan.scenarios {
        let steps: Vec<&str> = if skip.is_some() { vec!["-"] } else { steps.iter().map(|step| step.name()).collect() };
        let mut cells = vec![scenario.name.clone(), scenario.markers.join(" "), vms(scenario, profile), steps.join(" ")];
        if needy {
            cells.push(needs(scenario, kind).join(", "));
        }
        if skips {
            let error = |skip: &Skip| if skip.error { "error: " } else { "" };
            cells.push(skip.as_ref().map(|skip| format!("{}{}", error(skip), skip.reason)).unwrap_or_default());
        }
        table.add_row(cells);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().trim_start().to_owned()).collect();
    let closed = |error| plan.scenarios.iter().filter(|s| s.skip.as_ref().is_some_and(|skip| skip.error == error)).count();
    let (all, skipped, errors) = (plan.scenarios.len(), closed(false), closed(true));
    let noun = if all == 1 { "scenario" } else { "scenarios" };
    let unable = if errors > 0 { format!(", {errors} that cannot run") } else { String::new() };
    format!("{}\n\n{all} {noun}, {} to run, {skipped} to skip{unable}\n", lines.join("\n"), all - skipped - errors)
}
