//! GIF (89a).

use std::io::{self, Read, Seek};

use super::stream::{Parts, Stream};

/// The application extension that holds an ICC profile.
const ICC: &[u8] = b"ICCRGBG1012";

pub(super) fn read<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<()>> {
    // The version changes with the first comment.
    let Some([.., w1, w2, h1, h2, flags, background, aspect]) = file.array::<13>()? else { return Ok(None) };
    parts.pixels.update(&[w1, w2, h1, h2, flags, background, aspect]);
    if table(file, flags, parts)?.is_none() {
        return Ok(None);
    }
    let mut frames = 0_u32;
    loop {
        let passed = match file.array()? {
            Some([0x3b]) => return Ok((frames > 0).then_some(())),
            Some([0x2c]) => {
                frames += 1;
                frame(file, parts)?
            }
            Some([0x21]) => extension(file, parts)?,
            // Between blocks.
            Some([0]) => Some(()),
            _ => None,
        };
        if passed.is_none() {
            return Ok(None);
        }
    }
}

/// A table of colors, if the flags say that there is one.
fn table<R: Read + Seek>(file: &mut Stream<R>, flags: u8, parts: &mut Parts) -> io::Result<Option<()>> {
    if flags & 0x80 == 0 {
        return Ok(Some(()));
    }
    file.hash(3 << ((flags & 7) + 1), &mut parts.pixels)
}

fn frame<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<()>> {
    let Some(place @ [.., flags]) = file.array::<9>()? else { return Ok(None) };
    parts.pixels.update(&[0x2c]).update(&place);
    if table(file, flags, parts)?.is_none() {
        return Ok(None);
    }
    let Some(size) = file.array::<1>()? else { return Ok(None) };
    parts.pixels.update(&size);
    blocks(file, Some(&mut parts.pixels))
}

fn extension<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<()>> {
    match file.array()? {
        // How a frame is shown, and text that belongs to the picture.
        Some([label @ (0xf9 | 0x01)]) => {
            parts.pixels.update(&[0x21, label]);
            blocks(file, Some(&mut parts.pixels))
        }
        Some([0xff]) => {
            let Some([length]) = file.array()? else { return Ok(None) };
            let Some(name) = file.few(length.into())? else { return Ok(None) };
            blocks(file, (name == ICC).then_some(&mut parts.colors))
        }
        Some(_) => blocks(file, None),
        None => Ok(None),
    }
}

/// Blocks up to an empty one.
fn blocks<R: Read + Seek>(
    file: &mut Stream<R>,
    mut hasher: Option<&mut blake3::Hasher>,
) -> io::Result<Option<()>> {
    loop {
        let Some([length]) = file.array()? else { return Ok(None) };
        if let Some(hasher) = &mut hasher {
            hasher.update(&[length]);
        }
        let passed = match &mut hasher {
            _ if length == 0 => return Ok(Some(())),
            Some(hasher) => file.hash(length.into(), hasher)?,
            None => file.skip(length.into())?,
        };
        if passed.is_none() {
            return Ok(None);
        }
    }
}
