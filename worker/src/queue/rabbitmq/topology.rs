//! The names of queues and exchanges, and what they are declared with.

use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};

use super::super::Lane;

/// Delays of up to so many seconds have their queues beforehand.
const USUAL: u64 = 64;
/// No delay has more seconds; the broker takes no more than 2^32 ms.
const LONGEST: u64 = 14 * 24 * 60 * 60;

/// What everything is called.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin with `prefix`.
    pub(super) fn new(prefix: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if prefix.is_empty() || prefix.len() > 100 || !prefix.chars().all(plain) {
            return Err(
                "the prefix of the queues must be 1 to 100 letters, digits, '.', '-' or '_'".to_owned()
            );
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The queue of what is received from `source`.
    pub(super) fn source(&self, source: Source) -> String {
        match source {
            Source::Lane(lane) => self.lane(lane),
            Source::Intake(lane) => self.intake(lane),
            Source::Undelivered => self.undelivered(),
        }
    }

    /// The queue of a lane.
    pub(super) fn lane(&self, lane: Lane) -> String {
        format!("{}.{}", self.prefix, lane_name(lane))
    }

    /// The queue that other programs publish to. Apart from the lane, which is full most of the time of a backfill: docent
    /// waits with its own jobs in the ledger, and others have none.
    pub(super) fn intake(&self, lane: Lane) -> String {
        format!("{}.intake.{}", self.prefix, lane_name(lane))
    }

    /// The exchange to which the broker sends what it gives up, and the queue of what is given up for good. Between them
    /// is `undelivered`.
    pub(super) fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// The queue of what the broker gave up, without a word that a person would understand, until docent lays it to the
    /// other dead letters with a reason.
    pub(super) fn undelivered(&self) -> String {
        format!("{}.undelivered", self.prefix)
    }

    /// The exchange of events.
    pub(super) fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }
}

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The jobs that docent itself publishes.
    Lane(Lane),
    /// The submissions of other programs.
    Intake(Lane),
    /// What the broker gave up.
    Undelivered,
}

/// The name of a lane in queues and headers.
pub(super) fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Interactive => "interactive",
        Lane::Backfill => "backfill",
    }
}

fn quorum() -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Names {
    /// A lane: full at `capacity`, when the broker refuses further messages. What the broker itself gives up on (since
    /// version 4 it does after 20 redeliveries, which only a policy can change; 3.10 never does) goes to the dead
    /// letters, not into nothing. There is no limit of our own: the ledger counts attempts.
    pub(super) fn lane_arguments(&self, capacity: u64) -> FieldTable {
        let mut table = quorum();
        table.insert("x-max-length".into(), number(capacity));
        table.insert("x-overflow".into(), text("reject-publish"));
        table.insert("x-dead-letter-exchange".into(), text(&self.dead()));
        table.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        table
    }

    /// What other programs publish to: refuses as a lane does, but has room for what they have at once. What a publisher let
    /// expire goes to the dead letters.
    pub(super) fn intake_arguments(&self, capacity: u64) -> FieldTable {
        self.lane_arguments(capacity)
    }

    /// The dead letters, and what becomes one: kept until somebody looks.
    pub(super) fn dead_arguments(&self) -> FieldTable {
        quorum()
    }

    /// The queue in which a retry waits at least as long as `delay`.
    pub(super) fn delay(&self, lane: Lane, delay: Duration) -> Delay {
        let seconds = bucket(delay);
        let mut arguments = quorum();
        // Back into its lane when its time is over, and kept here as long as the lane is full.
        arguments.insert("x-message-ttl".into(), number(seconds * 1000));
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(&self.lane(lane)));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        let name = format!("{}.{}.delay.{seconds}s", self.prefix, lane_name(lane));
        Delay { name, arguments, waits: Duration::from_secs(seconds) }
    }

    /// The delay queues that are made beforehand, and stay. Not on demand, because RabbitMQ 3.10 with a single node loses
    /// a quorum queue, and with it confirmed messages, that it made less than a second before it was killed. Without
    /// `x-expires`, because a quorum queue vanishes that long after it was made, with all that is in it, however much it
    /// is published to and declared again.
    pub(super) fn usual_delays(&self, lane: Lane) -> Vec<Delay> {
        let mut seconds: Vec<u64> = (1..=USUAL).map(|seconds| bucket(Duration::from_secs(seconds))).collect();
        seconds.dedup();
        seconds.into_iter().map(|seconds| self.delay(lane, Duration::from_secs(seconds))).collect()
    }
}

/// One delay queue.
pub(super) struct Delay {
    /// Its name.
    pub(super) name: String,
    /// What it is declared with.
    pub(super) arguments: FieldTable,
    /// How long a message waits in it.
    pub(super) waits: Duration,
}

/// The whole seconds that stand for `delay`: never less, and above four seconds up to a half more, so that delays of all
/// lengths share a few queues.
fn bucket(delay: Duration) -> u64 {
    let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
    let seconds = seconds.clamp(1, LONGEST);
    let step = (seconds.next_power_of_two() / 4).max(1);
    seconds.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_delay_is_shortened_and_few_queues_serve_all() {
        let mut buckets = std::collections::BTreeSet::new();
        for millis in (0..600_000).step_by(250) {
            let delay = Duration::from_millis(millis);
            let seconds = bucket(delay);
            assert!(Duration::from_secs(seconds) >= delay, "{delay:?} became {seconds} s");
            assert!(seconds as f64 <= delay.as_secs_f64() * 1.5 + 1.0, "{delay:?} became {seconds} s");
            buckets.insert(seconds);
        }
        assert!(buckets.len() <= 24, "{buckets:?}");
        assert_eq!(bucket(Duration::from_secs(1)), 1);
        assert_eq!(bucket(Duration::from_millis(1001)), 2);
        assert_eq!(bucket(Duration::from_secs(5)), 6);
        assert_eq!(bucket(Duration::MAX), bucket(Duration::from_secs(LONGEST)));
    }

    #[test]
    fn the_usual_delays_are_few() {
        let delays = Names::new("x").expect("plain").usual_delays(Lane::Backfill);
        let names: Vec<_> = delays.iter().map(|delay| delay.name.as_str()).collect();
        assert_eq!(names.len(), 12, "{names:?}");
        assert_eq!((names[0], names[11]), ("x.backfill.delay.1s", "x.backfill.delay.64s"));
    }

    #[test]
    fn prefixes_are_plain() {
        assert_eq!(Names::new("docent").expect("plain").lane(Lane::Backfill), "docent.backfill");
        for prefix in ["", "a b", "ä", &"x".repeat(101)] {
            assert!(Names::new(prefix).is_err(), "{prefix}");
        }
    }
}
