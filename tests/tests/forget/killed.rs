//! Killed at any moment, forgetting ends as if nobody had disturbed it.

use std::path::Path;
use std::time::Duration;

use docent::assets::file_uri;
use docent::store::{Decision, Page, Reviews, SqliteStore, Store, SuggestionFilter};
use docent_pipelines::Kind;
use docent_pipelines::asset::ContentHash;
use docent_tests::program::Docent;
use docent_tests::random::Random;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tokio::runtime::Runtime;

use super::{Known, fill, owner, somebody};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const KILLS: usize = 50;
const PICTURES: usize = 1600;
/// Change it to look at other moments; a failure prints the one in use.
const SEED: u64 = 20_261_201;

/// Everything but what tells times and numbers of orders.
const TABLES: [(&str, &str); 9] = [
    ("asset", "id, pending, due, lease_owner"),
    ("asset_path", "uri, asset_id, owner, gone_at"),
    ("work", "asset_id, analyzer, state"),
    ("suggestion", "id, asset_id, value, status"),
    ("reading", "suggestion_id, folded, living"),
    ("review", "id, suggestion_id, action"),
    ("vector", "id, asset_id, hex(data)"),
    ("forgotten", "mark"),
    ("tally", "what, a, b, c, n"),
];

/// A ledger in which every other picture belongs to somebody who leaves, with some uploads.
async fn prepare(data: &Path) {
    let uploads = data.join("uploads/by-name");
    std::fs::create_dir_all(&uploads).expect("is made");
    let store = SqliteStore::open(&data.join("ledger.sqlite")).await.expect("opens");
    let picture = |number: usize| {
        let content = format!("picture {number}");
        let mut path = Path::new("/archive").join(format!("{number}.jpg"));
        if number.is_multiple_of(20) || number % 20 == 1 {
            path = uploads.join(format!("{number}.jpg"));
            std::fs::write(&path, &content).expect("is written");
        }
        Known {
            uri: file_uri(&path),
            hash: ContentHash::of(content.as_bytes()),
            owner: Some(owner(if number.is_multiple_of(2) { "gone" } else { "stays" })),
            said: vec![(Kind::Tag, "cat".to_owned()), (Kind::Text, format!("a harbor {number}"))],
            vector: vec![number as f32, 0.5],
        }
    };
    let pictures: Vec<Known> = (0..PICTURES).map(picture).collect();
    fill(&store, &pictures).await;
    let tags = SuggestionFilter { kind: Some(Kind::Tag), ..SuggestionFilter::default() };
    let page = Page { limit: 300, after: None };
    let rows = Reviews::suggestions(&store, &tags, &page).await.expect("lists").rows;
    for row in rows {
        store.decide(&row.id, Decision::Accept, &somebody()).await.expect("decides");
    }
    (&store as &dyn Store).close().await;
}

async fn dump(data: &Path) -> Vec<(String, Vec<String>)> {
    let options = SqliteConnectOptions::new().filename(data.join("ledger.sqlite"));
    let mut ledger = SqliteConnection::connect_with(&options).await.expect("opens");
    let mut all = Vec::new();
    for (table, columns) in TABLES {
        let columns: Vec<String> =
            columns.split(", ").map(|column| format!("coalesce({column}, '')")).collect();
        let sql = format!("select {} from {table} where true order by 1", columns.join(" || ' ' || "));
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut ledger).await.expect("are read");
        all.push((table.to_owned(), rows));
    }
    let leftovers: i64 = sqlx::query_scalar("select count(*) from forgetting_rest")
        .fetch_one(&mut ledger)
        .await
        .expect("is counted");
    assert_eq!(leftovers, 0);
    ledger.close().await.expect("closes");
    let mut files: Vec<String> = ["by-name", ".incoming"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(data.join("uploads").join(folder)).into_iter().flatten())
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    all.push(("files".to_owned(), files));
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("is made");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("is copied");
        }
    }
}

#[test]
fn fifty_kills_leave_nothing_of_the_forgotten_and_everything_else() {
    const ORDER: [&str; 3] = ["forget", "--owner=gone", "--yes"];
    eprintln!("seed {SEED}");
    let runtime = Runtime::new().expect("a runtime");
    let docent = Docent::new(PROGRAM);
    let prepared = docent.folder().join("prepared");
    std::fs::create_dir_all(docent.data()).expect("is made");
    // The places of uploads are those of this folder.
    runtime.block_on(prepare(&docent.data()));
    copy(&docent.data(), &prepared);
    let before = runtime.block_on(dump(&docent.data()));
    let calm = docent.run(ORDER).expect(0);
    let expected = runtime.block_on(dump(&docent.data()));
    assert_eq!(expected[0].1.len(), PICTURES / 2, "assets");
    assert_eq!(expected[7].1.len(), PICTURES / 2, "marks");
    let files = &expected.last().expect("files").1;
    assert!(
        files.len() == PICTURES / 20 && files.iter().all(|file| !file.starts_with("forgotten")),
        "{files:?}"
    );

    let mut random = Random::new(SEED);
    let (mut alive, mut amid, mut tries) = (0, 0, 0);
    while alive < KILLS {
        tries += 1;
        assert!(tries < 3 * KILLS, "only {alive} of {tries} kills met it alive");
        std::fs::remove_dir_all(docent.data()).expect("is removed");
        copy(&prepared, &docent.data());
        let moment = calm.elapsed.mul_f64(random.share());
        let mut run = docent.start(ORDER);
        run.watch(moment, |_| false);
        alive += usize::from(run.kill().code.is_none());
        // Some die again while they go on.
        if tries % 3 == 0 {
            let mut run = docent.start(["forget", "--go-on"]);
            run.watch(calm.elapsed.mul_f64(random.share()), |_| false);
            run.kill();
        }
        let rest = docent.run(["forget", "--go-on"]);
        assert!(matches!(rest.code, Some(0 | 1)), "seed {SEED}, try {tries} after {moment:?}: {rest:?}");
        amid += usize::from(rest.code == Some(0));
        let found = runtime.block_on(dump(&docent.data()));
        // Before its order was written down nothing had happened.
        if found == before {
            continue;
        }
        for (expected, found) in expected.iter().zip(&found) {
            let differing = expected.1.iter().zip(&found.1).find(|(a, b)| a != b);
            assert!(
                expected == found,
                "seed {SEED}, try {tries} after {moment:?}: {}: {} and {} rows, {differing:?}",
                expected.0,
                expected.1.len(),
                found.1.len()
            );
        }
    }
    eprintln!(
        "{alive} of {tries} kills met it alive, {amid} amid its work; undisturbed it takes {:?}",
        calm.elapsed
    );
    assert!(amid >= KILLS / 4, "only {amid} kills met it amid its work");
    assert!(calm.elapsed > Duration::ZERO);
}
