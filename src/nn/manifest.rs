//! A model set: its files, their checksums, and everything about a network that its file does not contain. Manifests are
//! TOML files, one per set. Those in the folder `models` are also built into the program.
//!
//! This module knows the fields of a manifest, not what a face is: it only carries thresholds and templates.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::frame::{Channels, Encoding};

/// The sets built into the program: name and text.
const BUILT_IN: [(&str, &str); 2] = [
    ("latchkey", include_str!("../../models/latchkey.toml")),
    ("reference", include_str!("../../models/reference.toml")),
];

/// A model set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the set.
    pub name: String,
    /// The content of the set, in one line.
    pub summary: String,
    /// The embedder that is used unless another is selected; a key of `embedders`.
    pub embedder: String,
    /// The network that finds faces.
    pub detector: DetectorManifest,
    /// The network that refines the five points of a face; absent if the detector's own points are used.
    pub landmarks: Option<LandmarksManifest>,
    /// The networks that turn an aligned face into an embedding; one of them is in use.
    pub embedders: BTreeMap<String, EmbedderManifest>,
}

/// The content of the input tensor.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InputManifest {
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// The number of neighbouring pixels of a line that the tensor counts as channels. The memory is the same, only the
    /// shape differs.
    #[serde(default = "one")]
    pub across: u32,
    /// The order of the channels.
    pub channels: Channels,
    /// The value per channel that is subtracted from the raw value of 0 to 255.
    pub mean: [f32; 3],
    /// The factor per channel that the difference is multiplied by.
    pub scale: [f32; 3],
}

impl InputManifest {
    /// How the sampler writes the input.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        Encoding {
            channels: self.channels,
            mean: self.mean,
            scale: self.scale,
        }
    }

    /// The shape of the tensor.
    #[must_use]
    pub const fn shape(&self) -> [usize; 4] {
        let across = self.across as usize;
        let channels = self.channels.count() * across;
        [
            1,
            self.height as usize,
            self.width as usize / across,
            channels,
        ]
    }
}

const fn one() -> u32 {
    1
}

/// A face detector.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorManifest {
    /// How its outputs are read.
    pub family: DetectorFamily,
    /// The same network for luma as it is in a camera's memory; absent if there is no such network.
    pub direct: Option<DirectManifest>,
    /// Path of the file inside the folder of model files.
    pub file: String,
    /// Checksum of the file.
    pub sha256: String,
    /// Licence of the weights.
    pub licence: String,
    /// Where the file comes from.
    pub source: String,
    /// The network's input.
    pub input: InputManifest,
    /// The lowest score at which a detection counts as a face, 0 to 1.
    pub threshold: f32,
    /// A face with a lower score than this gets a second look, from nearer and farther. Required if `landmarks.face` is not
    /// set, and refused if it is set.
    pub sure: Option<f32>,
    /// Boxes that overlap more than this (intersection over union) show the same face.
    pub overlap: f32,
}

/// A detector whose input tensor is a camera's bytes. It has the same outputs as the detector that it replaces.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DirectManifest {
    /// Path of the file inside the folder of model files.
    pub file: String,
    /// Checksum of the file.
    pub sha256: String,
}

/// How a detector's outputs are read.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum DetectorFamily {
    /// For each anchor, a box and six points relative to it, and a logit.
    BlazeFace {
        /// Where the anchors are.
        anchors: AnchorsManifest,
    },
    /// A box, five points and a logit for every cell of some grids.
    Grid {
        /// The side of a cell in pixels of the input, for each grid. A cell of the first grid also covers its four quarters.
        strides: Vec<u32>,
    },
}

/// Anchors at the centres of the cells, with one grid for each layer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorsManifest {
    /// The side of a cell in pixels of the input, for each layer.
    pub strides: Vec<u32>,
    /// Anchors in a cell of a layer.
    pub per_cell: u32,
}

/// A network that refines the five points of a face, and may decide whether it is a face.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LandmarksManifest {
    /// Path of the file inside the folder of model files.
    pub file: String,
    /// Checksum of the file.
    pub sha256: String,
    /// Licence of the weights.
    pub licence: String,
    /// Where the file comes from.
    pub source: String,
    /// The network's input.
    pub input: InputManifest,
    /// The side of the network's crop divided by the side of the detector's box.
    pub crop: f32,
    /// The lowest score of a face, between 0 and 1, if the network's second output is the logit of a face. In that case all
    /// detections get this closer look, and no second look by the detector.
    pub face: Option<f32>,
}

