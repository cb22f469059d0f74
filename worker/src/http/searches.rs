//! Search by words, in meaning and in texts, and more of the same.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use docent_pipelines::AssetId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::extract::{Path, Query};
use super::{ApiError, AppState, wire};
use crate::search::{By, ByWords, Hits, Matches, Search, SearchError, Unasked, by_words};
use crate::store::AssetFilter;

/// Hits where the request does not say.
const DEFAULT_HITS: usize = 20;
/// The longest text to look for.
const MAX_CHARS: usize = 500;
/// The most hits of a search.
const MAX_HITS: usize = 1000;

/// What the API needs of a search.
#[async_trait]
pub trait Searcher: Send + Sync {
    /// The `k` assets nearest to `words`, best first.
    async fn by_words(&self, words: &str, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError>;
    /// The languages that words are understood in, by their BCP 47 tags.
    async fn languages(&self) -> Result<Vec<String>, SearchError>;
    /// The `k` assets most like `asset`, best first, without itself.
    async fn by_asset(&self, asset: &AssetId, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError>;
    /// Whether the index can be reached now.
    async fn ping(&self) -> Result<(), SearchError>;
}

#[async_trait]
impl Searcher for Search {
    async fn by_words(&self, words: &str, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError> {
        Search::by_words(self, words, k, filter).await
    }

    async fn languages(&self) -> Result<Vec<String>, SearchError> {
        Search::languages(self).await
    }

    async fn by_asset(&self, asset: &AssetId, k: usize, filter: &AssetFilter) -> Result<Hits, SearchError> {
        Search::by_asset(self, asset, k, filter).await
    }

    async fn ping(&self) -> Result<(), SearchError> {
        Search::ping(self).await
    }
}

/// What a picture was found by.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchedBy {
    /// Somebody accepted it as the term that was asked for, or as a narrower one.
    Term,
    /// What it shows.
    Meaning,
    /// The words in it.
    Text,
}

impl From<By> for SearchedBy {
    fn from(by: By) -> Self {
        match by {
            By::Term => Self::Term,
            By::Meaning => Self::Meaning,
            By::Text => Self::Text,
        }
    }
}

impl From<SearchedBy> for By {
    fn from(by: SearchedBy) -> Self {
        match by {
            SearchedBy::Term => Self::Term,
            SearchedBy::Meaning => Self::Meaning,
            SearchedBy::Text => Self::Text,
        }
    }
}

/// A part of a text that was read in a picture.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchExcerpt {
    /// The suggestion whose value the text is.
    suggestion_id: String,
    /// The part, in one line, at most 162 characters.
    text: String,
    /// Where in it the words are: for each the first character and the one behind its last, counted in Unicode characters
    /// from 0.
    places: Vec<[usize; 2]>,
}

/// One asset that was found by words.
#[derive(Debug, Serialize, ToSchema)]
pub struct WordHit {
    /// The asset.
    asset_id: String,
    /// One of its places.
    uri: String,
    /// Cosine similarity of words and picture, -1 to 1; missing where its text alone was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    /// Whether it is a weak hit: its score is below `weak_from`, and no text was found.
    weak: bool,
    /// What it was found by: one or both.
    matched: Vec<SearchedBy>,
    /// Its text that fits best, where it was found by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<SearchExcerpt>,
}

/// What was found by words.
#[derive(Debug, Serialize, ToSchema)]
pub struct WordHits {
    /// Best first.
    hits: Vec<WordHit>,
    /// Whether no more than these are to be had. Otherwise the filters pass so few of what was found that looking for more was
    /// given up: what is here is right, and there may be more.
    complete: bool,
    /// Hits whose score is below this are weak: chance gives such scores to pictures that do not fit. Missing where meaning was
    /// not searched, or too few pictures are there to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    weak_from: Option<f32>,
    /// The name of the vocabulary's term that was asked for, if the words are one. Pictures that were accepted as it come first.
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<String>,
    /// The languages in which the search by meaning understands words, by their BCP 47 tags. Texts are found in any language.
    languages: Vec<String>,
    /// What was searched by. Without a model for meaning, texts alone are.
    searched: Vec<SearchedBy>,
}

/// One asset that was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchHit {
    /// The asset.
    asset_id: String,
    /// One of its places.
    uri: String,
    /// Cosine similarity, -1 to 1.
    score: f32,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchHits {
    /// Best first.
    hits: Vec<SearchHit>,
    /// Whether no more than these are to be had. Otherwise the filters pass so few of the nearest pictures that looking
    /// for more was given up: what is here is right, and more would pass further away.
    complete: bool,
}

/// What to look for by words.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ByQuery {
    /// The words. In texts all of them must be found, those in double quotes one after the other; other signs mean nothing.
    /// Parts of longer words are found by `by=text`, after whole words.
    #[param(pattern = r"\S", min_length = 1, max_length = 500)]
    q: String,
    /// Only by this; by both where not given.
    by: Option<SearchedBy>,
    /// Whether the last word may go on, as while it is typed; for texts only.
    #[serde(default)]
    unfinished: bool,
    /// At most this many hits, 1 to 1000; 20 where not given.
    #[param(minimum = 1, maximum = 1000)]
    k: Option<usize>,
    /// Only assets with a pending or accepted tag of this value.
    tag: Option<String>,
    /// Only assets with a suggestion of this kind; kind, status and confidence as in the listing of assets.
    kind: Option<wire::Kind>,
    /// Whether proposals do not count where no kind is asked for.
    #[serde(default)]
    no_proposals: bool,
    /// Only assets with a suggestion in this status.
    status: Option<wire::Status>,
    /// Only assets with a suggestion of at least this confidence.
    #[param(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
    /// Only assets with a path under this absolute path.
    path: Option<String>,
    /// Only assets with a path of this owner, the same path where both are given.
    owner: Option<String>,
    /// Only assets that can be looked at: they are still at a path, and were not found to be undecodable.
    #[serde(default)]
    viewable: bool,
}

