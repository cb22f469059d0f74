//! Decodes and analyzes one asset's bytes. Never fails: errors are part of the analysis.

use std::collections::HashMap;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use docent_pipelines::executor::panic_message;
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::pipeline::{Overdue, Watch, decoder};
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Failure, FailureKind, Image, Late, Pipeline};
use tokio::runtime::Handle;

use super::Walk;
use super::places::Occupied;
use crate::progress::Cpu;
use crate::queue::AnalyzeAsset;
use crate::store::PictureFacts;

/// What is known of an asset after its bytes were analyzed.
pub(crate) struct Analyzed {
    /// What is known of the picture, once decoded.
    pub picture: Option<PictureFacts>,
    pub analysis: Analysis,
    pub cpu: Cpu,
}

impl Analyzed {
    pub(crate) fn failed(failure: Failure) -> Self {
        let analysis = Analysis { failures: vec![failure], ..Analysis::default() };
        Self { picture: None, analysis, cpu: Cpu::default() }
    }
}

/// How a picture is analyzed.
pub(crate) struct AnalyzeOptions<'a> {
    /// What analyzes it.
    pub pipeline: &'a Pipeline,
    /// Limits of the decoder.
    pub limits: &'a DecodeLimits,
    pub wanted: &'a [AnalyzerId],
    /// Watches the picture, and limits the time of each step.
    pub watch: &'a Watch,
}

/// Decodes `bytes` once and runs the analyzers, on the calling thread. Keeps that thread busy; `runtime` only waits for the
/// networks' answers.
pub(crate) fn analyze_bytes(
    runtime: &Handle,
    asset: &AssetId,
    bytes: &[u8],
    options: &AnalyzeOptions<'_>,
) -> Analyzed {
    let AnalyzeOptions { pipeline, limits, wanted, watch } = *options;
    let (start, thread) = (Instant::now(), ThreadTime::now());
    // What cannot be decoded costs something, too.
    let failed = |reason| {
        let failure = Failure { analyzer: AnalyzerId::Decode, kind: FailureKind::Permanent, reason };
        Analyzed { cpu: Cpu { decode: thread.elapsed(), ..Cpu::default() }, ..Analyzed::failed(failure) }
    };
    let image = match watch.step(AnalyzerId::Decode, || catch_unwind(|| Image::decode(bytes, limits))) {
        Ok(Ok(image)) => image,
        Ok(Err(error)) => return failed(error.to_string()),
        Err(panic) => return failed(format!("the decoder crashed: {}", panic_message(panic.as_ref()))),
    };
    let decoded = start.elapsed();
    let decode = thread.elapsed();
    let mut analysis = runtime.block_on(pipeline.analyze_watched(asset, &image, wanted, watch));
    analysis.timings.insert(AnalyzerId::Decode.as_str(), decoded);
    analysis.completed.insert(AnalyzerId::Decode, decoder());
    let cpu = Cpu { decode, prepare: thread.elapsed().saturating_sub(decode) };
    let tolerated = image.tolerated().iter().map(|fault| fault.as_str()).collect();
    let (width, height, format) = (image.width(), image.height(), image.format().as_str());
    let orientation = image.orientation();
    let picture = Some(PictureFacts { width, height, format, tolerated, orientation });
    Analyzed { picture, analysis, cpu }
}

/// The pictures that took too long and are still in progress.
#[derive(Default)]
pub(super) struct StillAtIt(Mutex<HashMap<AssetId, Endless>>);

/// A picture that is still in progress, and its steps that took too long.
struct Endless {
    occupied: Weak<Occupied>,
    steps: Vec<(Failure, Duration)>,
}

impl StillAtIt {
    /// What an attempt at `wanted` comes to while an earlier one is still at the picture: nothing if none is.
    fn again(&self, asset: &AssetId, wanted: &[AnalyzerId]) -> Option<Analyzed> {
        let pictures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let endless = pictures.get(asset).filter(|endless| endless.occupied.strong_count() > 0)?;
        // Without its pixels nothing else can be done.
        let decoding = [AnalyzerId::Decode];
        let wanted = if wanted.contains(&AnalyzerId::Decode) { &decoding } else { wanted };
        let mut analysis = Analysis::default();
        for &analyzer in wanted {
            let own = endless.steps.iter().find(|(failure, _)| failure.analyzer == analyzer);
            let (failure, limit) = own.or(endless.steps.first())?;
            analysis.failures.push(Failure { analyzer, ..failure.clone() });
            analysis.late.insert(analyzer, Late::Overdue(*limit));
        }
        Some(Analyzed { picture: None, analysis, cpu: Cpu::default() })
    }

