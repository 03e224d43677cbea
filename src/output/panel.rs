//! What is wired, as one: relay, LEDs and button, over whatever drives a line. Knows no driver.

use std::os::fd::BorrowedFd;

use super::gpiochip::Button;
use super::wiring::{ButtonLine, LedLines, Line, Wiring};
use super::{Leds, OutputError, Outputs};

/// A line that drives something: off when it is made.
pub(super) trait Drive: Send {
    /// # Errors
    /// [`OutputError`] if the hardware refuses or is gone.
    fn set(&mut self, on: bool) -> Result<(), OutputError>;
}

/// Everything that is wired. Off when it is dropped.
pub(super) struct Panel<D: Drive> {
    relay: Option<D>,
    status: Option<D>,
    granted: Option<D>,
    refused: Option<D>,
    button: Option<Button>,
    /// What the LEDs show.
    shown: Leds,
}

impl<D: Drive> Panel<D> {
    /// Takes hold of every line of `wiring`. `output` is told the line's key in the board file.
    pub fn open(
        wiring: &Wiring,
        output: impl Fn(&'static str, Line) -> Result<D, OutputError>,
        button: impl FnOnce(ButtonLine) -> Result<Button, OutputError>,
    ) -> Result<Self, OutputError> {
        let output = |key, line: Option<Line>| line.map(|line| output(key, line)).transpose();
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
            button: wiring.button.map(button).transpose()?,
            shown: Leds::default(),
        })
    }
}

impl<D: Drive> Outputs for Panel<D> {
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
}

impl<D: Drive> Drop for Panel<D> {
    fn drop(&mut self) {
        // An error means that the chip is gone, and the line with it.
        let _ = self.set_relay(false);
        let _ = self.set_leds(Leds::default());
    }
}