/// What to look for by likeness.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ByAsset {
    /// At most this many hits, 1 to 1000; 20 where not given.
    #[param(minimum = 1, maximum = 1000)]
    k: Option<usize>,
    /// Only assets with a pending or accepted tag of this value.
    tag: Option<String>,
    /// Only assets with a suggestion of this kind; kind, status and confidence as in the listing of assets.
    kind: Option<wire::Kind>,
    /// Whether proposals do not count where no kind is asked for.
    #[serde(default)]
    no_proposals: bool,
    /// Only assets with a suggestion in this status.
    status: Option<wire::Status>,
    /// Only assets with a suggestion of at least this confidence.
    #[param(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
    /// Only assets with a path under this absolute path.
    path: Option<String>,
    /// Only assets with a path of this owner, the same path where both are given.
    owner: Option<String>,
    /// Only assets that can be looked at: they are still at a path, and were not found to be undecodable.
    #[serde(default)]
    viewable: bool,
}

fn hits(found: Hits) -> Json<SearchHits> {
    let hits = found
        .hits
        .into_iter()
        .map(|hit| SearchHit { asset_id: hit.asset_id.into(), uri: hit.uri, score: hit.score })
        .collect();
    Json(SearchHits { hits, complete: found.complete })
}

fn wanted_hits(k: Option<usize>) -> Result<usize, ApiError> {
    let k = k.unwrap_or(DEFAULT_HITS);
    if (1..=MAX_HITS).contains(&k) {
        Ok(k)
    } else {
        Err(ApiError::Invalid(format!("k is {k}, not 1 to {MAX_HITS}")))
    }
}

