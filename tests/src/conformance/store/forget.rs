//! Cases for forgetting.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use docent::store::{
    Begun, Decision, Finished, Forget, ForgetRow, ForgetState, FoundFile, JobState, Mark, MatchedPortion,
    NewForget, Page, Part, Requeue, ReviewFilter, Store, StoreError, SuggestionFilter, Toll, folded,
};
use docent_models::ModelRef;
use docent_pipelines::suggestion::Claim;
use docent_pipelines::vocabulary::TermId;
use docent_pipelines::{
    AnalyzerId, AssetId, Fingerprint, Kind, Owner, Status, Suggestion, VectorRecord, VectorSpace,
};

use super::jobs::{begin, finish};
use super::{LONG, analysis, analyze, claim, content, file, lease, listed, register, run, somebody, wanted};

const ALL: Page = Page { limit: 1000, after: None };

async fn order(store: &dyn Store, what: &Forget) -> ForgetRow {
    let order = NewForget { what: what.clone(), uploads: None, by: somebody() };
    store.start_forgetting(&order).await.expect("begins")
}

/// Carries an order out. What lies outside of the ledger is taken for removed.
async fn carry_out(store: &dyn Store, what: &Forget) -> ForgetRow {
    let mut row = order(store, what).await;
    while row.state == ForgetState::Open {
        row = store.forget_portion(Some(row.id), None).await.expect("forgets").expect("is open");
    }
    cleared(store).await;
    store.finish_forgetting(row.id).await.expect("ends")
}

/// The assets whose vectors were to be removed from the index.
async fn cleared(store: &dyn Store) -> Vec<AssetId> {
    let left = store.leftovers(None, 1000).await.expect("lists");
    store.cleared(&left).await.expect("clears");
    left.into_iter().map(|leftover| leftover.asset).collect()
}

async fn cost(store: &dyn Store, what: &Forget) -> Toll {
    let (mut toll, mut after) = (Toll::default(), None);
    loop {
        let named = store.named(what, after.as_deref()).await.expect("lists");
        toll += store.toll(what, &named.assets, None).await.expect("counts");
        after = named.next;
        if after.is_none() {
            return toll;
        }
    }
}

fn id(number: u32) -> AssetId {
    content(number).asset_id()
}

fn these(numbers: &[u32]) -> Forget {
    Forget { assets: numbers.iter().map(|number| id(*number)).collect(), ..Forget::default() }
}

fn below(places: &[&str]) -> Forget {
    Forget { places: places.iter().map(ToString::to_string).collect(), ..Forget::default() }
}

fn space() -> VectorSpace {
    VectorSpace::from_name("picture/p@1")
}

/// Leases, runs and records an asset with claims and a vector.
async fn look(store: &dyn Store, number: u32, claims: &[Claim]) {
    let jobs = lease(store, "test", 1000, LONG).await;
    for job in jobs.iter().filter(|job| job.asset != id(number)) {
        store.hand_back(&job.asset).await.expect("hands back");
    }
    let job = jobs.into_iter().find(|job| job.asset == id(number)).expect("is pending");
    assert!(matches!(store.begin_run(&job, "test").await, Ok(Begun::Run(_))));
    store.record(&[looked(number, claims)]).await.expect("records");
}

fn looked(number: u32, claims: &[Claim]) -> Finished {
    let (mut analysis, outcomes) = analysis(&id(number), claims);
    analysis.spaces.insert(space());
    analysis.vectors = vec![VectorRecord::new(id(number), space(), None, vec![number as f32, 0.5])];
    Finished { run: run(&id(number)), analysis, outcomes }
}

fn claims() -> [Claim; 3] {
    [
        claim(Kind::Tag, "cat", 0.95, None),
        claim(Kind::Text, "grand hotel", 0.9, Some(0.1)),
        claim(Kind::Object, "ball", 0.7, Some(0.3)),
    ]
}

