//! Finds faces: runs the detector on a window of the picture, and reads boxes and points from its output.
//!
//! Each family has its own code for reading the output: [`anchors`] for BlazeFace, [`grid`] for ours. This module judges
//! neither whether a box is plausible as a face ([`super::plausible`]) nor how good the face is.

mod anchors;
mod grid;
mod suppress;

use super::geometry::{Point, Rect};
use super::landmarks::Landmarks;
use super::{FaceError, Stage, Stages};
use crate::frame::{Image, Sampler, Similarity};
use crate::nn::{
    DetectorFamily, DetectorManifest, Engine, InputManifest, ModelFile, Network, NnError,
};
pub use suppress::{suppress, whole_faces};

/// Points of a detection.
pub mod point {
    /// The eye to the left in the picture.
    pub const EYE_LEFT: usize = 0;
    /// The eye to the right in the picture.
    pub const EYE_RIGHT: usize = 1;
    /// Tip of the nose.
    pub const NOSE: usize = 2;
    /// Middle of the mouth.
    pub const MOUTH: usize = 3;
}

/// A face as the detector sees it.
#[derive(Clone, Copy, Debug)]
pub struct Detection {
    /// The box from eyebrows to chin, in pixels of the picture.
    pub bbox: Rect,
    /// The detector's score, 0 to 1.
    pub score: f32,
    /// Eyes left and right as seen, nose, middle of the mouth; pixels of the picture.
    pub points: [Point; 4],
    /// The corners of the mouth, left and right as seen, if the detector finds them.
    pub corners: Option<[Point; 2]>,
    /// The five points from a closer look, if that has shown a face.
    pub refined: Option<Landmarks>,
}

impl Detection {
    /// The five points, if the detector finds all of them.
    #[must_use]
    pub fn landmarks(&self) -> Option<Landmarks> {
        let [left, right, nose, _] = self.points;
        self.corners.map(|[l, r]| [left, right, nose, l, r])
    }
}

/// How the output is read.
enum Family {
    Anchors(anchors::Anchors),
    Grid(grid::Grid),
}

/// A detector that has been loaded.
pub struct Detector {
    network: Box<dyn Network>,
    /// The same network for luma that is read directly in the camera's memory.
    direct: Option<Box<dyn Network>>,
    manifest: DetectorManifest,
    family: Family,
    /// The candidates above the threshold. The memory is kept and reused.
    candidates: Vec<Detection>,
    found: Vec<Detection>,
}

impl Detector {
    /// Loads the detector, and compares its tensors with the manifest. `direct` is loaded too; it replaces the detector if a
    /// camera's memory has the form that `direct` takes.
    ///
    /// # Errors
    /// [`NnError`] if the engine refuses a network or its shape differs from the manifest.
    pub fn load(
        engine: &dyn Engine,
        model: &ModelFile,
        direct: Option<&ModelFile>,
        manifest: &DetectorManifest,
    ) -> Result<Self, NnError> {
        let network = engine.load(model)?;
        super::expect_input(model, network.as_ref(), &manifest.input.shape())?;
        let direct = match direct {
            Some(file) => Some(stand_in(engine, file, network.as_ref())?),
            None => None,
        };
        let (family, most) = match &manifest.family {
            DetectorFamily::BlazeFace { anchors } => {
                let a = anchors::Anchors::new(model, network.as_ref(), anchors, &manifest.input)?;
                let most = a.count();
                (Family::Anchors(a), most)
            }
            DetectorFamily::Grid { strides } => {
                let g = grid::Grid::new(model, network.as_ref(), strides, &manifest.input)?;
                let most = g.answers();
                (Family::Grid(g), most)
            }
        };
        Ok(Self {
            candidates: Vec::with_capacity(most),
            found: Vec::with_capacity(most),
            network,
            direct,
            manifest: manifest.clone(),
            family,
        })
    }

    /// Faces in the part of `image` that `window` maps the input to, best first. Parts of faces may be among them
    /// (`whole_faces`). To look at the whole picture, pass [`Detector::whole`].
    ///
    /// # Errors
    /// [`FaceError`] if the picture cannot be sampled or the network fails.
    pub fn detect(
        &mut self,
        image: &Image<'_>,
        window: &Similarity,
        sampler: &mut Sampler,
        stages: &mut Stages,
    ) -> Result<&[Detection], FaceError> {
        let network = match in_place(self.direct.as_mut(), &self.manifest.input, image, window) {
            Some((direct, luma)) => {
                direct.invoke_on(luma)?;
                direct
            }
            None => {
                let mut target = super::target(self.network.as_mut(), &self.manifest.input);
                let sampled = sampler.sample(image, window, &mut target)?;
                stages.sampled += sampled;
                stages.detect_sampled += sampled;
                stages.lap(Stage::DetectSample);
                self.network.invoke()?;
                &mut self.network
            }
        };
        stages.lap(Stage::DetectInvoke);
        self.candidates.clear();
        let (network, out) = (network.as_ref(), &mut self.candidates);
        match &self.family {
            Family::Anchors(a) => a.read(network, self.manifest.threshold, window, out),
            Family::Grid(g) => g.read(network, self.manifest.threshold, window, out),
        }
        suppress(&mut self.candidates, &mut self.found, self.manifest.overlap);
        stages.lap(Stage::DetectDecode);
        Ok(&self.found)
    }

