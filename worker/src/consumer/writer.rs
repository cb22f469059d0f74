//! Writes finished analyses to index and ledger, several at a time, while the next picture is analyzed.
//!
//! It writes at once if nothing else is in progress, if somebody waits, or if the process ends. Otherwise it also writes what
//! finishes within [`BatchLimits::delay`]. Each walk waits for its own answer and then settles its delivery. A crash loses at
//! most the collected runs, and their deliveries come back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use docent_pipelines::{AssetId, VectorRecord, VectorSpace};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Count, Counted, Demand, Window};
use super::jitter;
use crate::disposition::{RetryPolicy, WalkError};
use crate::store::{Finished, Ledger, Recorded, StoreError};
use crate::vectors::{IndexError, VectorIndex};

/// A server that is away is asked at least this often whether it is back.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Limits of what is written together.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Most runs in one write. The same number may wait.
    pub runs: usize,
    /// Vectors that are enough for a write.
    pub vectors: usize,
    /// Longest time that a run waits for others.
    pub delay: Duration,
}

impl BatchLimits {
    /// Every run by itself.
    pub const SINGLY: Self = Self { runs: 1, vectors: 1, delay: Duration::ZERO };
}

/// One run on its way.
struct Entry {
    finished: Finished,
    /// Somebody waits for it.
    urgent: bool,
    reply: oneshot::Sender<Result<Recorded, WalkError>>,
}

enum Message {
    Record(Box<Entry>),
    /// Answer once everything that came before is written.
    Flush(oneshot::Sender<()>),
}

/// The walks' handle to the writer. Clones share it.
#[derive(Clone)]
pub struct BatchWriter {
    inbox: mpsc::Sender<Message>,
    at_work: Count,
}

impl BatchWriter {
    /// A writer, and the task that does the work, which ends when the last clone is dropped.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        index: Arc<dyn VectorIndex>,
        options: WriterOptions,
    ) -> (Self, WriterTask) {
        let at_work = Count::new();
        let (inbox, messages) = mpsc::channel(options.limits.runs.max(1));
        let task = WriterTask { ledger, index, options, messages, at_work: at_work.clone() };
        (Self { inbox, at_work }, task)
    }

    /// Says that something is going to be handed over, until the answer is dropped.
    pub fn expect(&self) -> Counted {
        self.at_work.one()
    }

    /// Waits until nothing else is going to be handed over than what its holder has to say.
    pub async fn expects_only(&self, _holder: &Counted) {
        self.at_work.at_most(1).await;
    }

    /// Hands a run over; waits while too many wait. The answer comes when it is written, or cannot be.
    pub async fn take(
        &self,
        finished: Finished,
        urgent: bool,
    ) -> oneshot::Receiver<Result<Recorded, WalkError>> {
        let (reply, answer) = oneshot::channel();
        // Without the task the answer is that there is none.
        drop(self.inbox.send(Message::Record(Box::new(Entry { finished, urgent, reply }))).await);
        answer
    }

    /// Waits until everything that was handed over is written.
    pub async fn flush(&self) {
        let (done, answer) = oneshot::channel();
        if self.inbox.send(Message::Flush(done)).await.is_ok() {
            drop(answer.await);
        }
    }
}

/// How runs are written.
pub struct WriterOptions {
    /// What is written together.
    pub limits: BatchLimits,
    /// When a server that is away is asked again.
    pub retry: RetryPolicy,
    /// How long a server that is away is waited for.
    pub patience: Duration,
    /// Nothing more is waited for.
    pub stop: CancellationToken,
}

/// Does the writing.
pub struct WriterTask {
    ledger: Arc<dyn Ledger>,
    index: Arc<dyn VectorIndex>,
    options: WriterOptions,
    messages: mpsc::Receiver<Message>,
    at_work: Count,
}

/// What is written next.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    assets: HashSet<AssetId>,
    vectors: usize,
    urgent: bool,
    flush: Option<oneshot::Sender<()>>,
    /// A second run over an asset is written after the first.
    next: Option<Box<Entry>>,
}

impl Batch {
    fn take(&mut self, message: Message) {
        match message {
            Message::Flush(done) => self.flush = Some(done),
            Message::Record(entry) if self.assets.contains(&entry.finished.run.asset) => {
                self.next = Some(entry);
            }
            Message::Record(entry) => {
                self.assets.insert(entry.finished.run.asset.clone());
                self.vectors += entry.finished.analysis.vectors.len();
                self.urgent |= entry.urgent;
                self.entries.push(*entry);
            }
        }
    }

    fn demand(&self, limits: &BatchLimits) -> Demand {
        let is_full = self.entries.len() >= limits.runs
            || self.vectors >= limits.vectors
            || self.flush.is_some()
            || self.next.is_some();
        match (is_full, self.urgent) {
            (true, _) => Demand::Full,
            (false, true) => Demand::Take,
            (false, false) => Demand::Wait,
        }
    }
}

