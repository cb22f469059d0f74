//! Cases for people who go through an archive: orders by place, what can be looked at, what implies what, what undo takes back.

use docent::queue::Lane;
use docent::store::{
    Arrangement, AssetFilter, Decision, FileStamp, Finished, FoundFile, NewJob, Outcome, OutcomeState, Page,
    PlaceFilter, Reviewer, Step, Store, StoreError, SuggestionFilter, Summary,
};
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{Analysis, AnalyzerId, AssetId, Failure, FailureKind, Kind, Status};

use super::{LONG, analyze, claim, content, lease, listed, register, run, somebody, wanted};

fn at(place: &str, number: u32, modified_ns: i64) -> FoundFile {
    FoundFile {
        uri: format!("file:///archive/{place}"),
        stamp: FileStamp { bytes: 100, modified_ns },
        hash: content(number).into(),
        lane: Lane::Backfill,
        owner: None,
    }
}

async fn arranged(store: &dyn Store, by: Arrangement, filter: &AssetFilter, limit: u32) -> Vec<AssetId> {
    let (mut found, mut page) = (Vec::new(), Page { limit, after: None });
    loop {
        let listed = store.arranged(filter, by, &page).await.expect("lists");
        assert!(listed.rows.len() <= limit as usize);
        found.extend(listed.rows.into_iter().map(|row| row.asset_id));
        page.after = listed.next;
        if page.after.is_none() {
            return found;
        }
    }
}

/// Assets stand once each, where they are first, in pages of any size; filters and folders change nothing about that.
pub async fn places_and_dates_are_orders(store: &dyn Store) {
    let files = [
        at("b/2.jpg", 1, 50),
        at("a/9.jpg", 2, 10),
        at("a b/1.jpg", 3, 40),
        at("c/1.jpg", 2, 99),
        at("b/1.jpg", 4, 50),
        at("a/0.jpg", 5, 70),
        at("d/5.jpg", 5, 20),
        at("d/6.jpg", 6, -5),
    ];
    store.register(&files, &wanted()).await.expect("registers");
    for number in 1..=6 {
        let kind = if number % 2 == 0 { Kind::Object } else { Kind::Tag };
        analyze(store, number, &[claim(kind, "cat", 0.9, None)]).await;
    }
    // Number 5 stands at d/5.jpg then, and 6 nowhere.
    let gone = ["a/0.jpg", "d/6.jpg"].map(|place| format!("file:///archive/{place}"));
    store.note_places(&gone, &[]).await.expect("notes");
    let everything = AssetFilter::default();
    let within = |folder: &str| AssetFilter {
        place: PlaceFilter { uri_prefix: Some(format!("file:///archive/{folder}")), owner: None },
        ..AssetFilter::default()
    };
    let tags = AssetFilter { kind: Some(Kind::Tag), ..AssetFilter::default() };
    let ids = |numbers: &[u32]| numbers.iter().map(|&n| content(n).asset_id()).collect::<Vec<_>>();
    for limit in [1, 2, 3, 1000] {
        for (by, filter, expected) in [
            (Arrangement::Place, &everything, &[3, 2, 4, 1, 5][..]),
            (Arrangement::Date, &everything, &[1, 4, 3, 5, 2]),
            (Arrangement::Place, &tags, &[3, 1, 5]),
            (Arrangement::Date, &tags, &[1, 3, 5]),
            (Arrangement::Place, &within("c"), &[2]),
            (Arrangement::Date, &within("b"), &[1, 4]),
            (Arrangement::Place, &within("b"), &[4, 1]),
            (Arrangement::Place, &within("a"), &[2]),
            (Arrangement::Date, &within("d"), &[5]),
        ] {
            assert_eq!(arranged(store, by, filter, limit).await, ids(expected), "{by:?} {filter:?} {limit}");
        }
    }
    // The cursor of one order is none of another.
    let page = Page { limit: 1, after: None };
    let next = async |by| store.arranged(&everything, by, &page).await.expect("lists").next;
    let (place, date) = (next(Arrangement::Place).await, next(Arrangement::Date).await);
    for (by, after) in [(Arrangement::Date, place.clone()), (Arrangement::Place, date)] {
        let refused = store.arranged(&everything, by, &Page { limit: 1, after }).await;
        assert!(matches!(refused, Err(StoreError::InvalidCursor(_))), "{by:?}");
    }
    let refused = store.list_assets(&everything, &Page { limit: 1, after: place }).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor(_))));
}

