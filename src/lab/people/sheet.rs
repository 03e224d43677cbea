//! A picture of the faces that came nearest to a mistake, which `tally` finds.

use image::{GenericImage, RgbImage, imageops};

use super::tally::Tally;
use crate::capture::Photo;
use crate::face::FaceError;
use crate::frame::Sampler;
use crate::lab::{LabError, draw};
use crate::lesson::FaceCut;

/// Shows the enrolled people with the lowest scores above, and the strangers with the highest scores below.
pub fn sheet(tally: &Tally) -> Result<RgbImage, LabError> {
    const SIDE: u32 = 128;
    let columns = tally.missed.len().max(tally.let_in.len()).max(1) as u32;
    let mut sheet = RgbImage::new(columns * SIDE, 2 * SIDE + 40);
    draw::write(
        &mut sheet,
        4,
        6,
        1,
        "enrolled, least like themselves",
        draw::KNOWN,
    );
    draw::write(
        &mut sheet,
        4,
        i64::from(SIDE) + 26,
        1,
        "strangers, most like a resident",
        draw::UNKNOWN,
    );
    for (row, list) in [&tally.missed, &tally.let_in].into_iter().enumerate() {
        for (column, (score, photo, landmarks)) in list.iter().enumerate() {
            let photo = Photo::open(photo)?;
            let mut sampler = Sampler::new(photo.image().layout().width, 256);
            let cut =
                FaceCut::new(&photo.image(), landmarks, &mut sampler).map_err(FaceError::from)?;
            let Some(cut) = cut else { continue };
            let small = imageops::resize(cut.picture(), SIDE, SIDE, imageops::FilterType::Triangle);
            let (x, y) = (column as u32 * SIDE, row as u32 * (SIDE + 20) + 20);
            // The sheet has room for all.
            let _ = sheet.copy_from(&small, x, y);
            draw::write(
                &mut sheet,
                i64::from(x) + 4,
                i64::from(y) + 116,
                1,
                &format!("{score:.2}"),
                draw::KNOWN,
            );
        }
    }
    Ok(sheet)
}
