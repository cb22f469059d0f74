//! Follows the codes of a JPEG to its last block, without making pixels, to learn whether anything is missing.
//!
//! Decoders fill what is missing with gray and say so in a warning at most. This reader counts blocks instead. Bytes behind the last
//! code of a scan or a restart interval are spare ones. Zeros that a download or a card never filled can be read as codes, too: codes
//! that end within a run of zeros are missing ones.

use super::markers::Stream;

/// Longer codes do not exist.
const LONGEST: usize = 16;

/// One Huffman code: for each length, its first code, and where its symbols begin.
#[derive(Clone)]
struct Code {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    offset: [usize; LONGEST + 1],
    symbols: Vec<u8>,
}

/// One color component.
struct Component {
    id: u8,
    across: usize,
    down: usize,
    /// Blocks of the component that belong to the picture, in rows and columns.
    columns: usize,
    rows: usize,
    /// Blocks with those that only fill the last units.
    stride: usize,
    /// For each block of a progressive picture, which coefficients are not zero so far.
    known: Vec<u64>,
    /// For each coefficient, the lowest bit that was sent; `None` if none was.
    sent: [Option<u8>; 64],
}

/// The data of a scan up to the next marker.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u32,
    have: u32,
}

/// What a scan says in its header.
struct Scan {
    /// Component, and its codes of means and waves.
    components: Vec<(usize, usize, usize)>,
    first: usize,
    last: usize,
    /// Bits that were sent before.
    high: u8,
}

/// Zeros before the end of the codes that nobody has written.
const UNWRITTEN: usize = 48;

/// If the scans contain all blocks and all coefficients: the most bytes behind the codes of a scan or interval that are not all alike.
/// Arithmetic coding cannot tell: what is missing are zeros to it.
pub(super) fn check(stream: &Stream<'_>) -> Option<usize> {
    if !matches!(stream.frame.process, 0..=2) {
        return None;
    }
    Reader::new(stream)?.read(stream)
}

struct Reader {
    progressive: bool,
    components: Vec<Component>,
    units: (usize, usize),
    codes: [[Option<Code>; 4]; 2],
    interval: usize,
    /// The most spare bytes so far that are not all alike.
    spare: usize,
}

impl Code {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Self {
        let mut code = Self {
            first: [0; LONGEST + 1],
            count: [0; LONGEST + 1],
            offset: [0; LONGEST + 1],
            symbols: symbols.to_vec(),
        };
        let (mut next, mut offset) = (0_u32, 0);
        for length in 1..=LONGEST {
            let count = u32::from(counts[length - 1]);
            (code.first[length], code.count[length], code.offset[length]) = (next, count, offset);
            next = (next + count) << 1;
            offset += count as usize;
        }
        code
    }
}

impl Bits<'_> {
    /// Fails at a marker, and at the end.
    fn bit(&mut self) -> Option<u32> {
        if self.have == 0 {
            let byte = *self.bytes.get(self.at)?;
            if byte == 0xff {
                if *self.bytes.get(self.at + 1)? != 0 {
                    return None;
                }
                self.at += 1;
            }
            self.at += 1;
            (self.held, self.have) = (u32::from(byte), 8);
        }
        self.have -= 1;
        Some(self.held >> self.have & 1)
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |bits, _| Some(bits << 1 | self.bit()?))
    }

    fn symbol(&mut self, code: &Code) -> Option<u8> {
        let mut bits = 0;
        for length in 1..=LONGEST {
            bits = bits << 1 | self.bit()?;
            let place = bits.wrapping_sub(code.first[length]);
            if bits >= code.first[length] && place < code.count[length] {
                return code.symbols.get(code.offset[length] + place as usize).copied();
            }
        }
        None
    }

    /// The number of spare bytes up to the next marker that are not all alike. `None` if the codes end within unwritten bytes.
    fn finish(&self) -> Option<usize> {
        let (codes, rest) = self.bytes.split_at_checked(self.at)?;
        if codes.len() >= UNWRITTEN && codes[codes.len() - UNWRITTEN..].iter().all(|byte| *byte == 0) {
            return None;
        }
        let end = memchr::memchr_iter(0xff, rest).find(|at| !matches!(rest.get(at + 1), Some(0 | 0xff)));
        let spare = &rest[..end.unwrap_or(rest.len())];
        let alike = spare.windows(2).all(|pair| pair[0] == pair[1]);
        Some(if alike { 0 } else { spare.len() })
    }

    /// Goes behind the next restart marker, whatever lies before it. Any other marker ends the scan.
    fn restart(&mut self) -> Option<()> {
        self.have = 0;
        loop {
            self.at += memchr::memchr(0xff, self.bytes.get(self.at..)?)?;
            match *self.bytes.get(self.at + 1)? {
                0xd0..=0xd7 => {
                    self.at += 2;
                    return Some(());
                }
                0 => self.at += 2,
                0xff => self.at += 1,
                _ => return None,
            }
        }
    }
}

