//! What can be turned, and what it is turned to. `worker.default.toml` says what each option is for.

mod backends;
mod device;
mod load;
mod watch;
mod webhooks;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use backends::{Backends, IndexBackend, QueueBackend, Servers, StoreBackend};
pub use device::Device;
use docent_models::captioning::Strategy;
use docent_models::ocr::OcrOptions;
use docent_models::session::SessionOptions;
use docent_pipelines::AnalyzerId;
use docent_pipelines::analyzers::{CaptionRule, FaceRule, Languages, TextEngine, TextRule};
use docent_pipelines::classes::TagRule;
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::pipeline::PipelineOptions;
pub use load::{ConfigError, DEFAULTS, Overrides};
use serde::{Deserialize, Deserializer};
pub use watch::{WatchEntry, problem as watch_problem};
pub use webhooks::{WebhookError, WebhookSection};

use crate::assets::{Ignored, Roots};
use crate::disposition::RetryPolicy;
use crate::watch::WatchedFolder;

/// All options. [`Config::load`] makes one of the defaults, a file, the environment and flags.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Everything docent keeps. Absolute.
    pub data_dir: PathBuf,
    /// The folder of the models' manifest. Absolute.
    pub models_dir: PathBuf,
    /// ONNX Runtime's library, if it is not to be searched for.
    #[serde(deserialize_with = "path_or_none")]
    pub onnxruntime: Option<PathBuf>,
    /// Who decides, where nothing else says so.
    pub reviewer: String,
    /// Folders that the analyzing process watches.
    pub watch: Vec<WatchEntry>,
    /// Who is told by HTTP what happens.
    pub webhook: Vec<WebhookSection>,
    /// Which servers are shared with others.
    pub backends: Backends,
    /// What is run.
    pub analyzers: Analyzers,
    /// How work is done.
    pub work: Work,
    /// What the networks run on.
    pub device: Device,
    /// Which files are read.
    pub assets: Assets,
    /// What a picture may cost.
    pub decode: Decode,
    /// When tags are suggested.
    pub tags: Tags,
    /// The archive's own terms.
    pub vocabulary: VocabularySection,
    /// When objects are suggested.
    pub objects: Objects,
    /// Which faces count.
    pub faces: Faces,
    /// How text is read.
    pub text: Text,
    /// How captions are made.
    pub caption: Caption,
    /// Where a worker answers probes.
    pub worker: Worker,
    /// Where and for whom the page is served.
    pub http: Http,
    /// What is logged.
    pub log: Log,
    /// Where all this comes from.
    #[serde(skip)]
    pub sources: Sources,
}

/// Where options come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Files and variables that were read, the strongest last.
    pub read: Vec<String>,
    /// Where the reviewer's name comes from.
    pub reviewer: &'static str,
    /// Where a configuration file was looked for, if there was none.
    pub absent: Option<PathBuf>,
    /// Variables that begin with `DOCENT_` and name no option.
    pub unknown_variables: Vec<String>,
}

/// Section `analyzers`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analyzers {
    /// What is run on every picture.
    pub enabled: Vec<AnalyzerId>,
}

/// Section `work`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Pictures that are looked at at once; 0: see [`Config::in_flight`].
    pub in_flight: usize,
    /// Finished pictures that are recorded together at most.
    pub gathered: usize,
    /// Threads inside one call of a network.
    pub threads_per_session: usize,
    /// Sessions of each network; 0: see [`Config::sessions`].
    pub sessions: usize,
    /// Attempts at transient failures.
    pub max_attempts: u32,
    /// Milliseconds before the second attempt.
    pub retry_delay_ms: u64,
    /// Runs of one picture, with nothing beside it, that may end in docent's death.
    pub max_lost_runs: u32,
    /// Longest time for one step of a picture's analysis.
    pub timeout_seconds: u64,
    /// Longest time for reading a picture's text.
    pub text_timeout_seconds: u64,
    /// Time for work in flight after a shutdown was asked for.
    pub grace_seconds: u64,
}

/// Section `assets`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assets {
    /// Larger files are not read.
    pub max_bytes: u64,
    /// Folders that may be read; none: everything. Absolute.
    pub roots: Vec<PathBuf>,
    /// Where uploaded files are kept. Absolute; empty: below the data directory, and nowhere if queue or ledger are shared.
    pub uploads: PathBuf,
    /// What scans leave out besides litter.
    pub ignore: Ignored,
    /// Follow symbolic links inside of folders.
    pub follow_symlinks: bool,
}

