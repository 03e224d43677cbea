//! Reads the faces of a picture: the networks of a set, loaded, and the sampler that feeds them.
//!
//! Everything is allocated when the reader is loaded; [`Reader::read`] allocates nothing.

use std::path::PathBuf;

use super::detect::{Detection, Detector, whole_faces};
use super::embed::{Embedder, Embedding};
use super::geometry::Rect;
use super::landmarks::{CloserLook, Landmarks, Refiner};
use super::quality::{Gate, Quality, Unfit};
use super::stages::{Stage, Stages};
use super::{FaceError, MAX_FACES, plausible};
use crate::frame::{Image, JpegDecoder, PixelFormat, Sampler, Similarity};
use crate::nn::{EngineSettings, Manifest, ModelError, ModelFile, Network, NnError, Tensor};

/// MJPEG pictures are decoded at the smallest scale that still has this many pixels across and down, which is as many as
/// cameras without compression deliver.
const MJPEG_AT_LEAST: (u32, u32) = (640, 360);

/// The sides of the windows for second looks, as multiples of the box's side. In one the face is nearer and in one it is
/// farther than a face at the door in a whole frame.
const FRAMINGS: [f32; 2] = [2.5, 5.0];
/// The lowest mean score of all looks at a doubtful detection.
const HOLDS: f32 = 0.6;
/// A face in a second look is the same face if it overlaps the first box by at least this much.
const SAME_FACE: f32 = 0.4;
/// If more than this share of a detection's area is inside a face that was found at a smaller scale of a photo, the
/// detection shows that face or a part of it.
const KNOWN: f32 = 0.35;
/// The most doubtful detections of one pass that get a second look; the rest are dropped.
const LOOK_AGAIN: u32 = 4;
/// The most detections of one pass that get a closer look if a network decides which are faces, best first; the rest are
/// dropped.
const CLOSER_LOOKS: usize = 2 * MAX_FACES;

/// A face of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Face {
    /// The box from eyebrows to chin, in pixels of the picture.
    pub bbox: Rect,
    /// How certain the detector is, 0 to 1.
    pub score: f32,
    /// The eyes, the nose and the corners of the mouth.
    pub landmarks: Landmarks,
    /// Size, pose, sharpness.
    pub quality: Quality,
    /// The embedding by which the face is recognised, or why it is not worth recognising.
    pub embedding: Result<Embedding, Unfit>,
}

/// Settings of the reader.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The lowest quality of a face that is embedded.
    pub gate: Gate,
    /// The widest picture that is read without allocating, in pixels.
    pub max_width: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gate: Gate::default(),
            max_width: 1920,
        }
    }
}

/// Why a set of networks could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// A file is missing, or has other content.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file cannot be loaded or has another shape.
    #[error(transparent)]
    Network(#[from] NnError),
}

/// The networks of a set and the sampler that feeds them.
pub struct Reader {
    detector: Detector,
    /// `None` if the detector's own five points are used.
    refiner: Option<Refiner>,
    embedder: Embedder,
    sampler: Sampler,
    jpeg: JpegDecoder,
    settings: Settings,
    engine: String,
    picked: Vec<Detection>,
    faces: Vec<Face>,
    stages: Stages,
}

