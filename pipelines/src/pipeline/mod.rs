//! The analyzers of a run, and their networks.

mod load;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use docent_models::manifest::ModelEntry;
use docent_models::ocr::{self, OcrOptions};
use docent_models::session::SessionOptions;
use docent_models::{ModelRef, Pack, Task};
use futures_util::future::{FutureExt, join_all};

use crate::analysis::{Analysis, Failure, FailureKind, Late};
use crate::analyzers::{
    Analyzer, AnalyzerError, AnalyzerId, CaptionRule, FaceRule, Findings, SharedNetworks, Subject, TextRule,
};
use crate::asset::AssetId;
use crate::classes::TagRule;
use crate::executor::{ExecutorError, Usage, panic_message};
use crate::image::Image;
use crate::suggestion::Suggestion;
use crate::vector::VectorRecord;
pub use watch::{Overdue, StepTimes, Watch};

/// What a pipeline does and how.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// Threads inside one call of a network, and the processors it is run on.
    pub session: SessionOptions,
    /// Sessions per network, each with its own thread.
    pub sessions: usize,
    /// Sessions of networks on GPUs, over all of them.
    pub gpu_sessions: usize,
    /// Most inputs in one call of a network on a GPU; on a processor the manifest says it for each network.
    pub gpu_max_batch: usize,
    /// Inputs, or groups of them, that may wait for one network.
    pub inbox: usize,
    /// When a tag is offered.
    pub tags: TagRule,
    /// Least score of an offered object.
    pub min_object_score: f64,
    /// Which faces count.
    pub faces: FaceRule,
    /// Whether faces' expressions are read.
    pub emotion: bool,
    /// Languages of Tesseract.
    pub ocr: OcrOptions,
    /// When text is read.
    pub text: TextRule,
    /// How captions are made.
    pub caption: CaptionRule,
}

/// Loaded analyzers over their running networks.
pub struct Pipeline {
    analyzers: Vec<Box<dyn Analyzer>>,
    shared: SharedNetworks,
    models: BTreeMap<AnalyzerId, ModelRef>,
    usage: Vec<UsageProbe>,
    providers: Vec<(ModelRef, String)>,
    max_batches: Vec<(ModelRef, usize)>,
}

/// Reads what one network has done.
type UsageProbe = Box<dyn Fn() -> (ModelRef, Usage) + Send + Sync>;

/// The decoder's name in the ledger. Its version changes when decoded pixels do by more than rounding.
pub fn decoder() -> ModelRef {
    ModelRef::new("decoder", "2")
}

/// The tasks whose networks an analyzer needs.
fn tasks(analyzer: AnalyzerId, options: &PipelineOptions) -> &'static [Task] {
    match analyzer {
        AnalyzerId::Decode | AnalyzerId::Terms | AnalyzerId::Predecessor => &[],
        AnalyzerId::Tags => &[Task::Tagging],
        AnalyzerId::Objects => &[Task::ObjectDetection],
        AnalyzerId::Faces if options.emotion => {
            &[Task::FaceDetection, Task::FaceLandmarks, Task::FaceEmbedding, Task::Emotion]
        }
        AnalyzerId::Faces => &[Task::FaceDetection, Task::FaceLandmarks, Task::FaceEmbedding],
        AnalyzerId::Text if options.text.engine.has_networks() => {
            &[Task::TextDetection, Task::TextRecognition]
        }
        AnalyzerId::Text => &[],
        AnalyzerId::Caption => &[Task::ImageEmbedding, Task::Captioning],
        AnalyzerId::Embedding => &[Task::ImageEmbedding],
    }
}

/// The tasks whose networks an analyzer asks as well, where the pack has them.
fn advisers(analyzer: AnalyzerId) -> &'static [Task] {
    match analyzer {
        AnalyzerId::Objects => &[Task::Tagging],
        AnalyzerId::Faces => &[Task::ObjectDetection, Task::Tagging],
        _ => &[],
    }
}

