use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp};

use super::super::markers::Stream;
use super::*;

/// A photograph of sorts: slopes of all colors, edges, and noise from the same generator each time.
fn picture(width: usize, height: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut noise = move || {
        // Constants of Numerical Recipes' generator.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 27) as usize
    };
    let mut pixels = Vec::with_capacity(3 * width * height);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let edge = if (x / 37 + y / 23) % 2 == 0 { 60 } else { 0 };
        for value in [x * 160 / width, y * 160 / height, (x + y) * 160 / (width + height)] {
            pixels.push((value + edge + noise()) as u8);
        }
    }
    pixels
}

fn jpeg(size: (usize, usize), subsamp: Subsamp, quality: i32, optimize: bool) -> Vec<u8> {
    let rgb = picture(size.0, size.1);
    let image = Image {
        pixels: &rgb[..],
        width: size.0,
        pitch: 3 * size.0,
        height: size.1,
        format: PixelFormat::RGB,
    };
    let mut compressor = Compressor::new().expect("is made");
    compressor.set_subsamp(subsamp).expect("is known");
    compressor.set_quality(quality).expect("is in range");
    compressor.set_optimize(optimize).expect("is known");
    compressor.compress_to_vec(image).expect("is compressed")
}

/// The mean of the samples of a plane that lie in a rectangle.
fn mean(plane: &[u8], stride: usize, [left, right, top, bottom]: [usize; 4]) -> f64 {
    let rows = (top..bottom).map(|row| &plane[row * stride..][left..right]);
    rows.flatten().map(|sample| f64::from(*sample)).sum::<f64>() / ((right - left) * (bottom - top)) as f64
}

/// The largest difference from the means of a whole decoding, which are exact but for the rounding of its samples. Pixels at
/// the right and the lower border are left out where they stand for some that the picture does not have.
fn difference(bytes: &[u8], reduction: usize) -> f64 {
    let stream = Stream::read(bytes, None).expect("is a JPEG");
    let reduced = decode(&stream, reduction).expect("is decoded");
    let planes = turbojpeg::decompress_to_yuv(bytes).expect("is decoded");
    let (width, height) = (planes.width, planes.height);
    let across = width.div_ceil(reduction);
    let channels = if reduced.is_gray { 1 } else { 3 };
    assert_eq!(reduced.pixels.len(), across * height.div_ceil(reduction) * channels);
    let (h, v) = match planes.subsamp {
        Subsamp::Sub2x1 => (2, 1),
        Subsamp::Sub2x2 => (2, 2),
        Subsamp::Sub1x2 => (1, 2),
        _ => (1, 1),
    };
    let aligned = |length: usize| length.div_ceil(planes.align) * planes.align;
    let (luma_stride, chroma_stride) = (aligned(width.next_multiple_of(h)), aligned(width.div_ceil(h)));
    let (luma, rest) = planes.pixels.split_at(luma_stride * height.next_multiple_of(v));
    let chroma_size = chroma_stride * height.div_ceil(v);
    let mut worst = 0.0f64;
    for (y, x) in (0..height / reduction).flat_map(|y| (0..width / reduction).map(move |x| (y, x))) {
        let part = |h: usize, v: usize| {
            let (width, height) = (reduction / h, reduction / v);
            [x * width, (x + 1) * width, y * height, (y + 1) * height]
        };
        let luma = mean(luma, luma_stride, part(1, 1));
        let expected = if reduced.is_gray {
            vec![luma]
        } else {
            let chroma = |plane: &[u8]| mean(plane, chroma_stride, part(h, v)) - 128.0;
            let (blue, red) = (chroma(&rest[..chroma_size]), chroma(&rest[chroma_size..]));
            vec![luma + 1.402 * red, luma - 0.344_136 * blue - 0.714_136 * red, luma + 1.772 * blue]
        };
        let found = &reduced.pixels[channels * (y * across + x)..][..channels];
        for (expected, found) in expected.into_iter().zip(found) {
            worst = worst.max((expected.clamp(0.0, 255.0) - f64::from(*found)).abs());
        }
    }
    worst
}

#[test]
fn pixels_are_the_means_of_those_of_a_whole_decoding() {
    use Subsamp::{Gray, None, Sub1x2, Sub2x1, Sub2x2};
    for subsamp in [None, Sub2x1, Sub1x2, Sub2x2, Gray] {
        for (size, quality, optimize) in
            [((160, 96), 100, false), ((161, 99), 92, true), ((83, 201), 75, false), ((333, 77), 20, true)]
        {
            let bytes = jpeg(size, subsamp, quality, optimize);
            for reduction in [2, 4, 8] {
                let worst = difference(&bytes, reduction);
                // Half a level for this rounding, less than one and a half for that of the samples.
                assert!(worst <= 2.0, "{subsamp:?} {size:?} at {quality}, 1/{reduction}: {worst}");
            }
        }
    }
}

