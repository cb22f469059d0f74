//! Tells a picture from the file that holds it.
//!
//! Programs write keywords, ratings and positions into files all the time. The bytes change and the picture does not. So an asset is
//! identified by its image data: the part of a file that says what the picture looks like, with its color profile, and without
//! metadata, thumbnails and orientation. Where docent does not understand a format, or a file does not come to its end, its bytes
//! are its identity.
//!
//! - **JPEG**: all segments and scans up to the end of the picture, without `APPn` and comments, but with ICC and Adobe's marker.
//! - **PNG**: header, palette, transparency, pixels, frames and colors.
//! - **WebP**, **GIF**: frames and colors.
//! - **TIFF**: the pixels of all full pages, and the tags that say how to read them.
//! - **JPEG 2000**: header and codestream.

mod gif;
mod jpeg;
mod jpeg2000;
mod png;
mod stream;
mod tiff;
mod webp;

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use crate::asset::{AssetId, ContentHash};
use crate::image::{Content, Format, SNIFF_BYTES, sniff};
use stream::{Parts, Stream};

/// What a file holds: its bytes and its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// BLAKE3 of all bytes.
    pub bytes: ContentHash,
    /// BLAKE3 of the image data; of all bytes where it cannot be told apart.
    pub picture: ContentHash,
}

impl Fingerprint {
    /// Reads a file from its beginning, twice, in bounded memory. Answers its size, too.
    ///
    /// # Errors
    ///
    /// Those of the reader. A broken file is no error.
    pub fn of_reader(mut file: impl Read + Seek) -> io::Result<(Self, u64)> {
        file.rewind()?;
        let (bytes, size) = ContentHash::of_reader(&mut file)?;
        Ok((Self::complete(bytes, file)?, size))
    }

    /// The fingerprint of a file in memory.
    pub fn of(file: &[u8]) -> Self {
        // Reading memory does not fail.
        let fallback = || Self::from(ContentHash::of(file));
        Self::of_reader(Cursor::new(file)).map_or_else(|_| fallback(), |(found, _)| found)
    }

    /// Completes the hash of a file's bytes with that of its picture.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    pub fn complete(bytes: ContentHash, mut file: impl Read + Seek) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let mut head = Vec::with_capacity(SNIFF_BYTES);
        file.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut head)?;
        file.rewind()?;
        let picture = picture(&head, file, size)?.unwrap_or(bytes);
        Ok(Self { bytes, picture })
    }

    /// The id of an asset that is registered with this picture.
    pub fn asset_id(&self) -> AssetId {
        self.picture.asset_id()
    }

    /// Whether an asset has its id from this picture, or from these bytes, as it was before docent told pictures from files.
    pub fn names(&self, asset: &AssetId) -> bool {
        *asset == self.picture.asset_id() || *asset == self.bytes.asset_id()
    }
}

/// Something whose bytes are its identity.
impl From<ContentHash> for Fingerprint {
    fn from(bytes: ContentHash) -> Self {
        Self { bytes, picture: bytes }
    }
}

/// The hash of the image data, if the format is understood and the file comes to its end.
fn picture(head: &[u8], file: impl Read + Seek, size: u64) -> io::Result<Option<ContentHash>> {
    let Content::Picture(format) = sniff(head) else { return Ok(None) };
    let mut file = Stream::new(file, size);
    // A context of its own for each format: no hash of image data is that of some other file's bytes.
    let (mut parts, complete) = match format {
        Format::Jpeg => run("docent 2026-12 image data of JPEG", &mut file, jpeg::read)?,
        Format::Png => run("docent 2026-12 image data of PNG", &mut file, png::read)?,
        Format::WebP => run("docent 2026-12 image data of WebP", &mut file, webp::read)?,
        Format::Gif => run("docent 2026-12 image data of GIF", &mut file, gif::read)?,
        Format::Tiff => run("docent 2026-12 image data of TIFF", &mut file, tiff::read)?,
        Format::Jpeg2000 => run("docent 2026-12 image data of JPEG 2000", &mut file, jpeg2000::read)?,
        _ => return Ok(None),
    };
    Ok(complete.then(|| parts.finish()))
}

fn run<R: Read + Seek>(
    context: &'static str,
    file: &mut Stream<R>,
    read: fn(&mut Stream<R>, &mut Parts) -> io::Result<Option<()>>,
) -> io::Result<(Parts, bool)> {
    let mut parts = Parts::new(context);
    let complete = read(file, &mut parts)?.is_some();
    Ok((parts, complete))
}
