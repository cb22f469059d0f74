//! How fast the embedded vector index is with an archive's worth of vectors, and how much it finds.
//!
//!     cargo run --release -p docent-benches --bin vectors [-- VECTORS]
//!
//! Writes vectors (200,000) of 384 values to a ledger in a temporary folder, one in twenty as a walk does that finds
//! nothing but them, the others in bulk; lets the index read them, and asks 300 times: half of the queries are beside some
//! vector, half are anywhere. What is found is compared with the answer of an exact scan over all values in memory, which
//! is timed as well.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use docent::app::LedgerVectors;
use docent::queue::Lane;
use docent::store::{
    FileStamp, Finished, FoundFile, LeaseRequest, Ledger, Outcome, OutcomeState, PictureFacts, Run,
    SqliteStore, Wanted,
};
use docent::vectors::{EmbeddedIndex, VectorIndex};
use docent_models::ModelRef;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, VectorRecord, VectorSpace};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

const DIMENSIONS: usize = 384;
/// Pictures of one kind, on average.
const GROUP: usize = 200;
const QUERIES: usize = 300;
const K: usize = 10;
/// Files that are registered, and leased, at once.
const BATCH: usize = 256;
/// Runs that are recorded by one call.
const TOGETHER: usize = 64;
const OWNER: &str = "bench";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let count: usize = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    anyhow::ensure!(count >= 1000, "a hundredth of the vectors has to be more than {K}");
    let mut random = fastrand::Rng::with_seed(17);
    let values = clustered(&mut random, count);
    let assets: Vec<AssetId> = (0..count).map(|number| content(number).asset_id()).collect();
    let model = ModelRef::new("bench", "1");
    let space = VectorSpace::picture(&model);

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("ledger.db");
    let store = Arc::new(SqliteStore::open(&file).await?);
    let walked = count / 20;
    let start = Instant::now();
    walk(&store, &model, &space, &values[..walked * DIMENSIONS]).await?;
    rate("recorded in the ledger, run by run", walked, start.elapsed());
    let start = Instant::now();
    fill(&file, &space, &values, walked).await?;
    rate("written to the ledger in bulk", count - walked, start.elapsed());

    let before = resident()?;
    let index = EmbeddedIndex::new(Arc::new(LedgerVectors(Arc::clone(&store) as _)));
    let start = Instant::now();
    anyhow::ensure!(index.count(&space).await? == count as u64, "the index holds what the ledger holds");
    rate("read into the index", count, start.elapsed());
    println!("memory: {before:.0} MB before the index was filled, {:.0} MB after", resident()?);

    let queries: Vec<Vec<f32>> = (0..QUERIES)
        .map(|number| match number % 2 {
            0 => beside(&mut random, row(&values, number * count / QUERIES), 0.4),
            _ => unit((0..DIMENSIONS).map(|_| normal(&mut random)).collect()),
        })
        .collect();
    let tenth: HashSet<AssetId> = assets.iter().filter(|_| random.u8(0..10) == 0).cloned().collect();
    let hundredth: HashSet<AssetId> = assets.iter().filter(|_| random.u8(0..100) == 0).cloned().collect();
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>10}",
        "milliseconds, the best 10", "median", "p95", "worst", "recall@10"
    );
    for (what, only) in
        [("all", None), ("a filter keeps 10 %", Some(&tenth)), ("a filter keeps 1 %", Some(&hundredth))]
    {
        compare(what, &index, &space, &assets, &values, &queries, only).await?;
    }
    println!("memory: {:.0} MB in the end", resident()?);
    store.close().await;
    Ok(())
}

