//! Which GPIO chips this machine has, for `latchkey probe`.

use std::path::PathBuf;

use super::gpiochip;

/// A GPIO chip.
#[derive(Clone, Debug)]
pub struct ChipReport {
    /// The chip's device node.
    pub path: PathBuf,
    /// The chip's label; empty if it could not be read.
    pub label: String,
    /// Number of lines of the chip.
    pub lines: u32,
    /// Number of lines that are in use.
    pub used: u32,
    /// Why the chip cannot be used, with the fix.
    pub fault: Option<String>,
}

/// Every GPIO chip that the kernel shows.
#[must_use]
pub fn chips() -> Vec<ChipReport> {
    gpiochip::paths().into_iter().map(report).collect()
}

fn report(path: PathBuf) -> ChipReport {
    match gpiochip::ask(&path) {
        Ok((info, used)) => ChipReport {
            label: gpiochip::text(&info.label),
            lines: info.num_lines,
            used,
            fault: None,
            path,
        },
        Err(error) => ChipReport {
            fault: Some(format!(
                "{error}; if permission is denied, add the user to the group gpio: usermod -aG gpio USER"
            )),
            label: String::new(),
            lines: 0,
            used: 0,
            path,
        },
    }
}
