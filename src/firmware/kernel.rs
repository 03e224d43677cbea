//! What the first process asks of the kernel: file systems, drivers, the clock, whose the devices are.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::mount::{MountFlags, mount};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use super::clock::can_be;

/// The pseudo file systems, and memory where something is written that need not last.
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
            // By the kernel itself, or by what ran before.
            Err(rustix::io::Errno::BUSY) => {}
            done => done?,
        }
    }
    Ok(())
}

/// Since the kernel was started.
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

/// How many drivers the kernel took.
pub struct Modules {
    pub loaded: usize,
    /// Most are for what another board has.
    pub refused: usize,
}

/// Loads the drivers of `folder` in the order that its file `order.txt` says.
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

/// A board without a battery begins in 1970. Later than that, at least, are this program and the files that were written here
/// last; unless a wrong clock wrote them.
pub fn set_clock(data: &Path) {
    let modified = |file: &Path| file.metadata().ok()?.modified().ok();
    let Some(made) = modified(Path::new("/proc/self/exe")) else {
        return;
    };
    let files = ["decisions.log", super::owner::GALLERY, super::owner::CONFIG];
    let written = files.iter().filter_map(|f| modified(&data.join(f)));
    let newest = written.filter(|time| can_be(*time, made)).max();
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

/// Sets the clock to `time`, forth or back.
pub fn step_clock(time: SystemTime) -> io::Result<()> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_err(io::Error::other)?;
    let time = Timespec::try_from(since).map_err(io::Error::other)?;
    Ok(clock_settime(ClockId::Realtime, time)?)
}

/// Gives cameras and GPIO chips to `user`; they may come and go.
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
