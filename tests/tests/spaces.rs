//! Vectors of two models side by side, and an index that is filled again from the ledger.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use docent::queue::Lane;
use docent::search::{Question, Search, SearchOptions, nearest};
use docent::store::{
    AssetFilter, Catalog, FileStamp, Finished, FoundFile, Ledger, Outcome, OutcomeState, PlaceFilter, Run,
    SqliteStore, Wanted,
};
use docent::vectors::{IndexError, Neighbor, QdrantIndex, QdrantOptions, VectorIndex};
use docent_models::session::SessionOptions;
use docent_models::{ModelRef, Pack};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, DecodeLimits, Owner, VectorRecord, VectorSpace};
use docent_tests::cluster::Worker;
use docent_tests::corpus;
use docent_tests::program::Docent;
use docent_tests::qdrant::{QdrantServer, tls_fixture};
use qdrant_client::qdrant::{CreateCollectionBuilder, Distance, VectorParamsBuilder};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

fn asset(number: u8) -> AssetId {
    ContentHash::of(&[number]).asset_id()
}

/// Registers a picture and records its vector by one version of a model.
async fn record(store: &SqliteStore, index: &dyn VectorIndex, number: u8, version: &str, values: Vec<f32>) {
    let model = ModelRef::new("joint-vision", version);
    let wanted = Wanted::from([
        (AnalyzerId::Decode, ModelRef::new("decoder", "1")),
        (AnalyzerId::Embedding, model.clone()),
    ]);
    let file = FoundFile {
        uri: format!("file:///{number}.jpg"),
        stamp: FileStamp { bytes: 1, modified_ns: 1 },
        hash: ContentHash::of(&[number]).into(),
        lane: Lane::Backfill,
        owner: None,
    };
    store.register(&[file], &wanted).await.expect("registers");
    let space = VectorSpace::picture(&model);
    let analysis = Analysis {
        spaces: [space.clone()].into(),
        vectors: vec![VectorRecord::new(asset(number), space, None, values)],
        completed: BTreeMap::from([(AnalyzerId::Embedding, model.clone())]),
        ..Analysis::default()
    };
    index.upsert(&analysis.vectors).await.expect("upserts");
    let run = Run { asset: asset(number), owner: "test".to_owned(), picture: None };
    let outcome = Outcome { analyzer: AnalyzerId::Embedding, model, state: OutcomeState::Done };
    store
        .record(&[Finished { run: run.clone(), analysis: analysis.clone(), outcomes: vec![outcome] }])
        .await
        .expect("records");
}

#[tokio::test]
async fn searches_ask_the_older_space_until_the_newer_is_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    // The same networks under a newer version, before the older one.
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let manifest = std::fs::read_to_string(models.join("manifest.toml")).expect("is there");
    let newer: String = manifest
        .split("[[model]]")
        .filter(|entry| entry.contains("-embedding\"") && entry.contains("joint-"))
        .map(|entry| format!("[[model]]{}", entry.replace("version = \"1\"", "version = \"2\"")))
        .collect();
    std::fs::write(folder.path().join("manifest.toml"), newer + &manifest).expect("is written");
    let pack = Arc::new(Pack::open(folder.path()).expect("opens"));

    let store = Arc::new(SqliteStore::open(&folder.path().join("ledger.sqlite")).await.expect("opens"));
    let server = QdrantServer::start();
    let index =
        Arc::new(QdrantIndex::connect(QdrantOptions::new(server.url())).expect("the options are right"));
    let options = SearchOptions {
        start: Arc::new(|| Ok(())),
        session: SessionOptions::default(),
        decode: DecodeLimits::default(),
    };
    let catalog: Arc<dyn Catalog> = Arc::clone(&store) as _;
    let search = Search::new(catalog, Arc::clone(&index) as _, pack, options);
    let nearest = async || {
        let hits = search.by_asset(&asset(0), 1, &AssetFilter::default()).await.expect("searches");
        (search.space().await.expect("there is one").to_string(), hits.hits[0].asset_id.clone())
    };

    // For the older model 1 lies beside 0, for the newer one 2 does.
    for (number, values) in [(0, [1.0, 0.0]), (1, [1.0, 0.1]), (2, [0.0, 1.0])] {
        record(&store, &*index, number, "1", values.to_vec()).await;
    }
    assert_eq!(nearest().await, ("picture/joint-vision@1".to_owned(), asset(1)));
    for (number, values) in [(0, [1.0, 0.0, 0.0]), (2, [1.0, 0.1, 0.0])] {
        record(&store, &*index, number, "2", values.to_vec()).await;
        assert_eq!(nearest().await, ("picture/joint-vision@1".to_owned(), asset(1)), "is not complete");
    }
    record(&store, &*index, 1, "2", vec![0.0, 0.0, 1.0]).await;
    assert_eq!(nearest().await, ("picture/joint-vision@2".to_owned(), asset(2)), "is complete");
}

