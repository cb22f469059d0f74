//! Workers, broker, ledger and index that die again and again: in the end the rows are those of a calm run. The workers'
//! disk is full from the beginning.
//!
//! `DOCENT_CHAOS=full` plays the long version: 2,000 pictures and 100 kills. `DOCENT_CHAOS=minutes` keeps each server
//! away for two and a half minutes. A failure prints its seed.

use std::time::{Duration, Instant};

use docent_tests::cluster::{Cluster, Worker};
use docent_tests::corpus;
use docent_tests::program::Docent;
use docent_tests::random::Random;
use docent_tests::rows::{Rows, differences};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const WORKERS: usize = 3;
const SEED: u64 = 20_262;

/// What is done to whom, and how often.
#[derive(Clone, Copy)]
struct Scale {
    pictures: usize,
    kills: usize,
    /// Of the broker, of the ledger, of the index, and cuts of all connections to the broker in the middle of a message.
    others: usize,
    /// How long a server is away after every worker has noticed.
    outage: Duration,
}

const SHORT: Scale = Scale { pictures: 160, kills: 8, others: 1, outage: Duration::ZERO };
const FULL: Scale = Scale { pictures: 2000, kills: 100, others: 5, ..SHORT };
const MINUTES: Scale = Scale { outage: Duration::from_secs(150), ..SHORT };

#[derive(Debug, Clone, Copy, PartialEq)]
enum Blow {
    KillWorker,
    RestartBroker,
    RestartLedger,
    LoseIndex,
    CutMidPublish,
}

const ANALYZERS: &str = "[analyzers]\nenabled = ['tags', 'embedding']\n";
const DONE: &str = "select count(*) from work where analyzer = 'embedding' and state = 'done'";
const WAITING: &str = "select count(*) from asset where pending is not null and lease_until is null";