/// Which model each of `analyzers` would answer by, without loading any; always with the decoder.
/// An analyzer of several networks is named after all of them: if one changes, the work is stale.
pub fn models_of(
    pack: &Pack,
    analyzers: &[AnalyzerId],
    options: &PipelineOptions,
) -> Result<BTreeMap<AnalyzerId, ModelRef>, docent_models::Error> {
    let mut models = BTreeMap::from([(AnalyzerId::Decode, decoder())]);
    for &analyzer in analyzers {
        let mut parts = tasks(analyzer, options)
            .iter()
            .map(|&task| Ok(pack.model(task)?.model_ref()))
            .collect::<Result<Vec<_>, docent_models::Error>>()?;
        let advisers = advisers(analyzer).iter().filter_map(|&task| pack.model(task).ok());
        parts.extend(advisers.map(ModelEntry::model_ref));
        if analyzer == AnalyzerId::Text && options.text.engine.has_tesseract() {
            parts.push(ocr::model_ref(&options.ocr));
        }
        models.entry(analyzer).or_insert_with(|| compose(&parts));
    }
    Ok(models)
}

fn compose(parts: &[ModelRef]) -> ModelRef {
    let join = |part: fn(&ModelRef) -> &str| parts.iter().map(part).collect::<Vec<_>>().join("+");
    let same_version = parts.windows(2).all(|pair| pair[0].version() == pair[1].version());
    match parts.first() {
        Some(first) if same_version => ModelRef::new(join(ModelRef::id), first.version()),
        _ => ModelRef::new(join(ModelRef::id), join(ModelRef::version)),
    }
}

impl Pipeline {
    /// A pipeline of these analyzers, whatever stands behind them, that answer by `models`.
    pub fn of(analyzers: Vec<Box<dyn Analyzer>>, models: BTreeMap<AnalyzerId, ModelRef>) -> Self {
        Self {
            analyzers,
            shared: SharedNetworks::default(),
            models,
            usage: Vec::new(),
            providers: Vec::new(),
            max_batches: Vec::new(),
        }
    }

    /// The loaded analyzers and their models, with the decoder.
    pub fn models(&self) -> &BTreeMap<AnalyzerId, ModelRef> {
        &self.models
    }

    /// On what each network runs, as ONNX Runtime names it, without those that something else runs.
    pub fn providers(&self) -> &[(ModelRef, String)] {
        &self.providers
    }

    /// Most inputs in one call of each network.
    pub fn max_batches(&self) -> &[(ModelRef, usize)] {
        &self.max_batches
    }

    /// What each network has done since it was loaded.
    pub fn usage(&self) -> Vec<(ModelRef, Usage)> {
        self.usage.iter().map(|probe| probe()).collect()
    }

    /// Looks at one picture with those of `wanted` that are loaded, side by side. The pictures' preparation runs on
    /// the calling thread, which should be one that may be kept busy; inference runs on the networks' own threads.
    pub async fn analyze(&self, asset: &AssetId, image: &Image, wanted: &[AnalyzerId]) -> Analysis {
        self.analyze_watched(asset, image, wanted, &Watch::default()).await
    }

    /// The same, while somebody watches.
    pub async fn analyze_watched(
        &self,
        asset: &AssetId,
        image: &Image,
        wanted: &[AnalyzerId],
        watch: &Watch,
    ) -> Analysis {
        let subject = Subject::new(image.picture(), &self.shared, watch.limits());
        let start = Instant::now();
        let analyzers = self.analyzers.iter().filter(|analyzer| wanted.contains(&analyzer.id()));
        let subject = &subject;
        join_all(analyzers.enumerate().map(|(place, analyzer)| async move {
            let id = analyzer.id();
            let work = watch.steps(id, analyzer.analyze(subject));
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            watch.keep(place, (id, start.elapsed(), outcome));
        }))
        .await;
        self.gather(asset, watch)
    }