#[test]
fn a_lost_index_is_made_anew_from_the_ledger() {
    let server = QdrantServer::start();
    let docent = Docent::new(PROGRAM);
    docent.configure(&format!(
        "[analyzers]\nenabled = ['embedding']\n[backends]\nvectors = '{}'\n",
        server.url()
    ));
    let pictures = docent.folder().join("pictures");
    let count = corpus::copy_samples(&pictures).len() as u64;
    docent.ingest(&pictures);
    let listed = || -> Vec<Value> { docent.json(["vectors", "list", "--format=json"]) };
    let find = |rows: Vec<Value>| rows.into_iter().find(|row| row["searched"] == true).expect("is searched");
    let row = find(listed());
    assert_eq!((row["ledger"].as_u64(), row["index"].as_u64()), (Some(count), Some(count)), "{row}");
    let before = docent.json(["search", "a cat", "-k", "3", "--format=json"]);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let index = QdrantIndex::connect(QdrantOptions::new(server.url())).expect("is set up");
        for space in index.spaces().await.expect("lists") {
            index.drop_space(&space).await.expect("drops");
        }
    });
    assert_eq!(find(listed())["index"], 0);
    let lost = docent.run(["search", "a cat"]).expect(2);
    assert!(lost.stderr.contains("has lost the vectors of picture/joint-vision@1"), "{}", lost.stderr);
    assert!(lost.stderr.contains("docent vectors rebuild"), "{}", lost.stderr);
    let rebuilt = docent.run(["vectors", "rebuild"]).expect(0);
    assert!(rebuilt.stderr.contains(&format!("{count} vectors written")), "{}", rebuilt.stderr);
    assert_eq!(find(listed())["index"], count);
    assert_eq!(docent.json(["search", "a cat", "-k", "3", "--format=json"]), before);

    let used = docent.run(["vectors", "drop", "picture/joint-vision@1"]).expect(2);
    assert!(used.stderr.contains("is in use") && used.stderr.contains("hint:"), "{}", used.stderr);
    let unknown = docent.run(["vectors", "drop", "picture/none@1"]).expect(2);
    assert!(unknown.stderr.contains("picture/joint-vision@1"), "{}", unknown.stderr);
}

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not so after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_index_that_refuses_stops_the_work_says_why_and_is_mended_without_a_restart() {
    const COLLECTION: &str = "docent_picture_2fjoint-vision_401";
    const PICTURES: usize = 40;
    let server = QdrantServer::start();
    server.require_key("the-right-one");
    let docent = Docent::new(PROGRAM);
    docent.configure(&format!(
        "[analyzers]\nenabled = ['tags', 'embedding']\n[backends]\nvectors = '{}'\nvectors_key = 'another'\n\
         [worker]\nlisten = '127.0.0.1:0'\n[work]\nin_flight = 2\ngathered = 1\nretry_delay_ms = 200\n",
        server.url()
    ));
    let pictures = docent.folder().join("pictures");
    corpus::write(&pictures, PICTURES, 5);
    // Nothing is tried with a wrong key, and nothing fails.
    let refused = docent.run(["ingest".as_ref(), pictures.as_os_str()]).expect(2);
    assert!(refused.stderr.contains("Invalid API key"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
    assert!(docent.failures().is_empty(), "{:?}", docent.failures());
    let worker = Worker::of(docent.start(["worker"]));
    let told = |text: &str| until(text, || worker.get("/readyz").contains(text).then_some(()));
    told("Invalid API key");
    assert!(worker.get("/readyz").starts_with("HTTP/1.1 503"));
    assert!(worker.get("/metrics").contains("docent_backend_up{backend=\"vectors\"} 0"));
    assert_eq!(server.collections(), [""; 0]);

    // With the right key there is a collection that does not fit.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = qdrant_client::Qdrant::from_url(&server.url()).api_key("the-right-one");
        let client = client.skip_compatibility_check().build().expect("a URL");
        let params = VectorParamsBuilder::new(5, Distance::Dot);
        let create = CreateCollectionBuilder::new(COLLECTION).vectors_config(params);
        client.create_collection(create).await.expect("creates");
    });
    server.require_key("another");
    told("takes vectors of 5 values");
    let failures =
        until("a failure is listed", || Some(docent.failures()).filter(|listed| !listed.is_empty()));
    // Those that were in work, and not the archive.
    assert!(failures.len() < PICTURES / 2, "{} failures", failures.len());
    for failure in &failures {
        assert_eq!(failure["analyzer"], "embedding");
        let reason = failure["reason"].as_str().expect("a text");
        assert!(reason.contains(COLLECTION) && reason.contains("takes vectors of 5 values"), "{reason}");
    }

    server.remove(COLLECTION);
    let vectors = || docent.status()["vectors"]["picture/joint-vision@1"].as_u64();
    until("everything is done", || (vectors() == Some(PICTURES as u64)).then_some(()));
    until("what failed is done again", || docent.failures().is_empty().then_some(()));
    worker.until(true);
    assert!(!worker.get("/readyz").contains("reason"));
    worker.end();
    let options = QdrantOptions { api_key: Some("another".to_owned()), ..QdrantOptions::new(server.url()) };
    let index = QdrantIndex::connect(options).expect("is set up");
    let space = VectorSpace::from_name("picture/joint-vision@1");
    assert_eq!(runtime.block_on(index.count(&space)).expect("counts"), PICTURES as u64);
}

