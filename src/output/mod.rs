//! The outputs and the input of the door: relay, LEDs and exit button.
//!
//! Three drivers implement one trait: the kernel's GPIO character device for any board ([`Driver::Gpiochip`]), rppal for the
//! Raspberry Pis ([`Driver::Rppal`], replaced by the first driver if the kernel has no registers for it), and a log line if
//! there is no hardware ([`Driver::Log`]). This module decides nothing: that is the job of [`crate::door`].
//!
//! # How a relay ends up off
//! | what happens | what turns the relay off |
//! |---|---|
//! | the hold time is over | the door thread |
//! | a fault of anything that the door depends on | the door thread, before it does anything else about the fault |
//! | an error of the lines, an orderly end | the door thread, then dropping the [`Outputs`]: relay first, then LEDs |
//! | a panic in any thread | [`emergency::off`], before the message; [`abort`](crate::panics::abort) ends the process, then as below |
//! | the process is killed or aborts | the [`Guard`], a process of its own, within milliseconds |
//! | the process hangs with the relay on | the [`Guard`] kills it after a second without a heartbeat, then as above |
//! | the guard dies or hangs | the door thread, see [`guard`]; a second guard, which watches already, takes its place |
//! | the broker dies | the door thread; the process then ends, because it could not replace an output or guard that it loses |
//! | the kernel panics, or hangs | nothing, until the board restarts: then nothing drives the line |
//! | power is lost, the board reboots | nothing drives the line: wire the relay so that this is *off* |
//!
//! Unwinding alone is not a sufficient answer to a panic: a thread other than the one that owns the outputs would end and leave
//! the relay as it is.
//!
//! This order must be kept: the guard answers before the relay goes on, the relay goes off before anything else is done, and
//! the outputs are dropped before the guard.
//!
//! # Who opens what
//! A process that may open no device receives lines that another process requested: the other one calls [`request_lines`], this
//! one [`assemble`]. [`open`] does both. [`resolve_driver`] maps rppal's registers, once.

mod chips;
pub mod emergency;
mod error;
mod gpiochip;
pub mod guard;
mod log;
mod panel;
mod pattern;
mod rppal;
mod wiring;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use gpiochip::{Button, OpenChip};
use panel::Panel;

pub use chips::{ChipReport, chips};
pub use error::OutputError;
pub use gpiochip::{CHIP_CALLS, LINE_CALL};
pub use guard::{Guard, GuardError};
pub use pattern::{Leds, Player, next_change, pattern};
pub use rppal::Registers;
pub use wiring::{
    Active, ButtonLine, Driver, LedLines, Line, Part, Pull, Wired, Wiring, WiringError,
};

/// The name under which lines are held, as `gpioinfo` shows it.
pub const CONSUMER: &str = "latchkey";

/// A relay, LEDs and a button. Each may be missing: setting a part that is not wired does nothing.
///
/// Everything that is wired is off when [`open`] returns it, and off again when it is dropped. After an error the state is
/// unknown: drop the outputs, treat the error as a fault of the door, and [`open`] them again later. In this way a chip that
/// was unplugged comes back, too.
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

    /// The descriptor to poll for the button: readable when the button was pressed, and hung up when its chip is gone. None if
    /// no button is wired.
    fn button_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether the button was pressed since the last call, after debouncing. Never waits.
    ///
    /// # Errors
    /// [`OutputError`] if the chip is gone.
    fn button_pressed(&mut self) -> Result<bool, OutputError>;

    /// The kernel's line of the relay, for [`emergency`]; None if the relay is switched in another way.
    fn relay_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Opens what is wired. Relay and LEDs are off.
///
/// # Errors
/// [`OutputError`] if the wiring is impossible, or chip or lines are not available.
pub fn open(wiring: &Wiring) -> Result<Box<dyn Outputs>, OutputError> {
    open_as(wiring, CONSUMER)
}

/// Like [`open`], but waits up to `patience` for lines that are still held: the guard of a
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
    let (wiring, registers) = resolve_driver(wiring)?;
    let lines = request_lines_as(&wiring, chip_of(&wiring)?.as_ref(), consumer)?;
    assemble(&wiring, lines, registers.as_ref())
}

