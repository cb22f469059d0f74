//! The vocabulary is applied to stored vectors by the real program, killed at random moments.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use docent::app::LedgerVectors;
use docent::queue::Lane;
use docent::search::{Search, SearchOptions};
use docent::store::{
    FileStamp, Finished, FoundFile, Ledger, Outcome, OutcomeState, Page, Reviewer, Reviews, Run, SqliteStore,
    SuggestionFilter, TermChange, Terms, Wanted,
};
use docent::terms::TermMatching;
use docent::vectors::{EmbeddedIndex, IndexError, Neighbor, VectorIndex};
use docent_models::session::SessionOptions;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::vocabulary::{Language, Term, TermId};
use docent_pipelines::{Analysis, AnalyzerId, AssetId, VectorRecord, VectorSpace};
use docent_tests::program::Docent;
use docent_tests::random::Random;
use tokio_util::sync::CancellationToken;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const SPACE: &str = "picture/joint-vision@1";
/// Change it to look at other moments.
const SEED: u64 = 20_261_201;
const KILLS: usize = 20;

/// As many pictures and terms as `DOCENT_TERMS_PICTURES` and `DOCENT_TERMS` say.
fn size() -> (usize, usize) {
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    (number("DOCENT_TERMS_PICTURES", 12_000), number("DOCENT_TERMS", 40))
}

fn term(number: usize, threshold: f64) -> Term {
    const WHO: [&str; 6] = ["dog", "cat", "child", "bird", "horse", "boat"];
    let name = format!("{} number {number}", WHO[number % WHO.len()]);
    let mut term = Term::named(TermId::derived(&[&name]), Language::default(), &name);
    term.prompts = vec![name];
    term.threshold = Some(threshold);
    term
}

fn somebody() -> Reviewer {
    Reviewer { name: "Ada".to_owned(), client: "test".to_owned() }
}

async fn put(store: &SqliteStore, terms: impl Iterator<Item = Term>) {
    let changes: Vec<TermChange> = terms.map(|term| TermChange::Put(Box::new(term))).collect();
    let seen = store.vocabulary().await.expect("reads").revision;
    store.change_terms(&changes, seen, &somebody()).await.expect("changes");
}

