//! What a worker answers: whether it lives, whether it can work, and how much it did. No data, so no token.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::status::Readiness;
use crate::health::Health;
use crate::telemetry::Metrics;

/// What the probes read.
#[derive(Clone)]
pub struct Probes {
    /// How things stand.
    pub health: Arc<Health>,
    /// The metrics.
    pub metrics: Metrics,
}

/// Answers `/healthz`, `/readyz` and `/metrics` until `stop`.
pub async fn serve_probes(
    listener: tokio::net::TcpListener,
    probes: Probes,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(axum::middleware::from_fn(super::observe::observe))
        .with_state(probes);
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn ready(State(probes): State<Probes>) -> Readiness {
    probes.health.report().into()
}

async fn metrics(State(probes): State<Probes>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], probes.metrics.render()).into_response()
}
