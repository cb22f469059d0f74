//! Reads TIFF's directories, which EXIF uses, too. Each tag is read for itself, so damage elsewhere costs nothing.

use std::ops::Range;

/// The bytes of a file of directories, and how to read its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether numbers begin with their lowest byte.
    pub(super) little: bool,
    /// BigTIFF: offsets and counts have eight bytes.
    big: bool,
}

/// One directory: an entry for each tag, then the offset of the next directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory<'a> {
    source: Source<'a>,
    /// Of the first entry.
    at: usize,
    /// How many there are, by the directory's own account.
    entries: usize,
}

/// The values of a tag.
struct Values {
    kind: u16,
    /// Bytes of each.
    size: usize,
    range: Range<usize>,
}

impl<'a> Source<'a> {
    /// Reads the header, which is eight bytes, or 16 of BigTIFF.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (little, big) = match bytes.first_chunk::<4>()? {
            b"II*\0" => (true, false),
            b"MM\0*" => (false, false),
            b"II+\0" => (true, true),
            b"MM\0+" => (false, true),
            _ => return None,
        };
        Some(Self { bytes, little, big })
    }

    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        let mut array = *self.bytes.get(at..)?.first_chunk::<N>()?;
        if self.little {
            array.reverse();
        }
        Some(array)
    }

    fn u16_at(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    fn u32_at(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    /// An offset or a count.
    fn word_at(self, at: usize) -> Option<usize> {
        if self.big {
            usize::try_from(u64::from_be_bytes(self.array(at)?)).ok()
        } else {
            self.u32_at(at).map(|word| word as usize)
        }
    }

    fn word(self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// The first directory.
    pub(super) fn first(self) -> Option<Directory<'a>> {
        self.directory(self.word_at(if self.big { 8 } else { 4 })?)
    }

    /// The directory at an offset.
    pub(super) fn directory(self, at: usize) -> Option<Directory<'a>> {
        let (entries, size) = if self.big { (self.word_at(at)?, 8) } else { (self.u16_at(at)?.into(), 2) };
        Some(Directory { source: self, at: at.checked_add(size)?, entries })
    }
}

impl<'a> Directory<'a> {
    fn entry_size(self) -> usize {
        4 + 2 * self.source.word()
    }

    /// Where the entry for `tag` begins.
    fn entry(self, tag: u16) -> Option<usize> {
        (0..self.entries)
            .map_while(|entry| {
                let at = self.at.checked_add(entry.checked_mul(self.entry_size())?)?;
                Some((at, self.source.u16_at(at)?))
            })
            .find(|(_, found)| *found == tag)
            .map(|(at, _)| at)
    }

