//! Workers, broker, ledger and index that die again and again: in the end the rows are those of a calm run.
//!
//! `DOCENT_CHAOS=full` plays the long version: 2,000 pictures and 100 kills. A failure prints its seed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use docent::vectors::{QdrantIndex, QdrantOptions, VectorIndex};
use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use docent_tests::qdrant::QdrantServer;
use docent_tests::random::Random;
use docent_tests::rows::{Rows, differences};
use docent_tests::servers::{PostgresServer, RabbitServer};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use sqlx::{Connection as _, PgConnection};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const WORKERS: usize = 3;
const SEED: u64 = 20_262;
/// Nothing takes longer, between one blow and the next.
const PATIENCE: Duration = Duration::from_secs(240);

/// What is done to whom, and how often.
#[derive(Clone, Copy)]
struct Scale {
    pictures: usize,
    kills: usize,
    restarts: usize,
}

const SHORT: Scale = Scale { pictures: 160, kills: 8, restarts: 1 };
const FULL: Scale = Scale { pictures: 2000, kills: 100, restarts: 5 };

#[derive(Debug, Clone, Copy, PartialEq)]
enum Blow {
    KillWorker,
    RestartBroker,
    RestartLedger,
    LoseIndex,
}

struct Servers {
    ledger: PostgresServer,
    broker: RabbitServer,
    index: QdrantServer,
}

/// A worker, and where it answers.
struct Worker {
    run: Running,
    address: String,
}

const ANALYZERS: &str = "[analyzers]\nenabled = ['tags', 'embedding']\n";

#[test]
fn the_end_is_that_of_a_calm_run() {
    let scale = match std::env::var("DOCENT_CHAOS").as_deref() {
        Ok("full") => FULL,
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

    let servers = Servers {
        ledger: PostgresServer::start().expect("PostgreSQL starts"),
        broker: RabbitServer::start().expect("RabbitMQ starts"),
        index: QdrantServer::start(),
    };
    let torn = Docent::new(PROGRAM);
    torn.configure(&servers.configuration());
    let registered = torn.ingest(&pictures);
    assert_eq!(registered["remaining"], scale.pictures + 1, "{registered}");
    assert_eq!(registered["queued"], true, "{registered}");

    let mut blows = vec![Blow::KillWorker; scale.kills];
    for blow in [Blow::RestartBroker, Blow::RestartLedger, Blow::LoseIndex] {
        blows.extend(vec![blow; scale.restarts]);
    }
    let mut random = Random::new(SEED);
    for place in (1..blows.len()).rev() {
        blows.swap(place, random.within(0, place as u32 + 1) as usize);
    }
    let started = Instant::now();
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::start(&torn)).collect();
    for (number, blow) in blows.iter().enumerate() {
        // Blows fall evenly over the work, so that none falls on an idle system.
        let due = scale.pictures * number / blows.len();
        let done = servers.wait_until(|done| done >= due as i64);
        eprintln!("{:>6.1?}: {done} done, {blow:?}", started.elapsed());
        servers.strike(*blow, &mut workers, &torn, &mut random);
    }
    servers.wait_until(|done| done >= scale.pictures as i64);
    servers.wait_until_nothing_is_left();
    for worker in &workers {
        worker.until(|ready| ready, "ready again");
    }
    let took = started.elapsed();
    eprintln!(
        "{} blows in {took:.0?}, {:.1} pictures per second",
        blows.len(),
        scale.pictures as f64 / took.as_secs_f64()
    );

    // In order: nothing is in work, so each ends at once and well.
    for worker in workers {
        worker.run.signal("TERM");
        worker.run.wait().expect(0);
    }
    let found = Rows::of(&torn);
    let changes = differences(&expected.suggestions, &found.suggestions);
    assert!(expected.suggestions == found.suggestions, "seed {SEED}\n{changes}");
    let failures = differences(&expected.failures, &found.failures);
    assert!(expected.failures == found.failures, "seed {SEED}\n{failures}");
    assert_eq!(expected.counts, found.counts, "seed {SEED}");
    let vectors = expected.counts["vectors"].as_object().expect("spaces").values();
    let vectors: u64 = vectors.map(|count| count.as_u64().expect("a number")).sum();
    assert_eq!(servers.vectors(), vectors, "vectors in the index");
    assert_eq!(servers.waiting(), [0, 0, 0], "messages in the lanes and among the dead");
    assert!(!torn.data().exists(), "workers need no disk: there is nothing to fill");
    eprintln!(
        "{} suggestions, {} failures, {vectors} vectors: the same",
        found.suggestions.len(),
        found.failures.len()
    );
}

