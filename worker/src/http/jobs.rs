//! Decisions on many suggestions: jobs with a number, which go on whatever becomes of the request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use docent_pipelines::Status;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::extract::{self, Path, Query};
use super::suggestions::Suggestion;
use super::{ApiError, AppState, wire};
use crate::assets::display_path;
use crate::store::{JobRow, NewJob, Reviewer, Step, SuggestionFilter, Summary};

/// A request waits so long for its job, so that small ones are done when it is answered.
const WAIT: Duration = Duration::from_secs(1);

/// What is done with the suggestions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BulkAction {
    /// They are accepted.
    #[default]
    Accept,
    /// They are rejected for good.
    Reject,
}

/// Which pending suggestions to decide.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptAll {
    /// What to do; accept where not given.
    #[serde(default)]
    action: BulkAction,
    /// Only from this confidence on, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    min_confidence: f64,
    /// Only this kind; every kind but proposals where not given.
    kind: Option<wire::Kind>,
    /// Only this asset.
    asset: Option<String>,
    /// Only these assets, 1 to 1000; not together with `asset`.
    #[schema(min_items = 1, max_items = 1000)]
    assets: Option<Vec<String>>,
    /// Only these suggestions of `asset`, 1 to 1000.
    #[schema(min_items = 1, max_items = 1000)]
    suggestions: Option<Vec<String>>,
    /// Only this value.
    value: Option<String>,
    /// Only assets with a path under this absolute path.
    path: Option<String>,
    /// Only assets with a path of this owner, the same path where both are given.
    owner: Option<String>,
    /// Only assets that can be looked at: they are still at a path, and were not found to be undecodable.
    #[serde(default)]
    viewable: bool,
    /// The `as_of` of a count: what was suggested after it is left alone. Without it, what is suggested after this request.
    #[serde(default, deserialize_with = "wire::whole")]
    as_of: Option<i64>,
}

fn contradiction(message: &str) -> ApiError {
    ApiError::Unprocessable { code: "contradictory", message: message.to_owned() }
}

impl AcceptAll {
    fn filter(self) -> Result<SuggestionFilter, ApiError> {
        let asset = self.asset.map(wire::id).transpose()?;
        let suggestions = wire::ids("suggestions", self.suggestions)?;
        if !suggestions.is_empty() && asset.is_none() {
            return Err(contradiction("suggestions are given without their asset"));
        }
        let assets = wire::ids("assets", self.assets)?;
        if !assets.is_empty() && asset.is_some() {
            return Err(contradiction("asset and assets are both given; give one of them"));
        }
        Ok(SuggestionFilter {
            status: None,
            kind: self.kind.map(Into::into),
            no_proposals: true,
            asset,
            assets,
            suggestions,
            viewable: self.viewable,
            min_confidence: Some(wire::confidence(self.min_confidence)?),
            value: self.value,
            place: wire::place(self.path, self.owner)?,
        })
    }
}

/// A decision on many suggestions.
#[derive(Debug, Serialize, ToSchema)]
pub struct Job {
    /// Its number.
    id: i64,
    /// `accept`, `reject`, or `revert` for one that takes another back.
    action: String,
    /// `collecting` while `total` grows, `deciding` while `done` and `skipped` grow to it, then `done`; `stopped` if it was
    /// taken back before.
    state: String,
    /// Suggestions it decides.
    total: u64,
    /// Suggestions it has decided.
    done: u64,
    /// Suggestions it left alone: somebody else decided first, or a later run says something else.
    skipped: u64,
    /// Which suggestions.
    filter: JobFilter,
    /// The job that this one takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverts: Option<i64>,
    /// The job that takes this one back.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverted_by: Option<i64>,
    /// The person.
    reviewer: String,
    /// `cli`, `web` or `api`.
    client: String,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339, once it is done or stopped.
    finished_at: Option<String>,
}

/// Which suggestions a job decides.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobFilter {
    /// Only this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<wire::Kind>,
    /// Only this asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    asset: Option<String>,
    /// Only these assets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assets: Vec<String>,
    /// Only these suggestions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suggestions: Vec<String>,
    /// Only from this confidence on.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_confidence: Option<f64>,
    /// Only this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Only assets under this path.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Only assets of this owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Only assets that can be looked at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    viewable: bool,
}

/// What a decision on many suggestions would decide.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preview {
    /// Suggestions: so many at least.
    count: u64,
    /// Suggestions of each kind that has some.
    kinds: BTreeMap<String, u64>,
    /// Assets they are about.
    assets: u64,
    /// There may be more: counting stopped at 10,000, or where it would have taken too long.
    more: bool,
    /// What was known when they were counted: give it to `accept-all`, and what was suggested since is left alone.
    as_of: i64,
}

/// What a person decided last and has not taken back; empty if there is nothing.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct LastStep {
    /// The suggestion, if it was one: `undo` takes that back.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<Suggestion>,
    /// The tags that were accepted with it, because it implies them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
    /// The job, if there were many: `revert` takes that back.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
}

/// A page of jobs.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobPage {
    /// The jobs, newest first.
    jobs: Vec<Job>,
    /// Give this as `after` for the next page; null at the end.
    next: Option<String>,
}