/// What is nowhere or cannot be decoded cannot be looked at, for listings, counts and jobs alike.
pub async fn what_cannot_be_looked_at_is_apart(store: &dyn Store) {
    register(store, 1..4).await;
    for number in 1..4 {
        analyze(store, number, &[claim(Kind::Tag, "cat", 0.9, None)]).await;
    }
    store.note_places(&["file:///photos/000001.jpg".to_owned()], &[]).await.expect("notes");
    let broken = content(2).asset_id();
    let redo = docent::store::Requeue::All;
    store.requeue(redo, &wanted(), Some(std::slice::from_ref(&broken))).await.expect("requeues");
    for job in lease(store, "test", 10, LONG).await {
        store.begin_run(&job, "test").await.expect("begins");
        let failure = Failure {
            analyzer: AnalyzerId::Decode,
            kind: FailureKind::Permanent,
            reason: "cut off".to_owned(),
        };
        let (model, state) =
            (wanted()[&AnalyzerId::Decode].clone(), OutcomeState::Failed { failure: failure.clone() });
        let outcomes = vec![Outcome { analyzer: AnalyzerId::Decode, model, state }];
        let analysis = Analysis { failures: vec![failure], ..Analysis::default() };
        store.record(&[Finished { run: run(&job.asset), analysis, outcomes }]).await.expect("records");
    }
    let viewable = AssetFilter { viewable: true, ..AssetFilter::default() };
    let page = Page { limit: 10, after: None };
    let listed = store.list_assets(&viewable, &page).await.expect("lists");
    let only = [content(3).asset_id()];
    assert_eq!(listed.rows.iter().map(|row| row.asset_id.clone()).collect::<Vec<_>>(), only);
    for by in [Arrangement::Place, Arrangement::Date] {
        assert_eq!(arranged(store, by, &viewable, 10).await, only);
    }
    assert_eq!(store.list_assets(&AssetFilter::default(), &page).await.expect("lists").rows.len(), 3);
    let filter =
        SuggestionFilter { min_confidence: Some(0.0), viewable: true, ..SuggestionFilter::default() };
    let expected = Summary { count: 1, kinds: [(Kind::Tag, 1)].into(), assets: 1, more: false };
    assert_eq!(store.sum_up(&filter).await.expect("counts"), expected);
    let job = NewJob { reject: false, filter, newest_run: None, by: somebody() };
    let mut job = store.start_job(&job).await.expect("begins");
    while job.state.is_open() {
        job = store.advance_job(Some(job.id)).await.expect("goes on").expect("is open");
    }
    assert_eq!((job.total, job.done), (1, 1));
}

fn tags() -> [Claim; 4] {
    let tag = |value: &str, implies: &[&str]| Claim {
        implies: implies.iter().map(|tag| (*tag).to_owned()).collect(),
        ..claim(Kind::Tag, value, 0.9, None)
    };
    [
        tag("tabby cat", &["cat", "animal"]),
        tag("cat", &["animal"]),
        tag("animal", &[]),
        tag("sofa", &["furniture"]),
    ]
}

