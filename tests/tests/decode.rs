//! Every good file is decoded, every bad one is refused for the right reason, and nothing else ever happens.

use std::collections::HashSet;

use docent_models::Picture;
use docent_pipelines::image::{Content, DecodeError, DecodeLimits, Format, Image, is_candidate, sniff};
use docent_tests::fixtures::pieces::{
    encoded, find_segment, grainy, jpeg, noise, plain_jpeg, quarters, segment,
};
use docent_tests::fixtures::{bad_files, good_files, oriented, oriented_png, oriented_tiff, oriented_webp};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};
use moxcms::ColorProfile;
use proptest::prelude::*;
use turbojpeg::{Colorspace, PixelFormat};

fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    Image::decode(bytes, &DecodeLimits::default())
}

/// The middles of the four quarters.
fn middles(picture: &Picture) -> [[u8; 3]; 4] {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| {
        let at = (y * height / 4 * width + x * width / 4) * 3;
        [0, 1, 2].map(|channel| picture.rgb()[at + channel])
    })
}

fn close(a: &[u8], b: &[u8], tolerance: u8) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= tolerance)
}

const QUARTERS: [[u8; 3]; 4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]];

#[test]
fn every_good_file_is_decoded() {
    let mut wrong = Vec::new();
    for file in good_files() {
        let image = match decode(&file.bytes) {
            Ok(image) => image,
            Err(error) => {
                wrong.push(format!("{:?}: {error}", file.name));
                continue;
            }
        };
        if (image.width(), image.height()) != (file.width, file.height) {
            wrong.push(format!("{:?}: {} x {}", file.name, image.width(), image.height()));
        }
        if sniff(&file.bytes) != Content::Picture(image.format()) {
            wrong.push(format!("{:?}: is told wrongly by its first bytes", file.name));
        }
        let colors = middles(image.picture());
        let right = if image.picture().width() < 8 || image.picture().height() < 8 {
            true
        } else if file.gray {
            colors.iter().all(|c| c[0] == c[1] && c[1] == c[2]) && colors[3][0] > colors[2][0]
        } else {
            close(colors.as_flattened(), QUARTERS.as_flattened(), 12)
        };
        if !right {
            wrong.push(format!("{:?}: the quarters are {colors:?}", file.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_bad_file_is_refused_for_its_reason() {
    let files = bad_files();
    let mut wrong = Vec::new();
    for file in &files {
        let reason = match decode(&file.bytes) {
            Ok(_) => "is decoded".to_owned(),
            Err(error) => error.to_string(),
        };
        if !reason.contains(file.reason) || reason.contains("crashed") {
            wrong.push(format!("{}: {reason} (expected: {})", file.name, file.reason));
        }
        let extension = file.name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
        if !is_candidate(&file.bytes, extension.as_deref()) {
            wrong.push(format!("{}: would be skipped", file.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files.len() >= 45, "{}", files.len());
}

#[test]
fn no_two_files_are_alike() {
    let good = good_files();
    let bad = bad_files();
    let names: HashSet<_> = good.iter().map(|f| f.name).chain(bad.iter().map(|f| f.name)).collect();
    let contents: HashSet<_> = good.iter().map(|f| &f.bytes).chain(bad.iter().map(|f| &f.bytes)).collect();
    assert_eq!(names.len(), good.len() + bad.len());
    assert_eq!(contents.len(), good.len() + bad.len());
}

#[test]
fn a_picture_is_the_same_however_the_camera_was_held() {
    let original = plain_jpeg(&grainy(120, 84));
    let upright = decode(&original).expect("is a picture");
    for orientation in 1..=8 {
        for (carrier, bytes, tolerance) in [
            ("jpeg", oriented(&original, orientation), 24),
            ("png", oriented_png(&original, orientation), 3),
            ("webp", oriented_webp(&original, orientation), 3),
            ("tiff", oriented_tiff(&original, orientation), 3),
        ] {
            let image = decode(&bytes).expect("is a picture");
            assert_eq!(image.format().as_str(), carrier);
            assert_eq!((image.width(), image.height()), (120, 84), "{carrier} {orientation}");
            assert!(
                close(image.picture().rgb(), upright.picture().rgb(), tolerance),
                "{carrier} {orientation}"
            );
        }
    }
}

#[test]
fn colors_of_a_wide_profile_are_converted() {
    // The quarters as Display P3 and Adobe RGB store them: sRGB's own primaries lie within both.
    let srgb = ColorProfile::new_srgb();
    for profile in [ColorProfile::new_display_p3(), ColorProfile::new_adobe_rgb()] {
        let layout = moxcms::Layout::Rgb;
        let transform = srgb
            .create_transform_8bit(layout, &profile, layout, moxcms::TransformOptions::default())
            .expect("both are known");
        let picture = quarters(64, 48);
        let mut stored = vec![0; picture.as_raw().len()];
        transform.transform(picture.as_raw(), &mut stored).expect("same length");
        assert!(!close(&stored, picture.as_raw(), 30), "the test would prove nothing");
        let icc = profile.encode().expect("is encoded");

        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_icc_profile(icc.clone()).expect("PNG has a place for it");
        encoder.write_image(&stored, 64, 48, ExtendedColorType::Rgb8).expect("is encoded");
        let image = decode(&png).expect("is a picture");
        assert!(close(image.picture().rgb(), picture.as_raw(), 4), "{:?}", middles(image.picture()));

        // In two parts, stored in the wrong order.
        let (first, second) = icc.split_at(icc.len() / 2);
        let part = |number, part: &[u8]| segment(0xe2, &[b"ICC_PROFILE\0", &[number, 2][..], part].concat());
        let plain = jpeg((64, 48), PixelFormat::RGB, &stored, |c| c.set_quality(100));
        let bytes = [&plain[..2], &part(2, second), &part(1, first), &plain[2..]].concat();
        let image = decode(&bytes).expect("is a picture");
        let colors = middles(image.picture());
        assert!(close(colors.as_flattened(), QUARTERS.as_flattened(), 10), "{colors:?}");
    }
}

#[test]
fn inks_go_through_the_profile_of_the_printer() {
    // A printer whose cyan ink is green: nobody's formula says so, only the profile.
    // Files have what is left of the light instead of ink: this is all of the cyan ink, and none of the others.
    let inks: Vec<u8> = [0, 255, 255, 255].repeat(16 * 16);
    let plain = jpeg((16, 16), PixelFormat::CMYK, &inks, |c| c.set_colorspace(Colorspace::CMYK));
    // The compressor leaves Adobe's mark; files without it are read in the same way.
    let (start, end) = docent_tests::fixtures::pieces::find_segment(&plain, &[0xee]);
    let profile = segment(0xe2, &[&b"ICC_PROFILE\0\x01\x01"[..], &green_cyan()].concat());
    let bytes = [&plain[..2], &profile, &plain[2..start], &plain[end..]].concat();
    let image = decode(&bytes).expect("is a picture");
    let [r, g, b, ..] = image.picture().rgb() else { panic!("no pixels") };
    assert!(*r < 90 && *g > 100 && *b < 90, "{r} {g} {b}");
    let without = decode(&[&plain[..start], &plain[end..]].concat()).expect("is a picture");
    assert!(close(&without.picture().rgb()[..3], &[0, 255, 255], 4));
}

/// An ICC profile for four inks: a table of two steps each, all white but for cyan, which is a green (ICC.1:2001-04,
/// 6.5.7, lut8Type).
fn green_cyan() -> Vec<u8> {
    // L, a, b: L in 0..=255, a and b around 128.
    let color = |inks: usize| if inks & 8 != 0 { [128, 60, 180] } else { [255, 128, 128] };
    let identity: Vec<u8> = (0..=255).collect();
    let matrix: Vec<u8> =
        [1, 0, 0, 0, 1, 0, 0, 0, 1].iter().flat_map(|v: &i32| (v << 16).to_be_bytes()).collect();
    let lut = [
        &b"mft1\0\0\0\0\x04\x03\x02\0"[..],
        &matrix,
        &identity.repeat(4),
        &(0..16).flat_map(color).collect::<Vec<u8>>(),
        &identity.repeat(3),
    ]
    .concat();
    let white =
        [&b"XYZ \0\0\0\0"[..], &[0x0000_f6d6u32, 0x0001_0000, 0x0000_d32d].map(u32::to_be_bytes).concat()]
            .concat();
    let tags = 2u32;
    let lut_at = 128 + 4 + 12 * tags;
    let white_at = lut_at + lut.len() as u32;
    let entry = |name: &[u8; 4], at: u32, length: usize| {
        [&name[..], &at.to_be_bytes(), &(length as u32).to_be_bytes()].concat()
    };
    let mut header = vec![0u8; 128];
    header[0..4].copy_from_slice(&(white_at + white.len() as u32).to_be_bytes());
    header[8..12].copy_from_slice(&[2, 0x10, 0, 0]);
    header[12..24].copy_from_slice(b"prtrCMYKLab ");
    header[36..40].copy_from_slice(b"acsp");
    header[68..80].copy_from_slice(&white[8..]);
    [
        header,
        tags.to_be_bytes().to_vec(),
        entry(b"A2B0", lut_at, lut.len()),
        entry(b"wtpt", white_at, white.len()),
        lut,
        white,
    ]
    .concat()
}

#[test]
fn transparency_is_white_paper() {
    let picture =
        image::RgbaImage::from_fn(8, 8, |x, _| image::Rgba([200, 0, 0, if x < 4 { 0 } else { 255 }]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Tiff] {
        let image = decode(&encoded(picture.clone(), format)).expect("is a picture");
        let row = &image.picture().rgb()[..24];
        assert!(close(&row[..3], &[255; 3], 1) && close(&row[21..], &[200, 0, 0], 6), "{format:?} {row:?}");
    }
}

#[test]
fn large_pictures_are_reduced_to_what_the_analyzers_need() {
    let limits = DecodeLimits { working_side: 100, ..DecodeLimits::default() };
    let sides = |bytes: &[u8]| {
        let image = Image::decode(bytes, &limits).expect("is a picture");
        assert!(close(middles(image.picture()).as_flattened(), QUARTERS.as_flattened(), 12));
        ((image.width(), image.height()), (image.picture().width(), image.picture().height()))
    };
    assert_eq!(sides(&plain_jpeg(&quarters(900, 600))), ((900, 600), (113, 75)));
    assert_eq!(sides(&plain_jpeg(&quarters(390, 260))), ((390, 260), (195, 130)));
    assert_eq!(sides(&encoded(quarters(900, 600), ImageFormat::Png)), ((900, 600), (100, 67)));
    assert_eq!(sides(&encoded(quarters(199, 60), ImageFormat::Png)), ((199, 60), (199, 60)));
    let upright = sides(&oriented(&plain_jpeg(&quarters(600, 900)), 8));
    assert_eq!(upright, ((600, 900), (75, 113)));
}

#[test]
fn limits_are_the_users() {
    let bytes = encoded(quarters(40, 30), ImageFormat::Png);
    let limits = DecodeLimits { max_pixels: 1199, ..DecodeLimits::default() };
    let error = Image::decode(&bytes, &limits).expect_err("is one pixel too many");
    assert_eq!(
        error.to_string(),
        "too many pixels: 40 x 30 is more than the limit of 1199 (decode.max_pixels)"
    );
    // What it takes is told where it is too much, and is enough.
    let taken = |bytes: &[u8]| {
        let limits = DecodeLimits { max_memory_bytes: 1 << 20, ..DecodeLimits::default() };
        let error = Image::decode(bytes, &limits).expect_err("is too much");
        assert!(error.to_string().contains("(decode.max_memory_bytes)"), "{error}");
        let DecodeError::TooMuchMemory { bytes: taken, .. } = error else { panic!("{error}") };
        let limits = DecodeLimits { max_memory_bytes: taken, ..DecodeLimits::default() };
        assert!(Image::decode(bytes, &limits).is_ok());
        let limits = DecodeLimits { max_memory_bytes: taken - 1, ..DecodeLimits::default() };
        assert!(Image::decode(bytes, &limits).is_err());
        taken
    };
    let picture = quarters(40, 30);
    assert!(taken(&bytes) >= 3600);
    // Coefficients of several scans are held until the last; those of a single scan are not.
    let set: fn(&mut turbojpeg::Compressor) -> turbojpeg::Result<()> = |c| c.set_progressive(true);
    let progressive = jpeg((40, 30), PixelFormat::RGB, picture.as_raw(), set);
    assert!(taken(&progressive) > taken(&plain_jpeg(&picture)) + 3600);
    // A scan of 250 megapixels is not refused: it takes three bytes a pixel.
    let tif = encoded(quarters(40, 30), ImageFormat::Tiff);
    let png = encoded(quarters(40, 30), ImageFormat::Png);
    assert_eq!(taken(&tif), taken(&png));
}

#[test]
fn thumbnails_are_small_pictures() {
    let image = decode(&plain_jpeg(&quarters(300, 200))).expect("is a picture");
    let thumbnail = decode(&image.thumbnail(96).expect("is encoded")).expect("is a picture");
    assert_eq!((thumbnail.width(), thumbnail.height()), (96, 64));
    assert!(close(middles(thumbnail.picture()).as_flattened(), QUARTERS.as_flattened(), 16));
    let same = decode(&image.thumbnail(4000).expect("is encoded")).expect("is a picture");
    assert_eq!((same.width(), same.height()), (300, 200));
}

/// Limits under which even a lying header costs little.
fn small() -> DecodeLimits {
    DecodeLimits { max_pixels: 1 << 20, max_memory_bytes: 32 << 20, ..DecodeLimits::default() }
}

/// A picture or a reason; a reason that is a crash of a decoder is a bug worth knowing. JPEGs are decoded at all scales, of
/// which the smaller ones are docent's own work: they have to be as severe as libjpeg-turbo is.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut accepted = Vec::new();
    for working_side in [2000, 33, 17, 9] {
        let decoded = Image::decode(bytes, &DecodeLimits { working_side, ..small() });
        if let Err(error) = &decoded {
            prop_assert!(!error.to_string().contains("crashed"), "{}", error);
            prop_assert!(!error.to_string().is_empty());
        }
        // A smaller scale takes less memory.
        if !matches!(decoded, Err(DecodeError::TooMuchMemory { .. })) {
            accepted.push(decoded.is_ok());
        }
        if !matches!(sniff(bytes), Content::Picture(Format::Jpeg)) {
            break;
        }
    }
    prop_assert!(accepted.windows(2).all(|pair| pair[0] == pair[1]), "{accepted:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_survived(count in 0usize..3000, seed: u64) {
        let files = good_files();
        let mut bytes = noise(count, seed);
        survives(&bytes)?;
        // Behind the beginning of every format.
        for file in files.iter().filter(|file| file.bytes.len() < 20_000) {
            let head = file.bytes.len().min(40);
            bytes.splice(0..0, file.bytes[..head].iter().copied());
            survives(&bytes)?;
            bytes.drain(..head);
        }
    }

    #[test]
    fn mutilated_files_are_survived(places in prop::collection::vec((0.0..1.0f64, any::<u8>()), 1..6), end in 0.2..1.3f64) {
        for file in good_files().iter().filter(|file| file.bytes.len() < 20_000) {
            let mut bytes = file.bytes.clone();
            for (place, value) in &places {
                let at = (place * bytes.len() as f64) as usize;
                bytes[at] = *value;
            }
            let end = (end.min(1.0) * bytes.len() as f64) as usize;
            survives(&bytes[..end])?;
        }
    }

    #[test]
    fn mutilated_scans_are_survived(places in prop::collection::vec((0.0..1.0f64, any::<u8>()), 1..4)) {
        for (width, height) in [(72, 40), (131, 67)] {
            let mut bytes = plain_jpeg(&grainy(width, height));
            let scan = find_segment(&bytes, &[0xda]).1;
            for (place, value) in &places {
                let at = scan + (place * (bytes.len() - scan) as f64) as usize;
                bytes[at] = *value;
            }
            survives(&bytes)?;
        }
    }

    #[test]
    fn mutilated_headers_are_survived(place in 0usize..200, value: [u8; 4]) {
        for file in good_files().iter().filter(|file| file.bytes.len() < 20_000) {
            let mut bytes = file.bytes.clone();
            let at = place % bytes.len().saturating_sub(4).max(1);
            for (byte, value) in bytes[at..].iter_mut().zip(value) {
                *byte = value;
            }
            survives(&bytes)?;
        }
    }
}
