//! The API's words for kinds, states and places, and what every listing shares. Conversions are exhaustive, so the
//! document cannot fall behind the code.

use std::path::Path;

use docent_pipelines::{Owner, suggestion};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::ApiError;
use crate::assets::{file_uri, is_file_uri, normalized};
use crate::store::{Page, PlaceFilter};

/// Rows of a page where the request does not say.
const DEFAULT_LIMIT: u32 = 100;
/// The most rows of a page.
const MAX_LIMIT: u32 = 1000;

/// The longest name of an owner.
pub const MAX_OWNER_CHARS: usize = 200;
/// A text with something in it, and without control characters.
pub const OWNER_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
/// An absolute path, or its address, without NUL and an escape for it.
pub const PATH_PATTERN: &str = r"^(/[^\x00]*|file:///([^%\x00]|%[1-9A-Fa-f][0-9A-Fa-f]|%0[1-9A-Fa-f])*)$";
/// An id.
pub const ID_PATTERN: &str = r"^[0-9a-f]{32}$";
/// An id or the beginning of one.
pub const PREFIX_PATTERN: &str = r"^[0-9a-f]{6,32}$";
/// Where a page of assets ended. Cursors are opaque; the patterns say which ones are refused.
pub const ASSETS_CURSOR: &str = concat!(
    r#"^\[("-?[0-9]{1,18}","[0-9a-f]{32}""#,
    r#"|"place","[^"\\\x00-\x1f]*"|"date","-?[0-9]{1,18}","[^"\\\x00-\x1f]*")\]$"#
);
/// Where a page of suggestions ended.
pub const SUGGESTIONS_CURSOR: &str =
    r#"^\["-?[0-9]{1,18}","[0-9a-f]{32}","[0-9]{1,5}","[01](\.[0-9]{1,60})?","[0-9a-f]{0,32}"\]$"#;
/// Where a page of failures ended.
pub const FAILURES_CURSOR: &str = r#"^\["-?[0-9]{1,18}","[0-9a-f]{32}","[a-z]{1,20}","[^"\\\x00-\x1f]*"\]$"#;
/// Where a page of jobs ended.
pub const JOBS_CURSOR: &str = r"^[0-9]{1,18}$";

/// Where a page of terms ended.
pub const TERMS_CURSOR: &str = r"^[0-9]{1,9}$";
/// A term, or what stands for no term.
pub const PARENT_PATTERN: &str = r"^(top|[0-9a-f]{32})$";

/// What a suggestion is about.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Tag,
    Caption,
    Object,
    Face,
    Emotion,
    Text,
    Proposal,
    AltText,
}

/// Where a suggestion stands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Accepted,
    Rejected,
    Superseded,
}

/// A part of the upright picture, as fractions of its width and height.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Region {
    /// Left edge, 0..=1.
    x: f64,
    /// Top edge, 0..=1.
    y: f64,
    /// 0..=1.
    width: f64,
    /// 0..=1.
    height: f64,
}

impl From<suggestion::Kind> for Kind {
    fn from(kind: suggestion::Kind) -> Self {
        match kind {
            suggestion::Kind::Tag => Self::Tag,
            suggestion::Kind::Caption => Self::Caption,
            suggestion::Kind::Object => Self::Object,
            suggestion::Kind::Face => Self::Face,
            suggestion::Kind::Emotion => Self::Emotion,
            suggestion::Kind::Text => Self::Text,
            suggestion::Kind::Proposal => Self::Proposal,
            suggestion::Kind::AltText => Self::AltText,
        }
    }
}

impl From<Kind> for suggestion::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Tag => Self::Tag,
            Kind::Caption => Self::Caption,
            Kind::Object => Self::Object,
            Kind::Face => Self::Face,
            Kind::Emotion => Self::Emotion,
            Kind::Text => Self::Text,
            Kind::Proposal => Self::Proposal,
            Kind::AltText => Self::AltText,
        }
    }
}

impl From<suggestion::Status> for Status {
    fn from(status: suggestion::Status) -> Self {
        match status {
            suggestion::Status::Pending => Self::Pending,
            suggestion::Status::Accepted => Self::Accepted,
            suggestion::Status::Rejected => Self::Rejected,
            suggestion::Status::Superseded => Self::Superseded,
        }
    }
}

