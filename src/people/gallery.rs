//! The gallery file has the names and templates of the enrolled people, and the head that distinguishes them.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `LATCHGAL` |
//! | 4 | version, little-endian: 4 |
//! | 8 | length of the body, little-endian |
//! | 32 | sha256 of the body |
//! | rest | the body, [`Gallery`] in postcard's encoding |
//!
//! A new file is written completely beside the old one, synced, and renamed over it. So at any moment the name refers to the old
//! gallery or to the new one. A file that fails any check is refused entirely, because half a gallery could name the wrong
//! person.

mod error;
mod file;
mod older;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::error::GalleryError;
pub(crate) use self::file::write_whole;
use super::linear_head::directions;
use super::{name, tuned};
use crate::face::Embedding;
use crate::fault;
use crate::nn::Patch;

const MAGIC: &[u8; 8] = b"LATCHGAL";
const VERSION: u32 = 4;
const HEADER: usize = 8 + 4 + 8 + 32;
/// The largest size of the file. It is more than enough for a hundred people, each with a hundred templates of 512 dimensions.
const MAX_BYTES: u64 = 32 << 20;

/// A number for one person in one gallery, never used twice.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PersonId(pub u32);

/// The form in which the log shows a person, unless names are allowed there.
impl std::fmt::Display for PersonId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// An enrolled person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// The person's number in this gallery.
    pub id: PersonId,
    /// The name as the owner wrote it, in NFC ([`name::read`]).
    pub name: String,
    /// Embeddings of the enrolled photos, each of length 1.
    pub templates: Vec<Vec<f32>>,
    /// Embeddings of views of the photos, as other light, movement and cameras would have shown them; each of length 1.
    pub views: Vec<Vec<f32>>,
    /// The direction by which the head recognises the person; of length 1.
    pub direction: Vec<f32>,
}

/// The threshold at which a face counts as an enrolled person, and what is known about that value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operating {
    /// The lowest likeness to a person at which a face counts as that person.
    pub threshold: f32,
    /// The requested share of strangers' faces that may be mistaken for an enrolled person, 0 to 1.
    pub far: f64,
    /// The number of strangers (people, not photos) that the current head was tested on; 0 after the head has changed.
    pub trials: u32,
    /// The number of these strangers who had a photo that was mistaken for an enrolled person.
    pub accepted: u32,
}

/// An embedder that was fine-tuned for exactly the enrolled people, and its embeddings of them. It is used in place of the set's
/// own embedder, whose embeddings of these people are kept. It is dropped when the people change, because the network has learnt
/// from a person who is removed, and does not know a person who is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// Checksum of the set's own embedder, into which the weights go.
    pub set_sha256: String,
    /// The weights of its top layers.
    pub patch: Patch,
    /// Checksum of the fine-tuned embedder, which is the set's own with these weights.
    pub embedder_sha256: String,
    /// The people's data, in the order of [`Gallery::people`].
    pub people: Vec<TunedPerson>,
    /// The threshold at which a face counts as an enrolled person.
    pub operating: Operating,
}

/// A person's data from a fine-tuned embedder and its head. All of length 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunedPerson {
    /// Embeddings of the enrolled photos.
    pub templates: Vec<Vec<f32>>,
    /// The direction by which the head recognises the person.
    pub direction: Vec<f32>,
}

/// The data of the enrolled people that faces are compared with, for one embedder.
#[derive(Clone, Copy, Debug)]
pub struct EnrolledPeople<'a> {
    people: &'a [Person],
    tuned: Option<&'a Tuned>,
    own: Option<&'a Operating>,
}

impl<'a> EnrolledPeople<'a> {
    /// The number, direction and templates of everyone enrolled.
    pub fn people(self) -> impl Iterator<Item = (PersonId, &'a [f32], &'a [Vec<f32>])> {
        self.people.iter().enumerate().map(move |(place, person)| {
            let tuned = self.tuned.and_then(|t| t.people.get(place));
            let own = (&person.direction, &person.templates);
            let (direction, templates) = tuned.map_or(own, |t| (&t.direction, &t.templates));
            (person.id, &direction[..], &templates[..])
        })
    }

