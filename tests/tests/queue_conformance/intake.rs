//! What other programs publish: it has room of its own, takes its turn, and what comes to nothing says why.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use docent::queue::message::encode_submission;
use docent::queue::{Delivery, Job, Lane, Queue, RabbitOptions, RabbitQueue, Submission};
use docent_tests::conformance::queue::{LIMIT, depth_becomes, job, receive};
use docent_tests::proxy::Proxy;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use serde_json::{Value, json};

use super::broker::{Other, Place, header};

/// Waits until so many submissions wait for `lane`.
async fn submitted_becomes(queue: &RabbitQueue, lane: Lane, wanted: usize) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let waiting = queue.submitted(lane).await.expect("counts");
        if waiting == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{waiting} submissions wait for {lane:?}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn place(number: usize) -> String {
    format!("file:///nowhere/{number}.jpg")
}

fn submission(delivery: &Delivery) -> Submission {
    match &delivery.job {
        Job::Submit(submission) => submission.clone(),
        Job::Analyze(job) => panic!("not a submission: {job:?}"),
    }
}

/// Fills the backfill's lane until it takes no more.
async fn fill(queue: &RabbitQueue) {
    let filled = tokio::time::timeout(Duration::from_secs(2), async {
        for number in 0..100 {
            queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
        }
    });
    assert!(filled.await.is_err(), "the lane never filled");
}

#[tokio::test]
async fn ten_thousand_messages_arrive_while_the_lanes_are_full() {
    const ALL: usize = 10_000;
    let place_of_test = Place::new().await;
    let options = RabbitOptions { capacity: 5, ..place_of_test.options() };
    let queue = RabbitQueue::connect(options).await.expect("connects");
    fill(&queue).await;

    // As the simplest of all clients: nothing is confirmed, nothing persistent.
    let plain = place_of_test.plain().await;
    for number in 0..ALL {
        plain.publish_unseen("intake.backfill", &encode_submission(&place(number), None)).await;
    }
    submitted_becomes(&queue, Lane::Backfill, ALL).await;

    // As README says.
    let careful = place_of_test.other().await;
    let mut confirms = Vec::with_capacity(ALL);
    for number in 0..ALL {
        let body = encode_submission(&place(number), None);
        confirms.push(careful.publish_later("intake.interactive", &body, BasicProperties::default()).await);
    }
    for confirm in confirms {
        assert!(confirm.await.expect("is answered").is_ack());
    }
    submitted_becomes(&queue, Lane::Interactive, ALL).await;
    assert!(queue.depth(Lane::Backfill).await.expect("counts") < 30, "the lane is docent's own");
    place_of_test.clean().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_a_way_that_a_publisher_sees() {
    const ALL: usize = 200;
    let place_of_test = Place::new().await;
    let options = RabbitOptions { intake_capacity: 50, ..place_of_test.options() };
    let queue = Arc::new(RabbitQueue::connect(options).await.expect("connects"));
    let publisher = place_of_test.other().await;
    let mut left: BTreeSet<usize> = (0..ALL).collect();
    let turn = async |left: &mut BTreeSet<usize>| {
        // One after the other: the broker notices a moment late that a queue is full, and takes what comes meanwhile.
        for number in left.clone() {
            let body = encode_submission(&place(number), None);
            let confirm = publisher.publish_later("intake.backfill", &body, BasicProperties::default()).await;
            if confirm.await.expect("is answered").is_ack() {
                left.remove(&number);
            }
        }
    };
    turn(&mut left).await;
    assert!(!left.is_empty(), "everything fitted");
    submitted_becomes(&queue, Lane::Backfill, ALL - left.len()).await;

    // A publisher that repeats what was refused loses nothing.
    let working = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move {
            let mut came = BTreeSet::new();
            while came.len() < ALL {
                let delivery = receive(&*queue).await;
                came.insert(submission(&delivery).uri);
                queue.ack(delivery.receipt).await.expect("acks");
            }
        }
    });
    let deadline = Instant::now() + LIMIT;
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "{} are still refused", left.len());
        turn(&mut left).await;
    }
    working.await.expect("all came");
    place_of_test.clean().await;
}

