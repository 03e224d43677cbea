//! Reads the data set, which is a folder with one folder of photos per person: finds whose photos each folder has, and what is
//! wrong with its contents. No picture is opened here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::capture::pictures;
use crate::fault;
use crate::people::folders::{self, Whose};
use crate::people::{Gallery, name};
use crate::text::is_archive;

/// A folder that cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; give the folder that has one folder a person", folder.display())]
pub struct FolderError {
    folder: PathBuf,
    source: io::Error,
}

/// A person's folder. `photos` is empty if there are none in the folder, which is then reported as one of the things that are
/// wrong.
pub struct Named {
    pub name: String,
    pub photos: Vec<PathBuf>,
}

/// The people in `folder` in the order of their names, without the folders that mean one of `special`, and what is wrong with the
/// folder's other contents. Two folders whose names differ only in how they are typed belong to the same person.
pub fn people(
    folder: &Path,
    special: &[&'static str],
) -> Result<(Vec<Named>, Vec<String>), FolderError> {
    let unreadable = |e: io::Error| FolderError {
        folder: folder.to_owned(),
        source: fault::of_path(e, folder),
    };
    let (mut people, mut wrong) = (BTreeMap::<String, Named>::new(), Vec::new());
    let mut shapes = BTreeMap::<String, String>::new();
    let mut specials = BTreeMap::<&str, PathBuf>::new();
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut paths = entries
        .map(|e| Ok(e.map_err(unreadable)?.path()))
        .collect::<Result<Vec<_>, FolderError>>()?;
    paths.sort();
    for path in paths {
        let shown = path.display();
        let Some(written) = path.file_name().and_then(|n| n.to_str()) else {
            wrong.push(format!(
                "{shown}: its name is not text in UTF-8: not used; rename it"
            ));
            continue;
        };
        // A hidden folder with photos was meant for a person.
        if pictures::is_clutter(&path) {
            continue;
        }
        if !path.is_dir() {
            wrong.push(format!("{shown}: not used: {}", loose(written)));
            continue;
        }
        let name = match folders::whose(written, special) {
            Ok(Whose::Person(name)) => name,
            Ok(Whose::Special(expected)) => {
                let used = specials
                    .entry(expected)
                    .or_insert_with(|| folders::special(folder, expected));
                if *used != path {
                    wrong.push(format!(
                        "{shown}: not used, as there is {}; put the photos of both into one of them",
                        used.display()
                    ));
                }
                continue;
            }
            Err(e) => {
                wrong.push(format!("{shown}: not used: {e}"));
                continue;
            }
        };
        let key = name::key(&name);
        let mut alike = [name::shape(&name), name::shape(&key)]
            .into_iter()
            .map(|shape| {
                let first = shapes.entry(shape).or_insert_with(|| name.clone());
                name::check_alike(&name, first)
            });
        if let Some(Err(e)) = alike.find(Result::is_err) {
            wrong.push(format!("{shown}: not used: {e}"));
            continue;
        }
        wrong.extend(no_pictures(&path));
        let photos = pictures::list(&path).unwrap_or_else(|e| {
            wrong.push(match inner_folders(&path)[..] {
                [] => format!("{e}: not used; JPEG and PNG pictures can be read"),
                _ => format!(
                    "{shown}: has no photos, but folders with photos: not used; if each is a person, put these folders into {}",
                    folder.display()
                ),
            });
            Vec::new()
        });
        let named = people.entry(key).or_insert_with(|| Named {
            name,
            photos: Vec::new(),
        });
        named.photos.extend(photos);
    }
    let mut people: Vec<Named> = people.into_values().collect();
    people.sort_by(|a, b| a.name.cmp(&b.name));
    wrong.sort();
    Ok((people, wrong))
}

/// What is wrong with a file called `written` that is among the folders of people.
fn loose(written: &str) -> &'static str {
    if is_archive(written) {
        "is an archive; unpack it into a folder of the person's name"
    } else {
        "photos lie in a folder of their person's name"
    }
}

/// Makes the names agree with the gallery. An enrolled person keeps their name, however the folder's name is written. A new
/// person whose name looks like an enrolled one is left out.
pub fn agree(named: &mut Vec<Named>, gallery: &Gallery, wrong: &mut Vec<String>) {
    named.retain_mut(|person| {
        if let Some(enrolled) = gallery.find(&person.name) {
            person.name.clone_from(&enrolled.name);
            return true;
        }
        let names = gallery.people().iter().map(|p| p.name.as_str());
        match name::check_new(&person.name, names) {
            Ok(()) => true,
            Err(e) => {
                wrong.push(format!("{e}: not used"));
                false
            }
        }
    });
}

/// The folders in `folder` that contain pictures.
fn inner_folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut inner: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|p| p.is_dir() && !pictures::is_clutter(p) && pictures::list(p).is_ok())
        .collect();
    inner.sort();
    inner
}

/// What is wrong among a person's photos: files of another kind, such as the HEIC of some phones, and folders.
fn no_pictures(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = files.map(|e| e.path());
    let files = paths
        .filter(|p| !p.is_dir() && !pictures::is_picture(p) && !pictures::is_clutter(p))
        .filter_map(|p| {
            let why = match is_archive(&p.to_string_lossy()) {
                true => "is an archive; unpack it here".to_owned(),
                false => pictures::refusal(&p)?,
            };
            Some(format!("{}: not used: {why}", p.display()))
        });
    let has_photos = pictures::list(folder).is_ok();
    let folders = inner_folders(folder).into_iter().filter(|_| has_photos).map(|p| {
        format!(
            "{}: not used: is a folder among a person's photos; if they are of the same person, put them into {}",
            p.display(),
            folder.display()
        )
    });
    files.chain(folders).collect()
}

/// The photos in `folder` and in its subfolders; none if the folder does not exist.
pub fn photos_below(folder: &Path, wrong: &mut Vec<String>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                wrong.push(format!(
                    "{}: not used: cannot be read: {error}",
                    folder.display()
                ));
            }
            return Vec::new();
        }
    };
    let mut photos = pictures::list(folder).unwrap_or_default();
    let folders = entries.filter_map(Result::ok).map(|e| e.path());
    for inner in folders.filter(|p| p.is_dir() && !pictures::is_clutter(p)) {
        if let Err(error) = std::fs::read_dir(&inner) {
            wrong.push(format!(
                "{}: not used: cannot be read: {error}",
                inner.display()
            ));
        }
        photos.extend(pictures::list(&inner).unwrap_or_default());
    }
    photos.sort();
    photos
}
