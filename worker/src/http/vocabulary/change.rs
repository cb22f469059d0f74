//! Changes of single terms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use docent_pipelines::vocabulary::{TermId, Vocabulary, VocabularyError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::wire::{TermBody, TermDetail};
use super::{aside, missing};
use crate::http::error::ErrorBody;
use crate::http::extract::{self, Path, Query};
use crate::http::{ApiError, AppState, wire as shared};
use crate::store::{Changed, Reviewer, StoreError, TermChange};

/// A request waits so long for what follows from it, so that a small change is seen on pictures when it is answered.
const WAIT: Duration = Duration::from_secs(1);

/// Where a term goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// The id of the term that stays.
    #[schema(pattern = r"^[0-9a-f]{32}$")]
    into: String,
    /// The vocabulary's revision that was seen: if it has another one, nothing is changed.
    #[serde(default, deserialize_with = "shared::whole")]
    revision: Option<i64>,
}

/// What was seen.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SeenAt {
    /// The vocabulary's revision that was seen: if it has another one, nothing is changed.
    revision: Option<i64>,
}

/// What was changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct VocabularyChanged {
    /// The vocabulary's revision now.
    pub revision: i64,
    /// Terms that are new.
    pub added: u64,
    /// Terms that are not as they were.
    pub changed: u64,
    /// Terms that are gone.
    pub removed: u64,
}

impl From<Changed> for VocabularyChanged {
    fn from(changed: Changed) -> Self {
        let Changed { revision, added, changed, removed } = changed;
        Self { revision, added, changed, removed }
    }
}

pub(super) fn not_sound(error: VocabularyError) -> ApiError {
    ApiError::Unprocessable { code: "not_sound", message: error.to_string() }
}

impl AppState {
    /// The vocabulary, if it is as it was seen.
    pub(super) async fn seen(&self, revision: Option<i64>) -> Result<Arc<Vocabulary>, ApiError> {
        let known = self.store.vocabulary().await?;
        match revision.filter(|seen| *seen != known.revision) {
            Some(seen) => Err(StoreError::Outdated { seen, revision: known.revision }.into()),
            None => Ok(known),
        }
    }

    /// Changes the vocabulary as it was seen, and what follows from that if it is not much.
    pub(super) async fn change_terms(
        &self,
        changes: &[TermChange],
        seen: i64,
        by: &Reviewer,
    ) -> Result<Changed, ApiError> {
        let changed = self.store.change_terms(changes, seen, by).await?;
        let began = Instant::now();
        while began.elapsed() < WAIT {
            match self.store.advance_terms().await {
                Ok(true) => {}
                Ok(false) => break,
                // It was changed; what follows is done later.
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a change of the vocabulary has to wait"
                    );
                    break;
                }
            }
        }
        Ok(changed)
    }
}

/// Adds a term.
#[utoipa::path(post, path = "/api/v1/vocabulary/terms", tag = "vocabulary", request_body = TermBody,
    responses(
        (status = 201, description = "The term", body = TermDetail),
        (status = 400, description = "The body is wrong", body = ErrorBody),
        (status = 409, description = "A term of that address, or of that name below the same term, is there; or the vocabulary is not as it was seen", body = ErrorBody),
        (status = 422, description = "The vocabulary would not be sound", body = ErrorBody),
    ),
)]
pub async fn add(
    State(state): State<AppState>,
    by: Reviewer,
    extract::Json(body): extract::Json<TermBody>,
) -> Result<(StatusCode, Json<TermDetail>), ApiError> {
    let at = body.revision;
    let term = body.into_term(TermId::derived(&[]))?.tidied().map_err(not_sound)?;
    let known = state.seen(at).await?;
    let seen = known.revision;
    let term = aside(move || {
        let mut term = term;
        if let Some(twin) = known.twin(&term) {
            let message = format!("there is a term '{}' already", known.path(twin));
            return Err(ApiError::Exists(message));
        }
        term.id = known.free_id(&term);
        known.allows(std::slice::from_ref(&term), &[]).map_err(not_sound)?;
        Ok(term)
    })
    .await??;
    let id = term.id.clone();
    state.change_terms(&[TermChange::Put(Box::new(term))], seen, &by).await?;
    Ok((StatusCode::CREATED, Json(state.term_detail(&id).await?)))
}

