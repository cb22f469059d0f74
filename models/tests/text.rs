//! Reading by networks, against what the reference implementation reads in the same pictures, and against itself.

use std::path::{Path, PathBuf};

use docent_models::ocr::{
    self, ReadLine, TextBox, load_detector, load_recognizer, prepare_detection, prepare_strip, reading_order,
};
use docent_models::session::SessionOptions;
use docent_models::{InputSpec, Pack, Picture, Task};
use serde_json::Value;

const SIDE: u32 = 960;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn pack() -> Pack {
    Pack::open(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the bundled pack opens")
}

fn picture(name: &str) -> Picture {
    let image = image::open(fixtures().join(name)).expect("the picture opens").to_rgb8();
    Picture::new(image.width(), image.height(), image.into_raw()).expect("is a picture")
}

fn golden() -> Value {
    let text = std::fs::read_to_string(fixtures().join("golden/text.json")).expect("the golden file");
    serde_json::from_str(&text).expect("is JSON")
}

fn spec(task: Task) -> InputSpec {
    pack().model(task).expect("is bundled").input().expect("takes pictures").clone()
}

fn find(picture: &Picture) -> Vec<TextBox> {
    let mut detector = load_detector(&pack(), &SessionOptions::default()).expect("loads");
    let input = prepare_detection(&spec(Task::TextDetection), picture, SIDE).expect("is prepared");
    let mut found = detector.run(&[input]).expect("answers").remove(0);
    found.retain(|text| text.score >= 0.5);
    found
}

fn read(picture: &Picture, found: &[TextBox]) -> Vec<ReadLine> {
    let mut recognizer = load_recognizer(&pack(), &SessionOptions::default()).expect("loads");
    let spec = spec(Task::TextRecognition);
    let strips: Vec<_> =
        found.iter().map(|text| prepare_strip(&spec, picture, &text.corners).expect("is prepared")).collect();
    let together = recognizer.run(&strips).expect("answers");
    for (strip, line) in strips.iter().zip(&together) {
        let alone = recognizer.run(std::slice::from_ref(strip)).expect("answers").remove(0);
        assert_eq!(alone.text, line.text, "alone and in a batch");
        assert!((alone.confidence - line.confidence).abs() < 1e-3);
    }
    together
}

/// Boxes within three pixels, scores within 0.03, and the same text where that is sure.
#[test]
fn lines_are_found_and_read_as_by_the_reference() {
    for (name, expected) in golden()["pictures"].as_object().expect("pictures") {
        let picture = picture(name);
        let found = find(&picture);
        let read = read(&picture, &found);
        let lines = expected["lines"].as_array().expect("lines");
        let sure: Vec<&Value> =
            lines.iter().filter(|line| line["score"].as_f64().expect("a number") > 0.9).collect();
        assert!(found.len().abs_diff(lines.len()) <= 1, "{name}: {found:?}");
        assert!(read.iter().filter(|line| ocr::is_likely(line)).count() == sure.len(), "{name}: {read:?}");
        for line in sure {
            let corner =
                |corner: usize, axis: usize| line["corners"][corner][axis].as_f64().expect("a number");
            let off = |text: &TextBox| {
                let axes = (0..4).flat_map(|i| [(i, 0), (i, 1)]);
                axes.map(|(i, a)| (f64::from(text.corners[i][a]) - corner(i, a)).abs()).fold(0.0, f64::max)
            };
            let (place, nearest) = found
                .iter()
                .enumerate()
                .min_by(|a, b| off(a.1).total_cmp(&off(b.1)))
                .expect("at least one line");
            assert!(off(nearest) <= 3.0, "{name}: {line} and {nearest:?}");
            let close = |field: &str, value: f32| {
                (line[field].as_f64().expect("a number") - f64::from(value)).abs() < 0.03
            };
            assert!(close("box_score", nearest.score), "{name}: {line} and {nearest:?}");
            assert_eq!(read[place].text, line["text"].as_str().expect("a text"), "{name}");
            assert!(close("score", read[place].confidence), "{name}: {line} and {:?}", read[place]);
        }
    }
}

#[test]
fn columns_of_a_page_are_read_in_their_order() {
    let picture = picture("text/columns.png");
    let found = find(&picture);
    let read = read(&picture, &found);
    let corners: Vec<_> = found.iter().map(|text| text.corners).collect();
    let order: Vec<usize> = reading_order(&corners).into_iter().flatten().collect();
    let first: Vec<&str> = order.iter().filter_map(|&i| read[i].text.split(' ').next()).collect();
    let expected =
        ["Notes", "In", "when", "sometimes", "The", "office", "Its", "of", "They", "the", "boathouse"];
    assert_eq!(first, expected);
}

#[test]
fn a_blank_picture_has_no_text() {
    let blank = Picture::new(700, 500, vec![180; 700 * 500 * 3]).expect("is a picture");
    assert_eq!(find(&blank), []);
}
