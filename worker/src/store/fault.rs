//! What a database's error means. The only place that reads SQLSTATEs and SQLite's result codes.
//!
//! | it means | then | examples |
//! |---|---|---|
//! | unavailable | wait, and ask again | no connection, disk full, shutting down |
//! | contended | ask again at once | deadlock, serialization failure |
//! | broken | restore a backup | a file that is no database any more |
//! | refused | tell a person; waiting does not help | wrong password, no such database |
//! | unfit | this row fails for good, with the reason | a value that no column takes |
//! | ours | tell a person; it is a bug | a statement that the database does not understand |

use std::time::Duration;

use anyhow::anyhow;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use super::{StoreError, room};

const NO_CONNECTION: &str = "no connection: the database cannot be reached, or none became free in time";

/// What an error means; see the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Unavailable,
    Contended,
    Broken,
    Refused,
    Unfit,
    Ours,
}

/// Turns an error of the database into one of the store.
pub(super) fn fault(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError + Copy {
    move |error| match meaning(&error) {
        Meaning::Unavailable if is_full(&error) => {
            room::lacking(words(&error));
            StoreError::Unavailable { operation, source: error.into() }
        }
        // The pool says only that it has waited.
        Meaning::Unavailable if matches!(error, sqlx::Error::PoolTimedOut) => {
            StoreError::Unavailable { operation, source: anyhow!(NO_CONNECTION) }
        }
        Meaning::Unavailable => StoreError::Unavailable { operation, source: error.into() },
        Meaning::Contended => StoreError::Contended { operation, source: error.into() },
        Meaning::Broken => StoreError::Corrupt { what: "database", reason: words(&error) },
        Meaning::Refused => StoreError::Refused { operation, source: error.into() },
        Meaning::Unfit => StoreError::Unfit { operation, reason: words(&error) },
        Meaning::Ours => StoreError::Bug { operation, source: error.into() },
    }
}

/// The same for a migration.
pub(super) fn migration_fault(operation: &'static str) -> impl Fn(MigrateError) -> StoreError {
    move |error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => fault(operation)(error),
        error => StoreError::Bug { operation, source: error.into() },
    }
}

/// Whether a write found no room, or a disk that takes none.
fn is_full(error: &sqlx::Error) -> bool {
    const DISK_FULL: &str = "53100";
    /// FULL; IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_SHMSIZE.
    const SQLITE: [&str; 5] = ["13", "778", "1034", "1546", "4874"];
    let code = error.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
    code == DISK_FULL || SQLITE.contains(&&*code)
}

fn words(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::Database(error) => of_database(&**error),
        sqlx::Error::Migrate(error) => match &**error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => meaning(error),
            _ => Meaning::Ours,
        },
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => Meaning::Refused,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Meaning::Unavailable,
        _ => Meaning::Ours,
    }
}

fn of_database(error: &dyn DatabaseError) -> Meaning {
    let code = error.code().unwrap_or_default();
    match code.parse::<i32>() {
        // A SQLSTATE has five characters, and so would a large code of SQLite: the type decides.
        Ok(code) if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() => of_sqlite(code),
        _ => of_sqlstate(&code),
    }
}

/// See the appendix "PostgreSQL Error Codes" of its manual.
fn of_sqlstate(code: &str) -> Meaning {
    match code {
        // Serialization failure, deadlock, lock not available.
        "40001" | "40P01" | "55P03" => Meaning::Contended,
        // No such database, no such role, wrong password, no permission: nothing that passes by itself.
        // A pooler that does not let a connection be set up.
        "3D000" | "42501" | "08P01" => Meaning::Refused,
        _ => match code.get(..2).unwrap_or_default() {
            "28" => Meaning::Refused,
            // Data, cardinality, constraint, program limit (such as a row that no index takes).
            "21" | "22" | "23" | "54" => Meaning::Unfit,
            // Syntax and names, features, prepared statements, transactions that are not there, an internal error.
            "0A" | "24" | "25" if code != "25006" => Meaning::Ours,
            "26" | "34" | "42" | "3B" | "3F" | "2B" | "2D" | "2F" | "P0" | "XX" => Meaning::Ours,
            // Connections, resources, operator intervention, system errors, a server that only reads.
            _ => Meaning::Unavailable,
        },
    }
}

