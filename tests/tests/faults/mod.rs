//! A fault at every arrow of the walk ends in the rows of an undisturbed walk.
//!
//! The real feeder, consumer and scanner work over the real ledger, queue and networks. One call at a time fails, or
//! the process dies there; what is left is then taken up by a new one, as at the next start.

mod late;
mod ports;
mod refusals;
mod suspects;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use self::ports::{Fault, Faulty, Plan, Side, Trigger};
use async_trait::async_trait;
use docent::app::LedgerVectors;
use docent::assets::{AssetSource, FetchError, FileSource, Ignored, Roots};
use docent::config::{Config, Overrides};
use docent::consumer::{BatchLimits, Walk, WalkOptions};
use docent::disposition::RetryPolicy;
use docent::feeder::Feeder;
use docent::progress::Progress;
use docent::queue::{MemoryQueue, Queue};
use docent::scanner::Scanner;
use docent::store::{Catalog, Counts, Ledger, Page, Reviews, SqliteStore, SuggestionFilter, Wanted};
use docent::vectors::{EmbeddedIndex, VectorIndex};
use docent_models::Pack;
use docent_models::session::init_runtime;
use docent_pipelines::pipeline::models_of;
use docent_pipelines::{AnalyzerId, Pipeline, VectorSpace};
use docent_tests::corpus;
use docent_tests::fixtures::endless_jpeg;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Calls on the straight way of an asset.
const STRAIGHT: &[&str] = &[
    "known_files",
    "register",
    "waiting",
    "depth",
    "lease",
    "publish",
    "receive",
    "begin_run",
    "fetch",
    "upsert",
    "record",
    "ack",
];
/// Of these there is one call for the whole folder.
const ONCE: &[&str] = &["known_files", "register"];
/// Of these there are as many as the feeder looks around, which depends on the speed of the machine.
const POLLED: &[&str] = &["waiting", "depth", "lease"];
const PICTURES: usize = 5;
/// Far longer than any walk here takes, and short enough to wait for.
const LEASE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);

/// What all walks share.
struct Setting {
    folder: TempDir,
    pipeline: Arc<Pipeline>,
    wanted: Wanted,
    config: Config,
    /// Of fetching, and of looking at one picture.
    timeout: Duration,
    text_timeout: Duration,
    batch: BatchLimits,
    /// Pictures that are fetched while one is looked at, and how many there really were, that one included.
    ahead: usize,
    most_fetched: Arc<AtomicU64>,
    /// Pictures that were looked at at once.
    most_looking: Arc<AtomicU64>,
    /// Pictures that took too long and were still worked on, at once.
    most_stuck: Arc<AtomicU64>,
}

/// What has to be the same in the end.
#[derive(Debug, PartialEq)]
struct Rows {
    suggestions: BTreeMap<String, Value>,
    vectors: BTreeMap<String, Vec<u32>>,
    failures: Vec<Value>,
    counts: Counts,
}

/// Counts what is fetched and not yet looked at.
struct Watched {
    inner: FileSource,
    progress: Arc<Progress>,
    fetched: AtomicU64,
    most: Arc<AtomicU64>,
    most_looking: Arc<AtomicU64>,
}

