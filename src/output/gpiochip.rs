//! Lines of the kernel's GPIO character device, uAPI v2 (Linux 5.10 or newer). Each line is requested
//! separately: the kernel then gives it to no other process, and reports which line is busy.
//!
//! No sysfs GPIO, no uAPI v1.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use gpiocdev_uapi::Name;
use gpiocdev_uapi::v2::{self, ChipInfo, LineConfig, LineFlags, LineRequest, LineValues, Offsets};
use rustix::io::Errno;

use super::OutputError;
use super::panel::OutputLine;
use super::wiring::{Active, ButtonLine, Line, Pull};

/// The number of a GPIO call that reads and writes a `T` (linux/gpio.h).
const fn read_write<T>(call: u32) -> u32 {
    3 << 30 | (size_of::<T>() as u32) << 16 | 0xb4 << 8 | call
}

/// The only call on a line that is open: setting it.
pub const LINE_CALL: u32 = read_write::<LineValues>(0x0f);

/// The calls on a chip: describing the chip, describing a line, and requesting a line.
pub const CHIP_CALLS: [u32; 3] = [
    2 << 30 | (size_of::<ChipInfo>() as u32) << 16 | 0xb4 << 8 | 0x01,
    read_write::<v2::LineInfo>(0x05),
    read_write::<LineRequest>(0x07),
];

/// A line that drives a part. The kernel releases the line when this is dropped.
pub(super) struct Output {
    line: File,
    place: Place,
}

impl Output {
    /// A line that [`OpenChip::output`] requested, here or in another process.
    pub(super) fn new(line: OwnedFd, key: &'static str, number: u32, chip: &str) -> Self {
        Self {
            line: line.into(),
            place: Place::new(key, number, chip),
        }
    }
}

impl OutputLine for Output {
    fn line_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.line.as_fd())
    }

    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        v2::set_line_values(&self.line, &LineValues::from_slice(&[on]))
            .map_err(|e| self.place.error(&e))
    }
}

/// The line of a button. Its edges are debounced by the kernel.
pub(super) struct Button {
    line: File,
    place: Place,
}

