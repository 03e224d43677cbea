//! A folder of people: one folder a person, with their photos; and reading many photos by several readers at once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, Loaded};
use crate::capture::{Photo, pictures};
use crate::face::{Reader, Settings};
use crate::memory::{self, Bounded};
use crate::people::check_name;

/// A person's folder; without photos if none could be found in it, which is among what is wrong.
pub struct Named {
    pub name: String,
    pub photos: Vec<PathBuf>,
}

/// The people in `folder` in the order of their names, without the folders called `not`, and what is wrong with what
/// else lies there.
pub fn people(folder: &Path, not: &[&str]) -> Result<(Vec<Named>, Vec<String>), Failure> {
    let unreadable = |e: std::io::Error| Failure {
        exit: super::Exit::Usage,
        text: format!(
            "{}: {e}; give the folder that has one folder a person",
            folder.display()
        ),
    };
    let (mut people, mut wrong) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let shown = path.display();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            wrong.push(format!(
                "{shown}: its name is not text: not used; rename it"
            ));
            continue;
        };
        if not.iter().any(|n| name.eq_ignore_ascii_case(n)) || pictures::is_clutter(&path) {
            continue;
        }
        if !path.is_dir() {
            wrong.push(format!(
                "{shown}: not used: photos lie in a folder of their person's name"
            ));
        } else if let Err(e) = check_name(name) {
            wrong.push(format!("{shown}: not used: {e}"));
        } else {
            wrong.extend(no_pictures(&path));
            match pictures::list(&path) {
                Ok(photos) => people.push(Named {
                    name: name.to_owned(),
                    photos,
                }),
                Err(e) => {
                    wrong.push(format!("{e}: not used; JPEG and PNG pictures can be read"));
                    people.push(Named {
                        name: name.to_owned(),
                        photos: Vec::new(),
                    });
                }
            }
        }
    }
    people.sort_by(|a, b| a.name.cmp(&b.name));
    wrong.sort();
    Ok((people, wrong))
}

/// Files among a person's photos that are of another kind, such as the HEIC of some phones.
fn no_pictures(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = files.map(|e| e.path());
    paths
        .filter(|p| !p.is_dir() && !pictures::is_picture(p) && !pictures::is_clutter(p))
        .filter_map(|p| {
            Some(format!(
                "{}: not used: {}",
                p.display(),
                pictures::refusal(&p)?
            ))
        })
        .collect()
}

/// The photos in `folder` and in the folders in it; none if it is not there.
pub fn photos_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut photos = pictures::list(folder).unwrap_or_default();
    let folders = entries.filter_map(Result::ok).map(|e| e.path());
    for inner in folders.filter(|p| p.is_dir() && !pictures::is_clutter(p)) {
        photos.extend(pictures::list(&inner).unwrap_or_default());
    }
    photos.sort();
    photos
}

/// What a reader takes at most, in KiB: its networks, and a large photo.
const READER: u64 = (Photo::MEMORY >> 10) + (48 << 10);

/// One reader a core, if there is memory for a large photo each.
pub fn readers(loaded: &Loaded, settings: Settings) -> Result<Vec<Reader>, Failure> {
    load_readers(loaded, settings, how_many())
}

/// How many readers there is memory for, at most one a core.
pub fn how_many() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let photos = usize::try_from(memory::available_kib() / READER).unwrap_or(usize::MAX);
    cores.min(photos.max(1))
}

/// So many readers.
pub fn load_readers(
    loaded: &Loaded,
    settings: Settings,
    count: usize,
) -> Result<Vec<Reader>, Failure> {
    (0..count).map(|_| loaded.reader(settings)).collect()
}

/// `read` of every item, in the items' order, shared out among the readers; with a bar that shows how far it is.
pub fn each<I: Sync, T: Send>(
    readers: &mut [Reader],
    what: &'static str,
    items: &[I],
    read: impl Fn(&mut Reader, &I) -> T + Sync,
) -> Vec<T> {
    let bar = bar(what, items.len());
    // A defect of a decoder ends this process, and not another that the machine needs.
    let _bounded = bounded(readers.len());
    let mut read_all: Vec<(usize, T)> = Vec::new();
    share(readers, items, read, |place, result| {
        bar.inc(1);
        read_all.push((place, result));
    });
    bar.finish_and_clear();
    read_all.sort_by_key(|(place, _)| *place);
    read_all.into_iter().map(|(_, result)| result).collect()
}

/// Bounds what this process may take while so many readers read photos.
#[must_use]
pub fn bounded(readers: usize) -> Bounded {
    Bounded::to((READER << 10).saturating_mul(readers as u64 + 1))
}

/// Shares the items out among the readers, and hands on what was read of each, with its place, as it comes.
pub fn share<I: Sync, T: Send>(
    readers: &mut [Reader],
    items: &[I],
    read: impl Fn(&mut Reader, &I) -> T + Sync,
    hand_on: impl FnMut(usize, T),
) {
    let mut hand_on = hand_on;
    let next = AtomicUsize::new(0);
    let (done, results) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        for reader in readers {
            let (next, done, read) = (&next, done.clone(), &read);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(place) else { break };
                    // The one who asked is still listening.
                    let _ = done.send((place, read(reader, item)));
                }
            });
        }
        drop(done);
        for (place, result) in &results {
            hand_on(place, result);
        }
    });
}

/// A bar with the time left; without a terminal, one line.
pub fn bar(what: &'static str, length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_message(what);
    if bar.is_hidden() {
        eprintln!("latchkey: {what}: {length}");
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
