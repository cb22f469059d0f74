//! What each stage costs without a walk around it: no queue, no ledger, no vectors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use docent_models::ModelRef;
use docent_pipelines::pipeline::Watch;
use docent_pipelines::{AnalyzerId, Pipeline};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::threads::Threads;
use crate::app::App;
use crate::assets::file_uri;
use crate::consumer::{AnalyzeOptions, Analyzed, analyze_bytes};
use crate::progress::Cpu;

/// Each core's pictures in the busy pass, at least.
const ROUNDS: usize = 8;

/// Processor time of the stages, per picture; 0 if there was none.
pub(super) struct Costs {
    /// Pictures that were looked at, those included that could not be decoded.
    pub pictures: u32,
    /// Decoding, in seconds.
    pub decode: f64,
    /// Resizing, normalizing, the look for text, and what the analyzers make of the answers, in seconds.
    pub prepare: f64,
    /// What each network took.
    pub networks: BTreeMap<ModelRef, Cost>,
    /// Most inputs in a call of each network.
    pub max_batches: BTreeMap<ModelRef, usize>,
    /// Wall time from bytes to answers, in seconds, of each picture that could be decoded.
    pub latencies: Vec<f64>,
    /// What the networks ran on; several where they differ.
    pub provider: String,
}

/// What a network took, per picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    pub inputs: f64,
    pub calls: f64,
    /// Of processor time.
    pub seconds: f64,
}

impl Costs {
    /// All of it, in seconds, with the better number of threads, if two were tried.
    pub fn ideal(&self, threads: Option<&Threads>) -> f64 {
        let networks: f64 = self.networks.values().map(|cost| cost.seconds).sum();
        let all = self.decode + self.prepare + networks;
        all * threads.map_or(1.0, Threads::gain)
    }

    /// Means of both, by their pictures, of which one may have none.
    pub fn and(mut self, other: Self) -> Self {
        let (own, its) = (f64::from(self.pictures), f64::from(other.pictures));
        let mean = |a: f64, b: f64| (a * own + b * its) / (own + its).max(1.0);
        self.decode = mean(self.decode, other.decode);
        self.prepare = mean(self.prepare, other.prepare);
        for (model, cost) in other.networks {
            let known = self.networks.entry(model).or_default();
            *known = Cost {
                inputs: mean(known.inputs, cost.inputs),
                calls: mean(known.calls, cost.calls),
                seconds: mean(known.seconds, cost.seconds),
            };
        }
        self.pictures += other.pictures;
        self.latencies.extend(other.latencies);
        self
    }
}

/// What looks at pictures add up to.
#[derive(Default)]
struct Sum {
    pictures: u32,
    cpu: Cpu,
    /// In seconds.
    latencies: Vec<f64>,
}

