//! Which GPIO chips this machine has, for `latchkey probe`.

use std::path::PathBuf;

/// A GPIO chip.
#[derive(Clone, Debug)]
pub struct ChipReport {
    /// Its device node.
    pub path: PathBuf,
    /// Its label; empty if it could not be asked.
    pub label: String,
    /// Lines it has.
    pub lines: u32,
    /// Lines that somebody holds.
    pub used: u32,
    /// Why it cannot be used, with the mend.
    pub fault: Option<String>,
}

/// Every GPIO chip that the kernel shows.
#[must_use]
pub fn chips() -> Vec<ChipReport> {
    let paths = gpiocdev::chip::chips().unwrap_or_default();
    paths.into_iter().map(report).collect()
}

fn report(path: PathBuf) -> ChipReport {
    let asked = gpiocdev::Chip::from_path(&path).and_then(|chip| {
        let info = chip.info()?;
        let mut used = 0;
        for line in 0..info.num_lines {
            used += u32::from(chip.line_info(line)?.used);
        }
        Ok((info.label, info.num_lines, used))
    });
    match asked {
        Ok((label, lines, used)) => ChipReport {
            path,
            label,
            lines,
            used,
            fault: None,
        },
        Err(error) => ChipReport {
            fault: Some(format!(
                "{error}; if permission is denied, add the user to the group gpio: usermod -aG gpio USER"
            )),
            label: String::new(),
            lines: 0,
            used: 0,
            path,
        },
    }
}
