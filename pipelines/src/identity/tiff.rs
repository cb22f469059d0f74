//! TIFF 6.0 and BigTIFF. Programs that write metadata move everything, so places do not count, and contents do.

use std::io::{self, Read, Seek};

use super::stream::{Parts, Stream};

/// Tags that say what pixels mean, by TIFF 6.0 and its supplements, in the order in which they are hashed: size, depth, compression,
/// meaning, order of bits, samples, rows, layout, fax options, transfer function, predictor, white point, primaries, palette, tiles,
/// inks, further samples, format, ranges, JPEG tables, YCbCr and reference values.
const MEANING: &[u16] = &[
    256, 257, 258, 259, 262, 266, 277, 278, 284, 292, 293, 301, 317, 318, 319, 320, 322, 323, 332, 338, 339,
    340, 341, 347, 529, 530, 531, 532,
];
const SUBFILE: u16 = 254;
const COMPRESSION: u16 = 259;
const ICC: u16 = 34675;
/// Where strips and tiles lie, and how long they are.
const PIECES: [(u16, u16); 2] = [(273, 279), (324, 325)];
/// JPEG as TIFF 6.0 had it: its parts lie anywhere.
const OLD_JPEG: u64 = 6;
/// More pages, tags of a page, or pieces of a page than any program writes.
const MOST_PAGES: usize = 4096;
const MOST_TAGS: u64 = 4096;
const MOST_PIECES: u64 = 1 << 20;
/// The most bytes of a value that says what pixels mean: a palette of 16 bits has 393,216.
const LONGEST_VALUE: u64 = 16 << 20;

/// How numbers are written.
#[derive(Clone, Copy)]
struct Numbers {
    little: bool,
    /// BigTIFF: offsets and counts have eight bytes.
    big: bool,
}

/// A tag with the place of its values.
#[derive(Clone, Copy)]
struct Tag {
    tag: u16,
    kind: u16,
    count: u64,
    /// Bytes of all values.
    length: u64,
    at: u64,
}

pub(super) fn read<R: Read + Seek>(file: &mut Stream<R>, parts: &mut Parts) -> io::Result<Option<()>> {
    let Some(head) = file.array::<4>()? else { return Ok(None) };
    let numbers = Numbers { little: head[0] == b'I', big: head[2] == 43 || head[3] == 43 };
    if numbers.big && file.skip(4)?.is_none() {
        return Ok(None);
    }
    let Some(mut next) = numbers.word(file)? else { return Ok(None) };
    let (mut pages, mut left) = (0, file.size);
    for _ in 0..MOST_PAGES {
        if next == 0 {
            return Ok((pages > 0).then_some(()));
        }
        if file.go(next)?.is_none() {
            return Ok(None);
        }
        let Some((tags, after)) = directory(file, numbers)? else { return Ok(None) };
        let is_reduced = match number(file, numbers, &tags, SUBFILE)? {
            Found::Broken => return Ok(None),
            Found::Is(kind) => kind & 1 == 1,
            Found::No => false,
        };
        // Reduced pictures are thumbnails.
        if !is_reduced {
            if page(file, numbers, &tags, &mut left, parts)?.is_none() {
                return Ok(None);
            }
            pages += 1;
        }
        next = after;
    }
    // So many pages, or a circle of them.
    Ok(None)
}

/// Hashes a page. `left` is how many bytes of pixels the file may still have: pieces that lie on each other would be endless.
fn page<R: Read + Seek>(
    file: &mut Stream<R>,
    numbers: Numbers,
    tags: &[Tag],
    left: &mut u64,
    parts: &mut Parts,
) -> io::Result<Option<()>> {
    match number(file, numbers, tags, COMPRESSION)? {
        Found::Broken | Found::Is(OLD_JPEG) => return Ok(None),
        _ => {}
    }
    parts.pixels.update(b"page").update(&[u8::from(numbers.little)]);
    for tag in MEANING.iter().filter_map(|wanted| tags.iter().find(|tag| tag.tag == *wanted)) {
        if value(file, tag, &mut parts.pixels)?.is_none() {
            return Ok(None);
        }
    }
    if let Some(tag) = tags.iter().find(|tag| tag.tag == ICC)
        && value(file, tag, &mut parts.colors)?.is_none()
    {
        return Ok(None);
    }
    for (places, lengths) in PIECES {
        let find = |wanted| tags.iter().find(|tag| tag.tag == wanted);
        let (Some(places), Some(lengths)) = (find(places), find(lengths)) else { continue };
        let (Some(places), Some(lengths)) = (all(file, numbers, places)?, all(file, numbers, lengths)?)
        else {
            return Ok(None);
        };
        if places.len() != lengths.len() || places.is_empty() {
            return Ok(None);
        }
        parts.pixels.update(&(places.len() as u64).to_le_bytes());
        for (place, length) in places.into_iter().zip(lengths) {
            let Some(rest) = left.checked_sub(length) else { return Ok(None) };
            *left = rest;
            parts.pixels.update(&length.to_le_bytes());
            if file.go(place)?.is_none() || file.hash(length, &mut parts.pixels)?.is_none() {
                return Ok(None);
            }
        }
        return Ok(Some(()));
    }
    Ok(None)
}

