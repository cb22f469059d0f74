//! Whether a large archive slows the walk down: pictures per second beside hundreds of thousands of other assets.
//!
//!     cargo build --release
//!     cargo run --release -p docent-benches --bin archive -- sqlite [ASSETS] [ANALYZER,...]
//!     cargo run --release -p docent-benches --bin archive -- postgres [ASSETS] [ANALYZER,...]
//!     cargo run --release -p docent-benches --bin archive -- idle [ASSETS]
//!
//! The same 300 pictures are analyzed in turns with a ledger that holds nothing else, with one that holds ASSETS more that
//! are pending, and with one that holds ASSETS more that are done. Rates are the ledger's, without the first and the last
//! twentieth of a run. `idle` measures what a worker costs PostgreSQL that has nothing to do.
//!
//! The program is `target/release/docent`, or what `DOCENT_PROGRAM` names. PostgreSQL is started in a temporary folder.

#![allow(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use docent_benches::quantile;
use docent_tests::corpus;
use docent_tests::program::Docent;
use docent_tests::servers::Database;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

const PICTURES: usize = 300;
const ROUNDS: usize = 4;
/// A worker without work is watched this long.
const IDLE: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let assets = args.next().map(|count| count.parse()).transpose()?;
    let only = args.next();
    let runtime = tokio::runtime::Runtime::new()?;
    match what.as_str() {
        "sqlite" => compare(&runtime, false, assets.unwrap_or(400_000), only.as_deref()),
        "postgres" => compare(&runtime, true, assets.unwrap_or(1_000_000), only.as_deref()),
        "idle" => idle(&runtime, assets.unwrap_or(1_000_000)),
        _ => anyhow::bail!("say 'sqlite', 'postgres' or 'idle'"),
    }
}

/// One ledger with the pictures in it.
struct Archive {
    docent: Docent,
    database: Option<Database>,
}

impl Archive {
    fn new(
        runtime: &tokio::runtime::Runtime,
        shared: bool,
        pictures: &Path,
        options: &str,
    ) -> anyhow::Result<Self> {
        let docent = Docent::new(&program());
        let database = if shared { Some(runtime.block_on(Database::new())?) } else { None };
        if let Some(database) = &database {
            docent.configure(&format!(
                "[backends]\nstore = '{}'\n[worker]\nlisten = '127.0.0.1:0'\n{options}",
                database.url()
            ));
        }
        docent.ingest(pictures);
        Ok(Self { docent, database })
    }

    fn execute(&self, runtime: &tokio::runtime::Runtime, statement: String) -> anyhow::Result<()> {
        runtime.block_on(async {
            if let Some(database) = &self.database {
                let mut connection = PgConnection::connect(database.url()).await?;
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            } else {
                let mut connection = self.file().await?;
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            }
            Ok(())
        })
    }

    async fn file(&self) -> anyhow::Result<SqliteConnection> {
        let options = SqliteConnectOptions::new()
            .filename(self.docent.data().join("ledger.sqlite"))
            .busy_timeout(Duration::from_secs(60));
        Ok(SqliteConnection::connect_with(&options).await?)
    }

    /// Fills the ledger with assets in `state`; they come after the pictures.
    fn fill(&self, runtime: &tokio::runtime::Runtime, assets: u64, state: &str) -> anyhow::Result<()> {
        let (series, hash) = if self.database.is_some() {
            (format!("select i from generate_series(1, {assets}) i"), "md5('asset ' || i)")
        } else {
            let series = format!(
                "with recursive n (i) as (select 1 union all select i + 1 from n where i < {assets}) select i from n"
            );
            (series, "printf('%016x%016x', (i * 2654435761) % 4294967296, i)")
        };
        let (at_column, at) = if self.database.is_some() { (", asset_at", ", created_at") } else { ("", "") };
        let work: Vec<String> = ["caption", "decode", "embedding", "faces", "objects", "tags", "text"]
            .iter()
            .map(|analyzer| format!("select '{analyzer}' as name"))
            .collect();
        let names = "'caption,decode,embedding,faces,objects,tags,text'";
        let due = if state == "pending" { names } else { "null" };
        self.execute(
            runtime,
            format!(
                "insert into asset (id, content_hash, bytes, lane, created_at, pending, due)
                     select id, id || id, 100, 1, 4000000000000 + i, {due}, {due}
                     from (select i, {hash} as id from ({series}) n) f;
                 insert into asset_path (uri, asset_id, bytes, modified_ns, seen_at{at_column})
                     select 'file:///nowhere/' || id || '.jpg', id, 100, 7, 0{at} from asset
                     where created_at > 4000000000000;
                 insert into work (asset_id, analyzer, state, model, updated_at)
                     select asset.id, w.name, '{state}', 'older@1', 0 from asset, ({}) w
                     where created_at > 4000000000000;
                 analyze;",
                work.join(" union all ")
            ),
        )
    }

