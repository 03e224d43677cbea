//! Lines of the kernel's GPIO character device, uAPI v2 (Linux 5.10 or newer). Each line is requested
//! for itself: the kernel then gives it to nobody else, and says which one is busy.
//!
//! No sysfs GPIO, no uAPI v1.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gpiocdev::chip::Chip;
use gpiocdev::line::{Bias, EdgeDetection, Value};
use gpiocdev::{Request, UapiCall};
use rustix::io::Errno;

use super::OutputError;
use super::panel::{Drive, Panel};
use super::wiring::{Active, ButtonLine, Line, Pull, Wiring};

/// Takes hold of relay, LEDs and button on one chip.
pub(super) fn open(wiring: &Wiring, consumer: &str) -> Result<Panel<Output>, OutputError> {
    let chip = OpenChip::find(wiring.chip.as_deref().unwrap_or_default())?;
    Panel::open(
        wiring,
        |key, line| chip.output(key, line, consumer),
        |line| chip.button(line, consumer),
    )
}

/// A line that drives something. The kernel lets go of it when it is dropped.
pub(super) struct Output {
    request: Request,
    place: Place,
}

impl Drive for Output {
    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        self.request
            .set_lone_value(if on { Value::Active } else { Value::Inactive })
            .map_err(|e| self.place.error(&e))?;
        Ok(())
    }
}

/// The line of a button. Its edges are debounced by the kernel.
pub(super) struct Button {
    request: Request,
    place: Place,
}

impl Button {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.request.as_fd()
    }

    pub(super) fn pressed(&mut self) -> Result<bool, OutputError> {
        let mut pressed = false;
        // Hung up when the chip is gone: then the read says so.
        while self
            .request
            .has_edge_event()
            .map_err(|e| self.place.error(&e))?
        {
            // Only presses are asked for, so that every event is one.
            self.request
                .read_edge_event()
                .map_err(|e| self.place.error(&e))?;
            pressed = true;
        }
        Ok(pressed)
    }
}

/// Which line of which chip: what an error has to say.
struct Place {
    key: &'static str,
    line: u32,
    chip: String,
}

impl Place {
    fn error(&self, error: &gpiocdev::Error) -> OutputError {
        if errno(error) == Some(Errno::NODEV) {
            return OutputError::Gone {
                chip: self.chip.clone(),
            };
        }
        OutputError::Line {
            key: self.key,
            line: self.line,
            chip: self.chip.clone(),
            cause: cause(error),
        }
    }
}

/// A chip, found and open.
pub(super) struct OpenChip {
    chip: Chip,
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

    /// The one chip with one of these labels.
    pub(super) fn with_label(labels: &[&str]) -> Result<Self, OutputError> {
        let wanted = labels.join("\" or \"");
        let mut denied = None;
        let mut present = Vec::new();
        let mut found = Vec::new();
        for path in gpiocdev::chip::chips().unwrap_or_default() {
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
            let path = |c: &Self| c.chip.path().display().to_string();
            return Err(OutputError::Ambiguous {
                chip: wanted,
                paths: found.iter().map(path).collect(),
            });
        }
        let none = OutputError::NoChip {
            chip: wanted,
            present,
        };
        found.pop().ok_or(denied.unwrap_or(none))
    }

    fn from_path(wanted: &str, path: &Path) -> Result<(Self, String), OutputError> {
        let error = |e: gpiocdev::Error| match errno(&e) {
            Some(Errno::ACCESS | Errno::PERM) => OutputError::Denied {
                path: path.display().to_string(),
            },
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => OutputError::NoChip {
                chip: wanted.to_owned(),
                present: names(),
            },
            _ => OutputError::Chip {
                chip: wanted.to_owned(),
                cause: cause(&e),
            },
        };
        let chip = Chip::from_path(path).map_err(error)?;
        let info = chip.info().map_err(error)?;
        let open = Self {
            chip,
            name: info.name,
            lines: info.num_lines,
        };
        Ok((open, info.label))
    }

