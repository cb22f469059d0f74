//! Tells what a file is by its content.

use super::{Format, raw};

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A format docent decodes.
    Picture(Format),
    /// A picture, document or film that docent knows by name only.
    Unsupported(&'static str),
    /// Locked with a password or a key; what it would be is unknown.
    Encrypted(&'static str),
    /// Something else, with a word for it if it is known.
    Other(&'static str),
}

/// Number of first bytes that tell the formats apart, except for some camera raw files that pose as TIFF.
pub const SNIFF_BYTES: usize = 512;

/// Formats by the bytes they begin with.
const MAGIC: &[(&[u8], Content)] = &[
    (b"\xff\xd8\xff", Content::Picture(Format::Jpeg)),
    (b"\x89PNG\r\n\x1a\n", Content::Picture(Format::Png)),
    (b"GIF87a", Content::Picture(Format::Gif)),
    (b"GIF89a", Content::Picture(Format::Gif)),
    (b"II+\0", Content::Picture(Format::Tiff)),
    (b"MM\0+", Content::Picture(Format::Tiff)),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Content::Unsupported("JPEG XL")),
    (b"\xff\x0a", Content::Unsupported("JPEG XL")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Content::Picture(Format::Jpeg2000)),
    (b"\xff\x4f\xff\x51", Content::Picture(Format::Jpeg2000)),
    (b"II\xbc\x01", Content::Unsupported("JPEG XR")),
    (b"8BPS", Content::Unsupported("Photoshop (PSD)")),
    (b"FUJIFILMCCD-RAW", Content::Unsupported("camera raw (Fujifilm RAF)")),
    (b"IIRO", Content::Unsupported("camera raw (Olympus ORF)")),
    (b"IIRS", Content::Unsupported("camera raw (Olympus ORF)")),
    (b"MMOR", Content::Unsupported("camera raw (Olympus ORF)")),
    (b"IIU\x00", Content::Unsupported("camera raw (Panasonic RW2)")),
    (b"II\x1a\0\0\0HEAPCCDR", Content::Unsupported("camera raw (Canon CRW)")),
    (b"FOVb", Content::Unsupported("camera raw (Sigma X3F)")),
    (b"\x00MRM", Content::Unsupported("camera raw (Minolta MRW)")),
    (b"%PDF-", Content::Unsupported("PDF")),
    (b"%!PS", Content::Unsupported("PostScript")),
    (b"\xc5\xd0\xd3\xc6", Content::Unsupported("PostScript (EPS)")),
    (b"gimp xcf", Content::Unsupported("GIMP (XCF)")),
    (b"v/1\x01", Content::Unsupported("OpenEXR")),
    (b"#?RADIANCE", Content::Unsupported("Radiance HDR")),
    (b"DDS ", Content::Unsupported("DirectDraw surface")),
    (b"SDPX", Content::Unsupported("DPX")),
    (b"XPDS", Content::Unsupported("DPX")),
    (b"SIMPLE  =", Content::Unsupported("FITS")),
    (b"AT&TFORM", Content::Unsupported("DjVu")),
    (b"qoif", Content::Unsupported("QOI")),
    (b"FLIF", Content::Unsupported("FLIF")),
    (b"BPG\xfb", Content::Unsupported("BPG")),
    (b"\xd7\xcd\xc6\x9a", Content::Unsupported("Windows metafile (WMF)")),
    (b"\x1aE\xdf\xa3", Content::Unsupported("video (Matroska)")),
    (b"\x00\x00\x01\xba", Content::Unsupported("video (MPEG)")),
    (b"\x00\x00\x01\xb3", Content::Unsupported("video (MPEG)")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Content::Unsupported("video (Windows Media)")),
    (b"FLV\x01", Content::Unsupported("video (Flash)")),
    (b"Salted__", Content::Encrypted("OpenSSL")),
    (b"-----BEGIN PGP MESSAGE", Content::Encrypted("PGP")),
    (b"age-encryption.org/", Content::Encrypted("age")),
    (b"7z\xbc\xaf\x27\x1c", Content::Other("a 7-Zip archive")),
    (b"Rar!", Content::Other("a RAR archive")),
    (b"\x1f\x8b", Content::Other("a gzip archive")),
    (b"BZh", Content::Other("a bzip2 archive")),
    (b"\xfd7zXZ\0", Content::Other("an xz archive")),
    (b"\x28\xb5\x2f\xfd", Content::Other("a zstd archive")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Content::Other("an Office document")),
    (b"{\\rtf", Content::Other("an RTF document")),
    (b"\x7fELF", Content::Other("a program")),
    (b"MZ", Content::Other("a program")),
    (b"SQLite format 3\x00", Content::Other("a database")),
    (b"ID3", Content::Other("a sound file")),
    (b"OggS", Content::Other("a sound file")),
    (b"fLaC", Content::Other("a sound file")),
    (b"\xff\xfe", Content::Other("text (UTF-16)")),
    (b"\xfe\xff", Content::Other("text (UTF-16)")),
    // A PNG or JPEG that went through a transfer as text.
    (b"\x89PNG\n", Content::Other("a PNG damaged by a transfer as text")),
    (b"\x89PNG\r\r\n", Content::Other("a PNG damaged by a transfer as text")),
    (b"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", Content::Other("binary data damaged by a transfer as text")),
];

/// Beginnings that are whole files only when cut off: the first bytes of a format, fewer than tell it.
const BEGINNINGS: &[&[u8]] = &[b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*"];

/// What `bytes`, a whole file or at least its first [`SNIFF_BYTES`], are.
pub fn sniff(bytes: &[u8]) -> Content {
    if let Some((_, content)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return *content;
    }
    match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] => match kind {
            [b'W', b'E', b'B', b'P', ..] => Content::Picture(Format::WebP),
            [b'A', b'V', b'I', b' ', ..] => Content::Unsupported("video (AVI)"),
            [b'W', b'A', b'V', b'E', ..] => Content::Other("a sound file"),
            _ => Content::Other("an unknown RIFF file"),
        },
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => match raw::camera_raw(bytes) {
            Some(name) => Content::Unsupported(name),
            None => Content::Picture(Format::Tiff),
        },
        [_, _, _, _, b'f', b't', b'y', b'p', brands @ ..] => iso_media(bytes, brands),
        [_, _, _, _, b'm', b'o', b'o', b'v', ..] | [_, _, _, _, b'm', b'd', b'a', b't', ..] => {
            Content::Unsupported("video (QuickTime)")
        }
        // "BM" alone begins many a text: the size of the header must be one there is.
        [
            b'B',
            b'M',
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            12 | 16 | 40 | 52 | 56 | 64 | 108 | 124,
            0,
            0,
            0,
            ..,
        ] => Content::Picture(Format::Bmp),
        [0, 0, 1, 0, 1..=64, 0, _, _, _, 0, ..] => Content::Unsupported("icon (ICO)"),
        [b'P', b'1'..=b'7', b'\n' | b' ' | b'\r' | b'\t', ..] => {
            Content::Unsupported("portable pixmap (PNM)")
        }
        // Bit 0 of the flags of the first entry.
        [b'P', b'K', 3, 4, _, _, flags, ..] if flags & 1 == 1 => Content::Encrypted("ZIP archive"),
        [b'P', b'K', 3, 4, ..] => Content::Other("a ZIP archive"),
        _ if bytes.get(128..132) == Some(b"DICM") => Content::Unsupported("DICOM"),
        // Packets of 188 bytes, each beginning with 0x47.
        [0x47, ..] if bytes.get(188) == Some(&0x47) && bytes.get(376) == Some(&0x47) => {
            Content::Unsupported("video (MPEG)")
        }
        _ => text(bytes),
    }
}

