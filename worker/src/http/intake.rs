//! Pictures that are named by their places.

use axum::Json;
use axum::extract::State;
use docent_pipelines::{Fingerprint, Owner};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ErrorBody;
use super::{ApiError, AppState, extract, wire};
use crate::assets::{normalized, path_of_uri};
use crate::queue;
use crate::scanner::{self, Looked};
use crate::store::FoundFile;

/// Places of one request.
const MAX_PLACES: usize = 1000;
/// Why a forgotten picture is refused.
const FORGOTTEN: &str = "it was forgotten, and is not taken in again";
/// The longest place.
const MAX_CHARS: usize = 8192;

/// Pictures to be taken into the archive where they lie.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// `file:` addresses, 1 to 1000, below the folders that docent may read (`assets.roots`).
    #[schema(min_items = 1, max_items = 1000)]
    uris: Vec<String>,
    /// Whose the pictures are.
    owner: Option<String>,
    /// How urgent they are; `backfill` where not given.
    #[serde(default)]
    lane: Lane,
}

/// How urgent pictures are.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Somebody waits for them.
    Interactive,
    /// They can wait.
    #[default]
    Backfill,
}

/// What was taken, and what was not.
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenIn {
    /// Pictures that are registered, in the order of the request.
    assets: Vec<TakenAsset>,
    /// Places that are not.
    refused: Vec<Refused>,
}

/// A picture that is registered.
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenAsset {
    /// The place, in the one way in which docent writes it.
    uri: String,
    /// 32 hexadecimal digits.
    asset_id: String,
    /// Whether nothing was known of this content before.
    created: bool,
}

/// A place that is not taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refused {
    /// The place, as the request has it.
    uri: String,
    /// `place`, `unreadable`, `not_a_picture` or `forgotten`.
    code: &'static str,
    /// Why.
    message: String,
}

/// Takes pictures into the archive where they lie. Each place is taken or refused by itself.
#[utoipa::path(post, path = "/api/v1/ingest", tag = "assets", request_body = Intake,
    responses(
        (status = 200, description = "What was taken, and what was not", body = TakenIn),
        (status = 400, description = "The body is wrong", body = ErrorBody),
        (status = 403, description = "No folders are named that may be read", body = ErrorBody),
    ),
)]
pub async fn post(
    State(state): State<AppState>,
    extract::Json(body): extract::Json<Intake>,
) -> Result<Json<TakenIn>, ApiError> {
    if !(1..=MAX_PLACES).contains(&body.uris.len()) {
        return Err(ApiError::Invalid(format!("uris has {} places, not 1 to {MAX_PLACES}", body.uris.len())));
    }
    let owner = wire::place(None, body.owner)?.owner;
    if state.roots.is_empty() {
        let message = "this server reads no places that others name: assets.roots names no folder";
        return Err(ApiError::Forbidden(message.to_owned()));
    }
    let lane = match body.lane {
        Lane::Interactive => queue::Lane::Interactive,
        Lane::Backfill => queue::Lane::Backfill,
    };
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for uri in body.uris {
        match state.look(&uri, owner.clone(), lane).await {
            Ok(file) => found.push(file),
            Err((code, message)) => refused.push(Refused { uri, code, message }),
        }
    }
    let prints: Vec<Fingerprint> = found.iter().map(|file| file.hash).collect();
    let ids = state.store.identify(&prints).await?;
    let known = state.store.known_assets(&ids).await?;
    let mut barred = vec![false; found.len()];
    if !found.is_empty() {
        if state.store.register(&found, &state.wanted).await?.forgotten > 0 {
            barred = state.store.barred(&prints).await?;
        }
        state.wake.notify_one();
    }
    let mut assets = Vec::with_capacity(found.len());
    for ((FoundFile { uri, .. }, id), is_barred) in found.into_iter().zip(ids).zip(barred) {
        match is_barred {
            true => refused.push(Refused { uri, code: "forgotten", message: FORGOTTEN.to_owned() }),
            false => assets.push(TakenAsset { uri, created: !known.contains_key(&id), asset_id: id.into() }),
        }
    }
    Ok(Json(TakenIn { assets, refused }))
}

impl AppState {
    /// Reads what lies at a place.
    async fn look(
        &self,
        uri: &str,
        owner: Option<Owner>,
        lane: queue::Lane,
    ) -> Result<FoundFile, (&'static str, String)> {
        if uri.chars().count() > MAX_CHARS {
            return Err(("place", format!("it has more than {MAX_CHARS} characters")));
        }
        let place = normalized(uri).map_err(|problem| ("place", format!("it {problem}")))?;
        let path = path_of_uri(&place).ok_or_else(|| ("place", "it is no place".to_owned()))?;
        let roots = self.roots.clone();
        let looked = tokio::task::spawn_blocking(move || scanner::look(&path, &roots)).await;
        match looked {
            Ok(Looked::Candidate(hash, stamp)) => Ok(FoundFile { uri: place, stamp, hash, lane, owner }),
            Ok(Looked::Skipped) => {
                Err(("not_a_picture", "it is no picture, by its content and its name".to_owned()))
            }
            Ok(Looked::Unreadable(reason)) => Err(("unreadable", reason)),
            Err(error) => Err(("unreadable", error.to_string())),
        }
    }
}
