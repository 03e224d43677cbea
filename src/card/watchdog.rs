//! The hardware watchdog: it resets the board unless it is fed. A caller of [`Watchdog::feed`] must have seen progress.

use std::fs::{File, OpenOptions};
use std::io::Write;

use rustix::ioctl::{Updater, opcode};

/// The longest time that a kernel that hangs with the relay on can hold the door open. It is also the longest time that the
/// Pi's watchdog supports. The first process must find a hanging job before the watchdog fires.
pub const SECONDS: i32 = 15;

/// `WDIOC_SETTIMEOUT` of linux/watchdog.h: receives a number of seconds, and returns the number that the hardware uses.
const SET_TIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'W', 6);

/// The watchdog, if the board has one.
pub struct Watchdog {
    device: Option<File>,
}

impl Watchdog {
    /// Arms the watchdog. Without a watchdog only the kernel's panic and the job's own watchdogs are left, and a warning is
    /// logged.
    pub fn open() -> Self {
        let device = match OpenOptions::new().write(true).open("/dev/watchdog") {
            Ok(device) => device,
            Err(error) => {
                log::warn!("no_watchdog why={:?}", error.to_string());
                return Self { device: None };
            }
        };
        let mut seconds = SECONDS;
        #[expect(unsafe_code, reason = "rustix has no function for this call")]
        // SAFETY: the opcode is that of WDIOC_SETTIMEOUT, which reads and writes one int, and `seconds` is one int.
        let set = unsafe {
            rustix::ioctl::ioctl(&device, Updater::<SET_TIMEOUT, i32>::new(&mut seconds))
        };
        match set {
            Ok(()) => log::info!("watchdog seconds={seconds}"),
            Err(error) => log::warn!("watchdog seconds=its_own why={:?}", error.to_string()),
        }
        Self {
            device: Some(device),
        }
    }

    /// Postpones the reset.
    pub fn feed(&mut self) {
        if let Some(device) = &mut self.device {
            let _ = device.write_all(b"\0");
        }
    }

    /// Disarms the watchdog before the power goes off, because a reset would turn the board on again.
    pub fn disarm(&mut self) {
        if let Some(device) = &mut self.device {
            let _ = device.write_all(b"V");
        }
        self.device = None;
    }
}