/// Which part of the jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListJobs {
    /// At most this many, 1 to 1000; 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        let JobRow { filter, .. } = row;
        Self {
            id: row.id,
            action: row.action.to_string(),
            state: row.state.to_string(),
            total: row.total,
            done: row.done,
            skipped: row.skipped,
            filter: JobFilter {
                kind: filter.kind.map(Into::into),
                asset: filter.asset.map(Into::into),
                assets: filter.assets.into_iter().map(Into::into).collect(),
                suggestions: filter.suggestions.into_iter().map(Into::into).collect(),
                min_confidence: filter.min_confidence,
                value: filter.value,
                path: filter.place.uri_prefix.as_deref().map(display_path),
                owner: filter.place.owner.map(Into::into),
                viewable: filter.viewable,
            },
            reverts: row.reverts,
            reverted_by: row.reverted_by,
            reviewer: row.reviewer,
            client: row.client,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

/// Accepts or rejects every pending suggestion from a confidence on, as a job. What nobody could see when it was asked for
/// is left alone. A small job is done when this is answered; a large one goes on, and `/api/v1/jobs/{id}` tells how far.
#[utoipa::path(post, path = "/api/v1/suggestions/accept-all", tag = "jobs", request_body = AcceptAll,
    responses(
        (status = 202, description = "The job", body = Job),
        (status = 400, description = "The body is wrong", body = ErrorBody),
        (status = 422, description = "Its filters contradict each other", body = ErrorBody),
    ),
)]
pub async fn accept_all(
    State(state): State<AppState>,
    by: Reviewer,
    extract::Json(request): extract::Json<AcceptAll>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    let (reject, newest_run) = (request.action == BulkAction::Reject, request.as_of);
    let filter = request.filter()?;
    let job = state.store.start_job(&NewJob { reject, filter, newest_run, by }).await?;
    begun(&state, job).await
}

/// Says what `accept-all` would decide, by kind, and about how many assets.
#[utoipa::path(post, path = "/api/v1/suggestions/accept-all/preview", tag = "jobs", request_body = AcceptAll,
    responses(
        (status = 200, description = "What there is to decide", body = Preview),
        (status = 400, description = "The body is wrong", body = ErrorBody),
        (status = 422, description = "Its filters contradict each other", body = ErrorBody),
    ),
)]
pub async fn preview(
    State(state): State<AppState>,
    extract::Json(request): extract::Json<AcceptAll>,
) -> Result<Json<Preview>, ApiError> {
    let filter = SuggestionFilter { status: Some(Status::Pending), ..request.filter()? };
    // First: what is suggested in between may be counted, and is not decided.
    let as_of = state.store.newest_run().await?;
    let Summary { count, kinds, assets, more } = state.store.sum_up(&filter).await?;
    let kinds = kinds.into_iter().map(|(kind, count)| (kind.to_string(), count)).collect();
    Ok(Json(Preview { count, kinds, assets, more, as_of }))
}

/// What the reviewer decided last through the same client and has not taken back: one suggestion, or a job.
#[utoipa::path(get, path = "/api/v1/reviews/last", tag = "suggestions", responses(
    (status = 200, description = "The decision, or nothing", body = LastStep),
))]
pub async fn last_step(State(state): State<AppState>, by: Reviewer) -> Result<Json<LastStep>, ApiError> {
    Ok(Json(match state.store.last_step(&by).await? {
        None => LastStep::default(),
        Some(Step::Many(job)) => LastStep { job: Some(job.into()), ..LastStep::default() },
        Some(Step::One { suggestion, also }) => {
            LastStep { suggestion: Some(suggestion.into()), also, ..LastStep::default() }
        }
    }))
}

/// Answers with a job, which may be done by then.
async fn begun(state: &AppState, mut job: JobRow) -> Result<(StatusCode, Json<Job>), ApiError> {
    let began = Instant::now();
    while job.state.is_open() && began.elapsed() < WAIT {
        match state.store.advance_job(Some(job.id)).await {
            Ok(Some(further)) => job = further,
            // Somebody else is at it.
            Ok(None) => {
                job = state.store.job(job.id).await?;
                break;
            }
            // It was begun, and goes on later.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, job = job.id, "a job has to wait");
                break;
            }
        }
    }
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// Lists jobs, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(ListJobs), responses(
    (status = 200, description = "A page of jobs", body = JobPage),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListJobs>,
) -> Result<Json<JobPage>, ApiError> {
    let listed = state.store.jobs(&wire::page(query.limit, query.after)?).await?;
    Ok(Json(JobPage { jobs: listed.rows.into_iter().map(Into::into).collect(), next: listed.next }))
}

/// One job, and how far it is.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = i64, Path, description = "The job's number", minimum = 1)),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = 404, description = "There is no such job", body = ErrorBody),
    ),
)]
pub async fn one(State(state): State<AppState>, Path(id): Path<i64>) -> Result<Json<Job>, ApiError> {
    Ok(Json(state.store.job(id).await?.into()))
}

/// Takes back everything that a job decided and that is still as the job left it; a job that is not done is stopped. That is
/// a job, too; asked for a second time, it is answered again.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/revert", tag = "jobs",
    params(("id" = i64, Path, description = "The job's number", minimum = 1)),
    responses(
        (status = 202, description = "The job that takes it back", body = Job),
        (status = 404, description = "There is no such job", body = ErrorBody),
        (status = 422, description = "It takes another one back itself", body = ErrorBody),
    ),
)]
pub async fn revert(
    State(state): State<AppState>,
    Path(id): Path<i64>,
    by: Reviewer,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    let job = state.store.revert_job(id, &by).await?;
    begun(&state, job).await
}
