//! The card: which disk it is, its three partitions, and the file system of the data partition. The first boot makes that file
//! system in all the room that the card has; every later boot checks it.
//!
//! A power cut may come between any two writes. The partition's entry is one sector, which a disk writes completely or not at
//! all. A mark in the card's second sector, which has no other use, shows that the file system is still being made. A file
//! system is made again only if it was never finished or if the tools cannot repair it; if a disk or a driver fails, the data
//! stays.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::ioctl::{NoArg, opcode};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Bytes per sector: SD cards and USB sticks have no other size.
const SECTOR: u64 = 512;
/// Partitions begin at multiples of this, in sectors: 4 MiB, the erase block of larger cards.
const ALIGNED: u32 = 8192;
/// The smallest data partition, in sectors: 16 MiB.
const SMALLEST: u32 = 32_768;
/// Type of a Linux partition.
const LINUX: u8 = 0x83;
/// `BLKRRPART` of linux/fs.h: read the partition table again.
const READ_AGAIN: rustix::ioctl::Opcode = opcode::none(0x12, 95);
/// The mark in the card's second sector while the data partition's file system is being made.
const BEING_MADE: &[u8; 32] = b"latchkey: file system being made";
/// The offsets of the magic number and of the label of ext4, from the start of the partition.
const EXT4_AT: u64 = 1024 + 56;
const EXT4: [u8; 2] = [0x53, 0xef];
const LABEL_AT: u64 = 1024 + 120;
const LABEL: &str = "latchkey-data";
/// How long to wait for an SD card with the card's number before a USB stick with that number is used.
const STICK_DELAY: Duration = Duration::from_secs(5);
/// The longest that a tool may take: a check of the largest cards takes about a minute.
const TOOL_TIMEOUT: Duration = Duration::from_secs(300);

/// A master boot record: the partition table in a disk's first sector.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BootRecord([u8; 512]);

/// One of its four entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    kind: u8,
    start: u32,
    sectors: u32,
}