    fn add(&self, asset: &AssetId, occupied: &Arc<Occupied>, analysis: &Analysis) {
        let steps =
            analysis.failures.iter().filter_map(|failure| match analysis.late.get(&failure.analyzer)? {
                Late::Overdue(limit) => Some((failure.clone(), *limit)),
                Late::Starved => None,
            });
        let endless = Endless { occupied: Arc::downgrade(occupied), steps: steps.collect() };
        let mut pictures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pictures.retain(|_, endless| endless.occupied.strong_count() > 0);
        pictures.insert(asset.clone(), endless);
    }
}

impl Walk {
    /// Decodes and analyzes. Never fails: errors are part of the analysis. Steps that still work on the picture when this ends
    /// keep `occupied`.
    pub(super) async fn analyze(
        &self,
        job: &AnalyzeAsset,
        bytes: Vec<u8>,
        wanted: Vec<AnalyzerId>,
        occupied: &Arc<Occupied>,
    ) -> Analyzed {
        // A second thread at it would take a second place, and be no faster.
        if let Some(seen) = occupied.still_at_it().again(&job.asset, &wanted) {
            return seen;
        }
        let watch = Arc::new(Watch::new(&self.options.step_times(), occupied));
        let mut work = {
            let (asset, limits, pipeline) =
                (job.asset.clone(), self.options.decode.clone(), Arc::clone(&self.pipeline));
            let (runtime, watch, occupied) = (Handle::current(), Arc::clone(&watch), Arc::clone(occupied));
            let wanted = wanted.clone();
            tokio::task::spawn_blocking(move || {
                let options =
                    AnalyzeOptions { pipeline: &pipeline, limits: &limits, wanted: &wanted, watch: &watch };
                let seen = analyze_bytes(&runtime, &asset, &bytes, &options);
                drop(occupied);
                seen
            })
        };
        let seen = loop {
            let due = watch.due().unwrap_or_else(|| Instant::now() + self.options.timeout);
            tokio::select! {
                biased;
                seen = &mut work => break seen.unwrap_or_else(|error| {
                    let (kind, reason) = (FailureKind::Transient, format!("analyze: {error}"));
                    Analyzed::failed(Failure { analyzer: AnalyzerId::Decode, kind, reason })
                }),
                () = tokio::time::sleep_until(due.into()) => {}
            }
            if let Some(overdue) = watch.overdue() {
                break self.abandon(&job.asset, &wanted, &watch, &overdue);
            }
        };
        let is_late = seen.analysis.late.values().any(|late| matches!(late, Late::Overdue(_)));
        if is_late && occupied.took_too_long() {
            tracing::warn!(asset = %job.asset, "a picture took too long and keeps its place until it has come to an end");
            occupied.still_at_it().add(&job.asset, occupied, &seen.analysis);
        }
        seen
    }

    /// What is known of a picture whose thread is in a step that does not end.
    fn abandon(&self, asset: &AssetId, wanted: &[AnalyzerId], watch: &Watch, overdue: &Overdue) -> Analyzed {
        let is_decoded = overdue.analyzer != AnalyzerId::Decode;
        // Without its pixels nothing else can be done.
        let left: Vec<AnalyzerId> = match is_decoded {
            true => wanted.iter().copied().filter(|&id| id != AnalyzerId::Decode).collect(),
            false => vec![AnalyzerId::Decode],
        };
        let mut analysis = self.pipeline.abandon(asset, &left, watch, overdue);
        if is_decoded {
            analysis.completed.insert(AnalyzerId::Decode, decoder());
        }
        Analyzed { picture: None, analysis, cpu: Cpu::default() }
    }
}
