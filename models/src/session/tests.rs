//! What the detectors' graphs answer before any threshold, against outputs recorded from ONNX Runtime's Python binding.
//! The other networks answer their raw values, and `models/tests/golden.rs` compares those.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::{Pack, Task, Tensor};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn golden(name: &str) -> Value {
    let path = Path::new(ROOT).join("../tests/fixtures/golden/starter.json");
    let text = std::fs::read_to_string(path).expect("the golden file is there");
    let all: Value = serde_json::from_str(&text).expect("is JSON");
    all["models"][name]["golden"].clone()
}

/// Two items of `shape`, as the flat sawtooth that the golden file was made with.
fn sawtooth(shape: [usize; 3], golden: &Value) -> [Tensor; 2] {
    let bound = |name: &str| golden[name].as_f64().expect("a number");
    let (lo, hi) = (bound("input_lo"), bound("input_hi"));
    let length: usize = shape.iter().product();
    [0, 1].map(|item| {
        let value = |k: usize| (lo + (hi - lo) * ((k * 37) % 256) as f64 / 255.0) as f32;
        Tensor { shape: shape.to_vec(), data: (item * length..(item + 1) * length).map(value).collect() }
    })
}

fn check(name: &str, task: Task, shape: [usize; 3]) {
    let golden = golden(name);
    let pack = Pack::open(Path::new(ROOT)).expect("opens");
    let entry = pack.model(task).expect("is there");
    let file = pack.file(entry, "model").expect("is there");
    let mut session = Session::load(&file, entry.model_ref(), &SessionOptions::default()).expect("loads");
    let items = sawtooth(shape, &golden);
    let outputs = golden["outputs"].as_object().expect("outputs");
    for (output, expected) in outputs {
        let found = session.run_batch(&[&items[0], &items[1]], "pixel_values", &[output]).expect("runs");
        let close = |what: String, expected: &Value, found: f64, tolerance: f64| {
            let expected = expected.as_f64().expect("a number");
            let allowed = tolerance * expected.abs().max(1.0);
            assert!((expected - found).abs() <= allowed, "{what}: {found} instead of {expected}");
        };
        let first = expected["first5_of_item0"].as_array().expect("values");
        assert_eq!(first.len(), 5);
        for (i, value) in first.iter().enumerate() {
            close(format!("{name} {output}[{i}]"), value, f64::from(found[0].row(0)[i]), 1e-3);
        }
        for item in [0, 1] {
            let row = found[0].row(item);
            let mean = row.iter().map(|&value| f64::from(value)).sum::<f64>() / row.len() as f64;
            close(format!("{name} {output} mean {item}"), &expected[format!("mean_item{item}")], mean, 1e-3);
        }
    }
}

#[test]
fn centernet_answers_what_was_recorded() {
    check("object_detector_centernet", Task::ObjectDetection, [3, 512, 512]);
}

#[test]
fn faceboxes_answers_what_was_recorded() {
    check("face_detector_faceboxes", Task::FaceDetection, [3, 1024, 1024]);
}
