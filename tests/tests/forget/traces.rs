//! Looks for traces of what was forgotten, byte by byte.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use docent::consumer::{BatchLimits, BatchWriter, WriterOptions};
use docent::disposition::{RetryPolicy, WalkError};
use docent::forget::Forgetter;
use docent::store::{
    Begun, Decision, Forget, LeaseRequest, NewJob, Page, PostgresOptions, PostgresStore, SqliteStore, Store,
    StoreError, SuggestionFilter,
};
use docent::vectors::{QdrantIndex, QdrantOptions, VectorIndex};
use docent_pipelines::Kind;
use docent_pipelines::asset::ContentHash;
use docent_tests::qdrant::QdrantServer;
use docent_tests::random::Random;
use docent_tests::servers::Database;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tokio_util::sync::CancellationToken;

use super::{Known, embedded, fill, finished, forget, owner, somebody, space, wanted};

const SEED: u64 = 2024;
const PRIVATE: usize = 150;
const PUBLIC: usize = 250;
/// Greek, which nothing else is written in: an index of words holds parts of it.
const GREEK: &str = "ψωξ ζθφχ";

fn pictures() -> Vec<Known> {
    let mut random = Random::new(SEED);
    let mut picture = |number: usize, private: bool| {
        let (folder, word) = if private { ("private", "verysecret") } else { ("public", "everybody") };
        let text = if private { format!("{GREEK} {number}") } else { format!("grand hotel {number}") };
        Known {
            uri: format!("file:///{folder}/{word}{number:04}.jpg"),
            hash: ContentHash::of(format!("{folder} {number}").as_bytes()),
            owner: Some(owner(if private { "Zoe Quux" } else { "press" })),
            said: vec![
                (Kind::Tag, "cat".to_owned()),
                (Kind::Caption, format!("a {word} of somebody {number:04}")),
                (Kind::Text, text),
            ],
            vector: (0..64).map(|_| random.share() as f32 - 0.5).collect(),
        }
    };
    // Side by side in every table.
    let mut pictures: Vec<Known> =
        (0..PRIVATE.min(PUBLIC)).flat_map(|n| [picture(n, true), picture(n, false)]).collect();
    pictures.extend((PRIVATE.min(PUBLIC)..PUBLIC).map(|n| picture(n, false)));
    pictures
}

/// Fills a ledger, looks at some of it twice, and decides.
async fn live(store: &dyn Store, pictures: &[Known]) {
    fill(store, pictures).await;
    let again: Vec<_> = pictures.iter().step_by(3).map(finished).collect();
    store.record(&again).await.expect("records");
    let tags = SuggestionFilter { kind: Some(Kind::Tag), ..SuggestionFilter::default() };
    let rows = store.suggestions(&tags, &Page { limit: 1000, after: None }).await.expect("lists").rows;
    for row in rows.iter().step_by(5) {
        store.decide(&row.id, Decision::Reject, &somebody()).await.expect("decides");
    }
    // Texts of which some are in the index of words no longer, and a job about private pictures.
    for (kind, reject, asset) in [(Kind::Text, true, None), (Kind::Caption, false, Some(pictures[0].asset()))]
    {
        let filter = SuggestionFilter {
            kind: Some(kind),
            min_confidence: Some(0.5),
            asset,
            value: reject.then(|| format!("{GREEK} 7")),
            ..SuggestionFilter::default()
        };
        let mut job = store
            .start_job(&NewJob { reject, filter, newest_run: None, by: somebody() })
            .await
            .expect("begins");
        while job.state.is_open() {
            job = store.advance_job(Some(job.id)).await.expect("goes on").expect("is open");
        }
        assert_eq!(job.done, 1);
    }
}

/// What must not be found any more: names, words, ids, and the beginnings of vectors.
fn secrets(private: &[&Known]) -> Vec<(String, Vec<u8>)> {
    let mut secrets: Vec<(String, Vec<u8>)> =
        ["verysecret", "Zoe Quux", "ψω", "ζθ"].map(|word| (word.to_owned(), word.as_bytes().to_vec())).into();
    for known in private {
        let asset = known.asset();
        secrets.push((format!("id of {}", known.uri), asset.as_str().as_bytes().to_vec()));
        secrets.push((format!("vector of {}", known.uri), first_bytes(known)));
        for suggestion in finished(known).analysis.suggestions {
            let name = format!("id of {} in {}", suggestion.value, known.uri);
            secrets.push((name, suggestion.id.as_str().as_bytes().to_vec()));
        }
    }
    secrets
}

