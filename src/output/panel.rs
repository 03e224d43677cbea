//! Everything that is wired, as one object: relay, LEDs and button, with any driver of lines. It knows no driver.

use std::os::fd::BorrowedFd;

use super::gpiochip::Button;
use super::wiring::{Line, Part, Wiring};
use super::{Leds, OutputError, Outputs};

/// A line that drives a part. It is off when it is created.
pub(super) trait OutputLine: Send {
    /// The kernel's line, if the part is driven through one.
    fn line_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// # Errors
    /// [`OutputError`] if the hardware refuses or is gone.
    fn set(&mut self, on: bool) -> Result<(), OutputError>;
}

/// Everything that is wired. It is off when this is dropped.
pub(super) struct Panel<D: OutputLine> {
    relay: Option<D>,
    status: Option<D>,
    granted: Option<D>,
    refused: Option<D>,
    button: Option<Button>,
    /// The state of the LEDs.
    shown: Leds,
}

impl<D: OutputLine> Panel<D> {
    /// Opens every line of `wiring` that drives a part. `output` receives the line's part.
    pub fn open(
        wiring: &Wiring,
        mut output: impl FnMut(Part, Line) -> Result<D, OutputError>,
        button: Option<Button>,
    ) -> Result<Self, OutputError> {
        let mut output = |part: Part| {
            let line = part.line(wiring);
            line.map(|line| output(part, line)).transpose()
        };
        Ok(Self {
            relay: output(Part::Relay)?,
            status: output(Part::Status)?,
            granted: output(Part::Granted)?,
            refused: output(Part::Refused)?,
            button,
            shown: Leds::default(),
        })
    }
}

impl<D: OutputLine> Outputs for Panel<D> {
    fn set_relay(&mut self, on: bool) -> Result<(), OutputError> {
        self.relay.as_mut().map_or(Ok(()), |relay| relay.set(on))
    }

    fn set_leds(&mut self, leds: Leds) -> Result<(), OutputError> {
        for (led, shown, on) in [
            (&mut self.status, &mut self.shown.status, leds.status),
            (&mut self.granted, &mut self.shown.granted, leds.granted),
            (&mut self.refused, &mut self.shown.refused, leds.refused),
        ] {
            if *shown != on
                && let Some(led) = led
            {
                led.set(on)?;
                *shown = on;
            }
        }
        Ok(())
    }

    fn button_fd(&self) -> Option<BorrowedFd<'_>> {
        self.button.as_ref().map(Button::fd)
    }

    fn button_pressed(&mut self) -> Result<bool, OutputError> {
        self.button.as_mut().map_or(Ok(false), Button::pressed)
    }

    fn relay_fd(&self) -> Option<BorrowedFd<'_>> {
        self.relay.as_ref().and_then(D::line_fd)
    }
}

impl<D: OutputLine> Drop for Panel<D> {
    fn drop(&mut self) {
        // An error means that the chip is gone, and the line with it.
        let _ = self.set_relay(false);
        let _ = self.set_leds(Leds::default());
    }
}