impl WriterTask {
    /// Writes until nobody hands anything over any more.
    pub async fn write(mut self) {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(entry) => Message::Record(entry),
                None => match self.messages.recv().await {
                    Some(message) => message,
                    None => return,
                },
            };
            let batch = self.collect(first).await;
            let (runs, replies): (Vec<Finished>, Vec<_>) =
                batch.entries.into_iter().map(|entry| (entry.finished, entry.reply)).unzip();
            for (answer, reply) in self.persist(&runs).await.into_iter().zip(replies) {
                drop(reply.send(answer));
            }
            next = batch.next;
            if let Some(done) = batch.flush {
                // Those who gave up waiting need no answer.
                let _ = done.send(());
            }
        }
    }

    async fn collect(&mut self, first: Message) -> Batch {
        let WriterOptions { limits, stop, .. } = &self.options;
        let mut batch = Batch::default();
        Window { delay: limits.delay, others: &self.at_work, stop }
            .collect(first, &mut self.messages, |message| {
                batch.take(message);
                batch.demand(limits)
            })
            .await;
        batch
    }

    /// Writes all runs or, where that is refused, each by itself: a bad one costs only itself.
    async fn persist(&self, runs: &[Finished]) -> Vec<Result<Recorded, WalkError>> {
        if runs.is_empty() {
            return Vec::new();
        }
        metrics::histogram!("docent_recorded_together").record(runs.len() as f64);
        match self.patiently(runs).await {
            Ok(recorded) => recorded.into_iter().map(Ok).collect(),
            Err(error) if runs.len() == 1 => vec![Err(error)],
            Err(error) if is_away(&error) => runs.iter().map(|_| Err(again(&error))).collect(),
            Err(error @ WalkError::Index(IndexError::Refused { .. })) => {
                // A run without vectors does not need the index.
                let mut answers = Vec::with_capacity(runs.len());
                for run in runs.chunks(1) {
                    answers.push(match run.iter().all(|run| run.analysis.vectors.is_empty()) {
                        true => self.patiently(run).await.map(first),
                        false => Err(again(&error)),
                    });
                }
                answers
            }
            Err(_) => {
                let mut answers = Vec::with_capacity(runs.len());
                for run in runs.chunks(1) {
                    answers.push(self.patiently(run).await.map(first));
                }
                answers
            }
        }
    }

    /// Vectors, then rows. Both can be repeated, so what a server that is away has not answered is asked again:
    /// analyzing is what costs.
    async fn patiently(&self, runs: &[Finished]) -> Result<Vec<Recorded>, WalkError> {
        let deadline = Instant::now() + self.options.patience;
        let mut attempt = 0;
        loop {
            let error = match self.once(runs).await {
                Ok(recorded) => return Ok(recorded),
                Err(error) => error,
            };
            attempt += 1;
            let wait = self.options.retry.delay(attempt, jitter()).min(LONGEST_WAIT);
            if !is_away(&error) || Instant::now() + wait > deadline {
                return Err(error);
            }
            tracing::warn!(
                runs = runs.len(),
                error = &error as &dyn std::error::Error,
                attempt,
                "cannot record; waiting"
            );
            tokio::time::sleep(wait).await;
        }
    }

    async fn once(&self, runs: &[Finished]) -> Result<Vec<Recorded>, WalkError> {
        let mut vectors: Vec<VectorRecord> =
            runs.iter().flat_map(|finished| finished.analysis.vectors.iter().cloned()).collect();
        if !vectors.is_empty() {
            vectors.sort_by(|a, b| a.space.cmp(&b.space));
            self.index.upsert(&vectors).await?;
        }
        self.prune(runs).await?;
        let recorded = self.ledger.record(runs).await;
        if let Err(StoreError::Forgotten { asset }) = &recorded {
            // What was forgotten while it was analyzed leaves no vectors either.
            self.index.forget(std::slice::from_ref(asset)).await?;
        }
        Ok(recorded?)
    }

    /// Removes from the index what an earlier run found and this one does not, such as a face: one call for each space
    /// in which there may be something. A picture as a whole is overwritten.
    async fn prune(&self, runs: &[Finished]) -> Result<(), WalkError> {
        let mut of_parts: BTreeMap<&VectorSpace, Vec<&Finished>> = BTreeMap::new();
        for finished in runs {
            for space in finished.analysis.spaces.iter().filter(|space| space.is_of_parts()) {
                of_parts.entry(space).or_default().push(finished);
            }
        }
        for (space, runs) in of_parts {
            let assets: Vec<AssetId> = runs.iter().map(|finished| finished.run.asset.clone()).collect();
            let holders = self.ledger.holders(space, &assets).await?;
            if holders.is_empty() {
                continue;
            }
            let vectors = runs.iter().flat_map(|finished| &finished.analysis.vectors);
            let keep: Vec<&str> = vectors.filter(|v| v.space == *space).map(|v| v.id.as_str()).collect();
            self.index.prune(space, &holders, &keep).await?;
        }
        Ok(())
    }
}

fn first(recorded: Vec<Recorded>) -> Recorded {
    recorded.into_iter().next().unwrap_or_default()
}

fn is_away(error: &WalkError) -> bool {
    match error {
        WalkError::Store(error) => error.may_pass(),
        WalkError::Index(error) => error.may_pass(),
        _ => false,
    }
}

/// A copy of an error for another run that it concerns.
fn again(error: &WalkError) -> WalkError {
    match error {
        WalkError::Index(IndexError::Unavailable { operation, source }) => {
            WalkError::Index(IndexError::Unavailable { operation, source: anyhow::anyhow!("{source:#}") })
        }
        WalkError::Index(IndexError::Refused { operation, source }) => {
            WalkError::Index(IndexError::Refused { operation, source: anyhow::anyhow!("{source:#}") })
        }
        WalkError::Store(StoreError::Unavailable { operation, source }) => {
            WalkError::Store(StoreError::Unavailable { operation, source: anyhow::anyhow!("{source:#}") })
        }
        WalkError::Store(StoreError::Refused { operation, source }) => {
            WalkError::Store(StoreError::Refused { operation, source: anyhow::anyhow!("{source:#}") })
        }
        other => WalkError::Store(StoreError::Unavailable {
            operation: "record runs",
            source: anyhow::anyhow!("{other}"),
        }),
    }
}