/// The most numbers that an embedding has.
pub const MAX_DIMENSIONS: usize = 512;

/// A network that turns an aligned face into an embedding.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderManifest {
    /// Path of the file inside the folder of model files.
    pub file: String,
    /// Checksum of the file.
    pub sha256: String,
    /// Licence of the weights.
    pub licence: String,
    /// Where the file comes from.
    pub source: String,
    /// The network's input.
    pub input: InputManifest,
    /// Numbers in an embedding.
    pub dimensions: usize,
    /// Where the five points must be in an aligned face, in fractions of the input.
    pub template: Align,
    /// The lowest cosine at which two faces count as the same person.
    pub threshold: f32,
    /// The smallest lead that the best person's cosine must have over the next best person's.
    pub margin: f32,
    /// This network's embeddings of people who live elsewhere; absent if there are none.
    pub strangers: Option<StrangersManifest>,
}

/// A bank of strangers: embeddings made by the embedder under which the bank is listed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StrangersManifest {
    /// Path of the file inside the folder of model files.
    pub file: String,
    /// Checksum of the file.
    pub sha256: String,
    /// Checksum of the embedder that made it.
    pub embedder: String,
    /// Where the file comes from.
    pub source: String,
    /// The number of people in the bank, with one embedding each: 1 to 20,000. With this limit, comparing a gallery of a
    /// hundred people with them takes seconds.
    pub people: usize,
}

/// Five points (eyes, nose, corners of the mouth, each left to right as seen), fractions of the input.
pub type Align = [[f32; 2]; 5];

/// Which set and which of its embedders: `SET` or `SET:EMBEDDER`, SET being a built-in name or the path
/// of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Name or path of the manifest.
    pub set: String,
    /// The embedder, if it is not the manifest's choice.
    pub embedder: Option<String>,
}

impl std::str::FromStr for Selection {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.rsplit_once(':') {
            Some((set, embedder)) => Self {
                set: set.to_owned(),
                embedder: Some(embedder.to_owned()),
            },
            None => Self {
                set: text.to_owned(),
                embedder: None,
            },
        })
    }
}

/// Why there is no manifest to use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The set is neither built in nor a file.
    #[error(
        "model set {set:?}: neither built in ({}) nor a file; give one of these names or the path of a manifest",
        BUILT_IN.map(|(name, _)| name).join(", ")
    )]
    Unknown {
        /// The name that was given.
        set: String,
    },
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The manifest.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not TOML, or does not have the fields of a manifest.
    #[error("{path}: {why}")]
    Syntax {
        /// The manifest.
        path: String,
        /// Line, column and what is wrong.
        why: String,
    },
    /// An invalid value.
    #[error("{path}: {key} = {value}: {fix}")]
    Value {
        /// The manifest.
        path: String,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What the value must be.
        fix: String,
    },
}

impl Manifest {
    /// Loads the manifest that `selection` names, and selects its embedder.
    ///
    /// # Errors
    /// [`ManifestError`] if the manifest does not exist or is invalid, with file, key and fix.
    pub fn load(selection: &Selection) -> Result<Self, ManifestError> {
        let set = &selection.set;
        let (path, text) = match BUILT_IN.iter().find(|(name, _)| name == set) {
            Some((name, text)) => (format!("models/{name}.toml"), (*text).to_owned()),
            None if Path::new(set).exists() || set.contains('/') || set.ends_with(".toml") => {
                let bytes = std::fs::read(set).map_err(|source| ManifestError::Unreadable {
                    path: set.clone(),
                    source: crate::fault::of_path(source, Path::new(set)),
                })?;
                let text = crate::text::decode(&bytes).map_err(|e| ManifestError::Syntax {
                    path: set.clone(),
                    why: e.to_string(),
                })?;
                (
                    set.clone(),
                    text.text.replace("\r\n", "\n").replace('\r', "\n"),
                )
            }
            None => return Err(ManifestError::Unknown { set: set.clone() }),
        };
        let mut manifest: Self = toml::from_str(&text).map_err(|e| ManifestError::Syntax {
            path: path.clone(),
            why: crate::text::toml_error(&text, &e),
        })?;
        if let Some(embedder) = &selection.embedder {
            manifest.embedder.clone_from(embedder);
        }
        manifest.check(&path)?;
        Ok(manifest)
    }

    /// The embedder in use.
    ///
    /// # Panics
    /// Never for a manifest that [`Manifest::load`] returned: it checks that the embedder exists.
    #[must_use]
    pub fn embedder(&self) -> &EmbedderManifest {
        &self.embedders[&self.embedder]
    }

