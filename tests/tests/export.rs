//! What was accepted, written for other programs.

use docent_tests::corpus;
use docent_tests::program::Docent;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

/// The samples, with a tag, an object, a text and a caption accepted where there are some.
fn docent() -> (Docent, Vec<Value>) {
    let docent = Docent::new(PROGRAM);
    let pictures = docent.folder().join("pictures, all");
    corpus::copy_samples(&pictures);
    docent
        .run(["ingest", "pictures, all", "--only=tags,objects,text,embedding", "--owner", "press, office"])
        .expect(0);
    let mut accepted = Vec::new();
    for kind in ["tag", "object", "text"] {
        // What one implies is accepted with it, and does not wait any more.
        for _ in 0..3 {
            let row = docent.listing(&["suggestions", "--status", "pending", "--kind", kind]).remove(0);
            docent.run(["accept", row["id"].as_str().expect("an id"), "--as", "ada"]).expect(0);
        }
    }
    accepted.extend(docent.listing(&["suggestions", "--status", "accepted"]));
    assert!(accepted.len() >= 9, "{accepted:?}");
    (docent, accepted)
}

fn lines(docent: &Docent, args: &[&str]) -> Vec<Value> {
    docent.json(["export"].iter().chain(args))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[test]
fn json_lines_hold_what_was_accepted_and_nothing_else() {
    let (docent, accepted) = docent();
    let pictures = lines(&docent, &["jsonl"]);
    let mut told: Vec<(String, String)> = Vec::new();
    for picture in &pictures {
        for said in picture["accepted"].as_array().expect("a list") {
            assert_eq!(said["accepted_by"], "ada", "{said}");
            assert!(text(&said["accepted_at"]).starts_with("20"), "{said}");
            told.push((text(&picture["asset_id"]).to_owned(), text(&said["id"]).to_owned()));
        }
        assert_eq!(picture["owners"], serde_json::json!(["press, office"]));
    }
    let mut expected: Vec<(String, String)> =
        accepted.iter().map(|row| (text(&row["asset_id"]).to_owned(), text(&row["id"]).to_owned())).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    let uris: Vec<&str> = pictures.iter().map(|picture| text(&picture["uris"][0])).collect();
    assert!(uris.is_sorted(), "{uris:?}");
    // Terms come with their paths and addresses.
    let terms = pictures.iter().flat_map(|picture| picture["accepted"].as_array().expect("a list"));
    let terms: Vec<&Value> = terms.filter(|said| said["kind"] == "tag").map(|said| &said["term"]).collect();
    assert!(!terms.is_empty());
    assert!(terms.iter().all(|term| text(&term["uri"]).starts_with("urn:docent:starter:")), "{terms:?}");
    assert!(terms.iter().all(|term| term["path"].as_array().is_some_and(|path| path.len() > 1)), "{terms:?}");
}

#[test]
fn since_tells_what_changed_and_what_was_taken_back() {
    let (docent, accepted) = docent();
    assert_eq!(lines(&docent, &["jsonl", "--since", "1h"]).len(), lines(&docent, &["jsonl"]).len());
    docent.run(["export", "jsonl", "--since", "2100-01-01"]).expect(1);
    let one = text(&accepted[0]["asset_id"]);
    // What was accepted because another was is taken back with it.
    let left = || docent.listing(&["suggestions", "--status", "accepted"]);
    while let Some(row) = left().into_iter().find(|row| row["asset_id"] == one) {
        docent.run(["undo", text(&row["id"])]).expect(0);
    }
    let all = lines(&docent, &["jsonl"]);
    assert!(all.iter().all(|picture| picture["asset_id"] != one));
    let delta = lines(&docent, &["jsonl", "--since", "1h"]);
    let emptied = delta.iter().find(|picture| picture["asset_id"] == one).expect("it is told");
    assert_eq!(emptied["accepted"], serde_json::json!([]));
}

#[test]
fn a_table_has_a_row_for_each_picture() {
    let (docent, accepted) = docent();
    let file = docent.folder().join("table.csv");
    docent.run(["export", "csv", file.to_str().expect("a text")]).expect(0);
    let table = std::fs::read_to_string(&file).expect("reads");
    assert!(
        table.starts_with("asset_id,path,uri,owners,width,height,keywords,keyword_paths,keyword_uris,"),
        "{table}"
    );
    assert!(table.contains("\"press, office\"") && table.contains("pictures, all/"), "{table}");
    let pictures: std::collections::BTreeSet<&str> =
        accepted.iter().map(|row| text(&row["asset_id"])).collect();
    for id in &pictures {
        assert_eq!(table.lines().filter(|line| line.starts_with(id)).count(), 1, "{id}");
    }
    for tag in accepted.iter().filter(|row| row["kind"] == "tag") {
        assert!(table.contains(text(&tag["value"])), "{tag}");
    }
    assert!(!docent.folder().join("table.csv.part").exists());
    // Filters: only what is asked for.
    docent.run(["export", "csv", "--path", "nowhere"]).expect(1);
    let faces = docent.run(["export", "csv", "--kind", "face"]).expect(1);
    assert_eq!(faces.stdout.lines().count(), 1, "the names of the columns");
}

#[test]
fn annotations_follow_the_standard() {
    let (docent, accepted) = docent();
    let annotations = lines(&docent, &["webannotation"]);
    assert_eq!(annotations.len(), accepted.len());
    for annotation in &annotations {
        assert_eq!(annotation["@context"], "http://www.w3.org/ns/anno.jsonld");
        assert_eq!(annotation["type"], "Annotation");
        let id = text(&annotation["id"]).trim_start_matches("urn:docent:suggestion:").to_owned();
        let row = accepted.iter().find(|row| row["id"] == id.as_str()).expect("it was accepted");
        assert_eq!(annotation["body"][0]["value"], row["value"]);
        assert_eq!(annotation["creator"]["name"], "ada");
        assert_eq!(annotation["generator"]["name"], row["model"]);
        match row["region"].is_null() {
            true => assert_eq!(annotation["target"], row["uri"]),
            false => {
                assert_eq!(annotation["target"]["source"], row["uri"]);
                let fragment = text(&annotation["target"]["selector"]["value"]);
                let numbers = fragment.strip_prefix("xywh=percent:").expect("a fragment").split(',');
                let numbers: Vec<f64> = numbers.map(|number| number.parse().expect("a number")).collect();
                let region =
                    ["x", "y", "width", "height"].map(|part| row["region"][part].as_f64().expect("a share"));
                assert_eq!(numbers.len(), 4);
                assert!(
                    numbers.iter().zip(region).all(|(a, b)| (a - b * 100.0).abs() < 0.011),
                    "{annotation}"
                );
            }
        }
    }
}
