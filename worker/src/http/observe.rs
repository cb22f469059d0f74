//! Counts and times every request, and gives up on those that take too long or panic.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::ApiError;

/// The slowest honest request is the first search, which loads a model.
pub const LONGEST_REQUEST: Duration = Duration::from_secs(60);
/// A large file over a slow line, and the wait for what is said of it.
const LONGEST_UPLOAD: Duration = Duration::from_secs(3600);
/// Routes that take files.
const UPLOADS: [(&str, &str); 2] = [("POST", "/api/v1/assets"), ("PUT", "/api/v1/assets/by-name/{name}")];

/// Wraps every route. Metrics are labelled by the route's template, never by the path asked for.
pub async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().to_string();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let uploads = UPLOADS.contains(&(method.as_str(), route.as_str()));
    let longest = if uploads { LONGEST_UPLOAD } else { LONGEST_REQUEST };
    let response = match tokio::time::timeout(longest, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => ApiError::Internal(anyhow::anyhow!("{method} {route} panicked")).into_response(),
        Err(_) => ApiError::Timeout.into_response(),
    };
    let labels = [("method", method), ("route", route), ("status", response.status().as_u16().to_string())];
    metrics::histogram!("docent_http_request_seconds", &labels[..2]).record(started.elapsed().as_secs_f64());
    metrics::counter!("docent_http_requests_total", &labels).increment(1);
    if response.status().is_server_error() {
        metrics::counter!("docent_http_errors_total").increment(1);
    }
    response
}
