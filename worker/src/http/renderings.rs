//! Renders pictures, a few at a time, and keeps the latest in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use docent_pipelines::{AssetId, DecodeLimits, Fingerprint, Image};
use tokio::sync::Semaphore;

use super::ApiError;
use crate::assets::{AssetSource, FetchError};
use crate::store::{AssetRow, Store};

/// Fetches, decodes and keeps.
pub struct Renderings {
    source: Arc<dyn AssetSource>,
    /// Told what is found out about places.
    store: Arc<dyn Store>,
    limits: DecodeLimits,
    kept: Mutex<Kept>,
    /// As many pictures are decoded at once as there are cores: each may take its full allowance of memory.
    decoding: Arc<Semaphore>,
}

type Key = (AssetId, u32);

/// Renderings by last use, bounded in bytes.
struct Kept {
    capacity: usize,
    bytes: usize,
    clock: u64,
    renderings: HashMap<Key, (u64, Bytes)>,
    by_use: BTreeMap<u64, Key>,
}

impl Renderings {
    /// Renderings of what `source` gives, the latest `capacity` bytes of them kept.
    pub fn new(
        source: Arc<dyn AssetSource>,
        store: Arc<dyn Store>,
        limits: DecodeLimits,
        capacity: usize,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            source,
            store,
            limits,
            kept: Mutex::new(Kept::new(capacity)),
            decoding: Arc::new(Semaphore::new(cores)),
        }
    }

    /// A rendering that is still in memory.
    pub fn kept(&self, asset: &AssetId, side: u32) -> Option<Bytes> {
        // The map is whole between statements, even after a panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&(asset.clone(), side))
    }

    /// Removes the renderings of some assets.
    pub fn forget(&self, is_gone: impl Fn(&AssetId) -> bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<Key> = kept.renderings.keys().filter(|(asset, _)| is_gone(asset)).cloned().collect();
        gone.iter().for_each(|key| kept.remove(key));
    }

    /// Whether an asset may be shown: what was forgotten may be in memory yet.
    pub async fn is_known(&self, asset: &AssetId) -> Result<(), ApiError> {
        if self.store.forgotten(std::slice::from_ref(asset)).await?.is_empty() {
            return Ok(());
        }
        self.forget(|kept| kept == asset);
        Err(ApiError::Forgotten(format!("asset {asset} was forgotten")))
    }

    /// `asset` as a JPEG of at most `side` pixels. Waiting for one's turn can be given up at no cost.
    pub async fn render(&self, asset: &AssetRow, side: u32) -> Result<Bytes, ApiError> {
        let turn =
            Arc::clone(&self.decoding).acquire_owned().await.map_err(|e| ApiError::Internal(e.into()))?;
        // Another request may have asked for the same meanwhile.
        if let Some(jpeg) = self.kept(&asset.asset_id, side) {
            return Ok(jpeg);
        }
        let bytes = self.fetch(asset).await?;
        // Decoding to hardly more than is shown saves most of the time a large JPEG takes.
        let limits = DecodeLimits { working_side: side, ..self.limits.clone() };
        let jpeg = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            Image::decode(&bytes, &limits).and_then(|image| image.thumbnail(side))
        })
        .await
        .map_err(|panic| ApiError::Internal(anyhow::Error::new(panic).context("render a picture")))?
        .map_err(|error| ApiError::Unprocessable { code: "undecodable", message: error.to_string() })?;
        let jpeg = Bytes::from(jpeg);
        self.is_known(&asset.asset_id).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert((asset.asset_id.clone(), side), jpeg.clone());
        Ok(jpeg)
    }

    /// The asset's bytes from the first of its places that still has them.
    async fn fetch(&self, asset: &AssetRow) -> Result<Vec<u8>, ApiError> {
        let (mut last, mut gone, mut found) = (None, Vec::new(), Vec::new());
        let mut fetched = None;
        for uri in &asset.uris {
            match self.source.fetch(uri).await {
                // A file may have been overwritten since: its suggestions are not about what is there now.
                Ok(bytes) if is_of(asset, &bytes) => {
                    // It was taken for gone, and is back.
                    found.extend(asset.gone.then(|| uri.clone()));
                    fetched = Some(bytes);
                    break;
                }
                Ok(_) => last = Some(ApiError::NotFound(CHANGED.to_owned())),
                Err(error) => {
                    if matches!(error, FetchError::Gone { .. }) && !asset.gone {
                        gone.push(uri.clone());
                    }
                    last = Some(refusal(error));
                }
            }
        }
        if let Err(error) = self.store.note_places(&gone, &found).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot note what became of places");
        }
        fetched.ok_or_else(|| last.unwrap_or_else(|| ApiError::NotFound("the asset has no place".to_owned())))
    }
}

