//! What the samples of a TIFF mean, in colors that [`color`](super::color) knows.

use super::super::DecodeError;
use super::super::color::{self, Samples as Kind};
use super::page::{Colors, Luma, Page, corrupt};
use super::samples::Samples;

/// The samples as those of a kind that can be converted to sRGB.
pub(super) fn explain(page: &Page<'_>, samples: Samples) -> Result<(Vec<u8>, Kind), DecodeError> {
    let Samples { mut bytes, converted } = samples;
    let kind = match (&page.colors, page.alpha.is_some()) {
        (Colors::Gray { .. }, false) => Kind::Gray,
        (Colors::Gray { .. }, true) => Kind::GrayAlpha,
        (Colors::Rgb, true) => Kind::Rgba,
        (Colors::Cmyk, _) => Kind::Cmyk,
        _ => Kind::Rgb,
    };
    match &page.colors {
        Colors::Gray { white_is_zero: true } => {
            for pixel in bytes.chunks_exact_mut(kind.per_pixel()) {
                pixel[0] = 255 - pixel[0];
            }
        }
        Colors::Palette(palette) => bytes = look_up(&bytes, palette)?,
        Colors::YCbCr(luma) if !converted => to_rgb(&mut bytes, luma),
        Colors::Lab { signed } => lab_to_srgb(&mut bytes, *signed),
        _ => {}
    }
    if page.alpha.is_some_and(|alpha| alpha.associated) {
        color::divide(&mut bytes, kind.per_pixel());
    }
    Ok((bytes, kind))
}

/// Indices to colors. `palette` holds all reds, then all greens, then all blues.
fn look_up(indices: &[u8], palette: &[u16]) -> Result<Vec<u8>, DecodeError> {
    let size = palette.len() / 3;
    // Some programs wrote bytes where there should be 16 bits.
    let shift = if palette.iter().all(|value| *value < 256) { 0 } else { 8 };
    let colors: Vec<[u8; 3]> =
        (0..size).map(|i| [0, 1, 2].map(|plane| (palette[plane * size + i] >> shift) as u8)).collect();
    let mut rgb = Vec::with_capacity(indices.len() * 3);
    for index in indices {
        let color = colors.get(usize::from(*index)).ok_or_else(|| corrupt("a color beyond its palette"))?;
        rgb.extend_from_slice(color);
    }
    Ok(rgb)
}

/// Luma and chroma to red, green and blue (TIFF 6.0, section 21).
fn to_rgb(bytes: &mut [u8], luma: &Luma) {
    let [red, green, blue] = luma.shares;
    let [black, white, zero_b, most_b, zero_r, most_r] = luma.reference;
    for pixel in bytes.as_chunks_mut::<3>().0 {
        let [y, b, r] = pixel.map(f32::from);
        let y = (y - black) * 255.0 / (white - black);
        let b = (b - zero_b) * 127.0 / (most_b - zero_b);
        let r = (r - zero_r) * 127.0 / (most_r - zero_r);
        let (r, b) = (r * (2.0 - 2.0 * red) + y, b * (2.0 - 2.0 * blue) + y);
        let g = (y - blue * b - red * r) / green;
        *pixel = [r, g, b].map(|value| value.round().clamp(0.0, 255.0) as u8);
    }
}

/// CIE L*a*b* in D50 to sRGB.
fn lab_to_srgb(bytes: &mut [u8], signed: bool) {
    // Linear sRGB from XYZ in D50: the inverse of the sRGB primaries, adapted from D65 by Bradford (ICC.1:2022, annex E).
    const RGB: [[f32; 3]; 3] = [
        [3.134_187, -1.617_209, -0.490_694],
        [-0.978_75, 1.916_13, 0.033_433],
        [0.071_964, -0.228_994, 1.405_754],
    ];
    // D50, ICC.1:2022, 7.2.16.
    const WHITE: [f32; 3] = [0.964_2, 1.0, 0.824_9];
    let chroma = |byte: u8| if signed { f32::from(byte as i8) } else { f32::from(byte) - 128.0 };
    let inverse = |t: f32| if t > 6.0 / 29.0 { t * t * t } else { (t - 4.0 / 29.0) * 108.0 / 841.0 };
    for pixel in bytes.as_chunks_mut::<3>().0 {
        let y = (f32::from(pixel[0]) / 2.55 + 16.0) / 116.0;
        let xyz = [y + chroma(pixel[1]) / 500.0, y, y - chroma(pixel[2]) / 200.0];
        let xyz = [0, 1, 2].map(|i: usize| inverse(xyz[i]) * WHITE[i]);
        *pixel = RGB.map(|row| {
            let linear: f32 = row.iter().zip(xyz).map(|(factor, value)| factor * value).sum();
            let coded =
                if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
            (coded * 255.0).round().clamp(0.0, 255.0) as u8
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palettes_of_bytes_and_of_words_are_understood() {
        let words = look_up(&[1, 0], &[0, 0xff00, 0, 0x8000, 0, 0]).expect("is in it");
        assert_eq!(words, [255, 128, 0, 0, 0, 0]);
        assert_eq!(look_up(&[1], &[0, 255, 0, 128, 0, 7]).expect("is in it"), [255, 128, 7]);
        assert!(look_up(&[2], &[0; 6]).is_err());
    }

    #[test]
    fn lab_becomes_srgb() {
        // White, middle gray, and pure sRGB red, which is about (54, 81, 70) in D50.
        let mut lab = [255, 0, 0, 137, 0, 0, 138, 81, 70];
        lab_to_srgb(&mut lab, true);
        assert!(lab[..3].iter().all(|v| *v >= 254), "{lab:?}");
        assert!(lab[3..6].iter().all(|v| v.abs_diff(128) <= 2), "{lab:?}");
        assert!(lab[6] >= 253 && lab[7] < 12 && lab[8] < 12, "{lab:?}");
    }
}
