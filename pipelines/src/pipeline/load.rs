//! Loading the networks of a pipeline.

use std::collections::BTreeSet;
use std::thread::ScopedJoinHandle;

use docent_models::manifest::ModelEntry;
use docent_models::ocr;
use docent_models::session::{SessionOptions, placement};
use docent_models::{
    InputSpec, ModelRef, Pack, Task, captioning, embedding, emotion, faces, objects, tagging,
};

use super::{Pipeline, PipelineOptions, UsageProbe, advisers, models_of, tasks};
use crate::analyzers::{
    Analyzer, AnalyzerId, CaptionAnalyzer, EmbeddingAnalyzer, FacesAnalyzer, ObjectsAnalyzer, SharedNetworks,
    Tagger, TagsAnalyzer, TextAnalyzer, TextNetworks, Thresholds,
};
use crate::classes::ClassTags;
use crate::executor::{DynNetwork, ExecutorOptions, ModelHandle, panic_message};

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
        let asked = |&analyzer: &AnalyzerId| {
            let advisers = advisers(analyzer).iter().filter(|&&task| pack.model(task).is_ok());
            tasks(analyzer, options).iter().chain(advisers).copied().collect::<Vec<_>>()
        };
        let needed: BTreeSet<Task> = wanted.iter().flat_map(asked).collect();
        let mut running = Networks::default();
        let mut loaded: Vec<Box<dyn Analyzer>> = Vec::new();
        let shared = std::thread::scope(|scope| {
            let start = Loader { pack, options, needed: &needed, scope };
            let tagger = start.network(Task::Tagging, tagging::load);
            let detector = start.network(Task::ObjectDetection, objects::load);
            let faces = start.network(Task::FaceDetection, faces::load_detector);
            let landmarks = start.network(Task::FaceLandmarks, faces::load_landmarks);
            let embedder = start.network(Task::FaceEmbedding, faces::load_embedder);
            let expressions = start.network(Task::Emotion, emotion::load);
            let image = start.network(Task::ImageEmbedding, embedding::load_image);
            let captioner = start.network(Task::Captioning, captioning::load);
            let lines = start.network(Task::TextDetection, ocr::load_detector);
            let letters = start.network(Task::TextRecognition, ocr::load_recognizer);
            let tesseract = (wanted.contains(&AnalyzerId::Text) && options.text.engine.has_tesseract())
                .then(|| scope.spawn(|| load_tesseract(options)));

            let objects = finish(detector, &mut running)?;
            let thresholds = match &objects {
                Some(_) => thresholds(pack, pack.model(Task::ObjectDetection)?)?,
                None => Thresholds::default(),
            };
            let tagger = match finish(tagger, &mut running)? {
                Some((spec, network)) => {
                    let vocabulary = vocabulary(pack, pack.model(Task::Tagging)?)?;
                    Some(Tagger { spec, network, vocabulary })
                }
                None => None,
            };
            let shared = SharedNetworks { objects, thresholds, tagger, image: finish(image, &mut running)? };
            if let (true, Some(tagger)) = (wanted.contains(&AnalyzerId::Tags), &shared.tagger) {
                let model = tagger.model().clone();
                loaded.push(Box::new(TagsAnalyzer { model, rule: options.tags }));
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
            let networks = finish(lines, &mut running)?
                .zip(finish(letters, &mut running)?)
                .map(|(detector, recognizer)| TextNetworks { detector, recognizer });
            let tesseract = tesseract.map(join).transpose()?;
            if let Some(reader) = &tesseract {
                probe(reader, &mut running);
            }
            if networks.is_some() || tesseract.is_some() {
                loaded.push(Box::new(TextAnalyzer { networks, tesseract, rule: options.text }));
            }
            if let Some((_, captioner)) = finish(captioner, &mut running)? {
                loaded.push(Box::new(CaptionAnalyzer { captioner, rule: options.caption.clone() }));
            }
            if let (true, Some((_, image))) = (wanted.contains(&AnalyzerId::Embedding), &shared.image) {
                loaded.push(Box::new(EmbeddingAnalyzer { model: image.model().clone() }));
            }
            Ok::<_, docent_models::Error>(shared)
        })?;
        let Networks { usage, providers, max_batches } = running;
        Ok(Self { analyzers: loaded, shared, models, usage, providers, max_batches })
    }
}

/// A detector without a list offers all that it finds.
fn thresholds(pack: &Pack, entry: &ModelEntry) -> Result<Thresholds, docent_models::Error> {
    if !entry.files.contains_key("thresholds") {
        return Ok(Thresholds::of_all(0.0));
    }
    Thresholds::parse(&pack.read_text(entry, "thresholds")?).map_err(|error| unreadable(entry, &error))
}

fn vocabulary(pack: &Pack, entry: &ModelEntry) -> Result<ClassTags, docent_models::Error> {
    ClassTags::parse(&pack.read_text(entry, "vocabulary")?).map_err(|error| unreadable(entry, &error))
}

fn unreadable(entry: &ModelEntry, reason: &dyn std::fmt::Display) -> docent_models::Error {
    docent_models::Error::Model { model: entry.model_ref().to_string(), reason: reason.to_string() }
}

struct Loader<'s, 'e, 'a> {
    pack: &'a Pack,
    options: &'a PipelineOptions,
    needed: &'a BTreeSet<Task>,
    scope: &'s std::thread::Scope<'s, 'e>,
}

impl<'s, 'e, 'a: 's> Loader<'s, 'e, 'a> {
    /// Starts loading the network of `task`, if it is needed.
    fn network<I, O>(&self, task: Task, load: Load<I, O>) -> Loading<'s, I, O>
    where
        I: Send + 'static,
        O: Send + 'static,
    {
        let (pack, options) = (self.pack, self.options);
        self.needed.contains(&task).then(|| {
            self.scope.spawn(move || {
                let entry = pack.model(task)?;
                let executor = options.executor(entry)?;
                let handle = ModelHandle::spawn_each(entry.model_ref().id(), executor, {
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

fn load_tesseract(
    options: &PipelineOptions,
) -> Result<ModelHandle<ocr::Page, Vec<ocr::TextLine>>, docent_models::Error> {
    let executor = ExecutorOptions { sessions: options.sessions, max_batch: 1, inbox: options.inbox };
    let ocr_options = options.ocr.clone();
    ModelHandle::spawn("tesseract", executor, move || ocr::load_tesseract(&ocr_options))
}

impl PipelineOptions {
    fn executor(&self, entry: &ModelEntry) -> Result<ExecutorOptions, docent_models::Error> {
        let max_batch = entry.max_batch;
        if placement(&self.session.device)?.accelerators().is_empty() {
            return Ok(ExecutorOptions { sessions: self.sessions, max_batch, inbox: self.inbox });
        }
        // A second batch fills while the first is answered.
        let max_batch = self.gpu_max_batch;
        let inbox = self.inbox.max(2 * max_batch);
        Ok(ExecutorOptions { sessions: self.gpu_sessions, max_batch, inbox })
    }

    /// How pictures are prepared for a network. A GPU wants whole batches, and compiles for one shape.
    fn spec(&self, entry: &ModelEntry) -> Result<Option<InputSpec>, docent_models::Error> {
        let alone = placement(&self.session.device)?.accelerators().is_empty();
        Ok(entry.input.clone().map(|spec| if alone { spec } else { spec.untrimmed() }))
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
    max_batches: Vec<(ModelRef, usize)>,
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
    running.max_batches.push((handle.model().clone(), handle.max_batch()));
    let handle = handle.clone();
    running.usage.push(Box::new(move || (handle.model().clone(), handle.usage())));
}
