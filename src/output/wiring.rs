//! Which line drives what: the `[output]` table of a board file.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What drives the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The kernel's GPIO character device (Linux 5.10 or newer): any board.
    Gpiochip,
    /// Memory-mapped registers of a Raspberry Pi.
    Rppal,
    /// No hardware: a log line for every change.
    #[default]
    Log,
}

/// The level at which a part is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Active {
    /// On at the supply voltage.
    #[default]
    High,
    /// On at ground, as on many relay boards.
    Low,
}

/// The resistor that holds an input while the button is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// The chip's own resistor, to the supply voltage.
    #[default]
    Up,
    /// The chip's own resistor, to ground.
    Down,
    /// A resistor outside of the chip; those of the chip are off.
    None,
}

/// A line that drives a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Offset in the chip; on a Raspberry Pi the BCM number of the pin.
    pub line: u32,
    /// Level at which the part is on.
    #[serde(default)]
    pub active: Active,
}

/// The line of the exit button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ButtonLine {
    /// Offset in the chip; on a Raspberry Pi the BCM number of the pin.
    pub line: u32,
    /// Level while pressed: low for a button between line and ground.
    #[serde(default = "low")]
    pub active: Active,
    /// The resistor that holds the line while the button is open.
    #[serde(default)]
    pub pull: Pull,
    /// How long the level must be steady before it counts, in ms: 0 to 1000.
    #[serde(default = "debounce")]
    pub debounce_ms: u32,
}

const fn low() -> Active {
    Active::Low
}

/// Contacts of small buttons bounce for a few milliseconds, worn ones for longer; no one presses for
/// less than 50 ms.
const fn debounce() -> u32 {
    20
}

/// The LEDs, each optional. If one is missing, another LED shows its signals: see [`pattern`](super::pattern()).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedLines {
    /// Any colour: shows that the door works or sees a face.
    pub status: Option<Line>,
    /// Green.
    pub granted: Option<Line>,
    /// Red.
    pub refused: Option<Line>,
}

/// Which LEDs are wired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wired {
    /// Any colour: shows that the door works or sees a face.
    pub status: bool,
    /// Green.
    pub granted: bool,
    /// Red.
    pub refused: bool,
}

/// What is wired to which line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wiring {
    /// What drives the lines.
    pub driver: Driver,
    /// The GPIO chip, for the driver `gpiochip`: its label (`pinctrl-bcm2711`), name (`gpiochip0`) or path (`/dev/gpiochip0`).
    /// Labels stay the same after a reboot, numbers may change.
    pub chip: Option<String>,
    /// The relay of the door or of the light.
    pub relay: Option<Line>,
    /// The LEDs.
    pub leds: LedLines,
    /// The exit button.
    pub button: Option<ButtonLine>,
}

/// A part that is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Part {
    /// The relay.
    Relay,
    /// The LED of any colour.
    Status,
    /// The green LED.
    Granted,
    /// The red LED.
    Refused,
    /// The exit button.
    Button,
}

impl Part {
    /// All parts that a line drives, the relay first.
    pub(super) const DRIVEN: [Self; 4] = [Self::Relay, Self::Status, Self::Granted, Self::Refused];

    /// The key of the part in the board file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Status => "leds.status",
            Self::Granted => "leds.granted",
            Self::Refused => "leds.refused",
            Self::Button => "button",
        }
    }

    /// The line that drives the part; none if it is not wired, and for the button.
    #[must_use]
    pub const fn line(self, wiring: &Wiring) -> Option<Line> {
        match self {
            Self::Relay => wiring.relay,
            Self::Status => wiring.leds.status,
            Self::Granted => wiring.leds.granted,
            Self::Refused => wiring.leds.refused,
            Self::Button => None,
        }
    }
}

