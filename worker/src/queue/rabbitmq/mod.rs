//! A queue on RabbitMQ (3.10 and later), shared by any number of processes.
//!
//! Each lane is a quorum queue that refuses messages when it is full, for the jobs that the ledger leased, and beside it one
//! with much more room for what other programs submit. A process takes from the two in turn, and only as fast as it works.
//! What cannot be worked on goes to a queue of dead letters with the reason in its headers; what the broker itself gives up
//! goes there by way of another queue, where it gets one. A retry waits in a delay queue that hands it to its lane, be it a job
//! or a submission.
//!
//! A lost connection is replaced by another for as long as it takes; meanwhile every call waits a moment and then says
//! that the queue is unavailable. What was in flight over the lost connection comes again, to some process. Its old receipt
//! is not in flight any more.
//!
//! `amqps://` URLs are encrypted by rustls and verified against the system's certificates. No test exercises this.

mod address;
mod inspect;
mod keeper;
mod letters;
mod publishing;
mod session;
mod settling;
mod state;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use self::address::Address;
pub use self::inspect::Lanes;
use self::keeper::{Shared, unavailable};
use self::publishing::failed;
use self::session::Capacity;
use self::state::Arrived;
use self::topology::{Names, Source};
use super::message::encode;
use super::{AnalyzeAsset, Delivery, Lane, Queue, QueueError, Receipt};

/// A closed queue is empty when it was seen empty so often in a row: a message between two queues is in neither.
const SEEN_EMPTY: u32 = 3;
/// Between two looks at a closed queue.
const LOOK: Duration = Duration::from_millis(100);
/// The broker answers whether it is there within this time.
const PING: Duration = Duration::from_secs(5);

/// How to use a broker.
#[derive(Clone)]
pub struct RabbitOptions {
    /// `amqp://` or `amqps://`, with user and password. Never shown.
    pub url: String,
    /// Work in flight: so many messages of the interactive lane are in the hands of this process at most …
    pub prefetch: u16,
    /// … and so many of the backfill, whose captions are made and whose finished work is recorded in larger portions.
    pub backfill_prefetch: u16,
    /// Messages that may wait in each lane. The same for all processes: it is a property of the queues.
    pub capacity: u32,
    /// Submissions of other programs that may wait for each lane. The same for all processes, too.
    pub intake_capacity: u32,
    /// Publish an event for each submission that comes to nothing.
    pub events: bool,
    /// Names of queues and exchanges begin with this.
    pub prefix: String,
}

impl RabbitOptions {
    /// The options with the usual names, `docent.interactive` and so on.
    pub fn new(url: &str, prefetch: u16, capacity: u32) -> Self {
        Self {
            url: url.to_owned(),
            prefetch,
            backfill_prefetch: prefetch,
            capacity,
            intake_capacity: 100_000,
            events: false,
            prefix: "docent".to_owned(),
        }
    }
}

impl fmt::Debug for RabbitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitOptions")
            .field("prefetch", &self.prefetch)
            .field("backfill_prefetch", &self.backfill_prefetch)
            .field("capacity", &self.capacity)
            .field("intake_capacity", &self.intake_capacity)
            .field("events", &self.events)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The lanes on a broker.
pub struct RabbitQueue {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// Tells the world what happened: publishes to a topic exchange that anybody may bind queues to.
#[derive(Clone)]
pub struct EventPublisher {
    shared: Arc<Shared>,
}

impl fmt::Debug for RabbitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitQueue").field("names", &self.shared.names).finish_non_exhaustive()
    }
}

impl RabbitQueue {
    /// Connects, and makes queues and exchanges that are not there yet. A broker that refuses user, password or virtual host is
    /// [`QueueError::Unusable`]. Nothing is received before the first call of
    /// [`Queue::receive`], so that a process which only publishes keeps no message from the others.
    pub async fn connect(options: RabbitOptions) -> Result<Self, QueueError> {
        let unusable = |reason| QueueError::Unusable { reason };
        let address = Address::parse(&options.url).map_err(unusable)?;
        let names = Names::new(&options.prefix).map_err(unusable)?;
        let prefetch = [options.prefetch.max(1), options.backfill_prefetch.max(1)];
        let capacity = Capacity {
            lane: u64::from(options.capacity.max(1)),
            intake: u64::from(options.intake_capacity.max(1)),
        };
        let shared = Arc::new(Shared::new(address, names, capacity, prefetch, options.events));
        let session = shared.open().await.map_err(|fault| failed("connect", fault))?;
        let session = Arc::new(session);
        shared.state().session = Some(Arc::clone(&session));
        let keeper = tokio::spawn(Arc::clone(&shared).keep(session));
        Ok(Self { shared, keeper: Mutex::new(Some(keeper)) })
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.shared.state().session.as_ref().is_some_and(|session| session.is_open())
    }

    /// Publishes events over the same connection.
    pub fn events(&self) -> EventPublisher {
        EventPublisher { shared: Arc::clone(&self.shared) }
    }
}

