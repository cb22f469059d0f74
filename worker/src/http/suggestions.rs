//! Suggestions and decisions.

use axum::Json;
use axum::extract::State;
use docent_pipelines::vocabulary::Vocabulary;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::extract::{Path, Query};
use super::{ApiError, AppState, wire};
use crate::store::{Counted, Decision, Paged, ReviewRow, Reviewer, SuggestionFilter, SuggestionRow};

/// What a network says about an asset.
#[derive(Debug, Serialize, ToSchema)]
pub struct Suggestion {
    /// 32 hexadecimal digits.
    id: String,
    /// The asset it is about.
    asset_id: String,
    /// One place of the asset.
    uri: String,
    /// What it is about.
    kind: wire::Kind,
    /// What it says.
    value: String,
    /// 0..=1.
    confidence: f64,
    /// Where in the picture, if anywhere in particular.
    region: Option<wire::Region>,
    /// Broader tags that a tag implies, nearest first: they are accepted with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    implies: Vec<String>,
    /// The id of the vocabulary's term that it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<String>,
    /// The names from a top term down to it; only where an asset's suggestions are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    term_path: Option<String>,
    /// Where it stands.
    status: wire::Status,
    /// `id@version` of the model that says so.
    model: String,
    /// The analyzer that raised it.
    analyzer: String,
    /// RFC 3339, when it was first raised.
    created_at: String,
}

/// A page of suggestions.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuggestionPage {
    /// The suggestions: newest asset first, then by kind and falling confidence. There may be fewer than asked for, even
    /// none, although more follow: where few pass the filters, a page ends when enough was looked at.
    suggestions: Vec<Suggestion>,
    /// Give this as `after` for the next page; null at the end, and only there.
    next: Option<String>,
}

/// One entry of the review log.
#[derive(Debug, Serialize, ToSchema)]
pub struct Review {
    /// The suggestion.
    suggestion_id: String,
    /// RFC 3339.
    at: String,
    /// The person.
    reviewer: String,
    /// `cli`, `web` or `api`.
    client: String,
    /// `accept`, `reject` or `undo`.
    action: String,
    /// Status before.
    before: wire::Status,
    /// Status after.
    after: wire::Status,
    /// The job that decided, where it was one of many decisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<i64>,
}

/// The review log of a suggestion.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewLog {
    /// Oldest first.
    reviews: Vec<Review>,
}

/// Which suggestions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListSuggestions {
    /// Only this status.
    status: Option<wire::Status>,
    /// Only this kind.
    kind: Option<wire::Kind>,
    /// Only this asset.
    asset: Option<String>,
    /// Only from this confidence on.
    #[param(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
    /// Only this value.
    value: Option<String>,
    /// Only assets with a path under this absolute path.
    path: Option<String>,
    /// Only assets with a path of this owner, the same path where both are given.
    owner: Option<String>,
    /// At most this many, 1 to 1000; 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Which suggestions to count.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CountSuggestions {
    /// Only this status.
    status: Option<wire::Status>,
    /// Only this kind.
    kind: Option<wire::Kind>,
    /// Only this asset.
    asset: Option<String>,
    /// Only from this confidence on.
    #[param(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
    /// Only this value.
    value: Option<String>,
    /// Only assets with a path under this absolute path.
    path: Option<String>,
    /// Only assets with a path of this owner, the same path where both are given.
    owner: Option<String>,
}

/// How many there are.
#[derive(Debug, Serialize, ToSchema)]
pub struct Count {
    /// Suggestions: so many at least.
    count: u64,
    /// There may be more: counting stopped at 10,000, or where it would have taken too long.
    more: bool,
    /// What was known when they were counted: give it to `accept-all`, and what was suggested since is left alone.
    as_of: i64,
}

impl From<SuggestionRow> for Suggestion {
    fn from(row: SuggestionRow) -> Self {
        Self {
            id: row.id.into(),
            asset_id: row.asset_id.into(),
            uri: row.uri,
            kind: row.kind.into(),
            value: row.value,
            confidence: row.confidence,
            region: row.region.map(Into::into),
            implies: row.implies,
            term: row.term.map(Into::into),
            term_path: None,
            status: row.status.into(),
            model: row.model.into(),
            analyzer: row.analyzer.to_string(),
            created_at: row.created_at,
        }
    }
}

impl SuggestionPage {
    /// With the paths of its terms.
    pub fn with_paths(listed: Paged<SuggestionRow>, known: &Vocabulary) -> Self {
        let path = |row: &SuggestionRow| Some(known.path(known.term(row.term.as_ref()?)?));
        let paths: Vec<Option<String>> = listed.rows.iter().map(path).collect();
        let mut page = Self::from(listed);
        for (suggestion, path) in page.suggestions.iter_mut().zip(paths) {
            suggestion.term_path = path;
        }
        page
    }
}

impl From<Paged<SuggestionRow>> for SuggestionPage {
    fn from(paged: Paged<SuggestionRow>) -> Self {
        Self { suggestions: paged.rows.into_iter().map(Into::into).collect(), next: paged.next }
    }
}

impl From<ReviewRow> for Review {
    fn from(row: ReviewRow) -> Self {
        Self {
            suggestion_id: row.suggestion_id.into(),
            at: row.at,
            reviewer: row.reviewer,
            client: row.client,
            action: row.action,
            before: row.before.into(),
            after: row.after.into(),
            job: row.job,
        }
    }
}

