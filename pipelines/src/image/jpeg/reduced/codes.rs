//! Reads Huffman codes of a baseline JPEG (ITU-T T.81, annex F), one or two per look into a table.

/// Bits that are looked up at once. Measured: 9 and 12 are slower; with 12 the tables leave the first-level cache.
pub(super) const LOOK: u32 = 11;

/// What codes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Differences of means: sizes of values.
    Means,
    /// All other coefficients: how many zeros go before, and sizes of values.
    Waves,
}

/// How the next bits are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps(u32);

/// An advance beyond all places: one comparison finds the end of a block, its last place, and what needs a closer look.
pub(super) const END: usize = 128;

impl Steps {
    /// What cannot be told from so few bits, or is no code.
    const UNKNOWN: Self = Self(0xff00_0000);

    fn new(bits: u8, first_bits: u8, first: u8, second: u8) -> Self {
        Self(u32::from_le_bytes([bits, first_bits, first, second]))
    }

    /// Bits of up to two coefficients with their values; 0 if the value of the first lies beyond the bits that were looked at,
    /// or nothing is known.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & 63
    }

    /// Bits of the first one; of its code alone, where the value lies beyond, and for means.
    #[inline(always)]
    pub(super) fn first_bits(self) -> u32 {
        self.0 >> 8 & 63
    }

    /// Places from the coefficient before to the first one. For means, the size of the value.
    #[inline(always)]
    pub(super) fn first(self) -> usize {
        (self.0 >> 16 & 255) as usize
    }

    /// Places from the first one to the second, 0 without one. Where the value lies beyond, its size above `END`.
    #[inline(always)]
    pub(super) fn second(self) -> usize {
        (self.0 >> 24) as usize
    }
}

/// A table of codes.
pub(super) struct Codes {
    kind: Kind,
    /// Apart from the values, because what comes next has to wait for them and not for the values.
    steps: Box<[Steps; 1 << LOOK]>,
    values: Box<[[f32; 2]; 1 << LOOK]>,
    /// For each length of a code, the first 16 bits that are above all codes of this length and below.
    limits: [u32; 17],
    /// For each length, what must be added to a code to have its place in `symbols`.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Codes {
    /// From the counts of codes of 1 to 16 bits, and what they stand for, in order. `None` if these are no codes.
    pub(super) fn new(kind: Kind, counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        // libjpeg-turbo refuses such a table even if no code in the data stands for it.
        if kind == Kind::Means && symbols.iter().any(|symbol| *symbol > 15) {
            return None;
        }
        let mut codes = Self {
            kind,
            steps: Box::new([Steps::UNKNOWN; 1 << LOOK]),
            values: Box::new([[0.0; 2]; 1 << LOOK]),
            limits: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0, 0);
        for length in 1..=16 {
            let count = usize::from(counts[length - 1]);
            codes.offsets[length] = place as i32 - code as i32;
            for symbol in symbols.get(place..place + count)? {
                if length <= LOOK as usize {
                    let shift = LOOK as usize - length;
                    for rest in 0..1 << shift {
                        codes.enter(code << shift | rest, *symbol, length as u8)?;
                    }
                }
                code += 1;
            }
            place += count;
            // All ones are no code.
            if code >= 1 << length {
                return None;
            }
            codes.limits[length] = (code << (16 - length)) as u32;
            code <<= 1;
        }
        if kind == Kind::Waves {
            codes.pair();
        }
        Some(codes)
    }

    /// A symbol, whose code has `length` bits, without its value. `None` for what is not in baseline pictures.
    fn code(&self, symbol: u8, length: u8) -> Option<Steps> {
        let (run, size) = (symbol >> 4, symbol & 15);
        match (self.kind, run, size) {
            (Kind::Means, 0, 0..=11) => Some(Steps::new(length + size, length, size, 0)),
            (Kind::Means, ..) => None,
            (_, 0, 0) => Some(Steps::new(0, length, END as u8, END as u8)),
            (_, 15, 0) => Some(Steps::new(0, length, 16, END as u8)),
            (_, _, 0) => None,
            _ => Some(Steps::new(0, length, run + 1, END as u8 + size)),
        }
    }