impl Reader {
    fn new(stream: &Stream<'_>) -> Option<Self> {
        let frame = &stream.frame;
        let most = |side: fn(&(u8, u8)) -> u8| frame.sampling.iter().map(side).max().map(usize::from);
        let (across, down) = (most(|s| s.0)?, most(|s| s.1)?);
        if across == 0 || down == 0 {
            return None;
        }
        let (width, height) = (usize::from(frame.width), usize::from(frame.height));
        let units = (width.div_ceil(8 * across), height.div_ceil(8 * down));
        let progressive = frame.process == 2;
        let components = frame
            .sampling
            .iter()
            .zip(&frame.ids)
            .map(|((h, v), id)| {
                let (h, v) = (usize::from(*h), usize::from(*v));
                let stride = units.0 * h;
                Component {
                    id: *id,
                    across: h,
                    down: v,
                    columns: (width * h).div_ceil(8 * across),
                    rows: (height * v).div_ceil(8 * down),
                    stride,
                    known: if progressive { vec![0; stride * units.1 * v] } else { Vec::new() },
                    sent: [None; 64],
                }
            })
            .collect();
        Some(Self {
            progressive,
            components,
            units,
            codes: [const { [const { None }; 4] }; 2],
            interval: 0,
            spare: 0,
        })
    }

    /// Reads all segments and scans. `None` if anything is missing.
    fn read(mut self, stream: &Stream<'_>) -> Option<usize> {
        let mut bytes = stream.head.get(2..)?;
        let mut in_head = true;
        loop {
            let marker = bytes.iter().position(|byte| *byte != 0xff).filter(|skipped| *skipped > 0);
            let Some(at) = marker else {
                return self.is_complete().then_some(self.spare);
            };
            let (marker, rest) = (bytes[at], &bytes[at + 1..]);
            let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
            let content = rest.get(2..length)?;
            bytes = rest.get(length..)?;
            match marker {
                0xc4 => self.tables(content)?,
                0xdd => self.interval = usize::from(u16::from_be_bytes(*content.first_chunk()?)),
                0xda => {
                    let scan = self.scan(content)?;
                    if in_head {
                        (bytes, in_head) = (stream.scans, false);
                    }
                    let mut bits = Bits { bytes, at: 0, held: 0, have: 0 };
                    self.blocks(&scan, &mut bits)?;
                    self.spare = self.spare.max(bits.finish()?);
                    bytes = next_segment(&bytes[bits.at.min(bytes.len())..]);
                }
                _ => {}
            }
        }
    }

    fn tables(&mut self, mut content: &[u8]) -> Option<()> {
        while let [head, rest @ ..] = content {
            let counts = rest.first_chunk::<16>()?;
            let count = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
            let symbols = rest.get(16..16 + count)?;
            let code = self.codes.get_mut(usize::from(head >> 4))?.get_mut(usize::from(head & 15))?;
            *code = Some(Code::new(counts, symbols));
            content = &rest[16 + count..];
        }
        Some(())
    }

    fn scan(&mut self, content: &[u8]) -> Option<Scan> {
        let [count, rest @ ..] = content else { return None };
        let count = usize::from(*count);
        let mut components = Vec::with_capacity(count);
        for [id, codes] in rest.get(..2 * count)?.as_chunks::<2>().0 {
            let place = self.components.iter().position(|component| component.id == *id)?;
            components.push((place, usize::from(codes >> 4), usize::from(codes & 15)));
        }
        let [first, last, bits] = *rest.get(2 * count..)?.first_chunk()?;
        let (first, last, high, low) = if self.progressive {
            (usize::from(first), usize::from(last), bits >> 4, bits & 15)
        } else {
            (0, 63, 0, 0)
        };
        let single = components.len() == 1;
        if components.is_empty() || first > last || last > 63 || (first > 0 && !single) || low > 13 {
            return None;
        }
        for (place, ..) in &components {
            for sent in &mut self.components.get_mut(*place)?.sent[first..=last] {
                *sent = Some(sent.map_or(low, |before| before.min(low)));
            }
        }
        Some(Scan { components, first, last, high })
    }

    /// Whether all bits of all coefficients were sent.
    fn is_complete(&self) -> bool {
        self.components.iter().all(|component| component.sent.iter().all(|sent| *sent == Some(0)))
    }

