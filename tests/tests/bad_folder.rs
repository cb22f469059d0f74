//! A folder of good pictures among every kind of bad ones: the good are analyzed, the bad are listed with the cause,
//! and neither time nor memory runs away.

use std::collections::BTreeMap;
use std::fs;

use docent_tests::fixtures::{bad_files, good_files};
use docent_tests::program::{Docent, uri};
use serde_json::Value;

/// More than any of these files can need: the networks take about 400 MB, the largest good picture a few.
const MOST_KIB: u64 = 1_200_000;

#[test]
fn every_good_file_is_analyzed_and_every_bad_one_listed_with_its_reason() {
    let docent = Docent::new(env!("CARGO_BIN_EXE_docent-under-test"));
    let folder = docent.folder().join("mixed");
    fs::create_dir(&folder).expect("a folder");
    let (good, bad) = (good_files(), bad_files());
    assert!(bad.len() >= 40, "only {} kinds of bad files", bad.len());
    for (name, bytes) in
        good.iter().map(|f| (&f.name, &f.bytes)).chain(bad.iter().map(|f| (&f.name, &f.bytes)))
    {
        fs::write(folder.join(name), bytes).expect("is written");
    }
    // Plainly no pictures: skipped, not failed.
    fs::write(folder.join("notes.txt"), "words").expect("is written");
    fs::write(folder.join("program"), b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0").expect("is written");

    let ended = docent.run(["ingest", "mixed", "--format=json"]).expect(0);
    let summary = ended.summary();
    let count = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("no {key} in {summary}"));
    let (good_count, bad_count) = (good.len() as u64, bad.len() as u64);
    assert_eq!(count("found"), good_count + bad_count + 2, "{summary}");
    assert_eq!(count("skipped"), 2, "{summary}");
    assert_eq!(count("analyzed"), good_count, "{summary}");
    assert_eq!(count("remaining"), 0, "{summary}");

    let failures = docent.failures();
    let mut listed: BTreeMap<String, Value> = BTreeMap::new();
    for row in failures {
        let at = row["uri"].as_str().expect("a place").to_owned();
        assert_eq!(row["analyzer"], "decode", "{row}");
        assert_eq!(row["kind"], "permanent", "{row}");
        assert!(listed.insert(at.clone(), row).is_none(), "{at} is listed twice");
    }
    let mut wrong = Vec::new();
    for file in &bad {
        match listed.remove(&uri(&folder.join(file.name))) {
            None => wrong.push(format!("{}: not listed", file.name)),
            Some(row) => {
                let reason = row["reason"].as_str().unwrap_or_default();
                if !reason.contains(file.reason) {
                    wrong.push(format!("{}: '{reason}' does not say '{}'", file.name, file.reason));
                }
            }
        }
    }
    wrong.extend(listed.keys().map(|at| format!("{at}: listed, and should not be")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));

    let status = docent.status();
    let tagged = |state: &str| status["analyzers"]["tags"][state].as_u64();
    assert_eq!(tagged("done"), Some(good_count), "{status}");
    assert_eq!(tagged("blocked"), Some(bad_count), "{status}");
    assert_eq!(tagged("pending"), Some(0), "{status}");

    assert!(ended.peak_kib > 0, "no memory was read");
    assert!(ended.peak_kib < MOST_KIB, "docent held {} MB", ended.peak_kib / 1024);

    // Nothing is tried again by itself, and a retry gives the same answer.
    let again = docent.run(["ingest", "mixed", "--format=json"]).expect(0).summary();
    assert_eq!(again["analyzed"].as_u64().zip(again["failed"].as_u64()), Some((0, 0)), "{again}");
    let retried = docent.run(["retry", "--failed", "--format=json"]).expect(0).summary();
    assert_eq!(retried["failed"].as_u64(), Some(bad_count), "{retried}");
    assert_eq!(docent.failures().len(), bad.len());
}
