//! PNG (W3C, third edition).

use std::io::{self, Read, Seek};

use super::stream::{Parts, Stream};

pub(super) fn read<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<()>> {
    if file.skip(8)?.is_none() {
        return Ok(None);
    }
    let (mut before, mut pixels) = (*b"    ", false);
    loop {
        let (Some(length), Some(kind)) = (file.array()?.map(u32::from_be_bytes), file.array::<4>()?) else {
            return Ok(None);
        };
        let hasher = match &kind {
            b"IEND" => return Ok(pixels.then_some(())),
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"acTL" | b"fcTL" | b"fdAT" => Some(&mut parts.pixels),
            b"gAMA" | b"cHRM" | b"sRGB" | b"iCCP" | b"cICP" | b"sBIT" => Some(&mut parts.colors),
            _ => None,
        };
        pixels |= kind == *b"IDAT";
        let passed = match hasher {
            Some(hasher) => {
                // Pixels may be cut into pieces anywhere.
                if kind != *b"IDAT" {
                    hasher.update(&kind).update(&length.to_be_bytes());
                } else if before != kind {
                    hasher.update(&kind);
                }
                before = kind;
                file.hash(length.into(), hasher)?
            }
            None => file.skip(length.into())?,
        };
        // The checksum follows from the rest.
        if passed.is_none() || file.skip(4)?.is_none() {
            return Ok(None);
        }
    }
}
