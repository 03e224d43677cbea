//! What each process can still do after it has confined itself: this test program starts itself again, confines itself in the
//! same way as that kind of process, and tries files, folders, devices, ioctl(2)'s numbers, system calls by their numbers, and
//! operations that depend on a call's arguments.
//!
//! The operations that succeeded are compared with the lists in tests/confine. If one is not on the list, the test fails, so that
//! the rights of a process do not grow unnoticed. `**` at the end of a path represents everything below it.
#![expect(unsafe_code, reason = "makes system calls that no library makes")]

mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions, Permissions};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey::config::{Config, Overrides};
use latchkey::confine::calls::{Kind, controls};
use latchkey::confine::{self, Work, confine};

/// The operations that were tried in a role and succeeded.
fn allowed(role: &str, folder: &Path) -> Vec<String> {
    let program = Command::new("/proc/self/exe")
        .args([OsStr::new("role"), OsStr::new(role), folder.as_os_str()])
        .output()
        .expect("the test can start itself");
    let output = String::from_utf8_lossy(&program.stdout).into_owned();
    let errors = String::from_utf8_lossy(&program.stderr).into_owned();
    assert!(output.contains("allowed end"), "{output}{errors}");
    let lines = output.lines().filter_map(|l| l.split_once("allowed "));
    lines.map(|(_, what)| what.to_owned()).collect()
}

fn play(role: &str, folder: &Path) {
    match role {
        "door" => try_all(folder, |config, _| {
            confine::family();
            confine(config, Work::Door)
        }),
        "learner" => try_all(folder, |config, folder| {
            confine(config, Work::Photos(&[folder.join("photos")]))
        }),
        "guard" => try_all(folder, |_, _| {
            confine::family();
            confine::guard()
        }),
        "broker" => try_all(folder, |_, _| {
            confine::family();
            confine::broker()
        }),
        other => panic!("{other:?} is no role"),
    }
}

fn try_all(folder: &Path, confine: impl FnOnce(&Config, &Path) -> confine::Confined) {
    let overrides = Overrides {
        gallery: Some(folder.join("home/gallery")),
        model_files: Some(folder.join("models")),
        ..Overrides::default()
    };
    let config = Config::load(&overrides).expect("all by default");
    // The files are listed before the process is confined, because little can be listed afterwards.
    let candidates = candidates(folder);
    let open = File::open(folder.join("home/gallery")).expect("there");
    let (pipe, _other) = UnixStream::pair().expect("sockets");
    let parent = rustix::process::getppid().expect("a parent");
    let confined = confine(&config, folder);
    println!(
        "\nallowed files={} calls={}",
        confined.files, confined.calls
    );
    if confined.files != "none" && confined.calls {
        try_files(&candidates, folder);
        try_controls(&pipe);
        try_calls();
        try_others(folder, &open, parent);
    }
    println!("allowed end");
    std::process::exit(0);
}

fn print_path(what: &str, path: &Path, folder: &Path) {
    let path = path.strip_prefix(folder).map_or_else(
        |_| path.display().to_string(),
        |inner| format!("FOLDER/{}", inner.display()),
    );
    // The parent's process number differs from run to run.
    let parent = format!("/proc/{}/", std::os::unix::process::parent_id());
    println!("allowed {what} {}", path.replace(&parent, "/proc/PARENT/"));
}

/// Files, folders and devices of this machine, and of the test's own folder.
fn candidates(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(folder, 4, &mut found);
    for (top, depth) in [
        ("/etc", 1),
        ("/proc", 1),
        ("/proc/self", 1),
        ("/proc/sys/kernel", 1),
        ("/sys", 4),
        ("/dev", 2),
        ("/root", 1),
        ("/home", 1),
        ("/var/lib", 1),
        ("/run", 1),
        ("/usr/bin", 1),
    ] {
        walk(Path::new(top), depth, &mut found);
    }
    let parent = format!("/proc/{}", std::os::unix::process::parent_id());
    walk(Path::new(&parent), 1, &mut found);
    // Each file is tried once, by the name that the lists have. The links in a process's folder lead elsewhere for every process.
    let names: BTreeSet<PathBuf> = found
        .into_iter()
        .map(
            |path| match path.starts_with("/sys") || path.starts_with("/run") {
                true => path.canonicalize().unwrap_or(path),
                false => path,
            },
        )
        .collect();
    names.into_iter().collect()
}

