//! XMP sidecars: what was accepted, beside the files it is about.
//!
//! Originals are never written. A sidecar that is there keeps all that others wrote into it, byte for byte; what docent adds it also
//! notes down in a namespace of its own, and takes out again when it is no longer accepted. What a person wrote is never removed and
//! never replaced. A sidecar that docent does not understand is left as it is, and listed with the reason.
//!
//! `tree` is XML, `packet` the properties in it, `read` what they say about a picture. `wanted` is what was accepted, `merge` brings
//! it into a packet, `sidecar` puts that in its place.

mod encoding;
mod folder;
mod merge;
mod names;
mod packet;
mod read;
mod record;
mod regions;
mod sidecar;
mod tree;
mod value;
mod wanted;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docent_pipelines::image::orientation;
use docent_pipelines::{Fingerprint, Kind};
use serde::{Serialize, Serializer};
use tokio_util::sync::CancellationToken;

pub use self::folder::Naming;
use self::folder::{Folder, Found};
pub use self::merge::{Change, Merged};
pub use self::packet::{List, MAX_BYTES, Packet, PacketError};
pub use self::read::{Metadata, Texts, metadata};
pub use self::regions::{Area, Marked, Regions};
pub use self::sidecar::SidecarError;
use self::sidecar::{Outcome, update};
pub use self::tree::{Tree, TreeError};
pub use self::value::{Item, Value};
pub use self::wanted::Extras;
use self::wanted::{Scope, Wanted};
use super::{Export, Picture};
use crate::assets::{AssetSource, FetchError, Roots, file_uri, path_of_uri};
use crate::scanner::{Looked, look, stamp};
use crate::store::{KnownFile, StoreError};

/// An export into sidecars.
pub struct XmpExport {
    /// Which pictures. Of its filter, only the place counts; `everything` finds what was taken back.
    pub export: Export,
    /// Only what belongs to this kind; what docent wrote of others stays.
    pub kind: Option<Kind>,
    /// What sidecars are called.
    pub naming: Naming,
    /// What is written beyond the usual.
    pub extras: Extras,
    /// Nothing is written; what would be is told.
    pub dry_run: bool,
    /// Reads pictures.
    pub source: Arc<dyn AssetSource>,
    /// The folders that pictures and sidecars may be in.
    pub roots: Roots,
}

/// What became of the sidecar of one picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The place of the picture.
    pub uri: String,
    /// The sidecar; none if its folder cannot be listed.
    #[serde(serialize_with = "readable")]
    pub sidecar: Option<PathBuf>,
    /// What became of it.
    pub state: State,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What changed in it, or would have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What was left as it is, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// JSON holds no names that are not UTF-8.
fn readable<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

/// What became of a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was not there, and is now.
    Created,
    /// It was there, and is another one now.
    Changed,
    /// It says what it is to say.
    Unchanged,
    /// It was not written.
    Failed,
}

/// How many sidecars there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sidecars {
    /// New ones.
    pub created: u64,
    /// Changed ones.
    pub changed: u64,
    /// Those that said it all before.
    pub unchanged: u64,
    /// Those that were not written.
    pub failed: u64,
    /// It was stopped before the end.
    pub interrupted: bool,
}

impl Sidecars {
    fn count(&mut self, state: State) {
        match state {
            State::Created => self.created += 1,
            State::Changed => self.changed += 1,
            State::Unchanged => self.unchanged += 1,
            State::Failed => self.failed += 1,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.created + self.changed + self.unchanged + self.failed
    }
}

/// One place of a picture.
struct Job {
    picture: Picture,
    uri: String,
    path: PathBuf,
    known: KnownFile,
}

impl XmpExport {
    /// Writes all sidecars, one after the other, until done or `stop`. Tells each to `take`; pictures of which there is nothing to say
    /// and that have no sidecar are passed over.
    ///
    /// # Errors
    ///
    /// Those of the ledger and of `take`. What goes wrong with one sidecar is told, and the others are written.
    pub async fn run(
        &self,
        stop: &CancellationToken,
        mut take: impl FnMut(Told) -> anyhow::Result<()>,
    ) -> anyhow::Result<Sidecars> {
        let mut sidecars = Sidecars::default();
        let mut folder = Folder::default();
        let mut portions = self.export.portions().await?;
        while let Some(portion) = portions.next().await? {
            for job in self.jobs(portion).await? {
                if stop.is_cancelled() {
                    sidecars.interrupted = true;
                    return Ok(sidecars);
                }
                if let Some(told) = self.write(job, &mut folder).await? {
                    sidecars.count(told.state);
                    take(told)?;
                }
            }
        }
        Ok(sidecars)
    }