impl Reader {
    /// Verifies and loads the networks of `manifest`, whose files are in one of `folders`.
    ///
    /// # Errors
    /// [`ReaderError`], with the file, what is wrong with it and the fix.
    pub fn load(
        manifest: &Manifest,
        folders: &[PathBuf],
        engine: EngineSettings,
        settings: Settings,
    ) -> Result<Self, ReaderError> {
        let engine = engine.build();
        let open = |file: &str, sha256: &str, source: &str| {
            ModelFile::open(&ModelFile::find(file, folders)?, sha256, source)
        };
        let (d, l, e) = (&manifest.detector, &manifest.landmarks, manifest.embedder());
        let embedder = open(&e.file, &e.sha256, &e.source)?;
        let detector = open(&d.file, &d.sha256, &d.source)?;
        let direct = match &d.direct {
            Some(direct) => Some(open(&direct.file, &direct.sha256, &d.source)?),
            None => None,
        };
        let refiner = match l {
            Some(l) => {
                let file = open(&l.file, &l.sha256, &l.source)?;
                Some(Refiner::load(engine.as_ref(), &file, l)?)
            }
            None => None,
        };
        let inputs = [Some(&d.input), l.as_ref().map(|l| &l.input), Some(&e.input)];
        let sides = inputs.into_iter().flatten().map(|i| i.width.max(i.height));
        Ok(Self {
            detector: Detector::load(engine.as_ref(), &detector, direct.as_ref(), d)?,
            refiner,
            embedder: Embedder::load(engine.as_ref(), &embedder, e)?,
            sampler: Sampler::new(settings.max_width, sides.max().unwrap_or(0)),
            jpeg: JpegDecoder::new(),
            settings,
            engine: engine.describe(),
            picked: Vec::with_capacity(256),
            faces: Vec::with_capacity(MAX_FACES),
            stages: Stages::start(),
        })
    }

    /// The faces of a camera's frame, largest first, at most [`MAX_FACES`], found in one look at the whole frame. MJPEG is
    /// decoded first, which allocates memory for the first frame of a size. In that case boxes and landmarks are in pixels
    /// of the decoded picture.
    ///
    /// # Errors
    /// [`FaceError`] if the picture cannot be decoded or sampled or a network fails.
    pub fn read(&mut self, image: &Image<'_>) -> Result<&[Face], FaceError> {
        self.stages = Stages::start();
        if image.layout().format == PixelFormat::Mjpeg {
            // Taken out while its picture is read, because the picture borrows the decoder.
            let mut jpeg = std::mem::take(&mut self.jpeg);
            let decoded = jpeg.decode(image.bytes(), MJPEG_AT_LEAST);
            let read = match decoded {
                Ok(image) => self.read_pixels(&image),
                Err(e) => Err(e.into()),
            };
            self.jpeg = jpeg;
            read?;
        } else {
            self.read_pixels(image)?;
        }
        Ok(&self.faces)
    }

    fn read_pixels(&mut self, image: &Image<'_>) -> Result<(), FaceError> {
        let whole = self.detector.whole(image);
        self.picked.clear();
        self.look(image, &whole)?;
        self.describe(image)
    }