fn walk(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    found.push(folder.to_owned());
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Processes come and go; opening a watchdog restarts the machine.
        if name.parse::<u32>().is_ok() || name.contains("watchdog") {
            continue;
        }
        if depth > 1 && path.is_dir() && !path.is_symlink() {
            walk(&path, depth - 1, found);
        } else {
            found.push(path);
        }
    }
}

fn try_files(candidates: &[PathBuf], folder: &Path) {
    let open = |path: &Path, write: bool| {
        OpenOptions::new()
            .read(!write)
            .write(write)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
    };
    for path in candidates {
        let Ok(data) = path.metadata() else { continue };
        let kind = data.file_type();
        if kind.is_dir() {
            if std::fs::read_dir(path).is_ok() {
                print_path("list", path, folder);
            }
            let new = path.join("latchkey-test");
            if File::create(&new).is_ok() {
                print_path("make in", path, folder);
                let _ = std::fs::remove_file(new);
            }
        } else if kind.is_char_device() || kind.is_block_device() {
            // Opening null, zero, full, random or urandom does no harm. Opening other devices may.
            let harmless = data.rdev() >> 8 == 1 && [3, 5, 7, 8, 9].contains(&(data.rdev() & 0xff));
            if harmless && open(path, false).is_ok() {
                print_path("device", path, folder);
            }
            if harmless && open(path, true).is_ok() {
                print_path("write device", path, folder);
            }
        } else if kind.is_file() {
            if open(path, false).is_ok() {
                print_path("read", path, folder);
            }
            if open(path, true).is_ok() {
                print_path("write", path, folder);
            }
        }
    }
}

/// Tries all numbers of ioctl(2) without an argument's size, and all numbers with the sizes and directions of the requests that
/// are allowed.
fn try_controls(file: &UnixStream) {
    let all = [Kind::Door, Kind::Guard, Kind::Broker, Kind::Learner];
    let sizes: BTreeSet<u64> = all
        .into_iter()
        .flat_map(controls)
        .map(|number| number >> 16)
        .chain([0])
        .collect();
    for size in sizes {
        for number in 0..0x1_0000 {
            let request = size << 16 | number;
            // SAFETY: the kernel is given no pointer but the null pointer.
            let went = unsafe { libc::syscall(libc::SYS_ioctl, file.as_raw_fd(), request, 0) };
            if went != -1 || errno() != libc::EPERM {
                println!("allowed ioctl {request:#x}");
            }
        }
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

macro_rules! names {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), libc::$name)),*]
    };
}

/// Names of the calls on the lists; other calls are shown by their numbers.
const NAMES: &[(&str, libc::c_long)] = names![
    SYS_brk,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_close,
    SYS_dup,
    SYS_fcntl,
    SYS_fstat,
    SYS_futex,
    SYS_getpid,
    SYS_getppid,
    SYS_getrandom,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_lseek,
    SYS_madvise,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_ppoll,
    SYS_read,
    SYS_readv,
    SYS_restart_syscall,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_sched_yield,
    SYS_sigaltstack,
    SYS_write,
    SYS_writev,
    SYS_eventfd2,
    SYS_get_robust_list,
    SYS_getcpu,
    SYS_getrusage,
    SYS_membarrier,
    SYS_rseq,
    SYS_sched_getaffinity,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_sysinfo,
    SYS_uname,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_fadvise64,
    SYS_fstatfs,
    SYS_getcwd,
    SYS_getdents64,
    SYS_newfstatat,
    SYS_openat,
    SYS_pread64,
    SYS_preadv,
    SYS_readlinkat,
    SYS_statfs,
    SYS_statx,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_sendto,
    SYS_pidfd_send_signal,
    SYS_close_range,
    SYS_dup3,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_execve,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getuid,
    SYS_kill,
    SYS_landlock_add_rule,
    SYS_landlock_create_ruleset,
    SYS_landlock_restrict_self,
    SYS_mlockall,
    SYS_pidfd_open,
    SYS_pipe2,
    SYS_seccomp,
    SYS_setpgid,
    SYS_wait4,
    SYS_waitid,
    SYS_copy_file_range,
    SYS_fallocate,
    SYS_fchmod,
    SYS_fchown,
    SYS_fdatasync,
    SYS_flock,
    SYS_fsync,
    SYS_ftruncate,
    SYS_memfd_create,
    SYS_mkdirat,
    SYS_pwrite64,
    SYS_renameat2,
    SYS_renameat,
    SYS_sendfile,
    SYS_umask,
    SYS_unlinkat,
    SYS_mmap,
    SYS_mprotect,
    SYS_tgkill,
    SYS_clone,
    SYS_exit,
    SYS_exit_group,
    SYS_rt_sigreturn,
];

