//! Cases for the store. Each takes a fresh, empty one.

use std::collections::BTreeSet;
use std::time::Duration;

use docent::queue::{AnalyzeAsset, Lane};
use docent::store::{
    AssetFilter, Begun, Decision, FileStamp, Finished, FoundFile, LeaseRequest, Outcome, OutcomeState, Page,
    PictureFacts, PlaceFilter, Requeue, Reviewer, Run, Store, StoreError, SuggestionFilter, SuggestionRow,
    Wanted,
};
use docent_models::ModelRef;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{
    Analysis, AnalyzerId, AssetId, Confidence, Failure, FailureKind, Kind, Region, Status, Suggestion,
};

mod filters;
mod folders;
mod forget;
mod identity;
mod jobs;
mod leases;
mod leasing;
mod log;
mod outbox;
mod owners;
mod places;
mod review;
mod terms;
mod texts;
mod together;
mod vectors;

pub use filters::*;
pub use folders::*;
pub use forget::*;
pub use identity::*;
pub use jobs::*;
pub use leases::*;
pub use leasing::*;
pub use log::*;
pub use outbox::*;
pub use owners::*;
pub use places::*;
pub use review::*;
pub use terms::*;
pub use texts::*;
pub use together::*;
pub use vectors::*;

/// The wanted analyzers of these cases.
pub fn wanted() -> Wanted {
    [(AnalyzerId::Decode, "decoder"), (AnalyzerId::Tags, "tagger"), (AnalyzerId::Objects, "detector")]
        .map(|(analyzer, id)| (analyzer, ModelRef::new(id, "1")))
        .into()
}

fn content(number: u32) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

fn file(number: u32) -> FoundFile {
    FoundFile {
        uri: format!("file:///photos/{number:06}.jpg"),
        stamp: FileStamp { bytes: 100, modified_ns: 7 },
        hash: content(number).into(),
        lane: Lane::Backfill,
        owner: None,
    }
}

async fn register(store: &dyn Store, numbers: std::ops::Range<u32>) {
    let files: Vec<_> = numbers.map(file).collect();
    store.register(&files, &wanted()).await.expect("registers");
}

async fn lease(store: &dyn Store, owner: &str, limit: u32, duration: Duration) -> Vec<AnalyzeAsset> {
    let request = LeaseRequest { owner: owner.to_owned(), limit, duration, lane: None, wanted: wanted() };
    store.lease(&request).await.expect("leases")
}

const LONG: Duration = Duration::from_secs(3600);

fn claim(kind: Kind, value: &str, confidence: f64, x: Option<f64>) -> Claim {
    let region = x.and_then(|x| Region::from_corners(x, 0.2, x + 0.3, 0.6));
    Claim {
        kind,
        value: value.to_owned(),
        confidence: Confidence::new(confidence),
        region,
        implies: Vec::new(),
    }
}

/// A run of all wanted analyzers that says `claims`.
fn analysis(asset: &AssetId, claims: &[Claim]) -> (Analysis, Vec<Outcome>) {
    let suggestion = |claim: &Claim| {
        let analyzer = if claim.kind == Kind::Tag { AnalyzerId::Tags } else { AnalyzerId::Objects };
        Suggestion::new(asset.clone(), analyzer, claim.clone(), wanted()[&analyzer].clone())
    };
    let analysis = Analysis {
        suggestions: claims.iter().map(suggestion).collect(),
        completed: wanted(),
        ..Analysis::default()
    };
    let done = |(analyzer, model)| Outcome { analyzer, model, state: OutcomeState::Done };
    (analysis, wanted().into_iter().map(done).collect())
}

fn run(asset: &AssetId) -> Run {
    Run { asset: asset.clone(), owner: "test".to_owned(), picture: Some(PictureFacts::new(30, 20, "jpeg")) }
}

/// Leases, runs and records the asset with these claims.
async fn analyze(store: &dyn Store, number: u32, claims: &[Claim]) -> docent::store::Recorded {
    let asset = content(number).asset_id();
    let jobs = lease(store, "test", 1000, LONG).await;
    for job in jobs.iter().filter(|job| job.asset != asset) {
        store.hand_back(&job.asset).await.expect("hands back");
    }
    let job = jobs.into_iter().find(|job| job.asset == asset).expect("it is pending");
    store.begin_run(&job, "test").await.expect("begins");
    let (analysis, outcomes) = analysis(&asset, claims);
    store.record(&[Finished { run: run(&asset), analysis, outcomes }]).await.expect("records").remove(0)
}

