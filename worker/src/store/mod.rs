//! The ledger: what there is, what is to be done, what was said, what was decided.
//!
//! Seven roles, one store. Guarantees every implementation gives, checked by `tests/tests/store_conformance.rs`:
//! - Every write is one transaction and can be repeated: the same call twice leaves the rows of one call.
//! - A decided suggestion is never changed by [`Ledger::record`], and a claim that a decided suggestion answers
//!   ([`docent_pipelines::Suggestion::is_answered_by`]) is not raised again.
//! - Deciding is guarded: of two reviewers who saw the same status one succeeds, the other gets [`StoreError::Conflict`].
//! - The review log only grows.
//! - Whatever is asked, no answer looks at more of the archive than there is time for: it is complete, or says that it is
//!   not.

mod codec;
mod due;
mod fault;
mod filters;
mod find;
mod fold;
mod forget;
mod jobs;
mod known;
mod lease;
mod leasing;
mod migrations;
mod outbox;
mod postgres;
mod recording;
mod room;
mod rows;
mod sqlite;
mod tally;
mod terms;
mod texts;
mod turn;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use docent_models::ModelRef;
use docent_pipelines::{AnalyzerId, AssetId, Fingerprint, Status, SuggestionId, VectorRecord, VectorSpace};
pub use filters::*;
pub use fold::{characters, folded, places};
pub use forget::{
    Forget, ForgetRow, ForgetState, Forgetting, Leftover, MOST_ASSETS, MOST_PLACES, Mark, MarkRow, Named,
    NewForget, StoredFile, Toll,
};
pub use jobs::*;
pub use leasing::{LeaseFilter, LeaseRow, Leasing};
pub use outbox::{EventRow, Outbox, STREAM, SinkFailure, SinkRow};
pub use postgres::{PostgresLedger, PostgresOptions, PostgresStore};
pub use rows::*;
pub use sqlite::SqliteStore;
pub use terms::{
    Changed, Example, MatchedPortion, Standing, StoredHead, StoredRule, TermChange, TermEntry, Terms,
};
pub use texts::{Held, Holding, Part, Texts};

use crate::queue::AnalyzeAsset;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is locked or full; it may work later.
    #[error("{operation}: the ledger is unavailable")]
    Unavailable {
        /// What was attempted.
        operation: &'static str,
        /// The backend's own words.
        #[source]
        source: anyhow::Error,
    },
    /// Another transaction was in the way, and still is after several tries.
    #[error("{operation}: the ledger is contended")]
    Contended {
        /// What was attempted.
        operation: &'static str,
        /// The backend's own words.
        #[source]
        source: anyhow::Error,
    },
    /// The database refuses this user, address or name. Waiting does not help.
    #[error("{operation}: the ledger refuses")]
    Refused {
        /// What was attempted.
        operation: &'static str,
        /// The backend's own words.
        #[source]
        source: anyhow::Error,
    },
    /// The database cannot hold text of all scripts. It would refuse it one by one, much later.
    #[error("open the ledger: the database has the encoding {found}, and docent needs UTF8")]
    Encoding {
        /// The database's encoding, by PostgreSQL's name.
        found: String,
    },
    /// The database cannot store this value, now or later.
    #[error("{operation}: the ledger cannot store this: {reason}")]
    Unfit {
        /// What was attempted.
        operation: &'static str,
        /// The backend's own words.
        reason: String,
    },
    /// A statement or an answer that should not exist: a bug in docent.
    #[error("{operation}: a bug in docent")]
    Bug {
        /// What was attempted.
        operation: &'static str,
        /// The backend's own words.
        #[source]
        source: anyhow::Error,
    },
    /// A row that should be there is not.
    #[error("{what} {id} does not exist")]
    NotFound {
        /// Suggestion, asset.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The asset was forgotten, and does not come back.
    #[error("asset {asset} was forgotten")]
    Forgotten {
        /// The asset.
        asset: AssetId,
    },
    /// An abbreviated id fits several rows.
    #[error("'{prefix}' fits {count} suggestions; give more digits")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many rows start with it.
        count: u64,
    },
    /// Somebody else decided first.
    #[error("suggestion {id} is {actual}, not {expected}")]
    Conflict {
        /// The suggestion.
        id: SuggestionId,
        /// The status the caller acted upon.
        expected: &'static str,
        /// The status it has.
        actual: Status,
    },
    /// The vocabulary is not as it was when the change was prepared.
    #[error("the vocabulary was changed meanwhile; read it again")]
    Outdated {
        /// The revision that the change was prepared for.
        seen: i64,
        /// The revision that it has.
        revision: i64,
    },
    /// A page was asked for after a place that no page ended at.
    #[error("'{0}' is not where a page ended; begin again without 'after'")]
    InvalidCursor(String),
    /// A bulk decision that would decide everything.
    #[error("deciding on all needs a least confidence")]
    NoConfidence,
    /// A job that cannot be taken back.
    #[error("job {id} cannot be taken back: {reason}")]
    NotRevertible {
        /// The job.
        id: i64,
        /// Why.
        reason: &'static str,
    },
    /// The database was written by a newer docent.
    #[error("the ledger has schema {found}, this docent knows schemas up to {known}")]
    NewerSchema {
        /// Version in the database.
        found: i64,
        /// Newest version compiled in.
        known: i64,
    },
    /// The database holds something docent did not write.
    #[error("the ledger holds an unreadable {what}: {reason}")]
    Corrupt {
        /// Which column or row.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later: because a server comes back, another transaction is over, or a person has
    /// mended what the server refuses.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Contended { .. } | Self::Refused { .. })
    }
}

