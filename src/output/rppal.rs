//! Pins of a Raspberry Pi through rppal: the registers are mapped from `/dev/gpiomem`, so a change needs no system call.
//!
//! No process holds registers: the kernel does not know that a pin is in use, and the pin keeps its state when the process
//! dies. For this reason, there is a check that no other program holds a line, and there is the [guard](super::guard). The
//! button goes through the character device: the kernel debounces its edges and delivers them on a file descriptor.

use ::rppal::gpio::{Error, Gpio, Level, OutputPin};

use super::OutputError;
use super::gpiochip::{Button, OpenChip};
use super::panel::{OutputLine, Panel};
use super::wiring::{Active, Driver, Line, Wiring};

/// The kernel's names of the header's chip: up to the Pi 3, on the Pi 4, on the Pi 5.
const LABELS: [&str; 3] = ["pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"];

/// The mapped registers. Once they are mapped, no file is opened for them. A second call returns the same mapping.
#[derive(Clone, Debug)]
pub struct Registers(Gpio);

impl Registers {
    /// Maps the registers.
    pub(super) fn map() -> Result<Self, OutputError> {
        Gpio::new().map(Self).map_err(|e| unusable(&e))
    }
}

/// The chip of the header, for the lines that go through the kernel.
pub(super) fn chip() -> Result<OpenChip, OutputError> {
    OpenChip::with_label(&LABELS)
}

/// Opens relay and LEDs on a Raspberry Pi's header, and a button whose line was requested.
pub(super) fn open(
    wiring: &Wiring,
    registers: &Registers,
    button: Option<Button>,
) -> Result<Panel<Output>, OutputError> {
    Panel::open(
        wiring,
        |part, line| Output::open(&registers.0, part.key(), line),
        button,
    )
}

/// The same wiring for the character device, if the kernel has a driver for the header.
pub(super) fn through_the_kernel(wiring: &Wiring) -> Option<Wiring> {
    let label = LABELS
        .iter()
        .find(|label| OpenChip::with_label(&[label]).is_ok())?;
    Some(Wiring {
        driver: Driver::Gpiochip,
        chip: Some((*label).to_owned()),
        ..wiring.clone()
    })
}

/// A pin that drives a part.
pub(super) struct Output {
    pin: OutputPin,
    active: Active,
}

impl Output {
    fn open(gpio: &Gpio, key: &'static str, line: Line) -> Result<Self, OutputError> {
        let chip = "the Raspberry Pi's header";
        let pin = u8::try_from(line.line).map_err(|_| Error::PinNotAvailable(u8::MAX));
        let pin = pin.and_then(|pin| gpio.get(pin));
        let pin = pin.map_err(|e| OutputError::Line {
            key: key.into(),
            line: line.line,
            chip: chip.to_owned(),
            cause: e.to_string(),
        })?;
        // The level is set before the pin becomes an output, so that there is no pulse.
        let mut pin = match line.active {
            Active::High => pin.into_output_low(),
            Active::Low => pin.into_output_high(),
        };
        // Driving the pin to "off" is more reliable than an input that floats, so the pin stays an output after the end.
        pin.set_reset_on_drop(false);
        Ok(Self {
            pin,
            active: line.active,
        })
    }
}

impl OutputLine for Output {
    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        self.pin.write(match (self.active, on) {
            (Active::High, true) | (Active::Low, false) => Level::High,
            (Active::High, false) | (Active::Low, true) => Level::Low,
        });
        Ok(())
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
    fn rppals_errors_name_the_driver_to_use_instead() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        for error in [
            Error::UnknownModel,
            Error::Io(missing),
            Error::PermissionDenied("/dev/mem".to_owned()),
        ] {
            let message = unusable(&error).to_string();
            assert!(message.contains("write driver = \"gpiochip\""), "{message}");
        }
        let message = unusable(&Error::PermissionDenied("/dev/gpiomem".to_owned())).to_string();
        assert!(
            message.starts_with("/dev/gpiomem: permission denied"),
            "{message}"
        );
    }
}
