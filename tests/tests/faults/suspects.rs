//! Pictures that were in work when the process ended.

use super::*;

/// A picture that may end the process waits until everything before it is recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_suspect_waits_for_what_is_before_it() {
    let setting = Setting::new();
    let data = tempfile::tempdir().expect("a temporary folder");
    let death = Plan { arrow: "fetch", call: 1, side: Side::Before, fault: Fault::Death };
    let trigger = Trigger::new(&[death]);
    let open = async || {
        let path = data.path().join("ledger.sqlite");
        let store = Arc::new(SqliteStore::open(&path).await.expect("the ledger opens"));
        store.recover(4).await.expect("the ledger recovers");
        store
    };
    let store = open().await;
    let dead = trigger.birth();
    tokio::select! {
        () = dead.cancelled() => {}
        _ = setting.live(&store, &trigger) => panic!("it did not die"),
    }
    drop(store);
    let begun = |call: &&(&str, Side)| **call == ("begin_run", Side::After);
    let suspects = trigger.order().iter().filter(begun).count();
    let store = open().await;
    trigger.birth();
    assert!(tokio::time::timeout(PATIENCE, setting.live(&store, &trigger)).await.expect("docent hangs"));

    let order = trigger.order();
    let fetches: Vec<usize> =
        (0..order.len()).filter(|&place| order[place] == ("fetch", Side::Before)).collect();
    assert_eq!(fetches.len(), PICTURES + 1);
    assert!((1..=2).contains(&suspects), "{suspects} of them were begun in its first life");
    for before in fetches.len() - suspects..fetches.len() {
        let recorded =
            order[..fetches[before]].iter().filter(|call| **call == ("record", Side::After)).count();
        assert_eq!(recorded, before, "{order:?}");
    }
}