    /// The places of pictures where they still are, as far as they are asked for.
    async fn jobs(&self, pictures: Vec<Picture>) -> Result<Vec<Job>, StoreError> {
        let uris: Vec<String> = pictures.iter().flat_map(|picture| picture.asset.uris.clone()).collect();
        let known = self.export.store.known_files(&uris).await?;
        let place = &self.export.filter.place;
        let mut jobs = Vec::new();
        for picture in pictures {
            for uri in &picture.asset.uris {
                let (Some(known), Some(path)) = (known.get(uri), path_of_uri(uri)) else { continue };
                let is_asked = place.uri_prefix.as_deref().is_none_or(|prefix| is_below(uri, prefix))
                    && (place.owner.is_none() || place.owner == known.owner);
                if is_asked && !known.gone && known.asset == picture.asset.asset_id {
                    let (uri, known) = (uri.clone(), known.clone());
                    jobs.push(Job { picture: picture.clone(), uri, path, known });
                }
            }
        }
        Ok(jobs)
    }

    async fn write(&self, job: Job, folder: &mut Folder) -> anyhow::Result<Option<Told>> {
        let failed = |job: &Job, sidecar: Option<PathBuf>, reason: String| Told {
            uri: job.uri.clone(),
            sidecar,
            state: State::Failed,
            reason: Some(reason),
            changes: Vec::new(),
            notes: Vec::new(),
        };
        let (Some(home), Some(name)) = (job.path.parent(), job.path.file_name()) else { return Ok(None) };
        if folder.path != home {
            let (path, tidy) = (home.to_path_buf(), !self.dry_run);
            let entered = tokio::task::spawn_blocking(move || Folder::enter(&path, tidy)).await?;
            match entered {
                Ok(entered) => *folder = entered,
                // It is looked at again for the next picture.
                Err(_) if job.picture.accepted.is_empty() => return Ok(None),
                Err(error) => return Ok(Some(failed(&job, None, format!("list its folder: {error}")))),
            }
        }
        let Found { name: sidecar, exists, beside } = folder.sidecar(name, self.naming);
        let scope = Scope(self.kind);
        let says_something = job.picture.accepted.iter().any(|accepted| scope.holds(accepted.row.kind));
        if !says_something && !exists {
            return Ok(None);
        }
        let path = home.join(&sidecar);
        let looked_at = path.clone();
        if !says_something && !tokio::task::spawn_blocking(move || sidecar::is_docents(&looked_at)).await? {
            return Ok(None);
        }
        if self.naming == Naming::Adobe
            && let Some(other) = self.sharing(&job, folder.sharing(name)).await?
        {
            let both = format!("{} and {}", name.display(), other.display());
            let reason = format!("{both} would share it; write them with --naming full, or rename one");
            return Ok(Some(failed(&job, Some(path), reason)));
        }
        let (naming, extras, dry, roots) = (self.naming, self.extras, self.dry_run, self.roots.clone());
        let orientation = match self.orientation(&job, scope).await {
            Ok(orientation) => orientation,
            Err(reason) => return Ok(Some(failed(&job, Some(path), reason))),
        };
        let wanted = Wanted::of(&job.picture, scope, extras, orientation);
        let told = tokio::task::spawn_blocking(move || {
            let done = place(&job, &roots).and_then(|()| {
                let create = !wanted.is_empty();
                let done = update(&path, create, dry, |packet| merge::merge(packet, &wanted));
                done.map_err(|error| chain(&error))
            });
            let (state, merged) = match done {
                Ok(Outcome::None) => return None,
                Ok(Outcome::Unchanged(_)) if !says_something => return None,
                Ok(Outcome::Unchanged(merged)) => (State::Unchanged, merged),
                Ok(Outcome::Written { created: true, merged }) => (State::Created, merged),
                Ok(Outcome::Written { created: false, merged }) => (State::Changed, merged),
                Err(reason) => return Some(failed(&job, Some(path), reason)),
            };
            let Merged { changes, mut notes } = merged;
            notes.extend(beside.map(|beside| left_alone(&beside, naming)));
            Some(Told { uri: job.uri, sidecar: Some(path), state, reason: None, changes, notes })
        })
        .await?;
        if told.as_ref().is_some_and(|told| told.state == State::Created) && !exists {
            folder.add(sidecar);
        }
        Ok(told)
    }

