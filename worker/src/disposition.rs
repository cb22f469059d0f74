//! Decides between done, retry and reject. No other place decides that.

use std::collections::BTreeMap;
use std::time::Duration;

use docent_models::ModelRef;
use docent_pipelines::{Analysis, AnalyzerId, Failure, FailureKind, Late};

use crate::assets::FetchError;
use crate::queue::{AnalyzeAsset, QueueError};
use crate::store::{Outcome, OutcomeState, StoreError};
use crate::vectors::IndexError;

/// How often and how soon failed work is retried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Attempts at transient failures before they are failed for good.
    pub max_attempts: u32,
    /// Delay before the second attempt; doubled for each further one.
    pub base_delay: Duration,
    /// No delay is longer.
    pub max_delay: Duration,
}

/// How a delivery is settled.
#[derive(Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Everything is in the ledger, including what has to be tried again.
    Ack,
    /// The ledger could not be written: bring the delivery back.
    Retry {
        /// Not before this.
        after: Duration,
    },
    /// It can never be worked on.
    Reject {
        /// Why.
        reason: String,
    },
}

/// What stopped a walk before it was recorded.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A submitted place cannot be read.
    #[error(transparent)]
    Fetch(FetchError),
    /// A submitted picture was forgotten.
    #[error(
        "the picture at {uri} was forgotten, and is not taken in again; `docent forget --readmit` lets it in"
    )]
    Forgotten {
        /// Where it lies.
        uri: String,
    },
    /// A submitted place was out of reach too often.
    #[error("given up after {attempts} attempts")]
    OutOfReach {
        /// How many.
        attempts: u32,
        /// The last reason.
        #[source]
        source: FetchError,
    },
    /// The process ends; what was not recorded comes back.
    #[error("docent ends")]
    Ended,
    /// Another process, or this one by another delivery, is at work on the asset.
    #[error("the asset is in work already")]
    Elsewhere,
    /// A run over the asset was lost: nothing may be beside it.
    #[error("a run over this asset was lost; it is analyzed with nothing beside it")]
    Suspect(Box<AnalyzeAsset>),
    /// The asset ended too many processes.
    #[error("docent was stopped {lost} times while it analyzed this picture alone")]
    GivenUp {
        /// How often.
        lost: u32,
    },
}

impl RetryPolicy {
    /// The delay before attempt `attempt + 1`, spread by `jitter` (0..1) over the upper half of its length, so that
    /// work that failed together does not come back together.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let doubled =
            self.base_delay.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(self.max_delay);
        doubled.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// What becomes of a failure at attempt number `attempt` (1 is the first).
    fn settle(&self, failure: Failure, late: Option<Late>, attempt: u32, jitter: f64) -> OutcomeState {
        let delay = self.delay(attempt, jitter);
        match (failure.kind, late) {
            // It says nothing of this picture, however often it happens.
            (FailureKind::Transient, Some(Late::Starved)) => OutcomeState::Retry { after: delay, failure },
            (FailureKind::Transient, _) if attempt >= self.max_attempts => OutcomeState::Failed { failure },
            // What is still at it has as much time again.
            (FailureKind::Transient, Some(Late::Overdue(limit))) => {
                OutcomeState::Retry { after: delay.max(limit), failure }
            }
            (FailureKind::Transient, None) => OutcomeState::Retry { after: delay, failure },
            (FailureKind::Permanent, _) => OutcomeState::Failed { failure },
        }
    }
}

/// One outcome for every analyzer in `analysis`; `attempts` counts the attempts before this one.
pub fn outcomes(
    analysis: &Analysis,
    models: &BTreeMap<AnalyzerId, ModelRef>,
    attempts: &BTreeMap<AnalyzerId, u32>,
    policy: &RetryPolicy,
    jitter: f64,
) -> Vec<Outcome> {
    let completed = analysis.completed.iter().map(|(&analyzer, model)| Outcome {
        analyzer,
        model: model.clone(),
        state: OutcomeState::Done,
    });
    let failed = analysis.failures.iter().filter_map(|failure| {
        let attempt = attempts.get(&failure.analyzer).copied().unwrap_or(0) + 1;
        Some(Outcome {
            analyzer: failure.analyzer,
            model: models.get(&failure.analyzer)?.clone(),
            state: policy.settle(
                failure.clone(),
                analysis.late.get(&failure.analyzer).copied(),
                attempt,
                jitter,
            ),
        })
    });
    completed.chain(failed).collect()
}

/// What becomes of a delivery whose walk ended in an error.
pub fn of_error(error: &WalkError, policy: &RetryPolicy, jitter: f64) -> Disposition {
    match error {
        WalkError::Store(StoreError::NotFound { .. } | StoreError::Unfit { .. } | StoreError::Bug { .. }) => {
            Disposition::Reject { reason: reason(error) }
        }
        // A vector that does not fit its space would not fit the next time either.
        WalkError::Index(IndexError::Dimensions { .. } | IndexError::Unfit { .. }) => {
            Disposition::Reject { reason: reason(error) }
        }
        // Nothing is left to be done, and the job names a place of it: it goes without a trace.
        WalkError::Store(StoreError::Forgotten { .. }) => Disposition::Ack,
        WalkError::GivenUp { .. } | WalkError::Forgotten { .. } => {
            Disposition::Reject { reason: reason(error) }
        }
        WalkError::OutOfReach { source, .. } => {
            Disposition::Reject { reason: format!("{}, {error}", reason(source)) }
        }
        WalkError::Elsewhere => Disposition::Retry { after: ELSEWHERE },
        WalkError::Fetch(fetch) if !matches!(fetch, FetchError::Unavailable { .. }) => {
            Disposition::Reject { reason: reason(error) }
        }
        _ => Disposition::Retry { after: policy.delay(1, jitter) },
    }
}

