//! What is finished is written together, and nobody waits longer for it than must be.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use docent::consumer::{BatchLimits, BatchWriter, WriterOptions};
use docent::disposition::{RetryPolicy, WalkError};
use docent::queue::Lane;
use docent::store::{FileStamp, Finished, FoundFile, Ledger, Run, SqliteStore, StoreError};
use docent::vectors::{IndexError, Neighbor, VectorIndex};
use docent_models::ModelRef;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{Analysis, AssetId, Region, VectorRecord, VectorSpace};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Remembers how many vectors each call brought, and of how many assets each call removed some.
#[derive(Default)]
struct Calls {
    upserts: Mutex<Vec<usize>>,
    prunes: Mutex<Vec<usize>>,
    /// Everything is refused.
    refuses: AtomicBool,
}

impl Calls {
    fn seen(&self) -> Vec<usize> {
        self.upserts.lock().expect("not poisoned").clone()
    }

    fn pruned(&self) -> Vec<usize> {
        std::mem::take(&mut self.prunes.lock().expect("not poisoned"))
    }
}

#[async_trait]
impl VectorIndex for Calls {
    async fn upsert(&self, records: &[VectorRecord]) -> Result<(), IndexError> {
        self.upserts.lock().expect("not poisoned").push(records.len());
        if records.iter().any(|record| record.values[0].is_nan()) {
            return Err(IndexError::Unfit { operation: "upsert", reason: "not a number".to_owned() });
        }
        match self.refuses.load(Relaxed) {
            true => Err(IndexError::Refused { operation: "upsert", source: anyhow::anyhow!("wrong key") }),
            false => Ok(()),
        }
    }
    async fn search(
        &self,
        _: &VectorSpace,
        _: &[f32],
        _: usize,
        _: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError> {
        Ok(Vec::new())
    }
    async fn prune(&self, _: &VectorSpace, assets: &[AssetId], _: &[&str]) -> Result<(), IndexError> {
        self.prunes.lock().expect("not poisoned").push(assets.len());
        Ok(())
    }
    async fn forget(&self, _: &[AssetId]) -> Result<(), IndexError> {
        Ok(())
    }
    async fn drop_space(&self, _: &VectorSpace) -> Result<(), IndexError> {
        Ok(())
    }
    async fn count(&self, _: &VectorSpace) -> Result<u64, IndexError> {
        Ok(0)
    }
    async fn ping(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

struct Fixture {
    _folder: TempDir,
    calls: Arc<Calls>,
    writer: BatchWriter,
    stop: CancellationToken,
}

/// Longer than any test may take: whoever waits for it fails.
const FOREVER: Duration = Duration::from_secs(3600);

/// A writer over a ledger that knows assets 0 to 9.
async fn fixture(limits: BatchLimits) -> Fixture {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(&folder.path().join("ledger.sqlite")).await.expect("opens");
    let files: Vec<FoundFile> = (0..10_u8)
        .map(|number| FoundFile {
            uri: format!("file:///{number}.jpg"),
            stamp: FileStamp { bytes: 1, modified_ns: 1 },
            hash: ContentHash::of(&[number]).into(),
            lane: Lane::Backfill,
            owner: None,
        })
        .collect();
    store.register(&files, &Default::default()).await.expect("registers");
    let calls = Arc::new(Calls::default());
    let stop = CancellationToken::new();
    let retry = RetryPolicy { max_attempts: 1, base_delay: Duration::ZERO, max_delay: Duration::ZERO };
    let options = WriterOptions { limits, retry, patience: Duration::ZERO, stop: stop.clone() };
    let (writer, task) =
        BatchWriter::new(Arc::new(store), Arc::clone(&calls) as Arc<dyn VectorIndex>, options);
    tokio::spawn(task.write());
    Fixture { _folder: folder, calls, writer, stop }
}

fn finished(number: u8) -> Finished {
    let asset = ContentHash::of(&[number]).asset_id();
    let space = VectorSpace::picture(&ModelRef::new("space", "1"));
    let vector = VectorRecord::new(asset.clone(), space, None, vec![1.0, 0.0]);
    let analysis = Analysis { vectors: vec![vector], ..Analysis::default() };
    Finished { run: Run { asset, owner: "me".to_owned(), picture: None }, analysis, outcomes: Vec::new() }
}

const PATIENT: BatchLimits = BatchLimits { runs: 8, vectors: 8, delay: FOREVER };

#[tokio::test]
async fn a_lone_run_is_written_at_once() {
    let fixture = fixture(PATIENT).await;
    let answer = fixture.writer.take(finished(0), false).await;
    answer.await.expect("answers").expect("is written");
    assert_eq!(fixture.calls.seen(), [1]);
}

#[tokio::test]
async fn runs_are_gathered_while_others_are_in_work_and_written_by_one_call() {
    let fixture = fixture(PATIENT).await;
    let looking = fixture.writer.expect();
    let mut answers = Vec::new();
    for number in 0..3 {
        answers.push(fixture.writer.take(finished(number), false).await);
    }
    tokio::task::yield_now().await;
    assert_eq!(fixture.calls.seen(), [0; 0]);
    drop(looking);
    for answer in answers {
        answer.await.expect("answers").expect("is written");
    }
    assert_eq!(fixture.calls.seen(), [3]);
}

#[tokio::test]
async fn somebody_who_waits_a_full_portion_and_the_end_do_not_wait() {
    let fixture = fixture(PATIENT).await;
    let _looking = fixture.writer.expect();
    let waiting = fixture.writer.take(finished(0), false).await;
    let urgent = fixture.writer.take(finished(1), true).await;
    urgent.await.expect("answers").expect("is written");
    waiting.await.expect("answers").expect("is written");
    assert_eq!(fixture.calls.seen(), [2]);
    let mut answers = Vec::new();
    for number in 0..8 {
        answers.push(fixture.writer.take(finished(number), false).await);
    }
    for answer in answers {
        answer.await.expect("answers").expect("is written");
    }
    assert_eq!(fixture.calls.seen(), [2, 8]);
    let last = fixture.writer.take(finished(2), false).await;
    fixture.stop.cancel();
    last.await.expect("answers").expect("is written");
    assert_eq!(fixture.calls.seen(), [2, 8, 1]);
}

#[tokio::test]
async fn nothing_waits_longer_than_the_delay() {
    let fixture = fixture(BatchLimits { delay: Duration::from_millis(1), ..PATIENT }).await;
    let _looking = fixture.writer.expect();
    fixture.writer.take(finished(0), false).await.await.expect("answers").expect("is written");
}

#[tokio::test]
async fn a_run_that_cannot_be_recorded_costs_only_itself() {
    let fixture = fixture(PATIENT).await;
    let looking = fixture.writer.expect();
    let good = fixture.writer.take(finished(0), false).await;
    // Nobody registered it.
    let bad = fixture.writer.take(finished(200), false).await;
    let also_good = fixture.writer.take(finished(1), false).await;
    drop(looking);
    good.await.expect("answers").expect("is written");
    also_good.await.expect("answers").expect("is written");
    let refused = bad.await.expect("answers");
    assert!(matches!(refused, Err(WalkError::Store(StoreError::NotFound { .. }))), "{refused:?}");
}

#[tokio::test]
async fn two_runs_over_one_asset_are_written_one_after_the_other() {
    let fixture = fixture(PATIENT).await;
    let looking = fixture.writer.expect();
    let first = fixture.writer.take(finished(0), false).await;
    let second = fixture.writer.take(finished(0), false).await;
    first.await.expect("answers").expect("is written");
    assert_eq!(fixture.calls.seen(), [1]);
    drop(looking);
    second.await.expect("answers").expect("is written");
    assert_eq!(fixture.calls.seen(), [1, 1]);
}

#[tokio::test]
async fn flushing_waits_until_everything_is_written() {
    let fixture = fixture(PATIENT).await;
    let _looking = fixture.writer.expect();
    let _one = fixture.writer.take(finished(0), false).await;
    let _two = fixture.writer.take(finished(1), false).await;
    fixture.writer.flush().await;
    assert_eq!(fixture.calls.seen(), [2]);
    fixture.writer.flush().await;
}

/// A run that found a face, or looked for one.
fn with_face(number: u8, found: bool) -> Finished {
    let mut finished = finished(number);
    let space = VectorSpace::face(&ModelRef::new("faces", "1"));
    let region = Region::from_corners(0.1, 0.1, 0.5, 0.5);
    let face = VectorRecord::new(finished.run.asset.clone(), space.clone(), region, vec![1.0]);
    finished.analysis.spaces.insert(space);
    finished.analysis.vectors.extend(found.then_some(face));
    finished
}

#[tokio::test]
async fn what_a_picture_no_longer_has_is_removed_together_and_only_where_there_may_be_something() {
    let fixture = fixture(PATIENT).await;
    let record = async |found: bool, numbers: std::ops::Range<u8>| {
        let looking = fixture.writer.expect();
        let mut answers = Vec::new();
        for number in numbers {
            answers.push(fixture.writer.take(with_face(number, found), false).await);
        }
        drop(looking);
        for answer in answers {
            answer.await.expect("answers").expect("is written");
        }
    };
    record(true, 0..3).await;
    assert_eq!(fixture.calls.pruned(), [0; 0], "nothing was there");
    record(false, 0..4).await;
    assert_eq!(fixture.calls.pruned(), [3], "one call for those that had faces");
    record(false, 0..4).await;
    assert_eq!(fixture.calls.pruned(), [0; 0], "nothing is left");
}

#[tokio::test]
async fn an_index_that_refuses_is_not_waited_for_and_costs_only_what_needs_it() {
    let fixture = fixture(PATIENT).await;
    fixture.calls.refuses.store(true, Relaxed);
    let looking = fixture.writer.expect();
    let refused = fixture.writer.take(finished(0), false).await;
    let mut bare = finished(1);
    bare.analysis.vectors.clear();
    let bare = fixture.writer.take(bare, false).await;
    let also_refused = fixture.writer.take(finished(2), false).await;
    drop(looking);
    bare.await.expect("answers").expect("is written");
    for answer in [refused, also_refused] {
        let answer = answer.await.expect("answers");
        assert!(matches!(&answer, Err(WalkError::Index(IndexError::Refused { .. }))), "{answer:?}");
    }
    assert_eq!(fixture.calls.seen(), [2], "asked once for all");
}

#[tokio::test]
async fn a_vector_that_does_not_fit_costs_only_its_run() {
    let fixture = fixture(PATIENT).await;
    let looking = fixture.writer.expect();
    let good = fixture.writer.take(finished(0), false).await;
    let mut odd = finished(1);
    odd.analysis.vectors[0].values[0] = f32::NAN;
    let odd = fixture.writer.take(odd, false).await;
    let also_good = fixture.writer.take(finished(2), false).await;
    drop(looking);
    good.await.expect("answers").expect("is written");
    also_good.await.expect("answers").expect("is written");
    let answer = odd.await.expect("answers");
    assert!(matches!(&answer, Err(WalkError::Index(IndexError::Unfit { .. }))), "{answer:?}");
    assert_eq!(fixture.calls.seen(), [3, 1, 1, 1], "together, then each by itself");
}
