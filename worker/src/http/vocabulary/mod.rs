//! The vocabulary: what is in it, and how it came to be so.

pub mod change;
pub mod files;
mod index;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use docent_pipelines::vocabulary::{Term, TermId, folded};
pub use index::Index;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::{LogEntry, TermDetail, TermRow};

use super::error::ErrorBody;
use super::extract::{Path, Query};
use super::{ApiError, AppState, wire as shared};
use crate::terms::{Applied, TermsError};

/// The longest text to look for.
const MAX_CHARS: usize = 500;
/// The terms that have nothing above them.
const TOP: &str = "top";

/// The index of the revision that was asked for last.
#[derive(Default)]
pub struct Indexed(Mutex<Option<Arc<Index>>>);

/// How the vocabulary stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct VocabularySummary {
    /// Grows with every change.
    revision: i64,
    /// The language whose names become tags.
    language: String,
    /// How many terms there are.
    terms: u64,
    /// How far they are applied to pictures; missing where this process applies none.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<TermsApplied>,
}

/// How far the terms are.
#[derive(Debug, Serialize, ToSchema)]
pub struct TermsApplied {
    /// Terms with a rule in the searched space.
    terms: u64,
    /// Terms that are not yet applied to every picture.
    behind: u64,
    /// Pictures that the last of them was applied to, as far as numbers of vectors tell …
    done: u64,
    /// … of so many.
    of: u64,
}

impl From<Applied> for TermsApplied {
    fn from(applied: Applied) -> Self {
        let Applied { terms, behind, done, of } = applied;
        Self { terms, behind, done, of }
    }
}

/// A page of terms.
#[derive(Debug, Serialize, ToSchema)]
pub struct TermPage {
    /// The vocabulary's revision.
    revision: i64,
    /// How many terms there are on all pages.
    count: u64,
    /// The terms: by their names, or those that fit best first.
    terms: Vec<TermRow>,
    /// Give this as `after` for the next page; null at the end.
    next: Option<String>,
}

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogPage {
    /// The entries, newest first.
    entries: Vec<LogEntry>,
    /// Give this as `after` for the next page; null at the end.
    next: Option<String>,
}

/// Which terms.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTerms {
    /// Only those directly below this term, or `top` for those that have nothing above them. Not together with `q`.
    parent: Option<String>,
    /// Only those of which each of these words begins a word, in any language.
    #[param(pattern = r"\S", min_length = 1, max_length = 500)]
    q: Option<String>,
    /// At most this many, 1 to 1000; 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Which part of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListLog {
    /// Only of this term.
    term: Option<String>,
    /// At most this many, 1 to 1000; 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

fn missing(id: &TermId) -> ApiError {
    ApiError::NotFound(format!("term {id} does not exist"))
}

impl From<TermsError> for ApiError {
    fn from(error: TermsError) -> Self {
        match error {
            TermsError::Store(error) => error.into(),
            TermsError::Search(error) => error.into(),
            TermsError::Heads(_) => Self::Internal(error.into()),
        }
    }
}

impl AppState {
    /// The vocabulary as it is now.
    async fn index(&self) -> Result<Arc<Index>, ApiError> {
        let known = self.store.vocabulary().await?;
        let kept = self.indexed.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = kept.filter(|kept| Arc::ptr_eq(&kept.known, &known)) {
            return Ok(kept);
        }
        let made = aside(move || Arc::new(Index::new(known))).await?;
        *self.indexed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok(made)
    }

    /// One term with what is around it.
    async fn term_detail(&self, id: &TermId) -> Result<TermDetail, ApiError> {
        let known = self.store.vocabulary().await?;
        let term = known.term(id).ok_or_else(|| missing(id))?;
        let mut below: Vec<&Term> = known.children(&term.id).collect();
        below.sort_by_cached_key(|term| (folded(known.tag(term)), term.id.clone()));
        let mut detail = TermDetail::of(&known, term, &below);
        if let Some(terms) = &self.terms {
            detail.source = terms.sources(std::slice::from_ref(&term.id)).await?.remove(&term.id);
        }
        Ok(detail)
    }
}

/// Does what takes a moment where nobody else has to wait for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::Internal(error.into()))
}

