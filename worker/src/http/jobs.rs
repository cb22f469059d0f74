//! Decisions on many suggestions: jobs with a number, which go on whatever becomes of the request.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::extract::{self, Path, Query};
use super::{ApiError, AppState, wire};
use crate::assets::display_path;
use crate::store::{JobRow, NewJob, Reviewer, SuggestionFilter};

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
    /// Only this kind.
    kind: Option<wire::Kind>,
    /// Only this asset.
    asset: Option<String>,
    /// Only this value.
    value: Option<String>,
    /// Only assets with a path under this absolute path.
    path: Option<String>,
    /// Only assets with a path of this owner, the same path where both are given.
    owner: Option<String>,
    /// The `as_of` of a count: what was suggested after it is left alone. Without it, what is suggested after this request.
    #[serde(default, deserialize_with = "wire::whole")]
    as_of: Option<i64>,
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
                min_confidence: filter.min_confidence,
                value: filter.value,
                path: filter.place.uri_prefix.as_deref().map(display_path),
                owner: filter.place.owner.map(Into::into),
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
    ),
)]
pub async fn accept_all(
    State(state): State<AppState>,
    by: Reviewer,
    extract::Json(request): extract::Json<AcceptAll>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    let filter = SuggestionFilter {
        status: None,
        kind: request.kind.map(Into::into),
        asset: request.asset.map(wire::id).transpose()?,
        min_confidence: Some(wire::confidence(request.min_confidence)?),
        value: request.value,
        place: wire::place(request.path, request.owner)?,
    };
    let reject = request.action == BulkAction::Reject;
    let job = state.store.start_job(&NewJob { reject, filter, newest_run: request.as_of, by }).await?;
    begun(&state, job).await
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
