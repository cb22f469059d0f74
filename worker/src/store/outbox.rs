//! What others are told: events that wait beside what they tell of, and how far each listener is.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::StoreError;

/// An event, as it became true.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Where it stands in the outbox; a later one has a larger number. Numbers may be missing.
    pub place: i64,
    /// Its id, the same each time it is told.
    pub id: i64,
    /// Such as `suggestion.decided`.
    pub event: String,
    /// When it became true, in milliseconds since 1970 …
    pub millis: i64,
    /// … and as RFC 3339.
    pub at: String,
    /// What happened. Events about an asset have its `places`.
    pub data: Map<String, Value>,
}

impl EventRow {
    /// What is told over HTTP: `{"type", "timestamp", "data"}`.
    pub fn envelope(&self) -> Value {
        json!({ "type": self.event, "timestamp": self.at, "data": self.data })
    }
}

/// The sink of those who read events themselves and remember how far they are: it keeps none from being deleted.
pub const STREAM: &str = "stream";

/// Somebody who is told, and how far that is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SinkRow {
    /// Its name: `rabbitmq`, or `webhook:` and a name of the configuration.
    pub name: String,
    /// The last event that it took, or that was before its time.
    #[serde(skip)]
    pub place: i64,
    /// Events that it has not taken yet; some of them it may not want to hear.
    pub waiting: u64,
    /// How often it refused the next event.
    pub attempts: u32,
    /// RFC 3339: since when it takes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<String>,
    /// RFC 3339: when it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<String>,
    /// Why it took nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// RFC 3339: since when it is told nothing more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<String>,
}

/// A sink that did not take an event.
#[derive(Debug, Clone)]
pub struct SinkFailure {
    /// The last event that it took.
    pub place: i64,
    /// Why it did not take the next one.
    pub reason: String,
    /// When it is tried again.
    pub again: Duration,
    /// It is disabled once it has failed for so long; zero: at once.
    pub patience: Option<Duration>,
}

/// Events that the sinks have passed are kept so long for those who want to go on where they were …
pub(super) const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// … but no more of them than so many.
pub(super) const MOST_KEPT: i64 = 100_000;
/// A sink that no process has in its configuration for so long is gone.
pub(super) const ABANDONED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// It is noted so often that a process has it.
pub(super) const SEEN: Duration = Duration::from_secs(60 * 60);
/// Characters of a reason that are kept.
pub(super) const MOST_REASON: usize = 500;
/// Events that one statement deletes …
pub(super) const DELETED_AT_ONCE: i64 = 1000;
/// … and how many such statements follow each other.
pub(super) const DELETIONS: usize = 100;
/// An asset with more places than this is told with so many, those that were submitted first.
pub(super) const PLACES_TOLD: i64 = 100;

/// Events and who is told of them. Guarantees of every implementation:
/// - An event is written in the transaction of what it tells, if there is a sink then; else nothing is written.
/// - A reader that asks for events after the last place it saw misses none, however many processes write meanwhile.
/// - Events of one asset stand in the order in which they became true.
/// - Events stay until every sink that is not disabled has passed them, and a while longer.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Sees to it that these sinks are there, because this process has them in its configuration. A new one is told what
    /// happens from now on. Writes nothing if all are there, and that was noted within the last hour.
    async fn keep_sinks(&self, names: &[String]) -> Result<(), StoreError>;

    /// All sinks but [`STREAM`], by name.
    async fn sinks(&self) -> Result<Vec<SinkRow>, StoreError>;

    /// Takes a sink for `owner` alone, for so long, if there is something to tell it: it is not disabled, nobody else has it,
    /// it is time to try again, and there are events after its place. `None` otherwise; then nothing is written.
    async fn take_sink(
        &self,
        name: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<SinkRow>, StoreError>;

    /// At most `limit` events after a place, in order.
    async fn events_after(&self, place: i64, limit: u32) -> Result<Vec<EventRow>, StoreError>;

    /// The place of the newest event that can be read.
    async fn newest_event(&self) -> Result<i64, StoreError>;

    /// Notes that a sink took everything up to `place`; if that is anything, it does not fail any more. It stays with `owner` for so
    /// long from now on; zero gives it back. False if it is not with `owner` any more: then nothing is noted, and others tell.
    async fn sink_took(
        &self,
        name: &str,
        owner: &str,
        place: i64,
        lease: Duration,
    ) -> Result<bool, StoreError>;

    /// Notes that a sink did not take an event, and gives it back. Answers whether it is disabled now.
    async fn sink_refused(&self, name: &str, owner: &str, failure: &SinkFailure) -> Result<bool, StoreError>;

    /// Lets a sink be told again, at once, from where it was. Answers how many events it missed: they were deleted while it was
    /// disabled.
    async fn enable_sink(&self, name: &str) -> Result<u64, StoreError>;
}
