//! Sorts the contents of the owner's drive by their names: the configuration, lists of names to forget, folders of photos;
//! files and folders that may be meant for one of these and are not read; and everything else.
//!
//! A computer shows some names without their endings, adds endings of its own and makes copies. A name that can mean only one
//! of these is accepted. A name that may mean one of these is reported with what to do, because the owner believes that it
//! works.

use std::io;
use std::path::{Path, PathBuf};

use super::owner::{CONFIG, PHOTOS, REMOVE, REPORT_FILE};
use crate::capture::pictures::{is_clutter, is_picture};
use crate::people::folders::UNKNOWN;
use crate::text::{Likeness, is_archive, is_rich_text, likeness};

/// A file that every card comes with.
const README: &str = "README.txt";

/// The contents of the owner's drive.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DriveContents {
    /// The name of the configuration.
    pub config: Option<String>,
    /// Lists of names to forget.
    pub lists: Vec<String>,
    /// Folders that contain one folder per person.
    pub photos: Vec<String>,
    /// Names that may have been meant for one of these and are not read, each with the reason and what to do.
    pub mistakes: Vec<(String, String)>,
    /// Everything else.
    pub others: Vec<String>,
}

/// Sorts the contents of `folder`. Of the folders in it, only those that may hold photos are read.
///
/// # Errors
/// The system's error, if `folder` cannot be read.
pub fn read(folder: &Path) -> io::Result<DriveContents> {
    let mut contents = DriveContents::default();
    let mut configs = Vec::new();
    for path in super::owner::sorted(folder)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if is_clutter(&path)
            || is_systems(&name)
            || name == REPORT_FILE
            || name == super::owner::BESIDE
            || name == README
        {
            continue;
        }
        let is_folder = path.is_dir();
        let like = |expected| likeness(&name, expected);
        let takes = |expected| matches!(like(expected), Likeness::Is | Likeness::Means);
        let mut mistake = |why: String| contents.mistakes.push((name.clone(), why));
        if !is_folder && takes(CONFIG) {
            configs.push(name);
        } else if !is_folder && takes(REMOVE) {
            contents.lists.push(name);
        } else if is_folder && takes(PHOTOS) {
            contents.photos.push(name);
        } else if is_archive(&name) {
            mistake(format!(
                "is an archive, which is not read: unpack it; photos belong in {PHOTOS}, one folder a person"
            ));
        } else if is_rich_text(&name)
            && [CONFIG, REMOVE]
                .iter()
                .any(|e| like(e) == Likeness::MayMean)
        {
            let expected = if like(REMOVE) == Likeness::MayMean {
                REMOVE
            } else {
                CONFIG
            };
            mistake(format!(
                "is not read, as it is no plain text: save it as plain text by the name {expected}"
            ));
        } else if let Some(expected) = [CONFIG, REMOVE, PHOTOS]
            .into_iter()
            .find(|e| like(e) != Likeness::Other)
        {
            mistake(match (is_folder, expected == PHOTOS) {
                (true, false) => format!("is a folder; {expected} is a file"),
                (false, true) => {
                    format!("is a file; {PHOTOS} is a folder that has one folder a person")
                }
                _ => format!(
                    "is not read: if it is meant, call it {expected}; otherwise take it off this drive"
                ),
            });
        } else if is_folder && (like(UNKNOWN) != Likeness::Other || has_pictures(&path, 2)) {
            mistake(format!(
                "has photos that are not looked at: put the folder of each person into {PHOTOS}"
            ));
        } else if !is_folder && is_picture(&path) {
            mistake(format!(
                "is a photo that is not looked at: put it into {PHOTOS}/NAME, NAME being who it shows"
            ));
        } else {
            contents.others.push(name);
        }
    }
    // An exact name takes precedence over a name that means the same.
    let exact = configs.iter().position(|name| name == CONFIG);
    match (&configs[..], exact) {
        ([only], _) => contents.config = Some(only.clone()),
        (_, exact) => {
            contents.config = exact.map(|place| configs.swap_remove(place));
            for name in configs {
                let why = match &contents.config {
                    Some(config) => format!(
                        "is not read, as there is {config}, too: delete the one that does not hold, and call the other {CONFIG}"
                    ),
                    None => format!(
                        "is not read, as there are others like it: delete those that do not hold, and call the other {CONFIG}"
                    ),
                };
                contents.mistakes.push((name, why));
            }
        }
    }
    Ok(contents)
}

/// Whether `name` is one of the files that systems put on every drive, or that fsck leaves on a drive that it repaired.
fn is_systems(name: &str) -> bool {
    let known = [
        "system volume information",
        "lost.dir",
        "found.000",
        "$recycle.bin",
        "recycler",
        "__macosx",
        "android",
        "autorun.inf",
        "wpsettings.dat",
        "indexervolumeguid",
    ];
    let name = name.to_lowercase();
    known.contains(&name.as_str()) || name.starts_with("fsck") && name.ends_with(".rec")
}

/// Whether there are pictures in `folder`, or in folders in it, down to `depth` levels.
pub fn has_pictures(folder: &Path, depth: u32) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths = entries.map(|e| e.path()).filter(|p| !is_clutter(p));
    paths.any(|path: PathBuf| match path.is_dir() {
        true => depth > 0 && has_pictures(&path, depth - 1),
        false => is_picture(&path),
    })
}

