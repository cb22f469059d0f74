//! Decodes JPEG at the needed scale: with libjpeg-turbo, or, if it is reduced and regular, with docent's own decoder.

mod markers;
mod reduced;
mod whole;

use docent_models::Picture;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp};

use super::color::{self, Samples};
use super::light::Light;
use super::memory::Peak;
use super::sniff;
use super::{DecodeError, DecodeLimits, Decoded, Format, Need, Pixels, Tolerated};
use markers::{Frame, Stream};
use reduced::Reduced;

/// A progressive picture has some ten scans; thousands are an attack: each takes the time of a whole picture.
const MAX_SCANS: u32 = 200;
/// Of thumbnails.
const QUALITY: i32 = 82;

/// Left-over bytes at the end of a scan that are taken for padding, however small the picture and whatever they are.
const SPARE: usize = 64;

/// What the colors of a stream are, if its own marks do not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Rgb,
    YCbCr,
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let start = sniff::start_of_jpeg(bytes).unwrap_or(0);
    let mut stream = Stream::read(&bytes[start..], None)?;
    if start > 0 {
        stream.tolerated.push(Tolerated::BytesBefore);
    }
    let frame = &stream.frame;
    check_frame(frame)?;
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let lossless = frame.process == 3;
    let needed = limits.long_side(width as u64, height as u64);
    let factor = if lossless { ScalingFactor::ONE } else { scale(width.max(height), needed) };
    let (scaled_width, scaled_height) = (factor.scale(width), factor.scale(height));
    let scaled = (scaled_width as u64, scaled_height as u64);
    let pixels = scaled.0 * scaled.1;
    let stored = frame.sampling.len() as u64;
    // libjpeg-turbo gets a copy of the file.
    let decoding = pixels * stored + coefficients(&stream) + bytes.len() as u64;
    let converting = if stored == 3 { 3 } else { stored + 3 };
    let peak = Peak::of(decoding).or(pixels * converting);
    let peak = peak.finished(scaled, needed, stream.orientation);
    Need { width: width as u64, height: height as u64, bytes: peak }.check(Format::Jpeg, limits)?;

    let mut decompressor = Decompressor::new().map_err(|error| failure(&error))?;
    let header = decompressor.read_header(&stream.head).map_err(|error| failure(&error))?;
    let inks = matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK);
    let is_usual = matches!(header.colorspace, Colorspace::Gray | Colorspace::YCbCr);
    let (mut pixels, samples) = match is_usual.then(|| reduced::decode(&stream, factor.denom())).flatten() {
        Some(Reduced { pixels, is_gray: true }) => (pixels, Samples::Gray),
        Some(Reduced { pixels, is_gray: false }) => (pixels, Samples::Rgb),
        None => {
            let (format, samples) = match header.colorspace {
                Colorspace::Gray => (PixelFormat::GRAY, Samples::Gray),
                _ if inks => (PixelFormat::CMYK, Samples::Cmyk),
                _ => (PixelFormat::RGB, Samples::Rgb),
            };
            let clean = stream.clean();
            decompressor.set_scan_limit(MAX_SCANS).map_err(|error| failure(&error))?;
            decompressor.set_scaling_factor(factor).map_err(|error| failure(&error))?;
            let pitch = scaled_width * format.size();
            let mut pixels = vec![0; pitch * scaled_height];
            let image =
                Image { pixels: &mut pixels[..], width: scaled_width, pitch, height: scaled_height, format };
            let tolerated = judge(decompressor.decompress(&clean, image), &stream)?;
            stream.tolerated.extend(tolerated);
            (pixels, samples)
        }
    };
    // Programs of Adobe, and all others after them, store how much light is left instead of ink. Nobody reads inks in another
    // way, whether Adobe's mark is there or not.
    if inks {
        pixels.iter_mut().for_each(|value| *value = 255 - *value);
    }
    let rgb = color::to_srgb(pixels, samples, stream.profile.take().map(Light::Icc).as_ref());
    let picture = Picture::new(scaled_width as u32, scaled_height as u32, rgb)
        .map_err(|error| corrupt(error.to_string()))?;
    Ok(Decoded {
        picture,
        full: (width as u32, height as u32),
        orientation: stream.orientation,
        tolerated: stream.tolerated,
    })
}

/// EXIF's orientation, 1..=8.
pub(super) fn orientation(bytes: &[u8]) -> Result<u8, DecodeError> {
    let start = sniff::start_of_jpeg(bytes).unwrap_or(0);
    Ok(Stream::read(&bytes[start..], None)?.orientation)
}

/// Decodes a stream within another file at its full size, `most` pixels across and down at most. Samples are gray, red, green and
/// blue, or inks as they are stored.
pub(super) fn chunk(
    bytes: &[u8],
    told: Option<Told>,
    (across, down): (u32, u32),
) -> Result<Pixels, DecodeError> {
    let stream = Stream::read(bytes, told)?;
    check_frame(&stream.frame)?;
    let (width, height) = (usize::from(stream.frame.width), usize::from(stream.frame.height));
    if width > across as usize || height > down as usize {
        return Err(corrupt(format!("{width} x {height} pixels where there is room for {across} x {down}")));
    }
    let mut decompressor = Decompressor::new().map_err(|error| failure(&error))?;
    let header = decompressor.read_header(&stream.head).map_err(|error| failure(&error))?;
    let format = match header.colorspace {
        Colorspace::Gray => PixelFormat::GRAY,
        Colorspace::CMYK | Colorspace::YCCK => PixelFormat::CMYK,
        _ => PixelFormat::RGB,
    };
    decompressor.set_scan_limit(MAX_SCANS).map_err(|error| failure(&error))?;
    let samples = format.size();
    let mut bytes = vec![0; width * height * samples];
    let image = Image { pixels: &mut bytes[..], width, pitch: width * samples, height, format };
    judge(decompressor.decompress(&stream.clean(), image), &stream)?;
    Ok(Pixels { width, height, samples, bytes })
}