/// Assets that fit words, by what they show and by the words in them.
#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(ByQuery), responses(
    (status = 200, description = "The best hits", body = WordHits),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
    (status = 422, description = "Only meaning was asked for, and the model for it is not installed; or only texts, for too many words", body = ErrorBody),
))]
pub async fn words(
    State(state): State<AppState>,
    Query(query): Query<ByQuery>,
) -> Result<Json<WordHits>, ApiError> {
    if query.q.trim().is_empty() {
        return Err(ApiError::Invalid("q holds no words".to_owned()));
    }
    if query.q.chars().count() > MAX_CHARS {
        return Err(ApiError::Invalid(format!("q has more than {MAX_CHARS} characters")));
    }
    let filter = AssetFilter {
        tag: query.tag,
        kind: query.kind.map(Into::into),
        no_proposals: query.no_proposals,
        place: wire::place(query.path, query.owner)?,
        status: query.status.map(Into::into),
        min_confidence: query.min_confidence.map(wire::confidence).transpose()?,
        viewable: query.viewable,
    };
    let by = query.by.map(Into::into);
    let question = ByWords {
        words: query.q.trim_start(),
        unfinished: query.unfinished,
        by,
        k: wanted_hits(query.k)?,
        filter: &filter,
    };
    let (search, passing) = (&state.search, &filter);
    let meaning = |words: String, k| async move { search.by_words(words.trim(), k, passing).await };
    let found = match by_words(&*state.store, question, meaning).await {
        // No text has no words.
        Err(SearchError::Unasked(Unasked::Nothing)) => {
            Matches { hits: Vec::new(), complete: true, weak_from: None, term: None, without_meaning: None }
        }
        found => found?,
    };
    let languages = match state.search.languages().await {
        Err(SearchError::NoModel(_)) => Vec::new(),
        languages => languages?,
    };
    Ok(word_hits(found, by, languages))
}

fn word_hits(found: Matches, by: Option<By>, languages: Vec<String>) -> Json<WordHits> {
    let searched = match (by, found.without_meaning) {
        (Some(by), _) => vec![by.into()],
        (None, Some(_)) => vec![SearchedBy::Text],
        (None, None) => vec![SearchedBy::Meaning, SearchedBy::Text],
    };
    let term = found.term;
    let hits = found
        .hits
        .into_iter()
        .map(|hit| WordHit {
            asset_id: hit.asset_id.into(),
            uri: hit.uri,
            score: hit.score,
            weak: hit.weak,
            matched: hit.matched.into_iter().map(Into::into).collect(),
            text: hit.text.map(|excerpt| SearchExcerpt {
                suggestion_id: excerpt.suggestion_id.into(),
                text: excerpt.text,
                places: excerpt.places.into_iter().map(|(from, to)| [from, to]).collect(),
            }),
        })
        .collect();
    Json(WordHits { hits, complete: found.complete, weak_from: found.weak_from, term, languages, searched })
}

/// Assets that look like one.
#[utoipa::path(get, path = "/api/v1/assets/{id}/similar", tag = "search",
    params(("id" = String, Path, description = "The asset's id"), ByAsset),
    responses(
        (status = 200, description = "The best hits, without the asset itself", body = SearchHits),
        (status = 404, description = "There is no such asset", body = ErrorBody),
        (status = 422, description = "The asset has no embedding yet", body = ErrorBody),
    ),
)]
pub async fn similar(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(query): Query<ByAsset>,
) -> Result<Json<SearchHits>, ApiError> {
    let id: AssetId = wire::id(id)?;
    state.store.asset(&id).await?;
    let filter = AssetFilter {
        tag: query.tag,
        kind: query.kind.map(Into::into),
        no_proposals: query.no_proposals,
        place: wire::place(query.path, query.owner)?,
        status: query.status.map(Into::into),
        min_confidence: query.min_confidence.map(wire::confidence).transpose()?,
        viewable: query.viewable,
    };
    Ok(hits(state.search.by_asset(&id, wanted_hits(query.k)?, &filter).await?))
}
