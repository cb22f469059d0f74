//! What recording runs means, before it is written in a backend's language: the same for every backend.

use std::collections::HashSet;

use docent_pipelines::suggestion::Claim;
use docent_pipelines::vocabulary::Vocabulary;
use docent_pipelines::{AnalyzerId, AssetId, Failure, Kind, Suggestion};

use super::codec::millis;
use super::{Finished, Outcome, OutcomeState, Recorded};

/// The runs that one set of statements can record: each asset once, or else one run after the other.
pub(super) fn rounds(runs: &[Finished]) -> impl Iterator<Item = &[Finished]> {
    let assets: HashSet<&AssetId> = runs.iter().map(|finished| &finished.run.asset).collect();
    runs.chunks(if assets.len() == runs.len() { runs.len().max(1) } else { 1 })
}

/// What an analyzer's work row becomes.
pub(super) struct Settled<'a> {
    pub outcome: &'a Outcome,
    pub state: &'static str,
    pub not_before: i64,
    pub failure: Option<&'a Failure>,
}

/// What the work rows of a run become at `now`.
pub(super) fn settled(outcomes: &[Outcome], now: i64) -> impl Iterator<Item = Settled<'_>> {
    outcomes.iter().map(move |outcome| {
        let (state, not_before, failure) = match &outcome.state {
            OutcomeState::Done => ("done", 0, None),
            OutcomeState::Retry { after, failure } => {
                ("pending", now.saturating_add(millis(*after)), Some(failure))
            }
            OutcomeState::Failed { failure } => ("failed", 0, Some(failure)),
        };
        Settled { outcome, state, not_before, failure }
    })
}

/// The assets whose decoding did not succeed, and when it is tried again. Without pixels nothing else can be done: it
/// waits with the decoder, or is set aside with it.
pub(super) struct Blind<'a> {
    pub waiting: Vec<(&'a str, i64)>,
    pub failed: Vec<&'a str>,
}

pub(super) fn blind(runs: &[Finished], now: i64) -> Blind<'_> {
    let mut blind = Blind { waiting: Vec::new(), failed: Vec::new() };
    for Finished { run, outcomes, .. } in runs {
        let decode = settled(outcomes, now).find(|s| s.outcome.analyzer == AnalyzerId::Decode);
        match decode.map(|settled| (settled.state, settled.not_before)) {
            Some(("pending", at)) => blind.waiting.push((run.asset.as_str(), at)),
            Some(("failed", _)) => blind.failed.push(run.asset.as_str()),
            _ => {}
        }
    }
    blind
}

/// The suggestions of a run that no decision answers; the same claim twice is the same row, and the later one counts, as
/// if they had been written one after the other.
pub(super) fn unanswered<'a>(said: &'a [Suggestion], decided: &[Claim]) -> (Recorded, Vec<&'a Suggestion>) {
    let (answered, mut raised): (Vec<&Suggestion>, Vec<&Suggestion>) =
        said.iter().partition(|suggestion| decided.iter().any(|decided| suggestion.is_answered_by(decided)));
    let recorded = Recorded { raised: raised.len() as u64, answered: answered.len() as u64, superseded: 0 };
    raised.reverse();
    raised.sort_by(|a, b| a.id.cmp(&b.id));
    raised.dedup_by(|a, b| a.id == b.id);
    (recorded, raised)
}

/// What each run says, in the vocabulary's words.
pub(super) fn translated(runs: &[Finished], known: &Vocabulary) -> Vec<Vec<Suggestion>> {
    runs.iter().map(|finished| known.translate(finished.analysis.suggestions.clone())).collect()
}

/// The texts among suggestions, each with its id.
pub(super) fn texts<'a>(raised: &[&'a Suggestion]) -> impl Iterator<Item = (&'a str, &'a str)> {
    let texts = raised.iter().filter(|suggestion| suggestion.kind == Kind::Text);
    texts.map(|suggestion| (suggestion.id.as_str(), suggestion.value.as_str()))
}

/// Two names as one, for a look into a list of pairs.
pub(super) fn pair(asset: &str, name: &str) -> String {
    format!("{asset} {name}")
}

#[cfg(test)]
mod tests {
    use docent_pipelines::asset::ContentHash;
    use docent_pipelines::{Analysis, FailureKind};

    use super::super::Run;
    use super::*;

    fn finished(asset: u8, decode: OutcomeState) -> Finished {
        let asset = ContentHash::of(&[asset]).asset_id();
        let model = docent_models::ModelRef::new("decoder", "1");
        Finished {
            run: Run { asset, owner: "me".to_owned(), picture: None },
            analysis: Analysis::default(),
            outcomes: vec![Outcome { analyzer: AnalyzerId::Decode, model, state: decode }],
        }
    }

    #[test]
    fn an_asset_that_comes_twice_is_recorded_one_run_after_the_other() {
        let runs: Vec<Finished> = [1, 2, 3].map(|asset| finished(asset, OutcomeState::Done)).to_vec();
        assert_eq!(rounds(&runs).map(<[Finished]>::len).collect::<Vec<_>>(), [3]);
        let twice = [runs[0].clone(), runs[1].clone(), runs[0].clone()];
        assert_eq!(rounds(&twice).map(<[Finished]>::len).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(rounds(&[]).count(), 0);
    }

    #[test]
    fn assets_without_pixels_are_told_apart() {
        let failure =
            Failure { analyzer: AnalyzerId::Decode, kind: FailureKind::Transient, reason: String::new() };
        let retry =
            OutcomeState::Retry { after: std::time::Duration::from_millis(7), failure: failure.clone() };
        let runs = [
            finished(1, OutcomeState::Done),
            finished(2, retry),
            finished(3, OutcomeState::Failed { failure }),
        ];
        let blind = blind(&runs, 100);
        assert_eq!(blind.waiting, [(runs[1].run.asset.as_str(), 107)]);
        assert_eq!(blind.failed, [runs[2].run.asset.as_str()]);
    }
}
