//! A copy of a GIF that decoders accept where they would refuse the file.

use std::borrow::Cow;

use super::Tolerated;
use super::raster::Container;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;

/// Looks at the blocks up to the first picture.
pub(super) fn read(bytes: &[u8]) -> Container<'_> {
    let mut container = Container::new(bytes);
    if let Some((clean, tolerated)) = clean(bytes) {
        (container.bytes, container.tolerated) = (Cow::Owned(clean), tolerated);
    }
    container
}

/// `None` if there is nothing to mend.
fn clean(bytes: &[u8]) -> Option<(Vec<u8>, Vec<Tolerated>)> {
    let screen = bytes.get(..13)?;
    let colors = if screen[10] & 0x80 == 0 { 0 } else { 3 << ((screen[10] & 7) + 1) };
    let mut at = 13 + colors;
    let mut clean = bytes.get(..at)?.to_vec();
    let mut tolerated = Vec::new();
    while *bytes.get(at)? == EXTENSION {
        let kind = *bytes.get(at + 1)?;
        let start = at;
        at += 2;
        // Blocks of a length and as many bytes, up to an empty one.
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
        // Plain text, graphic control, comment, application.
        if matches!(kind, 0x01 | 0xf9 | 0xfe | 0xff) {
            clean.extend_from_slice(bytes.get(start..at)?);
        } else {
            tolerated.push(Tolerated::UnknownBlocks);
        }
    }
    if *bytes.get(at)? != IMAGE {
        return None;
    }
    if screen[6..8] == [0, 0] || screen[8..10] == [0, 0] {
        let number = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let [left, top, width, height] = [number(at + 1)?, number(at + 3)?, number(at + 5)?, number(at + 7)?];
        clean[6..8].copy_from_slice(&left.saturating_add(width).to_le_bytes());
        clean[8..10].copy_from_slice(&top.saturating_add(height).to_le_bytes());
        tolerated.push(Tolerated::NoScreen);
    }
    tolerated.dedup();
    if tolerated.is_empty() {
        return None;
    }
    clean.extend_from_slice(&bytes[at..]);
    Some((clean, tolerated))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = b"\x2c\x01\0\0\0\x03\0\x02\0\0...";

    #[test]
    fn the_screen_takes_the_size_of_the_picture() {
        let gif = [&b"GIF89a\0\0\0\0\0\0\0"[..], PICTURE].concat();
        let container = read(&gif);
        assert_eq!(container.bytes[6..10], [4, 0, 2, 0]);
        assert_eq!(container.tolerated, [Tolerated::NoScreen]);
    }

    #[test]
    fn unknown_blocks_are_left_out() {
        let head = b"GIF89a\x04\0\x02\0\0\0\0";
        let known = b"\x21\xfe\x02hi\0";
        let gif = [&head[..], b"\x21\x99\x03abc\x01d\0", known, PICTURE].concat();
        assert_eq!(*read(&gif).bytes, *[&head[..], known, PICTURE].concat());
        let gif = [&head[..], known, PICTURE].concat();
        assert!(matches!(read(&gif).bytes, Cow::Borrowed(_)));
        for end in 0..gif.len() {
            assert!(read(&gif[..end]).tolerated.is_empty());
        }
    }
}
