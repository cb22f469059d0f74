//! How long the API takes over a large archive, for every filter it has; how much memory; and whether its statements seek.
//!
//!     cargo run --release -p docent-benches --bin filters -- postgres [ASSETS [QUESTIONS]]
//!     cargo run --release -p docent-benches --bin filters -- sqlite [ASSETS [QUESTIONS]]
//!     cargo run --release -p docent-benches --bin filters -- postgres control [ASSETS]
//!     cargo run --release -p docent-benches --bin filters -- sqlite control [ASSETS]
//!     cargo run --release -p docent-benches --bin filters -- writes
//!
//! Fills a ledger of its own with `benches/sql/filters.*.sql`: 1,000,000 assets and 5,000,000 suggestions on a PostgreSQL
//! server of its own (or an empty database at `DOCENT_TEST_POSTGRES_URL`), 400,000 and 2,000,000 in a file. 400,000 assets get a
//! text of about twenty words besides. QUESTIONS is a part of the names of those that are asked, as in `by=text`. With
//! `DOCENT_BENCH_LEDGER` an address or a file that such a run filled before is asked again, and nothing is filled.
//! Requests go through the API's routes, in this process; the index of vectors is an imitation that answers at once.
//!
//! A question is one line in `questions`. `control` asks what the walk, its feeders and the repairs ask instead. `writes` compares what recording costs with the indexes of this version and with
//! those of the one before.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

#[path = "filters/archive.rs"]
mod archive;
#[path = "filters/control.rs"]
mod control;
#[path = "filters/plans.rs"]
mod plans;
#[path = "filters/texts.rs"]
mod texts;
#[path = "filters/writes.rs"]
mod writes;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use archive::Archive;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use docent_benches::quantile;
use plans::Plans;
use tower::ServiceExt;

