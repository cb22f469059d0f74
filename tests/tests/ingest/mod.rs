//! `docent ingest` and what follows from it, from the outside: the program, a folder, a data directory.

mod history;
mod places;
mod seen;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use docent_tests::corpus;
use docent_tests::program::{Docent, uri};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
/// The cheapest analyzers: for what is not about them.
const CHEAP: &str = "--only=tags,embedding";

fn docent() -> Docent {
    Docent::new(PROGRAM)
}

/// Keys of an object.
fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn assert_has(object: &Value, wanted: &[&str]) {
    for key in wanted {
        assert!(keys(object).contains(key), "no '{key}' in {object}");
    }
}

/// Suggestions by id, without what a second run may change.
fn by_id(rows: Vec<Value>) -> BTreeMap<String, Value> {
    rows.into_iter().map(|row| (row["id"].as_str().expect("an id").to_owned(), row)).collect()
}

fn number(value: &Value, path: &[&str]) -> u64 {
    let found = path.iter().fold(value, |value, key| &value[*key]);
    found.as_u64().unwrap_or_else(|| panic!("no number at {path:?} in {value}"))
}

/// Neither docent nor a library under it writes anywhere: not into a cache, and not for anybody else.
#[test]
fn looking_at_a_picture_writes_to_no_file() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    let sample = corpus::copy_samples(&pictures).remove(0);
    let arguments: [&OsStr; 3] = ["analyze".as_ref(), "--only=tags,text".as_ref(), sample.as_os_str()];
    let ended = docent.start_without_disk(arguments).wait().expect(0);
    assert_eq!(ended.json().len(), 1, "{ended:?}");
}

#[test]
fn a_folder_is_analyzed_once_and_can_be_searched() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    let count = corpus::copy_samples(&pictures).len() as u64;
    fs::write(pictures.join("notes.txt"), "no picture").expect("is written");

    let first = docent.ingest(&pictures);
    assert_eq!(number(&first, &["found"]), count + 1);
    assert_eq!(number(&first, &["skipped"]), 1);
    assert_eq!(number(&first, &["new_assets"]), count);
    assert_eq!(number(&first, &["analyzed"]), count);
    assert_eq!(number(&first, &["failed"]), 0);
    assert_eq!(first["interrupted"], false);

    let status = docent.status();
    for analyzer in ["decode", "tags", "objects", "faces", "text", "caption", "embedding"] {
        assert_eq!(number(&status, &["analyzers", analyzer, "done"]), count, "{analyzer}: {status}");
        assert_eq!(number(&status, &["analyzers", analyzer, "pending"]), 0, "{analyzer}: {status}");
    }
    assert_eq!(number(&status, &["assets"]), count);

    let rows = docent.suggestions();
    for row in &rows {
        let shape = ["id", "asset_id", "uri", "kind", "value", "confidence", "region", "status", "model"];
        assert_has(row, &shape);
        assert_eq!(row["status"], "pending");
        assert!((0.0..=1.0).contains(&row["confidence"].as_f64().expect("a number")), "{row}");
        assert!(row["model"].as_str().is_some_and(|model| model.contains('@')), "{row}");
        if let Some(region) = row["region"].as_object() {
            let side = |key: &str| region[key].as_f64().expect("a number");
            assert!(side("x") + side("width") <= 1.0001 && side("y") + side("height") <= 1.0001, "{row}");
        }
    }
    let says = |file: &str, kind: &str, value: &str| {
        let at = uri(&pictures.join(file));
        rows.iter().any(|row| {
            row["uri"] == at.as_str()
                && row["kind"] == kind
                && row["value"].as_str().is_some_and(|v| v.contains(value))
        })
    };
    assert!(says("astronaut.jpg", "face", "face"), "the astronaut's face");
    assert!(says("chelsea.jpg", "object", "cat"), "the cat");
    assert!(says("chelsea.jpg", "tag", "cat"), "the cat's tag");
    assert!(says("page.png", "text", "segmentation"), "the page's text");

    let second = docent.ingest(&pictures);
    assert_eq!(number(&second, &["unchanged"]), count);
    assert_eq!(number(&second, &["analyzed"]), 0);
    assert_eq!(number(&second, &["new_assets"]), 0);
    assert_eq!(by_id(docent.suggestions()), by_id(rows), "a second ingest changed suggestions");

    let hits = docent.json(["search", "a cat looking at the camera", "-k", "3", "--format=json"]);
    assert_eq!(hits.len(), 3);
    assert_eq!(hits[0]["uri"], uri(&pictures.join("chelsea.jpg")).as_str());
    assert_eq!(keys(&hits[0]), BTreeSet::from(["asset_id", "uri", "score", "matched"]));
    assert_eq!(hits[0]["matched"], serde_json::json!(["meaning"]));
    let scores: Vec<f64> = hits.iter().map(|hit| hit["score"].as_f64().expect("a number")).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");

    // By path and by id: the same neighbors.
    let path = pictures.join("chelsea.jpg");
    let by_path = docent.json([OsStr::new("similar"), path.as_os_str(), OsStr::new("--format=json")]);
    let id = hits[0]["asset_id"].as_str().expect("an id");
    assert_eq!(by_path, docent.json(["similar", id, "--format=json"]));
    assert!(by_path.iter().all(|hit| hit["asset_id"] != id), "a picture is no neighbor of its own");
    // Filters.
    let cats = docent.json(["search", "a cat", "--tag", "cat", "--format=json"]);
    assert_eq!(cats.len(), 1, "{cats:?}");
    docent.run(["search", "a cat", "--tag", "no such tag"]).expect(1);
    docent.run(["search", "a cat", "--path", "/nowhere"]).expect(1);

    // Whose they are can be said later, and is then found by.
    docent.run(["search", "a cat", "--owner", "museum"]).expect(1);
    let owned = docent.run([OsStr::new("ingest"), path.as_os_str(), OsStr::new("--owner=museum")]);
    owned.expect(0);
    let of_museum = docent.json(["search", "a cat", "--owner", "museum", "--format=json"]);
    assert_eq!(of_museum.iter().map(|hit| &hit["asset_id"]).collect::<Vec<_>>(), [id]);
    assert_eq!(number(&docent.ingest(&pictures), &["unchanged"]), count, "saying nothing changes nothing");
    assert_eq!(docent.json(["search", "a cat", "--owner", "museum", "--format=json"]), of_museum);
    docent.run(["search", "a cat", "--owner", " "]).expect(2);
}

