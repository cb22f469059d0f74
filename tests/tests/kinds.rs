//! One picture in every kind of file that common programs write, each with an encoder that is not docent's, and damaged in the ways
//! that common programs forgive.

use std::collections::BTreeMap;
use std::path::Path;

use docent_models::Picture;
use docent_pipelines::image::{DecodeError, DecodeLimits, Image, Tolerated};
use docent_tests::fixtures::pieces::{find_segment, jpeg, segment};
use serde::Deserialize;
use turbojpeg::PixelFormat;

fn decode(bytes: &[u8]) -> Result<Image, DecodeError> {
    Image::decode(bytes, &DecodeLimits::default())
}

/// Mean difference of two pictures of one size.
fn difference(a: &Picture, b: &Picture) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let sum: u64 = a.rgb().iter().zip(b.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.rgb().len() as f64
}

#[derive(Deserialize)]
struct Kind {
    shows: String,
    tolerance: f64,
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/kinds"))
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn kinds() -> BTreeMap<String, Kind> {
    serde_json::from_slice(&file("kinds.json")).expect("is JSON")
}

#[test]
fn every_kind_of_file_shows_its_picture() {
    let kinds = kinds();
    assert!(kinds.len() > 200, "{}", kinds.len());
    let mut wrong = Vec::new();
    for (name, kind) in kinds {
        let shown = decode(&file(&format!("{}.png", kind.shows))).expect("is a picture");
        match decode(&file(&name)) {
            Ok(image) => {
                let difference = difference(image.picture(), shown.picture());
                if difference > kind.tolerance || !image.tolerated().is_empty() {
                    wrong.push(format!(
                        "{name}: {difference:.3} from {}, {:?}",
                        kind.shows,
                        image.tolerated()
                    ));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Wherever a file is cut off, its picture is either whole or refused.
#[test]
fn half_a_picture_is_never_taken_for_a_whole_one() {
    let mut wrong = Vec::new();
    for (name, kind) in kinds() {
        let shown = decode(&file(&format!("{}.png", kind.shows))).expect("is a picture");
        let bytes = file(&name);
        for cut in 1..16 {
            let end = bytes.len() * cut / 16;
            if let Ok(image) = decode(&bytes[..end])
                && difference(image.picture(), shown.picture()) > kind.tolerance
            {
                wrong.push(format!("{name}: {end} of {} bytes", bytes.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A picture with detail everywhere.
fn pixels(width: u32, height: u32) -> Vec<u8> {
    let pixel = |at: usize| {
        let (x, y) = (at % width as usize, at / width as usize);
        [(x * 7 + y * 3) as u8, (y * 5) as u8 ^ (x * 2) as u8, (x * y / 3) as u8]
    };
    (0..width as usize * height as usize).flat_map(pixel).collect()
}

/// JPEGs of every kind that can be damaged, with detail everywhere, so that no part of them looks like what decoders fill in.
/// A name ends with the number of rows between restart markers.
fn jpegs() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for kind in ["baseline", "progressive"] {
        for sampling in ["420", "444", "gray"] {
            for restarts in [0, 1] {
                let name = format!("{kind}-{sampling}-{restarts}");
                all.push((name.clone(), file(&format!("detail-{name}.jpg"))));
            }
        }
    }
    all
}

/// Where restart markers and the end marker are in the data of the scans.
fn marks(bytes: &[u8]) -> Vec<usize> {
    let (_, data) = find_segment(bytes, &[0xda]);
    let is_mark = |at: &usize| matches!(bytes[*at..], [0xff, 0xd0..=0xd7 | 0xd9, ..]);
    (data..bytes.len() - 1).filter(is_mark).collect()
}

fn check_shown(name: &str, bytes: &[u8], whole: &Picture, tolerated: &[Tolerated]) -> Option<String> {
    match decode(bytes) {
        Ok(image) if difference(image.picture(), whole) > 0.0 => Some(format!("{name}: shown wrong")),
        Ok(image) if image.tolerated() != tolerated => Some(format!("{name}: {:?}", image.tolerated())),
        Ok(_) => None,
        Err(error) => Some(format!("{name}: {error}")),
    }
}

#[test]
fn a_jpeg_without_its_end_is_shown_if_its_last_scan_is_whole() {
    let mut wrong = Vec::new();
    for (name, bytes) in jpegs() {
        let whole = decode(&bytes).expect("is a picture");
        let whole = whole.picture();
        let body = &bytes[..bytes.len() - 2];
        let no_end = &[Tolerated::NoEndMarker][..];
        wrong.extend(check_shown(&name, body, whole, no_end));
        for (what, trailer) in
            [("zeros", vec![0; 3000]), ("a maker's trailer", b"SEFHk\0\0\0\x01\0\0\0SEFT".repeat(40))]
        {
            let with = [body, &trailer].concat();
            wrong.extend(check_shown(&format!("{name}, {what}"), &with, whole, no_end));
        }
        let filled = [body, &[0; 3000], b"\xff\xd9"].concat();
        wrong.extend(check_shown(
            &format!("{name}, zeros and the end"),
            &filled,
            whole,
            &[Tolerated::SpareBytes],
        ));
        // A scan that lacks its last bytes, and a progressive picture that lacks its last scan.
        for missing in [40, bytes.len() / 10, bytes.len() / 2] {
            let cut = &body[..body.len() - missing];
            for ended in [cut.to_vec(), [cut, b"\xff\xd9"].concat()] {
                if !matches!(decode(&ended), Err(DecodeError::Truncated { .. })) {
                    wrong.push(format!("{name}: {missing} bytes are missing"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn spare_bytes_do_not_hide_that_half_is_missing() {
    let mut wrong = Vec::new();
    for (name, bytes) in jpegs().into_iter().filter(|(name, _)| name.ends_with('1')) {
        let whole = decode(&bytes).expect("is a picture");
        let marks = marks(&bytes);
        assert!(marks.len() > 5, "{name}");
        for spare in [10, 600] {
            for places in [vec![marks[0]], vec![marks[marks.len() / 2]], marks.clone()] {
                let mut damaged = Vec::new();
                let mut last = 0;
                for at in &places {
                    damaged.extend_from_slice(&bytes[last..*at]);
                    damaged.resize(damaged.len() + spare, 0);
                    last = *at;
                }
                damaged.extend_from_slice(&bytes[last..]);
                let label = format!("{name}, {spare} bytes at {} places", places.len());
                wrong.extend(check_shown(&label, &damaged, whole.picture(), &[Tolerated::SpareBytes]));
                // Half of it, with an end.
                let half = marks[marks.len() * 3 / 4] + spare * places.len() / 2;
                for ended in [[&damaged[..half], b"\xff\xd9"].concat(), damaged[..half].to_vec()] {
                    if !matches!(decode(&ended), Err(DecodeError::Truncated { .. })) {
                        wrong.push(format!("{label}: half is missing"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_height_behind_the_scan_is_found() {
    for (name, bytes) in jpegs().into_iter().filter(|(name, _)| name.starts_with("baseline")) {
        let whole = decode(&bytes).expect("is a picture");
        let (frame, _) = find_segment(&bytes, &[0xc0]);
        let mut without = bytes[..bytes.len() - 2].to_vec();
        without[frame + 5..frame + 7].fill(0);
        let told = [&without[..], b"\xff\xdc\0\x04\0\x58\xff\xd9"].concat();
        assert_eq!(check_shown(&name, &told, whole.picture(), &[Tolerated::HeightAtTheEnd]), None);
        assert!(matches!(decode(&[&without[..], b"\xff\xd9"].concat()), Err(DecodeError::ZeroSize { .. })));
    }
}

#[test]
fn stray_bytes_before_a_jpeg_are_skipped() {
    let (_, bytes) = jpegs().swap_remove(0);
    let whole = decode(&bytes).expect("is a picture");
    for stray in [&b"\r\n\r\n"[..], b"\0\0\0", b"HTTP/1.1 200 OK\r\n\r\n", b"\xef\xbb\xbf"] {
        let damaged = [stray, &bytes].concat();
        assert_eq!(check_shown("stray", &damaged, whole.picture(), &[Tolerated::BytesBefore]), None);
    }
    // Other files have pictures in them.
    let other = [&[b'x'; 200][..], &bytes].concat();
    assert!(matches!(decode(&other), Err(DecodeError::NotAPicture(_))));
}

/// EXIF that is damaged everywhere but in its orientation: name, and the block.
fn damaged_exif() -> Vec<(String, Vec<u8>)> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32, big: bool| {
        if big {
            [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value.to_be_bytes()].concat()
        } else {
            [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
        }
    };
    let block = |entries: &[(u16, u16, u32, u32)], next: u32, more: u16, big: bool| {
        let mut exif = if big { b"MM\0*\0\0\0\x08".to_vec() } else { b"II*\0\x08\0\0\0".to_vec() };
        let count = entries.len() as u16 + more;
        exif.extend(if big { count.to_be_bytes() } else { count.to_le_bytes() });
        for (tag, kind, number, value) in entries {
            exif.extend(entry(*tag, *kind, *number, *value, big));
        }
        exif.extend(if big { next.to_be_bytes() } else { next.to_le_bytes() });
        exif
    };
    let mut all = Vec::new();
    for big in [false, true] {
        let six = if big { 6 << 16 } else { 6 };
        let turned = (0x0112, 3, 1, six);
        let mut add = |name: &str, entries: &[(u16, u16, u32, u32)], next, more| {
            all.push((format!("{name}, big-endian {big}"), block(entries, next, more, big)));
        };
        add("whole", &[turned], 0, 0);
        add("next directory at -1", &[turned], u32::MAX, 0);
        add("next directory beyond the end", &[turned], 9999, 0);
        add("next directory is this one", &[turned], 8, 0);
        add("value beyond the end", &[(0x010f, 2, 40, 5000), turned], 0, 0);
        add("maker's note beyond the end", &[turned, (0x927c, 7, 9000, 100)], 0, 0);
        add("GPS directory beyond the end", &[turned, (0x8825, 4, 1, 0x7fff_ffff)], 0, 0);
        add("more entries than there are", &[turned], 0, 60);
        add("an unknown type", &[(0x0100, 99, 1, 0), turned], 0, 0);
        add("an endless count", &[(0x0100, 4, u32::MAX, 8), turned], 0, 0);
        let four_bytes = (0x0112, 4, 1, 6);
        add("orientation in four bytes", &[four_bytes], 0, 0);
    }
    all
}

#[test]
fn the_orientation_survives_damage_to_other_tags() {
    let (width, height) = (40_u32, 24_u32);
    let plain = jpeg((width, height), PixelFormat::RGB, &pixels(width, height), |_| Ok(()));
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_raw(40, 24, pixels(width, height)).expect("is a picture");
    picture.write_to(&mut png, image::ImageFormat::Png).expect("is written");
    let mut webp = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut webp, image::ImageFormat::WebP).expect("is written");
    let (png, webp) = (png.into_inner(), webp.into_inner());
    let mut wrong = Vec::new();
    for (name, exif) in damaged_exif() {
        let app1 = segment(0xe1, &[&b"Exif\0\0"[..], &exif].concat());
        let upright =
            segment(0xe1, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0");
        let files = [
            ("JPEG", [&plain[..2], &app1, &plain[2..]].concat(), true),
            ("JPEG, another one behind", [&plain[..2], &app1, &upright, &plain[2..]].concat(), true),
            ("JPEG, upright before", [&plain[..2], &upright, &app1, &plain[2..]].concat(), false),
            ("PNG", with_chunk(&png, b"eXIf", &exif), true),
            ("WebP", webp_with_exif(&webp, &exif), true),
        ];
        for (format, bytes, turned) in files {
            match decode(&bytes) {
                Ok(image) if ((image.width(), image.height()) == (24, 40)) == turned => {}
                Ok(image) => wrong.push(format!("{format}, {name}: {} x {}", image.width(), image.height())),
                Err(error) => wrong.push(format!("{format}, {name}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A PNG with one chunk more behind its header.
fn with_chunk(png: &[u8], kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    const HEADER: usize = 33;
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(content);
    let chunk = [&(content.len() as u32).to_be_bytes()[..], kind, content, &crc.sum().to_be_bytes()].concat();
    [&png[..HEADER], &chunk, &png[HEADER..]].concat()
}

fn webp_with_exif(webp: &[u8], exif: &[u8]) -> Vec<u8> {
    let size = |value: u32| value.to_le_bytes()[..3].to_vec();
    let extended = [&b"VP8X\x0a\0\0\0\x08\0\0\0"[..], &size(39), &size(23)].concat();
    let mut chunk = [&b"EXIF"[..], &(exif.len() as u32).to_le_bytes(), exif].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    let content = [&b"WEBP"[..], &extended, &webp[12..], &chunk].concat();
    [&b"RIFF"[..], &(content.len() as u32).to_le_bytes(), &content].concat()
}

/// A profile that unpacks to hundreds of megabytes costs its colors, and neither memory nor the picture.
#[test]
fn a_bomb_in_place_of_a_profile_is_not_unpacked() {
    let picture = image::RgbImage::from_raw(40, 24, pixels(40, 24)).expect("is a picture");
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).expect("is written");
    let png = png.into_inner();
    let mut bomb = flate2::write::ZlibEncoder::new(b"name\0\0".to_vec(), flate2::Compression::fast());
    for _ in 0..40 {
        std::io::Write::write_all(&mut bomb, &vec![0; 1 << 20]).expect("is packed");
    }
    let bytes = with_chunk(&png, b"iCCP", &bomb.finish().expect("is packed"));
    let whole = decode(&png).expect("is a picture");
    assert_eq!(check_shown("bomb", &bytes, whole.picture(), &[Tolerated::HugeProfile]), None);
    // The picture alone may take this much.
    let limits = DecodeLimits { max_memory_bytes: 3 << 20, ..DecodeLimits::default() };
    assert!(Image::decode(&bytes, &limits).is_ok());
}

/// Apple's variant: blue first, multiplied with the opacity, and no frame around the compressed pixels.
#[test]
fn apples_variant_of_png_is_shown() {
    let (width, height) = (20_u32, 10_u32);
    let mut rows = Vec::new();
    for y in 0..height {
        rows.push(0);
        for x in 0..width {
            let (red, green, blue, alpha) = (10 * x, 20 * y, 200, if x < 10 { 255 } else { 51 });
            rows.extend([blue, green, red].map(|color| ((color * alpha + 127) / 255) as u8));
            rows.push(alpha as u8);
        }
    }
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &rows).expect("is packed");
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), b"\x08\x06\0\0\0"].concat();
    let chunk = |kind: &[u8; 4], content: &[u8]| with_chunk(&[0; 33], kind, content)[33..].to_vec();
    let parts = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"CgBI", b"\x50\0\x20\x06"),
        chunk(b"IHDR", &header),
        chunk(b"IDAT", &packed.finish().expect("is packed")),
        chunk(b"IEND", b""),
    ];
    let image = decode(&parts.concat()).expect("is a picture");
    assert_eq!(image.tolerated(), [Tolerated::ApplePng]);
    let at = |x: usize, y: usize| &image.picture().rgb()[(y * width as usize + x) * 3..][..3];
    assert_eq!(at(5, 4), [50, 80, 200]);
    let faint: Vec<u8> = [150_u32, 80, 200].iter().map(|v| ((v * 51 + 255 * 204) / 255) as u8).collect();
    assert!(at(15, 4).iter().zip(&faint).all(|(a, b)| a.abs_diff(*b) <= 2), "{:?} {faint:?}", at(15, 4));
}

#[test]
fn every_tolerated_fault_has_words_of_its_own() {
    let mut words: Vec<&str> = Tolerated::ALL.iter().map(|fault| fault.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Tolerated::ALL.len());
}
