//! From measurements to sentences.

use serde::Serialize;

use super::clock::Window;
use super::costs::Costs;
use super::machine;
use super::threads::Threads;
use crate::app::IngestSummary;
use crate::config::Config;
use crate::progress::Progress;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// Pictures of the walk.
    pub pictures: u64,
    /// Of them, with something that failed for good.
    pub failed: u64,
    /// Processors this process may use.
    pub cores: usize,
    /// What the networks ran on, as ONNX Runtime names it; several where they differ, empty if it ran none.
    pub provider: String,
    /// Pictures per second in the steady part of the walk.
    pub images_per_second: f64,
    /// Processor time of the whole process per picture there.
    pub cpu_seconds_per_picture: f64,
    /// What was tried for the number of threads in a call of a network: the number, and milliseconds of processor time per picture
    /// by itself. The first one is the configured one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<(usize, f64)>,
    /// Wall time per picture if every core did nothing but the stages' own work, in milliseconds, as it costs while all cores
    /// are at work.
    pub ideal_ms: f64,
    /// The same, as it costs one picture after the other, whose networks still run side by side.
    pub calm_ideal_ms: f64,
    /// Wall time per picture, in milliseconds.
    pub achieved_ms: f64,
    /// `ideal_ms / achieved_ms`.
    pub efficiency: f64,
    /// Wall time from bytes to answers of a lone picture, in milliseconds: the median.
    pub lone_ms: f64,
    /// Share of the cores' time in which they had nothing to do, 0..=1.
    pub idle: f64,
    /// Share of it that other programs took, other guests of the hardware included, 0..=1.
    pub taken_by_others: f64,
    /// The most memory the process held.
    pub peak_memory_bytes: u64,
    /// Where the processor time goes, the largest first.
    pub stages: Vec<Stage>,
    /// What limits the speed.
    pub bottleneck: String,
    /// What could be changed.
    pub advice: Vec<String>,
}

/// Processor time of one stage.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    /// `decode`, `prepare`, a network, or `everything else`.
    pub name: String,
    /// Inputs per picture; 0 where that means nothing.
    pub inputs: f64,
    /// Most inputs in a call, for networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Milliseconds per picture, one picture after the other.
    pub calm_ms: f64,
    /// Milliseconds per picture, with one for each core at once.
    pub busy_ms: f64,
    /// Milliseconds per picture in the walk.
    pub walk_ms: f64,
    /// Share of all processor time in the walk, 0..=1.
    pub share: f64,
}

/// More than this share is worth a word.
const NOTABLE: f64 = 0.1;

