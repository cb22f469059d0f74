//! What only a shared ledger can get wrong: many processes at once, and servers that come and go.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use docent::queue::Lane;
use docent::store::{
    Begun, Catalog, Counts, FileStamp, Finished, FoundFile, Jobs, LeaseRequest, Ledger, NewJob, Outbox,
    Outcome, OutcomeState, Page, PictureFacts, PostgresOptions, PostgresStore, Requeue, Reviewer, Reviews,
    Run, StoreError, SuggestionFilter, Wanted,
};
use docent_models::ModelRef;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{
    Analysis, AnalyzerId, AssetId, Confidence, Kind, Status, Suggestion, VectorRecord, VectorSpace,
};
use docent_tests::corpus;
use docent_tests::program::Docent;
use docent_tests::servers::{Database, PostgresServer};
use sqlx::{Connection, PgConnection};

const OPTIONS: PostgresOptions = PostgresOptions { connections: 4 };
const LONG: Duration = Duration::from_secs(3600);

async fn connect(url: &str) -> PostgresStore {
    PostgresStore::connect(url, OPTIONS).await.expect("connects")
}

fn wanted() -> Wanted {
    [(AnalyzerId::Decode, "decoder"), (AnalyzerId::Tags, "tagger")]
        .map(|(analyzer, id)| (analyzer, ModelRef::new(id, "1")))
        .into()
}

fn file(number: u32) -> FoundFile {
    FoundFile {
        uri: format!("file:///photos/{number:06}.jpg"),
        stamp: FileStamp { bytes: 100, modified_ns: 7 },
        hash: ContentHash::of(&number.to_le_bytes()).into(),
        lane: Lane::Backfill,
        owner: None,
    }
}

fn request(owner: &str, limit: u32) -> LeaseRequest {
    LeaseRequest { owner: owner.to_owned(), limit, duration: LONG, lane: None, wanted: wanted() }
}

/// Two tags and a vector for an asset.
fn analysis(asset: &AssetId) -> (Analysis, Vec<Outcome>) {
    let suggestion = |value: &str| {
        let claim = Claim {
            kind: Kind::Tag,
            value: value.to_owned(),
            confidence: Confidence::new(0.9),
            region: None,
            implies: Vec::new(),
        };
        Suggestion::new(asset.clone(), AnalyzerId::Tags, claim, ModelRef::new("tagger", "1"))
    };
    let vector =
        VectorRecord::new(asset.clone(), VectorSpace::from_name("picture/p@1"), None, vec![1.0, 0.0]);
    let analysis = Analysis {
        suggestions: vec![suggestion("cat"), suggestion("on a\0 mat")],
        vectors: vec![vector],
        completed: wanted(),
        ..Analysis::default()
    };
    let done = |(analyzer, model)| Outcome { analyzer, model, state: OutcomeState::Done };
    (analysis, wanted().into_iter().map(done).collect())
}