/// Each question is asked so often alone …
const TIMES: usize = 20;
/// … and so many ask together, so often.
const TOGETHER: usize = 8;
const ROUNDS: usize = 3;
/// What the API promises: milliseconds at the 95th percentile, and MiB.
const PROMISED: (f64, f64) = (200.0, 50.0);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let plans = Plans::listen();
    let mut args = std::env::args().skip(1).peekable();
    let what = args.next().unwrap_or_default();
    let control = args.next_if(|word| word == "control").is_some();
    let assets = args.next().map(|text| text.parse()).transpose()?;
    let only = args.next().unwrap_or_default();
    let archive = match what.as_str() {
        "postgres" => Archive::postgres(assets.unwrap_or(1_000_000)).await?,
        "sqlite" => Archive::sqlite(assets.unwrap_or(400_000)).await?,
        "writes" => return writes::compare().await,
        _ => anyhow::bail!("say 'postgres', 'sqlite' or 'writes'"),
    };
    if control {
        return control::measure(&archive, &plans).await;
    }
    let archive = Arc::new(archive);
    println!(
        "\n{:<58} {:>7} {:>7} {:>7} {:>8} {:>7}  plans",
        "milliseconds", "p50", "p95", "worst", "8 at once", "MiB"
    );
    let mut broken = 0;
    for Question { name, ask } in questions().into_iter().filter(|question| question.name.contains(&only)) {
        plans.forget();
        ask(Arc::clone(&archive), 0).await?;
        let statements = plans.heard();
        let memory = Memory::begin()?;
        let mut alone = Vec::new();
        for turn in 0..TIMES {
            let begin = Instant::now();
            ask(Arc::clone(&archive), turn).await?;
            alone.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
        let mut together = Vec::new();
        for round in 0..ROUNDS {
            let begin = Instant::now();
            let asking = (0..TOGETHER).map(|n| tokio::spawn(ask(Arc::clone(&archive), round * TOGETHER + n)));
            for asked in asking.collect::<Vec<_>>() {
                asked.await??;
            }
            together.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
        let mib = memory.grown()?;
        let [p50, p95, worst] = [0.5, 0.95, 1.0].map(|share| quantile(&mut alone, share));
        let kept = p95 <= PROMISED.0 && mib <= PROMISED.1;
        broken += usize::from(!kept);
        let plan = archive.explain(&statements, true).await?;
        println!(
            "{name:<58} {p50:>7.1} {p95:>7.1} {worst:>7.1} {:>8.1} {mib:>7.1}  {plan}{}",
            quantile(&mut together, 0.5),
            if kept { "" } else { "  <- more than promised" },
        );
    }
    println!("\n{broken} questions took more than {} ms (p95) or {} MiB", PROMISED.0, PROMISED.1);
    Ok(())
}

type Asking = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// One row of the table: a name, and what is asked the n-th time.
struct Question {
    name: String,
    ask: Box<dyn Fn(Arc<Archive>, usize) -> Asking>,
}

/// A request to the API; `{n}` in its address differs each time.
fn get(address: &str) -> Question {
    let path = format!("/api/v1/{address}");
    let ask = move |archive: Arc<Archive>, turn: usize| -> Asking {
        let path = path.replace("{n}", &turn.to_string()).replace("{asset}", archive.asset(turn));
        Box::pin(async move {
            let request = Request::get(&path).header("host", "127.0.0.1").body(Body::empty())?;
            let answer = archive.router.clone().oneshot(request).await?;
            ensure!(answer.status().is_success(), "{path}: {}", answer.status());
            to_bytes(answer.into_body(), 64 << 20).await?;
            Ok(())
        })
    };
    Question { name: address.to_owned(), ask: Box::new(ask) }
}

/// A request to the API that asks with a body.
fn post(address: &str, body: &str) -> Question {
    let (path, sent) = (format!("/api/v1/{address}"), body.to_owned());
    let ask = move |archive: Arc<Archive>, _: usize| -> Asking {
        let (path, sent) = (path.clone(), sent.clone());
        Box::pin(async move {
            let request = Request::post(&path)
                .header("host", "127.0.0.1")
                .header("content-type", "application/json")
                .body(Body::from(sent))?;
            let answer = archive.router.clone().oneshot(request).await?;
            ensure!(answer.status().is_success(), "{path}: {}", answer.status());
            Ok(())
        })
    };
    Question { name: format!("{address} {body}"), ask: Box::new(ask) }
}

/// Everything that is asked. Statements that are no request are added as closures over `archive.store`.
fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    let suggestions = [
        "",
        "status=pending",
        "status=superseded",
        "kind=face",
        "kind=emotion",
        "status=pending&kind=face",
        "status=superseded&kind=emotion",
        "min_confidence=0.5",
        "min_confidence=0.97",
        "min_confidence=0.99",
        "status=pending&min_confidence=0.97",
        "status=pending&kind=face&min_confidence=0.99",
        "value=picture",
        "value=unicorn",
        "value=thing%20{n}",
        "status=accepted&value=picture",
        "value=picture&min_confidence=0.99",
        "asset={asset}",
        "path=/archive",
        "path=/archive/1",
        "path=/archive/3/{n}",
        "path=/years/{n}",
        "path=/few",
        "path=/nowhere",
        "path=/archive/1&status=pending",
        "path=/archive/1&status=superseded",
        "path=/archive/3&min_confidence=0.97",
        "path=/archive/3&min_confidence=0.99",
        "path=/archive/3&value=unicorn",
        "path=/few&value=picture",
        "owner=ada",
        "owner=bob",
        "owner=ada&status=superseded",
        "owner=ada&path=/archive/1",
        "owner=bob&path=/years",
        "owner=ada&min_confidence=0.97&kind=tag",
    ];
    for filter in suggestions {
        all.push(get(&format!("suggestions?{filter}")));
    }
    for question in ["", "/terms?parent=top&limit=200", "/terms?q=th", "/log"] {
        all.push(get(&format!("vocabulary{question}")));
    }
    all.push(get("suggestions?status=pending&limit=1000"));
    all.push(get("suggestions?min_confidence=0.97&limit=1000"));
    for filter in suggestions {
        all.push(get(&format!("suggestions/count?{filter}")));
    }
    let assets = [
        "",
        "tag=picture",
        "tag=unicorn",
        "tag=thing%20{n}",
        "kind=face",
        "kind=emotion",
        "status=pending",
        "status=pending&no_proposals=true",
        "status=superseded",
        "min_confidence=0.5",
        "min_confidence=0.97",
        "min_confidence=0.99",
        "kind=face&min_confidence=0.97",
        "kind=face&min_confidence=0.9",
        "kind=emotion&status=superseded",
        "path=/archive",
        "path=/archive/1",
        "path=/archive/3/{n}",
        "path=/years/{n}",
        "path=/few",
        "path=/nowhere",
        "path=/archive/1&status=superseded",
        "path=/archive/1&tag=unicorn",
        "path=/archive/1&kind=face&min_confidence=0.97",
        "owner=ada",
        "owner=bob",
        "owner=ada&tag=picture",
        "owner=ada&path=/archive/1",
        "owner=bob&path=/years",
    ];
    for filter in assets {
        all.push(get(&format!("assets?{filter}")));
    }
    for order in ["newest", "place", "date"] {
        for filter in [
            "",
            "status=pending",
            "status=superseded",
            "min_confidence=0.99",
            "kind=emotion&status=superseded",
            "path=/archive",
            "path=/archive/3/{n}",
            "path=/few",
            "owner=ada",
        ] {
            all.push(get(&format!("assets?order={order}&viewable=true&limit=200&{filter}")));
        }
    }
    for filter in [r#""kind":"tag""#, r#""path":"/archive/1""#, r#""value":"unicorn""#] {
        all.push(post(
            "suggestions/accept-all/preview",
            &format!(r#"{{"min_confidence":0.0,"viewable":true,{filter}}}"#),
        ));
    }
    all.push(get("reviews/last"));
    all.push(get("assets?limit=1000"));
    all.push(get("assets?kind=face&min_confidence=0.9&limit=1000"));
    for filter in assets {
        all.push(get(format!("search?q=x&{filter}").replace("&&", "&").trim_end_matches('&')));
    }
    all.push(get("search?q=x&status=pending&k=1000"));
    all.extend(of_texts());
    all.push(get("assets/{asset}/similar?status=pending"));
    for path in
        ["assets/{asset}", "assets/{asset}/suggestions", "status", "failures", "failures?limit=1000", "jobs"]
    {
        all.push(get(path));
    }
    all
}

/// Searches by the words in pictures. The number of a word is its place among the words, the most common first.
fn of_texts() -> Vec<Question> {
    let words = texts::words();
    let word = |place: usize| words[place].as_str();
    // Of the rare words one that is long enough to have a piece.
    let long = words.iter().skip(WORD_OF_TEN_TEXTS).find(|word| word.len() > 9).map_or("", String::as_str);
    let two = format!("{}+{}", word(20), word(300));
    let asked = [
        ("word 40,000, rare", word(40_000).to_owned()),
        ("word 1000", word(1000).to_owned()),
        ("word 1, common", word(0).to_owned()),
        ("words 20 and 300", two.clone()),
        ("words 1 and 2", format!("{}+{}", word(0), word(1))),
        ("words 1 to 8", words[..8].join("+")),
        ("words 1 and 2 in a row", format!("%22{}+{}%22", word(0), word(1))),
        ("a piece of a rare word", long.get(1..8).unwrap_or_default().to_owned()),
        ("a piece of common words", "sch".to_owned()),
        ("beginning of common words", "scha&unfinished=true".to_owned()),
        ("no word", "qqqqqqqq".to_owned()),
    ];
    let mut all: Vec<Question> =
        asked.iter().map(|(name, q)| named(name, &format!("search?by=text&q={q}"))).collect();
    for filter in
        ["tag=picture", "owner=ada", "owner=bob", "path=/few", "path=/archive/1", "min_confidence=0.97"]
    {
        for (name, q) in [("word 1, common", word(0)), ("words 20 and 300", two.as_str())] {
            all.push(named(&format!("{name}, {filter}"), &format!("search?by=text&q={q}&{filter}")));
        }
    }
    all.push(named("words 20 and 300, meaning too", &format!("search?q={two}&k=20")));
    all.push(named("words 20 and 300, meaning too, page", &format!("search?q={two}&k=200")));
    all
}

/// From this place on a word is in ten texts or so.
const WORD_OF_TEN_TEXTS: usize = 40_000;

/// A request under another name, which says that texts are searched.
fn named(name: &str, address: &str) -> Question {
    Question { name: format!("by=text: {name}"), ..get(address) }
}

/// What this process holds.
struct Memory(f64);

impl Memory {
    fn begin() -> anyhow::Result<Self> {
        // Forgets the most that was ever held.
        std::fs::write("/proc/self/clear_refs", "5")?;
        Ok(Self(field("VmRSS")?))
    }

    /// By how many MiB it grew in between, at most.
    fn grown(&self) -> anyhow::Result<f64> {
        Ok((field("VmHWM")? - self.0).max(0.0))
    }
}

fn field(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).unwrap_or("0").parse()?;
    Ok(kib / 1024.0)
}
