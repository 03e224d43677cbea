//! The serial console: how the first process writes to it, and the login on it if the owner asks for one.
//!
//! Writing lines takes a second at most, and no time while the console is stuck: a line that does not fit is dropped and
//! counted. Nothing here reads; the login opens the terminal itself.
//!
//! The wire may be stopped for ever, by a control character, by a login's settings or by hardware. This must not stop the first
//! process, which feeds the watchdog.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::termios::{InputModes, OptionalActions, tcgetattr, tcsetattr};

use super::restarting_process::RestartingProcess;

/// How long lines wait for room in the driver's buffer. A full buffer (4 KiB) is sent in a third of that time at 115200 baud.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The console. Each of these objects counts its own dropped lines.
pub struct Console {
    /// None if there is no console; all lines are then dropped.
    out: Option<File>,
    dropped: usize,
    /// Whether the last line was written only in part.
    cut: bool,
}

impl Console {
    /// The kernel's console, opened separately so that other processes keep a console that blocks.
    pub fn open() -> Self {
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let out = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open("/dev/console")
            .ok();
        // A stray control character on the receiving wire must not stop the output.
        if let Some(out) = &out
            && let Ok(mut modes) = tcgetattr(out)
        {
            modes.input_modes.remove(InputModes::IXON);
            let _ = tcsetattr(out, OptionalActions::Now, &modes);
        }
        Self::on(out)
    }

    /// `out` must not block.
    fn on(out: Option<File>) -> Self {
        Self {
            out,
            dropped: 0,
            cut: false,
        }
    }

    /// Writes complete lines, all of them within [`WRITE_TIMEOUT`]. While the console is stuck, a line is written at once or
    /// not at all.
    pub fn write_lines(&mut self, lines: &[u8]) {
        let timeout = match self.dropped {
            0 => WRITE_TIMEOUT,
            _ => Duration::ZERO,
        };
        let until = Instant::now() + timeout;
        for line in lines.split_inclusive(|b| *b == b'\n') {
            self.dropped += usize::from(self.write_line(line, until).is_err());
        }
    }

    fn write_line(&mut self, line: &[u8], until: Instant) -> io::Result<()> {
        if self.cut {
            self.write_until(b"\n", until)?;
            self.cut = false;
        }
        if self.dropped > 0 {
            // The message has the time of the line that follows, as in the log of the job.
            let time = line.split(|b| *b == b' ').next().unwrap_or_default();
            let time = String::from_utf8_lossy(time);
            let suppressed = format!("{time} WARN  suppressed lines={}\n", self.dropped);
            self.write_until(suppressed.as_bytes(), until)?;
            self.dropped = 0;
        }
        self.write_until(line, until)
    }

    fn write_until(&mut self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        let Some(out) = &mut self.out else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let whole = bytes.len();
        while !bytes.is_empty() {
            match out.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if error.kind() != io::ErrorKind::WouldBlock || left.is_zero() {
                        self.cut |= bytes.len() < whole;
                        return Err(error);
                    }
                    let mut room = [PollFd::new(out, PollFlags::OUT)];
                    let _ = poll(&mut room, Timespec::try_from(left).ok().as_ref());
                }
            }
        }
        Ok(())
    }
}

/// For the logger: a dropped line is no error of the code that logs.
impl Write for Console {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.write_lines(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A login for a user who knows the password.
pub struct Login {
    hash: String,
    process: RestartingProcess,
}

impl Login {
    /// A login for the password that belongs to `hash` (crypt(5)).
    pub fn new(hash: &str) -> Self {
        Self {
            hash: hash.to_owned(),
            process: RestartingProcess::new(),
        }
    }

    /// Starts the login if it does not run and is due.
    pub fn ensure_running(&mut self) {
        if let Some(delay) = self.process.ensure_running(|| start(&self.hash)) {
            log::error!(
                "login_failed why={:?} next_in_ms={}",
                delay.why,
                delay.next_in.as_millis()
            );
        }
    }

    /// Handles the end of the process `pid`, which may be the login.
    pub fn handle_exit(&mut self, pid: u32) {
        if let Some(delay) = self.process.handle_exit(pid) {
            log::info!(
                "login_ended age_s={} next_in_ms={}",
                delay.age.as_secs(),
                delay.next_in.as_millis()
            );
        }
    }
}

fn start(hash: &str) -> io::Result<Child> {
    let files = [
        ("/etc/passwd", "root:x:0:0::/:/bin/sh\n".to_owned()),
        // Busybox accepts no account whose day of the last change (the 1) is empty.
        ("/etc/shadow", format!("root:{hash}:1::::::\n")),
    ];
    for (path, text) in files {
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(text.as_bytes())
        };
        write().map_err(|e| io::Error::other(format!("{path} cannot be written: {e}")))?;
    }
    let mut getty = Command::new("/bin/busybox");
    // The terminal's own name is needed: under the name `console` it accepts no control characters.
    getty.args(["getty", "-L", "115200", &terminal(), "vt100"]);
    getty
        .spawn()
        .map_err(|e| io::Error::other(format!("/bin/busybox cannot be started: {e}")))
}

/// The name of the terminal behind `/dev/console`.
fn terminal() -> String {
    let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let last = active.split_ascii_whitespace().next_back();
    last.unwrap_or("console").to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    const LINE: &[u8] = b"12:00:00Z INFO  something happened and takes a line\n";

    /// A console, and the other end of its wire.
    fn wire() -> (Console, File) {
        let (far, near) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        (Console::on(Some(File::from(near))), File::from(far))
    }

    /// Everything that has come.
    fn read(far: &mut File) -> String {
        let mut bytes = Vec::new();
        let ended = far.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::WouldBlock);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_stuck_console_blocks_nothing_and_later_reports_what_it_missed() {
        let (mut console, mut far) = wire();
        // This test would take hours if each line waited.
        for _ in 0..10_000 {
            console.write_lines(LINE);
        }
        let missed = console.dropped;
        let came = read(&mut far).lines().count();
        assert_eq!(came + missed, 10_000);
        assert!(missed > 1000, "{missed}");

        console.write_lines(LINE);
        let line = String::from_utf8_lossy(LINE);
        let expected = format!("12:00:00Z WARN  suppressed lines={missed}\n{line}");
        assert_eq!(read(&mut far), expected);
        console.write_lines(LINE);
        assert_eq!(read(&mut far), line);
    }

    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next_one() {
        let (mut console, mut far) = wire();
        let long = [&[b'x'; 1 << 20][..], b"\n"].concat();
        console.write_lines(&long);
        assert!(!read(&mut far).contains('\n'));
        console.write_lines(LINE);
        let text = read(&mut far);
        assert!(
            text.starts_with("\n12:00:00Z WARN  suppressed lines=1\n12:00:00Z INFO"),
            "{text}"
        );
    }

    #[test]
    fn a_slow_console_gets_every_line() {
        let (mut console, mut far) = wire();
        let reader = std::thread::spawn(move || {
            let mut lines = 0;
            while lines < 3000 {
                std::thread::sleep(Duration::from_millis(20));
                lines += read(&mut far).lines().count();
            }
            lines
        });
        for _ in 0..3000 {
            console.write_lines(LINE);
        }
        assert_eq!(console.dropped, 0);
        assert_eq!(reader.join().unwrap(), 3000);
    }
}