/// See "Result and Error Codes" of SQLite. The low byte is the primary code.
fn of_sqlite(code: i32) -> Meaning {
    const BUSY_SNAPSHOT: i32 = 517;
    if code == BUSY_SNAPSHOT {
        return Meaning::Contended;
    }
    match code & 0xff {
        // TOOBIG, CONSTRAINT, MISMATCH.
        18..=20 => Meaning::Unfit,
        // CORRUPT, NOTADB: a file that does not heal.
        11 | 26 => Meaning::Broken,
        // ERROR, INTERNAL, NOTFOUND, SCHEMA, MISUSE, RANGE.
        1 | 2 | 12 | 17 | 21 | 25 => Meaning::Ours,
        // PERM, ABORT, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL and others.
        _ => Meaning::Unavailable,
    }
}

/// So often a transaction that lost against another is tried again.
const TRIES: u32 = 8;

/// Does `write` again, at once but for a moment of chance, as long as another transaction is in its way.
pub(super) async fn again<T, F>(write: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 1;
    loop {
        match write().await {
            Err(StoreError::Contended { .. }) if tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(0..1 << tries))).await;
                tries += 1;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_mean_what_the_manual_says() {
        for (code, meant) in [
            ("08006", Meaning::Unavailable),
            ("57P01", Meaning::Unavailable),
            ("53100", Meaning::Unavailable),
            ("53300", Meaning::Unavailable),
            ("25006", Meaning::Unavailable),
            ("58030", Meaning::Unavailable),
            ("40001", Meaning::Contended),
            ("40P01", Meaning::Contended),
            ("28P01", Meaning::Refused),
            ("3D000", Meaning::Refused),
            ("08P01", Meaning::Refused),
            ("54000", Meaning::Unfit),
            ("22021", Meaning::Unfit),
            ("23505", Meaning::Unfit),
            ("42601", Meaning::Ours),
            ("42P01", Meaning::Ours),
            ("XX000", Meaning::Ours),
            ("", Meaning::Unavailable),
        ] {
            assert_eq!(of_sqlstate(code), meant, "{code}");
        }
        for (code, meant) in [
            (5, Meaning::Unavailable),
            (13, Meaning::Unavailable),
            (10 | 3 << 8, Meaning::Unavailable),
            (517, Meaning::Contended),
            (19 | 8 << 8, Meaning::Unfit),
            (18, Meaning::Unfit),
            (11, Meaning::Broken),
            (1, Meaning::Ours),
        ] {
            assert_eq!(of_sqlite(code), meant, "{code}");
        }
    }

    #[test]
    fn a_pool_that_has_waited_says_what_that_may_mean() {
        let error = fault("count")(sqlx::Error::PoolTimedOut);
        assert!(matches!(error, StoreError::Unavailable { .. }));
        let words = format!("{:#}", anyhow::Error::from(error));
        assert!(words.contains("cannot be reached") && !words.contains("pool"), "{words}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_lost_against_another_is_tried_again_and_nobody_else() {
        let tries = std::cell::Cell::new(0);
        let lost = || StoreError::Contended { operation: "write", source: anyhow::anyhow!("deadlock") };
        let write = || async {
            tries.set(tries.get() + 1);
            if tries.get() < 4 { Err(lost()) } else { Ok(()) }
        };
        again(write).await.expect("is written");
        assert_eq!(tries.get(), 4);
        tries.set(0);
        let never = || async {
            tries.set(tries.get() + 1);
            Err::<(), _>(lost())
        };
        assert!(matches!(again(never).await, Err(StoreError::Contended { .. })));
        assert_eq!(tries.get(), TRIES);
        tries.set(0);
        let other = || async {
            tries.set(tries.get() + 1);
            Err::<(), _>(StoreError::NoConfidence)
        };
        assert!(again(other).await.is_err());
        assert_eq!(tries.get(), 1);
    }
}
