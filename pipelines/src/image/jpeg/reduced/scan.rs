//! Reads a scan, one row of units at a time.

use super::super::markers::Frame;
use super::Reduced;
use super::codes::{Bits, Codes, END, LOOK};
use super::rows::{self, Rows};
use super::tables::{Component, Tables};
use super::weights::{Weights, weights};

/// Looks between two refills, each of which has 56 bits ready.
const LOOKS: usize = 5;
const _: () = assert!(LOOKS as u32 * LOOK <= 56);
/// Means beyond these, in steps, are in no picture.
const MOST: f32 = 32_768.0;

/// A component while its blocks are read; `N` pixels stand for a block.
struct Reader<'a, const N: usize> {
    weights: Box<Weights<N>>,
    means: &'a Codes,
    waves: &'a Codes,
    /// The last block's mean, in steps.
    mean: f32,
}

impl<'a, const N: usize> Reader<'a, N> {
    fn new(component: &Component, tables: &'a Tables, width: usize) -> Option<Self> {
        Some(Self {
            weights: weights(width, &component.quantization),
            means: tables.codes_of_means.get(component.means)?.as_ref()?,
            waves: tables.codes_of_waves.get(component.waves)?.as_ref()?,
            mean: 0.0,
        })
    }

    /// The pixels of the next block.
    #[inline(always)]
    fn block(&mut self, from: &mut Bits) -> Option<[f32; N]> {
        // A copy stays in registers.
        let mut bits = *from;
        bits.refill();
        self.mean += self.means.mean(&mut bits)?;
        // A picture in order stays within 11 bits.
        if self.mean.abs() > MOST {
            return None;
        }
        let weights = &self.weights;
        let mut pixels = [128.0; N];
        for (pixel, weight) in pixels.iter_mut().zip(&weights[0]) {
            *pixel += self.mean * weight;
        }
        let mut place = 0;
        loop {
            bits.refill();
            for _ in 0..LOOKS {
                let (steps, values) = self.waves.look(&bits);
                if steps.bits() == 0 {
                    bits.refill();
                    let (advance, value, rest) = self.waves.wave(steps, bits)?;
                    bits = rest;
                    place += advance;
                    add(&mut pixels, weights, [place; 2], &[value, 0.0]);
                    if place >= 63 {
                        *from = bits;
                        return ends(place).then_some(pixels);
                    }
                    break;
                }
                let first = place + steps.first();
                place = first + steps.second();
                if first >= 63 {
                    // A second one belongs to the next block.
                    add(&mut pixels, weights, [first; 2], &[values[0], 0.0]);
                    bits.take(steps.first_bits());
                    *from = bits;
                    return ends(first).then_some(pixels);
                }
                add(&mut pixels, weights, [first, place], values);
                bits.take(steps.bits());
                if place >= 63 {
                    *from = bits;
                    return ends(place).then_some(pixels);
                }
            }
        }
    }
}

/// Whether a block may end there: at its last place or by the mark of its end, but not beyond its last place.
#[inline(always)]
fn ends(place: usize) -> bool {
    place == 63 || place >= END
}

/// Adds two coefficients: first one to the other, so that the pixels have to wait for one sum only.
#[inline(always)]
fn add<const N: usize>(pixels: &mut [f32; N], weights: &Weights<N>, places: [usize; 2], values: &[f32; 2]) {
    if N == 1 {
        // A mean of all pixels knows nothing of waves.
        return;
    }
    let [first, second] = places.map(|place| &weights[place & 63]);
    for ((pixel, first), second) in pixels.iter_mut().zip(first).zip(second) {
        *pixel += values[0] * first + values[1] * second;
    }
}

/// The units of a scan, one after the other.
struct Units<'a> {
    bits: Bits<'a>,
    /// Units between two restart markers, those left until the next one, and its number.
    interval: usize,
    left: usize,
    number: u8,
}

