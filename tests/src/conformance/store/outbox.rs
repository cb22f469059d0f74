//! Cases for events and those who are told of them.

use std::time::Duration;

use docent::queue::AnalyzeAsset;
use docent::store::{
    Begun, Decision, EventRow, Finished, FoundFile, JobState, NewJob, Outcome, OutcomeState, Run,
    SinkFailure, Store, StoreError, SuggestionFilter,
};
use docent_pipelines::{Analysis, AnalyzerId, Failure, FailureKind, Kind, Owner};
use serde_json::{Value, json};

use super::{LONG, analyze, claim, content, file, lease, listed, register, somebody, wanted};

const SINK: &str = "test";
const NONE: Duration = Duration::ZERO;

async fn keep(store: &dyn Store, name: &str) {
    store.keep_sinks(&[name.to_owned()]).await.expect("is kept");
}

/// Everything that a sink is told from now on, in portions of three.
async fn told_to(store: &dyn Store, name: &str) -> Vec<EventRow> {
    let mut told = Vec::new();
    while let Some(row) = store.take_sink(name, "me", LONG).await.expect("is asked") {
        let events = store.events_after(row.place, 3).await.expect("reads");
        let last = events.last().expect("there is something to tell").place;
        assert!(store.sink_took(name, "me", last, NONE).await.expect("is noted"));
        told.extend(events);
    }
    told
}

