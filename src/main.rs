//! The binary: parse, call, map the error to an exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The libraries below must not have to guess which cryptography to use. It fails only if it was installed before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ExitCode::from(mtv_test::cli::main(std::env::args_os()).code)
}
