//! Webhooks: an address that gets each event by HTTP, signed as the Standard Webhooks specification says.
//!
//! The operator who writes the configuration chooses the addresses, and nobody else can; so an address may be anywhere, also in a private
//! network. Redirects are not followed: what answers there cannot send docent elsewhere.

mod client;
mod signature;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
pub use client::{Answer, Client, ClientError};
use serde_json::json;
pub use signature::{Key, KeyError};

use super::{EventSink, Patience, Refusal};
use crate::store::EventRow;

/// Every event that the outbox has, by name.
pub const EVENTS: [&str; 4] =
    ["asset.registered", "suggestions.created", "asset.failed", "suggestion.decided"];
/// The event of [`Webhook::test`].
const TEST: &str = "webhook.test";

/// Delay after the first refusal …
const FIRST: Duration = Duration::from_millis(500);
/// … and the longest: an address that comes back hears of it within minutes.
const LONGEST: Duration = Duration::from_secs(600);
/// No address is left alone for longer, whatever it asks for.
const MOST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);
/// Characters of an answer that are told with a refusal.
const MOST_QUOTED: usize = 120;

/// What a webhook is made of. Never shown as a whole: the address may contain a secret.
#[derive(Clone)]
pub struct Options {
    /// Where events go: `http` or `https`.
    pub url: String,
    /// What they are signed with.
    pub key: Key,
    /// Names of events, or beginnings as in `suggestion.*`; none: all.
    pub events: Vec<String>,
    /// Longest time for one event.
    pub timeout: Duration,
    /// An address that takes nothing for so long is disabled.
    pub patience: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

/// One address.
#[derive(Debug)]
pub struct Webhook {
    options: Options,
    client: Client,
}

impl Webhook {
    /// Makes ready to send; sends nothing.
    pub fn new(options: Options) -> Result<Self, ClientError> {
        let client = Client::new(&options.url, options.timeout)?;
        Ok(Self { options, client })
    }

    /// Sends an event that says nothing, to see whether it is taken.
    pub async fn test(&self) -> Result<u16, Refusal> {
        let now = time::OffsetDateTime::now_utc();
        let at = now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
        let body = json!({ "type": TEST, "timestamp": at, "data": {} }).to_string();
        let id = format!("test_{:016x}", fastrand::u64(..));
        let sent = self.send(&id, body);
        tokio::time::timeout(self.options.timeout, sent).await.unwrap_or_else(|_| {
            Err(Refusal::of(format!("no answer within {} s", self.options.timeout.as_secs_f32())))
        })
    }

    /// Sends a body, signed. Answers the status if it was taken.
    async fn send(&self, id: &str, body: String) -> Result<u16, Refusal> {
        let at = time::OffsetDateTime::now_utc().unix_timestamp();
        let headers = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", self.options.key.sign(id, at, &body)),
        ];
        let answer = self.client.post(headers, body).await.map_err(|error| Refusal::of(error.to_string()))?;
        judge(&answer)
    }
}

#[async_trait]
impl EventSink for Webhook {
    async fn take(&self, event: &EventRow) -> Result<(), Refusal> {
        if !wanted(&self.options.events, &event.event) {
            return Ok(());
        }
        let body = event.envelope().to_string();
        let EventRow { id, millis, .. } = event;
        // A new ledger counts from 1 again, but at other times.
        self.send(&format!("evt_{millis}_{id}"), body).await.map(drop)
    }

    fn patience(&self) -> Patience {
        let Options { timeout, patience, .. } = self.options;
        Patience { timeout, first: FIRST, longest: LONGEST, whole: Some(patience) }
    }
}

/// Whether a list of names and beginnings has this event.
fn wanted(list: &[String], event: &str) -> bool {
    list.is_empty()
        || list.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => event.starts_with(beginning),
            None => name == event,
        })
}

/// Whether there is an event that an entry of such a list means.
pub fn means_something(entry: &str) -> bool {
    let list = [entry.to_owned()];
    let whole =
        entry.strip_suffix('*').is_none_or(|beginning| beginning.is_empty() || beginning.ends_with('.'));
    whole && EVENTS.iter().any(|event| wanted(&list, event))
}

/// Whether an answer says that the event was taken.
fn judge(answer: &Answer) -> Result<u16, Refusal> {
    let Answer { status, retry_after, beginning } = answer;
    if (200..300).contains(status) {
        return Ok(*status);
    }
    let what = match status {
        300..400 => "redirects are not followed: ",
        410 => "wants no events any more: ",
        _ => "",
    };
    let said: String = beginning.chars().filter(|c| !c.is_control()).take(MOST_QUOTED).collect();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    Err(Refusal {
        reason: format!("{what}status {status}{said}"),
        after: retry_after.map(|after| after.min(MOST_ASKED)),
        gone: *status == 410,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_events_or_their_beginnings() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (names, heard) in [
            (&[][..], &EVENTS[..]),
            (&["*"], &EVENTS),
            (&["asset.*"], &["asset.registered", "asset.failed"]),
            (&["suggestion.decided", "asset.failed"], &["asset.failed", "suggestion.decided"]),
        ] {
            let found: Vec<&str> = EVENTS.into_iter().filter(|event| wanted(&list(names), event)).collect();
            assert_eq!(found, heard, "{names:?}");
        }
        assert!(["*", "asset.*", "suggestions.created"].iter().all(|entry| means_something(entry)));
        assert!(
            !["", "asset", "asset*", "picture.*", "suggestion.created"].iter().any(|e| means_something(e))
        );
    }

    #[test]
    fn answers_say_what_became_of_an_event() {
        let answer = |status, retry_after, beginning: &str| Answer {
            status,
            retry_after,
            beginning: beginning.to_owned(),
        };
        assert_eq!(judge(&answer(204, None, "")), Ok(204));
        let refused =
            judge(&answer(503, Some(Duration::from_secs(7)), "back\nsoon")).expect_err("is refused");
        assert_eq!(
            (refused.reason.as_str(), refused.after),
            ("status 503: backsoon", Some(Duration::from_secs(7)))
        );
        let gone = judge(&answer(410, None, "")).expect_err("is refused");
        assert!(gone.gone && gone.reason == "wants no events any more: status 410");
        let moved = judge(&answer(302, None, "")).expect_err("is refused");
        assert!(!moved.gone && moved.reason == "redirects are not followed: status 302");
        let asked = judge(&answer(429, Some(Duration::MAX), "")).expect_err("is refused");
        assert_eq!(asked.after, Some(MOST_ASKED));
    }
}