async fn work(store: &PostgresStore, owner: &str) -> Vec<AssetId> {
    let mut worked = Vec::new();
    loop {
        let jobs = store.lease(&request(owner, 7)).await.expect("leases");
        if jobs.is_empty() {
            return worked;
        }
        for job in jobs {
            assert!(matches!(store.begin_run(&job, owner).await.expect("begins"), Begun::Run(_)));
            let (analysis, outcomes) = analysis(&job.asset);
            let run = Run {
                asset: job.asset.clone(),
                owner: owner.to_owned(),
                picture: Some(PictureFacts::new(3, 2, "jpeg")),
            };
            store
                .record(&[Finished {
                    run: run.clone(),
                    analysis: analysis.clone(),
                    outcomes: outcomes.clone(),
                }])
                .await
                .expect("records");
            worked.push(job.asset);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_feeders_share_the_work_and_the_counts_are_right() {
    const ASSETS: u32 = 400;
    let database = Database::new().await.expect("a database");
    let store = connect(database.url()).await;
    // Registered by several at once, in overlapping portions, in different orders.
    let mut registering = tokio::task::JoinSet::new();
    for turn in 0..4 {
        let url = database.url().to_owned();
        registering.spawn(async move {
            let store = connect(&url).await;
            let mut numbers: Vec<u32> = (0..ASSETS).collect();
            if turn % 2 == 1 {
                numbers.reverse();
            }
            let mut new = 0;
            for portion in numbers.chunks(64) {
                let files: Vec<FoundFile> = portion.iter().map(|&number| file(number)).collect();
                new += store.register(&files, &wanted()).await.expect("registers").new_assets;
            }
            new
        });
    }
    assert_eq!(registering.join_all().await.into_iter().sum::<u64>(), u64::from(ASSETS));

    let mut working = tokio::task::JoinSet::new();
    for number in 0..6 {
        let url = database.url().to_owned();
        working.spawn(async move { work(&connect(&url).await, &format!("worker {number}")).await });
    }
    let worked: Vec<AssetId> = working.join_all().await.into_iter().flatten().collect();
    assert_eq!(worked.len(), ASSETS as usize, "nothing was done twice");
    assert_eq!(worked.into_iter().collect::<HashSet<_>>().len(), ASSETS as usize);

    let sure =
        SuggestionFilter { min_confidence: Some(0.5), value: Some("cat".to_owned()), ..Default::default() };
    let by = Reviewer { name: "Ada".to_owned(), client: "test".to_owned() };
    let mut job =
        store.start_job(&NewJob { reject: false, filter: sure, newest_run: None, by }).await.expect("begins");
    while let Some(further) = store.advance_job(Some(job.id)).await.expect("goes on") {
        job = further;
    }
    assert_eq!((job.done, job.skipped), (u64::from(ASSETS), 0));
    store.requeue(Requeue::All, &wanted(), None).await.expect("requeues");
    let kept = store.counts(&wanted()).await.expect("counts");
    assert_eq!(kept, counted(database.url()).await, "what is kept is what is there");
    assert_eq!(kept.suggestions["accepted"], u64::from(ASSETS));
    assert_eq!(kept.analyzers[&AnalyzerId::Tags].pending, u64::from(ASSETS));
    let mut connection = PgConnection::connect(database.url()).await.expect("connects");
    sqlx::query("select docent_sum_up()").execute(&mut connection).await.expect("sums up");
    assert_eq!(store.counts(&wanted()).await.expect("counts"), kept);
    let rows: i64 =
        sqlx::query_scalar("select count(*) from tally").fetch_one(&mut connection).await.expect("counts");
    assert!(rows < 20, "{rows} differences are left");
    let pending = SuggestionFilter { status: Some(Status::Pending), ..Default::default() };
    assert_eq!(store.count_suggestions(&pending).await.expect("counts").count, u64::from(ASSETS));
    store.close().await;
}

/// The counts, by counting.
async fn counted(url: &str) -> Counts {
    let mut connection = PgConnection::connect(url).await.expect("connects");
    let mut counts = Counts::default();
    let mut number = async |sql: &'static str| -> u64 {
        let n: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("counts");
        n.unsigned_abs()
    };
    counts.assets = number("select count(*) from asset").await;
    counts.paths = number("select count(*) from asset_path").await;
    let vectors = number("select count(*) from vector where space = 'picture/p@1'").await;
    counts.vectors.insert("picture/p@1".to_owned(), vectors);
    for (status, sql) in [
        ("accepted", "select count(*) from suggestion where status = 'accepted'"),
        ("pending", "select count(*) from suggestion where status = 'pending'"),
    ] {
        counts.suggestions.insert(status.to_owned(), number(sql).await);
    }
    for analyzer in [AnalyzerId::Decode, AnalyzerId::Tags] {
        let mut work = docent::store::WorkCounts::default();
        let sql = match analyzer {
            AnalyzerId::Decode => "select count(*) from work where analyzer = 'decode' and state = 'pending'",
            _ => "select count(*) from work where analyzer = 'tags' and state = 'pending'",
        };
        work.pending = number(sql).await;
        counts.analyzers.insert(analyzer, work);
    }
    counts
}

/// Ids are given out before transactions end. A reader that goes by places misses nothing and sees events of one transaction after the
/// other in the same order as everybody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_that_become_visible_late_are_read() {
    let database = Database::new().await.expect("a database");
    let store = Arc::new(connect(database.url()).await);
    let insert =
        |id: &str| format!("insert into outbox (event, body, created_at) values ('{id}', '{{}}', 0)");
    let run = async |connection: &mut PgConnection, statement: &str| {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(connection).await.expect("is done");
    };
    let mut early = PgConnection::connect(database.url()).await.expect("connects");
    run(&mut early, "begin").await;
    run(&mut early, &insert("early")).await;
    let mut late = PgConnection::connect(database.url()).await.expect("connects");
    run(&mut late, &insert("late")).await;
    let first = store.events_after(0, 9).await.expect("reads");
    assert_eq!(first.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(), ["late"]);
    run(&mut early, "commit").await;
    let second = store.events_after(first[0].place, 9).await.expect("reads");
    assert_eq!(second.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(), ["early"]);
    assert!(second[0].id < first[0].id && second[0].place > first[0].place);

    // Many at once, with several readers.
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let from = second[0].place;
    let writers = (0..WRITERS).map(|writer| {
        let url = database.url().to_owned();
        tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.expect("connects");
            for number in 0..EACH {
                let pause = f64::from(fastrand::u32(0..6)) / 1000.0;
                let statements = format!(
                    "begin; insert into outbox (event, body, created_at) values ('{writer} {number}', '{{}}', 0); \
                     select pg_sleep({pause}); commit"
                );
                let statements = sqlx::AssertSqlSafe(statements);
                sqlx::raw_sql(statements).execute(&mut connection).await.expect("is written");
            }
        })
    });
    let readers = (0..3).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (mut read, mut place) = (Vec::new(), from);
            while read.len() < WRITERS * EACH {
                let events = store.events_after(place, 7).await.expect("reads");
                place = events.last().map_or(place, |event| event.place);
                read.extend(events.into_iter().map(|event| (event.place, event.event)));
                tokio::task::yield_now().await;
            }
            read
        })
    });
    let (writers, readers): (Vec<_>, Vec<_>) = (writers.collect(), readers.collect());
    for writer in writers {
        writer.await.expect("writes");
    }
    let mut all = Vec::new();
    for reader in readers {
        let read =
            tokio::time::timeout(LONG / 60, reader).await.expect("an event is missing").expect("reads");
        assert_eq!(read.iter().map(|(_, event)| event).collect::<HashSet<_>>().len(), WRITERS * EACH);
        all.push(read);
    }
    assert!(all.iter().all(|read| *read == all[0]), "readers differ");
    store.close().await;
}

