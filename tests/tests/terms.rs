//! The vocabulary is applied to stored vectors by the real program, killed at random moments.

use std::collections::BTreeMap;
use std::path::Path;

use docent::queue::Lane;
use docent::store::{
    FileStamp, Finished, FoundFile, Ledger, Outcome, OutcomeState, Page, Reviewer, Reviews, Run, SqliteStore,
    SuggestionFilter, TermChange, Terms, Wanted,
};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::vocabulary::{Language, Term, TermId};
use docent_pipelines::{Analysis, AnalyzerId, VectorRecord, VectorSpace};
use docent_tests::program::Docent;
use docent_tests::random::Random;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const SPACE: &str = "picture/joint-vision@1";
/// Change it to look at other moments.
const SEED: u64 = 20_261_201;
const KILLS: usize = 20;

/// As many pictures and terms as `DOCENT_TERMS_PICTURES` and `DOCENT_TERMS` say.
fn size() -> (usize, usize) {
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    (number("DOCENT_TERMS_PICTURES", 3000), number("DOCENT_TERMS", 40))
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
            hash: hash(number),
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
async fn rows(file: &Path) -> (BTreeMap<String, String>, Vec<(TermId, i64)>) {
    let store = SqliteStore::open(file).await.expect("opens");
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
    store.close().await;
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