/// Whether a file's name promises a picture. `extension` is lower case, without the dot.
pub fn looks_like_picture_name(extension: &str) -> bool {
    const PROMISES: &[&str] = &[
        "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "gif", "tif", "tiff", "bmp", "dib", "heic",
        "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpf", "jpx", "psd", "psb", "xcf", "svg", "tga", "3fr",
        "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "iiq", "kdc", "mef", "mos", "mrw", "nef", "nrw",
        "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f",
    ];
    PROMISES.contains(&extension)
}

/// Whether a file is worth registering: it is a picture or a relative of one, or its name promises one. Other files are skipped
/// and are no failure. `head` is at least the first [`SNIFF_BYTES`] of the file, `extension`
/// is lower case, without the dot.
pub fn is_candidate(head: &[u8], extension: Option<&str>) -> bool {
    matches!(sniff(head), Content::Picture(_) | Content::Unsupported(_))
        || extension.is_some_and(looks_like_picture_name)
}

/// Whether a file of few bytes is the beginning of a picture, and of which format.
pub(super) fn beginning(bytes: &[u8]) -> Option<Format> {
    const FORMATS: [Format; 5] = [Format::Jpeg, Format::Png, Format::Gif, Format::Tiff, Format::Tiff];
    // One byte says nothing.
    (bytes.len() >= 2)
        .then(|| BEGINNINGS.iter().position(|magic| magic.starts_with(bytes)).map(|at| FORMATS[at]))
        .flatten()
}

