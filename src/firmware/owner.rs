//! What the owner has put on the card with a computer: `latchkey.toml`, photos of people, names to forget.
//!
//! Nothing of it is put in force before it has been checked. A mistake is reported in the log, by the LED and in a file on the
//! owner's partition, and the old setup stays in force. Photos are copied to the data partition, learnt there together with
//! those that are there already, and only then deleted from the owner's. If this is interrupted at any point, the next boot
//! does all of it again, with the same result.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::card::{OwnerAccess, wait_for_child};
use super::drive::{self, Drive};
use super::forget::{Line, List};
use crate::capture::UNREAD;
use crate::capture::pictures::{is_clutter, refusal};
use crate::config::{Config, ConfigError, Overrides};
use crate::people::folders::{self, UNKNOWN, Whose};
use crate::people::{name, write_whole};
use crate::text;

/// The owner's configuration, and the one in force.
pub const CONFIG: &str = "latchkey.toml";
/// The gallery on the data partition, in a folder that belongs to the job's user. Everything else there belongs to root, as
/// root must not follow a link that another user makes.
pub const GALLERY: &str = "gallery/latchkey.gallery";
/// Photos: one folder a person.
pub const PHOTOS: &str = "photos";
/// Names of people to forget, one a line.
pub const REMOVE: &str = "remove.txt";
/// The drive's name, as computers show it. A report puts it before names that are not the expected ones.
const DRIVE: &str = "LATCHKEY";
/// The report of what is wrong with all that, for the owner to read on the card.
pub const REPORT_FILE: &str = "latchkey-says.txt";
/// A file on the owner's partition that is not complete yet.
pub const BESIDE: &str = "latchkey.new";
/// What stands between the name of a photo that cannot be read and the reason.
const UNUSED: &str = ": not used: cannot be read: ";
/// Photos that could not be read and are still on the owner's partition: a line each, with the checksum that identifies it.
const UNREADABLE: &str = "photos.unreadable";
/// Exists while copied photos are not learnt yet; its length is the number of tries.
const PENDING: &str = "photos.pending";
/// Names that were forgotten and may still be in a list, as a list is written last: after a power cut before that, the next
/// start must not report them as names that no person has. One a line, folded; deleted once the lists are written.
const FORGOTTEN: &str = "names.forgotten";
/// Starts in a row that may end while they learn. If learning takes the board down, the next start runs the door without it.
const TRIES: u64 = 3;
/// A configuration is a few hundred bytes.
const LARGEST_CONFIG: u64 = 64 << 10;
/// Phones make 3 to 12 MB.
const LARGEST_PHOTO: u64 = 32 << 20;
/// What stays free on the data partition, in bytes, for gallery and decisions.
const RESERVE: u64 = 8 << 20;
/// The longest that learning may take, with some thousand photos on the slowest board.
const LEARNING: Duration = Duration::from_secs(30 * 60);

/// The owner's partition, and what is needed to apply its contents.
#[derive(Debug)]
pub struct Owner {
    /// The partition, mounted.
    pub folder: PathBuf,
    /// The data partition.
    pub data: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// The user who reads photos, checks the configuration and writes the gallery. None: the user of this process.
    pub user: Option<u32>,
    /// Whether the data partition lasts: if not, nothing is deleted from the owner's.
    pub kept: bool,
}

/// What was done, and what was not.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done, as in the log.
    pub done: Vec<String>,
    /// What was not done and why, each with its fix.
    pub mistakes: Vec<String>,
    /// Files and folders on the drive that are something else.
    pub others: Vec<String>,
}

impl Report {
    fn did(&mut self, what: String) {
        log::info!("setup {what}");
        self.done.push(what);
    }

    fn mistake(&mut self, file: &str, why: &str) {
        log::error!(
            "setup_refused file={} why={why:?}",
            crate::journal::value(file)
        );
        self.mistakes.push(format!("{file}: {why}"));
    }
}

impl Owner {
    /// The configuration in force, if there ever was one.
    pub fn config(&self) -> PathBuf {
        self.data.join(CONFIG)
    }

