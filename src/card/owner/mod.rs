//! Everything that the owner has put on the card with a computer: `latchkey.toml`, photos of people, names to forget.
//!
//! Nothing is put in force before it has been checked. A mistake is reported in the log, by the LED and in a file on the
//! owner's partition, and the old setup stays in force. Photos are copied to the data partition, learnt there together with the
//! photos that are there already, and only then deleted from the owner's partition. If this is interrupted at any point, the
//! next boot repeats all of it, with the same result.
//!
//! This file contains the order of the steps; each step is a file of this folder. How the drive's names are sorted is in
//! [`drive_contents`], and how the card is mounted in [`partitions`](super::partitions).

mod changes;
mod configuration;
mod files;
mod gallery;
mod learning;
mod photos;
mod program;
mod removal;
mod report;

use std::path::PathBuf;

use self::changes::Changes;
pub use self::files::sorted;
use self::files::{read_bounded, sync};
use self::photos::Batch;
pub use self::report::Report;
use super::drive_contents::{self, DriveContents};
use super::partitions::OwnerAccess;

/// The name of the owner's configuration, and of the one in force.
pub const CONFIG: &str = "latchkey.toml";
/// The gallery on the data partition, in a folder that belongs to the job's user. Everything else there belongs to root,
/// because root must not follow a link that another user makes.
pub const GALLERY: &str = "gallery/latchkey.gallery";
/// The folder of photos, with one folder per person.
pub const PHOTOS: &str = "photos";
/// The list of people to forget, one name per line.
pub const REMOVE: &str = "remove.txt";
/// The drive's name, as computers show it. A report puts this name before names that are not the expected ones.
const DRIVE: &str = "LATCHKEY";
/// The report of all mistakes, for the owner to read on the card.
pub const REPORT_FILE: &str = "latchkey-says.txt";
/// A file on the owner's partition that is not complete yet.
pub const BESIDE: &str = "latchkey.new";
/// The largest configuration that is read. A usual one is a few hundred bytes.
const LARGEST_CONFIG: u64 = 64 << 10;

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
    /// Whether the data partition lasts. If not, nothing is deleted from the owner's partition.
    pub persistent: bool,
}

impl Owner {
    /// The configuration in force, if there ever was one.
    pub fn config(&self) -> PathBuf {
        self.data.join(CONFIG)
    }

    /// Applies everything that can be applied. `on_progress` is called while this makes progress.
    pub fn apply(&self, access: &dyn OwnerAccess, on_progress: &mut dyn FnMut()) -> Report {
        let mut report = Report::default();
        if let Err(error) = self.gallery_folder() {
            report.mistake("the card", &format!("cannot be written: {error}"));
        }
        let contents = drive_contents::read(&self.folder).unwrap_or_else(|error| {
            report.mistake("the drive", &format!("cannot be read: {error}"));
            DriveContents::default()
        });
        for (name, why) in &contents.mistakes {
            report.mistake(&format!("{DRIVE}/{name}"), why);
        }
        // This comes first, because a configuration is checked with the gallery that will be used with it.
        self.renew_gallery(&contents.photos, &mut report, on_progress);
        if let Some(config) = &contents.config {
            self.configure(config, &mut report, on_progress);
        }
        let mut changes = Changes {
            lists: self.forget_all(&contents.lists, &mut report, on_progress),
            ..Changes::default()
        };
        let mut batch = Batch::default();
        for photos in &contents.photos {
            self.copy_photos(photos, &mut batch, &mut report, on_progress);
        }
        report.others = contents.others;
        // Photos that were not learnt stay where they are, and are tried again when something else comes.
        changes.photos = self.learn(batch, &mut report, on_progress);
        // Photos that are deleted from the drive must be stored safely on the data partition.
        let here = sync(&self.data);
        if let (false, _) | (_, Err(_)) = (self.persistent, here) {
            report.mistake(
                "the card",
                "keeps nothing: photos and names stay where they are until it does",
            );
            changes = Changes::default();
        }
        let old = read_bounded(&self.folder.join(REPORT_FILE), LARGEST_CONFIG).unwrap_or_default();
        let old = String::from_utf8_lossy(&old).into_owned();
        let text = report.text(&old, !changes.is_empty());
        changes.report = (text != old).then_some(text);
        if !changes.is_empty() {
            match access.writing(&mut || changes.write(&self.folder)) {
                Ok(()) => self.lists_are_written(),
                // The next boot then repeats all of it.
                Err(error) => report.mistake(
                    "the owner's partition",
                    &format!("cannot be written: {error}; see that the card is not locked"),
                ),
            }
        }
        report
    }
}
