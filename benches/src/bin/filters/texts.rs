//! Texts of about twenty words for the first assets of an archive: 50,000 made-up words, of which few are common and most are
//! rare, as words are.

use std::fmt::Write;
use std::time::Instant;

use serde_json::{Value, json};
use sqlx::{PgConnection, SqliteConnection};

/// So many assets have a text.
pub const TEXTS: usize = 400_000;
const WORDS: usize = 50_000;
/// Words of a text, on average.
const LENGTH: usize = 20;
/// Texts of a statement.
const PORTION: usize = 5000;
const SEED: u64 = 11;

/// All words, the most common first.
pub fn words() -> Vec<String> {
    const BEGIN: [&str; 18] =
        ["b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "st", "tr", "sch"];
    const MIDDLE: [&str; 6] = ["a", "e", "i", "o", "u", "ei"];
    const END: [&str; 5] = ["", "n", "r", "s", "l"];
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut words = Vec::with_capacity(WORDS);
    let mut seen = std::collections::HashSet::new();
    while words.len() < WORDS {
        let mut word = String::new();
        for _ in 0..random.usize(1..=3) {
            let _ = write!(
                word,
                "{}{}{}",
                BEGIN[random.usize(..BEGIN.len())],
                MIDDLE[random.usize(..MIDDLE.len())],
                END[random.usize(..END.len())]
            );
        }
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

/// The texts of `assets`: suggestion, asset, value.
fn texts(assets: &[String]) -> impl Iterator<Item = (String, &str, String)> {
    let words = words();
    let mut random = fastrand::Rng::with_seed(SEED);
    assets.iter().enumerate().map(move |(number, asset)| {
        let length = LENGTH / 2 + random.usize(..=LENGTH);
        // The n-th word about 1/n as often as the first (Zipf's law): the exponent of a uniform number.
        let text: Vec<&str> = (0..length)
            .map(|_| words[((WORDS as f64).powf(random.f64()) as usize - 1).min(WORDS - 1)].as_str())
            .collect();
        (format!("f{number:031x}"), asset.as_str(), text.join(" "))
    })
}

/// Writes them into a file.
pub async fn write_sqlite(connection: &mut SqliteConnection, assets: &[String]) -> anyhow::Result<()> {
    let begin = Instant::now();
    let all: Vec<Value> = texts(&assets[..assets.len().min(TEXTS)])
        .map(|(id, asset, value)| json!({ "id": id, "asset": asset, "value": value }))
        .collect();
    for portion in all.chunks(PORTION) {
        sqlx::query(
            "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id, created_at,
                 asset_at, kind_order)
             select t.value ->> 'id', a.id, 'text', 'text', t.value ->> 'value', 0.9, 'pending', 'text-model@2', 1,
                 a.created_at, a.created_at, 5
             from json_each($1) t cross join asset a on a.id = t.value ->> 'asset'",
        )
        .bind(Value::from(portion.to_vec()).to_string())
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query("update repair set finished_at = null, after = '' where name = 'texts'")
        .execute(connection)
        .await?;
    println!("{} texts in {:.0?}", all.len(), begin.elapsed());
    Ok(())
}

/// Writes them into a database.
pub async fn write_postgres(connection: &mut PgConnection, assets: &[String]) -> anyhow::Result<()> {
    let begin = Instant::now();
    let all: Vec<(String, &str, String)> = texts(&assets[..assets.len().min(TEXTS)]).collect();
    for portion in all.chunks(PORTION) {
        sqlx::query(
            "insert into suggestion (id, asset_id, analyzer, kind, value, confidence, status, model, run_id, created_at,
                 asset_at, kind_order)
             select t.id, a.id, 'text', 'text', t.value, 0.9, 'pending', 'text-model@2', 1, a.created_at, a.created_at, 5
             from unnest($1::text[], $2::text[], $3::text[]) t (id, asset, value) join asset a on a.id = t.asset",
        )
        .bind(portion.iter().map(|text| text.0.as_str()).collect::<Vec<_>>())
        .bind(portion.iter().map(|text| text.1).collect::<Vec<_>>())
        .bind(portion.iter().map(|text| text.2.as_str()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query("update repair set finished_at = null, after = '' where name = 'texts'")
        .execute(&mut *connection)
        .await?;
    println!("{} texts in {:.0?}", all.len(), begin.elapsed());
    Ok(())
}