impl From<Status> for suggestion::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Accepted => Self::Accepted,
            Status::Rejected => Self::Rejected,
            Status::Superseded => Self::Superseded,
        }
    }
}

impl From<suggestion::Region> for Region {
    fn from(region: suggestion::Region) -> Self {
        Self { x: region.x, y: region.y, width: region.width, height: region.height }
    }
}

/// The part of a listing that was asked for.
pub fn page(limit: Option<u32>, after: Option<String>) -> Result<Page, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::Invalid(format!("limit is {limit}, not 1 to {MAX_LIMIT}")));
    }
    Ok(Page { limit, after })
}

/// A path, absolute or as a `file:` address, as the prefix the store filters by.
fn uri_prefix(path: Option<String>) -> Result<Option<String>, ApiError> {
    match path {
        None => Ok(None),
        Some(uri) if is_file_uri(&uri) => match normalized(&uri) {
            Ok(uri) => Ok(Some(uri)),
            Err(problem) => Err(ApiError::Invalid(format!("'{uri}' {problem}"))),
        },
        Some(path) if path.starts_with('/') => Ok(Some(file_uri(Path::new(&path)))),
        Some(path) => Err(ApiError::Invalid(format!("'{path}' is not an absolute path"))),
    }
}

/// The places that a request asks for.
pub fn place(path: Option<String>, owner: Option<String>) -> Result<PlaceFilter, ApiError> {
    let wrong = |problem| ApiError::Invalid(format!("owner {problem}"));
    if owner.as_ref().is_some_and(|owner| owner.chars().count() > MAX_OWNER_CHARS) {
        return Err(wrong("has more than 200 characters"));
    }
    let owner = owner.map(Owner::try_from).transpose().map_err(wrong)?;
    Ok(PlaceFilter { uri_prefix: uri_prefix(path)?, owner })
}

/// A confidence given by a client.
pub fn confidence(value: f64) -> Result<f64, ApiError> {
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(ApiError::Invalid(format!("confidence is {value}, not 0 to 1")))
    }
}

/// Ids in a request, of which there are some and not too many where it has them.
pub fn ids<T: TryFrom<String, Error = String>>(
    what: &'static str,
    ids: Option<Vec<String>>,
) -> Result<Vec<T>, ApiError> {
    let Some(ids) = ids else { return Ok(Vec::new()) };
    if !(1..=MAX_LIMIT as usize).contains(&ids.len()) {
        return Err(ApiError::Invalid(format!("{what} has {} ids, not 1 to {MAX_LIMIT}", ids.len())));
    }
    ids.into_iter().map(id).collect()
}

/// A whole number, as JSON may write it: `1`, and `1.0` as well.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    /// Whole floats below this are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let whole = number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < EXACT)?;
        Some(float as i64)
    });
    whole.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is not a whole number of 64 bits")))
}

/// An id in a path.
pub fn id<T: TryFrom<String, Error = String>>(text: String) -> Result<T, ApiError> {
    T::try_from(text).map_err(ApiError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_ledger() {
        for kind in suggestion::Kind::ALL {
            assert_eq!(serde_json::to_value(Kind::from(kind)).expect("serializes"), kind.as_str());
        }
        for status in suggestion::Status::ALL {
            assert_eq!(serde_json::to_value(Status::from(status)).expect("serializes"), status.as_str());
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(page(Some(0), None).is_err() && page(Some(1001), None).is_err());
        assert_eq!(page(None, None).expect("is allowed").limit, DEFAULT_LIMIT);
        assert!(confidence(f64::NAN).is_err() && confidence(1.01).is_err() && confidence(1.0).is_ok());
        assert!(uri_prefix(Some("photos".to_owned())).is_err());
        let prefix = uri_prefix(Some("/my photos".to_owned())).expect("is a path");
        assert_eq!(prefix.as_deref(), Some("file:///my%20photos"));
        for other in
            ["/été/", "/a/../été", "file:///%C3%A9t%C3%A9/", "file:/%c3%a9t%c3%a9", "file://localhost//été/."]
        {
            let prefix = uri_prefix(Some(other.to_owned())).expect("is a place");
            assert_eq!(prefix.as_deref(), Some("file:///été"), "{other}");
        }
        for wrong in ["file:été", "file://nas/été", "file:///%zz", "https://example.org/"] {
            assert!(uri_prefix(Some(wrong.to_owned())).is_err(), "{wrong}");
        }
    }
}
