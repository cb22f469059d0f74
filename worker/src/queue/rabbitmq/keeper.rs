//! Keeps one connection to the broker: opens it, takes in what comes over it, and opens another when it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use futures_util::StreamExt;
use lapin::message::Delivery as Message;
use lapin::options::BasicAckOptions;
use lapin::types::{AMQPValue, FieldTable};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::{Lane, QueueError};
use super::address::Address;
use super::session::{Fault, Published, Session, Subscription};
use super::state::{Arrived, State, read, republished};
use super::topology::{Names, lane_name};

/// Callers wait so long for a lost connection to come back before they are told.
const PATIENCE: Duration = Duration::from_secs(2);
/// No pause between two attempts to connect is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// With uploads waiting, the first of them arrives within this time, ahead of the backfill.
const HEAD_START: Duration = Duration::from_millis(500);
/// Characters of a reason that fit in a header.
const LONGEST_REASON: usize = 2000;

/// Why a message is a dead letter.
const REASON: &str = "x-docent-reason";
/// Since when.
const AT: &str = "x-docent-at";
/// The lane it came from.
const LANE: &str = "x-docent-lane";

/// What the queue and its keeper share.
pub(super) struct Shared {
    address: Address,
    /// What everything is called.
    pub(super) names: Names,
    capacity: u64,
    /// Of the interactive lane, and of the backfill.
    prefetch: [u16; 2],
    state: Mutex<State>,
    /// Something in the state is different.
    pub(super) changed: Notify,
    /// Somebody receives: only then are the lanes subscribed to, so that a process which only publishes keeps no message
    /// from those that work.
    pub(super) receiving: CancellationToken,
    /// The end of the keeper.
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn new(address: Address, names: Names, capacity: u64, prefetch: [u16; 2]) -> Self {
        Self {
            address,
            names,
            capacity,
            prefetch,
            state: Mutex::default(),
            changed: Notify::new(),
            receiving: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the first connection.
    pub(super) async fn open(&self) -> Result<Session, Fault> {
        Session::open(&self.address, &self.names, self.capacity).await
    }

    /// The connection. Waits a moment for a lost one to come back.
    pub(super) async fn session(&self, operation: &'static str) -> Result<Arc<Session>, QueueError> {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state();
                if let Some(session) = state.session.clone().filter(|session| session.is_open()) {
                    return Ok(session);
                }
                if state.ended {
                    return Err(unavailable(operation, anyhow!("this process has left the queue")));
                }
            }
            tokio::select! {
                () = changed => {}
                () = &mut patience => return Err(self.away(operation)),
            }
        }
    }

    /// The error while there is no connection.
    pub(super) fn away(&self, operation: &'static str) -> QueueError {
        let trouble = self.state().trouble.clone();
        let trouble = trouble.unwrap_or_else(|| "the connection to the broker was lost".to_owned());
        unavailable(operation, anyhow!(trouble))
    }

