//! What goes into the store and comes out of it.

use std::collections::BTreeMap;
use std::time::Duration;

use docent_models::ModelRef;
use docent_pipelines::vocabulary::TermId;
use docent_pipelines::{
    Analysis, AnalyzerId, AssetId, Failure, Fingerprint, Kind, Owner, Region, Status, SuggestionId,
};
use serde::Serialize;

use super::Wanted;
use crate::queue::Lane;

/// Size and time of change of a file: if both are as they were, the content is taken to be, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Size in bytes.
    pub bytes: u64,
    /// Nanoseconds since 1970; may be negative.
    pub modified_ns: i64,
}

/// A place the ledger knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// Its stamp when it was read.
    pub stamp: FileStamp,
    /// What was there.
    pub asset: AssetId,
    /// Whose it is there, if somebody said so.
    pub owner: Option<Owner>,
    /// There was nothing any more when somebody looked last.
    pub gone: bool,
    /// The hash of its bytes, as 64 digits; `None` if it was read before docent noted that.
    pub content_hash: Option<String>,
    /// Whether it is known what makes the picture of the asset ([`docent_pipelines::identity`]).
    pub identified: bool,
}

/// A place that the ledger knows, as a listing of places gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPlace {
    /// Where.
    pub uri: String,
    /// The size of what lies there, in bytes.
    pub bytes: u64,
    /// There was nothing any more when somebody looked last.
    pub gone: bool,
}

/// A place with something in it.
#[derive(Debug, Clone)]
pub struct FoundFile {
    /// Where.
    pub uri: String,
    /// Size and time.
    pub stamp: FileStamp,
    /// What.
    pub hash: Fingerprint,
    /// The line its work waits in.
    pub lane: Lane,
    /// Whose it is there; `None` leaves what is known of the place.
    pub owner: Option<Owner>,
}

/// What a registration changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registered {
    /// Contents never seen before.
    pub new_assets: u64,
    /// Places never seen before, or with other content than before.
    pub new_paths: u64,
    /// Files that were left out because their assets were forgotten.
    pub forgotten: u64,
}

/// Who leases how much, of what, for how long.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    /// The process.
    pub owner: String,
    /// At most this many assets.
    pub limit: u32,
    /// How long the lease lives.
    pub duration: Duration,
    /// Only this lane.
    pub lane: Option<Lane>,
    /// Work of other analyzers is left alone.
    pub wanted: Wanted,
}

/// What `begin_run` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The analyzers of the job that are still pending, and how often each was attempted. At least one.
    Run(BTreeMap<AnalyzerId, u32>),
    /// Everything was done meanwhile.
    Done,
    /// The asset was forgotten meanwhile.
    Forgotten,
    /// Another process is at it.
    Elsewhere,
    /// An earlier run over it was lost: begin it again `alone`.
    Suspect,
    /// It was lost too often while it was analyzed alone, and is failed for good.
    GivenUp {
        /// How often.
        lost: u32,
    },
}

/// One run over one asset, as it is recorded.
#[derive(Debug, Clone)]
pub struct Run {
    /// The asset.
    pub asset: AssetId,
    /// The process that ran it.
    pub owner: String,
    /// What is known of the picture, once decoded.
    pub picture: Option<PictureFacts>,
}

/// What decoding tells about an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFacts {
    /// Width of the upright picture, in pixels.
    pub width: u32,
    /// Its height, in pixels.
    pub height: u32,
    /// The format's name.
    pub format: &'static str,
    /// What is wrong with the file although its picture is whole.
    pub tolerated: Vec<&'static str>,
    /// EXIF orientation of the file, 1 to 8: how its pixels were turned to stand upright.
    pub orientation: u8,
}

impl PictureFacts {
    /// Those of a file with nothing wrong.
    pub fn new(width: u32, height: u32, format: &'static str) -> Self {
        Self { width, height, format, tolerated: Vec::new(), orientation: 1 }
    }

    /// As the ledgers keep them.
    pub(super) fn tolerated(&self) -> String {
        serde_json::Value::from_iter(self.tolerated.iter().copied()).to_string()
    }
}

/// A run and all that it has to say.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The run.
    pub run: Run,
    /// What was found.
    pub analysis: Analysis,
    /// How the work rows are settled.
    pub outcomes: Vec<Outcome>,
}

/// How one analyzer's work row is settled.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which analyzer.
    pub analyzer: AnalyzerId,
    /// The model that answered or would have.
    pub model: ModelRef,
    /// What becomes of the work.
    pub state: OutcomeState,
}

/// What becomes of a piece of work.
#[derive(Debug, Clone)]
pub enum OutcomeState {
    /// It is done.
    Done,
    /// It is pending again, not before the delay has passed.
    Retry {
        /// The delay.
        after: Duration,
        /// Why.
        failure: Failure,
    },
    /// It is failed until somebody asks for it again.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// What a recorded run changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Suggestions raised or raised again.
    pub raised: u64,
    /// Suggestions held back because a decision answers them.
    pub answered: u64,
    /// Pending suggestions that the new run no longer supports.
    pub superseded: u64,
}

/// Which work becomes pending again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// Failed work, of undecodable assets too.
    Failed,
    /// Work done by another model than the wanted one.
    Stale,
    /// Wanted analyzers that an asset has no work row for.
    Missing,
    /// Everything wanted.
    All,
}

