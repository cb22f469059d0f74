//! A second signal does not wait for what is in work.

use std::path::Path;
use std::time::Duration;

use docent_tests::program::Docent;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

/// So much print that reading it takes many seconds.
fn write_pages(path: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures/page.png");
    let page = image::open(fixture).expect("the fixture").into_luma8();
    let (width, height) = page.dimensions();
    let pages = image::GrayImage::from_fn(width * 6, height * 10, |x, y| page[(x % width, y % height)]);
    pages.save(path).expect("is written");
}

#[test]
fn the_first_signal_lets_work_finish_and_the_second_does_not() {
    let docent = Docent::new(PROGRAM);
    docent.configure("[analyzers]\nenabled = ['text']\n[text]\nalways = true\n");
    let pictures = docent.folder().join("pictures");
    std::fs::create_dir(&pictures).expect("is made");
    write_pages(&pictures.join("pages.png"));
    let begin = || {
        let mut run = docent.start(["ingest", "pictures", "--format=json"]);
        let begun = run.watch(Duration::from_secs(120), |run| {
            run.progress().is_some_and(|progress| progress["in_flight"].as_u64() > Some(0))
        });
        assert!(begun, "nothing was begun");
        run
    };
    let run = begin();
    // Two of different kinds: of two equal ones the second may come before the first was seen.
    run.signal("TERM");
    run.signal("INT");
    let ended = run.wait().expect(130);
    assert!(!ended.stdout.contains("\"summary\""), "it waited: {}", ended.stdout);
    // The first signal may have had no time to be told of.
    let said: Vec<&str> = ended.stderr.lines().filter(|line| !line.starts_with("stopping: ")).collect();
    assert_eq!(said, ["stopped at once; what is recorded is safe"]);
    assert_eq!(docent.status()["analyzers"]["text"]["pending"], 1, "the work is still to be done");

    let run = begin();
    run.signal("TERM");
    let ended = run.wait().expect(130);
    assert_eq!(ended.summary()["analyzed"], 1, "what was in work was finished");
}
