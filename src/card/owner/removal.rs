//! The names to remove: finds whom each line of a list means, and forgets that person in the gallery and in the photos. How a
//! list is read and written back is in [`forget`](crate::card::forget).

use std::fs;
use std::io;

use super::files::{read_bounded, sorted_if_any};
use super::report::shown;
use super::{LARGEST_CONFIG, Owner, PHOTOS, REMOVE, Report};
use crate::card::forget::{Line, List};
use crate::journal;
use crate::people::{name, write_whole};

/// The names that were forgotten and may still be in a list, because a list is written last. After a power cut before that, the
/// next start must not report them as names that no person has. One name per line, folded; the file is deleted once the lists
/// are written.
const FORGOTTEN: &str = "names.forgotten";

/// The outcome of forgetting a person.
enum Forgotten {
    /// The person was there, and has been forgotten.
    Done,
    /// No person has this name. The text names the person who may have been meant, as half a sentence.
    Unknown(String),
}

impl Owner {
    /// Forgets the people in `lists`. Returns the lists that change, each with its new content, which is empty if the list must
    /// be deleted.
    pub(super) fn forget_all(
        &self,
        lists: &[String],
        report: &mut Report,
        on_progress: &mut dyn FnMut(),
    ) -> Vec<(String, Vec<u8>)> {
        if lists.is_empty() {
            self.lists_are_written();
        }
        let mut forgotten = self.forgotten();
        let mut removal = Vec::new();
        for list in lists {
            let left = self.forget(list, &mut forgotten, report, on_progress);
            removal.extend(left.map(|left| (list.clone(), left)));
        }
        removal
    }

    /// Deletes the record of the names that were forgotten, because no list has these names any more.
    pub(super) fn lists_are_written(&self) {
        let _ = fs::remove_file(self.data.join(FORGOTTEN));
    }

    /// Forgets the people in the list called `list`. Returns its new content, which is empty if the list must be deleted;
    /// `None` if it stays as it is.
    fn forget(
        &self,
        list: &str,
        forgotten: &mut Vec<String>,
        report: &mut Report,
        on_progress: &mut dyn FnMut(),
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
            match self.forget_one(name, on_progress) {
                // The name is in the list twice, or was forgotten before the power was cut.
                Ok(Forgotten::Unknown(_)) if forgotten.contains(&key) => {}
                Ok(Forgotten::Done) => {
                    report.did(format!("forgotten name={}", journal::value(name)));
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
                    // The name stays as a remark. As a name, it would be forgotten later, once a person has it.
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

    /// Stores the names that were forgotten.
    fn remember_forgotten(&self, keys: &[String]) -> io::Result<()> {
        let beside = self.data.join(FORGOTTEN).with_added_extension("new");
        write_whole(
            &beside,
            &self.data.join(FORGOTTEN),
            keys.join("\n").as_bytes(),
        )
    }

    /// Forgets one person. The gallery comes first, because the gallery opens the door.
    fn forget_one(
        &self,
        written: &str,
        on_progress: &mut dyn FnMut(),
    ) -> Result<Forgotten, String> {
        // A name that no person can have may be a path to another place.
        let Ok(wanted) = name::read(written) else {
            return Ok(Forgotten::Unknown(String::new()));
        };
        let output = self.program(
            &["people", "remove", &wanted],
            Some(&self.config()),
            on_progress,
        );
        let output = output.map_err(|e| e.to_string())?;
        let enrolled = match output.status {
            Some(0) => true,
            Some(1) => false,
            _ => return Err(output.last().to_owned()),
        };
        // The unusable gallery contains the person, too.
        match fs::remove_file(self.unusable()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.to_string()),
            _ => {}
        }
        // Photos that stay would be learnt again.
        let folders = sorted_if_any(&self.data.join(PHOTOS))
            .map_err(|e| format!("the photos cannot be deleted: {e}"))?;
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
        // The nearest name among the enrolled people, or among those whose photos wait to be learnt.
        let of_enrolled = output.last().split_once("; did you mean ");
        let nearest = of_enrolled.and_then(|(_, rest)| Some(rest.split_once('?')?.0.to_owned()));
        Ok(Forgotten::Unknown(nearest.map_or_else(
            || name::suggestion(&wanted, others.into_iter().map(|(_, name)| name)),
            |name| format!("; did you mean {name}?"),
        )))
    }
}