/// An impossible wiring.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, thiserror::Error)]
pub enum WiringError {
    /// The driver needs a chip, and none is configured.
    #[error(
        "chip is missing: the driver gpiochip needs the label, name or path of a GPIO chip; `gpiodetect` lists them"
    )]
    NoChip,
    /// A chip is configured, but the driver finds its chip itself.
    #[error(
        "chip = \"{chip}\": the driver rppal finds the chip of a Raspberry Pi itself; leave chip out or write driver = \"gpiochip\""
    )]
    NeedlessChip {
        /// The configured chip.
        chip: String,
    },
    /// Two parts are on one line.
    #[error("{second}.line = {line}: that line is {first}.line already; give each its own")]
    Twice {
        /// The line.
        line: u32,
        /// Key of one part.
        first: Cow<'static, str>,
        /// Key of the other part.
        second: Cow<'static, str>,
    },
    /// The debounce time is unreasonable.
    #[error("button.debounce_ms = {value}: too large; give milliseconds between 0 and 1000")]
    Debounce {
        /// The value, in ms.
        value: u32,
    },
}

impl LedLines {
    /// Which LEDs are wired.
    #[must_use]
    pub const fn wired(&self) -> Wired {
        Wired {
            status: self.status.is_some(),
            granted: self.granted.is_some(),
            refused: self.refused.is_some(),
        }
    }
}

impl Wiring {
    /// Checks what can be checked without the hardware.
    ///
    /// # Errors
    /// [`WiringError`] for the first fault.
    pub fn validate(&self) -> Result<(), WiringError> {
        match (self.driver, &self.chip) {
            (Driver::Gpiochip, None) => return Err(WiringError::NoChip),
            (Driver::Rppal, Some(chip)) => {
                let chip = chip.clone();
                return Err(WiringError::NeedlessChip { chip });
            }
            _ => {}
        }
        let lines = [
            ("relay", self.relay.map(|l| l.line)),
            ("leds.status", self.leds.status.map(|l| l.line)),
            ("leds.granted", self.leds.granted.map(|l| l.line)),
            ("leds.refused", self.leds.refused.map(|l| l.line)),
            ("button", self.button.map(|l| l.line)),
        ];
        for (i, (second, line)) in lines.iter().enumerate() {
            let Some(line) = *line else { continue };
            if let Some((first, _)) = lines[..i].iter().find(|(_, l)| *l == Some(line)) {
                return Err(WiringError::Twice {
                    line,
                    first: (*first).into(),
                    second: (*second).into(),
                });
            }
        }
        match self.button {
            Some(ButtonLine { debounce_ms, .. }) if debounce_ms > 1000 => {
                Err(WiringError::Debounce { value: debounce_ms })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wiring(toml: &str) -> Wiring {
        toml::from_str(toml).expect("the test's wiring is valid TOML")
    }

    #[test]
    fn defaults_are_a_button_to_ground_and_an_active_high_relay() {
        let w = wiring(
            "driver = 'gpiochip'\nchip = 'gpiochip0'\nrelay = { line = 17 }\n[button]\nline = 27",
        );
        assert_eq!(w.validate(), Ok(()));
        assert_eq!(w.relay.map(|r| r.active), Some(Active::High));
        let button = w.button.expect("wired");
        assert_eq!(
            (button.active, button.pull, button.debounce_ms),
            (Active::Low, Pull::Up, 20)
        );
    }

    #[test]
    fn faults_are_named_with_key_and_fix() {
        let cases = [
            ("driver = 'gpiochip'", "chip is missing"),
            ("driver = 'rppal'\nchip = 'x'", "chip = \"x\""),
            (
                "relay = { line = 5 }\nleds.refused = { line = 5 }",
                "leds.refused.line = 5: that line is relay.line already",
            ),
            (
                "button = { line = 1, debounce_ms = 1001 }",
                "button.debounce_ms = 1001",
            ),
        ];
        for (toml, expected) in cases {
            let error = wiring(toml).validate().expect_err(toml).to_string();
            assert!(
                error.contains(expected),
                "{error:?} should contain {expected:?}"
            );
        }
    }

    #[test]
    fn misspelt_keys_are_refused() {
        for toml in [
            "rellay = { line = 1 }",
            "relay = { line = 1, activ = 'low' }",
            "[leds]\ngreen = { line = 1 }",
        ] {
            toml::from_str::<Wiring>(toml).expect_err(toml);
        }
    }
}
