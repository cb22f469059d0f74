//! Shows the progress of one picture to those who wait for it on another thread.

use std::any::Any;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::analyzers::{AnalyzerError, AnalyzerId, Findings, Limits};
use crate::executor::{Hold, Limit};

/// One analyzer's answer, and its time.
pub(super) type Outcome = (AnalyzerId, Duration, std::thread::Result<Result<Findings, AnalyzerError>>);

/// Watches the steps of a picture's analysis: the current step, its start, and the results so far.
#[derive(Default)]
pub struct Watch {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    at: Option<(AnalyzerId, Instant)>,
    found: BTreeMap<usize, Outcome>,
}

/// Limits for steps.
#[derive(Debug, Clone, Copy)]
pub struct StepTimes {
    /// The limit for each step except Tesseract's reading, and the name of its option.
    pub step: (Duration, &'static str),
    /// The limit for Tesseract's reading, and the name of its option.
    pub reading: (Duration, &'static str),
}

/// A step over its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// The analyzer.
    pub analyzer: AnalyzerId,
    /// Its limit.
    pub limit: Duration,
}

impl Watch {
    /// Watches a picture whose steps may take so long. `hold` is kept by every call of a network while it lasts, and by
    /// nothing else here.
    pub fn new<T: Any + Send + Sync>(times: &StepTimes, hold: &Arc<T>) -> Self {
        let hold: Arc<Hold> = Arc::clone(hold) as Arc<Hold>;
        let limit = |(time, option)| Some(Limit { time, option, hold: Arc::downgrade(&hold) });
        let limits = Limits { step: limit(times.step), reading: limit(times.reading) };
        Self { limits, state: Mutex::default() }
    }

    /// Runs a step of the picture's own thread.
    pub fn step<T>(&self, analyzer: AnalyzerId, step: impl FnOnce() -> T) -> T {
        let _at = At::new(self, analyzer);
        step()
    }

    /// When the present step is over its time; a limit from now on if there is no such step.
    pub fn due(&self) -> Option<Instant> {
        let limit = self.limits.step.as_ref()?.time;
        let since = self.state().at.map_or_else(Instant::now, |(_, since)| since);
        since.checked_add(limit)
    }

    /// The present step, if it is over its time.
    pub fn overdue(&self) -> Option<Overdue> {
        let limit = self.limits.step.as_ref()?.time;
        let (analyzer, since) = self.state().at?;
        (since.elapsed() >= limit).then_some(Overdue { analyzer, limit })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Runs the steps of an analyzer that are made on the picture's own thread.
    pub(super) async fn steps<F: Future>(&self, analyzer: AnalyzerId, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(|context| -> Poll<F::Output> {
            self.step(analyzer, || work.as_mut().poll(context))
        })
        .await
    }

    /// Keeps what the analyzer in this place has found.
    pub(super) fn keep(&self, place: usize, outcome: Outcome) {
        self.state().found.insert(place, outcome);
    }

    /// What was found so far, in the order of the analyzers.
    pub(super) fn found(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.state().found).into_values().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole between statements, also after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step that lasts until this is dropped, by a panic as well.
struct At<'a>(&'a Watch);

impl<'a> At<'a> {
    fn new(watch: &'a Watch, analyzer: AnalyzerId) -> Self {
        watch.state().at = Some((analyzer, Instant::now()));
        Self(watch)
    }
}

impl Drop for At<'_> {
    fn drop(&mut self) {
        self.0.state().at = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use docent_models::ModelRef;
    use futures_util::future::{BoxFuture, FutureExt};

    use super::*;
    use crate::analysis::Late;
    use crate::analyzers::{Analyzer, Subject};
    use crate::asset::ContentHash;
    use crate::{DecodeLimits, Image, Pipeline};

    /// Done at once, or kept in its own thread between two meetings.
    struct Glance(AnalyzerId, Option<Arc<Barrier>>);

    impl Analyzer for Glance {
        fn id(&self) -> AnalyzerId {
            self.0
        }

        fn analyze<'a>(&'a self, _: &'a Subject<'a>) -> BoxFuture<'a, Result<Findings, AnalyzerError>> {
            async {
                if let Some(meeting) = &self.1 {
                    meeting.wait();
                    meeting.wait();
                }
                Ok(Findings::default())
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn what_was_found_is_kept_when_a_step_does_not_end() {
        let bytes = include_bytes!("../../../tests/fixtures/pictures/coffee.jpg");
        let image = Image::decode(bytes, &DecodeLimits::default()).expect("a picture");
        let wanted = [AnalyzerId::Tags, AnalyzerId::Objects, AnalyzerId::Faces];
        let models = wanted.map(|id| (id, ModelRef::new(id.as_str(), "1"))).into();
        let meeting = Arc::new(Barrier::new(2));
        let analyzers: Vec<Box<dyn Analyzer>> = vec![
            Box::new(Glance(AnalyzerId::Tags, None)),
            Box::new(Glance(AnalyzerId::Objects, Some(Arc::clone(&meeting)))),
            Box::new(Glance(AnalyzerId::Faces, None)),
        ];
        let pipeline = Pipeline::of(analyzers, models);
        let asset = ContentHash::of(bytes).asset_id();
        let step = (Duration::from_millis(20), "an option");
        let watch = Watch::new(&StepTimes { step, reading: step }, &Arc::new(()));
        assert_eq!(watch.overdue(), None);
        std::thread::scope(|scope| {
            let work = || pipeline.analyze_watched(&asset, &image, &wanted, &watch).now_or_never();
            let thread = scope.spawn(work);
            meeting.wait();
            let overdue = loop {
                match watch.overdue() {
                    Some(overdue) => break overdue,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!((overdue.analyzer, overdue.limit), (AnalyzerId::Objects, step.0));
            let analysis = pipeline.abandon(&asset, &wanted, &watch, &overdue);
            assert_eq!(analysis.completed.keys().collect::<Vec<_>>(), [&AnalyzerId::Tags]);
            assert_eq!(analysis.late.len(), 2);
            assert_eq!(analysis.late[&AnalyzerId::Objects], Late::Overdue(step.0));
            let reasons: Vec<&str> = analysis.failures.iter().map(|failure| &*failure.reason).collect();
            assert_eq!(reasons, ["objects: not finished after 0.02 s (work.timeout_seconds)"; 2]);
            meeting.wait();
            assert!(thread.join().expect("ends").is_some());
        });
        assert_eq!(watch.overdue(), None);
    }
}
