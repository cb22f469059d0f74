//! One connection to the broker, from its opening to its end. It is not repaired: the keeper opens another.

use std::collections::HashSet;
use std::sync::Mutex as StdMutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind, Event,
    ExchangeKind,
};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::Lane;
use super::address::Address;
use super::topology::{Names, Source};

/// Opening a connection takes no longer.
const CONNECT: Duration = Duration::from_secs(30);
/// The broker answers a question within this time, or is out of reach. A broker short of memory or disk lets publishers
/// wait as long.
const ANSWER: Duration = Duration::from_secs(30);
/// A dead connection that said nothing is noticed after this time.
const WATCH: Duration = Duration::from_secs(1);

/// One connection.
pub(super) struct Session {
    /// For messages of the broker, which may repeat the user's name.
    address: Address,
    connection: Connection,
    /// Confirms every message.
    publisher: Channel,
    /// For questions and declarations, which end their channel when the answer is no; opened again when needed.
    inspector: Mutex<Option<Channel>>,
    /// Delay queues declared on this connection.
    declared: StdMutex<HashSet<String>>,
    over: CancellationToken,
}

/// Messages that may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// In each lane.
    pub(super) lane: u64,
    /// In each queue that other programs publish to.
    pub(super) intake: u64,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// It is safe with the broker.
    Taken,
    /// The queue is full.
    Full,
    /// There is no such queue.
    Nowhere,
}

/// What went wrong with a connection.
pub(super) enum Fault {
    /// It broke, or nobody answered.
    Lost(anyhow::Error),
    /// A queue or an exchange is not as it must be, or the broker does not let us in. A sentence.
    Misfit(String),
}

impl From<Fault> for anyhow::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(error) => error,
            Fault::Misfit(sentence) => anyhow!(sentence),
        }
    }
}

/// The subscription to one queue.
pub(super) struct Subscription {
    channel: Channel,
    /// The queue.
    pub(super) source: Source,
    /// Its deliveries.
    pub(super) deliveries: Consumer,
}

impl Session {
    /// Connects and declares queues and exchanges.
    pub(super) async fn open(address: &Address, names: &Names, capacity: Capacity) -> Result<Self, Fault> {
        let lost = |error: &lapin::Error| Fault::Lost(anyhow!(address.scrub(&error.to_string())));
        let properties = ConnectionProperties::default()
            .with_connection_name("docent".into())
            .with_auth_provider(address.login());
        let connection = timeout(CONNECT, lapin::Connect::connect(address.uri(), properties)).await;
        let connection = connection
            .map_err(|_| Fault::Lost(anyhow!("no connection within {} s", CONNECT.as_secs())))?
            .map_err(|error| not_let_in(&error, address))?;
        let publisher = connection.create_channel().await.map_err(|error| lost(&error))?;
        let confirms = publisher.confirm_select(ConfirmSelectOptions::default()).await;
        confirms.map_err(|error| lost(&error))?;
        let session = Self {
            address: address.clone(),
            connection,
            publisher,
            inspector: Mutex::default(),
            declared: StdMutex::default(),
            over: CancellationToken::new(),
        };
        session.declare_all(names, capacity).await?;
        Ok(session)
    }

    async fn declare_all(&self, names: &Names, capacity: Capacity) -> Result<(), Fault> {
        let (dead, undelivered) = (names.dead(), names.undelivered());
        self.declare_exchange(&dead, ExchangeKind::Fanout).await?;
        self.declare_exchange(&names.events(), ExchangeKind::Topic).await?;
        self.declare(&dead, names.dead_arguments()).await?;
        self.declare(&undelivered, names.dead_arguments()).await?;
        let bound = self
            .ask(|channel| async move {
                let (exchange, queue) = (dead.as_str(), undelivered.as_str());
                let (options, none) = (QueueBindOptions::default(), FieldTable::default());
                channel.queue_bind(queue.into(), exchange.into(), "".into(), options, none.clone()).await?;
                // Earlier versions had it so, and what the broker gave up came without a reason.
                channel.queue_unbind(exchange.into(), exchange.into(), "".into(), none).await
            })
            .await;
        bound.map_err(|error| self.lost(&error))?;
        for lane in [Lane::Interactive, Lane::Backfill] {
            self.declare(&names.lane(lane), names.lane_arguments(capacity.lane)).await?;
            self.declare(&names.intake(lane), names.intake_arguments(capacity.intake)).await?;
            for delay in names.usual_delays(lane) {
                self.declare_delay(&delay.name, delay.arguments).await?;
            }
        }
        Ok(())
    }

