//! Killed without warning again and again, docent ends with the rows of a run that nobody disturbed.

use std::path::Path;
use std::time::Duration;

use docent::queue::Lane;
use docent::store::{FileStamp, Finished, FoundFile, Ledger, Run, SqliteStore, Wanted};
use docent::vectors::{QdrantIndex, QdrantOptions, VectorIndex};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{Analysis, VectorRecord, VectorSpace};
use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use docent_tests::qdrant::QdrantServer;
use docent_tests::random::Random;
use docent_tests::rows::{Rows, differences};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const PICTURES: usize = 300;
const KILLS: usize = 50;
/// Change it to look at other moments; a failure prints the one in use.
const SEED: u64 = 20_261;

/// Moments at which to kill, as working time since the run before: sorted random moments of one long run, taken apart.
fn moments(total: Duration, random: &mut Random) -> Vec<Duration> {
    let mut points: Vec<f64> = (0..KILLS).map(|_| random.share()).collect();
    points.sort_by(f64::total_cmp);
    let before = std::iter::once(0.0).chain(points.clone());
    points.iter().zip(before).map(|(point, before)| total.mul_f64(point - before)).collect()
}

#[test]
fn fifty_kills_change_nothing() {
    eprintln!("seed {SEED}");
    let calm = Docent::new(PROGRAM);
    let pictures = calm.folder().join("pictures");
    corpus::write(&pictures, PICTURES, SEED);
    // A file that cannot be decoded must not be lost either.
    std::fs::write(pictures.join("broken.jpg"), b"\xff\xd8\xff\xe0 and no more").expect("is written");
    let args = ["ingest".as_ref(), pictures.as_os_str(), "--format=json".as_ref()];
    let undisturbed = calm.run(args).expect(0);
    let expected = Rows::of(&calm);
    assert_eq!(undisturbed.summary()["analyzed"], PICTURES, "{:?}", undisturbed.summary());
    assert_eq!(expected.failures.len(), 1);
    eprintln!("undisturbed: {:?}, {} suggestions", undisturbed.elapsed, expected.suggestions.len());

    let torn = Docent::new(PROGRAM);
    let start = start_up(&pictures);
    let mut running = 0;
    let mut random = Random::new(SEED);
    let work = undisturbed.elapsed.saturating_sub(start);
    let moments = moments(work, &mut random);
    let mut tries = 0;
    while running < KILLS {
        assert!(tries < 4 * KILLS, "only {running} of {tries} kills met a running docent");
        let moment = moments[tries % moments.len()];
        // One in five dies while it still reads the folder or loads the networks.
        let moment = if tries % 5 == 4 { start.mul_f64(random.share()) } else { start + moment };
        let mut run = torn.start(args);
        run.watch(moment, |_| false);
        let alive = run.kill().code.is_none();
        eprintln!("kill {tries} after {moment:?}{}", if alive { "" } else { ": it had ended" });
        running += usize::from(alive);
        tries += 1;
        if !alive {
            // Everything is done: from the beginning, over what is there.
            torn.run(["retry", "--all", "--queue-only"]).expect(0);
        }
    }
    let last = torn.run(args).expect(0);
    eprintln!("{running} of {tries} kills met it alive; the last run took {:?}", last.elapsed);
    assert_eq!(last.summary()["remaining"], 0, "{:?}", last.summary());
    let found = Rows::of(&torn);
    let suggestions = differences(&expected.suggestions, &found.suggestions);
    assert_eq!(expected.suggestions.len(), found.suggestions.len(), "seed {SEED}\n{suggestions}");
    assert!(expected.suggestions == found.suggestions, "seed {SEED}\n{suggestions}");
    let failures = differences(&expected.failures, &found.failures);
    assert!(expected.failures == found.failures, "seed {SEED}\n{failures}");
    assert_eq!(expected.counts, found.counts, "seed {SEED}");
}

/// How long docent takes until it works: the time for a single picture, where it has measured before how large batches should be.
fn start_up(pictures: &Path) -> Duration {
    let docent = Docent::new(PROGRAM);
    let ingest =
        |name: &str| docent.run(["ingest".as_ref(), pictures.join(name).as_os_str()]).expect(0).elapsed;
    ingest("0000.jpg");
    ingest("0001.jpg")
}

/// Of each model: several calls to write them.
const VECTORS: u32 = 1500;
const OLD: &str = "picture/old@1";
const CURRENT: &str = "picture/joint-vision@1";

/// A ledger with vectors of two models.
async fn write_ledger(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let store = SqliteStore::open(&folder.join("ledger.sqlite")).await.expect("opens");
    let hashes: Vec<ContentHash> =
        (0..VECTORS).map(|number| ContentHash::of(&number.to_le_bytes())).collect();
    for hashes in hashes.chunks(250) {
        let file = |hash: &ContentHash| FoundFile {
            uri: format!("file:///{}.jpg", hash.asset_id()),
            stamp: FileStamp { bytes: 1, modified_ns: 1 },
            hash: *hash,
            lane: Lane::Backfill,
            owner: None,
        };
        let files: Vec<FoundFile> = hashes.iter().map(file).collect();
        store.register(&files, &Wanted::new()).await.expect("registers");
        let finished = |hash: &ContentHash| {
            let asset = hash.asset_id();
            let angle = f32::from(asset.as_str().as_bytes()[0]) * 0.01;
            let vector = |space: &str| {
                let values = vec![angle.cos(), angle.sin(), 0.0];
                VectorRecord::new(asset.clone(), VectorSpace::from_name(space), None, values)
            };
            let vectors = vec![vector(OLD), vector(CURRENT)];
            let spaces = vectors.iter().map(|vector| vector.space.clone()).collect();
            let analysis = Analysis { vectors, spaces, ..Analysis::default() };
            Finished {
                run: Run { asset: asset.clone(), owner: "test".to_owned(), picture: None },
                analysis,
                outcomes: Vec::new(),
            }
        };
        store.record(&hashes.iter().map(finished).collect::<Vec<_>>()).await.expect("records");
    }
    store.close().await;
}

