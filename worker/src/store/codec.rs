//! How values are written in columns and cursors: the same in every backend.

use std::time::Duration;

use docent_pipelines::{AnalyzerId, Kind, Owner};
use time::OffsetDateTime;

use super::find::Spot;
use super::{StoreError, Wanted};
use crate::queue::Lane;

/// More rows than this are never given at once.
pub(super) const MOST_ROWS: u32 = 1000;
/// Entries of the review log that one page looks at.
pub(super) const LOOKED_AT: i64 = 4096;
/// Shorter prefixes of an id are refused: they are typing errors.
const LEAST_DIGITS: usize = 6;
/// A run keeps its lease at least this long, however long it waited before.
pub(super) const LONGEST_RUN: Duration = Duration::from_secs(900);
/// Losses of an asset analyzed alone before it is given up, unless `recover` says otherwise.
pub(super) const MAX_LOST: u32 = 4;
/// Leases ended by one statement.
pub(super) const LEASES_AT_ONCE: i64 = 1000;
/// A process that was silent for so long is not kept in mind any more.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn corrupt(what: &'static str) -> impl Fn(String) -> StoreError {
    move |reason| StoreError::Corrupt { what, reason }
}

/// A list of words that is kept as a JSON array; none where nothing is kept.
pub(super) fn words(text: Option<String>) -> Result<Vec<String>, StoreError> {
    text.map_or(Ok(Vec::new()), |text| serde_json::from_str(&text))
        .map_err(|error| corrupt("words")(error.to_string()))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

/// A time in milliseconds since 1970 as people and programs read it: RFC 3339, always with milliseconds, so that the
/// texts sort like the times.
pub(super) fn rfc3339(millis: i64) -> String {
    let Ok(t) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000) else {
        return String::new();
    };
    let (date, month) = (t.date(), u8::from(t.month()));
    let (hour, minute, second, millis) = t.to_hms_milli();
    format!("{:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z", date.year(), date.day())
}

/// A JSON array of whatever can be written as JSON.
pub(super) fn json_array<T: serde::Serialize>(values: impl IntoIterator<Item = T>) -> String {
    serde_json::Value::Array(
        values.into_iter().filter_map(|value| serde_json::to_value(value).ok()).collect(),
    )
    .to_string()
}

/// `{"analyzer": "model", …}`
pub(super) fn wanted_json(wanted: &Wanted) -> String {
    let pairs = wanted.iter().map(|(analyzer, model)| {
        (analyzer.as_str().to_owned(), serde_json::Value::String(model.to_string()))
    });
    serde_json::Value::Object(pairs.collect()).to_string()
}

/// The parts of a page's cursor.
pub(super) fn cursor<const N: usize>(after: &str) -> Result<[String; N], StoreError> {
    serde_json::from_str::<Vec<String>>(after)
        .ok()
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| StoreError::InvalidCursor(after.to_owned()))
}

/// A part of a cursor that is a number.
pub(super) fn number<T: std::str::FromStr>(part: &str, after: &str) -> Result<T, StoreError> {
    part.parse().map_err(|_| StoreError::InvalidCursor(after.to_owned()))
}

/// The place of a row in the review listing, as a page's cursor names it.
pub(super) struct ListingPlace {
    pub asset_at: i64,
    pub asset: String,
    pub kind: i64,
    pub confidence: f64,
    pub id: String,
}

impl ListingPlace {
    pub fn read(after: &str) -> Result<Self, StoreError> {
        let [asset_at, asset, kind, confidence, id] = cursor::<5>(after)?;
        let (asset_at, kind) = (number(&asset_at, after)?, number(&kind, after)?);
        Ok(Self { asset_at, asset, kind, confidence: number(&confidence, after)?, id })
    }

    /// As [`ListingPlace::read`] reads it.
    pub fn write(self) -> String {
        let Self { asset_at, asset, kind, confidence, id } = self;
        json_array([asset_at.to_string(), asset, kind.to_string(), confidence.to_string(), id])
    }

    /// After all suggestions of the asset.
    pub fn behind(spot: Spot) -> Self {
        let kind = i64::from(i16::MAX);
        Self { asset_at: spot.at, asset: spot.asset, kind, confidence: 0.0, id: String::new() }
    }
}

