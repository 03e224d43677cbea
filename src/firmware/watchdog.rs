//! The hardware watchdog: resets the board unless it is fed. Whoever calls [`Watchdog::feed`] must have seen progress.

use std::fs::{File, OpenOptions};
use std::io::Write;

use rustix::ioctl::{Updater, opcode};

/// A kernel that hangs with the relay on holds the door open for so long, at most. It is as long as the
/// Pi's can: the first process has to find a hanging job first.
pub const SECONDS: i32 = 15;

/// `WDIOC_SETTIMEOUT` of linux/watchdog.h: seconds in, what the hardware made of them out.
const SET_TIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'W', 6);

/// The watchdog, if the board has one.
pub struct Watchdog {
    device: Option<File>,
}

impl Watchdog {
    /// Arms it. Without one only the kernel's panic and the job's own watchdogs are left, which the log says.
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
        // SAFETY: the opcode is that of WDIOC_SETTIMEOUT, which reads and writes one int, and `seconds` is one.
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

    /// Puts the reset off once more.
    pub fn feed(&mut self) {
        if let Some(device) = &mut self.device {
            let _ = device.write_all(b"\0");
        }
    }

    /// For when the power goes off: a reset would bring it back on.
    pub fn disarm(&mut self) {
        if let Some(device) = &mut self.device {
            let _ = device.write_all(b"V");
        }
        self.device = None;
    }
}
