//! Pictures with suggestions, in a ledger that is filled through the store's own contract, and the program over it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use docent::assets::{FileSource, Roots, file_uri};
use docent::export::Export;
use docent::export::xmp::{Extras, Naming, Sidecars, XmpExport};
use docent::queue::Lane;
use docent::store::{
    AssetFilter, Finished, FoundFile, LeaseRequest, Outcome, OutcomeState, PictureFacts, PostgresOptions,
    PostgresStore, Run, SqliteStore, Store, Wanted,
};
use docent_models::ModelRef;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Confidence, Kind, Owner, Region, Suggestion};
use docent_tests::program::{Docent, Ended};
use docent_tests::servers::Database;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

/// Terms with broader ones, with signs that mean something elsewhere, in several scripts.
const TERMS: &str = "\
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
<http://example.org/animal> a skos:Concept ; skos:prefLabel \"animal\"@en .
<http://example.org/owl> a skos:Concept ; skos:prefLabel \"Käuzchen\"@en ; skos:broader <http://example.org/animal> .
<http://example.org/place> a skos:Concept ; skos:prefLabel \"place\"@en .
<http://example.org/quay> a skos:Concept ; skos:prefLabel \"quay/pier|dock\"@en ; skos:broader <http://example.org/place> .
<http://example.org/tower> a skos:Concept ; skos:prefLabel \"塔 & <башня>\"@en ; skos:broader <http://example.org/place> .
";

pub struct Shelf {
    pub docent: Docent,
    runtime: Runtime,
    store: Arc<dyn Store>,
    /// Of a shared ledger.
    _database: Option<Database>,
}

/// What is claimed about a picture.
pub fn says(kind: Kind, value: &str, region: Option<[f64; 4]>) -> (AnalyzerId, Claim) {
    let analyzer = match kind {
        Kind::Tag | Kind::Proposal => AnalyzerId::Tags,
        Kind::Caption | Kind::AltText => AnalyzerId::Caption,
        Kind::Object => AnalyzerId::Objects,
        Kind::Face | Kind::Emotion => AnalyzerId::Faces,
        Kind::Text => AnalyzerId::Text,
    };
    let region = region.and_then(|[x1, y1, x2, y2]| Region::from_corners(x1, y1, x2, y2));
    let confidence = Confidence::new(0.75);
    (analyzer, Claim { kind, value: value.to_owned(), confidence, region, implies: Vec::new() })
}

/// Something of each kind.
pub fn everything() -> Vec<(AnalyzerId, Claim)> {
    vec![
        says(Kind::Tag, "Käuzchen", None),
        says(Kind::Tag, "quay/pier|dock", None),
        says(Kind::Tag, "塔 & <башня>", None),
        says(Kind::Caption, "ein Kauz « auf » dem Dach & 50 %", None),
        says(Kind::AltText, "An owl on a roof.", None),
        says(Kind::Object, "bird", Some([0.5, 0.1, 0.75, 0.6])),
        says(Kind::Face, "face", Some([0.1, 0.2, 0.2, 0.4])),
        says(Kind::Text, "Grand Hôtel\n<1897>", Some([0.1, 0.8, 0.5, 0.9])),
    ]
}

/// A small picture that no other one is like.
pub fn picture(number: u8) -> Vec<u8> {
    let shade = |x: u32, y: u32| image::Rgb([(x * 2) as u8, (y * 3) as u8, number]);
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_fn(80, 60, shade);
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("memory takes any picture");
    bytes.into_inner()
}

fn wanted() -> Wanted {
    let analyzers = [
        AnalyzerId::Decode,
        AnalyzerId::Tags,
        AnalyzerId::Objects,
        AnalyzerId::Faces,
        AnalyzerId::Text,
        AnalyzerId::Caption,
    ];
    analyzers.map(|analyzer| (analyzer, ModelRef::new(format!("model-{analyzer}"), "7"))).into()
}

