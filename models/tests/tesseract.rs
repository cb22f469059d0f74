//! Tesseract on a real page, as it is and with light print on a dark ground.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use docent_models::Picture;
use docent_models::ocr::{OcrOptions, Page, load_tesseract};

/// The page in two levels, as a program would draw it; right of `from` it is dark.
fn page(from: f32) -> Picture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pictures/page.png");
    let page = image::open(path).expect("the fixture").into_luma8();
    // The light on it is uneven.
    let paper = image::imageops::blur(&page, 12.0);
    let (width, height) = page.dimensions();
    let (width, height) = (width * 3, height * 3);
    let page = image::imageops::resize(&page, width, height, image::imageops::FilterType::Triangle);
    let paper = image::imageops::resize(&paper, width, height, image::imageops::FilterType::Triangle);
    let from = (width as f32 * from) as u32;
    let level = |x: u32, y: u32, value: u8| match (
        u32::from(value) * 4 < u32::from(paper[(x, y)][0]) * 3,
        x < from,
    ) {
        (true, true) => 20,
        (false, true) => 235,
        (true, false) => 225,
        (false, false) => 30,
    };
    let rgb = page.enumerate_pixels().flat_map(|(x, y, pixel)| [level(x, y, pixel[0]); 3]).collect();
    Picture::new(width, height, rgb).expect("is a picture")
}

#[test]
fn light_print_on_dark_ground_is_read_like_any_other() {
    let mut reader =
        load_tesseract(&OcrOptions { languages: vec!["eng".to_owned()], tessdata: None, time: None })
            .expect("Tesseract");
    let mut words = |from: f32| -> BTreeSet<String> {
        let lines = reader.run(&[Page::from_picture(&page(from))]).expect("reads").remove(0);
        lines.iter().flat_map(|line| line.text.split(' ')).map(str::to_owned).collect()
    };
    let (light, dark, half) = (words(1.0), words(0.0), words(0.5));
    assert!(light.len() > 20, "{light:?}");
    assert_eq!(dark, light);
    // Words across the edge are lost.
    assert!(half.intersection(&light).count() * 100 >= light.len() * 60, "{light:?}\n{half:?}");
}

/// A page takes many times longer than it may: the reader stops between two words, and can be used again.
#[test]
fn a_reader_stops_when_its_time_is_over() {
    let options = |time| OcrOptions { languages: vec!["eng".to_owned()], tessdata: None, time };
    let input = Page::from_picture(&page(1.0));
    let start = Instant::now();
    let lines =
        load_tesseract(&options(None)).expect("Tesseract").run(std::slice::from_ref(&input)).expect("reads");
    let whole = start.elapsed();
    assert!(!lines[0].is_empty());
    let mut hasty = load_tesseract(&options(Some(Duration::from_millis(1)))).expect("Tesseract");
    for _ in 0..2 {
        let start = Instant::now();
        let error = hasty.run(std::slice::from_ref(&input)).expect_err("there is no time").to_string();
        assert!(error.contains("not finished after 0.001 s (work.text_timeout_seconds)"), "{error}");
        assert!(start.elapsed() < whole, "{:?} of {whole:?}", start.elapsed());
    }
    let mut patient = load_tesseract(&options(Some(Duration::from_secs(3600)))).expect("Tesseract");
    assert_eq!(patient.run(&[input]).expect("reads"), lines);
}
