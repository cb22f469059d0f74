//! Cases for decisions on many suggestions.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use docent::store::{
    Decision, Finished, JobAction, JobRow, JobState, NewJob, Page, Requeue, Reviewer, Store, StoreError,
    SuggestionFilter,
};
use docent_pipelines::suggestion::Claim;
use docent_pipelines::{Kind, Status};

use super::{LONG, analysis, analyze, claim, content, lease, listed, register, run, somebody, wanted};

/// More than a portion decides.
pub(super) const MANY: usize = 4500;
const ASSETS: u32 = 45;

fn sure(least: f64) -> SuggestionFilter {
    SuggestionFilter { min_confidence: Some(least), ..SuggestionFilter::default() }
}

pub(super) async fn begin(store: &dyn Store, filter: SuggestionFilter, newest_run: Option<i64>) -> JobRow {
    let job = NewJob { reject: false, filter, newest_run, by: somebody() };
    store.start_job(&job).await.expect("begins")
}

pub(super) async fn finish(store: &dyn Store, mut job: JobRow) -> JobRow {
    while job.state.is_open() {
        job = store.advance_job(Some(job.id)).await.expect("goes on").expect("is open");
    }
    job
}

async fn of_status(store: &dyn Store, status: Status) -> u64 {
    let filter = SuggestionFilter { status: Some(status), ..SuggestionFilter::default() };
    store.count_suggestions(&filter).await.expect("counts").count
}

/// A job decides what its filter passes and the person has seen, each with an entry that names it.
pub async fn jobs_decide_what_was_seen(store: &dyn Store) {
    register(store, 1..3).await;
    let claims = [0.95, 0.85, 0.4].map(|p| claim(Kind::Tag, &format!("tag {p}"), p, None));
    analyze(store, 1, &claims).await;
    let nothing =
        NewJob { reject: false, filter: SuggestionFilter::default(), newest_run: None, by: somebody() };
    assert!(matches!(store.start_job(&nothing).await, Err(StoreError::NoConfidence)));

    let seen = store.newest_run().await.expect("reads");
    // Said later, and not seen.
    analyze(store, 2, &[claim(Kind::Tag, "later", 0.99, None)]).await;
    let tags = SuggestionFilter { kind: Some(Kind::Tag), ..sure(0.8) };
    let job = begin(store, tags.clone(), Some(seen)).await;
    assert_eq!((job.action, job.state, job.total), (JobAction::Accept, JobState::Collecting, 0));
    assert_eq!(job.filter, SuggestionFilter { status: Some(Status::Pending), ..tags.clone() });
    // Somebody else is quicker with one of them.
    let other = Reviewer { name: "Grace".to_owned(), client: "web".to_owned() };
    let job = store.advance_job(None).await.expect("goes on").expect("is the oldest");
    assert_eq!((job.state, job.total), (JobState::Deciding, 2));
    let quick =
        listed(store, sure(0.9)).await.into_iter().find(|row| row.value == "tag 0.95").expect("is there");
    store.decide(&quick.id, Decision::Reject, &other).await.expect("rejects");
    let job = finish(store, job).await;
    assert_eq!((job.total, job.done, job.skipped), (2, 1, 1));
    assert!(job.finished_at.is_some());
    assert_eq!(store.advance_job(None).await.expect("looks"), None);
    assert_eq!(store.advance_job(Some(job.id)).await.expect("looks"), None);

    for row in listed(store, SuggestionFilter::default()).await {
        let log = store.reviews(&row.id).await.expect("lists");
        let expected = match row.value.as_str() {
            "tag 0.95" => (Status::Rejected, vec![None]),
            "tag 0.85" => (Status::Accepted, vec![Some(job.id)]),
            _ => (Status::Pending, vec![]),
        };
        assert_eq!((row.status, log.iter().map(|entry| entry.job).collect()), expected, "{}", row.value);
    }
    // Without a mark everything that is there now.
    let rejecting = NewJob { reject: true, filter: tags, newest_run: None, by: other };
    let job = store.start_job(&rejecting).await.expect("begins");
    let job = finish(store, job).await;
    assert_eq!(
        (job.action, job.done, job.skipped, job.reviewer.as_str()),
        (JobAction::Reject, 1, 0, "Grace")
    );
    let page = store.jobs(&Page { limit: 1, after: None }).await.expect("lists");
    assert_eq!(page.rows, [job]);
    let rest = store.jobs(&Page { limit: 9, after: page.next }).await.expect("lists");
    assert_eq!((rest.rows.len(), rest.next), (1, None));
    assert!(matches!(store.job(99).await, Err(StoreError::NotFound { .. })));
}

