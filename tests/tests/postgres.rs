//! What only a shared ledger can get wrong: many processes at once, and servers that come and go.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use docent::queue::{AnalyzeAsset, Lane};
use docent::store::{
    Begun, Catalog, Counts, Decision, EventSink, FileStamp, Finished, FoundFile, Jobs, LeaseRequest, Ledger,
    NewJob, Outcome, OutcomeState, Page, PictureFacts, PostgresOptions, PostgresStore, Requeue, Reviewer,
    Reviews, Run, StoreError, SuggestionFilter, Wanted,
};
use docent_models::ModelRef;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{
    Analysis, AnalyzerId, AssetId, Confidence, Failure, FailureKind, Kind, Owner, Status, Suggestion,
    VectorRecord, VectorSpace,
};
use docent_tests::corpus;
use docent_tests::program::Docent;
use docent_tests::servers::{Database, PostgresServer};
use serde_json::json;
use sqlx::{Connection, PgConnection};

const OPTIONS: PostgresOptions = PostgresOptions { connections: 4, events: false };
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

/// Keeps what it is told; refuses everything while `away`.
#[derive(Default)]
struct Listener {
    told: Mutex<Vec<serde_json::Value>>,
    away: AtomicBool,
}

#[async_trait::async_trait]
impl EventSink for Listener {
    async fn send(&self, event: &str, body: &[u8]) -> anyhow::Result<()> {
        anyhow::ensure!(!self.away.load(Relaxed), "nobody is there");
        let body: serde_json::Value = serde_json::from_slice(body)?;
        anyhow::ensure!(body["event"] == event, "the body names its event");
        self.told.lock().expect("not poisoned").push(body);
        Ok(())
    }
}

#[tokio::test]
async fn events_are_told_once_they_are_true_and_kept_until_somebody_takes_them() {
    let database = Database::new().await.expect("a database");
    let options = PostgresOptions { events: true, ..OPTIONS };
    let store = PostgresStore::connect(database.url(), options).await.expect("connects");
    store.register(&[file(1)], &wanted()).await.expect("registers");
    let asset = work(&store, "worker").await.remove(0);
    let rows = store.suggestions(&SuggestionFilter::default(), &Page { limit: 9, after: None }).await;
    let id = rows.expect("lists").rows[0].id.clone();
    let by = Reviewer { name: "Ada".to_owned(), client: "test".to_owned() };
    store.decide(&id, Decision::Reject, &by).await.expect("rejects");
    assert!(store.decide(&id, Decision::Accept, &by).await.is_err(), "no event for what did not happen");

    let listener = Listener::default();
    listener.away.store(true, Relaxed);
    assert_eq!(store.relay_events(&listener, 10).await.expect("keeps them"), 0);
    listener.away.store(false, Relaxed);
    assert_eq!(store.relay_events(&listener, 10).await.expect("tells"), 2);
    assert_eq!(store.relay_events(&listener, 10).await.expect("tells"), 0);
    let told = listener.told.lock().expect("not poisoned").clone();
    assert_eq!(
        (&told[0]["event"], &told[1]["event"]),
        (&"suggestions.created".into(), &"suggestion.decided".into())
    );
    assert_eq!(told[0]["data"]["asset_id"], asset.as_str());
    assert_eq!(told[0]["data"]["raised"], 2);
    assert_eq!(told[1]["data"]["suggestion_id"], id.as_str());
    assert_eq!(
        (&told[1]["data"]["after"], &told[1]["data"]["reviewer"]),
        (&"rejected".into(), &"Ada".into())
    );
    store.close().await;
}

/// Everything that is told from now on.
async fn told(store: &PostgresStore) -> Vec<(String, serde_json::Value)> {
    let listener = Listener::default();
    while store.relay_events(&listener, 3).await.expect("tells") > 0 {}
    let told = std::mem::take(&mut *listener.told.lock().expect("not poisoned"));
    told.into_iter()
        .map(|event| (event["event"].as_str().expect("a name").to_owned(), event["data"].clone()))
        .collect()
}

