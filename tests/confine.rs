//! What is left to a process that has confined itself: this test program starts itself again and tries.
#![expect(unsafe_code, reason = "asks the kernel for what no library would")]

use std::fs::{File, Permissions};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey::config::{Config, Overrides};
use latchkey::confine::{Work, confine};

const FOLDER: &str = "LATCHKEY_TEST_FOLDER";

/// What was tried in a role, and whether it went well, a line each.
fn tried(role: &str, folder: &Path) -> Vec<String> {
    let program = Command::new("/proc/self/exe")
        .args(["--exact", role, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .output()
        .expect("the test can start itself");
    let said = String::from_utf8_lossy(&program.stdout).into_owned();
    assert!(program.status.success(), "{said}");
    let lines = said.lines().filter_map(|l| l.split_once("tried "));
    lines.map(|(_, what)| what.to_owned()).collect()
}

// Roles, not tests: they are nothing without a folder.
#[test]
fn role_door() {
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        try_all(&folder, Work::Door);
    }
}

#[test]
fn role_photos() {
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        try_all(&folder, Work::Photos(&[folder.join("photos")]));
    }
}

fn try_all(folder: &Path, work: Work<'_>) {
    let asked = Overrides {
        gallery: Some(folder.join("home/gallery")),
        ..Overrides::default()
    };
    let config = Config::load(&asked).expect("all by default");
    let confined = confine(&config, work);
    println!("\ntried files={} calls={}", confined.files, confined.calls);
    let say =
        |what: &str, went: bool| println!("tried {what}: {}", if went { "yes" } else { "no" });
    say(
        "read the gallery",
        File::open(folder.join("home/gallery")).is_ok(),
    );
    say(
        "write the gallery",
        File::options()
            .write(true)
            .open(folder.join("home/gallery"))
            .is_ok(),
    );
    say("read elsewhere", File::open(folder.join("secret")).is_ok());
    say("read passwd", File::open("/etc/passwd").is_ok());
    say(
        "write beside it",
        File::create(folder.join("home/new")).is_ok(),
    );
    say(
        "replace the gallery",
        std::fs::rename(folder.join("home/other"), folder.join("home/gallery")).is_ok(),
    );
    let read = |photo: &str| File::open(folder.join("photos").join(photo)).is_ok();
    say("read a photo", read("Ada/1.jpg"));
    say("read a photo that is a link", read("Ada/link.jpg"));
    say("read a photo in a folder that is a link", read("Ben/1.jpg"));
    say("read what else is in that folder", read("Ben/secret"));
    say("read a device that is called a photo", read("Ada/zero.jpg"));
    say(
        "write a photo",
        File::create(folder.join("photos/Ada/2.jpg")).is_ok(),
    );
    say(
        "delete a photo",
        std::fs::remove_file(folder.join("photos/Ada/link.jpg")).is_ok(),
    );
    let open_to_all = Permissions::from_mode(0o666);
    say(
        "change a mode",
        std::fs::set_permissions(folder.join("secret"), open_to_all).is_ok(),
    );
    say(
        "change the mode of the gallery that it has open",
        File::open(folder.join("home/gallery"))
            .is_ok_and(|f| f.set_permissions(Permissions::from_mode(0o600)).is_ok()),
    );
    say("read a device", File::open("/dev/zero").is_ok());
    say("read the kernel's tables", File::open("/sys/class").is_ok());
    say(
        "run a shell",
        Command::new("/bin/sh")
            .args(["-c", "true"])
            .status()
            .is_ok(),
    );
    say(
        "run itself",
        Command::new("/proc/self/exe")
            .arg("--list")
            .output()
            .is_ok_and(|o| o.status.success()),
    );
    say(
        "listen to the network",
        TcpListener::bind("127.0.0.1:0").is_ok(),
    );
    say("send into it", UdpSocket::bind("127.0.0.1:0").is_ok());
    let refused = |call: libc::c_long, flags: libc::c_int, error: libc::c_int| {
        // SAFETY: reads no memory. A kernel that were asked would refuse it as well, for its flags or its length.
        let went = unsafe { libc::syscall(call, libc::c_long::from(flags), 0, 0, 0, 0) };
        went == -1 && std::io::Error::last_os_error().raw_os_error() == Some(error)
    };
    // A new user may not share its file system's root: EINVAL, not EPERM.
    let namespace = libc::CLONE_NEWUSER | libc::CLONE_FS;
    say(
        "make a namespace",
        !refused(libc::SYS_clone, namespace, libc::EPERM),
    );
    // With no arguments at all: EFAULT or EINVAL, not ENOSYS.
    say(
        "make one that no filter sees",
        !refused(libc::SYS_clone3, 0, libc::ENOSYS),
    );
    // x32's getppid(2), where there is x32: it takes nothing and always goes well.
    say(
        "call by another number",
        !refused(libc::SYS_getppid | 0x4000_0000, 0, libc::ENOSYS),
    );
    say("speak to a neighbour", UnixDatagram::unbound().is_ok());
    // A thread of later is no way out.
    let thread = std::thread::spawn(|| File::open("/etc/passwd").is_ok());
    say(
        "read passwd from a thread",
        thread.join().expect("no panic"),
    );
    let other = rustix::process::kill_process(
        rustix::process::getppid().expect("a parent"),
        rustix::process::Signal::CONT,
    );
    say("signal another process", other.is_ok());
}