    /// Analyzes the pictures once more. Answers pictures per second.
    fn rate(
        &self,
        runtime: &tokio::runtime::Runtime,
        pictures: &[String],
        only: Option<&str>,
    ) -> anyhow::Result<f64> {
        let before = self.number(runtime, "select coalesce(max(id), 0) from run")?;
        let only: Vec<String> = only.map(|only| format!("--only={only}")).into_iter().collect();
        let mut requeue = vec!["retry".to_owned(), "--all".to_owned(), "--queue-only".to_owned()];
        requeue.extend(only.iter().cloned());
        requeue.extend(pictures.iter().cloned());
        self.docent.run(requeue).expect(0);
        let mut command = vec!["retry".to_owned(), "--failed".to_owned(), "--format=json".to_owned()];
        command.extend(only);
        // Nothing has failed but what is nowhere, which comes after the pictures: this works off what is pending.
        command.push(pictures[0].clone());
        let mut run = self.docent.start(command);
        let deadline = Instant::now() + Duration::from_secs(1800);
        let all = format!("select count(*) from run where id > {before}");
        while self.number(runtime, &all)? < pictures.len() as i64 {
            anyhow::ensure!(Instant::now() < deadline, "the pictures were not analyzed in half an hour");
            if run.watch(Duration::from_millis(500), |_| false) {
                break;
            }
        }
        run.signal("INT");
        run.wait();
        let skip = pictures.len() / 20;
        let span = format!(
            "select max(finished_at) - min(finished_at) from (select finished_at from run where id > {before}
             order by id limit {} offset {skip}) r",
            pictures.len() - 2 * skip
        );
        let millis = self.number(runtime, &span)?;
        Ok((pictures.len() - 2 * skip) as f64 / (millis as f64 / 1e3))
    }

    fn number(&self, runtime: &tokio::runtime::Runtime, question: &str) -> anyhow::Result<i64> {
        let question = AssertSqlSafe(question.to_owned());
        runtime.block_on(async {
            Ok(if let Some(database) = &self.database {
                let mut connection = PgConnection::connect(database.url()).await?;
                sqlx::query_scalar(question).fetch_one(&mut connection).await?
            } else {
                sqlx::query_scalar(question).fetch_one(&mut self.file().await?).await?
            })
        })
    }
}

fn compare(
    runtime: &tokio::runtime::Runtime,
    shared: bool,
    assets: u64,
    only: Option<&str>,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let pictures: Vec<String> = corpus::write(folder.path(), PICTURES, 5)
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let kinds = ["nothing else", "pending", "done"];
    let mut archives = Vec::new();
    for kind in kinds {
        let archive = Archive::new(runtime, shared, folder.path(), "")?;
        if kind != "nothing else" {
            let start = Instant::now();
            archive.fill(runtime, assets, kind)?;
            println!("{assets} assets that are {kind}: filled in {:.0?}", start.elapsed());
        }
        archives.push(archive);
    }
    let mut rates = vec![Vec::new(); kinds.len()];
    for round in 0..=ROUNDS {
        for (number, archive) in archives.iter().enumerate() {
            let rate = archive.rate(runtime, &pictures, only)?;
            // The first round reads everything into memory.
            if round > 0 {
                println!("round {round}, {}: {rate:.2} pictures/s", kinds[number]);
                rates[number].push(rate);
            }
        }
    }
    let alone = quantile(&mut rates[0], 0.5);
    for (kind, rates) in kinds.iter().zip(&mut rates) {
        let median = quantile(rates, 0.5);
        println!("{kind:<14} {median:>8.2} pictures/s, {:.3} of those with nothing else", median / alone);
    }
    Ok(())
}

fn idle(runtime: &tokio::runtime::Runtime, assets: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    corpus::write(folder.path(), 3, 5);
    for (state, what) in [("done", "all done"), ("pending", "all pending for analyzers that nobody wants")] {
        let archive = Archive::new(runtime, true, folder.path(), "[analyzers]\nenabled = ['tags']\n")?;
        archive.fill(runtime, assets, state)?;
        if state == "pending" {
            archive.execute(
                runtime,
                "update asset set pending = 'objects', due = 'objects' where pending is not null;
                 delete from work where state = 'pending' and analyzer <> 'decode';
                 update work set analyzer = 'objects' where state = 'pending';"
                    .to_owned(),
            )?;
        }
        // The server has nothing to tidy meanwhile.
        archive.execute(runtime, "vacuum analyze".to_owned())?;
        let mut worker = archive.docent.start(["worker"]);
        worker.until_printed("http://127.0.0.1:");
        worker.watch(Duration::from_secs(20), |_| false);
        let (before, begin) = (server_seconds(&archive, runtime)?, Instant::now());
        worker.watch(IDLE, |_| false);
        let (after, span) = (server_seconds(&archive, runtime)?, begin.elapsed().as_secs_f64());
        anyhow::ensure!(
            before.keys().all(|pid| after.contains_key(pid)),
            "a connection was closed meanwhile"
        );
        let used: f64 = after.iter().map(|(pid, used)| used - before.get(pid).unwrap_or(&0.0)).sum();
        println!(
            "{assets} assets, {what}: an idle worker costs PostgreSQL {:.2} % of a core",
            100.0 * used / span
        );
        worker.signal("TERM");
        worker.wait();
    }
    Ok(())
}

/// Processor seconds of the server's processes that work for docent, by process.
fn server_seconds(
    archive: &Archive,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<BTreeMap<i32, f64>> {
    const TICKS: f64 = 100.0;
    let database = archive.database.as_ref().context("a shared ledger")?;
    let pids: Vec<i32> = runtime.block_on(async {
        let mut connection = PgConnection::connect(database.url()).await?;
        sqlx::query_scalar(
            "select pid from pg_stat_activity where datname = current_database() and application_name = 'docent'",
        )
        .fetch_all(&mut connection)
        .await
    })?;
    let seconds = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().filter_map(|&field| fields.get(field)?.parse::<f64>().ok()).sum();
        anyhow::Ok((pid, ticks / TICKS))
    };
    pids.into_iter().map(seconds).collect()
}

fn program() -> String {
    std::env::var("DOCENT_PROGRAM").unwrap_or_else(|_| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/docent").to_string_lossy().into_owned()
    })
}
