//! The first process's settings of the kernel: file systems, drivers, the clock, the owner of devices.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::mount::{MountFlags, mount};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use super::sntp::is_plausible;

/// Mounts the pseudo file systems, and memory for files that need not last.
pub fn mounts() -> io::Result<()> {
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (kind, at, flags, data) in [
        (
            "proc",
            "/proc",
            plain | MountFlags::NODEV,
            c"hidepid=invisible",
        ),
        ("sysfs", "/sys", plain | MountFlags::NODEV, c""),
        ("devtmpfs", "/dev", plain, c"mode=0755"),
        (
            "tmpfs",
            "/run",
            plain | MountFlags::NODEV,
            c"mode=0755,size=4m",
        ),
        (
            "tmpfs",
            "/tmp",
            plain | MountFlags::NODEV,
            c"mode=1777,size=64m",
        ),
    ] {
        std::fs::create_dir_all(at)?;
        match mount(kind, at, kind, flags, data) {
            // The kernel itself, or a program that ran before, has mounted it.
            Err(rustix::io::Errno::BUSY) => {}
            done => done?,
        }
    }
    Ok(())
}

/// The kernel's reaction when a part of it breaks: panic, and restart the board at once. Until then a relay's pin stays as it
/// is, whatever has become of the processes; afterwards it is an input. See admin-guide/sysctl/kernel in the kernel's
/// documentation.
const ON_FAULT: [(&str, &str); 5] = [
    // The board restarts at once after a panic.
    ("panic", "-1"),
    // A fault after which the kernel would go on without the thread that caused it, whatever that thread had locked.
    ("panic_on_oops", "1"),
    // A processor that runs in the kernel for 20 s without a break, and a processor that takes no interrupts for 10 s.
    ("softlockup_panic", "1"),
    ("hardlockup_panic", "1"),
    // A task that sleeps for 120 s so that no signal wakes it. The watchdog finds a job or first process that does so much
    // sooner.
    ("hung_task_panic", "1"),
];

/// The folder of these settings.
pub const SETTINGS: &str = "/proc/sys/kernel";

/// Makes the kernel restart the board when a part of it breaks, by its settings in `folder`. Returns the settings that this
/// kernel does not have.
pub fn restart_on_faults(folder: &Path) -> Vec<&'static str> {
    let refused = |(name, value): &(&'static str, &str)| {
        let file = folder.join(name);
        // A file that does not exist is not created.
        let set = std::fs::OpenOptions::new().write(true).open(file);
        let written = set.and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
        written.is_err().then_some(*name)
    };
    ON_FAULT.iter().filter_map(refused).collect()
}

/// The time since the kernel was started.
pub fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// A parameter of the kernel's command line.
pub fn parameter(name: &str) -> Option<String> {
    let line = std::fs::read_to_string("/proc/cmdline").ok()?;
    let mut words = line.split_ascii_whitespace();
    words.find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// How many drivers the kernel has loaded, and how many it has refused.
pub struct Modules {
    pub loaded: usize,
    /// Most of the refused drivers are for hardware of other boards.
    pub refused: usize,
}

/// Loads the drivers of `folder` in the order of its file `order.txt`.
pub fn modules(folder: &Path) -> Modules {
    let order = std::fs::read_to_string(folder.join("order.txt")).unwrap_or_default();
    let mut done = Modules {
        loaded: 0,
        refused: 0,
    };
    for name in order.lines() {
        let load = || -> io::Result<()> {
            let file = File::open(folder.join(format!("{name}.ko")))?;
            match rustix::system::finit_module(&file, c"", 0) {
                Err(rustix::io::Errno::EXIST) => Ok(()),
                done => Ok(done?),
            }
        };
        match load() {
            Ok(()) => done.loaded += 1,
            Err(error) => {
                done.refused += 1;
                log::debug!("driver_refused name={name} why={:?}", error.to_string());
            }
        }
    }
    done
}

/// The clock of a board without a battery begins in 1970. It is set forward to the time of this program or of the files that
/// were written here last, whichever is newest. A file with an impossible time, which a wrong clock wrote, is left out.
pub fn set_clock(data: &Path) {
    let modified = |file: &Path| file.metadata().ok()?.modified().ok();
    let Some(made) = modified(Path::new("/proc/self/exe")) else {
        return;
    };
    let files = ["decisions.log", super::owner::GALLERY, super::owner::CONFIG];
    let written = files.iter().filter_map(|f| modified(&data.join(f)));
    let newest = written.filter(|time| is_plausible(*time, made)).max();
    set_clock_to(newest.unwrap_or(made));
}

/// Sets the clock forward to `time`; it is never set back.
pub fn set_clock_to(time: SystemTime) {
    if SystemTime::now() < time
        && let Err(error) = step_clock(time)
    {
        log::warn!("clock_not_set why={:?}", error.to_string());
    }
}

/// Sets the clock to `time`, forward or back.
pub fn step_clock(time: SystemTime) -> io::Result<()> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_err(io::Error::other)?;
    let time = Timespec::try_from(since).map_err(io::Error::other)?;
    Ok(clock_settime(ClockId::Realtime, time)?)
}

/// Gives the cameras and GPIO chips that are present to `user`. They may come and go.
pub fn hand_over_devices(user: u32) {
    for entry in std::fs::read_dir("/dev").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = ["video", "gpiochip", "gpiomem"]
            .iter()
            .any(|kind| name.starts_with(kind));
        if ours
            && entry.metadata().is_ok_and(|m| m.uid() != user)
            && let Err(error) = std::os::unix::fs::chown(entry.path(), Some(user), Some(user))
        {
            log::warn!("device_kept name={name} why={:?}", error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_the_kernel_has_are_written_and_the_others_are_returned() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        for name in ["panic", "panic_on_oops", "hung_task_panic"] {
            std::fs::write(file(name), "0").expect("written");
        }
        let lacks = restart_on_faults(folder.path());
        assert_eq!(lacks, ["softlockup_panic", "hardlockup_panic"]);
        for (name, value) in [
            ("panic", "-1"),
            ("panic_on_oops", "1"),
            ("hung_task_panic", "1"),
        ] {
            assert_eq!(std::fs::read_to_string(file(name)).expect(name), value);
        }
        assert!(!file("softlockup_panic").exists(), "not made");
    }
}
