//! Every queue passes the same cases. The clock is paused: delays are exact and cost no time.

use docent::queue::MemoryQueue;
use docent_tests::conformance::queue as cases;

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {$(
        #[tokio::test(start_paused = true)]
        async fn $case() {
            cases::$case(&MemoryQueue::new(100)).await;
        }
    )*};
}

conformance!(
    delivers_in_order,
    retry_comes_back_and_reject_does_not,
    settling_twice_is_an_error,
    uploads_overtake_but_do_not_starve_the_backfill,
    ends_when_closed_and_settled,
    receiving_can_be_cancelled,
);
