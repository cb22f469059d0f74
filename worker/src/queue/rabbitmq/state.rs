//! What this process holds of the lanes: deliveries that wait for a receiver, and those in the hands of one.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::message::Delivery as Message;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;

use super::super::message::{Malformed, correlation, decode};
use super::super::{Delivery, Job, Lane, Receipt};
use super::session::Session;
use super::topology::Source;

/// So many interactive jobs may overtake one of the backfill.
const WEIGHT: u32 = 8;

/// A retried message is on its way back at most so long after its delay; longer only while its lane is full.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// How often a message was retried.
const ATTEMPTS: &str = "x-docent-attempts";
/// A run over it was lost, before it was retried.
const ALONE: &str = "x-docent-alone";
/// Its former receiver did not settle it, before it was retried.
const REDELIVERED: &str = "x-docent-redelivered";
/// How often the broker delivered it before; only quorum queues say so.
const DELIVERIES: &str = "x-delivery-count";

/// A submission that came back so often, unsettled, may be what ends its receivers before they can register it. Fewer have
/// many reasons, such as two workers that were stopped with it among what they had fetched.
const SUSPICIOUS: u32 = 2;

/// What is guarded by one lock.
#[derive(Default)]
pub(super) struct State {
    /// The connection, while there is one.
    pub(super) session: Option<Arc<Session>>,
    /// Why there is none.
    pub(super) trouble: Option<String>,
    /// By lane: jobs, and submissions.
    waiting: [[VecDeque<Arrived>; 2]; 2],
    /// By lane: submissions have their turn.
    turn: [usize; 2],
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
    pub(super) source: Source,
    /// Its former receiver did not settle it.
    pub(super) redelivered: bool,
    /// Its lane.
    pub(super) lane: Lane,
    /// The message as it came.
    pub(super) message: Message,
}

/// The job of a message from `lane`.
pub(super) fn read(message: &Message, lane: Lane) -> Result<Job, Malformed> {
    let mut job = decode(&message.data, lane)?;
    let alone = is_set(message, ALONE);
    match &mut job {
        Job::Analyze(job) => job.alone |= alone,
        Job::Submit(submission) => {
            submission.alone |= alone || count(message, DELIVERIES) >= SUSPICIOUS;
            submission.attempts = count(message, ATTEMPTS);
            submission.correlation = submission.correlation.take().or_else(|| named(message));
        }
    }
    Ok(job)
}

/// What its publisher calls it in AMQP's own properties.
pub(super) fn named(message: &Message) -> Option<String> {
    let properties = &message.properties;
    let names = [properties.correlation_id(), properties.message_id()];
    names.into_iter().flatten().find_map(|name| correlation(name.as_str()))
}

impl Arrived {
    /// A message with its job.
    pub(super) fn new(job: Job, source: Source, lane: Lane, message: Message) -> Self {
        let redelivered = message.redelivered || is_set(&message, REDELIVERED);
        Self { job, source, redelivered, lane, message }
    }

    /// The properties under which it is published once more to be tried again.
    pub(super) fn for_retry(&self) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers
            .insert(ATTEMPTS.into(), AMQPValue::LongLongInt(i64::from(count(&self.message, ATTEMPTS)) + 1));
        for (name, is_set) in [(ALONE, self.job.alone()), (REDELIVERED, self.redelivered)] {
            if is_set {
                headers.insert(name.into(), AMQPValue::Boolean(true));
            }
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

/// What the headers of `message` say under `name`.
pub(super) fn header<'a>(message: &'a Message, name: &str) -> Option<&'a AMQPValue> {
    message.properties.headers().as_ref()?.inner().get(name)
}

fn is_set(message: &Message, name: &str) -> bool {
    matches!(header(message, name), Some(AMQPValue::Boolean(true)))
}

fn count(message: &Message, name: &str) -> u32 {
    let number = match header(message, name) {
        Some(AMQPValue::LongLongInt(number)) => *number,
        Some(AMQPValue::LongInt(number)) => i64::from(*number),
        Some(AMQPValue::LongUInt(number)) => i64::from(*number),
        Some(AMQPValue::ShortInt(number)) => i64::from(*number),
        Some(AMQPValue::ShortUInt(number)) => i64::from(*number),
        Some(AMQPValue::ShortShortInt(number)) => i64::from(*number),
        Some(AMQPValue::ShortShortUInt(number)) => i64::from(*number),
        _ => 0,
    };
    u32::try_from(number).unwrap_or(0)
}

impl State {
    /// Takes a message in.
    pub(super) fn arrive(&mut self, message: Arrived) {
        let beside = usize::from(matches!(message.source, Source::Intake(_)));
        self.waiting[place(message.lane)][beside].push_back(message);
    }

    /// Messages of a lane that wait here for a receiver, or are in the hands of one.
    pub(super) fn held(&self, lane: Lane) -> usize {
        let waiting: usize = self.waiting[place(lane)].iter().map(VecDeque::len).sum();
        waiting + self.in_flight.values().filter(|delivery| delivery.message.lane == lane).count()
    }

    /// The next delivery, if any is here.
    pub(super) fn next(&mut self) -> Option<Delivery> {
        let is_empty = |lane: &[VecDeque<Arrived>; 2]| lane.iter().all(VecDeque::is_empty);
        let backfill_is_due = self.overtaken >= WEIGHT && !is_empty(&self.waiting[1]);
        let lane = if backfill_is_due || is_empty(&self.waiting[0]) { 1 } else { 0 };
        // Jobs and submissions in turn: neither waits for all of the other.
        let turn = self.turn[lane];
        let message =
            self.waiting[lane][turn].pop_front().or_else(|| self.waiting[lane][1 - turn].pop_front())?;
        self.turn[lane] = 1 - usize::from(matches!(message.source, Source::Intake(_)));
        self.overtaken = if lane == 0 { self.overtaken.saturating_add(1) } else { 0 };
        self.last_receipt += 1;
        let receipt = self.last_receipt;
        let (job, redelivered) = (message.job.clone(), message.redelivered);
        self.in_flight.insert(receipt, InFlight { message: Arc::new(message), busy: false });
        Some(Delivery { job, redelivered, receipt: Receipt(receipt) })
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
        self.waiting.iter_mut().flatten().for_each(VecDeque::clear);
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
        self.waiting.iter().flatten().all(VecDeque::is_empty)
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