    /// Every file of the set with its checksum, as role, path, sha256 and source.
    #[must_use]
    pub fn files(&self) -> Vec<(&str, &str, &str, &str)> {
        let d = &self.detector;
        let mut files = vec![("detector", &*d.file, &*d.sha256, &*d.source)];
        if let Some(direct) = &d.direct {
            files.push((
                "detector.direct",
                &*direct.file,
                &*direct.sha256,
                &*d.source,
            ));
        }
        if let Some(l) = &self.landmarks {
            files.push(("landmarks", &*l.file, &*l.sha256, &*l.source));
        }
        for (name, e) in &self.embedders {
            files.push((name, &e.file, &e.sha256, &e.source));
            if let Some(s) = &e.strangers {
                files.push(("strangers", &s.file, &s.sha256, &s.source));
            }
        }
        files
    }

    fn check(&self, path: &str) -> Result<(), ManifestError> {
        let wrong = |key: &str, value: String, fix: &str| {
            Err(ManifestError::Value {
                path: path.to_owned(),
                key: key.to_owned(),
                value,
                fix: fix.to_owned(),
            })
        };
        if !self.embedders.contains_key(&self.embedder) {
            let names: Vec<_> = self.embedders.keys().map(String::as_str).collect();
            return wrong(
                "embedder",
                format!("{:?}", self.embedder),
                &format!("the set has {}", names.join(", ")),
            );
        }
        for (role, _, sha256, _) in self.files() {
            if sha256.len() != 64
                || !sha256
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            {
                return wrong(
                    &format!("{role}: sha256"),
                    format!("{sha256:?}"),
                    "64 lower-case hexadecimal digits, as sha256sum prints them",
                );
            }
        }
        let mut inputs = vec![("detector".to_owned(), &self.detector.input)];
        if let Some(l) = &self.landmarks {
            inputs.push(("landmarks".to_owned(), &l.input));
        }
        inputs.extend(self.embedders.iter().map(|(n, e)| (n.clone(), &e.input)));
        for (role, input) in inputs {
            let side = 16..=1024;
            if !side.contains(&input.width) || !side.contains(&input.height) {
                return wrong(
                    &format!("{role}: input"),
                    format!("{}x{}", input.width, input.height),
                    "each side must be 16 to 1024 pixels",
                );
            }
            if input.across == 0 || !input.width.is_multiple_of(input.across) {
                return wrong(
                    &format!("{role}: input.across"),
                    input.across.to_string(),
                    "must divide the width",
                );
            }
            if input
                .mean
                .iter()
                .chain(&input.scale)
                .any(|v| !v.is_finite())
            {
                return wrong(
                    &format!("{role}: input"),
                    "not a number".into(),
                    "finite numbers",
                );
            }
        }
        let d = &self.detector;
        let face = self.landmarks.as_ref().and_then(|l| l.face);
        for (key, value) in [
            ("detector.threshold", Some(d.threshold)),
            ("detector.sure", d.sure),
            ("detector.overlap", Some(d.overlap)),
            ("landmarks.face", face),
        ] {
            if let Some(value) = value
                && !(value > 0.0 && value < 1.0)
            {
                return wrong(key, value.to_string(), "must lie between 0 and 1");
            }
        }
        match (d.sure, face) {
            (Some(sure), Some(_)) => {
                return wrong(
                    "detector.sure",
                    sure.to_string(),
                    "has no effect beside landmarks.face: leave it out",
                );
            }
            (None, None) => {
                return wrong(
                    "detector.sure",
                    "nothing".into(),
                    "must lie between 0 and 1 where landmarks.face is not set",
                );
            }
            _ => {}
        }
        let strides = match &d.family {
            DetectorFamily::BlazeFace { anchors } => {
                if !(1..=16).contains(&anchors.per_cell) {
                    let per_cell = anchors.per_cell.to_string();
                    return wrong(
                        "detector.family.blazeface.anchors.per_cell",
                        per_cell,
                        "must be 1 to 16",
                    );
                }
                &anchors.strides
            }
            DetectorFamily::Grid { strides } => strides,
        };
        if strides.is_empty() || strides.iter().any(|s| *s == 0 || *s > d.input.width) {
            return wrong(
                "detector.family: strides",
                format!("{strides:?}"),
                "one or more, each 1 to the width of the input",
            );
        }
        match (&self.landmarks, &d.family) {
            (Some(l), _) if !(l.crop >= 0.5 && l.crop <= 3.0) => {
                return wrong("landmarks.crop", l.crop.to_string(), "must be 0.5 to 3");
            }
            (None, DetectorFamily::BlazeFace { .. }) => {
                return wrong(
                    "landmarks",
                    "nothing".into(),
                    "this detector does not give the corners of the mouth",
                );
            }
            _ => {}
        }
        for (name, e) in &self.embedders {
            if !(1..=MAX_DIMENSIONS).contains(&e.dimensions) {
                return wrong(
                    &format!("embedders.{name}.dimensions"),
                    e.dimensions.to_string(),
                    &format!("must be 1 to {}", MAX_DIMENSIONS),
                );
            }
            if let Some(s) = &e.strangers
                && s.embedder != e.sha256
            {
                return wrong(
                    &format!("embedders.{name}.strangers.embedder"),
                    format!("{:?}", s.embedder),
                    "the strangers are of another embedder, to which they look different: make them again with `scripts/train bank`",
                );
            }
            if let Some(s) = &e.strangers
                && !(1..=20_000).contains(&s.people)
            {
                return wrong(
                    &format!("embedders.{name}.strangers.people"),
                    s.people.to_string(),
                    "must be 1 to 20,000",
                );
            }
            let within = |v: f32| (0.0..1.0).contains(&v);
            if e.threshold == 0.0 || !within(e.threshold) || !within(e.margin) {
                return wrong(
                    &format!("embedders.{name}.threshold/margin"),
                    format!("{}/{}", e.threshold, e.margin),
                    "must lie between 0 and 1",
                );
            }
            if e.template
                .iter()
                .flatten()
                .any(|v| !(0.0..=1.0).contains(v))
            {
                return wrong(
                    &format!("embedders.{name}.template"),
                    format!("{:?}", e.template),
                    "fractions of the input, 0 to 1",
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_sets_are_sound() {
        for (name, _) in BUILT_IN {
            let manifest = Manifest::load(&name.parse().unwrap()).unwrap();
            assert_eq!(manifest.name, name);
            for embedder in manifest.embedders.keys() {
                let selection = format!("{name}:{embedder}").parse().unwrap();
                assert_eq!(&Manifest::load(&selection).unwrap().embedder, embedder);
            }
        }
    }

    #[test]
    fn an_unknown_embedder_is_reported_with_the_known_ones() {
        let error = Manifest::load(&"reference:facenet".parse().unwrap()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("\"facenet\"") && text.contains("mobilefacenet"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_set_is_reported_with_the_known_ones() {
        let error = Manifest::load(&"refrence".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("\"refrence\""));
        assert!(error.to_string().contains("reference"));
    }

    #[test]
    fn invalid_values_are_named_with_their_key() {
        let (_, set) = BUILT_IN[0];
        let strangers = |embedder: &str, people: i64| {
            let text = format!(
                "file = 'a.i8'\nsha256 = '{}'\nembedder = '{embedder}'\nsource = 'here'\npeople = {people}",
                "0".repeat(64)
            );
            toml::Value::Table(toml::from_str(&text).unwrap())
        };
        let own = Manifest::load(&"latchkey".parse().unwrap()).unwrap();
        let own = &own.embedder().sha256;
        for (path, value) in [
            ("landmarks.face", 1.5.into()),
            ("detector.sure", 0.5.into()),
            ("detector.overlap", 0.0.into()),
            ("embedders.latchkey.strangers", strangers(own, 0)),
            (
                "embedders.latchkey.strangers",
                strangers(&"1".repeat(64), 5000),
            ),
        ] {
            let mut changed: toml::Value = toml::from_str(set).unwrap();
            let (table, key) = path.rsplit_once('.').unwrap();
            let mut at = &mut changed;
            for part in table.split('.') {
                at = at.get_mut(part).unwrap();
            }
            at.as_table_mut().unwrap().insert(key.to_owned(), value);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, toml::to_string(&changed).unwrap()).unwrap();
            let name = file.path().to_str().unwrap().parse().unwrap();
            let error = Manifest::load(&name).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }

    #[test]
    fn one_network_decides_what_is_a_face() {
        let (_, set) = BUILT_IN[0];
        let neither = set.replace("\nface = ", "\n# face = ");
        assert_ne!(neither, set);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, neither).unwrap();
        let name = file.path().to_str().unwrap().parse().unwrap();
        let error = Manifest::load(&name).unwrap_err().to_string();
        assert!(
            error.contains("detector.sure") && error.contains("landmarks.face"),
            "{error}"
        );
    }
}
