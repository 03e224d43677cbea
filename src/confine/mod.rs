//! What Latchkey gives up before it looks at its first frame or photo: a defect in a decoder or a network must not become
//! a way into the machine. Two kinds of process do so, and keep what each needs:
//!
//! | layer | takes away | from the door | from whoever learns from photos |
//! |---|---|---|---|
//! | `no_new_privs` | privileges by running something (setuid, capabilities of files) | all | all |
//! | Landlock | files | all but devices, models, gallery (to read), itself | all but models, photos (to read) |
//! | | TCP, signals to others | all | all |
//! | seccomp | sockets | but those within the machine: guard, service manager | all |
//! | | running a program | | all |
//! | | mounts, modules, tracing, namespaces, the clock, typing for the terminal | all | all |
//! | | modes, owners and attributes of files | all | but those that it has open |
//!
//! Each is for good, for every thread and for the guard. A kernel without one of them does with the others, and the log
//! says so. It is no replacement for a user of its own: whose devices may be opened is still the file modes' business.
//! Photos are looked at in a process that can write no file: what it learns it answers to the one that writes the gallery.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

use crate::capture::{Source, pictures};
use crate::config::Config;
use crate::people::tuned;

/// The newest Landlock that is made use of (Linux 6.12); an older kernel enforces what it knows.
const LANDLOCK: ABI = ABI::V6;

/// How far each layer holds, for the log.
#[derive(Debug)]
pub struct Confined {
    /// `full`, `partial` or `none`.
    pub files: &'static str,
    /// Whether system calls are filtered.
    pub calls: bool,
}

/// As keys of the log.
impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = if self.calls { "yes" } else { "no" };
        write!(f, "files={} calls={calls}", self.files)
    }
}

/// What a process goes on to do.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// Works the door, with this program again as its guard.
    Door,
    /// Learns from these photos or folders of photos.
    Photos(&'a [PathBuf]),
}

/// Gives up everything that `work` with `config` does not need. To be called while there is one thread only.
#[must_use]
pub fn confine(config: &Config, work: Work<'_>) -> Confined {
    // Landlock and seccomp ask for it; both set it themselves where this fails.
    let _ = rustix::thread::set_no_new_privs(true);
    let files = match restrict(&files(config, work), work) {
        Ok(RulesetStatus::FullyEnforced) => "full",
        Ok(RulesetStatus::PartiallyEnforced) => "partial",
        Ok(RulesetStatus::NotEnforced) | Err(_) => "none",
    };
    let calls = [refusals(work), no_clone3(), Ok(no_x32())]
        .into_iter()
        .all(|filter| {
            filter.is_ok_and(|filter| {
                filter.is_empty() || seccompiler::apply_filter_all_threads(&filter).is_ok()
            })
        });
    Confined { files, calls }
}

/// A file, or a folder with all that is below it, and what may be done there.
type Allowed = (PathBuf, BitFlags<AccessFs>);

fn files(config: &Config, work: Work<'_>) -> Vec<Allowed> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut allowed: Vec<Allowed> = vec![
        ("/proc".into(), read),
        ("/sys".into(), read),
        ("/etc/ld.so.cache".into(), AccessFs::ReadFile.into()),
    ];
    for folder in &config.model_files {
        allowed.push((folder.clone(), read));
        // They may be links.
        let network = |path: &Path| path.extension().is_some_and(|e| e == "tflite");
        find(folder, FOLDERS, network, &mut allowed);
    }
    match work {
        Work::Door => {
            let devices = read | AccessFs::WriteFile | AccessFs::IoctlDev;
            let program = AccessFs::ReadFile | AccessFs::Execute;
            allowed.push(("/dev".into(), devices));
            allowed.extend(mapped().into_iter().map(|file| (file, program)));
            // It may be a link. Its folder, too: a new gallery is another file of that name.
            allowed.push((config.gallery.clone(), AccessFs::ReadFile.into()));
            allowed.push((tuned::folder(&config.gallery), read));
            if let Source::Pictures(pictures) = config.camera.parsed_source() {
                allowed.push((pictures, read));
            }
        }
        // No file to write: what is learnt is answered to another process, which writes it.
        Work::Photos(photos) => {
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

/// How deep folders lie in one another: `photos/test/Ada/1.jpg`.
const FOLDERS: u32 = 3;

/// Allows to list `folder` and those in it, `depth` of them deep, and to read the files that are `wanted`, each by itself: a link
/// to a file or a folder opens that, and nothing beside it.
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

fn restrict(allowed: &[Allowed], work: Work<'_>) -> Result<RulesetStatus, RulesetError> {
    let scope = match work {
        // The service manager's socket may be one.
        Work::Door => Scope::Signal.into(),
        Work::Photos(_) => Scope::Signal | Scope::AbstractUnixSocket,
    };
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
        // What is not there cannot be allowed, nor is it missed.
        let Ok(fd) = PathFd::new(path) else { continue };
        let access = match path.is_dir() {
            true => *access,
            false => *access & AccessFs::from_file(LANDLOCK),
        };
        // What no rule can be about stays shut.
        let _ = (&mut rules).add_rule(PathBeneath::new(fd, access));
    }
    let status = rules.restrict_self()?.ruleset;
    Ok(match status {
        RulesetStatus::FullyEnforced if widened => RulesetStatus::PartiallyEnforced,
        status => status,
    })
}

/// Where the file system of `path` is mounted if it is a 9p one, by which virtual machines share folders: it makes another inode
/// of a file at every look, so no rule about the file would be about the next look's. By the kernel's list, as such a file
/// system tells the other machine's kind for its own (proc_pid_mountinfo(5)).
fn shared_mount(mounts: &str, path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        Some((Path::new(place.split(' ').nth(4)?), kind.starts_with("9p ")))
    });
    let of = mounts.filter(|(place, _)| path.starts_with(place));
    // The last of those at one place covers the others.
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

