//! What a term would be offered for.

use docent_pipelines::AssetId;
use docent_pipelines::terms::Rule;
use docent_pipelines::vocabulary::TermId;
use serde::Serialize;

use super::apply::PORTION;
use super::{TermMatching, TermsError};

/// A look at every picture with one term's rule. Nothing is changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Trial {
    /// From this probability on it is offered.
    pub least: f64,
    /// Where its rule comes from: `prompts`, `head` or `decisions`.
    pub source: String,
    /// Pictures that were looked at.
    pub pictures: u64,
    /// Pictures that it would be offered for.
    pub offered: u64,
    /// The pictures with the highest probability, best first.
    pub surest: Vec<(AssetId, f64)>,
    /// Those nearest to the threshold, best first, without the surest.
    pub doubtful: Vec<(AssetId, f64)>,
}

impl TermMatching {
    /// Looks at every picture with the rule of a term. `None` if there is none: no text network, or too few pictures.
    pub async fn test(&self, term: &TermId, limit: usize) -> Result<Option<Trial>, TermsError> {
        let Some(space) = self.space().await? else { return Ok(None) };
        let known = self.store.vocabulary().await?;
        let stored = self.store.rules(&space, None).await?.into_iter().find(|rule| rule.term == *term);
        let (source, rule) = match stored {
            Some(rule) => (rule.source, Rule { weights: rule.weights, bias: rule.bias, least: rule.least }),
            None => {
                let background = self.background(&space).await?;
                match self.untaught(&known, &space, term, &background).await? {
                    Some(rule) => ("prompts".to_owned(), rule),
                    None => return Ok(None),
                }
            }
        };
        let mut trial = Trial { least: rule.least, source, ..Trial::default() };
        let mut after = 0;
        loop {
            let page = self.store.vectors_after(&space, after, PORTION).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (_, record) in
                page.into_iter().filter(|(_, record)| record.values.len() == rule.weights.len())
            {
                let probability = rule.probability(&record.values);
                trial.pictures += 1;
                trial.offered += u64::from(probability >= rule.least);
                keep(&mut trial.surest, limit, (record.asset.clone(), probability), |p| -p);
                keep(&mut trial.doubtful, limit * 2, (record.asset, probability), |p| (p - rule.least).abs());
            }
        }
        let surest = trial.surest.clone();
        trial.doubtful.retain(|(asset, _)| surest.iter().all(|(sure, _)| sure != asset));
        trial.doubtful.truncate(limit);
        trial.doubtful.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(Some(trial))
    }
}

/// Keeps the few with the least `order`, sorted by it.
fn keep(kept: &mut Vec<(AssetId, f64)>, limit: usize, new: (AssetId, f64), order: impl Fn(f64) -> f64) {
    let value = order(new.1);
    if kept.len() >= limit && kept.last().is_none_or(|last| order(last.1) <= value) {
        return;
    }
    let place = kept.partition_point(|known| order(known.1) <= value);
    kept.insert(place, new);
    kept.truncate(limit);
}