    /// Puts in force what can be. `alive` is called while this makes progress.
    pub fn apply(&self, access: &dyn OwnerAccess, alive: &mut dyn FnMut()) -> Report {
        let mut report = Report::default();
        if let Err(error) = self.gallery_folder() {
            report.mistake("the card", &format!("cannot be written: {error}"));
        }
        let drive = drive::look(&self.folder).unwrap_or_else(|error| {
            report.mistake("the drive", &format!("cannot be read: {error}"));
            Drive::default()
        });
        for (name, why) in &drive.mistakes {
            report.mistake(&format!("{DRIVE}/{name}"), why);
        }
        // This comes first: a configuration is checked with the gallery that it will have.
        self.renew_gallery(&drive.photos, &mut report, alive);
        if let Some(config) = &drive.config {
            self.configure(config, &mut report, alive);
        }
        if drive.lists.is_empty() {
            let _ = fs::remove_file(self.data.join(FORGOTTEN));
        }
        let mut forgotten = self.forgotten();
        let mut removal = Vec::new();
        for list in &drive.lists {
            let left = self.forget(list, &mut forgotten, &mut report, alive);
            removal.extend(left.map(|left| (list.clone(), left)));
        }
        let mut copied = Vec::new();
        for photos in &drive.photos {
            copied.extend(self.take_photos(photos, &mut report, alive));
        }
        report.others = drive.others;
        // What was not learnt stays where it is, and is tried again when something else comes.
        copied = self.learn(copied, &mut report, alive);
        // What is deleted there must be safely stored here.
        let here = sync(&self.data);
        if let (false, _) | (_, Err(_)) = (self.kept, here) {
            report.mistake(
                "the card",
                "keeps nothing: photos and names stay where they are until it does",
            );
            (removal, copied) = (Vec::new(), Vec::new());
        }
        let old = read_bounded(&self.folder.join(REPORT_FILE), LARGEST_CONFIG).unwrap_or_default();
        let old = String::from_utf8_lossy(&old).into_owned();
        let mut text = report_text(&report);
        // Lines about photos that were learnt and names that were forgotten stay until something new is put there.
        if report.done.is_empty() && removal.is_empty() && copied.is_empty() {
            text += &still_valid(&old, &report.mistakes);
        }
        text += &others_text(&report);
        if !removal.is_empty() || !copied.is_empty() || text != old {
            let written = access.writing(&mut || {
                for (list, left) in &removal {
                    if left.is_empty() {
                        fs::remove_file(self.folder.join(list))?;
                    } else {
                        self.replace(list, left)?;
                    }
                }
                // Names come first: if the photos were deleted and a name were not, the next start would forget the person again.
                sync(&self.folder)?;
                for Taken { from, .. } in &copied {
                    fs::remove_file(from)?;
                    // The folder goes with its last photo.
                    let _ = from.parent().map(fs::remove_dir);
                }
                if text == old {
                    return Ok(());
                }
                if text.is_empty() {
                    return fs::remove_file(self.folder.join(REPORT_FILE));
                }
                self.replace(REPORT_FILE, text.as_bytes())
            });
            if written.is_ok() {
                let _ = fs::remove_file(self.data.join(FORGOTTEN));
            }
            if let Err(error) = written {
                // The next boot then does all of it again.
                report.mistake(
                    "the owner's partition",
                    &format!("cannot be written: {error}; see that the card is not locked"),
                );
            }
        }
        report
    }

    fn gallery_folder(&self) -> io::Result<()> {
        let folder = self.data.join(GALLERY);
        let folder = folder.parent().unwrap_or(&self.data);
        fs::create_dir_all(folder)?;
        self.user
            .map_or(Ok(()), |user| lchown(folder, Some(user), Some(user)))
    }

