//! The API under `/api/v1` and the review page in front of it.
//!
//! What holds for every route:
//! - Errors are `{"error":{"code","message"}}`; a 500 hides its cause from the client and logs it once.
//! - Nothing decides without a guard: of two reviewers one gets 200, the other 409 with the row's status.
//! - Without a token only requests to a loopback or configured host name are answered; with one, only requests that
//!   carry it. A request that changes something must be one that no foreign page can make a browser send.
//! - The page loads nothing from elsewhere and treats everything it shows as text.

mod access;
mod assets;
mod error;
mod extract;
mod forget;
mod intake;
mod jobs;
mod observe;
mod openapi;
mod page;
mod pictures;
mod probe;
mod renderings;
mod searches;
mod session;
mod status;
mod stream;
mod suggestions;
mod uploads;
mod vocabulary;
mod wire;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

pub use access::{BindError, check_bind};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
pub use error::ApiError;
pub use observe::LONGEST_REQUEST;
pub use openapi::document;
pub use probe::{Probes, serve_probes};
pub use searches::Searcher;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::assets::{AssetSource, Roots};
use crate::forget::Forgetter;
use crate::health::{self, Health, HealthReport};
use crate::store::{Mark, Store, Wanted};
use crate::telemetry::Metrics;
use crate::terms::TermMatching;
use crate::uploads::Uploads;

/// The largest request body: but for vocabulary files and large terms the API takes ids, filters and thresholds.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// The largest list of places.
const MAX_PLACES_BYTES: usize = 10 << 20;
/// How long open requests may take to finish once the server is asked to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// What the API works with.
#[derive(Clone)]
pub struct Ports {
    /// The ledger.
    pub store: Arc<dyn Store>,
    /// Search by words and likeness.
    pub search: Arc<dyn Searcher>,
    /// Where pictures come from.
    pub source: Arc<dyn AssetSource>,
    /// What forgets.
    pub forgetter: Arc<Forgetter>,
    /// What applies the vocabulary, where this process does.
    pub terms: Option<Arc<TermMatching>>,
    /// What takes pictures in, where there is a folder for them.
    pub uploads: Option<Arc<Uploads>>,
}

/// How the API behaves.
#[derive(Clone)]
pub struct Options {
    /// Every request must carry it, where given. See [`check_bind`].
    pub token: Option<String>,
    /// Host names, without port, that are answered besides loopback ones.
    pub hosts: Vec<String>,
    /// Who decides, where a request does not say.
    pub reviewer: String,
    /// Limits for the pictures that are shown.
    pub decode: docent_pipelines::DecodeLimits,
    /// Bytes of rendered thumbnails and pictures kept in memory.
    pub cache_bytes: usize,
    /// The analyzers and models that `status` counts by, and that pictures are taken in for.
    pub wanted: Wanted,
    /// Folders that pictures may be taken from.
    pub roots: Roots,
    /// Told when there is new work.
    pub wake: Arc<Notify>,
    /// What `/metrics` shows; without it the route answers 404.
    pub metrics: Option<Metrics>,
}

/// The state behind every route.
#[derive(Clone)]
pub struct AppState {
    store: Arc<dyn Store>,
    search: Arc<dyn Searcher>,
    renderings: Arc<renderings::Renderings>,
    access: Arc<access::AccessPolicy>,
    reviewer: Arc<str>,
    wanted: Arc<Wanted>,
    roots: Roots,
    wake: Arc<Notify>,
    metrics: Option<Metrics>,
    health: Arc<Health>,
    terms: Option<Arc<TermMatching>>,
    uploads: Option<Arc<Uploads>>,
    forgetter: Arc<Forgetter>,
    indexed: Arc<vocabulary::Indexed>,
    streams: Arc<stream::Streams>,
    /// Cancelled when the server stops: streams end then.
    closing: CancellationToken,
}

impl AppState {
    /// State over `ports`.
    pub fn new(ports: Ports, options: Options) -> Self {
        let renderings = renderings::Renderings::new(
            ports.source,
            Arc::clone(&ports.store),
            options.decode,
            options.cache_bytes,
        );
        let health = Arc::new(Health::default());
        // Models are loaded when they are needed.
        health.started();
        Self {
            store: ports.store,
            search: ports.search,
            renderings: Arc::new(renderings),
            access: Arc::new(access::AccessPolicy::new(options.token.as_deref(), options.hosts)),
            reviewer: options.reviewer.into(),
            wanted: Arc::new(options.wanted),
            roots: options.roots,
            wake: options.wake,
            metrics: options.metrics,
            health,
            terms: ports.terms,
            uploads: ports.uploads,
            forgetter: ports.forgetter,
            indexed: Arc::default(),
            streams: Arc::default(),
            closing: CancellationToken::new(),
        }
    }

