//! What the owner has put on the card with a computer: `latchkey.toml`, photos of people, names to forget.
//!
//! Nothing of it is in force before it has been checked; what is wrong is told on the log, by the LED and in a file beside
//! it, and the old stays in force. Photos are copied to the data partition, learnt there together with those that are there
//! already, and only then taken off the owner's. Broken off at any point, all of it is done again at the next boot, with the
//! same result.

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
/// The gallery on the data partition, in a folder that is the job's user's; all else there is root's, as root must not
/// follow what another user puts in its way.
pub const GALLERY: &str = "gallery/latchkey.gallery";
/// Photos: a folder a person.
pub const PHOTOS: &str = "photos";
/// Names of those who are to be forgotten, one a line.
pub const REMOVE: &str = "remove.txt";
/// The drive's name, as computers show it. In what is reported it stands before what is not of an expected name.
const DRIVE: &str = "LATCHKEY";
/// What is wrong with all that, for whoever looks at the card again.
pub const SAYS: &str = "latchkey-says.txt";
/// A file of the owner's that is not whole yet.
pub const BESIDE: &str = "latchkey.new";
/// What stands between the name of a photo that cannot be read and the reason.
const UNUSED: &str = ": not used: cannot be read: ";
/// Photos that could not be read, and are on the owner's partition still: a line each, with what makes them known again.
const UNREADABLE: &str = "photos.unreadable";
/// Photos were copied and not learnt yet; its length is how often that was tried.
const PENDING: &str = "photos.pending";
/// Names that were forgotten and may still be in a list, as a list is written last: were the power cut before, they would be
/// nobody's names at the next start. One a line, folded; deleted with the lists.
const FORGOTTEN: &str = "names.forgotten";
/// Starts in a row that may end while they learn: where learning takes the board down, the next one works the door.
const TRIES: u64 = 3;
/// A configuration is a few hundred bytes.
const LARGEST_CONFIG: u64 = 64 << 10;
/// Phones make 3 to 12 MB.
const LARGEST_PHOTO: u64 = 32 << 20;
/// What stays free on the data partition, in bytes, for gallery and decisions.
const RESERVE: u64 = 8 << 20;
/// The longest that learning may take, with some thousand photos on the slowest board.
const LEARNING: Duration = Duration::from_secs(30 * 60);

/// The owner's partition, and what is to be made of it.
#[derive(Debug)]
pub struct Owner {
    /// The partition, mounted.
    pub folder: PathBuf,
    /// The data partition.
    pub data: PathBuf,
    /// This program.
    pub program: PathBuf,
    /// Who reads photos, checks the configuration and writes the gallery. None: whoever runs this.
    pub user: Option<u32>,
    /// Whether the data partition lasts: if not, nothing is taken off the owner's.
    pub kept: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done, in the words of the log.
    pub done: Vec<String>,
    /// What was not, and why; each with its fix.
    pub mistakes: Vec<String>,
    /// What lies on the drive and is nothing to look at.
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

    /// Brings into force what can be. `alive` is called as long as it gets on.
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
        // First: a configuration is checked with the gallery that it will have.
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
        // What was not learnt stays where it is, and is looked at again when something else comes.
        copied = self.learn(copied, &mut report, alive);
        // What goes from there must be here for good.
        let here = sync(&self.data);
        if let (false, _) | (_, Err(_)) = (self.kept, here) {
            report.mistake(
                "the card",
                "keeps nothing: photos and names stay where they are until it does",
            );
            (removal, copied) = (Vec::new(), Vec::new());
        }
        let old = read_bounded(&self.folder.join(SAYS), LARGEST_CONFIG).unwrap_or_default();
        let old = String::from_utf8_lossy(&old).into_owned();
        let mut says = says(&report);
        // What was told of photos that were learnt, and names that are forgotten, stays until something new was put there.
        if report.done.is_empty() && removal.is_empty() && copied.is_empty() {
            says += &of_the_past(&old, &report.mistakes);
        }
        says += &says_of_others(&report);
        if !removal.is_empty() || !copied.is_empty() || says != old {
            let written = access.writing(&mut || {
                for (list, left) in &removal {
                    if left.is_empty() {
                        fs::remove_file(self.folder.join(list))?;
                    } else {
                        self.replace(list, left)?;
                    }
                }
                // Names first: were the photos gone and a name not, it would be forgotten again, for good.
                sync(&self.folder)?;
                for Taken { from, .. } in &copied {
                    fs::remove_file(from)?;
                    // Goes with its last photo.
                    let _ = from.parent().map(fs::remove_dir);
                }
                if says == old {
                    return Ok(());
                }
                if says.is_empty() {
                    return fs::remove_file(self.folder.join(SAYS));
                }
                self.replace(SAYS, says.as_bytes())
            });
            if written.is_ok() {
                let _ = fs::remove_file(self.data.join(FORGOTTEN));
            }
            if let Err(error) = written {
                // Then all of it comes again at the next boot.
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

    /// Lets the job read what may have passwords in it, and nobody else.
    fn for_job(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o640))?;
        self.user
            .map_or(Ok(()), |user| lchown(path, Some(0), Some(user)))
    }