#[cfg(target_arch = "x86_64")]
const MORE_NAMES: &[(&str, libc::c_long)] = names![
    SYS_poll,
    SYS_time,
    SYS_access,
    SYS_lstat,
    SYS_open,
    SYS_readlink,
    SYS_stat,
    SYS_arch_prctl,
    SYS_dup2,
    SYS_pipe,
    SYS_vfork,
    SYS_mkdir,
    SYS_rename,
    SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const MORE_NAMES: &[(&str, libc::c_long)] = &[];

/// Tries every call by its number, with arguments that no call accepts. A call that the filter refuses fails with `EPERM` or
/// `ENOSYS`; all others fail because of their arguments, or have no effect that matters.
fn try_calls() {
    // These do not return.
    let ends = [libc::SYS_exit, libc::SYS_exit_group, libc::SYS_rt_sigreturn];
    #[cfg(target_arch = "x86_64")]
    let (others, forks) = (
        // pause waits for ever. 335 and 336, uretprobe and uprobe, are the calls that the kernel puts into programs for its
        // probes: seccomp does not see them, and they end any other process that calls them.
        [libc::SYS_pause, 335, 336, libc::SYS_vfork],
        [libc::SYS_fork],
    );
    #[cfg(target_arch = "x86_64")]
    if vfork_is_allowed() {
        println!("allowed call vfork");
    }
    #[cfg(not(target_arch = "x86_64"))]
    let (others, forks): ([libc::c_long; 0], [libc::c_long; 0]) = ([], []);
    for number in 0..512 {
        if ends.contains(&number) || others.contains(&number) {
            continue;
        }
        let word = 0_u32;
        // An operation of futex(2) that does not exist fails with ENOSYS, as if the call did not exist.
        let (first, second) = match number {
            libc::SYS_futex => (
                (&raw const word) as libc::c_long,
                libc::c_long::from(libc::FUTEX_WAKE),
            ),
            _ => (-1, -1),
        };
        // SAFETY: the kernel can follow none of the arguments as a pointer, except futex(2)'s, which is valid.
        let went = unsafe { libc::syscall(number, first, second, -1_i64, -1_i64, -1_i64, -1_i64) };
        if went == 0 && forks.contains(&number) {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) };
        }
        if went != -1 || ![libc::EPERM, libc::ENOSYS].contains(&errno()) {
            let mut names = NAMES.iter().chain(MORE_NAMES);
            let name = names.find(|(_, n)| *n == number);
            let name = name.map_or_else(|| number.to_string(), |(name, _)| name[4..].to_owned());
            println!("allowed call {name}");
        }
    }
}

/// The child of vfork(2) runs on its parent's stack: a function that returns in both would find the other's return address.
#[cfg(target_arch = "x86_64")]
fn vfork_is_allowed() -> bool {
    let went: i64;
    // SAFETY: the child ends with its next call and touches no memory.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor edi, edi",
            "mov eax, 60",
            "syscall",
            "2:",
            inlateout("rax") libc::SYS_vfork => went,
            out("rcx") _,
            out("r11") _,
            out("rdi") _,
        );
    }
    went != -i64::from(libc::EPERM)
}

