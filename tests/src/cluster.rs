//! Workers on servers of a test's own: broker, ledger and index, any of which it may take away.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use docent::vectors::{QdrantIndex, QdrantOptions, VectorIndex};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Runtime;

use crate::program::{Docent, Ended, Running};
use crate::proxy::Proxy;
use crate::qdrant::QdrantServer;
use crate::servers::{PostgresServer, RabbitServer};

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(240);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Passwords and keys in the addresses, which nothing may show.
const SECRETS: [&str; 3] = ["not-a-secret", "guest:guest", KEY];
const KEY: &str = "key-of-the-index";
/// Seconds of the delay queues that docent makes beforehand.
const DELAYS: [u32; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// The servers.
pub struct Cluster {
    /// PostgreSQL.
    pub ledger: PostgresServer,
    /// RabbitMQ.
    pub broker: RabbitServer,
    /// Qdrant's place.
    pub index: QdrantServer,
    /// Stands between all workers and the broker.
    pub line: Proxy,
    runtime: Runtime,
}

impl Cluster {
    /// Starts all servers.
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let broker = RabbitServer::start().expect("RabbitMQ starts");
        Self {
            ledger: PostgresServer::start().expect("PostgreSQL starts"),
            line: runtime.block_on(Proxy::to(format!("127.0.0.1:{}", broker.port()))),
            broker,
            index: QdrantServer::start(),
            runtime,
        }
    }

    /// The part of a configuration that names the servers.
    pub fn configuration(&self) -> String {
        let mut queue = url::Url::parse(&self.broker.url()).expect("is an address");
        queue.set_port(Some(self.line.port())).expect("a port");
        format!(
            "[backends]\nqueue = '{queue}'\nstore = '{}'\nvectors = '{}'\nvectors_key = '{KEY}'\nevents = true\n\
             [worker]\nlisten = '127.0.0.1:0'\n[log]\nlevel = 'debug,sqlx::query=info'\n",
            self.ledger.url("postgres"),
            self.index.url()
        )
    }

    /// The answer of the ledger, once it is `enough`.
    pub fn until<T>(&self, question: &str, enough: impl Fn(&T) -> bool) -> T
    where
        T: Send
            + Unpin
            + std::fmt::Debug
            + for<'r> sqlx::Decode<'r, sqlx::Postgres>
            + sqlx::Type<sqlx::Postgres>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut connection = None;
        loop {
            let answer = self.runtime.block_on(async {
                if connection.is_none() {
                    connection = PgConnection::connect(&self.ledger.url("postgres")).await.ok();
                }
                let question = sqlx::AssertSqlSafe(question.to_owned());
                sqlx::query_scalar(question).fetch_one(connection.as_mut()?).await.ok()
            });
            match answer {
                Some(answer) if enough(&answer) => return answer,
                None => connection = None,
                Some(_) => {}
            }
            assert!(Instant::now() < deadline, "{question}: not so after {PATIENCE:?}");
            std::thread::sleep(LOOK);
        }
    }

    /// Changes something in the ledger.
    pub fn execute(&self, statements: &'static str) {
        self.runtime.block_on(async {
            let url = self.ledger.url("postgres");
            let mut connection = PgConnection::connect(&url).await.expect("the ledger answers");
            sqlx::raw_sql(statements).execute(&mut connection).await.expect("is done");
        });
    }

    /// Waits until no work is left in the ledger and no message in the lanes.
    pub fn until_nothing_is_left(&self) {
        let left = "select count(*) from asset where pending is not null or lease_until is not null";
        self.until::<i64>(left, |left| *left == 0);
        // What the vocabulary says follows a moment later.
        let behind = "select case
                 when not exists (select 1 from term where state = 'present')
                     or not exists (select 1 from vector where space like 'picture/%') then 0
                 when not exists (select 1 from term_match) then 1
                 else (select count(*) from term_match m where applied <
                     (select coalesce(max(sequence), 0) from vector v where v.space = m.space)) end";
        self.until::<i64>(behind, |behind| *behind == 0);
        let deadline = Instant::now() + PATIENCE;
        while self.waiting()[..2] != [0, 0] {
            assert!(Instant::now() < deadline, "messages are left: {:?}", self.waiting());
            std::thread::sleep(LOOK);
        }
    }

    /// Messages in both lanes, with what other programs submitted to them and what waits for a retry, and among the dead.
    pub fn waiting(&self) -> [u32; 3] {
        let url = self.broker.url();
        ["interactive", "backfill", "dead"].map(|of| {
            let mut queues = vec![format!("docent.{of}")];
            match of {
                "dead" => queues.push("docent.undelivered".to_owned()),
                lane => {
                    queues.push(format!("docent.intake.{lane}"));
                    queues.extend(DELAYS.map(|seconds| format!("docent.{lane}.delay.{seconds}s")));
                }
            }
            self.runtime.block_on(messages(&url, &queues)).expect("the broker answers")
        })
    }

    /// Vectors in the index, over all spaces.
    pub fn vectors(&self) -> u64 {
        self.runtime.block_on(async {
            let index = QdrantIndex::connect(QdrantOptions::new(self.index.url())).expect("is set up");
            let mut sum = 0;
            for space in index.spaces().await.expect("lists") {
                sum += index.count(&space).await.expect("counts");
            }
            sum
        })
    }

    /// Takes the index away.
    pub fn lose_index(&self) {
        self.runtime.block_on(self.index.stop());
    }

    /// Cuts all connections to the broker in the middle of the next message with `marker` in it.
    pub fn cut_inside(&self, marker: &[u8]) {
        let before = self.line.cuts();
        self.line.cut_inside(marker);
        let deadline = Instant::now() + PATIENCE;
        while self.line.cuts() == before {
            assert!(Instant::now() < deadline, "nothing with such a marker was sent");
            std::thread::sleep(LOOK);
        }
    }

    /// Runs something asynchronous.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