async fn texts(store: &dyn Store) -> Vec<AssetId> {
    let hotel = Part::words(&folded("hotel")).expect("is a word");
    let held = store.holding(&[hotel], None).await.expect("searches").texts;
    held.into_iter().map(|held| held.asset).collect()
}

/// Nothing of a forgotten asset is left in any answer, and everything of the others.
pub async fn nothing_is_left_of_what_is_forgotten(store: &dyn Store) {
    register(store, 0..3).await;
    for number in 0..3 {
        look(store, number, &claims()).await;
    }
    for row in listed(store, SuggestionFilter { kind: Some(Kind::Tag), ..SuggestionFilter::default() }).await
    {
        store.decide(&row.id, Decision::Accept, &somebody()).await.expect("decides");
    }
    let newest = store.newest_run().await.expect("reads");
    let said = listed(store, SuggestionFilter { asset: Some(id(1)), ..SuggestionFilter::default() }).await;
    let expected = Toll { assets: 1, places: 1, suggestions: 3, decisions: 1, ..Toll::default() };
    assert_eq!(cost(store, &these(&[1, 1, 77])).await, expected);
    let before = store.counts(&wanted()).await.expect("counts");
    assert_eq!((before.assets, before.vectors[space().as_str()]), (3, 3), "nothing was forgotten yet");

    let row = carry_out(store, &these(&[1, 77])).await;
    assert_eq!((row.state, row.toll, row.reviewer.as_str()), (ForgetState::Done, expected, "Ada"));
    assert!(row.finished_at.is_some());
    assert!(matches!(store.asset(&id(1)).await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.asset_at(&file(1).uri).await.expect("looks up"), None);
    for row in &said {
        assert!(matches!(store.suggestion(row.id.as_str()).await, Err(StoreError::NotFound { .. })));
        assert_eq!(store.reviews(&row.id).await.expect("lists"), []);
        let decided = store.decide(&row.id, Decision::Undo, &somebody()).await;
        assert!(matches!(decided, Err(StoreError::NotFound { .. })));
    }
    assert_eq!(store.vector(&id(1), &space()).await.expect("reads"), None);
    let mut left = texts(store).await;
    left.sort();
    let mut others = vec![id(0), id(2)];
    others.sort();
    assert_eq!(left, others);
    let log = store.review_log(&ReviewFilter::default(), &ALL).await.expect("lists").rows;
    assert!(log.len() == 2 && log.iter().all(|entry| entry.asset_id != id(1)));
    assert_eq!(store.newest_run().await.expect("reads"), newest, "run numbers do not start over");

    let counts = store.counts(&wanted()).await.expect("counts");
    assert_eq!((counts.assets, counts.paths, counts.vectors[space().as_str()]), (2, 2, 2));
    assert_eq!(counts.suggestions["accepted"], 2);
    assert!(counts.analyzers.values().all(|work| work.done == 2 && work.pending == 0 && work.missing == 0));
    for number in [0, 2] {
        assert_eq!(store.asset(&id(number)).await.expect("is there").accepted_tags, ["cat"]);
        assert!(store.vector(&id(number), &space()).await.expect("reads").is_some());
    }
    // A second order finds nothing, and the log has both.
    let again = carry_out(store, &these(&[1])).await;
    assert_eq!((again.state, again.toll), (ForgetState::Done, Toll::default()));
    let all = store.forgettings(&ALL).await.expect("lists").rows;
    assert_eq!(all.iter().map(|row| row.id).collect::<Vec<_>>(), [again.id, row.id]);
    assert_eq!(store.forgetting(row.id).await.expect("is there"), row);
    let first = store.forgettings(&Page { limit: 1, after: None }).await.expect("lists");
    let next = store.forgettings(&Page { limit: 1, after: first.next }).await.expect("lists");
    assert_eq!((next.rows.len(), next.next), (1, None));
}

/// A forgotten picture is not registered again, wherever it lies and whatever was written into its file, until it is readmitted.
pub async fn what_is_forgotten_does_not_come_back(store: &dyn Store) {
    let picture = Fingerprint { bytes: content(100), picture: content(1) };
    let first = FoundFile { hash: picture, ..file(1) };
    store.register(&[first.clone(), file(2)], &wanted()).await.expect("registers");
    carry_out(store, &these(&[1])).await;
    let edited = FoundFile {
        uri: "file:///elsewhere/edited.jpg".to_owned(),
        hash: Fingerprint { bytes: content(101), picture: content(1) },
        ..file(1)
    };
    for found in [&first, &edited] {
        let registered = store.register(&[found.clone(), file(3)], &wanted()).await.expect("registers");
        assert_eq!(registered.forgotten, 1);
        assert_eq!(store.asset_at(&found.uri).await.expect("looks up"), None);
    }
    assert_eq!(store.barred(&[edited.hash, file(3).hash, picture]).await.expect("asks"), [true, false, true]);
    assert_eq!(store.forgotten(&[id(1), id(2), id(9)]).await.expect("asks"), [id(1)].into());
    let submitted = store.submit(&first, &wanted(), Some("item 1")).await.expect("is looked at");
    assert_eq!(submitted.forgotten, 1);
    assert_eq!(store.counts(&wanted()).await.expect("counts").assets, 2);

    // Where it takes the place of another one, that one is there no longer.
    let moved = FoundFile { uri: file(2).uri, ..first.clone() };
    store.register(&[moved], &wanted()).await.expect("registers");
    assert!(store.known_files(&[file(2).uri]).await.expect("looks up")[&file(2).uri].gone);

    let marks = store.marks(&ALL).await.expect("lists").rows;
    assert_eq!(marks.iter().map(|row| row.mark.clone()).collect::<Vec<_>>(), [Mark::of(&id(1))]);
    let newest = store.newest_mark().await.expect("reads");
    assert_eq!(store.marks_after(0, 10).await.expect("reads"), [(newest, Mark::of(&id(1)))]);
    assert_eq!(store.marks_after(newest, 10).await.expect("reads"), []);
    assert!(!store.readmit(&Mark::of(&id(9))).await.expect("asks"));
    assert!(store.readmit(&marks[0].mark).await.expect("readmits"));
    assert_eq!(store.register(&[edited], &wanted()).await.expect("registers").new_assets, 1);
    assert_eq!(store.marks(&ALL).await.expect("lists").rows, []);
}

/// Whatever a run does that was begun before its asset was forgotten, nothing of it comes back.
pub async fn runs_in_work_write_nothing_of_the_forgotten(store: &dyn Store) {
    register(store, 1..5).await;
    let jobs = lease(store, "test", 10, LONG).await;
    let job = |number| jobs.iter().find(|job| job.asset == id(number)).expect("is leased").clone();
    store.begin_run(&job(1), "test").await.expect("begins");
    store.begin_run(&job(2), "test").await.expect("begins");
    carry_out(store, &these(&[1, 3])).await;
    // Fetched, but not begun; begun; recorded alone and beside another one.
    assert_eq!(store.begin_run(&job(3), "test").await.expect("answers"), Begun::Forgotten);
    let unknown = docent::queue::AnalyzeAsset { asset: id(77), ..job(3) };
    assert!(matches!(store.begin_run(&unknown, "test").await, Err(StoreError::NotFound { .. })));
    let both = [looked(2, &claims()), looked(1, &claims())];
    match store.record(&both).await {
        Err(StoreError::Forgotten { asset }) => assert_eq!(asset, id(1)),
        answer => panic!("{answer:?}"),
    }
    assert_eq!(listed(store, SuggestionFilter::default()).await, [], "none is recorded");
    store.record(&both[..1]).await.expect("records");
    assert!(matches!(store.record(&both[1..]).await, Err(StoreError::Forgotten { .. })));
    // What else a run says.
    store.hand_back(&id(1)).await.expect("does nothing");
    store.prolong(&[id(1)], "test", LONG).await.expect("does nothing");
    store.note_places(&[file(1).uri], &[file(3).uri]).await.expect("does nothing");
    let gone = [id(1), id(3)];
    assert_eq!(store.requeue(Requeue::All, &wanted(), Some(&gone)).await.expect("does nothing"), 0);
    assert_eq!(store.pending_among(&wanted(), &gone).await.expect("asks"), []);
    assert_eq!(store.known_assets(&gone).await.expect("asks").len(), 0);
    let counts = store.counts(&wanted()).await.expect("counts");
    assert_eq!((counts.assets, counts.paths, counts.vectors.get(space().as_str())), (2, 2, Some(&1)));
    // The index is looked at again when the lease of the run that was in work is over.
    assert_eq!(cleared(store).await, []);
    assert!(store.finish_forgetting(1).await.expect("answers").state == ForgetState::Done);
}

/// What the vocabulary says of pictures that were forgotten meanwhile is left out.
pub async fn matches_leave_the_forgotten_out(store: &dyn Store) {
    register(store, 1..4).await;
    for number in 1..4 {
        look(store, number, &[]).await;
    }
    let term = TermId::try_from("0".repeat(31) + "1").expect("an id");
    let said = |number| {
        let claim = claim(Kind::Tag, "harbor", 0.8, None);
        let mut said = Suggestion::new(id(number), AnalyzerId::Terms, claim, ModelRef::new("terms", "1"));
        said.term = Some(term.clone());
        said
    };
    let (all, gone) = ([said(1), said(2), said(3)], [said(1), said(2)]);
    carry_out(store, &these(&[1, 2])).await;
    for found in [&gone[..], &all[..]] {
        let portion = MatchedPortion {
            space: &space(),
            terms: &[],
            from: 0,
            to: 9,
            assets: None,
            found,
            owner: "test",
        };
        assert!(store.record_matches(portion).await.expect("records"));
    }
    let rows = listed(store, SuggestionFilter::default()).await;
    assert_eq!(rows.iter().map(|row| row.asset_id.clone()).collect::<Vec<_>>(), [id(3)]);
}

/// An asset that is named by its places goes if it lies nowhere else, and else only loses them.
pub async fn places_decide_what_goes(store: &dyn Store) {
    let at = |number: u32, place: &str, owner: Option<&str>| FoundFile {
        uri: format!("file:///{place}/{number}.jpg"),
        owner: owner.map(|name| Owner::try_from(name.to_owned()).expect("a name")),
        ..file(number)
    };
    let files = [
        at(1, "a", None),
        at(2, "a", None),
        at(2, "b", None),
        at(3, "a/deep", None),
        at(3, "a", None),
        at(4, "a b", Some("press")),
        at(5, "b", Some("press")),
        at(5, "c", None),
        at(6, "c", None),
        at(7, "a", None),
        at(7, "d", None),
    ];
    store.register(&files, &wanted()).await.expect("registers");
    // It was there once, and is no longer.
    store.note_places(&[files[10].uri.clone()], &[]).await.expect("notes");
    let what = below(&["file:///a"]);
    let expected = Toll { assets: 3, places: 6, kept: 1, ..Toll::default() };
    assert_eq!(cost(store, &what).await, expected);
    assert_eq!(carry_out(store, &what).await.toll, expected);
    for number in [1, 3, 7] {
        assert!(matches!(store.asset(&id(number)).await, Err(StoreError::NotFound { .. })), "{number}");
    }
    assert_eq!(store.asset(&id(2)).await.expect("stays").uris, ["file:///b/2.jpg"]);
    assert!(store.barred(&[file(2).hash]).await.expect("asks") == [false], "what stays may come back");
    assert_eq!(store.asset_at("file:///a b/4.jpg").await.expect("looks up"), Some(id(4)), "a neighbor");

    let press = Forget { owner: Owner::try_from("press".to_owned()).ok(), ..Forget::default() };
    let expected = Toll { assets: 1, places: 2, kept: 1, ..Toll::default() };
    assert_eq!(cost(store, &press).await, expected);
    assert_eq!(carry_out(store, &press).await.toll, expected);
    assert_eq!(store.asset(&id(5)).await.expect("stays").uris, ["file:///c/5.jpg"]);

    // More than a portion, and some at two places.
    let many: Vec<FoundFile> = (100..350)
        .flat_map(|n| {
            [at(n, "many", Some("many")), at(n, if n < 120 { "more" } else { "many" }, Some("many"))]
        })
        .collect();
    store.register(&many, &wanted()).await.expect("registers");
    let owned = Forget { owner: Owner::try_from("many".to_owned()).ok(), ..Forget::default() };
    let expected = Toll { assets: 250, places: 270, ..Toll::default() };
    assert_eq!(cost(store, &owned).await, expected);
    assert_eq!(carry_out(store, &owned).await.toll, expected);

    let missing = Forget { missing: true, ..Forget::default() };
    assert_eq!(carry_out(store, &missing).await.toll, Toll::default());
    store.note_places(&["file:///c/6.jpg".to_owned()], &[]).await.expect("notes");
    // One whose place has another picture now lies nowhere, too.
    store
        .register(&[FoundFile { uri: "file:///c/5.jpg".to_owned(), ..file(8) }], &wanted())
        .await
        .expect("registers");
    let expected = Toll { assets: 2, places: 1, ..Toll::default() };
    assert_eq!(cost(store, &missing).await, expected);
    assert_eq!(carry_out(store, &missing).await.toll, expected);
    // Several names at once: what lies at both of them lies nowhere else.
    store
        .register(&[FoundFile { uri: "file:///z/2.jpg".to_owned(), ..file(2) }], &wanted())
        .await
        .expect("registers");
    let both = carry_out(store, &below(&["file:///b", "file:///z"])).await;
    assert_eq!(both.toll, Toll { assets: 1, places: 2, ..Toll::default() });
    assert_eq!(store.counts(&wanted()).await.expect("counts").assets, 1);
}

/// More than a portion forgets.
const MANY: u32 = 450;

/// An order that is given up at any step goes on with the next one, and ends as if nothing had happened.
pub async fn forgetting_survives_death_at_every_step(store: &dyn Store) {
    register(store, 0..MANY + 3).await;
    let places = (0..50).map(|number| file(number * 9).uri).chain(["file:///photos".to_owned()]).collect();
    let what = Forget { assets: vec![id(MANY + 1)], places, ..Forget::default() };
    let row = order(store, &what).await;
    let mut steps = 0;
    // Polled so many times, then dropped: as if the process had ended there.
    for polls in 1.. {
        let mut ended = false;
        {
            let mut portion = pin!(store.forget_portion(None, None));
            for _ in 0..polls {
                let poll = std::future::poll_fn(|context| Poll::Ready(portion.as_mut().poll(context))).await;
                if let Poll::Ready(answer) = poll {
                    // None while a server has not noticed yet that nobody is there any more.
                    if let Some(row) = answer.expect("forgets") {
                        ended = row.state != ForgetState::Open;
                        steps += 1;
                    }
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        if ended {
            break;
        }
        assert!(polls < 5000, "it never ends");
    }
    assert!(steps >= 3, "{steps} portions");
    let mut left = Vec::new();
    loop {
        let portion = cleared(store).await;
        if portion.is_empty() {
            break;
        }
        left.extend(portion);
    }
    left.sort();
    left.dedup();
    assert_eq!(left.len(), MANY as usize + 3, "each asset leaves something to be cleared");
    let row = store.finish_forgetting(row.id).await.expect("ends");
    let all = u64::from(MANY) + 3;
    assert_eq!((row.state, row.toll.assets, row.toll.places), (ForgetState::Done, all, all));
    let counts = store.counts(&wanted()).await.expect("counts");
    assert_eq!((counts.assets, counts.paths), (0, 0));
    assert!(counts.analyzers.values().all(|work| work.pending == 0));
    assert_eq!(store.outstanding(&wanted()).await.expect("counts"), 0);
    assert_eq!(store.marks_after(0, 10_000).await.expect("lists").len(), MANY as usize + 3);
}

/// Jobs lose what is forgotten, go on with the rest, and tell nothing of it.
pub async fn jobs_forget(store: &dyn Store) {
    register(store, 1..4).await;
    for number in 1..4 {
        analyze(store, number, &claims()).await;
    }
    let sure = |least| SuggestionFilter { min_confidence: Some(least), ..SuggestionFilter::default() };
    let done =
        finish(store, begin(store, SuggestionFilter { asset: Some(id(1)), ..sure(0.93) }, None).await).await;
    let both = finish(
        store,
        begin(
            store,
            SuggestionFilter { assets: vec![id(1), id(2)], value: Some("ball".to_owned()), ..sure(0.6) },
            None,
        )
        .await,
    )
    .await;
    assert_eq!((done.done, both.done), (1, 2));
    // One is deciding, one has not begun, and one is about nothing else.
    let open = begin(store, sure(0.8), None).await;
    while store.job(open.id).await.expect("is there").state == JobState::Collecting {
        store.advance_job(Some(open.id)).await.expect("goes on");
    }
    let only = begin(store, SuggestionFilter { asset: Some(id(1)), ..sure(0.1) }, None).await;
    carry_out(store, &these(&[1])).await;

    let job = store.job(done.id).await.expect("is there");
    assert_eq!(
        (job.filter, job.done),
        (SuggestionFilter::default(), 1),
        "nothing of it is left but a number"
    );
    assert_eq!(store.job(both.id).await.expect("is there").filter.assets, [id(2)]);
    let only = store.job(only.id).await.expect("is there");
    assert_eq!((only.state, only.filter), (JobState::Done, SuggestionFilter::default()));
    let open = finish(store, store.job(open.id).await.expect("is there")).await;
    assert_eq!((open.done + open.skipped, open.total), (open.total, open.total));
    let accepted = SuggestionFilter { status: Some(Status::Accepted), ..SuggestionFilter::default() };
    assert_eq!(listed(store, accepted).await.len(), 5);
    // A job can be taken back as far as it is known what it did.
    let reverted = store.revert_job(both.id, &somebody()).await.expect("begins");
    assert_eq!(finish(store, reverted).await.done, 1);
}

/// Nothing removes entries of the logs but forgetting, and what is done stays as it is.
pub async fn orders_are_carried_out_by_one(store: &dyn Store) {
    register(store, 0..2).await;
    let own = NewForget { what: these(&[0]), uploads: Some("file:///uploads".to_owned()), by: somebody() };
    let own = store.start_forgetting(&own).await.expect("begins");
    assert_eq!(store.forget_portion(None, None).await.expect("looks"), None, "its files lie elsewhere");
    assert_eq!(store.forget_portion(None, Some("file:///other")).await.expect("looks"), None);
    let done = store.forget_portion(None, Some("file:///uploads")).await.expect("forgets").expect("is open");
    assert_eq!((done.id, done.state), (own.id, ForgetState::Clearing));
    assert_eq!(
        store.finish_forgetting(own.id).await.expect("looks").state,
        ForgetState::Clearing,
        "vectors are left"
    );
    cleared(store).await;
    assert_eq!(store.finish_forgetting(own.id).await.expect("ends").state, ForgetState::Done);
    assert_eq!(store.forget_portion(Some(own.id), Some("file:///uploads")).await.expect("looks"), None);
    assert!(matches!(store.forgetting(77).await, Err(StoreError::NotFound { .. })));
}
