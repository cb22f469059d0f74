//! Puts the samples of all strips or tiles together, as eight bits each.

use super::super::{DecodeError, Pixels};
use super::chunks::{self, Place};
use super::codec::{self, Chunk};
use super::page::{Colors, Numbers, Page, corrupt};

/// The picture's samples: [`Page::kept`] of them for each pixel, pixel after pixel. Levels are 0..=255; indices of a palette are
/// as they are.
pub(super) struct Samples {
    pub(super) bytes: Vec<u8>,
    /// Luma and chroma have become red, green and blue already.
    pub(super) converted: bool,
}

/// What becomes of a number of a sample.
#[derive(Debug, Clone, Copy)]
enum Level {
    /// An index, or eight bits.
    Same,
    /// 0..=`white` becomes 0..=255.
    Scaled(u32),
}

/// Where samples go.
struct Target<'p, 'a> {
    page: &'p Page<'a>,
    kept: usize,
    /// Of each stored sample, its place among the kept ones.
    to: Vec<Option<usize>>,
}

pub(super) fn read(page: &Page<'_>) -> Result<Samples, DecodeError> {
    let (kept, colors) = (page.kept(), page.colors.count());
    let to = (0..page.stored)
        .map(|sample| match page.alpha {
            _ if sample < colors => Some(sample),
            Some(alpha) if alpha.at == sample => Some(colors),
            _ => None,
        })
        .collect();
    let target = Target { page, kept, to };
    let pixels = page.width as usize * page.height as usize;
    // Before memory is allocated for a large picture: are there bytes for it?
    let places = chunks::places(page)?;
    match page.numbers {
        Numbers::Unsigned => {
            let mut samples = Samples { bytes: vec![0; pixels * kept], converted: false };
            for place in places {
                match codec::unpack(page, place.bytes, place.size)? {
                    Chunk::Rows(rows) => target.put_rows(&mut samples, &rows, place)?,
                    Chunk::Pixels(pixels) => target.put_pixels(&mut samples, &pixels, place)?,
                }
            }
            Ok(samples)
        }
        Numbers::Signed | Numbers::Float => {
            let mut numbers = vec![0.0; pixels * kept];
            for place in places {
                let Chunk::Rows(rows) = codec::unpack(page, place.bytes, place.size)? else {
                    return Err(corrupt("its compression does not fit its samples"));
                };
                target.put_numbers(&mut numbers, &rows, place);
            }
            Ok(Samples { bytes: levels(&numbers, page), converted: false })
        }
    }
}

impl Target<'_, '_> {
    fn level(&self) -> Level {
        let bits = self.page.bits;
        match (&self.page.colors, self.page.white) {
            (Colors::Palette(_), _) => Level::Same,
            (_, Some(white)) => Level::Scaled(white),
            _ if bits == 8 => Level::Same,
            _ => Level::Scaled(u32::MAX >> (32 - bits)),
        }
    }

    /// Columns and rows of a chunk that are in the picture.
    fn inside(&self, place: Place<'_>) -> (usize, usize) {
        let (width, height) = (self.page.width as usize, self.page.height as usize);
        (place.size.width.min(width - place.left), place.size.height.min(height - place.top))
    }

    fn put_rows(&self, samples: &mut Samples, rows: &[u8], place: Place<'_>) -> Result<(), DecodeError> {
        let page = self.page;
        if let Colors::YCbCr(luma) = &page.colors
            && !page.planar
            && luma.subsampling != (1, 1)
        {
            if page.bits != 8 || page.stored != 3 {
                return Err(corrupt("luma that shares its chroma has three samples of eight bits"));
            }
            let pixels = spread(rows, place, luma.subsampling);
            return self.put(samples, &pixels, place);
        }
        let (across, down) = self.inside(place);
        let count = place.size.width * place.size.samples;
        let (level, step) = (self.level(), place.size.samples);
        let mut row = Vec::with_capacity(count);
        for (y, packed) in rows.chunks_exact(place.size.row(page.bits)).take(down).enumerate() {
            let start = ((place.top + y) * page.width as usize + place.left) * self.kept;
            let line = &mut samples.bytes[start..start + across * self.kept];
            let plain = page.bits == 8 && page.predictor == 1 && matches!(level, Level::Same);
            if plain && step == self.kept {
                line.copy_from_slice(&packed[..line.len()]);
                continue;
            }
            unpack(packed, page, count, &mut row);
            if page.predictor == 2 {
                add_up(&mut row, step, page.bits);
            }
            for sample in 0..step {
                let Some(to) = self.to[place.sample + sample] else { continue };
                let from = row[sample..].iter().step_by(step);
                let line = line[to..].iter_mut().step_by(self.kept);
                match level {
                    Level::Same => line.zip(from).for_each(|(to, from)| *to = *from as u8),
                    Level::Scaled(white) => line.zip(from).for_each(|(to, from)| *to = scaled(*from, white)),
                }
            }
        }
        Ok(())
    }

