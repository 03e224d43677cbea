//! What moves: relay, LEDs and the exit button.
//!
//! Three drivers behind one trait: the kernel's GPIO character device for any board ([`Driver::Gpiochip`]),
//! rppal for the Raspberry Pis ([`Driver::Rppal`], or the former where the kernel has no registers for it), and a log line where there is no hardware
//! ([`Driver::Log`]). Decides nothing: that is [`crate::door`].
//!
//! # How a relay ends up off
//! | what happens | what turns the relay off |
//! |---|---|
//! | the hold time is over | the door thread |
//! | an error, an orderly end | dropping the [`Outputs`]: relay first, then LEDs |
//! | a panic in any thread | [`abort`](crate::panics::abort) ends the process, then as below |
//! | the process is killed or aborts | the [`Guard`], a process of its own, within milliseconds |
//! | the process hangs with the relay on | the [`Guard`] kills it after a second without a heartbeat, then as above |
//! | the guard dies | the next heartbeat fails: a fault, which closes the door |
//! | power is lost, the board reboots | nothing drives the line: wire the relay so that this is *off* |
//!
//! Unwinding alone is no answer to a panic: a thread other than the one that owns the outputs would
//! end and leave the relay as it is.
//!
//! The order that keeps this true: beat, then relay on; relay off, then beat; drop the outputs, then
//! the guard.

mod chips;
mod error;
mod gpiochip;
pub mod guard;
mod log;
mod panel;
mod pattern;
mod rppal;
mod wiring;

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

pub use chips::{ChipReport, chips};
pub use error::OutputError;
pub use guard::{Guard, GuardError, run_guard};
pub use pattern::{Leds, Player, next_change, pattern};
pub use wiring::{Active, ButtonLine, Driver, LedLines, Line, Pull, Wired, Wiring, WiringError};

/// The name under which lines are held: `gpioinfo` shows it.
pub const CONSUMER: &str = "latchkey";

/// A relay, LEDs and a button, wired or not: setting what is not wired does nothing.
///
/// Whatever is wired is off when [`open`] returns it and off again when it is dropped. After an error
/// nothing is certain: drop it, treat it as a fault of the door, and [`open`] again later. That is
/// also how a chip that was unplugged comes back.
pub trait Outputs: Send {
    /// Switches the relay.
    ///
    /// # Errors
    /// [`OutputError`] if the hardware refuses or is gone; the relay may be in either state.
    fn set_relay(&mut self, on: bool) -> Result<(), OutputError>;

    /// Switches the LEDs. Writes only those that change.
    ///
    /// # Errors
    /// [`OutputError`] if the hardware refuses or is gone.
    fn set_leds(&mut self, leds: Leds) -> Result<(), OutputError>;

    /// What to poll for the button: readable when it was pressed, and hung up when its chip is gone.
    /// None if no button is wired.
    fn button_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether the button was pressed since the last call, bouncing taken out. Never waits.
    ///
    /// # Errors
    /// [`OutputError`] if the chip is gone.
    fn button_pressed(&mut self) -> Result<bool, OutputError>;
}

/// Takes hold of what is wired. Relay and LEDs are off.
///
/// # Errors
/// [`OutputError`] if the wiring is impossible, or chip or lines cannot be had.
pub fn open(wiring: &Wiring) -> Result<Box<dyn Outputs>, OutputError> {
    open_as(wiring, CONSUMER)
}

/// Like [`open`], but waits up to `patience` for lines that somebody still holds: the guard of a
/// process that has just died needs some milliseconds to turn them off.
///
/// # Errors
/// As [`open`].
pub fn open_patiently(
    wiring: &Wiring,
    patience: Duration,
) -> Result<Box<dyn Outputs>, OutputError> {
    open_patiently_as(wiring, CONSUMER, patience)
}

fn open_patiently_as(
    wiring: &Wiring,
    consumer: &str,
    patience: Duration,
) -> Result<Box<dyn Outputs>, OutputError> {
    let start = Instant::now();
    loop {
        match open_as(wiring, consumer) {
            Err(OutputError::Busy { .. }) if start.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(2));
            }
            done => return done,
        }
    }
}

fn open_as(wiring: &Wiring, consumer: &str) -> Result<Box<dyn Outputs>, OutputError> {
    wiring.validate()?;
    Ok(match wiring.driver {
        Driver::Gpiochip => Box::new(gpiochip::open(wiring, consumer)?),
        Driver::Rppal => match rppal::open(wiring, consumer) {
            Ok(outputs) => Box::new(outputs),
            // Kernels other than Raspberry Pi's own have no registers to map, but a driver for the header.
            Err(error @ OutputError::Rppal { .. }) => match rppal::through_the_kernel(wiring) {
                Some(wiring) => Box::new(gpiochip::open(&wiring, consumer)?),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        },
        Driver::Log => Box::new(log::Log::default()),
    })
}