/// Tries operations that depend on arguments, and operations that take more than one call.
fn try_others(folder: &Path, open: &File, parent: rustix::process::Pid) {
    let can = |what: &str, went: bool| {
        if went {
            println!("allowed can {what}");
        }
    };
    let at = |inner: &str| folder.join(inner);
    can(
        "replace the gallery",
        std::fs::rename(at("home/other"), at("home/gallery")).is_ok(),
    );
    can(
        "delete a photo",
        std::fs::remove_file(at("photos/Ada/link.jpg")).is_ok(),
    );
    can(
        "change a mode",
        std::fs::set_permissions(at("secret"), Permissions::from_mode(0o666)).is_ok(),
    );
    can(
        "change the mode of what it has open",
        open.set_permissions(Permissions::from_mode(0o600)).is_ok(),
    );
    can(
        "start a thread",
        std::thread::Builder::new().spawn(|| ()).is_ok(),
    );
    can(
        "run a shell",
        Command::new("/bin/sh")
            .args(["-c", "true"])
            .status()
            .is_ok(),
    );
    can(
        "run itself",
        Command::new("/proc/self/exe")
            .arg("--list")
            .status()
            .is_ok_and(|o| o.success()),
    );
    can(
        "listen to the network",
        TcpListener::bind("127.0.0.1:0").is_ok(),
    );
    can("send into it", UdpSocket::bind("127.0.0.1:0").is_ok());
    can("speak to a neighbour", UnixDatagram::unbound().is_ok());
    can("make a pair of sockets", UnixStream::pair().is_ok());
    can(
        "signal another process",
        rustix::process::kill_process(parent, rustix::process::Signal::CONT).is_ok(),
    );
    let went = |call: libc::c_long, arguments: [libc::c_long; 6]| {
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: the calls below make or change no memory that anything else uses.
        unsafe { libc::syscall(call, a, b, c, d, e, f) }
    };
    let memory = |protection: libc::c_int| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        went(
            libc::SYS_mmap,
            [0, 4096, protection.into(), flags.into(), -1, 0],
        ) != -1
    };
    can("map memory", memory(libc::PROT_READ | libc::PROT_WRITE));
    can("map code", memory(libc::PROT_READ | libc::PROT_EXEC));
    // A new user namespace may not share its file system's root: the call fails with EINVAL unless it is refused.
    let namespace = libc::CLONE_NEWUSER | libc::CLONE_FS;
    went(libc::SYS_clone, [namespace.into(), 0, 0, 0, 0, 0]);
    can("make a namespace", errno() != libc::EPERM);
    went(libc::SYS_clone3, [0; 6]);
    can("make one that no filter sees", errno() != libc::ENOSYS);
    // x32's getppid(2), on a kernel with x32. It takes no argument and always succeeds.
    let other = went(libc::SYS_getppid | 0x4000_0000, [0; 6]);
    can("call by another number", other != -1);
    let limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    can(
        "read a limit",
        went(
            libc::SYS_prlimit64,
            [0, libc::RLIMIT_CORE.into(), 0, 0, 0, 0],
        ) != -1,
    );
    can(
        "set a limit",
        went(
            libc::SYS_prlimit64,
            [
                0,
                libc::RLIMIT_CORE.into(),
                (&raw const limit) as libc::c_long,
                0,
                0,
                0,
            ],
        ) != -1,
    );
    for option in 1..80 {
        // SAFETY: pointers are null, and the settings concern only this process, which ends.
        let set = unsafe { libc::syscall(libc::SYS_prctl, option, 0, 0, 0, 0) };
        can(
            &format!("prctl {option}"),
            set != -1 || errno() != libc::EPERM,
        );
    }
}

