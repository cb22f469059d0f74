//! What recording costs with the indexes and triggers of this version, and with those of the one before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use docent::queue::Lane;
use docent::store::{
    FileStamp, Finished, FoundFile, LeaseRequest, Ledger, Outcome, OutcomeState, PictureFacts,
    PostgresOptions, PostgresStore, Run, SqliteStore, Wanted,
};
use docent_benches::quantile;
use docent_models::ModelRef;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{Analysis, AnalyzerId, Confidence, Kind, Suggestion};
use docent_tests::servers::Database;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, PgConnection, SqliteConnection};

const ROUNDS: u64 = 40;
/// Pictures of a round, recorded in groups of 64, with six suggestions each.
const PICTURES: u64 = 640;

const BEFORE_POSTGRES: &str =
    "drop index suggestion_sure; drop index suggestion_value; drop index asset_newest;
    create index asset_newest on asset (created_at desc, id desc);
    create index suggestion_value on suggestion (left(value, 128), status, asset_id);
    create index suggestion_listing on suggestion ((-asset_at), asset_id, kind_order, (-confidence), id);
    drop trigger run_is_numbered on run";
const BEFORE_SQLITE: &str = "drop index suggestion_sure; drop index suggestion_value; drop index asset_newest;
    drop index suggestion_asset; create index suggestion_asset on suggestion (asset_id, status);
    create index asset_newest on asset (created_at desc, id desc);
    create index suggestion_value on suggestion (kind, value, status, asset_id);
    create index suggestion_listing on suggestion (asset_at desc, asset_id, kind_order, confidence desc, id);
    drop trigger asset_path_added; drop trigger asset_path_moved; drop trigger tally_asset_added;
    drop trigger tally_path_added; drop trigger tally_work_added; drop trigger tally_work_changed;
    drop trigger tally_suggestion_added; drop trigger tally_suggestion_changed; drop trigger tally_vector_added";

pub async fn compare() -> anyhow::Result<()> {
    let options = PostgresOptions { connections: 4 };
    let (now, before) = (Database::new().await?, Database::new().await?);
    let stores = [
        PostgresStore::connect(now.url(), options).await?,
        PostgresStore::connect(before.url(), options).await?,
    ];
    sqlx::raw_sql(BEFORE_POSTGRES).execute(&mut PgConnection::connect(before.url()).await?).await?;
    measure("PostgreSQL", &stores[0], &stores[1]).await?;

    let folder = tempfile::tempdir()?;
    let paths = [folder.path().join("now.sqlite"), folder.path().join("before.sqlite")];
    let stores = [SqliteStore::open(&paths[0]).await?, SqliteStore::open(&paths[1]).await?];
    let options = SqliteConnectOptions::new().filename(&paths[1]);
    sqlx::raw_sql(BEFORE_SQLITE).execute(&mut SqliteConnection::connect_with(&options).await?).await?;
    measure("SQLite", &stores[0], &stores[1]).await
}

/// By turns, so that what else the machine does meets both.
async fn measure(name: &str, now: &dyn Ledger, before: &dyn Ledger) -> anyhow::Result<()> {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            times[which].push(walk(if which == 0 { now } else { before }, round).await?.as_secs_f64());
        }
    }
    let mut ratios: Vec<f64> = times[0].iter().zip(&times[1]).map(|(now, before)| now / before).collect();
    let per_picture = |times: &mut Vec<f64>| quantile(times, 0.5) * 1e6 / PICTURES as f64;
    let (ratio, [first, second]) = (quantile(&mut ratios, 0.5), times.each_mut().map(per_picture));
    println!(
        "{name}: {first:.0} µs a picture, before {second:.0}; ratio {ratio:.3} (median of {ROUNDS} pairs)"
    );
    Ok(())
}

/// Registers, leases, begins and records some pictures.
async fn walk(ledger: &dyn Ledger, round: u64) -> anyhow::Result<Duration> {
    let model = ModelRef::new("tagger", "1");
    let wanted = Wanted::from([
        (AnalyzerId::Decode, ModelRef::new("decoder", "1")),
        (AnalyzerId::Tags, model.clone()),
    ]);
    let files: Vec<FoundFile> = (0..PICTURES)
        .map(|n| FoundFile {
            uri: format!("file:///archive/{round}/{n}.jpg"),
            stamp: FileStamp { bytes: 1, modified_ns: 1 },
            hash: ContentHash::of(&(round * PICTURES + n).to_le_bytes()).into(),
            lane: Lane::Backfill,
            owner: None,
        })
        .collect();
    let begin = Instant::now();
    for files in files.chunks(64) {
        ledger.register(files, &wanted).await?;
    }
    let duration = Duration::from_secs(600);
    let request =
        LeaseRequest { owner: "me".to_owned(), limit: 64, duration, lane: None, wanted: wanted.clone() };
    for _ in 0..PICTURES / 64 {
        let jobs = ledger.lease(&request).await?;
        let mut finished = Vec::new();
        for job in &jobs {
            ledger.begin_run(job, "me").await?;
            let suggestion = |n: usize| {
                let claim = Claim {
                    kind: Kind::Tag,
                    value: format!("thing {}", (finished.len() * 7 + n) % 200),
                    confidence: Confidence::new(0.3 + n as f64 / 10.0),
                    region: None,
                    implies: Vec::new(),
                };
                Suggestion::new(job.asset.clone(), AnalyzerId::Tags, claim, model.clone())
            };
            let analysis = Analysis {
                suggestions: (0..6).map(suggestion).collect(),
                completed: BTreeMap::from_iter(wanted.clone()),
                ..Analysis::default()
            };
            let done = |(analyzer, model)| Outcome { analyzer, model, state: OutcomeState::Done };
            let run = Run {
                asset: job.asset.clone(),
                owner: "me".to_owned(),
                picture: Some(PictureFacts::new(30, 20, "jpeg")),
            };
            finished.push(Finished {
                run,
                analysis,
                outcomes: wanted.clone().into_iter().map(done).collect(),
            });
        }
        ledger.record(&finished).await?;
    }
    Ok(begin.elapsed())
}