async fn listed(store: &dyn Store, filter: SuggestionFilter) -> Vec<SuggestionRow> {
    store.suggestions(&filter, &Page { limit: 1000, after: None }).await.expect("lists").rows
}

fn somebody() -> Reviewer {
    Reviewer { name: "Ada".to_owned(), client: "test".to_owned() }
}

/// A leased asset is nobody else's until its lease ends; then it is leased again.
pub async fn leases_exclude_and_expire(store: &dyn Store) {
    register(store, 0..3).await;
    let first = lease(store, "a", 2, LONG).await;
    let second = lease(store, "b", 9, LONG).await;
    assert_eq!((first.len(), second.len()), (2, 1));
    assert!(lease(store, "c", 9, LONG).await.is_empty());
    store.hand_back(&first[0].asset).await.expect("hands back");
    let again = lease(store, "c", 9, Duration::ZERO).await;
    assert_eq!(again.iter().map(|job| &job.asset).collect::<Vec<_>>(), [&first[0].asset]);
    assert!(!again[0].alone);
    // A lease without duration has expired; its run had not begun, so it is not suspect.
    let expired = lease(store, "d", 9, LONG).await;
    assert_eq!(expired.len(), 1);
    assert!(!expired[0].alone);
}

/// A lane can be leased alone, and a lease is prolonged by its owner until the run begins.
pub async fn lanes_are_leased_apart_and_leases_prolonged(store: &dyn Store) {
    let upload = FoundFile { lane: Lane::Interactive, ..file(1) };
    store.register(&[file(0), upload], &wanted()).await.expect("registers");
    let of = async |lane, duration| {
        let request =
            LeaseRequest { owner: "a".to_owned(), limit: 9, duration, lane: Some(lane), wanted: wanted() };
        store.lease(&request).await.expect("leases")
    };
    let interactive = of(Lane::Interactive, Duration::ZERO).await;
    assert_eq!(interactive.len(), 1);
    assert_eq!((&interactive[0].asset, interactive[0].lane), (&content(1).asset_id(), Lane::Interactive));
    let ids = [content(1).asset_id()];
    store.prolong(&ids, "somebody else", LONG).await.expect("does nothing");
    assert_eq!(of(Lane::Interactive, Duration::ZERO).await.len(), 1, "it had expired");
    store.prolong(&ids, "a", LONG).await.expect("prolongs");
    assert!(of(Lane::Interactive, LONG).await.is_empty());
    assert_eq!(of(Lane::Backfill, LONG).await.len(), 1);
}

/// What an owner holds is given back at its orderly end, and is not suspect.
pub async fn an_orderly_end_hands_everything_back(store: &dyn Store) {
    register(store, 0..3).await;
    let jobs = lease(store, "a", 2, LONG).await;
    store.begin_run(&jobs[0], "a").await.expect("begins");
    assert_eq!(lease(store, "b", 9, LONG).await.len(), 1);
    store.hand_back_all("a").await.expect("hands back");
    let again = lease(store, "c", 9, LONG).await;
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|job| !job.alone), "{again:?}");
}

/// A run that ends with its process makes its asset suspect; lost alone too often, it is given up.
pub async fn lost_runs_are_counted(store: &dyn Store) {
    register(store, 0..2).await;
    let jobs = lease(store, "a", 9, LONG).await;
    store.begin_run(&jobs[0], "a").await.expect("begins");
    assert_eq!(store.recover(1).await.expect("recovers"), 2);
    let again = lease(store, "b", 9, LONG).await;
    // The suspect comes last, and alone.
    assert_eq!((&again[0].asset, again[0].alone), (&jobs[1].asset, false));
    assert_eq!((&again[1].asset, again[1].alone), (&jobs[0].asset, true));
    for _ in 0..2 {
        let suspect =
            lease(store, "b", 9, LONG).await.into_iter().find(|job| job.alone).unwrap_or(again[1].clone());
        store.begin_run(&suspect, "b").await.expect("begins");
        store.recover(1).await.expect("recovers");
    }
    let failures = store.failures(&Page { limit: 9, after: None }).await.expect("lists").rows;
    assert_eq!(failures.len(), 1);
    assert_eq!((&failures[0].asset_id, failures[0].analyzer), (&jobs[0].asset, AnalyzerId::Decode));
    assert!(failures[0].reason.contains("stopped"), "{}", failures[0].reason);
    assert!(lease(store, "c", 9, LONG).await.iter().all(|job| job.asset == jobs[1].asset));
    // A person may try again.
    assert_eq!(store.requeue(Requeue::Failed, &wanted(), None).await.expect("requeues"), 1);
}