#[test]
fn libjpeg_turbo_reduces_to_the_same() {
    for subsamp in [Subsamp::None, Subsamp::Sub2x2, Subsamp::Gray] {
        let bytes = jpeg((333, 215), subsamp, 90, false);
        for reduction in [2, 4, 8] {
            let reduced =
                decode(&Stream::read(&bytes, None).expect("is a JPEG"), reduction).expect("is decoded");
            let factor = ScalingFactor::new(1, reduction);
            let (width, height) = (factor.scale(333), factor.scale(215));
            let format = if reduced.is_gray { PixelFormat::GRAY } else { PixelFormat::RGB };
            let pitch = width * format.size();
            let mut pixels = vec![0; pitch * height];
            let mut decompressor = Decompressor::new().expect("is made");
            decompressor.set_scaling_factor(factor).expect("is known");
            let image = Image { pixels: &mut pixels[..], width, pitch, height, format };
            decompressor.decompress(&bytes, image).expect("is decoded");
            assert_eq!(pixels.len(), reduced.pixels.len());
            // The borders, too: of what lies beyond them both take what the file holds.
            let worst = pixels.iter().zip(&reduced.pixels).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(3), "{subsamp:?}, 1/{reduction}: {worst:?}");
        }
    }
}

/// 121 x 87, noise, a restart marker every five units; Pillow 13, `restart_marker_blocks=5`.
const RESTARTS: &[u8] = include_bytes!("../../../../../tests/fixtures/decode/restarts.jpg");

#[test]
fn restart_markers_are_followed() {
    for reduction in [2, 4, 8] {
        assert!(difference(RESTARTS, reduction) <= 2.0);
    }
    // Out of order, or one too few.
    let second = RESTARTS.windows(2).position(|pair| pair == [0xff, 0xd1]).expect("has some");
    let mut other = RESTARTS.to_vec();
    other[second + 1] = 0xd2;
    assert!(decode(&Stream::read(&other, None).expect("is a JPEG"), 2).is_none());
    other.drain(second..second + 2);
    assert!(decode(&Stream::read(&other, None).expect("is a JPEG"), 2).is_none());
}

#[test]
fn what_is_not_in_order_is_left_to_others() {
    let good = jpeg((64, 48), Subsamp::Sub2x2, 90, false);
    let is_left =
        |bytes: &[u8], reduction| decode(&Stream::read(bytes, None).expect("is a JPEG"), reduction).is_none();
    assert!(!is_left(&good, 2) && is_left(&good, 1));
    // Cut off, with and without an end; padded; with a marker in it.
    let cut = &good[..good.len() - 40];
    assert!(is_left(cut, 2));
    assert!(is_left(&[cut, &[0xff, 0xd9]].concat(), 2));
    let (data, end) = good.split_at(good.len() - 2);
    assert!(is_left(&[data, &[0, 0], end].concat(), 2));
    assert!(is_left(&[data, &[0xff, 0xd0], end].concat(), 2));
    assert!(is_left(&[data, &[0xff, 0xff], end].concat(), 2));
    // A progressive one.
    let rgb = picture(64, 48);
    let image = Image { pixels: &rgb[..], width: 64, pitch: 192, height: 48, format: PixelFormat::RGB };
    let mut compressor = Compressor::new().expect("is made");
    compressor.set_progressive(true).expect("is known");
    assert!(is_left(&compressor.compress_to_vec(image).expect("is compressed"), 2));
}

#[test]
fn both_compilations_answer_alike() {
    let bytes = jpeg((333, 215), Subsamp::Sub2x2, 95, true);
    let stream = Stream::read(&bytes, None).expect("is a JPEG");
    let tables = Tables::read(&stream.head).expect("has tables");
    for reduction in [2, 4, 8] {
        let plain = decode_any(reduction, &stream.frame, &tables, stream.scans).expect("is decoded");
        assert_eq!(plain.pixels, decode(&stream, reduction).expect("is decoded").pixels);
    }
}

/// A gray picture of one block, whose waves have these codes.
fn block(counts: [u8; 16], symbols: &[u8], data: &[u8]) -> Vec<u8> {
    let segment =
        |marker: u8, content: &[u8]| [&[0xff, marker, 0, content.len() as u8 + 2], content].concat();
    let mut one_code = [0u8; 18];
    one_code[1] = 1;
    [
        vec![0xff, 0xd8],
        segment(0xdb, &[&[0u8][..], &[255; 64]].concat()),
        segment(0xc0, &[8, 0, 8, 0, 8, 1, 1, 0x11, 0]),
        segment(0xc4, &one_code),
        segment(0xc4, &[&[0x10][..], &counts, symbols].concat()),
        segment(0xda, &[1, 1, 0, 0, 63, 0]),
        data.to_vec(),
        vec![0xff, 0xd9],
    ]
    .concat()
}

#[test]
fn a_symbol_that_is_none_is_not_taken_for_another() {
    let mut counts = [0; 16];
    (counts[0], counts[10], counts[11]) = (1, 2, 1);
    let decoded = |symbols: &[u8], data: &[u8]| {
        let bytes = block(counts, symbols, data);
        decode(&Stream::read(&bytes, None).expect("is a JPEG"), 2)
    };
    // A mean of size 0; then the second code of 11 bits, whose symbol is in no baseline picture.
    assert!(decoded(&[0x00, 0x01, 0x20, 0x02], &[0b0100_0000, 0b0001_0101]).is_none());
    // One that is: a wave of size 1, its value, the end, and ones to fill the byte.
    assert!(decoded(&[0x00, 0x02, 0x01, 0x03], &[0b0100_0000, 0b0001_1011]).is_some());
}

#[test]
fn markers_without_end_cost_nothing() {
    let mut counts = [0; 16];
    counts[0] = 1;
    let markers: Vec<u8> = (0..1 << 20).flat_map(|i| [0xff, 0xd0 + (i % 8) as u8]).collect();
    let bytes = block(counts, &[0], &markers);
    assert!(decode(&Stream::read(&bytes, None).expect("is a JPEG"), 2).is_none());
}
