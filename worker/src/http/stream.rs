//! What happens, as it happens: server-sent events out of the outbox.
//!
//! A client that lost its connection goes on after the last event that it saw (`Last-Event-ID`), whichever process it reaches then. Nothing
//! is kept for it here: it reads at its own pace, and one that does not read holds up nobody.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::error::ErrorBody;
use super::{ApiError, AppState};
use crate::store::{EventRow, STREAM, Store, StoreError};

/// Clients at once.
const CLIENTS: usize = 64;
/// Pause between two looks for events, for all clients together.
const LOOK: Duration = Duration::from_millis(500);
/// Events that are read for a client at once.
const PORTION: u32 = 100;
/// Where nothing happens, a comment says so often that the connection lives.
const ALIVE: Duration = Duration::from_secs(15);
/// It is noted so often that somebody listens.
const KEEP: Duration = Duration::from_secs(15 * 60);
/// What a client hears that missed events: it must read again what it shows.
const RESET: &str = "reset";

/// What all streams share.
pub(super) struct Streams {
    room: Arc<Semaphore>,
    newest: Mutex<Newest>,
}

/// The place of the newest event, as far as that was looked up.
#[derive(Default)]
struct Newest {
    place: i64,
    at: Option<Instant>,
    kept: Option<Instant>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(CLIENTS)), newest: Mutex::default() }
    }
}

impl Streams {
    /// The place of the newest event, as it was half a second ago at most. One client at a time asks the ledger.
    async fn newest(&self, store: &dyn Store) -> Result<i64, StoreError> {
        let mut newest = self.newest.lock().await;
        if newest.kept.is_none_or(|at| at.elapsed() > KEEP) {
            store.keep_sinks(&[STREAM.to_owned()]).await?;
            newest.kept = Some(Instant::now());
        }
        if newest.at.is_none_or(|at| at.elapsed() >= LOOK) {
            newest.place = store.newest_event().await?;
            newest.at = Some(Instant::now());
        }
        Ok(newest.place)
    }
}

/// One client.
struct Client {
    store: Arc<dyn Store>,
    streams: Arc<Streams>,
    closing: CancellationToken,
    /// The last event that it was sent.
    place: i64,
    ahead: VecDeque<EventRow>,
    _room: OwnedSemaphorePermit,
}

impl Client {
    /// The next event; `None` once the server stops.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ahead.pop_front() {
                self.place = event.place;
                let sent = Event::default().id(event.place.to_string()).event(&event.event);
                return Some((Ok(sent.data(event.envelope().to_string())), self));
            }
            match self.read().await {
                Ok(Some(place)) => {
                    self.place = place;
                    let reset = Event::default().id(place.to_string()).event(RESET).data("{}");
                    return Some((Ok(reset), self));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot read events; waiting");
                }
            }
            if self.ahead.is_empty() {
                self.closing.run_until_cancelled(tokio::time::sleep(LOOK)).await?;
            }
        }
    }

    /// Reads on. If events are gone that the client has not seen, answers the place where it goes on.
    async fn read(&mut self) -> Result<Option<i64>, StoreError> {
        let newest = self.streams.newest(&*self.store).await?;
        if newest == self.place {
            return Ok(None);
        }
        // Its number is from another ledger, perhaps of one that was restored since.
        if newest < self.place {
            return Ok(Some(newest));
        }
        let events = self.store.events_after(self.place, PORTION).await?;
        match events.first() {
            None => Ok(Some(newest)),
            Some(first) if first.place > self.place + 1 => Ok(Some(first.place - 1)),
            Some(_) => {
                self.ahead = events.into();
                Ok(None)
            }
        }
    }
}

/// What happens from now on, or after `Last-Event-ID`, as server-sent events. Their names are those of webhooks, their data is
/// `{"type", "timestamp", "data"}`. A client that was away for more than a day hears `reset`: it must read again what it shows.
#[utoipa::path(get, path = "/api/v1/events", tag = "status",
    params(("Last-Event-ID" = Option<i64>, Header, description = "The `id` of the last event that the client saw")),
    responses(
        (status = 200, description = "A stream that does not end", body = String, content_type = "text/event-stream"),
        (status = 400, description = "`Last-Event-ID` is no id of an event", body = ErrorBody),
        (status = 503, description = "Too many clients listen, or the ledger is away", body = ErrorBody),
    )
)]
pub async fn events(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let last = headers.get("last-event-id").map(|last| {
        let number = last.to_str().ok().and_then(|last| last.trim().parse::<i64>().ok());
        number
            .filter(|number| *number >= 0)
            .ok_or_else(|| ApiError::Invalid("Last-Event-ID is no id of an event".to_owned()))
    });
    let last = last.transpose()?;
    let room = Arc::clone(&state.streams.room).try_acquire_owned().map_err(|_| ApiError::Unavailable {
        message: format!("{CLIENTS} clients listen already; try again later"),
        source: None,
    })?;
    let newest = state.streams.newest(&*state.store).await?;
    let client = Client {
        store: state.store,
        streams: state.streams,
        closing: state.closing,
        place: last.unwrap_or(newest),
        ahead: VecDeque::new(),
        _room: room,
    };
    let events = stream::unfold(client, Client::next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}
