//! Cases of leases: who lives, what vanished, and what an operator sees.

use std::time::Duration;

use docent::queue::{AnalyzeAsset, Lane};
use docent::store::{Begun, LeaseFilter, LeaseRow, Page, Store};

use super::{LONG, content, file, lease, register, wanted};

async fn listed(store: &dyn Store, filter: &LeaseFilter) -> Vec<LeaseRow> {
    store.leases(filter, &Page { limit: 1000, after: None }).await.expect("lists").rows
}

/// A run is lost once its process is silent, and not before, however its job comes again. What had not begun is nobody's
/// fault.
pub async fn only_runs_of_the_silent_are_lost(store: &dyn Store) {
    register(store, 0..2).await;
    store.recover(1).await.expect("sets the limit");
    let jobs = lease(store, "gone/feeder", 9, LONG).await;
    let [fetched, begun] = jobs.as_slice() else { panic!("two are leased") };
    let alone = |job: &AnalyzeAsset| AnalyzeAsset { alone: true, ..job.clone() };
    store.beat("gone", LONG).await.expect("is heard");
    assert!(matches!(store.begin_run(begun, "gone").await.expect("begins"), Begun::Run(_)));

    // Both come again, to another process.
    assert!(matches!(store.begin_run(fetched, "b").await.expect("begins"), Begun::Run(_)));
    for again in [begun.clone(), alone(begun)] {
        assert_eq!(store.begin_run(&again, "b").await.expect("looks"), Begun::Elsewhere, "it lives");
    }
    store.beat("gone", Duration::ZERO).await.expect("is heard");
    // The clock may not have moved since.
    while store.begin_run(begun, "b").await.expect("looks") == Begun::Elsewhere {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.begin_run(begun, "b").await.expect("looks"), Begun::Suspect, "it must be alone");
    assert!(matches!(store.begin_run(&alone(begun), "b").await.expect("begins"), Begun::Run(_)));

    // While it was alone, it is lost once more, and twice is too often here.
    for (owner, next) in [("b", "c"), ("c", "d")] {
        store.beat(owner, Duration::ZERO).await.expect("is heard");
        let answer = loop {
            let answer = store.begin_run(&alone(begun), next).await.expect("looks");
            if answer != Begun::Elsewhere {
                break answer;
            }
            tokio::task::yield_now().await;
        };
        match next {
            "c" => assert!(matches!(answer, Begun::Run(_)), "{answer:?}"),
            _ => assert_eq!(answer, Begun::GivenUp { lost: 2 }),
        }
    }
}

/// After an outage of the ledger nobody has spoken for a while: who speaks first calls nobody silent.
pub async fn nobody_is_called_silent_by_who_was_silent(store: &dyn Store) {
    register(store, 0..1).await;
    let job = lease(store, "a/feeder", 1, LONG).await.remove(0);
    store.beat("a", Duration::ZERO).await.expect("is heard");
    assert!(matches!(store.begin_run(&job, "a").await.expect("begins"), Begun::Run(_)));
    store.beat("b", Duration::ZERO).await.expect("is heard");
    // Both were silent: `b` itself does not say otherwise, and speaks again.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(store.begin_run(&job, "b").await.expect("looks"), Begun::Elsewhere);
    store.beat("b", LONG).await.expect("is heard");
    assert_eq!(store.begin_run(&job, "b").await.expect("looks"), Begun::Elsewhere);
    // Somebody who is heard all the time knows.
    let lost = async {
        loop {
            store.beat("c", Duration::from_millis(200)).await.expect("is heard");
            if store.begin_run(&job, "c").await.expect("looks") != Begun::Elsewhere {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), lost).await.expect("is noticed");
}

/// Leases of jobs that are in no queue are taken back, of every feeder, without a stain; begun ones, fresh ones and those
/// of the other lane are not.
pub async fn jobs_that_vanished_are_leased_again(store: &dyn Store) {
    let upload = docent::store::FoundFile { lane: Lane::Interactive, ..file(9) };
    store.register(&[file(0), file(1), file(2), upload], &wanted()).await.expect("registers");
    let jobs = lease(store, "gone/feeder", 9, LONG).await;
    let of_backfill: Vec<_> = jobs.iter().filter(|job| job.lane == Lane::Backfill).collect();
    store.begin_run(of_backfill[0], "worker").await.expect("begins");
    let minute = Duration::from_secs(60);
    let take = async |left| store.take_back(Lane::Backfill, left).await.expect("takes back");
    assert_eq!(take(minute..LONG - minute).await, 0, "they are fresh");
    assert_eq!(take(LONG * 2..LONG * 3).await, 0, "they end before");
    assert_eq!(take(minute..LONG).await, 2);
    assert_eq!(take(minute..LONG).await, 0);
    let again = lease(store, "b/feeder", 9, LONG).await;
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|job| !job.alone && job.asset != of_backfill[0].asset), "{again:?}");
    // A job that was in a queue after all comes twice.
    assert!(matches!(store.begin_run(of_backfill[1], "worker").await.expect("begins"), Begun::Run(_)));
    assert_eq!(store.begin_run(of_backfill[1], "other").await.expect("looks"), Begun::Elsewhere);
}