    /// What is known of the parts that this process works with.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Removes rendered pictures from memory whose assets have these marks.
    pub fn drop_forgotten(&self, marks: &HashSet<Mark>) {
        self.renderings.forget(|asset| marks.contains(&Mark::of(asset)));
    }

    /// Asks ledger and index whether they are there.
    pub async fn probe(&self) -> HealthReport {
        let (store, index) =
            tokio::join!(health::asked(self.store.ping()), health::asked(self.search.ping()));
        self.health.answered("store", store);
        self.health.answered("vectors", index);
        self.health.report()
    }
}

/// All routes.
pub fn router(state: AppState) -> Router {
    let api = Router::new()
        // Files are streamed to disk and have limits of their own.
        .route("/assets", get(assets::list).post(uploads::post).layer(DefaultBodyLimit::disable()))
        .route("/assets/by-name/{name}", axum::routing::put(uploads::put).layer(DefaultBodyLimit::disable()))
        .route("/assets/{id}", get(assets::one))
        .route("/assets/{id}/suggestions", get(assets::suggestions))
        .route("/assets/{id}/picture", get(pictures::picture))
        .route("/assets/{id}/thumbnail", get(pictures::thumbnail))
        .route("/assets/{id}/similar", get(searches::similar))
        .route("/ingest", post(intake::post).layer(DefaultBodyLimit::max(MAX_PLACES_BYTES)))
        .route("/suggestions", get(suggestions::list))
        .route("/suggestions/count", get(suggestions::count))
        .route("/suggestions/accept-all", post(jobs::accept_all))
        .route("/suggestions/accept-all/preview", post(jobs::preview))
        .route("/reviews/last", get(jobs::last_step))
        .route("/suggestions/{id}", get(suggestions::one))
        .route("/suggestions/{id}/reviews", get(suggestions::reviews))
        .route("/suggestions/{id}/accept", post(suggestions::accept))
        .route("/suggestions/{id}/reject", post(suggestions::reject))
        .route("/suggestions/{id}/undo", post(suggestions::undo))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}", get(jobs::one))
        .route("/jobs/{id}/revert", post(jobs::revert))
        .route("/forget", get(forget::list).post(forget::post))
        .route("/forget/preview", post(forget::preview))
        .route("/forget/{id}", get(forget::one))
        .route("/forgotten", get(forget::barred))
        .route("/forgotten/{id}", axum::routing::delete(forget::readmit))
        .route("/search", get(searches::words))
        .route("/vocabulary", get(vocabulary::summary))
        .route("/vocabulary/terms", get(vocabulary::list).post(vocabulary::change::add))
        .route(
            "/vocabulary/terms/{id}",
            get(vocabulary::one).put(vocabulary::change::put).delete(vocabulary::change::remove),
        )
        .route("/vocabulary/terms/{id}/merge", post(vocabulary::change::merge))
        .route("/vocabulary/log", get(vocabulary::log))
        .route(
            "/vocabulary/import",
            post(vocabulary::files::import)
                .layer(DefaultBodyLimit::max(docent_pipelines::vocabulary::MAX_BYTES)),
        )
        .route("/vocabulary/export", get(vocabulary::files::export))
        .route("/events", get(stream::events))
        .route("/status", get(status::counts))
        .route("/failures", get(status::failures))
        .route("/session", post(session::open).delete(session::close))
        .route("/openapi.json", get(openapi::serve));
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(status::alive))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(status::metrics))
        .route("/", get(page::index))
        .route("/web/{file}", get(page::file))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), access::guard))
        .layer(from_fn(access::headers))
        .layer(from_fn(observe::observe))
        .with_state(state)
}

/// Answers requests until `shutdown` completes, then lets open ones finish, but not longer than five seconds.
pub async fn serve(
    listener: tokio::net::TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let stop = CancellationToken::new();
    let (stopping, closing) = (stop.clone(), state.closing.clone());
    let signal = async move {
        shutdown.await;
        closing.cancel();
        stopping.cancel();
    };
    let serving = axum::serve(listener, router(state)).with_graceful_shutdown(signal);
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        served = serving => served,
        () = overdue => {
            tracing::warn!("requests still open at shutdown were cut off");
            Ok(())
        }
    }
}
