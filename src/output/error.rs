//! The errors of lines, and what to do about each of them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::wiring::WiringError;

/// Why the outputs are not available or do not obey.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The wiring is impossible.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// There is no such chip.
    #[error("chip = \"{chip}\": no such GPIO chip; there {}", have(.present))]
    NoChip {
        /// The label, name or path that was searched for.
        chip: String,
        /// Names and labels of the chips that are present.
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
    /// This user may not open a device.
    #[error(
        "{path}: permission denied; run as root or put the user into the group that owns it (`ls -l {path}`)"
    )]
    Denied {
        /// The device.
        path: String,
    },
    /// The chip does not have this line.
    #[error("{key}.line = {line}: {chip} has {lines} lines (0-{})", .lines.saturating_sub(1))]
    Range {
        /// Key of the configuration.
        key: Cow<'static, str>,
        /// The line.
        line: u32,
        /// Name of the chip.
        chip: String,
        /// The number of lines that the chip has.
        lines: u32,
    },
    /// The line is already in use.
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
        /// The line's holder, by the kernel's name: a program, a driver or a hog.
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
    /// The chip cannot be used at all.
    #[error("chip = \"{chip}\": {cause}")]
    Chip {
        /// Label, name or path.
        chip: String,
        /// The reason.
        cause: String,
    },
    /// The process that opens devices does not respond.
    #[error("the broker, which opens devices: {cause}")]
    Broker {
        /// The reason.
        cause: String,
    },
    /// rppal cannot work here.
    #[error(
        "driver = \"rppal\": {cause}; write driver = \"gpiochip\" and the chip that `gpiodetect` names"
    )]
    Rppal {
        /// The reason.
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
