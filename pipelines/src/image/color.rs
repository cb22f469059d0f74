//! Converts samples of any meaning to sRGB on white paper.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformOptions};

use super::light::{self, Light};

/// What the interleaved 8-bit samples of a pixel are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Samples {
    /// Gray.
    Gray,
    /// Gray and opacity.
    GrayAlpha,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue and opacity.
    Rgba,
    /// Cyan, magenta, yellow and black; 0 is no ink.
    Cmyk,
}

/// Pixels converted at once.
const PORTION: usize = 1 << 14;

impl Samples {
    /// Samples, and so bytes, of a pixel.
    pub(super) fn per_pixel(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Bytes of a pixel at the moment when it becomes sRGB: its samples, and what is made of them.
    pub(super) fn converted(self) -> u64 {
        match self {
            Self::Rgb => 3,
            other => other.per_pixel() as u64 + 3,
        }
    }

    /// Samples of a pixel without its opacity.
    fn colors(self) -> usize {
        match self {
            Self::Gray | Self::GrayAlpha => 1,
            Self::Rgb | Self::Rgba => 3,
            Self::Cmyk => 4,
        }
    }
}

/// The samples as interleaved sRGB bytes. What is transparent becomes white, as on paper; behind white writing it becomes black.
///
/// Ignores a description that is unusable or belongs to other samples: slightly wrong colors are better than no picture.
pub(super) fn to_srgb(mut bytes: Vec<u8>, samples: Samples, light: Option<&Light>) -> Vec<u8> {
    if let Some(light) = light
        && let Some(bright) = light.bright()
        && samples.colors() == 3
    {
        let mut rgb = to_srgb(bytes, samples, None);
        light::show(&mut rgb, bright, light.is_wide());
        return rgb;
    }
    let transform = light.and_then(|light| transform(samples, light));
    let mut converted = vec![0; PORTION * 3];
    if samples == Samples::Rgb {
        let Some(transform) = transform else { return bytes };
        for portion in bytes.chunks_mut(PORTION * 3) {
            let target = &mut converted[..portion.len()];
            if transform.transform(portion, target).is_ok() {
                portion.copy_from_slice(target);
            }
        }
        return bytes;
    }
    let (width, colors) = (samples.per_pixel(), samples.colors());
    let ground = ground(&bytes, samples);
    let mut rgb = Vec::with_capacity(bytes.len() / width * 3);
    let mut opaque = Vec::with_capacity(PORTION * colors);
    for portion in bytes.chunks(PORTION * width) {
        let target = &mut converted[..portion.len() / width * 3];
        let colored = if colors == width {
            portion
        } else {
            opaque.clear();
            opaque.extend(portion.chunks_exact(width).flat_map(|pixel| &pixel[..colors]));
            &opaque
        };
        let done = transform.as_ref().is_some_and(|transform| transform.transform(colored, target).is_ok());
        if !done {
            plain(colored, samples, target);
        }
        if colors != width {
            for (rgb, pixel) in target.chunks_exact_mut(3).zip(portion.chunks_exact(width)) {
                lay(rgb, pixel[colors], ground);
            }
        }
        rgb.extend_from_slice(target);
    }
    rgb
}

/// Sixteen bits a sample, in this machine's byte order, to eight.
pub(super) fn narrow(mut bytes: Vec<u8>) -> Vec<u8> {
    for at in 0..bytes.len() / 2 {
        let value = u32::from(u16::from_ne_bytes([bytes[2 * at], bytes[2 * at + 1]]));
        bytes[at] = ((value * 255 + 32767) / 65535) as u8;
    }
    bytes.truncate(bytes.len() / 2);
    bytes.shrink_to_fit();
    bytes
}

/// The level of the ground below transparent pixels: black if nearly all that is opaque would vanish on white.
fn ground(bytes: &[u8], samples: Samples) -> u8 {
    /// Pixels that are looked at.
    const LOOKED_AT: usize = 1 << 16;
    /// Levels from here on vanish on white.
    const LIGHT: u8 = 230;
    let colors = match samples {
        Samples::GrayAlpha => 1,
        Samples::Rgba => 3,
        _ => return 255,
    };
    let size = colors + 1;
    let step = (bytes.len() / size / LOOKED_AT).max(1);
    let (mut all, mut opaque, mut light) = (0_usize, 0_usize, 0_usize);
    for pixel in bytes.chunks_exact(size).step_by(step) {
        all += 1;
        if pixel[colors] >= 128 {
            opaque += 1;
            light += usize::from(pixel[..colors].iter().all(|value| *value >= LIGHT));
        }
    }
    // Some of it is transparent, and nineteen of twenty opaque pixels are light.
    if opaque * 10 < all * 9 && opaque > 0 && light * 20 >= opaque * 19 { 0 } else { 255 }
}

fn lay(rgb: &mut [u8], alpha: u8, ground: u8) {
    let (alpha, ground) = (u32::from(alpha), u32::from(ground));
    for value in rgb {
        *value = ((u32::from(*value) * alpha + ground * (255 - alpha) + 127) / 255) as u8;
    }
}

/// Takes the opacity out of colors that were multiplied with it.
pub(super) fn divide(bytes: &mut [u8], size: usize) {
    for pixel in bytes.chunks_exact_mut(size) {
        let [colors @ .., alpha] = pixel else { continue };
        let alpha = u16::from(*alpha);
        for color in colors {
            *color = (u16::from(*color) * 255 + alpha / 2)
                .checked_div(alpha)
                .map_or(*color, |value| value.min(255) as u8);
        }
    }
}

/// The conversion without a profile, opacity already taken away.
fn plain(bytes: &[u8], samples: Samples, rgb: &mut [u8]) {
    let pixels = rgb.chunks_exact_mut(3).zip(bytes.chunks_exact(samples.colors()));
    for (rgb, pixel) in pixels {
        match pixel {
            [gray] => rgb.fill(*gray),
            // Ink taken from white light, without regard to how inks really mix.
            [inks @ .., black] if samples == Samples::Cmyk => {
                for (value, ink) in rgb.iter_mut().zip(inks) {
                    *value = ((255 - u32::from(*ink)) * (255 - u32::from(*black)) / 255) as u8;
                }
            }
            _ => rgb.copy_from_slice(pixel),
        }
    }
}

fn transform(samples: Samples, light: &Light) -> Option<Arc<Transform8BitExecutor>> {
    let profile = light.profile(matches!(samples, Samples::Gray | Samples::GrayAlpha))?;
    let (space, layout) = match samples {
        Samples::Gray | Samples::GrayAlpha => (DataColorSpace::Gray, Layout::Gray),
        Samples::Rgb | Samples::Rgba => (DataColorSpace::Rgb, Layout::Rgb),
        // moxcms takes four inks in the layout of RGBA.
        Samples::Cmyk => (DataColorSpace::Cmyk, Layout::Rgba),
    };
    if profile.color_space != space {
        return None;
    }
    let srgb = ColorProfile::new_srgb();
    let transform =
        profile.create_transform_8bit(layout, &srgb, Layout::Rgb, TransformOptions::default()).ok()?;
    (samples == Samples::Cmyk || changes(transform.as_ref(), layout)).then_some(transform)
}

/// Whether a transform moves any of some colors by more than rounding: most profiles in the wild are sRGB's own.
fn changes(transform: &Transform8BitExecutor, layout: Layout) -> bool {
    const STEPS: [u8; 6] = [0, 51, 102, 153, 204, 255];
    let colors: Vec<[u8; 3]> = if layout == Layout::Gray {
        (0..=255).map(|value| [value; 3]).collect()
    } else {
        STEPS
            .into_iter()
            .flat_map(|r| STEPS.into_iter().flat_map(move |g| STEPS.into_iter().map(move |b| [r, g, b])))
            .collect()
    };
    let before = colors.as_flattened();
    let mut after = vec![0; before.len()];
    let source: Vec<u8> =
        if layout == Layout::Gray { colors.iter().map(|color| color[0]).collect() } else { before.to_vec() };
    transform.transform(&source, &mut after).is_ok()
        && before.iter().zip(&after).any(|(before, after)| before.abs_diff(*after) > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(profile: &ColorProfile) -> Light {
        Light::Icc(profile.encode().expect("is encoded"))
    }

    #[test]
    fn wide_gamut_colors_become_srgb() {
        let profile = encoded(&ColorProfile::new_display_p3());
        // Pure sRGB red is about (234, 51, 35) in Display P3.
        let rgb = to_srgb(vec![234, 51, 35, 128, 128, 128], Samples::Rgb, Some(&profile));
        assert!(rgb[0] > 250 && rgb[1] < 8 && rgb[2] < 8, "{rgb:?}");
        assert!(rgb[3..].iter().all(|v| v.abs_diff(128) <= 1), "{rgb:?}");
    }

    #[test]
    fn color_is_converted_before_it_is_laid_on_white() {
        let profile = encoded(&ColorProfile::new_display_p3());
        let rgb = to_srgb(vec![234, 51, 35, 255, 234, 51, 35, 0], Samples::Rgba, Some(&profile));
        assert!(rgb[0] > 250 && rgb[1] < 8 && rgb[2] < 8, "{rgb:?}");
        assert_eq!(rgb[3..], [255; 3]);
    }

    #[test]
    fn a_linear_gray_becomes_lighter() {
        let profile = encoded(&ColorProfile::new_gray_with_gamma(1.0));
        let rgb = to_srgb(vec![55, 255], Samples::Gray, Some(&profile));
        // 55 / 255 is 0.2157 of the light: 128 in sRGB.
        assert!(rgb[..3].iter().all(|v| v.abs_diff(128) <= 2), "{rgb:?}");
        assert_eq!(rgb[3..], [255; 3]);
    }

    #[test]
    fn white_writing_is_laid_on_black() {
        let pixels = |written: [u8; 4]| [[0, 0, 0, 0], [0, 0, 0, 0], written].concat();
        let shown = |written| to_srgb(pixels(written), Samples::Rgba, None);
        assert_eq!(shown([255, 255, 250, 255]), [0, 0, 0, 0, 0, 0, 255, 255, 250]);
        assert_eq!(shown([200, 0, 0, 255])[..3], [255; 3]);
        assert_eq!(to_srgb(vec![9, 0, 250, 255, 0, 0], Samples::GrayAlpha, None)[..3], [0; 3]);
        // Nothing is written.
        assert_eq!(to_srgb(vec![0; 8], Samples::Rgba, None), [255; 6]);
    }

    #[test]
    fn the_profile_of_srgb_changes_nothing() {
        let all: Vec<u8> = (0..=255).flat_map(|v| [v, 255 - v, v / 2]).collect();
        let profile = encoded(&ColorProfile::new_srgb());
        assert_eq!(to_srgb(all.clone(), Samples::Rgb, Some(&profile)), all);
    }

    #[test]
    fn unusable_profiles_change_nothing() {
        let none = Light::Icc(b"no profile".to_vec());
        for light in [&none, &Light::Icc(Vec::new()), &encoded(&ColorProfile::new_gray_with_gamma(1.0))] {
            assert_eq!(to_srgb(vec![1, 2, 3], Samples::Rgb, Some(light)), [1, 2, 3]);
        }
        assert_eq!(
            to_srgb(vec![0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255], Samples::Cmyk, Some(&none)),
            [255, 255, 255, 0, 255, 255, 0, 0, 0]
        );
    }

    #[test]
    fn mutilated_profiles_change_colors_at_most() {
        let good = ColorProfile::new_adobe_rgb().encode().expect("is encoded");
        for at in 0..good.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                assert_eq!(to_srgb(vec![9; 30], Samples::Rgb, Some(&Light::Icc(bad))).len(), 30);
            }
            let cut = Light::Icc(good[..at].to_vec());
            assert_eq!(to_srgb(vec![9; 30], Samples::Rgb, Some(&cut)).len(), 30);
        }
    }

    #[test]
    fn transparency_shows_white_and_depth_is_rounded() {
        assert_eq!(
            to_srgb(vec![0, 0, 100, 255, 0, 128], Samples::GrayAlpha, None),
            [255, 255, 255, 100, 100, 100, 127, 127, 127]
        );
        let deep: Vec<u8> = [0u16, 128, 129, 32896, 65535].into_iter().flat_map(u16::to_ne_bytes).collect();
        assert_eq!(narrow(deep), [0, 0, 1, 128, 255]);
    }

    #[test]
    fn opacity_is_taken_out_of_colors() {
        let mut pixels = [100, 50, 0, 128, 9, 9, 9, 0, 200, 7, 1, 255];
        divide(&mut pixels, 4);
        assert_eq!(pixels, [199, 100, 0, 128, 9, 9, 9, 0, 200, 7, 1, 255]);
    }
}