/// Leases are listed in pages and released by owner, asset and state.
pub async fn leases_are_listed_and_released(store: &dyn Store) {
    register(store, 0..7).await;
    assert!(listed(store, &LeaseFilter::default()).await.is_empty());
    let jobs = lease(store, "a/feeder", 4, LONG).await;
    lease(store, "b/feeder", 3, LONG * 2).await;
    store.beat("a", LONG).await.expect("is heard");
    store.begin_run(&jobs[0], "a").await.expect("begins");
    store.begin_run(&AnalyzeAsset { alone: true, ..jobs[1].clone() }, "a").await.expect("begins");

    let all = listed(store, &LeaseFilter::default()).await;
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by_key(|row| row.until.clone()), "{all:?}");
    let row = all.iter().find(|row| row.asset_id == jobs[1].asset).expect("is listed");
    assert_eq!((row.owner.as_str(), row.begun, row.alone, row.alive), ("a", true, true, Some(true)));
    assert_eq!((row.uri.as_deref(), row.lane), (Some(jobs[1].uris[0].as_str()), Lane::Backfill));
    let waiting = all.iter().filter(|row| row.owner == "a/feeder" && row.alive == Some(true));
    assert_eq!(waiting.count(), 2, "a feeder lives with its worker");
    assert_eq!(all.iter().filter(|row| row.owner == "b/feeder" && row.alive.is_none()).count(), 3);

    let (mut seen, mut page) = (Vec::new(), Page { limit: 3, after: None });
    loop {
        let found = store.leases(&LeaseFilter::default(), &page).await.expect("lists");
        seen.extend(found.rows);
        match found.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, all);

    let of = |owner: &str| LeaseFilter { owner: Some(owner.to_owned()), ..LeaseFilter::default() };
    assert_eq!(listed(store, &of("a")).await.len(), 4, "the worker and its feeder");
    assert_eq!(listed(store, &of("a/feeder")).await.len(), 2);
    let begun = |begun| LeaseFilter { begun: Some(begun), ..LeaseFilter::default() };
    assert_eq!((listed(store, &begun(true)).await.len(), listed(store, &begun(false)).await.len()), (2, 5));
    let asset = |asset| LeaseFilter { assets: Some(vec![asset]), ..LeaseFilter::default() };
    assert_eq!(listed(store, &asset(jobs[2].asset.clone())).await.len(), 1);

    assert_eq!(store.release(&asset(content(99).asset_id())).await.expect("releases"), 0);
    assert_eq!(store.release(&asset(jobs[2].asset.clone())).await.expect("releases"), 1);
    assert_eq!(store.release(&of("b")).await.expect("releases"), 3);
    assert_eq!(store.release(&begun(false)).await.expect("releases"), 1);
    assert_eq!(listed(store, &LeaseFilter::default()).await.len(), 2);
    assert_eq!(store.release(&of("a")).await.expect("releases"), 2);
    let again = lease(store, "c", 9, LONG).await;
    assert_eq!(again.len(), 7);
    assert!(again.iter().all(|job| !job.alone), "nobody is suspected: {again:?}");
}
