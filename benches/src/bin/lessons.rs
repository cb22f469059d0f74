//! What docent learns of a term from 20 and from 100 decided pictures, against what its words tell.
//!
//! ```text
//! lessons DATA_DIR TERM=PART [TERM=PART …] [learn=PART] [hold=PART]
//! ```
//!
//! `DATA_DIR` holds pictures with embeddings. A picture shows the term whose PART its place contains, and no other. Pictures whose
//! place contains the part of `learn` are decided, those with the part of `hold` are held out; without these parts a picture's id
//! decides. A person decides what is offered: half of the rejected pictures are those that the words are surest of.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use docent::search::{Search, SearchOptions};
use docent::store::{Catalog, SqliteStore};
use docent_benches::NoIndex;
use docent_models::session::{SessionOptions, init_runtime};
use docent_models::{Pack, Task};
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::terms::{Background, Measured, Rule, ensemble, learn, measure, prompts, zero_shot};
use docent_pipelines::vocabulary::{Language, Term, TermId};
use docent_pipelines::{AssetId, VectorSpace};

/// How often examples are drawn.
const DRAWS: u64 = 5;

struct Shown {
    term: Option<usize>,
    held: bool,
    vector: Vec<f32>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("the data directory")?;
    let (mut terms, mut learned_from, mut held_out) = (Vec::new(), String::new(), String::new());
    for argument in arguments {
        let (name, part) = argument.split_once('=').context("TERM=PART")?;
        match name {
            "learn" => part.clone_into(&mut learned_from),
            "hold" => part.clone_into(&mut held_out),
            _ => terms.push((name.to_owned(), part.to_owned())),
        }
    }
    let store = Arc::new(SqliteStore::open(&Path::new(&folder).join("ledger.sqlite")).await?);
    let pack = Arc::new(Pack::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"))?);
    let space = VectorSpace::picture(&pack.model(Task::ImageEmbedding)?.model_ref());
    let pictures = read(&store, &space, &terms, &learned_from, &held_out).await?;
    let options = SearchOptions {
        start: Arc::new(|| init_runtime(None).map(drop)),
        session: SessionOptions::default(),
        decode: DecodeLimits::default(),
    };
    let search = Search::new(Arc::clone(&store) as Arc<dyn Catalog>, Arc::new(NoIndex), pack, options);
    let dimensions = pictures.first().map_or(0, |picture| picture.vector.len());
    let sample = pictures.iter().take(2048).flat_map(|picture| picture.vector.iter().copied()).collect();
    let background = Background::new(dimensions, sample);
    println!(
        "| term | shown, of held out | words: precision, recall | decided | learned: precision, recall | used |"
    );
    println!("|---|---|---|---|---|---|");
    for (place, (name, _)) in terms.iter().enumerate() {
        let term = Term::named(TermId::derived(&[name]), Language::default(), name);
        let texts = search.vectors_of(prompts(&term, &["en".to_owned()])).await?;
        let text = ensemble(&texts).context("a vector of the words")?;
        let words = zero_shot(&text, &background, None).context("enough pictures")?;
        let held: Vec<(bool, &[f32])> = pictures
            .iter()
            .filter(|picture| picture.held)
            .map(|picture| (picture.term == Some(place), picture.vector.as_slice()))
            .collect();
        let before = measure(&words, &held);
        let shown = held.iter().filter(|(shows, _)| *shows).count();
        for decided in [20, 100] {
            let (mut sum, mut used, mut draws) = (Measured::default(), 0, 0);
            for seed in 0..DRAWS {
                let Some((learned, better)) = lesson(&pictures, place, decided, &words, seed) else {
                    continue;
                };
                let after = measure(if better { &learned } else { &words }, &held);
                sum.right += after.right;
                sum.wrong += after.wrong;
                sum.missed += after.missed;
                used += u32::from(better);
                draws += 1;
            }
            println!(
                "| {name} | {shown} of {} | {:.2}, {:.2} | {decided} | {:.2}, {:.2} | {used} of {draws} |",
                held.len(),
                before.precision(),
                before.recall(),
                sum.precision(),
                sum.recall()
            );
        }
    }
    Ok(())
}

/// Decides so many pictures and learns from them.
fn lesson(pictures: &[Shown], term: usize, decided: usize, words: &Rule, seed: u64) -> Option<(Rule, bool)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut own: Vec<&Shown> = Vec::new();
    let mut others: Vec<&Shown> = Vec::new();
    for picture in pictures.iter().filter(|picture| !picture.held) {
        if picture.term == Some(term) { own.push(picture) } else { others.push(picture) }
    }
    random.shuffle(&mut own);
    random.shuffle(&mut others);
    let half = decided / 2;
    if own.len() < half || others.len() < half + 600 {
        return None;
    }
    let beside: Vec<&[f32]> = others[others.len() - 512..]
        .iter()
        .map(|other| other.vector.as_slice())
        .filter(|vector| words.probability(vector) < words.least)
        .collect();
    others.truncate(others.len() - 512);
    let by_chance = others.split_off(others.len() - half / 2);
    others.sort_by(|a, b| words.probability(&b.vector).total_cmp(&words.probability(&a.vector)));
    // Not always the very surest: a person decides what comes.
    let mut surest: Vec<&Shown> = others.into_iter().take(decided * 2).collect();
    random.shuffle(&mut surest);
    let rejected = surest.into_iter().take(half - half / 2).chain(by_chance);
    let mut examples: Vec<(bool, &[f32])> =
        own[..half].iter().map(|picture| (true, picture.vector.as_slice())).collect();
    examples.extend(rejected.map(|picture| (false, picture.vector.as_slice())));
    let learned = learn(&examples, &beside, words)?;
    Some((learned.rule, learned.better))
}

/// Every picture with a vector.
async fn read(
    store: &SqliteStore,
    space: &VectorSpace,
    terms: &[(String, String)],
    learned_from: &str,
    held_out: &str,
) -> anyhow::Result<Vec<Shown>> {
    let (mut pictures, mut after) = (Vec::new(), 0);
    loop {
        let page = store.vectors_after(space, after, 500).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        let ids: Vec<AssetId> = page.iter().map(|(_, record)| record.asset.clone()).collect();
        let rows = store.assets(&ids).await?;
        for (_, record) in page {
            let Some(row) = rows.iter().find(|row| row.asset_id == record.asset) else { continue };
            let place = row.uris.first().map_or("", String::as_str);
            let held = match (learned_from, held_out) {
                ("", "") => record.asset.as_str().as_bytes().first().is_some_and(|first| first % 2 == 0),
                (learned, "") => !place.contains(learned),
                (_, held) => place.contains(held),
            };
            let term = terms.iter().position(|(_, part)| place.contains(part.as_str()));
            pictures.push(Shown { term, held, vector: record.values });
        }
    }
    // The order of ids is the order of hashes: as if drawn by lot.
    anyhow::ensure!(!pictures.is_empty(), "no picture has a vector");
    fastrand::Rng::with_seed(0).shuffle(&mut pictures);
    Ok(pictures)
}