#[test]
fn a_second_ingest_is_at_least_twenty_times_faster() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, 64, 1);
    let run = || {
        let ended =
            docent.run([OsStr::new("ingest"), pictures.as_os_str(), OsStr::new("--format=json")]).expect(0);
        (ended.elapsed, ended.summary())
    };
    let (first, summary) = run();
    assert_eq!(number(&summary, &["analyzed"]), 64);
    let (second, summary) = run();
    assert_eq!(number(&summary, &["analyzed"]) + number(&summary, &["failed"]), 0);
    assert_eq!(number(&summary, &["unchanged"]), 64);
    let ratio = first.as_secs_f64() / second.as_secs_f64();
    eprintln!("first {first:?}, second {second:?}: {ratio:.0} times faster");
    assert!(ratio >= 20.0, "first {first:?}, second {second:?}: only {ratio:.1} times faster");
}

#[test]
fn a_moved_or_copied_file_is_the_same_asset() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    let files = corpus::write(&pictures, 3, 2);
    let ingest = || {
        let args =
            [OsStr::new("ingest"), pictures.as_os_str(), OsStr::new(CHEAP), OsStr::new("--format=json")];
        docent.run(args).expect(0).summary()
    };
    ingest();
    let before = by_id(docent.suggestions());
    fs::create_dir(pictures.join("elsewhere")).expect("a folder");
    fs::copy(&files[0], pictures.join("elsewhere/copy.jpg")).expect("is copied");
    fs::rename(&files[1], pictures.join("elsewhere/moved.jpg")).expect("is moved");
    let summary = ingest();
    assert_eq!(number(&summary, &["new_assets"]), 0);
    assert_eq!(number(&summary, &["new_paths"]), 2);
    assert_eq!(number(&summary, &["analyzed"]), 0);
    let status = docent.status();
    assert_eq!((number(&status, &["assets"]), number(&status, &["paths"])), (3, 5));
    let after = by_id(docent.suggestions());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());

    // Other content at a known place is another asset; the old one stays.
    fs::copy(corpus::samples().join("coffee.jpg"), &files[2]).expect("is overwritten");
    let summary = ingest();
    assert_eq!((number(&summary, &["new_assets"]), number(&summary, &["analyzed"])), (1, 1));
    assert_eq!(number(&docent.status(), &["assets"]), 4);
}

