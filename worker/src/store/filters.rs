//! Which rows a listing gives, in which order, and in which portions.

use docent_pipelines::{AssetId, Kind, Owner, Status, SuggestionId};
use serde::{Deserialize, Serialize};

/// Which places. What is asked must be true of one place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaceFilter {
    /// This `file://` address, or under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri_prefix: Option<String>,
    /// Of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl PlaceFilter {
    /// Whether every place passes, and assets without one.
    pub fn is_empty(&self) -> bool {
        self.uri_prefix.is_none() && self.owner.is_none()
    }
}

/// Which suggestions. A job keeps it as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SuggestionFilter {
    /// Only this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Only this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// No proposals, unless they are the kind that is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_proposals: bool,
    /// Only this asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetId>,
    /// Only these assets, where there are any here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<AssetId>,
    /// Only these suggestions, where there are any here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<SuggestionId>,
    /// Only assets that can be looked at; see [`AssetFilter::viewable`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub viewable: bool,
    /// Only from this confidence on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<f64>,
    /// Only this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Only assets with such a place.
    #[serde(flatten)]
    pub place: PlaceFilter,
}

/// A number of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// So many at least.
    pub count: u64,
    /// There may be more: counting stopped at 10,000, or where it would have taken too long.
    pub more: bool,
}

/// Which assets.
#[derive(Debug, Clone, Default)]
pub struct AssetFilter {
    /// With a pending or accepted tag of this value.
    pub tag: Option<String>,
    /// With a suggestion of this kind. What is asked by kind, status and confidence must be true of one suggestion,
    /// which is pending or accepted where no status is asked for.
    pub kind: Option<Kind>,
    /// Proposals do not count, unless they are the kind that is asked for.
    pub no_proposals: bool,
    /// With such a place.
    pub place: PlaceFilter,
    /// With a suggestion in this status.
    pub status: Option<Status>,
    /// With a suggestion of at least this confidence.
    pub min_confidence: Option<f64>,
    /// That can be looked at: still at a place, one as asked for where places are, and not found to be undecodable.
    pub viewable: bool,
}

/// Orders of assets by their places. An asset stands where it is first by its address, of the places that are asked for;
/// one that is nowhere any more is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// By address: folders, and names in them.
    Place,
    /// By the time at which the file was changed last, newest first.
    Date,
}

impl AssetFilter {
    /// Whether every asset passes.
    pub fn is_empty(&self) -> bool {
        self.tag.is_none()
            && self.kind.is_none()
            && self.place.is_empty()
            && self.status.is_none()
            && self.min_confidence.is_none()
            && !self.viewable
    }
}

/// Which part of a listing.
#[derive(Debug, Clone)]
pub struct Page {
    /// At most this many rows; implementations cap it at 1000.
    pub limit: u32,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// A page of a listing.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Give this as `after` for the next page; `None` at the end.
    pub next: Option<String>,
}