async fn statuses(store: &dyn Store) -> Vec<(String, Status)> {
    let mut rows: Vec<_> = listed(store, SuggestionFilter::default())
        .await
        .into_iter()
        .map(|row| (row.value, row.status))
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

/// `animal`, `cat`, `sofa` and `tabby cat`.
fn are(expected: [Status; 4]) -> Vec<(String, Status)> {
    let names = ["animal", "cat", "sofa", "tabby cat"].map(str::to_owned);
    names.into_iter().zip(expected).collect()
}

/// Who accepts a tag accepts what it implies; undoing takes back both, but not what somebody else decided.
pub async fn a_tag_is_accepted_with_what_it_implies(store: &dyn Store) {
    use Status::{Accepted, Pending, Rejected};
    register(store, 1..2).await;
    analyze(store, 1, &tags()).await;
    let rows = listed(store, SuggestionFilter::default()).await;
    let id = |value: &str| rows.iter().find(|row| row.value == value).expect("is there").id.clone();
    let implied = &rows.iter().find(|row| row.value == "tabby cat").expect("is there").implies;
    assert_eq!(implied, &["cat", "animal"]);
    let decide = async |value: &str, decision| {
        store.decide(&id(value), decision, &somebody()).await.expect("decides");
    };

    decide("tabby cat", Decision::Accept).await;
    assert_eq!(statuses(store).await, are([Accepted, Accepted, Pending, Accepted]));
    decide("tabby cat", Decision::Undo).await;
    assert_eq!(statuses(store).await, are([Pending; 4]));
    // A rejected tag says nothing about a broader one, whatever was said before.
    decide("tabby cat", Decision::Reject).await;
    assert_eq!(statuses(store).await, are([Pending, Pending, Pending, Rejected]));
    decide("tabby cat", Decision::Undo).await;
    // A second time, with one that was decided before, and one that is thought over.
    decide("animal", Decision::Reject).await;
    decide("tabby cat", Decision::Accept).await;
    assert_eq!(statuses(store).await, are([Rejected, Accepted, Pending, Accepted]));
    decide("cat", Decision::Undo).await;
    decide("cat", Decision::Reject).await;
    decide("tabby cat", Decision::Undo).await;
    assert_eq!(statuses(store).await, are([Rejected, Rejected, Pending, Pending]));
    decide("animal", Decision::Undo).await;
    decide("cat", Decision::Undo).await;
    decide("sofa", Decision::Accept).await;
    assert_eq!(statuses(store).await, are([Pending, Pending, Accepted, Pending]));

    // A job does the same.
    let filter = SuggestionFilter {
        min_confidence: Some(0.0),
        value: Some("tabby cat".to_owned()),
        ..SuggestionFilter::default()
    };
    let job = job(store, false, filter, &somebody()).await;
    assert_eq!((job.total, job.done), (3, 3));
    assert_eq!(statuses(store).await, are([Accepted; 4]));
}

async fn job(
    store: &dyn Store,
    reject: bool,
    filter: SuggestionFilter,
    by: &Reviewer,
) -> docent::store::JobRow {
    let job = NewJob { reject, filter, newest_run: None, by: by.clone() };
    finish(store, store.start_job(&job).await.expect("begins")).await
}

async fn finish(store: &dyn Store, mut job: docent::store::JobRow) -> docent::store::JobRow {
    while job.state.is_open() {
        job = store.advance_job(Some(job.id)).await.expect("goes on").expect("is open");
    }
    job
}

/// The last decision that stands is found, step by step back to the first, for each person and client alone.
pub async fn the_last_decision_is_known(store: &dyn Store) {
    register(store, 1..3).await;
    analyze(store, 1, &tags()).await;
    analyze(store, 2, &[1.0, 0.8, 0.6].map(|sure| claim(Kind::Object, "person", sure, Some(sure / 2.0))))
        .await;
    let (ada, other) = (somebody(), Reviewer { name: "Ada".to_owned(), client: "web".to_owned() });
    assert_eq!(store.last_step(&ada).await.expect("looks"), None);
    let rows = listed(store, SuggestionFilter::default()).await;
    let id = |value: &str| rows.iter().find(|row| row.value == value).expect("is there").id.clone();
    store.decide(&id("sofa"), Decision::Reject, &ada).await.expect("decides");
    // A list of suggestions is decided together.
    let people: Vec<_> = rows.iter().filter(|row| row.value == "person").map(|row| row.id.clone()).collect();
    let two = SuggestionFilter {
        asset: Some(content(2).asset_id()),
        suggestions: people[..2].to_vec(),
        ..SuggestionFilter::default()
    };
    let many = job(store, true, two, &ada).await;
    assert_eq!((many.total, many.done), (2, 2));
    store.decide(&id("tabby cat"), Decision::Accept, &ada).await.expect("decides");
    store.decide(&people[2], Decision::Accept, &other).await.expect("decides");

    let last = async || match store.last_step(&ada).await.expect("looks") {
        None => (String::new(), Vec::new()),
        Some(Step::Many(job)) => (format!("job {}", job.id), Vec::new()),
        Some(Step::One { suggestion, also }) => (suggestion.value, also),
    };
    let (value, mut also) = last().await;
    also.sort();
    assert_eq!(
        (value.as_str(), also.as_slice()),
        ("tabby cat", &["animal".to_owned(), "cat".to_owned()][..])
    );
    store.decide(&id("tabby cat"), Decision::Undo, &ada).await.expect("undoes");
    assert_eq!(last().await.0, format!("job {}", many.id));
    let back = store.revert_job(many.id, &ada).await.expect("begins");
    assert_eq!(finish(store, back).await.done, 2);
    assert_eq!(last().await.0, "sofa");
    store.decide(&id("sofa"), Decision::Undo, &ada).await.expect("undoes");
    assert_eq!(last().await.0, "");
    // What somebody else changed since is passed over.
    store.decide(&id("sofa"), Decision::Accept, &ada).await.expect("decides");
    store.decide(&id("sofa"), Decision::Undo, &other).await.expect("undoes");
    store.decide(&id("sofa"), Decision::Reject, &other).await.expect("decides");
    assert_eq!(last().await.0, "");
    let Some(Step::One { suggestion, .. }) = store.last_step(&other).await.expect("looks") else {
        panic!("the other decided last")
    };
    assert_eq!(suggestion.value, "sofa");
}