/// Files of boxes: `bytes` whole, `brands` behind the name of the first box.
fn iso_media(bytes: &[u8], brands: &[u8]) -> Content {
    let length = bytes.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let brands = &brands[..brands.len().min(length.saturating_sub(8))];
    let any = |names: &[&[u8]]| brands.chunks_exact(4).any(|brand| names.contains(&brand));
    match brands.get(..4) {
        Some(b"crx ") => Content::Unsupported("camera raw (Canon CR3)"),
        Some(b"qt  ") => Content::Unsupported("video (QuickTime)"),
        Some(b"M4A " | b"M4B ") => Content::Other("a sound file"),
        _ if any(&[b"avif", b"avis"]) => Content::Unsupported("AVIF"),
        _ if any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) => {
            Content::Unsupported("HEIC")
        }
        _ => Content::Unsupported("video (MP4)"),
    }
}

fn text(bytes: &[u8]) -> Content {
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let lower = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start().to_ascii_lowercase();
    let contains = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    if contains(b"<html") || contains(b"<!doctype html") {
        return Content::Other("a web page");
    }
    if lower.starts_with(b"<") && contains(b"<svg") {
        return Content::Unsupported("SVG");
    }
    if lower.starts_with(b"<?xml") {
        return Content::Other("an XML document");
    }
    let readable = |b: &u8| *b >= 32 || matches!(*b, b'\t' | b'\r' | b'\n' | 0x0c);
    // The head may end within a character.
    let utf8 = std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    if !head.is_empty() && utf8 && head.iter().all(readable) {
        return Content::Other("text");
    }
    if !head.is_empty() && head.iter().all(|b| *b == 0) {
        return Content::Other("nothing but zeros");
    }
    if start_of_jpeg(bytes).is_some() {
        return Content::Picture(Format::Jpeg);
    }
    Content::Other("unknown content")
}

/// Where a JPEG begins that has a few stray bytes before it: the rest of a download's header, an empty line.
pub(super) fn start_of_jpeg(bytes: &[u8]) -> Option<usize> {
    /// More than these are no mistake but another kind of file that has a picture in it.
    const STRAY: usize = 64;
    let head = &bytes[..bytes.len().min(STRAY + 3)];
    let at = head.windows(3).position(|window| window == b"\xff\xd8\xff")?;
    // A segment, and where it ends another one.
    let [_, _, _, 0xc0..=0xfe, high, low] = *bytes.get(at..)?.first_chunk()? else { return None };
    let next = at + 4 + usize::from(u16::from_be_bytes([high, low]));
    (at == 0 || bytes.get(next).is_none_or(|byte| *byte == 0xff)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_matter_where_content_says_nothing() {
        assert!(is_candidate(b"\x89PNG\r\n\x1a\n", None));
        assert!(is_candidate(b"", Some("jpg")));
        assert!(is_candidate(b"%PDF-1.7", Some("txt")));
        assert!(!is_candidate(b"", Some("txt")));
        assert!(!is_candidate(b"", Some("pdf")));
        assert!(!is_candidate(b"hello", Some("md")));
        assert!(!is_candidate(b"BMW is a maker of cars", None));
        assert!(!is_candidate(b"Draw it with an <svg> element", None));
        assert!(!is_candidate(b"PK\x03\x04\x14\0\x01\0", Some("zip")));
    }

    #[test]
    fn films_and_their_still_relatives_are_told_apart() {
        let media = |brands: &[u8]| {
            sniff(
                &[&(8 + brands.len() as u32).to_be_bytes()[..], b"ftyp", brands, b"\0\0\0\x10meta"].concat(),
            )
        };
        assert_eq!(media(b"mif1\0\0\0\0mif1avif"), Content::Unsupported("AVIF"));
        assert_eq!(media(b"mif1\0\0\0\0mif1heic"), Content::Unsupported("HEIC"));
        assert_eq!(media(b"isom\0\0\x02\0isomavc1"), Content::Unsupported("video (MP4)"));
        assert_eq!(media(b"qt  "), Content::Unsupported("video (QuickTime)"));
        assert_eq!(media(b"M4A "), Content::Other("a sound file"));
    }

    #[test]
    fn beginnings_are_recognized() {
        assert_eq!(beginning(b"\xff\xd8"), Some(Format::Jpeg));
        assert_eq!(beginning(b"\x89PN"), Some(Format::Png));
        assert_eq!(beginning(b"MM\0"), Some(Format::Tiff));
        assert_eq!(beginning(b"\xff"), None);
        assert_eq!(beginning(b"hello"), None);
    }

    #[test]
    fn text_may_end_within_a_character() {
        let mut long = "ö".repeat(300).into_bytes();
        long.insert(0, b'a');
        assert_eq!(sniff(&long), Content::Other("text"));
        assert_eq!(sniff(b"\xff\xfeH\0i\0"), Content::Other("text (UTF-16)"));
    }
}
