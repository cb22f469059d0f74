//! What touches the whole archive can be interrupted at any moment, and leaves nothing behind that waits for ever.

use std::path::Path;
use std::time::{Duration, Instant};

use docent::store::{
    Catalog, LeaseRequest, Ledger, PostgresOptions, PostgresStore, Requeue, SqliteStore, StoreError, Wanted,
};
use docent_models::ModelRef;
use docent_pipelines::AnalyzerId;
use docent_tests::program::Docent;
use docent_tests::random::Random;
use docent_tests::servers::Database;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const OPTIONS: PostgresOptions = PostgresOptions { connections: 4 };
/// Change it to look at other moments.
const SEED: u64 = 20_261_130;

/// Assets that have pending work and are not told to have it.
const STRANDED: &str = "select count(*) from asset a where a.lease_until is null
    and exists (select 1 from work w where w.asset_id = a.id and w.state = 'pending')
    and (a.pending is null or (a.due is null and a.due_next is null))";

/// Assets by number, with a place each and work that is done.
fn filled(assets: u32, state: &str) -> [String; 3] {
    [
        format!(
            "insert into asset (id, content_hash, bytes, lane, created_at)
             select md5('asset ' || i), md5('asset ' || i) || md5('asset ' || i), 100, 1, 1700000000000 + i
             from generate_series(1, {assets}) i"
        ),
        "insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at, asset_at)
         select 'file:///archive/' || id || '.jpg', id, 100, 7, 0, created_at from asset"
            .to_owned(),
        format!(
            "insert into work (asset_id, analyzer, state, model, updated_at)
             select id, w, '{state}', 'older@1', 0 from asset, unnest(array ['decode', 'tags', 'faces']) w"
        ),
    ]
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.expect("is executed");
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.expect("is counted")
}

fn wanted() -> Wanted {
    [AnalyzerId::Decode, AnalyzerId::Tags, AnalyzerId::Faces]
        .map(|analyzer| (analyzer, ModelRef::new("newer", "2")))
        .into()
}

fn request(limit: u32) -> LeaseRequest {
    let duration = Duration::from_secs(3600);
    LeaseRequest { owner: "test".to_owned(), limit, duration, lane: None, wanted: wanted() }
}

