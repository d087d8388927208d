//! The build stage of the Dockerfile, played without a container engine: what it copies must be all that cargo and the compiler read.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use super::{copy, files, read, root};

/// The platform of the image.
const HOST: &str = "x86_64-unknown-linux-gnu";

/// What the first stage copies: sources, then the place.
fn copied() -> Vec<(Vec<String>, String)> {
    let dockerfile = read("Dockerfile");
    let mut stages = 0;
    let mut copied = Vec::new();
    for line in dockerfile.lines().map(str::trim) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().unwrap_or_default().to_uppercase().as_str() {
            "FROM" => stages += 1,
            "COPY" if stages == 1 => {
                let mut words: Vec<String> = words.collect();
                let place = words.pop().unwrap();
                copied.push((words, place));
            }
            _ => {}
        }
    }
    assert!(stages > 1 && !copied.is_empty());
    copied
}

/// The working folder of the build stage after its copies.
fn build_stage() -> tempfile::TempDir {
    let stage = tempfile::tempdir().unwrap();
    for (sources, place) in copied() {
        for source in sources {
            let from = root().join(&source);
            let into = if from.is_dir() { stage.path().join(&place) } else { stage.path().join(&place).join(from.file_name().unwrap()) };
            copy(&from, &into);
        }
    }
    stage
}

#[test]
fn cargo_accepts_exactly_what_the_build_stage_copies() {
    let stage = build_stage();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let done = Command::new(cargo)
        // Crates of other platforms need not be on this machine.
        .args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", HOST])
        .current_dir(stage.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// `cargo metadata` does not mind, but `cargo build` refuses a manifest that names a test without a file.
#[test]
fn every_test_that_a_manifest_names_is_copied() {
    let stage = build_stage();
    let mut named = 0;
    for folder in ["", "api", "lab", "testkit"] {
        let package = stage.path().join(folder);
        let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
        for entry in manifest.split("[[test]]").skip(1) {
            let name = entry.split('"').nth(1).unwrap();
            let tests = package.join("tests");
            assert!(tests.join(name).join("main.rs").is_file() || tests.join(format!("{name}.rs")).is_file(), "{folder}: {name}");
            named += 1;
        }
    }
    assert!(named > 0);
}

#[test]
fn every_file_that_the_compiler_embeds_is_copied() {
    let stage = build_stage();
    let mut embedded = 0;
    // The crates that the binary is made of; tests are not compiled there.
    for folder in ["src", "api/src", "lab/src"] {
        for file in files(&stage.path().join(folder)) {
            if file.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for macro_name in ["include_str!(", "include_bytes!(", "include!("] {
                for call in text.split(macro_name).skip(1) {
                    let Some(name) = call.split(')').next().and_then(|call| call.strip_prefix('"')?.strip_suffix('"')) else { continue };
                    let path = resolved(&file.parent().unwrap().join(name));
                    let original = root().join(path.strip_prefix(resolved(stage.path())).unwrap());
                    assert!(path.exists() || !original.exists(), "{} embeds {name}, which is not copied", file.display());
                    embedded += 1;
                }
            }
        }
    }
    assert!(embedded >= 10, "the catalogue alone embeds ten files; found {embedded}");
}

/// Without `..`.
fn resolved(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        if part == Component::ParentDir {
            path.pop();
        } else {
            path.push(part);
        }
        path
    })
}
