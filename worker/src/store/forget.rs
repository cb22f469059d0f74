//! Forgetting assets for good: what is asked for, what is left of it, and what does not come back.

use std::fmt;

use async_trait::async_trait;
use docent_pipelines::{AssetId, Owner};
use serde::{Deserialize, Serialize};

use super::{Page, Paged, Reviewer, StoreError};

/// What is to be forgotten: whatever one of these names.
///
/// An asset that is named by its id goes as a whole. One that is named by its places goes if it lies nowhere else; otherwise
/// it only loses these places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// These assets, [`MOST_ASSETS`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<AssetId>,
    /// Places at or below these `file://` addresses, [`MOST_PLACES`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// Places of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Assets that lie nowhere any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

/// Assets that one order names.
pub const MOST_ASSETS: usize = 1000;
/// Places that one order names.
pub const MOST_PLACES: usize = 100;

impl Forget {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How one asset after the other is found. Each way has its order.
    pub(super) fn ways(&self) -> Vec<Way<'_>> {
        let mut assets: Vec<&AssetId> = self.assets.iter().collect();
        assets.sort();
        assets.dedup();
        let mut ways = Vec::new();
        if !assets.is_empty() {
            ways.push(Way::Assets(assets));
        }
        ways.extend(self.places.iter().map(|place| Way::Below(place)));
        ways.extend(self.owner.as_ref().map(Way::Owner));
        ways.extend(self.missing.then_some(Way::Missing));
        ways
    }
}

/// A way to what is to be forgotten.
#[derive(Debug)]
pub(super) enum Way<'a> {
    /// By their ids, in order.
    Assets(Vec<&'a AssetId>),
    /// By their places, at or below this one.
    Below(&'a str),
    /// By the owner of their places.
    Owner(&'a Owner),
    /// All assets, in the order of their ids, of which those that lie nowhere are meant.
    Missing,
}

/// Where a portion ended: the number of the way, and the last thing that it met.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub way: usize,
    pub after: String,
    /// When the asset that it met last was registered, where that is the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
}

impl Cursor {
    pub fn read(text: Option<&str>) -> Result<Self, StoreError> {
        let Some(text) = text else { return Ok(Self::default()) };
        serde_json::from_str(text).map_err(|_| StoreError::InvalidCursor(text.to_owned()))
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Assets that a portion meets: others wait for it less than half a second.
pub(super) const FORGOTTEN_AT_ONCE: usize = 200;

/// A portion of what an order names.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Assets, or some of their places, each once.
    pub assets: Vec<AssetId>,
    /// Where the next portion begins; `None` at the end.
    pub next: Option<String>,
}

/// What forgetting costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Toll {
    /// Assets that go.
    pub assets: u64,
    /// Places that go, those of assets that stay among them.
    pub places: u64,
    /// Suggestions that go.
    pub suggestions: u64,
    /// Those of them that are accepted or rejected.
    pub decisions: u64,
    /// Files that go because docent itself stored them.
    pub files: u64,
    /// Assets that also lie elsewhere, and only lose places.
    pub kept: u64,
}

impl std::ops::AddAssign for Toll {
    fn add_assign(&mut self, other: Self) {
        self.assets += other.assets;
        self.places += other.places;
        self.suggestions += other.suggestions;
        self.decisions += other.decisions;
        self.files += other.files;
        self.kept += other.kept;
    }
}

/// An order to forget.
#[derive(Debug, Clone)]
pub struct NewForget {
    /// What.
    pub what: Forget,
    /// The `file://` address of the folder in which docent keeps uploads; files below it are docent's own.
    pub uploads: Option<String>,
    /// Who asks.
    pub by: Reviewer,
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ForgetState {
    /// Portions are left.
    Open,
    /// The ledger has forgotten. What lies in the index and on disk goes.
    Clearing,
    /// Nothing is left.
    Done,
}

impl ForgetState {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Clearing => "clearing",
            Self::Done => "done",
        }
    }
}

impl std::str::FromStr for ForgetState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Open, Self::Clearing, Self::Done]
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| format!("'{name}' is no state"))
    }
}

impl fmt::Display for ForgetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An entry of the log of forgetting. It says nothing of what was forgotten.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForgetRow {
    /// Its number.
    pub id: i64,
    /// How far it is.
    pub state: ForgetState,
    /// What it has removed so far.
    #[serde(flatten)]
    pub toll: Toll,
    /// The person.
    pub reviewer: String,
    /// Through what.
    pub client: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// Something of a forgotten asset that lies outside of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its number.
    pub id: i64,
    /// The asset.
    pub asset: AssetId,
    /// A file that docent stored; `None` for the asset's vectors in the index.
    pub file: Option<StoredFile>,
}

/// A file that docent stored, and what it holds as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its `file://` address.
    pub uri: String,
    /// The hash of its bytes, as 64 digits.
    pub content_hash: Option<String>,
    /// The hash of its picture, as 64 digits.
    pub picture: Option<String>,
}

