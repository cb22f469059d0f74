//! What a PNG says about its picture, and a copy that decoders accept where they would refuse the file.

use std::borrow::Cow;
use std::io::Read;

use flate2::Crc;
use flate2::read::ZlibDecoder;

use super::light::Light;
use super::raster::Container;
use super::{Tolerated, orientation};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Profiles of printers have megabytes. More is no profile.
const PROFILE: usize = 16 << 20;
/// EXIF that programs wrote as text, in letters for each half of a byte.
const EXIF_TEXT: usize = 1 << 20;

/// Content of a chunk, with where it begins and how long it is with its frame.
struct Chunk<'a> {
    kind: [u8; 4],
    content: &'a [u8],
    /// From its length to its checksum, as far as the file goes.
    whole: &'a [u8],
}

/// The chunks of a file. The last one may be cut off.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let kind = *rest.get(4..)?.first_chunk()?;
        let end = length.saturating_add(12).min(rest.len());
        let (whole, after) = rest.split_at(end);
        rest = after;
        let content = &whole[8.min(whole.len())..length.saturating_add(8).min(whole.len())];
        Some(Chunk { kind, content, whole })
    })
}

/// Reads the chunks that matter.
pub(super) fn read(bytes: &[u8]) -> Container<'_> {
    let mut container = Container::new(bytes);
    let (mut exif, mut text) = (None, None);
    let (mut icc, mut srgb, mut gamma, mut primaries, mut coded) = (None, false, None, None, None);
    let (mut apple, mut ended, mut huge) = (false, false, false);
    let mut picture = false;
    for Chunk { kind, content, .. } in chunks(bytes) {
        match &kind {
            b"CgBI" => apple = true,
            b"IDAT" => picture = true,
            b"IEND" => ended = true,
            b"eXIf" => exif = exif.or(Some(orientation::of_exif(content))),
            b"zTXt" | b"tEXt" | b"iTXt" => text = text.or_else(|| orientation_in_text(kind, content)),
            b"iCCP" => match profile(content) {
                Some(Ok(profile)) => icc = Some(profile),
                Some(Err(())) => huge = true,
                None => {}
            },
            b"sRGB" => srgb = true,
            b"gAMA" => gamma = content.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
            b"cHRM" => {
                let numbers = content
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|four| u32::from_be_bytes(*four) as f32 / 100_000.0);
                primaries = numbers.collect::<Vec<f32>>().try_into().ok();
            }
            b"cICP" => {
                // Pictures in a file are red, green and blue in full range.
                if let [primaries, transfer, 0, 1] = content {
                    coded = Some(Light::Coded { primaries: *primaries, transfer: *transfer });
                }
            }
            _ => {}
        }
    }
    container.orientation = exif.or(text).unwrap_or(1);
    // The order of the PNG specification, third edition, 4.3.
    container.light = coded.or(icc.map(Light::Icc)).or_else(|| {
        let gamma = gamma.filter(|gamma| *gamma > 0 && !srgb)?;
        Some(Light::Power { exponent: 100_000.0 / gamma as f32, primaries })
    });
    container.apple = apple;
    if apple || huge || (picture && !ended) {
        container.bytes = Cow::Owned(rewrite(bytes, apple));
        let wrong =
            [(apple, Tolerated::ApplePng), (huge, Tolerated::HugeProfile), (!ended, Tolerated::NoEndMarker)];
        container.tolerated.extend(wrong.into_iter().filter(|(is, _)| *is).map(|(_, what)| what));
    }
    container
}

/// The profile of an `iCCP` chunk; an error if it is too large.
fn profile(content: &[u8]) -> Option<Result<Vec<u8>, ()>> {
    let name = content.iter().position(|byte| *byte == 0)?;
    let packed = content.get(name + 2..)?;
    Some(unpacked(packed, PROFILE)?.ok_or(()))
}

/// Inflates; the inner `None` if there are more than `most` bytes.
fn unpacked(packed: &[u8], most: usize) -> Option<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).take(most as u64 + 1).read_to_end(&mut bytes).ok()?;
    Some((bytes.len() <= most).then_some(bytes))
}

