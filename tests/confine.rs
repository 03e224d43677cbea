//! What is left to a process that has confined itself: this test program starts itself again and tries.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey::config::{Config, Overrides};
use latchkey::confine::{Work, confine};

const FOLDER: &str = "LATCHKEY_TEST_FOLDER";

/// What was tried by the test `role`, and whether it went well, a line each.
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

#[test]
fn door() {
    let folder = std::env::var_os(FOLDER);
    folder
        .iter()
        .for_each(|f| try_all(Path::new(f), Work::Door));
}

#[test]
fn photos() {
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
        std::fs::rename(folder.join("home/new"), folder.join("home/gallery")).is_ok(),
    );
    say(
        "read a photo",
        File::open(folder.join("photos/Ada/1.jpg")).is_ok(),
    );
    say(
        "read a photo through a link",
        File::open(folder.join("photos/Ben/1.jpg")).is_ok(),
    );
    say(
        "write a photo",
        File::create(folder.join("photos/Ada/2.jpg")).is_ok(),
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

/// Tries `role`, and compares.
fn is_left(role: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    for inner in ["home", "photos/Ada", "elsewhere"] {
        std::fs::create_dir_all(folder.path().join(inner)).expect("made");
    }
    for file in [
        "home/gallery",
        "photos/Ada/1.jpg",
        "elsewhere/1.jpg",
        "secret",
    ] {
        std::fs::write(folder.path().join(file), "text").expect("written");
    }
    let link = folder.path().join("photos/Ben");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), link).expect("linked");
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
        "read a photo through a link: no",
        "write a photo: no",
        "read a device: yes",
        "read the kernel's tables: yes",
        "run a shell: no",
        "run itself: yes",
        "listen to the network: no",
        "send into it: no",
        "speak to a neighbour: yes",
        "read passwd from a thread: no",
        "signal another process: no",
    ];
    is_left("door", &expected);
}

#[test]
fn whoever_learns_from_photos_keeps_these_and_the_gallery_and_no_device() {
    let expected = [
        "read the gallery: yes",
        "write the gallery: yes",
        "read elsewhere: no",
        "read passwd: no",
        "write beside it: yes",
        "replace the gallery: yes",
        "read a photo: yes",
        "read a photo through a link: yes",
        "write a photo: no",
        "read a device: no",
        "read the kernel's tables: yes",
        "run a shell: no",
        "run itself: no",
        "listen to the network: no",
        "send into it: no",
        "speak to a neighbour: yes",
        "read passwd from a thread: no",
        "signal another process: no",
    ];
    is_left("photos", &expected);
}