/// The first migrations of a backend, as an older docent has them.
async fn older(backend: &str, count: usize, folder: &Path) -> Migrator {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/migrations").join(backend);
    let mut files: Vec<_> =
        std::fs::read_dir(from).expect("migrations").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for file in &files[..count] {
        std::fs::copy(file, folder.join(file.file_name().expect("a name"))).expect("is copied");
    }
    Migrator::new(folder).await.expect("are migrations")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_of_a_retry_leave_nothing_behind() {
    const ASSETS: u32 = 20_000;
    const KILLS: usize = 100;
    eprintln!("seed {SEED}");
    let database = Database::new().await.expect("a database");
    PostgresStore::connect(database.url(), OPTIONS).await.expect("connects").close().await;
    let mut ledger = PgConnection::connect(database.url()).await.expect("connects");
    for statement in filled(ASSETS, "done") {
        execute(&mut ledger, &statement).await;
    }
    execute(&mut ledger, "analyze").await;
    let docent = Docent::new(PROGRAM);
    let args = ["retry", "--all", "--queue-only", "--format=json", "--store", database.url()];
    tokio::task::block_in_place(|| docent.run(args).expect(0));
    let queued = "select count(*) from asset where due is not null and pending = due";
    assert_eq!(number(&mut ledger, queued).await, i64::from(ASSETS));

    let mut random = Random::new(SEED);
    let (mut usual, mut tries, mut met, mut amid) = (None, 0, 0, 0);
    while met < KILLS {
        tries += 1;
        assert!(tries < 4 * KILLS, "only {met} of {tries} kills met it alive");
        // A tenth of the archive, in pieces all over it, is done once more.
        let piece = tries % 10;
        execute(
            &mut ledger,
            &format!(
                "with piece as (select id from asset where ('x' || right(id, 4))::bit(16)::int % 10 = {piece}),
                      done as (update work set state = 'done' where asset_id in (select id from piece))
                 update asset set pending = null, due = null, due_next = null where id in (select id from piece)"
            ),
        )
        .await;
        let before = number(&mut ledger, queued).await;
        // The first is not disturbed.
        let Some(usual) = usual else {
            usual = Some(tokio::task::block_in_place(|| docent.run(args).expect(0)).elapsed);
            continue;
        };
        let moment = usual.mul_f64(random.share());
        let killed = tokio::task::block_in_place(|| {
            let mut run = docent.start(args);
            run.watch(moment, |_| false);
            run.kill()
        });
        if killed.code.is_some() {
            continue;
        }
        met += 1;
        // The server may still be at the statement of a client that is gone.
        let others = "select count(*) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()";
        while number(&mut ledger, others).await > 0 {
            tokio::task::yield_now().await;
        }
        let after = number(&mut ledger, queued).await;
        amid += usize::from(before < after && after < i64::from(ASSETS));
        assert_eq!(number(&mut ledger, STRANDED).await, 0, "try {tries}, killed after {moment:?}");
    }
    eprintln!("{met} of {tries} kills met it alive, {amid} amid its work; undisturbed it takes {usual:?}");
    assert!(amid >= 10, "only {amid} kills met it amid its work");
    tokio::task::block_in_place(|| docent.run(args));
    assert_eq!(number(&mut ledger, queued).await, i64::from(ASSETS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_amid_a_retry_leaves_nothing_behind() {
    const ASSETS: u32 = 10_000;
    let database = Database::new().await.expect("a database");
    let store = PostgresStore::connect(database.url(), OPTIONS).await.expect("connects");
    let mut ledger = PgConnection::connect(database.url()).await.expect("connects");
    for statement in filled(ASSETS, "done") {
        execute(&mut ledger, &statement).await;
    }
    let wanted = wanted();
    // Somebody else has the last asset: the retry has to wait amid its work.
    let mut other = PgConnection::connect(database.url()).await.expect("connects");
    execute(&mut other, "begin; select 1 from asset where id = (select max(id) from asset) for update").await;
    let retry = store.requeue(Requeue::All, &wanted, None);
    let cut = async {
        let waits = "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'";
        while number(&mut ledger, waits).await == 0 {
            tokio::task::yield_now().await;
        }
        let docent = "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and application_name = 'docent'";
        number(&mut ledger, docent).await;
        execute(&mut other, "rollback").await;
    };
    let (answer, ()) = tokio::join!(retry, cut);
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    assert_eq!(number(&mut ledger, STRANDED).await, 0);
    let due = number(&mut ledger, "select count(*) from asset where due is not null").await;
    assert!(0 < due && due < i64::from(ASSETS), "{due}");
    let rest = store.requeue(Requeue::All, &wanted, None).await.expect("goes on");
    assert_eq!(i64::try_from(rest).expect("few") + due, i64::from(ASSETS));
    assert_eq!(store.outstanding(&wanted).await.expect("counts"), u64::from(ASSETS));
    store.close().await;
}

/// What an interrupted retry of an older docent has left: pending work that no feeder finds.
#[tokio::test]
async fn upkeep_lets_run_what_was_stranded() {
    const STRAND: &str = "update work set state = 'pending'; update asset set pending = null, due = null";
    let database = Database::new().await.expect("a database");
    let shared = PostgresStore::connect(database.url(), OPTIONS).await.expect("connects");
    let mut ledger = PgConnection::connect(database.url()).await.expect("connects");
    for statement in filled(2500, "done") {
        execute(&mut ledger, &statement).await;
    }
    execute(&mut ledger, STRAND).await;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger.sqlite");
    let embedded = SqliteStore::open(&path).await.expect("opens");
    let options = SqliteConnectOptions::new().filename(&path);
    let mut file = SqliteConnection::connect_with(&options).await.expect("opens");
    for statement in in_sqlite(&filled(2500, "done")) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut file).await.expect("is executed");
    }
    sqlx::raw_sql(STRAND).execute(&mut file).await.expect("is executed");

    for ledger in [&shared as &dyn Ledger, &embedded] {
        assert_eq!(ledger.lease(&request(9999)).await.expect("leases").len(), 0);
        // Two portions, and the beginning of the next round.
        for _ in 0..3 {
            ledger.upkeep().await.expect("tidies");
        }
        assert_eq!(ledger.outstanding(&wanted()).await.expect("counts"), 2500);
        assert_eq!(ledger.lease(&request(9999)).await.expect("leases").len(), 2500);
        ledger.close().await;
    }
}

/// The statements of [`filled`] for SQLite, which has neither `md5` nor series.
fn in_sqlite(statements: &[String; 3]) -> [String; 3] {
    let [assets, places, work] = statements.clone();
    let count = assets.split("generate_series(1, ").nth(1).and_then(|rest| rest.split(')').next());
    let assets = format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < {})
         insert into asset (id, content_hash, bytes, lane, created_at)
         select printf('%032x', i), printf('%064x', i), 100, 1, 1700000000000 + i from n",
        count.expect("a number")
    );
    let places = places.replace(", asset_at)", ")").replace(", created_at from", " from");
    let work = work.replace("select id, w,", "select asset.id, w.value,").replace(
        "unnest(array ['decode', 'tags', 'faces']) w",
        "json_each('[\"decode\",\"tags\",\"faces\"]') w",
    );
    [assets, places, work]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_killed_goes_on_where_it_was() {
    const ASSETS: u32 = 30_000;
    let mut random = Random::new(SEED);
    let scripts = tempfile::tempdir().expect("a temporary folder");
    let docent = Docent::new(PROGRAM);

    let database = Database::new().await.expect("a database");
    let mut ledger = PgConnection::connect(database.url()).await.expect("connects");
    older("postgres", 3, scripts.path()).await.run(&mut ledger).await.expect("runs");
    for statement in filled(ASSETS, "pending") {
        execute(&mut ledger, &statement).await;
    }
    execute(&mut ledger, "update asset set ready_at = 0").await;
    let status = ["status", "--store", database.url()];
    let finished = "select count(*) from pg_class where relname = 'repair'";
    let (mut kills, mut amid) = (0, 0);
    loop {
        let moment = Duration::from_millis(150 + 50 * kills).mul_f64(0.5 + random.share());
        let ended = tokio::task::block_in_place(|| {
            let mut run = docent.start(status);
            run.watch(moment, |_| false);
            run.kill()
        });
        if ended.code == Some(0) {
            break;
        }
        kills += 1;
        assert!(kills < 200, "it never ends");
        if number(&mut ledger, finished).await == 1 {
            let due = number(&mut ledger, "select count(*) from asset where due is not null").await;
            amid += u32::from(0 < due && due < i64::from(ASSETS));
        }
    }
    eprintln!("{kills} kills, {amid} amid the portions");
    assert!(amid > 0, "no kill met it amid the portions");
    assert_eq!(number(&mut ledger, STRANDED).await, 0);
    let store = PostgresStore::connect(database.url(), OPTIONS).await.expect("connects");
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), u64::from(ASSETS));
    assert_eq!(store.lease(&request(100)).await.expect("leases").len(), 100);
    store.close().await;

    let path = docent.data().join("ledger.sqlite");
    std::fs::create_dir_all(docent.data()).expect("is made");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut file = SqliteConnection::connect_with(&options).await.expect("opens");
    let scripts = tempfile::tempdir().expect("a temporary folder");
    older("sqlite", 2, scripts.path()).await.run(&mut file).await.expect("runs");
    for statement in in_sqlite(&filled(ASSETS, "pending")) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut file).await.expect("is executed");
    }
    file.close().await.expect("closes");
    let mut kills = 0;
    loop {
        let moment = Duration::from_millis(100 + 50 * kills).mul_f64(0.5 + random.share());
        let ended = tokio::task::block_in_place(|| {
            let mut run = docent.start(["status"]);
            run.watch(moment, |_| false);
            run.kill()
        });
        if ended.code == Some(0) {
            break;
        }
        kills += 1;
        assert!(kills < 200, "it never ends");
    }
    assert!(kills > 0);
    let store = SqliteStore::open(&path).await.expect("opens");
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), u64::from(ASSETS));
    assert_eq!(store.counts(&wanted()).await.expect("counts").assets, u64::from(ASSETS));
    assert_eq!(store.lease(&request(100)).await.expect("leases").len(), 100);
    store.close().await;
}

