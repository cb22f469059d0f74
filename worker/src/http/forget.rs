//! Forgetting for good: orders with a number, which go on whatever becomes of the request.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::extract::{self, Path, Query};
use super::{ApiError, AppState, wire};
use crate::forget::ForgetError;
use crate::store::{Forget, ForgetRow, ForgetState, Mark, Reviewer, Toll};

/// A request waits so long for its order, so that small ones are done when it is answered.
const WAIT: Duration = Duration::from_secs(1);

/// What is to be forgotten: whatever one of these names. A picture that is named by its places, and also lies elsewhere, stays and
/// loses only these places.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetOrder {
    /// These assets, 1 to 1000.
    #[schema(min_items = 1, max_items = 1000)]
    assets: Option<Vec<String>>,
    /// What lies at or below this absolute path.
    path: Option<String>,
    /// What lies at a place of this owner.
    owner: Option<String>,
    /// Assets that lie nowhere any more.
    #[serde(default)]
    missing: bool,
}

impl ForgetOrder {
    fn what(self) -> Result<Forget, ApiError> {
        let place = wire::place(self.path, self.owner)?;
        Ok(Forget {
            assets: wire::ids("assets", self.assets)?,
            places: place.uri_prefix.into_iter().collect(),
            owner: place.owner,
            missing: self.missing,
        })
    }
}

/// What forgetting takes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ForgetToll {
    /// Assets that go.
    assets: u64,
    /// Places that go.
    places: u64,
    /// Suggestions that go.
    suggestions: u64,
    /// Those of them that are accepted or rejected.
    decisions: u64,
    /// Files that go because docent itself stored them.
    files: u64,
    /// Assets that also lie elsewhere, and only lose places.
    kept: u64,
}

impl From<Toll> for ForgetToll {
    fn from(toll: Toll) -> Self {
        let Toll { assets, places, suggestions, decisions, files, kept } = toll;
        Self { assets, places, suggestions, decisions, files, kept }
    }
}

/// An order to forget. It does not say what was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forgetting {
    /// Its number.
    id: i64,
    /// `open` while portions are left, `clearing` while files and vectors go, then `done`.
    state: String,
    /// What it has removed so far.
    removed: ForgetToll,
    /// The person.
    reviewer: String,
    /// `cli`, `web` or `api`.
    client: String,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339, once it is done.
    finished_at: Option<String>,
}

impl From<ForgetRow> for Forgetting {
    fn from(row: ForgetRow) -> Self {
        let ForgetRow { id, state, toll, reviewer, client, created_at, finished_at } = row;
        let (state, removed) = (state.to_string(), toll.into());
        Self { id, state, removed, reviewer, client, created_at, finished_at }
    }
}

/// A page of the log of forgetting.
#[derive(Debug, Serialize, ToSchema)]
pub struct ForgettingPage {
    /// The orders, newest first.
    orders: Vec<Forgetting>,
    /// Give this as `after` for the next page; null at the end.
    next: Option<String>,
}

/// A picture that does not come back.
#[derive(Debug, Serialize, ToSchema)]
pub struct Barred {
    /// 32 hexadecimal digits, which do not tell the picture.
    mark: String,
    /// The order by which it was forgotten.
    order: i64,
    /// RFC 3339.
    at: String,
}

/// A page of pictures that do not come back.
#[derive(Debug, Serialize, ToSchema)]
pub struct BarredPage {
    /// The marks, newest first.
    marks: Vec<Barred>,
    /// Give this as `after` for the next page; null at the end.
    next: Option<String>,
}

/// Which part of a listing.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListForgotten {
    /// At most this many, 1 to 1000; 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl From<ForgetError> for ApiError {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Nothing => Self::Unprocessable { code: "nothing_named", message: error.to_string() },
            ForgetError::TooMany { .. } => Self::Invalid(error.to_string()),
            ForgetError::Store(error) => error.into(),
            ForgetError::Index(error) => crate::search::SearchError::from(error).into(),
            ForgetError::File { .. } => Self::Unavailable {
                message: "an uploaded file cannot be removed now; docent's log says why".to_owned(),
                source: Some(error.into()),
            },
        }
    }
}

