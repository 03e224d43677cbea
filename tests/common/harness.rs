//! The main function of test programs that need more than cargo's own: some start themselves again as another process,
//! and some find out only while they run that this machine cannot run a test. Such a test is counted as ignored, not as passed.
//!
//! A program with this main function lists its tests in [`tests!`]; the attribute `#[test]` has no effect there, and
//! `scripts/test` refuses it.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The result of a test that ran to its end: `Err` with the reason if this machine could not run it.
pub trait Outcome {
    /// The result as the harness counts it.
    fn completion(self) -> Completion;
}

impl Outcome for () {
    fn completion(self) -> Completion {
        Completion::Completed
    }
}

impl Outcome for Result<(), String> {
    fn completion(self) -> Completion {
        match self {
            Ok(()) => Completion::Completed,
            Err(reason) => Completion::ignored_with(reason),
        }
    }
}

/// One test. If this machine cannot run it, it is reported in a line of its own, which `scripts/test` counts.
pub fn trial<T: Outcome + 'static>(name: &'static str, test: fn() -> T) -> Trial {
    Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
        let completion = test().completion();
        if let Completion::Ignored { reason } = &completion {
            println!(
                "\nnot run {name}: {}",
                reason.as_deref().unwrap_or("no reason given")
            );
        }
        Ok(completion)
    })
}

/// Runs the tests that the command line asks for, as cargo's own harness does.
pub fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The tests with these names, as a list for `run`.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { vec![$($crate::common::harness::trial(stringify!($name), $name)),*] };
}