/// Which analyzers are wanted, and by which model each would answer. Always contains [`AnalyzerId::Decode`].
pub type Wanted = BTreeMap<AnalyzerId, ModelRef>;

/// No more places of one asset are looked at to tell a moved picture from a copied one.
pub const PLACES: u32 = 64;

/// The walk's side of the store.
#[async_trait]
pub trait Ledger: Leasing {
    /// What is known of these places: their stamp when they were last read, and their asset.
    async fn known_files(&self, uris: &[String]) -> Result<HashMap<String, KnownFile>, StoreError>;

    /// Those of these assets that are known, each with at most [`PLACES`] of its places, those with something in them first.
    async fn known_assets(&self, assets: &[AssetId])
    -> Result<HashMap<AssetId, Vec<KnownPlace>>, StoreError>;

    /// The asset that each of these pictures is, or would be: the one that is known with these bytes, else the oldest with this
    /// picture, else a new one.
    async fn identify(&self, files: &[Fingerprint]) -> Result<Vec<AssetId>, StoreError>;

    /// Registers files: their pictures as assets ([`Ledger::identify`]), their places as paths, and a pending work row for every
    /// wanted analyzer that has none yet. A place that had another picture now has this one. Where the picture is as it was and the
    /// bytes are not, somebody wrote metadata: only `decode` becomes pending. A file whose picture was forgotten is left out
    /// ([`Ledger::barred`]); what was known at its place is gone.
    async fn register(&self, files: &[FoundFile], wanted: &Wanted) -> Result<Registered, StoreError>;

    /// Whether each of these files shows a picture that was forgotten and does not come back. One that is of an asset that is there
    /// does not.
    async fn barred(&self, files: &[Fingerprint]) -> Result<Vec<bool>, StoreError>;

    /// Those of these assets that were forgotten and do not come back.
    async fn forgotten(&self, assets: &[AssetId]) -> Result<HashSet<AssetId>, StoreError>;

    /// Notes what was found out about known places: there is nothing at `gone` any more, and something again at `found`.
    /// Registering a place says the latter, too.
    async fn note_places(&self, gone: &[String], found: &[String]) -> Result<(), StoreError>;

