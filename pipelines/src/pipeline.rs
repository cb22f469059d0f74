//! The analyzers of a run, and their networks.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use docent_models::captioning::CaptionRequest;
use docent_models::manifest::ModelEntry;
use docent_models::ocr::{self, OcrOptions};
use docent_models::session::{SessionOptions, placement};
use docent_models::{
    InputSpec, ModelRef, Pack, Task, captioning, embedding, emotion, faces, objects, tagging,
};
use futures_util::future::{FutureExt, join_all};

use crate::analysis::{Analysis, Failure, FailureKind};
use crate::analyzers::{
    Analyzer, AnalyzerError, AnalyzerId, CaptionAnalyzer, CaptionRule, EmbeddingAnalyzer, FaceRule,
    FacesAnalyzer, Findings, ObjectsAnalyzer, SharedNetworks, Subject, TagsAnalyzer, TextAnalyzer, TextRule,
};
use crate::asset::AssetId;
use crate::executor::batching::{Batching, Sampler, Tuning, TuningMemory};
use crate::executor::{DynNetwork, ExecutorError, ExecutorOptions, ModelHandle, Usage, panic_message};
use crate::image::Image;
use crate::sample::Sample;
use crate::suggestion::Suggestion;
use crate::vector::VectorRecord;
use crate::vocabulary::{TagRule, TagVocabulary};

/// What a pipeline does and how.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// Threads inside one call of a network, and the processors it is run on.
    pub session: SessionOptions,
    /// Sessions per network, each with its own thread.
    pub sessions: usize,
    /// Sessions of networks on GPUs, over all of them.
    pub gpu_sessions: usize,
    /// How the best sizes of batches are found; `None`: the manifest's.
    pub tuning: Option<TuningOptions>,
    /// Inputs that may wait for one network.
    pub inbox: usize,
    /// When a tag is offered.
    pub tags: TagRule,
    /// Least score of an offered object.
    pub min_object_score: f64,
    /// Which faces count.
    pub faces: FaceRule,
    /// Whether faces' expressions are read.
    pub emotion: bool,
    /// Languages of the text reader.
    pub ocr: OcrOptions,
    /// When text is read.
    pub text: TextRule,
    /// How captions are made.
    pub caption: CaptionRule,
}

/// How the best sizes of batches are found.
#[derive(Debug, Clone)]
pub struct TuningOptions {
    /// The largest size that may be tried.
    pub most: usize,
    /// Whether to measure what nobody remembers.
    pub measure: bool,
    /// Where results are kept.
    pub memory: Arc<dyn TuningMemory>,
}

impl TuningOptions {
    /// For a network, with an input to measure with.
    pub fn with<I>(self, sample: Sampler<I>) -> Tuning<I> {
        Tuning { most: self.most, measure: self.measure, sample, memory: self.memory }
    }
}

/// Loaded analyzers over their running networks.
pub struct Pipeline {
    analyzers: Vec<Box<dyn Analyzer>>,
    shared: SharedNetworks,
    models: BTreeMap<AnalyzerId, ModelRef>,
    usage: Vec<UsageProbe>,
    providers: Vec<(ModelRef, String)>,
    batching: Vec<(ModelRef, Batching)>,
}

/// Reads what one network has done.
type UsageProbe = Box<dyn Fn() -> (ModelRef, Usage) + Send + Sync>;

/// The decoder's name in the ledger. Its version changes when decoded pixels do by more than rounding.
pub fn decoder() -> ModelRef {
    ModelRef::new("decoder", "2")
}