    /// The faces of a photo. It is searched from small scale to large: first the whole photo at half the scale that fits,
    /// for faces that fill the picture, then the whole photo at the largest scale that fits. Then follow overlapping parts
    /// of a half and a quarter of its longer side, while a part has at least 256 pixels per line. A larger scale only adds
    /// faces that the smaller scales did not show.
    ///
    /// # Errors
    /// [`FaceError`] if the picture cannot be sampled or a network fails.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "pixels of a picture of at most 16384"
    )]
    pub fn read_photo(&mut self, image: &Image<'_>) -> Result<&[Face], FaceError> {
        self.stages = Stages::start();
        let (width, height) = (image.layout().width as f32, image.layout().height as f32);
        self.picked.clear();
        for window in [
            self.detector.whole_smaller(image),
            self.detector.whole(image),
        ] {
            self.look_further(image, &window)?;
        }
        let (input, lines) = self.detector.input_size();
        for part in [0.5, 0.25] {
            let wide = part * width.max(height);
            let high = wide * lines as f32 / input as f32;
            if wide < 256.0 {
                break;
            }
            // Neighbours overlap by half, so that a face cut by one is complete in another.
            let steps =
                |length: f32, side: f32| ((2.0 * length / side).ceil() - 1.0).max(1.0) as u32;
            let place = |i: u32, n: u32, length: f32, side: f32| {
                if n < 2 {
                    0.5 * (length - side)
                } else {
                    (length - side) * i as f32 / (n - 1) as f32
                }
            };
            let (columns, rows) = (steps(width, wide), steps(height, high));
            for i in 0..columns * rows {
                let x = place(i % columns, columns, width, wide);
                let y = place(i / columns, rows, height, high);
                self.look_further(image, &Similarity::crop(x, y, x + wide, input))?;
            }
        }
        self.describe(image)?;
        Ok(&self.faces)
    }

    /// The embedding of the face that has these landmarks, whatever its quality; nothing is detected. `None` if the landmarks
    /// coincide or the network's output has no direction.
    ///
    /// # Errors
    /// [`FaceError`] if the picture cannot be sampled or the network fails.
    pub fn read_at(
        &mut self,
        image: &Image<'_>,
        landmarks: &Landmarks,
    ) -> Result<Option<Embedding>, FaceError> {
        let (sampler, stages) = (&mut self.sampler, &mut self.stages);
        match self.embedder.align(image, landmarks, sampler, stages)? {
            Some(_) => self.embedder.embed(stages),
            None => Ok(None),
        }
    }

    /// The output of the embedder's lower layers for the last embedded face, if the network has this output. The network's
    /// top layers can be trained on it.
    #[must_use]
    pub fn trunk(&self) -> Option<Tensor<'_>> {
        self.embedder.trunk()
    }

    /// The cost of reading the last picture.
    #[must_use]
    pub const fn stages(&self) -> &Stages {
        &self.stages
    }

    /// The checksum of the embedder. Embeddings of another network are not comparable.
    #[must_use]
    pub fn embedder_sha256(&self) -> &str {
        self.embedder.sha256()
    }

    /// Replaces the embedder by another one with the same input and returns the old one, which the caller frees.
    pub fn exchange(&mut self, embedder: Embedder) -> Embedder {
        std::mem::replace(&mut self.embedder, embedder)
    }

    /// Name, version and settings of the engine.
    #[must_use]
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// The networks by their roles in the manifest, so that each can be timed alone.
    pub fn networks(&mut self) -> Vec<(&'static str, &mut dyn Network)> {
        let mut networks = vec![("detector", self.detector.network())];
        networks.extend(self.refiner.as_mut().map(|r| ("landmarks", r.network())));
        networks.push(("embedder", self.embedder.network()));
        networks
    }

    /// Adds the plausible faces in a window to `picked`, best first.
    fn look(&mut self, image: &Image<'_>, window: &Similarity) -> Result<(), FaceError> {
        let before = self.picked.len();
        let found = self
            .detector
            .detect(image, window, &mut self.sampler, &mut self.stages)?;
        let room = self.picked.capacity() - before;
        self.picked
            .extend(found.iter().filter(|d| plausible::detection(d)).take(room));
        self.stages.lap(Stage::DetectDecode);
        if let Some(sure) = self.detector.sure() {
            // A part of a certain face needs no second look.
            whole_faces(&mut self.picked, before, sure);
            self.look_again(image, before, sure)?;
        } else if let Some(refiner) = self.refiner.as_mut() {
            let (sampler, stages) = (&mut self.sampler, &mut self.stages);
            self.picked.truncate(before + CLOSER_LOOKS);
            look_closer(&mut self.picked, before, |detection| {
                refiner.refine(image, detection, sampler, stages)
            })?;
            self.stages.lap(Stage::Rest);
        }
        // A doubtful whole face that has turned out to be a face also replaces its parts.
        whole_faces(&mut self.picked, before, 0.0);
        Ok(())
    }

    /// Keeps the detections in `picked[before..]` whose score is `sure` or more, or that are found again in other framings.
    fn look_again(&mut self, image: &Image<'_>, before: usize, sure: f32) -> Result<(), FaceError> {
        // The list is sorted, best first, so the doubtful detections are at the end.
        let mut again = 0;
        let mut i = before;
        while let Some(detection) = self.picked.get(i).copied() {
            if detection.score >= sure {
                i += 1;
                continue;
            }
            again += 1;
            if again <= LOOK_AGAIN && self.holds(image, &detection)? {
                i += 1;
            } else {
                self.picked.remove(i);
            }
        }
        Ok(())
    }

    /// Adds to `picked` the faces in a window that were not found at smaller scales. If a face is found again, the more
    /// certain detection stays.
    fn look_further(&mut self, image: &Image<'_>, window: &Similarity) -> Result<(), FaceError> {
        let before = self.picked.len();
        self.look(image, window)?;
        add_unknown(&mut self.picked, before, self.detector.overlap());
        Ok(())
    }

    /// Whether a doubtful detection is found again in other framings of it. A real face is found from near and far; what
    /// looks like a face by accident of position and scale is not.
    fn holds(&mut self, image: &Image<'_>, detection: &Detection) -> Result<bool, FaceError> {
        let (centre, bbox) = (detection.bbox.centre(), detection.bbox);
        let mut sum = detection.score;
        for framing in FRAMINGS {
            let side = framing * bbox.width.max(bbox.height);
            let (width, height) = self.detector.input_size();
            let down = side * height as f32 / width as f32;
            let (x, y) = (centre.x - 0.5 * side, centre.y - 0.5 * down);
            let window = Similarity::crop(x, y, x + side, width);
            self.stages.second_looks += 1;
            let found =
                self.detector
                    .detect(image, &window, &mut self.sampler, &mut self.stages)?;
            let same = found.iter().filter(|d| d.bbox.overlap(&bbox) > SAME_FACE);
            sum += same.map(|d| d.score).fold(0.0, f32::max);
        }
        Ok(sum / (1 + FRAMINGS.len()) as f32 >= HOLDS)
    }

    /// Turns `picked` into faces.
    fn describe(&mut self, image: &Image<'_>) -> Result<(), FaceError> {
        self.faces.clear();
        self.picked
            .sort_unstable_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
        for detection in &self.picked {
            if self.faces.len() == MAX_FACES {
                break;
            }
            let refined = match (detection.refined, &mut self.refiner) {
                (Some(points), _) => Some(points),
                (None, Some(refiner)) => {
                    let (sampler, stages) = (&mut self.sampler, &mut self.stages);
                    let look = refiner.refine(image, detection, sampler, stages)?;
                    plausible::refined(detection, &look.landmarks).then_some(look.landmarks)
                }
                (None, None) => detection.landmarks(),
            };
            let Some(landmarks) = refined else {
                continue;
            };
            let gate = &self.settings.gate;
            let mut quality = Quality::of(&landmarks);
            let mut embedding = gate.pose(&quality).map(|()| None);
            self.stages.lap(Stage::Rest);
            if embedding.is_ok() {
                let aligned =
                    self.embedder
                        .align(image, &landmarks, &mut self.sampler, &mut self.stages)?;
                quality.sharpness = aligned.unwrap_or(0.0);
                embedding = match gate.sharp(&quality) {
                    Ok(()) => Ok(self.embedder.embed(&mut self.stages)?),
                    Err(unfit) => Err(unfit),
                };
            }
            self.faces.push(Face {
                bbox: detection.bbox,
                score: detection.score,
                landmarks,
                quality,
                embedding: embedding.and_then(|e| e.ok_or(Unfit::Unreadable)),
            });
        }
        self.stages.lap(Stage::Rest);
        Ok(())
    }
}

