//! The owner's configuration: whether it was meant as one, its check with this board's chips, and putting it in force. The
//! meaning of its keys is defined in [`config`](crate::config).

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use super::files::{read_bounded, sync};
use super::report::shown;
use super::{CONFIG, LARGEST_CONFIG, Owner, Report};
use crate::config::{Config, ConfigError, Overrides};
use crate::journal;
use crate::people::write_whole;
use crate::text;

impl Owner {
    /// Puts a new configuration in force, once it has passed a check with this board's chips.
    pub(super) fn configure(&self, name: &str, report: &mut Report, on_progress: &mut dyn FnMut()) {
        let read = read_bounded(&self.folder.join(name), LARGEST_CONFIG);
        let name = &*shown(name, CONFIG);
        let text = match read {
            Ok(text) => text,
            Err(error) => return report.mistake(name, &error.to_string()),
        };
        if fs::read(self.config()).is_ok_and(|old| old == text) {
            // An earlier version of this program, which may have known other keys, accepted it.
            if let Err(error) = self.in_force() {
                report.mistake(name, &self.of_file(&self.config(), &error.to_string()));
            }
            return;
        }
        if let Err(why) = self.is_meant(&text) {
            return report.mistake(name, why);
        }
        let candidate = self.data.join("candidate.toml");
        let written = write_whole(&self.data.join("candidate.new"), &candidate, &text);
        if let Err(error) = written.and_then(|()| self.for_job(&candidate)) {
            return report.mistake(
                name,
                &format!("cannot be copied: {error}; the card may be full or worn"),
            );
        }
        let checked = self.program(
            &["run", "--check", "--outputs"],
            Some(&candidate),
            on_progress,
        );
        match checked {
            Ok(output) if output.status == Some(0) => {
                match fs::rename(&candidate, self.config()).and_then(|()| sync(&self.data)) {
                    Ok(()) => report.did(format!(
                        "configuration file={} bytes={}",
                        journal::value(name),
                        text.len()
                    )),
                    Err(error) => report.mistake(name, &format!("cannot be put in force: {error}")),
                }
            }
            Ok(output) => report.mistake(name, &self.of_file(&candidate, output.last())),
            Err(error) => report.mistake(name, &format!("cannot be checked: {error}")),
        }
        let _ = fs::remove_file(&candidate);
    }

    /// The configuration in force, or why this version of the program refuses it.
    pub(super) fn in_force(&self) -> Result<Config, ConfigError> {
        Config::load(&Overrides {
            config: Some(self.config()),
            ..Overrides::default()
        })
    }

    /// The error `why` about `path`, which is a copy of the configuration, turned into an error about the owner's file.
    fn of_file(&self, path: &Path, why: &str) -> String {
        let why = why.replace(&*path.to_string_lossy(), CONFIG);
        let short = why.strip_prefix("latchkey.toml: ").map(str::to_owned);
        short.unwrap_or(why)
    }

    /// Checks that a configuration was meant. A drive that is pulled out while it is written leaves empty and cut files. These
    /// are valid, because every key has a default, but the relay's default must not be used for a relay that is wired in
    /// another way.
    fn is_meant(&self, written: &[u8]) -> Result<(), &'static str> {
        if written.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
            return Err("is empty; was the card pulled out too soon? write it again");
        }
        let read =
            |bytes: &[u8]| toml::from_str::<toml::Table>(&text::decode(bytes).ok()?.text).ok();
        // If the file cannot be read, the check has the better message.
        let Some(new) = read(written) else {
            return Ok(());
        };
        if new.values().any(|value| self.is_on_the_drive(value)) {
            return Err("names a file on this drive, which cannot be read while the door runs");
        }
        let relay = |file: &toml::Table| file.get("output")?.get("relay").cloned();
        let old = fs::read(self.config()).ok().and_then(|old| read(&old));
        let has_less = match (old.as_ref().and_then(relay), relay(&new)) {
            (None, _) => false,
            (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) => {
                old.keys().any(|key| !new.contains_key(key))
            }
            (Some(_), new) => new.is_none(),
        };
        if has_less {
            return Err(
                "has fewer keys of output.relay than before; give all of its keys, defaults too: the file may have been cut",
            );
        }
        Ok(())
    }

    /// Lets the job, and no other user, read a file that may have passwords in it.
    fn for_job(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o640))?;
        self.user
            .map_or(Ok(()), |user| lchown(path, Some(0), Some(user)))
    }

    /// Whether a text in `value` is a path on the owner's partition, by itself or after the `pictures:` of a source. A relative
    /// path is relative to the data partition, where the configuration is kept.
    fn is_on_the_drive(&self, value: &toml::Value) -> bool {
        match value {
            toml::Value::String(text) => {
                let path = text.strip_prefix("pictures:").unwrap_or(text);
                let mut plain = PathBuf::new();
                for part in self.data.join(path).components() {
                    match part {
                        Component::ParentDir => _ = plain.pop(),
                        Component::CurDir => {}
                        part => plain.push(part),
                    }
                }
                plain.starts_with(&self.folder)
            }
            toml::Value::Array(values) => values.iter().any(|value| self.is_on_the_drive(value)),
            toml::Value::Table(values) => values.values().any(|value| self.is_on_the_drive(value)),
            _ => false,
        }
    }
}
