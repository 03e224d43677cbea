//! What a file is, determined from its first bytes, because its name may be anything. Also which files are no one's photos,
//! determined from their names, because computers, phones and programs leave such files in every folder.

use std::io::Read;
use std::path::Path;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A JPEG picture, which can be read.
    Jpeg,
    /// A PNG picture, which can be read.
    Png,
    /// Anything else. The text names the kind and what to do about it; it is half a sentence that follows the file's name.
    Other(&'static str),
}

/// How many bytes of a file identify its kind.
const HEAD: usize = 1024;

/// What a file of unknown kind is, and what to do about it.
pub const UNKNOWN: &str = "is neither a JPEG nor a PNG picture; save it as one of them";

/// Kinds by the first bytes of a file.
const MAGIC: &[(&[u8], &str)] = &[
    (b"GIF8", "is a GIF picture; save it as JPEG or PNG"),
    (b"8BPS", "is a Photoshop file; export it as JPEG or PNG"),
    (b"\xff\x0a", "is a JPEG XL picture; save it as JPEG or PNG"),
    (
        b"\0\0\0\x0cJXL ",
        "is a JPEG XL picture; save it as JPEG or PNG",
    ),
    (
        b"\0\0\0\x0cjP  ",
        "is a JPEG 2000 picture; save it as JPEG or PNG",
    ),
    (
        b"\xff\x4f\xff\x51",
        "is a JPEG 2000 picture; save it as JPEG or PNG",
    ),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIU\0", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"\0MRM", RAW),
    (b"FOVb", RAW),
    (
        b"%PDF",
        "is a PDF document; save the photo in it as JPEG or PNG",
    ),
    (b"PK\x03\x04", ARCHIVE),
    (b"PK\x05\x06", ARCHIVE),
    (b"Rar!", ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (b"\x1f\x8b", ARCHIVE),
    (b"\x1a\x45\xdf\xa3", VIDEO),
    (b"\0\0\x01\xba", VIDEO),
    (b"\0\0\x01\xb3", VIDEO),
    (b"OggS", VIDEO),
    (b"\0\0\x01\0", "is an icon; give a photo as JPEG or PNG"),
];
const TIFF: &str = "is a TIFF picture or a raw one (DNG, NEF, CR2, ARW); export it as JPEG";
const RAW: &str = "is a raw picture of a camera; export it as JPEG";
const ARCHIVE: &str = "is an archive; unpack it, and give the photos in it";
const VIDEO: &str = "is a video; save pictures of it as JPEG or PNG";
const HEIC: &str = "is a HEIC picture, as iPhones take them; export it as JPEG, or choose Settings, Camera, Formats, Most Compatible";
const SVG: &str = "is an SVG drawing or a web page; give a photo as JPEG or PNG";

impl Kind {
    /// The kind, from the first bytes of a file: [`HEAD`] bytes, or all if the file is shorter.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        if head.starts_with(b"\xff\xd8") {
            return Self::Jpeg;
        }
        if head.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Self::Png;
        }
        if head.is_empty() {
            return Self::Other("is empty; copy it again");
        }
        if head.len() == HEAD && head.iter().all(|b| *b == 0) {
            return Self::Other("holds nothing but zeros; copy it again");
        }
        let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
        if let Some((_, what)) = known {
            return Self::Other(what);
        }
        // "BM", then the size of the file, and two fields that are zero.
        if head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]) {
            return Self::Other("is a BMP picture; save it as JPEG or PNG");
        }
        let at = |from: usize| head.get(from..from + 4).unwrap_or_default();
        if at(4) == b"ftyp" {
            return Self::Other(match at(8) {
                b"avif" | b"avis" => "is an AVIF picture; save it as JPEG or PNG",
                b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
                    HEIC
                }
                b"crx " => RAW,
                _ => VIDEO,
            });
        }
        if [b"moov", b"mdat", b"wide", b"free", b"skip"]
            .iter()
            .any(|b| at(4) == *b)
        {
            return Self::Other(VIDEO);
        }
        if at(0) == b"RIFF" {
            return Self::Other(match at(8) {
                b"WEBP" => {
                    "is a WebP picture, as messengers and web pages use them; save it as JPEG or PNG"
                }
                b"AVI " => VIDEO,
                _ => UNKNOWN,
            });
        }
        let text = head
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(head)
            .trim_ascii_start();
        let web: [&[u8]; 4] = [b"<svg", b"<?xml", b"<!doctype", b"<html"];
        let begins = |start: &&[u8]| {
            text.get(..start.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(start))
        };
        if web.iter().any(begins) {
            return Self::Other(SVG);
        }
        Self::Other(UNKNOWN)
    }

    /// The kind, from the first bytes of the file at `path`.
    ///
    /// # Errors
    /// The system's error if the file cannot be read or is not a file.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let mut head = Vec::with_capacity(HEAD);
        std::fs::File::open(path)?
            .take(HEAD as u64)
            .read_to_end(&mut head)?;
        Ok(Self::of(&head))
    }
}