/// Whether these bytes are a file of this asset.
fn is_of(asset: &AssetRow, bytes: &[u8]) -> bool {
    let found = Fingerprint::of(bytes);
    found.names(&asset.asset_id)
        || asset.picture.as_ref().is_some_and(|known| *known == found.picture.to_hex())
}

/// What lies at an asset's place is something else.
const CHANGED: &str = "the file has changed since it was read; `docent ingest --reread` reads it again";

fn refusal(error: FetchError) -> ApiError {
    match error {
        FetchError::Gone { .. } => ApiError::NotFound("the file is no longer where it was".to_owned()),
        FetchError::TooLarge { .. } => ApiError::Unprocessable {
            code: "too_large",
            message: "the file is larger than docent reads".to_owned(),
        },
        FetchError::Invalid { .. } => {
            ApiError::Unprocessable { code: "unreadable", message: "the place cannot be read".to_owned() }
        }
        FetchError::Unavailable { .. } => ApiError::Unavailable {
            message: "the file cannot be read now".to_owned(),
            source: Some(error.into()),
        },
    }
}

impl Kept {
    fn new(capacity: usize) -> Self {
        Self { capacity, bytes: 0, clock: 0, renderings: HashMap::new(), by_use: BTreeMap::new() }
    }

    fn get(&mut self, key: &Key) -> Option<Bytes> {
        let (used, bytes) = self.renderings.get_mut(key)?;
        self.clock += 1;
        self.by_use.remove(used);
        self.by_use.insert(self.clock, key.clone());
        *used = self.clock;
        Some(bytes.clone())
    }

    fn insert(&mut self, key: Key, bytes: Bytes) {
        self.remove(&key);
        if bytes.len() > self.capacity {
            return;
        }
        self.clock += 1;
        self.bytes += bytes.len();
        self.by_use.insert(self.clock, key.clone());
        self.renderings.insert(key, (self.clock, bytes));
        while self.bytes > self.capacity {
            let Some(oldest) = self.by_use.values().next().cloned() else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some((used, bytes)) = self.renderings.remove(key) {
            self.by_use.remove(&used);
            self.bytes -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        (docent_pipelines::asset::ContentHash::of(text.as_bytes()).asset_id(), 320)
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut kept = Kept::new(100);
        kept.insert(key("a"), Bytes::from(vec![1; 40]));
        kept.insert(key("b"), Bytes::from(vec![2; 40]));
        assert!(kept.get(&key("a")).is_some());
        kept.insert(key("c"), Bytes::from(vec![3; 40]));
        assert!(kept.get(&key("b")).is_none(), "b was used least recently");
        assert!(kept.get(&key("a")).is_some() && kept.get(&key("c")).is_some());
        assert_eq!((kept.bytes, kept.renderings.len(), kept.by_use.len()), (80, 2, 2));
    }

    #[test]
    fn nothing_larger_than_the_whole_is_kept() {
        let mut kept = Kept::new(100);
        kept.insert(key("a"), Bytes::from(vec![1; 90]));
        kept.insert(key("a"), Bytes::from(vec![1; 50]));
        assert_eq!(kept.bytes, 50, "a rendering replaces itself");
        kept.insert(key("b"), Bytes::from(vec![2; 101]));
        assert!(kept.get(&key("b")).is_none() && kept.get(&key("a")).is_some());
    }
}
