//! The ledger in PostgreSQL, shared by any number of processes.
//!
//! - Every write locks its asset's row first, so that no two writers wait for each other in a circle.
//! - Leases are taken with `skip locked`: feeders never wait for each other and never lease the same asset.
//! - Times are the server's, so that the clocks of the workers need not agree.
//! - Counts are kept, not counted: see `tally` in the migrations.

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
mod reach;
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

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::{Postgres, Row, Transaction};

use super::StoreError;
use super::codec::{MAX_LOST, corrupt, text};
use super::fault::{fault, migration_fault};
use super::known::Known;
use super::migrations::{Migrations, migrations};
pub use reach::PostgresLedger;

pub(super) static MIGRATIONS: Migrations = migrations!("postgres": "0001_ledger", "0002_folders", "0003_owners", "0004_due", "0005_catalog", "0006_processes", "0007_gone_places", "0008_texts", "0009_tolerated", "0010_review", "0011_vocabulary", "0012_identity", "0013_forgotten", "0014_outbox");

/// The shared store.
pub struct PostgresStore {
    pool: PgPool,
    /// Whether the server is there is asked beside the pool.
    line: reach::Line,
    max_lost: AtomicU32,
    /// The last asset that `upkeep` looked at.
    swept: Mutex<String>,
    known: Known,
}

/// How the shared store is reached.
#[derive(Debug, Clone, Copy)]
pub struct PostgresOptions {
    /// Connections at most.
    pub connections: u32,
}

/// A caller waits this long for a connection before it hears that the ledger is unavailable.
const ACQUIRE: Duration = Duration::from_secs(10);
/// No honest statement takes longer, except the migrations.
const STATEMENT: Duration = Duration::from_secs(120);

impl PostgresStore {
    /// Connects and brings the schema up to date; of several processes that start together one does so and the others
    /// wait. A ledger of a newer docent is refused and left as it is. No error contains the address.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let connect = reach::options(url)?;
        let line = reach::Line::open(connect.clone()).await?;
        // Without a limit for statements, whatever the database says: on a large ledger a migration may take long.
        let unlimited = PgPoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(connect.clone().options([("statement_timeout", "0")]));
        let migrated = match reach::encoding(&unlimited).await {
            Ok(()) => migrate(&unlimited).await,
            refused => refused,
        };
        unlimited.close().await;
        migrated?;
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(2))
            .acquire_timeout(ACQUIRE)
            .connect_lazy_with(connect);
        let store = Self {
            pool,
            line,
            max_lost: AtomicU32::new(MAX_LOST),
            swept: Mutex::default(),
            known: Known::default(),
        };
        store.repair().await?;
        Ok(store)
    }

    /// Begins a transaction and tells the server's time.
    async fn begin(
        &self,
        operation: &'static str,
    ) -> Result<(Transaction<'static, Postgres>, i64), StoreError> {
        let mut tx = self.pool.begin().await.map_err(fault(operation))?;
        let now = sqlx::query_scalar("select docent_now()").fetch_one(&mut *tx).await;
        Ok((tx, now.map_err(fault(operation))?))
    }
}

impl PostgresStore {
    async fn begin_at(
        &self,
        operation: &'static str,
    ) -> Result<(Transaction<'static, Postgres>, i64), StoreError> {
        self.begin(operation).await
    }

    async fn begin_to_read(
        &self,
        operation: &'static str,
    ) -> Result<(Transaction<'static, Postgres>, i64), StoreError> {
        self.begin(operation).await
    }

    fn reader(&self) -> &PgPool {
        &self.pool
    }
}

async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    const OPERATION: &str = "read the ledger's schema";
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let tracked: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(pool)
        .await
        .map_err(fault(OPERATION))?;
    if tracked {
        let found: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations")
            .fetch_one(pool)
            .await
            .map_err(fault(OPERATION))?;
        if let Some(found) = found.filter(|found| *found > known) {
            return Err(StoreError::NewerSchema { found, known });
        }
    }
    MIGRATIONS.run(pool).await.map_err(migration_fault("bring the ledger's schema up to date"))
}

/// A column of a row, in its stored form.
fn get<'r, T>(row: &'r PgRow, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    row.try_get(column).map_err(|error| StoreError::Corrupt { what: column, reason: error.to_string() })
}

/// A text column of a row, as what it names.
fn parsed<T>(row: &PgRow, column: &'static str) -> Result<T, StoreError>
where
    T: TryFrom<String>,
    T::Error: std::fmt::Display,
{
    T::try_from(get::<String>(row, column)?).map_err(|error| corrupt(column)(error.to_string()))
}

/// The four region columns of a row.
fn region(row: &PgRow) -> Result<Option<docent_pipelines::Region>, StoreError> {
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