    /// Says of some bits that they begin with a symbol. `None` if there are no such bits.
    fn enter(&mut self, look: usize, symbol: u8, length: u8) -> Option<()> {
        let code = self.code(symbol, length);
        let steps = self.steps.get_mut(look)?;
        let Some(code) = code else { return Some(()) };
        *steps = code;
        let size = code.second() % END;
        let bits = length + size as u8;
        if self.kind == Kind::Waves && u32::from(bits) <= LOOK {
            *steps = Steps::new(bits, bits, code.first() as u8, 0);
            self.values[look][0] = value((look as u64) << (64 - LOOK) << length, size);
        }
        Some(())
    }

    /// Where there is room for a second coefficient, adds it.
    fn pair(&mut self) {
        let (steps, values) = (self.steps.clone(), self.values.clone());
        for (look, first) in steps.iter().enumerate() {
            let next = look << first.bits() & ((1 << LOOK) - 1);
            let bits = first.bits() + steps[next].bits();
            let both = first.bits() > 0 && steps[next].bits() > 0 && bits <= LOOK && first.first() < END;
            if both {
                let (a, b) = (first.first() as u8, steps[next].first() as u8);
                self.steps[look] = Steps::new(bits as u8, first.bits() as u8, a, b);
                self.values[look][1] = values[next][0];
            }
        }
    }

    /// How the next bits are read, of which none are taken, and the values of the coefficients; none for means.
    #[inline(always)]
    pub(super) fn look(&self, bits: &Bits) -> (Steps, &[f32; 2]) {
        let look = (bits.window >> (64 - LOOK)) as usize;
        (self.steps[look], &self.values[look])
    }

    /// Takes the next difference of means; needs 27 bits.
    #[inline(always)]
    pub(super) fn mean(&self, bits: &mut Bits) -> Option<f32> {
        let (mut steps, _) = self.look(bits);
        if steps == Steps::UNKNOWN {
            steps = self.long(*bits)?;
        }
        let value = value(bits.window << steps.first_bits(), steps.first());
        bits.take(steps.bits());
        Some(value)
    }

    /// Takes the next coefficient, where `look` gave none: places from the one before, and value. Needs 31 bits.
    #[inline(never)]
    pub(super) fn wave<'a>(&self, mut steps: Steps, mut bits: Bits<'a>) -> Option<(usize, f32, Bits<'a>)> {
        if steps == Steps::UNKNOWN {
            steps = self.long(bits)?;
        }
        bits.take(steps.first_bits());
        let size = steps.second() % END;
        let value = value(bits.window, size);
        bits.take(size as u32);
        Some((steps.first(), value, bits))
    }

    /// A code that a look does not tell: of more bits, or of a symbol that is in no baseline picture.
    #[inline(never)]
    fn long(&self, bits: Bits) -> Option<Steps> {
        let next = (bits.window >> 48) as u32;
        // All lengths: to begin with the longer ones would take a shorter code without a meaning for another.
        let length = (1..=16).find(|length| next < self.limits[*length])?;
        let place = (next >> (16 - length)) as i32 + self.offsets[length];
        self.code(*self.symbols.get(usize::try_from(place).ok()?)?, length as u8)
    }
}

/// The value of the uppermost `size` bits, at most 15 (T.81, table F.1).
#[inline(always)]
fn value(window: u64, size: usize) -> f32 {
    let bits = (window >> 1 >> (63 - size)) as i32;
    let is_negative = bits < 1 << size >> 1;
    (bits - i32::from(is_negative) * ((1 << size) - 1)) as f32
}