/// Says what an order to forget would remove. It looks at everything that the order names.
#[utoipa::path(post, path = "/api/v1/forget/preview", tag = "forget", request_body = ForgetOrder,
    responses(
        (status = 200, description = "What would go", body = ForgetToll),
        (status = 400, description = "The body is wrong", body = ErrorBody),
        (status = 422, description = "It names nothing", body = ErrorBody),
    ),
)]
pub async fn preview(
    State(state): State<AppState>,
    extract::Json(order): extract::Json<ForgetOrder>,
) -> Result<Json<ForgetToll>, ApiError> {
    Ok(Json(state.forgetter.preview(&order.what()?).await?.into()))
}

/// Forgets pictures for good, with everything that is known of them, and files that were uploaded. Other files stay where they are.
/// This cannot be taken back. A small order is done when this is answered; a large one goes on, and `/api/v1/forget/{id}` tells
/// how far.
#[utoipa::path(post, path = "/api/v1/forget", tag = "forget", request_body = ForgetOrder,
    responses(
        (status = 202, description = "The order", body = Forgetting),
        (status = 400, description = "The body is wrong", body = ErrorBody),
        (status = 422, description = "It names nothing", body = ErrorBody),
    ),
)]
pub async fn post(
    State(state): State<AppState>,
    by: Reviewer,
    extract::Json(order): extract::Json<ForgetOrder>,
) -> Result<(StatusCode, Json<Forgetting>), ApiError> {
    let mut row = state.forgetter.start(order.what()?, by).await?;
    let began = Instant::now();
    while row.state != ForgetState::Done && began.elapsed() < WAIT {
        match state.forgetter.step(Some(row.id)).await {
            Ok(Some(further)) => row = further,
            // Somebody else is at it.
            Ok(None) => {
                row = state.store.forgetting(row.id).await?;
                break;
            }
            // It was begun, and goes on later.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    order = row.id,
                    "forgetting has to wait"
                );
                break;
            }
        }
    }
    Ok((StatusCode::ACCEPTED, Json(row.into())))
}

/// Lists orders to forget, newest first.
#[utoipa::path(get, path = "/api/v1/forget", tag = "forget", params(ListForgotten), responses(
    (status = 200, description = "A page of orders", body = ForgettingPage),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListForgotten>,
) -> Result<Json<ForgettingPage>, ApiError> {
    let listed = state.store.forgettings(&wire::page(query.limit, query.after)?).await?;
    let orders = listed.rows.into_iter().map(Into::into).collect();
    Ok(Json(ForgettingPage { orders, next: listed.next }))
}

/// One order to forget, and how far it is.
#[utoipa::path(get, path = "/api/v1/forget/{id}", tag = "forget",
    params(("id" = i64, Path, description = "The order's number", minimum = 1)),
    responses(
        (status = 200, description = "The order", body = Forgetting),
        (status = 404, description = "There is no such order", body = ErrorBody),
    ),
)]
pub async fn one(State(state): State<AppState>, Path(id): Path<i64>) -> Result<Json<Forgetting>, ApiError> {
    Ok(Json(state.store.forgetting(id).await?.into()))
}

/// Lists pictures that do not come back, newest first.
#[utoipa::path(get, path = "/api/v1/forgotten", tag = "forget", params(ListForgotten), responses(
    (status = 200, description = "A page of marks", body = BarredPage),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
))]
pub async fn barred(
    State(state): State<AppState>,
    Query(query): Query<ListForgotten>,
) -> Result<Json<BarredPage>, ApiError> {
    let listed = state.store.marks(&wire::page(query.limit, query.after)?).await?;
    let mark =
        |row: crate::store::MarkRow| Barred { mark: row.mark.into(), order: row.forgetting, at: row.at };
    Ok(Json(BarredPage { marks: listed.rows.into_iter().map(mark).collect(), next: listed.next }))
}

/// Lets a forgotten picture in again. It comes back when it is found or uploaded.
#[utoipa::path(delete, path = "/api/v1/forgotten/{id}", tag = "forget",
    params(("id" = String, Path, description = "The picture's mark")),
    responses(
        (status = 204, description = "It may come back"),
        (status = 404, description = "There is no such mark", body = ErrorBody),
    ),
)]
pub async fn readmit(State(state): State<AppState>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let mark: Mark = wire::id(id)?;
    match state.store.readmit(&mark).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::NotFound(format!("mark {mark} does not exist"))),
    }
}