/// Of two owners with the same job one works on it. A job that comes back alone has lost its first receiver.
pub async fn redelivered_runs_are_counted(store: &dyn Store) {
    register(store, 0..1).await;
    store.recover(2).await.expect("sets the limit");
    let job = lease(store, "feeder", 1, LONG).await.remove(0);
    assert!(matches!(store.begin_run(&job, "a").await.expect("begins"), Begun::Run(_)));
    assert_eq!(store.begin_run(&job, "b").await.expect("begins"), Begun::Elsewhere);
    let alone = AnalyzeAsset { alone: true, ..job.clone() };
    // The first was among others and is only suspect; two more may be lost alone.
    for owner in ["b", "c", "d"] {
        assert!(matches!(store.begin_run(&alone, owner).await.expect("begins"), Begun::Run(_)), "{owner}");
    }
    assert_eq!(store.begin_run(&alone, "e").await.expect("begins"), Begun::GivenUp { lost: 3 });
    let failures = store.failures(&Page { limit: 9, after: None }).await.expect("lists").rows;
    assert_eq!(failures.len(), 1);
    assert!(failures[0].reason.contains("stopped 3 times"), "{}", failures[0].reason);
    assert!(lease(store, "f", 9, LONG).await.is_empty());
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), 0);
}

/// Recording twice leaves the rows of recording once.
pub async fn recording_is_idempotent(store: &dyn Store) {
    register(store, 1..2).await;
    let asset = content(1).asset_id();
    let claims = [claim(Kind::Tag, "cat", 0.9, None), claim(Kind::Object, "cat", 0.5, Some(0.1))];
    analyze(store, 1, &claims).await;
    let once =
        (listed(store, SuggestionFilter::default()).await, store.counts(&wanted()).await.expect("counts"));
    let (analysis, outcomes) = analysis(&asset, &claims);
    store
        .record(&[Finished { run: run(&asset), analysis: analysis.clone(), outcomes: outcomes.clone() }])
        .await
        .expect("records");
    let twice =
        (listed(store, SuggestionFilter::default()).await, store.counts(&wanted()).await.expect("counts"));
    assert_eq!(once, twice);
    assert_eq!(once.0.len(), 2);
    let work = &once.1.analyzers[&AnalyzerId::Tags];
    assert_eq!((work.done, work.pending, work.missing), (1, 0, 0));
    let row = store.asset(&asset).await.expect("is there");
    assert_eq!(
        (row.width, row.height, row.format.as_deref(), row.pending),
        (Some(30), Some(20), Some("jpeg"), 2)
    );
    // Its work is done: a job that was delivered twice finds nothing to do.
    let job = AnalyzeAsset {
        asset,
        uris: Vec::new(),
        analyzers: wanted().into_keys().collect(),
        lane: Lane::Backfill,
        alone: false,
    };
    assert_eq!(store.begin_run(&job, "late").await.expect("begins"), Begun::Done);
    assert!(lease(store, "test", 9, LONG).await.is_empty());
}

/// What was decided survives every re-run; what was rejected never comes back, not even a little beside its place.
pub async fn decisions_are_permanent(store: &dyn Store) {
    register(store, 1..2).await;
    let claims = [
        claim(Kind::Tag, "cat", 0.9, None),
        claim(Kind::Tag, "dog", 0.8, None),
        claim(Kind::Tag, "sofa", 0.7, None),
        claim(Kind::Object, "cat", 0.5, Some(0.10)),
    ];
    analyze(store, 1, &claims).await;
    let rows = listed(store, SuggestionFilter::default()).await;
    let id = |kind: Kind, value: &str| {
        rows.iter().find(|row| row.kind == kind && row.value == value).expect("is listed").id.clone()
    };
    store.decide(&id(Kind::Tag, "cat"), Decision::Accept, &somebody()).await.expect("accepts");
    store.decide(&id(Kind::Tag, "dog"), Decision::Reject, &somebody()).await.expect("rejects");
    store.decide(&id(Kind::Object, "cat"), Decision::Reject, &somebody()).await.expect("rejects");
    let decided: Vec<_> = listed(store, SuggestionFilter::default()).await;

    assert_eq!(store.requeue(Requeue::All, &wanted(), None).await.expect("requeues"), 1);
    let moved = [
        claim(Kind::Tag, "cat", 0.3, None),
        claim(Kind::Tag, "dog", 0.99, None),
        claim(Kind::Object, "cat", 0.9, Some(0.13)),
        claim(Kind::Object, "cat", 0.6, Some(0.65)),
    ];
    let recorded = analyze(store, 1, &moved).await;
    assert_eq!((recorded.raised, recorded.answered, recorded.superseded), (1, 3, 1));
    let after = listed(store, SuggestionFilter::default()).await;
    for row in decided.iter().filter(|row| row.status != Status::Pending) {
        assert!(after.contains(row), "{row:?} was changed");
    }
    let status =
        |value: &str, status| after.iter().filter(|r| r.value == value && r.status == status).count();
    assert_eq!(status("sofa", Status::Superseded), 1);
    assert_eq!(status("dog", Status::Pending), 0);
    // Only the cat at the other end of the picture is a new claim.
    assert_eq!(status("cat", Status::Pending), 1);

    // Undone, the veto is lifted.
    store.decide(&id(Kind::Tag, "dog"), Decision::Undo, &somebody()).await.expect("undoes");
    store.requeue(Requeue::All, &wanted(), None).await.expect("requeues");
    analyze(store, 1, &moved).await;
    let dog = store.suggestion(id(Kind::Tag, "dog").as_str()).await.expect("is there");
    assert_eq!((dog.status, dog.confidence), (Status::Pending, 0.99));
}

