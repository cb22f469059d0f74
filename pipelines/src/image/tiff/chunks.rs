//! Where the strips and tiles lie in the file, and in the picture.

use super::super::{DecodeError, Format};
use super::codec::Size;
use super::page::{self, Compression, Page, corrupt};

/// A strip or tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Its bytes, still packed.
    pub(super) bytes: &'a [u8],
    /// Its size when it is unpacked.
    pub(super) size: Size,
    /// Its first sample of a pixel.
    pub(super) sample: usize,
    /// Its left and top in the picture.
    pub(super) left: usize,
    pub(super) top: usize,
}

/// The strips or tiles of the picture, plane after plane.
pub(super) fn places<'a>(page: &Page<'a>) -> Result<Vec<Place<'a>>, DecodeError> {
    let (width, height) = (page.width as usize, page.height as usize);
    let (across, down) = (page.chunk.0 as usize, page.chunk.1 as usize);
    let (columns, rows) = (width.div_ceil(across), height.div_ceil(down));
    let planes = if page.planar { page.stored } else { 1 };
    let count = columns.checked_mul(rows).and_then(|count| count.checked_mul(planes));
    let count = count.ok_or_else(|| corrupt("the number of strips is impossible"))?;
    let tags = if page.tiled {
        [page::TILE_OFFSETS, page::TILE_BYTE_COUNTS]
    } else {
        [page::STRIP_OFFSETS, page::STRIP_BYTE_COUNTS]
    };
    let mut offsets = page.directory.numbers(tags[0], count);
    if page.tiled && offsets.is_empty() {
        // Some programs use the tags of strips for tiles.
        offsets = page.directory.numbers(page::STRIP_OFFSETS, count);
    }
    let counts = page.directory.numbers(tags[1], count);
    if offsets.len() < count {
        let reason = format!("the directory has {} of {count} strips", offsets.len());
        return Err(DecodeError::Truncated { format: Format::Tiff, reason });
    }
    let samples = if page.planar { 1 } else { page.stored };
    let mut places = Vec::with_capacity(count);
    for (at, offset) in offsets.iter().enumerate() {
        let in_plane = at % (columns * rows);
        let (left, top) = (in_plane % columns * across, in_plane / columns * down);
        // A tile is whole, however little of it is in the picture; a strip ends with the picture.
        let size =
            Size { width: across, height: if page.tiled { down } else { down.min(height - top) }, samples };
        let bytes = bytes(page, *offset, counts.get(at).copied(), &offsets, size)?;
        places.push(Place { bytes, size, sample: at / (columns * rows), left, top });
    }
    Ok(places)
}

/// The bytes of a strip. If the directory does not tell how many they are, they end where the next strip begins.
fn bytes<'a>(
    page: &Page<'a>,
    offset: u64,
    count: Option<u64>,
    offsets: &[u64],
    size: Size,
) -> Result<&'a [u8], DecodeError> {
    let end = page.source.bytes.len() as u64;
    let missing = || DecodeError::Truncated {
        format: Format::Tiff,
        reason: format!("a strip lies at {offset} of {end} bytes"),
    };
    let rest = usize::try_from(offset).ok().and_then(|at| page.source.bytes.get(at..)).ok_or_else(missing)?;
    if page.compression == Compression::None && page.predictor == 1 {
        // It is as long as its rows are, whatever the directory says.
        return rest.get(..size.unpacked(page)).ok_or_else(missing);
    }
    let count = count.filter(|count| *count > 0).unwrap_or_else(|| {
        let next = offsets.iter().copied().filter(|other| *other > offset).min();
        next.unwrap_or(end) - offset
    });
    usize::try_from(count).ok().and_then(|count| rest.get(..count)).ok_or_else(|| DecodeError::Truncated {
        format: Format::Tiff,
        reason: format!("a strip of {count} bytes lies at {offset} of {end} bytes"),
    })
}

/// The JPEG file that old programs put into a TIFF as a whole.
pub(super) fn old_jpeg<'a>(page: &Page<'a>) -> Option<&'a [u8]> {
    let offset = usize::try_from(page.directory.number(page::JPEG_FILE)?).ok()?;
    let rest = page.source.bytes.get(offset..)?;
    let length =
        page.directory.number(page::JPEG_FILE_LENGTH).and_then(|length| usize::try_from(length).ok());
    let file = length.and_then(|length| rest.get(..length)).unwrap_or(rest);
    // Tables alone are no file.
    (file.starts_with(b"\xff\xd8") && file.windows(2).any(|marker| marker == b"\xff\xda")).then_some(file)
}
