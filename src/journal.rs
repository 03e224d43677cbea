//! The serial log: one line per event, `time level event key=value...`, suitable for a console at 115200 baud.
//!
//! Lines go through a queue to a separate thread, so that a slow or stuck console never holds up the door. Lines that do not
//! fit, or exceed 20 per second, are counted and dropped, and the count is logged. No line contains a picture; the caller logs
//! names only if the owner allows them.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::clock::Timestamp;

/// Lines per second in the long run: 115200 baud carry 11 520 bytes, and a line has about 100.
const RATE: f64 = 20.0;
/// The number of lines that may come at once: a start-up, or a fault with everything that follows from it.
const BURST: f64 = 100.0;
/// The number of lines that may wait for a slow console.
const QUEUE: usize = 256;

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Starts the log of a long-running command. Its level is `info` unless `LATCHKEY_LOG` (in the syntax of the crate
/// `env_logger`) sets another. Keep the returned value: dropping it writes the lines that are still queued, for at most a
/// second.
#[must_use]
pub fn start() -> Journal {
    let (lines, queue) = bounded(QUEUE);
    let (done, finished) = bounded(1);
    let writer = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            write_lines(&queue, &mut std::io::stderr());
            let _ = done.try_send(());
        });
    // Without a thread, lines queue up and are dropped, but the door works all the same.
    drop(writer);
    let queue = env_logger::Target::Pipe(Box::new(Queue(lines.clone())));
    install(Some(queue), "info");
    Journal { lines, finished }
}

/// Starts the log of the first process. It writes directly to the console, which must not hold up the process.
pub fn start_direct(console: Box<dyn Write + Send>) {
    install(Some(env_logger::Target::Pipe(console)), "info");
}

/// Starts the log of a short command: the same lines, of level warning or worse, directly to standard error.
pub fn start_plain() {
    install(None, "warn");
}

fn install(target: Option<env_logger::Target>, level: &str) {
    let filter = std::env::var("LATCHKEY_LOG").unwrap_or_else(|_| level.to_owned());
    // A single word that is not a level would be regarded as the name of a module, and all lines would be lost.
    let module = !filter.contains(['=', ',']) && filter.parse::<log::LevelFilter>().is_err();
    let mut builder = env_logger::Builder::new();
    builder.format(format);
    builder.parse_filters(if module { level } else { &filter });
    if let Some(target) = target {
        builder.target(target);
    }
    // A second call (tests do that) keeps the first log.
    if builder.try_init().is_ok() && module {
        log::warn!(
            "log_level asked={filter:?} why=\"unknown level; use off, error, warn, info, debug or trace\""
        );
    }
}

fn format(line: &mut env_logger::fmt::Formatter, record: &log::Record<'_>) -> std::io::Result<()> {
    let time = jiff::Timestamp::try_from(crate::clock::time_of_day()).unwrap_or_default();
    writeln!(line, "{time:.3} {:<5} {}", record.level(), record.args())
}

/// `text` as a value of `key=value`: unchanged if it is one word, otherwise [`quoted`].
#[must_use]
pub fn value(text: &str) -> String {
    let plain = !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_whitespace() && !is_escaped(c) && c != '=');
    if plain { text.to_owned() } else { quoted(text) }
}

/// `text` in quotes, so that `grep` finds it as it was written. No character in it ends the value, breaks the line or changes
/// how the line is shown: such characters are escaped as in Rust.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if is_escaped(c) || c.is_whitespace() && c != ' ' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}

/// Whether `c` is a quote, a backslash, a control character or an invisible character. Joiners are not escaped, because the
/// letters of some scripts need them.
fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\\')
        || c.is_control()
        || crate::text::is_invisible(c) && !matches!(c, '\u{200c}' | '\u{200d}')
        || matches!(c, '\u{fff9}'..='\u{fffb}')
}

/// A running log.
pub struct Journal {
    lines: Sender<Vec<u8>>,
    finished: Receiver<()>,
}

impl Drop for Journal {
    fn drop(&mut self) {
        // An empty line ends the writer; other lines are never empty.
        if self
            .lines
            .send_timeout(Vec::new(), Duration::from_millis(500))
            .is_ok()
        {
            let _ = self.finished.recv_timeout(Duration::from_millis(500));
        }
    }
}

/// The logger's end of the queue.
struct Queue(Sender<Vec<u8>>);

impl Write for Queue {
    /// Receives a complete line, because env_logger writes each record at once.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match self.0.try_send(line.to_vec()) {
            Err(TrySendError::Full(_)) => {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes the lines of `queue` to `out` at a bounded rate until an empty line comes.
fn write_lines(queue: &Receiver<Vec<u8>>, out: &mut dyn Write) {
    let (mut budget, mut filled) = (BURST, Timestamp::now());
    while let Ok(line) = queue.recv() {
        if line.is_empty() {
            break;
        }
        let now = Timestamp::now();
        budget = (budget + RATE * now.since(filled).as_secs_f64()).min(BURST);
        filled = now;
        if budget < 1.0 {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        budget -= 1.0;
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            // The message has the time of the line that follows.
            let time = line.split(|b| *b == b' ').next().unwrap_or_default();
            let _ = out.write_all(time);
            let _ = writeln!(out, " WARN  suppressed lines={dropped}");
        }
        let _ = out.write_all(&line);
    }
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_one_word_or_are_quoted() {
        assert_eq!(value("p1"), "p1");
        assert_eq!(value("Ada L"), "\"Ada L\"");
        assert_eq!(value("a\nb"), "\"a\\nb\"");
        assert_eq!(value("a=b"), "\"a=b\"");
        assert_eq!(value(""), "\"\"");
        assert_eq!(value("a\"b"), r#""a\"b""#);
        assert_eq!(value("अनीता शर्मा"), "\"अनीता शर्मा\"");
        assert_eq!(value("علی\u{200c}رضا"), "علی\u{200c}رضا");
        for forged in [
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{85}b",
            "a\u{200b}b",
            "a\u{feff}b",
            "a\u{1b}[2Kb",
            "a\u{3000}b",
            "a\u{e0041}",
        ] {
            let value = value(forged);
            assert!(value.starts_with('"') && value.is_ascii(), "{value:?}");
        }
    }

    #[test]
    fn a_flood_is_cut_to_the_burst_and_counted() {
        let (lines, queue) = bounded(2000);
        for i in 0..1000 {
            lines
                .try_send(format!("12:00:00Z INFO  flood n={i}\n").into_bytes())
                .unwrap();
        }
        lines.try_send(Vec::new()).unwrap();
        let mut out = Vec::new();
        write_lines(&queue, &mut out);
        let written = String::from_utf8(out).unwrap().lines().count();
        assert!((100..200).contains(&written), "{written} lines");
        assert!(DROPPED.swap(0, Ordering::Relaxed) >= 800);
    }
}
