//! A small archive in a real ledger, filled through the store's own contract, and the API over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use docent::app::LedgerVectors;
use docent::assets::{FileSource, file_uri};
use docent::forget::Forgetter;
use docent::http::{AppState, Options, Ports, Searcher, serve};
use docent::queue::Lane;
use docent::search::{Hit, Hits, SearchError};
use docent::store::{
    AssetFilter, Catalog, FileStamp, Finished, FoundFile, LeaseRequest, Ledger, Outcome, OutcomeState, Page,
    PictureFacts, Reviews, Run, SqliteStore, Store, SuggestionFilter, SuggestionRow, Wanted,
};
use docent::vectors::EmbeddedIndex;
use docent_models::ModelRef;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{
    Analysis, AnalyzerId, AssetId, Confidence, DecodeLimits, Failure, FailureKind, Fingerprint, Kind, Owner,
    Region, Status, Suggestion,
};
use tempfile::TempDir;

/// Pictures of the archive, the first registered first, and therefore listed last.
pub const PICTURES: [&str; 4] = ["coffee.jpg", "china.jpg", "chelsea.jpg", "astronaut.jpg"];
/// A file that is no picture.
pub const BROKEN: &str = "broken.jpg";
/// A token for archives that ask for one.
pub const TOKEN: &str = "a-token-of-sufficient-length";
/// What a hostile file may hold.
pub const HOSTILE: &str = "<img src=x onerror=\"document.title='broken in'\"> NASA";

/// The archive.
pub struct Archive {
    pub folder: TempDir,
    pub store: Arc<SqliteStore>,
    pub assets: BTreeMap<String, AssetId>,
}

/// A searcher without networks: a file's name is what it shows.
struct ByName(Arc<SqliteStore>);

#[async_trait]
impl Searcher for ByName {
    async fn by_words(&self, words: &str, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError> {
        if words == "fail" {
            return Err(SearchError::Model("a secret of the machine".to_owned()));
        }
        let mut hits = hits(&self.0, filter).await?;
        hits.retain(|hit| hit.uri.contains(words));
        hits.truncate(k);
        Ok(hits.into())
    }

    async fn languages(&self) -> Result<Vec<String>, SearchError> {
        Ok(vec!["en".to_owned()])
    }

    async fn by_asset(&self, asset: &AssetId, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError> {
        let mut hits = hits(&self.0, filter).await?;
        hits.retain(|hit| hit.asset_id != *asset);
        hits.truncate(k);
        Ok(hits.into())
    }

    async fn ping(&self) -> Result<(), SearchError> {
        Ok(())
    }
}

async fn hits(store: &SqliteStore, filter: &AssetFilter) -> Result<Vec<Hit>, SearchError> {
    let rows = store.list_assets(filter, &Page { limit: 100, after: None }).await?.rows;
    Ok(rows
        .into_iter()
        .enumerate()
        .map(|(place, row)| Hit {
            asset_id: row.asset_id,
            uri: row.uris[0].clone(),
            score: 0.9 - 0.1 * place as f32,
        })
        .collect())
}

/// The models the archive's suggestions come from.
pub fn wanted() -> Wanted {
    let model = |id: &str| ModelRef::new(id, "1");
    Wanted::from([
        (AnalyzerId::Decode, model("decoder")),
        (AnalyzerId::Tags, model("tagger")),
        (AnalyzerId::Objects, model("detector")),
        (AnalyzerId::Faces, model("faces")),
        (AnalyzerId::Text, model("reader")),
        (AnalyzerId::Caption, model("captioner")),
    ])
}

/// Something that is claimed about a picture, and by which analyzer.
pub type Said = (AnalyzerId, Claim);

/// A picture that is made up.
pub struct Made {
    pub name: String,
    pub size: (u32, u32),
    pub modified_ns: i64,
    pub said: Vec<Said>,
}

/// A small picture that is made up.
pub fn made(name: &str, said: Vec<Said>) -> Made {
    Made { name: name.to_owned(), size: (120, 80), modified_ns: 0, said }
}

/// A tag, and what it implies.
pub fn tag(value: &str, confidence: f64, implies: &[&str]) -> Said {
    let implies = implies.iter().map(|tag| (*tag).to_owned()).collect();
    (AnalyzerId::Tags, Claim { implies, ..claim(Kind::Tag, value, confidence, None) })
}

/// A thing, from its left upper corner to the right lower one.
pub fn object(value: &str, confidence: f64, region: [f64; 4]) -> Said {
    (AnalyzerId::Objects, claim(Kind::Object, value, confidence, Some(region)))
}

fn claim(kind: Kind, value: &str, confidence: f64, region: Option<[f64; 4]>) -> Claim {
    Claim {
        kind,
        value: value.to_owned(),
        confidence: Confidence::new(confidence),
        region: region.and_then(|[x1, y1, x2, y2]| Region::from_corners(x1, y1, x2, y2)),
        implies: Vec::new(),
    }
}

fn claims(name: &str) -> Vec<Said> {
    let tag = |value, confidence| tag(value, confidence, &[]);
    match name {
        "astronaut.jpg" => vec![
            (AnalyzerId::Caption, claim(Kind::Caption, "a woman in an orange suit", 0.41, None)),
            tag("person", 0.95),
            tag("space suit", 0.74),
            tag("uniform", 0.31),
            (AnalyzerId::Objects, claim(Kind::Object, "person", 0.92, Some([0.02, 0.04, 0.98, 1.0]))),
            (AnalyzerId::Faces, claim(Kind::Face, "face", 0.99, Some([0.35, 0.13, 0.55, 0.4]))),
            (AnalyzerId::Text, claim(Kind::Text, HOSTILE, 0.66, Some([0.5, 0.8, 0.75, 0.9]))),
        ],
        "chelsea.jpg" => vec![
            tag("cat", 0.97),
            tag("animal", 0.98),
            (AnalyzerId::Objects, claim(Kind::Object, "cat", 0.88, Some([0.1, 0.0, 0.9, 1.0]))),
        ],
        "china.jpg" => vec![tag("temple", 0.81), tag("building", 0.9)],
        _ => vec![tag("coffee", 0.93)],
    }
}

impl Archive {
    /// An archive without pictures.
    pub async fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("ledger.sqlite")).await.expect("the ledger opens");
        Self { folder, store: Arc::new(store), assets: BTreeMap::new() }
    }

