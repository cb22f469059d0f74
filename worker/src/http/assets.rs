//! Assets and what is said about each.

use axum::Json;
use axum::extract::State;
use docent_pipelines::AssetId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::extract::{Path, Query};
use super::suggestions::SuggestionPage;
use super::{ApiError, AppState, wire};
use crate::store::{Arrangement, AssetFilter, AssetRow, SuggestionFilter};

/// One content, wherever it lies.
#[derive(Debug, Serialize, ToSchema)]
pub struct Asset {
    /// 32 hexadecimal digits.
    asset_id: String,
    /// BLAKE3 of its bytes.
    content_hash: String,
    /// Size in bytes.
    bytes: u64,
    /// Upright width in pixels, once decoded.
    width: Option<u32>,
    /// Upright height in pixels, once decoded.
    height: Option<u32>,
    /// Format, once decoded.
    format: Option<String>,
    /// What is wrong with the file although its picture is whole, in a few words each.
    tolerated: Vec<String>,
    /// Every place it was found at.
    uris: Vec<String>,
    /// Everybody whose it is at one of them.
    owners: Vec<String>,
    /// Pending suggestions, without proposals.
    pending: u64,
    /// Accepted tags.
    accepted_tags: Vec<String>,
}

/// A page of assets.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetPage {
    /// The assets, in the order asked for. There may be fewer than asked for, even none, although more follow: where few pass the
    /// filters, a page ends when enough was looked at.
    assets: Vec<Asset>,
    /// Give this as `after` for the next page; null at the end, and only there.
    next: Option<String>,
}

/// Which assets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAssets {
    /// With a pending or accepted tag of this value.
    tag: Option<String>,
    /// With a suggestion of this kind. What is asked by kind, status and confidence must be true of one suggestion,
    /// which is pending or accepted where no status is asked for.
    kind: Option<wire::Kind>,
    /// Whether proposals do not count where no kind is asked for.
    #[serde(default)]
    no_proposals: bool,
    /// With a suggestion in this status.
    status: Option<wire::Status>,
    /// With a suggestion of at least this confidence.
    #[param(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
    /// With a path under this absolute path.
    path: Option<String>,
    /// With a path of this owner, the same path where both are given.
    owner: Option<String>,
    /// Only assets that can be looked at: they are still at a path, and were not found to be undecodable.
    #[serde(default)]
    viewable: bool,
    /// In which order; newest first where not given. In the others assets that are at no path any more are left out.
    order: Option<Order>,
    /// At most this many, 1 to 1000; 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// In which order assets are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    /// Those first that docent met last.
    Newest,
    /// By folder and name of the first path.
    Place,
    /// By the time at which the file at the first path was changed last, newest first.
    Date,
}

impl Order {
    /// Whether a listing in this order can go on at `after`.
    fn check(self, after: &str) -> Result<(), ApiError> {
        let of = match after {
            after if after.starts_with(r#"["place""#) => Self::Place,
            after if after.starts_with(r#"["date""#) => Self::Date,
            _ => Self::Newest,
        };
        if of == self {
            return Ok(());
        }
        let message =
            format!("after '{after}' ended a page of a listing in another order; ask for that order");
        Err(ApiError::Unprocessable { code: "other_order", message })
    }
}

/// Which part of an asset's suggestions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// At most this many, 1 to 1000; 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before.
    after: Option<String>,
}

impl From<AssetRow> for Asset {
    fn from(row: AssetRow) -> Self {
        Self {
            asset_id: row.asset_id.into(),
            content_hash: row.content_hash,
            bytes: row.bytes,
            width: row.width,
            height: row.height,
            format: row.format,
            tolerated: row.tolerated,
            uris: row.uris,
            owners: row.owners,
            pending: row.pending,
            accepted_tags: row.accepted_tags,
        }
    }
}

/// Lists assets, newest first or in another order.
#[utoipa::path(get, path = "/api/v1/assets", tag = "assets", params(ListAssets), responses(
    (status = 200, description = "A page of assets", body = AssetPage),
    (status = 400, description = "A parameter is wrong", body = ErrorBody),
    (status = 422, description = "`after` comes from a listing in another order", body = ErrorBody),
))]
pub async fn list(
    State(state): State<AppState>,
    Query(query): Query<ListAssets>,
) -> Result<Json<AssetPage>, ApiError> {
    let filter = AssetFilter {
        tag: query.tag,
        kind: query.kind.map(Into::into),
        no_proposals: query.no_proposals,
        place: wire::place(query.path, query.owner)?,
        status: query.status.map(Into::into),
        min_confidence: query.min_confidence.map(wire::confidence).transpose()?,
        viewable: query.viewable,
    };
    let order = query.order.unwrap_or_default();
    if let Some(after) = &query.after {
        order.check(after)?;
    }
    let page = wire::page(query.limit, query.after)?;
    let listed = match order {
        Order::Newest => state.store.list_assets(&filter, &page).await?,
        Order::Place => state.store.arranged(&filter, Arrangement::Place, &page).await?,
        Order::Date => state.store.arranged(&filter, Arrangement::Date, &page).await?,
    };
    Ok(Json(AssetPage { assets: listed.rows.into_iter().map(Into::into).collect(), next: listed.next }))
}

/// One asset.
#[utoipa::path(get, path = "/api/v1/assets/{id}", tag = "assets",
    params(("id" = String, Path, description = "The asset's id")),
    responses(
        (status = 200, description = "The asset", body = Asset),
        (status = 404, description = "There is no such asset", body = ErrorBody),
    ),
)]
pub async fn one(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<Asset>, ApiError> {
    let id: AssetId = wire::id(id)?;
    Ok(Json(state.store.asset(&id).await?.into()))
}

/// Everything that is said about one asset, whatever became of it.
#[utoipa::path(get, path = "/api/v1/assets/{id}/suggestions", tag = "assets",
    params(("id" = String, Path, description = "The asset's id"), Part),
    responses(
        (status = 200, description = "A page of suggestions", body = SuggestionPage),
        (status = 404, description = "There is no such asset", body = ErrorBody),
    ),
)]
pub async fn suggestions(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<SuggestionPage>, ApiError> {
    let id: AssetId = wire::id(id)?;
    state.store.asset(&id).await?;
    let filter = SuggestionFilter { asset: Some(id), ..SuggestionFilter::default() };
    let listed = state.store.suggestions(&filter, &wire::page(part.limit, part.after)?).await?;
    Ok(Json(SuggestionPage::with_paths(listed, &*state.store.vocabulary().await?)))
}
