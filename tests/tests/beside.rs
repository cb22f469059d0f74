//! Several processes on one data directory: the page that analyzes, and commands beside it.

use std::time::Duration;

use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
/// The networks that cost least.
const CHEAP: &str = "analyzers.enabled = [\"tags\", \"embedding\"]\n";
const LISTEN: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

fn docent(folders: &[(&str, usize, u64)]) -> Docent {
    let docent = Docent::new(PROGRAM);
    docent.configure(CHEAP);
    for (name, pictures, seed) in folders {
        corpus::write(&docent.folder().join(name), *pictures, *seed);
    }
    docent
}

fn serve(docent: &Docent) -> Running {
    let mut serving = docent.start(LISTEN);
    serving.until_printed("http://127.0.0.1:");
    serving
}

fn number(summary: &Value, key: &str) -> u64 {
    summary[key].as_u64().unwrap_or_else(|| panic!("no {key} in {summary}"))
}

fn pending(docent: &Docent) -> u64 {
    let status = docent.status();
    let analyzers = status["analyzers"].as_object().expect("analyzers").values();
    analyzers.map(|work| work["pending"].as_u64().unwrap_or(0)).sum()
}

#[test]
fn serve_analyzes_what_is_ingested_beside_it() {
    let docent = docent(&[("pictures", 12, 7)]);
    let serving = serve(&docent);
    let summary = docent.ingest(&docent.folder().join("pictures"));
    assert_eq!((number(&summary, "new"), number(&summary, "analyzed")), (12, 12), "{summary}");
    assert_eq!((number(&summary, "remaining"), pending(&docent)), (0, 0));
    assert_eq!(summary["networks"], serde_json::json!([]), "the other process did the work");
    // Deciding and doing again work as well, and only a second one of its kind is refused.
    let first = docent.suggestions().remove(0);
    docent.run(["accept", first["id"].as_str().expect("an id")]).expect(0);
    let again = docent.run(["retry", "--all", "--format=json"]).expect(0).summary();
    assert_eq!(number(&again, "remaining"), 0);
    let second = docent.run(LISTEN).expect(2);
    assert!(second.stderr.contains("in use") && second.stderr.contains("--no-worker"), "{}", second.stderr);
    assert!(second.stderr.contains(&serving.pid().to_string()), "the holder is not named: {}", second.stderr);
    let mut page = docent.start(["serve", "--listen", "127.0.0.1:0", "--no-worker"]);
    page.until_printed("http://127.0.0.1:");
    // What is not enabled there is refused at once and not waited for.
    let other = docent.run(["retry", "--all", "--only", "text"]).expect(2);
    assert!(other.stderr.contains("'text' is not enabled"), "{}", other.stderr);
    for running in [serving, page] {
        running.signal("INT");
        running.wait().expect(0);
    }
}

#[test]
fn an_ingest_goes_on_by_itself_when_the_page_dies() {
    let docent = docent(&[("pictures", 150, 8)]);
    let serving = serve(&docent);
    let mut ingest = docent.start(["ingest", "pictures", "--format=json"]);
    let begun = ingest.watch(Duration::from_secs(300), |run| {
        run.progress().is_some_and(|event| event["to_do"].as_u64() > Some(0))
    });
    assert!(begun, "{}", ingest.stdout());
    serving.kill();
    let summary = ingest.wait().expect(0).summary();
    assert_eq!((number(&summary, "remaining"), pending(&docent)), (0, 0), "{summary}");
    assert_eq!(docent.failures().len(), 0);
    assert_ne!(summary["networks"], serde_json::json!([]), "it did the rest itself");
}

#[test]
fn two_ingests_share_a_data_directory() {
    let docent = docent(&[("one", 30, 7), ("two", 10, 8)]);
    let mut first = docent.start(["ingest", "one", "--format=json"]);
    first.until_printed("\"progress\"");
    let second = docent.ingest(&docent.folder().join("two"));
    assert_eq!((number(&second, "new"), number(&second, "remaining")), (10, 0), "{second}");
    let first = first.wait().expect(0).summary();
    assert_eq!((number(&first, "new"), number(&first, "remaining")), (30, 0), "{first}");
    assert_eq!(pending(&docent), 0);
    // A dead owner's lock is no lock.
    corpus::write(&docent.folder().join("three"), 5, 9);
    docent.start(["ingest", "three"]).kill();
    let third = docent.ingest(&docent.folder().join("three"));
    assert_eq!(number(&third, "remaining"), 0, "{third}");
}
