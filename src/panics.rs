//! What a panic means: the end of the process, after which the guard turns the relay off. A thread that
//! unwinds alone would leave the relay as it is.
//!
//! Excepted is what libraries do with bytes from outside: a defect there must cost no more than a frame.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::panic::UnwindSafe;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Makes a panic end the whole process, after the message that panics print, unless it comes out of
/// [`contained`] work or a library's own thread: all of ours have names, and whoever waits for another
/// one sees it fail.
///
/// Before the message, and before anything else, a panic that ends the process calls `first`, which turns the relay off. The
/// message must not keep the process from ending, as the guard waits for that: a console that takes none is given up after
/// `CONSOLE`.
pub fn abort(first: fn()) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let ends = !CONTAINED.get() && std::thread::current().name().is_some();
        if ends {
            first();
        }
        if takes_words() {
            print(panic);
        }
        if ends {
            std::process::abort();
        }
    }));
}

/// How long the message of a panic may wait for standard error to take it.
const CONSOLE: Duration = Duration::from_millis(200);

/// Whether standard error takes a message.
fn takes_words() -> bool {
    let error = std::io::stderr();
    let mut fds = [PollFd::from_borrowed_fd(error.as_fd(), PollFlags::OUT)];
    let timeout = Timespec::try_from(CONSOLE).ok();
    poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Runs `work`; `None` if it panicked.
pub fn contained<T>(work: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    let outer = CONTAINED.replace(true);
    let result = std::panic::catch_unwind(work);
    CONTAINED.set(outer);
    result.ok()
}
