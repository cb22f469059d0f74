//! Reads the tables before a scan.

use super::codes::{Codes, Kind};

/// What a scan needs to be read.
pub(super) struct Tables {
    /// For each component, in the frame's order.
    pub(super) components: Vec<Component>,
    pub(super) codes_of_means: [Option<Codes>; 4],
    pub(super) codes_of_waves: [Option<Codes>; 4],
    /// Units between two restart markers; 0 if there are none.
    pub(super) interval: usize,
}

/// Counts and symbols of codes, as the stream has them.
type Given<'a> = (&'a [u8; 16], &'a [u8]);

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
        // Components are named before their quantization may be known, and codes are worth their work only if the scan uses them:
        // there may be very many.
        let mut named = Vec::new();
        let mut given: [[Option<Given>; 4]; 2] = [[None; 4]; 2];
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
                        let given = given.get_mut(usize::from(head >> 4))?.get_mut(usize::from(head & 15))?;
                        *given = Some((counts, rest.get(16..16 + count)?));
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
                    for Component { means, waves, .. } in &tables.components {
                        for (kind, place) in [(Kind::Means, *means), (Kind::Waves, *waves)] {
                            let known = match kind {
                                Kind::Means => tables.codes_of_means.get_mut(place)?,
                                Kind::Waves => tables.codes_of_waves.get_mut(place)?,
                            };
                            if known.is_none() {
                                let (counts, symbols) = given[kind as usize][place]?;
                                *known = Some(Codes::new(kind, counts, symbols)?);
                            }
                        }
                    }
                    return (tables.components.len() == count).then_some(tables);
                }
                _ => {}
            }
        }
    }
}
