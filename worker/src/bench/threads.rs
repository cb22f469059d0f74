//! Whether more or fewer threads in each call of a network would cost less.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use docent_pipelines::{AnalyzerId, Pipeline};
use tokio_util::sync::CancellationToken;

use super::{costs, machine};
use crate::app::{App, load_pipeline};

/// Pictures that are looked at. They differ much in their cost, but each is looked at with both numbers.
const PICTURES: usize = 24;

/// Processor seconds for each picture with the configured number of threads, and with another one: all cores, or a single one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Threads {
    /// The configured number, and seconds.
    pub configured: (usize, f64),
    /// The other one, and seconds.
    pub other: (usize, f64),
}

impl Threads {
    /// By what the time of the stages is multiplied with the better of the two.
    pub fn gain(&self) -> f64 {
        let gain = self.other.1 / self.configured.1;
        if gain.is_finite() { gain.min(1.0) } else { 1.0 }
    }
}

/// Looks at some of `files` with both in turn. Nothing where there is no choice: with one core, or where it is not the processor
/// that computes.
pub(super) async fn measure(
    app: &App,
    analyzers: &[AnalyzerId],
    files: &[PathBuf],
    stop: &CancellationToken,
) -> anyhow::Result<Option<Threads>> {
    let cores = machine::cores();
    let configured = app.config().work.threads_per_session;
    let other = if configured == 1 { cores } else { 1 };
    if other == configured {
        return Ok(None);
    }
    let first = load(app, configured, analyzers).await?;
    if first.providers().is_empty()
        || first.providers().iter().any(|(_, name)| name != "CPUExecutionProvider")
    {
        return Ok(None);
    }
    let second = load(app, other, analyzers).await?;
    let step = files.len().div_ceil(PICTURES).max(1);
    let mut sums = [Duration::ZERO; 2];
    let mut pictures = 0;
    // A network's first call is slower.
    for (number, file) in files.iter().take(1).chain(files.iter().step_by(step)).enumerate() {
        anyhow::ensure!(!stop.is_cancelled(), "stopped before the end; nothing was measured");
        let mut spent = [Duration::ZERO; 2];
        let mut seen = true;
        for (pipeline, spent) in [&first, &second].into_iter().zip(&mut spent) {
            let start = machine::own();
            seen &= costs::look(app, pipeline, file).await?.is_some_and(|(seen, _)| seen.picture.is_some());
            *spent = machine::own().saturating_sub(start);
        }
        if seen && number > 0 {
            sums.iter_mut().zip(spent).for_each(|(sum, spent)| *sum += spent);
            pictures += 1;
        }
    }
    drop(tokio::task::spawn_blocking(move || drop((first, second))).await);
    let [first, second] = sums.map(|sum| sum.as_secs_f64() / f64::from(pictures.max(1)));
    Ok((pictures > 0).then_some(Threads { configured: (configured, first), other: (other, second) }))
}

/// Networks with so many threads in a call, and one session each.
async fn load(app: &App, threads: usize, analyzers: &[AnalyzerId]) -> anyhow::Result<Arc<Pipeline>> {
    let mut config = app.config().clone();
    (config.work.threads_per_session, config.work.sessions) = (threads, 1);
    Ok(Arc::new(load_pipeline(&config, Arc::clone(app.pack()), analyzers.to_vec()).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_number_counts() {
        let gain = |configured, other| Threads { configured: (1, configured), other: (2, other) }.gain();
        assert!((gain(0.2, 0.1) - 0.5).abs() < 1e-9);
        assert!((gain(0.2, 0.3) - 1.0).abs() < 1e-9);
        assert!((gain(0.0, 0.0) - 1.0).abs() < 1e-9);
    }
}