    async fn declare_exchange(&self, name: &str, kind: ExchangeKind) -> Result<(), Fault> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let exchange = name.into();
        let declared = self
            .ask(|channel| async move {
                channel.exchange_declare(exchange, kind, options, FieldTable::default()).await
            })
            .await;
        declared.map_err(|error| self.misfit("exchange", name, &error))
    }

    /// Makes sure that a durable queue is there.
    async fn declare(&self, name: &str, arguments: FieldTable) -> Result<(), Fault> {
        let (queue, options) = (name.into(), QueueDeclareOptions::durable());
        let declared =
            self.ask(|channel| async move { channel.queue_declare(queue, options, arguments).await }).await;
        declared.map(|_| ()).map_err(|error| self.misfit("queue", name, &error))
    }

    /// Makes sure, once for each connection, that a delay queue is there.
    pub(super) async fn declare_delay(&self, name: &str, arguments: FieldTable) -> Result<(), Fault> {
        if self.declared.lock().unwrap_or_else(PoisonError::into_inner).contains(name) {
            return Ok(());
        }
        self.declare(name, arguments).await?;
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        Ok(())
    }

    /// Messages in a queue that nobody has received; `None` if there is no such queue.
    pub(super) async fn count(&self, queue: &str) -> Result<Option<usize>, Fault> {
        let (queue, options) = (queue.into(), QueueDeclareOptions::durable().passive());
        let asked = self
            .ask(|channel| async move { channel.queue_declare(queue, options, FieldTable::default()).await })
            .await;
        match asked {
            Ok(queue) => Ok(Some(queue.message_count() as usize)),
            Err(error) if code(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// Asks on the channel for questions. A no ends that channel, and only that.
    async fn ask<T, F>(&self, question: impl FnOnce(Channel) -> F) -> lapin::Result<T>
    where
        F: Future<Output = lapin::Result<T>>,
    {
        let answered = async {
            let mut inspector = self.inspector.lock().await;
            let channel = match inspector.take() {
                Some(channel) if channel.status().connected() => channel,
                _ => self.connection.create_channel().await?,
            };
            let answer = question(channel.clone()).await;
            if answer.is_ok() {
                *inspector = Some(channel);
            }
            answer
        };
        timeout(ANSWER, answered).await.unwrap_or_else(|_| Err(silent()))
    }

    /// Publishes a message that survives the broker's restart, and waits until the broker has it.
    /// `must_arrive`: a message that goes to no queue is an error.
    pub(super) async fn publish(
        &self,
        exchange: &str,
        key: &str,
        must_arrive: bool,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<Published, Fault> {
        let confirmed = async {
            let options = BasicPublishOptions { mandatory: must_arrive, ..BasicPublishOptions::default() };
            let properties = properties.with_delivery_mode(2);
            self.publisher.basic_publish(exchange.into(), key.into(), options, body, properties).await?.await
        };
        let confirmed = timeout(ANSWER, confirmed).await.unwrap_or_else(|_| Err(silent()));
        match confirmed.map_err(|error| self.lost(&error))? {
            Confirmation::Ack(None) => Ok(Published::Taken),
            // Unroutable messages are confirmed, too, after they were returned.
            Confirmation::Ack(Some(_)) => Ok(Published::Nowhere),
            Confirmation::Nack(_) => Ok(Published::Full),
            Confirmation::NotRequested => Err(Fault::Lost(anyhow!("the broker confirms nothing"))),
        }
    }

    /// Subscribes to the queue of `source`. At most `prefetch` of its messages are unsettled at any time.
    pub(super) async fn subscribe(
        &self,
        names: &Names,
        source: Source,
        prefetch: u16,
    ) -> Result<Subscription, Fault> {
        let queue = names.source(source);
        let subscribed = async {
            let channel = self.connection.create_channel().await?;
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            let deliveries = channel
                .basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default())
                .await?;
            Ok(Subscription { channel, source, deliveries })
        };
        let subscribed = timeout(ANSWER, subscribed).await.unwrap_or_else(|_| Err(silent()));
        subscribed.map_err(|error| self.lost(&error))
    }

    /// Ends when the connection does.
    pub(super) async fn ended(&self) -> String {
        let events = self.connection.events_listener();
        tokio::pin!(events);
        let mut watch = tokio::time::interval(WATCH);
        loop {
            tokio::select! {
                () = self.over.cancelled() => return "it was given up".to_owned(),
                Some(event) = events.next() => if let Event::Error(error) = event {
                    return self.address.scrub(&error.to_string());
                },
                _ = watch.tick() => if !self.connection.status().connected() {
                    return "it is closed".to_owned();
                },
            }
        }
    }

    /// Nothing more is expected of this connection: open another.
    pub(super) fn give_up(&self) {
        self.over.cancel();
    }

    /// Whether it is of use.
    pub(super) fn is_open(&self) -> bool {
        self.connection.status().connected() && !self.over.is_cancelled()
    }

    /// Whether the broker, short of memory or disk, takes no messages.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Ends the connection in order: what is unsettled goes back to its queue.
    pub(super) async fn close(&self, subscriptions: Vec<Subscription>) {
        let closed = async {
            for Subscription { channel, deliveries, .. } in &subscriptions {
                channel.basic_cancel(deliveries.tag(), Default::default()).await?;
                let all = BasicNackOptions { multiple: true, requeue: true };
                channel.basic_nack(0, all).await?;
            }
            self.connection.close(200, "OK".into()).await
        };
        // If this fails, the broker finds out by itself that nobody is here any more, with the same result.
        if !matches!(timeout(WATCH * 5, closed).await, Ok(Ok(()))) {
            tracing::debug!("the connection to the broker did not end in order");
        }
    }

    /// An error of this connection.
    pub(super) fn lost(&self, error: &lapin::Error) -> Fault {
        Fault::Lost(anyhow!(self.address.scrub(&error.to_string())))
    }

    fn misfit(&self, kind: &str, name: &str, error: &lapin::Error) -> Fault {
        if code(error) != Some(406) {
            return self.lost(error);
        }
        let words = self.address.scrub(&error.to_string());
        Fault::Misfit(format!(
            "the {kind} '{name}' exists and differs from what docent needs ({words}). Give docent the setting it was \
             made with, or let it run empty, delete it, and docent makes a new one; another prefix for the names leaves \
             it alone"
        ))
    }
}

/// Why no connection was opened. What the broker refuses it refuses until a person has mended it, but for a limit of connections.
pub(super) fn not_let_in(error: &lapin::Error, address: &Address) -> Fault {
    const ACCESS_REFUSED: u16 = 403;
    const NOT_ALLOWED: u16 = 530;
    let words = address.scrub(&error.to_string());
    match code(error) {
        Some(ACCESS_REFUSED) => Fault::Misfit(format!("the broker refuses user or password ({words})")),
        Some(NOT_ALLOWED) if !words.contains("limit") => {
            Fault::Misfit(format!("the broker has no such virtual host, or not for this user ({words})"))
        }
        _ => Fault::Lost(anyhow!(words)),
    }
}

/// The broker's number for what it refused.
pub(super) fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

fn silent() -> lapin::Error {
    let words = format!("no answer from the broker within {} s", ANSWER.as_secs());
    lapin::Error::from(std::io::Error::new(std::io::ErrorKind::TimedOut, words))
}