/// Section `decode`; see [`DecodeLimits`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decode {
    /// Most pixels.
    pub max_pixels: u64,
    /// Most memory for one decoded picture.
    pub max_memory_bytes: u64,
    /// Long side that the analyzers get to see.
    pub working_side: u32,
}

/// Section `vocabulary`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabularySection {
    /// Whether a new archive begins with docent's own terms.
    pub starter: bool,
}

/// Section `tags`; see [`TagRule`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    /// Least probability of a tag.
    pub min_probability: f64,
    /// Least sum for a broader tag.
    pub min_parent_probability: f64,
    /// Least probability of clothing.
    pub min_apparel_probability: f64,
}

/// Section `objects`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objects {
    /// Least score.
    pub min_score: f64,
}

/// Section `faces`; see [`FaceRule`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faces {
    /// Smallest face that gets a vector.
    pub min_identity_pixels: f32,
    /// Suggest expressions.
    pub emotion: bool,
}

/// Section `text`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// What reads text.
    pub engine: TextEngine,
    /// Tesseract's names of the languages.
    pub languages: Vec<String>,
    /// Folder of the language data.
    #[serde(deserialize_with = "path_or_none")]
    pub tessdata: Option<PathBuf>,
    /// Read every picture.
    pub always: bool,
}

/// Section `caption`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caption {
    /// Sentences followed side by side.
    pub beam_width: usize,
    /// Least probability.
    pub min_probability: f64,
    /// Whether captions are offered as alt text, too.
    pub alt_text: bool,
}

/// Section `worker`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Where `docent worker` answers probes.
    pub listen: SocketAddr,
}

/// Section `http`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where `docent serve` listens.
    pub listen: SocketAddr,
    /// What every request must carry.
    pub token: Secret,
    /// Host names that are answered besides those of this machine.
    pub allowed_hosts: Vec<String>,
}

/// Section `log`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// A level, or directives.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A text that never shows up in `Debug`.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself; `None` if there is none.
    pub fn reveal(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|secret| !secret.is_empty())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "[redacted]" })
    }
}

/// No retry waits longer.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

impl Config {
    /// Pictures that are looked at at once: as configured, else one for each core, at most 64.
    pub fn in_flight(&self) -> usize {
        match self.work.in_flight {
            0 => cores().clamp(1, 64),
            count => count,
        }
    }

    /// Pictures of a backfill that are fetched while others are looked at.
    pub fn ahead(&self) -> usize {
        (self.in_flight() / 2).max(1)
    }

    /// Pictures in work at once.
    pub fn places(&self) -> usize {
        self.in_flight() + self.ahead()
    }

    /// Sessions of each network: as configured, else one for each core, at most 8.
    pub fn sessions(&self) -> usize {
        match self.work.sessions {
            0 => cores().clamp(1, 8),
            count => count,
        }
    }

    /// Folders that may be read: those named, and that of uploads.
    pub fn roots(&self) -> Roots {
        let mut roots = self.assets.roots.clone();
        if !roots.is_empty() {
            roots.extend(self.uploads());
        }
        Roots::new(&roots)
    }

    /// Where uploaded files are kept, if anywhere.
    pub fn uploads(&self) -> Option<PathBuf> {
        match self.assets.uploads.as_os_str().is_empty() {
            false => Some(self.assets.uploads.clone()),
            true => self.backends.are_here().then(|| self.data_dir.join("uploads")),
        }
    }

    /// Folders that the analyzing process watches.
    pub fn watched(&self) -> Vec<WatchedFolder> {
        self.watch.iter().map(WatchEntry::folder).collect()
    }

    /// Who is told what happens: the names of sinks in the outbox.
    pub fn sinks(&self) -> Vec<String> {
        let rabbitmq = self.backends.events.then(|| crate::events::RABBITMQ.to_owned());
        rabbitmq.into_iter().chain(self.webhook.iter().map(WebhookSection::sink)).collect()
    }

    /// The decoder's limits.
    pub fn decode_limits(&self) -> DecodeLimits {
        let Decode { max_pixels, max_memory_bytes, working_side } = self.decode;
        DecodeLimits { max_pixels, max_memory_bytes, working_side }
    }

