//! Where the programs are.

use std::path::PathBuf;

/// Environment variables that name the folder, the first one wins.
const FOLDERS: [&str; 2] = ["MTV_TEST_ASSETS", "KUBEBUILDER_ASSETS"];

/// The first of these programs that is not there. With `CI=true` none is missing: a test that needs one then fails and says so.
pub fn missing(programs: &[&str]) -> Option<String> {
    let required = std::env::var("CI").as_deref() == Ok("true");
    if required { None } else { missing_even_here(programs) }
}

/// The first of these programs that is not there, also with `CI=true`: of programs that `tests/servers/build` does not make.
pub fn missing_even_here(programs: &[&str]) -> Option<String> {
    programs.iter().find(|program| look(program).is_none()).map(|program| (*program).to_owned())
}

/// The program, if there is one; `None` says so on standard output.
///
/// # Panics
/// With `CI=true` the program must be there.
pub fn find(program: &str) -> Option<PathBuf> {
    let found = look(program);
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI=true needs {program} in the folder named by MTV_TEST_ASSETS; tests/servers/build makes it"
        );
        println!("ignored: no assets, see CONTRIBUTING.md");
    }
    found
}

/// A program that `tests/servers/build` does not make, if somebody has put it into the folder; `None` says so.
pub fn optional(program: &str) -> Option<PathBuf> {
    let found = look(program);
    if found.is_none() {
        println!("ignored: no {program} in the assets folder, see CONTRIBUTING.md");
    }
    found
}

fn look(program: &str) -> Option<PathBuf> {
    let folder = FOLDERS.iter().find_map(std::env::var_os).map(PathBuf::from);
    folder.map(|folder| folder.join(program)).filter(|file| file.is_file())
}
