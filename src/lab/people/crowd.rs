//! Reads the photos of many people: their faces, and the views and changed pictures of these faces that are learnt from and
//! tested on. `draws` picks who is enrolled.

use std::path::{Path, PathBuf};

use super::{LEFT, MOST, Plan};
use crate::capture::Photo;
use crate::chance::Chance;
use crate::face::{Embedding, FaceError, Landmarks, Reader};
use crate::frame::{Image, Sampler};
use crate::lab::{LabError, subject};
use crate::learn::Named;
use crate::learner::{Show, each};
use crate::lesson::{FaceCut, TUNING_VIEWS, Trunk};

/// The embedder's answer for a face.
#[derive(Clone)]
pub struct Seen {
    pub embedding: Embedding,
    /// The trunk's output, for fine-tuning only.
    pub trunk: Option<Trunk>,
}

/// A photo's face.
pub struct Shot {
    pub photo: PathBuf,
    pub landmarks: Landmarks,
    pub seen: Seen,
    /// What is tested in place of the face if it is an enrolled person's.
    pub tried: Option<Seen>,
    pub views: Vec<Seen>,
}

/// A person who may be enrolled or come as a stranger.
pub struct Candidate {
    /// The person's photos; `None` for a photo in which no face was found.
    pub shots: Vec<Option<Shot>>,
}

/// Reads the photos of everyone in `named`, of whom those with enough photos for the smallest number in `photos` may be enrolled.
pub fn crowd(
    readers: &mut [Reader],
    show: Show,
    named: &[Named],
    photos: &[u16],
    plan: &Plan,
) -> Result<Vec<Candidate>, LabError> {
    let fewest = usize::from(photos.iter().copied().min().unwrap_or(1)) + LEFT;
    // Views are made of the photos of people who may be enrolled. For fine-tuning, they are also made of each person's first
    // photo, which may be learnt from as a stranger's.
    let jobs: Vec<(usize, &PathBuf, bool)> = named
        .iter()
        .enumerate()
        .flat_map(|(i, n)| {
            let enrollable = n.photos.len() >= fewest;
            let photos = n
                .photos
                .iter()
                .take(if enrollable { MOST } else { usize::MAX });
            let fine_tune = plan.fine_tune;
            photos
                .enumerate()
                .map(move |(k, p)| (i, p, enrollable || fine_tune && k == 0))
        })
        .collect();
    let shots = each(
        readers,
        show,
        "reading photos",
        &jobs,
        |reader, (_, photo, enrollable)| shoot(reader, photo, *enrollable, plan),
    );
    let mut people: Vec<Candidate> = named
        .iter()
        .map(|_| Candidate { shots: Vec::new() })
        .collect();
    for ((i, ..), shot) in jobs.iter().zip(shots) {
        people[*i].shots.push(shot?);
    }
    Ok(people)
}

/// A seed that depends on the photo and not on its place in the folder, so that the same photo has the same views in every run.
pub fn seed_of(photo: &Path, seed: u64) -> u64 {
    let name = photo.file_name().unwrap_or_default().as_encoded_bytes();
    name.iter()
        .fold(seed, |s, b| crate::chance::bits(s, u64::from(*b)))
}

/// The face in the middle of a photo.
fn shoot(
    reader: &mut Reader,
    path: &Path,
    enrollable: bool,
    plan: &Plan,
) -> Result<Option<Shot>, LabError> {
    let photo = Photo::open(path)?;
    let image = photo.image();
    let subject = subject(reader.read(&image)?, image.layout()).copied();
    let Some((face, embedding)) = subject.and_then(|f| Some((f, f.embedding.ok()?))) else {
        return Ok(None);
    };
    let mut see = |image: &Image<'_>, landmarks: &Landmarks| -> Result<_, FaceError> {
        let embedding = reader.read_at(image, landmarks)?;
        let trunk = plan.fine_tune.then(|| reader.trunk()).flatten();
        let trunk = trunk.and_then(Trunk::of);
        Ok(embedding.map(|embedding| Seen { embedding, trunk }))
    };
    let mut seen = Seen {
        embedding,
        trunk: None,
    };
    if plan.fine_tune {
        seen = see(&image, &face.landmarks)?.unwrap_or(seen);
    }
    let mut shot = Shot {
        photo: path.to_owned(),
        landmarks: face.landmarks,
        tried: Some(seen.clone()),
        seen,
        views: Vec::new(),
    };
    if plan
        .turned
        .is_some_and(|least| face.quality.yaw.abs() < least)
    {
        shot.tried = None;
    }
    if enrollable {
        let mut sampler = Sampler::new(image.layout().width, 256);
        let cut = FaceCut::new(&image, &face.landmarks, &mut sampler).map_err(FaceError::from)?;
        if let Some(cut) = cut {
            let seed = seed_of(path, plan.seed);
            let views = if plan.fine_tune {
                plan.views.max(TUNING_VIEWS)
            } else {
                plan.views
            };
            for number in 0..views {
                let view = cut
                    .view(seed, number, plan.changes, &mut sampler)
                    .map_err(FaceError::from)?;
                shot.views.extend(see(&view.image()?, view.landmarks())?);
            }
            if let (Some(change), Some(_)) = (plan.degrade, &shot.tried) {
                let mut view = cut;
                view.change(change, &mut Chance::new(seed), &mut sampler)
                    .map_err(FaceError::from)?;
                shot.tried = see(&view.image()?, view.landmarks())?;
            }
        }
    }
    Ok(Some(shot))
}