impl EventPublisher {
    /// Publishes to the exchange `<prefix>.events` and waits until the broker has it. An event that nobody listens to
    /// is gone, which is no error. At least once: an event whose confirmation was lost is published again.
    pub async fn publish_event(&self, routing_key: &str, body: &[u8]) -> Result<(), QueueError> {
        if routing_key.len() > 255 {
            return Err(QueueError::Unusable { reason: "a routing key is longer than 255 bytes".to_owned() });
        }
        let exchange = self.shared.names.events();
        self.shared.publish("publish an event", &exchange, routing_key, false, body).await
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    async fn publish(&self, job: AnalyzeAsset) -> Result<(), QueueError> {
        let lane = self.shared.names.lane(job.lane);
        self.shared.publish("publish", "", &lane, true, &encode(&job)).await
    }

    async fn receive(&self) -> Result<Option<Delivery>, QueueError> {
        self.shared.receiving.cancel();
        let mut seen_empty = 0;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let (connected, closed) = {
                let mut state = self.shared.state();
                if let Some(delivery) = state.next() {
                    return Ok(Some(delivery));
                }
                if state.ended {
                    return Ok(None);
                }
                (state.session.is_some(), state.closed)
            };
            if !connected {
                self.shared.session("receive").await?;
                continue;
            }
            if closed {
                seen_empty = if self.is_empty().await? { seen_empty + 1 } else { 0 };
                if seen_empty == SEEN_EMPTY {
                    return Ok(None);
                }
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(LOOK), if closed => {}
            }
        }
    }

    async fn ack(&self, receipt: Receipt) -> Result<(), QueueError> {
        self.shared.begin_to_settle(receipt)?.ack().await
    }

    /// Published again, to its lane, and then acknowledged: a crash in between makes two of one, never none. What the broker
    /// would say of a redelivery goes with it.
    async fn retry(&self, receipt: Receipt, delay: Duration) -> Result<(), QueueError> {
        let settling = self.shared.begin_to_settle(receipt)?;
        match settling.send_back(delay).await {
            Ok(()) => settling.ack().await,
            Err(fault) => Err(settling.failed("retry", fault)),
        }
    }

    async fn reject(&self, receipt: Receipt, reason: &str) -> Result<(), QueueError> {
        let settling = self.shared.begin_to_settle(receipt)?;
        let Arrived { message, lane, .. } = &*settling.message;
        match self.shared.bury(&settling.session, message, *lane, reason).await {
            Ok(()) => settling.ack().await,
            Err(fault) => Err(settling.failed("reject", fault)),
        }
    }

    /// The messages that wait at the broker, those in delay queues included that this process put there.
    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        let session = self.shared.session("depth").await?;
        let mut depth = self.count("depth", Source::Lane(lane)).await?;
        let delays = self.shared.state().delays(lane);
        for delay in delays {
            match session.count(&delay).await.map_err(|fault| failed("depth", fault))? {
                Some(waiting) => depth += waiting,
                None => self.shared.state().forget_delay(lane, &delay),
            }
        }
        Ok(depth)
    }

    async fn submitted(&self, lane: Lane) -> Result<usize, QueueError> {
        self.count("depth", Source::Intake(lane)).await
    }

    fn held(&self, lane: Lane) -> usize {
        self.shared.state().held(lane)
    }

    /// Other processes may publish on: for this one, the queue ends when its lanes are empty and nothing of its own is
    /// in flight or delayed.
    async fn close(&self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_waiters();
    }

    async fn ping(&self) -> Result<(), QueueError> {
        // Callers ask for the present state, not for the state once a lost connection is back.
        if !self.is_connected() {
            return Err(self.shared.away("ping"));
        }
        let asked = async {
            let session = self.shared.session("ping").await?;
            if session.is_blocked() {
                return Err(unavailable("ping", anyhow!("the broker is short of memory or disk")));
            }
            session.count(&self.shared.names.dead()).await.map(|_| ()).map_err(|fault| failed("ping", fault))
        };
        let silent = |_| Err(unavailable("ping", anyhow!("no answer within {} s", PING.as_secs())));
        tokio::time::timeout(PING, asked).await.unwrap_or_else(silent)
    }

    /// They come to another process as redeliveries.
    async fn hand_back_all(&self) {
        self.shared.stop.cancel();
        if let Some(keeper) = self.keeper.lock().await.take() {
            let _ = keeper.await;
        }
    }
}

impl RabbitQueue {
    async fn is_empty(&self) -> Result<bool, QueueError> {
        if !self.shared.state().is_idle() {
            return Ok(false);
        }
        for lane in [Lane::Interactive, Lane::Backfill] {
            if self.depth(lane).await? + self.submitted(lane).await? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Messages that wait at the broker in the queue of `source`.
    async fn count(&self, operation: &'static str, source: Source) -> Result<usize, QueueError> {
        let session = self.shared.session(operation).await?;
        let queue = self.shared.names.source(source);
        match session.count(&queue).await.map_err(|fault| failed(operation, fault))? {
            Some(waiting) => Ok(waiting),
            None => {
                session.give_up();
                Err(unavailable(operation, anyhow!("the queue '{queue}' is gone")))
            }
        }
    }
}

impl Drop for RabbitQueue {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