/// The bits of a scan, without the zeros that are stuffed behind each 0xff, up to the next marker.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to be read.
    at: usize,
    /// The next bits, from the top; `count` of them are counted as read, and `padding` of those are zeros that are not there.
    window: u64,
    count: u32,
    padding: u64,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, window: 0, count: 0, padding: 0 }
    }

    /// Has at least 56 bits ready afterwards; zeros behind the end.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        let next = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<8>());
        let next = next.map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
        if marks(next) != 0 {
            // By value, so that the bits stay in registers.
            *self = self.refilled();
            return;
        }
        self.window |= next >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// The same where a byte is 0xff: what goes before it at once, then what follows it.
    #[cold]
    #[inline(never)]
    fn refilled(mut self) -> Self {
        while self.count < 56 {
            let Some(bytes) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) else {
                return self.refilled_slowly();
            };
            // The first byte is the lowest here, because only the lowest mark is exact; 8 if there is none.
            let before = (marks(u64::from_le_bytes(*bytes)).trailing_zeros() / 8) as usize;
            let room = ((63 - self.count) >> 3) as usize;
            let (taken, read) = if before >= room {
                (room, room)
            } else if bytes[before + 1] == 0 {
                (before + 1, before + 2)
            } else {
                return self.refilled_slowly();
            };
            self.window |= (u64::from_be_bytes(*bytes) & !(u64::MAX >> (8 * taken))) >> self.count;
            self.count += 8 * taken as u32;
            self.at += read;
        }
        self
    }

    /// The same byte by byte, as it must be at a marker and near the end.
    #[cold]
    #[inline(never)]
    fn refilled_slowly(mut self) -> Self {
        while self.count < 56 {
            let byte = match self.data.get(self.at..).unwrap_or_default() {
                [0xff, 0, ..] => {
                    self.at += 2;
                    0xff
                }
                [] | [0xff, ..] => {
                    self.padding += 8;
                    0
                }
                [byte, ..] => {
                    self.at += 1;
                    *byte
                }
            };
            self.window |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    /// At most the bits that are ready.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) {
        self.window <<= bits & 63;
        self.count = self.count.wrapping_sub(bits);
    }

    /// Whether bits were taken that are not there.
    pub(super) fn are_too_few(&self) -> bool {
        self.padding > u64::from(self.count)
    }

    /// Whether all was read up to the next marker, but for what fills the last byte.
    fn are_used_up(&self) -> bool {
        let ends = matches!(self.data.get(self.at..), Some([] | [0xff, ..]));
        ends && !self.are_too_few() && u64::from(self.count) - self.padding < 8
    }

    /// Goes on behind the restart marker of this number, 0 to 7. `None` if it is not the next thing.
    pub(super) fn restarted(&self, number: u8) -> Option<Self> {
        let marker = self.data.get(self.at..)?.first_chunk::<2>()?;
        let is_next = self.are_used_up() && *marker == [0xff, 0xd0 + number];
        is_next.then(|| Self { at: self.at + 2, ..Self::new(self.data) })
    }

    /// Whether the data ends here, too.
    pub(super) fn are_all_read(&self) -> bool {
        self.are_used_up() && self.at == self.data.len()
    }
}

/// Not 0 if one of eight bytes is 0xff. The lowest bit that is set is the highest one of the lowest such byte.
#[inline(always)]
fn marks(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Of the inverse, the lowest byte that is zero borrows from its highest bit.
    (!bytes).wrapping_sub(ONES) & bytes & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bits up to the end, `step` at a time.
    fn bits(data: &[u8], step: u32) -> Vec<u64> {
        let mut bits = Bits::new(data);
        let mut read = Vec::new();
        loop {
            bits.refill();
            let next = bits.window >> (64 - step);
            bits.take(step);
            if bits.are_too_few() {
                return read;
            }
            read.push(next);
        }
    }

    #[test]
    fn stuffed_zeros_are_left_out_wherever_they_are() {
        // Bytes of which none, few, many or all are 0xff, one behind the other and far apart.
        for every in [1, 2, 3, 5, 7, 8, 9, 13, 64, 1000] {
            for first in 0..every.min(20) {
                let plain = (0..200).map(|i| if i % every == first { 0xff } else { (i * 37 % 255) as u8 });
                let plain = plain.collect::<Vec<u8>>();
                let stuffed =
                    plain.iter().flat_map(|&byte| [byte, 0].into_iter().take(1 + usize::from(byte == 0xff)));
                let stuffed = stuffed.collect::<Vec<u8>>();
                for step in [1, 5, 8, 11, 27, 55] {
                    assert_eq!(bits(&stuffed, step), bits_of(&plain, step), "{every} {first} {step}");
                }
            }
        }
    }

    /// The same bits, taken from bytes that nothing was stuffed into.
    fn bits_of(plain: &[u8], step: u32) -> Vec<u64> {
        let all = plain.iter().flat_map(|byte| (0..8).rev().map(move |bit| u64::from(byte >> bit & 1)));
        let all = all.collect::<Vec<u64>>();
        all.chunks_exact(step as usize).map(|bits| bits.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
    }

    #[test]
    fn nothing_is_read_beyond_a_marker() {
        for length in 0..20 {
            let data = [&[0x5a; 20][..length], b"\xff\xd3", &[0x5a; 20]].concat();
            assert_eq!(bits(&data, 8), vec![0x5a; length], "{length}");
        }
    }
}
