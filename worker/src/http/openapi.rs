//! The API's own description, generated from the routes' code.

use axum::Json;
use utoipa::OpenApi;

use super::{assets, jobs, pictures, searches, session, status, suggestions};

/// Every documented route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "docent",
        description = "Suggestions about the pictures of an archive, and the decisions on them. Every answer that is \
                       an error is `{\"error\":{\"code\",\"message\"}}`. Where a token is configured, every route but \
                       `/healthz` needs `Authorization: Bearer …`. A request that changes something needs \
                       `Content-Type: application/json`, `Authorization` or `X-Docent-Client`. `X-Docent-Reviewer` \
                       names who decides.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        assets::list,
        assets::one,
        assets::suggestions,
        pictures::picture,
        pictures::thumbnail,
        searches::similar,
        suggestions::list,
        suggestions::count,
        jobs::accept_all,
        jobs::preview,
        jobs::last_step,
        suggestions::one,
        suggestions::reviews,
        suggestions::accept,
        suggestions::reject,
        suggestions::undo,
        jobs::list,
        jobs::one,
        jobs::revert,
        searches::words,
        status::counts,
        status::failures,
        session::open,
        session::close,
        serve,
        status::alive,
        status::ready,
        status::metrics,
    )
)]
struct Api;

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operation", responses(
    (status = 200, description = "OpenAPI 3.1"),
))]
pub async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