/// A limit that an operator sets for all statements does not end a migration, which may take long.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_has_no_limit_and_statements_have_their_own() {
    let database = Database::new().await.expect("a database");
    let mut other = PgConnection::connect(database.url()).await.expect("connects");
    let scripts = tempfile::tempdir().expect("a temporary folder");
    older("postgres", 1, scripts.path()).await.run(&mut other).await.expect("runs");
    let name = database.url().rsplit('/').next().expect("a name").to_owned();
    execute(&mut other, &format!("alter database {name} set statement_timeout = '100ms'")).await;
    execute(&mut other, "begin; lock table asset_path in access exclusive mode").await;
    let start = Instant::now();
    let connecting = PostgresStore::connect(database.url(), OPTIONS);
    let holding = async {
        // Longer than the limit, from the moment at which the migration waits.
        let waiting = "select count(*) from pg_locks where not granted";
        let mut looking = PgConnection::connect(database.url()).await.expect("connects");
        while number(&mut looking, waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        execute(&mut other, "commit").await;
    };
    let (store, ()) = tokio::join!(connecting, holding);
    let store = store.expect("is brought up to date");
    assert!(start.elapsed() > Duration::from_millis(300));
    store.close().await;
}

/// What a server has read row by row of a table, since the last time.
async fn read_without_index(connection: &mut PgConnection) -> Vec<(String, i64)> {
    sqlx::query_as(
        "select relname::text, seq_tup_read from pg_stat_user_tables
         where relname in ('asset', 'work', 'asset_path') order by relname",
    )
    .fetch_all(connection)
    .await
    .expect("are counted")
}