/// The tags of a directory, and where the next one is.
fn directory<R: Read + Seek>(file: &mut Stream<R>, numbers: Numbers) -> io::Result<Option<(Vec<Tag>, u64)>> {
    let count = match numbers.big {
        true => file.array()?.map(|bytes| numbers.u64(bytes)),
        false => file.array()?.map(|bytes| numbers.u16(bytes).into()),
    };
    let Some(count) = count.filter(|count| *count <= MOST_TAGS) else { return Ok(None) };
    let mut tags = Vec::new();
    for _ in 0..count {
        let (Some(tag), Some(kind), Some(count)) = (file.array()?, file.array()?, numbers.word(file)?) else {
            return Ok(None);
        };
        let (tag, kind) = (numbers.u16(tag), numbers.u16(kind));
        let here = file.place();
        let Some(at) = numbers.word(file)? else { return Ok(None) };
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            // A kind of values that is not known: the tag is not, either.
            _ => continue,
        };
        let Some(length) = count.checked_mul(size) else { return Ok(None) };
        let at = if length <= numbers.bytes_of_word() { here } else { at };
        tags.push(Tag { tag, kind, count, length, at });
    }
    Ok(numbers.word(file)?.map(|next| (tags, next)))
}

/// Hashes a tag with its values.
fn value<R: Read + Seek>(
    file: &mut Stream<R>,
    tag: &Tag,
    hasher: &mut blake3::Hasher,
) -> io::Result<Option<()>> {
    if tag.length > LONGEST_VALUE {
        return Ok(None);
    }
    hasher.update(&tag.tag.to_le_bytes()).update(&tag.kind.to_le_bytes()).update(&tag.count.to_le_bytes());
    match file.go(tag.at)? {
        Some(()) => file.hash(tag.length, hasher),
        None => Ok(None),
    }
}

/// All whole numbers of a tag.
fn all<R: Read + Seek>(file: &mut Stream<R>, numbers: Numbers, tag: &Tag) -> io::Result<Option<Vec<u64>>> {
    if tag.count > MOST_PIECES || tag.length > file.size || file.go(tag.at)?.is_none() {
        return Ok(None);
    }
    let mut all = Vec::new();
    for _ in 0..tag.count {
        let number = match tag.kind {
            3 => file.array()?.map(|bytes| numbers.u16(bytes).into()),
            4 | 13 => file.array()?.map(|bytes| numbers.u32(bytes).into()),
            16 | 18 => file.array()?.map(|bytes| numbers.u64(bytes)),
            _ => None,
        };
        let Some(number) = number else { return Ok(None) };
        all.push(number);
    }
    Ok(Some(all))
}

/// What is known of a tag's first number.
enum Found {
    Is(u64),
    No,
    Broken,
}

fn number<R: Read + Seek>(
    file: &mut Stream<R>,
    numbers: Numbers,
    tags: &[Tag],
    wanted: u16,
) -> io::Result<Found> {
    let Some(tag) = tags.iter().find(|tag| tag.tag == wanted) else { return Ok(Found::No) };
    let first = all(file, numbers, &Tag { count: 1, ..*tag })?;
    Ok(first.and_then(|all| all.first().copied()).map_or(Found::Broken, Found::Is))
}

impl Numbers {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }

    fn u64(self, bytes: [u8; 8]) -> u64 {
        if self.little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) }
    }

    /// Bytes of an offset or a count.
    fn bytes_of_word(self) -> u64 {
        if self.big { 8 } else { 4 }
    }

    /// An offset or a count.
    fn word<R: Read + Seek>(self, file: &mut Stream<R>) -> io::Result<Option<u64>> {
        match self.big {
            true => Ok(file.array()?.map(|bytes| self.u64(bytes))),
            false => Ok(file.array()?.map(|bytes| self.u32(bytes).into())),
        }
    }
}
