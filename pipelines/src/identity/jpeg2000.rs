//! JPEG 2000 in boxes (ITU-T T.800, annex I). A bare codestream is its bytes.

use std::io::{self, Read, Seek};

use super::stream::{Parts, Stream};

pub(super) fn read<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<()>> {
    let (mut at, mut pixels) = (0_u64, false);
    while at < file.size {
        let (Some(length), Some(kind)) = (file.array()?.map(u32::from_be_bytes), file.array::<4>()?) else {
            return Ok(None);
        };
        let (header, length) = match length {
            0 => (8, file.size - at),
            1 => match file.array()?.map(u64::from_be_bytes) {
                Some(length) => (16, length),
                None => return Ok(None),
            },
            length => (8, u64::from(length)),
        };
        let Some(content) = length.checked_sub(header).filter(|_| length <= file.size - at) else {
            return Ok(None);
        };
        let passed = match &kind {
            b"jp2h" | b"jp2c" => {
                pixels |= kind == *b"jp2c";
                parts.pixels.update(&kind).update(&content.to_be_bytes());
                file.hash(content, &mut parts.pixels)?
            }
            _ => file.skip(content)?,
        };
        if passed.is_none() {
            return Ok(None);
        }
        at += length;
    }
    Ok(pixels.then_some(()))
}