/// Keeps the detections in `picked[before..]` that a closer look shows to be faces, with their points.
fn look_closer(
    picked: &mut Vec<Detection>,
    before: usize,
    mut look: impl FnMut(&Detection) -> Result<CloserLook, FaceError>,
) -> Result<(), FaceError> {
    let mut i = before;
    while let Some(detection) = picked.get_mut(i) {
        let seen = look(detection)?;
        if seen.is_face == Some(true) && plausible::refined(detection, &seen.landmarks) {
            detection.refined = Some(seen.landmarks);
            i += 1;
        } else {
            picked.remove(i);
        }
    }
    Ok(())
}

/// Removes from `picked[before..]` everything that `picked[..before]` already shows.
fn add_unknown(picked: &mut Vec<Detection>, before: usize, overlap: f32) {
    let mut i = before;
    while let Some(seen) = picked.get(i).copied() {
        let same = |d: &Detection| d.bbox.overlap(&seen.bbox) > overlap;
        let touches =
            |d: &Detection| seen.bbox.within(&d.bbox) > KNOWN || d.bbox.within(&seen.bbox) > KNOWN;
        let earlier = &mut picked[..before];
        if let Some(known) = earlier.iter_mut().find(|d| same(d)) {
            if seen.score > known.score {
                *known = seen;
            }
            picked.remove(i);
        } else if earlier.iter().any(touches) {
            picked.remove(i);
        } else {
            i += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::geometry::Point;

    fn square(x: f32, y: f32, side: f32, score: f32) -> Detection {
        Detection {
            bbox: Rect {
                x,
                y,
                width: side,
                height: side,
            },
            score,
            points: [Point::default(); 4],
            corners: None,
            refined: None,
        }
    }

    fn sides(picked: &[Detection]) -> Vec<f32> {
        picked.iter().map(|d| d.bbox.width).collect()
    }

    #[test]
    fn a_larger_scale_adds_only_faces_that_smaller_ones_did_not_show() {
        let face = square(100.0, 100.0, 400.0, 0.6);
        // An eye, half of a face as cut by a part of the photo, a poster whose detection includes the face, and a passer-by.
        let eye = square(180.0, 180.0, 80.0, 0.99);
        let half = square(320.0, 90.0, 360.0, 0.9);
        let poster = square(0.0, 0.0, 800.0, 0.9);
        let passer_by = square(700.0, 300.0, 60.0, 0.7);
        let mut picked = vec![face, eye, half, poster, passer_by];
        add_unknown(&mut picked, 1, 0.4);
        assert_eq!(sides(&picked), [400.0, 60.0]);
    }

    #[test]
    fn the_more_certain_box_of_a_face_seen_at_two_scales_stays() {
        for (first, second, width) in [(0.6, 0.9, 110.0), (0.9, 0.6, 100.0)] {
            let mut picked = vec![
                square(0.0, 0.0, 100.0, first),
                square(2.0, 0.0, 110.0, second),
            ];
            add_unknown(&mut picked, 1, 0.4);
            assert_eq!(sides(&picked), [width]);
        }
    }

    #[test]
    fn a_closer_look_keeps_faces_and_earlier_detections() {
        let of = |width: f32| {
            let mut d = square(0.0, 0.0, width, 0.9);
            let point = |x, y| Point {
                x: x * width,
                y: y * width,
            };
            d.points = [
                point(0.3, 0.4),
                point(0.7, 0.4),
                point(0.5, 0.6),
                point(0.5, 0.8),
            ];
            d
        };
        let landmarks = |width: f32| {
            [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)].map(|(x, y)| Point {
                x: x * width,
                y: y * width,
            })
        };
        // A detection from a smaller scale, a face, no face, a network that does not decide, and points that do not belong
        // to a face.
        let mut picked = [10.0, 20.0, 30.0, 40.0, 50.0].map(of).to_vec();
        look_closer(&mut picked, 1, |d| {
            let width = d.bbox.width;
            Ok(CloserLook {
                landmarks: if width == 50.0 {
                    [Point::default(); 5]
                } else {
                    landmarks(width)
                },
                is_face: (width != 40.0).then_some(width != 30.0),
            })
        })
        .unwrap();
        assert_eq!(sides(&picked), [10.0, 20.0]);
        assert!(picked[0].refined.is_none());
        assert_eq!(picked[1].refined.map(|p| p[1].x), Some(14.0));
        // An error ends the loop.
        let failed = look_closer(&mut picked, 0, |_| {
            Err(crate::frame::JpegError::Broken(String::new()).into())
        });
        assert!(failed.is_err());
    }
}
