//! A picture says the same whichever way its file stores it.

use std::fs;

use docent_tests::corpus;
use docent_tests::fixtures::{oriented, oriented_png};
use docent_tests::program::Docent;
use serde_json::Value;

/// Storing a picture anew as JPEG moves scores a little.
const CONFIDENCE: f64 = 0.06;

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("no number '{name}' in {value}"))
}

fn overlap(a: &Value, b: &Value) -> f64 {
    let side = |origin: &str, length: &str| {
        let (a0, b0) = (number(a, origin), number(b, origin));
        let (a1, b1) = (a0 + number(a, length), b0 + number(b, length));
        (a1.min(b1) - a0.max(b0)).max(0.0)
    };
    let common = side("x", "width") * side("y", "height");
    let area = |r: &Value| number(r, "width") * number(r, "height");
    common / (area(a) + area(b) - common)
}

fn vector(asset: &Value, space: &str) -> Vec<f64> {
    let vectors = asset["vectors"].as_array().expect("vectors");
    let found = vectors.iter().find(|v| v["space"].as_str().is_some_and(|name| name.starts_with(space)));
    let values = found.expect("the vector is there")["values"].as_array().expect("values");
    values.iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Every sure suggestion of `a` is one of `b`, as sure and in the same place.
fn says(a: &Value, b: &Value, context: &str) {
    for said in a["suggestions"].as_array().expect("suggestions") {
        // Near a threshold a suggestion may come or go.
        if number(said, "confidence") < 0.55 || said["kind"] == "caption" {
            continue;
        }
        let again = b["suggestions"].as_array().expect("suggestions").iter().find(|other| {
            other["kind"] == said["kind"]
                && other["value"] == said["value"]
                && (said["region"].is_null() || overlap(&said["region"], &other["region"]) > 0.9)
        });
        let again = again.unwrap_or_else(|| panic!("{context}: {said} is missing"));
        let difference = (number(said, "confidence") - number(again, "confidence")).abs();
        assert!(difference < CONFIDENCE, "{context}: {said} and {again}");
    }
}

#[test]
fn eight_orientations_give_one_analysis() {
    let docent = Docent::new(env!("CARGO_BIN_EXE_docent-under-test"));
    for (sample, face) in [("grace_hopper.jpg", true), ("chelsea.jpg", false)] {
        let original = fs::read(corpus::samples().join(sample)).expect("the sample is there");
        let folder = docent.folder().join(sample);
        fs::create_dir(&folder).expect("a folder");
        for orientation in 1..=8 {
            let file = |extension: &str| folder.join(format!("{orientation}.{extension}"));
            fs::write(file("jpg"), oriented(&original, orientation)).expect("is written");
            fs::write(file("png"), oriented_png(&original, orientation)).expect("is written");
        }
        let assets = docent.json([
            "analyze".as_ref(),
            folder.as_os_str(),
            "--only=tags,objects,faces,embedding".as_ref(),
            "--with-vectors".as_ref(),
        ]);
        assert_eq!(assets.len(), 16);
        let first = &assets[0];
        let said = first["suggestions"].as_array().expect("suggestions").len();
        assert!(said >= 2, "{sample} says too little to compare: {first}");
        for asset in &assets[1..] {
            let context = format!("{}", asset["uri"]);
            assert_eq!((&asset["width"], &asset["height"]), (&first["width"], &first["height"]), "{context}");
            says(first, asset, &context);
            says(asset, first, &context);
            let alike = cosine(&vector(first, "picture/"), &vector(asset, "picture/"));
            assert!(alike > 0.995, "{context}: cosine {alike}");
            if face {
                let alike = cosine(&vector(first, "face/"), &vector(asset, "face/"));
                assert!(alike > 0.99, "{context}: cosine {alike} of faces");
            }
        }
    }
}
