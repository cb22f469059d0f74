//! Regions stand where the file has them, whichever way it stores its picture.

use docent_pipelines::Kind;
use docent_tests::fixtures::{oriented, oriented_png, oriented_tiff, oriented_webp};
use image::{GrayImage, ImageFormat, Luma};

use super::shelf::{Shelf, dump, says};

/// Upright: its size and a white part of it, on the edges of JPEG's blocks, so that nothing is blurred.
const SIZE: (u32, u32) = (200, 160);
const PART: [u32; 4] = [40, 16, 120, 48];

/// The white part of a stored picture, by its pixels: left, top, right, bottom.
fn white(bytes: &[u8], format: ImageFormat) -> ([u32; 4], (u32, u32)) {
    let stored = image::load_from_memory_with_format(bytes, format).expect("is a picture").into_luma8();
    let mut part = [u32::MAX, u32::MAX, 0, 0];
    for (x, y, pixel) in stored.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 128) {
        let _ = pixel;
        part = [part[0].min(x), part[1].min(y), part[2].max(x + 1), part[3].max(y + 1)];
    }
    (part, stored.dimensions())
}

#[test]
fn regions_are_right_to_a_pixel_in_all_orientations() {
    let [left, top, right, bottom] = PART;
    let upright = GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        Luma([if (left..right).contains(&x) && (top..bottom).contains(&y) { 255 } else { 0 }])
    });
    let mut jpeg = std::io::Cursor::new(Vec::new());
    upright.write_to(&mut jpeg, ImageFormat::Jpeg).expect("is encoded");
    let jpeg = jpeg.into_inner();
    let share = |value: u32, of: u32| f64::from(value) / f64::from(of);
    let region = [share(left, SIZE.0), share(top, SIZE.1), share(right, SIZE.0), share(bottom, SIZE.1)];
    let shelf = Shelf::new();
    type Store = fn(&[u8], u8) -> Vec<u8>;
    let formats: [(&str, ImageFormat, Store); 4] = [
        ("jpg", ImageFormat::Jpeg, oriented),
        ("png", ImageFormat::Png, oriented_png),
        ("webp", ImageFormat::WebP, oriented_webp),
        ("tif", ImageFormat::Tiff, oriented_tiff),
    ];
    let mut files = Vec::new();
    for (extension, format, store) in formats {
        for orientation in 1..=8 {
            let name = format!("{orientation}.{extension}");
            let bytes = store(&jpeg, orientation);
            let said =
                vec![says(Kind::Object, "window", Some(region)), says(Kind::Face, "face", Some(region))];
            shelf.add(&name, &bytes, said);
            files.push((name, white(&bytes, format)));
        }
    }
    shelf.accept();
    shelf.told(&[]);
    let turned = files.iter().filter(|(_, (_, size))| *size != SIZE).count();
    assert_eq!(turned, 16, "half of them lie on a side");
    for (name, (part, (width, height))) in files {
        let read = dump(&shelf.path(format!("{name}.xmp")));
        let info = &read["XMP-mwg-rs:RegionInfo"];
        let number = |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("{name}: {read}"));
        let size = &info["AppliedToDimensions"];
        assert_eq!((number(&size["W"]), number(&size["H"])), (f64::from(width), f64::from(height)), "{name}");
        let regions = info["RegionList"].as_array().expect("a list");
        assert_eq!(regions.len(), 2, "{name}");
        for region in regions {
            let area = &region["Area"];
            let [x, y, w, h] = ["X", "Y", "W", "H"].map(|field| number(&area[field]));
            let (across, down) = (f64::from(width), f64::from(height));
            let found =
                [(x - w / 2.0) * across, (y - h / 2.0) * down, (x + w / 2.0) * across, (y + h / 2.0) * down];
            for (found, there) in found.into_iter().zip(part) {
                assert!(
                    (found - f64::from(there)).abs() < 0.5,
                    "{name}: {found} is not {there}: {region}, {part:?}"
                );
            }
        }
    }
}
