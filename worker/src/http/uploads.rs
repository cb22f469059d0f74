//! Pictures that are handed over.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use docent_pipelines::{AssetId, Owner, Status};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::extract::{Path, Query};
use super::suggestions::Suggestion;
use super::{ApiError, AppState, wire};
use crate::store::{Page, SuggestionFilter};
use crate::uploads::{Incoming, Placing, Taken, UploadError, Uploads};

/// Files of one request.
const MAX_FILES: usize = 64;
/// The longest that a request waits for suggestions, in seconds.
const MAX_WAIT: u32 = 300;
/// A client that sends nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(30);
/// While a request waits, the ledger is asked so often.
const LOOK: Duration = Duration::from_millis(100);
/// Suggestions of one asset that are told.
const TOLD: u32 = 1000;
/// The field that holds a file.
const FIELD: &str = "file";

/// How pictures are taken in.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Upload {
    /// Whose the pictures are.
    owner: Option<String>,
    /// Wait so many seconds at most for the suggestions, 0 to 300; 0 where not given.
    #[param(minimum = 0, maximum = 300)]
    wait: Option<u32>,
}

/// Files to be taken in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the document needs it")]
pub struct UploadForm {
    /// The files, up to 64.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 64)]
    file: Vec<Vec<u8>>,
}

/// What was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadedAssets {
    /// One for each file, in the order of the request.
    assets: Vec<UploadedAsset>,
}

/// An asset that a file is.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadedAsset {
    /// 32 hexadecimal digits.
    asset_id: String,
    /// Where it lies.
    uri: String,
    /// Whether nothing was known of this content before.
    created: bool,
    /// Whether everything is known that there is to know, as far as the request waited for it.
    analyzed: bool,
    /// What is pending or accepted, as far as the request waited for it.
    suggestions: Vec<Suggestion>,
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let code = match error {
            UploadError::TooLarge { .. } => return Self::FileTooLarge(error.to_string()),
            UploadError::Forgotten { .. } => return Self::Forgotten(error.to_string()),
            UploadError::Empty { .. } => "empty",
            UploadError::NotAPicture { .. } => "not_a_picture",
            UploadError::Name { .. } => "name",
            UploadError::Busy => return Self::Unavailable { message: error.to_string(), source: None },
            UploadError::Folder(source) => {
                let message = "the folder of uploads cannot be written; docent's log says why".to_owned();
                return Self::Unavailable { message, source: Some(source.into()) };
            }
            UploadError::Store(error) => return error.into(),
        };
        Self::Unprocessable { code, message: error.to_string() }
    }
}

impl AppState {
    fn uploads(&self) -> Result<&Uploads, ApiError> {
        self.uploads.as_deref().ok_or_else(|| {
            let message = "this server takes no pictures in: assets.uploads names no folder";
            ApiError::Forbidden(message.to_owned())
        })
    }

    /// Waits for what is said of pictures, and tells it.
    async fn told(&self, taken: Vec<Taken>, wait: u32) -> Result<UploadedAssets, ApiError> {
        let uploads = self.uploads()?;
        let deadline = Instant::now() + Duration::from_secs(u64::from(wait));
        let ids: Vec<AssetId> = taken.iter().map(|taken| taken.asset.clone()).collect();
        let mut waiting = uploads.waiting(&ids).await?;
        while !waiting.is_empty() && Instant::now() + LOOK <= deadline {
            tokio::time::sleep(LOOK).await;
            waiting = uploads.waiting(&ids).await?;
        }
        if wait > 0
            && let Some(terms) = &self.terms
        {
            // What the vocabulary says of them follows from what was recorded.
            let never = CancellationToken::new();
            let applied = timeout_at(deadline, terms.catch_up(&never, |_| {}));
            match applied.await {
                Ok(applied) => applied?,
                Err(_) => waiting.clone_from(&ids),
            }
        }
        let mut assets = Vec::with_capacity(taken.len());
        for Taken { asset, uri, created } in taken {
            let suggestions = if wait == 0 { Vec::new() } else { self.said(&asset).await? };
            let analyzed = !waiting.contains(&asset);
            assets.push(UploadedAsset { asset_id: asset.into(), uri, created, analyzed, suggestions });
        }
        Ok(UploadedAssets { assets })
    }

    async fn said(&self, asset: &AssetId) -> Result<Vec<Suggestion>, ApiError> {
        let filter = SuggestionFilter { asset: Some(asset.clone()), ..SuggestionFilter::default() };
        let listed = self.store.suggestions(&filter, &Page { limit: TOLD, after: None }).await?;
        let stands = |status| matches!(status, Status::Pending | Status::Accepted);
        Ok(listed.rows.into_iter().filter(|row| stands(row.status)).map(Into::into).collect())
    }
}

impl Upload {
    fn check(self) -> Result<(Option<Owner>, u32), ApiError> {
        let wait = self.wait.unwrap_or(0);
        if wait > MAX_WAIT {
            return Err(ApiError::Invalid(format!("wait is {wait}, not 0 to {MAX_WAIT}")));
        }
        Ok((wire::place(None, self.owner)?.owner, wait))
    }
}

