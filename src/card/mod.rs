//! The first process of a card that boots into the job: it is what the kernel starts as `/init`, and it must never end.
//!
//! The card holds no system that needs upkeep: the kernel and everything else are read into memory at once and never written.
//! Lasting data is stored in two places, each with one writer:
//!
//! | partition | what | written |
//! |---|---|---|
//! | 1, FAT | bootloader, kernel, this program, networks | by `scripts/image`, never by this program |
//! | 2, FAT | the owner's files: `latchkey.toml`, `photos/`, `remove.txt` | by the owner's computer; by this program when photos were learnt |
//! | 3, ext4 | gallery, configuration in force, photos learnt, decisions | by this program, rarely; each file under a new name, then renamed |
//!
//! The order is: `kernel` (file systems, drivers), `partitions` (find, check, mount), `owner` (what the owner has put on the
//! card), `job` (`latchkey run` as a separate user), and then `FirstProcess::supervise` for ever. Every step writes a line of
//! the log to the serial console. A step that fails is logged, and the boot goes on without it as far as a door can.
//!
//! The first process feeds the hardware watchdog (`watchdog`) when the job reports progress. It is no general init: it starts
//! one program and, if the owner asks for them, a login and a network.

mod console;
mod decisions;
mod drive_contents;
mod forget;
mod job;
mod kernel;
mod network;
mod owner;
mod partitions;
mod restarting_process;
mod sntp;
mod watchdog;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::WaitOptions;
use rustix::system::RebootCommand;

use self::console::{Console, Login};
use self::decisions::Decisions;
use self::job::{Ended, Job, Restarts};
use self::network::Network;
pub use self::network::{NAME as NETWORK, main as network};
pub use self::owner::{Owner, Report};
pub use self::partitions::OwnerAccess;
use self::partitions::{Card, DataFolder};
use self::watchdog::Watchdog;
use crate::config::{Config, Overrides};
use crate::journal;

/// The path of this program.
const PROGRAM: &str = "/usr/bin/latchkey";
/// Where the data partition is mounted.
const DATA: &str = "/data";
/// Where the owner's partition is mounted while it is in use.
const OWNER: &str = "/owner";
/// The user that the job runs as. Nothing else runs as this user.
const USER: u32 = 1000;
/// How long the card may take to show up.
const CARD_TIMEOUT: Duration = Duration::from_secs(15);
/// How often devices and deadlines are checked.
const TICK: Duration = Duration::from_secs(1);
/// How long the job may take to end when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs as the first process. Ends with a restart or with the power off; returns only if it is not the first process.
#[must_use]
pub fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("latchkey: init is what the kernel of a Latchkey card starts; nothing was done");
        return ExitCode::from(2);
    }
    let mounted = kernel::mounts();
    journal::start_direct(Box::new(Console::open()));
    let up = kernel::uptime().as_secs_f32();
    log::info!(
        "boot step=begun up_s={up:.2} version={}",
        env!("CARGO_PKG_VERSION")
    );
    if let Err(error) = mounted {
        log::error!("boot_failed step=mounts why={:?}", error.to_string());
    }
    let lacks = kernel::restart_on_faults(Path::new(kernel::SETTINGS));
    step(
        "kernel",
        &format!("restarts_on_faults=yes lacks={}", lacks.join(",")),
    );
    let signals = signals();
    let first_process = FirstProcess::boot();
    let command = first_process.supervise(signals);
    // Nothing is left to do if the kernel refuses. The watchdog, which is not fed any more, then resets the board.
    let _ = rustix::system::reboot(command);
    loop {
        std::thread::sleep(TICK);
    }
}

/// Requests to the first process, by busybox's signals: one for restart, one for power off.
struct Signals {
    restart: UnixStream,
    power_off: UnixStream,
    child: UnixStream,
}

/// Receives the signals. A failure must not stop the boot: it is logged, and the process then receives no signals.
fn signals() -> Option<Signals> {
    use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR2};
    let socket = |signals: &[i32]| -> std::io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        for signal in signals {
            signal_hook::low_level::pipe::register(*signal, theirs.try_clone()?)?;
        }
        Ok(ours)
    };
    let all = || -> std::io::Result<Signals> {
        Ok(Signals {
            restart: socket(&[SIGTERM, SIGINT])?,
            power_off: socket(&[SIGUSR2])?,
            child: socket(&[SIGCHLD])?,
        })
    };
    all()
        .map_err(|e| log::error!("boot_failed step=signals why={:?}", e.to_string()))
        .ok()
}