fn first_bytes(known: &Known) -> Vec<u8> {
    known.vector.iter().take(4).flat_map(|value| value.to_le_bytes()).collect()
}

/// Those of `secrets` that lie somewhere in `bytes`.
fn found<'s>(bytes: &[u8], secrets: &'s [(String, Vec<u8>)]) -> HashSet<&'s str> {
    // By their first four bytes, and then in full.
    let mut starts: std::collections::HashMap<[u8; 4], Vec<&(String, Vec<u8>)>> = Default::default();
    for secret in secrets {
        starts.entry(*secret.1.first_chunk().expect("is that long")).or_default().push(secret);
    }
    let mut found = HashSet::new();
    for (at, window) in bytes.windows(4).enumerate() {
        let Some(candidates) = window.first_chunk().and_then(|start| starts.get(start)) else { continue };
        found.extend(candidates.iter().filter(|c| bytes[at..].starts_with(&c.1)).map(|c| c.0.as_str()));
    }
    found
}

fn files(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).expect("is read")).collect()
}

/// Of a ledger in a file nothing is left: not in its pages, its log, its index of words, or memory.
#[tokio::test(flavor = "multi_thread")]
async fn no_byte_is_left_in_the_ledger_s_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger.sqlite");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).await.expect("opens"));
    let pictures = pictures();
    live(&*store, &pictures).await;
    let is_private = |known: &&Known| known.uri.starts_with("file:///private/");
    let private: Vec<&Known> = pictures.iter().filter(is_private).collect();
    let secrets = secrets(&private);
    assert_eq!(found(&files(folder.path()), &secrets).len(), secrets.len(), "they can be found");
    let index = embedded(&store);
    let near = index.search(&space(), &private[0].vector, 1, None).await.expect("searches");
    assert_eq!(near[0].asset, private[0].asset());

    let mut file =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.expect("opens");
    // Statistics hold samples.
    sqlx::raw_sql("analyze").execute(&mut file).await.expect("analyzes");
    let removed = sqlx::raw_sql("delete from review").execute(&mut file).await;
    assert!(removed.is_err_and(|error| error.to_string().contains("only grows")));
    let forgetter = Forgetter::new(Arc::clone(&store), Arc::clone(&index), None);
    let by_place = Forget { places: vec!["file:///private".to_owned()], ..Forget::default() };
    let row = forget(&forgetter, by_place).await;
    assert_eq!((row.toll.assets, row.toll.decisions > 10), (PRIVATE as u64, true));
    let held: HashSet<_> = index.held().await.into_iter().collect();
    assert!(held.len() == PUBLIC && private.iter().all(|known| !held.contains(&known.asset())));

    for change in ["delete from forgetting", "update forgetting set assets = 0", "delete from review"] {
        let changed = sqlx::raw_sql(change).execute(&mut file).await;
        assert!(changed.is_err_and(|error| error.to_string().contains("only grows")), "{change}");
    }
    file.close().await.expect("closes");
    let left = found(&files(folder.path()), &secrets);
    assert!(left.is_empty(), "seed {SEED}, while it is open: {left:?}");
    store.close().await;
    let left = found(&files(folder.path()), &secrets);
    assert!(left.is_empty(), "seed {SEED}, closed: {left:?}");
    let store = SqliteStore::open(&path).await.expect("opens");
    store.check().await.expect("is whole");
    assert_eq!(
        docent::store::Catalog::counts(&store, &wanted()).await.expect("counts").assets,
        PUBLIC as u64
    );
    docent::store::Ledger::close(&store).await;
}

/// Every row of every table of a database, as text.
async fn rows(ledger: &mut PgConnection) -> String {
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
            .fetch_all(&mut *ledger)
            .await
            .expect("are listed");
    assert!(tables.len() > 15, "{tables:?}");
    let mut all = String::new();
    // Statistics hold samples.
    for table in tables.into_iter().chain(["pg_stats".to_owned()]) {
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("select t::text from \"{table}\" t")))
                .fetch_all(&mut *ledger)
                .await
                .expect("are read");
        all.extend(rows.into_iter().map(|row| row + "\n"));
    }
    all
}

