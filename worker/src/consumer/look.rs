//! Looking at one asset's bytes: fetch, decode, analyze. Never fails; what goes wrong is part of the analysis.

use std::io;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::executor::panic_message;
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::pipeline::{Uncaptioned, decoder};
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Failure, FailureKind, Image, Pipeline};
use tokio::runtime::Handle;

use crate::assets::{AssetSource, FetchError};
use crate::disposition;
use crate::progress::Cpu;

/// What is known of an asset after looking at its bytes.
pub(crate) struct Seen {
    /// Upright width and height, and the format, once decoded.
    pub picture: Option<(u32, u32, &'static str)>,
    pub analysis: Analysis,
    /// What its caption is to be made from, if that was left for later.
    pub uncaptioned: Option<Uncaptioned>,
    pub cpu: Cpu,
}

impl Seen {
    pub(crate) fn failed(failure: Failure) -> Self {
        let analysis = Analysis { failures: vec![failure], ..Analysis::default() };
        Self { picture: None, analysis, uncaptioned: None, cpu: Cpu::default() }
    }
}

/// The bytes at `uri`. A network drive that is gone may never answer; that must not hold up anything else.
pub(super) async fn fetch_within(
    source: &dyn AssetSource,
    uri: &str,
    limit: Duration,
) -> Result<Vec<u8>, FetchError> {
    tokio::time::timeout(limit, source.fetch(uri)).await.unwrap_or_else(|_| {
        let reason = format!("no answer after {} s (work.timeout_seconds)", limit.as_secs());
        Err(FetchError::Unavailable {
            uri: uri.to_owned(),
            source: io::Error::new(io::ErrorKind::TimedOut, reason),
        })
    })
}

/// The bytes of `asset` from the first of `uris` that still has them.
pub(super) async fn fetch(
    source: &dyn AssetSource,
    asset: &AssetId,
    uris: &[String],
    limit: Duration,
) -> Result<Vec<u8>, Failure> {
    let mut last = None;
    for uri in uris {
        match fetch_within(source, uri, limit).await {
            Ok(bytes) if ContentHash::of(&bytes).asset_id() == *asset => return Ok(bytes),
            Ok(_) => {
                last = Some(Failure {
                    analyzer: AnalyzerId::Decode,
                    kind: FailureKind::Permanent,
                    reason: format!("fetch {uri}: changed since it was registered; ingest it again"),
                });
            }
            Err(error @ FetchError::Unavailable { .. }) => return Err(disposition::of_fetch(&error)),
            Err(error) => last = Some(disposition::of_fetch(&error)),
        }
    }
    Err(last.unwrap_or_else(|| Failure {
        analyzer: AnalyzerId::Decode,
        kind: FailureKind::Permanent,
        reason: "fetch: the asset has no place any more".to_owned(),
    }))
}

/// When a picture is captioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Captioning {
    /// While the other analyzers look at it.
    AtOnce,
    /// By somebody else, together with other pictures.
    Later,
}

/// Decodes `bytes` once and lets the analyzers look at the picture, on the calling thread.
/// Keeps that thread busy; `runtime` only waits for the networks' answers.
pub(crate) fn look_at(
    runtime: &Handle,
    pipeline: &Pipeline,
    asset: &AssetId,
    bytes: &[u8],
    limits: &DecodeLimits,
    wanted: &[AnalyzerId],
    captioning: Captioning,
) -> Seen {
    let (start, thread) = (Instant::now(), ThreadTime::now());
    // What cannot be decoded costs something, too.
    let failed = |reason| {
        let failure = Failure { analyzer: AnalyzerId::Decode, kind: FailureKind::Permanent, reason };
        Seen { cpu: Cpu { decode: thread.elapsed(), ..Cpu::default() }, ..Seen::failed(failure) }
    };
    let image = match catch_unwind(|| Image::decode(bytes, limits)) {
        Ok(Ok(image)) => image,
        Ok(Err(error)) => return failed(error.to_string()),
        Err(panic) => return failed(format!("the decoder crashed: {}", panic_message(panic.as_ref()))),
    };
    let decoded = start.elapsed();
    let decode = thread.elapsed();
    let (mut analysis, uncaptioned) = match captioning {
        Captioning::AtOnce => (runtime.block_on(pipeline.analyze(asset, &image, wanted)), None),
        Captioning::Later => runtime.block_on(pipeline.analyze_but_caption(asset, &image, wanted)),
    };
    analysis.timings.insert(AnalyzerId::Decode.as_str(), decoded);
    analysis.completed.insert(AnalyzerId::Decode, decoder());
    let cpu = Cpu { decode, prepare: thread.elapsed().saturating_sub(decode) };
    let picture = Some((image.width(), image.height(), image.format().as_str()));
    Seen { picture, analysis, uncaptioned, cpu }
}