/// The state of the first process.
struct FirstProcess {
    watchdog: Watchdog,
    data: DataFolder,
    decisions: Decisions,
    /// Whether there is a mistake on the owner's partition, which the LED shows.
    notice: bool,
    login: Option<Login>,
    network: Option<Network>,
}

impl FirstProcess {
    /// Boots up to the point where the job can start.
    fn boot() -> Self {
        let drivers = kernel::modules(Path::new("/modules"));
        step(
            "drivers",
            &format!("loaded={} refused={}", drivers.loaded, drivers.refused),
        );
        let mut watchdog = Watchdog::open();
        let id =
            kernel::parameter("latchkey.card").and_then(|id| u32::from_str_radix(&id, 16).ok());
        let card = id.and_then(|id| Card::find(id, CARD_TIMEOUT, &mut || watchdog.feed()));
        let data = match &card {
            Some(card) => {
                step(
                    "card",
                    &format!("disk={} sectors={}", card.disk.display(), card.sectors),
                );
                card.data(Path::new(DATA), &mut || watchdog.feed())
            }
            None => {
                log::error!(
                    "boot_failed step=card why=\"no SD card or USB stick has the disk number of this system's image\" fix=\"is it in the slot? else write the image again, which keeps the people\""
                );
                DataFolder::in_memory(Path::new(DATA))
            }
        };
        step("data", &format!("kept={}", data.persistent));
        watchdog.feed();
        kernel::set_clock(&data.folder);

        let owner = Owner {
            folder: OWNER.into(),
            data: data.folder.clone(),
            program: PROGRAM.into(),
            user: Some(USER),
            persistent: data.persistent,
        };
        let applied = card.as_ref().map(|card| {
            let feed = &mut || watchdog.feed();
            card.with_owner(Path::new(OWNER), feed, |access, on_progress| {
                owner.apply(access, on_progress)
            })
        });
        let mut notice = match applied {
            Some(Ok(report)) => {
                step(
                    "owner",
                    &format!(
                        "changes={} mistakes={}",
                        report.done.len(),
                        report.mistakes.len()
                    ),
                );
                !report.mistakes.is_empty()
            }
            Some(Err(error)) => {
                log::error!("setup_unread why={:?}", error.to_string());
                true
            }
            None => true,
        };
        let overrides = Overrides {
            config: Some(owner.config()).filter(|c| c.exists()),
            ..Overrides::default()
        };
        // The configuration in force was checked when it was put in force. The job reports it if the board has changed since then.
        let config = Config::load(&overrides).ok();
        let (settings, network) = match config.map(|c| c.card.read()).transpose() {
            Ok(read) => read.unwrap_or_default(),
            Err(error) => {
                // An earlier version of this program accepted it.
                log::error!(
                    "setup_refused file={} why={:?}",
                    owner::CONFIG,
                    error.to_string()
                );
                notice = true;
                Default::default()
            }
        };
        if let Some(time) = settings.time {
            kernel::set_clock_to(time.into());
        }
        let login = settings.console.as_deref().map(Login::new);
        let network = card
            .filter(|_| network.is_wanted())
            .map(|card| Network::new(&card.partition(1), &owner.config()));
        watchdog.feed();
        Self {
            decisions: Decisions::new(&data.folder),
            watchdog,
            data,
            notice,
            login,
            network,
        }
    }