pub(super) fn of(
    calm: &Costs,
    busy: &Costs,
    threads: Option<&Threads>,
    window: &Window,
    summary: &IngestSummary,
    progress: &Progress,
    config: &Config,
) -> BenchReport {
    let cores = machine::cores();
    let all = (summary.analyzed + summary.failed).max(1) as f64;
    let steady = window.pictures.max(1) as f64;
    let achieved_ms = window.wall.as_secs_f64() * 1e3 / steady;
    let cpu_ms = window.own.as_secs_f64() * 1e3 / steady;
    let [ideal_ms, calm_ideal_ms] = [busy, calm].map(|costs| costs.ideal(threads) * 1e3 / cores as f64);
    let cpu = progress.cpu();
    let mut stages = vec![
        stage("decode", 0.0, [calm.decode, busy.decode, cpu.decode.as_secs_f64() / all]),
        stage("prepare", 0.0, [calm.prepare, busy.prepare, cpu.prepare.as_secs_f64() / all]),
    ];
    for network in &summary.networks {
        let cost = |of: &Costs| of.networks.get(&network.model).map_or(0.0, |cost| cost.seconds);
        let (name, inputs) = (network.model.to_string(), network.inputs as f64 / all);
        let known = stage(&name, inputs, [cost(calm), cost(busy), network.cpu_seconds / all]);
        stages.push(Stage { batch: calm.max_batches.get(&network.model).copied(), ..known });
    }
    let known: f64 = stages.iter().map(|stage| stage.walk_ms).sum();
    stages.push(stage("everything else", 0.0, [0.0, 0.0, (cpu_ms - known).max(0.0) / 1e3]));
    let sum: f64 = stages.iter().map(|stage| stage.walk_ms).sum();
    stages.iter_mut().for_each(|stage| stage.share = stage.walk_ms / sum.max(f64::MIN_POSITIVE));
    stages.sort_by(|a, b| b.walk_ms.total_cmp(&a.walk_ms));
    let whole = window.machine.sum().max(1) as f64;
    let own = window.own.as_secs_f64() / (window.wall.as_secs_f64() * cores as f64).max(f64::MIN_POSITIVE);
    let idle = window.machine.idle as f64 / whole;
    let others = (1.0 - idle - own).max(0.0);
    let mut latencies = calm.latencies.clone();
    latencies.sort_by(f64::total_cmp);
    let (bottleneck, advice) = judge(idle, others, &stages, config);
    BenchReport {
        pictures: summary.analyzed + summary.failed,
        failed: summary.failed,
        cores,
        provider: calm.provider.clone(),
        images_per_second: 1e3 / achieved_ms,
        cpu_seconds_per_picture: cpu_ms / 1e3,
        threads: threads.map_or_else(Vec::new, |tried| {
            [tried.configured, tried.other].map(|(number, seconds)| (number, seconds * 1e3)).to_vec()
        }),
        ideal_ms,
        calm_ideal_ms,
        achieved_ms,
        efficiency: ideal_ms / achieved_ms,
        lone_ms: latencies.get(latencies.len() / 2).map_or(0.0, |seconds| seconds * 1e3),
        idle,
        taken_by_others: others,
        peak_memory_bytes: machine::peak_memory(),
        stages,
        bottleneck,
        advice,
    }
}

/// From seconds in the calm pass, in the busy one, and in the walk.
fn stage(name: &str, inputs: f64, seconds: [f64; 3]) -> Stage {
    let [calm_ms, busy_ms, walk_ms] = seconds.map(|seconds| seconds * 1e3);
    Stage { name: name.to_owned(), inputs, batch: None, calm_ms, busy_ms, walk_ms, share: 0.0 }
}

/// What limits the speed, and what could be changed.
fn judge(idle: f64, others: f64, stages: &[Stage], config: &Config) -> (String, Vec<String>) {
    let mut advice = Vec::new();
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    if others > NOTABLE {
        advice.push(format!(
            "other programs took {} of the processors: end them, or measure again when they have ended",
            percent(others)
        ));
    }
    let bottleneck = if idle > 2.0 * NOTABLE {
        advice.push(format!(
            "the cores had nothing to do for {} of the time: if the pictures lie on a slow or distant drive, more at once \
             may help (work.in_flight is {} now)",
            percent(idle),
            config.in_flight()
        ));
        "waiting for pictures".to_owned()
    } else {
        stages.first().map_or_else(String::new, |stage| stage.name.clone())
    };
    for stage in stages.iter().filter(|stage| stage.share > 2.0 * NOTABLE) {
        if let Some(words) = hint(&stage.name) {
            advice.push(format!(
                "{} takes {} of the processor time: {words}",
                stage.name,
                percent(stage.share)
            ));
        }
    }
    (bottleneck, advice)
}

/// What could be done about an expensive stage, where there is something.
fn hint(stage: &str) -> Option<&'static str> {
    // Networks are named `id@version`.
    let id = stage.split('@').next().unwrap_or(stage);
    let holds = |part: &str| id.contains(part);
    if stage == "decode" {
        Some("large pictures that are not JPEG cost most; smaller renditions of them are analyzed as well")
    } else if holds("tesseract") {
        Some("leave text out of analyzers.enabled where nobody searches for it")
    } else if holds("face") {
        Some("leave faces out of analyzers.enabled where nobody asks who is in a picture")
    } else if holds("caption") {
        Some("leave caption out of analyzers.enabled; caption.beam_width = 1 is faster and a little worse")
    } else if holds("centernet") {
        Some("leave objects out of analyzers.enabled where tags are enough")
    } else {
        None
    }
}