/// The tasks whose networks an analyzer needs.
fn tasks(analyzer: AnalyzerId, emotion: bool) -> &'static [Task] {
    match analyzer {
        AnalyzerId::Decode => &[],
        AnalyzerId::Tags => &[Task::Tagging],
        AnalyzerId::Objects => &[Task::ObjectDetection],
        AnalyzerId::Faces if emotion => {
            &[Task::FaceDetection, Task::FaceLandmarks, Task::FaceEmbedding, Task::Emotion]
        }
        AnalyzerId::Faces => &[Task::FaceDetection, Task::FaceLandmarks, Task::FaceEmbedding],
        AnalyzerId::Text => &[Task::Ocr],
        AnalyzerId::Caption => &[Task::ImageEmbedding, Task::Captioning],
        AnalyzerId::Embedding => &[Task::ImageEmbedding],
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
        let parts = tasks(analyzer, options.emotion)
            .iter()
            .map(|&task| match task {
                Task::Ocr => Ok(ocr::model_ref(&options.ocr)),
                task => Ok(pack.model(task)?.model_ref()),
            })
            .collect::<Result<Vec<_>, docent_models::Error>>()?;
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

/// The way into a task's network.
type Load<I, O> = fn(&Pack, &SessionOptions) -> Result<Box<DynNetwork<I, O>>, docent_models::Error>;

/// A running network, and how a picture is prepared for it.
type Running<I, O> = (InputSpec, ModelHandle<I, O>);

/// A network that is being loaded on a thread of its own.
type Loading<'s, I, O> = Option<ScopedJoinHandle<'s, Result<Running<I, O>, docent_models::Error>>>;

impl Pipeline {
    /// Loads the networks that `analyzers` need, in parallel, and nothing else.
    pub fn load(
        pack: &Pack,
        analyzers: &[AnalyzerId],
        options: &PipelineOptions,
    ) -> Result<Self, docent_models::Error> {
        let models = models_of(pack, analyzers, options)?;
        let wanted: BTreeSet<AnalyzerId> = analyzers.iter().copied().collect();
        let needed: BTreeSet<Task> =
            wanted.iter().flat_map(|&analyzer| tasks(analyzer, options.emotion)).copied().collect();
        let mut running = Networks::default();
        let mut loaded: Vec<Box<dyn Analyzer>> = Vec::new();
        let shared = std::thread::scope(|scope| {
            let strategy = options.caption.strategy;
            let captioned = Box::new(move |own| CaptionRequest { strategy, ..own });
            let start = Loader { pack, options, needed: &needed, scope };
            let tagger = start.network(Task::Tagging, tagging::load, Sample::tensor());
            let detector = start.network(Task::ObjectDetection, objects::load, Sample::prepared());
            let faces = start.network(Task::FaceDetection, faces::load_detector, Sample::prepared());
            let landmarks = start.network(Task::FaceLandmarks, faces::load_landmarks, Sample::prepared());
            let embedder = start.network(Task::FaceEmbedding, faces::load_embedder, Sample::tensor());
            let expressions = start.network(Task::Emotion, emotion::load, Sample::tensor());
            let image = start.network(Task::ImageEmbedding, embedding::load_image, Sample::tensor());
            let captioner = start.network(Task::Captioning, captioning::load, Sample::Own(captioned));
            let reader = needed.contains(&Task::Ocr).then(|| scope.spawn(|| load_reader(options)));

            let shared = SharedNetworks {
                objects: finish(detector, &mut running)?,
                image: finish(image, &mut running)?,
            };
            if let Some((spec, tagger)) = finish(tagger, &mut running)? {
                let entry = pack.model(Task::Tagging)?;
                let vocabulary =
                    TagVocabulary::parse(&pack.read_text(entry, "vocabulary")?).map_err(|error| {
                        docent_models::Error::Model {
                            model: entry.model_ref().to_string(),
                            reason: error.to_string(),
                        }
                    })?;
                loaded.push(Box::new(TagsAnalyzer { spec, tagger, vocabulary, rule: options.tags }));
            }
            if let (true, Some((_, detector))) = (wanted.contains(&AnalyzerId::Objects), &shared.objects) {
                let model = detector.model().clone();
                loaded.push(Box::new(ObjectsAnalyzer { model, min_score: options.min_object_score }));
            }
            let emotion = finish(expressions, &mut running)?;
            if let (Some(detector), Some(landmarks), Some(embedder)) = (
                finish(faces, &mut running)?,
                finish(landmarks, &mut running)?,
                finish(embedder, &mut running)?,
            ) {
                let rule = options.faces;
                loaded.push(Box::new(FacesAnalyzer { detector, landmarks, embedder, emotion, rule }));
            }
            if let Some(reader) = reader {
                let reader = join(reader)?;
                probe(&reader, &mut running);
                loaded.push(Box::new(TextAnalyzer { reader, rule: options.text }));
            }
            if let Some((_, captioner)) = finish(captioner, &mut running)? {
                loaded.push(Box::new(CaptionAnalyzer { captioner, rule: options.caption.clone() }));
            }
            if let (true, Some((_, image))) = (wanted.contains(&AnalyzerId::Embedding), &shared.image) {
                loaded.push(Box::new(EmbeddingAnalyzer { model: image.model().clone() }));
            }
            Ok::<_, docent_models::Error>(shared)
        })?;
        let Networks { usage, providers, batching } = running;
        Ok(Self { analyzers: loaded, shared, models, usage, providers, batching })
    }

    /// The loaded analyzers and their models, with the decoder.
    pub fn models(&self) -> &BTreeMap<AnalyzerId, ModelRef> {
        &self.models
    }

    /// On what each network runs, as ONNX Runtime names it, without those that something else runs.
    pub fn providers(&self) -> &[(ModelRef, String)] {
        &self.providers
    }

    /// How large each network's batches may be.
    pub fn batching(&self) -> &[(ModelRef, Batching)] {
        &self.batching
    }

    /// What each network has done since it was loaded.
    pub fn usage(&self) -> Vec<(ModelRef, Usage)> {
        self.usage.iter().map(|probe| probe()).collect()
    }

    /// Looks at one picture with those of `wanted` that are loaded, side by side. The pictures' preparation runs on
    /// the calling thread, which should be one that may be kept busy; inference runs on the networks' own threads.
    pub async fn analyze(&self, asset: &AssetId, image: &Image, wanted: &[AnalyzerId]) -> Analysis {
        let subject = Subject::new(image.picture(), &self.shared);
        let start = Instant::now();
        let runs = self.analyzers.iter().filter(|analyzer| wanted.contains(&analyzer.id())).map(|analyzer| {
            let (subject, start) = (&subject, &start);
            async move {
                let outcome = AssertUnwindSafe(analyzer.analyze(subject)).catch_unwind().await;
                (analyzer.id(), start.elapsed(), outcome)
            }
        });
        let mut analysis = Analysis::default();
        for (analyzer, elapsed, outcome) in join_all(runs).await {
            analysis.timings.insert(analyzer.as_str(), elapsed);
            match outcome {
                Ok(Ok(findings)) => self.complete(&mut analysis, asset, analyzer, findings),
                Ok(Err(error)) => analysis.failures.push(Failure {
                    analyzer,
                    kind: failure_kind(&error),
                    reason: error.to_string(),
                }),
                Err(panic) => analysis.failures.push(Failure {
                    analyzer,
                    kind: FailureKind::Permanent,
                    reason: format!("the {analyzer} analyzer crashed: {}", panic_message(panic.as_ref())),
                }),
            }
        }
        analysis
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
        AnalyzerError::Executor(ExecutorError::Refused(_) | ExecutorError::Closed(_)) => {
            FailureKind::Transient
        }
    }
}

struct Loader<'s, 'e, 'a> {
    pack: &'a Pack,
    options: &'a PipelineOptions,
    needed: &'a BTreeSet<Task>,
    scope: &'s std::thread::Scope<'s, 'e>,
}

