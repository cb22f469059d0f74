//! Limits the time of a network's call, counted from its start.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::{ExecutorError, ModelHandle};

/// What a picture occupies while something works on it.
pub type Hold = dyn Any + Send + Sync;

/// A limit for single calls of a network. Waiting in its inbox is not part of a call. Needs a runtime with timers.
#[derive(Clone)]
pub struct Limit {
    /// Longest time of one call.
    pub time: Duration,
    /// The option that sets it, for people.
    pub option: &'static str,
    /// A call holds this from its start to its end, however long it takes: nothing can interrupt it.
    pub hold: Weak<Hold>,
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("time", &self.time)
            .field("option", &self.option)
            .finish_non_exhaustive()
    }
}

/// The owner's end: told when the call begins.
pub(super) struct Beginning {
    begun: oneshot::Sender<Instant>,
    hold: Weak<Hold>,
}

/// The asker's end.
pub(super) type Begun = oneshot::Receiver<Instant>;

impl Beginning {
    pub fn of(limit: &Limit) -> (Self, Begun) {
        let (begun, told) = oneshot::channel();
        (Self { begun, hold: Weak::clone(&limit.hold) }, told)
    }

    /// The call begins; what is answered is to be kept until it has ended.
    pub fn begin(self) -> Option<Arc<Hold>> {
        // The asker may have given up waiting.
        let _ = self.begun.send(Instant::now());
        self.hold.upgrade()
    }
}

/// Whether all owners of a network are in calls that do not end: how many had ended when that was found out.
pub(super) struct Starved(AtomicU64);

impl Default for Starved {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl<I: Send + 'static, O: Send + 'static> ModelHandle<I, O> {
    /// Waits for its turn at the network as long as that ends any call at all within the limit.
    pub(super) async fn turn<T>(
        &self,
        limit: &Limit,
        turn: impl Future<Output = T>,
    ) -> Result<T, ExecutorError> {
        let ended = || self.usage().batches;
        let starved = |time: Duration| ExecutorError::Starved {
            model: self.model().clone(),
            seconds: time.as_secs_f64(),
            option: limit.option,
        };
        let mut turn = std::pin::pin!(turn);
        loop {
            let before = ended();
            // It was waited for in vain before, and nothing has happened since.
            let known = self.shared.starved.0.load(Ordering::Relaxed) == before;
            let patience = if known { Duration::ZERO } else { limit.time };
            if let Ok(turn) = timeout(patience, turn.as_mut()).await {
                return Ok(turn);
            }
            if ended() == before {
                self.shared.starved.0.store(before, Ordering::Relaxed);
                return Err(starved(limit.time));
            }
        }
    }

    /// Waits for an answer, once its call has begun as long as the limit allows.
    pub(super) async fn answer(
        &self,
        limit: &Limit,
        begun: Begun,
        answer: oneshot::Receiver<Result<O, ExecutorError>>,
    ) -> Result<O, ExecutorError> {
        let answered = match self.turn(limit, begun).await? {
            Ok(since) => timeout_at(since + limit.time, answer).await,
            // It never begins: the network is gone, and so is the answer.
            Err(_) => Ok(answer.await),
        };
        match answered {
            Ok(answer) => answer.unwrap_or_else(|_| Err(self.closed())),
            Err(_) => Err(ExecutorError::Overdue {
                model: self.model().clone(),
                limit: limit.time,
                option: limit.option,
            }),
        }
    }
}