#[tokio::test]
async fn submissions_and_jobs_take_turns_and_uploads_go_first() {
    let place_of_test = Place::new().await;
    let queue = place_of_test.queue().await;
    let other = place_of_test.other().await;
    for number in 0..40 {
        queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
        other.publish("intake.backfill", &encode_submission(&place(number as usize), None)).await;
    }
    let mut submissions = 0;
    for _ in 0..40 {
        let delivery = receive(&queue).await;
        submissions += usize::from(matches!(delivery.job, Job::Submit(_)));
        queue.ack(delivery.receipt).await.expect("acks");
    }
    assert!((10..=30).contains(&submissions), "{submissions} of 40 were submissions");

    // However much of the backfill is fetched, an upload is next as soon as it is here.
    for upload in [false, true] {
        if upload {
            other.publish("intake.interactive", &encode_submission("file:///upload", None)).await;
            submitted_becomes(&queue, Lane::Interactive, 0).await;
        } else {
            queue.publish(job(1000, Lane::Interactive)).await.expect("publishes");
            depth_becomes(&queue, Lane::Interactive, 0).await;
        }
        let deadline = Instant::now() + LIMIT;
        while queue.held(Lane::Interactive) == 0 {
            assert!(Instant::now() < deadline, "the upload does not come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let delivery = receive(&queue).await;
        assert_eq!(matches!(delivery.job, Job::Submit(_)), upload, "{:?}", delivery.job);
        queue.ack(delivery.receipt).await.expect("acks");
    }
    place_of_test.clean().await;
}

#[tokio::test]
async fn a_submission_is_suspected_only_once_it_came_back_twice() {
    let place_of_test = Place::new().await;
    let proxy = Proxy::to(place_of_test.server()).await;
    let queue = RabbitQueue::connect(place_of_test.options_through(&proxy)).await.expect("connects");
    let other = place_of_test.other().await;
    other.publish("intake.backfill", &encode_submission("file:///a.jpg", None)).await;
    let again = async || {
        let deadline = Instant::now() + LIMIT;
        loop {
            match queue.receive().await {
                Ok(delivery) => return delivery.expect("the queue is open"),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    };
    for (redelivered, alone) in [(false, false), (true, false), (true, true)] {
        let delivery = again().await;
        let found = (delivery.redelivered, submission(&delivery).alone);
        assert_eq!(found, (redelivered, alone));
        proxy.cut();
        // Until this is noticed, the old delivery is still in the hands of this process.
        let deadline = Instant::now() + LIMIT;
        while queue.held(Lane::Backfill) > 0 {
            assert!(Instant::now() < deadline, "the loss is not noticed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    place_of_test.clean().await;
}

#[tokio::test]
async fn what_a_publisher_calls_its_submission_is_kept() {
    let place_of_test = Place::new().await;
    let queue = place_of_test.queue().await;
    let other = place_of_test.other().await;
    let message = || BasicProperties::default().with_message_id("the message".into());
    let both = || message().with_correlation_id("the property".into());
    let in_body = br#"{"version":1,"uri":"file:///a","correlation_id":"the field"}"#.as_slice();
    let plain = br#"{"version":1,"uri":"file:///a"}"#.as_slice();
    let cases = [
        (in_body, both(), Some("the field")),
        (plain, both(), Some("the property")),
        (plain, message(), Some("the message")),
        (plain, BasicProperties::default(), None),
    ];
    for (body, properties, expected) in cases {
        let confirmed = other.publish_later("intake.interactive", body, properties).await.await;
        assert!(confirmed.expect("is answered").is_ack());
        let delivery = receive(&queue).await;
        assert_eq!(submission(&delivery).correlation.as_deref(), expected);
        // A retry, which is published to the lane, keeps it.
        queue.retry(delivery.receipt, Duration::ZERO).await.expect("retries");
        let delivery = receive(&queue).await;
        assert_eq!((submission(&delivery).correlation.as_deref(), delivery.redelivered), (expected, false));
        queue.ack(delivery.receipt).await.expect("acks");
    }
    place_of_test.clean().await;
}

async fn heard(other: &Other) -> Value {
    let event = other.get("mine").await;
    assert_eq!(event.delivery.routing_key.as_str(), "submission.rejected");
    serde_json::from_slice(&event.delivery.data).expect("is JSON")
}

#[tokio::test]
async fn what_comes_to_nothing_is_a_dead_letter_with_its_reason_and_an_event() {
    let place_of_test = Place::new().await;
    let options = RabbitOptions { events: true, ..place_of_test.options() };
    let queue = RabbitQueue::connect(options).await.expect("connects");
    let other = place_of_test.other().await;
    other.listen("mine", "events", "submission.*").await;

    // The queues of a lane are alike, and so is what a program published to the lane itself.
    let expiring = || {
        let properties = BasicProperties::default().with_expiration("1".into());
        properties.with_correlation_id("4711".into())
    };
    let body = json!({ "version": 1, "uri": "file:///late.jpg", "owner": "press" }).to_string();
    let names = ["intake.backfill", "intake.interactive", "backfill"];
    for name in names {
        let confirmed = other.publish_later(name, body.as_bytes(), expiring()).await.await;
        assert!(confirmed.expect("is answered").is_ack());
    }
    submitted_becomes(&queue, Lane::Backfill, 0).await;
    submitted_becomes(&queue, Lane::Interactive, 0).await;
    depth_becomes(&queue, Lane::Backfill, 0).await;
    let mut left: BTreeSet<String> = names.iter().map(|name| other.name(name)).collect();
    for _ in names {
        // Nothing but the dead letter comes: somebody has to receive for the broker's own to be looked at.
        let letter = tokio::select! {
            letter = other.get("dead") => letter,
            received = queue.receive() => panic!("what has expired came: {received:?}"),
        };
        assert_eq!(letter.delivery.data, body.as_bytes());
        let reason = header(&letter, "x-docent-reason");
        let from = left.iter().find(|name| reason.contains(&format!("expired in {name},")));
        let from = from.unwrap_or_else(|| panic!("{reason}")).clone();
        left.remove(&from);
        let lane = if from.ends_with("interactive") { "interactive" } else { "backfill" };
        assert_eq!(header(&letter, "x-docent-lane"), lane);
        let event = heard(&other).await;
        assert_eq!((&event["version"], &event["id"]), (&json!(1), &Value::Null));
        let expected = json!({
            "uri": "file:///late.jpg", "owner": "press", "correlation_id": "4711", "lane": lane, "reason": reason,
        });
        assert_eq!(event["data"], expected);
    }

    // What the walk rejects, and what nobody can read.
    other.publish("intake.backfill", &encode_submission("file:///gone.jpg", None)).await;
    let delivery = receive(&queue).await;
    queue.reject(delivery.receipt, "fetch file:///gone.jpg: not found").await.expect("rejects");
    let told = heard(&other).await;
    assert_eq!(
        (&told["data"]["uri"], &told["data"]["reason"]),
        (&json!("file:///gone.jpg"), &json!("fetch file:///gone.jpg: not found"))
    );
    let strange = br#"{"version":9,"uri":"file:///a","correlation_id":8}"#;
    other.publish("intake.backfill", strange).await;
    let told = tokio::select! {
        told = heard(&other) => told,
        received = queue.receive() => panic!("what cannot be read came: {received:?}"),
    };
    assert_eq!((&told["data"]["uri"], &told["data"]["correlation_id"]), (&json!("file:///a"), &json!("8")));
    assert!(told["data"]["reason"].as_str().is_some_and(|reason| reason.contains("version 9")), "{told}");

    // Of a job the ledger tells.
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    let delivery = receive(&queue).await;
    queue.reject(delivery.receipt, "given up").await.expect("rejects");
    assert!(other.get_now("mine").await.is_none());
    place_of_test.clean().await;
}

impl Place {
    /// Another program that asks for no confirms.
    async fn plain(&self) -> Other {
        Other::connect(self.url(), self.prefix(), false).await
    }
}

impl Other {
    /// Publishes and does not look back.
    async fn publish_unseen(&self, queue: &str, body: &[u8]) {
        let (key, options) = (self.name(queue).into(), BasicPublishOptions::default());
        let properties = BasicProperties::default();
        self.channel().basic_publish("".into(), key, options, body, properties).await.expect("publishes");
    }
}