    /// When failed work is tried again.
    pub fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            max_attempts: self.work.max_attempts,
            base_delay: Duration::from_millis(self.work.retry_delay_ms),
            max_delay: MAX_RETRY_DELAY,
        }
    }

    /// What the text reader reads.
    pub fn ocr_options(&self) -> OcrOptions {
        OcrOptions {
            languages: self.text.languages.clone(),
            tessdata: self.text.tessdata.clone(),
            time: Some(Duration::from_secs(self.work.text_timeout_seconds)),
        }
    }

    /// How pictures are analyzed.
    pub fn pipeline_options(&self) -> PipelineOptions {
        let strategy = match self.caption.beam_width {
            1 => Strategy::Greedy,
            width => Strategy::Beam { width },
        };
        PipelineOptions {
            session: SessionOptions {
                intra_threads: self.work.threads_per_session,
                device: self.device.options(),
                ..SessionOptions::default()
            },
            sessions: self.sessions(),
            gpu_sessions: self.work.sessions.max(self.device.devices.len()),
            gpu_max_batch: self.device.max_batch,
            // Each picture in work may wait with its faces or tiles; few have more than one.
            inbox: 2 * self.places(),
            tags: TagRule {
                leaf: self.tags.min_probability,
                parent: self.tags.min_parent_probability,
                apparel: self.tags.min_apparel_probability,
            },
            min_object_score: self.objects.min_score,
            faces: FaceRule { min_identity_pixels: self.faces.min_identity_pixels, ..FaceRule::default() },
            emotion: self.faces.emotion,
            ocr: self.ocr_options(),
            text: TextRule {
                engine: self.text.engine,
                always: self.text.always,
                languages: Languages::of(&self.text.languages),
            },
            caption: CaptionRule {
                strategy,
                min_probability: self.caption.min_probability,
                alt_text: self.caption.alt_text,
            },
        }
    }

    /// The first option that is out of its range: its name, and what it must be.
    fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        const SHARE: &str = "a number from 0 to 1";
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let language = |name: &String| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        };
        let section = self.backends.out_of_range().or_else(|| self.device.out_of_range());
        if section.is_some() {
            return section;
        }
        let checks = [
            (self.backends.lane_capacity >= 1, "backends.lane_capacity", "at least 1"),
            (self.backends.intake_capacity >= 1, "backends.intake_capacity", "at least 1"),
            ((2..=1000).contains(&self.backends.connections), "backends.connections", "from 2 to 1000"),
            (!self.analyzers.enabled.is_empty(), "analyzers.enabled", "at least one analyzer"),
            (
                !self.analyzers.enabled.contains(&AnalyzerId::Decode),
                "analyzers.enabled",
                "chosen among tags, objects, faces, text, caption and embedding",
            ),
            (self.work.in_flight <= 1024, "work.in_flight", "at most 1024"),
            ((1..=256).contains(&self.work.gathered), "work.gathered", "1 to 256"),
            ((1..=256).contains(&self.work.threads_per_session), "work.threads_per_session", "from 1 to 256"),
            (self.work.sessions <= 256, "work.sessions", "at most 256"),
            (self.work.max_attempts >= 1, "work.max_attempts", "at least 1"),
            ((1..=86_400).contains(&self.work.timeout_seconds), "work.timeout_seconds", "from 1 to 86400"),
            (
                (1..=86_400).contains(&self.work.text_timeout_seconds),
                "work.text_timeout_seconds",
                "from 1 to 86400",
            ),
            (self.work.grace_seconds <= 86_400, "work.grace_seconds", "at most 86400"),
            (self.assets.max_bytes >= 1, "assets.max_bytes", "at least 1"),
            (self.decode.max_pixels >= 1, "decode.max_pixels", "at least 1"),
            (self.decode.max_memory_bytes >= 1, "decode.max_memory_bytes", "at least 1"),
            ((256..=16_384).contains(&self.decode.working_side), "decode.working_side", "from 256 to 16384"),
            (share(self.tags.min_probability), "tags.min_probability", SHARE),
            (share(self.tags.min_parent_probability), "tags.min_parent_probability", SHARE),
            (share(self.tags.min_apparel_probability), "tags.min_apparel_probability", SHARE),
            (share(self.objects.min_score), "objects.min_score", SHARE),
            (self.faces.min_identity_pixels >= 0.0, "faces.min_identity_pixels", "at least 0"),
            (!self.text.languages.is_empty(), "text.languages", "at least one language"),
            (
                self.text.languages.iter().all(language),
                "text.languages",
                "names as Tesseract has them, such as \"eng\" or \"chi_sim\"",
            ),
            ((1..=16).contains(&self.caption.beam_width), "caption.beam_width", "from 1 to 16"),
            (share(self.caption.min_probability), "caption.min_probability", SHARE),
        ];
        checks.into_iter().find_map(|(holds, key, expected)| (!holds).then_some((key, expected)))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn path_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
}
