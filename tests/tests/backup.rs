//! Copies of the ledger, made while others write.

use std::path::Path;

use docent_tests::corpus;
use docent_tests::program::Docent;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

fn docent() -> Docent {
    let docent = Docent::new(PROGRAM);
    docent.configure("analyzers.enabled = [\"tags\", \"embedding\"]\n");
    docent
}

fn ids(docent: &Docent) -> Vec<String> {
    let mut ids: Vec<String> = docent.suggestions().iter().map(|row| row["id"].to_string()).collect();
    ids.sort();
    ids
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a text")
}

#[test]
fn a_copy_is_one_moment_of_a_ledger_that_goes_on() {
    let docent = docent();
    corpus::write(&docent.folder().join("pictures"), 150, 7);
    let mut serving = docent.start(["serve", "--listen", "127.0.0.1:0"]);
    serving.until_printed("http://");
    let mut ingest = docent.start(["ingest", "pictures", "--format=json"]);
    let begun = ingest.watch(std::time::Duration::from_secs(300), |run| {
        run.progress().is_some_and(|event| event["to_do"].as_u64() > Some(0))
    });
    assert!(begun, "{}", ingest.stdout());
    let amid = docent.folder().join("amid.sqlite");
    docent.run(["backup", text(&amid)]).expect(0);
    ingest.wait().expect(0);
    let end = docent.folder().join("end.sqlite");
    docent.run(["backup", text(&end)]).expect(0);
    let again = docent.run(["backup", text(&end)]).expect(2);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    // The serving process has the data directory.
    let used = docent.run(["restore", text(&amid), "--replace"]).expect(2);
    assert!(used.stderr.contains("in use"), "{}", used.stderr);
    serving.signal("INT");
    serving.wait().expect(0);

    // Elsewhere: the whole one is the same, and what was not done yet is done with the other.
    let other = self::docent();
    other.run(["restore", text(&end)]).expect(0);
    assert_eq!(ids(&other), ids(&docent));
    let occupied = other.run(["restore", text(&amid)]).expect(2);
    assert!(occupied.stderr.contains("--replace"), "{}", occupied.stderr);
    let replaced = other.run(["restore", text(&amid), "--replace"]).expect(0);
    assert!(replaced.stderr.contains("ledger.sqlite.replaced-"), "{}", replaced.stderr);
    let before = ids(&other);
    assert!(before.len() < ids(&docent).len());
    other.run(["retry", "--failed"]);
    assert_eq!(ids(&other), ids(&docent), "what was pending in the copy was done");
}

#[test]
fn what_is_no_copy_changes_nothing() {
    let docent = docent();
    let none = docent.run(["backup", "copy.sqlite"]).expect(2);
    assert!(none.stderr.contains("no ledger yet"), "{}", none.stderr);
    docent.ingest(&corpus::samples());
    let before = ids(&docent);
    let copy = docent.folder().join("copy.sqlite");
    docent.run(["backup", text(&copy)]).expect(0);
    let whole = std::fs::read(&copy).expect("reads");
    let mut torn = whole.clone();
    // A page in the middle of nowhere.
    let middle = torn.len() / 2 / 4096 * 4096;
    torn[middle..middle + 4096].fill(0x5a);
    for (bytes, name) in [
        (b"a text that is no ledger".to_vec(), "text"),
        (Vec::new(), "empty"),
        (whole[..5000].to_vec(), "short"),
        (torn, "torn"),
    ] {
        let file = docent.folder().join(name);
        std::fs::write(&file, bytes).expect("is written");
        docent.run(["restore", "--replace", text(&file)]).expect(2);
        assert_eq!(ids(&docent), before, "{name}");
    }
    let left: Vec<_> = std::fs::read_dir(docent.data())
        .expect("lists")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("part") || name.contains("replaced"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let absent = docent.run(["restore", "--replace", "nowhere.sqlite"]).expect(2);
    assert!(absent.stderr.contains("nowhere.sqlite"), "{}", absent.stderr);
}
