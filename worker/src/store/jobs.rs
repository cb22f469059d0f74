//! Decisions on many suggestions: jobs that are made a portion at a time, by whichever process has time.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use docent_pipelines::Kind;
use serde::Serialize;

use super::{Page, Paged, Reviewer, StoreError, SuggestionFilter, SuggestionRow};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobAction {
    /// Accepts what is pending.
    Accept,
    /// Rejects what is pending.
    Reject,
    /// Takes back what another job did.
    Revert,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// What it will decide is being written down; `total` grows.
    Collecting,
    /// It is deciding.
    Deciding,
    /// Everything was decided, or skipped.
    Done,
    /// It was taken back before it was done.
    Stopped,
}

impl JobAction {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Revert => "revert",
        }
    }
}

impl JobState {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Deciding => "deciding",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }

    /// Whether something is left to do.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Collecting | Self::Deciding)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for JobAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobAction {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Accept, Self::Reject, Self::Revert]
            .into_iter()
            .find(|action| action.as_str() == name)
            .ok_or_else(|| format!("'{name}' is no action"))
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Collecting, Self::Deciding, Self::Done, Self::Stopped]
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| format!("'{name}' is no state"))
    }
}

/// A decision on all suggestions that pass a filter and are pending.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Whether they are rejected; otherwise they are accepted.
    pub reject: bool,
    /// Which. Its status is not looked at; a least confidence has to be there, or a list of suggestions.
    pub filter: SuggestionFilter,
    /// What runs after this one say was not seen by the person, and is not decided; see [`Jobs::newest_run`]. Without it
    /// that is the newest one now.
    pub newest_run: Option<i64>,
    /// Who decides.
    pub by: Reviewer,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobRow {
    /// Its number.
    pub id: i64,
    /// What it does.
    pub action: JobAction,
    /// How far it is.
    pub state: JobState,
    /// Which suggestions.
    pub filter: SuggestionFilter,
    /// The job that it takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts: Option<i64>,
    /// The job by which it was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverted_by: Option<i64>,
    /// Suggestions it decides; grows while it is collecting.
    pub total: u64,
    /// Suggestions it has decided.
    pub done: u64,
    /// Suggestions it left alone, because somebody else decided first or a later run says something else.
    pub skipped: u64,
    /// The person.
    pub reviewer: String,
    /// Through what.
    pub client: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// What is there to decide, counted as far as [`super::Reviews::count_suggestions`] counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Suggestions: so many at least.
    pub count: u64,
    /// Suggestions of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Assets they are about.
    pub assets: u64,
    /// There may be more.
    pub more: bool,
}

/// What somebody decided at once, and takes back at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A decision on one suggestion.
    One {
        /// The suggestion as it is.
        suggestion: SuggestionRow,
        /// Tags that were accepted with it.
        also: Vec<String>,
    },
    /// A job.
    Many(JobRow),
}

/// A person's last entries that are looked through for one that stands: few, and all.
pub(super) const LOOKED_BACK: [i64; 2] = [64, 4096];

/// Bulk decisions. Guarantees of every implementation:
/// - A job decides what passed its filter when it was begun and no run after its newest one raised; each suggestion at
///   most once, with an entry of the review log that names the job. One that accepts tags accepts what they imply.
/// - It is decided in portions, each a transaction: a process that dies leaves a job that another one goes on with.
/// - Two processes never make the same portion.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// The newest run that was recorded: what is listed or counted from now on includes everything up to it.
    async fn newest_run(&self) -> Result<i64, StoreError>;

    /// Writes down what is to be done; [`Jobs::advance_job`] does it.
    async fn start_job(&self, job: &NewJob) -> Result<JobRow, StoreError>;

    /// Begins to take a job back, and stops it if it is not done: what it decided is pending again, unless somebody
    /// decided otherwise since. A second call answers the job of the first.
    async fn revert_job(&self, id: i64, by: &Reviewer) -> Result<JobRow, StoreError>;

    /// One job.
    async fn job(&self, id: i64) -> Result<JobRow, StoreError>;

    /// Jobs, newest first.
    async fn jobs(&self, page: &Page) -> Result<Paged<JobRow>, StoreError>;

    /// Makes a portion of this job, or of the oldest that is not done. Answers how it stands then; `None` if there is
    /// nothing to do, or another process is at it.
    async fn advance_job(&self, id: Option<i64>) -> Result<Option<JobRow>, StoreError>;
}

/// Suggestions that a portion of a job decides: so many that others wait for it less than half a second.
pub(super) const DECIDED_AT_ONCE: i64 = 2000;

/// Refuses a job that would decide everything.
pub(super) fn check(job: &NewJob) -> Result<(), StoreError> {
    let SuggestionFilter { min_confidence, suggestions, .. } = &job.filter;
    if min_confidence.is_some() || !suggestions.is_empty() { Ok(()) } else { Err(StoreError::NoConfidence) }
}

/// The newest run that was recorded, whether or not its asset is still there.
pub(super) const NEWEST_RUN: &str =
    "select max(id) from (select max(id) as id from run union all select max(newest_run) from forgetting) n";

/// A job's filter without assets and suggestions that were forgotten; `None` if it named them, and nothing else is left of what
/// it named.
pub(super) fn without(
    filter: &SuggestionFilter,
    assets: &HashSet<&str>,
    suggestions: &HashSet<&str>,
) -> Option<SuggestionFilter> {
    let mut rest = filter.clone();
    rest.asset.take_if(|asset| assets.contains(asset.as_str()));
    rest.assets.retain(|asset| !assets.contains(asset.as_str()));
    rest.suggestions.retain(|suggestion| !suggestions.contains(suggestion.as_str()));
    let is_over = filter.asset.is_some() && rest.asset.is_none()
        || !filter.assets.is_empty() && rest.assets.is_empty()
        || !filter.suggestions.is_empty() && rest.suggestions.is_empty();
    (!is_over).then_some(rest)
}

#[cfg(test)]
mod tests {
    use docent_pipelines::asset::ContentHash;

    use super::*;

    #[test]
    fn a_filter_forgets_and_never_grows() {
        let [one, other] = [1_u8, 2].map(|number| ContentHash::of(&[number]).asset_id());
        let gone = HashSet::from([one.as_str()]);
        let of = |filter: &SuggestionFilter| without(filter, &gone, &HashSet::new());
        let all = SuggestionFilter { min_confidence: Some(0.9), ..SuggestionFilter::default() };
        assert_eq!(of(&all), Some(all.clone()));
        let both = SuggestionFilter { assets: vec![one.clone(), other.clone()], ..all.clone() };
        assert_eq!(of(&both), Some(SuggestionFilter { assets: vec![other.clone()], ..all.clone() }));
        for over in [
            SuggestionFilter { asset: Some(one.clone()), ..all.clone() },
            SuggestionFilter { assets: vec![one.clone()], ..all.clone() },
        ] {
            assert_eq!(of(&over), None, "without a name it would be about everything");
        }
        let alive = SuggestionFilter { asset: Some(other), ..all };
        assert_eq!(of(&alive), Some(alive.clone()));
    }
}
