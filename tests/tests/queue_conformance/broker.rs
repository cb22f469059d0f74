//! A place on a broker, and another program that talks to it.

use std::time::{Duration, Instant};

use docent::queue::{AnalyzeAsset, Job, QueueError, RabbitOptions, RabbitQueue};
use docent_tests::conformance::queue::LIMIT;
use docent_tests::proxy::Proxy;
use docent_tests::servers::{Lanes, RabbitServer};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm};

/// Names of one's own on a broker.
pub struct Place {
    lanes: Lanes,
}

/// Another program.
pub struct Other {
    _connection: Connection,
    channel: Channel,
    prefix: String,
}

impl Place {
    /// On the shared broker.
    pub async fn new() -> Self {
        Self { lanes: Lanes::new().await.expect("a broker") }
    }

    /// On one's own.
    pub fn on(server: &RabbitServer) -> Self {
        Self { lanes: Lanes::on(server).expect("names") }
    }

    pub fn url(&self) -> &str {
        self.lanes.url()
    }

    /// The options of a process that works on 8 things at once.
    pub fn options(&self) -> RabbitOptions {
        let prefix = self.lanes.prefix().to_owned();
        RabbitOptions { prefix, ..RabbitOptions::new(self.lanes.url(), 8, 100) }
    }

    /// Host and port of the broker.
    pub fn server(&self) -> String {
        let url = url::Url::parse(self.url()).expect("a URL");
        format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5672))
    }

    /// The same options, by way of a proxy.
    pub fn options_through(&self, proxy: &Proxy) -> RabbitOptions {
        let mut url = url::Url::parse(self.url()).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(proxy.port())).expect("a port");
        RabbitOptions { url: url.into(), ..self.options() }
    }

    pub async fn queue(&self) -> RabbitQueue {
        RabbitQueue::connect(self.options()).await.expect("connects")
    }

    pub async fn other(&self) -> Other {
        Other::connect(self.url(), self.prefix(), true).await
    }

    pub fn prefix(&self) -> &str {
        self.lanes.prefix()
    }

    /// Leaves nothing on a broker that lives longer than the test.
    pub async fn clean(&self) {
        let other = self.other().await;
        let delays = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].map(|seconds| format!(".delay.{seconds}s"));
        let suffixes = || delays.iter().map(String::as_str).chain([""]);
        let lanes = ["interactive", "backfill"].into_iter();
        let lanes = lanes.flat_map(|lane| suffixes().map(move |suffix| format!("{lane}{suffix}")));
        let others = ["dead", "undelivered", "intake.interactive", "intake.backfill"].map(str::to_owned);
        for name in lanes.chain(others) {
            let name = other.name(&name).into();
            let _ = other.channel.queue_delete(name, QueueDeleteOptions::default()).await;
        }
        for name in ["dead", "events"] {
            let name = other.name(name).into();
            let _ = other.channel.exchange_delete(name, ExchangeDeleteOptions::default()).await;
        }
    }
}

impl Other {
    /// With or without confirms.
    pub async fn connect(url: &str, prefix: &str, confirms: bool) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("connects");
        let channel = connection.create_channel().await.expect("a channel");
        if confirms {
            channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        }
        Self { _connection: connection, channel, prefix: prefix.to_owned() }
    }

    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Publishes to `<prefix>.<queue>`, with confirms; the answer comes later.
    pub async fn publish_later(
        &self,
        queue: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> PublisherConfirm {
        let (key, options) = (self.name(queue).into(), BasicPublishOptions::default());
        self.channel.basic_publish("".into(), key, options, body, properties).await.expect("publishes")
    }

    pub fn name(&self, queue: &str) -> String {
        format!("{}.{queue}", self.prefix)
    }

    /// Publishes to `<prefix>.<queue>`.
    pub async fn publish(&self, queue: &str, body: &[u8]) {
        let (key, options) = (self.name(queue).into(), BasicPublishOptions::default());
        let published =
            self.channel.basic_publish("".into(), key, options, body, BasicProperties::default()).await;
        let confirmed = published.expect("publishes").await.expect("is confirmed");
        assert!(confirmed.is_ack());
    }

    /// The next message of `<prefix>.<queue>`, which is there or on its way.
    pub async fn get(&self, queue: &str) -> BasicGetMessage {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(message) = self.get_now(queue).await {
                return message;
            }
            assert!(Instant::now() < deadline, "nothing came to {queue}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The next message of `<prefix>.<queue>`, if there is one.
    pub async fn get_now(&self, queue: &str) -> Option<BasicGetMessage> {
        let options = BasicGetOptions { no_ack: true };
        self.channel.basic_get(self.name(queue).into(), options).await.expect("asks")
    }

    /// Makes a queue of its own, bound to the exchange `<prefix>.<exchange>`.
    pub async fn listen(&self, queue: &str, exchange: &str, key: &str) {
        let name = self.name(queue);
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        self.channel
            .queue_declare(name.as_str().into(), options, FieldTable::default())
            .await
            .expect("declares");
        let (exchange, options) = (self.name(exchange).into(), QueueBindOptions::default());
        self.channel
            .queue_bind(name.into(), exchange, key.into(), options, FieldTable::default())
            .await
            .expect("binds");
    }

    /// Makes a plain queue `<prefix>.<queue>` of another kind than docent's.
    pub async fn declare_foreign(&self, queue: &str) {
        let (name, options) = (self.name(queue).into(), QueueDeclareOptions::durable());
        self.channel.queue_declare(name, options, FieldTable::default()).await.expect("declares");
    }

    pub async fn delete(&self, queue: &str) {
        let name = self.name(queue).into();
        self.channel.queue_delete(name, QueueDeleteOptions::default()).await.expect("deletes");
    }
}

/// A header of a message, as text.
pub fn header(message: &BasicGetMessage, name: &str) -> String {
    let headers = message.delivery.properties.headers().clone().unwrap_or_default();
    match headers.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("the header {name} is {other:?}"),
    }
}

/// The job of the ledger that a delivery carries.
pub fn leased(job: Job) -> AnalyzeAsset {
    match job {
        Job::Analyze(job) => job,
        Job::Submit(submission) => panic!("not a job of the ledger: {submission:?}"),
    }
}

/// Everything that an error says.
pub fn words(error: &QueueError) -> String {
    let mut words = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push_str(&format!(" {cause}"));
        source = cause.source();
    }
    words
}
