//! Tests that need programs which may not be there: without them they are reported as ignored, not as passed.
//!
//! Rust's own harness knows before it starts whether a test is ignored, so these tests have a harness of their own: `main` names the
//! cases and what they need.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test by its path in the binary.
pub struct Case {
    name: String,
    run: Box<dyn FnOnce() + Send>,
}

impl Case {
    /// A test; see [`cases!`](crate::cases) and [`async_cases!`](crate::async_cases).
    pub fn new(path: &str, run: impl FnOnce() + Send + 'static) -> Self {
        Self { name: path.split_whitespace().collect(), run: Box::new(run) }
    }
}

/// Runs a test that waits, in a runtime of its own.
///
/// # Panics
/// If the test does.
pub fn wait(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("no runtime: {error}"))
        .block_on(work);
}

/// The tests of a binary.
#[derive(Default)]
pub struct Suite(Vec<Trial>);

impl Suite {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds tests; if something that they need is `missing`, they are ignored.
    #[must_use]
    pub fn with(mut self, missing: Option<String>, cases: Vec<Case>) -> Self {
        if let Some(missing) = &missing {
            println!("{} tests are ignored: no {missing}, see CONTRIBUTING.md", cases.len());
        }
        self.0.extend(cases.into_iter().map(|case| {
            let run = case.run;
            let trial = Trial::test(case.name, move || {
                run();
                Ok(())
            });
            trial.with_ignored_flag(missing.is_some())
        }));
        self
    }

    /// Runs them as the arguments of the process say.
    pub fn run(self) -> ExitCode {
        libtest_mimic::run(&Arguments::from_args(), self.0).exit_code()
    }
}

/// Cases of tests by their paths.
#[macro_export]
macro_rules! cases {
    ($($($path:ident)::+),* $(,)?) => {
        vec![$($crate::suite::Case::new(stringify!($($path)::+), $($path)::+)),*]
    };
}

/// Cases of tests that are `async`, by their paths.
#[macro_export]
macro_rules! async_cases {
    ($($($path:ident)::+),* $(,)?) => {
        vec![$($crate::suite::Case::new(stringify!($($path)::+), || $crate::suite::wait($($path)::+()))),*]
    };
}
