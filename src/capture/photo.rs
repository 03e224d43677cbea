//! A photo from a file, upright, as the sampler reads pictures.

use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

use crate::frame::{Image, ImageError, Layout, PixelFormat};

/// A decoded photo.
pub struct Photo(RgbImage);

/// Why a file is no photo.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}; name a JPEG or PNG picture", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not a picture, or a damaged one.
    #[error("{}: {source}; JPEG and PNG pictures can be read", path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: image::ImageError,
    },
    /// A picture of an impossible size.
    #[error("{}: {source}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ImageError,
    },
}

impl Photo {
    /// Reads and decodes the JPEG or PNG file at `path`, turned upright as its EXIF data say.
    ///
    /// # Errors
    /// [`PhotoError`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, PhotoError> {
        let unreadable = |source| PhotoError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let undecodable = |source| PhotoError::Undecodable {
            path: path.to_owned(),
            source,
        };
        let mut reader = ImageReader::open(path)
            .map_err(unreadable)?
            .with_guessed_format()
            .map_err(unreadable)?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(Image::MAX_SIDE);
        limits.max_image_height = Some(Image::MAX_SIDE);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(undecodable)?;
        let orientation = decoder.orientation().map_err(undecodable)?;
        let mut picture = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
        // Phones store pictures as the sensor lies and say how to turn them.
        picture.apply_orientation(orientation);
        let picture = picture.into_rgb8();
        as_image(&picture).map_err(|source| PhotoError::Size {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self(picture))
    }

    /// Its pixels.
    ///
    /// # Panics
    /// Never: size and length were checked when it was opened.
    #[must_use]
    pub fn image(&self) -> Image<'_> {
        as_image(&self.0).expect("checked when opened")
    }

    /// Its pixels, to change them.
    #[must_use]
    pub fn into_picture(self) -> RgbImage {
        self.0
    }
}

fn as_image(picture: &RgbImage) -> Result<Image<'_>, ImageError> {
    let layout = Layout::packed(PixelFormat::Rgb3, picture.width(), picture.height());
    Image::new(layout, picture.as_raw())
}
