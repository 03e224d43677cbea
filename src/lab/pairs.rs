//! Embeds every picture of a file of pairs once, and judges the cosines of the pairs. The file and the arithmetic are in
//! `protocol`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use super::protocol::{Judgement, Pair, Picture, Rates};
use super::protocol::{judge, parse, rates};
use super::{LabError, subject};
use crate::capture::Photo;
use crate::face::{Embedding, Reader};

/// Pairs, and the files of their pictures.
pub struct Album {
    pairs: Vec<Pair>,
    /// Each picture once, with its file.
    files: Vec<(Picture, PathBuf)>,
}

/// The results of a model set for the pairs.
pub struct Measured {
    /// The pairs, each with its cosine.
    pub pairs: Vec<(Pair, f32)>,
    pub folds: usize,
    pub pictures: usize,
    /// Pictures in which no face was found.
    pub undetected: Vec<Picture>,
    pub judged: Judgement,
    /// The error rates at the threshold in use.
    pub rates: Rates,
}

impl Album {
    /// Reads the file of pairs, and finds the pictures in `images`.
    pub fn open(file: &Path, images: &Path) -> Result<Self, LabError> {
        let text = std::fs::read_to_string(file).map_err(|source| LabError::NoPairs {
            file: file.to_owned(),
            source,
        })?;
        let pairs = parse(&text).map_err(|why| LabError::WrongPairs {
            file: file.to_owned(),
            why,
        })?;
        if !images.is_dir() {
            return Err(LabError::NoImages(images.to_owned()));
        }
        let mut files: BTreeMap<&Picture, PathBuf> = BTreeMap::new();
        for picture in pairs.iter().flat_map(|p| [&p.first, &p.second]) {
            files.insert(picture, find(images, picture)?);
        }
        let files = files.into_iter().map(|(p, file)| (p.clone(), file));
        Ok(Self {
            files: files.collect(),
            pairs,
        })
    }

    /// Embeds every picture, shared out among `readers`, and judges the pairs by the protocol and at `threshold`.
    pub fn measure(self, readers: Vec<Reader>, threshold: f32) -> Result<Measured, LabError> {
        let Self { pairs, files } = self;
        let embeddings = embed_all(&files, readers)?;
        // A face that was not found is not the same person's, so the pair gets the lowest possible score.
        let scores: Vec<f32> = pairs
            .iter()
            .map(|p| match (&embeddings[&p.first], &embeddings[&p.second]) {
                (Some(a), Some(b)) => a.cosine(b.values()),
                _ => -1.0,
            })
            .collect();
        let undetected = embeddings.iter().filter(|(_, e)| e.is_none());
        Ok(Measured {
            folds: pairs.iter().map(|p| p.fold + 1).max().unwrap_or(0),
            pictures: files.len(),
            undetected: undetected.map(|(p, _)| (*p).clone()).collect(),
            judged: judge(&pairs, &scores),
            rates: rates(&pairs, &scores, threshold),
            pairs: pairs.into_iter().zip(scores).collect(),
        })
    }
}

fn embed_all(
    files: &[(Picture, PathBuf)],
    readers: Vec<Reader>,
) -> Result<BTreeMap<&Picture, Option<Embedding>>, LabError> {
    let share = files.len().div_ceil(readers.len()).max(1);
    let embedded: Vec<Result<Vec<Option<Embedding>>, LabError>> = std::thread::scope(|scope| {
        let handles: Vec<_> = files
            .chunks(share)
            .zip(readers)
            .map(|(files, mut reader)| {
                scope.spawn(move || files.iter().map(|(_, f)| embed(&mut reader, f)).collect())
            })
            .collect();
        handles
            .into_iter()
            .map(|h| {
                h.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let mut embeddings = BTreeMap::new();
    let mut all = files.iter();
    for part in embedded {
        for (embedding, (picture, _)) in part?.into_iter().zip(all.by_ref()) {
            embeddings.insert(picture, embedding);
        }
    }
    Ok(embeddings)
}

fn find(images: &Path, picture: &Picture) -> Result<PathBuf, LabError> {
    let Picture { name, number } = picture;
    let stem = images.join(name).join(format!("{name}_{number:04}"));
    ["jpg", "jpeg", "png"]
        .into_iter()
        .map(|extension| stem.with_added_extension(extension))
        .find(|path| path.is_file())
        .ok_or(LabError::NoPicture(stem))
}

fn embed(reader: &mut Reader, file: &Path) -> Result<Option<Embedding>, LabError> {
    let photo = Photo::open(file)?;
    let image = photo.image();
    let faces = reader.read(&image)?;
    Ok(subject(faces, image.layout()).and_then(|face| face.embedding.ok()))
}
