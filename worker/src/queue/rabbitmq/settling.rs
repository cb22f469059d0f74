//! A delivery on its way from "in flight" to "settled".

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use lapin::options::BasicAckOptions;

use super::super::{QueueError, Receipt};
use super::keeper::Shared;
use super::publishing::failed;
use super::session::{Fault, Published, Session};
use super::state::Arrived;

impl Shared {
    /// The message of a delivery and the connection it came over; in flight again when the guard is dropped unsettled.
    pub(super) fn begin_to_settle(&self, receipt: Receipt) -> Result<Settling<'_>, QueueError> {
        let mut state = self.state();
        let session = state.session.clone();
        match (session, state.begin_to_settle(receipt)) {
            (Some(session), Some(message)) => {
                Ok(Settling { shared: self, receipt, message, session, settled: false })
            }
            _ => Err(QueueError::NotInFlight(receipt)),
        }
    }
}

/// A delivery that somebody settles.
pub(super) struct Settling<'a> {
    shared: &'a Shared,
    receipt: Receipt,
    /// What it carries.
    pub(super) message: Arc<Arrived>,
    /// The connection it came over.
    pub(super) session: Arc<Session>,
    settled: bool,
}

impl Settling<'_> {
    /// Publishes a message again, to come back after `delay`.
    pub(super) async fn send_back(&self, delay: Duration) -> Result<(), Fault> {
        let Self { shared, message, session, .. } = self;
        let (lane, body) = (message.lane, &message.message.data);
        if delay.is_zero() {
            let queue = shared.names.lane(lane);
            match session.publish("", &queue, true, message.for_retry(), body).await? {
                Published::Taken => return Ok(()),
                // Nobody makes room while everybody waits for it: let it wait where there is room.
                Published::Full => {}
                Published::Nowhere => {
                    session.give_up();
                    return Err(Fault::Lost(anyhow!("the queue '{queue}' is gone")));
                }
            }
        }
        // The broker's clock may be one percent faster than ours: Erlang brings it in line with the system's that way.
        let queue = shared.names.delay(lane, delay.saturating_add(delay / 100));
        session.declare_delay(&queue.name, queue.arguments).await?;
        // Before it is there, so that nobody sees it nowhere.
        shared.state().delayed(lane, queue.name.clone(), queue.waits);
        match session.publish("", &queue.name, true, message.for_retry(), body).await? {
            Published::Taken => Ok(()),
            Published::Full | Published::Nowhere => {
                session.give_up();
                Err(Fault::Lost(anyhow!("the queue '{}' takes nothing", queue.name)))
            }
        }
    }

    /// Tells the broker. If the connection is gone the broker never hears it, and the message comes again.
    pub(super) async fn ack(mut self) -> Result<(), QueueError> {
        let told = self.message.message.acker.ack(BasicAckOptions::default()).await;
        self.settled = true;
        let was_in_flight = self.shared.state().settled(self.receipt);
        self.shared.changed.notify_waiters();
        match told {
            Ok(true) if was_in_flight => Ok(()),
            _ => Err(QueueError::NotInFlight(self.receipt)),
        }
    }

    /// An error before the broker was told.
    pub(super) fn failed(self, operation: &'static str, fault: Fault) -> QueueError {
        if self.session.is_open() { failed(operation, fault) } else { QueueError::NotInFlight(self.receipt) }
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.state().not_settled(self.receipt);
        }
    }
}
