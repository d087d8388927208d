//! Completion scripts in the shells themselves.

use std::{collections::BTreeSet, path::Path, process::Command};

use super::{files, read, root};

const MTV_TEST: &str = env!("CARGO_BIN_EXE_mtv-test");

/// Runs bash with what it would set for a completion of these words; gives the words that it would offer.
fn complete(words: &[&str]) -> BTreeSet<String> {
    let script = r#"
source "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
function=$(complete -p mtv-test | sed -E 's/.*-F ([^ ]+).*/\1/')
"$function" mtv-test "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"
"#;
    let done = Command::new("bash")
        .args(["--norc", "--noprofile", "-c", script, "bash"])
        .args(words)
        .env("SCRIPT", root().join("completions/mtv-test.bash"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
}

fn help(command: &[&str]) -> String {
    let done = Command::new(MTV_TEST).args(command).arg("--help").env("NO_COLOR", "1").env("COLUMNS", "200").output().unwrap();
    assert!(done.status.success());
    String::from_utf8(done.stdout).unwrap()
}

/// Long options that the help of a command lists.
fn options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split_whitespace().take(2)).filter(|word| word.starts_with("--"));
    words.map(|word| word.trim_end_matches(['.', ',']).split('[').next().unwrap().to_owned()).collect()
}

/// Names below `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = below.filter(|line| line.starts_with("  ") && !line.starts_with("   ")).map(str::trim_start);
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command with the words that lead to it.
fn commands() -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    let mut at = 0;
    while at < all.len() {
        let words: Vec<&str> = all[at].iter().map(String::as_str).collect();
        let below: Vec<Vec<String>> =
            subcommands(&help(&words)).into_iter().map(|name| all[at].iter().cloned().chain([name]).collect()).collect();
        all.extend(below);
        at += 1;
    }
    all
}

#[test]
fn bash_offers_the_options_of_every_command_and_the_commands_themselves() {
    let commands = commands();
    assert!(commands.len() > 12, "{commands:?}");
    for words in commands {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let help = help(&words);
        let line: Vec<&str> = ["mtv-test"].into_iter().chain(words.iter().copied()).collect();
        let offered = complete(&[line.as_slice(), &["--"]].concat());
        let wanted = options(&help);
        assert!(wanted.is_subset(&offered), "{line:?} lacks {:?}", wanted.difference(&offered).collect::<Vec<_>>());
        for name in subcommands(&help) {
            let begin: String = name.chars().take(2).collect();
            assert!(complete(&[line.as_slice(), &[&begin]].concat()).contains(&name), "{line:?} {name}");
        }
    }
}

#[test]
fn bash_offers_the_values_of_an_option() {
    assert_eq!(complete(&["mtv-test", "list", "--output", "j"]), BTreeSet::from(["json".to_owned()]));
    assert_eq!(complete(&["mtv-test", "completions", "z"]), BTreeSet::from(["zsh".to_owned()]));
}

#[test]
fn commands_for_contributors_are_not_shown() {
    for file in files(&root().join("completions")).into_iter().chain(files(&root().join("man"))) {
        let path = file.strip_prefix(root()).unwrap().display().to_string();
        assert!(!path.contains("generate") && !read(&path).contains("generate"), "{path} shows a hidden command");
    }
    assert!(!help(&[]).contains("generate"));
    assert!(Path::new(MTV_TEST).exists() && !complete(&["mtv-test", "gen"]).contains("generate"));
}