/// Messages that wait in `queues`, all together.
async fn messages(url: &str, queues: &[String]) -> lapin::Result<u32> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut waiting = 0;
    for queue in queues {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await?;
        waiting += declared.message_count();
    }
    connection.close(0, "".into()).await?;
    Ok(waiting)
}

/// A worker, and where it answers.
pub struct Worker {
    run: Running,
    address: String,
}

impl Worker {
    /// Starts one, with a disk that is full, and waits until it answers.
    pub fn start(docent: &Docent) -> Self {
        Self::of(docent.start_without_disk(["worker"]))
    }

    /// Takes a worker that was started, and waits until it answers.
    pub fn of(mut run: Running) -> Self {
        run.until_printed("http://127.0.0.1:");
        let printed = run.stdout().lines().next().unwrap_or_default();
        let address = printed.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { run, address }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.run.pid()
    }

    /// Whether it says that it can work.
    pub fn ready(&self) -> bool {
        self.get("/readyz").starts_with("HTTP/1.1 200")
    }

    /// What it answers, whatever happens around it.
    pub fn get(&self, path: &str) -> String {
        let ask = || {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            std::io::Result::Ok(answer)
        };
        let answer = ask().expect("a worker answers");
        without_secrets(&answer);
        answer
    }

    /// Waits until it says that it can work, or that it cannot.
    pub fn until(&self, ready: bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.ready() != ready {
            assert!(Instant::now() < deadline, "{} is not ready = {ready} after {PATIENCE:?}", self.address);
            std::thread::sleep(LOOK);
        }
    }

    /// Ends it as a power cut would. Its exit code is there if it had ended by itself.
    pub fn kill(self) -> Ended {
        let ended = self.run.kill();
        without_secrets(&ended.stderr);
        ended
    }

    /// Ends it in order.
    pub fn end(self) -> Ended {
        self.get("/metrics");
        self.run.signal("TERM");
        let ended = self.run.wait().expect(0);
        without_secrets(&ended.stderr);
        ended
    }
}

/// Nothing that is said anywhere contains a password or a key.
fn without_secrets(text: &str) {
    for secret in SECRETS {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "a secret is told: {}", line.unwrap_or_default());
    }
}