/// Taking back changes what the job decided and nobody has decided since; it can be asked for twice.
pub async fn jobs_are_taken_back_as_they_were_left(store: &dyn Store) {
    register(store, 1..2).await;
    let claims = ["a", "b", "c"].map(|value| claim(Kind::Tag, value, 0.9, None));
    analyze(store, 1, &claims).await;
    let by_hand = listed(store, sure(0.5)).await.into_iter().find(|row| row.value == "c").expect("is there");
    store.decide(&by_hand.id, Decision::Accept, &somebody()).await.expect("accepts");
    let job = begin(store, sure(0.5), None).await;
    let job = finish(store, job).await;
    assert_eq!(job.done, 2);
    // One is thought over by a person.
    let changed = listed(store, sure(0.5)).await.into_iter().find(|row| row.value == "b").expect("is there");
    store.decide(&changed.id, Decision::Undo, &somebody()).await.expect("undoes");
    store.decide(&changed.id, Decision::Accept, &somebody()).await.expect("accepts");

    let back = store.revert_job(job.id, &somebody()).await.expect("begins");
    assert_eq!((back.action, back.reverts, back.total), (JobAction::Revert, Some(job.id), 2));
    let back = finish(store, back).await;
    assert_eq!((back.done, back.skipped), (1, 1));
    let statuses: Vec<_> =
        listed(store, sure(0.5)).await.into_iter().map(|row| (row.value, row.status)).collect();
    let of = |value: &str| statuses.iter().find(|(v, _)| v == value).expect("is there").1;
    assert_eq!((of("a"), of("b"), of("c")), (Status::Pending, Status::Accepted, Status::Accepted));
    assert_eq!(store.job(job.id).await.expect("is there").reverted_by, Some(back.id));
    assert_eq!(store.revert_job(job.id, &somebody()).await.expect("is there"), back);
    assert!(matches!(store.revert_job(back.id, &somebody()).await, Err(StoreError::NotRevertible { .. })));
    assert!(matches!(store.revert_job(99, &somebody()).await, Err(StoreError::NotFound { .. })));
}

/// Suggestions for several portions.
async fn many(store: &dyn Store) {
    register(store, 0..ASSETS).await;
    let claims: Vec<Claim> = (0..MANY / ASSETS as usize)
        .map(|n| claim(Kind::Tag, &format!("tag {n}"), 0.5 + n as f64 / 1000.0, None))
        .collect();
    let jobs = lease(store, "me", ASSETS, LONG).await;
    let mut finished = Vec::new();
    for job in &jobs {
        store.begin_run(job, "me").await.expect("begins");
        let (analysis, outcomes) = analysis(&job.asset, &claims);
        finished.push(Finished { run: run(&job.asset), analysis, outcomes });
    }
    store.record(&finished).await.expect("records");
    assert_eq!(of_status(store, Status::Pending).await, MANY as u64);
}

/// Polls a future so often at most, and drops it then: what a process that dies leaves of a transaction.
async fn die_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// The log says of each suggestion what was done by each job, once.
async fn each_once(store: &dyn Store, jobs: &[i64]) {
    for row in listed(store, SuggestionFilter::default()).await {
        let log = store.reviews(&row.id).await.expect("lists");
        let by: Vec<i64> = log.iter().filter_map(|entry| entry.job).collect();
        assert_eq!(by, jobs, "{}", row.value);
    }
}

/// A process may die at any step of a portion, and while it takes a job back: others go on, and each suggestion is decided
/// once.
pub async fn jobs_survive_death_at_every_step(store: &dyn Store) {
    many(store).await;
    let mut job = begin(store, sure(0.5), None).await;
    let mut deaths = 0;
    let accept = job.id;
    for turn in 0..2 {
        // Each try lives a little longer than the one before.
        let mut polls = 1;
        while job.state.is_open() {
            match die_after(polls, store.advance_job(None)).await {
                Some(further) => {
                    // The dead one's transaction may not have ended yet.
                    let Some(further) = further.expect("goes on") else { continue };
                    job = further;
                    assert_eq!(job.done + job.skipped, job.done, "nobody else decides");
                    polls = 1;
                }
                None => {
                    deaths += 1;
                    polls += 1;
                    job = store.job(job.id).await.expect("is there");
                }
            }
        }
        assert_eq!((job.total, job.done, job.skipped), (MANY as u64, MANY as u64, 0), "turn {turn}");
        if turn == 0 {
            assert_eq!(of_status(store, Status::Accepted).await, MANY as u64);
            job = store.revert_job(accept, &somebody()).await.expect("begins");
        }
    }
    assert_eq!(of_status(store, Status::Pending).await, MANY as u64);
    assert!(deaths > 20, "only {deaths} deaths");
    each_once(store, &[accept, job.id]).await;
}

/// Several go on with the same job at once; one that is taken back half-way leaves nothing to do.
pub async fn one_portion_is_made_by_one_process(store: &dyn Store) {
    many(store).await;
    let job = begin(store, sure(0.5), None).await;
    let work = async || {
        let mut made = 0;
        while store.job(job.id).await.expect("is there").state.is_open() {
            made += usize::from(store.advance_job(None).await.expect("goes on").is_some());
        }
        made
    };
    let (a, b, c) = tokio::join!(work(), work(), work());
    // One that collects, three that decide, of which the last is not full.
    assert_eq!(a + b + c, 4, "{a}, {b}, {c}");
    let job = store.job(job.id).await.expect("is there");
    assert_eq!((job.done, job.skipped), (MANY as u64, 0));
    each_once(store, &[job.id]).await;

    // The next one is stopped half-way.
    store.requeue(Requeue::All, &wanted(), Some(&[content(1).asset_id()])).await.expect("requeues");
    let back = store.revert_job(job.id, &somebody()).await.expect("begins");
    finish(store, back).await;
    let second = begin(store, sure(0.5), None).await;
    for _ in 0..2 {
        store.advance_job(Some(second.id)).await.expect("goes on").expect("is open");
    }
    let half = of_status(store, Status::Accepted).await;
    assert!(half > 0 && half < MANY as u64, "{half} are accepted");
    let back = store.revert_job(second.id, &somebody()).await.expect("begins");
    let back = finish(store, back).await;
    assert_eq!((back.total, back.done, back.skipped), (half, half, 0));
    assert_eq!(store.job(second.id).await.expect("is there").state, JobState::Stopped);
    assert_eq!(of_status(store, Status::Pending).await, MANY as u64);
    assert_eq!(store.advance_job(None).await.expect("looks"), None);
}
