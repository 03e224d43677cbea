//! Outputs without hardware. The door thread logs the relay's changes; here they appear at level debug only.

use std::os::fd::BorrowedFd;

use super::{Leds, OutputError, Outputs};

/// Logs the relay at level `debug` and the LEDs, some of which blink, at `trace`.
#[derive(Debug, Default)]
pub(super) struct Log {
    relay: bool,
    leds: Leds,
}

impl Outputs for Log {
    fn set_relay(&mut self, on: bool) -> Result<(), OutputError> {
        if on != self.relay {
            self.relay = on;
            ::log::debug!("relay {}", if on { "on" } else { "off" });
        }
        Ok(())
    }

    fn set_leds(&mut self, leds: Leds) -> Result<(), OutputError> {
        if leds != self.leds {
            self.leds = leds;
            ::log::trace!("{leds}");
        }
        Ok(())
    }

    fn button_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn button_pressed(&mut self) -> Result<bool, OutputError> {
        Ok(false)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.set_relay(false); // cannot fail
        let _ = self.set_leds(Leds::default());
    }
}
