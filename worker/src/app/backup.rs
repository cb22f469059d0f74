//! Copies of a ledger that is one file.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use super::backends;
use crate::config::{Config, StoreBackend};
use crate::store::{Ledger, SqliteStore};

/// Why a copy is not made or not taken.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The ledger is on a server.
    #[error("the ledger is a PostgreSQL database, which has tools of its own for this")]
    OnServer,
    /// There is no ledger yet.
    #[error("{} has no ledger yet", .0.display())]
    NoLedger(PathBuf),
    /// There is a ledger already.
    #[error("{} has a ledger already", .0.display())]
    Occupied(PathBuf),
    /// Something lies where the copy should.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
}

/// The ledger's file.
fn ledger(config: &Config) -> Result<PathBuf, BackupError> {
    match config.backends.store() {
        StoreBackend::Sqlite => Ok(config.data_dir.join("ledger.sqlite")),
        StoreBackend::Postgres(_) => Err(BackupError::OnServer),
    }
}

/// Writes a copy of the ledger as it is now to `file`, while other processes go on. Answers its size in bytes.
pub async fn backup(config: &Config, file: &Path) -> anyhow::Result<u64> {
    let ledger = ledger(config)?;
    if !ledger.exists() {
        return Err(BackupError::NoLedger(config.data_dir.clone()).into());
    }
    if file.exists() {
        return Err(BackupError::Exists(file.to_path_buf()).into());
    }
    let part = beside(file, "part");
    // Of a copy that was not finished.
    drop(std::fs::remove_file(&part));
    let store = SqliteStore::open(&ledger).await.with_context(|| format!("open {}", ledger.display()))?;
    let copied = store.copy_to(&part).await;
    store.close().await;
    if let Err(error) = copied {
        drop(std::fs::remove_file(&part));
        return Err(error).with_context(|| format!("write {}", file.display()));
    }
    put(&part, file)?;
    Ok(std::fs::metadata(file)?.len())
}

/// Makes the copy `file` the ledger. With `replace`, the ledger that is there is set aside; its new name is answered.
pub async fn restore(config: &Config, file: &Path, replace: bool) -> anyhow::Result<Option<PathBuf>> {
    let ledger = ledger(config)?;
    let folder = &config.data_dir;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("create the data directory {}", folder.display()))?;
    let _lock = backends::lock(folder)?;
    if ledger.exists() && !replace {
        return Err(BackupError::Occupied(folder.clone()).into());
    }
    let part = beside(&ledger, "part");
    let reading = || format!("read {}", file.display());
    std::fs::copy(file, &part).with_context(reading)?;
    // Whether it is a ledger that this docent understands shows before anything is set aside.
    let checked = check(&part).await;
    for end in ["-wal", "-shm"] {
        drop(std::fs::remove_file(with_end(&part, end)));
    }
    if let Err(error) = checked {
        drop(std::fs::remove_file(&part));
        return Err(error).with_context(reading);
    }
    let aside = ledger.exists().then(|| beside(&ledger, &format!("replaced-{}", now())));
    if let Some(aside) = &aside {
        for end in ["", "-wal", "-shm"] {
            let from = with_end(&ledger, end);
            if from.exists() {
                std::fs::rename(&from, with_end(aside, end))
                    .with_context(|| format!("set {} aside", from.display()))?;
            }
        }
    }
    put(&part, &ledger)?;
    Ok(aside)
}

/// Opens a copy as a ledger, which brings its schema up to date, and looks whether it is whole.
async fn check(part: &Path) -> anyhow::Result<()> {
    if std::fs::metadata(part)?.len() == 0 {
        bail!("it is empty");
    }
    let store = SqliteStore::open(part).await?;
    let checked = store.check().await;
    store.close().await;
    Ok(checked?)
}

/// Moves a complete file to its place.
fn put(part: &Path, file: &Path) -> anyhow::Result<()> {
    let putting = || format!("write {}", file.display());
    std::fs::File::open(part).and_then(|part| part.sync_all()).with_context(putting)?;
    std::fs::rename(part, file).with_context(putting)
}

fn beside(file: &Path, end: &str) -> PathBuf {
    with_end(file, &format!(".{end}"))
}

fn with_end(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
