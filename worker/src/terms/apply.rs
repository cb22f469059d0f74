//! What a group of terms says of the next pictures.

use docent_models::ModelRef;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::terms::{Matcher, Rule};
use docent_pipelines::vocabulary::{TermId, Vocabulary};
use docent_pipelines::{AnalyzerId, AssetId, Confidence, Kind, Suggestion, VectorSpace};

use super::{Step, TermMatching, TermsError};
use crate::search::SearchError;
use crate::store::{MatchedPortion, StoredRule};
use crate::vectors::{IndexError, Neighbor};

/// Vectors that are compared and recorded together.
pub(super) const PORTION: u32 = 2048;
/// Of few terms, so many: most vectors show none of them.
const LARGE_PORTION: u32 = 8192;
const FEW: usize = 16;
/// The index is asked for the best so many, and once more for this many. A term of more pictures goes through all vectors.
const ASKED: [usize; 2] = [256, 4096];

/// The vectors that a group is applied to.
struct Span<'a> {
    space: &'a VectorSpace,
    group: &'a [StoredRule],
    from: i64,
    to: i64,
}

impl TermMatching {
    /// Applies a group of terms to the next vectors, up to `until` at most.
    pub(super) async fn apply(
        &self,
        known: &Vocabulary,
        space: &VectorSpace,
        group: &[StoredRule],
        from: i64,
        until: i64,
    ) -> Result<Step, TermsError> {
        let said: Vec<Option<Said>> = group.iter().map(|rule| Said::of(known, rule, space)).collect();
        let portion = if group.len() <= FEW { LARGE_PORTION } else { PORTION };
        // A few terms and many vectors: the index knows the few that are near enough.
        if group.len() <= FEW
            && until - from > i64::from(portion)
            && let Some(found) = self.asked(group, &said).await?
        {
            return self.recorded(Span { space, group, from, to: until }, None, &found).await;
        }
        let mut page = self.store.vectors_after(space, from, portion).await?;
        page.retain(|(number, _)| *number <= until);
        let to = match page.last() {
            Some((last, _)) if page.len() == portion as usize => *last,
            // Numbers up to here are taken, by vectors that were written again since.
            _ => until,
        };
        let dimensions = group.first().map_or(0, |rule| rule.weights.len());
        let mut vectors = Vec::with_capacity(page.len() * dimensions);
        let mut assets: Vec<AssetId> = Vec::with_capacity(page.len());
        for (_, record) in page.into_iter().filter(|(_, record)| record.values.len() == dimensions) {
            vectors.extend_from_slice(&record.values);
            assets.push(record.asset);
        }
        let rules: Vec<Rule> = group.iter().map(rule_of).collect();
        let Some(matcher) = Matcher::new(dimensions, &rules) else {
            // A space has one number of values; a rule with another is made again.
            self.see(None);
            return Ok(Step::Did);
        };
        let offers = tokio::task::spawn_blocking(move || matcher.offers(&vectors))
            .await
            .map_err(|error| TermsError::Heads(error.to_string()))?;
        let found: Vec<Suggestion> = offers
            .into_iter()
            .filter_map(|offer| {
                let said = said.get(offer.rule)?.as_ref()?;
                Some(said.about(assets.get(offer.vector)?.clone(), offer.probability))
            })
            .collect();
        self.recorded(Span { space, group, from, to }, Some(&assets), &found).await
    }

    /// What a few terms say of all pictures, as the index knows it; `None` where it does not answer exactly, and where so much is
    /// said, or was said before, that portions are better.
    async fn asked(
        &self,
        group: &[StoredRule],
        said: &[Option<Said>],
    ) -> Result<Option<Vec<Suggestion>>, TermsError> {
        const MOST: u32 = ASKED[1] as u32;
        let terms: Vec<TermId> = group.iter().map(|rule| rule.term.clone()).collect();
        if self.store.pending_matches(&terms, MOST).await? == u64::from(MOST) {
            return Ok(None);
        }
        let mut found: Vec<Suggestion> = Vec::new();
        for (rule, said) in group.iter().map(rule_of).zip(said) {
            let Some(said) = said else { continue };
            let Some(near) = self.near_enough(&rule).await? else { return Ok(None) };
            found
                .extend(near.into_iter().map(|near| said.about(near.asset, rule.probability_at(near.score))));
            if found.len() > MOST as usize {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// All that a rule offers; `None` if the index does not answer exactly, or if it is too much.
    async fn near_enough(&self, rule: &Rule) -> Result<Option<Vec<Neighbor>>, TermsError> {
        let least = rule.least_product();
        for k in ASKED {
            let mut near = match self.search.by_weights(&rule.weights, k).await {
                Ok(Some(near)) => near,
                // The vectors themselves tell what is wrong.
                Ok(None) | Err(SearchError::Index(IndexError::Dimensions { .. })) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let found = near.len();
            near.retain(|near| near.score >= least);
            if found < k || near.len() < found {
                return Ok(Some(near));
            }
        }
        Ok(None)
    }

    async fn recorded(
        &self,
        Span { space, group, from, to }: Span<'_>,
        assets: Option<&[AssetId]>,
        found: &[Suggestion],
    ) -> Result<Step, TermsError> {
        let terms: Vec<(TermId, String)> =
            group.iter().map(|rule| (rule.term.clone(), rule.print.clone())).collect();
        let portion = MatchedPortion { space, terms: &terms, from, to, assets, found, owner: &self.owner };
        if self.store.record_matches(portion).await? {
            metrics::counter!("docent_terms_matched_total").increment(found.len() as u64);
        } else {
            // Another process was faster, or somebody changed a term.
            self.see(None);
        }
        Ok(Step::Did)
    }
}

fn rule_of(stored: &StoredRule) -> Rule {
    Rule { weights: stored.weights.clone(), bias: stored.bias, least: stored.least }
}

/// What a term says wherever it is found.
struct Said {
    tag: String,
    implies: Vec<String>,
    term: TermId,
    model: ModelRef,
}

impl Said {
    /// `None` for a term that is off meanwhile: what follows from that is a task of its own.
    fn of(known: &Vocabulary, rule: &StoredRule, space: &VectorSpace) -> Option<Self> {
        let term =
            known.term(&rule.term).filter(|term| term.id == rule.term && term.enabled && !term.heading)?;
        let space = space.as_str().trim_start_matches("picture/");
        let (model, version) = space.split_once('@').unwrap_or((space, "1"));
        Some(Self {
            tag: known.tag(term).to_owned(),
            implies: known.implied(term),
            term: term.id.clone(),
            model: ModelRef::new(format!("{model}+{}", rule.source), version),
        })
    }

    fn about(&self, asset: AssetId, probability: f64) -> Suggestion {
        let claim = Claim {
            kind: Kind::Tag,
            value: self.tag.clone(),
            confidence: Confidence::new(probability),
            region: None,
            implies: self.implies.clone(),
        };
        let mut suggestion = Suggestion::new(asset, AnalyzerId::Terms, claim, self.model.clone());
        suggestion.term = Some(self.term.clone());
        suggestion
    }
}
