//! What each stage costs without a walk around it: no queue, no ledger, no vectors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use docent_models::ModelRef;
use docent_pipelines::executor::batching::Batching;
use docent_pipelines::{AnalyzerId, Pipeline};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::threads::Threads;
use crate::app::App;
use crate::assets::file_uri;
use crate::consumer::{Captioning, Seen, look_at};
use crate::progress::Cpu;

/// Processor time of the stages, per picture; 0 if there was none.
pub(super) struct Costs {
    /// Pictures that were looked at, those included that could not be decoded.
    pub pictures: u32,
    /// Decoding, in seconds.
    pub decode: f64,
    /// Resizing, normalizing, the look for text, and what the analyzers make of the answers, in seconds.
    pub prepare: f64,
    /// Each network: inputs and seconds.
    pub networks: BTreeMap<ModelRef, (f64, f64)>,
    /// How large batches may be, and what was measured for that.
    pub batching: BTreeMap<ModelRef, Batching>,
    /// Wall time from bytes to answers, in seconds, of each picture that could be decoded.
    pub latencies: Vec<f64>,
    /// What the networks ran on; several where they differ.
    pub provider: String,
}

impl Costs {
    /// All of it, in seconds, with each network at its best size of batches, and with the better number of threads, if two were
    /// tried.
    pub fn ideal(&self, threads: Option<&Threads>) -> f64 {
        let network = |(model, (_, seconds)): (&ModelRef, &(f64, f64))| {
            // Taken as if all inputs had come one by one.
            let trials = self.batching.get(model).map_or(&[][..], |batching| &batching.trials);
            let single = trials.first().map_or(1.0, |trial| trial.seconds);
            let best = trials.iter().map(|trial| trial.seconds).fold(single, f64::min);
            seconds * best / single
        };
        let all = self.decode + self.prepare + self.networks.iter().map(network).sum::<f64>();
        all * threads.map_or(1.0, Threads::gain)
    }

    /// Means of both, by their pictures, of which one may have none.
    pub fn and(mut self, other: Self) -> Self {
        let (own, its) = (f64::from(self.pictures), f64::from(other.pictures));
        let mean = |a: f64, b: f64| (a * own + b * its) / (own + its).max(1.0);
        self.decode = mean(self.decode, other.decode);
        self.prepare = mean(self.prepare, other.prepare);
        for (model, (inputs, seconds)) in other.networks {
            let known = self.networks.entry(model).or_default();
            *known = (mean(known.0, inputs), mean(known.1, seconds));
        }
        self.pictures += other.pictures;
        self.latencies.extend(other.latencies);
        self
    }
}

/// Looks at `files`, `at_once` at a time, the first of them once more beforehand: a network's first call is slower.
pub(super) async fn measure(
    app: &App,
    pipeline: &Arc<Pipeline>,
    files: &[PathBuf],
    at_once: usize,
    stop: &CancellationToken,
) -> anyhow::Result<Costs> {
    for file in files.iter().take(1) {
        look(app, pipeline, file).await?;
    }
    let before = usage(pipeline);
    let (mut sum, mut pictures, mut latencies) = (Cpu::default(), 0_u32, Vec::new());
    let looks = stream::iter(files).map(|file| look(app, pipeline, file)).buffer_unordered(at_once);
    let mut looks = pin!(looks);
    while let Some(looked) = looks.try_next().await? {
        anyhow::ensure!(!stop.is_cancelled(), "stopped before the end; nothing was measured");
        let Some((seen, latency)) = looked else { continue };
        // One that cannot be decoded costs something, too, and counts in the walk.
        sum.decode += seen.cpu.decode;
        sum.prepare += seen.cpu.prepare;
        pictures += 1;
        if seen.picture.is_some() {
            latencies.push(latency.as_secs_f64());
        }
    }
    let each = f64::from(pictures.max(1));
    let share = |total: Duration| total.as_secs_f64() / each;
    let networks = usage(pipeline).into_iter().map(|(model, (inputs, cpu))| {
        let (inputs_before, cpu_before) = before.get(&model).copied().unwrap_or_default();
        (model, ((inputs - inputs_before) as f64 / each, share(cpu.saturating_sub(cpu_before))))
    });
    let providers: BTreeSet<&str> = pipeline.providers().iter().map(|(_, name)| name.as_str()).collect();
    Ok(Costs {
        pictures,
        decode: share(sum.decode),
        prepare: share(sum.prepare),
        networks: networks.collect(),
        batching: pipeline.batching().iter().cloned().collect(),
        latencies,
        provider: providers.into_iter().collect::<Vec<_>>().join(", "),
    })
}

/// Looks at one picture with all analyzers of `pipeline`, and says how long that took from its bytes to the answers. Nothing if it
/// cannot be read.
pub(super) async fn look(
    app: &App,
    pipeline: &Arc<Pipeline>,
    file: &Path,
) -> anyhow::Result<Option<(Seen, Duration)>> {
    let Ok(bytes) = app.source().fetch(&file_uri(&std::path::absolute(file)?)).await else { return Ok(None) };
    let (runtime, pipeline) = (Handle::current(), Arc::clone(pipeline));
    let limits = app.config().decode_limits();
    let start = std::time::Instant::now();
    let seen = tokio::task::spawn_blocking(move || {
        let asset = docent_pipelines::asset::ContentHash::of(&bytes).asset_id();
        let analyzers: Vec<AnalyzerId> = pipeline.models().keys().copied().collect();
        look_at(&runtime, &pipeline, &asset, &bytes, &limits, &analyzers, Captioning::AtOnce)
    })
    .await?;
    Ok(Some((seen, start.elapsed())))
}

fn usage(pipeline: &Pipeline) -> BTreeMap<ModelRef, (u64, Duration)> {
    pipeline.usage().into_iter().map(|(model, usage)| (model, (usage.inputs, usage.cpu))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(pictures: u32, seconds: f64, inputs: f64) -> Costs {
        let networks = BTreeMap::from([(ModelRef::new("faces", "1"), (inputs, seconds))]);
        let latencies = vec![seconds; pictures as usize];
        let (decode, prepare) = (seconds, 2.0 * seconds);
        Costs {
            pictures,
            decode,
            prepare,
            networks,
            batching: BTreeMap::new(),
            latencies,
            provider: String::new(),
        }
    }

    #[test]
    fn two_halves_count_by_their_pictures() {
        let both = costs(3, 1.0, 2.0).and(costs(1, 5.0, 4.0));
        assert_eq!((both.pictures, both.decode, both.prepare), (4, 2.0, 4.0));
        assert_eq!(both.networks.values().collect::<Vec<_>>(), [&(2.5, 2.0)]);
        assert_eq!(both.latencies, [1.0, 1.0, 1.0, 5.0]);
        assert_eq!(both.ideal(None), 2.0 + 4.0 + 2.0);
        // There was nothing in one of them.
        for both in [costs(3, 1.0, 2.0).and(costs(0, 0.0, 0.0)), costs(0, 0.0, 0.0).and(costs(3, 1.0, 2.0))] {
            assert_eq!((both.pictures, both.decode, both.ideal(None)), (3, 1.0, 4.0));
        }
    }
}
