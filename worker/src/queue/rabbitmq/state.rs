//! What this process holds of the lanes: deliveries that wait for a receiver, and those in the hands of one.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::message::Delivery as Message;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;

use super::super::message::{Malformed, decode};
use super::super::{Delivery, Job, Lane, Receipt};
use super::session::Session;

/// So many interactive jobs may overtake one of the backfill.
const WEIGHT: u32 = 8;

/// A retried message is on its way back at most so long after its delay; longer only while its lane is full.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// How often a message was retried.
const ATTEMPTS: &str = "x-docent-attempts";
/// The message was in work when a process died, before it was retried.
const ALONE: &str = "x-docent-alone";

/// What is guarded by one lock.
#[derive(Default)]
pub(super) struct State {
    /// The connection, while there is one.
    pub(super) session: Option<Arc<Session>>,
    /// Why there is none.
    pub(super) trouble: Option<String>,
    waiting: [VecDeque<Arrived>; 2],
    in_flight: HashMap<u64, InFlight>,
    last_receipt: u64,
    /// Interactive jobs given out since the last one of the backfill.
    overtaken: u32,
    /// Delay queues that this process published to.
    delays: BTreeSet<(usize, String)>,
    /// When the last message that this process retried is back in its lane.
    back_at: Option<Instant>,
    /// Nobody publishes any more.
    pub(super) closed: bool,
    /// This process receives no more.
    pub(super) ended: bool,
}

struct InFlight {
    message: Arc<Arrived>,
    /// Somebody is settling it.
    busy: bool,
}

/// A message with its job.
pub(super) struct Arrived {
    /// What it asks for.
    pub(super) job: Job,
    /// The queue it came from.
    pub(super) lane: Lane,
    /// The message as it came.
    pub(super) message: Message,
}

/// The job of a message from `lane`.
pub(super) fn read(message: &Message, lane: Lane) -> Result<Job, Malformed> {
    let mut job = decode(&message.data, lane)?;
    let struck = message.redelivered || matches!(header(message, ALONE), Some(AMQPValue::Boolean(true)));
    match &mut job {
        Job::Analyze(job) => job.alone |= struck,
        Job::Submit(submission) => {
            submission.alone |= struck;
            submission.attempts = attempts(message);
        }
    }
    Ok(job)
}

impl Arrived {
    /// The properties under which it is published once more to be tried again.
    pub(super) fn for_retry(&self) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert(ATTEMPTS.into(), AMQPValue::LongLongInt(i64::from(attempts(&self.message)) + 1));
        if self.job.alone() {
            headers.insert(ALONE.into(), AMQPValue::Boolean(true));
        }
        republished(&self.message, headers)
    }
}

/// The properties under which `message` is published once more, with `headers`. Only what names it is kept: the
/// broker's own notes would make it see a cycle, a user's name must be that of the connection, and others have effects.
pub(super) fn republished(message: &Message, headers: FieldTable) -> BasicProperties {
    let from = &message.properties;
    let mut properties = BasicProperties::default().with_headers(headers);
    let keep = |value: &Option<ShortString>| value.clone();
    if let Some(value) = keep(from.content_type()) {
        properties = properties.with_content_type(value);
    }
    if let Some(value) = keep(from.message_id()) {
        properties = properties.with_message_id(value);
    }
    if let Some(value) = keep(from.correlation_id()) {
        properties = properties.with_correlation_id(value);
    }
    if let Some(value) = from.timestamp() {
        properties = properties.with_timestamp(*value);
    }
    properties
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a AMQPValue> {
    message.properties.headers().as_ref()?.inner().get(name)
}

fn attempts(message: &Message) -> u32 {
    let number = match header(message, ATTEMPTS) {
        Some(AMQPValue::LongLongInt(number)) => *number,
        Some(AMQPValue::LongInt(number)) => i64::from(*number),
        _ => 0,
    };
    u32::try_from(number).unwrap_or(0)
}

impl State {
    /// Takes a message in.
    pub(super) fn arrive(&mut self, message: Arrived) {
        self.waiting[place(message.lane)].push_back(message);
    }

    /// The next delivery, if any is here.
    pub(super) fn next(&mut self) -> Option<Delivery> {
        let backfill_is_due = self.overtaken >= WEIGHT && !self.waiting[1].is_empty();
        let lane = if backfill_is_due || self.waiting[0].is_empty() { 1 } else { 0 };
        let message = self.waiting[lane].pop_front()?;
        self.overtaken = if lane == 0 { self.overtaken.saturating_add(1) } else { 0 };
        self.last_receipt += 1;
        let receipt = self.last_receipt;
        let job = message.job.clone();
        self.in_flight.insert(receipt, InFlight { message: Arc::new(message), busy: false });
        Some(Delivery { job, receipt: Receipt(receipt) })
    }

    /// The message of a delivery that is in flight and that nobody else settles now.
    pub(super) fn begin_to_settle(&mut self, receipt: Receipt) -> Option<Arc<Arrived>> {
        let delivery = self.in_flight.get_mut(&receipt.0).filter(|delivery| !delivery.busy)?;
        delivery.busy = true;
        Some(Arc::clone(&delivery.message))
    }

    /// It could not be settled: it is in flight as before.
    pub(super) fn not_settled(&mut self, receipt: Receipt) {
        if let Some(delivery) = self.in_flight.get_mut(&receipt.0) {
            delivery.busy = false;
        }
    }

    /// It is settled. False if the connection ended meanwhile: the message comes again.
    pub(super) fn settled(&mut self, receipt: Receipt) -> bool {
        self.in_flight.remove(&receipt.0).is_some()
    }

    /// The connection is gone, and with it all that came over it: it comes again.
    pub(super) fn forget_deliveries(&mut self) {
        self.waiting.iter_mut().for_each(VecDeque::clear);
        self.in_flight.clear();
    }

    /// Remembers that a message waits in a delay queue.
    pub(super) fn delayed(&mut self, lane: Lane, queue: String, waits: Duration) {
        self.delays.insert((place(lane), queue));
        let back_at = Instant::now() + waits + ON_ITS_WAY;
        self.back_at = Some(self.back_at.map_or(back_at, |at| at.max(back_at)));
    }

    /// The delay queues of a lane that this process published to.
    pub(super) fn delays(&self, lane: Lane) -> Vec<String> {
        let of_lane = self.delays.iter().filter(|(of, _)| *of == place(lane));
        of_lane.map(|(_, queue)| queue.clone()).collect()
    }

    /// A delay queue is gone.
    pub(super) fn forget_delay(&mut self, lane: Lane, queue: &str) {
        self.delays.remove(&(place(lane), queue.to_owned()));
    }

    /// Whether this process holds nothing, and nothing of its own is on the way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
            && self.in_flight.is_empty()
            && self.back_at.is_none_or(|at| at <= Instant::now())
    }
}

fn place(lane: Lane) -> usize {
    match lane {
        Lane::Interactive => 0,
        Lane::Backfill => 1,
    }
}
