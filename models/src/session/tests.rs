//! What the detectors answer before any threshold, against what the original graphs, which pick peaks and have anchors,
//! answered in ONNX Runtime's Python binding.
//! The other networks answer their raw values, and `models/tests/golden.rs` compares those.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::faces::faceboxes::{OUTPUTS, faces};
use crate::objects::centernet::{Heads, Peak};
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

/// Runs the network of `task` over two such items.
fn answers(name: &str, task: Task, shape: [usize; 3], wanted: &[&str]) -> Vec<Output> {
    let pack = Pack::open(Path::new(ROOT)).expect("opens");
    let entry = pack.model(task).expect("is there");
    let file = pack.file(entry, "model").expect("is there");
    let mut session = Session::load(&file, entry.model_ref(), &SessionOptions::default()).expect("loads");
    let items = sawtooth(shape, &golden(name));
    session.run_batch(&[&items[0], &items[1]], "pixel_values", wanted).expect("runs")
}

/// Compares what was made of each item's answers with what the original graph made of them.
fn check(name: &str, output: &str, rows: [Vec<f32>; 2]) {
    let expected = &golden(name)["outputs"][output];
    let close = |what: String, expected: &Value, found: f64| {
        let expected = expected.as_f64().expect("a number");
        let allowed = 1e-3 * expected.abs().max(1.0);
        assert!((expected - found).abs() <= allowed, "{what}: {found} instead of {expected}");
    };
    let first = expected["first5_of_item0"].as_array().expect("values");
    assert_eq!(first.len(), 5);
    for (i, value) in first.iter().enumerate() {
        close(format!("{name} {output}[{i}]"), value, f64::from(rows[0][i]));
    }
    for (item, row) in rows.iter().enumerate() {
        let mean = row.iter().map(|&value| f64::from(value)).sum::<f64>() / row.len() as f64;
        close(format!("{name} {output} mean {item}"), &expected[format!("mean_item{item}")], mean);
    }
}

#[test]
fn centernet_answers_what_was_recorded() {
    const NAME: &str = "object_detector_centernet";
    let outputs = answers(NAME, Task::ObjectDetection, [3, 512, 512], &["heat", "box"]);
    let rows = [0, 1].map(|item| {
        let (heat, edges) = (outputs[0].row(item), outputs[1].row(item));
        let peaks = Heads { heat, edges, width: 128, height: 128 }.peaks(0.0);
        assert_eq!(peaks.len(), 100);
        let row = |peak: &Peak| [&peak.corners[..], &[peak.score, peak.class as f32]].concat();
        peaks.iter().flat_map(row).collect()
    });
    check(NAME, "detections", rows);
}

#[test]
fn faceboxes_answers_what_was_recorded() {
    const NAME: &str = "face_detector_faceboxes";
    let outputs = answers(NAME, Task::FaceDetection, [3, 1024, 1024], &OUTPUTS);
    let found = [0, 1].map(|item| faces(&outputs, item, 1024.0, 0.0));
    assert_eq!(found[0].len(), 21_824);
    check(NAME, "scores", found.clone().map(|faces| faces.iter().map(|face| face.0).collect()));
    check(NAME, "boxes", found.map(|faces| faces.iter().flat_map(|face| face.1).collect()));
}

fn landmarks(device: DeviceOptions) -> Result<Session, Error> {
    let pack = Pack::open(Path::new(ROOT)).expect("opens");
    let entry = pack.model(Task::FaceLandmarks).expect("is there");
    let options = SessionOptions { device: Arc::new(device), ..SessionOptions::default() };
    Session::load(&pack.file(entry, "model").expect("is there"), entry.model_ref(), &options)
}

/// Whether a GPU is there, where these tests' expectations do not hold.
fn gpu() -> bool {
    let offers = offers(&DeviceOptions::default()).expect("the library is there");
    assert!(offers.contains(&Offer { provider: Provider::Cpu, problem: None }), "{offers:?}");
    offers.iter().any(|offer| offer.provider != Provider::Cpu && offer.problem.is_none())
}

#[test]
fn a_session_says_what_it_runs_on() {
    assert_eq!(landmarks(DeviceOptions::default()).expect("loads").provider(), "CPUExecutionProvider");
}

