//! Workers on shared servers: how long an upload takes during a backfill, and what a second worker adds.
//!
//!     cargo build --release
//!     cargo run --release -p docent-benches --bin workers -- upload [PICTURES]
//!     cargo run --release -p docent-benches --bin workers -- scaling [PICTURES]
//!
//! Starts RabbitMQ and PostgreSQL in temporary folders and, in this process, what answers like Qdrant. The workers are
//! `target/release/docent`, or what `DOCENT_PROGRAM` names, with all analyzers that are on by default. Times are the
//! ledger's: from the publication of a message to the transaction that stores its suggestions.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use docent::queue::message::encode_submission;
use docent_benches::quantile;
use docent_tests::cluster::{Cluster, Worker};
use docent_tests::corpus;
use docent_tests::program::{Docent, uri};
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};

/// Pictures handed in while the system is idle, and as many during the backfill.
const UPLOADS: usize = 60;
/// Pairs of runs with one worker and with two.
const ROUNDS: usize = 3;
const NOW: &str = "select docent_now()";

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let count = args.next().map(|count| count.parse()).transpose()?;
    match what.as_str() {
        "upload" => upload(count.unwrap_or(10_000)),
        "scaling" => scaling(count.unwrap_or(400)),
        _ => anyhow::bail!("say 'upload' or 'scaling'"),
    }
}

/// Pictures in the background, a few uploads, first alone and then in front of them.
fn upload(backfill: usize) -> anyhow::Result<()> {
    let cluster = Cluster::start();
    let docent = Docent::new(&program());
    docent.configure(&configuration(&cluster));
    let worker = Worker::start(&docent);
    worker.until(true);
    let uploads = corpus::write(&docent.folder().join("uploads"), 2 * UPLOADS + 5, 1);
    let (warm, rest) = uploads.split_at(5);
    let (idle, busy) = rest.split_at(UPLOADS);
    hand_in(&cluster, warm)?;

    let mut alone = hand_in(&cluster, idle)?;
    let archive = docent.folder().join("archive");
    corpus::write(&archive, backfill, 2);
    // Else the servers' own writes wait behind these pictures.
    std::process::Command::new("sync").status()?;
    docent.ingest(&archive);
    let begun: i64 = cluster.until("select count(*) from run", |runs: &i64| *runs > 5 + 50 + UPLOADS as i64);
    let since: i64 = cluster.until(NOW, |_| true);
    let mut loaded = hand_in(&cluster, busy)?;
    let until: i64 = cluster.until(NOW, |_| true);
    let done: i64 = cluster.until("select count(*) from run", |_| true);
    let pending: i64 = cluster.until("select count(*) from asset where pending is not null", |_| true);
    let seconds = (until - since) as f64 / 1e3;
    let rate = (done - begun - UPLOADS as i64) as f64 / seconds;

    println!("{:<34} {:>9} {:>9} {:>9}", "ms from message to suggestions", "median", "p95", "worst");
    for (what, times) in [("idle", &mut alone), ("during a backfill", &mut loaded)] {
        let [median, p95, worst] = [0.5, 0.95, 1.0].map(|share| quantile(times, share));
        println!("{what:<34} {median:>9.0} {p95:>9.0} {worst:>9.0}");
    }
    println!("ratio of the p95: {:.2}", quantile(&mut loaded, 0.95) / quantile(&mut alone, 0.95));
    for line in worker.get("/metrics").lines().filter(|line| line.starts_with("docent_queue_depth")) {
        println!("{line}");
    }
    println!(
        "backfill of {backfill}: {rate:.1} pictures/s beside {UPLOADS} uploads, {pending} left at the end"
    );
    worker.end();
    Ok(())
}

/// Hands pictures in one by one, at irregular intervals, and answers how long each took, in milliseconds.
fn hand_in(cluster: &Cluster, pictures: &[PathBuf]) -> anyhow::Result<Vec<f64>> {
    let url = cluster.broker.url();
    let (_connection, channel) = cluster.block_on(async {
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        anyhow::Ok((connection, channel))
    })?;
    let mut random = fastrand::Rng::with_seed(3);
    let mut sent = Vec::new();
    for picture in pictures {
        let place = uri(picture);
        let at: i64 = cluster.until(NOW, |_| true);
        let message = encode_submission(&place, None);
        let published = channel.basic_publish(
            "".into(),
            "docent.intake.interactive".into(),
            BasicPublishOptions::default(),
            &message,
            BasicProperties::default(),
        );
        cluster.block_on(published)?;
        sent.push((place, at));
        std::thread::sleep(Duration::from_millis(random.u64(500..1500)));
    }
    let stored = |(place, at): (String, i64)| {
        let question = format!(
            "select min(r.finished_at) from run r join asset_path p on p.asset_id = r.asset_id where p.uri = '{}'",
            place.replace('\'', "''")
        );
        let stored = cluster.until(&question, |at: &Option<i64>| at.is_some());
        (stored.unwrap_or_default() - at) as f64
    };
    Ok(sent.into_iter().map(stored).collect())
}