impl Shelf {
    /// Without pictures; the ledger is a file.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// The same with a shared ledger.
    pub fn shared() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let database = runtime.block_on(Database::new()).expect("a database");
        Self::with(Some((runtime, database)))
    }

    fn with(shared: Option<(Runtime, Database)>) -> Self {
        let docent = Docent::new(PROGRAM);
        let url = shared.as_ref().map(|(_, database)| database.url().to_owned());
        let backends = url.as_ref().map(|url| format!("[backends]\nstore = '{url}'\n")).unwrap_or_default();
        docent.configure(&format!("[vocabulary]\nstarter = false\n{backends}"));
        let terms = docent.folder().join("terms.ttl");
        std::fs::write(&terms, TERMS).expect("is written");
        docent.run(["vocabulary".as_ref(), "import".as_ref(), terms.as_os_str()]).expect(0);
        let (runtime, database) = match shared {
            Some((runtime, database)) => (runtime, Some(database)),
            None => (Runtime::new().expect("a runtime"), None),
        };
        let store: Arc<dyn Store> = match url {
            Some(url) => {
                let options = PostgresOptions { connections: 2 };
                Arc::new(runtime.block_on(PostgresStore::connect(&url, options)).expect("connects"))
            }
            None => Arc::new(
                runtime.block_on(SqliteStore::open(&docent.data().join("ledger.sqlite"))).expect("opens"),
            ),
        };
        Self { docent, runtime, store, _database: database }
    }

    /// Where a file lies.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.docent.folder().join("pictures").join(name)
    }

    /// Writes a file beside the pictures.
    pub fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("is made");
        std::fs::write(&path, bytes).expect("is written");
        path
    }

    /// Puts a picture there, with what is claimed about it.
    pub fn add(&self, name: impl AsRef<Path>, bytes: &[u8], said: Vec<(AnalyzerId, Claim)>) -> AssetId {
        self.add_for(name, bytes, said, None)
    }

    /// The same, as somebody's.
    pub fn add_for(
        &self,
        name: impl AsRef<Path>,
        bytes: &[u8],
        said: Vec<(AnalyzerId, Claim)>,
        owner: Option<&str>,
    ) -> AssetId {
        let path = self.write(name, bytes);
        let hash = docent_pipelines::Fingerprint::of(bytes);
        let stamp = docent::scanner::stamp(&std::fs::metadata(&path).expect("is there"));
        let owner = owner.map(|owner| Owner::try_from(owner.to_owned()).expect("is a name"));
        let file = FoundFile { uri: file_uri(&path), stamp, hash, lane: Lane::Backfill, owner };
        let image = docent_pipelines::Image::decode(bytes, &Default::default()).expect("is a picture");
        let facts = PictureFacts {
            orientation: image.orientation(),
            ..PictureFacts::new(image.width(), image.height(), "picture")
        };
        self.runtime.block_on(self.register(&file, facts, said));
        hash.asset_id()
    }

    async fn register(&self, file: &FoundFile, facts: PictureFacts, said: Vec<(AnalyzerId, Claim)>) {
        let wanted = wanted();
        self.store.register(std::slice::from_ref(file), &wanted).await.expect("is registered");
        let request = LeaseRequest {
            owner: "test".to_owned(),
            limit: 10,
            duration: Duration::from_secs(60),
            lane: None,
            wanted: wanted.clone(),
        };
        for job in self.store.lease(&request).await.expect("leases") {
            self.store.begin_run(&job, "test").await.expect("begins");
            let mut analysis = Analysis { completed: wanted.clone(), ..Analysis::default() };
            for (analyzer, claim) in said.clone() {
                let model = wanted[&analyzer].clone();
                analysis.suggestions.push(Suggestion::new(job.asset.clone(), analyzer, claim, model));
            }
            let done = |(analyzer, model)| Outcome { analyzer, model, state: OutcomeState::Done };
            let outcomes = wanted.clone().into_iter().map(done).collect();
            let run =
                Run { asset: job.asset.clone(), owner: "test".to_owned(), picture: Some(facts.clone()) };
            self.store.record(&[Finished { run, analysis, outcomes }]).await.expect("is recorded");
        }
    }

    /// Accepts everything that is pending.
    pub fn accept(&self) {
        self.docent.run(["accept", "--all", "--min-confidence", "0", "--as", "ada"]).expect(0);
    }

    /// Takes back what was accepted with this value, or everything.
    pub fn undo(&self, value: Option<&str>) {
        for row in self.docent.listing(&["suggestions", "--status", "accepted"]) {
            if value.is_none_or(|value| row["value"] == value) {
                let id = row["id"].as_str().expect("an id");
                let ended = self.docent.run(["undo", id, "--as", "ada"]);
                // What it implied was taken back before.
                assert!(ended.code == Some(0) || value.is_none(), "{ended:?}");
            }
        }
    }

    /// The same as a part of this process, stopped after the first sidecar.
    pub fn export_one(&self) -> Sidecars {
        let export = Export {
            store: Arc::clone(&self.store),
            filter: AssetFilter::default(),
            everything: true,
            since: None,
        };
        let export = XmpExport {
            export,
            kind: None,
            naming: Naming::Full,
            extras: Extras::default(),
            dry_run: false,
            source: Arc::new(FileSource { max_bytes: 1 << 20, ..FileSource::default() }),
            roots: Roots::default(),
        };
        let stop = CancellationToken::new();
        let take = |_| {
            stop.cancel();
            Ok(())
        };
        self.runtime.block_on(export.run(&stop, take)).expect("is written")
    }

    /// Writes sidecars.
    pub fn export(&self, args: &[&str]) -> Ended {
        self.docent.run(["export", "xmp"].iter().chain(args))
    }

    /// Writes sidecars, which must succeed, and gives what became of each, and the numbers.
    pub fn told(&self, args: &[&str]) -> (Vec<Value>, Value) {
        let mut lines = self.export(&[args, &["--format", "json"]].concat()).expect(0).json();
        let numbers = lines.pop().expect("the numbers");
        (lines, numbers)
    }
}

/// What exiftool reads in a file, without what it says of the file itself.
pub fn dump(path: &Path) -> Value {
    let mut all =
        exiftool(&["-j", "-G1", "-struct", "-x", "System:all", "-x", "ExifTool:all", "-x", "File:all"], path);
    let all = all.as_array_mut().map(|files| files.remove(0)).expect("one file");
    let mut all = all;
    all.as_object_mut().expect("an object").remove("SourceFile");
    all
}

/// Runs exiftool over a file and reads what it prints.
fn exiftool(args: &[&str], path: &Path) -> Value {
    let output = Command::new("exiftool").args(args).arg(path).output().expect("exiftool runs");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("prints JSON")
}

/// Lets exiftool write.
pub fn exiftool_writes(args: &[&str], path: &Path) {
    let output = Command::new("exiftool").args(args).arg("-overwrite_original").arg(path).output();
    let output = output.expect("exiftool runs");
    assert!(output.status.success(), "{output:?}");
}

/// Lists of texts, whether there is one or more.
pub fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}