impl Sum {
    /// Those that cannot be decoded count in the walk, too, but say nothing of how long an answer takes.
    fn add(&mut self, seen: &Analyzed, latency: Duration) {
        self.pictures += 1;
        self.cpu.decode += seen.cpu.decode;
        self.cpu.prepare += seen.cpu.prepare;
        if seen.picture.is_some() {
            self.latencies.push(latency.as_secs_f64());
        }
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
    let before = pipeline.usage().into_iter().collect::<BTreeMap<_, _>>();
    let mut sum = Sum::default();
    // Few files for many cores are looked at several times: at their end some cores have nothing to do.
    let rounds = if at_once > 1 { (ROUNDS * at_once).div_ceil(files.len().max(1)) } else { 1 };
    let looks = stream::iter((0..rounds).flat_map(|_| files)).map(|file| look(app, pipeline, file));
    let mut looks = pin!(looks.buffer_unordered(at_once));
    while let Some(looked) = looks.try_next().await? {
        anyhow::ensure!(!stop.is_cancelled(), "stopped before the end; nothing was measured");
        if let Some((seen, latency)) = looked {
            sum.add(&seen, latency);
        }
    }
    let Sum { pictures, cpu, latencies } = sum;
    let each = f64::from(pictures.max(1));
    let networks = pipeline.usage().into_iter().map(|(model, usage)| {
        let before = before.get(&model).copied().unwrap_or_default();
        let cost = Cost {
            inputs: (usage.inputs - before.inputs) as f64 / each,
            calls: (usage.batches - before.batches) as f64 / each,
            seconds: usage.cpu.saturating_sub(before.cpu).as_secs_f64() / each,
        };
        (model, cost)
    });
    let providers: BTreeSet<&str> = pipeline.providers().iter().map(|(_, name)| name.as_str()).collect();
    Ok(Costs {
        pictures,
        decode: cpu.decode.as_secs_f64() / each,
        prepare: cpu.prepare.as_secs_f64() / each,
        networks: networks.collect(),
        max_batches: pipeline.max_batches().iter().cloned().collect(),
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
) -> anyhow::Result<Option<(Analyzed, Duration)>> {
    let Ok(bytes) = app.named().fetch(&file_uri(file)).await else { return Ok(None) };
    let (runtime, pipeline) = (Handle::current(), Arc::clone(pipeline));
    let limits = app.config().decode_limits();
    let start = std::time::Instant::now();
    let seen = tokio::task::spawn_blocking(move || {
        let asset = docent_pipelines::asset::ContentHash::of(&bytes).asset_id();
        let analyzers: Vec<AnalyzerId> = pipeline.models().keys().copied().collect();
        let options = AnalyzeOptions {
            pipeline: &pipeline,
            limits: &limits,
            wanted: &analyzers,
            watch: &Watch::default(),
        };
        analyze_bytes(&runtime, &asset, &bytes, &options)
    })
    .await?;
    Ok(Some((seen, start.elapsed())))
}

#[cfg(test)]
mod tests {
    use docent_pipelines::{Failure, FailureKind};

    use super::*;
    use crate::store::PictureFacts;

    fn costs(pictures: u32, seconds: f64, inputs: f64) -> Costs {
        let cost = Cost { inputs, calls: inputs / 2.0, seconds };
        let networks = BTreeMap::from([(ModelRef::new("faces", "1"), cost)]);
        let latencies = vec![seconds; pictures as usize];
        let (decode, prepare) = (seconds, 2.0 * seconds);
        Costs {
            pictures,
            decode,
            prepare,
            networks,
            max_batches: BTreeMap::new(),
            latencies,
            provider: String::new(),
        }
    }

    #[test]
    fn two_halves_count_by_their_pictures() {
        let both = costs(3, 1.0, 2.0).and(costs(1, 5.0, 4.0));
        assert_eq!((both.pictures, both.decode, both.prepare), (4, 2.0, 4.0));
        let cost = Cost { inputs: 2.5, calls: 1.25, seconds: 2.0 };
        assert_eq!(both.networks.values().collect::<Vec<_>>(), [&cost]);
        assert_eq!(both.latencies, [1.0, 1.0, 1.0, 5.0]);
        assert_eq!(both.ideal(None), 2.0 + 4.0 + 2.0);
        // There was nothing in one of them.
        for both in [costs(3, 1.0, 2.0).and(costs(0, 0.0, 0.0)), costs(0, 0.0, 0.0).and(costs(3, 1.0, 2.0))] {
            assert_eq!((both.pictures, both.decode, both.ideal(None)), (3, 1.0, 4.0));
        }
    }

    #[test]
    fn what_cannot_be_decoded_counts_without_a_latency() {
        let reason = "no picture".to_owned();
        let failure = Failure { analyzer: AnalyzerId::Decode, kind: FailureKind::Permanent, reason };
        let second = Duration::from_secs(1);
        let cpu = Cpu { decode: second, prepare: Duration::ZERO };
        let broken = Analyzed { cpu, ..Analyzed::failed(failure) };
        let cpu = Cpu { decode: second, prepare: 2 * second };
        let whole = Analyzed {
            picture: Some(PictureFacts::new(3, 2, "jpeg")),
            cpu,
            ..Analyzed::failed(broken.analysis.failures[0].clone())
        };
        let mut sum = Sum::default();
        sum.add(&broken, second);
        sum.add(&whole, 4 * second);
        assert_eq!((sum.pictures, sum.cpu.decode, sum.cpu.prepare), (2, 2 * second, 2 * second));
        assert_eq!(sum.latencies, [4.0]);
    }
}
