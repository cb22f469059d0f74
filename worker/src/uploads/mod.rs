//! Takes pictures in that somebody hands over, and registers them.
//!
//! What holds for every upload, checked by `tests/tests/uploads/`:
//! - Nothing of a file that did not come to its end, is too large or is no picture is left, neither on disk nor in the ledger.
//! - What was acknowledged is on disk and in the ledger. Where a process dies between the two, the next one completes it.
//! - The same content twice is one asset with one file; the same picture with other metadata is one asset with two. A name that is written again has the new content.
//! - Nothing is kept of a picture that was forgotten.
//! - Memory does not depend on the size of a file.

mod incoming;
mod naming;
mod recover;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use docent_pipelines::asset::ContentHash;
use docent_pipelines::{AssetId, Fingerprint, Owner};
pub use incoming::{Incoming, Received};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify, Semaphore, SemaphorePermit};

use self::naming::{by_content, by_name};
use crate::assets::{file_uri, path_of_uri};
use crate::queue::Lane;
use crate::scanner::stamp;
use crate::store::{FoundFile, KnownFile, KnownPlace, Ledger, Requeue, StoreError, Wanted};

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The file is larger than docent reads.
    #[error("'{name}' is larger than the limit of {limit} bytes (assets.max_bytes)")]
    TooLarge {
        /// What the client calls it.
        name: String,
        /// The limit.
        limit: u64,
    },
    /// It has no bytes.
    #[error("'{name}' is empty")]
    Empty {
        /// What the client calls it.
        name: String,
    },
    /// It is plainly something else.
    #[error("'{name}' is no picture, by its content and its name")]
    NotAPicture {
        /// What the client calls it.
        name: String,
    },
    /// The picture was forgotten.
    #[error("'{name}' was forgotten, and is not taken in again")]
    Forgotten {
        /// What the client calls it.
        name: String,
    },
    /// A name that no file can have.
    #[error("'{name}' cannot be the name of a file: {reason}")]
    Name {
        /// What the client calls it.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// Too many uploads at once, for too long.
    #[error("too many uploads at once; try again in a while")]
    Busy,
    /// The folder of uploads cannot be written.
    #[error("the folder of uploads cannot be written")]
    Folder(#[from] std::io::Error),
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// Where its content says: the same content comes to the same place.
    ByContent,
    /// Where its name says: another content takes the place of what was there.
    ByName,
}

/// What was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The asset.
    pub asset: AssetId,
    /// Where it lies.
    pub uri: String,
    /// Nothing was known of this content before.
    pub created: bool,
}

/// What is to be done once a file is complete. Written down first, so that the next process can do it.
#[derive(Debug, Serialize, Deserialize)]
struct Intent {
    place: PathBuf,
    owner: Option<Owner>,
}

/// So many requests write files at once. More do not make a disk quicker, and each holds a connection.
const AT_ONCE: usize = 16;
/// Others wait so long for their turn.
const TURN: Duration = Duration::from_secs(30);
/// The folder of files that are on their way.
const INCOMING: &str = ".incoming";
/// The folder of files by their names.
const NAMED: &str = "by-name";

/// Takes uploads in.
pub struct Uploads {
    folder: PathBuf,
    incoming: PathBuf,
    /// Says that this process lives.
    _alive: std::fs::File,
    max_bytes: u64,
    ledger: Arc<dyn Ledger>,
    wanted: Wanted,
    wake: Arc<Notify>,
    turns: Semaphore,
    /// One file is moved to its place and registered at a time.
    placing: Mutex<()>,
}

impl Uploads {
    /// Makes the folder ready, and completes what processes that died had promised.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made or written.
    pub async fn open(
        folder: &Path,
        max_bytes: u64,
        ledger: Arc<dyn Ledger>,
        wanted: Wanted,
        wake: Arc<Notify>,
    ) -> Result<Self, UploadError> {
        let all = folder.join(INCOMING);
        let own = all.join(format!("{}-{:016x}", std::process::id(), fastrand::u64(..)));
        let made = own.clone();
        let alive = blocking(move || recover::settle_in(&made)).await?;
        let uploads = Self {
            folder: folder.to_path_buf(),
            incoming: own,
            _alive: alive,
            max_bytes,
            ledger,
            wanted,
            wake,
            turns: Semaphore::new(AT_ONCE),
            placing: Mutex::default(),
        };
        uploads.recover(&all).await?;
        Ok(uploads)
    }