/// The vocabulary's revision, language and size, and how far its terms are applied.
#[utoipa::path(get, path = "/api/v1/vocabulary", tag = "vocabulary", responses(
    (status = 200, description = "How it stands", body = VocabularySummary),
))]
pub async fn summary(State(state): State<AppState>) -> Result<Json<VocabularySummary>, ApiError> {
    let known = state.store.vocabulary().await?;
    let applied = match &state.terms {
        Some(terms) => Some(terms.applied().await?.into()),
        None => None,
    };
    Ok(Json(VocabularySummary {
        revision: known.revision,
        language: known.language.to_string(),
        terms: known.terms().len() as u64,
        applied,
    }))
}

/// Terms below a term, or by their words, or all of them.
#[utoipa::path(get, path = "/api/v1/vocabulary/terms", tag = "vocabulary", params(ListTerms), responses(
    (status = 200, description = "A page of terms", body = TermPage),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
    (status = 404, description = "There is no such broader term", body = ErrorBody),
    (status = 422, description = "`parent` and `q` are both given", body = ErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListTerms>,
) -> Result<Json<TermPage>, ApiError> {
    let page = shared::page(query.limit, query.after)?;
    let begin = match &page.after {
        None => 0,
        Some(after) => after.parse::<u32>().map_err(|_| {
            ApiError::Invalid(format!("'{after}' is not where a page ended; begin again without 'after'"))
        })? as usize,
    };
    if query.parent.is_some() && query.q.is_some() {
        let message = "parent and q are both given; give one of them".to_owned();
        return Err(ApiError::Unprocessable { code: "contradictory", message });
    }
    let index = state.index().await?;
    let found: Vec<&Term> = match (query.parent, &query.q) {
        (_, Some(words)) => asked(&index, words)?,
        (Some(parent), _) if parent == TOP => index.top(),
        (Some(parent), _) => {
            let parent: TermId = shared::id(parent)?;
            let parent = index.known.term(&parent).ok_or_else(|| missing(&parent))?;
            index.below(&parent.id)
        }
        (None, None) => index.all(),
    };
    let count = found.len();
    let end = begin.saturating_add(page.limit as usize).min(count);
    let part = found.get(begin..end).unwrap_or_default();
    let mut terms: Vec<TermRow> = part.iter().map(|term| TermRow::of(&index.known, term)).collect();
    if let Some(matching) = &state.terms
        && !part.is_empty()
    {
        let ids: Vec<TermId> = part.iter().map(|term| term.id.clone()).collect();
        let mut sources = matching.sources(&ids).await?;
        for (row, id) in terms.iter_mut().zip(&ids) {
            row.source = sources.remove(id);
        }
    }
    let next = (end < count && !part.is_empty()).then(|| end.to_string());
    Ok(Json(TermPage { revision: index.known.revision, count: count as u64, terms, next }))
}

fn asked<'a>(index: &'a Index, words: &str) -> Result<Vec<&'a Term>, ApiError> {
    if words.trim().is_empty() {
        return Err(ApiError::Invalid("q holds no words".to_owned()));
    }
    if words.chars().count() > MAX_CHARS {
        return Err(ApiError::Invalid(format!("q has more than {MAX_CHARS} characters")));
    }
    Ok(index.with_words(words))
}

/// One term with what is broader and narrower. The id of a term that was merged leads to the one that stayed.
#[utoipa::path(get, path = "/api/v1/vocabulary/terms/{id}", tag = "vocabulary",
    params(("id" = String, Path, description = "The term's id")),
    responses(
        (status = 200, description = "The term", body = TermDetail),
        (status = 404, description = "There is no such term", body = ErrorBody),
    ),
)]
pub async fn one(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<TermDetail>, ApiError> {
    Ok(Json(state.term_detail(&shared::id(id)?).await?))
}

/// Who changed which terms, newest first.
#[utoipa::path(get, path = "/api/v1/vocabulary/log", tag = "vocabulary", params(ListLog), responses(
    (status = 200, description = "A page of the log", body = LogPage),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
))]
pub async fn log(
    State(state): State<AppState>,
    Query(query): Query<ListLog>,
) -> Result<Json<LogPage>, ApiError> {
    let term: Option<TermId> = query.term.map(shared::id).transpose()?;
    let page = shared::page(query.limit, query.after)?;
    let listed = state.store.term_log(term.as_ref(), &page).await?;
    Ok(Json(LogPage { entries: listed.rows.into_iter().map(Into::into).collect(), next: listed.next }))
}