    /// Lets the job, and no other user, read a file that may have passwords in it.
    fn for_job(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o640))?;
        self.user
            .map_or(Ok(()), |user| lchown(path, Some(0), Some(user)))
    }

    /// Replaces a file of the owner's partition: it is then complete, or as it was.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.folder.join(BESIDE);
        fs::write(&beside, bytes)?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, self.folder.join(name))
    }

    /// Puts a new configuration in force, once it has passed a check with this board's chips.
    fn configure(&self, name: &str, report: &mut Report, alive: &mut dyn FnMut()) {
        let read = read_bounded(&self.folder.join(name), LARGEST_CONFIG);
        let name = &*shown(name, CONFIG);
        let text = match read {
            Ok(text) => text,
            Err(error) => return report.mistake(name, &error.to_string()),
        };
        if fs::read(self.config()).is_ok_and(|old| old == text) {
            // An earlier version of this program accepted it, and may have known other keys.
            if let Err(error) = self.in_force() {
                report.mistake(name, &self.of_file(&self.config(), &error.to_string()));
            }
            return;
        }
        if let Err(why) = self.is_meant(&text) {
            return report.mistake(name, why);
        }
        let candidate = self.data.join("candidate.toml");
        let written = write_whole(&self.data.join("candidate.new"), &candidate, &text);
        if let Err(error) = written.and_then(|()| self.for_job(&candidate)) {
            return report.mistake(
                name,
                &format!("cannot be copied: {error}; the card may be full or worn"),
            );
        }
        let checked = self.program(&["run", "--check", "--outputs"], Some(&candidate), alive);
        match checked {
            Ok(output) if output.status == Some(0) => {
                match fs::rename(&candidate, self.config()).and_then(|()| sync(&self.data)) {
                    Ok(()) => report.did(format!(
                        "configuration file={} bytes={}",
                        crate::journal::value(name),
                        text.len()
                    )),
                    Err(error) => report.mistake(name, &format!("cannot be put in force: {error}")),
                }
            }
            Ok(output) => report.mistake(name, &self.of_file(&candidate, output.last())),
            Err(error) => report.mistake(name, &format!("cannot be checked: {error}")),
        }
        let _ = fs::remove_file(&candidate);
    }

    fn in_force(&self) -> Result<Config, ConfigError> {
        Config::load(&Overrides {
            config: Some(self.config()),
            ..Overrides::default()
        })
    }

    /// The error `why` about `path`, a copy of the configuration, as an error about the owner's file.
    fn of_file(&self, path: &Path, why: &str) -> String {
        let why = why.replace(&*path.to_string_lossy(), CONFIG);
        let short = why.strip_prefix("latchkey.toml: ").map(str::to_owned);
        short.unwrap_or(why)
    }

    /// Checks that a configuration was meant. A drive that is pulled out while it is written leaves empty and cut files, and
    /// those are valid, as every key has a default. The relay's default must not be used for a relay that is wired otherwise.
    fn is_meant(&self, written: &[u8]) -> Result<(), &'static str> {
        if written.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
            return Err("is empty; was the card pulled out too soon? write it again");
        }
        let read =
            |bytes: &[u8]| toml::from_str::<toml::Table>(&text::decode(bytes).ok()?.text).ok();
        // The check has the better message for what cannot be read.
        let Some(new) = read(written) else {
            return Ok(());
        };
        if new.to_string().contains(&*self.folder.to_string_lossy()) {
            return Err("names a file on this drive, which cannot be read while the door runs");
        }
        let relay = |file: &toml::Table| file.get("output")?.get("relay").cloned();
        let old = fs::read(self.config()).ok().and_then(|old| read(&old));
        let has_less = match (old.as_ref().and_then(relay), relay(&new)) {
            (None, _) => false,
            (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) => {
                old.keys().any(|key| !new.contains_key(key))
            }
            (Some(_), new) => new.is_none(),
        };
        if has_less {
            return Err(
                "has fewer keys of output.relay than before; give all of its keys, defaults too: the file may have been cut",
            );
        }
        Ok(())
    }

    /// A gallery that is damaged, or that another image's networks made, cannot be used: everyone is learnt again from the
    /// photos that are here.
    fn renew_gallery(&self, photos: &[String], report: &mut Report, alive: &mut dyn FnMut()) {
        let gallery = self.data.join(GALLERY);
        let has_photos = |folder: &Path| sorted(folder).is_ok_and(|p| !p.is_empty());
        let mut given = photos.iter().map(|photos| self.folder.join(photos));
        if !gallery.exists()
            || !has_photos(&self.data.join(PHOTOS)) && !given.any(|p| has_photos(&p))
        {
            return;
        }
        // A configuration that is refused is not used here: a card has one set of networks.
        let config = Some(self.config()).filter(|_| self.in_force().is_ok());
        let checked = self.program(&["people", "check"], config.as_deref(), alive);
        let Some(output) = checked.ok().filter(|o| o.status == Some(1)) else {
            return;
        };
        log::warn!("setup gallery_unusable why={:?}", output.last());
        let aside = self.pending(true).and_then(|()| sync(&self.data));
        match aside.and_then(|()| fs::rename(&gallery, self.unusable())) {
            Ok(()) => report.did(
                "gallery_renewed what=\"it was damaged, or of other networks; all photos are learnt again\"".to_owned(),
            ),
            Err(error) => report.mistake("the gallery", &error.to_string()),
        }
    }

    /// A gallery that could not be used, kept until there is another.
    fn unusable(&self) -> PathBuf {
        self.data.join(GALLERY).with_added_extension("unusable")
    }

    /// Forgets the people in the list called `list`. Returns its new content, empty if it is to be deleted; `None` if it stays
    /// as it is.
    fn forget(
        &self,
        list: &str,
        forgotten: &mut Vec<String>,
        report: &mut Report,
        alive: &mut dyn FnMut(),
    ) -> Option<Vec<u8>> {
        let read = read_bounded(&self.folder.join(list), LARGEST_CONFIG)
            .map_err(|e| e.to_string())
            .and_then(|bytes| List::read(&bytes).map_err(|e| e.to_string()));
        let list = &*shown(list, REMOVE);
        let mut names = match read {
            Ok(names) => names,
            Err(why) => {
                report.mistake(list, &format!("{why}; nobody was forgotten"));
                return None;
            }
        };
        for line in names.lines() {
            let name = match Line::of(&line) {
                Line::Name(name) => name,
                Line::NotForgotten(remark) => {
                    report.mistake(list, &format!("not forgotten: {remark}"));
                    names.keep(&line);
                    continue;
                }
                Line::Remark => {
                    names.keep(&line);
                    continue;
                }
            };
            let key = name::key(name);
            match self.forget_one(name, alive) {
                // The name is twice in the list, or was forgotten before the power was cut.
                Ok(Forgotten::Unknown(_)) if forgotten.contains(&key) => {}
                Ok(Forgotten::Done) => {
                    report.did(format!("forgotten name={}", crate::journal::value(name)));
                    forgotten.push(key);
                    if let Err(error) = self.remember_forgotten(forgotten) {
                        report.mistake("the card", &format!("cannot be written: {error}"));
                    }
                }
                Ok(Forgotten::Unknown(nearest)) => {
                    let mut what = format!("nobody is called so{nearest}");
                    if !names.is_certain() && !name.is_ascii() {
                        what +=
                            "; if the name looks wrong here, save this list as plain text in UTF-8";
                    }
                    what += "; write the right name on a line of its own, and delete this one";
                    report.mistake(list, &format!("not forgotten: {name} ({what})"));
                    // It stays as a remark: as a name it would be forgotten later, once a person has it.
                    names.remark(name, &what);
                }
                Err(why) => {
                    report.mistake(list, &format!("{name}: {why}"));
                    names.keep(&line);
                }
            }
        }
        names.into_file()
    }

    /// The names that were forgotten and may still be in a list.
    fn forgotten(&self) -> Vec<String> {
        let bytes = read_bounded(&self.data.join(FORGOTTEN), LARGEST_CONFIG).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_owned).collect()
    }

    fn remember_forgotten(&self, keys: &[String]) -> io::Result<()> {
        let beside = self.data.join(FORGOTTEN).with_added_extension("new");
        write_whole(
            &beside,
            &self.data.join(FORGOTTEN),
            keys.join("\n").as_bytes(),
        )
    }

    /// Forgets a person in the gallery first, as the gallery opens the door.
    fn forget_one(&self, written: &str, alive: &mut dyn FnMut()) -> Result<Forgotten, String> {
        // A name that no person can have may be a path that leads elsewhere.
        let Ok(wanted) = name::read(written) else {
            return Ok(Forgotten::Unknown(String::new()));
        };
        let output = self.program(&["people", "remove", &wanted], Some(&self.config()), alive);
        let output = output.map_err(|e| e.to_string())?;
        let enrolled = match output.status {
            Some(0) => true,
            Some(1) => false,
            _ => return Err(output.last().to_owned()),
        };
        // That gallery has the person, too.
        match fs::remove_file(self.unusable()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.to_string()),
            _ => {}
        }
        let folders = sorted(&self.data.join(PHOTOS)).unwrap_or_default();
        let (theirs, others): (Vec<_>, Vec<_>) = folders
            .iter()
            .filter_map(|folder| Some((folder, folder.file_name()?.to_str()?)))
            .partition(|(_, name)| name::same(name, &wanted));
        for (folder, _) in &theirs {
            fs::remove_dir_all(folder).map_err(|e| format!("the photos cannot be deleted: {e}"))?;
        }
        if enrolled || !theirs.is_empty() {
            return Ok(Forgotten::Done);
        }
        // The nearest name of the enrolled, or of those whose photos wait to be learnt.
        let of_enrolled = output.last().split_once("; did you mean ");
        let nearest = of_enrolled.and_then(|(_, rest)| Some(rest.split_once('?')?.0.to_owned()));
        Ok(Forgotten::Unknown(nearest.map_or_else(
            || name::suggestion(&wanted, others.into_iter().map(|(_, name)| name)),
            |name| format!("; did you mean {name}?"),
        )))
    }

    /// Copies photos of the folder called `given` to the data partition. Returns those that are there now.
    fn take_photos(&self, given: &str, report: &mut Report, alive: &mut dyn FnMut()) -> Vec<Taken> {
        let mut copied = Vec::new();
        let people = match sorted(&self.folder.join(given)) {
            Ok(people) => people,
            Err(error) => {
                report.mistake(&shown(given, PHOTOS), &format!("cannot be read: {error}"));
                return copied;
            }
        };
        for person in people {
            let found = person
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let here = format!("{}/{found}", shown(given, PHOTOS));
            if is_clutter(&person) {
                continue;
            }
            if !person.is_dir() {
                report.mistake(&here, &drive::loose(&found));
                continue;
            }
            let name = match self.whose(&found) {
                Ok(name) => name,
                Err(why) => {
                    report.mistake(&here, &why);
                    continue;
                }
            };
            let has_photos = drive::has_pictures(&person, 0);
            for photo in sorted(&person).unwrap_or_default() {
                alive();
                let file = photo
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if is_clutter(&photo) {
                    continue;
                }
                if photo.is_dir() {
                    if let Some(why) = drive::inner(&photo, &name, has_photos) {
                        report.mistake(&format!("{here}/{file}"), &why);
                    }
                    continue;
                }
                if text::is_archive(&file) {
                    let why = "is an archive; unpack it here";
                    report.mistake(&format!("{here}/{file}"), why);
                    continue;
                }
                if let Some(why) = refusal(&photo) {
                    report.mistake(&format!("{here}/{file}"), &why);
                    continue;
                }
                match self.take_photo(&photo, &name) {
                    Ok(Ok(taken)) => copied.push(taken),
                    Ok(Err(why)) => report.mistake(&format!("{here}/{file}"), &why),
                    Err(error) => report.mistake(&format!("{here}/{file}"), &error.to_string()),
                }
            }
        }
        if !copied.is_empty() {
            report.did(format!("photos_taken count={}", copied.len()));
        }
        copied
    }

    /// The name under which the photos of a folder called `found` are kept: the one under which there are some already, however
    /// it was written then.
    fn whose(&self, found: &str) -> Result<String, String> {
        let name = match folders::whose(found, &[UNKNOWN]).map_err(|e| e.to_string())? {
            Whose::Special(special) => return Ok(special.to_owned()),
            Whose::Person(name) => name,
        };
        let folders = sorted(&self.data.join(PHOTOS)).unwrap_or_default();
        let known: Vec<&str> = folders
            .iter()
            .filter_map(|folder| folder.file_name()?.to_str())
            .collect();
        if let Some(known) = name::find(&name, known.iter().copied()) {
            return Ok(known.to_owned());
        }
        name::check_new(&name, known).map_err(|e| e.to_string())?;
        Ok(name)
    }

    /// Copies one photo to the data partition: completely, under a name that no other photo has. Returns where it is there.
    /// The inner error is why it could not be read at an earlier try; it then stays where it is.
    fn take_photo(&self, photo: &Path, person: &str) -> io::Result<Result<Taken, String>> {
        let bytes = read_bounded(photo, LARGEST_PHOTO)?;
        let sum = Sha256::digest(&bytes);
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(why) = self.was_unreadable(&sum) {
            return Ok(Err(format!("{UNREAD}{why}")));
        }
        let taken = |here| {
            Ok(Taken {
                from: photo.to_owned(),
                here,
                sum,
            })
        };
        let folder = self.data.join(PHOTOS).join(person);
        let name = photo.file_name().unwrap_or_default().to_string_lossy();
        let mut place = folder.join(&*name);
        let mut n = 1;
        loop {
            match fs::read(&place) {
                Ok(old) if old == bytes => return self.pending(false).map(|()| taken(place)),
                // Two phones may give the same name.
                Ok(_) => {
                    n += 1;
                    place = folder.join(format!("{n}-{name}"));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        let free = rustix::fs::statvfs(&self.data)?;
        if free.f_bavail * free.f_frsize < bytes.len() as u64 + RESERVE {
            return Err(io::Error::other(
                "no room left on the card; use a larger card",
            ));
        }
        self.pending(true)?;
        fs::create_dir_all(&folder)?;
        // Under a hidden name: an incomplete file must not be taken for a photo.
        write_whole(&folder.join(".new"), &place, &bytes)?;
        for_all(&place).map(|()| taken(place))
    }

    /// Marks that photos are to be learnt; with the full number of tries if there are `others` than before.
    fn pending(&self, others: bool) -> io::Result<()> {
        let mut file = File::options();
        file.write(true).create(true).truncate(others);
        file.open(self.data.join(PENDING)).map(|_| ())
    }

    /// Learns everyone whose photos are on the data partition, if there are new ones.
    ///
    /// Returns those of `copied` that may be deleted from the owner's partition: none if learning did not finish, and not those
    /// that cannot be read, of which no copy is kept.
    fn learn(
        &self,
        copied: Vec<Taken>,
        report: &mut Report,
        alive: &mut dyn FnMut(),
    ) -> Vec<Taken> {
        let pending = self.data.join(PENDING);
        let Ok(tried) = pending.metadata().map(|m| m.len()) else {
            return copied;
        };
        let begun = fs::write(
            &pending,
            vec![b'.'; usize::try_from(tried + 1).unwrap_or(1)],
        );
        if tried >= TRIES || begun.and_then(|()| sync(&self.data)).is_err() {
            report.mistake(
                PHOTOS,
                "are not learnt: the last starts ended while they learnt; the next one tries again",
            );
            if let Err(error) = self.pending(true) {
                report.mistake(PHOTOS, &error.to_string());
            }
            return Vec::new();
        }
        log::info!("setup learning=photos what=\"the door waits for it\"");
        let photos = self.data.join(PHOTOS);
        let photos = photos.to_string_lossy();
        let config = Some(self.config()).filter(|c| c.exists());
        let mut learnt = Vec::new();
        match self.program(&["train", "--data", &photos], config.as_deref(), alive) {
            Ok(output) => {
                for line in &output.lines {
                    let line = line.replace(&format!("{photos}/"), "");
                    log::info!("setup said={line:?}");
                    if let Some((name, why)) = line.split_once(UNUSED) {
                        report
                            .mistakes
                            .push(format!("{PHOTOS}/{name}: {UNREAD}{why}"));
                        continue;
                    }
                    match output.status {
                        Some(0) => report.done.push(line),
                        _ => report.mistakes.push(line),
                    }
                }
                let settled = match output.status {
                    // Not tried again before there are others: the same photos would give the same result.
                    Some(0 | 1) => {
                        if self.data.join(GALLERY).exists() {
                            let _ = fs::remove_file(self.unusable());
                        }
                        learnt = copied;
                        self.give_back(&mut learnt, &output)
                            .and_then(|()| fs::remove_file(&pending))
                    }
                    // It ended by itself: that does not count as a try.
                    Some(_) => {
                        report.mistake(PHOTOS, "are not learnt; the next start tries again");
                        self.pending(true)
                    }
                    None => {
                        report.mistake(
                            PHOTOS,
                            "are not learnt: learning was broken off, perhaps as memory ran out; a later start tries again. To \
                             replace large photos, put the name into remove.txt, and smaller photos here",
                        );
                        Ok(())
                    }
                };
                if let Err(error) = settled {
                    report.mistake(PHOTOS, &error.to_string());
                }
            }
            Err(error) => report.mistake(PHOTOS, &format!("cannot be learnt: {error}")),
        }
        learnt
    }

    /// Removes those from `learnt` that could not be read, deletes their copies, and stores their checksums.
    fn give_back(&self, learnt: &mut Vec<Taken>, output: &Output) -> io::Result<()> {
        let mut list = String::new();
        let photos = self.data.join(PHOTOS);
        let lines: Vec<(PathBuf, &str)> = output
            .lines
            .iter()
            .filter_map(|line| line.split_once(UNUSED))
            .map(|(path, why)| (PathBuf::from(path), why))
            .collect();
        let mut copies = Vec::new();
        learnt.retain(|taken| {
            let Some((here, why)) = lines.iter().find(|(path, _)| *path == taken.here) else {
                return true;
            };
            let name = here.strip_prefix(&photos).unwrap_or(here).to_string_lossy();
            list += &format!("{} {name}: {why}\n", taken.sum);
            copies.push(here.clone());
            false
        });
        // The checksums come first: without them the photos would be copied again at every start.
        let place = self.data.join(UNREADABLE);
        write_whole(&place.with_extension("new"), &place, list.as_bytes())?;
        for copy in copies {
            fs::remove_file(&copy)?;
            let _ = copy.parent().map(fs::remove_dir);
        }
        Ok(())
    }

    /// Why the photo of this checksum could not be read when it was last tried.
    fn was_unreadable(&self, sum: &str) -> Option<String> {
        let list = fs::read_to_string(self.data.join(UNREADABLE)).ok()?;
        let line = list.lines().find_map(|line| line.strip_prefix(sum))?;
        Some(line.split_once(": ")?.1.to_owned())
    }

    /// Runs this program as the user.
    fn program(
        &self,
        arguments: &[&str],
        config: Option<&Path>,
        alive: &mut dyn FnMut(),
    ) -> io::Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--gallery")
            .arg(self.data.join(GALLERY));
        if let Some(config) = config.filter(|c| c.exists()) {
            command.arg("--config").arg(config);
        }
        if let Some(user) = self.user {
            super::kernel::hand_over_devices(user);
            command.env_clear().uid(user).gid(user);
        }
        // Into a file, as nothing would read a pipe while this waits.
        let file = tempfile::tempfile()?;
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file.try_clone()?);
        let mut child = command.spawn()?;
        let status = wait_for_child(&mut child, LEARNING, alive)?;
        let mut file = file;
        io::Seek::rewind(&mut file)?;
        let mut text = Vec::new();
        file.take(1 << 20).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let lines = text
            .lines()
            .map(|l| l.strip_prefix("latchkey: ").unwrap_or(l).to_owned());
        // The engine's own lines and empty ones are left out.
        let lines = lines.filter(|l| !l.starts_with("INFO: ") && !l.trim().is_empty());
        Ok(Output {
            status: status.code(),
            lines: lines.collect(),
        })
    }
}