    /// The name of another picture among these files.
    async fn sharing(&self, job: &Job, names: Vec<OsString>) -> Result<Option<OsString>, StoreError> {
        if names.is_empty() {
            return Ok(None);
        }
        let uri = |name: &OsString| file_uri(&job.path.with_file_name(name));
        let uris: Vec<String> = names.iter().map(uri).collect();
        let known = self.export.store.known_files(&uris).await?;
        let is_other = |name: &OsString| {
            known.get(&uri(name)).is_some_and(|known| !known.gone && known.asset != job.known.asset)
        };
        Ok(names.into_iter().find(is_other))
    }

    /// EXIF's orientation of a picture's file, 1 where nothing depends on it. An error is a reason.
    async fn orientation(&self, job: &Job, scope: Scope) -> Result<u8, String> {
        let is_place = |kind| matches!(kind, Kind::Object | Kind::Face);
        let accepted = &job.picture.accepted;
        if !accepted.iter().any(|a| is_place(a.row.kind) && scope.holds(a.row.kind) && a.row.region.is_some())
        {
            return Ok(1);
        }
        let bytes = match self.source.fetch(&job.uri).await {
            Ok(bytes) => bytes,
            Err(FetchError::Gone { .. }) => return Err(GONE.to_owned()),
            Err(error) => return Err(chain(&error)),
        };
        if !job.picture.asset.is(&Fingerprint::of(&bytes)) {
            return Err(OTHER.to_owned());
        }
        let read = tokio::task::spawn_blocking(move || orientation(&bytes)).await;
        read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

const GONE: &str = "the picture is no longer there; `docent ingest` notes that";
const OTHER: &str = "the picture is not the one that docent knows; `docent ingest` reads it again";

/// Whether `uri` is this address or one under it.
fn is_below(uri: &str, prefix: &str) -> bool {
    let rest = uri.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

/// Whether the picture at a place still is what was decided about.
fn place(job: &Job, roots: &Roots) -> Result<(), String> {
    let real = roots.allowed(&job.path).map_err(|error| error.to_string());
    let metadata = real.and_then(|real| {
        std::fs::metadata(real).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => GONE.to_owned(),
            _ => error.to_string(),
        })
    })?;
    if stamp(&metadata) == job.known.stamp {
        return Ok(());
    }
    match look(&job.path, roots) {
        Looked::Candidate(file, _) if job.picture.asset.is(&file) => Ok(()),
        Looked::Candidate(..) | Looked::Skipped => Err(OTHER.to_owned()),
        Looked::Unreadable(reason) => Err(reason),
    }
}

fn left_alone(name: &OsString, naming: Naming) -> String {
    let other = match naming {
        Naming::Full => "--naming adobe",
        Naming::Adobe => "--naming full",
    };
    format!("{} is there, too, and stays as it is ({other} writes that one)", Path::new(name).display())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
