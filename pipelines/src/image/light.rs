//! What light the numbers of a picture stand for, if no ICC profile says so.

use std::sync::LazyLock;

use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, MatrixCoefficients,
    ToneReprCurve, TransferCharacteristics, XyY,
};

/// A description of colors.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Light {
    /// An ICC profile.
    Icc(Vec<u8>),
    /// A power function, and where white, red, green and blue lie (x and y each), if that is said.
    Power { exponent: f32, primaries: Option<[f32; 8]> },
    /// Code points of ITU-T H.273.
    Coded { primaries: u8, transfer: u8 },
}

/// How bright is what, beyond what paper and sRGB can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bright {
    /// SMPTE ST 2084: values are absolute, up to 10,000 candela per square meter.
    Perceptual,
    /// Hybrid log-gamma of ITU-R BT.2100, shown at 1,000 candela per square meter.
    Hybrid,
}

/// Exponent and white point of sRGB, which need no conversion.
const SRGB_EXPONENT: f32 = 1.0 / 0.45455;
const SRGB: [f32; 8] = [0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06];

impl Light {
    /// The ICC profile that says the same. `None` if nothing is to be converted, or it cannot be.
    pub(super) fn profile(&self, gray: bool) -> Option<ColorProfile> {
        match self {
            Self::Icc(profile) => ColorProfile::new_from_slice(profile).ok(),
            Self::Power { exponent, primaries } => power(*exponent, *primaries, gray),
            Self::Coded { .. } if gray => None,
            Self::Coded { primaries, transfer } => {
                let mut profile = ColorProfile::new_srgb();
                let coded = CicpProfile {
                    color_primaries: CicpColorPrimaries::try_from(*primaries).ok()?,
                    transfer_characteristics: TransferCharacteristics::try_from(*transfer).ok()?,
                    matrix_coefficients: MatrixCoefficients::Identity,
                    full_range: true,
                };
                profile.update_rgb_colorimetry_from_cicp(coded).then_some(profile)
            }
        }
    }

    /// Whether the values are those of a bright screen.
    pub(super) fn bright(&self) -> Option<Bright> {
        match self {
            Self::Coded { transfer: 16, .. } => Some(Bright::Perceptual),
            Self::Coded { transfer: 18, .. } => Some(Bright::Hybrid),
            _ => None,
        }
    }

    /// Whether red, green and blue are those of ITU-R BT.2020.
    pub(super) fn is_wide(&self) -> bool {
        matches!(self, Self::Coded { primaries: 9, .. })
    }
}

fn power(exponent: f32, primaries: Option<[f32; 8]>, gray: bool) -> Option<ColorProfile> {
    if !(0.1..=10.0).contains(&exponent) {
        return None;
    }
    let near = |a: f32, b: f32| (a - b).abs() < 0.01;
    let usual = primaries.is_none_or(|primaries| primaries.iter().zip(SRGB).all(|(a, b)| near(*a, b)));
    if usual && (exponent - SRGB_EXPONENT).abs() < 0.05 {
        // Programs that mean sRGB write its nearest power.
        return None;
    }
    if gray {
        return Some(ColorProfile::new_gray_with_gamma(exponent));
    }
    let [wx, wy, rx, ry, gx, gy, bx, by] = primaries.unwrap_or(SRGB);
    if [wy, ry, gy, by].iter().any(|y| *y <= 0.0) {
        return None;
    }
    let at = |x, y| Chromaticity { x, y };
    let mut profile = ColorProfile::new_srgb();
    let white = XyY { x: wx.into(), y: wy.into(), yb: 1.0 };
    profile.update_rgb_colorimetry(
        white,
        ColorPrimaries { red: at(rx, ry), green: at(gx, gy), blue: at(bx, by) },
    );
    let curve = Some(ToneReprCurve::Parametric(vec![exponent]));
    (profile.red_trc, profile.green_trc, profile.blue_trc) = (curve.clone(), curve.clone(), curve);
    Some(profile)
}

/// Luminance of paper white, in candela per square meter (ITU-R BT.2408).
const PAPER: f32 = 203.0;

