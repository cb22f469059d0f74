//! Reads as much of TIFF's directories as is needed before decoding.

use std::ops::Range;

/// Values of `PhotometricInterpretation` that only raw converters use.
const COLOR_FILTER_ARRAY: u32 = 32803;
const LINEAR_RAW: u32 = 34892;

const NEW_SUBFILE_TYPE: u16 = 254;
const PHOTOMETRIC: u16 = 262;
const MAKE: u16 = 271;
const COLOR_MAP: u16 = 320;
const SUB_IFDS: u16 = 330;
const DNG_VERSION: u16 = 50706;

/// The byte order of a TIFF, and its bytes.
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    little: bool,
}

/// One directory: 12 bytes for each tag.
#[derive(Clone, Copy)]
struct Directory<'a> {
    source: Source<'a>,
    at: usize,
    entries: u16,
}

impl<'a> Source<'a> {
    /// Only the common kind with 32-bit offsets; BigTIFF is used by no camera.
    fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes {
            [b'I', b'I', 42, 0, ..] => Some(Self { bytes, little: true }),
            [b'M', b'M', 0, 42, ..] => Some(Self { bytes, little: false }),
            _ => None,
        }
    }

    fn u16_at(self, at: usize) -> Option<u16> {
        let pair = <[u8; 2]>::try_from(self.bytes.get(at..at.checked_add(2)?)?).ok()?;
        Some(if self.little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    }

    fn u32_at(self, at: usize) -> Option<u32> {
        let four = <[u8; 4]>::try_from(self.bytes.get(at..at.checked_add(4)?)?).ok()?;
        Some(if self.little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    }

    fn directory(self, at: u32) -> Option<Directory<'a>> {
        let at = at as usize;
        Some(Directory { source: self, at, entries: self.u16_at(at)? })
    }

    fn first(self) -> Option<Directory<'a>> {
        self.directory(self.u32_at(4)?)
    }
}

impl<'a> Directory<'a> {
    /// Where the entry for `tag` begins.
    fn entry(self, tag: u16) -> Option<usize> {
        (0..usize::from(self.entries))
            .map_while(|entry| {
                let at = self.at.checked_add(2 + 12 * entry)?;
                Some((at, self.source.u16_at(at)?))
            })
            .find(|(_, found)| *found == tag)
            .map(|(at, _)| at)
    }

    /// Bytes per value, how many there are, and where they lie.
    fn values(self, tag: u16) -> Option<(usize, Range<usize>)> {
        let entry = self.entry(tag)?;
        let size = match self.source.u16_at(entry + 2)? {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            _ => return None,
        };
        let length = size * self.source.u32_at(entry + 4)? as usize;
        let start = if length <= 4 { entry + 8 } else { self.source.u32_at(entry + 8)? as usize };
        let end = start.checked_add(length).filter(|end| *end <= self.source.bytes.len())?;
        Some((size, start..end))
    }

    /// The first `most` numbers of a tag.
    fn numbers(self, tag: u16, most: usize) -> Vec<u32> {
        let Some((size, range)) = self.values(tag) else { return Vec::new() };
        range
            .step_by(size)
            .take(most)
            .map_while(|at| match size {
                1 => self.source.bytes.get(at).map(|b| u32::from(*b)),
                2 => self.source.u16_at(at).map(u32::from),
                _ => self.source.u32_at(at),
            })
            .collect()
    }

    fn number(self, tag: u16) -> Option<u32> {
        self.numbers(tag, 1).first().copied()
    }
}