impl Button {
    /// A line that [`OpenChip::button`] requested, here or in another process.
    pub(super) fn new(line: OwnedFd, number: u32, chip: &str) -> Self {
        Self {
            line: line.into(),
            place: Place::new("button", number, chip),
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    pub(super) fn pressed(&mut self) -> Result<bool, OutputError> {
        let mut pressed = false;
        // The line is hung up when the chip is gone. The read then reports the error.
        while gpiocdev_uapi::has_event(&self.line).map_err(|e| self.place.error(&e))? {
            // Only presses are requested, so every event is a press.
            let mut event = [0; size_of::<v2::LineEdgeEvent>() / 8];
            gpiocdev_uapi::read_event(&self.line, &mut event).map_err(|e| self.place.error(&e))?;
            pressed = true;
        }
        Ok(pressed)
    }
}

/// Which line of which chip an error is about.
struct Place {
    key: &'static str,
    line: u32,
    chip: String,
}

impl Place {
    fn new(key: &'static str, line: u32, chip: &str) -> Self {
        Self {
            key,
            line,
            chip: chip.to_owned(),
        }
    }

    fn error(&self, error: &gpiocdev_uapi::Error) -> OutputError {
        let cause = match errno(error) {
            Some(Errno::NODEV) => {
                return OutputError::Gone {
                    chip: self.chip.clone(),
                };
            }
            Some(Errno::NOTTY) => {
                "the kernel knows no GPIO uAPI v2: Linux 5.10 or newer is needed".to_owned()
            }
            _ => error.to_string(),
        };
        OutputError::Line {
            key: self.key.into(),
            line: self.line,
            chip: self.chip.clone(),
            cause,
        }
    }
}

/// A chip, found and open.
pub(super) struct OpenChip {
    chip: File,
    path: PathBuf,
    name: String,
    lines: u32,
}

impl OpenChip {
    /// The chip with this path, name or label.
    pub(super) fn find(wanted: &str) -> Result<Self, OutputError> {
        let by_path = wanted.starts_with('/');
        let by_name = wanted
            .strip_prefix("gpiochip")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if by_path || by_name {
            let path = if by_path {
                PathBuf::from(wanted)
            } else {
                Path::new("/dev").join(wanted)
            };
            return Self::from_path(wanted, &path).map(|(chip, _)| chip);
        }
        Self::with_label(&[wanted])
    }

    /// The only chip with one of these labels.
    pub(super) fn with_label(labels: &[&str]) -> Result<Self, OutputError> {
        let wanted = labels.join("\" or \"");
        let mut denied = None;
        let mut present = Vec::new();
        let mut found = Vec::new();
        for path in paths() {
            match Self::from_path(&wanted, &path) {
                Ok((chip, label)) => {
                    present.push(format!("{} ({label})", chip.name));
                    if labels.contains(&label.as_str()) {
                        found.push(chip);
                    }
                }
                Err(e @ OutputError::Denied { .. }) => denied = Some(e),
                Err(_) => {} // unplugged since it was listed
            }
        }
        if found.len() > 1 {
            return Err(OutputError::Ambiguous {
                chip: wanted,
                paths: found.iter().map(|c| c.path.display().to_string()).collect(),
            });
        }
        let none = OutputError::NoChip {
            chip: wanted,
            present,
        };
        found.pop().ok_or(denied.unwrap_or(none))
    }

    /// The chip at `path`, and its label.
    fn from_path(wanted: &str, path: &Path) -> Result<(Self, String), OutputError> {
        let failed = |errno: Option<Errno>, cause: String| match errno {
            Some(Errno::ACCESS | Errno::PERM) => OutputError::Denied {
                path: path.display().to_string(),
            },
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => OutputError::NoChip {
                chip: wanted.to_owned(),
                present: names(),
            },
            _ => OutputError::Chip {
                chip: wanted.to_owned(),
                cause,
            },
        };
        let chip = open_chip(path)
            .map_err(|e| failed(Errno::from_io_error(&e), format!("{}: {e}", path.display())))?;
        let info = v2::get_chip_info(&chip).map_err(|e| {
            let cause = match errno(&e) {
                Some(Errno::NOTTY) => format!("{} is no GPIO chip", path.display()),
                _ => e.to_string(),
            };
            failed(errno(&e), cause)
        })?;
        let open = Self {
            chip,
            path: path.to_owned(),
            name: text(&info.name),
            lines: info.num_lines,
        };
        Ok((open, text(&info.label)))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Requests a line that drives a part. The line is off.
    pub(super) fn output(
        &self,
        key: &'static str,
        line: Line,
        consumer: &str,
    ) -> Result<OwnedFd, OutputError> {
        // On most chips the pull that means "off" stays when the line is released, whatever the reason for the release; the
        // kernel ignores the pull if a chip has none. A value that is not set is inactive.
        let off = match line.active {
            Active::High => LineFlags::BIAS_PULL_DOWN,
            Active::Low => LineFlags::BIAS_PULL_UP,
        };
        let flags = LineFlags::OUTPUT | off | active(line.active);
        self.request(key, line.line, flags, 0, consumer)
    }

    /// Requests the line of a button, which reports an edge for every press.
    pub(super) fn button(&self, line: ButtonLine, consumer: &str) -> Result<OwnedFd, OutputError> {
        let bias = match line.pull {
            Pull::Up => LineFlags::BIAS_PULL_UP,
            Pull::Down => LineFlags::BIAS_PULL_DOWN,
            Pull::None => LineFlags::BIAS_DISABLED,
        };
        // An edge is a change from inactive to active, whichever levels these are.
        let flags = LineFlags::INPUT | LineFlags::EDGE_RISING | bias | active(line.active);
        self.request("button", line.line, flags, line.debounce_ms, consumer)
    }

    fn request(
        &self,
        key: &'static str,
        line: u32,
        flags: LineFlags,
        debounce_ms: u32,
        consumer: &str,
    ) -> Result<OwnedFd, OutputError> {
        let place = self.place(key, line)?;
        let mut config = LineConfig {
            flags,
            ..LineConfig::default()
        };
        if debounce_ms > 0 {
            config.add_debounce(debounce_ms * 1000, 1);
        }
        let request = LineRequest {
            offsets: Offsets::from_slice(&[line]),
            consumer: Name::from_bytes(consumer.as_bytes()),
            config,
            num_lines: 1,
            ..LineRequest::default()
        };
        let line = v2::get_line(&self.chip, request).map_err(|e| match errno(&e) {
            Some(Errno::BUSY) => self.busy(&place),
            Some(Errno::INVAL) => OutputError::Line {
                key: key.into(),
                line,
                chip: self.name.clone(),
                cause: "the chip cannot use this line so; choose another one".to_owned(),
            },
            _ => place.error(&e),
        })?;
        Ok(line.into())
    }

    /// Checks that `line` is free, for a driver that does not go through the kernel.
    pub(super) fn must_be_free(&self, key: &'static str, line: u32) -> Result<(), OutputError> {
        let place = self.place(key, line)?;
        match v2::get_line_info(&self.chip, line) {
            Ok(info) if info.flags.contains(LineFlags::USED) => Err(self.busy(&place)),
            Ok(_) => Ok(()),
            Err(e) => Err(place.error(&e)),
        }
    }

    fn place(&self, key: &'static str, line: u32) -> Result<Place, OutputError> {
        if line >= self.lines {
            return Err(OutputError::Range {
                key: key.into(),
                line,
                chip: self.name.clone(),
                lines: self.lines,
            });
        }
        Ok(Place::new(key, line, &self.name))
    }

    fn busy(&self, place: &Place) -> OutputError {
        let holder = v2::get_line_info(&self.chip, place.line).map(|info| text(&info.consumer));
        OutputError::Busy {
            key: place.key.into(),
            line: place.line,
            chip: place.chip.clone(),
            holder: holder
                .ok()
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "an unnamed program".to_owned()),
        }
    }
}

const fn active(level: Active) -> LineFlags {
    match level {
        Active::High => LineFlags::empty(),
        Active::Low => LineFlags::ACTIVE_LOW,
    }
}

fn open_chip(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The nodes of all GPIO chips, in the order of their numbers.
pub(super) fn paths() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let number = |path: &Path| -> Option<u32> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("gpiochip")?.parse().ok()
    };
    let mut numbered: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| number(&entry.path()).map(|n| (n, entry.path())))
        .collect();
    numbered.sort();
    // A second name of a chip is a link to the first name.
    let links = |path: &PathBuf| path.symlink_metadata().is_ok_and(|m| m.is_symlink());
    numbered
        .into_iter()
        .map(|(_, path)| path)
        .filter(|path| !links(path))
        .collect()
}

