//! Which system calls each kind of process keeps: lists of the calls that it needs, and nothing else.
//!
//! A call that is on no list fails with `EPERM`. It does not kill the process: if a C library or a kernel makes a call that we
//! do not know of, only that call fails, with an error that is logged and handled, and the door keeps working. An intruder
//! gains nothing by the difference, because the call is not made either way. `ENOSYS` answers calls for which a C library has a
//! replacement, and calls that are newer than this list.
//! If a call can do many things, its arguments are checked: ioctl(2), clone(2), mmap(2), prctl(2), prlimit(2), tgkill(2),
//! socketpair(2). The lists contain the calls that glibc and musl use for the same functions, on x86-64 and 64-bit ARM.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};

use crate::{capture, output};

/// The work of a process, as far as system calls matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Works the door with descriptors that others opened.
    Door,
    /// Watches the door's process.
    Guard,
    /// Opens devices and starts guards. A guard begins with these calls and gives up most of them.
    Broker,
    /// Learns from photos.
    Learner,
}

/// A list of calls.
type Calls = &'static [libc::c_long];

/// Memory, time, waiting, and files that are open already.
const ALL: Calls = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
];

/// The process's own threads, and the information that libraries need about the machine.
const THREADS: Calls = &[
    libc::SYS_eventfd2,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getrusage,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// Finding files and reading them, as far as Landlock allows.
const FILES: Calls = &[
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fstatfs,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_readlinkat,
    libc::SYS_statfs,
    libc::SYS_statx,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
];

/// Messages over sockets that are open already.
const SOCKETS: Calls = &[
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
];

/// To end the process that is watched.
const GUARD: Calls = &[libc::SYS_pidfd_send_signal];

/// Starting a guard: the calls of its loader, of its first lines and of its own confinement.
const BROKER: Calls = &[
    libc::SYS_close_range,
    libc::SYS_dup3,
    // rppal makes its own event loop, for interrupts that are not requested.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_execve,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getuid,
    libc::SYS_kill,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    libc::SYS_mlockall,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pipe2,
    libc::SYS_seccomp,
    libc::SYS_setpgid,
    libc::SYS_wait4,
    libc::SYS_waitid,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pipe,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// A network with tuned top layers is assembled in memory.
const TUNED: Calls = &[libc::SYS_memfd_create];

/// Finding out whether standard error is a terminal, and how wide; switching whether a socket waits.
const TERMINAL: &[u64] = &[libc::TCGETS, libc::TIOCGWINSZ, libc::FIONBIO];

/// `PR_GET_AUXV` of linux/prctl.h.
const PR_GET_AUXV: u64 = 0x4155_5856;

/// Options of prctl(2): the name of a thread, the name of memory, and what the kernel reported about the processor at the
/// start.
const NAMES: &[u64] = &[
    PR_GET_AUXV,
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    libc::PR_SET_VMA as u64,
];

/// Additional options for a guard that starts, which gives up privileges, cores and calls.
const GIVING_UP: &[u64] = &[
    libc::PR_SET_NO_NEW_PRIVS as u64,
    libc::PR_GET_NO_NEW_PRIVS as u64,
    libc::PR_SET_DUMPABLE as u64,
    libc::PR_GET_DUMPABLE as u64,
    libc::PR_SET_SECCOMP as u64,
];

/// The namespaces that clone(2) makes.
const NAMESPACES: libc::c_int = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// The number of set_mempolicy_home_node. Numbers are the same on all machines since 424.
const NEWER: u32 = 450;

/// No call has this number yet. A call with a higher number fails with `EPERM`.
const NEWEST: u32 = 511;

/// The filters of `kind`, in the order in which they are installed.
///
/// # Errors
/// [`BackendError`] for a machine that seccompiler does not support.
pub fn filters(kind: Kind) -> Result<[BpfProgram; 2], BackendError> {
    Ok([other_calls(), allowed(kind)?])
}

fn allowed(kind: Kind) -> Result<BpfProgram, BackendError> {
    let lists: &[Calls] = match kind {
        Kind::Door => &[ALL, THREADS, FILES, SOCKETS, TUNED],
        Kind::Guard => &[ALL, SOCKETS, GUARD],
        Kind::Broker => &[ALL, THREADS, FILES, SOCKETS, BROKER],
        Kind::Learner => &[ALL, THREADS, FILES, TUNED],
    };
    let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> = lists
        .iter()
        .flat_map(|list| list.iter().map(|call| (*call, Vec::new())))
        .collect();
    let mut only = |call: libc::c_long, rule: Vec<SeccompRule>| {
        rules.insert(call, rule);
    };
    // Allowed here, so that the other filter answers: if both refused a call, the one that is installed last would give the
    // answer.
    only(libc::SYS_clone3, Vec::new());
    only(libc::SYS_openat2, Vec::new());
    for newer in NEWER..=NEWEST {
        only(newer.into(), Vec::new());
    }
    // Only the ioctl(2) calls that this kind of process keeps.
    only(libc::SYS_ioctl, one_of(1, &controls(kind))?);
    // Executable memory comes from files that were mapped before, except where a program is started.
    if kind != Kind::Broker {
        let code = u64::from(libc::PROT_EXEC.unsigned_abs());
        let data = |call| Ok::<_, BackendError>((call, vec![masked(2, code, 0)?]));
        for (call, rule) in [data(libc::SYS_mmap)?, data(libc::SYS_mprotect)?] {
            only(call, rule);
        }
    } else {
        only(libc::SYS_mmap, Vec::new());
        only(libc::SYS_mprotect, Vec::new());
    }
    // Signals may go to threads of this process only: a panic ends the process with one.
    let this = u64::from(std::process::id());
    // A process that the broker starts has another number.
    let own = if kind == Kind::Broker {
        Vec::new()
    } else {
        vec![equal(0, this)?]
    };
    only(libc::SYS_tgkill, own);
    // Limits may be read, but not set.
    only(libc::SYS_prlimit64, vec![equal_long(2, 0)?]);
    let mut controlled = NAMES.to_vec();
    if kind == Kind::Broker {
        controlled.extend_from_slice(GIVING_UP);
    }
    only(libc::SYS_prctl, one_of(0, &controlled)?);
    let namespaces = u64::from(NAMESPACES.unsigned_abs());
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    match kind {
        // A guard has one thread.
        Kind::Guard => {}
        Kind::Broker => only(libc::SYS_clone, vec![masked(0, namespaces, 0)?]),
        Kind::Door | Kind::Learner => {
            only(
                libc::SYS_clone,
                vec![masked(0, namespaces | thread, thread)?],
            );
        }
    }
    if matches!(kind, Kind::Door | Kind::Broker) {
        let near = u64::from(libc::AF_UNIX.unsigned_abs());
        only(libc::SYS_socketpair, vec![equal(0, near)?]);
    }
    let refusal = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, refusal, SeccompAction::Allow, machine)?.try_into()
}

/// The numbers of ioctl(2) that `kind` keeps.
pub fn controls(kind: Kind) -> Vec<u64> {
    let wide = |calls: &[u32]| {
        calls
            .iter()
            .map(|call| u64::from(*call))
            .collect::<Vec<_>>()
    };
    let mut kept = TERMINAL.to_vec();
    match kind {
        Kind::Door => {
            kept.extend(wide(&capture::CAMERA_CALLS));
            kept.extend(wide(&[output::LINE_CALL]));
        }
        Kind::Guard | Kind::Broker => {
            kept.extend(wide(&output::CHIP_CALLS));
            kept.extend(wide(&[output::LINE_CALL]));
        }
        Kind::Learner => {}
    }
    kept
}

fn rule(condition: SeccompCondition) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition])
}