#[tokio::test]
async fn events_name_the_places_their_owners_and_what_submitters_call_them() {
    let database = Database::new().await.expect("a database");
    let options = PostgresOptions { events: true, ..OPTIONS };
    let store = PostgresStore::connect(database.url(), options).await.expect("connects");
    let owner = |name: &str| Some(Owner::try_from(name.to_owned()).expect("a name"));
    let first = FoundFile { owner: owner("press"), ..file(1) };
    store.submit(&first, &wanted(), Some("4711")).await.expect("registers");
    let asset = work(&store, "worker").await.remove(0);
    let place = |file: &FoundFile, correlation: Option<&str>| json!({ "uri": file.uri, "owner": file.owner, "correlation_id": correlation });
    let events = told(&store).await;
    assert_eq!(
        events.iter().map(|event| event.0.as_str()).collect::<Vec<_>>(),
        ["asset.registered", "suggestions.created"]
    );
    let expected = json!({
        "asset_id": asset, "uri": first.uri, "owner": "press", "correlation_id": "4711", "created": true,
        "new_place": true, "complete": false, "pending": 0, "accepted": 0, "places": [place(&first, Some("4711"))],
    });
    assert_eq!(events[0].1, expected);
    assert_eq!((&events[1].1["asset_id"], &events[1].1["places"]), (&json!(asset), &expected["places"]));

    // A known picture at a new place, submitted without a name, and at a known place.
    let copy = FoundFile { uri: "file:///elsewhere/copy.jpg".to_owned(), ..file(1) };
    store.submit(&copy, &wanted(), None).await.expect("registers");
    store.submit(&first, &wanted(), Some("4712")).await.expect("registers");
    let events = told(&store).await;
    let known = |data: &serde_json::Value| {
        [&data["created"], &data["new_place"], &data["complete"], &data["pending"]].map(Clone::clone)
    };
    assert_eq!(known(&events[0].1), [json!(false), json!(true), json!(true), json!(2)]);
    assert_eq!(events[0].1["uri"], copy.uri);
    assert_eq!(known(&events[1].1), [json!(false), json!(false), json!(true), json!(2)]);
    // The last name counts; places that were submitted with one come first.
    assert_eq!(events[1].1["places"], json!([place(&first, Some("4712")), place(&copy, None)]));

    // A decision is told with them too.
    let rows = store.suggestions(&SuggestionFilter::default(), &Page { limit: 9, after: None }).await;
    let id = rows.expect("lists").rows[0].id.clone();
    let by = Reviewer { name: "Ada".to_owned(), client: "test".to_owned() };
    store.decide(&id, Decision::Accept, &by).await.expect("accepts");
    let events = told(&store).await;
    assert_eq!(
        (events[0].0.as_str(), &events[0].1["places"][0]),
        ("suggestion.decided", &place(&first, Some("4712")))
    );
    store.close().await;
}

#[tokio::test]
async fn what_failed_has_an_event_of_its_own() {
    let database = Database::new().await.expect("a database");
    let options = PostgresOptions { events: true, ..OPTIONS };
    let store = PostgresStore::connect(database.url(), options).await.expect("connects");
    store.register(&[file(1), file(2)], &wanted()).await.expect("registers");
    let jobs = store.lease(&request("worker", 2)).await.expect("leases");
    // One cannot be decoded, and what may pass is no event.
    let failure = |kind| Failure { analyzer: AnalyzerId::Decode, kind, reason: "no pi\0cture".to_owned() };
    let after = Duration::ZERO;
    for (state, expected) in [
        (
            OutcomeState::Retry { after, failure: failure(FailureKind::Transient) },
            &["suggestions.created"][..],
        ),
        (
            OutcomeState::Failed { failure: failure(FailureKind::Permanent) },
            &["suggestions.created", "asset.failed"],
        ),
    ] {
        store.begin_run(&jobs[0], "worker").await.expect("begins");
        let run = Run { asset: jobs[0].asset.clone(), owner: "worker".to_owned(), picture: None };
        let model = wanted()[&AnalyzerId::Decode].clone();
        let outcomes = vec![Outcome { analyzer: AnalyzerId::Decode, model, state }];
        let finished = Finished { run, analysis: Analysis::default(), outcomes };
        for _ in 0..2 {
            // The second time its answer was lost.
            store.record(std::slice::from_ref(&finished)).await.expect("records");
        }
        let events = told(&store).await;
        assert_eq!(events.iter().map(|event| event.0.as_str()).collect::<Vec<_>>(), expected);
        if let Some((_, data)) = events.get(1) {
            assert_eq!(data["asset_id"], jobs[0].asset.as_str());
            assert_eq!(
                data["failures"],
                json!([{ "analyzer": "decode", "kind": "permanent", "reason": "no pi\u{fffd}cture" }])
            );
            assert_eq!(data["places"][0]["uri"], jobs[0].uris[0]);
        }
    }
    // The other ends its worker, and is given up.
    store.give_up_after(0);
    let alone = AnalyzeAsset { alone: true, ..jobs[1].clone() };
    assert!(matches!(store.begin_run(&alone, "worker").await.expect("begins"), Begun::Run(_)));
    assert_eq!(store.begin_run(&alone, "other").await.expect("looks"), Begun::GivenUp { lost: 1 });
    let events = told(&store).await;
    assert_eq!((events.len(), events[0].0.as_str()), (1, "asset.failed"));
    assert_eq!(events[0].1["asset_id"], jobs[1].asset.as_str());
    let reason = events[0].1["failures"][0]["reason"].as_str().expect("a text");
    assert!(reason.contains("stopped 1 times"), "{reason}");
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
