//! Killed without warning again and again, docent ends with the rows of a run that nobody disturbed.

use std::path::Path;
use std::time::Duration;

use docent::queue::Lane;
use docent::store::{
    FileStamp, Finished, FoundFile, PostgresOptions, PostgresStore, Run, SqliteStore, Store, Wanted,
};
use docent::vectors::{QdrantIndex, QdrantOptions, VectorIndex};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{Analysis, VectorRecord, VectorSpace};
use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use docent_tests::qdrant::QdrantServer;
use docent_tests::random::Random;
use docent_tests::rows::{Rows, differences};
use docent_tests::servers::Database;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tokio::runtime::Runtime;

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

/// docent with an empty ledger: a file, or a database of a server.
struct Home {
    docent: Docent,
    database: Option<Database>,
}

impl Home {
    fn new(runtime: &Runtime, shared: bool) -> Self {
        let database = shared.then(|| runtime.block_on(Database::new()).expect("a database"));
        let home = Self { docent: Docent::new(PROGRAM), database };
        home.configure("");
        runtime.block_on(async { home.open().await.close().await });
        home
    }

    /// Sets further options of `[backends]`.
    fn configure(&self, backends: &str) {
        let store = self.database.as_ref().map(|database| format!("store = '{}'\n", database.url()));
        self.docent.configure(&format!("[backends]\n{}{backends}", store.unwrap_or_default()));
    }

    fn use_index(&self, server: &QdrantServer) {
        self.configure(&format!("vectors = '{}'\n", server.url()));
    }

    async fn open(&self) -> Box<dyn Store> {
        if let Some(database) = &self.database {
            let options = PostgresOptions { connections: 2 };
            return Box::new(PostgresStore::connect(database.url(), options).await.expect("connects"));
        }
        std::fs::create_dir_all(self.docent.data()).expect("a folder");
        Box::new(SqliteStore::open(&self.docent.data().join("ledger.sqlite")).await.expect("opens"))
    }

    async fn execute(&self, statements: &str) {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        if let Some(database) = &self.database {
            let mut connection = PgConnection::connect(database.url()).await.expect("connects");
            statements.execute(&mut connection).await.expect("is executed");
        } else {
            statements.execute(&mut self.file().await).await.expect("is executed");
        }
    }

    async fn number(&self, question: &str) -> i64 {
        let question = AssertSqlSafe(question.to_owned());
        if let Some(database) = &self.database {
            let mut connection = PgConnection::connect(database.url()).await.expect("connects");
            sqlx::query_scalar(question).fetch_one(&mut connection).await.expect("is counted")
        } else {
            sqlx::query_scalar(question).fetch_one(&mut self.file().await).await.expect("is counted")
        }
    }

    async fn file(&self) -> SqliteConnection {
        let path = self.docent.data().join("ledger.sqlite");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        SqliteConnection::connect_with(&options).await.expect("opens")
    }
}

