//! Code that several tests share: it finds the folder of the development data, and runs the program in a folder.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod harness;
mod shared;

#[allow(unused_imports, reason = "each test binary uses its own part")]
pub use shared::shared;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program that was built with the tests, or `LATCHKEY_PROGRAM` where they run on another machine.
pub fn program() -> PathBuf {
    std::env::var_os("LATCHKEY_PROGRAM")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_latchkey").into())
        .into()
}

/// Runs the program in `folder`.
pub fn latchkey(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program())
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

/// The text that the program printed to standard output. The program must have ended with `status`.
pub fn printed(output: &Output, status: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    out
}