/// What the ledger knows a forgotten picture by: 32 lower-case hexadecimal digits, a hash of its hash. Who has the
/// picture can compute it. Nobody can compute the picture or its id from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mark(String);

impl Mark {
    /// The mark of an asset, by its id or by the id that a file of it would have.
    pub fn of(asset: &AssetId) -> Self {
        let key = blake3::derive_key("docent forgotten picture 1", asset.as_str().as_bytes());
        let mut digits = blake3::Hash::from_bytes(key).to_hex().to_string();
        digits.truncate(32);
        Self(digits)
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.0
    }
}

impl TryFrom<String> for Mark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_mark = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_mark { Ok(Self(text)) } else { Err(format!("'{text}' is not 32 hexadecimal digits")) }
    }
}

/// A picture that does not come back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarkRow {
    /// Its mark.
    pub mark: Mark,
    /// The order by which it was forgotten.
    pub forgetting: i64,
    /// RFC 3339.
    pub at: String,
}

/// Forgetting. Guarantees of every implementation:
/// - A portion is one transaction: an asset is there as a whole or not at all, and its mark is there with its absence. What
///   [`super::Ledger::register`] and [`super::Ledger::record`] do meanwhile comes before or after.
/// - Of a forgotten asset nothing is left but its mark, and its [`Leftover`]s until they are cleared. Its entries of the
///   review log go with it; the entry of the order stays, and is never changed once it is done.
/// - A process that dies leaves an order that another one goes on with. Two processes never make the same portion.
/// - Every statement finds its rows by an index.
#[async_trait]
pub trait Forgetting: Send + Sync {
    /// Writes an order down; [`Forgetting::forget_portion`] carries it out.
    async fn start_forgetting(&self, order: &NewForget) -> Result<ForgetRow, StoreError>;

    /// Makes a portion of this order, or of the oldest that has some left, where its folder of uploads is this one. Answers how
    /// it stands then; `None` if there is nothing to do, or another process is at it.
    async fn forget_portion(
        &self,
        id: Option<i64>,
        uploads: Option<&str>,
    ) -> Result<Option<ForgetRow>, StoreError>;

    /// What is to be removed outside of the ledger by now; files only of orders with this folder of uploads.
    async fn leftovers(&self, uploads: Option<&str>, limit: u32) -> Result<Vec<Leftover>, StoreError>;

    /// These leftovers are removed.
    async fn cleared(&self, leftovers: &[Leftover]) -> Result<(), StoreError>;

    /// Ends an order that is clearing and has nothing left, and makes sure that the ledger's own files hold nothing of it any
    /// more. Answers how it stands then.
    async fn finish_forgetting(&self, id: i64) -> Result<ForgetRow, StoreError>;

    /// The next portion of what an order names, after the `next` of the portion before.
    async fn named(&self, what: &Forget, after: Option<&str>) -> Result<Named, StoreError>;

    /// What forgetting these assets, as far as `what` names them, would cost now.
    async fn toll(
        &self,
        what: &Forget,
        assets: &[AssetId],
        uploads: Option<&str>,
    ) -> Result<Toll, StoreError>;

    /// One entry of the log of forgetting.
    async fn forgetting(&self, id: i64) -> Result<ForgetRow, StoreError>;

    /// The log of forgetting, newest entry first.
    async fn forgettings(&self, page: &Page) -> Result<Paged<ForgetRow>, StoreError>;

    /// What does not come back, newest first.
    async fn marks(&self, page: &Page) -> Result<Paged<MarkRow>, StoreError>;

    /// Marks in the order in which they came, after the one with this number, each with its own.
    async fn marks_after(&self, sequence: i64, limit: u32) -> Result<Vec<(i64, Mark)>, StoreError>;

    /// The number of the newest mark; 0 where there is none.
    async fn newest_mark(&self) -> Result<i64, StoreError>;

    /// Lets a picture come back when it is found again. Answers whether it was marked.
    async fn readmit(&self, mark: &Mark) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use docent_pipelines::asset::ContentHash;

    use super::*;

    #[test]
    fn a_mark_is_an_asset_s_own_and_does_not_show_it() {
        let [one, other] = [1_u8, 2].map(|number| ContentHash::of(&[number]).asset_id());
        let mark = Mark::of(&one);
        assert!(mark == Mark::of(&one) && mark != Mark::of(&other));
        assert_ne!(mark.as_str(), one.as_str());
        assert_eq!(Mark::try_from(mark.to_string()), Ok(mark));
        assert!(Mark::try_from("abc".to_owned()).is_err());
    }

    #[test]
    fn each_name_is_a_way() {
        let asset = ContentHash::of(&[1]).asset_id();
        let what = Forget {
            assets: vec![asset.clone(), asset],
            places: vec!["file:///a".to_owned(), "file:///b".to_owned()],
            owner: None,
            missing: true,
        };
        let ways = what.ways();
        assert!(
            matches!(&ways[..], [Way::Assets(one), Way::Below(_), Way::Below(_), Way::Missing] if one.len() == 1)
        );
        assert!(Forget::default().ways().is_empty() && Forget::default().is_empty() && !what.is_empty());
    }
}
