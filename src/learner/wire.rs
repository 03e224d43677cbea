//! Requests to the learner and its responses: messages of bounded length, each checked before it is trusted.
//!
//! A frame is a length (4 bytes, little-endian), and then that number of bytes in postcard's encoding. The learner has read
//! photos that may come from anyone, so its responses are not trusted. Numbers must be finite, embeddings must have length 1 and
//! the expected number of dimensions, places must be among those that were requested, and text is cut and escaped.

use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::face::{Embedding, Face, Landmarks, MAX_FACES, Point, Quality, Rect, Unfit};
use crate::nn::Patch;

/// A request from the main process, which may write the gallery.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// The faces of photos. Answered by one [`Response::Photo`] per photo, in any order.
    Photos(Vec<PhotoRequest>),
    /// Synthetic people. Answered by [`Response::Drawn`].
    Drawn,
    /// Faces for fine-tuning. The learner keeps those that it will learn from. Answered by one [`Response::Subject`] per subject,
    /// in any order.
    Study(Vec<Subject>),
    /// Top layers trained on the faces of [`Request::Study`], with the directions of the enrolled people and a seed. Answered by
    /// [`Response::Epoch`] and [`Response::Patch`].
    Tune(Vec<Vec<f32>>, u64),
    /// The same subjects again, embedded by the network with the trained layers. Answered like [`Request::Study`].
    Again,
}

/// A photo whose faces are requested.
#[derive(Clone, Serialize, Deserialize)]
pub struct PhotoRequest {
    path: Vec<u8>,
    /// The seed of the photo's views.
    pub seed: u64,
    /// The number of views of the largest face.
    pub views: u32,
}

impl PhotoRequest {
    pub fn new(path: &Path, seed: u64, views: u32) -> Self {
        let path = path.as_os_str().as_bytes().to_vec();
        Self { path, seed, views }
    }

    pub fn path(&self) -> PathBuf {
        std::ffi::OsString::from_vec(self.path.clone()).into()
    }
}

/// A face for fine-tuning.
#[derive(Serialize, Deserialize)]
pub struct Subject {
    pub sight: Sight,
    pub seed: u64,
    /// The number of views in addition to the face as it is.
    pub views: u32,
    /// `None` if the learner does not learn from the face. Otherwise the person whose face it is, as the place of a direction;
    /// `Some(None)` for a stranger.
    pub learnt: Option<Option<u32>>,
}

/// Where a face is seen.
#[derive(Serialize, Deserialize)]
pub enum Sight {
    /// In a photo.
    Photo {
        path: Vec<u8>,
        landmarks: [[f32; 2]; 5],
    },
    /// The synthetic person of this number.
    Drawn(u32),
}

impl Sight {
    pub fn photo(path: &Path, landmarks: &Landmarks) -> Self {
        Self::Photo {
            path: path.as_os_str().as_bytes().to_vec(),
            landmarks: landmarks.map(|p| [p.x, p.y]),
        }
    }
}

/// A response of the learner. [`Response::Done`] follows the last response to every request, and [`Response::Failed`] may come in
/// place of any response.
#[derive(Serialize, Deserialize)]
pub enum Response {
    /// The learner has loaded its networks, of which the embedder has this checksum, and has given up all rights that it does not
    /// need.
    Ready(String),
    Photo(u32, Result<RawPhotoFaces, Unread>),
    Drawn(Option<Vec<f32>>),
    Subject(u32, Vec<Vec<f32>>),
    Epoch,
    Patch(Box<Patch>),
    Done,
    /// Why the learner cannot continue, and whether that is the machine's fault.
    Failed(String, bool),
}

/// Why a photo cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    pub why: String,
    /// Whether the machine failed. If so, the photo may be good.
    pub machine: bool,
}

/// The numbers of a face: its box, score and five points, and its [`Quality`] in the order of the fields.
type Numbers = ([f32; 4], f32, [[f32; 2]; 5], [f32; 5]);

/// The contents of a photo, as the learner sends them.
#[derive(Serialize, Deserialize)]
pub struct RawPhotoFaces {
    /// The faces, largest first.
    faces: Vec<Numbers>,
    /// Of the largest face.
    embedding: Result<Vec<f32>, Unfit>,
    views: Vec<Vec<f32>>,
    light: f32,
}

/// The contents of a photo, as in [`RawPhotoFaces`], but checked.
pub struct PhotoFaces {
    pub faces: Vec<Face>,
    /// Of the largest face.
    pub views: Vec<Embedding>,
    /// Mean tone of the cut-out face, 0 to 255.
    pub light: f32,
}

/// What is wrong with an answer, as the end of the sentence "the learner answered ...".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("with {0} bytes, where {1} are the most")]
    Long(u64, u64),
    #[error("with something that is no answer")]
    Garbled,
    #[error("out of turn")]
    Turn,
    #[error("about what it was not asked, or twice")]
    Place,
    #[error("with impossible numbers")]
    Numbers,
    #[error("with more or fewer items than were asked for")]
    Count,
}