/// Times the index and the exact scan with each query, and prints both.
async fn compare(
    what: &str,
    index: &EmbeddedIndex,
    space: &VectorSpace,
    assets: &[AssetId],
    values: &[f32],
    queries: &[Vec<f32>],
    only: Option<&HashSet<AssetId>>,
) -> anyhow::Result<()> {
    let numbers: HashMap<&AssetId, usize> = assets.iter().zip(0..).collect();
    let (mut by_index, mut by_scan, mut found) = (Vec::new(), Vec::new(), 0);
    for query in queries {
        let start = Instant::now();
        let neighbors = index.search(space, query, K, only).await?;
        by_index.push(start.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(neighbors.len() == K, "{} neighbors of {K}", neighbors.len());
        let start = Instant::now();
        let nearest = scan(values, assets, query, only);
        by_scan.push(start.elapsed().as_secs_f64() * 1000.0);
        let nearest: HashSet<usize> = nearest.into_iter().collect();
        for neighbor in &neighbors {
            let number = *numbers.get(&neighbor.asset).context("an asset of the ledger")?;
            let exact = dot(row(values, number), query);
            anyhow::ensure!((neighbor.score - exact).abs() < 1e-5, "the score is the dot product");
            found += usize::from(nearest.contains(&number));
        }
    }
    let recall = found as f64 / (K * queries.len()) as f64;
    for (how, mut times, recall) in [("index", by_index, recall), ("exact scan", by_scan, 1.0)] {
        let [median, p95, worst] = [0.5, 0.95, 1.0].map(|q| docent_benches::quantile(&mut times, q));
        let name = format!("{what}, {how}");
        println!("{name:<34} {median:>9.2} {p95:>9.2} {worst:>9.2} {recall:>10.4}");
    }
    Ok(())
}

/// Registers, leases, begins and records, one asset after the other.
async fn walk(
    store: &SqliteStore,
    model: &ModelRef,
    space: &VectorSpace,
    values: &[f32],
) -> anyhow::Result<()> {
    let wanted: Wanted = [(AnalyzerId::Embedding, model.clone())].into();
    let count = values.len() / DIMENSIONS;
    for first in (0..count).step_by(BATCH) {
        let numbers = first..count.min(first + BATCH);
        let files: Vec<FoundFile> = numbers
            .clone()
            .map(|number| FoundFile {
                uri: format!("file:///archive/{number:07}.jpg"),
                stamp: FileStamp { bytes: 100, modified_ns: 7 },
                hash: content(number).into(),
                lane: Lane::Backfill,
                owner: None,
            })
            .collect();
        store.register(&files, &wanted).await?;
        let request = LeaseRequest {
            owner: OWNER.to_owned(),
            limit: BATCH as u32,
            duration: Duration::from_secs(60),
            lane: None,
            wanted: wanted.clone(),
        };
        let ids: HashMap<AssetId, usize> =
            numbers.map(|number| (content(number).asset_id(), number)).collect();
        let mut finished = Vec::new();
        for job in store.lease(&request).await? {
            store.begin_run(&job, OWNER).await?;
            let number = *ids.get(&job.asset).context("an asset that was registered")?;
            let vector = row(values, number).to_vec();
            let analysis = Analysis {
                vectors: vec![VectorRecord::new(job.asset.clone(), space.clone(), None, vector)],
                spaces: [space.clone()].into(),
                completed: wanted.clone(),
                ..Analysis::default()
            };
            let outcome =
                Outcome { analyzer: AnalyzerId::Embedding, model: model.clone(), state: OutcomeState::Done };
            let run = Run {
                asset: job.asset,
                owner: OWNER.to_owned(),
                picture: Some(PictureFacts::new(600, 400, "jpeg")),
            };
            finished.push(Finished { run, analysis, outcomes: vec![outcome] });
        }
        for together in finished.chunks(TOGETHER) {
            store.record(together).await?;
        }
    }
    Ok(())
}

/// Writes the vectors from number `first` on, and what they are of.
async fn fill(file: &Path, space: &VectorSpace, values: &[f32], first: usize) -> anyhow::Result<()> {
    // Vectors in one transaction.
    const PORTION: usize = 4096;
    let options = SqliteConnectOptions::new().filename(file).synchronous(SqliteSynchronous::Normal);
    let mut connection = options.connect().await?;
    let mut numbers = (first..values.len() / DIMENSIONS).peekable();
    while numbers.peek().is_some() {
        let mut transaction = connection.begin().await?;
        for number in numbers.by_ref().take(PORTION) {
            let content = content(number);
            let values = row(values, number);
            let record = VectorRecord::new(content.asset_id(), space.clone(), None, values.to_vec());
            let uri = format!("file:///archive/{number:07}.jpg");
            sqlx::query(
                "insert into asset (id, content_hash, bytes, lane, created_at) values ($1, $2, 100, 1, 0)",
            )
            .bind(record.asset.as_str())
            .bind(content.to_hex())
            .execute(&mut *transaction)
            .await?;
            sqlx::query("insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at) values ($1, $2, 100, 7, 0)")
                .bind(uri)
                .bind(record.asset.as_str())
                .execute(&mut *transaction)
                .await?;
            sqlx::query("insert into vector (id, asset_id, space, data) values ($1, $2, $3, $4)")
                .bind(record.id)
                .bind(record.asset.as_str())
                .bind(space.as_str())
                .bind(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
    }
    connection.close().await?;
    Ok(())
}

/// The numbers of the nearest, by comparing all values: what the index did when it held them.
fn scan(values: &[f32], assets: &[AssetId], query: &[f32], only: Option<&HashSet<AssetId>>) -> Vec<usize> {
    // Hardly anything gets in, so a sorted list will do.
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(K + 1);
    for (number, (values, asset)) in values.chunks_exact(DIMENSIONS).zip(assets).enumerate() {
        if only.is_some_and(|only| !only.contains(asset)) {
            continue;
        }
        let score = dot(values, query);
        if best.len() < K || best[K - 1].0 < score {
            best.insert(best.partition_point(|other| other.0 >= score), (score, number));
            best.truncate(K);
        }
    }
    best.into_iter().map(|(_, number)| number).collect()
}

/// Several sums side by side, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    for (x, y) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum()
}

fn row(values: &[f32], number: usize) -> &[f32] {
    &values[number * DIMENSIONS..][..DIMENSIONS]
}

/// Unit vectors in groups: some of a group are almost alike, some hardly related.
fn clustered(random: &mut fastrand::Rng, count: usize) -> Vec<f32> {
    let mut center = || unit((0..DIMENSIONS).map(|_| normal(random)).collect());
    let centers: Vec<Vec<f32>> = (0..count.div_ceil(GROUP)).map(|_| center()).collect();
    let mut values = Vec::with_capacity(count * DIMENSIONS);
    for _ in 0..count {
        let center = &centers[random.usize(..centers.len())];
        let share = 0.05 + 1.5 * random.f32();
        values.extend(beside(random, center, share));
    }
    values
}

/// `near`, and `share` as much of a direction of its own.
fn beside(random: &mut fastrand::Rng, near: &[f32], share: f32) -> Vec<f32> {
    let own = unit((0..near.len()).map(|_| normal(random)).collect());
    unit(near.iter().zip(own).map(|(near, own)| near + share * own).collect())
}

/// Nearly normally distributed.
fn normal(random: &mut fastrand::Rng) -> f32 {
    (0..4).map(|_| random.f32() - 0.5).sum()
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let length = dot(&values, &values).sqrt();
    values.iter_mut().for_each(|value| *value /= length);
    values
}

fn content(number: usize) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

fn rate(what: &str, count: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    println!("{count} vectors {what} in {seconds:.1} s, {:.0} per second", count as f64 / seconds);
}

/// Memory of this process that is really there, in megabytes.
fn resident() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("read this process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a line with VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1000.0 * 1.024)
}
