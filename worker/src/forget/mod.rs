//! Forgets assets for good: carries orders out, removes what lies outside of the ledger, and keeps memories from remembering.

mod stored;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use docent_pipelines::AssetId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::assets::file_uri;
use crate::store::{
    Forget, ForgetRow, ForgetState, Leftover, MOST_ASSETS, MOST_PLACES, Mark, NewForget, Reviewer, Store,
    StoreError, Toll,
};
use crate::vectors::{IndexError, VectorIndex};

/// Why something is not forgotten, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The order names nothing.
    #[error("the order to forget names nothing")]
    Nothing,
    /// The order names too much by name.
    #[error("one order names {most} {what} at most, and this one {given}")]
    TooMany {
        /// Assets or places.
        what: &'static str,
        /// The limit.
        most: usize,
        /// How many were given.
        given: usize,
    },
    /// A file that docent stored cannot be removed.
    #[error("remove {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Forgets assets.
pub struct Forgetter {
    store: Arc<dyn Store>,
    index: Arc<dyn VectorIndex>,
    /// The folder of uploads. Files elsewhere belong to others.
    uploads: Option<PathBuf>,
}

/// Leftovers removed together.
const PORTION: u32 = 1000;
/// Pause between two looks for orders.
const REST: Duration = Duration::from_secs(5);
/// What runs may have left that were in work is looked for so often.
const LATE: Duration = Duration::from_secs(60);
/// What others have forgotten leaves this process's memory after this time at most.
const MEMORY: Duration = Duration::from_secs(5);
/// Marks read together.
const MARKS: u32 = 10_000;

impl Forgetter {
    /// Forgets what `store` and `index` hold, and files that docent stored in `uploads`.
    pub fn new(store: Arc<dyn Store>, index: Arc<dyn VectorIndex>, uploads: Option<PathBuf>) -> Self {
        Self { store, index, uploads }
    }

    fn folder(&self) -> Option<String> {
        self.uploads.as_deref().map(file_uri)
    }

    /// What forgetting would cost now.
    ///
    /// # Errors
    ///
    /// If the order names nothing or too much, or the ledger cannot be asked.
    pub async fn preview(&self, what: &Forget) -> Result<Toll, ForgetError> {
        check(what)?;
        let folder = self.folder();
        let (mut toll, mut seen, mut after) = (Toll::default(), HashSet::new(), None);
        loop {
            let named = self.store.named(what, after.as_deref()).await?;
            let new: Vec<AssetId> =
                named.assets.into_iter().filter(|asset| seen.insert(asset.clone())).collect();
            if !new.is_empty() {
                toll += self.store.toll(what, &new, folder.as_deref()).await?;
            }
            after = named.next;
            if after.is_none() {
                return Ok(toll);
            }
        }
    }

    /// Writes an order down. [`Forgetter::step`] carries it out, here or in another process.
    ///
    /// # Errors
    ///
    /// If the order names nothing or too much, or the ledger cannot be written.
    pub async fn start(&self, what: Forget, by: Reviewer) -> Result<ForgetRow, ForgetError> {
        check(&what)?;
        Ok(self.store.start_forgetting(&NewForget { what, uploads: self.folder(), by }).await?)
    }

    /// Goes on with this order, or with the oldest that is not done: a portion, and all that follows from it. Answers how it
    /// stands then; `None` if there is nothing to do, or another process is at it.
    ///
    /// # Errors
    ///
    /// If something cannot be removed now. The ledger may have forgotten it by then; the rest follows with a later call.
    pub async fn step(&self, id: Option<i64>) -> Result<Option<ForgetRow>, ForgetError> {
        let Some(row) = self.store.forget_portion(id, self.folder().as_deref()).await? else {
            return Ok(None);
        };
        self.clear().await?;
        match row.state {
            ForgetState::Clearing => Ok(Some(self.store.finish_forgetting(row.id).await?)),
            _ => Ok(Some(row)),
        }
    }