/// The next part of a body, unless it breaks off, or its client is silent for too long.
async fn next<T, E: std::fmt::Display>(
    part: impl Future<Output = Result<Option<T>, E>>,
) -> Result<Option<T>, ApiError> {
    match timeout(SILENCE, part).await {
        Ok(part) => part.map_err(|error| ApiError::Invalid(format!("the body cannot be read: {error}"))),
        Err(_) => Err(ApiError::Invalid(format!("nothing came for {} s", SILENCE.as_secs()))),
    }
}

/// Answers 201 if something is new.
fn answer(told: UploadedAssets) -> Response {
    let created = told.assets.iter().any(|asset| asset.created);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let location = match told.assets.as_slice() {
        [one] => HeaderValue::try_from(format!("/api/v1/assets/{}", one.asset_id)).ok(),
        _ => None,
    };
    let mut response = (status, Json(told)).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Takes pictures in. Either all files of a request are taken or none; the same content twice is one asset.
#[utoipa::path(post, path = "/api/v1/assets", tag = "assets", params(Upload),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "All of it was known before", body = UploadedAssets),
        (status = 201, description = "Something was new", body = UploadedAssets),
        (status = 400, description = "A parameter or the body is wrong, or the body broke off", body = ErrorBody),
        (status = 403, description = "This server takes no pictures in", body = ErrorBody),
        (status = 410, description = "A picture was forgotten, and is not taken in again", body = ErrorBody),
        (status = 413, description = "A file is too large", body = ErrorBody),
        (status = 422, description = "A file is empty or no picture", body = ErrorBody),
        (status = 503, description = "Too many uploads at once, or the folder cannot be written", body = ErrorBody),
    ),
)]
pub async fn post(
    State(state): State<AppState>,
    Query(query): Query<Upload>,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Response, ApiError> {
    let (owner, wait) = query.check()?;
    let uploads = state.uploads()?;
    let mut form = form.map_err(|refusal| ApiError::Invalid(refusal.body_text()))?;
    let turn = uploads.turn().await?;
    let mut files: Vec<Incoming> = Vec::new();
    while let Some(mut field) = next(form.next_field()).await? {
        if field.name() != Some(FIELD) {
            let name = field.name().unwrap_or_default();
            return Err(ApiError::Invalid(format!(
                "the form has a field '{name}'; files are in fields 'file'"
            )));
        }
        if files.len() == MAX_FILES {
            return Err(ApiError::Invalid(format!("the form has more than {MAX_FILES} files")));
        }
        let name = field.file_name().unwrap_or_default().to_owned();
        let mut file = uploads.begin(&name, None).await?;
        while let Some(chunk) = next(field.chunk()).await? {
            file.write(&chunk).await?;
        }
        files.push(file);
    }
    if files.is_empty() {
        return Err(ApiError::Invalid("the form has no field 'file'".to_owned()));
    }
    let mut taken = Vec::with_capacity(files.len());
    for file in uploads.complete(files).await? {
        taken.push(uploads.take(file, owner.clone(), Placing::ByContent).await?);
    }
    drop(turn);
    Ok(answer(state.told(taken, wait).await?))
}

/// Takes one picture in under a name. Another content that is sent to the same name takes its place.
#[utoipa::path(put, path = "/api/v1/assets/by-name/{name}", tag = "assets",
    params(("name" = String, Path, description = "The file's name"), Upload),
    request_body(content = String, content_type = "application/octet-stream", description = "The file"),
    responses(
        (status = 200, description = "It was known before", body = UploadedAssets),
        (status = 201, description = "It is new", body = UploadedAssets),
        (status = 400, description = "A parameter is wrong, or the body broke off", body = ErrorBody),
        (status = 403, description = "This server takes no pictures in", body = ErrorBody),
        (status = 410, description = "The picture was forgotten, and is not taken in again", body = ErrorBody),
        (status = 413, description = "The file is too large", body = ErrorBody),
        (status = 422, description = "The file is empty or no picture, or no file can have that name", body = ErrorBody),
        (status = 503, description = "Too many uploads at once, or the folder cannot be written", body = ErrorBody),
    ),
)]
pub async fn put(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<Upload>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (owner, wait) = query.check()?;
    let uploads = state.uploads()?;
    let bytes = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let turn = uploads.turn().await?;
    // A client that waits for leave to send (`Expect: 100-continue`) sends nothing if this refuses.
    let mut file = uploads.begin(&name, bytes).await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = next(async { chunks.next().await.transpose() }).await? {
        file.write(&chunk).await?;
    }
    let mut taken = Vec::new();
    for file in uploads.complete(vec![file]).await? {
        taken.push(uploads.take(file, owner.clone(), Placing::ByName).await?);
    }
    drop(turn);
    Ok(answer(state.told(taken, wait).await?))
}
