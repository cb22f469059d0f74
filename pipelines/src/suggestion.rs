//! Suggestions: what networks say about an asset, before and after a decision.

use std::fmt;
use std::str::FromStr;

use docent_models::ModelRef;
use serde::{Deserialize, Serialize};

use crate::AnalyzerId;
use crate::asset::{AssetId, derived_id, is_derived_id};
use crate::vocabulary::TermId;

/// What a suggestion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A word for the whole picture.
    Tag,
    /// A sentence for the whole picture.
    Caption,
    /// A thing at a place.
    Object,
    /// A human face at a place; the value is `face`.
    Face,
    /// The expression of a face.
    Emotion,
    /// Text read in the picture.
    Text,
    /// A word for the whole picture that is in no vocabulary yet.
    Proposal,
    /// A short text for people who do not see the picture.
    AltText,
}

/// The state of a suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has decided.
    Pending,
    /// A person, or a rule a person set, made it metadata.
    Accepted,
    /// A permanent veto: it is never raised again unless undone.
    Rejected,
    /// A later run of its analyzer no longer raises it.
    Superseded,
}

/// A probability-like score in 0..=1, rounded to four decimals so that stored rows do not depend on
/// the last bits of a sum.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Confidence(f64);

/// A part of the upright picture, as fractions of its width and height, rounded to four decimals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Left edge, 0..=1.
    pub x: f64,
    /// Top edge, 0..=1.
    pub y: f64,
    /// 0..=1, at most `1 - x`.
    pub width: f64,
    /// 0..=1, at most `1 - y`.
    pub height: f64,
}

/// A suggestion's id: 32 lower-case hexadecimal digits derived from what it says, so that a repeated run
/// writes the same row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SuggestionId(String);

/// One thing a network says about one asset.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// Derived from asset, kind, value and region.
    pub id: SuggestionId,
    /// The asset it is about.
    pub asset: AssetId,
    /// Which analyzer raised it; a re-run of that analyzer replaces its pending suggestions.
    pub analyzer: AnalyzerId,
    /// What it is about.
    pub kind: Kind,
    /// The word, sentence or text.
    pub value: String,
    /// How sure the network is.
    pub confidence: Confidence,
    /// Where in the picture, if anywhere in particular.
    pub region: Option<Region>,
    /// Broader tags that it implies, nearest first: they are accepted with it.
    pub implies: Vec<String>,
    /// The vocabulary's term that it says.
    pub term: Option<TermId>,
    /// The model that says it.
    pub model: ModelRef,
}

/// From this overlap (intersection over union) on, two regions of the same kind and value are the same claim.
/// 0.5 is the usual matching threshold of object detection benchmarks.
const SAME_REGION_IOU: f64 = 0.5;

impl Suggestion {
    /// A suggestion with its derived id.
    pub fn new(asset: AssetId, analyzer: AnalyzerId, claim: Claim, model: ModelRef) -> Self {
        let region =
            claim.region.map_or_else(String::new, |r| format!("{},{},{},{}", r.x, r.y, r.width, r.height));
        let mut parts = vec![
            asset.as_str().as_bytes(),
            claim.kind.as_str().as_bytes(),
            claim.value.as_bytes(),
            region.as_bytes(),
        ];
        // A word may come from a classifier, from a thing, from the vocabulary and from an earlier version, each with a life of its own.
        let is_apart = match analyzer {
            AnalyzerId::Terms | AnalyzerId::Predecessor => true,
            AnalyzerId::Objects => claim.kind == Kind::Tag,
            _ => false,
        };
        if is_apart {
            parts.push(analyzer.as_str().as_bytes());
        }
        let id = derived_id(&parts);
        Self {
            id: SuggestionId(id),
            asset,
            analyzer,
            kind: claim.kind,
            value: claim.value,
            confidence: claim.confidence,
            region: claim.region,
            implies: claim.implies,
            term: None,
            model,
        }
    }

    /// Whether `decided` already answers this suggestion: the same kind and value, and, where both have a region,
    /// regions that overlap. A suggestion that is answered must not be raised again.
    pub fn is_answered_by(&self, decided: &Claim) -> bool {
        self.kind == decided.kind
            && self.value == decided.value
            && match (self.region, decided.region) {
                (Some(a), Some(b)) => a.iou(b) >= SAME_REGION_IOU,
                _ => true,
            }
    }
}

/// What a suggestion says, without its asset and its model.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// What it is about.
    pub kind: Kind,
    /// The word, sentence or text.
    pub value: String,
    /// How sure the network is.
    pub confidence: Confidence,
    /// Where in the picture, if anywhere in particular.
    pub region: Option<Region>,
    /// Broader tags that it implies, nearest first.
    pub implies: Vec<String>,
}

impl Kind {
    /// All kinds. Ledgers keep their places in this list: a new one comes last.
    pub const ALL: [Self; 8] = [
        Self::Tag,
        Self::Caption,
        Self::Object,
        Self::Face,
        Self::Emotion,
        Self::Text,
        Self::Proposal,
        Self::AltText,
    ];

    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Caption => "caption",
            Self::Object => "object",
            Self::Face => "face",
            Self::Emotion => "emotion",
            Self::Text => "text",
            Self::Proposal => "proposal",
            Self::AltText => "alt_text",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            format!("'{text}' is not a kind (tag, caption, object, face, emotion, text, proposal, alt_text)")
        })
    }
}

impl Status {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Accepted, Self::Rejected, Self::Superseded];

    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a status (pending, accepted, rejected, superseded)"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Confidence {
    /// Clamps to 0..=1 and rounds; NaN becomes 0.
    pub fn new(value: f64) -> Self {
        if value.is_nan() { Self(0.0) } else { Self(round4(value.clamp(0.0, 1.0))) }
    }

    /// 0..=1.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Region {
    /// The region from `(x1, y1)` to `(x2, y2)` given as fractions, clamped into the picture and rounded;
    /// `None` if nothing of it remains.
    pub fn from_corners(x1: f64, y1: f64, x2: f64, y2: f64) -> Option<Self> {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(|v| round4(v.clamp(0.0, 1.0)));
        // `!(a > b)` also refuses NaN.
        if !(x2 > x1 && y2 > y1) {
            return None;
        }
        Some(Self { x: x1, y: y1, width: round4(x2 - x1), height: round4(y2 - y1) })
    }

    /// The region a model's box covers in a `width` x `height` picture.
    pub fn from_box(b: docent_models::BoundingBox, width: u32, height: u32) -> Option<Self> {
        let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
        Self::from_corners(f64::from(b.x1) / w, f64::from(b.y1) / h, f64::from(b.x2) / w, f64::from(b.y2) / h)
    }

    /// Intersection over union, 0..=1.
    pub fn iou(self, other: Self) -> f64 {
        let overlap =
            |a: f64, a_len: f64, b: f64, b_len: f64| ((a + a_len).min(b + b_len) - a.max(b)).max(0.0);
        let intersection = overlap(self.x, self.width, other.x, other.width)
            * overlap(self.y, self.height, other.y, other.height);
        let union = self.width * self.height + other.width * other.height - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }
}

fn round4(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl SuggestionId {
    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SuggestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<SuggestionId> for String {
    fn from(id: SuggestionId) -> Self {
        id.0
    }
}

impl TryFrom<String> for SuggestionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_derived_id(&text) {
            Ok(Self(text))
        } else {
            Err(format!("'{text}' is not a suggestion id (32 hexadecimal digits)"))
        }
    }
}