/// Whatever a feeder asks is found by a seek: its cost does not depend on the size of the archive.
#[tokio::test(flavor = "multi_thread")]
async fn feeders_never_read_a_table_through() {
    let database = Database::new().await.expect("a database");
    let store = PostgresStore::connect(database.url(), OPTIONS).await.expect("connects");
    let mut ledger = PgConnection::connect(database.url()).await.expect("connects");
    for statement in filled(30_000, "pending") {
        execute(&mut ledger, &statement).await;
    }
    // Most of it is due for analyzers that nobody wants, a part waits for a retry, a part is done.
    execute(
        &mut ledger,
        "update work set not_before = 9000000000000 where right(asset_id, 1) = '1';
         update work set state = 'done' where right(asset_id, 1) = '2' or analyzer = 'decode';
         update asset a set
             pending = (select string_agg(analyzer, ',' order by analyzer) from work where asset_id = a.id and state = 'pending'),
             due = (select string_agg(analyzer, ',' order by analyzer) from work where asset_id = a.id
                    and state = 'pending' and not_before = 0),
             due_next = (select min(not_before) from work where asset_id = a.id and state = 'pending' and not_before > 0)",
    )
    .await;
    execute(&mut ledger, "vacuum analyze").await;
    let unwanted: Wanted = [(AnalyzerId::Text, ModelRef::new("reader", "1"))].into();
    // The server notes what a connection has read when the connection ends.
    store.close().await;
    let flushed = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    while number(&mut ledger, flushed).await > 0 {
        tokio::task::yield_now().await;
    }
    let store = PostgresStore::connect(database.url(), OPTIONS).await.expect("connects");
    let before = read_without_index(&mut ledger).await;
    for _ in 0..10 {
        for wanted in [&wanted(), &unwanted] {
            store.waiting(wanted).await.expect("looks");
            store.outstanding(wanted).await.expect("counts");
            let request = LeaseRequest { wanted: wanted.clone(), ..request(10) };
            let jobs = store.lease(&request).await.expect("leases");
            assert_eq!(jobs.is_empty(), wanted.len() == 1);
            for job in &jobs {
                store.begin_run(job, "test").await.expect("begins");
            }
            let assets: Vec<_> = jobs.iter().map(|job| job.asset.clone()).collect();
            store.prolong(&assets, "test", Duration::from_secs(9)).await.expect("prolongs");
            store.hand_back_all("test").await.expect("hands back");
        }
    }
    store.close().await;
    while number(&mut ledger, flushed).await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(before, read_without_index(&mut ledger).await);
}

/// An idle worker leaves the shared server to others: its feeder asks once a second, and all the rest together little more.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_work_sends_few_statements() {
    const SECONDS: usize = 6;
    const LOOK: &str = "with recursive due";
    let database = Database::new().await.expect("a database");
    let docent = Docent::new(PROGRAM);
    docent.configure(&format!(
        "[backends]\nstore = '{}'\n[worker]\nlisten = '127.0.0.1:0'\n[analyzers]\nenabled = ['tags']\n\
         [log]\nlevel = 'info,sqlx::query=debug'\n",
        database.url()
    ));
    let said = tokio::task::block_in_place(|| {
        let mut worker = docent.start(["worker"]);
        let count = |said: &str, what: &str| said.lines().filter(|line| line.contains(what)).count();
        // The first looks lease, and the pause grows.
        assert!(worker.watch(Duration::from_secs(120), |worker| count(worker.stderr(), LOOK) >= 7));
        let begun = worker.stderr().len();
        worker.watch(Duration::from_secs(SECONDS as u64), |_| false);
        let said = worker.stderr()[begun..].to_owned();
        worker.signal("TERM");
        worker.wait().expect(0);
        said
    });
    let statements: Vec<&str> = said.lines().filter(|line| line.contains("sqlx::query")).collect();
    let looks = statements.iter().filter(|line| line.contains(LOOK)).count();
    assert!((1..=SECONDS + 1).contains(&looks), "{looks}: {said}");
    assert!(statements.len() <= 5 * SECONDS, "{} in {SECONDS} s: {said}", statements.len());
}
