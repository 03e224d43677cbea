//! Shows the progress of a long piece of work on standard error. The work itself only has a function to call for each step.

use indicatif::{ProgressBar, ProgressStyle};

use crate::learner::Step;

/// A progress bar, which ends when it is dropped, and leaves nothing on the terminal.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Shows a bar with the time left or, without a terminal, prints one line.
pub fn show(what: &'static str, length: usize) -> Step {
    let bar = ProgressBar::new(length as u64).with_message(what);
    if bar.is_hidden() {
        eprintln!("latchkey: {what}: {length}");
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left");
    let bar = Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
    Box::new(move || bar.0.inc(1))
}