    fn values(self, tag: u16) -> Option<Values> {
        let (source, entry) = (self.source, self.entry(tag)?);
        let kind = source.u16_at(entry + 2)?;
        let size: usize = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => return None,
        };
        let length = size.checked_mul(source.word_at(entry + 4)?)?;
        let place = entry + 4 + source.word();
        let start = if length <= source.word() { place } else { source.word_at(place)? };
        let end = start.checked_add(length).filter(|end| *end <= source.bytes.len())?;
        Some(Values { kind, size, range: start..end })
    }

    /// Whether there is such a tag, readable or not.
    pub(super) fn has(self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// The bytes of a tag's values.
    pub(super) fn bytes(self, tag: u16) -> Option<&'a [u8]> {
        self.source.bytes.get(self.values(tag)?.range)
    }

    /// The first `most` whole numbers of a tag.
    pub(super) fn numbers(self, tag: u16, most: usize) -> Vec<u64> {
        let Some(Values { kind, size, range }) = self.values(tag) else { return Vec::new() };
        let source = self.source;
        let number = |at| match (size, kind) {
            (1, _) => source.bytes.get(at).map(|byte| u64::from(*byte)),
            (2, _) => source.u16_at(at).map(u64::from),
            (4, _) => source.u32_at(at).map(u64::from),
            (_, 16 | 18) => source.array(at).map(u64::from_be_bytes),
            _ => None,
        };
        range.step_by(size).take(most).map_while(number).collect()
    }

    /// The first number of a tag.
    pub(super) fn number(self, tag: u16) -> Option<u64> {
        self.numbers(tag, 1).first().copied()
    }

    /// The first `most` fractions of a tag; nothing if one has no value.
    pub(super) fn fractions(self, tag: u16, most: usize) -> Vec<f32> {
        const RATIONAL: u16 = 5;
        let Some(Values { kind: RATIONAL, size, range }) = self.values(tag) else { return Vec::new() };
        let fraction = |at| Some(self.source.u32_at(at)? as f32 / self.source.u32_at(at + 4)? as f32);
        let all: Vec<f32> = range.step_by(size).take(most).map_while(fraction).collect();
        if all.iter().all(|value| value.is_finite()) { all } else { Vec::new() }
    }

    /// The directory that follows.
    pub(super) fn next(self) -> Option<Directory<'a>> {
        let end = self.entries.checked_mul(self.entry_size())?.checked_add(self.at)?;
        self.source.directory(self.source.word_at(end).filter(|at| *at != 0)?)
    }

    /// Where it is: no two directories of a file are at the same place.
    pub(super) fn place(self) -> usize {
        self.at
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn entry(tag: u16, kind: u16, count: u32, value: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        bytes
    }

    /// One directory at 8.
    pub(in super::super) fn file(entries: &[Vec<u8>], tail: &[u8]) -> Vec<u8> {
        let count = (entries.len() as u16).to_le_bytes();
        [&b"II*\0\x08\0\0\0"[..], &count, &entries.concat(), &[0; 4], tail].concat()
    }

    fn first(bytes: &[u8]) -> Directory<'_> {
        Source::new(bytes).and_then(Source::first).expect("has a directory")
    }

    #[test]
    fn numbers_of_all_sizes_are_read() {
        let tail = [7_u32.to_le_bytes(), 2_u32.to_le_bytes()].concat();
        let entries =
            [entry(1, 1, 3, 0x0003_0201), entry(2, 3, 2, 0x0005_0004), entry(3, 4, 1, 6), entry(4, 5, 1, 62)];
        let bytes = file(&entries, &tail);
        let directory = first(&bytes);
        assert_eq!(directory.numbers(1, 9), [1, 2, 3]);
        assert_eq!(directory.numbers(2, 1), [4]);
        assert_eq!(directory.number(3), Some(6));
        assert_eq!(directory.fractions(4, 9), [3.5]);
        assert_eq!((directory.number(9), directory.has(3), directory.has(9)), (None, true, false));
    }

    #[test]
    fn large_offsets_are_read() {
        let mut bytes = b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10".to_vec();
        bytes.extend(1_u64.to_be_bytes());
        bytes.extend([1, 0x12, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]);
        bytes.extend(16_u64.to_be_bytes());
        let directory = first(&bytes);
        assert_eq!(directory.number(0x112), Some(6));
        assert_eq!(directory.next().map(Directory::place), Some(directory.place()));
    }

    #[test]
    fn damage_costs_its_own_tag_only() {
        let entries =
            [entry(1, 4, u32::MAX, 8), entry(2, 77, 1, 8), entry(3, 2, 9, 0xffff_fff0), entry(4, 3, 1, 6)];
        let mut bytes = file(&entries, b"");
        // More entries than there are, and the next directory far outside.
        bytes[8] = 200;
        let directory = first(&bytes);
        assert_eq!(directory.number(4), Some(6));
        assert!([1, 2, 3].iter().all(|tag| directory.number(*tag).is_none()));
        assert!(directory.next().is_none());
        assert!(Source::new(b"II*\0\xff\xff\xff\xff").and_then(Source::first).is_none());
        assert!(Source::new(b"II*\0\x04\0").and_then(Source::first).is_none());
    }
}
