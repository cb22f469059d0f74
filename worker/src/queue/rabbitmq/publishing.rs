//! Publishing, for as long as it takes.

use std::time::Duration;

use anyhow::anyhow;
use lapin::BasicProperties;

use super::super::QueueError;
use super::keeper::{Shared, unavailable};
use super::session::{Fault, Published};

/// A full lane is tried again after a pause between these.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(500));
/// A connection that fails at the same message so often is not to blame.
const ATTEMPTS: u32 = 3;

impl Shared {
    /// Publishes and waits, while the queue is full or the connection is replaced, until the broker has the message.
    pub(super) async fn publish(
        &self,
        operation: &'static str,
        exchange: &str,
        key: &str,
        must_arrive: bool,
        body: &[u8],
    ) -> Result<(), QueueError> {
        let mut pause = PAUSES.0;
        let mut failures = 0;
        loop {
            let session = self.session(operation).await?;
            let fault = match session.publish(exchange, key, must_arrive, json(), body).await {
                Ok(Published::Taken) => return Ok(()),
                Ok(Published::Full) => {
                    tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
                    pause = (pause * 2).min(PAUSES.1);
                    continue;
                }
                Ok(Published::Nowhere) => Fault::Lost(anyhow!("the queue '{key}' is gone")),
                Err(fault) => fault,
            };
            // Perhaps the broker has it all the same: then it is delivered twice, which is better than never.
            failures += 1;
            if session.is_blocked() {
                return Err(unavailable(operation, anyhow!("the broker is short of memory or disk")));
            }
            session.give_up();
            if failures == ATTEMPTS {
                return Err(failed(operation, fault));
            }
        }
    }
}

fn json() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into())
}

/// What the caller is told.
pub(super) fn failed(operation: &'static str, fault: Fault) -> QueueError {
    match fault {
        Fault::Lost(source) => unavailable(operation, source),
        Fault::Misfit(reason) => QueueError::Unusable { reason },
    }
}
