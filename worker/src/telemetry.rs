//! Logs and metrics.

mod measured;
mod process;

use std::io::{self, Write};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use docent_models::ModelRef;
pub use measured::{begin_to_answer, begin_to_work};
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is neither a level nor directives.
    #[error("log.level '{level}' is not understood")]
    Level {
        /// The level.
        level: String,
        /// The parser's own words.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process logs already.
    #[error("start logging")]
    Taken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts logging to stderr, once per process. `long_lived` adds the time to each line for people, who do not look at
/// it while it is written.
pub fn init(log: &Log, long_lived: bool) -> Result<(), TelemetryError> {
    // ONNX Runtime and the HTTP stack log a lot, and what watches folders warns of each that is removed; name them in the level to
    // see it.
    let filter = EnvFilter::builder()
        .parse(format!("ort=warn,hyper=warn,notify=error,{}", log.level))
        .map_err(|source| TelemetryError::Level { level: log.level.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Stderr);
    match (log.format, long_lived) {
        (LogFormat::Json, _) => lines.json().flatten_event(true).try_init(),
        (LogFormat::Text, true) => lines.with_ansi(false).try_init(),
        (LogFormat::Text, false) => {
            lines.with_ansi(false).with_target(false).without_time().compact().try_init()
        }
    }
    .map_err(TelemetryError::Taken)
}

/// What is shown at `/metrics`.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl From<PrometheusHandle> for Metrics {
    fn from(handle: PrometheusHandle) -> Self {
        Self(handle)
    }
}

impl Metrics {
    /// Starts collecting, once per process. No time that is measured is longer than `longest`.
    pub fn install(longest: Duration) -> Result<Self, BuildError> {
        process::started();
        let handle = measured::builder(longest)?.install_recorder()?;
        measured::describe();
        Ok(Self(handle))
    }

    /// All numbers, in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        process::render(&mut text);
        text
    }

    /// Sums up what was gathered, every few seconds, for as long as the runtime lives.
    pub fn keep(&self) {
        let handle = self.0.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                handle.run_upkeep();
            }
        });
    }
}

/// Metrics gathered in between are summed up so often.
const UPKEEP: Duration = Duration::from_secs(5);

/// Says on what a network that was loaded runs: in the log, and as a metric of value 1.
pub fn session(model: &ModelRef, provider: &str) {
    tracing::info!(%model, provider, "a network runs");
    metrics::gauge!(
        "docent_session_provider",
        "model" => model.to_string(),
        "provider" => provider.to_owned()
    )
    .set(1.0);
}

/// Says how many inputs a call of a network may have.
pub fn batch(model: &ModelRef, size: usize) {
    metrics::gauge!("docent_session_batch", "model" => model.to_string()).set(size as f64);
}

/// Calls its argument while nothing else writes to the terminal.
type Suspend = Box<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

static SUSPEND: RwLock<Option<Suspend>> = RwLock::new(None);

/// From now on log lines are written inside of `suspend`, which keeps a progress bar out of their way; `None` ends it.
pub fn write_through(suspend: Option<Suspend>) {
    *SUSPEND.write().unwrap_or_else(PoisonError::into_inner) = suspend;
}

fn alone(write: &mut dyn FnMut()) {
    match &*SUSPEND.read().unwrap_or_else(PoisonError::into_inner) {
        Some(suspend) => suspend(write),
        None => write(),
    }
}

/// Whether the last line was written.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Writes the last line that this process says: what its threads still have to say is about its end. Calls `then` before a
/// progress bar comes back.
pub fn last_words(text: &str, then: impl Fn()) {
    SILENT.store(true, Relaxed);
    alone(&mut || {
        let _ = writeln!(io::stderr(), "{text}");
        then();
    });
}

struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Stderr {
    // Called once for each line, with the whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if SILENT.load(Relaxed) {
            return Ok(line.len());
        }
        let mut result = Ok(());
        alone(&mut || result = io::stderr().write_all(line));
        result.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_network_runs_on_is_a_metric() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || session(&ModelRef::new("a", "1"), "CPUExecutionProvider"));
        let told = recorder.handle().render();
        let line = "docent_session_provider{model=\"a@1\",provider=\"CPUExecutionProvider\"} 1";
        assert!(told.lines().any(|told| told == line), "{told}");
    }
}