/// The orientation in a `Raw profile type exif`, as ImageMagick, GIMP and darktable write it.
fn orientation_in_text(kind: [u8; 4], content: &[u8]) -> Option<u8> {
    let name = content.iter().position(|byte| *byte == 0)?;
    if !matches!(&content[..name], b"Raw profile type exif" | b"Raw profile type APP1") {
        return None;
    }
    let rest = content.get(name + 1..)?;
    let text: Cow<'_, [u8]> = match &kind {
        b"zTXt" => unpacked(rest.get(1..)?, 2 * EXIF_TEXT)??.into(),
        b"tEXt" => rest.into(),
        _ => {
            // Whether it is compressed, how, language, translated name.
            let [packed, _, rest @ ..] = rest else { return None };
            let mut parts = rest.splitn(3, |byte| *byte == 0).skip(2);
            let text = parts.next()?;
            if *packed == 1 { unpacked(text, 2 * EXIF_TEXT)??.into() } else { text.into() }
        }
    };
    // A line with the name, one with the length, then the bytes.
    let mut lines = text.trim_ascii_start().splitn(3, |byte| *byte == b'\n');
    let digits = lines.nth(2)?.iter().filter_map(|digit| char::from(*digit).to_digit(16));
    let digits: Vec<u8> = digits.take(2 * EXIF_TEXT).map(|digit| digit as u8).collect();
    let exif: Vec<u8> = digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect();
    Some(orientation::of_exif(&exif))
}

/// The same picture with nothing but what decoders need, and with an end.
fn rewrite(bytes: &[u8], apple: bool) -> Vec<u8> {
    let mut clean = SIGNATURE.to_vec();
    // Apple leaves out what frames the compressed pixels. Decoders do not look at the checksum.
    let mut before: &[u8] = if apple { b"\x78\x01" } else { b"" };
    for Chunk { kind, content, whole } in chunks(bytes) {
        match &kind {
            b"IDAT" if apple => push(&mut clean, kind, &[std::mem::take(&mut before), content].concat()),
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" if whole.len() == content.len() + 12 => {
                clean.extend_from_slice(whole);
            }
            b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" => push(&mut clean, kind, content),
            _ => {}
        }
    }
    if apple {
        push(&mut clean, *b"IDAT", &[0; 4]);
    }
    push(&mut clean, *b"IEND", b"");
    clean
}

fn push(clean: &mut Vec<u8>, kind: [u8; 4], content: &[u8]) {
    let mut checksum = Crc::new();
    checksum.update(&kind);
    checksum.update(content);
    clean.extend((content.len() as u32).to_be_bytes());
    clean.extend(kind);
    clean.extend_from_slice(content);
    clean.extend(checksum.sum().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(parts: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut png = SIGNATURE.to_vec();
        parts.iter().for_each(|(kind, content)| push(&mut png, **kind, content));
        png
    }

    const TURNED: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

    #[test]
    fn the_orientation_is_found_wherever_programs_put_it() {
        let hex: String = TURNED.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("Raw profile type exif\0\nexif\n      {}\n{hex}\n", TURNED.len());
        for part in [(b"eXIf", TURNED), (b"tEXt", text.as_bytes())] {
            let before = png(&[part, (b"IDAT", b"..."), (b"IEND", b"")]);
            let behind = png(&[(b"IDAT", b"..."), part, (b"IEND", b"")]);
            assert_eq!((read(&before).orientation, read(&behind).orientation), (6, 6));
        }
        assert_eq!(read(&png(&[(b"tEXt", b"Title\0exif\n4\n4949"), (b"IEND", b"")])).orientation, 1);
    }

    #[test]
    fn colors_are_told_by_the_strongest_chunk() {
        let light = |parts: &[(&[u8; 4], &[u8])]| read(&png(parts)).light;
        let gamma: (&[u8; 4], &[u8]) = (b"gAMA", &100_000_u32.to_be_bytes());
        assert_eq!(light(&[gamma]), Some(Light::Power { exponent: 1.0, primaries: None }));
        assert_eq!(light(&[gamma, (b"sRGB", b"\0")]), None);
        let coded = Some(Light::Coded { primaries: 9, transfer: 16 });
        assert_eq!(light(&[(b"cICP", &[9, 16, 0, 1]), gamma]), coded);
        assert_eq!(light(&[(b"gAMA", &[0; 4])]), None);
    }

    #[test]
    fn an_end_is_added_and_nothing_is_copied_otherwise() {
        let whole = png(&[(b"IHDR", b"header"), (b"IDAT", b"..."), (b"IEND", b"")]);
        assert!(matches!(read(&whole).bytes, Cow::Borrowed(_)));
        for missing in [9, 12, 14] {
            let cut = read(&whole[..whole.len() - missing]);
            assert_eq!(
                (&*cut.bytes, &cut.tolerated[..]),
                (&whole[..], &[Tolerated::NoEndMarker][..]),
                "{missing}"
            );
        }
        let empty = read(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT");
        assert_eq!(empty.orientation, 1);
    }
}
