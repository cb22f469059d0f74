//! Memory is counted as it is: what a file is said to take is no less than what it takes, and not much more.
//!
//! Each file is decoded in a process of its own, whose peak the kernel tells.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use docent_pipelines::DecodeLimits;
use docent_pipelines::image::{DecodeError, Image};
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, ExtendedColorType, ImageFormat, RgbImage};
use tiff::encoder::{TiffEncoder, colortype};
use turbojpeg::{PixelFormat, Subsamp};

/// Long enough to be reduced, and large enough that nothing but pixels counts.
const SIDE: u32 = 4096;
/// JPEGs of this are decoded whole.
const WHOLE: u32 = 3900;
const FILE: &str = "DOCENT_MEMORY_FILE";
/// An estimate may be larger by this factor: some kinds of a format can be told apart only by decoding them.
const FACTOR: f64 = 1.35;

fn colors(side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| image::Rgb([(x / 16) as u8, (y / 16) as u8, ((x + y) / 32) as u8]))
}

fn of_image(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("is written");
    bytes.into_inner()
}

fn jpeg(side: u32, format: PixelFormat, pixels: &[u8], progressive: bool) -> Vec<u8> {
    let mut compressor = turbojpeg::Compressor::new().expect("a compressor");
    compressor.set_progressive(progressive).expect("is set");
    let subsampling = if format == PixelFormat::GRAY { Subsamp::Gray } else { Subsamp::Sub2x2 };
    compressor.set_subsamp(subsampling).expect("is set");
    let side = side as usize;
    let image = turbojpeg::Image { pixels, width: side, pitch: side * format.size(), height: side, format };
    compressor.compress_to_vec(image).expect("is written")
}

fn files() -> Vec<(String, Vec<u8>)> {
    let rgb = DynamicImage::ImageRgb8(colors(SIDE));
    let kinds: Vec<(&str, DynamicImage)> = vec![
        ("gray", rgb.to_luma8().into()),
        ("gray-alpha", rgb.to_luma_alpha8().into()),
        ("rgb", rgb.clone()),
        ("rgba", rgb.to_rgba8().into()),
        ("gray-16", rgb.to_luma16().into()),
        ("rgb-16", rgb.to_rgb16().into()),
        ("rgba-16", rgb.to_rgba16().into()),
    ];
    let mut files = Vec::new();
    for (name, picture) in &kinds {
        files.push((format!("{name}.png"), of_image(picture, ImageFormat::Png)));
        if *name != "gray-alpha" {
            files.push((format!("{name}.tif"), of_image(picture, ImageFormat::Tiff)));
        }
        if matches!(*name, "gray" | "rgb" | "rgba") {
            files.push((format!("{name}.bmp"), of_image(picture, ImageFormat::Bmp)));
        }
        if matches!(*name, "rgb" | "rgba") {
            files.push((format!("{name}.webp"), of_image(picture, ImageFormat::WebP)));
        }
    }
    let mut gif = Vec::new();
    let small = colors(2048);
    let encoded =
        GifEncoder::new_with_speed(&mut gif, 30).encode(&small, 2048, 2048, ExtendedColorType::Rgb8);
    encoded.expect("is written");
    files.push(("rgb.gif".to_owned(), gif));
    let mut tif = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut tif).expect("is begun");
    encoder.write_image::<colortype::CMYK8>(SIDE, SIDE, &rgb.to_rgba8()).expect("is written");
    files.push(("cmyk.tif".to_owned(), tif.into_inner()));
    for side in [SIDE, WHOLE] {
        let rgb = colors(side);
        let gray = DynamicImage::ImageRgb8(rgb.clone()).to_luma8();
        for (progressive, end) in [(false, ""), (true, "-progressive")] {
            let pictures =
                [("rgb", PixelFormat::RGB, rgb.as_raw()), ("gray", PixelFormat::GRAY, gray.as_raw())];
            for (kind, format, pixels) in pictures {
                files.push((format!("{kind}-{side}{end}.jpg"), jpeg(side, format, pixels, progressive)));
            }
        }
    }
    files
}

/// What a decoding is said to take.
fn estimate(bytes: &[u8]) -> u64 {
    // Enough for a decoder to read what the file says about itself.
    let limits = DecodeLimits { max_memory_bytes: 1 << 20, ..DecodeLimits::default() };
    match Image::decode(bytes, &limits) {
        Err(DecodeError::TooMuchMemory { bytes, .. }) => bytes,
        other => panic!("no estimate: {other:?}"),
    }
}

/// A line of this process's status, in bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("is in it");
    line.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<u64>().expect("a number") * 1024
}

/// Not a test of its own: what the test below starts for each file.
#[test]
fn one_decoding() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let bytes = std::fs::read(file).expect("is read");
    let said = estimate(&bytes);
    let before = status("VmRSS");
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak is forgotten");
    let image = Image::decode(&bytes, &DecodeLimits::default()).expect("is a picture");
    let took = status("VmHWM") - before;
    writeln!(std::io::stdout(), "said {said} took {took} for {}", image.width()).expect("is told");
}

fn measured(file: &Path) -> (f64, f64) {
    let test = std::env::current_exe().expect("a test has a program");
    let mut command = Command::new(test);
    let ended = command.args(["--exact", "one_decoding", "--nocapture"]).env(FILE, file).output();
    let ended = ended.expect("is started");
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    let number = |name: &str| -> f64 {
        let number = told.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| {
            panic!("{}: {told}\n{}", file.display(), String::from_utf8_lossy(&ended.stderr))
        })
    };
    (number("said "), number("took "))
}

#[test]
fn a_decoding_takes_what_it_is_said_to_take() {
    let folder = std::env::temp_dir().join(format!("docent-memory-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut wrong = Vec::new();
    for (name, bytes) in files() {
        let file = folder.join(&name);
        std::fs::write(&file, bytes).expect("is written");
        let (said, took) = measured(&file);
        let line = format!("{name}: said {:.1} MB, took {:.1} MB", said / 1e6, took / 1e6);
        eprintln!("{line}");
        if took > said || said > FACTOR * took + 8e6 {
            wrong.push(line);
        }
    }
    std::fs::remove_dir_all(&folder).expect("is removed");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
