//! JPEG (ITU-T T.81, annex B).

use std::io::{self, Read, Seek};

use super::stream::{Parts, Stream};

/// An ICC profile, and the start of Adobe's marker, which says how colors are stored.
const ICC: &[u8] = b"ICC_PROFILE\0";
const ADOBE: &[u8] = b"Adobe";

/// Reads up to the end of the picture. What follows is another picture, or an appendix of a camera.
pub(super) fn read<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<()>> {
    let mut scans = 0_u32;
    let Some([0xff, 0xd8]) = file.array()? else { return Ok(None) };
    let mut marker = None;
    loop {
        let kind = match marker.take() {
            Some(kind) => kind,
            None => match next_marker(file)? {
                Some(kind) => kind,
                None => return Ok(None),
            },
        };
        match kind {
            0xd9 => return Ok((scans > 0).then_some(())),
            // Stand alone and say nothing.
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let Some(length) = file.array()?.map(u16::from_be_bytes) else { return Ok(None) };
        let Some(length) = length.checked_sub(2) else { return Ok(None) };
        match kind {
            0xe2 | 0xee => {
                let wanted = if kind == 0xe2 { ICC } else { ADOBE };
                let Some(payload) = file.few(length.into())? else { return Ok(None) };
                if payload.starts_with(wanted) {
                    parts.colors.update(&[kind]).update(&length.to_be_bytes()).update(&payload);
                }
            }
            0xe0..=0xef | 0xfe => {
                if file.skip(length.into())?.is_none() {
                    return Ok(None);
                }
            }
            _ => {
                parts.pixels.update(&[0xff, kind]).update(&length.to_be_bytes());
                if file.hash(length.into(), &mut parts.pixels)?.is_none() {
                    return Ok(None);
                }
                if kind == 0xda {
                    scans += 1;
                    match scan(file, parts)? {
                        Some(next) => marker = Some(next),
                        None => return Ok(None),
                    }
                }
            }
        }
    }
}

/// Hashes coded data. Answers the marker that ends it.
fn scan<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<u8>> {
    loop {
        if file.hash_until(0xff, &mut parts.pixels)?.is_none() {
            return Ok(None);
        }
        let mut next = file.array()?;
        while next == Some([0xff]) {
            next = file.array()?;
        }
        match next {
            Some([code @ (0 | 0xd0..=0xd7)]) => {
                parts.pixels.update(&[0xff, code]);
            }
            next => return Ok(next.map(|[code]| code)),
        }
    }
}

/// The next marker. Decoders pass over what stands before it, and over fill bytes.
fn next_marker<R: Read + Seek>(file: &mut Stream<R>) -> io::Result<Option<u8>> {
    loop {
        let Some([byte]) = file.array()? else { return Ok(None) };
        if byte != 0xff {
            continue;
        }
        loop {
            match file.array()? {
                None => return Ok(None),
                Some([0xff]) => {}
                Some([0]) => break,
                Some([kind]) => return Ok(Some(kind)),
            }
        }
    }
}