#[test]
fn what_only_left_out_is_missing_until_it_is_wanted() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, 4, 3);
    let args =
        [OsStr::new("ingest"), pictures.as_os_str(), OsStr::new("--only=tags"), OsStr::new("--format=json")];
    assert_eq!(number(&docent.run(args).expect(0).summary(), &["analyzed"]), 4);
    let status = docent.status();
    assert_eq!(number(&status, &["analyzers", "tags", "done"]), 4);
    assert_eq!(number(&status, &["analyzers", "objects", "missing"]), 4);
    assert!(docent.suggestions().iter().all(|row| row["analyzer"] == "tags"));
    let tags = by_id(docent.suggestions());

    let summary = docent.ingest(&pictures);
    assert_eq!(number(&summary, &["analyzed"]), 4);
    let status = docent.status();
    for analyzer in ["tags", "objects", "faces", "text", "caption", "embedding"] {
        assert_eq!(number(&status, &["analyzers", analyzer, "done"]), 4, "{status}");
    }
    let after = by_id(docent.suggestions());
    assert!(tags.iter().all(|(id, row)| after.get(id) == Some(row)), "tags were touched again");
}

#[test]
fn decisions_outlive_every_repeated_run() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    corpus::copy_samples(&pictures);
    docent.run([OsStr::new("ingest"), pictures.as_os_str(), OsStr::new("--only=tags,objects")]).expect(0);
    let rows = docent.suggestions();
    let id = |kind: &str, skip: usize| {
        let row = rows.iter().filter(|row| row["kind"] == kind).nth(skip).expect("enough suggestions");
        row["id"].as_str().expect("an id").to_owned()
    };
    let (accepted, rejected, undone, region) = (id("tag", 0), id("tag", 1), id("tag", 2), id("object", 0));
    let decide = |action: &str, id: &str, code: i32| {
        docent.run([action, id, "--as", "ada", "--format=json"]).expect(code)
    };

    assert_eq!(decide("accept", &accepted, 0).json()[0]["status"], "accepted");
    decide("reject", &rejected, 0);
    decide("reject", &region, 0);
    decide("accept", &undone, 0);
    assert_eq!(decide("undo", &undone, 0).json()[0]["status"], "pending");
    // Who comes second is told.
    let conflict = decide("accept", &rejected, 1);
    assert_eq!(conflict.json()[0]["error"]["code"], "conflict", "{conflict:?}");

    let status_of = |id: &str| {
        let rows = docent.suggestions();
        let row = rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("{id} is gone"));
        row["status"].as_str().expect("a status").to_owned()
    };
    let before = by_id(docent.suggestions());
    let again = docent.run(["retry", "--all", "--only=tags,objects", "--format=json"]).expect(0).summary();
    assert_eq!(number(&again, &["analyzed"]), corpus::sample_files().len() as u64);
    assert_eq!(status_of(&accepted), "accepted");
    assert_eq!(status_of(&rejected), "rejected");
    assert_eq!(status_of(&region), "rejected");
    assert_eq!(status_of(&undone), "pending");
    let after = by_id(docent.suggestions());
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>(),
        "a repeated run raised others"
    );

    // Undo lifts the veto.
    decide("undo", &rejected, 0);
    assert_eq!(status_of(&rejected), "pending");

    let log = docent.json(["history", rejected.as_str(), "--format=json"]);
    let told: Vec<[&str; 5]> = log
        .iter()
        .map(|entry| {
            ["reviewer", "client", "action", "before", "after"]
                .map(|key| entry[key].as_str().expect("a text"))
        })
        .collect();
    assert_eq!(
        told,
        [["ada", "cli", "reject", "pending", "rejected"], ["ada", "cli", "undo", "rejected", "pending"]]
    );
    assert!(log.iter().all(|entry| entry["at"].as_str().is_some_and(|at| at.starts_with("20"))), "{log:?}");
}

