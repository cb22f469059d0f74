//! Extractors whose refusals look like every other error, and the reviewer of a request.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::{ApiError, AppState};
use crate::store::Reviewer;

/// Who decides, from the request's header; the configured name where it is missing.
pub const REVIEWER_HEADER: &str = "x-docent-reviewer";
/// `web` from the review page; everything else is `api`.
pub const CLIENT_HEADER: &str = "x-docent-client";
/// Names are cut to this many characters.
const MAX_REVIEWER_CHARS: usize = 100;

/// The query string.
pub struct Query<T>(pub T);
/// The variable part of the path.
pub struct Path<T>(pub T);
/// The body.
pub struct Json<T>(pub T);
/// The body as it is.
pub struct Body(pub Bytes);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|refusal| ApiError::Invalid(refusal.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|refusal| ApiError::Invalid(refusal.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        axum::Json::from_request(request, state).await.map(|axum::Json(value)| Self(value)).map_err(
            |refusal: JsonRejection| match refusal.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
                _ => ApiError::Invalid(refusal.body_text()),
            },
        )
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state).await.map(Self).map_err(|refusal| match refusal.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
            _ => ApiError::Invalid(refusal.body_text()),
        })
    }
}

impl FromRequestParts<AppState> for Reviewer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let name = text(&parts.headers, REVIEWER_HEADER)
            .map(|name| name.chars().filter(|c| !c.is_control()).take(MAX_REVIEWER_CHARS).collect::<String>())
            .filter(|name| !name.trim().is_empty());
        let client = match text(&parts.headers, CLIENT_HEADER).as_deref() {
            Some("web") => "web",
            _ => "api",
        };
        Ok(Self { name: name.unwrap_or_else(|| state.reviewer.to_string()), client: client.to_owned() })
    }
}

/// A header's text. Names are UTF-8, which `HeaderValue::to_str` would refuse.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    String::from_utf8(headers.get(name)?.as_bytes().to_vec()).ok()
}
