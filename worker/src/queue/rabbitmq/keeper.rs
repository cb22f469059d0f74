//! Keeps one connection to the broker: opens it, takes in what comes over it, and opens another when it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use futures_util::{StreamExt, stream};
use lapin::message::Delivery as Message;
use lapin::options::BasicAckOptions;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::{Lane, QueueError};
use super::address::Address;
use super::letters::{given_up_by_broker, lane_of_origin};
use super::session::{Capacity, Fault, Session, Subscription};
use super::state::{Arrived, State, read};
use super::topology::{Names, Source, lane_name};

/// Callers wait so long for a lost connection to come back before they are told.
const PATIENCE: Duration = Duration::from_secs(2);
/// No pause between two attempts to connect is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// With uploads waiting, the first of them arrives within this time, ahead of the backfill.
const HEAD_START: Duration = Duration::from_millis(500);
/// What the broker gave up is looked at in portions of so many: nothing else is done with it.
const GIVEN_UP: u16 = 16;

/// What the queue and its keeper share.
pub(super) struct Shared {
    address: Address,
    /// What everything is called.
    pub(super) names: Names,
    capacity: Capacity,
    /// Of the interactive lane, and of the backfill.
    prefetch: [u16; 2],
    /// An event for each submission that comes to nothing.
    pub(super) events: bool,
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
    pub(super) fn new(
        address: Address,
        names: Names,
        capacity: Capacity,
        prefetch: [u16; 2],
        events: bool,
    ) -> Self {
        Self {
            address,
            names,
            capacity,
            prefetch,
            events,
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
        let mut somebody_waits = false;
        for source in [Source::Lane(Lane::Interactive), Source::Intake(Lane::Interactive)] {
            let waiting = session.count(&self.names.source(source)).await?;
            somebody_waits |= waiting.is_some_and(|waiting| waiting > 0);
            subscriptions.push(session.subscribe(&self.names, source, self.prefetch[0]).await?);
        }
        if somebody_waits {
            let first = tokio::time::timeout(HEAD_START, arrivals(subscriptions).next()).await;
            if let Ok(Some((source, first))) = first {
                self.arrived(session, source, first).await?;
            }
        }
        for (source, prefetch) in [
            (Source::Lane(Lane::Backfill), self.prefetch[1]),
            (Source::Intake(Lane::Backfill), self.prefetch[1]),
            (Source::Undelivered, GIVEN_UP),
        ] {
            subscriptions.push(session.subscribe(&self.names, source, prefetch).await?);
        }
        let mut arrivals = arrivals(subscriptions);
        while let Some((source, came)) = arrivals.next().await {
            self.arrived(session, source, came).await?;
        }
        Err(Fault::Lost(anyhow!("there is nothing to receive from")))
    }

    async fn arrived(
        &self,
        session: &Session,
        source: Source,
        came: Option<lapin::Result<Message>>,
    ) -> Result<(), Fault> {
        let message = match came {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(session.lost(&error)),
            // The queue was deleted: a new connection makes a new one.
            None => return Err(Fault::Lost(anyhow!("the broker ended the subscription to a queue"))),
        };
        let (lane, read) = match source {
            Source::Lane(lane) | Source::Intake(lane) => {
                (lane, read(&message, lane).map_err(|error| error.to_string()))
            }
            Source::Undelivered => (lane_of_origin(&message), Err(given_up_by_broker(&message))),
        };
        match read {
            Ok(job) => {
                self.state().arrive(Arrived::new(job, source, lane, message));
                self.changed.notify_waiters();
            }
            Err(reason) => {
                let lane_name = lane_name(lane);
                tracing::warn!(
                    lane = lane_name,
                    reason,
                    "a message cannot be worked on; sent to the dead letters"
                );
                self.bury(session, &message, lane, &reason).await?;
                // If this fails, it comes again, and once more to the dead letters.
                let _ = message.acker.ack(BasicAckOptions::default()).await;
            }
        }
        Ok(())
    }
}

/// What comes over `subscriptions`; a `None` of one of them is its end.
fn arrivals(
    subscriptions: &mut [Subscription],
) -> impl futures_util::Stream<Item = (Source, Option<lapin::Result<Message>>)> {
    stream::select_all(subscriptions.iter_mut().map(|subscription| {
        let source = subscription.source;
        let end = stream::iter([(source, None)]);
        subscription.deliveries.by_ref().map(move |came| (source, Some(came))).chain(end)
    }))
}

/// The error with the backend's own words.
pub(super) fn unavailable(operation: &'static str, source: anyhow::Error) -> QueueError {
    QueueError::Unavailable { operation, source }
}
