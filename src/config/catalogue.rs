//! All scenarios that a run can choose from: those in the binary, and those of a folder that add to them or replace them.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    diagnostics::{Problem, Problems},
    read,
    scenario::Scenario,
    scenario_file::{self, Located},
};

/// Files of `scenarios/`, embedded in the binary in this order. A test compares the list with the folder.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("sanity.toml", include_str!("../../scenarios/sanity.toml")),
    ("warm.toml", include_str!("../../scenarios/warm.toml")),
    ("comprehensive.toml", include_str!("../../scenarios/comprehensive.toml")),
    ("ova.toml", include_str!("../../scenarios/ova.toml")),
    ("hooks.toml", include_str!("../../scenarios/hooks.toml")),
    ("remote.toml", include_str!("../../scenarios/remote.toml")),
    ("copyoffload-disks.toml", include_str!("../../scenarios/copyoffload-disks.toml")),
    ("copyoffload-datastores.toml", include_str!("../../scenarios/copyoffload-datastores.toml")),
    ("copyoffload-snapshots.toml", include_str!("../../scenarios/copyoffload-snapshots.toml")),
    ("copyoffload-plans.toml", include_str!("../../scenarios/copyoffload-plans.toml")),
];

/// Prefix of the path of an embedded file.
const EMBEDDED_PREFIX: &str = "embedded:";

/// Scenarios in the order in which they are listed and run.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    scenarios: Vec<Arc<Scenario>>,
}

impl Catalogue {
    /// The embedded scenarios, and those of a folder or file. One with the name of an embedded scenario replaces it.
    pub fn load(folder: Option<&Path>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut embedded = Vec::new();
        for (name, text) in EMBEDDED {
            let file = PathBuf::from(format!("{EMBEDDED_PREFIX}{name}"));
            embedded.extend(scenario_file::parse(&file, text, &mut problems));
        }
        let mut own = Vec::new();
        for file in folder.map(|folder| files(folder, &mut problems)).unwrap_or_default() {
            match read::text(&file) {
                Ok(text) => own.extend(scenario_file::parse(&file, &text, &mut problems)),
                Err(problem) => problems.push(*problem),
            }
        }
        embedded.retain(|old| own.iter().all(|new| new.scenario.name != old.scenario.name));
        let all: Vec<Located> = embedded.into_iter().chain(own).collect();
        unique(&all, &mut problems);
        let scenarios = all.into_iter().map(|located| located.scenario).collect();
        problems.into_result(Self { scenarios }).map(|(catalogue, _)| catalogue)
    }

    /// All scenarios.
    pub fn scenarios(&self) -> &[Arc<Scenario>] {
        &self.scenarios
    }
}

impl FromIterator<Arc<Scenario>> for Catalogue {
    fn from_iter<I: IntoIterator<Item = Arc<Scenario>>>(scenarios: I) -> Self {
        Self { scenarios: scenarios.into_iter().collect() }
    }
}

/// The `*.toml` files of a folder by name, or the file itself.
pub fn files(path: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    // What is there and is not a folder is reported as what it is when it is read.
    if path.exists() && !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(
                Problem::error(format!("cannot read {}: {}", path.display(), read::io_reason(&error)))
                    .help("name a folder with scenario files (*.toml)"),
            );
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "toml") && p.is_file())
        .collect();
    files.sort();
    if files.is_empty() {
        problems.push(Problem::error(format!("{} holds no scenario files", path.display())).help("scenario files end in .toml"));
    }
    files
}

/// Names and aliases are one namespace: whatever is typed on a command line means one scenario.
pub fn unique(all: &[Located], problems: &mut Problems) {
    let mut seen: BTreeMap<&str, (&Located, &Range<usize>)> = BTreeMap::new();
    for located in all {
        let names = std::iter::once((located.scenario.name.as_str(), &located.name, "scenario"))
            .chain(located.scenario.aliases.iter().zip(&located.aliases).map(|(alias, span)| (alias.as_str(), span, "alias")));
        for (name, span, what) in names {
            if let Some((first, at)) = seen.insert(name, (located, span)) {
                problems.push(
                    Problem::error(format!("{what} `{name}` is given twice"))
                        .at(&located.source, span.clone(), "second time")
                        .also(&first.source, at.clone(), "first time")
                        .help("rename one of the two"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut problems = Problems::default();
        let on_disk: Vec<String> =
            files(&folder, &mut problems).iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        let mut embedded: Vec<String> = EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
        embedded.sort();
        assert_eq!(embedded, on_disk);
    }

    #[test]
    fn a_folder_adds_and_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "[scenario.sanity-cold]\nvirtual_machines = [{ name = \"mine\" }]\n[scenario.extra]\nvirtual_machines = [{ name = \"a\" }]\n";
        fs::write(folder.path().join("mine.toml"), text).unwrap();
        let embedded = Catalogue::load(None).unwrap();
        let catalogue = Catalogue::load(Some(folder.path())).unwrap();
        assert_eq!(catalogue.scenarios().len(), embedded.scenarios().len() + 1);
        let replaced: Vec<_> = catalogue.scenarios().iter().filter(|s| s.name == "sanity-cold").collect();
        assert_eq!(replaced.len(), 1);
        assert_eq!(replaced[0].virtual_machines[0].name, "mine");
        assert!(replaced[0].file.ends_with("mine.toml"));
    }
}
