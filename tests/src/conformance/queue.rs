//! Cases for [`Queue`]. Each takes a fresh, empty queue with room for 100 jobs in each lane.

use std::time::{Duration, Instant};

use docent::queue::{AnalyzeAsset, Delivery, Job, Lane, Queue, QueueError};
use docent_pipelines::AnalyzerId;
use docent_pipelines::asset::ContentHash;

/// How long a case waits.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// For a retry.
    pub delay: Duration,
    /// To see that nothing comes.
    pub quiet: Duration,
}

/// A job like no other of its case.
pub fn job(number: u32, lane: Lane) -> AnalyzeAsset {
    AnalyzeAsset {
        asset: ContentHash::of(&number.to_le_bytes()).asset_id(),
        uris: vec![format!("file:///{number}.jpg")],
        analyzers: vec![AnalyzerId::Tags],
        lane,
        alone: false,
    }
}

/// Whatever is awaited comes within this time.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The next delivery, which is there or on its way.
pub async fn receive(queue: &dyn Queue) -> Delivery {
    let received = tokio::time::timeout(LIMIT, queue.receive()).await;
    received.expect("a job is waiting").expect("the queue is reachable").expect("the queue is open")
}

/// Whether nothing comes. There is no other way to see that than to wait.
pub async fn is_quiet(queue: &dyn Queue, pace: Pace) -> bool {
    tokio::time::timeout(pace.quiet, queue.receive()).await.is_err()
}

/// Waits until so many jobs wait in `lane`.
pub async fn depth_becomes(queue: &dyn Queue, lane: Lane, wanted: usize) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let depth = queue.depth(lane).await.expect("counts");
        if depth == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{depth} jobs wait in {lane:?}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was published is delivered once, in order, and gone when it is settled.
pub async fn delivers_in_order(queue: &dyn Queue, pace: Pace) {
    for number in 0..3 {
        queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
    }
    depth_becomes(queue, Lane::Backfill, 3).await;
    for number in 0..3 {
        let delivery = receive(queue).await;
        assert_eq!(delivery.job, Job::Analyze(job(number, Lane::Backfill)));
        assert!(!delivery.redelivered);
        queue.ack(delivery.receipt).await.expect("acks");
    }
    assert!(is_quiet(queue, pace).await);
    depth_becomes(queue, Lane::Backfill, 0).await;
}

/// A retry comes back, not before its delay; a rejected job does not.
pub async fn retry_comes_back_and_reject_does_not(queue: &dyn Queue, pace: Pace) {
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    let first = receive(queue).await;
    let delay = pace.delay;
    let before = tokio::time::Instant::now();
    queue.retry(first.receipt, delay).await.expect("retries");
    depth_becomes(queue, Lane::Backfill, 1).await;
    let second = receive(queue).await;
    assert!(before.elapsed() >= delay, "came back after {:?}", before.elapsed());
    assert_eq!(second.job, first.job);
    queue.reject(second.receipt, "poison").await.expect("rejects");
    assert!(is_quiet(queue, pace).await);
}

/// A delivery is settled once.
pub async fn settling_twice_is_an_error(queue: &dyn Queue, pace: Pace) {
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    let delivery = receive(queue).await;
    queue.ack(delivery.receipt).await.expect("acks");
    assert!(matches!(queue.ack(delivery.receipt).await, Err(QueueError::NotInFlight(_))));
    assert!(matches!(queue.retry(delivery.receipt, Duration::ZERO).await, Err(QueueError::NotInFlight(_))));
    assert!(is_quiet(queue, pace).await);
}

/// Uploads overtake the backfill, which goes on all the same.
pub async fn uploads_overtake_but_do_not_starve_the_backfill(queue: &dyn Queue, _: Pace) {
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
pub async fn ends_when_closed_and_settled(queue: &dyn Queue, pace: Pace) {
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    queue.close().await;
    let delivery = receive(queue).await;
    queue.retry(delivery.receipt, pace.delay).await.expect("retries");
    let delivery = receive(queue).await;
    assert!(is_quiet(queue, pace).await, "the end waits for what is in flight");
    queue.ack(delivery.receipt).await.expect("acks");
    assert!(queue.receive().await.expect("the queue is reachable").is_none());
}

/// A receiver that gives up loses nothing.
pub async fn receiving_can_be_cancelled(queue: &dyn Queue, pace: Pace) {
    assert!(is_quiet(queue, pace).await);
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    let delivery = receive(queue).await;
    queue.ack(delivery.receipt).await.expect("acks");
}

/// A job handed back at once comes back, and not as one that struck a process down.
pub async fn what_is_handed_back_comes_again_as_it_was(queue: &dyn Queue, pace: Pace) {
    queue.publish(job(1, Lane::Interactive)).await.expect("publishes");
    let first = receive(queue).await;
    queue.retry(first.receipt, Duration::ZERO).await.expect("retries");
    let second = receive(queue).await;
    assert_eq!(second.job, first.job);
    assert!(!second.redelivered);
    assert_ne!(second.receipt, first.receipt);
    queue.ack(second.receipt).await.expect("acks");
    assert!(is_quiet(queue, pace).await);
}

/// After the orderly end nothing is received, and nothing is in flight.
pub async fn the_orderly_end_is_an_end(queue: &dyn Queue, _: Pace) {
    queue.ping().await.expect("answers");
    for number in 0..3 {
        queue.publish(job(number, Lane::Backfill)).await.expect("publishes");
    }
    let delivery = receive(queue).await;
    queue.hand_back_all().await;
    assert!(matches!(queue.ack(delivery.receipt).await, Err(QueueError::NotInFlight(_))));
    assert!(queue.receive().await.expect("says that it is over").is_none());
}

/// What is in the hands of this process is counted by lane, until it is settled in any way.
pub async fn what_is_held_is_known_until_it_is_settled(queue: &dyn Queue, pace: Pace) {
    queue.publish(job(1, Lane::Backfill)).await.expect("publishes");
    depth_becomes(queue, Lane::Backfill, 1).await;
    assert_eq!(queue.held(Lane::Backfill), 0);
    let delivery = receive(queue).await;
    assert_eq!((queue.held(Lane::Backfill), queue.held(Lane::Interactive)), (1, 0));
    // Delayed, it is not in hand and still counted.
    queue.retry(delivery.receipt, pace.delay).await.expect("retries");
    assert_eq!(queue.held(Lane::Backfill), 0);
    depth_becomes(queue, Lane::Backfill, 1).await;
    let delivery = receive(queue).await;
    queue.ack(delivery.receipt).await.expect("acks");
    assert_eq!(queue.held(Lane::Backfill), 0);
    depth_becomes(queue, Lane::Backfill, 0).await;
}