/// Of two who decide one succeeds, and the log tells who, when, what.
pub async fn deciding_is_guarded_and_logged(store: &dyn Store) {
    register(store, 1..2).await;
    analyze(store, 1, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    let id = listed(store, SuggestionFilter::default()).await[0].id.clone();
    let other = Reviewer { name: "Grace".to_owned(), client: "web".to_owned() };
    let somebody = somebody();
    let (a, b) = tokio::join!(
        store.decide(&id, Decision::Accept, &somebody),
        store.decide(&id, Decision::Reject, &other)
    );
    assert_eq!(u8::from(a.is_ok()) + u8::from(b.is_ok()), 1);
    let conflict = a.err().or(b.err()).expect("one failed");
    assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
    store.decide(&id, Decision::Undo, &other).await.expect("undoes");
    assert!(matches!(store.decide(&id, Decision::Undo, &other).await, Err(StoreError::Conflict { .. })));
    let log = store.reviews(&id).await.expect("lists");
    assert_eq!(log.len(), 2);
    assert_eq!(
        (log[1].reviewer.as_str(), log[1].client.as_str(), log[1].action.as_str()),
        ("Grace", "web", "undo")
    );
    assert_eq!((log[0].before, log[1].after), (Status::Pending, Status::Pending));
    assert!(log[0].at.ends_with('Z') && log[0].at <= log[1].at, "{log:?}");
}

/// Ids may be abbreviated as long as they are unambiguous.
pub async fn ids_may_be_abbreviated(store: &dyn Store) {
    register(store, 1..2).await;
    analyze(store, 1, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    let row = listed(store, SuggestionFilter::default()).await.remove(0);
    assert_eq!(store.suggestion(&row.id.as_str()[..8]).await.expect("is found"), row);
    for wrong in ["", "abc", "zzzzzzzz", "'; drop table suggestion; --", "%%%%%%%%"] {
        assert!(matches!(store.suggestion(wrong).await, Err(StoreError::NotFound { .. })), "{wrong}");
    }
}

/// Pages neither repeat nor leave out what was there all along, whatever is written meanwhile.
pub async fn pages_are_stable_under_writes(store: &dyn Store) {
    register(store, 0..20).await;
    for number in 0..20 {
        let claims = [claim(Kind::Tag, "a", 0.5, None), claim(Kind::Tag, "b", 0.5, None)];
        analyze(store, number, &claims).await;
    }
    let all: BTreeSet<String> =
        listed(store, SuggestionFilter::default()).await.into_iter().map(|row| row.id.to_string()).collect();
    assert_eq!(all.len(), 40);
    let (mut seen, mut page, mut next_number) = (BTreeSet::new(), Page { limit: 7, after: None }, 100);
    loop {
        let found = store.suggestions(&SuggestionFilter::default(), &page).await.expect("lists");
        for row in &found.rows {
            assert!(seen.insert(row.id.to_string()), "{} came twice", row.id);
        }
        register(store, next_number..next_number + 1).await;
        analyze(store, next_number, &[claim(Kind::Tag, "new", 0.9, None)]).await;
        next_number += 1;
        if found.next.is_none() {
            break;
        }
        page.after = found.next;
    }
    assert!(all.is_subset(&seen), "{} of 40 were seen", seen.len());
    let broken = Page { limit: 7, after: Some("not a cursor".to_owned()) };
    let error = store.suggestions(&SuggestionFilter::default(), &broken).await.expect_err("is refused");
    assert!(matches!(error, StoreError::InvalidCursor(_)));
}

/// Transient failures wait for their delay, permanent ones for a person; an undecodable asset blocks its other work.
pub async fn failures_are_listed_and_requeued(store: &dyn Store) {
    register(store, 0..2).await;
    let jobs = lease(store, "test", 9, LONG).await;
    let failure = |analyzer, kind| Failure { analyzer, kind, reason: "because".to_owned() };
    let model = |analyzer| wanted()[&analyzer].clone();

    store.begin_run(&jobs[0], "test").await.expect("begins");
    let undecodable = failure(AnalyzerId::Decode, FailureKind::Permanent);
    let outcome = Outcome {
        analyzer: AnalyzerId::Decode,
        model: model(AnalyzerId::Decode),
        state: OutcomeState::Failed { failure: undecodable },
    };
    let run_of = |job: &AnalyzeAsset| Run { picture: None, ..run(&job.asset) };
    store
        .record(&[Finished { run: run_of(&jobs[0]), analysis: Analysis::default(), outcomes: vec![outcome] }])
        .await
        .expect("records");

    store.begin_run(&jobs[1], "test").await.expect("begins");
    let (mut partial, mut outcomes) = analysis(&jobs[1].asset, &[claim(Kind::Tag, "cat", 0.9, None)]);
    partial.completed.remove(&AnalyzerId::Objects);
    outcomes.retain(|outcome| outcome.analyzer != AnalyzerId::Objects);
    outcomes.push(Outcome {
        analyzer: AnalyzerId::Objects,
        model: model(AnalyzerId::Objects),
        state: OutcomeState::Retry {
            after: LONG,
            failure: failure(AnalyzerId::Objects, FailureKind::Transient),
        },
    });
    store
        .record(&[Finished {
            run: run(&jobs[1].asset),
            analysis: partial.clone(),
            outcomes: outcomes.clone(),
        }])
        .await
        .expect("records");

    let failures = store.failures(&Page { limit: 9, after: None }).await.expect("lists").rows;
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].reason.as_str(), failures[0].attempts), ("because", 1));
    assert_eq!(failures[0].uri, jobs[0].uris[0]);
    let counts = store.counts(&wanted()).await.expect("counts");
    assert_eq!(counts.analyzers[&AnalyzerId::Tags].blocked, 1);
    assert_eq!(counts.analyzers[&AnalyzerId::Objects].pending, 1);
    // Only the retry is outstanding, and not yet ready.
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), 1);
    let waiting = store.waiting(&wanted()).await.expect("looks");
    assert_eq!((waiting.left, waiting.ready), (true, false));
    assert!(waiting.next_ready_in.is_some_and(|wait| wait > LONG / 2));
    assert!(lease(store, "test", 9, LONG).await.is_empty());

    assert_eq!(store.requeue(Requeue::Failed, &wanted(), None).await.expect("requeues"), 1);
    let again = lease(store, "test", 9, LONG).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].analyzers.len(), 3, "{again:?}");
}

