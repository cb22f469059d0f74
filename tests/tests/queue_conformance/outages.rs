//! Connections that are cut, and a broker that dies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use docent::queue::{AnalyzeAsset, Lane, Queue, QueueError, RabbitQueue};
use docent_tests::conformance::queue::{LIMIT, job, receive};
use docent_tests::proxy::Proxy;
use docent_tests::servers::RabbitServer;

use super::broker::{Place, leased, words};

/// Calls that may wait for a lost connection answer within this time.
const PROMPT: Duration = Duration::from_secs(20);

/// Publishes until it is done, as the feeder does.
async fn publish(queue: &RabbitQueue, job: AnalyzeAsset) {
    let deadline = Instant::now() + LIMIT;
    while let Err(error) = queue.publish(job.clone()).await {
        assert!(Instant::now() < deadline, "{}", words(&error));
    }
}

#[tokio::test]
async fn nothing_published_is_lost_when_connections_are_cut() {
    let place = Place::new().await;
    let proxy = Proxy::to(place.server()).await;
    let publisher = Arc::new(RabbitQueue::connect(place.options_through(&proxy)).await.expect("connects"));
    let all = 80;
    let mut publishing = tokio::task::JoinSet::new();
    for part in 0..4 {
        let publisher = Arc::clone(&publisher);
        publishing.spawn(async move {
            for number in (0..all).filter(|number| number % 4 == part) {
                publish(&publisher, job(number, Lane::Backfill)).await;
            }
        });
    }
    // Five cuts in the middle of whatever is sent then; a message has some 300 bytes.
    let cutting = async {
        for (cut, bytes) in [701, 1403, 997, 2011, 555].into_iter().enumerate() {
            proxy.cut_after(bytes);
            let deadline = Instant::now() + LIMIT;
            while proxy.cuts() <= cut {
                assert!(Instant::now() < deadline, "the publishers ended before cut {cut}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    cutting.await;
    while let Some(done) = publishing.join_next().await {
        done.expect("publishes");
    }
    let queue = place.queue().await;
    let mut came = BTreeMap::<_, u32>::new();
    while let Ok(received) = tokio::time::timeout(Duration::from_secs(2), queue.receive()).await {
        let delivery = received.expect("receives").expect("the queue is open");
        *came.entry(leased(delivery.job).asset).or_default() += 1;
        queue.ack(delivery.receipt).await.expect("acks");
    }
    assert_eq!(came.len() as u32, all, "each came at least once");
    let twice = came.values().filter(|times| **times > 1).count();
    assert!(twice < 40, "{twice} came more than once");
    place.clean().await;
}

#[tokio::test]
async fn a_dead_broker_is_waited_for_and_has_lost_nothing() {
    if std::env::var("DOCENT_TEST_RABBITMQ_URL").is_ok() {
        eprintln!("skipped: the broker of DOCENT_TEST_RABBITMQ_URL is not ours to kill");
        return;
    }
    let start = tokio::task::spawn_blocking(RabbitServer::start);
    let server = Arc::new(start.await.expect("is started").expect("a broker"));
    let place = Place::on(&server);
    let queue = Arc::new(place.queue().await);
    for number in 0..20 {
        queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
    }
    let mut left: BTreeSet<_> = (0..20).map(|number| job(number, Lane::Backfill).asset).collect();
    let settled = receive(&*queue).await;
    queue.ack(settled.receipt).await.expect("acks");
    left.remove(&leased(settled.job).asset);
    let held = receive(&*queue).await;
    let delayed = receive(&*queue).await;
    queue.retry(delayed.receipt, Duration::from_secs(2)).await.expect("retries");
    // The broker itself loses a queue that is younger than half a second; ours are made when somebody connects.
    tokio::time::sleep(Duration::from_secs(1)).await;

    server.kill();
    let deadline = Instant::now() + LIMIT;
    while queue.is_connected() {
        assert!(Instant::now() < deadline, "the loss is not noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let away = Instant::now();
    let told = [
        queue.ping().await,
        queue.publish(job(100, Lane::Backfill)).await,
        queue.depth(Lane::Backfill).await.map(drop),
        queue.events().publish_event("a.b", b"c").await,
    ];
    for told in told {
        assert!(matches!(told, Err(QueueError::Unavailable { .. })), "{told:?}");
    }
    // What this process had in its hands it may see once more; then it is told.
    let told = loop {
        match queue.receive().await {
            Ok(delivery) => assert!(delivery.is_some(), "the queue is not closed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(told, QueueError::Unavailable { .. }), "{told:?}");
    assert!(away.elapsed() < PROMPT, "told after {:?}", away.elapsed());
    assert!(matches!(queue.ack(held.receipt).await, Err(QueueError::NotInFlight(_))));

    let resumed = Arc::clone(&server);
    tokio::task::spawn_blocking(move || resumed.resume()).await.expect("is started").expect("starts again");
    publish(&queue, job(100, Lane::Backfill)).await;
    left.insert(job(100, Lane::Backfill).asset);
    let deadline = Instant::now() + LIMIT * 2;
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "these did not come: {left:?}; delayed was {:?}", delayed.job);
        let Ok(received) = tokio::time::timeout(LIMIT, queue.receive()).await else { continue };
        let Ok(delivery) = received else { continue };
        let delivery = delivery.expect("the queue is open");
        left.remove(&leased(delivery.job).asset);
        queue.ack(delivery.receipt).await.expect("acks");
    }
    assert!(queue.is_connected());
    queue.ping().await.expect("answers");
    queue.hand_back_all().await;
}