    /// Whether the data is for a fine-tuned embedder, not for the set's own.
    #[must_use]
    pub const fn is_tuned(self) -> bool {
        self.tuned.is_some()
    }

    /// The threshold at which a face counts as an enrolled person, if it was measured.
    #[must_use]
    pub fn operating(self) -> Option<&'a Operating> {
        self.tuned.map_or(self.own, |t| Some(&t.operating))
    }
}

/// Everyone enrolled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gallery {
    /// Checksum of the embedder that made the templates; empty while no one is enrolled.
    embedder_sha256: String,
    /// The next person's number.
    next: u32,
    people: Vec<Person>,
    /// Embeddings of people who are not enrolled, one entry per person. The head learns from them what strangers look like.
    strangers: Vec<Vec<Vec<f32>>>,
    operating: Option<Operating>,
    tuned: Option<Tuned>,
    /// Whether the people have changed since the head was trained.
    #[serde(skip)]
    stale: bool,
    /// Whether an earlier version of the program fine-tuned a network for this gallery.
    #[serde(skip)]
    tuned_earlier: bool,
}

/// Decodes `bytes`; none of them may be left over.
fn whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, postcard::Error> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        _ => Err(postcard::Error::SerdeDeCustom),
    }
}

fn is_unit(values: &[f32], dimensions: usize) -> bool {
    let norm = values.iter().map(|v| v * v).sum::<f32>();
    values.len() == dimensions && (norm - 1.0).abs() < 1e-3
}

impl Gallery {
    /// The gallery in the file at `path`; an empty one if there is no file yet.
    ///
    /// # Errors
    /// [`GalleryError`] if the file cannot be read or is not complete.
    pub fn load(path: &Path) -> Result<Self, GalleryError> {
        let io = |doing| {
            move |source| GalleryError::Io {
                path: path.to_owned(),
                doing,
                source,
            }
        };
        let file = match File::open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                fault::check_mounted(path).map_err(io("cannot open"))?;
                return Ok(Self::default());
            }
            opened => opened.map_err(io(
                "cannot open; run as the user who owns it, or give it to this one",
            ))?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(io("cannot read"))?;
        Self::decode(path, &bytes)
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self, GalleryError> {
        let damaged = |what: String| GalleryError::Damaged {
            path: path.to_owned(),
            what,
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(damaged(format!("more than {} MiB", MAX_BYTES >> 20)));
        }
        let Some((header, body)) = bytes.split_at_checked(HEADER) else {
            return Err(damaged(format!(
                "{} bytes, a gallery begins with {HEADER}",
                bytes.len()
            )));
        };
        let (magic, header) = header.split_at(8);
        let (version, header) = header.split_at(4);
        let (length, checksum) = header.split_at(8);
        if magic != MAGIC {
            return Err(damaged("it does not begin as a gallery does".to_owned()));
        }
        let version = u32::from_le_bytes(version.try_into().unwrap_or_default());
        if !(1..=VERSION).contains(&version) {
            return Err(GalleryError::Version {
                path: path.to_owned(),
                found: version,
            });
        }
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        if length != body.len() as u64 {
            return Err(damaged(format!("{} bytes of {length}", body.len())));
        }
        if Sha256::digest(body)[..] != *checksum {
            return Err(damaged("its checksum does not match".to_owned()));
        }
        let gallery = match version {
            1 => older::first(body),
            // Version 2 had no fine-tuning. The added byte marks its absence.
            2 => older::third(&[body, &[0]].concat()),
            3 => older::third(body),
            _ => whole(body),
        };
        let mut gallery: Self = gallery.map_err(|e| damaged(e.to_string()))?;
        gallery.learn();
        gallery.check().map_err(|what| damaged(what.to_owned()))?;
        Ok(gallery)
    }