async fn told(store: &dyn Store) -> Vec<(String, Value)> {
    let events = told_to(store, SINK).await;
    events.into_iter().map(|event| (event.event, Value::Object(event.data))).collect()
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

/// Without a sink nothing is written; with one, everything from then on, once it is true.
pub async fn events_wait_for_those_who_are_told(store: &dyn Store) {
    register(store, 1..4).await;
    analyze(store, 1, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    assert_eq!(store.events_after(0, 9).await.expect("reads"), []);
    assert_eq!(store.sinks().await.expect("reads"), []);
    keep(store, SINK).await;
    keep(store, SINK).await;
    assert!(store.take_sink(SINK, "me", LONG).await.expect("is asked").is_none(), "there is nothing to tell");
    analyze(store, 2, &[claim(Kind::Tag, "dog", 0.9, None), claim(Kind::Tag, "pug", 0.8, None)]).await;
    let rows = listed(store, SuggestionFilter::default()).await;
    let dog = rows.iter().find(|row| row.value == "dog").expect("is listed");
    store.decide(&dog.id, Decision::Reject, &somebody()).await.expect("rejects");
    assert!(
        store.decide(&dog.id, Decision::Accept, &somebody()).await.is_err(),
        "no event for what did not happen"
    );
    let events = told(store).await;
    assert_eq!(names(&events), ["suggestions.created", "suggestion.decided"]);
    assert_eq!(events[0].1["asset_id"], content(2).asset_id().as_str());
    assert_eq!((&events[0].1["raised"], &events[0].1["analyzers"]["tags"]), (&json!(2), &json!("tagger@1")));
    assert_eq!(
        events[1].1,
        json!({
            "suggestion_id": dog.id, "asset_id": dog.asset_id, "kind": "tag", "value": "dog", "action": "reject",
            "before": "pending", "after": "rejected", "reviewer": somebody().name, "client": somebody().client,
            "places": [{ "uri": file(2).uri, "owner": null, "correlation_id": null }],
        })
    );
    assert!(told(store).await.is_empty(), "told twice");

    // Decisions on many suggestions are told one by one, with their job.
    analyze(store, 3, &[claim(Kind::Tag, "cup", 0.9, None), claim(Kind::Tag, "mug", 0.8, None)]).await;
    let filter = SuggestionFilter { min_confidence: Some(0.7), ..SuggestionFilter::default() };
    let new = NewJob { reject: false, filter, newest_run: None, by: somebody() };
    let mut job = store.start_job(&new).await.expect("begins");
    while job.state != JobState::Done {
        job = store.advance_job(Some(job.id)).await.expect("goes on").expect("is open");
    }
    let events = told(store).await;
    let decided: Vec<&Value> = events[1..].iter().map(|(_, data)| data).collect();
    assert_eq!(decided.len() as u64, job.done);
    assert!(decided.iter().all(|data| data["job"] == job.id && data["after"] == "accepted"), "{decided:?}");
}

/// Each sink has a place of its own, and one process at a time has the sink.
pub async fn sinks_are_told_apart(store: &dyn Store) {
    register(store, 1..5).await;
    keep(store, "slow").await;
    analyze(store, 1, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    keep(store, "quick").await;
    analyze(store, 2, &[claim(Kind::Tag, "dog", 0.9, None)]).await;
    assert_eq!(told_to(store, "quick").await.len(), 1, "what was before its time");
    let row = store.take_sink("slow", "one", LONG).await.expect("is asked").expect("has two to hear");
    assert_eq!(row.waiting, 2);
    assert!(store.take_sink("slow", "other", LONG).await.expect("is asked").is_none());
    assert!(store.take_sink("slow", "one", LONG).await.expect("is asked").is_some());
    let events = store.events_after(row.place, 9).await.expect("reads");
    assert!(!store.sink_took("slow", "other", events[1].place, NONE).await.expect("is noted"));
    assert!(store.sink_took("slow", "one", events[0].place, LONG).await.expect("is noted"));
    assert!(store.take_sink("slow", "other", LONG).await.expect("is asked").is_none());
    // A lease that ends without a word is free.
    assert!(store.sink_took("slow", "one", events[0].place, NONE).await.expect("is noted"));
    let row = store.take_sink("slow", "other", NONE).await.expect("is asked").expect("is free");
    assert_eq!((row.place, row.waiting), (events[0].place, 1));
    let row = store.take_sink("slow", "third", LONG).await.expect("is asked").expect("has expired");
    assert!(!store.sink_took("slow", "other", events[1].place, NONE).await.expect("is noted"));
    assert_eq!(store.events_after(row.place, 9).await.expect("reads")[0].id, events[1].id);
    let last = store.newest_event().await.expect("reads");
    assert_eq!(last, events[1].place);
    assert!(matches!(store.enable_sink("nobody").await, Err(StoreError::NotFound { .. })));
}

/// What a sink refuses waits, until the sink is disabled.
pub async fn refusals_are_counted_and_end(store: &dyn Store) {
    register(store, 1..4).await;
    keep(store, SINK).await;
    analyze(store, 1, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    analyze(store, 2, &[claim(Kind::Tag, "dog", 0.9, None)]).await;
    let take = async || store.take_sink(SINK, "me", LONG).await.expect("is asked");
    let row = take().await.expect("has something to hear");
    let failure = |place, again, patience| SinkFailure {
        place,
        reason: format!("status 500: no\0{}", "x".repeat(9000)),
        again,
        patience,
    };
    for attempts in 1..=3 {
        let failed = failure(row.place, NONE, Some(LONG));
        assert!(!store.sink_refused(SINK, "me", &failed).await.expect("is noted"));
        let row = &store.sinks().await.expect("reads")[0];
        assert_eq!((row.attempts, row.waiting, row.disabled_at.as_ref()), (attempts, 2, None));
        assert!(row.failing_since.is_some() && row.reason.as_ref().is_some_and(|reason| reason.len() < 600));
        assert!(take().await.is_some(), "its time has come");
    }
    // It is given back without having taken anything: it fails as before.
    assert!(store.sink_took(SINK, "me", row.place, NONE).await.expect("is noted"));
    assert_eq!(store.sinks().await.expect("reads")[0].attempts, 3);
    assert!(take().await.is_some());
    // It took one and refuses the next: the count starts over.
    let events = store.events_after(row.place, 9).await.expect("reads");
    let failed = failure(events[0].place, LONG, Some(LONG));
    assert!(!store.sink_refused(SINK, "me", &failed).await.expect("is noted"));
    assert_eq!(store.sinks().await.expect("reads")[0].attempts, 1);
    assert!(take().await.is_none(), "it is left alone for an hour");
    assert_eq!(store.enable_sink(SINK).await.expect("is enabled"), 0);
    assert_eq!(take().await.expect("is tried at once").place, events[0].place);
    let failed = failure(events[0].place, NONE, Some(NONE));
    assert!(store.sink_refused(SINK, "me", &failed).await.expect("is noted"), "its time is over");
    assert!(take().await.is_none());
    let row = store.sinks().await.expect("reads").remove(0);
    assert!(row.disabled_at.is_some(), "{row:?}");
    analyze(store, 3, &[claim(Kind::Tag, "cow", 0.9, None)]).await;
    assert_eq!(store.enable_sink(SINK).await.expect("is enabled"), 0);
    let places: Vec<i64> = told_to(store, SINK).await.iter().map(|event| event.place).collect();
    assert_eq!((places.len(), places[0]), (2, events[1].place));
    let row = store.sinks().await.expect("reads").remove(0);
    assert_eq!((row.attempts, row.waiting, row.failing_since, row.reason), (0, 0, None, None));
    // Events are kept for a day.
    store.upkeep().await.expect("tidies");
    assert_eq!(store.events_after(0, 9).await.expect("reads").len(), 3);
}

/// Events name at most a hundred places of their asset, those that were submitted first.
pub async fn events_name_the_places_of_their_assets(store: &dyn Store) {
    keep(store, SINK).await;
    let owner = |name: &str| Some(Owner::try_from(name.to_owned()).expect("a name"));
    let first = FoundFile { owner: owner("press"), ..file(1) };
    store.submit(&first, &wanted(), Some("4711")).await.expect("registers");
    analyze(store, 1, &[claim(Kind::Tag, "cat", 0.9, None), claim(Kind::Tag, "dog", 0.8, None)]).await;
    let asset = content(1).asset_id();
    let place = |file: &FoundFile, correlation: Option<&str>| json!({ "uri": file.uri, "owner": file.owner, "correlation_id": correlation });
    let events = told(store).await;
    assert_eq!(names(&events), ["asset.registered", "suggestions.created"]);
    let expected = json!({
        "asset_id": asset, "uri": first.uri, "owner": "press", "correlation_id": "4711", "created": true,
        "new_place": true, "complete": false, "pending": 0, "accepted": 0, "places": [place(&first, Some("4711"))],
    });
    assert_eq!(events[0].1, expected);
    assert_eq!((&events[1].1["asset_id"], &events[1].1["places"]), (&json!(asset), &expected["places"]));

    // A known picture at a new place, submitted without a name, and at a known place.
    let copy = FoundFile { uri: "file:///elsewhere/copy.jpg".to_owned(), ..file(1) };
    store.submit(&copy, &wanted(), None).await.expect("registers");
    store.submit(&first, &wanted(), Some("4712")).await.expect("registers");
    let events = told(store).await;
    let known = |data: &Value| ["created", "new_place", "complete", "pending"].map(|key| data[key].clone());
    assert_eq!(known(&events[0].1), [json!(false), json!(true), json!(true), json!(2)]);
    assert_eq!(events[0].1["uri"], copy.uri);
    assert_eq!(known(&events[1].1), [json!(false), json!(false), json!(true), json!(2)]);
    // The last name counts; places that were submitted with one come first.
    assert_eq!(events[1].1["places"], json!([place(&first, Some("4712")), place(&copy, None)]));

    // At most a hundred are told.
    let copies = (0..150).map(|n| FoundFile { uri: format!("file:///many/{n:03}.jpg"), ..file(1) });
    store.register(&copies.collect::<Vec<_>>(), &wanted()).await.expect("registers");
    let row = listed(store, SuggestionFilter::default()).await.remove(0);
    store.decide(&row.id, Decision::Accept, &somebody()).await.expect("accepts");
    let events = told(store).await;
    let places = events[0].1["places"].as_array().expect("a list");
    assert_eq!((places.len(), &places[0]), (100, &place(&first, Some("4712"))));
}

/// What failed for good has an event of its own, once.
pub async fn what_failed_is_told(store: &dyn Store) {
    keep(store, SINK).await;
    register(store, 1..3).await;
    let jobs = lease(store, "worker", 2, LONG).await;
    // One cannot be decoded, and what may pass is no event.
    let failure = |kind| Failure { analyzer: AnalyzerId::Decode, kind, reason: "no pi\0cture".to_owned() };
    for (state, expected) in [
        (
            OutcomeState::Retry { after: NONE, failure: failure(FailureKind::Transient) },
            &["suggestions.created"][..],
        ),
        (
            OutcomeState::Failed { failure: failure(FailureKind::Permanent) },
            &["suggestions.created", "asset.failed"],
        ),
    ] {
        store.begin_run(&jobs[0], "worker").await.expect("begins");
        let run = Run { asset: jobs[0].asset.clone(), owner: "worker".to_owned(), picture: None };
        let model = wanted()[&AnalyzerId::Decode].clone();
        let outcomes = vec![Outcome { analyzer: AnalyzerId::Decode, model, state }];
        let finished = Finished { run, analysis: Analysis::default(), outcomes };
        for _ in 0..2 {
            // The second time its answer was lost.
            store.record(std::slice::from_ref(&finished)).await.expect("records");
        }
        let events = told(store).await;
        assert_eq!(names(&events), expected);
        if let Some((_, data)) = events.get(1) {
            assert_eq!(data["asset_id"], jobs[0].asset.as_str());
            assert_eq!(
                data["failures"],
                json!([{ "analyzer": "decode", "kind": "permanent", "reason": "no pi\u{fffd}cture" }])
            );
            assert_eq!(data["places"][0]["uri"], jobs[0].uris[0]);
        }
    }
    // The other ends its worker, and is given up.
    store.give_up_after(0);
    let alone = AnalyzeAsset { alone: true, ..jobs[1].clone() };
    assert!(matches!(store.begin_run(&alone, "worker").await.expect("begins"), Begun::Run(_)));
    assert_eq!(store.begin_run(&alone, "other").await.expect("looks"), Begun::GivenUp { lost: 1 });
    let events = told(store).await;
    assert_eq!(names(&events), ["asset.failed"]);
    assert_eq!(events[0].1["asset_id"], jobs[1].asset.as_str());
    let reason = events[0].1["failures"][0]["reason"].as_str().expect("a text");
    assert!(reason.contains("stopped 1 times"), "{reason}");
}