#[test]
fn a_certificate_is_trusted_where_a_file_names_it() {
    let server = QdrantServer::start_with_tls();
    let configuration = format!("[backends]\nvectors = '{}'\n", server.url());
    let docent =
        Docent::new(PROGRAM).with_variable("SSL_CERT_FILE", tls_fixture("certificate.pem").into_os_string());
    docent.configure(&configuration);
    let listed = docent.run(["vectors", "list", "--format=json"]).expect(0).json();
    assert!(listed.iter().all(|row| row["index"] == 0), "{listed:?}");
    let stranger = Docent::new(PROGRAM);
    stranger.configure(&configuration);
    let refused = stranger.run(["vectors", "list"]).expect(2);
    assert!(refused.stderr.contains("SSL_CERT_FILE"), "{}", refused.stderr);
}

/// An index that finds assets in the order of their numbers.
struct Ranked(Vec<AssetId>);

#[async_trait]
impl VectorIndex for Ranked {
    async fn upsert(&self, _: &[VectorRecord]) -> Result<(), IndexError> {
        Ok(())
    }

    async fn search(
        &self,
        _: &VectorSpace,
        _: &[f32],
        k: usize,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError> {
        assert!(k <= 4096 && only.is_none_or(|only| only.len() <= 4096), "is bounded");
        let passing =
            self.0.iter().enumerate().filter(|(_, asset)| only.is_none_or(|only| only.contains(asset)));
        let neighbor = |(place, asset): (usize, &AssetId)| Neighbor {
            record: format!("{place:08}"),
            asset: asset.clone(),
            region: None,
            score: 1.0 / (1 + place) as f32,
        };
        Ok(passing.take(k).map(neighbor).collect())
    }

    async fn prune(&self, _: &VectorSpace, _: &[AssetId], _: &[&str]) -> Result<(), IndexError> {
        Ok(())
    }

    async fn forget(&self, _: &[AssetId]) -> Result<(), IndexError> {
        Ok(())
    }

    async fn drop_space(&self, _: &VectorSpace) -> Result<(), IndexError> {
        Ok(())
    }

    async fn count(&self, _: &VectorSpace) -> Result<u64, IndexError> {
        Ok(self.0.len() as u64)
    }

    async fn ping(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

#[tokio::test]
async fn filtered_searches_are_exact_or_say_that_they_are_not() {
    const ASSETS: usize = 14_000;
    // Of the last 4200, half of all, and one of 200: found only by looking far, at once, and by the ledger.
    let owners = |n: usize| {
        let last = (n >= ASSETS - 4200).then_some("last");
        [last, n.is_multiple_of(2).then_some("half"), n.is_multiple_of(200).then_some("few")]
            .into_iter()
            .flatten()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("ledger.sqlite")).await.expect("opens");
    let wanted = Wanted::from([(AnalyzerId::Decode, ModelRef::new("decoder", "1"))]);
    let hash = |n: usize| ContentHash::of(&n.to_le_bytes());
    for portion in (0..ASSETS).collect::<Vec<_>>().chunks(1000) {
        let files: Vec<FoundFile> = portion
            .iter()
            .flat_map(|&n| {
                let place = move |owner: &str| FoundFile {
                    uri: format!("file:///{owner}/{n}.jpg"),
                    stamp: FileStamp { bytes: 1, modified_ns: 1 },
                    hash: hash(n).into(),
                    lane: Lane::Backfill,
                    owner: Some(Owner::try_from(owner.to_owned()).expect("is a name")),
                };
                owners(n).chain(["all"]).map(place).collect::<Vec<_>>()
            })
            .collect();
        store.register(&files, &wanted).await.expect("registers");
    }
    let index = Ranked((0..ASSETS).map(|n| hash(n).asset_id()).collect());
    let space = VectorSpace::picture(&ModelRef::new("joint-vision", "1"));
    for (owner, k, found, complete) in [
        ("half", 10, 10, true),
        ("half", 1000, 1000, true),
        ("few", 20, 20, true),
        ("few", 100, 70, true),
        ("last", 10, 0, false),
        ("nobody", 10, 0, true),
    ] {
        let of = Owner::try_from(owner.to_owned()).expect("is a name");
        let filter = AssetFilter {
            place: PlaceFilter { owner: Some(of), ..PlaceFilter::default() },
            ..AssetFilter::default()
        };
        let except = hash(0).asset_id();
        for except in [None, Some(&except)] {
            let question = Question { space: &space, vector: &[1.0], k, filter: &filter, except };
            let hits = nearest(&store, &index, question).await.expect("searches");
            let expected: Vec<AssetId> = (0..ASSETS)
                .filter(|&n| owners(n).any(|name| name == owner))
                .map(|n| hash(n).asset_id())
                .filter(|asset| Some(asset) != except)
                .take(k.min(found))
                .collect();
            let missing = usize::from(except.is_some() && found == 70);
            let got: Vec<AssetId> = hits.hits.into_iter().map(|hit| hit.asset_id).collect();
            assert_eq!(got, expected[..expected.len().min(found - missing)], "{owner}, {k}");
            assert_eq!(hits.complete, complete, "{owner}, {k}");
        }
    }
}