impl BootRecord {
    fn read(disk: &File) -> io::Result<Self> {
        let mut bytes = [0; 512];
        disk.read_exact_at(&mut bytes, 0)?;
        if bytes[510..] != [0x55, 0xaa] {
            return Err(io::Error::other("no partition table"));
        }
        Ok(Self(bytes))
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// The disk's number, which distinguishes the card from other disks.
    fn id(&self) -> u32 {
        self.number(440)
    }

    /// Entry `n`, counting from 1, if there is one.
    fn entry(&self, n: usize) -> Option<Entry> {
        let at = 446 + 16 * (n - 1);
        let entry = Entry {
            kind: self.0[at + 4],
            start: self.number(at + 8),
            sectors: self.number(at + 12),
        };
        (entry.kind != 0 && entry.sectors != 0).then_some(entry)
    }

    /// A copy with a third partition, from the end of the second one to the end of a disk of `sectors`. None if there is no
    /// room.
    fn with_data(&self, sectors: u64) -> Option<Self> {
        let owner = self.entry(2)?;
        let start = owner
            .start
            .checked_add(owner.sectors)?
            .checked_next_multiple_of(ALIGNED)?;
        // A boot record cannot address more than 2 TiB.
        let end = u32::try_from(sectors).unwrap_or(u32::MAX);
        let room = end.checked_sub(start)?;
        if room < SMALLEST {
            return None;
        }
        let mut record = self.clone();
        let at = 446 + 32;
        // These numbers represent a disk without cylinders.
        record.0[at..at + 8].copy_from_slice(&[0, 0xfe, 0xff, 0xff, LINUX, 0xfe, 0xff, 0xff]);
        record.0[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        record.0[at + 12..at + 16].copy_from_slice(&room.to_le_bytes());
        Some(record)
    }
}

/// The card that the board has booted from.
#[derive(Debug)]
pub struct Card {
    pub disk: PathBuf,
    pub sectors: u64,
}

/// The folder for lasting data.
#[derive(Debug)]
pub struct DataFolder {
    pub folder: PathBuf,
    /// Whether the folder lasts. If not, it is in memory, because no disk could be used.
    pub persistent: bool,
}

impl Card {
    /// Finds the disk with this number, once it shows up; an SD card takes precedence over a stick. None if it does not show
    /// up, or if there are two of a kind: images are alike, and a stick that a person plugs in must not take the card's place.
    pub fn find(id: u32, timeout: Duration, on_progress: &mut dyn FnMut()) -> Option<Self> {
        let begun = Instant::now();
        loop {
            let (cards, sticks): (Vec<_>, Vec<_>) = disks(id).into_iter().partition(|d| {
                d.disk
                    .file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with("mmcblk"))
            });
            let waited = begun.elapsed();
            let mut found = if cards.is_empty() && waited > STICK_DELAY {
                sticks
            } else {
                cards
            };
            match found.len() {
                0 if waited > timeout => return None,
                0 => {}
                1 => return found.pop(),
                _ => {
                    log::error!("two_cards disks={found:?} fix=\"take one of them out\"");
                    return None;
                }
            }
            on_progress();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The card's partition `n`, counting from 1.
    pub fn partition(&self, n: u32) -> PathBuf {
        let name = self.disk.to_string_lossy();
        let p = if name.ends_with(|c: char| c.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        PathBuf::from(format!("{name}{p}{n}"))
    }

    /// Mounts the data partition at `at`, and makes or repairs its file system if necessary. If that fails, a folder in memory
    /// replaces it, so that the exit button works.
    pub fn data(&self, at: &Path, on_progress: &mut dyn FnMut()) -> DataFolder {
        match self.try_data(at, on_progress) {
            Ok(()) => DataFolder {
                folder: at.to_owned(),
                persistent: true,
            },
            Err(error) => {
                log::error!("data_in_memory why={:?}", error.to_string());
                DataFolder::in_memory(at)
            }
        }
    }

    fn try_data(&self, at: &Path, on_progress: &mut dyn FnMut()) -> io::Result<()> {
        let partition = self.partition(3);
        let disk = OpenOptions::new().read(true).write(true).open(&self.disk)?;
        self.ensure_entry(&disk)?;
        wait_for(&partition)?;
        let mut mark = [0; BEING_MADE.len()];
        disk.read_exact_at(&mut mark, SECTOR)?;
        if mark == *BEING_MADE {
            make(&disk, &partition, on_progress)?;
        } else if is_ext4(&File::open(&partition)?, 0)? {
            if let Err(error) = check(&partition, &["-f", "-y"], on_progress) {
                log::error!("data_not_repaired why={:?}", error.to_string());
            }
        } else {
            // The first superblock is gone, but there are copies of it.
            let backup = ["-f", "-y", "-b", "32768", "-B", "4096"];
            if check(&partition, &backup, on_progress).is_err()
                || !is_ext4(&File::open(&partition)?, 0)?
            {
                lost("no file system");
                make(&disk, &partition, on_progress)?;
            }
        }
        std::fs::create_dir_all(at)?;
        match mount_data(&partition, at) {
            // The kernel reports these errors for a structure that makes no sense, in spite of the check.
            Err(error @ (Errno::INVAL | Errno::UCLEAN)) => {
                lost(&error.to_string());
                make(&disk, &partition, on_progress)?;
                Ok(mount_data(&partition, at)?)
            }
            done => Ok(done?),
        }
    }

    /// Makes the third partition's entry if there is none. The data of an earlier image's partition is kept, because it is
    /// stored at the same place.
    fn ensure_entry(&self, disk: &File) -> io::Result<()> {
        let record = BootRecord::read(disk)?;
        if record.entry(3).is_some() {
            return Ok(());
        }
        let record = record.with_data(self.sectors).ok_or_else(|| {
            io::Error::other("no room behind the second partition: use a card that is 16 MiB larger than the image")
        })?;
        let start = record.entry(3).map_or(0, |e| u64::from(e.start)) * SECTOR;
        let kept = is_ext4(disk, start)? && label(disk, start)? == LABEL;
        if !kept {
            // The mark is written first, because it is not read as long as the entry is missing.
            disk.write_all_at(BEING_MADE, SECTOR)?;
            disk.sync_all()?;
        }
        disk.write_all_at(&record.0, 0)?;
        disk.sync_all()?;
        #[expect(unsafe_code, reason = "rustix has no function for this call")]
        // SAFETY: BLKRRPART takes no argument and touches no memory of this process.
        unsafe { rustix::ioctl::ioctl(disk, NoArg::<READ_AGAIN>::new()) }?;
        log::info!("card_grown sectors={} kept={kept}", self.sectors);
        Ok(())
    }

    /// Mounts the owner's partition at `at` for as long as `work` takes, read-only unless `work` asks for more.
    pub fn with_owner<T>(
        &self,
        at: &Path,
        on_progress: &mut dyn FnMut(),
        work: impl FnOnce(&dyn OwnerAccess, &mut dyn FnMut()) -> T,
    ) -> io::Result<T> {
        let partition = self.partition(2);
        wait_for(&partition)?;
        std::fs::create_dir_all(at)?;
        // Repairs files that a computer left half written. The repair itself writes little.
        let _ = run("/sbin/fsck.fat", &["-a", "-w"], &partition, on_progress);
        let flags =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(&partition, at, "vfat", flags, c"utf8,fmask=0133,dmask=0022")?;
        let result = work(&MountedOwner { at }, on_progress);
        unmount(at, UnmountFlags::empty())?;
        Ok(result)
    }
}

/// How setting up gets write access to the owner's partition.
pub trait OwnerAccess {
    /// Runs `work` while the partition can be written, and then writes everything to the disk.
    ///
    /// # Errors
    /// That of `work`, or the kernel's if the partition cannot be mounted or written.
    fn writing(&self, work: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()>;
}

struct MountedOwner<'a> {
    at: &'a Path,
}

impl OwnerAccess for MountedOwner<'_> {
    fn writing(&self, work: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount_remount(self.at, flags, c"")?;
        let done = work();
        let synced = File::open(self.at).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?));
        rustix::mount::mount_remount(self.at, flags | MountFlags::RDONLY, c"")?;
        done.and(synced)
    }
}

impl DataFolder {
    /// Uses memory in place of a disk.
    pub fn in_memory(at: &Path) -> Self {
        let made = std::fs::create_dir_all(at).and_then(|()| {
            Ok(mount(
                "data",
                at,
                "tmpfs",
                MountFlags::NOSUID | MountFlags::NODEV,
                c"mode=0755,size=64m",
            )?)
        });
        if let Err(error) = made {
            log::error!("no_memory_for_data why={:?}", error.to_string());
        }
        Self {
            folder: at.to_owned(),
            persistent: false,
        }
    }