#[test]
fn an_unreadable_file_is_reported_and_stops_nothing() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    let files = corpus::write(&pictures, 2, 6);
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o000)).expect("a mode");
    // Whoever may read everything, as root may, reads this one, too.
    let readable = fs::File::open(&files[0]).is_ok();
    let args = [OsStr::new("ingest"), pictures.as_os_str(), OsStr::new(CHEAP), OsStr::new("--format=json")];
    let summary = docent.run(args).expect(0).summary();
    assert_eq!(number(&summary, &["analyzed"]), 1 + u64::from(readable), "{summary}");
    assert_eq!(number(&summary, &["unreadable_count"]), u64::from(!readable), "{summary}");
}

#[test]
fn ctrl_c_finishes_what_is_in_work_and_the_next_run_goes_on() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, 80, 8);
    let args = ["ingest", "pictures", "--format=json"];
    let mut run = docent.start(args);
    let begun = |progress: Option<Value>| progress.is_some_and(|p| p["done"].as_u64() > Some(0));
    assert!(run.watch(Duration::from_secs(300), |run| begun(run.progress())), "no progress was reported");
    run.signal("INT");
    let ended = run.wait().expect(130);
    assert!(ended.stderr.contains("stopping"), "nothing is said: {}", ended.stderr);
    let summary = ended.summary();
    assert_eq!(summary["interrupted"], true);
    let (done, left) = (number(&summary, &["analyzed"]), number(&summary, &["remaining"]));
    assert!(done > 0 && left > 0, "{summary}");
    // What was in work was finished and recorded, nothing else.
    assert_eq!(number(&docent.status(), &["analyzers", "tags", "done"]), done);

    let rest = docent.run(args).expect(0).summary();
    assert_eq!(number(&rest, &["analyzed"]), 80 - done);
    assert_eq!(number(&docent.status(), &["analyzers", "tags", "done"]), 80);
}

#[test]
fn analyze_is_stateless_and_says_everything_on_one_line() {
    let docent = docent();
    let names = ["chelsea.jpg", "astronaut.jpg"];
    let paths = names.map(|name| corpus::samples().join(name));
    let args = [OsStr::new("analyze"), paths[0].as_os_str(), paths[1].as_os_str()];
    let lines = docent.json(args);
    assert_eq!(lines.len(), 2);
    for (line, path) in lines.iter().zip(&paths) {
        let shape =
            ["uri", "content_hash", "width", "height", "suggestions", "vectors", "failures", "timings_ms"];
        assert_eq!(keys(line), BTreeSet::from(shape));
        assert_eq!(line["uri"], uri(path).as_str());
        assert_eq!(line["content_hash"].as_str().map(str::len), Some(64));
        assert_eq!(line["failures"].as_array().map(Vec::len), Some(0));
        for suggestion in line["suggestions"].as_array().expect("a list") {
            let shape = ["kind", "value", "confidence", "region", "model"];
            assert_eq!(keys(suggestion), BTreeSet::from(shape));
        }
        assert_eq!(line["vectors"][0]["values"], Value::Null, "values were not asked for");
    }
    let spaces = |line: &Value| -> Vec<String> {
        let vectors = line["vectors"].as_array().expect("a list").iter();
        vectors.map(|v| format!("{} {}", v["space"].as_str().expect("a space"), v["dim"])).collect()
    };
    assert!(spaces(&lines[0]).iter().any(|space| space.starts_with("picture/") && space.ends_with(" 384")));
    assert!(spaces(&lines[1]).iter().any(|space| space.starts_with("face/") && space.ends_with(" 128")));

    let args = [
        OsStr::new("analyze"),
        paths[0].as_os_str(),
        OsStr::new("--only=embedding"),
        OsStr::new("--with-vectors"),
    ];
    let line = docent.json(args).remove(0);
    let values: Vec<f64> =
        line["vectors"][0]["values"].as_array().expect("values").iter().filter_map(Value::as_f64).collect();
    let length = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!(values.len() == 384 && (length - 1.0).abs() < 1e-3, "{} values of length {length}", values.len());
    assert_eq!(line["suggestions"], Value::Array(Vec::new()));
    assert!(!docent.data().join("ledger.sqlite").exists(), "analyze keeps nothing");
}