/// Events that all have passed go once they are old or too many; those that somebody waits for stay.
#[tokio::test]
async fn events_are_forgotten_once_nobody_waits_for_them() {
    let database = Database::new().await.expect("a database");
    let store = connect(database.url()).await;
    let mut connection = PgConnection::connect(database.url()).await.expect("connects");
    let names = ["quick", "slow"].map(str::to_owned);
    store.keep_sinks(&names).await.expect("are kept");
    let old = "insert into outbox (event, body, created_at)
               select 'old', '{}', docent_now() - 90000000 from generate_series(1, 2500)";
    let new = "insert into outbox (event, body, created_at)
               select 'new', '{}', docent_now() from generate_series(1, 100)";
    for statement in [old, new] {
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("is written");
    }
    let left = async || store.events_after(0, 10_000).await.expect("reads").len();
    let took = async |name: &str, place: i64| {
        store.take_sink(name, "me", LONG).await.expect("is asked").expect("has something to hear");
        assert!(store.sink_took(name, "me", place, Duration::ZERO).await.expect("is noted"));
    };
    assert_eq!(left().await, 2600);
    took("quick", 2600).await;
    store.upkeep().await.expect("tidies");
    assert_eq!(left().await, 2600, "the other waits for them");
    took("slow", 1200).await;
    store.upkeep().await.expect("tidies");
    assert_eq!(left().await, 1400);
    took("slow", 2600).await;
    store.upkeep().await.expect("tidies");
    assert_eq!(left().await, 100, "those of today stay");
    // Nobody has it in its configuration any more.
    let gone = "update sink set seen_at = docent_now() - 8 * 86400000::bigint where name = 'slow'";
    sqlx::raw_sql(gone).execute(&mut connection).await.expect("is written");
    store.upkeep().await.expect("tidies");
    let sinks = store.sinks().await.expect("reads");
    assert_eq!(sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(), ["quick"]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_once_however_many_start() {
    let database = Database::new().await.expect("a database");
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let url = database.url().to_owned();
        starting.spawn(async move { connect(&url).await.ping().await.expect("answers") });
    }
    starting.join_all().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let database = Database::new().await.expect("a database");
    connect(database.url()).await.close().await;
    let mut connection = PgConnection::connect(database.url()).await.expect("connects");
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of a later docent', true, '', 0)",
    )
    .execute(&mut connection)
    .await
    .expect("is written");
    let Err(refused) = PostgresStore::connect(database.url(), OPTIONS).await else {
        panic!("a newer schema was opened");
    };
    assert!(matches!(refused, StoreError::NewerSchema { found: 9999, .. }), "{refused}");
}