    /// Works until `stop`; `session` is the first connection.
    pub(super) async fn keep(self: Arc<Self>, mut session: Arc<Session>) {
        loop {
            self.up(&session);
            let mut subscriptions = Vec::new();
            let why = tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                why = session.ended() => Some(why),
                fault = self.take_in(&session, &mut subscriptions) => {
                    Some(anyhow::Error::from(fault).to_string())
                }
            };
            let Some(why) = why else {
                self.down(None);
                session.close(subscriptions).await;
                return;
            };
            tracing::warn!(why, "the connection to the broker was lost");
            session.give_up();
            self.down(Some(why));
            drop(subscriptions);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.down(None),
                opened = self.open_again() => session = opened,
            }
            metrics::counter!("docent_reconnects_total", "backend" => "queue").increment(1);
            tracing::info!("the connection to the broker is back");
        }
    }

    async fn open_again(&self) -> Arc<Session> {
        let mut pause = Duration::from_millis(100);
        loop {
            tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.open().await {
                Ok(session) => return Arc::new(session),
                Err(fault) => {
                    let why = anyhow::Error::from(fault).to_string();
                    // Once for each reason, not for each attempt.
                    if self.state().trouble.as_ref() != Some(&why) {
                        tracing::warn!(why, "cannot connect to the broker; trying on");
                    }
                    self.down(Some(why));
                }
            }
        }
    }

    fn up(&self, session: &Arc<Session>) {
        let mut state = self.state();
        state.session = Some(Arc::clone(session));
        state.trouble = None;
        drop(state);
        metrics::gauge!("docent_backend_up", "backend" => "queue").set(1.0);
        self.changed.notify_waiters();
    }

    fn down(&self, why: Option<String>) {
        let mut state = self.state();
        state.session = None;
        state.ended |= why.is_none();
        state.trouble = why;
        state.forget_deliveries();
        drop(state);
        metrics::gauge!("docent_backend_up", "backend" => "queue").set(0.0);
        self.changed.notify_waiters();
    }

    /// Takes messages in from the time on that somebody receives, until the connection fails.
    async fn take_in(&self, session: &Session, subscriptions: &mut Vec<Subscription>) -> Fault {
        match self.subscribe_and_take_in(session, subscriptions).await {
            Ok(never) => match never {},
            Err(fault) => fault,
        }
    }

    async fn subscribe_and_take_in(
        &self,
        session: &Session,
        subscriptions: &mut Vec<Subscription>,
    ) -> Result<std::convert::Infallible, Fault> {
        self.receiving.cancelled().await;
        let interactive = self.names.lane(Lane::Interactive);
        let somebody_waits = session.count(&interactive).await?.is_some_and(|waiting| waiting > 0);
        subscriptions.push(session.subscribe(&interactive, self.prefetch[0]).await?);
        if somebody_waits {
            let first = subscriptions[0].deliveries.next();
            if let Ok(first) = tokio::time::timeout(HEAD_START, first).await {
                self.arrived(session, Lane::Interactive, first).await?;
            }
        }
        subscriptions.push(session.subscribe(&self.names.lane(Lane::Backfill), self.prefetch[1]).await?);
        let [interactive, backfill] = subscriptions.as_mut_slice() else {
            return Err(Fault::Lost(anyhow!("there are two lanes")));
        };
        loop {
            tokio::select! {
                biased;
                came = interactive.deliveries.next() => self.arrived(session, Lane::Interactive, came).await?,
                came = backfill.deliveries.next() => self.arrived(session, Lane::Backfill, came).await?,
            }
        }
    }

    async fn arrived(
        &self,
        session: &Session,
        lane: Lane,
        came: Option<lapin::Result<Message>>,
    ) -> Result<(), Fault> {
        let message = match came {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(session.lost(&error)),
            // The queue was deleted: a new connection makes a new one.
            None => return Err(Fault::Lost(anyhow!("the broker ended the subscription to a lane"))),
        };
        match read(&message, lane) {
            Ok(job) => {
                self.state().arrive(Arrived { job, lane, message });
                self.changed.notify_waiters();
            }
            Err(error) => {
                tracing::warn!(lane = lane_name(lane), %error, "a message is none of docent's; sent to the dead letters");
                self.bury(session, &message, lane, &error.to_string()).await?;
                // If this fails, it comes again, and once more to the dead letters.
                let _ = message.acker.ack(BasicAckOptions::default()).await;
            }
        }
        Ok(())
    }

    /// Sends a message to the dead letters. Its delivery is left to settle.
    pub(super) async fn bury(
        &self,
        session: &Session,
        message: &Message,
        lane: Lane,
        reason: &str,
    ) -> Result<(), Fault> {
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        let at = OffsetDateTime::from(SystemTime::now()).format(&Rfc3339).unwrap_or_default();
        let mut headers = FieldTable::default();
        for (name, value) in [(REASON, reason.as_str()), (AT, at.as_str()), (LANE, lane_name(lane))] {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let properties = republished(message, headers);
        let dead = self.names.dead();
        match session.publish(&dead, &self.names.lane(lane), true, properties, &message.data).await? {
            Published::Taken => {
                metrics::counter!("docent_dead_letters_total").increment(1);
                Ok(())
            }
            Published::Full => Err(Fault::Lost(anyhow!("the broker takes no dead letters"))),
            Published::Nowhere => {
                // A new connection makes a new one.
                session.give_up();
                Err(Fault::Lost(anyhow!("the queue of dead letters is gone")))
            }
        }
    }
}

/// The error with the backend's own words.
pub(super) fn unavailable(operation: &'static str, source: anyhow::Error) -> QueueError {
    QueueError::Unavailable { operation, source }
}
