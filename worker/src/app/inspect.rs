//! Checks each configured server by itself and changes nothing, to show why the whole does not start.

use std::time::Duration;

use anyhow::anyhow;

use super::backends::address;
use crate::config::{Config, IndexBackend, QueueBackend, StoreBackend};
use crate::queue::{QueueError, RabbitOptions, RabbitQueue};
use crate::store::{PostgresLedger, PostgresStore, StoreError};
use crate::vectors::{IndexError, QdrantIndex, QdrantOptions};

/// No server has longer to answer.
const ANSWER: Duration = Duration::from_secs(6);

/// The shared ledger; `None` if it is in the data directory.
pub async fn ledger(config: &Config) -> Option<Result<PostgresLedger, StoreError>> {
    let StoreBackend::Postgres(url) = config.backends.store() else { return None };
    let asked = tokio::time::timeout(ANSWER, PostgresStore::inspect(address(&url))).await;
    Some(asked.unwrap_or_else(|_| {
        Err(StoreError::Unavailable { operation: "look at the ledger", source: silent() })
    }))
}

/// The shared queue, in words; `None` if it is in memory.
pub async fn queue(config: &Config) -> Option<Result<String, QueueError>> {
    let QueueBackend::Rabbit(url) = config.backends.queue() else { return None };
    let options = RabbitOptions::new(address(&url), 1, 1);
    let asked = tokio::time::timeout(ANSWER, RabbitQueue::inspect(&options)).await;
    let lanes = match asked {
        Ok(Ok(lanes)) => lanes,
        Ok(Err(error)) => return Some(Err(error)),
        Err(_) => return Some(Err(QueueError::Unavailable { operation: "look at it", source: silent() })),
    };
    let waiting: Vec<u32> = lanes.waiting.into_iter().flatten().collect();
    Some(Ok(match (waiting.as_slice(), lanes.dead) {
        ([interactive, backfill], Some(dead)) => {
            format!("{interactive} uploads and {backfill} others wait, {dead} dead letters")
        }
        _ => "the first worker makes its lanes".to_owned(),
    }))
}

/// The shared index, in words; `None` if it is embedded.
pub async fn index(config: &Config) -> Option<Result<String, IndexError>> {
    let IndexBackend::Qdrant(url) = config.backends.vectors() else { return None };
    let mut options = QdrantOptions::new(address(&url));
    options.api_key = config.backends.vectors_key.reveal().map(str::to_owned);
    let asked = async {
        let index = QdrantIndex::connect(options)?;
        // What a key is needed for.
        index.spaces().await
    };
    Some(match tokio::time::timeout(ANSWER, asked).await {
        Ok(spaces) => spaces.map(|spaces| match spaces.len() {
            0 => "no vector space yet".to_owned(),
            1 => "1 vector space".to_owned(),
            count => format!("{count} vector spaces"),
        }),
        Err(_) => Err(IndexError::Unavailable { operation: "look at the index", source: silent() }),
    })
}

fn silent() -> anyhow::Error {
    anyhow!("no answer within {} s", ANSWER.as_secs())
}
