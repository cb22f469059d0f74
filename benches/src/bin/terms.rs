//! How long it takes to apply terms to pictures whose vectors are stored.
//!
//! ```text
//! terms [PICTURES] [TERMS] [sqlite | postgres URL]
//! ```
//!
//! Fills a ledger with vectors around those of the sample pictures, enters so many terms, applies them, then one term more, then
//! changes one, and prints seconds and counts as JSON. Words are read by the bundled text network, and told apart from the rest.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a measurement prints what it measured")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use docent::app::LedgerVectors;
use docent::queue::Lane;
use docent::search::{Search, SearchOptions};
use docent::store::{
    Catalog, FileStamp, Finished, FoundFile, Outcome, OutcomeState, PostgresOptions, PostgresStore, Reviewer,
    Run, SqliteStore, Store, TermChange, Wanted,
};
use docent::terms::TermMatching;
use docent::vectors::EmbeddedIndex;
use docent_models::session::{SessionOptions, init_runtime};
use docent_models::{Pack, Task};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::vocabulary::{Language, Term, TermId};
use docent_pipelines::{Analysis, AnalyzerId, VectorRecord, VectorSpace};
use tokio_util::sync::CancellationToken;

/// Assets that are recorded by one transaction.
const AT_ONCE: usize = 256;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: usize| arguments.get(place).map_or(Ok(default), |text| text.parse());
    let (pictures, terms) = (number(0, 10_000)?, number(1, 1000)?);
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn Store> = match arguments.get(2).map(String::as_str) {
        Some("postgres") => {
            let url = arguments.get(3).context("the address of a database")?;
            Arc::new(PostgresStore::connect(url, PostgresOptions { connections: 8 }).await?)
        }
        _ => Arc::new(SqliteStore::open(&folder.path().join("ledger.sqlite")).await?),
    };
    let pack = Arc::new(Pack::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"))?);
    let space = VectorSpace::picture(&pack.model(Task::ImageEmbedding)?.model_ref());
    let filling = Instant::now();
    fill(&*store, &space, pictures).await?;
    eprintln!("{pictures} pictures in {:.1} s", filling.elapsed().as_secs_f64());
    let matching = matching(&store, &pack);
    let stop = CancellationToken::new();
    put(&*store, (0..terms).map(|n| term(n, 0))).await?;
    // The words first: they cost the same however many pictures there are.
    let reading = Instant::now();
    matching.prepare().await?;
    let read = reading.elapsed().as_secs_f64();
    let applying = Instant::now();
    matching.catch_up(&stop, |_| {}).await?;
    let applied = applying.elapsed().as_secs_f64();
    let found = tags(&*store).await?;
    let one = Instant::now();
    put(&*store, std::iter::once(term(terms, 0))).await?;
    matching.catch_up(&stop, |_| {}).await?;
    let one = one.elapsed().as_secs_f64();
    let changed = Instant::now();
    put(&*store, std::iter::once(term(0, 1))).await?;
    matching.catch_up(&stop, |_| {}).await?;
    let changed = changed.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "pictures": pictures, "terms": terms, "tags": found, "read_words_seconds": read, "apply_seconds": applied,
            "one_more_seconds": one, "one_changed_seconds": changed,
        })
    );
    store.close().await;
    Ok(())
}

fn matching(store: &Arc<dyn Store>, pack: &Arc<Pack>) -> TermMatching {
    let options = SearchOptions {
        start: Arc::new(|| init_runtime(None).map(drop)),
        session: SessionOptions::default(),
        decode: DecodeLimits::default(),
    };
    let catalog = Arc::clone(store) as Arc<dyn Catalog>;
    let index = EmbeddedIndex::new(Arc::new(LedgerVectors(Arc::clone(store))));
    let search = Search::new(catalog, Arc::new(index), Arc::clone(pack), options);
    TermMatching::new(Arc::clone(store), search, Arc::clone(pack), "bench".to_owned())
}

/// Pairs of words that mean something, so that scores are those of real terms.
fn term(number: usize, version: usize) -> Term {
    const WHO: [&str; 20] = [
        "dog", "cat", "child", "woman", "man", "crowd", "bird", "horse", "car", "boat", "bicycle", "tree",
        "house", "flower", "mountain", "table", "train", "team", "singer", "ball",
    ];
    const WHERE: [&str; 25] = [
        "beach", "street", "snow", "forest", "kitchen", "garden", "river", "stage", "market", "field",
        "bridge", "church", "harbor", "desert", "office", "school", "park", "night", "rain", "sunset", "sky",
        "lake", "city", "village", "stadium",
    ];
    const HOW: [&str; 3] = ["at", "near", "without"];
    let name = format!("{} {} {}", WHO[number % 20], HOW[number / 500 % 3], WHERE[number / 20 % 25]);
    let mut term =
        Term::named(TermId::derived(&[&name, &(number / 1500).to_string()]), Language::default(), &name);
    // About three tags for each picture.
    term.threshold = Some(0.13 + version as f64 * 0.01);
    term
}

async fn put(store: &dyn Store, terms: impl Iterator<Item = Term>) -> anyhow::Result<()> {
    let changes: Vec<TermChange> = terms.map(|term| TermChange::Put(Box::new(term))).collect();
    let seen = store.vocabulary().await?.revision;
    let by = Reviewer { name: "bench".to_owned(), client: "cli".to_owned() };
    store.change_terms(&changes, seen, &by).await?;
    Ok(())
}

async fn tags(store: &dyn Store) -> anyhow::Result<u64> {
    Ok(store.counts(&Wanted::new()).await?.suggestions.get("pending").copied().unwrap_or(0))
}

/// Vectors of unit length around those of a mixture.
async fn fill(store: &dyn Store, space: &VectorSpace, pictures: usize) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut normal = move || (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
    let dimensions = 384;
    let centers: Vec<Vec<f32>> = (0..64).map(|_| (0..dimensions).map(|_| normal()).collect()).collect();
    let wanted: Wanted = [(AnalyzerId::Decode, docent_pipelines::pipeline::decoder())].into();
    for start in (0..pictures).step_by(AT_ONCE) {
        let numbers = start..(start + AT_ONCE).min(pictures);
        let hash = |number: usize| ContentHash::of(&number.to_le_bytes());
        let files: Vec<FoundFile> = numbers
            .clone()
            .map(|number| FoundFile {
                uri: format!("file:///archive/{:04}/{number:07}.jpg", number / 1000),
                stamp: FileStamp { bytes: 1, modified_ns: number as i64 },
                hash: hash(number).into(),
                lane: Lane::Backfill,
                owner: None,
            })
            .collect();
        store.register(&files, &wanted).await?;
        let finished: Vec<Finished> = numbers
            .map(|number| {
                let asset = hash(number).asset_id();
                let mut values: Vec<f32> =
                    centers[number % 64].iter().map(|center| center + 1.5 * normal()).collect();
                let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
                values.iter_mut().for_each(|value| *value /= length);
                let analysis = Analysis {
                    vectors: vec![VectorRecord::new(asset.clone(), space.clone(), None, values)],
                    spaces: [space.clone()].into(),
                    ..Analysis::default()
                };
                let outcomes = wanted
                    .iter()
                    .map(|(analyzer, model)| Outcome {
                        analyzer: *analyzer,
                        model: model.clone(),
                        state: OutcomeState::Done,
                    })
                    .collect();
                Finished { run: Run { asset, owner: "bench".to_owned(), picture: None }, analysis, outcomes }
            })
            .collect();
        store.record(&finished).await?;
    }
    Ok(())
}