/// Whether a name ends like that of a picture, whatever the file contains.
#[must_use]
pub fn is_named_as_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    let known = [
        "jpg", "jpeg", "jpe", "jfif", "jif", "png", "apng", "heic", "heif", "hif", "webp", "avif",
        "gif", "bmp", "dib", "tif", "tiff", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf",
        "jxl", "jp2", "svg", "psd",
    ];
    known.iter().any(|e| extension.eq_ignore_ascii_case(e))
}

/// Files and folders by the names that operating systems, phones, file managers and copying programs give them. Any name
/// that begins with a dot is also clutter (`.DS_Store`, `._photo.jpg`, `.Trashes`, `.nomedia`).
const CLUTTER: &[&str] = &[
    // Windows.
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "folder.htt",
    "autorun.inf",
    "system volume information",
    "$recycle.bin",
    "recycler",
    "recycled",
    "found.000",
    "indexervolumeguid",
    "wpsettings.dat",
    // macOS.
    "__macosx",
    "icon\r",
    "network trash folder",
    "temporary items",
    // Android and cameras.
    "lost.dir",
    "android",
    // Linux, and network storage.
    "lost+found",
    "@eadir",
    "#recycle",
    "@tmp",
    // Programs that show photos.
    "picasa.ini",
    "zbthumbnail.info",
    "pspbrwse.jbf",
    "photothumb.db",
    "folder.cache",
];
/// Endings of the names of files that are incomplete, or that belong to a photo but are not photos.
const CLUTTER_ENDINGS: &[&str] = &[
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".lnk",
    ".aae",
    ".xmp",
    ".thm",
    "~",
];

/// Whether computers leave files or folders with this name behind in folders of photos. Such files are never mentioned.
#[must_use]
pub fn is_clutter(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    name.starts_with('.')
        || name.starts_with("~$")
        || CLUTTER.contains(&&*name)
        || CLUTTER_ENDINGS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_is_recognised() {
        let padded = |head: &[u8]| {
            let mut bytes = head.to_vec();
            bytes.resize(64, 7);
            bytes
        };
        for (head, expected) in [
            (&b"\0\0\0\x18ftypheic"[..], "HEIC"),
            (b"\0\0\0\x24ftypmif1", "HEIC"),
            (b"\0\0\0\x1cftypavif", "AVIF"),
            (b"\0\0\0\x18ftypmp42", "video"),
            (b"\0\0\0\x14ftypqt  ", "video"),
            (b"\0\0\0\x18ftypcrx ", "raw"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
            (b"RIFF\x10\0\0\0AVI LIST", "video"),
            (b"RIFF\x10\0\0\0WAVEfmt ", "neither"),
            (b"GIF89a", "GIF"),
            (b"BM\x36\x10\0\0\0\0\0\0\x36", "BMP"),
            (b"II*\0\x08", "TIFF"),
            (b"MM\0*\0", "TIFF"),
            (b"%PDF-1.7", "PDF"),
            (b"PK\x03\x04", "archive"),
            (b"<svg xmlns", "SVG"),
            (b"\xef\xbb\xbf  <?xml version", "SVG"),
            (b"<!DOCTYPE html>", "web page"),
            (b"8BPS", "Photoshop"),
            (b"\xff\x0a\x01", "JPEG XL"),
            (b"dear diary", "neither a JPEG nor a PNG"),
        ] {
            match Kind::of(&padded(head)) {
                Kind::Other(what) => assert!(what.contains(expected), "{head:?}: {what}"),
                kind => panic!("{head:?}: {kind:?}"),
            }
        }
        assert!(matches!(Kind::of(b""), Kind::Other(what) if what.contains("empty")));
        assert!(matches!(Kind::of(&[0; HEAD]), Kind::Other(what) if what.contains("zeros")));
        assert_eq!(Kind::of(b"\xff\xd8\xff\xe1"), Kind::Jpeg);
        assert_eq!(Kind::of(b"\x89PNG\r\n\x1a\n\0\0"), Kind::Png);
    }

    #[test]
    fn clutter_is_recognised_in_any_case() {
        for name in [
            "Thumbs.db",
            "THUMBS.DB",
            "ehthumbs.db",
            "desktop.ini",
            "Desktop.ini",
            ".DS_Store",
            "._IMG_1.jpg",
            "__MACOSX",
            ".Spotlight-V100",
            ".Trashes",
            ".fseventsd",
            "System Volume Information",
            "$RECYCLE.BIN",
            "@eaDir",
            ".thumbnails",
            ".nomedia",
            ".picasa.ini",
            "Picasa.ini",
            "LOST.DIR",
            "photo.jpg.tmp",
            "photo.jpg.part",
            "IMG_1.AAE",
            "~$list.docx",
            "lost+found",
            "Icon\r",
        ] {
            assert!(is_clutter(Path::new(name)), "{name}");
        }
        for name in [
            "a.jpg",
            "Anna",
            "thumbs.db.jpg",
            "tmp.jpg",
            "desktop.png",
            "My.Photos",
        ] {
            assert!(!is_clutter(Path::new(name)), "{name}");
        }
    }
}