/// Writes vectors of two models.
async fn write_vectors(store: &dyn Store) {
    let hashes: Vec<ContentHash> =
        (0..VECTORS).map(|number| ContentHash::of(&number.to_le_bytes())).collect();
    for hashes in hashes.chunks(250) {
        let file = |hash: &ContentHash| FoundFile {
            uri: format!("file:///{}.jpg", hash.asset_id()),
            stamp: FileStamp { bytes: 1, modified_ns: 1 },
            hash: (*hash).into(),
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
    for shared in [false, true] {
        kill_rebuilds(shared);
    }
}

fn kill_rebuilds(shared: bool) {
    let runtime = Runtime::new().expect("a runtime");
    let home = Home::new(&runtime, shared);
    let docent = &home.docent;
    runtime.block_on(async { write_vectors(&*home.open().await).await });
    let contents =
        |server: &QdrantServer| [OLD, CURRENT].map(|space| runtime.block_on(content(server, space)));
    let calm = QdrantServer::start();
    home.use_index(&calm);
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
        home.use_index(&server);
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
    home.use_index(&server);
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
    for shared in [false, true] {
        kill_drops(shared);
    }
}

fn kill_drops(shared: bool) {
    let runtime = Runtime::new().expect("a runtime");
    let mut random = Random::new(SEED);
    let held = [("delete collection", false), ("delete collection answered", false)];
    let home = Home::new(&runtime, shared);
    let docent = &home.docent;
    // Afterwards the ledger follows: killed somewhere in it.
    for (method, go_on) in held.into_iter().chain([("delete collection answered", true); 6]) {
        runtime.block_on(async { write_vectors(&*home.open().await).await });
        let server = QdrantServer::start();
        home.use_index(&server);
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

/// Suggestions that wait for review, in a ledger without pictures.
async fn write_suggestions(home: &Home, assets: u32) {
    let numbers = if home.database.is_some() {
        format!("with n (i) as (select i::bigint from generate_series(1, {assets}) i)")
    } else {
        format!("with recursive n (i) as (select 1 union all select i + 1 from n where i < {assets})")
    };
    let hex = |number: &str, digits: u32| {
        if home.database.is_some() {
            format!("lpad(to_hex({number}), {digits}, '0')")
        } else {
            format!("printf('%0{digits}x', {number})")
        }
    };
    home.execute(&format!(
        "{numbers} insert into asset (id, content_hash, bytes, lane, created_at)
             select {asset}, {}, 1, 1, i from n;
         {numbers} insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id,
                 created_at, asset_at, kind_order)
             select {} || {}, {asset}, 'tags', 'tag', 'tag ' || j, 0.9, 'pending', 'tagger@1', 0, i, i, 0
             from n, (select 0 as j union select 1 union select 2 union select 3) four;",
        hex("i", 64),
        hex("(i * 7919 + j) % 1000003", 16),
        hex("i * 10 + j", 16),
        asset = hex("i", 32),
    ))
    .await;
}

/// A bulk decision that is killed again and again decides each suggestion once, and so does taking it back.
#[test]
fn kills_during_a_bulk_decision_change_nothing() {
    eprintln!("seed {SEED}");
    for (shared, times) in [(false, 12), (true, 6)] {
        kill_decisions(shared, times);
    }
}

fn kill_decisions(shared: bool, times: usize) {
    const ASSETS: u32 = 10_000;
    let runtime = Runtime::new().expect("a runtime");
    let home = Home::new(&runtime, shared);
    let docent = &home.docent;
    runtime.block_on(write_suggestions(&home, ASSETS));
    let mut random = Random::new(SEED);
    let all = ["accept", "--all", "--min-confidence", "0.5", "--format", "json"];
    let back = ["undo", "--job", "1", "--format", "json"];
    for command in [&all[..], &back[..]] {
        let mut killed = 0;
        for turn in 0..4 * times {
            let args = if turn == 0 { command } else { &["jobs", "--go-on"][..] };
            let mut run = docent.start(args);
            run.watch(Duration::from_millis(1500).mul_f64(random.share()), |_| false);
            let ended = run.kill();
            killed += usize::from(ended.code.is_none());
            if ended.code.is_some_and(|code| turn > 0 || code == 0) || killed == times {
                break;
            }
        }
        eprintln!("{killed} kills met {}", command[0]);
        assert!(killed > 0, "no kill met {}", command[0]);
        // The first kill may have come before there was a job.
        let jobs = docent.json(["jobs", "--format=json"]);
        if !jobs.iter().any(|job| job["action"] == if command == all { "accept" } else { "revert" }) {
            docent.run(command.iter().copied()).expect(0);
        }
        docent.run(["jobs", "--go-on"]).expect(0);
        let newest = docent.json(["jobs", "--format=json", "-n", "1"]).remove(0);
        let total = u64::from(ASSETS) * 4;
        assert_eq!((&newest["state"], newest["done"].as_u64()), (&"done".into(), Some(total)), "{newest}");
        assert_eq!(
            (newest["total"].as_u64(), newest["skipped"].as_u64()),
            (Some(total), Some(0)),
            "{newest}"
        );
    }
    for (what, question) in [
        (80_000, "select count(*) from review"),
        (
            0,
            "select count(*) from (select 1 from review group by suggestion_id, job_id having count(*) > 1) twice",
        ),
        (40_000, "select count(*) from suggestion where status = 'pending'"),
        (0, "select count(*) from job_item"),
    ] {
        assert_eq!(runtime.block_on(home.number(question)), what, "{question}, seed {SEED}");
    }
}

#[test]
fn what_a_killed_ingest_held_is_listed_and_released() {
    let docent = Docent::new(PROGRAM);
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, 40, SEED);
    docent.run(["leases", "list"]).expect(1);
    let run = docent.start(["ingest".as_ref(), pictures.as_os_str(), "--only=tags".as_ref()]);
    let rows = loop {
        // Until it has begun some.
        let listed = docent.run(["leases", "list", "--format=json"]);
        let rows = if listed.code == Some(0) { listed.json() } else { Vec::new() };
        if rows.iter().any(|row| row["begun"] == true) {
            break rows;
        }
    };
    assert_eq!(run.kill().code, None, "it was at work");
    let owner = rows[0]["owner"].as_str().expect("a name").split('/').next().expect("not empty").to_owned();
    assert!(rows.iter().all(|row| row["uri"].as_str().is_some_and(|uri| uri.contains("/pictures/"))));
    // What the dead process held is there until the next start, or until somebody releases it.
    let listed = docent.json(["leases", "list", "--owner", &owner, "--format=json"]);
    let waiting = listed.iter().filter(|row| row["begun"] == false).count();
    let table = docent.run(["leases", "list"]).expect(0);
    assert!(table.stdout.contains("OWNER") && table.stdout.contains(&owner), "{}", table.stdout);
    let refused = docent.run(["leases", "release"]).expect(2);
    assert!(refused.stderr.contains("hint: give ASSET, --owner or --all-not-begun"), "{}", refused.stderr);
    docent.run(["leases", "release", "--owner", "nobody"]).expect(1);
    docent.run(["leases", "release", "--all-not-begun"]).expect(if waiting > 0 { 0 } else { 1 });
    docent.run(["leases", "list", "--not-begun"]).expect(1);
    let first = listed.iter().find(|row| row["begun"] == true);
    if let Some(asset) = first.and_then(|row| row["asset_id"].as_str()) {
        docent.run(["leases", "release", asset]).expect(0);
    }
    docent.run(["leases", "release", "--owner", &owner]);
    docent.run(["leases", "list"]).expect(1);
    docent.ingest(&pictures);
}
