//! What was accepted, for other programs.
//!
//! A form turns a picture with what was accepted about it into bytes. Pictures come in the order of their places, so that two
//! exports can be compared; those that are nowhere any more are left out. Memory does not depend on the size of the archive.

mod annotation;
mod lines;
mod table;
pub mod xmp;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use annotation::Annotations;
use docent_pipelines::vocabulary::Vocabulary;
use docent_pipelines::{AssetId, Status, SuggestionId};
pub use lines::Lines;
use serde::Serialize;
pub use table::Csv;

use crate::store::{
    Arrangement, AssetFilter, AssetRow, Decided, Page, ReviewFilter, Store, StoreError, SuggestionFilter,
    SuggestionRow,
};

/// Pictures that are looked up together.
const PAGE: u32 = 200;
/// Entries of the log that are read together.
const ENTRIES: u32 = 1000;

/// A form of an export.
pub trait Form {
    /// What comes before the first picture.
    fn head(&self) -> Vec<u8> {
        Vec::new()
    }

    /// A picture with what was accepted about it, which is nothing if that was taken back.
    fn picture(&self, picture: &Picture) -> Vec<u8>;
}

/// A picture with what was accepted about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The picture.
    pub asset: AssetRow,
    /// What was accepted, by kind and falling confidence.
    pub accepted: Vec<Accepted>,
}

/// Something that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// What.
    pub row: SuggestionRow,
    /// By whom and when, if the log tells.
    pub decided: Option<Decided>,
    /// The term that it says.
    pub term: Option<TermName>,
}

/// A term as other programs know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TermName {
    /// docent's id of it.
    pub id: String,
    /// Its address in a thesaurus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The names from a top term down to it.
    pub path: Vec<String>,
}

/// What is exported.
pub struct Export {
    /// From here.
    pub store: Arc<dyn Store>,
    /// Which pictures.
    pub filter: AssetFilter,
    /// Also pictures about which nothing is accepted.
    pub everything: bool,
    /// Only pictures about which somebody decided since then, in milliseconds since 1970; also those of which nothing is left.
    pub since: Option<i64>,
}

impl Export {
    /// Gives each picture to `form`, and its bytes to `take`. Answers how many pictures there were.
    ///
    /// # Errors
    ///
    /// Those of the ledger and of `take`.
    pub async fn run(
        &self,
        form: &dyn Form,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        take(&form.head())?;
        let mut pictures = 0;
        let mut portions = self.portions().await?;
        while let Some(portion) = portions.next().await? {
            for picture in portion {
                pictures += 1;
                take(&form.picture(&picture))?;
            }
        }
        Ok(pictures)
    }

    /// The pictures, in portions.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub async fn portions(&self) -> Result<Portions<'_>, StoreError> {
        let rest = match self.since {
            None => Rest::From(None),
            Some(since) => {
                let decided: Vec<AssetId> = self.decided_since(since).await?.into_iter().collect();
                Rest::Decided(decided.chunks(PAGE as usize).map(<[AssetId]>::to_vec).collect())
            }
        };
        Ok(Portions { export: self, known: self.store.vocabulary().await?, rest })
    }

    /// The pictures about which somebody decided.
    async fn decided_since(&self, since: i64) -> Result<BTreeSet<AssetId>, StoreError> {
        let filter = ReviewFilter { since: Some(since), ..ReviewFilter::default() };
        let (mut assets, mut after) = (BTreeSet::new(), None);
        loop {
            let listed = self.store.review_log(&filter, &Page { limit: ENTRIES, after }).await?;
            assets.extend(listed.rows.into_iter().map(|entry| entry.asset_id));
            after = listed.next;
            if after.is_none() {
                return Ok(assets);
            }
        }
    }

    /// What was accepted about these pictures.
    async fn accepted(
        &self,
        assets: &[AssetId],
        known: &Vocabulary,
    ) -> Result<HashMap<AssetId, Vec<Accepted>>, StoreError> {
        let mut accepted: HashMap<AssetId, Vec<Accepted>> = HashMap::new();
        if assets.is_empty() {
            return Ok(accepted);
        }
        let filter = SuggestionFilter {
            status: Some(Status::Accepted),
            kind: self.filter.kind,
            assets: assets.to_vec(),
            ..SuggestionFilter::default()
        };
        let mut after = None;
        loop {
            let listed = self.store.suggestions(&filter, &Page { limit: ENTRIES, after }).await?;
            let ids: Vec<SuggestionId> = listed.rows.iter().map(|row| row.id.clone()).collect();
            let mut decided: HashMap<SuggestionId, Decided> =
                self.store.decisions(&ids).await?.into_iter().collect();
            for row in listed.rows {
                let term = row.term.as_ref().and_then(|id| known.term(id)).map(|term| TermName {
                    id: term.id.to_string(),
                    uri: term.uri.clone(),
                    path: known.path(term).split(" > ").map(str::to_owned).collect(),
                });
                let decided = decided.remove(&row.id);
                accepted.entry(row.asset_id.clone()).or_default().push(Accepted { row, decided, term });
            }
            after = listed.next;
            if after.is_none() {
                return Ok(accepted);
            }
        }
    }
}

/// The pictures of an export, in portions of one lookup each.
pub struct Portions<'a> {
    export: &'a Export,
    known: Arc<Vocabulary>,
    rest: Rest,
}

/// What is still to come.
enum Rest {
    /// All places after this one.
    From(Option<String>),
    /// These pictures.
    Decided(VecDeque<Vec<AssetId>>),
    Nothing,
}

impl Portions<'_> {
    /// The next pictures, which may be none; `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub async fn next(&mut self) -> Result<Option<Vec<Picture>>, StoreError> {
        let Export { store, filter, everything, .. } = self.export;
        let assets = match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Nothing => return Ok(None),
            Rest::From(after) => {
                let status = Some(Status::Accepted).filter(|_| !everything);
                let filter = AssetFilter { status, ..filter.clone() };
                let listed =
                    store.arranged(&filter, Arrangement::Place, &Page { limit: PAGE, after }).await?;
                if listed.next.is_some() {
                    self.rest = Rest::From(listed.next);
                }
                listed.rows
            }
            Rest::Decided(mut chunks) => {
                let Some(ids) = chunks.pop_front() else { return Ok(None) };
                self.rest = Rest::Decided(chunks);
                let passing = store.passing(filter, &ids).await?;
                let ids: Vec<AssetId> = ids.into_iter().filter(|id| passing.contains(id)).collect();
                let mut assets = store.assets(&ids).await?;
                assets.retain(|asset| !asset.gone);
                assets.sort_by(|a, b| a.uris.cmp(&b.uris));
                assets
            }
        };
        let ids: Vec<AssetId> = assets.iter().map(|asset| asset.asset_id.clone()).collect();
        let mut accepted = self.export.accepted(&ids, &self.known).await?;
        let pictures = assets.into_iter().map(|asset| {
            let accepted = accepted.remove(&asset.asset_id).unwrap_or_default();
            Picture { asset, accepted }
        });
        Ok(Some(pictures.collect()))
    }
}
