//! Dead letters: what is laid aside for a person, with the reason, and what other programs hear of it.

use std::time::SystemTime;

use anyhow::anyhow;
use lapin::BasicProperties;
use lapin::message::Delivery as Message;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::Lane;
use super::super::message::told;
use super::keeper::Shared;
use super::session::{Fault, Published, Session};
use super::state::{header, named, republished};
use super::topology::lane_name;

/// Characters of a reason that fit in a header, whose frame has 128 KiB.
const LONGEST_REASON: usize = 2000;

/// Why a message is a dead letter.
const REASON: &str = "x-docent-reason";
/// Since when.
const AT: &str = "x-docent-at";
/// The lane it came from.
const LANE: &str = "x-docent-lane";
/// What the broker notes of a message that it gives up: a list of where and why, the last first.
const DEATHS: &str = "x-death";

/// What other programs are told of a submission that came to nothing.
const REJECTED: &str = "submission.rejected";

impl Shared {
    /// Sends a message to the dead letters. Its delivery is left to settle.
    pub(super) async fn bury(
        &self,
        session: &Session,
        message: &Message,
        lane: Lane,
        reason: &str,
    ) -> Result<(), Fault> {
        let reason = shortened(reason);
        let at = OffsetDateTime::from(SystemTime::now()).format(&Rfc3339).unwrap_or_default();
        if self.events {
            self.tell_rejected(session, message, lane, (&reason, &at)).await?;
        }
        let mut headers = FieldTable::default();
        for (name, value) in [(REASON, reason.as_str()), (AT, at.as_str()), (LANE, lane_name(lane))] {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let properties = republished(message, headers);
        match session.publish("", &self.names.dead(), true, properties, &message.data).await? {
            Published::Taken => {
                metrics::counter!("docent_dead_letters_total").increment(1);
                Ok(())
            }
            Published::Full => Err(Fault::Lost(anyhow!("the broker takes no dead letters"))),
            Published::Nowhere => {
                // A new connection declares it again.
                session.give_up();
                Err(Fault::Lost(anyhow!("the queue of dead letters is gone")))
            }
        }
    }

    /// Tells what became of a submission of which the ledger knows nothing. Of a job of the ledger it tells itself.
    async fn tell_rejected(
        &self,
        session: &Session,
        message: &Message,
        lane: Lane,
        (reason, at): (&str, &str),
    ) -> Result<(), Fault> {
        let Some(told) = told(&message.data) else { return Ok(()) };
        let data = json!({
            "uri": told.uri, "owner": told.owner, "correlation_id": told.correlation.or_else(|| named(message)),
            "lane": lane_name(lane), "reason": reason,
        });
        let body = json!({ "version": 1, "id": null, "event": REJECTED, "at": at, "data": data }).to_string();
        let properties = BasicProperties::default().with_content_type("application/json".into());
        session.publish(&self.names.events(), REJECTED, false, properties, body.as_bytes()).await.map(drop)
    }
}

/// A reason that is no longer than a header may be, and says so where it was.
fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{} …", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// Why the broker gave a message up, in words.
pub(super) fn given_up_by_broker(message: &Message) -> String {
    let queue = died_of(message, "queue").unwrap_or_else(|| "a queue of docent".to_owned());
    match died_of(message, "reason").as_deref() {
        Some("expired") => format!(
            "the message expired in {queue}, before a worker took it: its publisher gave it an expiration; publish \
             it again without one"
        ),
        Some("delivery_limit") => format!(
            "the broker gave the message up: it came back to {queue} more often than the broker allows, each time \
             because the worker that had it ended or lost its connection"
        ),
        Some("maxlen") => format!("the broker gave the message up: {queue} was full"),
        Some("rejected") => format!("another program received the message from {queue} and rejected it"),
        Some(reason) => format!("the broker gave the message up in {queue}: {reason}"),
        None => "the message was published to where only the broker puts what it gives up".to_owned(),
    }
}

/// The lane for which a message waited that the broker gave up.
pub(super) fn lane_of_origin(message: &Message) -> Lane {
    let interactive = lane_name(Lane::Interactive);
    let from = died_of(message, "queue").unwrap_or_default();
    if from.split('.').any(|part| part == interactive) { Lane::Interactive } else { Lane::Backfill }
}

/// What the broker notes of the last time that it gave a message up.
fn died_of(message: &Message, what: &str) -> Option<String> {
    let Some(AMQPValue::FieldArray(deaths)) = header(message, DEATHS) else { return None };
    let Some(AMQPValue::FieldTable(last)) = deaths.as_slice().first() else { return None };
    match last.inner().get(what)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_room_in_a_header_and_says_where_it_was_cut() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"ß".repeat(LONGEST_REASON + 1));
        assert_eq!(long.chars().count(), LONGEST_REASON + 2);
        assert!(long.ends_with(" …"));
    }
}