/// A job that is in work elsewhere is looked at again after this time, until it is done or that process is gone.
const ELSEWHERE: Duration = Duration::from_secs(2);

/// An error with its causes, in one line.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// The failure that a fetch error is, under the name of the decoder, which got no bytes.
pub fn of_fetch(error: &FetchError) -> Failure {
    let kind = match error {
        FetchError::Unavailable { .. } => FailureKind::Transient,
        FetchError::Gone { .. } | FetchError::TooLarge { .. } | FetchError::Invalid { .. } => {
            FailureKind::Permanent
        }
    };
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Failure { analyzer: AnalyzerId::Decode, kind, reason: format!("{error}{cause}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 3,
        base_delay: Duration::from_secs(2),
        max_delay: Duration::from_secs(60),
    };

    fn failure(kind: FailureKind) -> Failure {
        Failure { analyzer: AnalyzerId::Text, kind, reason: "no".to_owned() }
    }

    #[test]
    fn delays_double_within_their_limit_and_are_spread() {
        assert_eq!(POLICY.delay(1, 1.0), Duration::from_secs(2));
        assert_eq!(POLICY.delay(2, 1.0), Duration::from_secs(4));
        assert_eq!(POLICY.delay(2, 0.0), Duration::from_secs(2));
        assert_eq!(POLICY.delay(u32::MAX, 1.0), Duration::from_secs(60));
    }

    #[test]
    fn only_transient_failures_are_retried_and_not_forever() {
        let settle = |kind, attempt| POLICY.settle(failure(kind), None, attempt, 0.5);
        assert!(matches!(settle(FailureKind::Transient, 1), OutcomeState::Retry { .. }));
        assert!(matches!(settle(FailureKind::Transient, 3), OutcomeState::Failed { .. }));
        assert!(matches!(settle(FailureKind::Permanent, 1), OutcomeState::Failed { .. }));
    }

    #[test]
    fn what_is_late_gets_its_time_again_and_what_had_no_turn_is_not_condemned() {
        let settle = |late, attempt| POLICY.settle(failure(FailureKind::Transient), Some(late), attempt, 0.0);
        let limit = Duration::from_secs(300);
        let OutcomeState::Retry { after, .. } = settle(Late::Overdue(limit), 1) else {
            panic!("may be well")
        };
        assert_eq!(after, limit);
        assert!(matches!(settle(Late::Overdue(limit), 3), OutcomeState::Failed { .. }));
        assert!(matches!(settle(Late::Starved, 3000), OutcomeState::Retry { .. }));
    }

    #[test]
    fn an_unavailable_ledger_brings_the_delivery_back_and_an_unknown_asset_does_not() {
        let unavailable =
            StoreError::Unavailable { operation: "record", source: anyhow::anyhow!("disk full") };
        assert!(matches!(of_error(&unavailable.into(), &POLICY, 0.0), Disposition::Retry { .. }));
        let unknown = StoreError::NotFound { what: "asset", id: "0".to_owned() };
        assert!(matches!(of_error(&unknown.into(), &POLICY, 0.0), Disposition::Reject { .. }));
        let asset = docent_pipelines::asset::ContentHash::of(b"a picture").asset_id();
        assert_eq!(of_error(&StoreError::Forgotten { asset }.into(), &POLICY, 0.0), Disposition::Ack);
        let unfit = StoreError::Unfit { operation: "register files", reason: "too long".to_owned() };
        let Disposition::Reject { reason } = of_error(&unfit.into(), &POLICY, 0.0) else {
            panic!("it would not fit the next time either")
        };
        assert_eq!(reason, "register files: the ledger cannot store this: too long");
        let unfit = IndexError::Unfit { operation: "upsert", reason: "not a number".to_owned() };
        assert!(matches!(of_error(&unfit.into(), &POLICY, 0.0), Disposition::Reject { .. }));
        let refused = IndexError::Refused { operation: "upsert", source: anyhow::anyhow!("wrong key") };
        assert!(matches!(of_error(&refused.into(), &POLICY, 0.0), Disposition::Retry { .. }));
    }

    #[test]
    fn every_rejection_says_its_cause() {
        let fetch = || FetchError::Unavailable {
            uri: "file:///a".to_owned(),
            source: std::io::Error::other("Input/output error (os error 5)"),
        };
        let database = || anyhow::anyhow!("invalid byte sequence").context("insert into asset");
        for (error, cause) in [
            (WalkError::OutOfReach { attempts: 3, source: fetch() }, "os error 5"),
            (StoreError::Bug { operation: "begin", source: database() }.into(), "invalid byte sequence"),
            (WalkError::Fetch(FetchError::Gone { uri: "file:///a".to_owned() }), "not found"),
        ] {
            let Disposition::Reject { reason } = of_error(&error, &POLICY, 0.0) else { panic!("{error}") };
            assert!(reason.contains(cause), "{reason}");
        }
    }
}
