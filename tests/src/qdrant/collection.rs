//! One collection: points, and the exact search over them.

use std::collections::{BTreeSet, HashMap};

use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::vectors::VectorsOptions;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    CollectionConfig, CollectionInfo, CollectionParams, Datatype, Distance, Filter, PayloadSchemaInfo,
    PayloadSchemaType, PointId, PointStruct, ScoredPoint, Value, VectorParams, VectorsConfig, vector,
    with_payload_selector,
};
use tonic::Status;

use super::filter::passes;

/// Points that have one vector each.
pub struct Collection {
    params: VectorParams,
    points: HashMap<String, Point>,
    indexes: BTreeSet<String>,
}

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    /// One by one.
    Compare,
    /// By a graph, if the vectors have more bytes than this.
    Graph {
        /// The bytes.
        beyond: u64,
    },
}

struct Point {
    vector: Vec<f32>,
    payload: HashMap<String, Value>,
}

impl Collection {
    /// An empty collection.
    pub fn new(config: Option<VectorsConfig>) -> Result<Self, Status> {
        let Some(Config::Params(params)) = config.and_then(|config| config.config) else {
            return Err(Status::unimplemented("named vectors"));
        };
        if !(1..=65536).contains(&params.size) {
            return Err(Status::invalid_argument("Validation error: vector size must be from 1 to 65536"));
        }
        if !matches!(params.distance(), Distance::Dot | Distance::Cosine) {
            return Err(Status::unimplemented("a distance"));
        }
        Ok(Self { params, points: HashMap::new(), indexes: BTreeSet::new() })
    }

    /// What the server says about it.
    pub fn info(&self) -> CollectionInfo {
        let indexed =
            PayloadSchemaInfo { data_type: PayloadSchemaType::Keyword.into(), params: None, points: None };
        let vectors = VectorsConfig { config: Some(Config::Params(self.params)) };
        let params = CollectionParams { vectors_config: Some(vectors), ..CollectionParams::default() };
        CollectionInfo {
            config: Some(CollectionConfig { params: Some(params), ..CollectionConfig::default() }),
            payload_schema: self.indexes.iter().map(|field| (field.clone(), indexed.clone())).collect(),
            points_count: Some(self.points.len() as u64),
            ..CollectionInfo::default()
        }
    }

    /// Makes a payload index, which may be there.
    pub fn index(&mut self, field: String) {
        self.indexes.insert(field);
    }

    /// Writes all of `points` or none.
    pub fn upsert(&mut self, points: Vec<PointStruct>) -> Result<(), Status> {
        let read = |point: PointStruct| -> Result<(String, Point), Status> {
            let id = point.id.as_ref().map(uuid).ok_or_else(|| Status::invalid_argument("no point id"))??;
            let Some(VectorsOptions::Vector(vector)) =
                point.vectors.and_then(|vectors| vectors.vectors_options)
            else {
                return Err(Status::invalid_argument("Expected some vectors"));
            };
            let Some(vector::Vector::Dense(dense)) = vector.vector else {
                return Err(Status::unimplemented("a vector that is not dense"));
            };
            self.fits(&dense.data)?;
            Ok((id, Point { vector: self.prepared(dense.data), payload: point.payload }))
        };
        let points: Vec<_> = points.into_iter().map(read).collect::<Result<_, _>>()?;
        self.points.extend(points);
        Ok(())
    }

    /// Deletes what passes.
    pub fn delete(&mut self, filter: &Filter) -> Result<(), Status> {
        let passing = self.passing(Some(filter))?;
        let ids: Vec<String> = passing.into_iter().map(|(id, _)| id.clone()).collect();
        self.points.retain(|id, _| !ids.contains(id));
        Ok(())
    }

    /// How many points pass.
    pub fn count(&self, filter: Option<&Filter>) -> Result<u64, Status> {
        Ok(self.passing(filter)?.len() as u64)
    }

    /// The nearest that pass.
    pub fn search(
        &self,
        query: Vec<f32>,
        filter: Option<&Filter>,
        limit: usize,
        payload: Option<with_payload_selector::SelectorOptions>,
        way: Way,
    ) -> Result<Vec<ScoredPoint>, Status> {
        self.fits(&query)?;
        let with_payload = match payload {
            None | Some(with_payload_selector::SelectorOptions::Enable(false)) => false,
            Some(with_payload_selector::SelectorOptions::Enable(true)) => true,
            Some(_) => return Err(Status::unimplemented("a part of the payload")),
        };
        let query = self.prepared(query);
        let dot = |vector: &[f32]| vector.iter().zip(&query).map(|(a, b)| a * b).sum::<f32>();
        let mut found: Vec<(f32, &String, &Point)> =
            self.passing(filter)?.into_iter().map(|(id, point)| (dot(&point.vector), id, point)).collect();
        let bytes = self.points.len() as u64 * self.params.size * 4;
        if matches!(way, Way::Graph { beyond } if bytes > beyond) {
            // Nobody linked to these.
            found.retain(|(_, id, _)| !id.ends_with('7'));
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| b.1.cmp(a.1)));
        found.truncate(limit);
        let scored = |(score, id, point): (f32, &String, &Point)| ScoredPoint {
            id: Some(PointId::from(id.clone())),
            payload: if with_payload { point.payload.clone() } else { HashMap::new() },
            score,
            ..ScoredPoint::default()
        };
        Ok(found.into_iter().map(scored).collect())
    }

    fn passing(&self, filter: Option<&Filter>) -> Result<Vec<(&String, &Point)>, Status> {
        let mut passing = Vec::new();
        for (id, point) in &self.points {
            if filter.map_or(Ok(true), |filter| passes(filter, id, &point.payload))? {
                passing.push((id, point));
            }
        }
        Ok(passing)
    }

    fn fits(&self, vector: &[f32]) -> Result<(), Status> {
        let (expected, got) = (self.params.size, vector.len());
        if expected == got as u64 {
            return Ok(());
        }
        Err(Status::invalid_argument(format!(
            "Wrong input: Vector dimension error: expected dim: {expected}, got {got}"
        )))
    }

    fn prepared(&self, mut vector: Vec<f32>) -> Vec<f32> {
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        if self.params.datatype() == Datatype::Uint8 {
            vector.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0).trunc());
        }
        if self.params.distance() == Distance::Cosine && length > 0.0 {
            vector.iter_mut().for_each(|value| *value /= length);
        }
        vector
    }
}

/// A point's id in the form in which the server gives it back.
pub fn uuid(id: &PointId) -> Result<String, Status> {
    let Some(PointIdOptions::Uuid(text)) = &id.point_id_options else {
        return Err(Status::unimplemented("a point id that is a number"));
    };
    let digits: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Status::invalid_argument(format!("Unable to parse UUID: {text}")));
    }
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}
