//! Whether the ledger's disk has room. A database that cannot write any more still answers every question.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::StoreError;

/// How long a write that found no room counts. Those who have something to write try again sooner.
const COUNTS: Duration = Duration::from_secs(20);

/// The last write of this process that found no room: when, and the database's words. Of the process and not of a store, as
/// is the place that tells what errors mean; a process has one ledger.
static LAST: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// A write found no room.
pub(super) fn lacking(words: String) {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), words));
}

/// An error if a write found no room a moment ago.
pub(super) fn check() -> Result<(), StoreError> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match last {
        Some((at, words)) if at.elapsed() < COUNTS => Err(full(words)),
        _ => Ok(()),
    }
}

/// Fewer bytes free than this, and the next writes will fail: a log grows to some megabytes before it is put in order.
const LEAST: u64 = 32 << 20;

/// An error if so few bytes are `free` that a file beside the ledger cannot grow.
pub(super) fn enough(free: u64) -> Result<(), StoreError> {
    if free >= LEAST {
        return Ok(());
    }
    let (free, least) = (free >> 20, LEAST >> 20);
    Err(full(format!("its disk has {free} MiB free, and writing needs {least} MiB")))
}

fn full(words: String) -> StoreError {
    StoreError::Unavailable { operation: "write to the ledger", source: anyhow!(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_none() {
        assert!(enough(LEAST).is_ok());
        let error = enough(3 << 20).expect_err("is little");
        let words = format!("{:#}", anyhow::Error::from(error));
        assert!(words.ends_with("unavailable: its disk has 3 MiB free, and writing needs 32 MiB"), "{words}");
    }
}