impl ListSuggestions {
    fn split(self) -> Result<(SuggestionFilter, Option<u32>, Option<String>), ApiError> {
        let Self { status, kind, asset, min_confidence, value, path, owner, limit, after } = self;
        let which = CountSuggestions { status, kind, asset, min_confidence, value, path, owner };
        Ok((which.filter()?, limit, after))
    }
}

impl CountSuggestions {
    fn filter(self) -> Result<SuggestionFilter, ApiError> {
        Ok(SuggestionFilter {
            status: self.status.map(Into::into),
            kind: self.kind.map(Into::into),
            asset: self.asset.map(wire::id).transpose()?,
            min_confidence: self.min_confidence.map(wire::confidence).transpose()?,
            value: self.value,
            place: wire::place(self.path, self.owner)?,
            ..SuggestionFilter::default()
        })
    }
}

/// Lists suggestions.
#[utoipa::path(get, path = "/api/v1/suggestions", tag = "suggestions", params(ListSuggestions), responses(
    (status = 200, description = "A page of suggestions", body = SuggestionPage),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListSuggestions>,
) -> Result<Json<SuggestionPage>, ApiError> {
    let (filter, limit, after) = query.split()?;
    Ok(Json(state.store.suggestions(&filter, &wire::page(limit, after)?).await?.into()))
}

/// Counts suggestions.
#[utoipa::path(get, path = "/api/v1/suggestions/count", tag = "suggestions", params(CountSuggestions), responses(
    (status = 200, description = "How many there are", body = Count),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
))]
pub async fn count(
    State(state): State<AppState>,
    Query(query): Query<CountSuggestions>,
) -> Result<Json<Count>, ApiError> {
    let filter = query.filter()?;
    // First: what is suggested in between may be counted, and is not decided.
    let as_of = state.store.newest_run().await?;
    let Counted { count, more } = state.store.count_suggestions(&filter).await?;
    Ok(Json(Count { count, more, as_of }))
}

/// One suggestion, by its id or an unambiguous prefix of at least 6 digits.
#[utoipa::path(get, path = "/api/v1/suggestions/{id}", tag = "suggestions",
    params(("id" = String, Path, description = "The suggestion's id")),
    responses(
        (status = 200, description = "The suggestion", body = Suggestion),
        (status = 404, description = "There is no such suggestion", body = ErrorBody),
    ),
)]
pub async fn one(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Suggestion>, ApiError> {
    Ok(Json(state.store.suggestion(&id).await?.into()))
}

/// Who decided what about a suggestion, oldest first.
#[utoipa::path(get, path = "/api/v1/suggestions/{id}/reviews", tag = "suggestions",
    params(("id" = String, Path, description = "The suggestion's id")),
    responses(
        (status = 200, description = "The log", body = ReviewLog),
        (status = 404, description = "There is no such suggestion", body = ErrorBody),
    ),
)]
pub async fn reviews(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<ReviewLog>, ApiError> {
    let id = state.store.suggestion(&id).await?.id;
    let reviews = state.store.reviews(&id).await?.into_iter().map(Into::into).collect();
    Ok(Json(ReviewLog { reviews }))
}

/// Accepts a pending suggestion, and the pending tags that it implies.
#[utoipa::path(post, path = "/api/v1/suggestions/{id}/accept", tag = "suggestions",
    params(("id" = String, Path, description = "The suggestion's id")),
    responses(
        (status = 200, description = "The suggestion as it is now", body = Suggestion),
        (status = 404, description = "There is no such suggestion", body = ErrorBody),
        (status = 409, description = "Somebody else decided first", body = ErrorBody),
    ),
)]
pub async fn accept(
    State(state): State<AppState>,
    Path(id): Path<String>,
    by: Reviewer,
) -> Result<Json<Suggestion>, ApiError> {
    decide(&state, id, Decision::Accept, &by).await
}

/// Rejects a pending suggestion for good.
#[utoipa::path(post, path = "/api/v1/suggestions/{id}/reject", tag = "suggestions",
    params(("id" = String, Path, description = "The suggestion's id")),
    responses(
        (status = 200, description = "The suggestion as it is now", body = Suggestion),
        (status = 404, description = "There is no such suggestion", body = ErrorBody),
        (status = 409, description = "Somebody else decided first", body = ErrorBody),
    ),
)]
pub async fn reject(
    State(state): State<AppState>,
    Path(id): Path<String>,
    by: Reviewer,
) -> Result<Json<Suggestion>, ApiError> {
    decide(&state, id, Decision::Reject, &by).await
}

/// Makes a decided suggestion pending again, and the tags that were accepted with it.
#[utoipa::path(post, path = "/api/v1/suggestions/{id}/undo", tag = "suggestions",
    params(("id" = String, Path, description = "The suggestion's id")),
    responses(
        (status = 200, description = "The suggestion as it is now", body = Suggestion),
        (status = 404, description = "There is no such suggestion", body = ErrorBody),
        (status = 409, description = "It is not decided", body = ErrorBody),
    ),
)]
pub async fn undo(
    State(state): State<AppState>,
    Path(id): Path<String>,
    by: Reviewer,
) -> Result<Json<Suggestion>, ApiError> {
    decide(&state, id, Decision::Undo, &by).await
}

async fn decide(
    state: &AppState,
    id: String,
    decision: Decision,
    by: &Reviewer,
) -> Result<Json<Suggestion>, ApiError> {
    let id = wire::id(id)?;
    Ok(Json(state.store.decide(&id, decision, by).await?.into()))
}