/// Tries all in `role`, and compares.
fn keeps_only(role: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |inner: &str| folder.path().join(inner);
    for inner in ["home", "photos/Ada", "elsewhere"] {
        std::fs::create_dir_all(at(inner)).expect("made");
    }
    for file in [
        "home/gallery",
        "home/other",
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
        // No rule can be about it, and all others hold.
        ("photos/Ada/net.jpg", PathBuf::from("/proc/self/ns/net")),
    ] {
        std::os::unix::fs::symlink(to, at(link)).expect("linked");
    }
    let said = tried(role, folder.path());
    let (layers, tries) = said.split_first().expect("it said something");
    if layers.contains("files=none") || layers.contains("calls=false") {
        // Emulated kernels know neither.
        println!("skipped confine: this kernel has {layers}");
        return;
    }
    // Signals are the newest of its rules.
    let newest = usize::from(layers.contains("files=partial"));
    assert_eq!(
        tries[..tries.len() - newest],
        expected[..expected.len() - newest]
    );
}

#[test]
fn a_door_keeps_its_devices_and_its_gallery_and_nothing_else() {
    let expected = [
        "read the gallery: yes",
        "write the gallery: no",
        "read elsewhere: no",
        "read passwd: no",
        "write beside it: no",
        "replace the gallery: no",
        "read a photo: no",
        "read a photo that is a link: no",
        "read a photo in a folder that is a link: no",
        "read what else is in that folder: no",
        "read a device that is called a photo: yes",
        "write a photo: no",
        "delete a photo: no",
        "change a mode: no",
        "change the mode of the gallery that it has open: no",
        "read a device: yes",
        "read the kernel's tables: yes",
        "run a shell: no",
        "run itself: yes",
        "listen to the network: no",
        "send into it: no",
        "make a namespace: no",
        "make one that no filter sees: no",
        "call by another number: no",
        "speak to a neighbour: yes",
        "read passwd from a thread: no",
        "signal another process: no",
    ];
    keeps_only("role_door", &expected);
}

#[test]
fn a_learner_keeps_its_photos_to_read_and_can_write_nothing() {
    let expected = [
        "read the gallery: no",
        "write the gallery: no",
        "read elsewhere: no",
        "read passwd: no",
        "write beside it: no",
        "replace the gallery: no",
        "read a photo: yes",
        "read a photo that is a link: yes",
        "read a photo in a folder that is a link: yes",
        "read what else is in that folder: no",
        "read a device that is called a photo: no",
        "write a photo: no",
        "delete a photo: no",
        "change a mode: no",
        "change the mode of the gallery that it has open: no",
        "read a device: no",
        "read the kernel's tables: yes",
        "run a shell: no",
        "run itself: no",
        "listen to the network: no",
        "send into it: no",
        "make a namespace: no",
        "make one that no filter sees: no",
        "call by another number: no",
        "speak to a neighbour: no",
        "read passwd from a thread: no",
        "signal another process: no",
    ];
    keeps_only("role_photos", &expected);
}