/// Everything in a space of the index.
async fn content(server: &QdrantServer, space: &str) -> Vec<(String, u32)> {
    let index = QdrantIndex::connect(QdrantOptions::new(server.url())).expect("the options are right");
    let found = index.search(&VectorSpace::from_name(space), &[1.0, 0.0, 0.0], usize::MAX, None).await;
    found.expect("searches").into_iter().map(|found| (found.record, found.score.to_bits())).collect()
}

fn use_index(docent: &Docent, server: &QdrantServer) {
    docent.configure(&format!("[backends]\nvectors = '{}'\n", server.url()));
}

async fn until_held(server: &QdrantServer) {
    tokio::time::timeout(Duration::from_secs(60), server.until_held()).await.expect("the call comes");
}

/// It was in work.
fn kill(run: Running) {
    let ended = run.kill();
    assert_eq!(ended.code, None, "it had ended: {}", ended.stderr);
}

#[test]
fn a_rebuild_that_is_killed_ends_in_the_same_index_when_it_is_repeated() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let docent = Docent::new(PROGRAM);
    runtime.block_on(write_ledger(&docent.data()));
    let contents =
        |server: &QdrantServer| [OLD, CURRENT].map(|space| runtime.block_on(content(server, space)));
    let calm = QdrantServer::start();
    use_index(&docent, &calm);
    docent.run(["vectors", "rebuild"]).expect(0);
    let expected = contents(&calm);
    assert_eq!(expected.each_ref().map(Vec::len), [VECTORS as usize; 2]);
    // Before and after calls had their effect: at the beginning, in the midst, and at the end.
    for (method, call) in [
        ("create", 1),
        ("create_field_index", 1),
        ("upsert", 1),
        ("upsert answered", 1),
        ("upsert", 5),
        ("create", 2),
        ("upsert answered", 9),
        ("upsert answered", 12),
    ] {
        let server = QdrantServer::start();
        use_index(&docent, &server);
        server.hold(method, call);
        let run = docent.start(["vectors", "rebuild"]);
        runtime.block_on(until_held(&server));
        kill(run);
        server.release();
        docent.run(["vectors", "rebuild"]).expect(0);
        assert!(contents(&server) == expected, "{method} {call}");
    }
    // One that is asked to end says where to go on, and there the rest is done.
    let server = QdrantServer::start();
    use_index(&docent, &server);
    server.hold("upsert answered", 3);
    let mut run = docent.start(["vectors", "rebuild", CURRENT]);
    runtime.block_on(until_held(&server));
    run.signal("INT");
    run.until_printed("stopping");
    server.release();
    let stopped = run.wait().expect(130);
    let (_, after) = stopped.stderr.split_once("--after ").expect("says where to go on");
    let written = server.journal().len();
    docent.run(["vectors", "rebuild", CURRENT, "--after", after.trim()]).expect(0);
    assert!(runtime.block_on(content(&server, CURRENT)) == expected[1]);
    assert!(written > 0 && server.journal().len() < 6, "not all is written once more");
}

#[test]
fn a_drop_that_is_killed_leaves_nothing_when_it_is_repeated() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let template = tempfile::tempdir().expect("a folder");
    runtime.block_on(write_ledger(template.path()));
    let mut random = Random::new(SEED);
    let held = [("delete collection", false), ("delete collection answered", false)];
    // Afterwards the ledger follows: killed somewhere in it.
    for (method, go_on) in held.into_iter().chain([("delete collection answered", true); 6]) {
        let docent = Docent::new(PROGRAM);
        std::fs::create_dir_all(docent.data()).expect("a folder");
        std::fs::copy(template.path().join("ledger.sqlite"), docent.data().join("ledger.sqlite"))
            .expect("copies");
        let server = QdrantServer::start();
        use_index(&docent, &server);
        docent.run(["vectors", "rebuild"]).expect(0);
        server.hold(method, 1);
        let mut run = docent.start(["vectors", "drop", OLD]);
        runtime.block_on(until_held(&server));
        if go_on {
            server.release();
            run.watch(Duration::from_millis(30).mul_f64(random.share()), |_| false);
            run.kill();
        } else {
            kill(run);
            server.release();
        }
        let again = docent.run(["vectors", "drop", OLD]);
        let gone = again.stderr.contains("there is no vector space");
        assert!(again.code == Some(0) || go_on && gone, "{again:?}");
        assert_eq!(server.collections(), ["docent_picture_2fjoint-vision_401"]);
        let vectors = &docent.status()["vectors"];
        assert_eq!(*vectors, serde_json::json!({ CURRENT: VECTORS }), "{method}");
    }
}