impl<'a> Units<'a> {
    fn new(tables: &Tables, data: &'a [u8]) -> Self {
        let interval = if tables.interval == 0 { usize::MAX } else { tables.interval };
        Self { bits: Bits::new(data), interval, left: interval, number: 0 }
    }

    /// Before each unit: whether it is the first one behind a restart marker. `None` if that is not where it should be.
    #[inline(always)]
    fn next(&mut self) -> Option<bool> {
        let begins = self.left == 0;
        if begins {
            self.bits = self.bits.restarted(self.number)?;
            self.number = (self.number + 1) % 8;
            self.left = self.interval;
        }
        self.left -= 1;
        Some(begins)
    }
}

/// Size of the result, where `side` pixels stand for eight.
fn size(frame: &Frame, side: usize) -> (usize, usize) {
    let scaled = |length: u16| usize::from(length).div_ceil(8 / side);
    (scaled(frame.width), scaled(frame.height))
}

#[inline(always)]
pub(super) fn gray<const N: usize>(frame: &Frame, tables: &Tables, data: &[u8]) -> Option<Reduced> {
    let side = N.isqrt();
    let (width, height) = size(frame, side);
    let across = usize::from(frame.width).div_ceil(8);
    let mut units = Units::new(tables, data);
    let [component] = tables.components.as_slice() else { return None };
    let mut reader = Reader::<N>::new(component, tables, side)?;
    let mut rows = Rows::new(across * side, side);
    let mut pixels = vec![0; width * height];
    for band in pixels.chunks_mut(width * side) {
        if units.bits.are_too_few() {
            return None;
        }
        for unit in 0..across {
            if units.next()? {
                reader.mean = 0.0;
            }
            rows.lay(unit * side, 0, side, &reader.block(&mut units.bits)?);
        }
        for (row, target) in band.chunks_mut(width).enumerate() {
            rows::gray(rows.row(row, width), target);
        }
    }
    units.bits.are_all_read().then_some(Reduced { pixels, is_gray: true })
}

#[inline(always)]
pub(super) fn color<const L: usize, const C: usize>(
    frame: &Frame,
    tables: &Tables,
    data: &[u8],
) -> Option<Reduced> {
    let side = L.isqrt();
    let (width, height) = size(frame, side);
    let (h, v) = frame.sampling.first().map(|s| (usize::from(s.0), usize::from(s.1)))?;
    let (unit_width, unit_height) = (h * side, v * side);
    let across = usize::from(frame.width).div_ceil(8 * h);
    let mut units = Units::new(tables, data);
    let [luma, blue, red] = tables.components.as_slice() else { return None };
    let mut luma = Reader::<L>::new(luma, tables, side)?;
    let mut blue = Reader::<C>::new(blue, tables, unit_width)?;
    let mut red = Reader::<C>::new(red, tables, unit_width)?;
    let mut rows = [(); 3].map(|()| Rows::new(across * unit_width, unit_height));
    let mut pixels = vec![0; 3 * width * height];
    for band in pixels.chunks_mut(3 * width * unit_height) {
        if units.bits.are_too_few() {
            return None;
        }
        for unit in 0..across {
            if units.next()? {
                (luma.mean, blue.mean, red.mean) = (0.0, 0.0, 0.0);
            }
            let left = unit * unit_width;
            for y in 0..v {
                for x in 0..h {
                    rows[0].lay(left + x * side, y * side, side, &luma.block(&mut units.bits)?);
                }
            }
            rows[1].lay(left, 0, unit_width, &blue.block(&mut units.bits)?);
            rows[2].lay(left, 0, unit_width, &red.block(&mut units.bits)?);
        }
        for (row, target) in band.chunks_mut(3 * width).enumerate() {
            rows::rgb([0, 1, 2].map(|component| rows[component].row(row, width)), target);
        }
    }
    units.bits.are_all_read().then_some(Reduced { pixels, is_gray: false })
}