/// The name of the camera raw format that poses as the TIFF in `bytes`, if it is one. Such files begin with a small preview, and
/// only raw converters find the exposure. The preview must not be taken for the picture.
pub(super) fn camera_raw(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(8..10) == Some(b"CR") {
        return Some("camera raw (Canon CR2)");
    }
    let source = Source::new(bytes)?;
    let first = source.first()?;
    if first.entry(DNG_VERSION).is_some() {
        return Some("camera raw (DNG)");
    }
    let raw = |directory: Directory<'_>| {
        matches!(directory.number(PHOTOMETRIC), Some(COLOR_FILTER_ARRAY | LINEAR_RAW))
    };
    let inner = first.numbers(SUB_IFDS, 8);
    let exposure = raw(first) || inner.iter().filter_map(|at| source.directory(*at)).any(raw);
    // A directory that is only a preview, and further ones beside it, from a camera: also seen where the exposure's
    // directory lies outside the bytes at hand.
    let preview = first.number(NEW_SUBFILE_TYPE) == Some(1) && first.entry(SUB_IFDS).is_some();
    let make = first.values(MAKE).map(|(_, range)| bytes[range].to_ascii_uppercase());
    let raw = exposure || (preview && make.is_some());
    if !raw {
        return None;
    }
    Some(match make.unwrap_or_default() {
        make if make.starts_with(b"NIKON") => "camera raw (Nikon NEF)",
        make if make.starts_with(b"SONY") => "camera raw (Sony ARW)",
        make if make.starts_with(b"PENTAX") || make.starts_with(b"RICOH") => "camera raw (Pentax PEF)",
        make if make.starts_with(b"SAMSUNG") => "camera raw (Samsung SRW)",
        make if make.starts_with(b"HASSELBLAD") => "camera raw (Hasselblad 3FR)",
        _ => "camera raw",
    })
}

/// For a picture of palette indices: the file with the indices declared to be gray levels, and the palette as
/// 16-bit red, green and blue values, one plane after another.
///
/// The `tiff` crate decodes gray levels but no indices; to both, the samples are the same.
pub(super) fn palette_as_gray(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u16>)> {
    const PALETTE: u32 = 3;
    const BLACK_IS_ZERO: u8 = 1;
    let source = Source::new(bytes)?;
    let first = source.first()?;
    if first.number(PHOTOMETRIC) != Some(PALETTE) {
        return None;
    }
    let (size, range) = first.values(PHOTOMETRIC)?;
    // At most 8 bits an index.
    let map = first.numbers(COLOR_MAP, 3 * 256).into_iter().map(|value| value.min(0xffff) as u16).collect();
    let mut gray = bytes.to_vec();
    let last = if source.little { range.start } else { range.start + size - 1 };
    *gray.get_mut(last)? = BLACK_IS_ZERO;
    Some((gray, map))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: u16, kind: u16, count: u32, value: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        bytes
    }

    /// One directory of three entries at 8, `tail` at 50.
    fn file(entries: [Vec<u8>; 3], tail: &[u8]) -> Vec<u8> {
        [&b"II*\0\x08\0\0\0\x03\0"[..], &entries.concat(), &[0; 4], tail].concat()
    }

    fn filler() -> Vec<u8> {
        entry(256, 4, 1, 9)
    }

    #[test]
    fn raw_files_are_told_from_tiff() {
        let preview = || entry(NEW_SUBFILE_TYPE, 4, 1, 1);
        let nef =
            file([preview(), entry(MAKE, 2, 18, 50), entry(SUB_IFDS, 4, 2, 99)], b"NIKON CORPORATION\0");
        assert_eq!(camera_raw(&nef), Some("camera raw (Nikon NEF)"));
        let dng = file([filler(), filler(), entry(DNG_VERSION, 1, 4, 1)], b"");
        assert_eq!(camera_raw(&dng), Some("camera raw (DNG)"));
        let inner = [&b"\x01\0"[..], &entry(PHOTOMETRIC, 3, 1, COLOR_FILTER_ARRAY)].concat();
        let raw = file([filler(), filler(), entry(SUB_IFDS, 4, 1, 50)], &inner);
        assert_eq!(camera_raw(&raw), Some("camera raw"));
    }

    #[test]
    fn thumbnails_beside_a_picture_do_not_make_it_raw() {
        let inner = [&b"\x01\0"[..], &entry(PHOTOMETRIC, 3, 1, 2)].concat();
        let photo = file([entry(MAKE, 2, 4, 0x004e_4b4e), filler(), entry(SUB_IFDS, 4, 1, 50)], &inner);
        assert_eq!(camera_raw(&photo), None);
    }

    #[test]
    fn broken_directories_are_no_camera_raw() {
        assert_eq!(camera_raw(b"II*\0\xff\xff\xff\xff"), None);
        assert_eq!(camera_raw(b"II*\0\x04\0\0\0"), None);
        // A directory that is its own child, and a tag whose values lie beyond the end.
        assert_eq!(
            camera_raw(&file([entry(SUB_IFDS, 4, 1, 8), entry(MAKE, 2, u32::MAX, 8), filler()], b"")),
            None
        );
        assert_eq!(palette_as_gray(&file([filler(), filler(), filler()], b"")), None);
    }
}
