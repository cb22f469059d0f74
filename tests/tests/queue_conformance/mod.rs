//! Every queue passes the same cases.

mod broker;
mod intake;
mod messages;
mod outages;
mod rabbitmq;
mod vanished;

use std::time::Duration;

use docent::queue::{MemoryQueue, Queue};
use docent_tests::conformance::queue as cases;
use docent_tests::conformance::queue::Pace;

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        // The clock is paused: delays are exact and cost no time.
        mod memory_queue {
            use super::*;
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                let pace = Pace { delay: Duration::from_secs(5), quiet: Duration::from_millis(50) };
                cases::$case(&MemoryQueue::new(100), pace).await;
            })*
        }

        mod rabbit_queue {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let place = broker::Place::new().await;
                let queue = place.queue().await;
                let pace = rabbitmq::PACE;
                cases::$case(&queue, pace).await;
                queue.hand_back_all().await;
                place.clean().await;
            })*
        }
    };
}

conformance!(
    delivers_in_order,
    retry_comes_back_and_reject_does_not,
    settling_twice_is_an_error,
    uploads_overtake_but_do_not_starve_the_backfill,
    ends_when_closed_and_settled,
    receiving_can_be_cancelled,
    what_is_handed_back_comes_again_as_it_was,
    the_orderly_end_is_an_end,
    what_is_held_is_known_until_it_is_settled,
);
