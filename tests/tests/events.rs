//! Another program hands in a picture and hears what becomes of it, through nothing but the broker.

use std::time::Duration;

use docent_tests::cluster::{Cluster, Worker};
use docent_tests::corpus;
use docent_tests::program::{Docent, uri};
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
/// What the archive calls what it hands in.
const CALLED: &str = "item 4711";
const SECRET: &str = "whsec_ZG9jZW50IHdlYmhvb2tzIHNlY3JldCEh";
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that knows the broker, and docent by its documentation alone.
struct Archive {
    _connection: Connection,
    channel: Channel,
    events: Consumer,
}

impl Archive {
    async fn connect(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, FieldTable::default()).await?;
        let name = queue.name().clone();
        for pattern in ["suggestions.*", "suggestion.*", "asset.*", "submission.*"] {
            channel
                .queue_bind(
                    name.clone(),
                    "docent.events".into(),
                    pattern.into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
        let events = channel
            .basic_consume(name, "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await?;
        Ok(Self { _connection: connection, channel, events })
    }

    async fn publish(&self, queue: &str, message: &Value) -> lapin::Result<()> {
        let body = message.to_string().into_bytes();
        self.channel
            .basic_publish(
                "".into(),
                queue.into(),
                BasicPublishOptions::default(),
                &body,
                BasicProperties::default().with_delivery_mode(2).with_correlation_id(CALLED.into()),
            )
            .await?
            .await
            .map(|confirmed| assert!(confirmed.is_ack(), "there is room"))
    }

    /// The next event: its name and what it says.
    async fn hear(&mut self) -> (String, Value) {
        let next = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("an event comes in time");
        let delivery = next.expect("the broker is there").expect("is a delivery");
        delivery.ack(BasicAckOptions::default()).await.expect("is acknowledged");
        let event: Value = serde_json::from_slice(&delivery.data).expect("is JSON");
        assert_eq!((&event["version"], &event["event"]), (&json!(1), &json!(delivery.routing_key.as_str())));
        (delivery.routing_key.to_string(), event["data"].clone())
    }
}

#[test]
fn another_program_hands_in_a_picture_and_hears_what_becomes_of_it() {
    let cluster = Cluster::start();
    let docent = Docent::new(PROGRAM);
    // Takes connections and never answers: who is told by HTTP delays nobody.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = deaf.local_addr().expect("has an address");
    docent.configure(&format!(
        "[analyzers]\nenabled = ['tags']\n{}[[webhook]]\nname = 'deaf'\nurl = 'http://{address}/'\nsecret = '{SECRET}'\n\
         timeout_seconds = 60\n",
        cluster.configuration()
    ));
    let pictures = corpus::copy_samples(&docent.folder().join("pictures"));
    let picture = pictures.iter().find(|path| path.ends_with("chelsea.jpg")).expect("the cat");
    let worker = Worker::start(&docent);
    worker.until(true);

    let mut archive = cluster.block_on(Archive::connect(&cluster.broker.url())).expect("connects");
    let message =
        json!({ "version": 1, "uri": uri(picture), "owner": "press office", "our_reference": 4711 });
    cluster.block_on(archive.publish("docent.intake.interactive", &message)).expect("publishes");
    let (name, registered) = cluster.block_on(archive.hear());
    assert_eq!((name.as_str(), &registered["created"]), ("asset.registered", &json!(true)));
    assert_eq!((&registered["uri"], &registered["correlation_id"]), (&json!(uri(picture)), &json!(CALLED)));
    let (name, created) = cluster.block_on(archive.hear());
    assert_eq!(name, "suggestions.created");
    let rows = docent.suggestions();
    assert_eq!(created["raised"], rows.len(), "{created}");
    assert_eq!(docent.json(["suggestions", "--owner", "press office", "--format=json"]).len(), rows.len());
    docent.run(["suggestions", "--owner", "somebody else"]).expect(1);
    assert_eq!(created["asset_id"], rows[0]["asset_id"], "{created}");
    assert!(created["analyzers"]["tags"].is_string(), "{created}");
    let places = json!([{ "uri": uri(picture), "owner": "press office", "correlation_id": CALLED }]);
    assert_eq!(created["places"], places);

    // The same picture at another place: nothing is done, and that is told.
    let copy = docent.folder().join("copy.jpg");
    std::fs::copy(picture, &copy).expect("is copied");
    let again = json!({ "version": 1.0, "uri": uri(&copy), "owner": null });
    cluster.block_on(archive.publish("docent.intake.backfill", &again)).expect("publishes");
    let (name, known) = cluster.block_on(archive.hear());
    assert_eq!(name, "asset.registered");
    let told = [&known["uri"], &known["created"], &known["complete"], &known["pending"]];
    assert_eq!(told, [&json!(uri(&copy)), &json!(false), &json!(true), &json!(rows.len())]);

    let (first, second) = (rows[0]["id"].as_str().expect("an id"), rows[1]["id"].as_str().expect("an id"));
    for (action, id, after) in [("accept", first, "accepted"), ("reject", second, "rejected")] {
        docent.run([action, id]).expect(0);
        let (name, decided) = cluster.block_on(archive.hear());
        assert_eq!(name, "suggestion.decided");
        assert_eq!(
            (&decided["suggestion_id"], &decided["after"], &decided["reviewer"]),
            (&json!(id), &json!(after), &json!("tester")),
            "{decided}"
        );
    }

    // What is no picture fails, and that is told beside the run's own event.
    let broken = docent.folder().join("broken.jpg");
    std::fs::write(&broken, b"\xff\xd8\xff\xe0 and no more").expect("is written");
    let message = json!({ "version": 1, "uri": uri(&broken) });
    cluster.block_on(archive.publish("docent.intake.backfill", &message)).expect("publishes");
    for expected in ["asset.registered", "suggestions.created", "asset.failed"] {
        let (name, data) = cluster.block_on(archive.hear());
        assert_eq!((name.as_str(), &data["places"][0]["uri"]), (expected, &json!(uri(&broken))));
        assert_eq!(data["places"][0]["correlation_id"], CALLED);
        if expected == "asset.failed" {
            assert_eq!(data["failures"][0]["analyzer"], "decode", "{data}");
        }
    }

    // What cannot be understood, or is not there, is laid aside with an event; the worker goes on.
    let gone = json!({ "version": 1, "uri": uri(&docent.folder().join("gone.jpg")) });
    for message in [json!({ "version": 9, "uri": uri(picture) }), json!("hello"), gone] {
        cluster.block_on(archive.publish("docent.intake.backfill", &message)).expect("publishes");
    }
    for _ in 0..3 {
        let (name, rejected) = cluster.block_on(archive.hear());
        assert_eq!((name.as_str(), &rejected["correlation_id"]), ("submission.rejected", &json!(CALLED)));
        assert!(rejected["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{rejected}");
    }
    while cluster.waiting() != [0, 0, 3] {
        assert!(worker.ready());
    }
    let deaf = docent.json(["webhook", "list", "--format=json"]).remove(0);
    assert!(deaf["waiting"].as_u64().is_some_and(|waiting| waiting >= 7), "{deaf}");
    worker.end();
}