/// Of a ledger on a server no row is left that says anything.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_left_in_any_table_of_a_server() {
    let database = Database::new().await.expect("a database");
    let options = PostgresOptions { connections: 4 };
    let store: Arc<dyn Store> =
        Arc::new(PostgresStore::connect(database.url(), options).await.expect("connects"));
    store.keep_sinks(&["somebody".to_owned()]).await.expect("is told");
    let pictures = pictures();
    live(&*store, &pictures).await;
    let private: Vec<&Known> =
        pictures.iter().filter(|known| known.uri.starts_with("file:///private/")).collect();
    let mut secrets = secrets(&private);
    // Bytes are written as digits.
    for (secret, known) in secrets.iter_mut().filter(|s| s.0.starts_with("vector of")).zip(&private) {
        secret.1 = first_bytes(known).iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
        secret.0 = format!("vector of {}", known.uri);
    }
    let mut ledger = PgConnection::connect(database.url()).await.expect("connects");
    sqlx::raw_sql("analyze").execute(&mut ledger).await.expect("analyzes");
    let before = rows(&mut ledger).await;
    assert_eq!(found(before.as_bytes(), &secrets).len(), secrets.len(), "they can be found");
    let forgetter = Forgetter::new(Arc::clone(&store), embedded(&store), None);
    let row = forget(&forgetter, Forget { owner: Some(owner("Zoe Quux")), ..Forget::default() }).await;
    assert_eq!(row.toll.assets, PRIVATE as u64);
    sqlx::raw_sql("vacuum").execute(&mut ledger).await.expect("vacuums");
    let after = rows(&mut ledger).await;
    let left = found(after.as_bytes(), &secrets);
    assert!(left.is_empty(), "seed {SEED}: {left:?}");
    assert_eq!(store.counts(&wanted()).await.expect("counts").assets, PUBLIC as u64);
    store.close().await;
}

/// Vectors come to the index before their rows come to the ledger. Where the asset is forgotten in between, they leave it again.
#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_a_run_in_work_leave_the_index_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&folder.path().join("ledger.sqlite")).await.expect("opens"));
    let server = QdrantServer::start();
    let index: Arc<dyn VectorIndex> =
        Arc::new(QdrantIndex::connect(QdrantOptions::new(server.url())).expect("the options are right"));
    let known = pictures();
    let (gone, kept) = (&known[0], &known[1]);
    fill(&*store, &known[1..2]).await;
    index.upsert(&finished(kept).analysis.vectors).await.expect("writes");
    let file = docent::store::FoundFile {
        uri: gone.uri.clone(),
        stamp: docent::store::FileStamp { bytes: 1, modified_ns: 1 },
        hash: gone.hash.into(),
        lane: docent::queue::Lane::Backfill,
        owner: None,
    };
    store.register(&[file], &wanted()).await.expect("registers");
    let request = LeaseRequest {
        owner: "test".to_owned(),
        limit: 9,
        duration: Duration::from_secs(60),
        lane: None,
        wanted: wanted(),
    };
    let job = store.lease(&request).await.expect("leases").remove(0);
    assert!(matches!(store.begin_run(&job, "test").await, Ok(Begun::Run(_))));
    let forgetter = Forgetter::new(Arc::clone(&store), Arc::clone(&index), None);
    forget(&forgetter, Forget { assets: vec![gone.asset()], ..Forget::default() }).await;

    let retry = RetryPolicy { max_attempts: 1, base_delay: Duration::ZERO, max_delay: Duration::ZERO };
    let stop = CancellationToken::new();
    let limits = BatchLimits { runs: 2, vectors: 99, delay: Duration::from_secs(3600) };
    let options = WriterOptions { limits, retry, patience: Duration::ZERO, stop: stop.clone() };
    let (writer, task) = BatchWriter::new(Arc::clone(&store) as _, Arc::clone(&index), options);
    tokio::spawn(task.write());
    let answers = [writer.take(finished(gone), false).await, writer.take(finished(kept), false).await];
    let [lost, recorded] = answers.map(|answer| async move { answer.await.expect("answers") });
    let (lost, recorded) = tokio::join!(lost, recorded);
    assert!(matches!(lost, Err(WalkError::Store(StoreError::Forgotten { .. }))), "{lost:?}");
    recorded.expect("another picture of the same write is recorded");
    let written = server.journal().len();
    assert!(written > 0 && index.count(&space()).await.expect("counts") == 1);
    let near = index.search(&space(), &gone.vector, 9, None).await.expect("searches");
    assert!(near.iter().all(|near| near.asset == kept.asset()));
    stop.cancel();
    store.close().await;
}

