//! The ledger in one SQLite file.
//!
//! One connection writes, several read. Every write is an immediate transaction, so that two processes on one file
//! (a server, and a person deciding on the command line) wait for each other instead of failing.

mod catalog;
#[path = "../sql/decisions.rs"]
mod decisions;
mod dialect;
mod due;
#[path = "../sql/erase.rs"]
mod erase;
mod find;
#[path = "../sql/forget.rs"]
mod forget;
#[path = "../sql/identity.rs"]
mod identity;
mod jobs;
mod leases;
mod leasing;
mod ledger;
#[path = "../sql/lessons.rs"]
mod lessons;
mod listing;
#[path = "../sql/matches.rs"]
mod matches;
#[path = "../sql/meant.rs"]
mod meant;
#[path = "../sql/outbox.rs"]
mod outbox;
#[path = "../sql/pending.rs"]
mod pending;
mod places;
mod record;
mod requeue;
mod reviews;
#[path = "../sql/rules.rs"]
mod rules;
#[path = "../sql/sinks.rs"]
mod sinks;
#[path = "../sql/succession.rs"]
mod succession;
#[path = "../sql/term_tasks.rs"]
mod term_tasks;
#[path = "../sql/terms.rs"]
mod terms;
mod texts;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, Transaction};

use super::codec::{MAX_LOST, corrupt};
use super::fault::{fault, migration_fault};
use super::known::Known;
use super::migrations::{Migrations, migrations};
use super::{StoreError, room};

pub(super) static MIGRATIONS: Migrations = migrations!("sqlite": "0001_ledger", "0002_owners", "0003_due", "0004_catalog", "0005_processes", "0006_gone_places", "0007_texts", "0008_tolerated", "0009_review", "0010_vocabulary", "0011_identity", "0012_forgotten", "0013_outbox");

/// The embedded store.
pub struct SqliteStore {
    write: SqlitePool,
    read: SqlitePool,
    /// Where the file lies.
    folder: PathBuf,
    max_lost: AtomicU32,
    /// The last asset that `upkeep` looked at.
    swept: Mutex<String>,
    known: Known,
}

/// A writer waits this long for another process's transaction.
const BUSY: Duration = Duration::from_secs(20);
/// Pages that the writer keeps, in KiB as SQLite writes them: the upper levels of all indexes of a large archive. Ids are hashes,
/// so every row lands somewhere else.
const WRITER_CACHE: &str = "-65536";
/// Readers beside the writer.
const READERS: u32 = 4;

impl SqliteStore {
    /// Opens or creates the ledger at `path` and brings its schema up to date. A ledger of a newer docent and a file
    /// that is no ledger are refused and left as they are.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        refuse_foreign(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With a write-ahead log a killed process loses nothing; only a power cut may lose the last moments.
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let opening = fault("open the ledger");
        // A file does not hang up: connections are not tested before each use.
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .connect_with(
                options
                    .clone()
                    .pragma("cache_size", WRITER_CACHE)
                    // What is deleted is overwritten.
                    .pragma("secure_delete", "on"),
            )
            .await
            .map_err(&opening)?;
        migrate(&write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_with(options.create_if_missing(false))
            .await
            .map_err(&opening)?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let store = Self {
            write,
            read,
            folder,
            max_lost: AtomicU32::new(MAX_LOST),
            swept: Mutex::default(),
            known: Known::default(),
        };
        store.repair().await?;
        Ok(store)
    }

    /// Writes the ledger as it is now to a new file, compactly. Others read and write meanwhile.
    pub async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let failed = fault("copy the ledger");
        let name = file.to_str().ok_or_else(|| StoreError::Unfit {
            operation: "copy the ledger",
            reason: format!("{} is no text that SQLite takes for a name", file.display()),
        })?;
        sqlx::query("vacuum into $1").bind(name).execute(&self.read).await.map(drop).map_err(failed)
    }

    /// Whether the file is whole.
    pub async fn check(&self) -> Result<(), StoreError> {
        let said: Vec<String> = sqlx::query_scalar("pragma quick_check(10)")
            .fetch_all(&self.read)
            .await
            .map_err(fault("check the ledger"))?;
        match said.as_slice() {
            [ok] if ok == "ok" => Ok(()),
            problems => Err(corrupt("file")(problems.join("; "))),
        }
    }

    /// Whether the file can be read, and its disk has room for what is written.
    async fn reach(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.read).await.map_err(fault("reach the ledger"))?;
        if let Ok(free) = fs4::available_space(&self.folder) {
            room::enough(free)?;
        }
        room::check()
    }

    async fn begin(&self, operation: &'static str) -> Result<Transaction<'_, Sqlite>, StoreError> {
        self.write.begin_with("begin immediate").await.map_err(fault(operation))
    }
}

impl SqliteStore {
    /// Begins a transaction and tells the time.
    async fn begin_at(&self, operation: &'static str) -> Result<(Transaction<'_, Sqlite>, i64), StoreError> {
        Ok((self.begin(operation).await?, now()))
    }

    /// The same for one that only reads: nobody waits for it.
    async fn begin_to_read(
        &self,
        operation: &'static str,
    ) -> Result<(Transaction<'_, Sqlite>, i64), StoreError> {
        Ok((self.read.begin().await.map_err(fault(operation))?, now()))
    }

    fn reader(&self) -> &SqlitePool {
        &self.read
    }
}

async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let operation = "read the ledger's schema";
    let tracked: i64 =
        sqlx::query_scalar("select count(*) from sqlite_schema where name = '_sqlx_migrations'")
            .fetch_one(pool)
            .await
            .map_err(fault(operation))?;
    if tracked > 0 {
        let found: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations")
            .fetch_one(pool)
            .await
            .map_err(fault(operation))?;
        if let Some(found) = found.filter(|found| *found > known) {
            return Err(StoreError::NewerSchema { found, known });
        }
    }
    MIGRATIONS.run(pool).await.map_err(migration_fault("bring the ledger's schema up to date"))
}

/// SQLite takes a foreign file of less than a page for an empty database, and overwrites it.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut head = Vec::with_capacity(MAGIC.len());
    let Ok(file) = std::fs::File::open(path) else { return Ok(()) };
    file.take(MAGIC.len() as u64)
        .read_to_end(&mut head)
        .map_err(|error| StoreError::Unavailable { operation: "open the ledger", source: error.into() })?;
    if head.is_empty() || head == MAGIC {
        return Ok(());
    }
    Err(corrupt("file")(format!("{} is no SQLite database", path.display())))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A column of a row, in its stored form.
fn get<'r, T>(row: &'r SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(column).map_err(|error| StoreError::Corrupt { what: column, reason: error.to_string() })
}

/// A text column of a row, as what it names.
fn parsed<T>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: TryFrom<String>,
    T::Error: std::fmt::Display,
{
    T::try_from(get::<String>(row, column)?).map_err(|error| corrupt(column)(error.to_string()))
}

/// The four region columns of a row.
fn region(row: &SqliteRow) -> Result<Option<docent_pipelines::Region>, StoreError> {
    let [x, y, width, height] = [
        get::<Option<f64>>(row, "region_x")?,
        get::<Option<f64>>(row, "region_y")?,
        get::<Option<f64>>(row, "region_width")?,
        get::<Option<f64>>(row, "region_height")?,
    ];
    Ok(match (x, y, width, height) {
        (Some(x), Some(y), Some(width), Some(height)) => {
            Some(docent_pipelines::Region { x, y, width, height })
        }
        _ => None,
    })
}