    /// A file of the owner's partition: whole, or as it was.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.folder.join(BESIDE);
        fs::write(&beside, bytes)?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, self.folder.join(name))
    }

    /// Takes a new configuration into force, once it has passed a check with this board's chips.
    fn configure(&self, name: &str, report: &mut Report, alive: &mut dyn FnMut()) {
        let read = read_bounded(&self.folder.join(name), LARGEST_CONFIG);
        let name = &*shown(name, CONFIG);
        let text = match read {
            Ok(text) => text,
            Err(error) => return report.mistake(name, &error.to_string()),
        };
        if fs::read(self.config()).is_ok_and(|old| old == text) {
            // Taken by an earlier program, which may have known other keys.
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
        let said = self.program(&["run", "--check", "--outputs"], Some(&candidate), alive);
        match said {
            Ok(said) if said.status == Some(0) => match fs::rename(&candidate, self.config())
                .and_then(|()| sync(&self.data))
            {
                Ok(()) => report.did(format!(
                    "configuration file={} bytes={}",
                    crate::journal::value(name),
                    text.len()
                )),
                Err(error) => report.mistake(name, &format!("cannot be taken into force: {error}")),
            },
            Ok(said) => report.mistake(name, &self.of_file(&candidate, said.last())),
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

    /// What is wrong with the copy `path` of the configuration, said of the owner's.
    fn of_file(&self, path: &Path, why: &str) -> String {
        let why = why.replace(&*path.to_string_lossy(), CONFIG);
        let short = why.strip_prefix("latchkey.toml: ").map(str::to_owned);
        short.unwrap_or(why)
    }

    /// That a configuration was meant. A drive that is pulled out while it is written leaves empty and cut files, and those
    /// are right as far as they go: all has a default. The relay's must not be one for a relay that is wired otherwise.
    fn is_meant(&self, written: &[u8]) -> Result<(), &'static str> {
        if written.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
            return Err("is empty; was the card pulled out too soon? write it again");
        }
        let read =
            |bytes: &[u8]| toml::from_str::<toml::Table>(&text::decode(bytes).ok()?.text).ok();
        // What cannot be read is told better by the check.
        let Some(new) = read(written) else {
            return Ok(());
        };
        if new.to_string().contains(&*self.folder.to_string_lossy()) {
            return Err("names a file on this drive, which is not there when the door is worked");
        }
        let relay = |file: &toml::Table| file.get("output")?.get("relay").cloned();
        let old = fs::read(self.config()).ok().and_then(|old| read(&old));
        let says_less = match (old.as_ref().and_then(relay), relay(&new)) {
            (None, _) => false,
            (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) => {
                old.keys().any(|key| !new.contains_key(key))
            }
            (Some(_), new) => new.is_none(),
        };
        if says_less {
            return Err(
                "says less of output.relay than before; say it all, also what is as by default: the file may have been cut",
            );
        }
        Ok(())
    }

    /// A gallery that is damaged, or that another image's networks made, is of no use: everybody is learnt again from the
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
        // One that is refused has no say in it: a card has one set of networks.
        let config = Some(self.config()).filter(|_| self.in_force().is_ok());
        let said = self.program(&["people", "check"], config.as_deref(), alive);
        let Some(why) = said.ok().filter(|s| s.status == Some(1)) else {
            return;
        };
        log::warn!("setup gallery_unusable why={:?}", why.last());
        let aside = self.pending(true).and_then(|()| sync(&self.data));
        match aside.and_then(|()| fs::rename(&gallery, self.unusable())) {
            Ok(()) => report.did(
                "gallery_renewed what=\"it was damaged, or of other networks; all photos are learnt again\"".to_owned(),
            ),
            Err(error) => report.mistake("the gallery", &error.to_string()),
        }
    }

    /// A gallery that was of no use, until there is another.
    fn unusable(&self) -> PathBuf {
        self.data.join(GALLERY).with_added_extension("unusable")
    }

    /// Forgets who is in the list called `list`. Returns what is to be left of it, nothing if it is to go; `None` if it stays as
    /// it is.
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
                // Twice in the list, or before the power was cut.
                Ok(Forgotten::Nobody(_)) if forgotten.contains(&key) => {}
                Ok(Forgotten::Done) => {
                    report.did(format!("forgotten name={}", crate::journal::value(name)));
                    forgotten.push(key);
                    if let Err(error) = self.remember_forgotten(forgotten) {
                        report.mistake("the card", &format!("cannot be written: {error}"));
                    }
                }
                Ok(Forgotten::Nobody(nearest)) => {
                    let mut what = format!("nobody is called so{nearest}");
                    if !names.is_certain() && !name.is_ascii() {
                        what +=
                            "; if the name looks wrong here, save this list as plain text in UTF-8";
                    }
                    what += "; write the right name on a line of its own, and delete this one";
                    report.mistake(list, &format!("not forgotten: {name} ({what})"));
                    // As a remark: as a name it would be forgotten later, once a person has it.
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

    /// Who was forgotten and may still be in a list.
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

    /// From the gallery first: it is that which opens the door.
    fn forget_one(&self, written: &str, alive: &mut dyn FnMut()) -> Result<Forgotten, String> {
        // A name that nobody can have may lead elsewhere.
        let Ok(wanted) = name::read(written) else {
            return Ok(Forgotten::Nobody(String::new()));
        };
        let said = self.program(&["people", "remove", &wanted], Some(&self.config()), alive);
        let said = said.map_err(|e| e.to_string())?;
        let enrolled = match said.status {
            Some(0) => true,
            Some(1) => false,
            _ => return Err(said.last().to_owned()),
        };
        // Whoever it was is in there, too.
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
        // Of the enrolled, or of those whose photos wait to be learnt.
        let of_enrolled = said.last().split_once("; did you mean ");
        let nearest = of_enrolled.and_then(|(_, rest)| Some(rest.split_once('?')?.0.to_owned()));
        Ok(Forgotten::Nobody(nearest.map_or_else(
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

    /// Under which name the photos of a folder called `found` are kept: that under which there are some already, however it was
    /// written then.
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

    /// One photo to the data partition: whole, under a name that no other photo has. Returns where it is there.
    /// The inner error is why it could not be read when it was tried before; it stays where it is.
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
                // Two phones may give one name.
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
        // Hidden: what is not whole is nobody's photo.
        write_whole(&folder.join(".new"), &place, &bytes)?;
        for_all(&place).map(|()| taken(place))
    }

    /// Photos are to be learnt; with as many tries as ever if there are `others` than before.
    fn pending(&self, others: bool) -> io::Result<()> {
        let mut file = File::options();
        file.write(true).create(true).truncate(others);
        file.open(self.data.join(PENDING)).map(|_| ())
    }

    /// Learns everybody whose photos are on the data partition, if some have come.
    ///
    /// Returns those of `copied` that may leave the owner's partition: none if learning did not come to an end, and not those
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
            Ok(said) => {
                for line in &said.lines {
                    let line = line.replace(&format!("{photos}/"), "");
                    log::info!("setup said={line:?}");
                    if let Some((name, why)) = line.split_once(UNUSED) {
                        report
                            .mistakes
                            .push(format!("{PHOTOS}/{name}: {UNREAD}{why}"));
                        continue;
                    }
                    match said.status {
                        Some(0) => report.done.push(line),
                        _ => report.mistakes.push(line),
                    }
                }
                let settled = match said.status {
                    // Not again before there are others: the same photos would do no better.
                    Some(0 | 1) => {
                        if self.data.join(GALLERY).exists() {
                            let _ = fs::remove_file(self.unusable());
                        }
                        learnt = copied;
                        self.give_back(&mut learnt, &said)
                            .and_then(|()| fs::remove_file(&pending))
                    }
                    // It ended by itself: no try was lost.
                    Some(_) => {
                        report.mistake(PHOTOS, "are not learnt; the next start tries again");
                        self.pending(true)
                    }
                    None => {
                        report.mistake(
                            PHOTOS,
                            "are not learnt: it was broken off, for want of memory perhaps; a later start tries again. To take \
                             large ones back, put the name into remove.txt, and smaller ones here",
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

    /// Takes those out of `learnt` that could not be read, deletes their copies, and keeps what they are known by.
    fn give_back(&self, learnt: &mut Vec<Taken>, said: &Said) -> io::Result<()> {
        let mut list = String::new();
        let photos = self.data.join(PHOTOS);
        let lines: Vec<(PathBuf, &str)> = said
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
        // First what they are known by: without it they would come again at every start.
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
    ) -> io::Result<Said> {
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
        // To files: nobody reads a pipe while this waits.
        let said = tempfile::tempfile()?;
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said.try_clone()?);
        let mut child = command.spawn()?;
        let status = wait_for_child(&mut child, LEARNING, alive)?;
        let mut said = said;
        io::Seek::rewind(&mut said)?;
        let mut text = Vec::new();
        said.take(1 << 20).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let lines = text
            .lines()
            .map(|l| l.strip_prefix("latchkey: ").unwrap_or(l).to_owned());
        // The engine's own line, and the log's.
        let lines = lines.filter(|l| !l.starts_with("INFO: ") && !l.trim().is_empty());
        Ok(Said {
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

/// How this program ended when it was run for something, and what it said.
struct Said {
    /// As `latchkey --help` says; None: it was killed.
    status: Option<i32>,
    lines: Vec<String>,
}

impl Said {
    /// Its last line: why it did not do what it was asked for.
    fn last(&self) -> &str {
        self.lines.last().map_or("refused", String::as_str)
    }
}

/// What came of forgetting a person.
enum Forgotten {
    /// The person was there, and is forgotten.
    Done,
    /// There was nobody; who may have been meant, as half a sentence.
    Nobody(String),
}

/// Lets everybody read what is no secret on a card that has one user.
fn for_all(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// What the file on the owner's partition says: nothing if all is well.
fn says(report: &Report) -> String {
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

/// What it says of files and folders that are something else.
fn says_of_others(report: &Report) -> String {
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

/// How a file or folder that is taken for `expected` is called in what is reported.
fn shown(name: &str, expected: &str) -> String {
    if name == expected {
        return name.to_owned();
    }
    format!("{DRIVE}/{name}")
}

/// Of what the file said, all but what is looked at again at every start, and would be told again.
fn of_the_past(said: &str, again: &[String]) -> String {
    let photos = [
        format!("{PHOTOS}/"),
        format!("{PHOTOS}: "),
        format!("{DRIVE}/"),
    ];
    let comes_again = |line: &&str| {
        let line = line.trim_start();
        let again_looked_at = [CONFIG, REMOVE]
            .into_iter()
            .chain(photos.iter().map(|p| &**p));
        again_looked_at.into_iter().any(|f| line.starts_with(f)) || again.iter().any(|a| a == line)
    };
    if !said.lines().any(|l| comes_again(&l)) {
        return said.to_owned();
    }
    let lines: Vec<&str> = said.lines().filter(|l| !comes_again(l)).collect();
    let mut left = String::new();
    for (i, line) in lines.iter().enumerate() {
        // A title stays with what is under it, and one empty line behind that.
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