/// What has been read row by row of the tables of an asset, since the last time.
async fn read_without_index(connection: &mut PgConnection) -> Vec<(String, i64)> {
    sqlx::query_as(
        "select relname::text, seq_tup_read from pg_stat_user_tables
         where relname in ('asset', 'work', 'asset_path', 'suggestion', 'reading', 'vector', 'run', 'review', 'outbox')
         order by relname",
    )
    .fetch_all(connection)
    .await
    .expect("are counted")
}

/// Whatever is forgotten is found by a seek: the cost of a portion does not depend on the size of the archive.
#[tokio::test(flavor = "multi_thread")]
async fn forgetting_never_reads_a_table_through() {
    let database = Database::new().await.expect("a database");
    let options = PostgresOptions { connections: 4 };
    let connect = async || {
        let store = PostgresStore::connect(database.url(), options).await.expect("connects");
        Arc::new(store) as Arc<dyn Store>
    };
    let store = connect().await;
    store.keep_sinks(&["somebody".to_owned()]).await.expect("is told");
    live(&*store, &pictures()).await;
    // Many more.
    let mut ledger = PgConnection::connect(database.url()).await.expect("connects");
    for fill in [
        "insert into asset (id, content_hash, bytes, lane, created_at)
         select md5(i::text), md5(i::text) || md5(i::text), 100, 1, i from generate_series(1, 20000) i",
        "insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at, asset_at, owner)
         select 'file:///much/' || i || '.jpg', md5(i::text), 100, 7, 1, i, 'press' from generate_series(1, 20000) i",
        "insert into work (asset_id, analyzer, state, model, updated_at)
         select md5(i::text), 'tags', 'done', 'tagger@1', 1 from generate_series(1, 20000) i",
        "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id, created_at, asset_at,
             kind_order)
         select md5('s' || i), md5(i::text), 'text', 'text', 'a harbor', 0.9, 'rejected', 'reader@1', 1, 1, i, 5
         from generate_series(1, 20000) i",
        "insert into reading (suggestion_id, asset_id, living, folded)
         select md5('s' || i), md5(i::text), false, '_a_harbor_' from generate_series(1, 20000) i",
        "insert into review (suggestion_id, at, reviewer, client, action, before, after)
         select md5('s' || i), 1, 'Ada', 'web', 'reject', 'pending', 'rejected' from generate_series(1, 20000) i",
        "insert into run (asset_id, owner, finished_at, models) select md5(i::text), 'test', 1, '{}' from generate_series(1, 20000) i",
        "insert into outbox (event, body, created_at)
         select 'suggestions.created', jsonb_build_object('asset_id', md5(i::text)), 1 from generate_series(1, 20000) i",
        "vacuum analyze",
    ] {
        sqlx::raw_sql(AssertSqlSafe(fill.to_owned())).execute(&mut ledger).await.expect("is executed");
    }
    // The server notes what a connection has read when the connection ends.
    let flushed = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let flush = async |ledger: &mut PgConnection| {
        while sqlx::query_scalar::<_, i64>(flushed).fetch_one(&mut *ledger).await.expect("is counted") > 0 {
            tokio::task::yield_now().await;
        }
    };
    store.close().await;
    flush(&mut ledger).await;
    let store = connect().await;
    let before = read_without_index(&mut ledger).await;
    let forgetter = Forgetter::new(Arc::clone(&store), embedded(&store), None);
    let all = pictures();
    let by_id = Forget { assets: all[..20].iter().map(Known::asset).collect(), ..Forget::default() };
    for (what, at_least) in [
        (by_id, 20),
        (
            Forget {
                places: vec!["file:///much/1.jpg".to_owned(), "file:///private".to_owned()],
                ..Forget::default()
            },
            141,
        ),
        (Forget { owner: Some(owner("Zoe Quux")), ..Forget::default() }, 0),
    ] {
        forgetter.preview(&what).await.expect("looks");
        assert_eq!(forget(&forgetter, what).await.toll.assets, at_least);
    }
    store.close().await;
    flush(&mut ledger).await;
    assert_eq!(before, read_without_index(&mut ledger).await);
}