    /// What was found of a picture whose thread is at a step that does not end. Analyzers of `wanted` that have found
    /// nothing yet have failed with that; what they may find later is lost.
    pub fn abandon(
        &self,
        asset: &AssetId,
        wanted: &[AnalyzerId],
        watch: &Watch,
        overdue: &Overdue,
    ) -> Analysis {
        let mut analysis = self.gather(asset, watch);
        for &analyzer in wanted {
            let is_settled = analysis.completed.contains_key(&analyzer)
                || analysis.failures.iter().any(|failure| failure.analyzer == analyzer);
            if !is_settled {
                let seconds = overdue.limit.as_secs_f64();
                let reason =
                    format!("{}: not finished after {seconds} s (work.timeout_seconds)", overdue.analyzer);
                analysis.failures.push(Failure { analyzer, kind: FailureKind::Transient, reason });
                analysis.late.insert(analyzer, Late::Overdue(overdue.limit));
            }
        }
        analysis
    }

    /// What the analyzers have found so far.
    fn gather(&self, asset: &AssetId, watch: &Watch) -> Analysis {
        let mut analysis = Analysis::default();
        for (analyzer, elapsed, outcome) in watch.found() {
            analysis.timings.insert(analyzer.as_str(), elapsed);
            self.take(&mut analysis, asset, analyzer, outcome);
        }
        analysis
    }

    fn take(
        &self,
        analysis: &mut Analysis,
        asset: &AssetId,
        analyzer: AnalyzerId,
        outcome: std::thread::Result<Result<Findings, AnalyzerError>>,
    ) {
        let failure = |kind, reason| Failure { analyzer, kind, reason };
        match outcome {
            Ok(Ok(findings)) => self.complete(analysis, asset, analyzer, findings),
            Ok(Err(error)) => {
                analysis.late.extend(lateness(&error).map(|late| (analyzer, late)));
                analysis.failures.push(failure(failure_kind(&error), error.to_string()));
            }
            Err(panic) => analysis.failures.push(failure(
                FailureKind::Permanent,
                format!("the {analyzer} analyzer crashed: {}", panic_message(panic.as_ref())),
            )),
        }
    }

    fn complete(&self, analysis: &mut Analysis, asset: &AssetId, analyzer: AnalyzerId, findings: Findings) {
        let mut seen = BTreeSet::new();
        for (claim, model) in findings.claims {
            let suggestion = Suggestion::new(asset.clone(), analyzer, claim, model);
            // Two boxes that round to the same region say the same thing.
            if seen.insert(suggestion.id.clone()) {
                analysis.suggestions.push(suggestion);
            }
        }
        analysis.spaces.extend(findings.spaces);
        for (space, region, values) in findings.vectors {
            analysis.vectors.push(VectorRecord::new(asset.clone(), space, region, values));
        }
        if let Some(model) = self.models.get(&analyzer) {
            analysis.completed.insert(analyzer, model.clone());
        }
    }
}

/// A crash is the picture's own doing; a refusal may be a lack of memory and is tried again a few times.
fn failure_kind(error: &AnalyzerError) -> FailureKind {
    match error {
        AnalyzerError::Executor(ExecutorError::Crashed { .. }) | AnalyzerError::Prepare(_) => {
            FailureKind::Permanent
        }
        AnalyzerError::Executor(
            ExecutorError::Refused(_)
            | ExecutorError::Overdue { .. }
            | ExecutorError::Starved { .. }
            | ExecutorError::Closed(_),
        ) => FailureKind::Transient,
    }
}

fn lateness(error: &AnalyzerError) -> Option<Late> {
    match error {
        AnalyzerError::Executor(ExecutorError::Overdue { limit, .. }) => Some(Late::Overdue(*limit)),
        AnalyzerError::Executor(ExecutorError::Starved { .. }) => Some(Late::Starved),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_analyzer_is_named_after_all_its_networks() {
        let part = |id: &str, version: &str| ModelRef::new(id, version);
        assert_eq!(compose(&[part("a", "1")]).to_string(), "a@1");
        assert_eq!(compose(&[part("a", "1"), part("b", "1")]).to_string(), "a+b@1");
        assert_eq!(compose(&[part("a", "1"), part("b", "2")]).to_string(), "a+b@1+2");
    }
}