/// The most bytes of a response. A patch of the top layers is 350 KB, the faces of a photo with fifty views 110 KB.
pub const MOST_BYTES: u64 = 1 << 20;
/// The most bytes of a request: some ten thousand photos. The learner reads requests only from the process that started it.
const MOST_REQUEST_BYTES: u64 = 64 << 20;
/// The most characters that are printed of a response's text.
const MOST_TEXT: usize = 1000;

/// A message as a frame.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    bytes.extend(postcard::to_stdvec(message).map_err(io::Error::other)?);
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The next message. The inner error is the sender's fault. Nothing is read beyond the message's end.
pub fn read<T: DeserializeOwned>(
    from: &mut impl Read,
    most: u64,
) -> io::Result<Result<T, ProtocolError>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > most {
        return Ok(Err(ProtocolError::Long(length, most)));
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(match postcard::take_from_bytes(&bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(ProtocolError::Garbled),
    })
}

/// The next request; `None` when there are no more.
pub fn read_request(from: &mut impl Read) -> io::Result<Option<Request>> {
    match read(from, MOST_REQUEST_BYTES) {
        Ok(request) => request.map(Some).map_err(io::Error::other),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

/// Sends a response.
pub fn send_response(to: &mut impl Write, response: &Response) -> io::Result<()> {
    to.write_all(&frame(response)?)?;
    to.flush()
}

/// Makes text that a terminal prints unchanged: without control characters and characters that change the direction of writing,
/// and not too long.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (count, c) in text.trim_end().chars().enumerate() {
        if count == MOST_TEXT {
            plain.push('…');
            break;
        }
        match c {
            '\n' | '\t' => plain.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                plain.extend(c.escape_unicode());
            }
            c if c.is_control() => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    plain
}

/// The embedding with these numbers, if they are an embedding with `dimensions` dimensions.
pub fn embedding(values: &[f32], dimensions: usize) -> Result<Embedding, ProtocolError> {
    let norm = values.iter().map(|v| v * v).sum::<f32>();
    // The test is for the right value, so that a NaN fails it.
    let is_unit = (norm - 1.0).abs() < 1e-3;
    if values.len() != dimensions || !is_unit {
        return Err(ProtocolError::Numbers);
    }
    Embedding::normalised(values.iter().copied()).ok_or(ProtocolError::Numbers)
}

impl RawPhotoFaces {
    pub fn of(faces: &[Face], views: &[Embedding], light: f32) -> Self {
        let own = |e: &Embedding| e.values().to_vec();
        Self {
            faces: faces
                .iter()
                .map(|f| {
                    let (b, q) = (f.bbox, f.quality);
                    (
                        [b.x, b.y, b.width, b.height],
                        f.score,
                        f.landmarks.map(|p| [p.x, p.y]),
                        [q.eye_distance, q.yaw, q.pitch, q.roll, q.sharpness],
                    )
                })
                .collect(),
            embedding: match faces.first() {
                Some(face) => face.embedding.as_ref().map(own).map_err(|why| *why),
                None => Err(Unfit::Unreadable),
            },
            views: views.iter().map(own).collect(),
            light,
        }
    }

    /// Checks these contents, as the response to a request for at most `views` views.
    pub fn check(self, dimensions: usize, views: usize) -> Result<PhotoFaces, ProtocolError> {
        if self.faces.len() > MAX_FACES || self.views.len() > views {
            return Err(ProtocolError::Count);
        }
        // The limit fits pixels of a photo, and values computed from them.
        let sound = |values: &[f32]| values.iter().all(|v| v.abs() < 1e9);
        if !sound(&[self.light]) {
            return Err(ProtocolError::Numbers);
        }
        let mut own = match self.embedding {
            Ok(values) => Ok(embedding(&values, dimensions)?),
            Err(why) => Err(why),
        };
        let mut faces = Vec::new();
        for (place, score, points, quality) in self.faces {
            if !sound(&place)
                || !sound(points.as_flattened())
                || !sound(&quality)
                || !sound(&[score])
            {
                return Err(ProtocolError::Numbers);
            }
            let [x, y, width, height] = place;
            let [eye_distance, yaw, pitch, roll, sharpness] = quality;
            faces.push(Face {
                bbox: Rect {
                    x,
                    y,
                    width,
                    height,
                },
                score,
                landmarks: points.map(|[x, y]| Point { x, y }),
                quality: Quality {
                    eye_distance,
                    yaw,
                    pitch,
                    roll,
                    sharpness,
                },
                // Only the largest face is learnt from.
                embedding: std::mem::replace(&mut own, Err(Unfit::Unreadable)),
            });
        }
        let views = self.views.iter().map(|v| embedding(v, dimensions));
        Ok(PhotoFaces {
            faces,
            views: views.collect::<Result<_, _>>()?,
            light: self.light,
        })
    }
}
