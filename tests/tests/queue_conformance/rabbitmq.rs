//! What only a broker can do, and what can happen to one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use docent::queue::message::encode_submission;
use docent::queue::{Job, Lane, Queue, QueueError, RabbitOptions, RabbitQueue};
use docent_tests::conformance::queue::{LIMIT, Pace, depth_becomes, is_quiet, job, receive};
use docent_tests::proxy::Proxy;

use super::broker::{Place, header, leased, words};

pub const PACE: Pace = Pace { delay: Duration::from_secs(1), quiet: Duration::from_millis(300) };

#[tokio::test]
async fn what_another_program_submits_is_delivered() {
    let place = Place::new().await;
    let queue = place.queue().await;
    let other = place.other().await;
    other.publish("intake.interactive", br#"{"version":1,"uri":"file:///a.jpg","of":"somebody"}"#).await;
    for attempts in 0..3 {
        let delivery = receive(&queue).await;
        let Job::Submit(submission) = &delivery.job else { panic!("{:?}", delivery.job) };
        assert_eq!(submission.uri, "file:///a.jpg");
        assert_eq!((submission.lane, submission.alone), (Lane::Interactive, false));
        assert_eq!(submission.attempts, attempts);
        let delay = if attempts == 0 { PACE.delay } else { Duration::ZERO };
        queue.retry(delivery.receipt, delay).await.expect("retries");
    }
    place.clean().await;
}

#[tokio::test]
async fn malformed_messages_are_dead_letters_with_a_reason() {
    let place = Place::new().await;
    let queue = place.queue().await;
    let other = place.other().await;
    let bodies: [(&[u8], &str); 4] = [
        (b"not json", "the message is not JSON"),
        (b"\xff\x00\xfe", "the message is not JSON"),
        (br#"{"version":99,"uri":"file:///a.jpg"}"#, "version 99 of the message is unknown"),
        (br#"{"version":1}"#, "neither 'uri' nor 'asset'"),
    ];
    for (body, _) in bodies {
        other.publish("backfill", body).await;
    }
    other.publish("backfill", &encode_submission("file:///good.jpg", None)).await;
    // The good one is not held up, and the others do not come.
    let delivery = receive(&queue).await;
    assert_eq!(delivery.job.to_string(), "file:///good.jpg");
    queue.ack(delivery.receipt).await.expect("acks");
    for (body, reason) in bodies {
        let letter = other.get("dead").await;
        assert_eq!(letter.delivery.data, body);
        assert!(header(&letter, "x-docent-reason").contains(reason), "{letter:?}");
        assert_eq!(header(&letter, "x-docent-lane"), "backfill");
        assert!(header(&letter, "x-docent-at").ends_with('Z'));
    }
    assert!(is_quiet(&queue, PACE).await, "they do not loop");
    assert!(other.get_now("dead").await.is_none(), "each is a dead letter once");
    place.clean().await;
}

#[tokio::test]
async fn what_is_rejected_is_a_dead_letter_with_its_reason() {
    let place = Place::new().await;
    let queue = place.queue().await;
    queue.publish(job(1, Lane::Interactive)).await.expect("publishes");
    let delivery = receive(&queue).await;
    queue.reject(delivery.receipt, "the decoder was killed three times").await.expect("rejects");
    assert!(matches!(queue.reject(delivery.receipt, "again").await, Err(QueueError::NotInFlight(_))));
    let other = place.other().await;
    let letter = other.get("dead").await;
    assert_eq!(header(&letter, "x-docent-reason"), "the decoder was killed three times");
    assert_eq!(header(&letter, "x-docent-lane"), "interactive");
    // It can be published again as it is.
    other.publish("interactive", &letter.delivery.data).await;
    assert_eq!(receive(&queue).await.job, Job::Analyze(job(1, Lane::Interactive)));
    place.clean().await;
}

#[tokio::test]
async fn what_was_in_work_when_a_process_died_says_so_and_is_suspected_of_nothing() {
    let place = Place::new().await;
    let proxy = Proxy::to(place.server()).await;
    let dying = RabbitQueue::connect(place.options_through(&proxy)).await.expect("connects");
    dying.publish(job(1, Lane::Backfill)).await.expect("publishes");
    let first = receive(&dying).await;
    assert!(!first.redelivered);
    proxy.cut();
    let queue = place.queue().await;
    let (second, struck) = tokio::select! {
        delivery = receive(&queue) => (delivery, &queue),
        delivery = receive(&dying) => (delivery, &dying),
    };
    assert!(second.redelivered);
    assert!(!second.job.alone(), "the ledger knows whether a run had begun");
    assert!(
        matches!(dying.ack(first.receipt).await, Err(QueueError::NotInFlight(_))),
        "the old receipt is void"
    );
    // A retry does not make it new.
    struck.retry(second.receipt, PACE.delay).await.expect("retries");
    let third = tokio::select! {
        delivery = receive(&queue) => delivery,
        delivery = receive(&dying) => delivery,
    };
    assert!(third.redelivered);
    assert_eq!(leased(third.job), job(1, Lane::Backfill));
    place.clean().await;
}

#[tokio::test]
async fn what_is_handed_back_at_the_end_comes_to_another_process() {
    let place = Place::new().await;
    let ending = place.queue().await;
    for number in 0..5 {
        ending.publish(job(number, Lane::Backfill)).await.expect("publishes");
    }
    let _held = receive(&ending).await;
    ending.hand_back_all().await;
    assert!(!ending.is_connected());
    assert!(matches!(ending.publish(job(9, Lane::Backfill)).await, Err(QueueError::Unavailable { .. })));
    let queue = place.queue().await;
    let mut came = BTreeSet::new();
    for _ in 0..5 {
        let delivery = receive(&queue).await;
        came.insert(leased(delivery.job).asset);
        queue.ack(delivery.receipt).await.expect("acks");
    }
    assert_eq!(came.len(), 5);
    place.clean().await;
}

#[tokio::test]
async fn a_full_lane_makes_publishers_wait() {
    let place = Place::new().await;
    let queue = Arc::new(place.queue().await);
    let all = 150;
    let publishing = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move {
            for number in 0..all {
                queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
            }
        }
    });
    // The broker takes a few more than the limit.
    let deadline = Instant::now() + LIMIT;
    while queue.depth(Lane::Backfill).await.expect("counts") < 100 {
        assert!(Instant::now() < deadline, "the lane never filled");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(PACE.quiet).await;
    assert!(!publishing.is_finished(), "the publisher did not wait");
    assert!(queue.depth(Lane::Backfill).await.expect("counts") < 130);
    // The other lane is another matter.
    queue.publish(job(1000, Lane::Interactive)).await.expect("publishes");
    let mut came = BTreeSet::new();
    for _ in 0..all + 1 {
        let delivery = receive(&*queue).await;
        came.insert(leased(delivery.job).asset);
        queue.ack(delivery.receipt).await.expect("acks");
    }
    publishing.await.expect("the publisher is done");
    assert_eq!(came.len() as u32, all + 1);
    place.clean().await;
}

#[tokio::test]
async fn a_retry_into_a_full_lane_is_not_lost() {
    let place = Place::new().await;
    let queue =
        RabbitQueue::connect(RabbitOptions { capacity: 5, ..place.options() }).await.expect("connects");
    queue.publish(job(0, Lane::Backfill)).await.expect("publishes");
    let first = receive(&queue).await;
    let other = place.other().await;
    // More than this process takes in, so that the lane stays full.
    let filled = tokio::time::timeout(Duration::from_secs(3), async {
        for number in 1..40 {
            queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
        }
    });
    assert!(filled.await.is_err(), "the lane never filled");
    queue.retry(first.receipt, Duration::ZERO).await.expect("retries");
    let retried = leased(first.job).asset;
    let deadline = Instant::now() + LIMIT;
    loop {
        let delivery = receive(&queue).await;
        queue.ack(delivery.receipt).await.expect("acks");
        if leased(delivery.job).asset == retried {
            break;
        }
        assert!(Instant::now() < deadline);
    }
    assert!(other.get_now("dead").await.is_none());
    place.clean().await;
}

#[tokio::test]
async fn a_queue_of_another_kind_is_explained() {
    let place = Place::new().await;
    let other = place.other().await;
    other.declare_foreign("interactive").await;
    let Err(error) = RabbitQueue::connect(place.options()).await else { panic!("it connected") };
    assert!(matches!(error, QueueError::Unusable { .. }));
    let said = error.to_string();
    for part in [&*other.name("interactive"), "inequivalent arg", "delete it"] {
        assert!(said.contains(part), "{said}");
    }
    other.delete("interactive").await;
    // One that docent made, with another capacity.
    place.queue().await;
    let Err(error) = RabbitQueue::connect(RabbitOptions { capacity: 7, ..place.options() }).await else {
        panic!("it connected")
    };
    assert!(error.to_string().contains("x-max-length"), "{error}");
    // The same twice is no mismatch.
    place.queue().await.ping().await.expect("answers");
    place.clean().await;
}

/// Nobody waits for a broker that does not let one in.
#[tokio::test]
async fn a_refused_login_or_virtual_host_is_told_at_once() {
    let place = Place::new().await;
    let right = url::Url::parse(place.url()).expect("an address");
    let mut wrong = right.clone();
    wrong.set_password(Some("hunter2")).expect("has a user");
    let mut nowhere = right;
    nowhere.set_path("/no-such-host");
    for (url, expected) in [(wrong, "user or password"), (nowhere, "no such virtual host")] {
        let options = RabbitOptions { url: url.to_string(), ..place.options() };
        let start = Instant::now();
        let Err(error) = RabbitQueue::connect(options.clone()).await else { panic!("it connected") };
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(matches!(error, QueueError::Unusable { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
        let inspected = RabbitQueue::inspect(&options).await.expect_err("is refused");
        assert_eq!(inspected.to_string(), said);
    }
    place.clean().await;
}

#[tokio::test]
async fn a_deleted_lane_is_made_anew() {
    let place = Place::new().await;
    let queue = place.queue().await;
    queue.publish(job(1, Lane::Interactive)).await.expect("publishes");
    let delivery = receive(&queue).await;
    queue.ack(delivery.receipt).await.expect("acks");
    place.other().await.delete("interactive").await;
    // The first attempts may still meet the old one.
    while let Err(error) = queue.publish(job(2, Lane::Interactive)).await {
        assert!(matches!(error, QueueError::Unavailable { .. }), "{}", words(&error));
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        match queue.receive().await {
            Ok(delivery) => {
                let job = leased(delivery.expect("the queue is open").job);
                assert_eq!(job.uris, ["file:///2.jpg"]);
                break;
            }
            Err(error) => assert!(Instant::now() < deadline, "{}", words(&error)),
        }
    }
    place.clean().await;
}

#[tokio::test]
async fn two_processes_share_the_lanes() {
    let place = Place::new().await;
    let (one, two) = (place.queue().await, place.queue().await);
    let all = 60;
    for number in 0..all {
        let lane = if number % 3 == 0 { Lane::Interactive } else { Lane::Backfill };
        one.publish(job(number, lane)).await.expect("publishes");
    }
    let work = async |queue: &RabbitQueue| {
        let mut came = Vec::new();
        while let Ok(Ok(Some(delivery))) = tokio::time::timeout(Duration::from_secs(2), queue.receive()).await
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
            came.push(leased(delivery.job).asset);
            queue.ack(delivery.receipt).await.expect("acks");
        }
        came
    };
    let (by_one, by_two) = tokio::join!(work(&one), work(&two));
    assert!(!by_one.is_empty() && !by_two.is_empty(), "{} and {}", by_one.len(), by_two.len());
    assert_eq!(by_one.len() + by_two.len(), all as usize, "none twice");
    let came: BTreeSet<_> = by_one.into_iter().chain(by_two).collect();
    assert_eq!(came.len(), all as usize);
    place.clean().await;
}

#[tokio::test]
async fn a_process_that_only_publishes_keeps_nothing() {
    let place = Place::new().await;
    let publisher = place.queue().await;
    for number in 0..3 {
        publisher.publish(job(number, Lane::Backfill)).await.expect("publishes");
    }
    depth_becomes(&publisher, Lane::Backfill, 3).await;
    let worker = place.queue().await;
    for number in 0..3 {
        let delivery = receive(&worker).await;
        assert_eq!(leased(delivery.job), job(number, Lane::Backfill));
    }
    place.clean().await;
}

#[tokio::test]
async fn events_reach_those_who_listen() {
    let place = Place::new().await;
    let queue = place.queue().await;
    let events = queue.events();
    events.publish_event("suggestions.created", b"nobody listens").await.expect("publishes");
    let other = place.other().await;
    other.listen("mine", "events", "suggestions.*").await;
    events.publish_event("suggestions.created", br#"{"n":1}"#).await.expect("publishes");
    events.publish_event("suggestion.decided", br#"{"n":2}"#).await.expect("publishes");
    assert_eq!(other.get("mine").await.delivery.data, br#"{"n":1}"#);
    assert!(other.get_now("mine").await.is_none());
    place.clean().await;
}

#[tokio::test]
async fn credentials_are_never_shown() {
    let place = Place::new().await;
    let mut url = url::Url::parse(place.url()).expect("a URL");
    url.set_username("secret-ann").expect("a user");
    url.set_password(Some("hunter2")).expect("a password");
    let mut nowhere = url.clone();
    nowhere.set_port(Some(1)).expect("a port");
    let mut shown = Vec::new();
    for wrong in
        [url.as_str(), nowhere.as_str(), "amqp://secret-ann:hunter2@host:port", "secret-ann:hunter2@host"]
    {
        let options = RabbitOptions { url: wrong.to_owned(), ..place.options() };
        shown.push(format!("{options:?}"));
        let Err(error) = RabbitQueue::connect(options).await else { panic!("{wrong} let us in") };
        shown.push(words(&error));
    }
    shown.push(format!("{:?}", place.queue().await));
    for shown in shown {
        for secret in ["secret-ann", "hunter2", "guest"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    place.clean().await;
}
