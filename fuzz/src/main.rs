//! One target for all parsers: `MTV_FUZZ_PARSER` names the one that is fed. See `fuzz/run`.
#![no_main]

use std::sync::OnceLock;

use mtv_test::parsers::{ALL, Parser};

static CHOSEN: OnceLock<&'static Parser> = OnceLock::new();

fn chosen() -> &'static Parser {
    CHOSEN.get_or_init(|| {
        let wanted = std::env::var("MTV_FUZZ_PARSER").unwrap_or_default();
        ALL.iter().find(|parser| parser.name == wanted).unwrap_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|parser| parser.name).collect();
            eprintln!("MTV_FUZZ_PARSER must be one of {}", names.join(", "));
            std::process::exit(1)
        })
    })
}

/// Puts what the parser is known to accept into the folder that the fuzzer begins with. A parser that is not known is told here,
/// before the engine runs: an end in the middle of a run counts as a find.
fn sow() {
    chosen();
    if let Some(folder) = std::env::var_os("MTV_FUZZ_CORPUS").map(std::path::PathBuf::from) {
        for (number, seed) in chosen().seeds.iter().enumerate() {
            if let Err(error) = std::fs::write(folder.join(format!("seed-{number}")), seed) {
                eprintln!("{}: {error}", folder.display());
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(init: sow(), |data: &[u8]| (chosen().feed)(data));