#[test]
fn the_end_is_that_of_a_calm_run() {
    let scale = match std::env::var("DOCENT_CHAOS").as_deref() {
        Ok("full") => FULL,
        Ok("minutes") => MINUTES,
        _ => SHORT,
    };
    eprintln!("seed {SEED}, {} pictures", scale.pictures);
    let calm = Docent::new(PROGRAM);
    calm.configure(ANALYZERS);
    let pictures = calm.folder().join("pictures");
    corpus::write(&pictures, scale.pictures, SEED);
    std::fs::write(pictures.join("broken.jpg"), b"\xff\xd8\xff\xe0 and no more").expect("is written");
    calm.ingest(&pictures);
    let expected = Rows::of(&calm);
    assert_eq!(expected.failures.len(), 1);

    let cluster = Cluster::start();
    let torn = Docent::new(PROGRAM);
    // Few at once in the hands of each, so that there is something to feed until the end.
    let work = "[work]\nin_flight = 2\ngathered = 8\nretry_delay_ms = 200\n";
    // Short lanes, so that feeders publish until the end.
    let backends = cluster.configuration().replace("[backends]\n", "[backends]\nlane_capacity = 12\n");
    torn.configure(&format!("{ANALYZERS}{backends}{work}"));
    let registered = torn.ingest(&pictures);
    assert_eq!(registered["remaining"], scale.pictures + 1, "{registered}");
    assert_eq!(registered["queued"], true, "{registered}");

    let mut blows = vec![Blow::KillWorker; scale.kills];
    for blow in [Blow::RestartBroker, Blow::RestartLedger, Blow::LoseIndex] {
        blows.extend(vec![blow; scale.others]);
    }
    let mut random = Random::new(SEED);
    for place in (1..blows.len()).rev() {
        blows.swap(place, random.within(0, place as u32 + 1) as usize);
    }
    // At the end everything is in the lanes, and there is nothing to cut.
    for number in 1..=scale.others {
        blows.insert(number * blows.len() / (scale.others + 2), Blow::CutMidPublish);
    }
    let started = Instant::now();
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::start(&torn)).collect();
    for (number, blow) in blows.iter().enumerate() {
        // Blows fall evenly over the work, so that none falls on an idle system.
        let due = scale.pictures * number / blows.len();
        let done = cluster.until::<i64>(DONE, |done| *done >= due as i64);
        eprintln!("{:>6.1?}: {done} done, {blow:?}", started.elapsed());
        strike(&cluster, *blow, &mut workers, (&torn, scale.outage), &mut random);
    }
    cluster.until::<i64>(DONE, |done| *done >= scale.pictures as i64);
    cluster.until_nothing_is_left();
    for worker in &workers {
        worker.until(true);
    }
    let took = started.elapsed();
    let rate = scale.pictures as f64 / took.as_secs_f64();
    eprintln!("{} blows in {took:.0?}, {rate:.1} pictures per second", blows.len());

    // In order: nothing is in work, so each ends at once and well.
    for worker in workers {
        worker.end();
    }
    let found = Rows::of(&torn);
    let changes = differences(&expected.suggestions, &found.suggestions);
    assert!(expected.suggestions == found.suggestions, "seed {SEED}\n{changes}");
    let failures = differences(&expected.failures, &found.failures);
    assert!(expected.failures == found.failures, "seed {SEED}\n{failures}");
    assert_eq!(expected.counts, found.counts, "seed {SEED}");
    let counted = found.counts["suggestions"].as_object().expect("by status").values();
    let counted: u64 = counted.map(|count| count.as_u64().expect("a number")).sum();
    assert_eq!(found.suggestions.len() as u64, counted, "the listing is complete");
    let vectors = expected.counts["vectors"].as_object().expect("spaces").values();
    let vectors: u64 = vectors.map(|count| count.as_u64().expect("a number")).sum();
    assert_eq!(cluster.vectors(), vectors, "vectors in the index");
    assert_eq!(cluster.waiting(), [0, 0, 0], "messages in the lanes and among the dead");
    assert!(!torn.data().exists(), "a worker's disk was full all the time");
    let cuts = cluster.line.cuts();
    assert_eq!(cuts, scale.others);
    eprintln!(
        "{} suggestions, {} failures, {vectors} vectors: the same; {cuts} connections cut inside of a message",
        found.suggestions.len(),
        found.failures.len()
    );
}

fn strike(
    cluster: &Cluster,
    blow: Blow,
    workers: &mut Vec<Worker>,
    (docent, outage): (&Docent, Duration),
    random: &mut Random,
) {
    match blow {
        Blow::KillWorker => {
            let place = random.within(0, workers.len() as u32) as usize;
            let ended = workers.swap_remove(place).kill();
            assert_eq!(ended.code, None, "a worker ended by itself: {}", ended.stderr);
            workers.push(Worker::start(docent));
        }
        Blow::RestartBroker => {
            cluster.broker.kill();
            noticed(workers, outage);
            cluster.broker.resume().expect("RabbitMQ starts again");
        }
        Blow::RestartLedger => {
            cluster.ledger.kill();
            noticed(workers, outage);
            cluster.ledger.resume().expect("PostgreSQL starts again");
        }
        Blow::LoseIndex => {
            cluster.lose_index();
            noticed(workers, outage);
            cluster.index.resume();
        }
        Blow::CutMidPublish => {
            let left = cluster.until::<i64>(WAITING, |_| true);
            assert!(left > 0, "nothing is left to publish");
            cluster.cut_inside(b"\"uris\"");
        }
    }
}

/// Waits until every worker says that it is not ready: the outage was real. Then for the rest of the outage, in which
/// none may end or be ready.
fn noticed(workers: &[Worker], outage: Duration) {
    for worker in workers {
        worker.until(false);
    }
    let end = Instant::now() + outage;
    while Instant::now() < end {
        assert!(!workers.iter().any(Worker::ready), "a worker is ready without its servers");
        std::thread::sleep(Duration::from_secs(1));
    }
}
