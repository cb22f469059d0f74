//! A vector record as a point: the id is the record's, the payload says what it describes.

use docent_pipelines::{AssetId, Region, VectorRecord};
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::{Condition, Filter, PointId, PointStruct, ScoredPoint};
use qdrant_client::{Payload, QdrantError};
use serde::{Deserialize, Serialize};

use super::fault::Failure;
use crate::vectors::Neighbor;

/// The payload's field with the asset.
pub(super) const ASSET: &str = "asset";

/// The payload of a point.
#[derive(Serialize, Deserialize)]
struct Described {
    asset: AssetId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

/// The point of a record, whose id must be 32 hexadecimal digits, and its values numbers.
pub(super) fn point(record: &VectorRecord) -> Result<PointStruct, Failure> {
    let id = uuid(&record.id)
        .ok_or_else(|| Failure::unfit(format!("'{}' is not 32 lower-case hexadecimal digits", record.id)))?;
    if let Some(odd) = record.values.iter().find(|value| !value.is_finite()) {
        return Err(Failure::unfit(format!("the vector of asset {} holds {odd}", record.asset)));
    }
    let described = Described { asset: record.asset.clone(), region: record.region };
    let payload = serde_json::to_value(described)
        .map_err(|error| error.to_string())
        .and_then(|json| Payload::try_from(json).map_err(|error: QdrantError| error.to_string()))
        .map_err(Failure::unfit)?;
    Ok(PointStruct::new(id, record.values.clone(), payload))
}

/// The record that the server found.
pub(super) fn neighbor(point: ScoredPoint) -> Result<Neighbor, Failure> {
    let id = point.id.and_then(|id| id.point_id_options);
    let Some(PointIdOptions::Uuid(uuid)) = id else {
        return Err(Failure::refused("a point that docent did not write is in its collection"));
    };
    let Described { asset, region } = Payload::from(point.payload)
        .deserialize()
        .map_err(|error| Failure::refused(format!("the payload of point {uuid}: {error}")))?;
    Ok(Neighbor { record: uuid.replace('-', ""), asset, region, score: point.score })
}

/// Points of any of `assets`.
pub(super) fn of_assets<'a>(assets: impl IntoIterator<Item = &'a AssetId>) -> Filter {
    let assets: Vec<String> = assets.into_iter().map(|asset| asset.as_str().to_owned()).collect();
    Filter::must([Condition::matches(ASSET, assets)])
}

/// Points of `assets` whose record is not in `keep`. An id that is none cannot be a point's.
pub(super) fn of_assets_except(assets: &[AssetId], keep: &[&str]) -> Filter {
    let keep: Vec<PointId> = keep.iter().filter_map(|id| uuid(id)).map(PointId::from).collect();
    let mut filter = of_assets(assets);
    if !keep.is_empty() {
        filter.must_not.push(Condition::has_id(keep));
    }
    filter
}

/// 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
fn uuid(id: &str) -> Option<String> {
    let known = id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let part = |range| id.get(range);
    known.then_some([part(0..8)?, part(8..12)?, part(12..16)?, part(16..20)?, part(20..32)?].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_uuids_one_to_one() {
        let id = "00112233445566778899aabbccddeeff";
        let uuid = uuid(id).expect("has an id's form");
        assert_eq!(uuid, "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(uuid.replace('-', ""), id);
        for wrong in [
            "",
            "0011",
            "00112233445566778899AABBCCDDEEFF",
            "ä0112233445566778899aabbccddeef",
            &"0".repeat(33),
        ] {
            assert_eq!(super::uuid(wrong), None, "{wrong}");
        }
    }
}