/// Tries everything in the role `kind`, and compares what succeeds with its list.
fn check_list(kind: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |inner: &str| folder.path().join(inner);
    for inner in ["home", "models", "photos/Ada", "elsewhere"] {
        std::fs::create_dir_all(at(inner)).expect("made");
    }
    for file in [
        "home/gallery",
        "home/other",
        "models/set.tflite",
        "models/readme",
        "photos/Ada/1.jpg",
        "elsewhere/1.jpg",
        "elsewhere/2.jpg",
        "elsewhere/secret",
        "secret",
    ] {
        std::fs::write(at(file), "text").expect("written");
    }
    for (link, to) in [
        ("photos/Ada/link.jpg", at("elsewhere/2.jpg")),
        ("photos/Ben", at("elsewhere")),
        ("photos/Ada/zero.jpg", PathBuf::from("/dev/zero")),
        // No rule can be made for this file; all other rules must still hold.
        ("photos/Ada/net.jpg", PathBuf::from("/proc/self/ns/net")),
    ] {
        std::os::unix::fs::symlink(to, at(link)).expect("linked");
    }
    let allowed = allowed(kind, folder.path());
    let (layers, tries) = allowed.split_first().expect("the role printed something");
    if layers.contains("files=none") || layers.contains("calls=false") {
        // An emulated kernel has neither Landlock nor seccomp.
        return Err(format!("this kernel has {layers}"));
    }
    // The lists are built in, because this program also runs on other machines.
    let list = match kind {
        "door" => include_str!("confine/door.txt"),
        "learner" => include_str!("confine/learner.txt"),
        "guard" => include_str!("confine/guard.txt"),
        _ => include_str!("confine/broker.txt"),
    };
    let listed: BTreeSet<&str> = list.lines().filter(|l| !l.starts_with('#')).collect();
    let on_list = |what: &str| {
        let below = |line: &&str| {
            let top = line.strip_suffix("/**");
            top.is_some_and(|top| {
                what.strip_prefix(top)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        listed.contains(what) || listed.iter().any(below)
    };
    let tries: Vec<&String> = tries.iter().filter(|what| *what != "end").collect();
    println!("{kind}, {layers}: {} things are allowed", tries.len());
    for what in &tries {
        println!("  {what}");
    }
    // The rule about signals is the newest: an older kernel does not have it.
    let newest =
        |what: &str| layers.contains("files=partial") && what == "can signal another process";
    let grown: Vec<_> = tries
        .into_iter()
        .filter(|what| !on_list(what) && !newest(what))
        .collect();
    assert!(
        grown.is_empty(),
        "{kind} can do more than tests/confine/{kind}.txt lists: {grown:#?}"
    );
    // A list with more entries than are allowed would hide what becomes allowed later. Calls and ioctls are the same on every
    // machine.
    let seen: BTreeSet<&str> = allowed.iter().map(String::as_str).collect();
    let stale: Vec<_> = listed
        .iter()
        .filter(|line| {
            line.starts_with("call ") || line.starts_with("ioctl ") || line.starts_with("can ")
        })
        .filter(|line| !seen.contains(**line))
        .filter(|line| cfg!(target_arch = "x86_64") && !line.is_empty())
        .collect();
    assert!(
        stale.is_empty(),
        "tests/confine/{kind}.txt lists what is not allowed: {stale:#?}"
    );
    Ok(())
}

fn a_door_can_use_models_and_gallery_and_opens_no_device() -> Result<(), String> {
    check_list("door")
}

fn a_learner_can_read_photos_and_models() -> Result<(), String> {
    check_list("learner")
}

fn a_guard_opens_nothing() -> Result<(), String> {
    check_list("guard")
}

fn a_broker_opens_devices_and_starts_itself() -> Result<(), String> {
    check_list("broker")
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let [first, role, folder] = &arguments[..]
        && first == "role"
    {
        play(&role.to_string_lossy(), Path::new(folder));
        return std::process::ExitCode::SUCCESS;
    }
    common::harness::run(crate::tests![
        a_door_can_use_models_and_gallery_and_opens_no_device,
        a_learner_can_read_photos_and_models,
        a_guard_opens_nothing,
        a_broker_opens_devices_and_starts_itself,
    ])
}
