//! A file on its way.

use std::path::{Path, PathBuf};

use docent_pipelines::Fingerprint;
use docent_pipelines::asset::ContentHasher;
use docent_pipelines::image::{SNIFF_BYTES, is_candidate};
use tokio::io::AsyncWriteExt;

use super::{Intent, UploadError, blocking};

/// The end of the name of a file that is not complete, or not in its place yet.
pub(super) const PART: &str = "part";
/// The end of the name of the note that says where a complete file goes.
pub(super) const NOTE: &str = "json";

/// A file that is being received. Nothing is left of one that is dropped.
pub struct Incoming {
    file: tokio::fs::File,
    path: Leftover,
    name: String,
    limit: u64,
    bytes: u64,
    hasher: ContentHasher,
    head: Vec<u8>,
    looked: bool,
}

/// A complete file that has no place yet.
pub struct Received {
    pub(super) hash: Fingerprint,
    pub(super) name: String,
    path: Leftover,
}

/// A file that is removed unless it was moved.
struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        // It may have been moved.
        drop(std::fs::remove_file(&self.0));
    }
}

impl Incoming {
    pub(super) async fn create(
        folder: &Path,
        name: &str,
        limit: u64,
        bytes: Option<u64>,
    ) -> Result<Self, UploadError> {
        if bytes.is_some_and(|bytes| bytes > limit) {
            return Err(UploadError::TooLarge { name: name.to_owned(), limit });
        }
        let path = folder.join(format!("{:032x}.{PART}", fastrand::u128(..)));
        let file = tokio::fs::File::create_new(&path).await?;
        Ok(Self {
            file,
            path: Leftover(path),
            name: name.to_owned(),
            limit,
            bytes: 0,
            hasher: ContentHasher::default(),
            head: Vec::new(),
            looked: false,
        })
    }

    /// Writes the next bytes. Fails as soon as it is known that they are too many, or that they are no picture.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), UploadError> {
        self.bytes = self.bytes.saturating_add(chunk.len() as u64);
        if self.bytes > self.limit {
            return Err(UploadError::TooLarge { name: self.name.clone(), limit: self.limit });
        }
        if self.head.len() < SNIFF_BYTES {
            let missing = SNIFF_BYTES - self.head.len();
            self.head.extend_from_slice(chunk.get(..missing).unwrap_or(chunk));
            if self.head.len() == SNIFF_BYTES {
                self.look()?;
            }
        }
        self.hasher.update(chunk);
        Ok(self.file.write_all(chunk).await?)
    }

    fn look(&mut self) -> Result<(), UploadError> {
        let extension = Path::new(&self.name).extension().map(|end| end.to_string_lossy().to_lowercase());
        self.looked = true;
        match is_candidate(&self.head, extension.as_deref()) {
            true => Ok(()),
            false => Err(UploadError::NotAPicture { name: self.name.clone() }),
        }
    }

    /// All bytes came.
    pub(super) async fn complete(mut self) -> Result<Received, UploadError> {
        if self.bytes == 0 {
            return Err(UploadError::Empty { name: self.name });
        }
        if !self.looked {
            self.look()?;
        }
        self.file.flush().await?;
        self.file.sync_all().await?;
        let (bytes, path) = (self.hasher.finish(), self.path.0.clone());
        let hash = blocking(move || Fingerprint::complete(bytes, std::fs::File::open(path)?)).await?;
        Ok(Received { hash, name: self.name, path: self.path })
    }
}

impl Received {
    fn note(&self) -> PathBuf {
        self.path.0.with_extension(NOTE)
    }

    /// Nothing of it is needed.
    pub(super) async fn discard(self) {
        let path = self.path;
        drop(tokio::task::spawn_blocking(move || drop(path)).await);
    }

    /// Writes down what is to be done, and moves the file to its place.
    pub(super) async fn put(&self, folder: &Path, intent: &Intent) -> Result<PathBuf, UploadError> {
        let (part, note, place) = (self.path.0.clone(), self.note(), folder.join(&intent.place));
        let text = serde_json::to_vec(intent).map_err(std::io::Error::other)?;
        let moved = blocking(move || {
            std::fs::write(&note, text)?;
            move_to(&part, &place)?;
            Ok(place)
        });
        Ok(moved.await?)
    }

    /// The ledger knows of it.
    pub(super) async fn done(&self) {
        if let Err(error) = tokio::fs::remove_file(self.note()).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot remove the note of an upload");
        }
    }
}

/// Moves a file to a place whose folder may not be there yet.
pub(super) fn move_to(part: &Path, place: &Path) -> std::io::Result<()> {
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
        std::fs::rename(part, place)?;
        // The folder's entry has to survive a power cut as the file does.
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
