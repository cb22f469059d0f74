//! What a WebP says about its picture, and a copy with a right container where decoders would refuse the file's own.

use std::borrow::Cow;

use super::light::Light;
use super::raster::Container;
use super::{DecodeError, Format, Tolerated, orientation};

const ICC: u8 = 0x20;
const EXIF: u8 = 0x08;
const XMP: u8 = 0x04;
/// Profiles of printers have megabytes. More is no profile.
const PROFILE: usize = 16 << 20;

/// Reads the chunks. Refuses a file that ends within one of them.
pub(super) fn read(bytes: &[u8]) -> Result<Container<'_>, DecodeError> {
    let mut container = Container::new(bytes);
    let mut clean = b"RIFF\0\0\0\0WEBP".to_vec();
    let (mut flags_at, mut there) = (None, 0);
    let mut at = 12;
    let mut tolerated = Vec::new();
    while let Some((kind, length)) = header(bytes, at) {
        let start = at + 8;
        let Some(content) = start.checked_add(length).and_then(|end| bytes.get(start..end)) else {
            // What follows the picture is not needed.
            if container.light.is_some() || matches!(kind, b"EXIF" | b"XMP ") {
                break;
            }
            let reason =
                format!("the file has {} bytes of the {} that it announces", bytes.len(), start + length);
            return Err(DecodeError::Truncated { format: Format::WebP, reason });
        };
        match kind {
            b"VP8X" => flags_at = Some(clean.len() + 8),
            b"ICCP" if length <= PROFILE => {
                there |= ICC;
                container.light = Some(Light::Icc(content.to_vec()));
            }
            b"ICCP" => tolerated.push(Tolerated::HugeProfile),
            b"EXIF" => {
                there |= EXIF;
                container.orientation = orientation::of_exif(content);
            }
            b"XMP " => there |= XMP,
            _ => {}
        }
        // Metadata were read above.
        if !matches!(kind, b"ICCP" | b"EXIF" | b"XMP ") {
            clean.extend_from_slice(&bytes[at..start]);
            clean.extend_from_slice(content);
            clean.resize(clean.len() + length % 2, 0);
        }
        at = start + length + length % 2;
    }
    let announced = header(bytes, 0).map_or(0, |(_, length)| length + 8);
    if at > bytes.len() {
        tolerated.push(Tolerated::NoPadding);
    } else if announced > bytes.len() {
        tolerated.push(Tolerated::WrongLength);
    }
    if let Some(flags) = flags_at.and_then(|at| clean.get_mut(at)) {
        if *flags & (ICC | EXIF | XMP) & !there != 0 {
            tolerated.push(Tolerated::MissingMetadata);
        }
        *flags &= !(ICC | EXIF | XMP);
    }
    if !tolerated.is_empty() {
        let length = (clean.len() - 8) as u32;
        clean[4..8].copy_from_slice(&length.to_le_bytes());
        container.bytes = Cow::Owned(clean);
        container.tolerated = tolerated;
    }
    Ok(container)
}

/// Kind and length of the chunk at `at`.
fn header(bytes: &[u8], at: usize) -> Option<(&[u8; 4], usize)> {
    let kind = bytes.get(at..)?.first_chunk()?;
    let length = u32::from_le_bytes(*bytes.get(at + 4..)?.first_chunk()?);
    Some((kind, length as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let padding = vec![0; content.len() % 2];
        [&kind[..], &(content.len() as u32).to_le_bytes(), content, &padding].concat()
    }

    fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
        let content = [&b"WEBP"[..], &chunks.concat()].concat();
        [&b"RIFF"[..], &(content.len() as u32).to_le_bytes(), &content].concat()
    }

    #[test]
    fn the_container_is_mended() {
        let whole = webp(&[chunk(b"VP8X", &[0; 10]), chunk(b"VP8 ", b"abc")]);
        let tolerated = |bytes: &[u8]| {
            let container = read(bytes).expect("is whole");
            assert!(container.tolerated.is_empty() || *container.bytes == *whole, "{:?}", container.bytes);
            container.tolerated
        };
        assert_eq!(tolerated(&whole), []);
        assert_eq!(tolerated(&whole[..whole.len() - 1]), [Tolerated::NoPadding]);
        for flag in [ICC, EXIF, XMP] {
            let mut announced = whole.clone();
            announced[20] = flag;
            assert_eq!(tolerated(&announced), [Tolerated::MissingMetadata]);
        }
        let mut long = whole.clone();
        long[4] += 10;
        assert_eq!(tolerated(&long), [Tolerated::WrongLength]);
    }

    #[test]
    fn a_picture_that_is_cut_off_is_refused() {
        let whole = webp(&[chunk(b"VP8 ", b"abcd")]);
        assert!(read(&whole[..whole.len() - 1]).is_err());
        let more = webp(&[chunk(b"VP8 ", b"abcd"), chunk(b"EXIF", b"abcd")]);
        assert!(read(&more[..more.len() - 1]).is_ok());
    }
}
