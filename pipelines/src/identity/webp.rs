//! WebP (RFC 9649).

use std::io::{self, Read, Seek};

use super::stream::{Parts, Stream};

/// The flag of an animation in the extended header.
const ANIMATED: u8 = 0x02;

pub(super) fn read<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<()>> {
    let Some([_, _, _, _, size @ .., _, _, _, _]) = file.array::<12>()? else { return Ok(None) };
    let end = u64::from(u32::from_le_bytes(size)) + 8;
    if end > file.size {
        return Ok(None);
    }
    let (mut at, mut pixels) = (12, false);
    while at + 8 <= end {
        let (Some(kind), Some(length)) = (file.array::<4>()?, file.array()?.map(u32::from_le_bytes)) else {
            return Ok(None);
        };
        // Chunks begin at even places.
        let padded = u64::from(length) + u64::from(length % 2);
        let hashed = match &kind {
            b"VP8 " | b"VP8L" | b"ALPH" | b"ANMF" | b"ANIM" => {
                pixels |= kind != *b"ALPH" && kind != *b"ANIM";
                parts.pixels.update(&kind).update(&length.to_le_bytes());
                file.hash(length.into(), &mut parts.pixels)?.map(|()| u64::from(length))
            }
            b"ICCP" => {
                parts.colors.update(&kind).update(&length.to_le_bytes());
                file.hash(length.into(), &mut parts.colors)?.map(|()| u64::from(length))
            }
            // The extended header comes and goes with metadata. Only the canvas of an animation is not told by its frames.
            b"VP8X" if length == 10 => file.array::<10>()?.map(|[flags, _, _, _, canvas @ ..]| {
                if flags & ANIMATED != 0 {
                    parts.pixels.update(&canvas);
                }
                10
            }),
            _ => Some(0),
        };
        let Some(hashed) = hashed else { return Ok(None) };
        if file.skip(padded - hashed)?.is_none() {
            return Ok(None);
        }
        at += 8 + padded;
    }
    Ok(pixels.then_some(()))
}
