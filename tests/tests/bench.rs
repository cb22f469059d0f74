//! `docent bench`, from the outside. No speed is expected of it: machines differ.

use std::fs;
use std::path::PathBuf;

use docent_tests::corpus;
use docent_tests::program::{Docent, Ended};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

fn bench(docent: &Docent, pictures: PathBuf) -> Ended {
    docent.run(["bench".into(), "--only=tags".into(), "--format=json".into(), "--corpus".into(), pictures])
}

/// Every second one, and so all of one half of those that are looked at by themselves.
#[test]
fn pictures_that_cannot_be_decoded_count_like_others() {
    let docent = Docent::new(PROGRAM);
    // As many as on the smallest machine: with more the walk may have no steady part.
    docent.configure("[work]\nin_flight = 1\n");
    let pictures = docent.folder().join("pictures");
    let whole = corpus::write(&pictures, 16, 1);
    for path in &whole {
        let bytes = fs::read(path).expect("is read");
        fs::write(path.with_extension("jpg.cut.jpg"), &bytes[..300]).expect("is written");
    }
    let ended = bench(&docent, pictures).expect(0);
    let report = &ended.json()[0];
    assert_eq!((&report["pictures"], &report["failed"]), (&32.into(), &16.into()), "{report}");
    for positive in ["images_per_second", "ideal_ms", "calm_ideal_ms", "achieved_ms", "efficiency", "lone_ms"]
    {
        assert!(report[positive].as_f64() > Some(0.0), "{positive} in {report}");
    }
    let stages = report["stages"].as_array().expect("a list");
    let network =
        stages.iter().find(|stage| stage["name"].as_str().is_some_and(|n| n.contains("efficientnet")));
    let network = network.unwrap_or_else(|| panic!("no network in {report}"));
    assert_eq!(network["inputs"].as_f64(), Some(0.5), "{network}");
    assert!(network["calm_ms"].as_f64() > Some(0.0), "{network}");
    assert!(network["busy_ms"].as_f64() > Some(0.0), "{network}");
}

#[test]
fn without_any_picture_it_says_so() {
    let docent = Docent::new(PROGRAM);
    let pictures = docent.folder().join("pictures");
    for path in corpus::write(&pictures, 16, 1) {
        let bytes = fs::read(&path).expect("is read");
        fs::write(&path, &bytes[..300]).expect("is written");
    }
    let ended = bench(&docent, pictures).expect(2);
    assert!(ended.stderr.contains("none of the pictures could be decoded"), "{}", ended.stderr);
}
