//! Opens what the configuration names.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use docent_pipelines::{VectorRecord, VectorSpace};
use serde_json::json;

use super::AppError;
use crate::config::{Config, IndexBackend, QueueBackend, Secret, StoreBackend};
use crate::events::{EventSink, Patience, Refusal};
use crate::health;
use crate::queue::{EventPublisher, MemoryQueue, Queue, RabbitOptions, RabbitQueue};
use crate::store::{EventRow, PostgresOptions, PostgresStore, SqliteStore, Store};
use crate::vectors::{EmbeddedIndex, QdrantIndex, QdrantOptions, VectorIndex, VectorSource};

/// The ledger.
pub(super) async fn store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    match config.backends.store() {
        StoreBackend::Sqlite => {
            let ledger = config.data_dir.join("ledger.sqlite");
            let store =
                SqliteStore::open(&ledger).await.with_context(|| format!("open {}", ledger.display()))?;
            Ok(Arc::new(store))
        }
        StoreBackend::Postgres(url) => {
            let options = PostgresOptions { connections: config.backends.connections };
            Ok(Arc::new(PostgresStore::connect(address(&url), options).await?))
        }
    }
}

/// The index, over the ledger's vectors where it is embedded.
pub(super) fn index(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<Arc<dyn VectorIndex>> {
    match config.backends.vectors() {
        IndexBackend::Embedded => {
            Ok(Arc::new(EmbeddedIndex::new(Arc::new(LedgerVectors(Arc::clone(store))))))
        }
        IndexBackend::Qdrant(url) => {
            let mut options = QdrantOptions::new(address(&url));
            options.api_key = config.backends.vectors_key.reveal().map(str::to_owned);
            Ok(Arc::new(QdrantIndex::connect(options)?))
        }
    }
}

/// A queue, and where events go if there is somewhere.
pub(super) struct Transport {
    pub queue: Arc<dyn Queue>,
    pub events: Option<Arc<dyn EventSink>>,
}

/// The queue; `room` jobs may wait in each lane of one that is in memory.
pub(super) async fn queue(config: &Config, room: usize) -> anyhow::Result<Transport> {
    match config.backends.queue() {
        QueueBackend::Memory => Ok(Transport { queue: Arc::new(MemoryQueue::new(room)), events: None }),
        QueueBackend::Rabbit(url) => {
            let prefetch = u16::try_from(config.places()).unwrap_or(u16::MAX);
            let capacity = u32::try_from(config.backends.lane_capacity).unwrap_or(u32::MAX);
            let mut options = RabbitOptions::new(address(&url), prefetch, capacity);
            options.backfill_prefetch = backfill_prefetch(config.places(), config.work.gathered);
            options.intake_capacity = u32::try_from(config.backends.intake_capacity).unwrap_or(u32::MAX);
            options.events = config.backends.events;
            let queue = RabbitQueue::connect(options).await?;
            let events =
                config.backends.events.then(|| Arc::new(Exchange(queue.events())) as Arc<dyn EventSink>);
            Ok(Transport { queue: Arc::new(queue), events })
        }
    }
}

/// Deliveries of a backfill that are not settled at once: those in work, and those that wait to be recorded. With
/// fewer, places would stay empty.
fn backfill_prefetch(in_flight: usize, gathered: usize) -> u16 {
    u16::try_from(in_flight.saturating_add(gathered)).unwrap_or(u16::MAX)
}

/// The broker confirms an event within this time, or it is told again …
const CONFIRMED: Duration = Duration::from_secs(20);
/// … after this one.
const AGAIN: Duration = Duration::from_millis(500);

/// The broker's exchange as a sink.
struct Exchange(EventPublisher);

#[async_trait]
impl EventSink for Exchange {
    async fn take(&self, row: &EventRow) -> Result<(), Refusal> {
        let EventRow { id, event, at, data, .. } = row;
        let body = json!({ "version": 1, "id": id, "event": event, "at": at, "data": data }).to_string();
        let published = self.0.publish_event(event, body.as_bytes()).await;
        published.map_err(|error| Refusal::of(health::reason(&error)))
    }

    fn patience(&self) -> Patience {
        Patience { timeout: CONFIRMED, first: AGAIN, longest: AGAIN, whole: None }
    }
}

pub(super) fn address(url: &Secret) -> &str {
    url.reveal().unwrap_or_default()
}

/// Takes the directory's lock and writes this process's number into it, for others that find it taken.
pub(super) fn lock(directory: &Path) -> anyhow::Result<File> {
    let path = directory.join("lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)
                .and_then(|()| write!(file, "{}", std::process::id()))
                .with_context(|| format!("write {}", path.display()))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = file.rewind().and_then(|()| file.take(20).read_to_string(&mut text));
            let holder = holder.ok().and_then(|_| text.trim().parse().ok());
            Err(AppError::InUse { directory: directory.to_path_buf(), holder }.into())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// The ledger as the embedded index reads it.
pub struct LedgerVectors(pub Arc<dyn Store>);

#[async_trait]
impl VectorSource for LedgerVectors {
    async fn vectors_after(
        &self,
        space: &VectorSpace,
        sequence: i64,
        limit: u32,
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>> {
        Ok(self.0.vectors_after(space, sequence, limit).await?)
    }

    async fn vectors_at(
        &self,
        space: &VectorSpace,
        sequences: &[i64],
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>> {
        Ok(self.0.vectors_at(space, sequences).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_fetches_for_all_who_wait() {
        // Three in work, sixteen that are not recorded yet.
        assert_eq!(backfill_prefetch(3, 16), 3 + 16);
        assert_eq!(backfill_prefetch(3, usize::MAX), u16::MAX);
    }
}
