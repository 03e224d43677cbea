//! A panic ends the process, and then the guard turns the relay off. A thread that
//! unwinds alone would leave the relay as it is.
//!
//! The exception is the work of libraries on bytes from outside: a defect there must not cost more than a frame.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::panic::UnwindSafe;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Makes a panic end the whole process, after the message that panics print. The exceptions are panics in [`contained`] work
/// and in a library's own thread. All of our threads have names, and a thread that waits for a library's thread sees that one
/// fail.
///
/// Before the message, and before anything else, a panic that ends the process calls `first`, which turns the relay off. The
/// message must not keep the process from ending, because the guard waits for that end: if a console accepts nothing, the
/// message is given up after `STDERR_TIMEOUT`.
pub fn abort(first: fn()) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let ends = !CONTAINED.get() && std::thread::current().name().is_some();
        if ends {
            first();
        }
        if accepts_output() {
            print(panic);
        }
        if ends {
            std::process::abort();
        }
    }));
}

/// How long the message of a panic may wait until standard error accepts it.
const STDERR_TIMEOUT: Duration = Duration::from_millis(200);

/// Whether standard error accepts a message.
fn accepts_output() -> bool {
    let error = std::io::stderr();
    let mut fds = [PollFd::from_borrowed_fd(error.as_fd(), PollFlags::OUT)];
    let timeout = Timespec::try_from(STDERR_TIMEOUT).ok();
    poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Runs `work`; `None` if it panicked.
pub fn contained<T>(work: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    let outer = CONTAINED.replace(true);
    let result = std::panic::catch_unwind(work);
    CONTAINED.set(outer);
    result.ok()
}