/// Shares of the light of `PAPER` for each value of SMPTE ST 2084.
static PERCEPTUAL: LazyLock<[f32; 256]> = LazyLock::new(|| {
    const M1: f32 = 2610.0 / 16384.0;
    const M2: f32 = 2523.0 / 4096.0 * 128.0;
    const C1: f32 = 3424.0 / 4096.0;
    const C2: f32 = 2413.0 / 4096.0 * 32.0;
    const C3: f32 = 2392.0 / 4096.0 * 32.0;
    std::array::from_fn(|value| {
        let root = (value as f32 / 255.0).powf(1.0 / M2);
        ((root - C1).max(0.0) / (C2 - C3 * root)).powf(1.0 / M1) * 10_000.0 / PAPER
    })
});

/// Light of the scene, 0..=1, for each value of hybrid log-gamma (ITU-R BT.2100, table 5).
static HYBRID: LazyLock<[f32; 256]> = LazyLock::new(|| {
    const A: f32 = 0.178_832_77;
    const B: f32 = 0.284_668_92;
    const C: f32 = 0.559_910_7;
    std::array::from_fn(|value| {
        let value = value as f32 / 255.0;
        if value <= 0.5 { value * value / 3.0 } else { (((value - C) / A).exp() + B) / 12.0 }
    })
});

/// Linear sRGB from linear BT.2020 (ITU-R BT.2087).
const NARROW: [[f32; 3]; 3] =
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]];

/// Shows colors of a bright screen as sRGB: paper white stays white, what is brighter keeps its hue and loses its brightness.
pub(super) fn show(rgb: &mut [u8], bright: Bright, wide: bool) {
    /// From here on, brightness is compressed.
    const KNEE: f32 = 0.9;
    for pixel in rgb.as_chunks_mut::<3>().0 {
        let mut light = match bright {
            Bright::Perceptual => pixel.map(|value| PERCEPTUAL[usize::from(value)]),
            Bright::Hybrid => {
                let scene = pixel.map(|value| HYBRID[usize::from(value)]);
                let luminance = 0.2627 * scene[0] + 0.678 * scene[1] + 0.0593 * scene[2];
                // The system's exponent of 1.2 (ITU-R BT.2100, table 5).
                scene.map(|value| value * luminance.powf(0.2) * 1000.0 / PAPER)
            }
        };
        if wide {
            light = NARROW.map(|row| row.iter().zip(light).map(|(factor, value)| factor * value).sum());
        }
        let most = light.into_iter().fold(0.0, f32::max);
        if most > KNEE {
            let shown = KNEE + (1.0 - KNEE) * (1.0 - (-(most - KNEE) / (1.0 - KNEE)).exp());
            light = light.map(|value| value * shown / most);
        }
        *pixel = light.map(|value| {
            let value = value.clamp(0.0, 1.0);
            let coded =
                if value <= 0.003_130_8 { 12.92 * value } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 };
            (coded * 255.0).round() as u8
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paper_white_of_a_bright_screen_is_nearly_white() {
        // 58.1 % is 203 candela per square meter.
        let mut rgb = [148, 148, 148, 0, 0, 0, 255, 255, 255];
        show(&mut rgb, Bright::Perceptual, true);
        assert!(rgb[0] > 245 && rgb[3] == 0 && rgb[6] >= 254, "{rgb:?}");
        // 75 % of hybrid log-gamma is the same.
        let mut rgb = [191, 191, 191];
        show(&mut rgb, Bright::Hybrid, true);
        assert!(rgb[0] > 245, "{rgb:?}");
    }

    #[test]
    fn what_means_srgb_is_not_converted() {
        let power = |exponent, primaries| Light::Power { exponent, primaries }.profile(false).is_some();
        assert!(!power(1.0 / 0.45455, None) && !power(2.2, Some(SRGB)));
        assert!(power(1.0, None) && !power(0.0, None) && !power(f32::INFINITY, None));
        let adobe = [0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06];
        assert!(power(2.2, Some(adobe)));
        assert!(!power(2.0, Some([0.0; 8])));
    }
}