    /// Known places at or below `folder`, a `file://` address, in the order of their addresses, those after `after`.
    async fn places_below(
        &self,
        folder: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<KnownPlace>, StoreError>;

    /// Leases up to `limit` assets that have pending work of the wanted analyzers, whose `not_before` has passed and
    /// that nobody else holds, of one lane or of all: uploads first, then those never lost, oldest first. An asset whose decoding failed has
    /// no pending work. A lease that has expired counts as lost if its run had begun. After `recover` no lease of
    /// another owner is left.
    async fn lease(&self, request: &LeaseRequest) -> Result<Vec<AnalyzeAsset>, StoreError>;

    /// Ends every lease of every owner: called once by the one process that has the data directory to itself.
    /// Runs that had begun are counted as lost. An asset lost more than `max_lost` times while alone
    /// is failed permanently. Answers how many assets were in work.
    async fn recover(&self, max_lost: u32) -> Result<u64, StoreError>;

    /// Sets how often an asset may be lost while alone, as `recover` does, without ending any lease: for a process that
    /// shares the ledger with others.
    fn give_up_after(&self, max_lost: u32);

    /// Marks the beginning of a run, so that its loss is noticed. Where another owner has begun one, it is left to its end
    /// while that owner lives ([`Leasing::beat`]), and counted as lost once it is silent. Of an owner that never said that
    /// it lives only a job that comes `alone` says that it is gone. What was lost once has to come `alone`.
    async fn begin_run(&self, job: &AnalyzeAsset, owner: &str) -> Result<Begun, StoreError>;

    /// Registers one file, as `register` does, that another program submitted, and tells of it whether or not it is new.
    /// `correlation` is what that program calls its submission; events about what lies at the place repeat it.
    async fn submit(
        &self,
        file: &FoundFile,
        wanted: &Wanted,
        correlation: Option<&str>,
    ) -> Result<Registered, StoreError>;

    /// Records runs in one transaction, the point of truth: for every completed analyzer its pending suggestions are
    /// replaced and its vectors overwritten, decided suggestions stay; for every outcome the work row is settled and
    /// its attempts counted; the lease ends. A failed `decode` sets the asset's other pending work aside until `requeue`.
    /// Answers in the order of `runs`. If one cannot be recorded, none is: [`StoreError::Forgotten`] says that its asset was
    /// forgotten meanwhile.
    async fn record(&self, runs: &[Finished]) -> Result<Vec<Recorded>, StoreError>;

    /// Ends a lease without a result: the work is pending again, and not counted as lost.
    async fn hand_back(&self, asset: &AssetId) -> Result<(), StoreError>;

    /// Ends every lease of `owner` in the same way: the orderly end of a process.
    async fn hand_back_all(&self, owner: &str) -> Result<(), StoreError>;

    /// Makes work pending again, everywhere or for these assets. Answers how many assets have new work.
    async fn requeue(
        &self,
        what: Requeue,
        wanted: &Wanted,
        assets: Option<&[AssetId]>,
    ) -> Result<u64, StoreError>;

    /// How many assets have pending work of the wanted analyzers, whether or not it may run now, leased ones included.
    async fn outstanding(&self, wanted: &Wanted) -> Result<u64, StoreError>;

    /// Those of `assets` that have pending work of the wanted analyzers, whether or not it may run now.
    async fn pending_among(&self, wanted: &Wanted, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError>;

    /// Whether there is pending work of the wanted analyzers, and when it may run. Cheap, however large the archive is:
    /// feeders ask all the time.
    async fn waiting(&self, wanted: &Wanted) -> Result<Waiting, StoreError>;

    /// Prolongs leases of `owner` whose run has not begun: their jobs wait in the queue now.
    async fn prolong(&self, assets: &[AssetId], owner: &str, duration: Duration) -> Result<(), StoreError>;

    /// Those of `assets` of which an index may hold vectors in `space`: they have some here, or a run of theirs was lost
    /// and may have left some there.
    async fn holders(&self, space: &VectorSpace, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError>;

    /// Removes every vector of a space, as many at a time as others can wait for. Answers how many there were.
    async fn drop_space(&self, space: &VectorSpace) -> Result<u64, StoreError>;

    /// Small repairs that keep the store quick and right, for any process to make now and then while others write. Each
    /// call looks at a portion of the archive, and lets run what a fault has left pending without being due.
    async fn upkeep(&self) -> Result<(), StoreError>;

    /// A cheap round trip, for readiness.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Closes all connections; unfinished transactions are rolled back.
    async fn close(&self);
}

/// The reviewer's side of the store.
#[async_trait]
pub trait Reviews: Send + Sync {
    /// Suggestions, newest asset first, then by kind and falling confidence; keyset pages that stay stable while
    /// others write. A page may hold fewer rows than asked for although more follow: enough was looked at for once, and
    /// `next` goes on.
    async fn suggestions(
        &self,
        filter: &SuggestionFilter,
        page: &Page,
    ) -> Result<Paged<SuggestionRow>, StoreError>;

    /// How many suggestions pass `filter`, as far as that can be counted in no time.
    async fn count_suggestions(&self, filter: &SuggestionFilter) -> Result<Counted, StoreError>;

    /// How many suggestions of which kinds pass `filter`, and how many assets they are about, as far as that can be counted in
    /// no time.
    async fn sum_up(&self, filter: &SuggestionFilter) -> Result<Summary, StoreError>;

    /// One suggestion, by its id or an unambiguous prefix of at least 6 digits.
    async fn suggestion(&self, id: &str) -> Result<SuggestionRow, StoreError>;

    /// Decides, guarded: accept and reject act on a pending suggestion, undo on a decided one.
    /// Appends to the review log in the same transaction. Who accepts a tag accepts the pending tags that it implies, and
    /// who undoes that undoes both, as far as nobody decided otherwise since.
    async fn decide(
        &self,
        id: &SuggestionId,
        decision: Decision,
        by: &Reviewer,
    ) -> Result<SuggestionRow, StoreError>;

    /// What this person decided last, through this client, and has not taken back; a decision that somebody changed since is
    /// passed over. `None` if there is none among the last few thousand.
    async fn last_step(&self, by: &Reviewer) -> Result<Option<Step>, StoreError>;

    /// The review log of a suggestion, oldest first.
    async fn reviews(&self, suggestion: &SuggestionId) -> Result<Vec<ReviewRow>, StoreError>;

    /// The last decision on each of these suggestions, of those with any.
    async fn decisions(
        &self,
        suggestions: &[SuggestionId],
    ) -> Result<Vec<(SuggestionId, Decided)>, StoreError>;

    /// The review log of all suggestions, newest entry first. A page may hold fewer rows than asked for although more follow:
    /// enough was looked at for once, and `next` goes on.
    async fn review_log(&self, filter: &ReviewFilter, page: &Page)
    -> Result<Paged<LoggedReview>, StoreError>;
}

/// Everything one looks up.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// One asset with its paths.
    async fn asset(&self, id: &AssetId) -> Result<AssetRow, StoreError>;

    /// The asset at a place, if registered.
    async fn asset_at(&self, uri: &str) -> Result<Option<AssetId>, StoreError>;

    /// These assets, in the order asked; unknown ones are left out.
    async fn assets(&self, ids: &[AssetId]) -> Result<Vec<AssetRow>, StoreError>;

    /// The first assets whose ids begin with these digits, `most` at most.
    async fn assets_beginning(&self, id: &str, most: u32) -> Result<Vec<AssetId>, StoreError>;

    /// Assets, newest first. A page may hold fewer rows than asked for although more follow: enough was looked at for once,
    /// and `next` goes on.
    async fn list_assets(&self, filter: &AssetFilter, page: &Page) -> Result<Paged<AssetRow>, StoreError>;

    /// Assets in the order of their places; pages as in [`Catalog::list_assets`].
    async fn arranged(
        &self,
        filter: &AssetFilter,
        by: Arrangement,
        page: &Page,
    ) -> Result<Paged<AssetRow>, StoreError>;

    /// The ids of all assets that pass `filter`; `None` if there are more than `most`, or if that cannot be known without
    /// looking at much of the archive.
    async fn matching(
        &self,
        filter: &AssetFilter,
        most: usize,
    ) -> Result<Option<HashSet<AssetId>>, StoreError>;

    /// Those of `assets` that pass `filter`.
    async fn passing(&self, filter: &AssetFilter, assets: &[AssetId])
    -> Result<HashSet<AssetId>, StoreError>;

    /// Counts per analyzer and state, per suggestion status, and of assets and paths. Work done by another model
    /// than the wanted one is counted as stale.
    async fn counts(&self, wanted: &Wanted) -> Result<Counts, StoreError>;

    /// Failed work, one row per path of the asset, newest first.
    async fn failures(&self, page: &Page) -> Result<Paged<FailureRow>, StoreError>;

    /// Vectors of `space` in the order they were written, after `sequence`; for rebuilding an index.
    async fn vectors_after(
        &self,
        space: &VectorSpace,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<(i64, VectorRecord)>, StoreError>;

    /// The vectors of `space` with these sequence numbers, in any order; without those that were written again or
    /// removed.
    async fn vectors_at(
        &self,
        space: &VectorSpace,
        sequences: &[i64],
    ) -> Result<Vec<(i64, VectorRecord)>, StoreError>;

    /// The vector of the whole picture of `asset` in `space`, if it has one.
    async fn vector(&self, asset: &AssetId, space: &VectorSpace) -> Result<Option<Vec<f32>>, StoreError>;
}

/// All roles together.
pub trait Store: Ledger + Reviews + Catalog + Jobs + Texts + Terms + Forgetting + Outbox {}
impl<T: Ledger + Reviews + Catalog + Jobs + Texts + Terms + Forgetting + Outbox> Store for T {}