/// The chip's own description at `path`, and how many of its lines are in use.
pub(super) fn ask(path: &Path) -> std::io::Result<(ChipInfo, u32)> {
    let chip = open_chip(path)?;
    let failed = |e: gpiocdev_uapi::Error| match errno(&e) {
        Some(errno) => errno.into(),
        None => std::io::Error::other(e),
    };
    let info = v2::get_chip_info(&chip).map_err(failed)?;
    let mut used = 0;
    for line in 0..info.num_lines {
        let line = v2::get_line_info(&chip, line).map_err(failed)?;
        used += u32::from(line.flags.contains(LineFlags::USED));
    }
    Ok((info, used))
}

/// Names and labels of the chips that can be opened.
fn names() -> Vec<String> {
    let infos = paths()
        .into_iter()
        .filter_map(|path| v2::get_chip_info(&open_chip(&path).ok()?).ok());
    infos
        .map(|i| format!("{} ({})", text(&i.name), text(&i.label)))
        .collect()
}

/// A name from the kernel as text.
pub(super) fn text(name: &Name) -> String {
    name.as_os_str().to_string_lossy().into_owned()
}

fn errno(error: &gpiocdev_uapi::Error) -> Option<Errno> {
    match error {
        gpiocdev_uapi::Error::Os(errno) => Some(Errno::from_raw_os_error(errno.0)),
        gpiocdev_uapi::Error::UnderRead(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of the kernel's header.
    #[test]
    fn call_numbers() {
        assert_eq!(LINE_CALL, 0xc010_b40f);
        assert_eq!(CHIP_CALLS, [0x8044_b401, 0xc100_b405, 0xc250_b407]);
    }
}
