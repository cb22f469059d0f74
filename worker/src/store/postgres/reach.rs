//! Reaching the server: once by itself, so that the true cause is told where it cannot be.
//!
//! The pool takes a refused connection for a server that starts, tries on until its own limit, and then says only that it has
//! waited. A question whether the ledger is there must not wait until the pool has a connection to spare.

use std::time::Duration;

use anyhow::anyhow;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgExecutor};
use sqlx::{Connection, Row};
use tokio::sync::Mutex;

use super::{MIGRATIONS, PostgresStore, STATEMENT};
use crate::store::fault::fault;
use crate::store::{StoreError, room};

/// A server that has not let us in after this time is away.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection beside the pool, to ask whether the server is there.
pub(super) struct Line {
    options: PgConnectOptions,
    connection: Mutex<Option<PgConnection>>,
}

/// A ledger as it was found, and left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresLedger {
    /// The server's own words, as in `15.5 (Debian 15.5-1)`.
    pub server: String,
    /// The schema it has; `None` if there is no ledger yet.
    pub schema: Option<i64>,
    /// The schema that this docent brings it to.
    pub known: i64,
}

/// What `url` says, and what every connection of docent has.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(fault("read the ledger's address"))?;
    Ok(options.application_name("docent").options([("statement_timeout", STATEMENT.as_millis().to_string())]))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    const OPERATION: &str = "connect to the ledger";
    match tokio::time::timeout(CONNECT, PgConnection::connect_with(options)).await {
        Ok(connected) => connected.map_err(fault(OPERATION)),
        Err(_) => Err(StoreError::Unavailable {
            operation: OPERATION,
            source: anyhow!("no answer within {} s", CONNECT.as_secs()),
        }),
    }
}

impl Line {
    /// Connects.
    pub(super) async fn open(options: PgConnectOptions) -> Result<Self, StoreError> {
        let connection = connect(&options).await?;
        Ok(Self { options, connection: Mutex::new(Some(connection)) })
    }

    /// Whether the server answers. A connection that was cut in the meantime is no reason to say no.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let mut place = self.connection.lock().await;
        // Out of its place while it is used: one whose answer nobody waited for is of no use to the next.
        if let Some(mut connection) = place.take()
            && ask(&mut connection).await.is_ok()
        {
            *place = Some(connection);
            return Ok(());
        }
        let mut connection = connect(&self.options).await?;
        ask(&mut connection).await?;
        *place = Some(connection);
        Ok(())
    }

    /// Hangs up.
    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            // The server notices in any case.
            drop(connection.close().await);
        }
    }
}

async fn ask(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("select 1").execute(connection).await.map(drop).map_err(fault("reach the ledger"))
}

/// Refuses a database whose encoding is not UTF-8.
pub(super) async fn encoding(executor: impl PgExecutor<'_>) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("show server_encoding")
        .fetch_one(executor)
        .await
        .map_err(fault("read the ledger's encoding"))?;
    if found == "UTF8" { Ok(()) } else { Err(StoreError::Encoding { found }) }
}

impl PostgresStore {
    /// Whether the server answers, and has had room for what was written last.
    pub(super) async fn reach(&self) -> Result<(), StoreError> {
        self.line.ping().await?;
        room::check()
    }

    /// Looks at a ledger and leaves it as it is. No error contains the address.
    pub async fn inspect(url: &str) -> Result<PostgresLedger, StoreError> {
        const OPERATION: &str = "look at the ledger";
        let mut connection = connect(&options(url)?).await?;
        encoding(&mut connection).await?;
        let row = sqlx::query(
            "select current_setting('server_version') as server, to_regclass('_sqlx_migrations') is not null as tracked",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(fault(OPERATION))?;
        let mut schema = None;
        if row.try_get("tracked").map_err(fault(OPERATION))? {
            schema = sqlx::query_scalar("select max(version) from _sqlx_migrations")
                .fetch_one(&mut connection)
                .await
                .map_err(fault(OPERATION))?;
        }
        drop(connection.close().await);
        let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        Ok(PostgresLedger { server: row.try_get("server").map_err(fault(OPERATION))?, schema, known })
    }
}