    /// Pixels of a codec of their own, which may be more or fewer than the chunk has.
    fn put_pixels(
        &self,
        samples: &mut Samples,
        pixels: &Pixels,
        place: Place<'_>,
    ) -> Result<(), DecodeError> {
        let (across, down) = self.inside(place);
        if pixels.width < across || pixels.height < down {
            let (width, height) = (pixels.width, pixels.height);
            return Err(corrupt(format!("a strip has {width} x {height} pixels of {across} x {down}")));
        }
        if self.page.bits != 8 || pixels.samples < place.size.samples.min(self.page.colors.count()) {
            return Err(corrupt("a strip has other samples than the directory says"));
        }
        samples.converted |= !self.page.planar;
        self.put(samples, pixels, place)
    }

    fn put(&self, samples: &mut Samples, pixels: &Pixels, place: Place<'_>) -> Result<(), DecodeError> {
        let (across, down) = self.inside(place);
        let step = pixels.samples;
        for (y, row) in pixels.bytes.chunks_exact(pixels.width * step).take(down).enumerate() {
            let start = ((place.top + y) * self.page.width as usize + place.left) * self.kept;
            let line = &mut samples.bytes[start..start + across * self.kept];
            for sample in 0..step.min(place.size.samples) {
                let Some(to) = self.to[place.sample + sample] else { continue };
                let from = row[sample..].iter().step_by(step);
                line[to..].iter_mut().step_by(self.kept).zip(from).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }

    fn put_numbers(&self, numbers: &mut [f32], rows: &[u8], place: Place<'_>) {
        let page = self.page;
        let (across, down) = self.inside(place);
        let (count, step) = (place.size.width * place.size.samples, place.size.samples);
        let bytes = usize::from(page.bits / 8);
        for (y, packed) in rows.chunks_exact(place.size.row(page.bits)).take(down).enumerate() {
            let row: Vec<f32> = if page.predictor == 3 {
                let row = shuffled_back(packed, bytes, step);
                row.chunks_exact(bytes).map(|number| value(number, page.numbers, false)).collect()
            } else if page.predictor == 2 {
                let mut row = Vec::with_capacity(count);
                unpack(packed, page, count, &mut row);
                add_up(&mut row, step, page.bits);
                let value =
                    |number: &u32| value(&number.to_be_bytes()[4 - bytes.min(4)..], page.numbers, false);
                row.iter().map(value).collect()
            } else {
                packed
                    .chunks_exact(bytes)
                    .map(|number| value(number, page.numbers, page.source.little))
                    .collect()
            };
            let start = ((place.top + y) * page.width as usize + place.left) * self.kept;
            let line = &mut numbers[start..start + across * self.kept];
            for sample in 0..step {
                let Some(to) = self.to[place.sample + sample] else { continue };
                let from = row[sample..].iter().step_by(step);
                line[to..].iter_mut().step_by(self.kept).zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

fn scaled(value: u32, white: u32) -> u8 {
    let (value, white) = (u64::from(value.min(white)), u64::from(white));
    ((value * 255 + white / 2) / white) as u8
}

/// The numbers of a row, `count` of them.
fn unpack(packed: &[u8], page: &Page<'_>, count: usize, row: &mut Vec<u32>) {
    row.clear();
    let little = page.source.little;
    match page.bits {
        8 => row.extend(packed.iter().take(count).map(|byte| u32::from(*byte))),
        16 => row.extend(packed.as_chunks::<2>().0.iter().take(count).map(|pair| {
            u32::from(if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) })
        })),
        32 => row.extend(
            packed
                .as_chunks::<4>()
                .0
                .iter()
                .take(count)
                .map(|four| if little { u32::from_le_bytes(*four) } else { u32::from_be_bytes(*four) }),
        ),
        bits => {
            let bits = u32::from(bits);
            let (mut held, mut have) = (0_u32, 0);
            let mut bytes = packed.iter();
            for _ in 0..count {
                while have < bits {
                    held = held << 8 | u32::from(*bytes.next().unwrap_or(&0));
                    have += 8;
                }
                have -= bits;
                row.push(held >> have & (u32::MAX >> (32 - bits)));
            }
        }
    }
}

/// Differences from the pixel before to values.
fn add_up(row: &mut [u32], step: usize, bits: u8) {
    let mask = u32::MAX >> (32 - u32::from(bits.min(32)));
    for at in step..row.len() {
        row[at] = row[at].wrapping_add(row[at - step]) & mask;
    }
}

/// Undoes the differences between bytes, and gives the bytes of each number back to it, highest first
/// (Adobe Photoshop TIFF Technical Note 3).
fn shuffled_back(packed: &[u8], bytes: usize, step: usize) -> Vec<u8> {
    let mut row = packed.to_vec();
    for at in step..row.len() {
        row[at] = row[at].wrapping_add(row[at - step]);
    }
    let count = row.len() / bytes;
    (0..count)
        .flat_map(|number| (0..bytes).map(move |byte| byte * count + number))
        .map(|at| row[at])
        .collect()
}

/// One signed or floating-point number.
fn value(bytes: &[u8], numbers: Numbers, little: bool) -> f32 {
    let mut wide = [0; 8];
    let size = bytes.len().min(8);
    wide[8 - size..].copy_from_slice(&bytes[..size]);
    if little {
        wide[8 - size..].reverse();
    }
    let value = u64::from_be_bytes(wide);
    match (numbers, size) {
        (Numbers::Float, 2) => half(value as u16),
        (Numbers::Float, 4) => f32::from_bits(value as u32),
        (Numbers::Float, _) => f64::from_bits(value) as f32,
        (_, 1) => f32::from(value as u8 as i8),
        (_, 2) => f32::from(value as u16 as i16),
        _ => value as u32 as i32 as f32,
    }
}

/// A number of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff) / 1024.0);
    match exponent {
        0 => sign * fraction * 2_f32.powi(-14),
        31 => f32::NAN,
        _ => sign * (1.0 + fraction) * 2_f32.powi(exponent - 15),
    }
}

/// Signed and floating-point numbers as levels. Floating-point numbers up to 1 are shares of white; larger ones are in the range of
/// the integers that their program had before, or, if there is none such, between the least and the most of them.
fn levels(numbers: &[f32], page: &Page<'_>) -> Vec<u8> {
    // Signed chroma is around zero.
    if let (Colors::Lab { signed: true }, Numbers::Signed, bits @ (8 | 16)) =
        (&page.colors, page.numbers, page.bits)
    {
        let unit = if bits == 16 { 256.0 } else { 1.0 };
        return numbers.iter().map(|value| (value / unit).floor() as i32 as u8).collect();
    }
    let finite = || numbers.iter().copied().filter(|value| value.is_finite());
    let (least, most) = finite().fold((f32::MAX, f32::MIN), |(a, b), value| (a.min(value), b.max(value)));
    let (black, white) = match page.numbers {
        _ if least > most => (0.0, 1.0),
        Numbers::Float if least >= -0.5 && most <= 1.5 => (0.0, 1.0),
        Numbers::Float if least >= 0.0 && most <= 255.0 => (0.0, 255.0),
        Numbers::Float if least >= 0.0 && most <= 65535.0 => (0.0, 65535.0),
        Numbers::Float => (least, most),
        _ => {
            let white = ((1_u64 << (page.bits - 1)) - 1) as f32;
            (if least < 0.0 { -white - 1.0 } else { 0.0 }, white)
        }
    };
    let factor = 255.0 / (white - black).max(f32::MIN_POSITIVE);
    numbers.iter().map(|value| ((value - black) * factor).round().clamp(0.0, 255.0) as u8).collect()
}

/// Units of some luma and one pair of chroma to pixels.
fn spread(rows: &[u8], place: Place<'_>, (across, down): (usize, usize)) -> Pixels {
    let (width, height) = (place.size.width, place.size.height);
    let mut bytes = vec![0; width * height * 3];
    let unit = across * down + 2;
    let units = width.div_ceil(across);
    for (at, unit) in rows.chunks_exact(unit).enumerate() {
        let (left, top) = (at % units * across, at / units * down);
        let chroma = [unit[across * down], unit[across * down + 1]];
        for (place, luma) in unit[..across * down].iter().enumerate() {
            let (x, y) = (left + place % across, top + place / across);
            if x < width && y < height {
                bytes[(y * width + x) * 3..][..3].copy_from_slice(&[*luma, chroma[0], chroma[1]]);
            }
        }
    }
    Pixels { width, height, samples: 3, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read() {
        let read = |bits: u16| half(bits);
        assert_eq!([0x0000, 0x3c00, 0xc000, 0x3555].map(read), [0.0, 1.0, -2.0, 0.333_251_95]);
        assert_eq!(half(1), 2_f32.powi(-24));
        assert!(half(0x7c00).is_nan());
    }

    #[test]
    fn bytes_of_numbers_find_each_other_again() {
        let numbers = [1.0_f32, 0.5];
        let bytes: Vec<[u8; 4]> = numbers.iter().map(|number| number.to_be_bytes()).collect();
        let mut shuffled: Vec<u8> =
            (0..4).flat_map(|byte| bytes.iter().map(move |four| four[byte])).collect();
        for at in (1..shuffled.len()).rev() {
            shuffled[at] = shuffled[at].wrapping_sub(shuffled[at - 1]);
        }
        assert_eq!(shuffled_back(&shuffled, 4, 1), bytes.as_flattened());
    }

    #[test]
    fn numbers_of_any_width_are_scaled() {
        assert_eq!((scaled(0, 4095), scaled(4095, 4095), scaled(2048, 4095)), (0, 255, 128));
        assert_eq!((scaled(u32::MAX, u32::MAX), scaled(9, 1)), (255, 255));
    }
}
