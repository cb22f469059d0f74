//! Many small pictures out of the few in the repository.

use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ImageReader, RgbImage};

use crate::random::Random;

/// The folder of sample pictures.
pub fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures")
}

/// The sample pictures themselves, by name.
pub fn sample_files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(samples()).expect("the sample pictures");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|e| e == "jpg" || e == "png"))
        .collect();
    files.sort();
    files
}

/// Copies the sample pictures into `folder`, which is made if need be.
pub fn copy_samples(folder: &Path) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).expect("a folder");
    let copy = |from: PathBuf| {
        let to = folder.join(from.file_name().expect("a name"));
        std::fs::copy(&from, &to).expect("is copied");
        to
    };
    sample_files().into_iter().map(copy).collect()
}

/// Writes `count` different JPEGs of 200 to 640 pixels into `folder`: parts of the sample pictures, some mirrored, some
/// brighter or darker. The same `seed` gives the same bytes.
pub fn write(folder: &Path, count: usize, seed: u64) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).expect("a folder");
    let sources: Vec<RgbImage> = sample_files()
        .iter()
        .map(|path| ImageReader::open(path).expect("opens").decode().expect("decodes").into_rgb8())
        .collect();
    let mut random = Random::new(seed);
    (0..count)
        .map(|i| {
            let path = folder.join(format!("{i:04}.jpg"));
            std::fs::write(&path, variant(&sources[i % sources.len()], &mut random)).expect("is written");
            path
        })
        .collect()
}

fn variant(source: &RgbImage, random: &mut Random) -> Vec<u8> {
    let side = |length: u32, random: &mut Random| random.within((length / 2).max(1), length + 1);
    let (width, height) = (side(source.width(), random), side(source.height(), random));
    let x = random.within(0, source.width() - width + 1);
    let y = random.within(0, source.height() - height + 1);
    let part = image::imageops::crop_imm(source, x, y, width, height).to_image();
    let long = random.within(200, 641);
    let scaled = |length: u32| (length * long / width.max(height)).max(64);
    let mut picture = resize(&part, scaled(width), scaled(height), FilterType::Triangle);
    if random.number().is_multiple_of(2) {
        image::imageops::flip_horizontal_in_place(&mut picture);
    }
    let factor = 0.8 + 0.4 * random.share();
    for value in picture.iter_mut() {
        *value = (f64::from(*value) * factor).min(255.0) as u8;
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 85).encode_image(&picture).expect("memory takes any picture");
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pictures_differ_and_a_seed_repeats_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let read = |name: &str| -> Vec<Vec<u8>> {
            let files = write(&folder.path().join(name), 30, 5);
            files.iter().map(|path| std::fs::read(path).expect("is there")).collect()
        };
        let (one, two) = (read("one"), read("two"));
        assert_eq!(one, two);
        assert_eq!(one.iter().collect::<HashSet<_>>().len(), 30);
    }
}
