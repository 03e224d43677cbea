//! The relay's line, for a thread that panics: that thread turns the relay off before it prints anything or ends the process,
//! whichever thread owns the outputs.
//!
//! This works through the kernel's character device only. A relay that rppal switches is turned off by the
//! [guard](super::guard) once the process has ended.
#![expect(
    unsafe_code,
    reason = "a descriptor that another thread owns is used by its number"
)]

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use gpiocdev_uapi::v2::{LineValues, set_line_values};

const NONE: i32 = -1;

/// The line's descriptor.
static RELAY: AtomicI32 = AtomicI32::new(NONE);

/// Sets the line that [`off`] will turn off; None if there is no line.
pub fn set(line: Option<BorrowedFd<'_>>) {
    let fd = line.map_or(NONE, |fd| fd.as_raw_fd());
    RELAY.store(fd, Ordering::Release);
}

/// Turns the line off. Neither waits for another thread nor allocates.
pub fn off() {
    let fd = RELAY.load(Ordering::Acquire);
    if fd != NONE {
        // SAFETY: the descriptor is not closed here (`ManuallyDrop`). If its owner has just closed it, the number is free or
        // belongs to another file: the call below only reads our memory, and has an effect only on GPIO lines.
        let line = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        let _ = set_line_values(&line, &LineValues::from_slice(&[false]));
    }
}