    fn output(&self, key: &'static str, line: Line, consumer: &str) -> Result<Output, OutputError> {
        let place = self.place(key, line.line)?;
        let mut request = self.request(line.line, line.active, consumer);
        // The pull that means "off" stays on most chips when the line is let go, whoever does that; the
        // kernel leaves it out where a chip has none.
        let off = match line.active {
            Active::High => Bias::PullDown,
            Active::Low => Bias::PullUp,
        };
        request.as_output(Value::Inactive).with_bias(off);
        Ok(Output {
            request: request.request().map_err(|e| self.refused(&place, &e))?,
            place,
        })
    }

    pub(super) fn button(&self, line: ButtonLine, consumer: &str) -> Result<Button, OutputError> {
        let place = self.place("button", line.line)?;
        let mut request = self.request(line.line, line.active, consumer);
        let bias = match line.pull {
            Pull::Up => Bias::PullUp,
            Pull::Down => Bias::PullDown,
            Pull::None => Bias::Disabled,
        };
        // Edges count from inactive to active, whichever level that is.
        request
            .as_input()
            .with_bias(bias)
            .with_edge_detection(EdgeDetection::RisingEdge);
        if line.debounce_ms > 0 {
            request.with_debounce_period(Duration::from_millis(line.debounce_ms.into()));
        }
        Ok(Button {
            request: request.request().map_err(|e| self.refused(&place, &e))?,
            place,
        })
    }

    /// That nobody holds `line`, for a driver that does not go through the kernel.
    pub(super) fn must_be_free(&self, key: &'static str, line: u32) -> Result<(), OutputError> {
        let place = self.place(key, line)?;
        match self.chip.line_info(line) {
            Ok(info) if info.used => Err(self.busy(&place)),
            Ok(_) => Ok(()),
            Err(e) => Err(place.error(&e)),
        }
    }

    fn request(&self, line: u32, active: Active, consumer: &str) -> gpiocdev::request::Builder {
        let mut request = Request::builder();
        request
            .on_chip(self.chip.path())
            .with_consumer(consumer)
            .with_line(line);
        match active {
            Active::High => request.as_active_high(),
            Active::Low => request.as_active_low(),
        };
        request
    }

    fn place(&self, key: &'static str, line: u32) -> Result<Place, OutputError> {
        let chip = self.name.clone();
        if line >= self.lines {
            return Err(OutputError::Range {
                key,
                line,
                chip,
                lines: self.lines,
            });
        }
        Ok(Place { key, line, chip })
    }

    fn refused(&self, place: &Place, error: &gpiocdev::Error) -> OutputError {
        match errno(error) {
            Some(Errno::BUSY) => self.busy(place),
            _ => place.error(error),
        }
    }

    fn busy(&self, place: &Place) -> OutputError {
        let holder = self.chip.line_info(place.line).map(|info| info.consumer);
        OutputError::Busy {
            key: place.key,
            line: place.line,
            chip: place.chip.clone(),
            holder: holder
                .ok()
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "somebody unnamed".to_owned()),
        }
    }
}

/// Names and labels of the chips that can be opened.
fn names() -> Vec<String> {
    let chips = gpiocdev::chip::chips().unwrap_or_default();
    let infos = chips
        .iter()
        .filter_map(|p| Chip::from_path(p).ok()?.info().ok());
    infos.map(|i| format!("{} ({})", i.name, i.label)).collect()
}

fn errno(error: &gpiocdev::Error) -> Option<Errno> {
    use gpiocdev_uapi::Error as Uapi;
    let raw = match error {
        gpiocdev::Error::Os(errno) | gpiocdev::Error::Uapi(_, Uapi::Os(errno)) => errno.0,
        _ => return None,
    };
    Some(Errno::from_raw_os_error(raw))
}

/// What the kernel says, with the likely reason where it says too little.
fn cause(error: &gpiocdev::Error) -> String {
    match (error, errno(error)) {
        (gpiocdev::Error::Uapi(UapiCall::GetLine, _), Some(Errno::INVAL)) => {
            "the chip cannot use this line so; choose another one".to_owned()
        }
        (_, Some(Errno::NOTTY)) => {
            "the kernel knows no GPIO uAPI v2: Linux 5.10 or newer is needed".to_owned()
        }
        _ => error.to_string(),
    }
}