#[async_trait]
impl AssetSource for Watched {
    async fn fetch(&self, uri: &str) -> Result<Vec<u8>, FetchError> {
        let bytes = self.inner.fetch(uri).await?;
        let fetched = self.fetched.fetch_add(1, Relaxed) + 1;
        // Some leave their places without being fetched.
        self.most.fetch_max(fetched.saturating_sub(self.progress.looked.load(Relaxed)), Relaxed);
        self.most_looking.fetch_max(self.progress.looking.load(Relaxed), Relaxed);
        Ok(bytes)
    }
}

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pictures = folder.path().join("pictures");
        corpus::write(&pictures, PICTURES, 11);
        std::fs::write(pictures.join("broken.jpg"), b"\xff\xd8\xff\xe0 and no more").expect("is written");
        // The options as they are delivered, whatever this machine is set to.
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "").expect("is written");
        let config =
            Config::load(&Overrides { file: Some(file), ..Overrides::default() }).expect("the defaults");
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let pack = Pack::open(&models).expect("the bundled models");
        let analyzers = [AnalyzerId::Tags, AnalyzerId::Embedding, AnalyzerId::Caption];
        init_runtime(None).expect("ONNX Runtime");
        let mut options = config.pipeline_options();
        // Every picture has a caption, however unsure.
        options.caption.min_probability = 0.0;
        let pipeline = Arc::new(Pipeline::load(&pack, &analyzers, &options).expect("the networks load"));
        let wanted = models_of(&pack, &analyzers, &options).expect("the models");
        Self {
            folder,
            pipeline,
            wanted,
            config,
            timeout: PATIENCE,
            text_timeout: PATIENCE,
            batch: BatchLimits::SINGLY,
            ahead: 1,
            most_fetched: Arc::default(),
            most_looking: Arc::default(),
            most_stuck: Arc::default(),
        }
    }

    /// Ingests the folder, starting again after every death and every failed scan.
    async fn ingest(&self, data: &Path, trigger: &Arc<Trigger>) -> Rows {
        for life in 1.. {
            assert!(life <= 5, "docent had to be started {life} times");
            let store =
                Arc::new(SqliteStore::open(&data.join("ledger.sqlite")).await.expect("the ledger opens"));
            store.recover(4).await.expect("the ledger recovers");
            let death = trigger.birth();
            let finished = tokio::select! {
                biased;
                () = death.cancelled() => false,
                finished = self.live(&store, trigger) => finished,
            };
            if finished {
                return self.rows(&store).await;
            }
        }
        unreachable!("the loop has no end but these")
    }

    /// One process's life. Answers whether the folder was scanned to its end.
    async fn live(&self, store: &Arc<SqliteStore>, trigger: &Arc<Trigger>) -> bool {
        let ledger: Arc<dyn Ledger> = Arc::new(Faulty::<dyn Ledger> {
            inner: Arc::clone(store) as Arc<dyn Ledger>,
            trigger: Arc::clone(trigger),
        });
        let queue: Arc<dyn Queue> = Arc::new(Faulty::<dyn Queue> {
            inner: Arc::new(MemoryQueue::new(4)),
            trigger: Arc::clone(trigger),
        });
        let index: Arc<dyn VectorIndex> = Arc::new(Faulty::<dyn VectorIndex> {
            inner: Arc::new(EmbeddedIndex::new(Arc::new(LedgerVectors(Arc::clone(store) as _)))),
            trigger: Arc::clone(trigger),
        });
        let (progress, wake) = (Arc::new(Progress::default()), Arc::new(Notify::new()));
        let watched = Watched {
            inner: FileSource { max_bytes: 1 << 24, ..FileSource::default() },
            progress: Arc::clone(&progress),
            fetched: AtomicU64::new(0),
            most: Arc::clone(&self.most_fetched),
            most_looking: Arc::clone(&self.most_looking),
        };
        let source: Arc<dyn AssetSource> =
            Arc::new(Faulty::<dyn AssetSource> { inner: Arc::new(watched), trigger: Arc::clone(trigger) });
        let retry = RetryPolicy {
            max_attempts: 3,
            base_delay: Duration::from_millis(2),
            max_delay: Duration::from_millis(10),
        };
        let (stop, complete) = (CancellationToken::new(), CancellationToken::new());
        let scanner = Scanner {
            owner: None,
            ledger: Arc::clone(&ledger),
            wanted: self.wanted.clone(),
            ignored: Ignored::default(),
            reread: false,
            follow_symlinks: false,
            roots: Roots::default(),
            progress: Arc::clone(&progress),
            wake: Arc::clone(&wake),
        };
        let feeder = Feeder {
            ledger: Arc::clone(&ledger),
            queue: Arc::clone(&queue),
            wanted: self.wanted.clone(),
            owner: "tester".to_owned(),
            lane_length: 4,
            lease: LEASE,
            first_lease: LEASE,
            vanished: PATIENCE,
            retry,
            wake: Arc::clone(&wake),
        };
        let walk = Walk {
            queue,
            ledger,
            index,
            source,
            pipeline: Arc::clone(&self.pipeline),
            progress: Arc::clone(&progress),
            options: WalkOptions {
                owner: "tester".to_owned(),
                in_flight: 1,
                ahead: self.ahead,
                decode: self.config.decode_limits(),
                retry,
                timeout: self.timeout,
                text_timeout: self.text_timeout,
                grace: Duration::ZERO,
                patience: Duration::ZERO,
                batch: self.batch,
            },
        };
        let scan = async {
            let scan = scanner.scan(vec![self.folder.path().join("pictures")], &stop).await;
            complete.cancel();
            wake.notify_one();
            scan
        };
        let walking = async {
            walk.run(&stop).await;
            stop.cancel();
        };
        let watching = async {
            while !stop.is_cancelled() {
                self.most_stuck.fetch_max(progress.stuck.load(Relaxed), Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let (scan, (), (), ()) = tokio::join!(scan, feeder.run(&stop, &complete), walking, watching);
        scan.is_ok()
    }

    async fn rows(&self, store: &SqliteStore) -> Rows {
        let page = Page { limit: 1000, after: None };
        let listed = store.suggestions(&SuggestionFilter::default(), &page).await.expect("suggestions");
        assert!(listed.next.is_none(), "one page is enough");
        let mut suggestions = BTreeMap::new();
        for row in listed.rows {
            let mut value = json!(row);
            value.as_object_mut().expect("an object").remove("created_at");
            // The last bits depend on what was computed beside it.
            let confidence = row.confidence;
            value["confidence"] = json!((confidence * 1000.0).round() / 1000.0);
            suggestions.insert(row.id.to_string(), value);
        }
        let counts = store.counts(&self.wanted).await.expect("counts");
        let mut vectors = BTreeMap::new();
        for space in counts.vectors.keys() {
            let space = VectorSpace::from_name(space);
            for (_, record) in store.vectors_after(&space, 0, 1000).await.expect("vectors") {
                let key = format!("{} {} {:?}", record.id, record.asset, record.region);
                vectors.insert(key, record.values.iter().map(|value| value.to_bits()).collect());
            }
        }
        let failures = store.failures(&page).await.expect("failures").rows;
        let failures = failures
            .iter()
            .map(|row| {
                let mut value = json!(row);
                value.as_object_mut().expect("an object").remove("at");
                value
            })
            .collect();
        Rows { suggestions, vectors, failures, counts }
    }
}

/// Every fault that is tried: one, or one that is needed to come to another.
fn plans() -> Vec<Vec<Plan>> {
    let mut plans = Vec::new();
    for side in [Side::Before, Side::After] {
        for fault in [Fault::Error, Fault::Death] {
            for &arrow in STRAIGHT {
                let calls: &[usize] = if ONCE.contains(&arrow) { &[1] } else { &[1, 4] };
                plans.extend(calls.iter().map(|&call| vec![Plan { arrow, call, side, fault }]));
            }
            // Ways that are gone only after something else went wrong.
            let first = |arrow, fault| Plan { arrow, call: 1, side: Side::Before, fault };
            for (cause, arrow) in [
                (first("record", Fault::Error), "retry"),
                (first("publish", Fault::Error), "hand_back"),
                (first("begin_run", Fault::Unknown), "reject"),
            ] {
                plans.push(vec![cause, Plan { arrow, call: 1, side, fault }]);
            }
        }
    }
    plans
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fault_at_every_arrow_ends_in_the_same_rows() {
    let setting = Arc::new(Setting::new());
    let calm = tempfile::tempdir().expect("a temporary folder");
    let expected = Arc::new(setting.ingest(calm.path(), &Trigger::new(&[])).await);
    assert_eq!(expected.counts.assets, PICTURES as u64 + 1);
    assert_eq!(expected.vectors.len(), PICTURES, "every picture has a vector");
    assert_eq!(expected.failures.len(), 1);
    assert!(!expected.suggestions.is_empty());

    // Several at once: most of the time is spent waiting.
    let mut runs = JoinSet::new();
    for plans in plans() {
        while runs.len() >= 4 {
            runs.join_next().await.expect("there is one").expect("it held");
        }
        let (setting, expected) = (Arc::clone(&setting), Arc::clone(&expected));
        runs.spawn(async move {
            let data = tempfile::tempdir().expect("a temporary folder");
            let trigger = Trigger::new(&plans);
            let found = tokio::time::timeout(PATIENCE, setting.ingest(data.path(), &trigger)).await;
            let mut found = found.unwrap_or_else(|_| panic!("{plans:?}: docent hangs"));
            let polled = plans.iter().any(|plan| plan.call > 1 && POLLED.contains(&plan.arrow));
            assert!(polled || trigger.struck() == plans.len(), "{plans:?}: did not come about");
            // A fetch that failed was an attempt; nothing else counts as one.
            if plans.iter().any(|plan| plan.arrow == "fetch") {
                found.failures[0]["attempts"] = json!(1);
            }
            assert!(found == *expected, "{plans:?}\nfound {found:#?}\nexpected {expected:#?}");
        });
    }
    while let Some(run) = runs.join_next().await {
        run.expect("it held");
    }
}

/// Nobody waits for a file, and nothing is fetched that has to lie in memory for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_one_picture_is_looked_at_the_next_is_fetched() {
    let mut setting = Setting::new();
    let mut rows = Vec::new();
    for (ahead, most) in [(2, 3), (0, 1)] {
        (setting.ahead, setting.most_fetched, setting.most_looking) = (ahead, Arc::default(), Arc::default());
        let data = tempfile::tempdir().expect("a folder");
        rows.push(setting.ingest(data.path(), &Trigger::new(&[])).await);
        assert_eq!(setting.most_fetched.load(Relaxed), most, "{ahead} ahead");
        // With one place nothing is fetched while something is looked at.
        assert_eq!(setting.most_looking.load(Relaxed), u64::from(ahead > 0), "{ahead} ahead");
    }
    assert!(rows.windows(2).all(|pair| pair[0] == pair[1]), "{rows:#?}");
}

/// A drive that does not answer holds up its own asset only, and that only once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_place_that_never_answers_is_asked_again() {
    let mut setting = Setting::new();
    let (calm, torn) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let expected = setting.ingest(calm.path(), &Trigger::new(&[])).await;
    setting.timeout = Duration::from_secs(5);
    let trigger = Trigger::new(&[Plan { arrow: "fetch", call: 2, side: Side::Before, fault: Fault::Hang }]);
    let found = tokio::time::timeout(PATIENCE, setting.ingest(torn.path(), &trigger)).await;
    let mut found = found.expect("docent hangs");
    assert_eq!(trigger.struck(), 1);
    // The broken one may have been the one that hung: then this was its second attempt.
    found.failures[0]["attempts"] = json!(1);
    assert!(found == expected, "found {found:#?}\nexpected {expected:#?}");
}

/// A picture whose decoder goes on and on is failed when its time was over as often as is allowed; those beside it are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_picture_without_end_costs_only_itself() {
    let mut setting = Setting::new();
    let (calm, torn) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let expected = setting.ingest(calm.path(), &Trigger::new(&[])).await;
    std::fs::write(setting.folder.path().join("pictures/endless.jpg"), endless_jpeg(0)).expect("is written");
    // A third of what its decoding takes where nothing else is going on, and many times what the others take.
    setting.timeout = Duration::from_secs(2);
    let found = tokio::time::timeout(PATIENCE, setting.ingest(torn.path(), &Trigger::new(&[]))).await;
    let mut found = found.expect("docent hangs");
    let (endless, others): (Vec<Value>, Vec<Value>) = found.failures.into_iter().partition(|failure| {
        failure["reason"].as_str().is_some_and(|reason| reason.contains("not finished"))
    });
    assert_eq!(endless.len(), 1, "{others:#?}");
    assert_eq!(endless[0]["analyzer"], "decode");
    assert_eq!((&endless[0]["kind"], &endless[0]["attempts"]), (&json!("transient"), &json!(3)));
    assert_eq!(setting.most_stuck.load(Relaxed), 1);
    found.failures = others;
    found.counts = expected.counts.clone();
    assert!(found == expected, "found {found:#?}\nexpected {expected:#?}");
}

/// The comparison of rows can fail: those that were not repaired are noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_is_not_taken_up_again_is_noticed() {
    let setting = Setting::new();
    let (calm, torn) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let expected = setting.ingest(calm.path(), &Trigger::new(&[])).await;
    let plan = Plan { arrow: "record", call: 2, side: Side::Before, fault: Fault::Death };
    let trigger = Trigger::new(&[plan]);
    let store =
        Arc::new(SqliteStore::open(&torn.path().join("ledger.sqlite")).await.expect("the ledger opens"));
    let death = trigger.birth();
    tokio::select! {
        () = death.cancelled() => {}
        _ = setting.live(&store, &trigger) => panic!("it did not die"),
    }
    assert_ne!(setting.rows(&store).await, expected);
}
