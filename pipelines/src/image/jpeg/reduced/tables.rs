//! The tables in front of a scan, and its data in pieces.

use super::codes::{Codes, Kind, PADDING};

/// What a scan needs to be read.
pub(super) struct Tables {
    /// For each component, in the frame's order.
    pub(super) components: Vec<Component>,
    pub(super) codes_of_means: [Option<Codes>; 4],
    pub(super) codes_of_waves: [Option<Codes>; 4],
    /// Units between two restart markers; 0 if there are none.
    pub(super) interval: usize,
}

/// One component's tables.
pub(super) struct Component {
    id: u8,
    pub(super) quantization: [u16; 64],
    /// Places of its codes.
    pub(super) means: usize,
    pub(super) waves: usize,
}

impl Tables {
    /// Reads the segments of a stream up to its first scan. `None` if something is missing or does not add up.
    pub(super) fn read(stream: &[u8]) -> Option<Self> {
        let mut quantization: [Option<[u16; 64]>; 4] = [None; 4];
        let mut tables = Self {
            components: Vec::new(),
            codes_of_means: [const { None }; 4],
            codes_of_waves: [const { None }; 4],
            interval: 0,
        };
        // Components are named before their quantization may be known.
        let mut named = Vec::new();
        let mut at = 2;
        loop {
            let [0xff, marker, high, low] = *stream.get(at..)?.first_chunk()? else { return None };
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let mut content = stream.get(at + 4..end)?;
            at = end;
            match marker {
                0xdb => {
                    while let [head, rest @ ..] = content {
                        let bytes = if head >> 4 == 0 { 1 } else { 2 };
                        let steps = rest.get(..64 * bytes)?;
                        let mut table = [0; 64];
                        for (step, bytes) in table.iter_mut().zip(steps.chunks_exact(bytes)) {
                            *step = bytes.iter().fold(0, |step, byte| step << 8 | u16::from(*byte));
                        }
                        *quantization.get_mut(usize::from(head & 15))? = Some(table);
                        content = &rest[64 * bytes..];
                    }
                }
                0xc4 => {
                    while let [head, rest @ ..] = content {
                        let counts = rest.first_chunk::<16>()?;
                        let count = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
                        let (kind, tables) = match head >> 4 {
                            0 => (Kind::Means, &mut tables.codes_of_means),
                            _ => (Kind::Waves, &mut tables.codes_of_waves),
                        };
                        let codes = Codes::new(kind, counts, rest.get(16..16 + count)?)?;
                        *tables.get_mut(usize::from(head & 15))? = Some(codes);
                        content = &rest[16 + count..];
                    }
                }
                0xdd => tables.interval = usize::from(u16::from_be_bytes(*content.first_chunk()?)),
                0xc0 | 0xc1 => {
                    named.extend(content.get(6..)?.chunks_exact(3).map(|c| (c[0], usize::from(c[2]))));
                }
                0xda => {
                    for (id, place) in named {
                        let quantization = (*quantization.get(place)?)?;
                        tables.components.push(Component { id, quantization, means: 0, waves: 0 });
                    }
                    let [count, rest @ ..] = content else { return None };
                    let count = usize::from(*count);
                    for (component, scan) in
                        tables.components.iter_mut().zip(rest.get(..2 * count)?.chunks_exact(2))
                    {
                        if component.id != scan[0] {
                            return None;
                        }
                        (component.means, component.waves) =
                            (usize::from(scan[1] >> 4), usize::from(scan[1] & 15));
                    }
                    return (tables.components.len() == count).then_some(tables);
                }
                _ => {}
            }
        }
    }
}

/// The data of a scan between its restart markers, without stuffed zeros, each piece with `PADDING` behind it.
pub(super) struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    /// `None` if there are other markers in it, or some out of order.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let mut pieces = Self { bytes: Vec::with_capacity(data.len() + PADDING), ends: Vec::new() };
        let mut from = 0;
        for at in memchr::memchr_iter(0xff, data) {
            match *data.get(at + 1)? {
                0 => {
                    pieces.bytes.extend_from_slice(&data[from..=at]);
                    from = at + 2;
                }
                marker @ 0xd0..=0xd7 if usize::from(marker & 7) == pieces.ends.len() % 8 => {
                    pieces.end(&data[from..at]);
                    from = at + 2;
                }
                _ => return None,
            }
        }
        pieces.end(&data[from..]);
        Some(pieces)
    }

    fn end(&mut self, rest: &[u8]) {
        self.bytes.extend_from_slice(rest);
        self.bytes.extend([0; PADDING]);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}