    /// The window that shows the whole picture, letterboxed.
    #[must_use]
    pub fn whole(&self, image: &Image<'_>) -> Similarity {
        let (layout, input) = (image.layout(), &self.manifest.input);
        Similarity::letterbox((layout.width, layout.height), (input.width, input.height))
    }

    /// The window that shows the whole picture at half the scale of [`Detector::whole`]. At this scale, a face that fills
    /// the picture has a usual size.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sides of a small picture")]
    pub fn whole_smaller(&self, image: &Image<'_>) -> Similarity {
        let (window, input) = (self.whole(image), &self.manifest.input);
        Similarity {
            a: 2.0 * window.a,
            b: 0.0,
            tx: window.tx - 0.5 * window.a * input.width as f32,
            ty: window.ty - 0.5 * window.a * input.height as f32,
        }
    }

    /// The width and height of the input in pixels, for windows on parts of a picture.
    #[must_use]
    pub const fn input_size(&self) -> (u32, u32) {
        (self.manifest.input.width, self.manifest.input.height)
    }

    /// Boxes that overlap more than this show the same face.
    #[must_use]
    pub const fn overlap(&self) -> f32 {
        self.manifest.overlap
    }

    /// Detections with a lower score are doubtful. `None` if another network decides which detections are faces.
    #[must_use]
    pub const fn sure(&self) -> Option<f32> {
        self.manifest.sure
    }

    /// The network, to time it alone.
    pub fn network(&mut self) -> &mut dyn Network {
        self.network.as_mut()
    }
}

/// Loads the detector that reads a camera's memory. Except for the type of its input, it must be like `network`.
fn stand_in(
    engine: &dyn Engine,
    model: &ModelFile,
    network: &dyn Network,
) -> Result<Box<dyn Network>, NnError> {
    let direct = engine.load(model)?;
    super::expect_input(model, direct.as_ref(), &network.input().shape)?;
    if direct.outputs() == network.outputs() {
        return Ok(direct);
    }
    Err(NnError::Shape {
        model: model.name(),
        what: "what it answers".into(),
        got: format!("{:?}", direct.outputs()),
        want: format!("{:?}", network.outputs()),
    })
}

/// The network and the memory to run it on, if the picture as it is in memory is an input that the network takes.
fn in_place<'n, 'i>(
    direct: Option<&'n mut Box<dyn Network>>,
    input: &InputManifest,
    image: &Image<'i>,
    window: &Similarity,
) -> Option<(&'n mut Box<dyn Network>, &'i [u8])> {
    let (direct, layout) = (direct?, image.layout());
    let whole = *window == Similarity::IDENTITY
        && (layout.width, layout.height) == (input.width, input.height);
    let luma = image.luma_in_place().filter(|_| whole)?;
    direct.fits(luma).then_some((direct, luma))
}

/// The index of the output with the shape `shape`. `what` names it in the error.
fn output(
    model: &ModelFile,
    network: &dyn Network,
    what: &str,
    shape: &[usize],
) -> Result<usize, NnError> {
    let outputs = network.outputs();
    let place = outputs.iter().position(|spec| spec.shape == shape);
    place.ok_or_else(|| NnError::Shape {
        model: model.name(),
        what: format!("no output for {what}: the outputs"),
        got: format!("{:?}", outputs.iter().map(|o| &o.shape).collect::<Vec<_>>()),
        want: format!("{shape:?}"),
    })
}

/// The logit of a score.
fn logit(score: f32) -> f32 {
    (score / (1.0 - score)).ln()
}

/// A detection from the numbers of a network; `None` unless they describe a place and a size. `middle`, `size` and `points`
/// are in pixels of the input.
fn detection(
    logit: f32,
    middle: Point,
    size: [f32; 2],
    points: [Point; 4],
    corners: Option<[Point; 2]>,
    window: &Similarity,
) -> Option<Detection> {
    let place = |p: Point| {
        let (x, y) = window.apply(p.x, p.y);
        Point { x, y }
    };
    let (centre, [width, height]) = (place(middle), size.map(|s| s * window.scale()));
    let sound = [centre.x, centre.y, width, height]
        .iter()
        .all(|v| v.is_finite());
    (sound && width > 0.0 && height > 0.0).then(|| Detection {
        bbox: Rect {
            x: centre.x - 0.5 * width,
            y: centre.y - 0.5 * height,
            width,
            height,
        },
        score: 1.0 / (1.0 + (-logit).exp()),
        points: points.map(place),
        corners: corners.map(|c| c.map(place)),
        refined: None,
    })
}