/// Replaces what is known of a term.
#[utoipa::path(put, path = "/api/v1/vocabulary/terms/{id}", tag = "vocabulary",
    params(("id" = String, Path, description = "The term's id")), request_body = TermBody,
    responses(
        (status = 200, description = "The term as it is now", body = TermDetail),
        (status = 400, description = "The body is wrong", body = ErrorBody),
        (status = 404, description = "There is no such term", body = ErrorBody),
        (status = 409, description = "The vocabulary is not as it was seen", body = ErrorBody),
        (status = 422, description = "The vocabulary would not be sound", body = ErrorBody),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    Path(id): Path<String>,
    by: Reviewer,
    extract::Json(body): extract::Json<TermBody>,
) -> Result<Json<TermDetail>, ApiError> {
    let id: TermId = shared::id(id)?;
    let at = body.revision;
    let term = body.into_term(id.clone())?.tidied().map_err(not_sound)?;
    let known = state.seen(at).await?;
    let seen = known.revision;
    known.term(&id).filter(|term| term.id == id).ok_or_else(|| missing(&id))?;
    let term = aside(move || known.allows(std::slice::from_ref(&term), &[]).map(|()| term))
        .await?
        .map_err(not_sound)?;
    state.change_terms(&[TermChange::Put(Box::new(term))], seen, &by).await?;
    Ok(Json(state.term_detail(&id).await?))
}

/// Takes a term out of the vocabulary. What was decided stays decided.
#[utoipa::path(delete, path = "/api/v1/vocabulary/terms/{id}", tag = "vocabulary",
    params(("id" = String, Path, description = "The term's id"), SeenAt),
    responses(
        (status = 200, description = "What was changed", body = VocabularyChanged),
        (status = 404, description = "There is no such term", body = ErrorBody),
        (status = 409, description = "The vocabulary is not as it was seen", body = ErrorBody),
        (status = 422, description = "There are terms below it", body = ErrorBody),
    ),
)]
pub async fn remove(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(at): Query<SeenAt>,
    by: Reviewer,
) -> Result<Json<VocabularyChanged>, ApiError> {
    let id: TermId = shared::id(id)?;
    let known = state.seen(at.revision).await?;
    let seen = known.revision;
    let term = known.term(&id).filter(|term| term.id == id).ok_or_else(|| missing(&id))?;
    let below = known.children(&id).count();
    if below > 0 {
        let message =
            format!("the term '{}' has narrower ones ({below}); move or remove them first", known.tag(term));
        return Err(ApiError::Unprocessable { code: "not_sound", message });
    }
    Ok(Json(state.change_terms(&[TermChange::Remove(id)], seen, &by).await?.into()))
}

/// Takes a term out, and gives its words, what is below it and what was decided to another term.
#[utoipa::path(post, path = "/api/v1/vocabulary/terms/{id}/merge", tag = "vocabulary",
    params(("id" = String, Path, description = "The id of the term that goes")), request_body = Merge,
    responses(
        (status = 200, description = "The term that stayed", body = TermDetail),
        (status = 400, description = "The body is wrong", body = ErrorBody),
        (status = 404, description = "There is no such term", body = ErrorBody),
        (status = 409, description = "The vocabulary is not as it was seen", body = ErrorBody),
        (status = 422, description = "The vocabulary would not be sound", body = ErrorBody),
    ),
)]
pub async fn merge(
    State(state): State<AppState>,
    Path(id): Path<String>,
    by: Reviewer,
    extract::Json(body): extract::Json<Merge>,
) -> Result<Json<TermDetail>, ApiError> {
    let (from, into): (TermId, TermId) = (shared::id(id)?, shared::id(body.into)?);
    let known = state.seen(body.revision).await?;
    let seen = known.revision;
    let of = |id: &TermId| known.term(id).filter(|term| term.id == *id).cloned().ok_or_else(|| missing(id));
    let (goes, stays) = (of(&from)?, of(&into)?);
    aside(move || known.allows_merge(&goes, &stays)).await?.map_err(not_sound)?;
    state.change_terms(&[TermChange::Merge { from, into: into.clone() }], seen, &by).await?;
    Ok(Json(state.term_detail(&into).await?))
}
