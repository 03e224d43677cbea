//! What Latchkey gives up before it reads its first frame or photo, so that a defect in a decoder or a network does not become
//! a way into the machine. There are four kinds of process, and each keeps only what it needs:
//!
//! | process | files | devices | other processes | sockets |
//! |---|---|---|---|---|
//! | door | reads models, gallery and pictures, and what the kernel reports about its processors | the devices that the [broker](crate::broker) hands over | none | the open ones |
//! | guard | none | the GPIO chip that it has open | ends the door's process | the open one |
//! | broker | reads itself, to start guards, and what the kernel reports about devices | by Landlock any below `/dev`; by its own code only the configured ones | starts and ends guards | the open ones |
//! | learner | reads models and photos | none | none | none |
//!
//! | layer | what it does |
//! |---|---|
//! | `no_new_privs` | programs that it runs get no additional privileges (setuid, capabilities of files) |
//! | Landlock | restricts files, TCP, signals to processes outside, and ioctl(2) on devices that are opened later |
//! | seccomp ([`calls`]) | refuses all calls that are not on a list, and every ioctl(2) that is not for cameras, GPIO lines or terminals |
//!
//! Each layer is permanent and applies to every thread. On a kernel without one of the layers the others still apply, and the
//! missing layer is logged. They do not replace a separate user account. File modes still decide which devices may be opened.
//! Landlock cannot distinguish one new node below `/dev` from another, so a small process that parses nothing opens them.
//! rppal's registers are mapped into the door's process and the guard's: an attacker in one of these can move any pin. Photos
//! are read in a process that can write no file: it sends its result to the process that writes the gallery.

pub mod calls;

use std::fmt;
use std::path::{Path, PathBuf};

use self::calls::Kind;
use crate::capture::{Source, pictures};
use crate::config::Config;
use crate::people::tuned;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The newest Landlock version that is used (Linux 6.12). An older kernel enforces the part that it knows.
const LANDLOCK: ABI = ABI::V6;

/// Why a layer is missing, and what to do about it.
const MISSING: &str = "this layer of confinement is switched off in the running kernel: use Linux 6.12 or newer with \
                       Landlock and seccomp";

/// How far each layer is in force, for the log.
#[derive(Debug)]
pub struct Confined {
    /// `full`, `partial` or `none`.
    pub files: &'static str,
    /// Whether system calls are filtered.
    pub calls: bool,
}

impl Confined {
    /// Logs how far `process` is confined: at level `usual`, or as a warning if a layer is missing entirely.
    pub fn log(&self, process: &str, usual: log::Level) {
        if self.files == "none" || !self.calls {
            log::warn!("confined {self} process={process} why=\"{MISSING}\"");
        } else {
            log::log!(usual, "confined {self} process={process}");
        }
    }
}

/// Formatted as keys of the log.
impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = if self.calls { "yes" } else { "no" };
        write!(f, "files={} calls={calls}", self.files)
    }
}

/// What a process does next.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// Works the door; this program runs again as its guard.
    Door,
    /// Learns from these photos, or from these folders of photos.
    Photos(&'a [PathBuf]),
}

/// Gives up everything that `work` with `config` does not need. Call this while there is only one thread.
#[must_use]
pub fn confine(config: &Config, work: Work<'_>) -> Confined {
    match work {
        // The service manager's socket may be an abstract one; it is connected before this.
        Work::Door => give_up(&files(config, work), Scope::Signal.into(), Kind::Door),
        Work::Photos(_) => give_up(
            &files(config, work),
            Scope::Signal | Scope::AbstractUnixSocket,
            Kind::Learner,
        ),
    }
}

/// Gives up what a guard does not need: all files, and all but a few calls. Its chip is open already.
pub fn guard() -> Confined {
    // A guard must end the process that it watches, which is in another domain. `family` protects all other processes.
    give_up(&[], Scope::AbstractUnixSocket.into(), Kind::Guard)
}

/// Gives up what a broker and its guards do not need.
pub fn broker() -> Confined {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let devices = read | AccessFs::WriteFile | AccessFs::IoctlDev;
    let program = AccessFs::ReadFile | AccessFs::Execute;
    let mut allowed: Vec<Allowed> = vec![
        ("/dev".into(), devices),
        ("/etc/ld.so.cache".into(), AccessFs::ReadFile.into()),
        // rppal reads it when a guard starts, to find out which board this is.
        ("/proc/cpuinfo".into(), AccessFs::ReadFile.into()),
        ("/sys/firmware/devicetree/base".into(), read),
        // Contains a camera's USB ids and serial number, by which the broker identifies the device.
        ("/sys/devices".into(), AccessFs::ReadFile.into()),
    ];
    allowed.extend(mapped().into_iter().map(|file| (file, program)));
    give_up(&allowed, Scope::AbstractUnixSocket.into(), Kind::Broker)
}

/// The first layer: prevents this process, and all that it starts, from using TCP and from sending signals to other processes.
/// The door's process shares this layer with its broker and its guards, so that a guard can end the door's process.
pub fn family() {
    let _ = rustix::thread::set_no_new_privs(true);
    let layer = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::Signal)?
            .create()?
            .restrict_self()
    };
    match layer().map(|status| status.ruleset) {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => {}
        Ok(RulesetStatus::NotEnforced) => log::warn!("confined family=none why=\"{MISSING}\""),
        Err(error) => log::warn!("confined family=none why={:?}", error.to_string()),
    }
}