/// The mistake about the file `name` among people's folders.
pub fn misplaced_file(name: &str) -> String {
    if let Some(expected) = [REMOVE, CONFIG]
        .into_iter()
        .find(|e| likeness(name, e) != Likeness::Other)
    {
        return format!(
            "is not read here: put it beside the folder {PHOTOS}, by the name {expected}"
        );
    }
    if is_archive(name) {
        return format!("is an archive; unpack it, and put the photos into {PHOTOS}/NAME");
    }
    format!("is in no person's folder; put it into {PHOTOS}/NAME")
}

/// The mistake about `folder`, which is among the photos of `person`.
pub fn misplaced_folder(folder: &Path, person: &str, beside_photos: bool) -> Option<String> {
    has_pictures(folder, 2).then(|| {
        if beside_photos {
            format!("is a folder, whose photos are not looked at: if they all show {person}, put them into {PHOTOS}/{person}")
        } else {
            format!(
                "is a folder too deep: its photos are not looked at. If they all show {person}, put them into {PHOTOS}/{person}; \
                 if it is the name of a person, put the folder into {PHOTOS}"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(entries: &[&str]) -> DriveContents {
        let folder = tempfile::tempdir().unwrap();
        for entry in entries {
            let path = folder.path().join(entry);
            if let Some(inside) = entry.strip_suffix('/') {
                std::fs::create_dir_all(folder.path().join(inside)).unwrap();
            } else {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "x").unwrap();
            }
        }
        read(folder.path()).unwrap()
    }

    #[test]
    fn names_that_mean_what_is_expected_are_taken() {
        for name in [
            "latchkey.toml",
            "latchkey.toml.txt",
            "Latchkey.TOML",
            "LATCHKEY",
            "latchkey .toml",
        ] {
            assert_eq!(found(&[name]).config.as_deref(), Some(name));
        }
        for name in [
            "remove.txt",
            "remove.txt.txt",
            "remove",
            "REMOVE.TXT",
            "remove .txt",
        ] {
            assert_eq!(found(&[name]).lists, [name]);
        }
        for name in ["photos", "Photos", "PHOTOS"] {
            assert_eq!(found(&[&format!("{name}/")]).photos, [name]);
        }
        let both = found(&[
            "remove.txt",
            "remove.txt.txt",
            "Photos/Ada/1.jpg",
            "photos/Ben/1.jpg",
        ]);
        assert_eq!(
            (both.lists.len(), both.photos.len(), both.mistakes.len()),
            (2, 2, 0)
        );
    }

    #[test]
    fn of_two_configurations_the_exact_one_is_read_and_the_other_is_reported() {
        let drive = found(&["latchkey.toml", "latchkey.toml.txt"]);
        assert_eq!(drive.config.as_deref(), Some("latchkey.toml"));
        assert_eq!(drive.mistakes[0].0, "latchkey.toml.txt");
        let drive = found(&["latchkey", "latchkey.toml.txt"]);
        assert_eq!((drive.config, drive.mistakes.len()), (None, 2));
    }

    #[test]
    fn a_name_that_may_be_meant_is_reported_with_what_to_do() {
        for (entry, expected) in [
            ("remove(1).txt", "call it remove.txt"),
            ("remove - Copy.txt", "call it remove.txt"),
            ("remvoe.txt", "call it remove.txt"),
            ("Remove.rtf", "save it as plain text by the name remove.txt"),
            (
                "remove.docx",
                "save it as plain text by the name remove.txt",
            ),
            ("remove.txt/", "is a folder; remove.txt is a file"),
            ("latchkey (1).toml", "call it latchkey.toml"),
            (
                "latchkey.rtf",
                "save it as plain text by the name latchkey.toml",
            ),
            ("photo/", "call it photos"),
            ("fotos/Ada/1.jpg", "call it photos"),
            ("photos", "is a file; photos is a folder"),
            ("photos.zip", "is an archive"),
            ("Ada.zip", "is an archive"),
            ("Ada/1.jpg", "put the folder of each person into photos"),
            (
                "DCIM/100CANON/IMG_1.JPG",
                "put the folder of each person into photos",
            ),
            ("unknown/", "put the folder of each person into photos"),
            ("ada.jpg", "put it into photos/NAME"),
        ] {
            let drive = found(&[entry]);
            let reasons: Vec<_> = drive.mistakes.iter().map(|(_, why)| why).collect();
            assert!(
                reasons.len() == 1 && reasons[0].contains(expected),
                "{entry}: {drive:?}"
            );
        }
    }

    #[test]
    fn other_files_are_listed_and_files_of_the_system_are_skipped() {
        let drive = found(&["notes.txt", "manual.pdf", "music/"]);
        assert_eq!(
            drive,
            DriveContents {
                others: ["manual.pdf", "music", "notes.txt"]
                    .map(str::to_owned)
                    .into(),
                ..DriveContents::default()
            }
        );
        let drive = found(&[
            "System Volume Information/IndexerVolumeGuid",
            ".Trashes/x",
            "._remove.txt",
            "Thumbs.db",
            "desktop.ini",
            "FSCK0000.REC",
            "$RECYCLE.BIN/x",
            "LOST.DIR/",
            ".fseventsd/",
            "latchkey-says.txt",
            "README.txt",
            "__MACOSX/._photos",
        ]);
        assert_eq!(drive, DriveContents::default());
    }
}
