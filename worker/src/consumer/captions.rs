//! Captions wait for each other where nobody waits for them: together they cost half as much.
//!
//! By the time a picture lacks nothing but its caption it is no longer needed, so what waits is small, and the picture's
//! place is free for the next one.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use docent_pipelines::executor::{Hold, Limit, panic_message};
use docent_pipelines::pipeline::Uncaptioned;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Failure, FailureKind, Pipeline};
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::gathering::{Count, Counted, Missing, Patience};

/// A caption waits for others this long at most.
const DELAY: Duration = Duration::from_secs(2);

/// A picture that lacks nothing but its caption.
struct Entry {
    asset: AssetId,
    analysis: Analysis,
    uncaptioned: Uncaptioned,
    reply: oneshot::Sender<Analysis>,
}

/// The walks' end of the desk where captions are made together. Clones share it.
#[derive(Clone)]
pub(super) struct Captions {
    inbox: mpsc::Sender<Entry>,
    room: Arc<Semaphore>,
    looking: Count,
}

/// How captions are made together.
pub(super) struct CaptionOptions {
    /// Pictures in work at once.
    pub in_flight: usize,
    /// Longest time for one call.
    pub timeout: Duration,
    /// Nothing more is waited for.
    pub stop: CancellationToken,
}

/// Makes them.
pub(super) struct CaptionDesk {
    pipeline: Arc<Pipeline>,
    options: CaptionOptions,
    together: usize,
    entries: mpsc::Receiver<Entry>,
    looking: Count,
}

/// How many pictures may wait for their captions: one group gathers while others are answered.
pub(crate) fn room(in_flight: usize, together: usize) -> usize {
    together + in_flight.max(together)
}

/// An upload finds a session that no group keeps busy, where there is more than one.
fn groups_at_once(sessions: usize) -> usize {
    sessions.saturating_sub(1).max(1)
}

impl Captions {
    /// A desk and what does its work, which ends when the last clone is dropped. Nothing where captions are no cheaper
    /// together.
    pub fn new(pipeline: &Arc<Pipeline>, options: CaptionOptions) -> Option<(Self, CaptionDesk)> {
        let together = pipeline.captions_together();
        if together < 2 {
            return None;
        }
        let room = room(options.in_flight, together);
        let (inbox, entries) = mpsc::channel(room);
        let looking = Count::new();
        let desk = CaptionDesk {
            pipeline: Arc::clone(pipeline),
            options,
            together,
            entries,
            looking: looking.clone(),
        };
        Some((Self { inbox, room: Arc::new(Semaphore::new(room)), looking }, desk))
    }

    /// Says that a picture is looked at that may lack a caption later, until the answer is dropped.
    pub fn looking(&self) -> Counted {
        self.looking.one()
    }

    /// Waits for room; until then the picture's place has to be kept.
    pub async fn room(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Hands over what is known of a picture; it comes back with its caption, or with why there is none.
    pub async fn hand_over(
        &self,
        asset: AssetId,
        analysis: Analysis,
        uncaptioned: Uncaptioned,
    ) -> oneshot::Receiver<Analysis> {
        let (reply, answer) = oneshot::channel();
        // Without a desk the answer is that there is none.
        drop(self.inbox.send(Entry { asset, analysis, uncaptioned, reply }).await);
        answer
    }
}

impl CaptionDesk {
    /// Makes captions until nobody asks for any more.
    pub async fn serve(mut self) {
        let patience = Patience { delay: DELAY, others: &self.looking, stop: &self.options.stop };
        let mut groups = JoinSet::new();
        let most = groups_at_once(self.pipeline.caption_sessions());
        while let Some(first) = self.entries.recv().await {
            while groups.len() >= most {
                groups.join_next().await;
            }
            let mut group = Vec::with_capacity(self.together);
            let take = |entry| {
                group.push(entry);
                if group.len() < self.together { Missing::More } else { Missing::Room }
            };
            patience.gather(first, &mut self.entries, take).await;
            metrics::histogram!("docent_captioned_together").record(group.len() as f64);
            groups.spawn(answer(Arc::clone(&self.pipeline), self.options.timeout, group));
        }
        while groups.join_next().await.is_some() {}
    }
}

async fn answer(pipeline: Arc<Pipeline>, timeout: Duration, group: Vec<Entry>) {
    let mut requests = Vec::with_capacity(group.len());
    let mut waiting = Vec::with_capacity(group.len());
    for Entry { asset, analysis, uncaptioned, reply } in group {
        requests.push(uncaptioned);
        waiting.push((asset, analysis, reply));
    }
    let pictures = requests
        .into_iter()
        .zip(&mut waiting)
        .map(|(uncaptioned, (asset, analysis, _))| (uncaptioned, &*asset, analysis))
        .collect();
    // The pictures' places are free for others; the captioner's calls are as many as it has sessions.
    let hold: Weak<Hold> = Weak::<()>::new();
    let limit = Limit { time: timeout, option: "work.timeout_seconds", hold };
    let trouble = trouble(pipeline.caption(Some(&limit), pictures)).await;
    for (_, mut analysis, reply) in waiting {
        settle(&mut analysis, trouble.as_deref());
        // Whoever gave up waiting needs no answer.
        drop(reply.send(analysis));
    }
}

/// Why a group could not be captioned, if it could not.
async fn trouble(captioned: impl Future<Output = ()>) -> Option<String> {
    let panic = AssertUnwindSafe(captioned).catch_unwind().await.err()?;
    Some(format!("caption: crashed: {}", panic_message(panic.as_ref())))
}

/// What the trouble of a group means for one of its pictures: nothing, if it has its caption or its own failure.
fn settle(analysis: &mut Analysis, trouble: Option<&str>) {
    let analyzer = AnalyzerId::Caption;
    let is_settled = analysis.completed.contains_key(&analyzer)
        || analysis.failures.iter().any(|failure| failure.analyzer == analyzer);
    if let (Some(reason), false) = (trouble, is_settled) {
        // It may be another one's fault, and is then well the next time.
        let kind = FailureKind::Transient;
        analysis.failures.push(Failure { analyzer, kind, reason: reason.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_find_a_session_free() {
        assert_eq!([0, 1, 2, 5].map(groups_at_once), [1, 1, 1, 4]);
    }

    #[tokio::test]
    async fn trouble_costs_only_captions_that_are_not_there_yet() {
        assert_eq!(trouble(async {}).await, None);
        let crashed = trouble(async { panic!("no such word") }).await;
        assert_eq!(crashed.as_deref(), Some("caption: crashed: no such word"));

        let mut open = Analysis::default();
        settle(&mut open, None);
        assert!(open.failures.is_empty());
        settle(&mut open, crashed.as_deref());
        let [failure] = open.failures.as_slice() else { panic!("{open:?}") };
        assert_eq!((failure.analyzer, failure.kind), (AnalyzerId::Caption, FailureKind::Transient));
        // A failure of its own stays alone.
        settle(&mut open, Some("caption: crashed: once more"));
        assert_eq!(open.failures.len(), 1);
    }
}