#[test]
fn listings_have_their_shapes_and_exit_codes() {
    let docent = docent();
    let pictures = docent.folder().join("pictures");
    fs::create_dir(&pictures).expect("a folder");
    // Nothing there yet.
    for args in [&["suggestions"][..], &["failures"], &["search", "anything"]] {
        let ended = docent.run(args).expect(1);
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
    docent.run(["ingest", "pictures"]).expect(1);

    fs::write(pictures.join("broken.jpg"), b"\xff\xd8\xff\xe0 and no more").expect("is written");
    fs::copy(corpus::samples().join("coffee.jpg"), pictures.join("coffee.jpg")).expect("is copied");
    docent.run(["ingest", "pictures", CHEAP]).expect(0);
    let failures = docent.failures();
    assert_eq!(failures.len(), 1);
    assert_has(&failures[0], &["asset_id", "uri", "analyzer", "kind", "reason", "attempts"]);
    assert_eq!(failures[0]["analyzer"], "decode");
    assert_eq!(failures[0]["kind"], "permanent");

    // Filters of suggestions.
    let all = docent.suggestions();
    let asset = all[0]["asset_id"].as_str().expect("an id");
    assert_eq!(docent.listing(&["suggestions", "--asset", asset]).len(), all.len());
    assert_eq!(docent.listing(&["suggestions", "--status", "accepted"]).len(), 0);
    assert_eq!(docent.listing(&["suggestions", "--kind", "face"]).len(), 0);
    let sure = docent.listing(&["suggestions", "--min-confidence", "0.9"]);
    assert!(sure.iter().all(|row| row["confidence"].as_f64() >= Some(0.9)) && sure.len() <= all.len());

    let models = docent.listing(&["models", "list"]);
    assert!(
        models.len() >= 8
            && models.iter().all(|model| model["id"].is_string() && model["version"].is_string()),
        "{models:?}"
    );
    docent.run(["models", "verify"]).expect(0);
    let findings = docent.json(["doctor", "--format=json"]);
    assert!(findings.iter().all(|finding| finding["ok"] == true), "{findings:?}");
    assert!(docent.run(["completions", "bash"]).expect(0).stdout.contains("docent"));
    for (args, table) in
        [(&["suggestions"][..], "CONFIDENCE"), (&["failures"], "REASON"), (&["status"], "DONE")]
    {
        assert!(docent.run(args).expect(0).stdout.contains(table), "{args:?}");
    }
}

#[test]
fn errors_have_a_hint_and_leave_stdout_clean() {
    let docent = docent();
    fs::create_dir_all(docent.data()).expect("a folder");
    for args in [
        &["ingest", "no-such-folder"][..],
        &["suggestions", "--kind", "smell"],
        &["similar", "no-such-file.jpg"],
    ] {
        let ended = docent.run(args).expect(2);
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(!ended.stderr.is_empty() && !ended.stderr.contains("panicked"), "{args:?}: {}", ended.stderr);
    }
    let unknown = docent.run(["accept", "ffffffffffff"]).expect(1);
    assert!(unknown.stderr.contains("no suggestion"), "{unknown:?}");
    let ended = docent.run(["ingest", "no-such-folder"]).expect(2);
    assert!(ended.stderr.contains("no-such-folder"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint:"), "{}", ended.stderr);

    // A file that is no ledger where the ledger should be.
    for words in [2, 400] {
        let foreign = "no database ".repeat(words);
        fs::write(docent.data().join("ledger.sqlite"), &foreign).expect("is written");
        let ended = docent.run(["status"]).expect(2);
        assert!(ended.stderr.contains("ledger"), "{}", ended.stderr);
        let left = fs::read_to_string(docent.data().join("ledger.sqlite")).expect("is there");
        assert_eq!(left, foreign, "a foreign file was touched");
    }
}
