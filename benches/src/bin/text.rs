//! How much text is found, how much of what is said is right, and what it costs, by engine, side by side.
//!
//!     cargo run --release -p docent-benches --bin text -- TRUTH.jsonl [ENGINE...]
//!
//! Each line of TRUTH.jsonl is an object: `file` (beside it), `corpus` (a name to group by) and `lines` (the true text; none where
//! there is no text). Engines are `auto`, `network`, `tesseract`; all if none is named. `DOCENT_TESTED_LANGUAGES` names Tesseract's languages,
//! `eng` otherwise. Words count with their case and outer punctuation removed, Chinese and Japanese letter by letter. The engines
//! take turns with each picture, so that they meet the same machine. One JSON object for each picture and engine goes to
//! stdout if `DOCENT_TEXT_DETAILS` is set.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cpu_time::ProcessTime;
use docent_models::Pack;
use docent_models::ocr::{OcrOptions, look_for_text};
use docent_models::session::SessionOptions;
use docent_pipelines::AnalyzerId;
use docent_pipelines::analyzers::{CaptionRule, FaceRule, Languages, TextEngine, TextRule};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::classes::TagRule;
use docent_pipelines::image::{DecodeLimits, Image};
use docent_pipelines::pipeline::{Pipeline, PipelineOptions};
use serde_json::{Value, json};

/// Of one engine on one corpus.
#[derive(Default)]
struct Sum {
    pictures: usize,
    /// Pictures that have no text, and in which some was said to be.
    false_text: usize,
    true_words: usize,
    said_words: usize,
    found_words: usize,
    costs: Vec<f64>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let truth = PathBuf::from(arguments.next().context("name a file of truth")?);
    let mut engines: Vec<String> = arguments.collect();
    if engines.is_empty() {
        engines = ["tesseract", "network", "auto"].map(str::to_owned).to_vec();
    }
    let pipelines = engines.iter().map(|engine| load(engine)).collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let details = std::env::var_os("DOCENT_TEXT_DETAILS").is_some();
    let folder = truth.parent().unwrap_or(Path::new("."));
    let mut sums: BTreeMap<(String, usize), Sum> = BTreeMap::new();
    for line in std::fs::read_to_string(&truth)?.lines() {
        let entry: Value = serde_json::from_str(line)?;
        let (Some(file), Some(corpus)) = (entry["file"].as_str(), entry["corpus"].as_str()) else {
            anyhow::bail!("a line without file or corpus: {line}")
        };
        let expected: Vec<String> = entry["lines"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .flat_map(words)
            .collect();
        let bytes = std::fs::read(folder.join(file)).with_context(|| file.to_owned())?;
        let image = Image::decode(&bytes, &DecodeLimits::default())?;
        let cells = look_for_text(image.picture()).cells;
        let asset = ContentHash::of(&bytes).asset_id();
        for (place, pipeline) in pipelines.iter().enumerate() {
            let start = ProcessTime::now();
            let analysis = runtime.block_on(pipeline.analyze(&asset, &image, &[AnalyzerId::Text]));
            let cost = start.elapsed().as_secs_f64();
            let texts: Vec<&str> = analysis.suggestions.iter().map(|s| s.value.as_str()).collect();
            let confidence = analysis.suggestions.last().map(|s| s.confidence.value());
            let model = analysis.suggestions.first().map(|s| s.model.to_string());
            // The last one is the whole text where there are several lines.
            let said: Vec<String> = texts.last().into_iter().flat_map(|text| words(text)).collect();
            let found = common(&expected, &said);
            if details {
                println!(
                    "{}",
                    json!({"file": file, "corpus": corpus, "engine": engines[place], "seconds": cost,
                        "true": expected.len(), "said": said.len(), "found": found, "model": model, "cells": cells, "confidence": confidence, "text": texts.last()})
                );
            }
            let sum = sums.entry((corpus.to_owned(), place)).or_default();
            sum.pictures += 1;
            sum.false_text += usize::from(expected.is_empty() && !said.is_empty());
            sum.true_words += expected.len();
            sum.said_words += said.len();
            sum.found_words += found;
            sum.costs.push(cost);
        }
    }
    println!("| corpus | pictures | engine | found | right of said | with false text | mean s | median s |");
    println!("|---|---|---|---|---|---|---|---|");
    for ((corpus, engine), sum) in &mut sums {
        let share = |part: usize, whole: usize| match whole {
            0 => "".to_owned(),
            whole => format!("{:.3}", part as f64 / whole as f64),
        };
        let mean = sum.costs.iter().sum::<f64>() / sum.pictures as f64;
        println!(
            "| {corpus} | {} | {} | {} | {} | {} | {mean:.3} | {:.3} |",
            sum.pictures,
            engines[*engine],
            share(sum.found_words, sum.true_words),
            share(sum.found_words, sum.said_words),
            sum.false_text,
            docent_benches::quantile(&mut sum.costs, 0.5),
        );
    }
    Ok(())
}

fn load(engine: &str) -> anyhow::Result<Pipeline> {
    let engine: TextEngine = serde_json::from_value(json!(engine))?;
    let languages = std::env::var("DOCENT_TESTED_LANGUAGES").unwrap_or_else(|_| "eng".to_owned());
    let languages: Vec<String> = languages.split('+').map(str::to_owned).collect();
    let pack = Pack::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"))?;
    let options = PipelineOptions {
        session: SessionOptions::default(),
        sessions: 1,
        gpu_sessions: 1,
        gpu_max_batch: 1,
        inbox: 4,
        tags: TagRule { leaf: 0.5, parent: 0.5, apparel: 0.5 },
        min_object_score: 0.5,
        faces: FaceRule::default(),
        emotion: false,
        text: TextRule { engine, always: false, languages: Languages::of(&languages) },
        ocr: OcrOptions { languages, tessdata: None, time: None },
        caption: CaptionRule {
            strategy: docent_models::captioning::Strategy::Greedy,
            min_probability: 0.5,
            alt_text: false,
        },
    };
    Ok(Pipeline::load(&pack, &[AnalyzerId::Text], &options)?)
}

/// Words without case and outer punctuation; letters of Chinese and Japanese each by itself.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if word.chars().any(|c| c >= '\u{2e80}') {
            words.extend(word.chars().filter(|c| c.is_alphanumeric()).map(String::from));
        } else if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// How many words are in both, each as often as in both.
fn common(expected: &[String], said: &[String]) -> usize {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in expected {
        *left.entry(word).or_default() += 1;
    }
    let taken = said.iter().filter(|word| match left.get_mut(word.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    });
    taken.count()
}
