//! What the index refuses for good fails where it belongs, and costs nothing else.

use super::*;

/// An index that answers the first picture's vectors with `fault`, each picture by itself.
async fn refused_once(fault: Fault) -> (Rows, Rows) {
    let mut setting = Setting::new();
    setting.batch = BatchLimits::SINGLY;
    let (calm, torn) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let expected = setting.ingest(calm.path(), &Trigger::new(&[])).await;
    let trigger = Trigger::new(&[Plan { arrow: "upsert", call: 1, side: Side::Before, fault }]);
    let found = tokio::time::timeout(PATIENCE, setting.ingest(torn.path(), &trigger)).await;
    assert_eq!(trigger.struck(), 1);
    (expected, found.expect("docent hangs"))
}

/// A vector that does not fit is a failure of the analyzer that computed it, listed with its reason; what others said of
/// the picture stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_vector_that_does_not_fit_is_a_failure_in_the_ledger() {
    let (expected, found) = refused_once(Fault::Unfit).await;
    assert_eq!(found.vectors.len(), PICTURES - 1);
    let failed: Vec<&Value> =
        found.failures.iter().filter(|failure| !expected.failures.contains(failure)).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!((&failed[0]["analyzer"], &failed[0]["kind"]), (&json!("embedding"), &json!("permanent")));
    assert!(failed[0]["reason"].as_str().is_some_and(|reason| reason.contains("a planned fault")));
    assert!(found.suggestions == expected.suggestions, "found {found:#?}\nexpected {expected:#?}");
}

/// What an index that refuses has refused is done again as soon as it takes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_refused_is_done_again_once_the_index_takes_it() {
    let (expected, found) = refused_once(Fault::Refused).await;
    assert!(found == expected, "found {found:#?}\nexpected {expected:#?}");
}