#[tokio::test]
async fn errors_do_not_tell_credentials() {
    // Nothing listens on port 1.
    for url in ["postgres://ada:hunter2@127.0.0.1:1/docent", "postgres://ada:hunter2@nowhere.invalid/docent"]
    {
        let Err(error) = PostgresStore::connect(url, OPTIONS).await else { panic!("something listens") };
        let debug = format!("{error:?}");
        let text = format!("{debug} {:#}", anyhow::Error::new(error));
        assert!(!text.contains("hunter2") && !text.contains("ada"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_is_found_again() {
    if std::env::var_os("DOCENT_TEST_POSTGRES_URL").is_some() {
        eprintln!("skipped: the server that DOCENT_TEST_POSTGRES_URL names is not ours to stop");
        return;
    }
    let server = Arc::new(PostgresServer::start().expect("starts"));
    let store = connect(&server.url("postgres")).await;
    store.register(&[file(1)], &wanted()).await.expect("registers");
    server.kill();
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable { .. })));
    server.resume().expect("starts again");
    let back = async {
        while store.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.expect("comes back");
    // What was committed is there.
    assert_eq!(work(&store, "later").await.len(), 1);
    store.close().await;
}

/// A second removal of a space, as after one whose process was killed while the server was at work on it, goes on behind the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_space_is_gone_although_another_removal_had_its_first_vectors_in_hand() {
    const VECTORS: i64 = 5500;
    let database = Database::new().await.expect("a database");
    let store = connect(database.url()).await;
    store.register(&[file(1)], &wanted()).await.expect("registers");
    let space = VectorSpace::from_name("picture/old@1");
    let mut other = PgConnection::connect(database.url()).await.expect("connects");
    sqlx::query(
        "insert into vector (id, asset_id, space, data)
         select lpad(i::text, 32, '0'), asset.id, $1, '' from generate_series(1, $2) i, asset",
    )
    .bind(space.as_str())
    .bind(VECTORS)
    .execute(&mut other)
    .await
    .expect("fills");
    let mut first = other.begin().await.expect("begins");
    // More than a portion, and not all.
    let portion = "delete from vector where id in (select id from vector order by id limit 5200)";
    let in_hand = sqlx::query(portion).execute(&mut *first).await.expect("deletes").rows_affected();
    let mut looking = PgConnection::connect(database.url()).await.expect("connects");
    let end = async {
        let waits = "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut looking).await.expect("looks") == 0 {
            tokio::task::yield_now().await;
        }
        first.commit().await.expect("commits");
    };
    let (dropped, ()) = tokio::join!(store.drop_space(&space), end);
    assert_eq!(dropped.expect("drops") + in_hand, VECTORS.unsigned_abs());
    let counts = store.counts(&wanted()).await.expect("counts");
    assert_eq!(counts.vectors.get(space.as_str()).copied().unwrap_or(0), 0);
    store.close().await;
}

/// What the server refuses for its content fails by itself, with the server's words, and holds nobody up.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_ledger_refuses_costs_only_itself() {
    let database = Database::new().await.expect("a database");
    let store = connect(database.url()).await;
    let mut ledger = PgConnection::connect(database.url()).await.expect("connects");
    sqlx::raw_sql("alter table asset_path add constraint no_cats check (uri not like '%cat%')")
        .execute(&mut ledger)
        .await
        .expect("is added");
    let docent = Docent::new(env!("CARGO_BIN_EXE_docent-under-test"));
    let pictures = docent.folder().join("pictures");
    let written = corpus::write(&pictures, 3, 1);
    std::fs::rename(&written[1], pictures.join("cat.jpg")).expect("is renamed");
    let (folder, url) = (pictures.to_string_lossy().into_owned(), database.url().to_owned());
    let args = ["ingest", &folder, "--only=tags", "--format=json", "--store", &url];
    let summary = tokio::task::block_in_place(|| docent.run(args).expect(0)).summary();
    assert_eq!((&summary["analyzed"], &summary["unreadable_count"]), (&2.into(), &1.into()), "{summary}");
    let reason = summary["unreadable"][0][1].as_str().expect("a reason").to_owned();
    assert!(reason.contains("no_cats"), "{reason}");

    // The same for what is found in a picture.
    let asset = store.asset_at(&docent_tests::program::uri(&written[0])).await.expect("looks up");
    let asset = asset.expect("is registered");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "alter table run add constraint not_this check (asset_id <> '{asset}' or models = '{{}}') not valid"
    )))
    .execute(&mut ledger)
    .await
    .expect("is added");
    let args = ["retry", "--all", "--only=tags", "--format=json", "--store", &url];
    let summary = tokio::task::block_in_place(|| docent.run(args).expect(0)).summary();
    assert_eq!((&summary["analyzed"], &summary["failed"]), (&1.into(), &1.into()), "{summary}");
    let failures = store.failures(&Page { limit: 9, after: None }).await.expect("lists").rows;
    assert!(failures.iter().all(|failure| failure.asset_id == asset && failure.kind == "permanent"));
    assert!(failures.iter().any(|failure| failure.reason.contains("not_this")), "{failures:?}");
    store.close().await;
}