/// Stale work is that of another model; missing work is what was never asked for.
pub async fn stale_and_missing_work_is_found(store: &dyn Store) {
    register(store, 1..2).await;
    analyze(store, 1, &[]).await;
    let mut newer = wanted();
    newer.insert(AnalyzerId::Tags, ModelRef::new("tagger", "2"));
    newer.insert(AnalyzerId::Text, ModelRef::new("reader", "1"));
    let counts = store.counts(&newer).await.expect("counts");
    assert_eq!(
        (counts.analyzers[&AnalyzerId::Tags].stale, counts.analyzers[&AnalyzerId::Text].missing),
        (1, 1)
    );
    assert_eq!(store.requeue(Requeue::Stale, &newer, None).await.expect("requeues"), 1);
    let nobody = [content(99).asset_id()];
    assert_eq!(store.requeue(Requeue::Missing, &newer, Some(&nobody)).await.expect("requeues"), 0);
    assert_eq!(store.requeue(Requeue::Missing, &newer, None).await.expect("requeues"), 1);
    let request = LeaseRequest { owner: "x".to_owned(), limit: 9, duration: LONG, lane: None, wanted: newer };
    let job = store.lease(&request).await.expect("leases").remove(0);
    assert_eq!(BTreeSet::from_iter(job.analyzers), BTreeSet::from([AnalyzerId::Tags, AnalyzerId::Text]));
}
