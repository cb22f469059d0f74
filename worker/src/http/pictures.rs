//! Pictures as the page shows them: upright, small enough, JPEG.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use docent_pipelines::AssetId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ErrorBody;
use super::extract::{Path, Query};
use super::{ApiError, AppState, wire};

/// The longer side of a thumbnail: twice the page's cell, for screens with two pixels to one.
const THUMBNAIL_SIDE: u32 = 320;
/// The longer side of a picture where the request does not say.
const DEFAULT_SIDE: u32 = 1600;
/// The sizes that may be asked for.
const SIDES: std::ops::RangeInclusive<u32> = 64..=4096;
/// Changes whenever the same asset would be rendered differently.
const RENDERING: u32 = 1;
/// A rendering changes only with the orientation of its file; the page may keep it for a while, shared caches may not.
const CACHE_CONTROL: &str = "private, max-age=60";

/// How large.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Size {
    /// The longer side in pixels, 64 to 4096; 1600 where not given. Smaller pictures are not enlarged.
    #[param(minimum = 64, maximum = 4096)]
    side: Option<u32>,
}

/// The picture, upright, as JPEG.
#[utoipa::path(get, path = "/api/v1/assets/{id}/picture", tag = "assets",
    params(("id" = String, Path, description = "The asset's id"), Size),
    responses(
        (status = 200, description = "The picture", content_type = "image/jpeg", body = Vec<u8>),
        (status = 304, description = "The client has it"),
        (status = 404, description = "There is no such asset, or its file is gone", body = ErrorBody),
        (status = 410, description = "It was forgotten", body = ErrorBody),
        (status = 422, description = "It cannot be decoded", body = ErrorBody),
    ),
)]
pub async fn picture(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(size): Query<Size>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let side = size.side.unwrap_or(DEFAULT_SIDE);
    if !SIDES.contains(&side) {
        return Err(ApiError::Invalid(format!("side is {side}, not {} to {}", SIDES.start(), SIDES.end())));
    }
    rendered(&state, wire::id(id)?, side, &headers).await
}

/// The picture, upright, as a JPEG of at most 320 pixels.
#[utoipa::path(get, path = "/api/v1/assets/{id}/thumbnail", tag = "assets",
    params(("id" = String, Path, description = "The asset's id")),
    responses(
        (status = 200, description = "The thumbnail", content_type = "image/jpeg", body = Vec<u8>),
        (status = 304, description = "The client has it"),
        (status = 404, description = "There is no such asset, or its file is gone", body = ErrorBody),
        (status = 410, description = "It was forgotten", body = ErrorBody),
        (status = 422, description = "It cannot be decoded", body = ErrorBody),
    ),
)]
pub async fn thumbnail(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    rendered(&state, wire::id(id)?, THUMBNAIL_SIDE, &headers).await
}

async fn rendered(
    state: &AppState,
    id: AssetId,
    side: u32,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    state.renderings.is_known(&id).await?;
    let asset = state.store.asset(&id).await?;
    let tag = format!("\"{id}-{side}-{}-{RENDERING}\"", asset.orientation.unwrap_or_default());
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag);
    let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, CACHE_CONTROL.to_owned())];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let jpeg = state.renderings.render(&asset, side).await?;
    Ok((caching, [(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response())
}
