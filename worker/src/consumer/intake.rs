//! Brings an asset's bytes to a walk: from a submitted place, or from the places in the ledger. Tells the ledger what it learns
//! about places.

use std::io;
use std::sync::Arc;

use docent_pipelines::image::{SNIFF_BYTES, is_candidate};
use docent_pipelines::pipeline::decoder;
use docent_pipelines::{AnalyzerId, AssetId, Failure, FailureKind, Fingerprint, Owner};

use super::Walk;
use super::places::Occupied;
use crate::assets::{FetchError, normalized, path_of_uri};
use crate::disposition::{self, WalkError};
use crate::queue::{AnalyzeAsset, Lane, Submission};
use crate::store::{FileStamp, FoundFile, Registered, StoreError, Wanted};

fn lost(reason: String) -> Failure {
    Failure { analyzer: AnalyzerId::Decode, kind: FailureKind::Permanent, reason }
}

/// Whether a scan would register a file that begins like this.
fn is_picture(uri: &str, bytes: &[u8]) -> bool {
    let path = path_of_uri(uri).unwrap_or_default();
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    is_candidate(&bytes[..bytes.len().min(SNIFF_BYTES)], extension.as_deref())
}

/// A place with its content. The time of the file's change is unknown here: a scan reads the file once more.
fn found(uri: String, bytes: &[u8], lane: Lane, owner: Option<Owner>) -> FoundFile {
    let stamp = FileStamp { bytes: bytes.len() as u64, modified_ns: 0 };
    FoundFile { uri, stamp, hash: Fingerprint::of(bytes), lane, owner }
}

impl Walk {
    /// The bytes of a job's asset from the first of its places that still has them, or why there are none. A place that
    /// cannot be reached now may have them: then it is not known that they are lost.
    pub(super) async fn fetch(
        &self,
        job: &AnalyzeAsset,
        occupied: &Arc<Occupied>,
    ) -> Result<Result<Vec<u8>, Failure>, WalkError> {
        let mut failure: Option<Failure> = None;
        let mut gone = Vec::new();
        let mut fetched = None;
        for uri in &job.uris {
            let error = match self.fetch_within(uri, occupied).await {
                Ok(bytes) if self.is(&job.asset, &bytes).await? => {
                    fetched = Some(bytes);
                    break;
                }
                Ok(bytes) if is_picture(uri, &bytes) => {
                    self.changed(job, uri, &bytes).await?;
                    lost(format!("fetch {uri}: there is another picture now, which is looked at by itself"))
                }
                Ok(_) => {
                    gone.push(uri.clone());
                    lost(format!("fetch {uri}: there is something else now, and no picture"))
                }
                Err(error) => {
                    if matches!(error, FetchError::Gone { .. }) {
                        gone.push(uri.clone());
                    }
                    disposition::of_fetch(&error)
                }
            };
            if failure.as_ref().is_none_or(|failure| failure.kind == FailureKind::Permanent) {
                failure = Some(error);
            }
        }
        self.note_gone(&gone).await;
        let nowhere = || lost("fetch: the asset has no place any more".to_owned());
        Ok(fetched.ok_or_else(|| failure.unwrap_or_else(nowhere)))
    }

    /// Whether these bytes are a file of this asset.
    async fn is(&self, asset: &AssetId, bytes: &[u8]) -> Result<bool, WalkError> {
        let found = Fingerprint::of(bytes);
        Ok(found.names(asset) || self.identify(found).await? == *asset)
    }

    async fn identify(&self, found: Fingerprint) -> Result<AssetId, WalkError> {
        let known = self.ledger.identify(&[found]).await?.pop();
        Ok(known.unwrap_or_else(|| found.asset_id()))
    }

    /// Registers the other picture that was found at a place of the job's asset. The asset loses the place.
    async fn changed(&self, job: &AnalyzeAsset, uri: &str, bytes: &[u8]) -> Result<(), WalkError> {
        // The ledger knows this place by the address that the job names.
        let file = found(uri.to_owned(), bytes, job.lane, None);
        match self.ledger.register(&[file], &self.wanted()).await {
            Ok(Registered { forgotten: 1.., .. }) => tracing::info!(uri, "a forgotten picture lies here now"),
            Ok(registered) => self.progress.expect_more(registered.new_assets),
            Err(error @ (StoreError::Unfit { .. } | StoreError::Bug { .. })) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot register what has changed");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The bytes at `uri`. A network drive that is gone may never answer: then whatever waits for it keeps `occupied`.
    async fn fetch_within(&self, uri: &str, occupied: &Arc<Occupied>) -> Result<Vec<u8>, FetchError> {
        let limit = self.options.timeout;
        let fetching = {
            let (source, named) = (Arc::clone(&self.source), uri.to_owned());
            let occupied = Arc::clone(occupied);
            tokio::spawn(async move {
                let fetched = source.fetch(&named).await;
                drop(occupied);
                fetched
            })
        };
        let failed = |source| Err(FetchError::Unavailable { uri: uri.to_owned(), source });
        match tokio::time::timeout(limit, fetching).await {
            Ok(fetched) => fetched.unwrap_or_else(|error| failed(io::Error::other(error))),
            Err(_) => {
                occupied.took_too_long();
                let reason = format!("no answer after {} s (work.timeout_seconds)", limit.as_secs_f64());
                failed(io::Error::new(io::ErrorKind::TimedOut, reason))
            }
        }
    }

    /// Notes places without anything. A note that is lost is made again by the next look at the place.
    async fn note_gone(&self, gone: &[String]) {
        if gone.is_empty() {
            return;
        }
        if let Err(error) = self.ledger.note_places(gone, &[]).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot note what is gone");
        }
    }

    /// Enters in the ledger what lies at a place it may not know, if a scan would.
    pub(super) async fn register(
        &self,
        submission: &Submission,
        occupied: &Arc<Occupied>,
    ) -> Result<(AnalyzeAsset, Vec<u8>), WalkError> {
        let Submission { uri: written, owner, lane, alone, correlation, attempts } = submission;
        let refused = |reason| WalkError::Fetch(FetchError::Invalid { uri: written.clone(), reason });
        let uri = normalized(written).map_err(|problem| refused(format!("it {problem}")))?;
        let attempts = attempts + 1;
        let bytes = self.fetch_within(&uri, occupied).await.map_err(|error| match error {
            FetchError::Unavailable { .. } if attempts >= self.options.retry.max_attempts => {
                WalkError::OutOfReach { attempts, source: error }
            }
            error => WalkError::Fetch(error),
        })?;
        if !is_picture(&uri, &bytes) {
            return Err(refused("neither its content nor its name is that of a picture".to_owned()));
        }
        let file = found(uri.clone(), &bytes, *lane, owner.clone());
        let (asset, wanted) = (self.identify(file.hash).await?, self.wanted());
        if self.ledger.submit(&file, &wanted, correlation.as_deref()).await?.forgotten > 0 {
            return Err(WalkError::Forgotten { uri });
        }
        if uri != *written {
            // Before places were normalized it may have been entered as it was written.
            self.note_gone(std::slice::from_ref(written)).await;
        }
        let job = AnalyzeAsset {
            asset,
            uris: vec![uri],
            analyzers: wanted.into_keys().collect(),
            lane: *lane,
            alone: *alone,
        };
        Ok((job, bytes))
    }

    pub(super) fn wanted(&self) -> Wanted {
        let mut wanted = self.pipeline.models().clone();
        wanted.insert(AnalyzerId::Decode, decoder());
        wanted
    }
}