    /// Keeps the job running until a signal asks for a restart or for power off.
    fn supervise(mut self, signals: Option<Signals>) -> RebootCommand {
        let mut restarts = Restarts::default();
        let mut job: Option<Job> = None;
        // When to start the job. `None` once the job has refused its input, until the board is turned off and on.
        let mut next = Some(Instant::now());
        let mut tick = Instant::now();
        loop {
            if tick <= Instant::now() {
                tick = Instant::now() + TICK;
                kernel::hand_over_devices(USER);
                self.decisions.flush_if_due();
                if let Some(network) = &mut self.network {
                    network.ensure_running();
                }
                if let Some(login) = &mut self.login {
                    login.ensure_running();
                }
            }
            if job.is_none() && next.is_some_and(|next| next <= Instant::now()) {
                match Job::start(&self.data.folder, self.notice, USER) {
                    Ok(started) => job = Some(started),
                    Err(error) => {
                        log::error!("job_not_started why={:?}", error.to_string());
                        // There is no exit status: the system could not start it.
                        let delay = restarts.after(Ended::Failed(0), Duration::ZERO);
                        next = delay.map(|delay| Instant::now() + delay);
                    }
                }
            }
            self.wait(job.as_ref(), signals.as_ref());
            if let Some(signals) = &signals {
                drain(&signals.child);
                for (socket, command) in [
                    (&signals.restart, RebootCommand::Restart),
                    (&signals.power_off, RebootCommand::PowerOff),
                ] {
                    if drain(socket) {
                        self.end(job, command);
                        return command;
                    }
                }
            }
            let Some(running) = &mut job else {
                // The job is between two starts, whose number `Restarts` bounds.
                if restarts.may_go_on() {
                    self.watchdog.feed();
                }
                self.reap(None);
                continue;
            };
            self.decisions.record(&running.read_lines());
            let notifications = running.read_notifications();
            if notifications.ready {
                let up = kernel::uptime().as_secs_f32();
                log::info!(
                    "boot step=ready up_s={up:.2} memory_kib={}",
                    crate::memory::used_kib()
                );
            }
            if notifications.alive {
                self.watchdog.feed();
            } else if running.is_starting() {
                // Loading the job may take long, within its own bound.
                self.watchdog.feed();
            }
            if running.is_late() && !running.was_killed() {
                log::error!(
                    "job_hangs silent_s={}",
                    running.since_last_report().as_secs()
                );
                running.kill();
            }
            if let Some(ended) = self.reap(Some(running)) {
                // The guard may still have to log whether the relay is off.
                self.watchdog.feed();
                self.decisions.record(&running.last_lines());
                let ended = if running.was_killed() {
                    Ended::Hung
                } else {
                    ended
                };
                let delay = restarts.after(ended, running.age());
                match delay {
                    Some(delay) => {
                        log::error!("job_ended how={ended} next_in_ms={}", delay.as_millis());
                    }
                    None => log::error!(
                        "job_ended how={ended} why=\"another try would end the same way\" fix=\"correct on the card what the \
                         previous line reports, then switch the board off and on\""
                    ),
                }
                next = delay.map(|delay| Instant::now() + delay);
                job = None;
                if !restarts.may_go_on() {
                    log::error!("job_hopeless tries={} what=restart", restarts.failures());
                    self.end(None, RebootCommand::Restart);
                    return RebootCommand::Restart;
                }
            }
        }
    }

    /// Waits until something happens or a second has passed.
    fn wait(&self, job: Option<&Job>, signals: Option<&Signals>) {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(5);
        let job_fds = job.map(Job::fds);
        let signal_fds = signals.map(|s| [s.restart.as_fd(), s.power_off.as_fd(), s.child.as_fd()]);
        let all = job_fds.iter().flatten().chain(signal_fds.iter().flatten());
        fds.extend(all.map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        let time = if job.is_some() { TICK } else { TICK / 10 };
        let _ = poll(&mut fds, Timespec::try_from(time).ok().as_ref());
    }

    /// Reaps all children that have ended, including orphans. Returns how the job ended, if it did.
    fn reap(&mut self, job: Option<&mut Job>) -> Option<Ended> {
        let job = job.map(|j| j.id());
        let mut ended = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            if Some(pid) == job {
                ended = Some(Ended::of(status));
            }
            if let Some(login) = &mut self.login {
                login.handle_exit(pid);
            }
            if let Some(network) = &mut self.network {
                network.handle_exit(pid);
            }
        }
        ended
    }

    /// Ends the job with its relay off, writes the data that is in memory, and unmounts the card.
    fn end(&mut self, job: Option<Job>, command: RebootCommand) {
        let what = if matches!(command, RebootCommand::PowerOff) {
            "power_off"
        } else {
            "restart"
        };
        log::info!("stopping what={what}");
        if let Some(mut job) = job {
            job.terminate();
            let begun = Instant::now();
            while begun.elapsed() < END_TIMEOUT && self.reap(Some(&mut job)).is_none() {
                std::thread::sleep(Duration::from_millis(20));
                self.decisions.record(&job.read_lines());
            }
            job.kill();
            self.decisions.record(&job.last_lines());
        }
        self.decisions.flush();
        self.data.unmount();
        if matches!(command, RebootCommand::PowerOff) {
            self.watchdog.disarm();
        }
        log::info!("stopped up_s={:.2}", kernel::uptime().as_secs_f32());
    }
}

/// Logs that a step of the boot is done, and at what time.
fn step(name: &str, keys: &str) {
    log::info!(
        "boot step={name} up_s={:.2} {keys}",
        kernel::uptime().as_secs_f32()
    );
}

/// Whether something came through `socket`.
fn drain(mut socket: &UnixStream) -> bool {
    use std::io::Read;
    matches!(socket.read(&mut [0; 64]), Ok(1..))
}
