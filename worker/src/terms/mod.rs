//! Applies the vocabulary to pictures by their stored vectors, in the background: no network runs over any picture.
//!
//! Each term has a rule in the searched space and a number: the last vector that the rule was applied to. A new picture is a
//! vector behind all numbers, a changed term is a number that goes back to 0. So there is one way for both, it goes on where a
//! process died, and several processes can share it.

mod apply;
mod learning;
mod rules;
mod trial;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use docent_models::Pack;
use docent_pipelines::VectorSpace;
use docent_pipelines::terms::{Heads, HeadsError};
use docent_pipelines::vocabulary::{TermId, Vocabulary};
pub use learning::{Lesson, Taught};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
pub use trial::Trial;

use crate::search::{Search, SearchError};
use crate::store::{Standing, Store, StoreError};

/// Why terms cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum TermsError {
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The networks of the space.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The file of heads that belongs to the space.
    #[error("{0}")]
    Heads(String),
}

impl From<HeadsError> for TermsError {
    fn from(error: HeadsError) -> Self {
        Self::Heads(error.to_string())
    }
}

/// How far the terms are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Terms with a rule in the searched space.
    pub terms: u64,
    /// Terms that are not yet applied to every picture.
    pub behind: u64,
    /// Pictures that the last of them was applied to, as far as numbers of vectors tell …
    pub done: u64,
    /// … of so many.
    pub of: u64,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something; there may be more.
    Did,
    /// Nothing is left to do.
    Idle,
}

/// What there is to match.
struct Prepared {
    known: Arc<Vocabulary>,
    space: VectorSpace,
    newest: i64,
    renewed: bool,
}

/// Pause between two looks.
const REST: Duration = Duration::from_secs(2);
/// Between two looks for decisions to learn from.
const LEARN: Duration = Duration::from_secs(300);

/// What applies the vocabulary.
pub struct TermMatching {
    store: Arc<dyn Store>,
    search: Search,
    pack: Arc<Pack>,
    owner: String,
    /// What the rules were made of, as long as nothing of it changed.
    seen: std::sync::Mutex<Option<rules::Seen>>,
    /// One step at a time: two at once would do the same.
    stepping: tokio::sync::Mutex<()>,
}

impl TermMatching {
    /// With the networks of `search`, for the process `owner`.
    pub fn new(store: Arc<dyn Store>, search: Search, pack: Arc<Pack>, owner: String) -> Self {
        Self {
            store,
            search,
            pack,
            owner,
            seen: std::sync::Mutex::default(),
            stepping: tokio::sync::Mutex::default(),
        }
    }

    /// Applies whatever is to be applied until `stop`, and learns now and then from what was decided. Retries what fails.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut failing = false;
        let mut learned = tokio::time::Instant::now();
        loop {
            let outcome = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                outcome = self.step() => outcome,
            };
            let idle = !matches!(outcome, Ok(Step::Did));
            if let Err(error) = &outcome
                && !failing
            {
                tracing::warn!(error = error as &dyn std::error::Error, "the vocabulary has to wait");
            }
            failing = outcome.is_err();
            if !idle {
                continue;
            }
            if learned.elapsed() >= LEARN && !failing {
                if let Err(error) = self.learn(None).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot learn from decisions now"
                    );
                }
                learned = tokio::time::Instant::now();
            }
            if stop.run_until_cancelled(tokio::time::sleep(REST)).await.is_none() {
                return;
            }
        }
    }

    /// Applies what is to be applied now, until it is done or `stop`. `told` hears how far it is.
    pub async fn catch_up(
        &self,
        stop: &CancellationToken,
        mut told: impl FnMut(Applied),
    ) -> Result<(), TermsError> {
        while !stop.is_cancelled() && self.step().await? == Step::Did {
            told(self.applied().await?);
        }
        Ok(())
    }

    /// How far the terms are.
    pub async fn applied(&self) -> Result<Applied, TermsError> {
        let Some(space) = self.space().await? else { return Ok(Applied::default()) };
        let newest = self.store.newest_vector(&space).await?;
        let Standing { terms, behind, from, .. } = self.store.standing(&space, newest).await?;
        Ok(Applied { terms, behind, done: from.unwrap_or(newest).unsigned_abs(), of: newest.unsigned_abs() })
    }

    /// Where the rules of some terms come from, of those that have one: `prompts`, `head` or `decisions`.
    pub async fn sources(&self, terms: &[TermId]) -> Result<HashMap<TermId, String>, TermsError> {
        let Some(space) = self.space().await? else { return Ok(HashMap::new()) };
        Ok(self.store.rule_sources(&space, terms).await?.into_iter().collect())
    }

    /// The searched space, if there are networks for one.
    async fn space(&self) -> Result<Option<VectorSpace>, TermsError> {
        match self.search.space().await {
            Ok(space) => Ok(Some(space)),
            Err(SearchError::NoModel(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the rules that are missing, and applies none.
    pub async fn prepare(&self) -> Result<(), TermsError> {
        self.prepared().await.map(drop)
    }

    /// The vocabulary, the space, its newest vector, and whether rules had to be made; `None` if there is nothing to match.
    async fn prepared(&self) -> Result<Option<Prepared>, TermsError> {
        let known = self.store.vocabulary().await?;
        let Some(space) = self.space().await? else { return Ok(None) };
        let newest = self.store.newest_vector(&space).await?;
        if (known.is_empty() && known.revision == 0) || newest == 0 {
            return Ok(None);
        }
        let seen = rules::Seen::new(&known, &space, newest, self.store.head_count(&space).await?);
        let renewed = !self.has_seen(&seen);
        if renewed {
            self.renew_rules(&known, &space, &seen).await?;
            self.see(Some(seen));
        }
        Ok(Some(Prepared { known, space, newest, renewed }))
    }

    async fn step(&self) -> Result<Step, TermsError> {
        let _turn = self.stepping.lock().await;
        if self.store.advance_terms().await? {
            return Ok(Step::Did);
        }
        let Some(Prepared { known, space, newest, renewed }) = self.prepared().await? else {
            return Ok(Step::Idle);
        };
        if renewed {
            return Ok(Step::Did);
        }
        // The terms that are furthest behind, and others that are as far. Where the next ones wait, they go on together.
        let Standing { from: Some(from), until, .. } = self.store.standing(&space, newest).await? else {
            return Ok(Step::Idle);
        };
        let group = self.store.rules(&space, Some(from)).await?;
        self.apply(&known, &space, &group, from, until.unwrap_or(newest).min(newest)).await
    }

    fn has_seen(&self, seen: &rules::Seen) -> bool {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_ref() == Some(seen)
    }

    fn see(&self, seen: Option<rules::Seen>) {
        *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = seen;
    }

    /// The heads that come with a space, if any do.
    fn bundled_heads(
        &self,
        image: &docent_models::manifest::ModelEntry,
        space: &VectorSpace,
    ) -> Result<Heads, TermsError> {
        if !image.files.contains_key("heads") {
            return Ok(Heads::default());
        }
        let text =
            self.pack.read_text(image, "heads").map_err(|error| TermsError::Heads(error.to_string()))?;
        Ok(Heads::parse(&text, space.as_str())?)
    }
}
