//! A ledger of an older docent is brought up to date, with everything that was decided in it.

use std::path::{Path, PathBuf};

use docent::store::{
    Decision, Ledger, Part, PostgresOptions, PostgresStore, Reviewer, SqliteStore, Store, folded,
};
use docent_pipelines::{AssetId, Status};
use docent_tests::servers::Database;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, PgConnection, SqliteConnection};

const ASSET: &str = "00112233445566778899aabbccddeeff";
const SUGGESTION: &str = "ffeeddccbbaa99887766554433221100";
const TEXT: &str = "ffeeddccbbaa99887766554433221101";

fn migrations(backend: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/migrations").join(backend);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("migrations").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

/// The migrations of an older docent: the first `count`.
async fn older(backend: &str, count: usize, folder: &Path) -> Migrator {
    for file in &migrations(backend)[..count] {
        std::fs::copy(file, folder.join(file.file_name().expect("a name"))).expect("is copied");
    }
    Migrator::new(folder).await.expect("are migrations")
}

/// A picture that was looked at, with a tag that was accepted and two texts, of which one was rejected.
fn rows() -> [String; 6] {
    [
        format!(
            "insert into asset (id, content_hash, bytes, width, height, format, lane, created_at)
             values ('{ASSET}', '{ASSET}{ASSET}', 100, 30, 20, 'jpeg', 1, 1700000000000)"
        ),
        format!(
            "insert into work (asset_id, analyzer, state, model, updated_at)
             values ('{ASSET}', 'tags', 'done', 'tagger@1', 1700000000000)"
        ),
        format!(
            "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id,
                 created_at, asset_at, kind_order)
             values ('{SUGGESTION}', '{ASSET}', 'tags', 'tag', 'cat', 0.9, 'accepted', 'tagger@1', 1,
                 1700000000000, 1700000000000, 0)"
        ),
        format!(
            "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id,
                 created_at, asset_at, kind_order)
             values ('{TEXT}', '{ASSET}', 'text', 'text', 'Hôtel Minerva', 0.9, 'pending', 'reader@1', 1,
                     1700000000000, 1700000000000, 5),
                 ('{ASSET}', '{ASSET}', 'text', 'text', 'Hotel Nowhere', 0.9, 'rejected', 'reader@1', 1,
                     1700000000000, 1700000000000, 5)"
        ),
        format!(
            "insert into review (suggestion_id, at, reviewer, client, action, before, after)
             values ('{SUGGESTION}', 1700000000000, 'Ada', 'web', 'accept', 'pending', 'accepted')"
        ),
        format!(
            "insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at)
             values ('file:///photos/cat.jpg', '{ASSET}', 100, 7, 1700000000000)"
        ),
    ]
}

async fn is_as_it_was(store: &dyn Store, version: usize) {
    let asset = AssetId::try_from(ASSET.to_owned()).expect("an id");
    let row = store.asset(&asset).await.expect("is there");
    assert_eq!(row.uris, ["file:///photos/cat.jpg"], "from {version}");
    assert!(row.owners.is_empty());
    assert_eq!(row.accepted_tags, ["cat"]);
    let suggestion = store.suggestion(SUGGESTION).await.expect("is there");
    assert_eq!(suggestion.status, Status::Accepted);
    let log = store.reviews(&suggestion.id).await.expect("is there");
    assert_eq!(log.iter().map(|entry| entry.reviewer.as_str()).collect::<Vec<_>>(), ["Ada"]);
    // Texts that were there are found like those that come.
    let holding = async |word: &str| {
        let part = Part::words(&folded(word)).expect("is a word");
        let texts = store.holding(&[part], None).await.expect("searches").texts;
        texts.into_iter().map(|held| held.suggestion.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(holding("hotel").await, [TEXT], "from {version}");
    let rejected = AssetId::try_from(ASSET.to_owned()).expect("an id");
    let rejected = store.suggestion(rejected.as_str()).await.expect("is there").id;
    let by = Reviewer { name: "Ada".to_owned(), client: "test".to_owned() };
    store.decide(&rejected, Decision::Undo, &by).await.expect("undoes");
    assert_eq!(holding("nowhere").await, [ASSET], "from {version}");
}

#[tokio::test]
async fn older_files_keep_what_was_decided() {
    for version in 1..migrations("sqlite").len() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ledger.sqlite");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("opens");
        let scripts = tempfile::tempdir().expect("a temporary folder");
        older("sqlite", version, scripts.path()).await.run(&mut connection).await.expect("runs");
        for statement in rows() {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("is written");
        }
        connection.close().await.expect("closes");
        let store = SqliteStore::open(&path).await.expect("is brought up to date");
        is_as_it_was(&store, version).await;
        store.close().await;
    }
}

#[tokio::test]
async fn older_databases_keep_what_was_decided() {
    for version in 1..migrations("postgres").len() {
        let database = Database::new().await.expect("a database");
        let mut connection = PgConnection::connect(database.url()).await.expect("connects");
        let scripts = tempfile::tempdir().expect("a temporary folder");
        older("postgres", version, scripts.path()).await.run(&mut connection).await.expect("runs");
        for mut statement in rows() {
            // What later versions ask for beside it.
            if version > 1 && statement.contains("into asset_path") {
                statement = statement
                    .replace("seen_at)", "seen_at, asset_at)")
                    .replace("7, 1700000000000)", "7, 1700000000000, 1700000000000)");
            }
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("is written");
        }
        connection.close().await.expect("closes");
        let options = PostgresOptions { connections: 2 };
        let store = PostgresStore::connect(database.url(), options).await.expect("is brought up to date");
        is_as_it_was(&store, version).await;
        store.close().await;
    }
}