/// One worker on one core against two on two, in turns, the servers on the same.
fn scaling(pictures: usize) -> anyhow::Result<()> {
    let cluster = Cluster::start();
    let [one, other] = [0, 1].map(|core| pinned(core, &cluster));
    let archive = one.folder().join("archive");
    corpus::write(&archive, pictures, 4);
    one.ingest(&archive);
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        confine("0")?;
        let alone = rate(&cluster, &[&one], pictures);
        confine("0,1")?;
        let together = rate(&cluster, &[&one, &other], pictures);
        println!("{alone:.2} pictures/s with one, {together:.2} with two: {:.2}", together / alone);
        // The first pair reads everything into memory.
        if round > 0 {
            ratios.push(together / alone);
        }
    }
    println!("median of {ROUNDS}: {:.2} times the throughput", quantile(&mut ratios, 0.5));
    Ok(())
}

/// Pictures per second, without the first and the last twentieth.
fn rate(cluster: &Cluster, docents: &[&Docent], pictures: usize) -> f64 {
    let workers: Vec<Worker> = docents.iter().map(|docent| Worker::start(docent)).collect();
    workers.iter().for_each(|worker| worker.until(true));
    cluster.until_nothing_is_left();
    let before: i64 = cluster.until("select coalesce(max(id), 0) from run", |_| true);
    let again = docents[0].run(["retry", "--all", "--queue-only"]);
    assert!(again.code.is_some(), "{again:?}");
    let runs = format!("select count(*) from run where id > {before}");
    // Looking takes time from the workers, so not often.
    while cluster.until(&runs, |_: &i64| true) < pictures as i64 {
        std::thread::sleep(Duration::from_secs(1));
    }
    cluster.until_nothing_is_left();
    let middle = format!(
        "select percentile_disc(0.95) within group (order by finished_at)
              - percentile_disc(0.05) within group (order by finished_at) from run where id > {before}"
    );
    let milliseconds: i64 = cluster.until(&middle, |_| true);
    for worker in workers {
        worker.end();
    }
    0.9 * pictures as f64 / (milliseconds as f64 / 1e3)
}

/// Lets this process, which is the index, and the servers it started run on `cores` only: a core that the worker alone
/// does not have would be theirs, and make it look better than one on one core is.
fn confine(cores: &str) -> anyhow::Result<()> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // The name, in parentheses, may contain anything.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (id, parent)));
    }
    let mut family = vec![std::process::id()];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(id, _)| *id));
        at += 1;
    }
    for id in family {
        // One that has ended meanwhile needs no core.
        std::process::Command::new("taskset").args(["-acp", cores, &id.to_string()]).output()?;
    }
    Ok(())
}

/// docent on one core.
fn pinned(core: usize, cluster: &Cluster) -> Docent {
    let folder = std::env::temp_dir().join(format!("docent-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let script = folder.join(format!("docent-on-{core}"));
    std::fs::write(&script, format!("#!/bin/sh\nexec taskset -c {core} {} \"$@\"\n", program()))
        .expect("is written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("may be run");
    let docent = Docent::new(&script.to_string_lossy());
    docent.configure(&configuration(cluster));
    docent
}

fn configuration(cluster: &Cluster) -> String {
    let servers = cluster.configuration().replace("level = 'debug,sqlx::query=info'", "level = 'info'");
    let in_flight = std::env::var("DOCENT_WORK_IN_FLIGHT").unwrap_or_else(|_| "0".to_owned());
    format!("{servers}[work]\nin_flight = {in_flight}\n")
}

fn program() -> String {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/docent");
    std::env::var("DOCENT_PROGRAM").unwrap_or_else(|_| built.to_string_lossy().into_owned())
}