    /// Waits until it is this request's turn to write files.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, UploadError> {
        match tokio::time::timeout(TURN, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(UploadError::Busy),
        }
    }

    /// Begins a file that the client calls `name`. `bytes` is its size, if it is known.
    pub async fn begin(&self, name: &str, bytes: Option<u64>) -> Result<Incoming, UploadError> {
        Incoming::create(&self.incoming, name, self.max_bytes, bytes).await
    }

    /// Completes files of which all bytes came. If one is refused, none is left.
    pub async fn complete(&self, files: Vec<Incoming>) -> Result<Vec<Received>, UploadError> {
        let mut received = Vec::with_capacity(files.len());
        for file in files {
            received.push(file.complete().await?);
        }
        let prints: Vec<Fingerprint> = received.iter().map(|file| file.hash).collect();
        let barred = self.ledger.barred(&prints).await?;
        match received.iter().zip(barred).find(|(_, is_barred)| *is_barred) {
            Some((file, _)) => Err(UploadError::Forgotten { name: file.name.clone() }),
            None => Ok(received),
        }
    }

    /// Takes a complete file in.
    pub async fn take(
        &self,
        received: Received,
        owner: Option<Owner>,
        placing: Placing,
    ) -> Result<Taken, UploadError> {
        let identified = self.ledger.identify(&[received.hash]).await?.pop();
        let asset = identified.unwrap_or_else(|| received.hash.asset_id());
        let known = self.ledger.known_assets(std::slice::from_ref(&asset)).await?.remove(&asset);
        if placing == Placing::ByContent
            && owner.is_none()
            && let Some(uri) =
                self.living(&asset, &received.hash.bytes, known.as_deref().unwrap_or_default()).await?
        {
            received.discard().await;
            return Ok(Taken { asset, uri, created: false });
        }
        let place = match placing {
            Placing::ByContent => by_content(&received.hash.bytes, &received.name),
            Placing::ByName => Path::new(NAMED).join(by_name(&received.name)?),
        };
        let intent = Intent { place, owner };
        // Of two contents for one name, the one that lies there last is registered last.
        let _turn = self.placing.lock().await;
        let file = received.put(&self.folder, &intent).await?;
        let uri = file_uri(&file);
        let stamp = stamp(&tokio::fs::metadata(&file).await?);
        let found = FoundFile {
            uri: uri.clone(),
            stamp,
            hash: received.hash,
            lane: Lane::Interactive,
            owner: intent.owner,
        };
        let registered = self.ledger.register(std::slice::from_ref(&found), &self.wanted).await?;
        if registered.forgotten > 0 {
            // It was forgotten since all of it came.
            tokio::fs::remove_file(&file).await?;
            let name = received.name.clone();
            received.done().await;
            return Err(UploadError::Forgotten { name });
        }
        if known.is_some() {
            // What failed for want of a file has one again.
            let again = std::slice::from_ref(&asset);
            self.ledger.requeue(Requeue::Failed, &self.wanted, Some(again)).await?;
        }
        received.done().await;
        self.wake.notify_one();
        Ok(Taken { asset, uri, created: registered.new_assets > 0 })
    }

    /// One of the places of an asset where these bytes still lie, as far as size and time of change tell.
    async fn living(
        &self,
        asset: &AssetId,
        bytes: &ContentHash,
        places: &[KnownPlace],
    ) -> Result<Option<String>, UploadError> {
        let uris: Vec<String> =
            places.iter().filter(|place| !place.gone).map(|place| place.uri.clone()).collect();
        let known = self.ledger.known_files(&uris).await?;
        let is_same = |file: &&KnownFile| {
            file.asset == *asset
                && match &file.content_hash {
                    Some(hash) => *hash == bytes.to_hex(),
                    // Then the asset has its id from the file's bytes.
                    None => *asset == bytes.asset_id(),
                }
        };
        for uri in uris {
            let Some(file) = known.get(&uri).filter(is_same) else { continue };
            let Some(path) = path_of_uri(&uri) else { continue };
            let found = tokio::fs::metadata(&path).await;
            if found.is_ok_and(|metadata| metadata.is_file() && stamp(&metadata) == file.stamp) {
                return Ok(Some(uri));
            }
        }
        Ok(None)
    }

    /// Those of these assets that are not analyzed yet.
    pub async fn waiting(&self, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        self.ledger.pending_among(&self.wanted, assets).await
    }
}

/// Does what the file system takes its time for.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
}