fn give_up(allowed: &[Allowed], scope: BitFlags<Scope>, kind: Kind) -> Confined {
    // Landlock and seccomp require this flag; both set it themselves if this call fails.
    let _ = rustix::thread::set_no_new_privs(true);
    let files = match restrict(allowed, scope) {
        Ok(RulesetStatus::FullyEnforced) => "full",
        Ok(RulesetStatus::PartiallyEnforced) => "partial",
        Ok(RulesetStatus::NotEnforced) | Err(_) => "none",
    };
    let calls = calls::filters(kind).is_ok_and(|filters| {
        filters
            .iter()
            .all(|filter| seccompiler::apply_filter_all_threads(filter).is_ok())
    });
    Confined { files, calls }
}

/// A file, or a folder with everything below it, and what may be done there.
type Allowed = (PathBuf, BitFlags<AccessFs>);

fn files(config: &Config, work: Work<'_>) -> Vec<Allowed> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut allowed: Vec<Allowed> = vec![
        // TensorFlow Lite reads these descriptions of the processors before it chooses its kernels.
        ("/proc/cpuinfo".into(), AccessFs::ReadFile.into()),
        ("/sys/devices/system/cpu".into(), read),
    ];
    for folder in &config.model_files {
        allowed.push((folder.clone(), read));
        // Model files may be links.
        let network_or_bank =
            |path: &Path| path.extension().is_some_and(|e| e == "tflite" || e == "i8");
        find(folder, FOLDERS, network_or_bank, &mut allowed);
    }
    match work {
        Work::Door => {
            // The gallery may be a link. Its folder is allowed too, because a new gallery is a new file of that name.
            allowed.push((config.gallery.clone(), AccessFs::ReadFile.into()));
            allowed.push((tuned::folder(&config.gallery), read));
            if let Source::Pictures(pictures) = config.camera.parsed_source() {
                allowed.push((pictures, read));
            }
        }
        // No file may be written: the result is sent to another process, which writes it.
        Work::Photos(photos) => {
            // This file decides how much memory a photo may take.
            allowed.push(("/proc/meminfo".into(), AccessFs::ReadFile.into()));
            for path in photos {
                if path.is_file() {
                    allowed.push((path.clone(), AccessFs::ReadFile.into()));
                }
                find(path, FOLDERS, pictures::is_picture, &mut allowed);
            }
        }
    }
    allowed
}

/// How deep folders are nested: `photos/test/Ada/1.jpg`.
const FOLDERS: u32 = 3;

/// Allows listing `folder` and the folders in it, `depth` levels deep, and reading each file that is `wanted`. A link to a file
/// or a folder allows its target and nothing beside the target.
fn find(folder: &Path, depth: u32, wanted: fn(&Path) -> bool, allowed: &mut Vec<Allowed>) {
    let Some(entries) = std::fs::read_dir(folder).ok().filter(|_| depth > 0) else {
        return;
    };
    allowed.push((folder.to_owned(), AccessFs::ReadDir.into()));
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            find(&path, depth - 1, wanted, allowed);
        } else if wanted(&path) && path.is_file() {
            allowed.push((path, AccessFs::ReadFile.into()));
        }
    }
}

fn restrict(allowed: &[Allowed], scope: BitFlags<Scope>) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(scope)?
        .create()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut widened = false;
    for (path, access) in allowed {
        let shared = shared_mount(&mounts, path);
        widened |= shared.is_some();
        let path = shared.as_ref().unwrap_or(path);
        // A path that does not exist cannot be allowed, and is not needed.
        let Ok(fd) = PathFd::new(path) else { continue };
        let access = match path.is_dir() {
            true => *access,
            false => *access & AccessFs::from_file(LANDLOCK),
        };
        // A path that no rule can cover stays inaccessible.
        let _ = (&mut rules).add_rule(PathBeneath::new(fd, access));
    }
    let status = rules.restrict_self()?.ruleset;
    Ok(match status {
        RulesetStatus::FullyEnforced if widened => RulesetStatus::PartiallyEnforced,
        status => status,
    })
}

/// Where the file system of `path` is mounted if it is a 9p file system, by which virtual machines share folders. Such a file
/// system gives a file another inode at every lookup, so a rule about the file would not cover the next lookup. The type is
/// read from the kernel's list of mounts (proc_pid_mountinfo(5)), because a 9p file system reports the other machine's type as
/// its own.
fn shared_mount(mounts: &str, path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        Some((Path::new(place.split(' ').nth(4)?), kind.starts_with("9p ")))
    });
    let of = mounts.filter(|(place, _)| path.starts_with(place));
    // Of several mounts at one place, the last one covers the others.
    let (place, shared) = of.max_by_key(|(place, _)| place.components().count())?;
    shared.then(|| place.to_owned())
}

/// The files that this process is made of: the program, its libraries, the loader.
fn mapped() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let executable = maps
        .lines()
        .filter(|l| l.split(' ').nth(1).is_some_and(|modes| modes.contains('x')));
    let mut files: Vec<PathBuf> = executable
        .filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])))
        .collect();
    files.sort();
    files.dedup();
    files
}