/// Whether there is work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// There is pending work, leased or not.
    pub left: bool,
    /// Some of it is leased.
    pub leased: bool,
    /// Some could be leased now.
    pub ready: bool,
    /// A lease has run out, or the time of a retry has come, of whatever analyzers: the next [`super::Ledger::lease`] sees to that.
    pub overdue: bool,
    /// If none can: how long until the first of what waits for a retry can; `None` if nothing waits.
    pub next_ready_in: Option<Duration>,
}

/// What a reviewer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Pending becomes accepted.
    Accept,
    /// Pending becomes rejected, a permanent veto.
    Reject,
    /// Accepted or rejected becomes pending.
    Undo,
}

/// Who decides, and through what.
#[derive(Debug, Clone)]
pub struct Reviewer {
    /// The person.
    pub name: String,
    /// `cli`, `web`, `api`.
    pub client: String,
}

/// A stored suggestion, as every listing gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuggestionRow {
    /// Its id.
    pub id: SuggestionId,
    /// Its asset.
    pub asset_id: AssetId,
    /// One place of the asset, one where it still is if there is one.
    pub uri: String,
    /// What it is about.
    pub kind: Kind,
    /// What it says.
    pub value: String,
    /// 0..=1.
    pub confidence: f64,
    /// Where in the picture.
    pub region: Option<Region>,
    /// Broader tags that it implies, nearest first: they are accepted with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub implies: Vec<String>,
    /// The vocabulary's term that it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<TermId>,
    /// Where it stands.
    pub status: Status,
    /// `id@version` of the model.
    pub model: ModelRef,
    /// The analyzer that raised it.
    pub analyzer: AnalyzerId,
    /// RFC 3339, when it was first raised.
    pub created_at: String,
}

/// One entry of the review log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewRow {
    /// The suggestion.
    pub suggestion_id: SuggestionId,
    /// RFC 3339.
    pub at: String,
    /// The person.
    pub reviewer: String,
    /// Through what.
    pub client: String,
    /// `accept`, `reject`, `undo`.
    pub action: String,
    /// Status before.
    pub before: Status,
    /// Status after.
    pub after: Status,
    /// The job that decided, if it was one of many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<i64>,
}

/// Which entries of the review log are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReviewFilter {
    /// Those at or after this time, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Those of this person.
    pub reviewer: Option<String>,
    /// Those about suggestions of this kind.
    pub kind: Option<Kind>,
}

/// Who decided, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// RFC 3339.
    pub at: String,
    /// The person.
    pub reviewer: String,
}

/// One entry of the review log, and what it is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoggedReview {
    /// The entry.
    #[serde(flatten)]
    pub review: ReviewRow,
    /// The suggestion's asset.
    pub asset_id: AssetId,
    /// A place of that asset.
    pub uri: String,
    /// The suggestion's kind.
    pub kind: Kind,
    /// The suggestion's value.
    pub value: String,
}

/// A stored asset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssetRow {
    /// Its id.
    pub asset_id: AssetId,
    /// BLAKE3 of the bytes of the file that it was first known by.
    pub content_hash: String,
    /// BLAKE3 of its image data ([`docent_pipelines::identity`]), if it was read since docent notes that.
    pub picture: Option<String>,
    /// Size in bytes.
    pub bytes: u64,
    /// Upright width in pixels, once decoded.
    pub width: Option<u32>,
    /// Upright height in pixels, once decoded.
    pub height: Option<u32>,
    /// Format, once decoded.
    pub format: Option<String>,
    /// EXIF orientation that its regions go by, 1 to 8, once decoded.
    #[serde(skip)]
    pub orientation: Option<i64>,
    /// What is wrong with the file although its picture is whole.
    pub tolerated: Vec<String>,
    /// Every place it was found at; those where it is no more come last.
    pub uris: Vec<String>,
    /// It is at none of them any more.
    #[serde(skip)]
    pub gone: bool,
    /// Everybody whose it is at one of them.
    pub owners: Vec<String>,
    /// Pending suggestions.
    pub pending: u64,
    /// Accepted tags.
    pub accepted_tags: Vec<String>,
}

/// Numbers for `docent status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Distinct contents.
    pub assets: u64,
    /// Places.
    pub paths: u64,
    /// Work rows by analyzer: a row for each wanted analyzer and each that has work.
    pub analyzers: BTreeMap<AnalyzerId, WorkCounts>,
    /// Suggestions by status.
    pub suggestions: BTreeMap<String, u64>,
    /// Pending suggestions that are proposals.
    pub proposals: u64,
    /// Vectors by space.
    pub vectors: BTreeMap<String, u64>,
}

/// Work of one analyzer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct WorkCounts {
    /// To be done.
    pub pending: u64,
    /// Done by the wanted model.
    pub done: u64,
    /// Done by another model.
    pub stale: u64,
    /// Failed.
    pub failed: u64,
    /// Set aside because the asset cannot be decoded.
    pub blocked: u64,
    /// Assets without a row.
    pub missing: u64,
}

/// One failure as listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureRow {
    /// The asset.
    pub asset_id: AssetId,
    /// One of its places.
    pub uri: String,
    /// Which analyzer failed.
    pub analyzer: AnalyzerId,
    /// `transient` or `permanent`.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// RFC 3339, the last attempt.
    pub at: String,
}