    fn blocks(&mut self, scan: &Scan, bits: &mut Bits<'_>) -> Option<()> {
        let single = match scan.components[..] {
            [(place, ..)] => Some(place),
            _ => None,
        };
        // A component alone is sent block by block, without those that only fill units.
        let (columns, rows) =
            single.map_or(self.units, |place| (self.components[place].columns, self.components[place].rows));
        let mut skip = 0_u32;
        for unit in 0..columns * rows {
            if self.interval > 0 && unit > 0 && unit % self.interval == 0 {
                self.spare = self.spare.max(bits.finish()?);
                bits.restart()?;
                skip = 0;
            }
            let (x, y) = (unit % columns, unit / columns);
            for codes in &scan.components {
                let Component { across, down, stride, .. } = self.components[codes.0];
                let (across, down) = if single.is_some() { (1, 1) } else { (across, down) };
                for block in 0..across * down {
                    let at = (y * down + block / across) * stride + x * across + block % across;
                    if self.progressive {
                        self.progress(scan, *codes, at, bits, &mut skip)?;
                    } else {
                        self.sequential(*codes, bits)?;
                    }
                }
            }
        }
        Some(())
    }

    fn sequential(&self, (_, means, waves): (usize, usize, usize), bits: &mut Bits<'_>) -> Option<()> {
        let [of_means, of_waves] = &self.codes;
        let size = bits.symbol(of_means.get(means)?.as_ref()?)?;
        bits.bits(u32::from(size & 15))?;
        let code = of_waves.get(waves)?.as_ref()?;
        let mut at = 1;
        while at < 64 {
            let symbol = bits.symbol(code)?;
            match (symbol >> 4, symbol & 15) {
                (15, 0) => at += 16,
                (_, 0) => break,
                (run, size) => {
                    at += usize::from(run) + 1;
                    bits.bits(u32::from(size))?;
                }
            }
        }
        Some(())
    }

    /// One block of a progressive scan (ITU-T T.81, annex G). `skip` are blocks without further coefficients.
    fn progress(
        &mut self,
        scan: &Scan,
        (place, means, waves): (usize, usize, usize),
        at: usize,
        bits: &mut Bits<'_>,
        skip: &mut u32,
    ) -> Option<()> {
        let [of_means, of_waves] = &self.codes;
        if scan.first == 0 {
            if scan.high > 0 {
                bits.bit()?;
            } else {
                let size = bits.symbol(of_means.get(means)?.as_ref()?)?;
                bits.bits(u32::from(size & 15))?;
            }
            return Some(());
        }
        let code = of_waves.get(waves)?.as_ref()?;
        let known = self.components[place].known.get_mut(at)?;
        let mut wave = scan.first;
        if scan.high == 0 {
            if *skip > 0 {
                *skip -= 1;
                return Some(());
            }
            while wave <= scan.last {
                let symbol = bits.symbol(code)?;
                match (symbol >> 4, symbol & 15) {
                    (15, 0) => wave += 16,
                    (run, 0) => {
                        *skip = (1 << run) - 1 + bits.bits(u32::from(run))?;
                        break;
                    }
                    (run, size) => {
                        wave += usize::from(run);
                        bits.bits(u32::from(size))?;
                        *known |= 1_u64.checked_shl(wave as u32)?;
                        wave += 1;
                    }
                }
            }
            return Some(());
        }
        // A refinement: one bit for each coefficient that is known, and new ones between them.
        let mut fresh = 0_u64;
        if *skip == 0 {
            while wave <= scan.last {
                let symbol = bits.symbol(code)?;
                let (mut run, size) = (u32::from(symbol >> 4), symbol & 15);
                if size == 0 && run < 15 {
                    *skip = (1 << run) + bits.bits(run)?;
                    break;
                }
                if size > 0 {
                    bits.bit()?;
                }
                while wave <= scan.last {
                    if *known >> wave & 1 == 1 {
                        bits.bit()?;
                    } else if run == 0 {
                        if size > 0 {
                            fresh |= 1 << wave;
                        }
                        wave += 1;
                        break;
                    } else {
                        run -= 1;
                    }
                    wave += 1;
                }
            }
        }
        if *skip > 0 {
            while wave <= scan.last {
                if *known >> wave & 1 == 1 {
                    bits.bit()?;
                }
                wave += 1;
            }
            *skip -= 1;
        }
        *known |= fresh;
        Some(())
    }
}

/// What begins with the next marker that is part of no scan's data.
fn next_segment(bytes: &[u8]) -> &[u8] {
    let found = memchr::memchr_iter(0xff, bytes)
        .find(|at| !matches!(bytes.get(at + 1), None | Some(0 | 0x01 | 0xd0..=0xd7 | 0xff)));
    found.map_or(&[], |at| &bytes[at..])
}
