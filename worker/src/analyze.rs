//! Analyzes files without a ledger.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use docent_models::{ModelRef, Pack};
use docent_pipelines::image::is_candidate;
use docent_pipelines::pipeline::Watch;
use docent_pipelines::{AnalyzerId, Failure, FailureKind, Fingerprint, Kind, Region};
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use crate::app::load_pipeline;
use crate::assets::{AssetSource, FileSource, file_uri};
use crate::config::{Assets, Config};
use crate::consumer::{AnalyzeOptions, Analyzed, analyze_bytes};
use crate::disposition;

/// What `docent analyze` prints for one file.
#[derive(Debug, Clone, Serialize)]
pub struct AnalyzedAsset {
    /// Where it lies.
    pub uri: String,
    /// BLAKE3 of its bytes; `None` if they could not be read.
    pub content_hash: Option<String>,
    /// Upright width in pixels, if it could be decoded.
    pub width: Option<u32>,
    /// Upright height in pixels, if it could be decoded.
    pub height: Option<u32>,
    /// What is wrong with the file although its picture is whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerated: Vec<&'static str>,
    /// What the analyzers say.
    pub suggestions: Vec<AnalyzedSuggestion>,
    /// The embeddings they computed.
    pub vectors: Vec<AnalyzedVector>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// Wall time of decoding and of each analyzer, side by side, in milliseconds.
    pub timings_ms: BTreeMap<&'static str, f64>,
}

/// One suggestion, without ledger.
#[derive(Debug, Clone, Serialize)]
pub struct AnalyzedSuggestion {
    /// What it is about.
    pub kind: Kind,
    /// What it says.
    pub value: String,
    /// 0..=1.
    pub confidence: f64,
    /// Where in the picture.
    pub region: Option<Region>,
    /// Who says so.
    pub model: ModelRef,
}

/// One vector.
#[derive(Debug, Clone, Serialize)]
pub struct AnalyzedVector {
    /// Its space.
    pub space: String,
    /// Its dimensions.
    pub dim: usize,
    /// The part of the picture it describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Its values, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f32>>,
}

/// What to analyze, and how much to print.
#[derive(Debug, Clone)]
pub struct AnalyzeRequest {
    /// Files, and folders whose pictures are taken in the order of their names.
    pub paths: Vec<PathBuf>,
    /// Only these analyzers.
    pub only: Option<Vec<AnalyzerId>>,
    /// With the vectors' values.
    pub with_vectors: bool,
}

/// Analyzes `request`'s files, several at once, and gives each result to `sink` in the order of the files.
/// `sink` answers whether to go on. Files named directly are always analyzed, files in folders only if they are, or
/// should be, pictures.
pub async fn analyze_paths(
    config: &Config,
    request: AnalyzeRequest,
    stop: &CancellationToken,
    mut sink: impl FnMut(AnalyzedAsset) -> bool,
) -> anyhow::Result<()> {
    let pack = Arc::new(Pack::open(&config.models_dir)?);
    let analyzers = request.only.unwrap_or_else(|| config.analyzers.enabled.clone());
    let pipeline = Arc::new(load_pipeline(config, pack, analyzers.clone()).await?);
    let source = FileSource { max_bytes: config.assets.max_bytes, ..FileSource::default() };
    let limits = config.decode_limits();
    let runtime = Handle::current();
    let turns = Arc::new(Semaphore::new(config.in_flight()));
    let results = stream::iter(request.paths)
        .flat_map(|path| stream::iter(files(path, &config.assets)))
        .map(|path| {
            let (pipeline, limits, runtime) = (Arc::clone(&pipeline), limits.clone(), runtime.clone());
            let (analyzers, source, turns) = (analyzers.clone(), source.clone(), Arc::clone(&turns));
            async move {
                let uri = file_uri(&path);
                let bytes = match source.fetch(&uri).await {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        return report(uri, None, Analyzed::failed(disposition::of_fetch(&error)), false);
                    }
                };
                let hash = Fingerprint::of(&bytes);
                let _turn = turns.acquire().await.expect("the semaphore is never closed");
                let looked = tokio::task::spawn_blocking(move || {
                    let options = AnalyzeOptions {
                        pipeline: &pipeline,
                        limits: &limits,
                        wanted: &analyzers,
                        watch: &Watch::default(),
                    };
                    analyze_bytes(&runtime, &hash.asset_id(), &bytes, &options)
                });
                let seen = looked.await.unwrap_or_else(|error| {
                    Analyzed::failed(Failure {
                        analyzer: AnalyzerId::Decode,
                        kind: FailureKind::Transient,
                        reason: format!("analyze: {error}"),
                    })
                });
                report(uri, Some(hash), seen, request.with_vectors)
            }
        })
        .buffered(config.places());
    tokio::pin!(results);
    while let Some(asset) =
        tokio::select! { biased; () = stop.cancelled() => None, next = results.next() => next }
    {
        if !sink(asset) {
            break;
        }
    }
    Ok(())
}

/// The file itself, or the pictures in the folder, but for what scans leave out.
fn files(path: PathBuf, options: &Assets) -> Box<dyn Iterator<Item = PathBuf> + Send> {
    if !path.is_dir() {
        return Box::new(std::iter::once(path));
    }
    let walk = WalkDir::new(&path).follow_links(options.follow_symlinks).sort_by_file_name().into_iter();
    let ignored = options.ignore.clone();
    let visible = move |entry: &walkdir::DirEntry| {
        let inside = entry.path().strip_prefix(&path).unwrap_or(entry.path());
        entry.depth() == 0 || ignored.rule(entry.path(), inside, entry.file_type().is_dir()).is_none()
    };
    Box::new(
        walk.filter_entry(visible)
            .filter_map(|entry| entry.inspect_err(|error| tracing::warn!(%error, "cannot be read")).ok())
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .filter(|path| {
                let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
                // What cannot be opened is reported when it is fetched.
                crate::scanner::head(path).map_or(true, |head| is_candidate(&head, extension.as_deref()))
            }),
    )
}

fn report(uri: String, hash: Option<Fingerprint>, seen: Analyzed, with_vectors: bool) -> AnalyzedAsset {
    let Analyzed { picture, analysis, .. } = seen;
    AnalyzedAsset {
        uri,
        content_hash: hash.map(|hash| hash.bytes.to_hex()),
        width: picture.as_ref().map(|picture| picture.width),
        height: picture.as_ref().map(|picture| picture.height),
        tolerated: picture.map(|picture| picture.tolerated).unwrap_or_default(),
        suggestions: analysis
            .suggestions
            .into_iter()
            .map(|s| AnalyzedSuggestion {
                kind: s.kind,
                value: s.value,
                confidence: s.confidence.value(),
                region: s.region,
                model: s.model,
            })
            .collect(),
        vectors: analysis
            .vectors
            .into_iter()
            .map(|v| AnalyzedVector {
                space: v.space.to_string(),
                dim: v.values.len(),
                region: v.region,
                values: with_vectors.then_some(v.values),
            })
            .collect(),
        failures: analysis.failures,
        timings_ms: analysis.timings.iter().map(|(stage, t)| (*stage, t.as_secs_f64() * 1e3)).collect(),
    }
}
