//! The README: its commands, its output, and what it claims about mtv-api-tests.

use std::collections::BTreeSet;

use mtv_test::{cli, config::catalogue::Catalogue};

use super::{read, root};

/// Lines of the fenced blocks of a language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let mut inside = None;
    let mut lines = Vec::new();
    for line in readme.lines().map(str::trim_start) {
        match (line.strip_prefix("```"), inside) {
            (Some(found), None) => inside = Some(found.trim() == language),
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => lines.push(line.to_owned()),
            _ => {}
        }
    }
    lines
}

/// Words of a line as a shell splits them, up to the first operator.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '&' | '|' | ';' | '>' | '#') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.into_iter().chain(word).collect()
}

/// Commands of the README that start the tool: those of console blocks, and those between backticks that hold no placeholder.
fn commands(readme: &str) -> Vec<Vec<String>> {
    let console = blocks(readme, "console");
    let typed = console.iter().filter_map(|line| line.strip_prefix("$ "));
    let prose: Vec<&str> = readme.lines().filter(|line| !line.starts_with("```")).collect();
    let prose = prose.join("\n");
    let spans = prose.split('`').skip(1).step_by(2).filter(|span| !span.contains(['…', '|', '[']) && !span.contains('\n'));
    let placeholder = |word: &String| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '/' | '='));
    let mut found = Vec::new();
    for (line, typed) in typed.map(|line| (line, true)).chain(spans.map(|line| (line, false))) {
        let mut line = words(line);
        // cargo run --release -- run …
        if line.first().is_some_and(|word| word == "cargo") && line.get(1).is_some_and(|word| word == "run") {
            let Some(at) = line.iter().position(|word| word == "--") else { continue };
            line.drain(..at);
            "mtv-test".clone_into(&mut line[0]);
        }
        if line.first().is_some_and(|word| word == "mtv-test") && line.len() > 1 && (typed || !line.iter().any(placeholder)) {
            found.push(line);
        }
    }
    found
}

#[test]
fn its_commands_exist_with_their_options() {
    let commands = commands(&read("README.md"));
    assert!(commands.len() > 15, "{commands:?}");
    for line in commands {
        if line.iter().any(|word| matches!(word.as_str(), "--help" | "--version")) {
            continue;
        }
        if let Err(error) = cli::command().try_get_matches_from(&line) {
            // Text may call a command by its name alone.
            if line.len() == 2 && error.kind() == clap::error::ErrorKind::MissingRequiredArgument {
                continue;
            }
            panic!("`{}` of the README cannot be parsed:\n{error}", line.join(" "));
        }
    }
}

#[test]
fn its_output_has_no_placeholder_and_its_links_lead_somewhere() {
    let readme = read("README.md");
    for line in blocks(&readme, "console") {
        assert!(!line.split_whitespace().any(|word| matches!(word, "TIME" | "DURATION" | "[..]" | "TODO")), "{line}");
    }
    for target in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if !target.starts_with("http") && !target.starts_with('#') {
            assert!(root().join(target).exists(), "{target} is not in the repository");
        }
    }
}

#[test]
fn its_files_are_those_that_the_commands_read() {
    // The scenario that a reader is told to write is one.
    let readme = read("README.md");
    let scenario = readme.split("my-scenarios/two-disks.toml").nth(1).unwrap();
    let scenario = scenario.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("two-disks.toml"), scenario).unwrap();
    let catalogue = Catalogue::load(Some(folder.path())).unwrap();
    assert!(catalogue.scenarios().iter().any(|scenario| scenario.name == "two-disks"));
}

/// Test classes of mtv-api-tests 2.12 that no scenario covers. One that lands leaves this list and that of the README.
const NOT_COVERED: &[&str] = &[
    "TestCaCrtColdMigration",
    "TestClusterroleWarmMtvMigration",
    "TestClusterroleWarmWithSccMigration",
    "TestColdDualNicSameNetworkPlanValidation",
    "TestColdMigrationXfs",
    "TestCopyoffloadPopulatorThrottlingMigration",
    "TestCopyoffloadVmPopulatorThrottlingMigration",
    "TestLuksColdMigration",
    "TestLuksColdMigrationWrongKey",
    "TestSharedDiskRhelMigration",
    "TestSharedDiskWindowsMigration",
    "TestStandaloneDICancel",
    "TestStandaloneDIValidation",
    "TestStandaloneDeepInspection",
    "TestUpgradeColdMigration",
    "TestWarmMigrationXfs",
];

#[test]
fn it_says_which_tests_of_mtv_api_tests_are_covered() {
    let readme = read("README.md");
    let section = readme.split("### Coming from mtv-api-tests").nth(1).unwrap().split("\n#").next().unwrap();
    let named: BTreeSet<&str> =
        section.split(|c: char| !c.is_alphanumeric()).filter(|word| word.starts_with("Test") && word.len() > "Tests".len()).collect();
    assert_eq!(named, NOT_COVERED.iter().copied().collect());
    let catalogue = Catalogue::load(None).unwrap();
    let classes: BTreeSet<&str> = catalogue
        .scenarios()
        .iter()
        .flat_map(|scenario| &scenario.aliases)
        .map(String::as_str)
        .filter(|alias| alias.starts_with("Test"))
        .collect();
    assert!(NOT_COVERED.iter().all(|class| !classes.contains(class)), "one of them is covered by now");
    let claim = format!("{} test classes", classes.len());
    assert!(section.contains(&claim), "the README does not say `{claim}`");
}

#[test]
fn the_settings_and_options_that_it_names_exist() {
    let readme = read("README.md");
    let scenario: serde_json::Value = serde_json::from_str(&read("schemas/scenario.json")).unwrap();
    let scenario = serde_json::to_string(&scenario["properties"]).unwrap() + &serde_json::to_string(&scenario["definitions"]).unwrap();
    let table = readme.split("### What a scenario can say").nth(1).unwrap().split("\n#").next().unwrap();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        for key in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            assert!(scenario.contains(&format!("\"{key}\"")), "`{key}` is no key of a scenario");
        }
    }
}