impl Servers {
    fn configuration(&self) -> String {
        format!(
            "{ANALYZERS}[backends]\nqueue = '{}'\nstore = '{}'\nvectors = '{}'\n[worker]\nlisten = '127.0.0.1:0'\n\
             [work]\nin_flight = 3\nretry_delay_ms = 200\n",
            self.broker.url(),
            self.ledger.url("postgres"),
            self.index.url()
        )
    }

    fn strike(&self, blow: Blow, workers: &mut Vec<Worker>, docent: &Docent, random: &mut Random) {
        match blow {
            Blow::KillWorker => {
                let place = random.within(0, workers.len() as u32) as usize;
                assert!(workers.swap_remove(place).run.kill(), "a worker ended by itself");
                workers.push(Worker::start(docent));
            }
            Blow::RestartBroker => {
                self.broker.kill();
                noticed(workers);
                self.broker.resume().expect("RabbitMQ starts again");
            }
            Blow::RestartLedger => {
                self.ledger.kill();
                noticed(workers);
                self.ledger.resume().expect("PostgreSQL starts again");
            }
            Blow::LoseIndex => {
                let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                runtime.block_on(self.index.stop());
                noticed(workers);
                self.index.resume();
            }
        }
    }

    /// Waits until so many assets are decoded and recorded, and answers how many are.
    fn wait_until(&self, enough: impl Fn(i64) -> bool) -> i64 {
        self.ask("select count(*) from work where analyzer = 'embedding' and state = 'done'", enough)
    }

    fn wait_until_nothing_is_left(&self) {
        self.ask(
            "select count(*) from asset where ready_at is not null or lease_until is not null",
            |left| left == 0,
        );
        let deadline = Instant::now() + PATIENCE;
        while self.waiting()[..2] != [0, 0] {
            assert!(Instant::now() < deadline, "messages are left: {:?}", self.waiting());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn ask(&self, question: &'static str, enough: impl Fn(i64) -> bool) -> i64 {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            assert!(Instant::now() < deadline, "seed {SEED}: {question}: still {last:?} after {PATIENCE:?}");
            last = runtime.block_on(async {
                let mut connection = PgConnection::connect(&self.ledger.url("postgres")).await.ok()?;
                sqlx::query_scalar(question).fetch_one(&mut connection).await.ok()
            });
            match last {
                Some(number) if enough(number) => return number,
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Messages in both lanes and among the dead.
    fn waiting(&self) -> [u32; 3] {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        ["docent.interactive", "docent.backfill", "docent.dead"]
            .map(|queue| runtime.block_on(messages(&self.broker.url(), queue)).expect("the broker answers"))
    }

    /// Vectors in the index, over all spaces.
    fn vectors(&self) -> u64 {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let index = QdrantIndex::connect(QdrantOptions::new(self.index.url())).expect("is set up");
            let mut sum = 0;
            for space in index.spaces().await.expect("lists") {
                sum += index.count(&space).await.expect("counts");
            }
            sum
        })
    }
}

/// Messages that wait in a queue.
async fn messages(url: &str, queue: &str) -> lapin::Result<u32> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    Ok(channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
}

/// Waits until every worker says that it is not ready: the outage was real.
fn noticed(workers: &[Worker]) {
    for worker in workers {
        worker.until(|ready| !ready, "away");
    }
}

impl Worker {
    fn start(docent: &Docent) -> Self {
        let mut run = docent.start(["worker"]);
        run.until_printed("http://127.0.0.1:");
        let printed = run.stdout().lines().next().unwrap_or_default();
        let address = printed.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { run, address }
    }

    /// Whether it says that it can work.
    fn ready(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        let answer = ask().expect("a worker answers whatever happens");
        assert!(!answer.contains("not-a-secret") && !answer.contains("guest"), "{answer}");
        answer.starts_with("HTTP/1.1 200")
    }

    fn until(&self, wanted: impl Fn(bool) -> bool, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self.ready()) {
            assert!(
                Instant::now() < deadline,
                "seed {SEED}: {} is not {what} after {PATIENCE:?}",
                self.address
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
