//! What Latchkey gives up before it looks at its first frame or photo: a defect in a decoder or a network must not become
//! a way into the machine. The door keeps camera, GPIO, models and gallery; whoever learns from photos keeps these,
//! models and gallery, and no device: no photo turns a relay on.
//!
//! Three layers, each of them for good, for every thread and for the guard:
//!
//! | layer | takes away |
//! |---|---|
//! | `no_new_privs` | privileges by running something (setuid, capabilities of files) |
//! | Landlock | all files but those below; TCP; signals to others |
//! | seccomp | sockets but those within the machine, mounts, modules, tracing, namespaces, the clock |
//!
//! A kernel without one of them does with the others, and the log says so. It is no replacement for a user of its own:
//! whose devices may be opened is still the file modes' business.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::capture::Source;
use crate::config::Config;

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

/// What a process goes on to do.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// Works the door: all devices, and this program again as its guard. The gallery is only read.
    Door,
    /// Learns from these photos or folders of photos, and from what links in them lead to. The gallery is written.
    Photos(&'a [PathBuf]),
}

/// Gives up everything that `work` with `config` does not need. To be called while there is one thread only.
#[must_use]
pub fn confine(config: &Config, work: Work<'_>) -> Confined {
    // Landlock and seccomp ask for it; both set it themselves where this fails.
    let _ = rustix::thread::set_no_new_privs(true);
    let files = match files(config, work) {
        Ok(RulesetStatus::FullyEnforced) => "full",
        Ok(RulesetStatus::PartiallyEnforced) => "partial",
        Ok(RulesetStatus::NotEnforced) | Err(_) => "none",
    };
    let calls = filter().is_ok_and(|filter| seccompiler::apply_filter_all_threads(&filter).is_ok());
    Confined { files, calls }
}

fn files(config: &Config, work: Work<'_>) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut allowed: Vec<(PathBuf, BitFlags<AccessFs>)> = vec![
        ("/proc".into(), read),
        ("/sys".into(), read),
        ("/etc/ld.so.cache".into(), AccessFs::ReadFile.into()),
    ];
    allowed.extend(config.model_files.iter().map(|at| (at.clone(), read)));
    // Its folder: a new gallery is another file of that name.
    let folder = config
        .gallery
        .parent()
        .filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).to_owned();
    match work {
        Work::Door => {
            let devices = read | AccessFs::WriteFile | AccessFs::IoctlDev;
            let program = AccessFs::ReadFile | AccessFs::Execute;
            allowed.push(("/dev".into(), devices));
            allowed.extend(mapped().into_iter().map(|file| (file, program)));
            allowed.push((folder, read));
            if let Source::Pictures(pictures) = config.camera.parsed_source() {
                allowed.push((pictures, read));
            }
        }
        Work::Photos(photos) => {
            let replace = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile;
            allowed.push((folder, read | replace));
            for path in photos {
                allowed.push((path.clone(), read));
                allowed.extend(links(path, FOLDERS).into_iter().map(|link| (link, read)));
            }
        }
    }

    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::Signal)?
        .create()?;
    for (path, access) in allowed {
        // What is not there cannot be allowed, nor is it missed.
        let Ok(fd) = PathFd::new(&path) else { continue };
        let access = match path.is_dir() {
            true => access,
            false => access & AccessFs::from_file(LANDLOCK),
        };
        rules = rules.add_rule(PathBeneath::new(fd, access))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// How deep photos lie: `test/Ada/1.jpg`.
const FOLDERS: u32 = 3;

/// The links in `folder` and in the folders in it, `depth` of them deep.
fn links(folder: &Path, depth: u32) -> Vec<PathBuf> {
    let Some(entries) = std::fs::read_dir(folder).ok().filter(|_| depth > 0) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_symlink() {
            found.push(path.clone());
        }
        if path.is_dir() {
            found.extend(links(&path, depth - 1));
        }
    }
    found
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
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
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
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<_, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    // AF_UNIX is for the guard and the service manager; nothing speaks to a network.
    let far = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Ne,
        u64::from(libc::AF_UNIX.unsigned_abs()),
    )?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![far])?]);
    let refusal = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, refusal, machine)?.try_into()
}
