//! What can go wrong with lines, and what to do about it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::wiring::WiringError;

/// Why the outputs are not available or do not obey any more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The wiring is impossible.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// No such chip.
    #[error("chip = \"{chip}\": no such GPIO chip; there {}", have(.present))]
    NoChip {
        /// Label, name or path that was looked for.
        chip: String,
        /// Names and labels of the chips that are there.
        present: Vec<String>,
    },
    /// Several chips with this label.
    #[error("chip = \"{chip}\": several chips have this label; write one of {}", .paths.join(", "))]
    Ambiguous {
        /// The label.
        chip: String,
        /// Their paths.
        paths: Vec<String>,
    },
    /// A device that this user may not open.
    #[error(
        "{path}: permission denied; run as root or put the user into the group that owns it (`ls -l {path}`)"
    )]
    Denied {
        /// The device.
        path: String,
    },
    /// A line that the chip does not have.
    #[error("{key}.line = {line}: {chip} has {lines} lines (0-{})", .lines.saturating_sub(1))]
    Range {
        /// Key of the configuration.
        key: Cow<'static, str>,
        /// The line.
        line: u32,
        /// Name of the chip.
        chip: String,
        /// Lines it has.
        lines: u32,
    },
    /// A line that is already in use.
    #[error(
        "{key}.line = {line}: held by \"{holder}\" on {chip}; choose another line or stop what holds it (`gpioinfo` shows who holds which)"
    )]
    Busy {
        /// Key of the configuration.
        key: Cow<'static, str>,
        /// The line.
        line: u32,
        /// Name of the chip.
        chip: String,
        /// Who holds it, by the kernel's name: a program, a driver or a hog.
        holder: String,
    },
    /// The chip was unplugged or its driver removed.
    #[error("{chip} is gone; plug it in again")]
    Gone {
        /// Name of the chip.
        chip: String,
    },
    /// The kernel refuses a line for another reason.
    #[error("{key}.line = {line} on {chip}: {cause}")]
    Line {
        /// Key of the configuration.
        key: Cow<'static, str>,
        /// The line.
        line: u32,
        /// Name of the chip.
        chip: String,
        /// The kernel's error.
        cause: String,
    },
    /// A chip that cannot be used at all.
    #[error("chip = \"{chip}\": {cause}")]
    Chip {
        /// Label, name or path.
        chip: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The process that opens devices does not respond.
    #[error("the broker, which opens devices: {cause}")]
    Broker {
        /// Why not.
        cause: String,
    },
    /// rppal cannot work here.
    #[error(
        "driver = \"rppal\": {cause}; write driver = \"gpiochip\" and the chip that `gpiodetect` names"
    )]
    Rppal {
        /// Why not.
        cause: String,
    },
}

impl OutputError {
    /// The broker does not respond, because of `cause`.
    pub fn broker(cause: impl ToString) -> Self {
        Self::Broker {
            cause: cause.to_string(),
        }
    }
}

fn have(present: &[String]) -> String {
    if present.is_empty() {
        "are none: does the kernel have a driver for it, is it plugged in?".to_owned()
    } else {
        format!("are {}", present.join(", "))
    }
}