impl<'s, 'e, 'a: 's> Loader<'s, 'e, 'a> {
    /// Starts loading the network of `task`, if it is needed.
    fn network<I, O>(&self, task: Task, load: Load<I, O>, sample: Sample<I>) -> Loading<'s, I, O>
    where
        I: Send + 'static,
        O: Send + 'static,
    {
        let (pack, options) = (self.pack, self.options);
        self.needed.contains(&task).then(|| {
            self.scope.spawn(move || {
                let entry = pack.model(task)?;
                let executor = options.executor(entry)?;
                let tuning = options.tuning(entry, sample);
                let handle = ModelHandle::spawn_each(entry.model_ref().id(), executor, tuning, {
                    let (pack, session) = (pack.clone(), options.session.clone());
                    move |number| load(&pack, &SessionOptions { number, ..session.clone() })
                })?;
                Ok((options.spec(entry)?.unwrap_or_else(no_pixels), handle))
            })
        })
    }
}

/// For networks that take no picture: never prepared by.
fn no_pixels() -> InputSpec {
    InputSpec {
        width: 1,
        height: 1,
        fit: docent_models::pixels::Fit::Squash,
        mean: [0.0; 3],
        std: [1.0; 3],
        channels: docent_models::pixels::Channels::default(),
    }
}