#[test]
fn a_preferred_provider_that_is_not_there_leaves_the_network_to_the_processor() {
    if gpu() {
        return eprintln!("skipped: this machine has a GPU");
    }
    let providers = vec![Provider::TensorRt, Provider::Cuda, Provider::Cpu];
    let device = DeviceOptions { providers, devices: vec![0, 1], ..DeviceOptions::default() };
    let found = placement(&device).expect("nothing is required");
    assert_eq!(found.accelerators(), []);
    let refused: Vec<Provider> = found.refusals().iter().map(|refusal| refusal.provider).collect();
    assert_eq!(refused, [Provider::TensorRt, Provider::Cuda]);
    assert!(found.refusals().iter().all(|refusal| !refusal.reason.is_empty()), "{found:?}");
    // Found out once.
    assert!(Arc::ptr_eq(&found, &placement(&device).expect("nothing is required")));
    assert_eq!(landmarks(device).expect("loads").provider(), "CPUExecutionProvider");
}

#[test]
fn a_required_provider_that_is_not_there_is_an_error_that_names_it() {
    if gpu() {
        return eprintln!("skipped: this machine has a GPU");
    }
    let device = DeviceOptions {
        providers: vec![Provider::Cuda, Provider::Cpu],
        policy: Policy::Required,
        ..DeviceOptions::default()
    };
    let error = landmarks(device).map(|_| ()).expect_err("is refused");
    let library = init_runtime(None).expect("is loaded").path.display().to_string();
    let Error::Provider { provider, reason, .. } = &error else { panic!("{error}") };
    assert!(provider == "CUDAExecutionProvider" && !reason.is_empty(), "{error:?}");
    assert!(error.to_string().starts_with(&format!("use {provider} of {library}: ")), "{error}");
}

#[test]
fn a_damaged_graph_is_the_files_fault_whatever_it_was_to_run_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("damaged.onnx");
    std::fs::write(&path, b"no graph").expect("is written");
    let error = Session::load(&path, ModelRef::new("damaged", "1"), &SessionOptions::default());
    let error = error.map(|_| ()).expect_err("is refused");
    assert!(matches!(&error, Error::File { path: named, .. } if *named == path), "{error}");
}

#[test]
fn one_session_answers_several_threads_at_once() {
    const NAME: &str = "object_detector_centernet";
    let pack = Pack::open(Path::new(ROOT)).expect("opens");
    let entry = pack.model(Task::ObjectDetection).expect("is there");
    let file = pack.file(entry, "model").expect("is there");
    let options = SessionOptions::default();
    let load = || Session::load(&file, entry.model_ref(), &options).expect("loads");
    let shared = |a: &Session, b: &Session| match (&a.held, &b.held) {
        (Held::Shared(a), Held::Shared(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    let mut alone = Session::load(&file, entry.model_ref(), &SessionOptions::default()).expect("loads");
    let mut sessions = [load(), load(), load()];
    let among = |session: &Session| sessions.iter().all(|other| shared(session, other));
    assert_eq!((among(&sessions[0]), among(&alone)), (!gpu(), false));

    let items = sawtooth([3, 512, 512], &golden(NAME));
    let run = |session: &mut Session, item: usize| {
        let outputs = session.run_batch(&[&items[item % 2]], "pixel_values", &["box", "heat"]).expect("runs");
        outputs.into_iter().map(|output| output.data).collect::<Vec<_>>()
    };
    let expected = [run(&mut alone, 0), run(&mut alone, 1)];
    std::thread::scope(|scope| {
        for (number, session) in sessions.iter_mut().enumerate() {
            let (run, expected) = (&run, &expected);
            scope.spawn(move || {
                for item in number..number + 4 {
                    assert_eq!(run(session, item), expected[item % 2]);
                }
            });
        }
    });
    let error = sessions[0].run(&[], &["box"]).expect_err("has no inputs");
    assert!(matches!(&error, Error::Inference { .. }), "{error}");
    drop(sessions);
    // Nobody else holds it any more, so the file is read again.
    assert!(options.siblings.find(&file).is_none());
}
