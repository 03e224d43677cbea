//! Why a file is no photo. The text follows the file's name and describes the fix.

use std::path::PathBuf;

use super::Photo;
use crate::frame::JpegError;

/// Why a file is no photo.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct PhotoError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: PhotoFault,
}

/// What is wrong with a photo, and what to do about it; the text follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum PhotoFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}; name a JPEG or PNG picture")]
    Unreadable(#[source] std::io::Error),
    /// The file is of another kind.
    #[error("{0}; JPEG and PNG pictures can be read")]
    OtherKind(&'static str),
    /// The path is a folder, a device or a pipe.
    #[error("is no file; name a JPEG or PNG picture")]
    NoFile,
    /// A damaged JPEG picture, or a JPEG of a kind that is not supported.
    #[error("{0}; JPEG and PNG pictures can be read if they are whole: copy it again")]
    Jpeg(#[source] JpegError),
    /// A damaged PNG picture.
    #[error(
        "the PNG picture is damaged or cut short ({0}); JPEG and PNG pictures can be read if they are whole: copy it again"
    )]
    Png(#[source] png::DecodingError),
    /// The picture is larger than the largest that is read.
    #[error(
        "has {width}x{height} pixels; photos of up to {} million pixels and {} a side can be read: make it smaller",
        Photo::MAX_PIXELS >> 20,
        Photo::MAX_SIDE
    )]
    Pixels {
        /// Pixels per line.
        width: u32,
        /// Lines.
        height: u32,
    },
    /// The file is too large.
    #[error("is {0} MiB large; photos of up to {most} MiB can be read: make it smaller", most = Photo::MAX_BYTES >> 20)]
    Bytes(u64),
    /// There is not enough memory.
    #[error("there is too little memory to read it; make it smaller")]
    Memory,
    /// The decoder has a defect.
    #[error("the decoder gave up on it; save it again as JPEG")]
    GaveUp,
}

/// If a photo cannot be read, the reason for not using it begins with this text.
pub const UNREAD: &str = "cannot be read: ";

impl PhotoError {
    /// The reason for not using the photo, in words that follow the file's name.
    #[must_use]
    pub fn why(&self) -> String {
        match &self.fault {
            fault @ PhotoFault::Unreadable(_) => fault.to_string(),
            fault => format!("{UNREAD}{fault}"),
        }
    }
}