    /// Checks what a checksum cannot: that the numbers make sense.
    fn check(&self) -> Result<(), &'static str> {
        let dimensions = self.dimensions();
        for person in &self.people {
            if !name::is_harmless(&person.name) {
                return Err("a name in it is not one");
            }
            if person.id.0 >= self.next {
                return Err("a person's number is out of range");
            }
            let embeddings = person.templates.iter().chain(&person.views);
            if !embeddings
                .chain([&person.direction])
                .all(|e| is_unit(e, dimensions))
            {
                return Err("a template in it is not one");
            }
        }
        let mut strangers = self.strangers.iter().flatten();
        if !strangers.all(|s| is_unit(s, dimensions)) {
            return Err("a stranger's template in it is not one");
        }
        if self
            .operating
            .is_some_and(|o| !(-1.0..=1.0).contains(&o.threshold))
        {
            return Err("its threshold is no cosine");
        }
        if let Some(tuned) = &self.tuned {
            let people = &tuned.people;
            let mut all = people
                .iter()
                .flat_map(|p| p.templates.iter().chain([&p.direction]));
            if people.len() != self.people.len()
                || !all.all(|e| is_unit(e, dimensions))
                || !(-1.0..=1.0).contains(&tuned.operating.threshold)
                || [&tuned.embedder_sha256, &tuned.set_sha256].map(String::len) != [64; 2]
            {
                return Err("its fine-tuned head is not one");
            }
        }
        Ok(())
    }

    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let body = postcard::to_stdvec(self)?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&Sha256::digest(&body));
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads the gallery at `path`, lets `change` change it, and writes it if that succeeds. Programs
    /// that change it at the same time wait for each other.
    ///
    /// # Errors
    /// [`GalleryError`], or the error of `change`; the file is then unchanged.
    pub fn update<T, E: From<GalleryError>>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let io = |doing: &'static str| {
            move |source: std::io::Error| GalleryError::Io {
                path: path.to_owned(),
                doing,
                source,
            }
        };
        let directory = File::open(tuned::folder(path))
            .map_err(|e| fault::of_path(e, path))
            .map_err(io(
                "cannot open its folder; make it, or set gallery to a file elsewhere",
            ))?;
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| io("cannot lock its folder")(e.into()))?;
        let mut gallery = Self::load(path)?;
        let result = change(&mut gallery)?;
        let full = || GalleryError::Full {
            path: path.to_owned(),
        };
        if gallery.values() * size_of::<f32>() > MAX_BYTES as usize {
            return Err(full().into());
        }
        gallery.learn();
        let bytes = gallery.encode().map_err(|e| GalleryError::Damaged {
            path: path.to_owned(),
            what: e.to_string(),
        })?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(full().into());
        }
        let beside = path.with_added_extension("new");
        write_whole(&beside, path, &bytes).map_err(|source| {
            // The partly written file is useless; the old file stays.
            let _ = std::fs::remove_file(&beside);
            io("cannot write it; the old one stays in force")(source)
        })?;
        directory
            .sync_all()
            .map_err(io("written, but its folder could not be synced"))?;
        // A network that learnt from a removed person is removed with them.
        tuned::sweep(path).map_err(io(
            "written, but a network that was fine-tuned before could not be deleted; delete it by hand",
        ))?;
        Ok(result)
    }

    /// The number of values in all embeddings and in the fine-tuned weights.
    fn values(&self) -> usize {
        let of = |p: &Person| p.templates.len() + p.views.len() + 1;
        let tuned = self.tuned.iter().flat_map(|t| &t.people);
        let rows = self.people.iter().map(of).sum::<usize>()
            + tuned.map(|p| p.templates.len() + 1).sum::<usize>()
            + self.strangers.iter().map(Vec::len).sum::<usize>();
        let weights = self.tuned.as_ref().map_or(0, |t| t.patch.values());
        rows * self.dimensions() + weights
    }

    /// Trains the head again if the people have changed since it was last trained.
    pub fn learn(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let people: Vec<Vec<&[f32]>> = self.people.iter().map(Person::embeddings).collect();
        let strangers = self.strangers.iter();
        let strangers: Vec<Vec<&[f32]>> = strangers
            .map(|s| s.iter().map(Vec::as_slice).collect())
            .collect();
        let learnt = directions(&people, &strangers);
        for (person, direction) in self.people.iter_mut().zip(learnt) {
            person.direction = direction;
        }
    }

    /// Everyone enrolled, in order of enrolment.
    #[must_use]
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// The person called `name`, however it is typed.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Person> {
        let exact = self.people.iter().find(|p| p.name == name);
        exact.or_else(|| self.people.iter().find(|p| name::same(&p.name, name)))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.people.iter().map(|p| p.name.as_str())
    }

    /// The person with this number.
    #[must_use]
    pub fn person(&self, id: PersonId) -> Option<&Person> {
        self.people.iter().find(|p| p.id == id)
    }

    /// The number of values in a template; 0 while there is no template.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        let templates = self.people.iter().flat_map(|p| &p.templates);
        // The strangers stay when the last person is removed.
        let mut all = templates.chain(self.strangers.iter().flatten());
        all.next().map_or(0, Vec::len)
    }

    /// Checks that faces can be recognised with the embedder of this checksum. It must have made the templates, or have been
    /// fine-tuned for these people. An empty gallery suits any embedder.
    ///
    /// # Errors
    /// [`GalleryError::Embedder`].
    pub fn suits(&self, embedder_sha256: &str, path: &Path) -> Result<(), GalleryError> {
        let tuned = self.tuned.as_ref().map(|t| &*t.embedder_sha256);
        if tuned == Some(embedder_sha256) {
            return Ok(());
        }
        self.is_of(embedder_sha256, path)
    }

    /// Checks that the templates were made by the embedder of this checksum.
    fn is_of(&self, embedder_sha256: &str, path: &Path) -> Result<(), GalleryError> {
        if self.people.is_empty() || self.embedder_sha256 == embedder_sha256 {
            return Ok(());
        }
        Err(GalleryError::Embedder {
            path: path.to_owned(),
            found: self.embedder_sha256.clone(),
            want: embedder_sha256.to_owned(),
        })
    }

    /// The data of the enrolled people that faces are compared with, for the embedder of this checksum. The gallery must suit
    /// that embedder, and the head must have been trained.
    #[must_use]
    pub fn enrolled(&self, embedder_sha256: &str) -> EnrolledPeople<'_> {
        let tuned = self.tuned.as_ref();
        EnrolledPeople {
            people: &self.people,
            tuned: tuned.filter(|t| t.embedder_sha256 == embedder_sha256),
            own: self.operating.as_ref(),
        }
    }

    /// Everyone with the embeddings of the embedder that was fine-tuned for them, if there is one.
    #[must_use]
    pub const fn tuned(&self) -> Option<&Tuned> {
        self.tuned.as_ref()
    }

    /// Whether an earlier version of the program fine-tuned a network for this gallery, in a file beside it. This version does
    /// not load that network and uses the set's own. [`Gallery::update`] deletes it with the next change.
    #[must_use]
    pub const fn was_tuned_earlier(&self) -> bool {
        self.tuned_earlier
    }

    /// Starts to use the fine-tuned embedder or, with `None`, the set's own. Everyone must have been added before.
    pub fn set_tuned(&mut self, tuned: Option<Tuned>) {
        self.tuned = tuned;
        self.tuned_earlier = false;
    }

    /// Adds templates and views to the person called `name`, and first enrols that person if necessary.
    ///
    /// # Errors
    /// [`GalleryError`] if the name is invalid, or the gallery belongs to another embedder; `path` is for the message.
    pub fn add(
        &mut self,
        name: &str,
        templates: &[Embedding],
        views: &[Embedding],
        embedder_sha256: &str,
        path: &Path,
    ) -> Result<PersonId, GalleryError> {
        let name = name::read(name)?;
        let known = self.find(&name).map(|p| p.id);
        if known.is_none() {
            name::check_new(&name, self.names())?;
        }
        self.is_of(embedder_sha256, path)?;
        if self.embedder_sha256 != embedder_sha256 {
            // No one is enrolled: strangers' embeddings by another embedder have no meaning.
            self.strangers.clear();
            self.operating = None;
            embedder_sha256.clone_into(&mut self.embedder_sha256);
        }
        self.changed();
        let place = self.people.iter().position(|p| Some(p.id) == known);
        let place = place.unwrap_or_else(|| {
            let id = PersonId(self.next.max(1));
            self.next = id.0 + 1;
            self.people.push(Person {
                id,
                name,
                templates: Vec::new(),
                views: Vec::new(),
                direction: Vec::new(),
            });
            self.people.len() - 1
        });
        let person = &mut self.people[place];
        person.templates.extend(owned(templates));
        person.views.extend(owned(views));
        Ok(person.id)
    }

    /// Removes all templates and views of the person called `name`, if enrolled. The person's number stays. New templates must be
    /// added immediately.
    pub fn clear(&mut self, name: &str) {
        if let Some(person) = self.people.iter_mut().find(|p| name::same(&p.name, name)) {
            person.templates.clear();
            person.views.clear();
        }
    }

    /// Forgets `name`, all of their templates, and what the head learnt from them.
    ///
    /// # Errors
    /// [`GalleryError::Unknown`].
    pub fn remove(&mut self, name: &str, path: &Path) -> Result<Person, GalleryError> {
        // A gallery that was written before names were folded may have two names that fold to the same text, so an exact match
        // comes first.
        let exact = self.people.iter().position(|p| p.name == name);
        let place = exact.or_else(|| self.people.iter().position(|p| name::same(&p.name, name)));
        let place = place.ok_or_else(|| GalleryError::Unknown {
            path: path.to_owned(),
            name: name.to_owned(),
            suggestion: name::suggestion(name, self.names()),
        })?;
        self.changed();
        Ok(self.people.remove(place))
    }

    /// Embeddings of people who are not enrolled, one entry per person; empty if none were given yet.
    #[must_use]
    pub fn strangers(&self) -> &[Vec<Vec<f32>>] {
        &self.strangers
    }

    /// Replaces the strangers that the head learns from, one entry per person. Their embeddings must come from the embedder that
    /// made the templates.
    pub fn set_strangers(&mut self, strangers: &[Vec<Embedding>]) {
        self.strangers = strangers.iter().map(|s| owned(s).collect()).collect();
        self.changed();
    }

    /// Sets the measured operating point; the head must have been trained.
    pub const fn set_operating(&mut self, operating: Operating) {
        self.operating = Some(operating);
    }

    /// Marks the head as changed since it was measured. The threshold stays, because any other value would be a guess.
    fn changed(&mut self) {
        self.stale = true;
        self.tuned = None;
        if let Some(operating) = &mut self.operating {
            operating.trials = 0;
            operating.accepted = 0;
        }
    }
}

impl Person {
    /// All embeddings that the head learns from.
    #[must_use]
    pub fn embeddings(&self) -> Vec<&[f32]> {
        let all = self.templates.iter().chain(&self.views);
        all.map(Vec::as_slice).collect()
    }
}

fn owned(embeddings: &[Embedding]) -> impl Iterator<Item = Vec<f32>> {
    embeddings.iter().map(|e| e.values().to_vec())
}

#[cfg(test)]
mod tests;
