//! Learns from what was decided.

use docent_pipelines::VectorSpace;
use docent_pipelines::terms::{Background, LEAST_EXAMPLES, Rule, learn};
use docent_pipelines::vocabulary::{TermId, Vocabulary};
use serde::{Deserialize, Serialize};

use super::{TermMatching, TermsError};
use crate::store::{Example, StoredHead};

/// What a head was learned from, and how good it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// Decided pictures that show the term.
    pub accepted: u64,
    /// Decided pictures that do not.
    pub rejected: u64,
    /// Held-out decisions that the earlier rule answers rightly, 0..=1.
    pub accuracy_before: f64,
    /// Held-out decisions that the head answers rightly, 0..=1.
    pub accuracy: f64,
    /// Held-out offers of the head that are right, 0..=1.
    pub precision: f64,
    /// Held-out pictures that show the term and are offered, 0..=1.
    pub recall: f64,
}

/// What came of learning a term.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Taught {
    /// The term.
    pub term: TermId,
    /// Its name.
    pub name: String,
    /// Whether the head is used.
    pub used: bool,
    /// Its figures.
    #[serde(flatten)]
    pub lesson: Lesson,
}

/// Most decisions of each answer that are learned from.
const MOST: u32 = 1000;
/// Other pictures of the archive that are learned from.
const OTHERS: usize = 512;
/// A term is learned again when so many more are decided.
const MORE: f64 = 1.25;

impl TermMatching {
    /// Learns the terms of which more was decided than when they were learned last, or only one, whatever was decided. A head
    /// is used only if held-out decisions say that it is better.
    pub async fn learn(&self, only: Option<&TermId>) -> Result<Vec<Taught>, TermsError> {
        let Some(space) = self.space().await? else { return Ok(Vec::new()) };
        let known = self.store.vocabulary().await?;
        let heads = self.store.heads(&space).await?;
        let mut background: Option<Background> = None;
        let mut taught = Vec::new();
        for (term, accepted, rejected) in self.store.decided_terms().await? {
            let head = heads.iter().find(|head| head.term == term);
            let is_asked = only.is_none_or(|only| *only == term);
            let decided = accepted + rejected;
            if !is_asked || decided < LEAST_EXAMPLES as u64 || accepted == 0 {
                continue;
            }
            if only.is_none() && head.is_some_and(|head| (decided as f64) < learned_from(head) * MORE) {
                continue;
            }
            let background = match &background {
                Some(background) => background,
                None => background.insert(self.background(&space).await?),
            };
            taught.extend(self.teach(&known, &space, term, head, background).await?);
        }
        if taught.iter().any(|taught| taught.used) {
            self.see(None);
        }
        Ok(taught)
    }

    async fn teach(
        &self,
        known: &Vocabulary,
        space: &VectorSpace,
        term: TermId,
        head: Option<&StoredHead>,
        background: &Background,
    ) -> Result<Option<Taught>, TermsError> {
        let Some(named) = known.term(&term).filter(|named| named.id == term) else { return Ok(None) };
        let examples = self.store.examples(&term, space, MOST).await?;
        let Some(dimensions) = examples.first().map(|example| example.vector.len()) else { return Ok(None) };
        let earlier = self.untaught(known, space, &term, background).await?.unwrap_or(Rule {
            weights: vec![0.0; dimensions],
            bias: 0.0,
            least: 0.5,
        });
        let others: Vec<Vec<f32>> = background.vectors().take(OTHERS).map(<[f32]>::to_vec).collect();
        let learned = tokio::task::spawn_blocking(move || {
            let lent: Vec<(bool, &[f32])> =
                examples.iter().map(|Example { shows, vector }| (*shows, vector.as_slice())).collect();
            // Pictures that surely show it are not taken for pictures that do not.
            let others: Vec<&[f32]> = others
                .iter()
                .map(Vec::as_slice)
                .filter(|other| {
                    other.len() == earlier.weights.len() && earlier.probability(other) < earlier.least
                })
                .collect();
            let shown = lent.iter().filter(|(shows, _)| *shows).count() as u64;
            learn(&lent, &others, &earlier).map(|learned| (shown, lent.len() as u64 - shown, learned))
        })
        .await
        .map_err(|error| TermsError::Heads(error.to_string()))?;
        let Some((accepted, rejected, learned)) = learned else { return Ok(None) };
        let lesson = Lesson {
            accepted,
            rejected,
            accuracy_before: learned.before.accuracy(),
            accuracy: learned.after.accuracy(),
            precision: learned.after.precision(),
            recall: learned.after.recall(),
        };
        let stored = StoredHead {
            term: term.clone(),
            version: head.map_or(0, |head| head.version) + 1,
            used: learned.better,
            figures: serde_json::to_string(&lesson).unwrap_or_default(),
            weights: learned.rule.weights,
            bias: learned.rule.bias,
            least: learned.rule.least,
        };
        self.store.keep_head(space, &stored).await?;
        Ok(Some(Taught { term, name: known.tag(named).to_owned(), used: stored.used, lesson }))
    }

    /// Throws a head away: the term is told as if nobody had decided, until a quarter more is decided.
    pub async fn forget(&self, term: &TermId) -> Result<bool, TermsError> {
        let Some(space) = self.space().await? else { return Ok(false) };
        let heads = self.store.heads(&space).await?;
        let Some(head) = heads.into_iter().find(|head| head.term == *term && head.used) else {
            return Ok(false);
        };
        let head = StoredHead { used: false, version: head.version + 1, ..head };
        self.store.keep_head(&space, &head).await?;
        self.see(None);
        Ok(true)
    }

    /// What was learned, of all terms that were learned.
    pub async fn lessons(&self) -> Result<Vec<Taught>, TermsError> {
        let Some(space) = self.space().await? else { return Ok(Vec::new()) };
        let known = self.store.vocabulary().await?;
        let heads = self.store.heads(&space).await?;
        let taught = |head: StoredHead| {
            let lesson = serde_json::from_str(&head.figures).ok()?;
            let name = known.tag(known.term(&head.term)?).to_owned();
            Some(Taught { term: head.term, name, used: head.used, lesson })
        };
        Ok(heads.into_iter().filter_map(taught).collect())
    }
}

/// Decisions that a head was learned from.
fn learned_from(head: &StoredHead) -> f64 {
    let lesson: Option<Lesson> = serde_json::from_str(&head.figures).ok();
    lesson.map_or(0.0, |lesson| (lesson.accepted + lesson.rejected) as f64)
}