fn equal(argument: u8, value: u64) -> Result<SeccompRule, BackendError> {
    let word = SeccompCmpArgLen::Dword;
    rule(SeccompCondition::new(
        argument,
        word,
        SeccompCmpOp::Eq,
        value,
    )?)
}

/// Compares all 64 bits: the argument is a pointer.
fn equal_long(argument: u8, value: u64) -> Result<SeccompRule, BackendError> {
    let long = SeccompCmpArgLen::Qword;
    rule(SeccompCondition::new(
        argument,
        long,
        SeccompCmpOp::Eq,
        value,
    )?)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompRule, BackendError> {
    let word = SeccompCmpArgLen::Dword;
    rule(SeccompCondition::new(
        argument,
        word,
        SeccompCmpOp::MaskedEq(mask),
        value,
    )?)
}

fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    values.iter().map(|value| equal(argument, *value)).collect()
}

/// Calls that a C library replaces by another one if the kernel does not know them: clone3 and openat2, whose arguments no
/// filter sees, and all calls since Linux 5.17. On x86-64 this also covers every call by its second number, the one for 32-bit
/// programs (x32).
fn other_calls() -> BpfProgram {
    let line = |code: u32, jt: u8, jf: u8, k: u32| sock_filter {
        // The constants have eight bits; the kernel's field has sixteen.
        code: code as u16,
        jt,
        jf,
        k,
    };
    let number = |call: libc::c_long| call as u32;
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    vec![
        // The number is the first word of struct seccomp_data.
        line(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        line(is, 2, 0, number(libc::SYS_clone3)),
        line(is, 1, 0, number(libc::SYS_openat2)),
        line(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, NEWER),
        line(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
        line(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
