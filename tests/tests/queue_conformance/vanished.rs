//! Jobs whose queue was deleted are published again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use docent::disposition::RetryPolicy;
use docent::feeder::Feeder;
use docent::queue::{Lane, Queue};
use docent::store::{FileStamp, FoundFile, LeaseFilter, Leasing, Ledger, Page, SqliteStore, Wanted};
use docent_models::ModelRef;
use docent_pipelines::AnalyzerId;
use docent_pipelines::asset::ContentHash;
use docent_tests::conformance::queue::{LIMIT, depth_becomes};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::broker::Place;

const ASSETS: u32 = 30;
const LONG: Duration = Duration::from_secs(3600);

fn wanted() -> Wanted {
    [(AnalyzerId::Tags, ModelRef::new("tagger", "1"))].into()
}

#[tokio::test]
async fn a_deleted_queue_leaves_nothing_leased_not_even_by_a_feeder_that_is_gone() {
    let place = Place::new().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(SqliteStore::open(&folder.path().join("ledger.sqlite")).await.expect("opens"));
    let file = |number: u32| FoundFile {
        uri: format!("file:///{number}.jpg"),
        stamp: FileStamp { bytes: 1, modified_ns: 1 },
        hash: ContentHash::of(&number.to_le_bytes()).into(),
        lane: Lane::Backfill,
        owner: None,
    };
    let files: Vec<FoundFile> = (0..ASSETS).map(file).collect();
    store.register(&files, &wanted()).await.expect("registers");

    for owner in ["the first/feeder", "the second/feeder"] {
        let queue = Arc::new(place.queue().await);
        let feeder = Feeder {
            ledger: Arc::clone(&store) as Arc<dyn Ledger>,
            queue: Arc::clone(&queue) as Arc<dyn Queue>,
            wanted: wanted(),
            owner: owner.to_owned(),
            lane_length: 100,
            lease: LONG,
            first_lease: LONG,
            vanished: Duration::from_millis(300),
            retry: RetryPolicy {
                max_attempts: 3,
                base_delay: Duration::from_millis(20),
                max_delay: Duration::from_millis(200),
            },
            wake: Arc::new(Notify::new()),
        };
        let (stop, never) = (CancellationToken::new(), CancellationToken::new());
        let deleting = async {
            // The second finds what the first had leased, and an empty queue.
            depth_becomes(&*queue, Lane::Backfill, ASSETS as usize).await;
            let leases = store.leases(&LeaseFilter::default(), &Page { limit: 100, after: None }).await;
            let leases = leases.expect("lists").rows;
            assert_eq!(leases.len(), ASSETS as usize);
            assert!(leases.iter().all(|lease| lease.owner == owner && !lease.begun), "{leases:?}");
            place.other().await.delete("backfill").await;
            // The feeder notices that the queue is gone, has it made again, and finds it empty. Meanwhile questions may fail.
            let deadline = Instant::now() + LIMIT;
            while !matches!(queue.depth(Lane::Backfill).await, Ok(depth) if depth == ASSETS as usize) {
                assert!(Instant::now() < deadline, "the jobs are not published again");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            place.other().await.delete("backfill").await;
            stop.cancel();
        };
        tokio::join!(feeder.run(&stop, &never), deleting);
        queue.hand_back_all().await;
    }
    place.clean().await;
}