    /// Four pictures with suggestions, and a file that cannot be decoded.
    pub async fn with_pictures() -> Self {
        let mut archive = Self::empty().await;
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures");
        std::fs::write(archive.path(BROKEN), b"\xff\xd8\xff and no more").expect("is written");
        archive.add(BROKEN, 0, Vec::new()).await;
        for name in PICTURES {
            std::fs::copy(fixtures.join(name), archive.path(name)).expect("the fixture is there");
            archive.add(name, 0, claims(name)).await;
        }
        archive
    }

    /// An archive with pictures that are made up, the first registered first.
    pub async fn with_made(pictures: Vec<Made>) -> Self {
        let mut archive = Self::empty().await;
        for (number, Made { name, size, modified_ns, said }) in pictures.into_iter().enumerate() {
            let shade = |x: u32, y: u32| image::Rgb([(x * 2) as u8, (y * 3) as u8, (number * 37) as u8]);
            let path = archive.path(&name);
            std::fs::create_dir_all(path.parent().expect("has a folder")).expect("is made");
            image::RgbImage::from_fn(size.0, size.1, shade).save(path).expect("is written");
            archive.add(&name, modified_ns, said).await;
        }
        archive
    }

    /// Where a file of the archive lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Registers a file and records what is claimed about it, as a walk would.
    async fn add(&mut self, name: &str, modified_ns: i64, said: Vec<Said>) {
        let bytes = std::fs::read(self.path(name)).expect("the file is there");
        let hash = Fingerprint::of(&bytes);
        let file = FoundFile {
            uri: file_uri(&self.path(name)),
            stamp: FileStamp { bytes: bytes.len() as u64, modified_ns },
            hash,
            lane: Lane::Backfill,
            // One of them is somebody's.
            owner: (name == "china.jpg")
                .then(|| Owner::try_from("harbor museum".to_owned()).expect("is a name")),
        };
        let wanted = wanted();
        self.store.register(&[file], &wanted).await.expect("is registered");
        let request = LeaseRequest {
            owner: "test".to_owned(),
            limit: 10,
            duration: Duration::from_secs(60),
            lane: None,
            wanted: wanted.clone(),
        };
        for job in self.store.lease(&request).await.expect("leases") {
            self.store.begin_run(&job, "test").await.expect("begins");
            self.record(name, &job.asset, said.clone()).await;
        }
        self.assets.insert(name.to_owned(), hash.asset_id());
    }

