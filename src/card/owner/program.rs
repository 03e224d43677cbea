//! Runs this program as the job's user: for the check of a configuration, for changes of the gallery, and for learning. The
//! first process is root and does none of these itself.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{GALLERY, Owner};
use crate::card::kernel;
use crate::card::partitions::wait_for_child;

/// The longest time that learning may take, with some thousand photos on the slowest board.
const LEARNING_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How a run of this program ended, and what it printed.
pub(super) struct Output {
    /// The exit status, as in `latchkey --help`; None if the program was killed.
    pub(super) status: Option<i32>,
    pub(super) lines: Vec<String>,
}

impl Output {
    /// The last line: why the program did not do what was requested.
    pub(super) fn last(&self) -> &str {
        self.lines.last().map_or("refused", String::as_str)
    }
}

impl Owner {
    /// Runs this program as the user.
    pub(super) fn program(
        &self,
        arguments: &[&str],
        config: Option<&Path>,
        on_progress: &mut dyn FnMut(),
    ) -> io::Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--gallery")
            .arg(self.data.join(GALLERY));
        if let Some(config) = config.filter(|c| c.exists()) {
            command.arg("--config").arg(config);
        }
        if let Some(user) = self.user {
            kernel::hand_over_devices(user);
            command.env_clear().uid(user).gid(user);
        }
        // The output goes into a file, because nothing would read a pipe during the wait.
        let file = tempfile::tempfile()?;
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file.try_clone()?);
        let mut child = command.spawn()?;
        let status = wait_for_child(&mut child, LEARNING_TIMEOUT, on_progress)?;
        let mut file = file;
        io::Seek::rewind(&mut file)?;
        let mut text = Vec::new();
        file.take(1 << 20).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let lines = text
            .lines()
            .map(|l| l.strip_prefix("latchkey: ").unwrap_or(l).to_owned());
        // The engine's own lines and empty ones are left out.
        let lines = lines.filter(|l| !l.starts_with("INFO: ") && !l.trim().is_empty());
        Ok(Output {
            status: status.code(),
            lines: lines.collect(),
        })
    }
}