/// A photo that was copied.
struct Taken {
    from: PathBuf,
    here: PathBuf,
    /// SHA-256 of it.
    sum: String,
}

/// How a run of this program ended, and what it printed.
struct Output {
    /// The exit status, as in `latchkey --help`; None: it was killed.
    status: Option<i32>,
    lines: Vec<String>,
}

impl Output {
    /// Its last line: why it did not do what it was asked for.
    fn last(&self) -> &str {
        self.lines.last().map_or("refused", String::as_str)
    }
}

/// The outcome of forgetting a person.
enum Forgotten {
    /// The person was there, and is forgotten.
    Done,
    /// No person has this name; who may have been meant, as half a sentence.
    Unknown(String),
}

/// Lets every user read a file that is no secret on a card that has one user.
fn for_all(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// The text of the report file: empty if all is well.
fn report_text(report: &Report) -> String {
    let part = |title: &str, lines: &[String]| match lines {
        [] => String::new(),
        lines => format!(
            "{title}\r\n{}\r\n",
            lines
                .iter()
                .map(|l| format!("  {l}\r\n"))
                .collect::<String>()
        ),
    };
    part("Not done, as something is wrong:", &report.mistakes) + &part("Done:", &report.done)
}

/// Its part about files and folders that are something else.
fn others_text(report: &Report) -> String {
    match &report.others[..] {
        [] => String::new(),
        others => format!(
            "Not looked at, as it is neither {CONFIG} nor {PHOTOS} nor {REMOVE}:\r\n{}\r\n",
            others
                .iter()
                .map(|name| format!("  {DRIVE}/{name}\r\n"))
                .collect::<String>()
        ),
    }
}

/// The name, in a report, of a file or folder that is taken for `expected`.
fn shown(name: &str, expected: &str) -> String {
    if name == expected {
        return name.to_owned();
    }
    format!("{DRIVE}/{name}")
}

/// The old text of the report file, without what every start checks and reports again.
fn still_valid(old: &str, again: &[String]) -> String {
    let photos = [
        format!("{PHOTOS}/"),
        format!("{PHOTOS}: "),
        format!("{DRIVE}/"),
    ];
    let comes_again = |line: &&str| {
        let line = line.trim_start();
        let checked_again = [CONFIG, REMOVE]
            .into_iter()
            .chain(photos.iter().map(|p| &**p));
        checked_again.into_iter().any(|f| line.starts_with(f)) || again.iter().any(|a| a == line)
    };
    if !old.lines().any(|l| comes_again(&l)) {
        return old.to_owned();
    }
    let lines: Vec<&str> = old.lines().filter(|l| !comes_again(l)).collect();
    let mut left = String::new();
    for (i, line) in lines.iter().enumerate() {
        // A title stays with the lines under it, and one empty line after those.
        let ends_part = line.is_empty() && !left.is_empty() && !left.ends_with("\r\n\r\n");
        let has_more = lines.get(i + 1).is_some_and(|l| l.starts_with(' '));
        if line.starts_with(' ') || has_more || ends_part {
            left.push_str(line);
            left.push_str("\r\n");
        }
    }
    left
}

/// A regular file's bytes, if they are not more than `most`.
fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > most {
        let (length, most) = (length >> 10, most >> 10);
        return Err(io::Error::other(format!(
            "is {length} KiB large; the most is {most} KiB"
        )));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What lies in `folder`, by name.
pub fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?
        .map(|e| Ok(e?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn sync(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(&File::open(folder)?)?)
}