/// The wiring with the driver that works on this machine, and rppal's registers if that is the driver: kernels other than
/// Raspberry Pi's own have no registers to map, but a driver for the header. The result needs no second [`resolve_driver`].
///
/// # Errors
/// [`OutputError`] if the wiring is impossible, or rppal cannot work and no other driver can replace it.
pub fn resolve_driver(wiring: &Wiring) -> Result<(Wiring, Option<Registers>), OutputError> {
    wiring.validate()?;
    if wiring.driver != Driver::Rppal {
        return Ok((wiring.clone(), None));
    }
    match Registers::map() {
        Ok(registers) => Ok((wiring.clone(), Some(registers))),
        Err(error @ OutputError::Rppal { .. }) => match rppal::through_the_kernel(wiring) {
            Some(wiring) => Ok((wiring, None)),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Lines that were requested from the kernel, turned off, for the process that will drive them.
#[derive(Debug)]
pub struct RequestedLines {
    /// Name of the lines' chip; empty if there is none.
    pub chip: String,
    /// The wired parts, each with its line. With rppal it is only the button, because registers are not held as lines.
    pub lines: Vec<(Part, OwnedFd)>,
}

/// Requests the lines of `wiring`, which [`resolve_driver`] has returned.
///
/// # Errors
/// [`OutputError`] if chip or lines are not available.
pub fn request_lines(wiring: &Wiring) -> Result<RequestedLines, OutputError> {
    request_lines_as(wiring, chip_of(wiring)?.as_ref(), CONSUMER)
}

/// The open chip of the wiring, if its driver has one.
fn chip_of(wiring: &Wiring) -> Result<Option<OpenChip>, OutputError> {
    match wiring.driver {
        Driver::Gpiochip => OpenChip::find(wiring.chip.as_deref().unwrap_or_default()).map(Some),
        Driver::Rppal => rppal::chip().map(Some),
        Driver::Log => Ok(None),
    }
}

fn request_lines_as(
    wiring: &Wiring,
    chip: Option<&OpenChip>,
    consumer: &str,
) -> Result<RequestedLines, OutputError> {
    let mut lines = Vec::new();
    let Some(chip) = chip else {
        let chip = String::new();
        return Ok(RequestedLines { chip, lines });
    };
    for part in Part::DRIVEN {
        let Some(line) = part.line(wiring) else {
            continue;
        };
        match wiring.driver {
            Driver::Rppal => chip.must_be_free(part.key(), line.line)?,
            _ => lines.push((part, chip.output(part.key(), line, consumer)?)),
        }
    }
    if let Some(button) = wiring.button {
        lines.push((Part::Button, chip.button(button, consumer)?));
    }
    Ok(RequestedLines {
        chip: chip.name().to_owned(),
        lines,
    })
}

/// Outputs on the lines that [`request_lines`] has requested, with the registers of [`resolve_driver`] if the driver is rppal.
///
/// # Errors
/// [`OutputError`] if a line of the wiring is missing, or a register is not available.
pub fn assemble(
    wiring: &Wiring,
    requested: RequestedLines,
    registers: Option<&Registers>,
) -> Result<Box<dyn Outputs>, OutputError> {
    let RequestedLines { chip, mut lines } = requested;
    let mut line = |part: Part| {
        let at = lines.iter().position(|(p, _)| *p == part)?;
        Some(lines.swap_remove(at).1)
    };
    let missing = |part: Part| OutputError::broker(format!("no line came for {}", part.key()));
    let button = match wiring.button {
        Some(button) if wiring.driver != Driver::Log => {
            let fd = line(Part::Button).ok_or_else(|| missing(Part::Button))?;
            Some(Button::new(fd, button.line, &chip))
        }
        _ => None,
    };
    Ok(match (wiring.driver, registers) {
        (Driver::Log, _) => Box::new(log::Log::default()),
        (Driver::Rppal, Some(registers)) => Box::new(rppal::open(wiring, registers, button)?),
        (Driver::Rppal, None) => {
            return Err(OutputError::Rppal {
                cause: "its registers are not mapped".to_owned(),
            });
        }
        (Driver::Gpiochip, _) => Box::new(Panel::open(
            wiring,
            |part, l| {
                let fd = line(part).ok_or_else(|| missing(part))?;
                Ok(gpiochip::Output::new(fd, part.key(), l.line, &chip))
            },
            button,
        )?),
    })
}