    async fn record(&self, name: &str, asset: &AssetId, said: Vec<Said>) {
        let (wanted, mut analysis) = (wanted(), Analysis::default());
        let mut outcomes = Vec::new();
        if name == BROKEN {
            let failure = Failure {
                analyzer: AnalyzerId::Decode,
                kind: FailureKind::Permanent,
                reason: "decode jpeg: the file is cut off".to_owned(),
            };
            outcomes.push(Outcome {
                analyzer: AnalyzerId::Decode,
                model: wanted[&AnalyzerId::Decode].clone(),
                state: OutcomeState::Failed { failure: failure.clone() },
            });
            analysis.failures.push(failure);
        } else {
            for (analyzer, model) in wanted.clone() {
                analysis.completed.insert(analyzer, model.clone());
                outcomes.push(Outcome { analyzer, model, state: OutcomeState::Done });
            }
            for (analyzer, claim) in said {
                let model = wanted[&analyzer].clone();
                analysis.suggestions.push(Suggestion::new(asset.clone(), analyzer, claim, model));
            }
        }
        let size = image::image_dimensions(self.path(name)).ok();
        let run = Run {
            asset: asset.clone(),
            owner: "test".to_owned(),
            picture: size.map(|(width, height)| PictureFacts::new(width, height, "jpeg")),
        };
        self.store
            .record(&[Finished { run: run.clone(), analysis: analysis.clone(), outcomes: outcomes.clone() }])
            .await
            .expect("is recorded");
    }

    /// The API over the archive.
    pub fn state(&self, token: Option<&str>) -> AppState {
        AppState::new(self.ports(), Options { token: token.map(str::to_owned), ..self.options() })
    }

    /// What the API works with.
    pub fn ports(&self) -> Ports {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let index = Arc::new(EmbeddedIndex::new(Arc::new(LedgerVectors(Arc::clone(&store)))));
        Ports {
            forgetter: Arc::new(Forgetter::new(store, index, None)),
            store: Arc::clone(&self.store) as _,
            search: Arc::new(ByName(Arc::clone(&self.store))),
            source: Arc::new(FileSource { max_bytes: 10_000_000, ..FileSource::default() }),
            terms: None,
            uploads: None,
        }
    }

    /// The API as it is on one machine.
    pub fn options(&self) -> Options {
        Options {
            token: None,
            hosts: Vec::new(),
            reviewer: "archivist".to_owned(),
            decode: DecodeLimits::default(),
            cache_bytes: 1 << 20,
            wanted: wanted(),
            roots: docent::assets::Roots::default(),
            wake: Arc::default(),
            metrics: None,
        }
    }

    /// Serves the archive on a free port of loopback; answers the address of the page.
    pub async fn serve(&self, token: Option<&str>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("has an address");
        tokio::spawn(serve(listener, self.state(token), std::future::pending()));
        format!("http://{address}/")
    }

    /// What waits for a decision.
    pub async fn pending(&self) -> u64 {
        let filter = SuggestionFilter { status: Some(Status::Pending), ..SuggestionFilter::default() };
        self.store.count_suggestions(&filter).await.expect("counts").count
    }

    /// Everything that is said about a picture.
    pub async fn everything(&self, name: &str) -> Vec<SuggestionRow> {
        let filter =
            SuggestionFilter { asset: Some(self.assets[name].clone()), ..SuggestionFilter::default() };
        self.store.suggestions(&filter, &Page { limit: 1000, after: None }).await.expect("lists").rows
    }

    /// The suggestion of a picture with this value.
    pub async fn suggestion(&self, name: &str, value: &str) -> SuggestionRow {
        let filter = SuggestionFilter {
            asset: Some(self.assets[name].clone()),
            value: Some(value.to_owned()),
            ..SuggestionFilter::default()
        };
        let page = Page { limit: 10, after: None };
        self.store.suggestions(&filter, &page).await.expect("lists").rows.remove(0)
    }
}
