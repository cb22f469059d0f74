//! Cases for [`Queue`]. Each takes a fresh, empty queue with room for 100 jobs in each lane.

use std::time::Duration;

use docent::queue::{AnalyzeAsset, Delivery, Job, Lane, Queue, QueueError};
use docent_pipelines::AnalyzerId;
use docent_pipelines::asset::ContentHash;

fn job(number: u32, lane: Lane) -> AnalyzeAsset {
    AnalyzeAsset {
        asset: ContentHash::of(&number.to_le_bytes()).asset_id(),
        uris: vec![format!("file:///{number}.jpg")],
        analyzers: vec![AnalyzerId::Tags],
        lane,
        alone: false,
    }
}

async fn receive(queue: &dyn Queue) -> Delivery {
    let received = tokio::time::timeout(Duration::from_secs(30), queue.receive()).await;
    received.expect("a job is waiting").expect("the queue is reachable").expect("the queue is open")
}

async fn is_quiet(queue: &dyn Queue) -> bool {
    tokio::time::timeout(Duration::from_millis(50), queue.receive()).await.is_err()
}

/// What was published is delivered once, in order, and gone when it is settled.
pub async fn delivers_in_order(queue: &dyn Queue) {
    for number in 0..3 {
        queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
    }
    assert_eq!(queue.depth(Lane::Backfill).await.expect("counts"), 3);
    for number in 0..3 {
        let delivery = receive(queue).await;
        assert_eq!(delivery.job, Job::Analyze(job(number, Lane::Backfill)));
        queue.ack(delivery.receipt).await.expect("acks");
    }
    assert!(is_quiet(queue).await);
    assert_eq!(queue.depth(Lane::Backfill).await.expect("counts"), 0);
}

/// A retry comes back, not before its delay; a rejected job does not.
pub async fn retry_comes_back_and_reject_does_not(queue: &dyn Queue) {
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    let first = receive(queue).await;
    let delay = Duration::from_secs(5);
    let before = tokio::time::Instant::now();
    queue.retry(first.receipt, delay).await.expect("retries");
    assert_eq!(queue.depth(Lane::Backfill).await.expect("counts"), 1);
    let second = receive(queue).await;
    assert!(before.elapsed() >= delay, "came back after {:?}", before.elapsed());
    assert_eq!(second.job, first.job);
    queue.reject(second.receipt, "poison").await.expect("rejects");
    assert!(is_quiet(queue).await);
}

/// A delivery is settled once.
pub async fn settling_twice_is_an_error(queue: &dyn Queue) {
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    let delivery = receive(queue).await;
    queue.ack(delivery.receipt).await.expect("acks");
    assert!(matches!(queue.ack(delivery.receipt).await, Err(QueueError::NotInFlight(_))));
    assert!(matches!(queue.retry(delivery.receipt, Duration::ZERO).await, Err(QueueError::NotInFlight(_))));
    assert!(is_quiet(queue).await);
}

/// Uploads overtake the backfill, which goes on all the same.
pub async fn uploads_overtake_but_do_not_starve_the_backfill(queue: &dyn Queue) {
    for number in 0..4 {
        queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
    }
    for number in 100..140 {
        queue.publish(job(number, Lane::Interactive)).await.expect("publishes");
    }
    let mut lanes = Vec::new();
    for _ in 0..40 {
        let delivery = receive(queue).await;
        let Job::Analyze(job) = delivery.job else { panic!("a job came back as a submission") };
        lanes.push(job.lane);
        queue.ack(delivery.receipt).await.expect("acks");
    }
    assert_eq!(lanes[0], Lane::Interactive);
    let backfill = lanes.iter().filter(|lane| **lane == Lane::Backfill).count();
    assert!((1..=8).contains(&backfill), "{backfill} of 40 were backfill");
}

/// After `close` the queue ends once everything is settled, a delayed retry included.
pub async fn ends_when_closed_and_settled(queue: &dyn Queue) {
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    queue.close().await;
    let delivery = receive(queue).await;
    queue.retry(delivery.receipt, Duration::from_secs(1)).await.expect("retries");
    let delivery = receive(queue).await;
    assert!(is_quiet(queue).await, "the end waits for what is in flight");
    queue.ack(delivery.receipt).await.expect("acks");
    assert!(queue.receive().await.expect("the queue is reachable").is_none());
}

/// A receiver that gives up loses nothing.
pub async fn receiving_can_be_cancelled(queue: &dyn Queue) {
    assert!(is_quiet(queue).await);
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    let delivery = receive(queue).await;
    queue.ack(delivery.receipt).await.expect("acks");
}