    /// Writes everything that is not written yet, and unmounts the disk.
    pub fn unmount(&self) {
        rustix::fs::sync();
        if let Err(error) = unmount(&self.folder, UnmountFlags::empty()) {
            log::warn!("data_held why={:?}", error.to_string());
        }
    }
}

fn wait_for(device: &Path) -> io::Result<()> {
    let begun = Instant::now();
    while !device.exists() {
        if begun.elapsed() > Duration::from_secs(5) {
            return Err(io::Error::other(format!(
                "{} does not show up",
                device.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Every disk with this number.
fn disks(id: u32) -> Vec<Card> {
    let all = std::fs::read_dir("/sys/class/block")
        .into_iter()
        .flatten()
        .flatten();
    let whole = all.filter(|d| !d.path().join("partition").exists());
    whole
        .filter_map(|entry| {
            let disk = Path::new("/dev").join(entry.file_name());
            let size = std::fs::read_to_string(entry.path().join("size")).ok()?;
            let record = BootRecord::read(&File::open(&disk).ok()?).ok()?;
            (record.id() == id).then_some(Card {
                disk,
                sectors: size.trim().parse().ok()?,
            })
        })
        .collect()
}

/// Whether an ext4 file system, ours or another, begins at `start`, in bytes.
fn is_ext4(disk: &File, start: u64) -> io::Result<bool> {
    let mut magic = [0; 2];
    disk.read_exact_at(&mut magic, start + EXT4_AT)?;
    Ok(magic == EXT4)
}

fn label(disk: &File, start: u64) -> io::Result<String> {
    let mut label = [0; 16];
    disk.read_exact_at(&mut label, start + LABEL_AT)?;
    Ok(String::from_utf8_lossy(&label)
        .trim_end_matches('\0')
        .to_owned())
}

fn lost(why: &str) {
    log::error!(
        "data_lost why={why:?} what=\"a new, empty file system was made: enrol everyone again\""
    );
}

/// Makes a new, empty file system.
fn make(disk: &File, partition: &Path, on_progress: &mut dyn FnMut()) -> io::Result<()> {
    disk.write_all_at(BEING_MADE, SECTOR)?;
    disk.sync_all()?;
    let arguments = "-q -F -t ext4 -b 4096 -m 1 -J size=4 -E lazy_itable_init=1,nodiscard -L";
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.push(LABEL);
    match run("/sbin/mke2fs", &arguments, partition, on_progress)? {
        0 => {}
        status => return Err(io::Error::other(format!("mke2fs ends with {status}"))),
    }
    File::open(partition)?.sync_all()?;
    disk.write_all_at(&[0; BEING_MADE.len()], SECTOR)?;
    disk.sync_all()?;
    log::info!("data_made");
    Ok(())
}

/// Replays the journal and makes the repairs that are certain. If that is not enough, repairs by best guess, because there is
/// no keyboard to answer with.
fn check(partition: &Path, by_guess: &[&str], on_progress: &mut dyn FnMut()) -> io::Result<()> {
    match run("/sbin/e2fsck", &["-p"], partition, on_progress)? {
        0 => return Ok(()),
        1..4 => {
            log::warn!("data_repaired how=surely");
            return Ok(());
        }
        _ => {}
    }
    match run("/sbin/e2fsck", by_guess, partition, on_progress)? {
        0..4 => log::warn!("data_repaired how=by_guess"),
        status => return Err(io::Error::other(format!("e2fsck ends with {status}"))),
    }
    Ok(())
}

fn mount_data(partition: &Path, at: &Path) -> rustix::io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    mount(partition, at, "ext4", flags, c"errors=remount-ro")
}

/// The exit status of one of the card's tools; `on_progress` is called as long as it runs.
fn run(
    program: &str,
    arguments: &[&str],
    device: &Path,
    on_progress: &mut dyn FnMut(),
) -> io::Result<i32> {
    let mut output = tempfile::tempfile()?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(device)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()?;
    let status = wait_for_child(&mut child, TOOL_TIMEOUT, on_progress)?
        .code()
        .unwrap_or(128);
    if status != 0 {
        output.rewind()?;
        let mut text = String::new();
        output.take(1 << 16).read_to_string(&mut text)?;
        let last = text.lines().rfind(|l| !l.trim().is_empty());
        let last = last.unwrap_or_default();
        log::warn!("tool name={program} status={status} said={last:?}");
    }
    Ok(status)
}

/// Waits for `child`, and kills it after `longest`; `on_progress` is called meanwhile.
pub fn wait_for_child(
    child: &mut Child,
    longest: Duration,
    on_progress: &mut dyn FnMut(),
) -> io::Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > longest {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("took too long and was stopped"));
        }
        on_progress();
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as `scripts/image` makes it: two FAT partitions, and nothing behind them.
    fn image() -> BootRecord {
        let mut bytes = [0; 512];
        bytes[440..444].copy_from_slice(&0x1a7c_4be7_u32.to_le_bytes());
        for (n, start, sectors) in [(0, 8192_u32, 131_072_u32), (1, 139_264, 1_000_000)] {
            let at = 446 + 16 * n;
            bytes[at + 4] = 0x0c;
            bytes[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        }
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        BootRecord(bytes)
    }

    #[test]
    fn the_third_partition_takes_the_rest_of_the_card() {
        let record = image();
        assert_eq!((record.id(), record.entry(3)), (0x1a7c_4be7, None));
        let sectors = 31_116_288;
        let grown = record.with_data(sectors).expect("there is room");
        let data = grown.entry(3).expect("made");
        assert_eq!((data.kind, data.start % ALIGNED), (LINUX, 0));
        assert!(data.start >= 139_264 + 1_000_000 && data.start - 1_139_264 < ALIGNED);
        assert_eq!(u64::from(data.start) + u64::from(data.sectors), sectors);
        for n in [1, 2] {
            assert_eq!(grown.entry(n), record.entry(n));
        }
    }

    #[test]
    fn a_card_without_room_is_unchanged_and_a_huge_one_is_used_up_to_the_limit() {
        assert_eq!(image().with_data(1_139_264 + 1000), None);
        let huge = image()
            .with_data(1 << 40)
            .expect("room")
            .entry(3)
            .expect("made");
        assert_eq!(huge.start + huge.sectors, u32::MAX);
    }

    #[test]
    fn a_sector_that_is_no_boot_record_is_refused() {
        let mut file = tempfile::tempfile().expect("a file");
        io::Write::write_all(&mut file, &[0; 512]).expect("written");
        BootRecord::read(&file).expect_err("no signature");
    }
}
