//! Every store passes the same cases.

use docent::store::{Ledger, PostgresOptions, PostgresStore, SqliteStore, StoreError};
use docent_tests::conformance::store as cases;
use docent_tests::servers::Database;

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let store = SqliteStore::open(&folder.path().join("ledger.sqlite")).await.expect("opens");
                cases::$case(&store).await;
                store.close().await;
            })*
        }

        mod postgres {
            use super::*;
            $(#[tokio::test]
            async fn $case() {
                let database = Database::new().await.expect("a database");
                let store = PostgresStore::connect(database.url(), OPTIONS).await.expect("connects");
                cases::$case(&store).await;
                store.close().await;
            })*
        }
    };
}

const OPTIONS: PostgresOptions = PostgresOptions { connections: 8 };

conformance!(
    registering_is_idempotent,
    a_picture_is_one_asset_whatever_is_written_beside_it,
    an_edit_is_offered_what_was_accepted_before,
    another_orientation_turns_what_was_decided,
    leases_exclude_and_expire,
    lanes_are_leased_apart_and_leases_prolonged,
    an_orderly_end_hands_everything_back,
    lost_runs_are_counted,
    redelivered_runs_are_counted,
    only_runs_of_the_silent_are_lost,
    nobody_is_called_silent_by_who_was_silent,
    jobs_that_vanished_are_leased_again,
    leases_are_listed_and_released,
    recording_is_idempotent,
    runs_are_recorded_together_or_not_at_all,
    decisions_are_permanent,
    deciding_is_guarded_and_logged,
    ids_may_be_abbreviated,
    every_filter_passes_what_it_says,
    counts_are_kept,
    the_review_log_tells_who_decided_what,
    jobs_decide_what_was_seen,
    jobs_are_taken_back_as_they_were_left,
    jobs_survive_death_at_every_step,
    one_portion_is_made_by_one_process,
    pages_are_stable_under_writes,
    changes_of_terms_are_logged,
    runs_speak_the_vocabulary,
    decisions_follow_their_terms,
    matches_are_recorded_once,
    the_vocabulary_gives_way_to_networks,
    decisions_are_examples,
    a_term_finds_what_was_accepted_as_it,
    failures_are_listed_and_requeued,
    stale_and_missing_work_is_found,
    vectors_are_kept_with_their_run,
    spaces_stay_until_they_are_dropped,
    holders_of_vectors_are_known,
    filters_select,
    owners_belong_to_places,
    places_may_be_gone_and_come_back,
    folders_are_listed_in_the_same_order,
    what_nobody_wants_is_left_alone,
    all_kinds_of_work_keep_one_order,
    retries_become_due,
    large_requeues_leave_nothing_behind,
    places_may_be_long,
    words_are_found_in_texts,
    texts_follow_runs_and_decisions,
    many_texts_take_no_longer,
    meaning_and_texts_are_joined,
    places_and_dates_are_orders,
    what_cannot_be_looked_at_is_apart,
    a_tag_is_accepted_with_what_it_implies,
    the_last_decision_is_known,
    nothing_is_left_of_what_is_forgotten,
    what_is_forgotten_does_not_come_back,
    runs_in_work_write_nothing_of_the_forgotten,
    matches_leave_the_forgotten_out,
    places_decide_what_goes,
    forgetting_survives_death_at_every_step,
    jobs_forget,
    orders_are_carried_out_by_one,
    events_wait_for_those_who_are_told,
    sinks_are_told_apart,
    refusals_are_counted_and_end,
    events_name_the_places_of_their_assets,
    what_failed_is_told,
);

#[tokio::test]
async fn a_file_that_is_no_ledger_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger.sqlite");
    let content = b"this is somebody's diary, not a database, and long enough to be one".repeat(100);
    std::fs::write(&path, &content).expect("is written");
    assert!(matches!(SqliteStore::open(&path).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(std::fs::read(&path).expect("is read"), content);
}
