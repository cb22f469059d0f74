//! Signing in on the page.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::access::AccessPolicy;
use super::extract::Json;
use super::{ApiError, AppState};

/// The token, shown once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The configured token.
    token: String,
}

/// Exchanges the token for a cookie that scripts cannot read and that other sites cannot send.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignIn, responses(
    (status = 204, description = "Signed in; the cookie is set"),
    (status = 401, description = "The token is wrong", body = super::error::ErrorBody),
))]
pub async fn open(State(state): State<AppState>, Json(sign_in): Json<SignIn>) -> Result<Response, ApiError> {
    if !state.access.admits(&sign_in.token) {
        tracing::warn!("a sign-in with a wrong token was refused");
        return Err(ApiError::Unauthorized);
    }
    Ok(match state.access.session_cookie() {
        Some(cookie) => (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Forgets the cookie.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", responses(
    (status = 204, description = "Signed out"),
))]
pub async fn close() -> Response {
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, AccessPolicy::no_cookie())]).into_response()
}
