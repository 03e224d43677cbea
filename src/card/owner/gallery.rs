//! The gallery's place on the data partition, and the handling of a gallery that cannot be used. The content of the file is
//! defined in [`people`](crate::people).

use std::fs;
use std::io;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use super::files::{sorted, sync};
use super::{GALLERY, Owner, PHOTOS, Report};

impl Owner {
    /// Creates the gallery's folder, which belongs to the job's user.
    pub(super) fn gallery_folder(&self) -> io::Result<()> {
        let folder = self.data.join(GALLERY);
        let folder = folder.parent().unwrap_or(&self.data);
        fs::create_dir_all(folder)?;
        self.user
            .map_or(Ok(()), |user| lchown(folder, Some(user), Some(user)))
    }

    /// A gallery that is damaged, or that was made with another image's networks, cannot be used. All people are then learnt
    /// again from the photos that are here.
    pub(super) fn renew_gallery(
        &self,
        photos: &[String],
        report: &mut Report,
        on_progress: &mut dyn FnMut(),
    ) {
        let gallery = self.data.join(GALLERY);
        let has_photos = |folder: &Path| sorted(folder).is_ok_and(|p| !p.is_empty());
        let mut given = photos.iter().map(|photos| self.folder.join(photos));
        if !gallery.exists()
            || !has_photos(&self.data.join(PHOTOS)) && !given.any(|p| has_photos(&p))
        {
            return;
        }
        // A configuration that is refused is not used here, because a card has one set of networks.
        let config = Some(self.config()).filter(|_| self.in_force().is_ok());
        let checked = self.program(&["people", "check"], config.as_deref(), on_progress);
        let Some(output) = checked.ok().filter(|o| o.status == Some(1)) else {
            return;
        };
        log::warn!("setup gallery_unusable why={:?}", output.last());
        let aside = self.pending(true).and_then(|()| sync(&self.data));
        match aside.and_then(|()| fs::rename(&gallery, self.unusable())) {
            Ok(()) => report.did(
                "gallery_renewed what=\"it was damaged, or made with other recognition networks; all photos are \
                 learnt again\"".to_owned(),
            ),
            Err(error) => report.mistake("the gallery", &error.to_string()),
        }
    }

    /// The place of a gallery that could not be used, which is kept until there is another gallery.
    pub(super) fn unusable(&self) -> PathBuf {
        self.data.join(GALLERY).with_added_extension("unusable")
    }
}
