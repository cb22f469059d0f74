//! How things stand: counts, failures, and the probes of an operator.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::extract::Query;
use super::{ApiError, AppState, wire};
use crate::health::{HealthReport, Part};
use crate::store::{Counts, FailureRow, SinkRow, WorkCounts};

/// Counts of everything.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusReport {
    /// Distinct contents.
    assets: u64,
    /// Places.
    paths: u64,
    /// Work by analyzer.
    analyzers: BTreeMap<String, AnalyzerWork>,
    /// Suggestions by status.
    suggestions: BTreeMap<String, u64>,
    /// Pending suggestions that are proposals.
    proposals: u64,
    /// Vectors by space.
    vectors: BTreeMap<String, u64>,
    /// Who is told what happens, and how far that is.
    sinks: Vec<Sink>,
}

/// Somebody who is told what happens.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sink {
    /// `rabbitmq`, or `webhook:` and a name of the configuration.
    name: String,
    /// Events that it has not taken yet; some of them it may not want to hear.
    waiting: u64,
    /// RFC 3339: it takes nothing since then; left out if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<String>,
    /// Why it takes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// RFC 3339: it is told nothing since then, until somebody enables it.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<String>,
}

/// Work of one analyzer, in assets.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalyzerWork {
    /// To be done.
    pending: u64,
    /// Done by the wanted model.
    done: u64,
    /// Done by another model.
    stale: u64,
    /// Failed.
    failed: u64,
    /// Set aside because the asset cannot be decoded.
    blocked: u64,
    /// Never asked for.
    missing: u64,
}

/// Work that failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failure {
    /// The asset.
    asset_id: String,
    /// One of its places.
    uri: String,
    /// Which analyzer failed.
    analyzer: String,
    /// `transient` or `permanent`.
    kind: String,
    /// Why.
    reason: String,
    /// How often it was tried.
    attempts: u32,
    /// RFC 3339, the last attempt.
    at: String,
}

/// A page of failures.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailurePage {
    /// One row per path of the asset, newest first.
    failures: Vec<Failure>,
    /// Give this as `after` for the next page; null at the end.
    next: Option<String>,
}

/// Which part of the failures.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListFailures {
    /// At most this many, 1 to 1000; 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl StatusReport {
    fn of(counts: Counts, sinks: Vec<SinkRow>) -> Self {
        Self {
            assets: counts.assets,
            paths: counts.paths,
            analyzers: counts.analyzers.into_iter().map(|(id, work)| (id.to_string(), work.into())).collect(),
            suggestions: counts.suggestions,
            proposals: counts.proposals,
            vectors: counts.vectors,
            sinks: sinks.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<SinkRow> for Sink {
    fn from(row: SinkRow) -> Self {
        let SinkRow { name, waiting, failing_since, reason, disabled_at, .. } = row;
        Self { name, waiting, failing_since, reason, disabled_at }
    }
}

impl From<WorkCounts> for AnalyzerWork {
    fn from(work: WorkCounts) -> Self {
        Self {
            pending: work.pending,
            done: work.done,
            stale: work.stale,
            failed: work.failed,
            blocked: work.blocked,
            missing: work.missing,
        }
    }
}

impl From<FailureRow> for Failure {
    fn from(row: FailureRow) -> Self {
        Self {
            asset_id: row.asset_id.into(),
            uri: row.uri,
            analyzer: row.analyzer.to_string(),
            kind: row.kind,
            reason: row.reason,
            attempts: row.attempts,
            at: row.at,
        }
    }
}

/// Counts per analyzer and state, of suggestions, vectors, assets and paths; and who is told what happens.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses(
    (status = 200, description = "The counts", body = StatusReport),
))]
pub async fn counts(State(state): State<AppState>) -> Result<Json<StatusReport>, ApiError> {
    let counts = state.store.counts(&state.wanted).await?;
    Ok(Json(StatusReport::of(counts, state.store.sinks().await?)))
}

/// What failed, and why.
#[utoipa::path(get, path = "/api/v1/failures", tag = "status", params(ListFailures), responses(
    (status = 200, description = "A page of failures", body = FailurePage),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
))]
pub async fn failures(
    State(state): State<AppState>,
    Query(query): Query<ListFailures>,
) -> Result<Json<FailurePage>, ApiError> {
    let listed = state.store.failures(&wire::page(query.limit, query.after)?).await?;
    Ok(Json(FailurePage { failures: listed.rows.into_iter().map(Into::into).collect(), next: listed.next }))
}

/// The process answers. Needs no token.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses(
    (status = 200, description = "The process answers", body = String),
))]
pub async fn alive() -> &'static str {
    "ok"
}

/// Whether a process can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Everything is there.
    ready: bool,
    /// What the process needs is loaded.
    started: bool,
    /// `store`, `vectors` and others, by role.
    backends: BTreeMap<&'static str, Backend>,
    /// Pictures that took too long and still keep their places; left out if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<u64>,
}

/// Something that work needs.
#[derive(Debug, Serialize, ToSchema)]
struct Backend {
    /// It answered.
    up: bool,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<HealthReport> for Readiness {
    fn from(report: HealthReport) -> Self {
        let backend = |Part { up, reason }| Backend { up, reason };
        let backends = report.backends.into_iter().map(|(name, part)| (name, backend(part)));
        let stuck = (report.stuck > 0).then_some(report.stuck);
        Self { ready: report.ready, started: report.started, backends: backends.collect(), stuck }
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

/// The ledger and the index answer, too, and the ledger can be written.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses(
    (status = 200, description = "Ledger and index answer", body = Readiness),
    (status = 503, description = "One of them does not", body = Readiness),
))]
pub async fn ready(State(state): State<AppState>) -> Readiness {
    state.probe().await.into()
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses(
    (status = 200, description = "The metrics", body = String),
    (status = 404, description = "This process collects none", body = ErrorBody),
))]
pub async fn metrics(State(state): State<AppState>) -> Result<Response, ApiError> {
    let handle =
        state.metrics.ok_or_else(|| ApiError::NotFound("this process collects no metrics".to_owned()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()).into_response())
}