    /// Removes what is left outside of the ledger.
    async fn clear(&self) -> Result<(), ForgetError> {
        let folder = self.folder();
        loop {
            let left = self.store.leftovers(folder.as_deref(), PORTION).await?;
            if left.is_empty() {
                return Ok(());
            }
            let mut assets: Vec<AssetId> = left
                .iter()
                .filter(|leftover| leftover.file.is_none())
                .map(|leftover| leftover.asset.clone())
                .collect();
            assets.sort();
            assets.dedup();
            if !assets.is_empty() {
                self.index.forget(&assets).await?;
            }
            let (cleared, failed) = self.remove_files(left).await;
            self.store.cleared(&cleared).await?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }

    /// Removes the files among leftovers. Answers what is cleared then, and the first failure.
    async fn remove_files(&self, left: Vec<Leftover>) -> (Vec<Leftover>, Option<ForgetError>) {
        let root = self.uploads.clone();
        let remove = move || {
            let (mut cleared, mut failed) = (Vec::with_capacity(left.len()), None);
            for leftover in left {
                match (&leftover.file, &root) {
                    (Some(file), Some(root)) => {
                        match stored::remove(root, file, &leftover.asset, leftover.id) {
                            Ok(()) => cleared.push(leftover),
                            Err(error) => failed = failed.or(Some(error)),
                        }
                    }
                    _ => cleared.push(leftover),
                }
            }
            (cleared, failed)
        };
        match tokio::task::spawn_blocking(remove).await {
            Ok(removed) => removed,
            Err(error) => {
                let source = error.into();
                (Vec::new(), Some(StoreError::Bug { operation: "remove uploaded files", source }.into()))
            }
        }
    }

    /// Goes on with orders in the background until `stop`, also with those of processes that died. Retries what fails.
    pub async fn run(&self, stop: &CancellationToken) {
        let (mut failing, mut late) = (false, Instant::now());
        loop {
            let work = async {
                let stepped = self.step(None).await?;
                if stepped.is_none() && late.elapsed() >= LATE {
                    late = Instant::now();
                    self.clear().await?;
                }
                // One that waits for a file that cannot be removed is not tried again at once.
                Ok::<_, ForgetError>(stepped.is_some_and(|row| row.state == ForgetState::Open))
            };
            // A portion is a transaction: one that is given up half-way is none. What it leaves outside is noted.
            let goes_on = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                worked = work => worked,
            };
            if let Err(error) = &goes_on
                && !failing
            {
                tracing::warn!(error = error as &dyn std::error::Error, "forgetting has to wait");
            }
            failing = goes_on.is_err();
            if !goes_on.unwrap_or(false) && stop.run_until_cancelled(tokio::time::sleep(REST)).await.is_none()
            {
                return;
            }
        }
    }

    /// Removes what this process or others forget from this process's memory until `stop`: from the index, and from whatever
    /// `told` knows of.
    pub async fn follow(&self, stop: &CancellationToken, told: impl Fn(&HashSet<Mark>)) {
        let mut newest = None;
        loop {
            let looked = async {
                let after = match newest {
                    Some(after) => after,
                    // This process remembers nothing yet.
                    None => self.store.newest_mark().await?,
                };
                newest = Some(after);
                let marks = self.store.marks_after(after, MARKS).await?;
                if let Some((last, _)) = marks.last() {
                    let last = *last;
                    let marks: HashSet<Mark> = marks.into_iter().map(|(_, mark)| mark).collect();
                    told(&marks);
                    self.drop_held(marks).await?;
                    newest = Some(last);
                }
                Ok::<(), ForgetError>(())
            };
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = looked => looked,
            };
            if let Err(error) = looked {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for what was forgotten"
                );
            }
            if stop.run_until_cancelled(tokio::time::sleep(MEMORY)).await.is_none() {
                return;
            }
        }
    }

    async fn drop_held(&self, marks: HashSet<Mark>) -> Result<(), ForgetError> {
        let held = self.index.held().await;
        let marked = move || {
            let mut gone: Vec<AssetId> =
                held.into_iter().filter(|asset| marks.contains(&Mark::of(asset))).collect();
            gone.sort();
            gone.dedup();
            gone
        };
        let gone = tokio::task::spawn_blocking(marked).await.unwrap_or_default();
        if gone.is_empty() { Ok(()) } else { Ok(self.index.forget(&gone).await?) }
    }
}

fn check(what: &Forget) -> Result<(), ForgetError> {
    if what.is_empty() {
        return Err(ForgetError::Nothing);
    }
    for (name, most, given) in
        [("pictures", MOST_ASSETS, what.assets.len()), ("places", MOST_PLACES, what.places.len())]
    {
        if given > most {
            return Err(ForgetError::TooMany { what: name, most, given });
        }
    }
    Ok(())
}
