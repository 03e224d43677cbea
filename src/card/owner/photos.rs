//! Photos on their way from the owner's drive to the data partition: finding whose they are, copying them, and leaving on the
//! drive the photos that cannot be read. No picture is decoded here: learning does that, as the job's user.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::files::{read_bounded, sorted, sorted_if_any};
use super::report::shown;
use super::{Owner, PHOTOS, Report};
use crate::capture::UNREAD;
use crate::capture::pictures::{is_clutter, refusal};
use crate::card::drive_contents;
use crate::people::folders::{self, UNKNOWN, Whose};
use crate::people::{name, write_whole};
use crate::text;

/// The list of photos that could not be read and are still on the owner's partition: one line per photo, with the checksum that
/// identifies it.
const UNREADABLE: &str = "photos.unreadable";
/// The largest photo that is copied. Phones make photos of 3 to 12 MB.
const LARGEST_PHOTO: u64 = 32 << 20;
/// The room that must stay free on the data partition, in bytes, for gallery and decisions.
const RESERVE: u64 = 8 << 20;

/// The photos of one start.
#[derive(Default)]
pub(super) struct Batch {
    /// The photos that are on the data partition now.
    pub(super) copied: Vec<CopiedPhoto>,
    /// The lines of [`UNREADABLE`] about photos that stay on the drive, because an earlier start could not read them.
    unreadable: Vec<String>,
}

/// A photo that was copied.
pub(super) struct CopiedPhoto {
    /// The photo on the owner's drive.
    pub(super) from: PathBuf,
    /// The photo on the data partition.
    pub(super) copy: PathBuf,
    /// The photo's SHA-256.
    sum: String,
}

impl Owner {
    /// Copies the photos in the folder called `given` to the data partition, and adds them to `batch`.
    pub(super) fn copy_photos(
        &self,
        given: &str,
        batch: &mut Batch,
        report: &mut Report,
        on_progress: &mut dyn FnMut(),
    ) {
        let before = batch.copied.len();
        let people = match sorted(&self.folder.join(given)) {
            Ok(people) => people,
            Err(error) => {
                report.mistake(&shown(given, PHOTOS), &format!("cannot be read: {error}"));
                return;
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
                report.mistake(&here, &drive_contents::misplaced_file(&found));
                continue;
            }
            let name = match self.whose(&found) {
                Ok(name) => name,
                Err(why) => {
                    report.mistake(&here, &why);
                    continue;
                }
            };
            let has_photos = drive_contents::has_pictures(&person, 0);
            let photos = sorted(&person).unwrap_or_else(|error| {
                report.mistake(&here, &format!("cannot be read: {error}"));
                Vec::new()
            });
            for photo in photos {
                on_progress();
                let file = photo
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                if is_clutter(&photo) {
                    continue;
                }
                if photo.is_dir() {
                    if let Some(why) = drive_contents::misplaced_folder(&photo, &name, has_photos) {
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
                match self.copy_photo(&photo, &name) {
                    Ok(Ok(photo)) => batch.copied.push(photo),
                    Ok(Err(line)) => {
                        let why = line.split_once(": ").map_or("", |(_, why)| why);
                        report.mistake(&format!("{here}/{file}"), &format!("{UNREAD}{why}"));
                        batch.unreadable.push(line);
                    }
                    Err(error) => report.mistake(&format!("{here}/{file}"), &error.to_string()),
                }
            }
        }
        let count = batch.copied.len() - before;
        if count > 0 {
            report.did(format!("photos_taken count={count}"));
        }
    }

    /// The name under which the photos of a folder called `found` are kept. If there are photos of this person already, it is
    /// the name under which they are kept, however that was written.
    fn whose(&self, found: &str) -> Result<String, String> {
        let name = match folders::whose(found, &[UNKNOWN]).map_err(|e| e.to_string())? {
            Whose::Special(special) => return Ok(special.to_owned()),
            Whose::Person(name) => name,
        };
        let folders = sorted_if_any(&self.data.join(PHOTOS)).map_err(|e| e.to_string())?;
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

    /// Copies one photo to the data partition: completely, and under a name that no other photo has. Returns the photo's place
    /// there. The inner error is the line of [`UNREADABLE`] about a photo that could not be read at an earlier start; such a
    /// photo stays where it is.
    fn copy_photo(&self, photo: &Path, person: &str) -> io::Result<Result<CopiedPhoto, String>> {
        let bytes = read_bounded(photo, LARGEST_PHOTO)?;
        let sum = Sha256::digest(&bytes);
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(line) = self.was_unreadable(&sum) {
            return Ok(Err(line));
        }
        let copied = |copy| {
            Ok(CopiedPhoto {
                from: photo.to_owned(),
                copy,
                sum,
            })
        };
        let folder = self.data.join(PHOTOS).join(person);
        let name = photo.file_name().unwrap_or_default().to_string_lossy();
        let mut place = folder.join(&*name);
        let mut n = 1;
        loop {
            match fs::read(&place) {
                Ok(old) if old == bytes => return self.pending(false).map(|()| copied(place)),
                // Two phones may give two photos the same name.
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
        // The file is written under a hidden name first, because an incomplete file must not be mistaken for a photo.
        write_whole(&folder.join(".new"), &place, &bytes)?;
        for_all(&place).map(|()| copied(place))
    }

    /// Removes the photos in `unread`, each with its reason, from `batch`. Deletes their copies, and adds their checksums to
    /// those of photos that could not be read before.
    pub(super) fn reject_unreadable(
        &self,
        batch: &mut Batch,
        unread: &[(PathBuf, &str)],
    ) -> io::Result<()> {
        let photos = self.data.join(PHOTOS);
        let mut copies = Vec::new();
        batch.copied.retain(|photo| {
            let Some((here, why)) = unread.iter().find(|(path, _)| *path == photo.copy) else {
                return true;
            };
            let name = here.strip_prefix(&photos).unwrap_or(here).to_string_lossy();
            batch
                .unreadable
                .push(format!("{} {name}: {why}", photo.sum));
            copies.push(here.clone());
            false
        });
        // The checksums are written first: without them the photos would be copied again at every start.
        let place = self.data.join(UNREADABLE);
        let list = batch.unreadable.join("\n");
        write_whole(&place.with_extension("new"), &place, list.as_bytes())?;
        for copy in copies {
            fs::remove_file(&copy)?;
            let _ = copy.parent().map(fs::remove_dir);
        }
        Ok(())
    }

    /// The line of [`UNREADABLE`] about the photo with this checksum.
    fn was_unreadable(&self, sum: &str) -> Option<String> {
        let list = fs::read_to_string(self.data.join(UNREADABLE)).ok()?;
        let line = list.lines().find(|line| line.starts_with(sum))?;
        Some(line.to_owned())
    }
}

/// Lets every user read a file. The file is no secret on a card that has one user.
fn for_all(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}