fn load_reader(
    options: &PipelineOptions,
) -> Result<ModelHandle<ocr::OcrInput, Vec<ocr::TextLine>>, docent_models::Error> {
    let executor = ExecutorOptions { sessions: options.sessions, max_batch: 1, inbox: options.inbox };
    let ocr_options = options.ocr.clone();
    ModelHandle::spawn("tesseract", executor, move || ocr::load(&ocr_options))
}

impl PipelineOptions {
    fn executor(&self, entry: &ModelEntry) -> Result<ExecutorOptions, docent_models::Error> {
        let max_batch = entry.max_batch;
        if placement(&self.session.device)?.accelerators().is_empty() {
            return Ok(ExecutorOptions { sessions: self.sessions, max_batch, inbox: self.inbox });
        }
        // What was not measured there is better too large. A second batch fills while the first is answered.
        let max_batch = self.tuning.as_ref().map_or(max_batch, |tuning| tuning.most.max(max_batch));
        let inbox = self.inbox.max(2 * max_batch);
        Ok(ExecutorOptions { sessions: self.gpu_sessions, max_batch, inbox })
    }

    /// How pictures are prepared for a network. A GPU wants whole batches, and compiles for one shape.
    fn spec(&self, entry: &ModelEntry) -> Result<Option<InputSpec>, docent_models::Error> {
        let alone = placement(&self.session.device)?.accelerators().is_empty();
        Ok(entry.input.clone().map(|spec| if alone { spec } else { spec.untrimmed() }))
    }

    fn tuning<I: 'static>(&self, entry: &ModelEntry, sample: Sample<I>) -> Option<Tuning<I>> {
        let tuning = self.tuning.clone()?;
        let spec = entry.input.clone();
        Some(tuning.with(Box::new(move |own| sample.make(spec.as_ref(), own))))
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T, docent_models::Error>>) -> Result<T, docent_models::Error> {
    thread
        .join()
        .unwrap_or_else(|panic| Err(docent_models::Error::Runtime { reason: panic_message(panic.as_ref()) }))
}

/// What is known of the networks that run.
#[derive(Default)]
struct Networks {
    usage: Vec<UsageProbe>,
    providers: Vec<(ModelRef, String)>,
    batching: Vec<(ModelRef, Batching)>,
}

fn finish<I: Send + 'static, O: Send + 'static>(
    loading: Loading<'_, I, O>,
    running: &mut Networks,
) -> Result<Option<Running<I, O>>, docent_models::Error> {
    let Some(thread) = loading else { return Ok(None) };
    let (spec, handle) = join(thread)?;
    probe(&handle, running);
    Ok(Some((spec, handle)))
}

fn probe<I: Send + 'static, O: Send + 'static>(handle: &ModelHandle<I, O>, running: &mut Networks) {
    if let Some(provider) = handle.provider() {
        running.providers.push((handle.model().clone(), provider.to_owned()));
    }
    running.batching.push((handle.model().clone(), handle.batching().clone()));
    let handle = handle.clone();
    running.usage.push(Box::new(move || (handle.model().clone(), handle.usage())));
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
