//! What a panic means: the end of the process, after which the guard turns the relay off. A thread that
//! unwinds alone would leave the relay as it is.
//!
//! Excepted is what libraries do with bytes from outside: a defect there must cost no more than a frame.

use std::cell::Cell;
use std::panic::UnwindSafe;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Makes a panic end the whole process, after the message that panics print, unless it comes out of
/// [`contained`] work or a library's own thread: all of ours have names, and whoever waits for another
/// one sees it fail.
pub fn abort() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        if !CONTAINED.get() && std::thread::current().name().is_some() {
            std::process::abort();
        }
    }));
}

/// Runs `work`; `None` if it panicked.
pub fn contained<T>(work: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    let outer = CONTAINED.replace(true);
    let result = std::panic::catch_unwind(work);
    CONTAINED.set(outer);
    result.ok()
}