/// A ledger with pictures that have vectors, and terms that were not applied to any.
async fn fill(file: &Path, pictures: usize, terms: usize) {
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("is made");
    let store = SqliteStore::open(file).await.expect("opens");
    let wanted: Wanted = [(AnalyzerId::Decode, docent_pipelines::pipeline::decoder())].into();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut normal = move || (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
    let numbers: Vec<usize> = (0..pictures).collect();
    for numbers in numbers.chunks(256) {
        let hash = |number: &usize| ContentHash::of(&number.to_le_bytes());
        let file = |number: &usize| FoundFile {
            uri: format!("file:///archive/{number:06}.jpg"),
            stamp: FileStamp { bytes: 1, modified_ns: *number as i64 },
            hash: hash(number).into(),
            lane: Lane::Backfill,
            owner: None,
        };
        let files: Vec<FoundFile> = numbers.iter().map(file).collect();
        store.register(&files, &wanted).await.expect("registers");
        let finished: Vec<Finished> = numbers
            .iter()
            .map(|number| {
                let asset = hash(number).asset_id();
                let mut values: Vec<f32> = (0..384).map(|_| normal()).collect();
                let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
                values.iter_mut().for_each(|value| *value /= length);
                let space = VectorSpace::from_name(SPACE);
                let analysis = Analysis {
                    vectors: vec![VectorRecord::new(asset.clone(), space.clone(), None, values)],
                    spaces: [space].into(),
                    ..Analysis::default()
                };
                let done = |(analyzer, model): (&AnalyzerId, &docent_models::ModelRef)| Outcome {
                    analyzer: *analyzer,
                    model: model.clone(),
                    state: OutcomeState::Done,
                };
                let outcomes = wanted.iter().map(done).collect();
                Finished { run: Run { asset, owner: "fill".to_owned(), picture: None }, analysis, outcomes }
            })
            .collect();
        store.record(&finished).await.expect("records");
    }
    put(&store, (0..terms).map(|number| term(number, 0.05))).await;
    store.close().await;
}

/// What is said, by id, without times and runs; and how far each term is.
async fn rows(file: &Path) -> Told {
    let store = SqliteStore::open(file).await.expect("opens");
    let told = rows_of(&store).await;
    store.close().await;
    told
}

type Told = (BTreeMap<String, String>, Vec<(TermId, i64)>);

async fn rows_of(store: &SqliteStore) -> Told {
    let (mut said, mut page) = (BTreeMap::new(), Page { limit: 1000, after: None });
    loop {
        let listed = store.suggestions(&SuggestionFilter::default(), &page).await.expect("lists");
        for row in listed.rows {
            let what =
                format!("{} {:?} {:?} {} {:?}", row.value, row.status, row.term, row.confidence, row.implies);
            assert!(said.insert(row.id.to_string(), what).is_none(), "twice");
        }
        page.after = listed.next;
        if page.after.is_none() {
            break;
        }
    }
    let rules = store.rules(&VectorSpace::from_name(SPACE), None).await.expect("reads");
    (said, rules.into_iter().map(|rule| (rule.term, rule.applied)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_applying_terms_change_nothing() {
    let (pictures, terms) = size();
    eprintln!("seed {SEED}, {pictures} pictures, {terms} terms");
    let (calm, rough) = (Docent::new(PROGRAM), Docent::new(PROGRAM));
    let [calm_file, rough_file] = [&calm, &rough].map(|docent| docent.data().join("ledger.sqlite"));
    fill(&calm_file, pictures, terms).await;
    std::fs::create_dir_all(rough.data()).expect("is made");
    let fresh = calm.folder().join("fresh.sqlite");
    std::fs::copy(&calm_file, &fresh).expect("is copied");
    let apply = ["vocabulary", "apply"];
    let usual = tokio::task::block_in_place(|| calm.run(apply).expect(0)).elapsed;
    let expected = rows(&calm_file).await;
    assert!(expected.0.len() > pictures / 20, "only {} are said", expected.0.len());
    let newest = expected.1.iter().map(|rule| rule.1).max();
    assert!(expected.1.len() == terms && expected.1.iter().all(|rule| Some(rule.1) == newest));

    let mut random = Random::new(SEED);
    let (mut met, mut amid) = (0, 0);
    while met < KILLS {
        // From the beginning, killed a few times, and then left to its end.
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", rough_file.display()));
        }
        std::fs::copy(&fresh, &rough_file).expect("is copied");
        for _ in 0..4 {
            let moment = usual.mul_f64(0.2 + 0.7 * random.share());
            let killed = tokio::task::block_in_place(|| {
                let mut run = rough.start(apply);
                run.watch(moment, |_| false);
                run.kill()
            });
            met += usize::from(killed.code.is_none());
            let said = rows(&rough_file).await.0.len();
            amid += usize::from(0 < said && said < expected.0.len());
        }
        tokio::task::block_in_place(|| rough.run(apply).expect(0));
        let told = rows(&rough_file).await;
        assert_eq!(told.1, expected.1);
        assert!(told.0 == expected.0, "{} rows, not {}", told.0.len(), expected.0.len());
        // After so many tries the program is faster than it was at first.
        assert!(met > 0, "no kill met it alive");
    }
    eprintln!("{met} kills met it alive, {amid} found it amid its work; undisturbed it takes {usual:?}");
    assert!(amid >= 3, "only {amid} kills met it amid its work");
}

/// A changed term touches its own suggestions, and no other row.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_term_touches_only_what_depends_on_it() {
    let docent = Docent::new(PROGRAM);
    let file = docent.data().join("ledger.sqlite");
    fill(&file, 600, 12).await;
    let apply = ["vocabulary", "apply"];
    tokio::task::block_in_place(|| docent.run(apply).expect(0));
    let stamps = async || {
        let url = format!("sqlite://{}", file.display());
        let pool = sqlx::SqlitePool::connect(&url).await.expect("connects");
        let rows: Vec<(String, String, String, i64, f64)> =
            sqlx::query_as("select id, term_id, status, run_id, confidence from suggestion order by id")
                .fetch_all(&pool)
                .await
                .expect("reads");
        let runs: i64 =
            sqlx::query_scalar("select count(*) from run").fetch_one(&pool).await.expect("counts");
        pool.close().await;
        (rows, runs)
    };
    let (before, runs) = stamps().await;
    let store = SqliteStore::open(&file).await.expect("opens");
    put(&store, std::iter::once(term(3, 0.2))).await;
    store.close().await;
    tokio::task::block_in_place(|| docent.run(apply).expect(0));
    let (after, more_runs) = stamps().await;
    let changed: Vec<_> = before.iter().filter(|row| !after.contains(row)).collect();
    let own = term(3, 0.0).id.to_string();
    assert!(!changed.is_empty() && changed.iter().all(|row| row.1 == own), "{changed:?}");
    let withdrawn = after.iter().filter(|row| row.2 == "superseded").count();
    let others = before.iter().filter(|row| row.1 != own).count();
    eprintln!("{} rows of it changed, {withdrawn} were withdrawn, {others} of others stayed", changed.len());
    assert!(withdrawn > 0);
    assert!(more_runs - runs <= 1, "one portion");
    // Nothing runs over any picture, and a second time there is nothing to do.
    tokio::task::block_in_place(|| docent.run(apply).expect(0));
    assert_eq!(stamps().await, (after, more_runs));
}

/// The embedded index, which may not be asked for what needs exact answers.
struct Asked {
    index: EmbeddedIndex,
    exact: bool,
    times: AtomicU64,
}

#[async_trait]
impl VectorIndex for Asked {
    async fn upsert(&self, records: &[VectorRecord]) -> Result<(), IndexError> {
        self.index.upsert(records).await
    }

    async fn search(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError> {
        self.times.fetch_add(1, Relaxed);
        self.index.search(space, query, k, only).await
    }

    async fn prune(&self, space: &VectorSpace, assets: &[AssetId], keep: &[&str]) -> Result<(), IndexError> {
        self.index.prune(space, assets, keep).await
    }

    async fn forget(&self, assets: &[AssetId]) -> Result<(), IndexError> {
        self.index.forget(assets).await
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<(), IndexError> {
        self.index.drop_space(space).await
    }

    async fn count(&self, space: &VectorSpace) -> Result<u64, IndexError> {
        self.index.count(space).await
    }

    async fn ping(&self) -> Result<(), IndexError> {
        self.index.ping().await
    }

    fn is_exact(&self) -> bool {
        self.exact
    }
}

/// A few terms of many pictures are asked of the index. The ledger then says what it says after all vectors were compared.
#[tokio::test(flavor = "multi_thread")]
async fn the_index_says_what_all_vectors_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["index", "vectors"].map(|name| folder.path().join(name).join("ledger.sqlite"));
    fill(&files[0], 8400, 0).await;
    std::fs::create_dir_all(files[1].parent().expect("a folder")).expect("is made");
    std::fs::copy(&files[0], &files[1]).expect("is copied");
    let pack = Arc::new(
        docent_models::Pack::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"))
            .expect("the bundle"),
    );
    let mut said = Vec::new();
    for (file, exact) in files.iter().zip([true, false]) {
        let store = Arc::new(SqliteStore::open(file).await.expect("opens"));
        let index = EmbeddedIndex::new(Arc::new(LedgerVectors(Arc::clone(&store) as _)));
        let index = Arc::new(Asked { index, exact, times: AtomicU64::new(0) });
        let options = SearchOptions {
            start: Arc::new(|| docent_models::session::init_runtime(None).map(drop)),
            session: SessionOptions::default(),
            decode: DecodeLimits::default(),
        };
        let search =
            Search::new(Arc::clone(&store) as _, Arc::clone(&index) as _, Arc::clone(&pack), options);
        let matching = TermMatching::new(Arc::clone(&store) as _, search, Arc::clone(&pack), "me".to_owned());
        let stop = CancellationToken::new();
        let mut steps = Vec::new();
        // New terms, of few and of more pictures; then one of them is offered less, and another more.
        let thresholds = [[0.5, 0.2, 0.1, 0.05], [0.5, 0.4, 0.1, 0.02]];
        for thresholds in thresholds {
            put(&store, thresholds.into_iter().enumerate().map(|(number, least)| term(number, least))).await;
            matching.catch_up(&stop, |_| {}).await.expect("applies");
            steps.push(rows_of(&store).await);
        }
        assert_eq!(index.times.load(Relaxed) > 0, exact);
        let per_term = |term: &str| steps[0].0.values().filter(|row| row.starts_with(term)).count();
        eprintln!("{:?}", [0, 1, 2, 3].map(|number| per_term(term(number, 0.0).name(&Language::default()))));
        store.close().await;
        said.push(steps);
    }
    let superseded = |step: usize| said[0][step].0.values().filter(|row| row.contains("Superseded")).count();
    assert_eq!(superseded(0), 0);
    assert!(superseded(1) > 0 && said[0][1].0.len() > said[0][0].0.len());
    assert!(said[0] == said[1], "the index says something else");
}