/// Whether `id` can be a suggestion's id or the beginning of one.
pub(super) fn is_id_prefix(id: &str) -> bool {
    let hexadecimal = id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    hexadecimal && (LEAST_DIGITS..=32).contains(&id.len())
}

pub(super) fn kind_order(kind: Kind) -> i64 {
    Kind::ALL.iter().position(|k| *k == kind).unwrap_or(Kind::ALL.len()) as i64
}

pub(super) fn lane_number(lane: Lane) -> i64 {
    match lane {
        Lane::Interactive => 0,
        Lane::Backfill => 1,
    }
}

pub(super) fn lane_of(number: i64) -> Lane {
    if number == 0 { Lane::Interactive } else { Lane::Backfill }
}

pub(super) fn analyzer(name: &str) -> Result<AnalyzerId, StoreError> {
    name.parse().map_err(corrupt("analyzer"))
}

/// Whose a place is.
pub(super) fn owner(name: Option<String>) -> Result<Option<Owner>, StoreError> {
    name.map(Owner::try_from).transpose().map_err(|problem| corrupt("owner")(problem.to_owned()))
}

/// A text as every backend can hold it: without NUL, which PostgreSQL has no place for and JSON's functions end at.
pub(super) fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

/// Bytes of a place that an index of PostgreSQL surely takes.
const LONGEST_PLACE: usize = 1000;
/// Bytes of a longer place that its key begins with.
const BEGINNING: usize = 900;

/// What a place is stored and looked up under where an index limits its length: itself, or its beginning and its hash. The
/// two never meet, since a place has no plain '#' in it.
pub(super) fn place_key(uri: &str) -> String {
    let uri = text(uri);
    if uri.len() <= LONGEST_PLACE {
        return uri;
    }
    let hash = blake3::hash(uri.as_bytes()).to_hex();
    format!("{}#{hash}", &uri[..uri.floor_char_boundary(BEGINNING)])
}

/// The place itself, if its key is another.
pub(super) fn whole_place(uri: &str) -> Option<String> {
    (uri.len() > LONGEST_PLACE).then(|| text(uri))
}

/// The part of a folder's address that keys of what lies in it begin with, and whether that is all of it.
pub(super) fn folder_key(folder: &str) -> (&str, bool) {
    if folder.len() < BEGINNING {
        return (folder, true);
    }
    (&folder[..folder.floor_char_boundary(BEGINNING - 1)], false)
}

/// Vectors deleted by one statement when a space is dropped.
pub(super) const DROPPED_AT_ONCE: i64 = 5000;

/// A vector's values as little-endian 32-bit floats.
pub(super) fn vector_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The values of a vector that [`vector_bytes`] wrote.
pub(super) fn vector_values(data: &[u8]) -> Result<Vec<f32>, StoreError> {
    if !data.len().is_multiple_of(4) {
        return Err(corrupt("vector")(format!("{} bytes", data.len())));
    }
    Ok(data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_all_lengths_have_short_keys_of_their_own() {
        let long = |end: &str| format!("file:///{}{end}", "é".repeat(2000));
        assert_eq!(place_key("file:///a.jpg"), "file:///a.jpg");
        assert_eq!(whole_place("file:///a.jpg"), None);
        let key = place_key(&long("a"));
        assert!(key.len() < LONGEST_PLACE, "{}", key.len());
        assert_ne!(key, place_key(&long("b")));
        assert_eq!(whole_place(&long("a")), Some(long("a")));
        // What lies in a folder is found by the beginning of its key.
        for depth in [1, 20, 200, 2000] {
            let folder = format!("file:///{}", "ab/".repeat(depth));
            let key = place_key(&format!("{folder}{}", "x".repeat(1500)));
            assert!(key.starts_with(folder_key(&folder).0), "{depth}");
        }
    }

    #[test]
    fn times_sort_as_texts() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        let times = [-1, 0, 1, 10, 100, 999, 1000, 1_795_000_000_120, 1_795_000_000_121];
        assert!(times.map(rfc3339).is_sorted(), "{:?}", times.map(rfc3339));
    }
}
