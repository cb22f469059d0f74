//! What a request that cannot be answered gets instead.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use docent_pipelines::Status;
use serde::Serialize;
use utoipa::ToSchema;

use crate::search::SearchError;
use crate::store::StoreError;
use crate::vectors::IndexError;

/// An answer that is an error. `Display` is what the client reads.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request is not one the API understands.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It was forgotten.
    #[error("{0}")]
    Forgotten(String),
    /// There is no such route.
    #[error("there is nothing at {0}")]
    NoRoute(String),
    /// The route does not take this method.
    #[error("this route does not take that method")]
    Method,
    /// Somebody else decided first.
    #[error("{message}")]
    Conflict {
        /// What happened.
        message: String,
        /// The status the suggestion has.
        status: Status,
    },
    /// What was to be changed is not as it was seen.
    #[error("{0}")]
    Outdated(String),
    /// What was to be made is there already.
    #[error("{0}")]
    Exists(String),
    /// The token is missing or wrong.
    #[error("a token is needed: send `Authorization: Bearer …`, or sign in on the page")]
    Unauthorized,
    /// The request comes from where it must not.
    #[error("{0}")]
    Forbidden(String),
    /// The body is larger than any request needs.
    #[error("the body of the request is too large")]
    TooLarge,
    /// A file is larger than docent reads.
    #[error("{0}")]
    FileTooLarge(String),
    /// The thing is there, but what was asked of it cannot be done.
    #[error("{message}")]
    Unprocessable {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// It may work later.
    #[error("{message}")]
    Unavailable {
        /// For people.
        message: String,
        /// For the log.
        #[source]
        source: Option<anyhow::Error>,
    },
    /// It took too long.
    #[error("the request took too long")]
    Timeout,
    /// Our fault; the cause is for the log alone.
    #[error("something went wrong inside docent; its log says what")]
    Internal(#[source] anyhow::Error),
}

/// How errors look.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    error: ErrorDetail,
}

/// One error.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// For programs.
    code: &'static str,
    /// For people.
    message: String,
    /// With a conflict: the status the suggestion has.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<super::wire::Status>,
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Forgotten(_) => (StatusCode::GONE, "forgotten"),
            Self::NoRoute(_) => (StatusCode::NOT_FOUND, "no_route"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Conflict { .. } => (StatusCode::CONFLICT, "conflict"),
            Self::Outdated(_) => (StatusCode::CONFLICT, "outdated"),
            Self::Exists(_) => (StatusCode::CONFLICT, "exists"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::TooLarge | Self::FileTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Unprocessable { code, .. } => (StatusCode::UNPROCESSABLE_ENTITY, code),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            Self::Internal(cause) => tracing::error!("request failed: {cause:#}"),
            Self::Unavailable { message, source: Some(cause) } => tracing::warn!("{message}: {cause:#}"),
            _ => {}
        }
        let (status_code, code) = self.parts();
        let status = match &self {
            Self::Conflict { status, .. } => Some((*status).into()),
            _ => None,
        };
        let body = ErrorBody { error: ErrorDetail { code, message: self.to_string(), status } };
        let mut response = (status_code, Json(body)).into_response();
        if matches!(self, Self::Unauthorized) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::NotFound(error.to_string()),
            StoreError::Forgotten { .. } => Self::Forgotten(error.to_string()),
            StoreError::Ambiguous { .. } | StoreError::InvalidCursor(_) | StoreError::NoConfidence => {
                Self::Invalid(error.to_string())
            }
            StoreError::Conflict { actual, .. } => {
                Self::Conflict { message: error.to_string(), status: actual }
            }
            StoreError::Outdated { .. } => Self::Outdated(error.to_string()),
            StoreError::Unavailable { .. } | StoreError::Contended { .. } | StoreError::Refused { .. } => {
                Self::Unavailable {
                    message: "the ledger cannot be reached now".to_owned(),
                    source: Some(error.into()),
                }
            }
            StoreError::NotRevertible { .. } => {
                Self::Unprocessable { code: "not_revertible", message: error.to_string() }
            }
            StoreError::Unfit { .. } => {
                Self::Unprocessable { code: "not_storable", message: error.to_string() }
            }
            StoreError::NewerSchema { .. }
            | StoreError::Encoding { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Bug { .. } => Self::Internal(error.into()),
        }
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::NoModel(_) => Self::Unprocessable { code: "no_model", message: error.to_string() },
            SearchError::NotAnalyzed { .. } => {
                Self::Unprocessable { code: "not_analyzed", message: error.to_string() }
            }
            SearchError::Unasked(error) => {
                Self::Unprocessable { code: "too_many_words", message: error.to_string() }
            }
            SearchError::Picture(_) => Self::Unprocessable { code: "unreadable", message: error.to_string() },
            SearchError::Store(error) => error.into(),
            SearchError::Index(IndexError::Unavailable { .. }) => Self::Unavailable {
                message: "the vector index cannot be reached now".to_owned(),
                source: Some(error.into()),
            },
            SearchError::Index(IndexError::Refused { .. }) => Self::Unavailable {
                message: "the vector index refuses; the log of docent says why".to_owned(),
                source: Some(error.into()),
            },
            SearchError::Lost { .. } => Self::Unavailable {
                message: format!("{error}: `docent vectors rebuild` fills it"),
                source: None,
            },
            SearchError::Index(_) | SearchError::Model(_) => Self::Internal(error.into()),
        }
    }
}

/// The answer to an unknown path.
pub async fn no_route(uri: Uri) -> ApiError {
    ApiError::NoRoute(uri.path().to_owned())
}

/// The answer to an unknown method on a known path.
pub async fn no_method() -> ApiError {
    ApiError::Method
}
