//! Cases for runs that are recorded by one call.

use std::collections::BTreeSet;

use docent::store::{Decision, Finished, Outcome, OutcomeState, Page, Store, StoreError, SuggestionFilter};
use docent_models::ModelRef;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Failure, FailureKind, Kind, Status};

use super::{LONG, analysis, claim, content, lease, listed, register, run, somebody};

/// Runs that are recorded together leave the rows that they would have left one after the other.
pub async fn runs_are_recorded_together_or_not_at_all(store: &dyn Store) {
    register(store, 1..4).await;
    let jobs = lease(store, "me", 3, LONG).await;
    for job in &jobs {
        store.begin_run(job, "me").await.expect("begins");
    }
    let finished = |asset: &AssetId, value: &str| {
        let (analysis, outcomes) = analysis(asset, &[claim(Kind::Tag, value, 0.8, None)]);
        Finished { run: run(asset), analysis, outcomes }
    };
    let asset = |place: usize| &jobs[place].asset;
    let stranger = content(99).asset_id();
    let refused = store.record(&[finished(asset(0), "dog"), finished(&stranger, "cat")]).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    assert_eq!(listed(store, SuggestionFilter::default()).await.len(), 0);

    let failure =
        Failure { analyzer: AnalyzerId::Decode, kind: FailureKind::Permanent, reason: "broken".into() };
    let broken = Finished {
        run: run(asset(1)),
        analysis: Analysis::default(),
        outcomes: vec![Outcome {
            analyzer: AnalyzerId::Decode,
            model: ModelRef::new("decoder", "1"),
            state: OutcomeState::Failed { failure },
        }],
    };
    // The last one corrects the first: as if the one had been recorded after the other.
    let together = [finished(asset(0), "dog"), broken, finished(asset(2), "cat"), finished(asset(0), "wolf")];
    let recorded = store.record(&together).await.expect("records");
    let counts: Vec<(u64, u64)> = recorded.iter().map(|r| (r.raised, r.superseded)).collect();
    assert_eq!(counts, [(1, 0), (0, 0), (1, 0), (1, 1)]);
    let pending = SuggestionFilter { status: Some(Status::Pending), ..SuggestionFilter::default() };
    let values: BTreeSet<String> = listed(store, pending).await.into_iter().map(|row| row.value).collect();
    assert_eq!(values, ["cat".to_owned(), "wolf".to_owned()].into());
    let page = Page { limit: 10, after: None };
    let failures = store.failures(&page).await.expect("failures").rows;
    assert_eq!(failures.len(), 1);
    assert_eq!(&failures[0].asset_id, asset(1));

    // What was decided answers the next run of its own asset, and of no other.
    let pending = SuggestionFilter { status: Some(Status::Pending), ..SuggestionFilter::default() };
    let cat = listed(store, pending).await.into_iter().find(|row| row.value == "cat").expect("is listed");
    store.decide(&cat.id, Decision::Reject, &somebody()).await.expect("decides");
    let again = [finished(asset(2), "cat"), finished(asset(0), "cat")];
    let recorded = store.record(&again).await.expect("records");
    assert_eq!((recorded[0].answered, recorded[0].raised), (1, 0));
    assert_eq!((recorded[1].answered, recorded[1].raised, recorded[1].superseded), (0, 1, 1));
    assert_eq!(store.record(&[]).await.expect("records nothing"), []);
}
