//! Pins of a Raspberry Pi through rppal: registers mapped from `/dev/gpiomem`, no system call a
//! change.
//!
//! Registers belong to nobody: the kernel does not know that a pin is taken, and keeps it as it is
//! when the process dies. Hence the check that no line is held by somebody else, and the
//! [guard](super::guard). The button goes through the character device, whose edges the kernel
//! debounces and delivers on a file descriptor.

use std::os::fd::BorrowedFd;

use ::rppal::gpio::{Error, Gpio, Level, OutputPin};

use super::gpiochip::{Button, OpenChip};
use super::wiring::{Active, LedLines, Line, Wiring};
use super::{Leds, OutputError, Outputs};

/// What the kernel calls the header's chip: up to the Pi 3, on the Pi 4, on the Pi 5.
const LABELS: [&str; 3] = ["pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"];

/// Relay, LEDs and button on a Raspberry Pi's header.
pub(super) struct Rppal {
    relay: Option<Output>,
    status: Option<Output>,
    granted: Option<Output>,
    refused: Option<Output>,
    button: Option<Button>,
}

impl Rppal {
    pub(super) fn open(wiring: &Wiring, consumer: &str) -> Result<Self, OutputError> {
        let gpio = Gpio::new().map_err(|e| unusable(&e))?;
        let chip = OpenChip::with_label(&LABELS)?;
        let output = |key, line: Option<Line>| {
            line.map(|line| {
                chip.must_be_free(key, line.line)?;
                Output::open(&gpio, key, line)
            })
            .transpose()
        };
        let LedLines {
            status,
            granted,
            refused,
        } = wiring.leds;
        Ok(Self {
            relay: output("relay", wiring.relay)?,
            status: output("leds.status", status)?,
            granted: output("leds.granted", granted)?,
            refused: output("leds.refused", refused)?,
            button: wiring
                .button
                .map(|line| chip.button(line, consumer))
                .transpose()?,
        })
    }
}

impl Outputs for Rppal {
    fn set_relay(&mut self, on: bool) -> Result<(), OutputError> {
        if let Some(relay) = &mut self.relay {
            relay.set(on);
        }
        Ok(())
    }

    fn set_leds(&mut self, leds: Leds) -> Result<(), OutputError> {
        let wanted = [
            (&mut self.status, leds.status),
            (&mut self.granted, leds.granted),
            (&mut self.refused, leds.refused),
        ];
        for (led, on) in wanted {
            if let Some(led) = led {
                led.set(on);
            }
        }
        Ok(())
    }

    fn button_fd(&self) -> Option<BorrowedFd<'_>> {
        self.button.as_ref().map(Button::fd)
    }

    fn button_pressed(&mut self) -> Result<bool, OutputError> {
        match &mut self.button {
            Some(button) => button.pressed(),
            None => Ok(false),
        }
    }
}

impl Drop for Rppal {
    fn drop(&mut self) {
        let _ = self.set_relay(false); // cannot fail
        let _ = self.set_leds(Leds::default());
    }
}

struct Output {
    pin: OutputPin,
    active: Active,
}

impl Output {
    fn open(gpio: &Gpio, key: &'static str, line: Line) -> Result<Self, OutputError> {
        let chip = "the Raspberry Pi's header";
        let pin = u8::try_from(line.line).map_err(|_| Error::PinNotAvailable(u8::MAX));
        let pin = pin.and_then(|pin| gpio.get(pin));
        let pin = pin.map_err(|e| OutputError::Line {
            key,
            line: line.line,
            chip: chip.to_owned(),
            cause: e.to_string(),
        })?;
        // The level is set before the pin becomes an output, so that there is no pulse.
        let mut pin = match line.active {
            Active::High => pin.into_output_low(),
            Active::Low => pin.into_output_high(),
        };
        // Driven off is surer than an input that floats: the pin stays an output after the end.
        pin.set_reset_on_drop(false);
        Ok(Self {
            pin,
            active: line.active,
        })
    }

    fn set(&mut self, on: bool) {
        self.pin.write(match (self.active, on) {
            (Active::High, true) | (Active::Low, false) => Level::High,
            (Active::High, false) | (Active::Low, true) => Level::Low,
        });
    }
}

fn unusable(error: &Error) -> OutputError {
    match error {
        Error::PermissionDenied(path) if path == "/dev/mem" => OutputError::Rppal {
            cause: "no /dev/gpiomem, and the kernel gives no access through /dev/mem".to_owned(),
        },
        Error::PermissionDenied(path) => OutputError::Denied { path: path.clone() },
        Error::UnknownModel => OutputError::Rppal {
            cause: "this is no Raspberry Pi that rppal knows".to_owned(),
        },
        Error::Io(e) if e.kind() == std::io::ErrorKind::NotFound => OutputError::Rppal {
            cause: "no /dev/gpiomem; only Raspberry Pi's own kernels have it".to_owned(),
        },
        e => OutputError::Rppal {
            cause: e.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rppal_cannot_do_names_the_driver_that_can() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        for error in [
            Error::UnknownModel,
            Error::Io(missing),
            Error::PermissionDenied("/dev/mem".to_owned()),
        ] {
            let said = unusable(&error).to_string();
            assert!(said.contains("write driver = \"gpiochip\""), "{said}");
        }
        let said = unusable(&Error::PermissionDenied("/dev/gpiomem".to_owned())).to_string();
        assert!(
            said.starts_with("/dev/gpiomem: permission denied"),
            "{said}"
        );
    }
}