/// Calls that nothing here makes, and that an intruder would: they fail with `EPERM`.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_finit_module,
    libc::SYS_fremovexattr,
    libc::SYS_fsconfig,
    libc::SYS_fsetxattr,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_removexattr,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_settimeofday,
    libc::SYS_setuid,
    libc::SYS_setxattr,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    // fchmodat2 (Linux 6.6), setxattrat and removexattrat (6.13), which libc does not name on every machine; the numbers are the
    // same on all.
    452,
    463,
    466,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
];

/// Refused besides to the door, which writes no file.
const REFUSED_TO_DOORS: &[libc::c_long] = &[libc::SYS_fchmod, libc::SYS_fchown];

/// Refused besides to whoever learns from photos, who starts no program and speaks to nobody.
const REFUSED_TO_LEARNERS: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_socket,
    libc::SYS_socketpair,
];

/// The namespaces that clone(2) makes.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

fn refusals(work: Work<'_>) -> Result<BpfProgram, seccompiler::BackendError> {
    let is = |argument, op, value: u64| {
        SeccompRule::new(vec![SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            op,
            value,
        )?])
    };
    let mut rules: BTreeMap<_, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    // AF_UNIX is for the guard and the service manager; nothing speaks to a network.
    let near = u64::from(libc::AF_UNIX.unsigned_abs());
    rules.insert(libc::SYS_socket, vec![is(0, SeccompCmpOp::Ne, near)?]);
    let flags = NAMESPACES.map(|flag| u64::from(flag.unsigned_abs()));
    let namespaces = flags.map(|flag| is(0, SeccompCmpOp::MaskedEq(flag), flag));
    rules.insert(
        libc::SYS_clone,
        namespaces.into_iter().collect::<Result<_, _>>()?,
    );
    // Both put text into the terminal as if it were typed there: a way out where that is root's.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX];
    let typing = typing.map(|request| is(1, SeccompCmpOp::Eq, request));
    rules.insert(
        libc::SYS_ioctl,
        typing.into_iter().collect::<Result<_, _>>()?,
    );
    let besides = match work {
        Work::Door => REFUSED_TO_DOORS,
        Work::Photos(_) => REFUSED_TO_LEARNERS,
    };
    rules.extend(besides.iter().map(|call| (*call, Vec::new())));
    filter(rules, libc::EPERM)
}

/// What cannot be looked into is unknown to this kernel: the C library makes threads with clone(2) then.
fn no_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
    filter(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        libc::ENOSYS,
    )
}

/// An x86-64 kernel may have every call under a second number, for 32-bit programs (x32), which no other filter here sees.
fn no_x32() -> BpfProgram {
    /// `__X32_SYSCALL_BIT` of the kernel's asm/unistd.h.
    const X32: u32 = 0x4000_0000;
    if cfg!(not(target_arch = "x86_64")) {
        return Vec::new();
    }
    let line = |code: u32, jf: u8, k: u32| sock_filter {
        // Eight bits of what are sixteen in the kernel.
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    vec![
        // The number is the first word of struct seccomp_data.
        line(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        line(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32),
        line(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
        line(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn filter(
    rules: BTreeMap<libc::c_long, Vec<SeccompRule>>,
    error: libc::c_int,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let refusal = SeccompAction::Errno(error.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, refusal, machine)?.try_into()
}