pub(super) fn encode(picture: &Picture) -> Result<Vec<u8>, turbojpeg::Error> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let image = Image { pixels: picture.rgb(), width, pitch: width * 3, height, format: PixelFormat::RGB };
    Ok(turbojpeg::compress(image, QUALITY, Subsamp::Sub2x2)?.to_vec())
}

/// The smallest of 1, 1/2, 1/4, 1/8 that leaves the long side at `working` or more.
fn scale(long: usize, working: u32) -> ScalingFactor {
    [ScalingFactor::ONE_EIGHTH, ScalingFactor::ONE_QUARTER, ScalingFactor::ONE_HALF]
        .into_iter()
        .find(|factor| factor.scale(long) >= working as usize)
        .unwrap_or(ScalingFactor::ONE)
}

/// Refuses what libjpeg-turbo cannot decode, in plainer words than its own.
fn check_frame(frame: &Frame) -> Result<(), DecodeError> {
    let feature = |reason: String| Err(DecodeError::Feature { format: Format::Jpeg, reason });
    if frame.width == 0 || frame.height == 0 {
        let (width, height) = (u64::from(frame.width), u64::from(frame.height));
        return Err(DecodeError::ZeroSize { format: Format::Jpeg, width, height });
    }
    match frame.process {
        5..=7 | 13..=15 => return feature("hierarchical JPEG".into()),
        11 => return feature("lossless JPEG with arithmetic coding".into()),
        _ => {}
    }
    if frame.precision != 8 {
        return feature(format!("{} bits per sample", frame.precision));
    }
    match frame.sampling.len() {
        1 | 3 | 4 => Ok(()),
        count => feature(format!("{count} color components")),
    }
}

/// Bytes of the coefficients that must be held, two for each sample, until the last of several scans.
fn coefficients(stream: &Stream) -> u64 {
    if !stream.several_scans {
        return 0;
    }
    let Frame { width, height, sampling, .. } = &stream.frame;
    let most = |factors: fn(&(u8, u8)) -> u8| sampling.iter().map(factors).max().unwrap_or(1).max(1);
    let (across, down) = (u64::from(most(|s| s.0)), u64::from(most(|s| s.1)));
    let samples = |(h, v): &(u8, u8)| {
        u64::from(*width) * u64::from(*h) / across * (u64::from(*height) * u64::from(*v) / down)
    };
    2 * sampling.iter().map(samples).sum::<u64>()
}

fn corrupt(reason: String) -> DecodeError {
    DecodeError::Corrupt { format: Format::Jpeg, reason }
}

/// libjpeg-turbo's words without those of its wrapper.
fn words(error: &turbojpeg::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("TurboJPEG error: ").unwrap_or(&text).to_owned()
}

/// Whether the pixels are whole, and what was wrong although they are. libjpeg-turbo reports its first warning only, as an error,
/// with all pixels that it could get in place. A harmless one hides others; then docent follows the codes itself.
fn judge(
    result: Result<(), turbojpeg::Error>,
    stream: &Stream<'_>,
) -> Result<Option<Tolerated>, DecodeError> {
    let warning = match result {
        Ok(()) => None,
        Err(error) => Some((words(&error), error)),
    };
    let has = |words: &str| warning.as_ref().is_some_and(|(warning, _)| warning.contains(words));
    let spare = has("extraneous bytes before marker");
    let order = has("Invalid SOS parameters") || has("Inconsistent progression sequence");
    let missing = || DecodeError::Truncated {
        format: Format::Jpeg,
        reason: if stream.ended {
            "pixels are missing within it"
        } else {
            "the file ends before the picture does"
        }
        .into(),
    };
    if !stream.ended {
        // What lies behind the last scan is spare only if that scan is whole.
        let harmless = warning.is_none() || spare || order;
        return match &warning {
            _ if harmless && whole::check(stream).is_some() => Ok(Some(Tolerated::NoEndMarker)),
            Some((_, error)) if !has("Corrupt JPEG data") && !has("Premature end") && !order => {
                Err(failure(error))
            }
            _ => Err(missing()),
        };
    }
    match &warning {
        None => Ok(None),
        Some((warning, _)) if spare => match whole::check(stream) {
            // Much that is no filling means that the decoder lost its way before.
            Some(other) if other > SPARE && other * 100 > stream.scans.len() => Err(corrupt(warning.clone())),
            Some(_) => Ok(Some(Tolerated::SpareBytes)),
            None => Err(missing()),
        },
        Some(_) if has("premature end") || has("instead of RST") => Err(missing()),
        // About the order of scans: the pixels are there.
        Some(_) if order => Ok(Some(Tolerated::OrderOfScans)),
        Some((_, error)) => Err(failure(error)),
    }
}

fn failure(error: &turbojpeg::Error) -> DecodeError {
    let reason = words(error);
    let any = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let format = Format::Jpeg;
    if any(&["Unsupported", "not supported", "precision", "not implemented", "more than", "colorspace"]) {
        DecodeError::Feature { format, reason }
    } else {
        DecodeError::Corrupt { format, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_keeps_the_working_size() {
        assert_eq!(scale(8064, 2000), ScalingFactor::ONE_QUARTER);
        assert_eq!(scale(4032, 2000), ScalingFactor::ONE_HALF);
        assert_eq!(scale(3508, 2000), ScalingFactor::ONE);
        assert_eq!(scale(16_000, 2000), ScalingFactor::ONE_EIGHTH);
        assert_eq!(scale(10, 2000), ScalingFactor::ONE);
    }
}
