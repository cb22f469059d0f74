//! What a BMP says about its picture, and a copy that decoders accept where they would refuse the file.

use std::borrow::Cow;

use super::light::Light;
use super::raster::Container;
use super::{DecodeError, Format, Tolerated};

/// Bytes of the file's header, before that of the picture.
const FILE: usize = 14;
const INFO: usize = 40;
const V5: usize = 124;

/// Reads the header. Refuses a file that is shorter than it says, before memory is allocated for a large picture.
pub(super) fn read(bytes: &[u8]) -> Result<Container<'_>, DecodeError> {
    let mut container = Container::new(bytes);
    let Some(size) = u32_at(bytes, FILE) else { return Ok(container) };
    // What OS/2 2 has behind the first 16 bytes may be missing.
    if matches!(size, 16..=39) || size == 64 {
        container.bytes = Cow::Owned(as_windows(bytes, size as usize)?);
        container.tolerated.push(Tolerated::OddHeader);
    }
    let bytes = &container.bytes;
    if size >= INFO as u32 && bytes.get(FILE + 12..FILE + 14) == Some(&[0, 0]) {
        container.tolerated.push(Tolerated::OddHeader);
        container.bytes.to_mut()[FILE + 12] = 1;
    }
    container.light = profile(&container.bytes);
    if let Some((expected, padding)) = length(&container.bytes) {
        let has = container.bytes.len();
        if expected > has + padding {
            let reason = format!("the file has {has} bytes of the {expected} that it announces");
            return Err(DecodeError::Truncated { format: Format::Bmp, reason });
        }
        if expected > has {
            container.tolerated.push(Tolerated::NoPadding);
            container.bytes.to_mut().resize(expected, 0);
        }
    }
    Ok(container)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The same with the header of Windows 3: the fields of OS/2 2 begin with the same ones.
fn as_windows(bytes: &[u8], size: usize) -> Result<Vec<u8>, DecodeError> {
    let compression = if size >= 20 { u32_at(bytes, FILE + 16).unwrap_or(0) } else { 0 };
    if compression > 2 {
        let reason = format!("compression {compression} of OS/2");
        return Err(DecodeError::Feature { format: Format::Bmp, reason });
    }
    let end = (FILE + size).min(bytes.len());
    let (header, rest) = (&bytes[..end.min(FILE + INFO)], &bytes[end..]);
    let mut windows = header.to_vec();
    windows.resize(FILE + INFO, 0);
    windows[FILE..FILE + 4].copy_from_slice(&(INFO as u32).to_le_bytes());
    let start = u32_at(bytes, 10).unwrap_or(0);
    let moved = (i64::from(start) + INFO as i64 - size as i64).clamp(0, i64::from(u32::MAX)) as u32;
    windows[10..14].copy_from_slice(&moved.to_le_bytes());
    windows.extend_from_slice(rest);
    Ok(windows)
}

/// Where the pixels end, if they are not compressed, and how many bytes before only fill up the last row.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (offset, header) = (u32_at(bytes, 10)?, u32_at(bytes, FILE)?);
    if header < INFO as u32 || !matches!(u32_at(bytes, FILE + 16)?, 0 | 3) {
        return None;
    }
    let (width, height) = (u32_at(bytes, FILE + 4)? as i32, u32_at(bytes, FILE + 8)? as i32);
    let bits = (u32_at(bytes, FILE + 14)? & 0xffff) as usize;
    let used = (width.unsigned_abs() as usize).checked_mul(bits)?.div_ceil(8);
    let row = used.checked_next_multiple_of(4)?;
    let expected = row.checked_mul(height.unsigned_abs() as usize)?.checked_add(offset as usize)?;
    Some((expected, row - used))
}

/// The embedded profile of a header of version 5.
fn profile(bytes: &[u8]) -> Option<Light> {
    if u32_at(bytes, FILE)? < V5 as u32 || u32_at(bytes, FILE + 56)? != u32::from_be_bytes(*b"MBED") {
        return None;
    }
    let start = FILE.checked_add(u32_at(bytes, FILE + 112)? as usize)?;
    let end = start.checked_add(u32_at(bytes, FILE + 116)? as usize)?;
    Some(Light::Icc(bytes.get(start..end)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of three pixels in 24 bits: nine bytes each, and three that fill up.
    fn bmp(header: &[u8], pixels: usize) -> Vec<u8> {
        let mut file = b"BM\0\0\0\0\0\0\0\0".to_vec();
        file.extend(((FILE + header.len()) as u32).to_le_bytes());
        file.extend_from_slice(header);
        file.resize(file.len() + pixels, 7);
        file
    }

    fn header(size: usize, planes: u8) -> Vec<u8> {
        let mut header = vec![size as u8, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, planes, 0, 24, 0];
        header.resize(size, 0);
        header
    }

    #[test]
    fn headers_of_other_systems_are_understood() {
        let usual = bmp(&header(40, 1), 24);
        for size in [16, 24, 64] {
            let file = bmp(&header(size, 1), 24);
            let container = read(&file).expect("is whole");
            assert_eq!(
                (&*container.bytes, &container.tolerated[..]),
                (&usual[..], &[Tolerated::OddHeader][..])
            );
        }
        assert_eq!(*read(&bmp(&header(40, 0), 24)).expect("is whole").bytes, *usual);
        assert!(read(&usual).expect("is whole").tolerated.is_empty());
        let mut fax = header(64, 1);
        fax[16] = 3;
        assert!(read(&bmp(&fax, 24)).is_err());
    }

    #[test]
    fn only_padding_may_be_missing() {
        for (pixels, whole) in [(24, true), (22, true), (21, true), (20, false), (0, false)] {
            let file = bmp(&header(40, 1), pixels);
            assert_eq!(read(&file).is_ok(), whole, "{pixels}");
        }
        let file = bmp(&header(40, 1), 21);
        assert_eq!(read(&file).expect("is whole").bytes.len(), FILE + INFO + 24);
    }
}
