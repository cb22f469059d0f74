//! One space in memory: the codes of its vectors, and what they are of.

use std::sync::Arc;

use docent_pipelines::{VectorRecord, VectorSpace};

use super::super::IndexError;
use super::candidates::{Best, Candidate};
use super::codes::{self, Query};
use super::ids::{ById, Id, Ids, number};

/// Vectors in one piece of memory: what is copied when a vector is written while somebody searches.
const CHUNK: usize = 4096;

/// A space, as its writer sees it.
#[derive(Default)]
pub(super) struct Space {
    vectors: Vectors,
    places: ById<usize>,
    /// Everything up to here was read from the ledger.
    pub(super) sequence: i64,
}

/// All vectors of a space, in no order. A clone shares them, and stays as it is when the space is written to.
#[derive(Default, Clone)]
pub(super) struct Vectors {
    dimensions: usize,
    /// All full but the last, which is not empty.
    chunks: Vec<Arc<Chunk>>,
}

#[derive(Default, Clone)]
struct Chunk {
    /// Of one row after the other.
    codes: Vec<i8>,
    rows: Vec<Row>,
}

/// What there is of a vector besides its codes. The rest is in the ledger, under its sequence number.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) record: Id,
    pub(super) asset: Id,
    sequence: i64,
    scale: f32,
}

impl Space {
    /// The assets of its vectors.
    pub(super) fn assets(&self) -> impl Iterator<Item = Id> {
        self.vectors.chunks.iter().flat_map(|chunk| chunk.rows.iter().map(|row| row.asset))
    }

    /// The vectors as they are now.
    pub(super) fn vectors(&self) -> Vectors {
        self.vectors.clone()
    }

    /// Puts a record in, in place of its former version.
    pub(super) fn insert(&mut self, sequence: i64, record: &VectorRecord) -> Result<(), IndexError> {
        let (Some(id), Some(asset)) = (number(&record.id), number(record.asset.as_str())) else {
            let source = anyhow::anyhow!("'{}' is not 32 lower-case hexadecimal digits", record.id);
            return Err(IndexError::Unavailable { operation: "read vectors", source });
        };
        let (vectors, got) = (&mut self.vectors, record.values.len());
        if vectors.chunks.is_empty() {
            vectors.dimensions = got;
        }
        if got != vectors.dimensions {
            let (space, expected): (VectorSpace, _) = (record.space.clone(), vectors.dimensions);
            return Err(IndexError::Dimensions { space, expected, got });
        }
        let mut codes = vec![0; got];
        let scale = codes::encode(&record.values, &mut codes);
        let row = Row { record: id, asset, sequence, scale };
        match self.places.get(&id) {
            Some(&place) => vectors.replace(place, row, &codes),
            None => {
                self.places.insert(id, vectors.len());
                vectors.push(row, &codes);
            }
        }
        Ok(())
    }

    /// Removes the vectors that `gone` says.
    pub(super) fn remove(&mut self, gone: impl Fn(&Row) -> bool) {
        let rows = self.vectors.chunks.iter().flat_map(|chunk| &chunk.rows);
        let records: Vec<Id> = rows.filter(|row| gone(row)).map(|row| row.record).collect();
        for record in records {
            self.remove_record(record);
        }
    }

    /// Removes versions of records that are not in the ledger any more.
    pub(super) fn remove_outdated(&mut self, outdated: &[Candidate]) {
        for Candidate { record, sequence, .. } in outdated {
            let place = self.places.get(record);
            if place.is_some_and(|place| self.vectors.row(*place).sequence == *sequence) {
                self.remove_record(*record);
            }
        }
    }

    /// Removes all vectors; what was read stays read.
    pub(super) fn clear(&mut self) {
        *self = Self { sequence: self.sequence, ..Self::default() };
    }

    /// The last vector moves to where `record` was.
    fn remove_record(&mut self, record: Id) {
        let Some(place) = self.places.remove(&record) else { return };
        let Some((last, codes)) = self.vectors.pop() else { return };
        if last.record != record {
            self.places.insert(last.record, place);
            self.vectors.replace(place, last, &codes);
        }
    }
}

impl Vectors {
    pub(super) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.rows.len())
    }

    /// Values of each vector.
    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vectors that may be among the `wanted` nearest to `query`, of `only` these assets. `wanted` is at least one.
    pub(super) fn candidates(&self, query: &Query, wanted: usize, only: Option<&Ids>) -> Vec<Candidate> {
        let mut best = Best::new(wanted);
        for chunk in &self.chunks {
            for (place, row) in chunk.rows.iter().enumerate() {
                if only.is_some_and(|only| !only.contains(&row.asset)) {
                    continue;
                }
                let codes = &chunk.codes[place * self.dimensions..][..self.dimensions];
                let Row { record, sequence, scale, .. } = *row;
                best.offer(Candidate { score: query.score(codes, scale), scale, record, sequence });
            }
        }
        best.with_a_chance(query)
    }

    fn row(&self, place: usize) -> &Row {
        &self.chunks[place / CHUNK].rows[place % CHUNK]
    }

    fn replace(&mut self, place: usize, row: Row, codes: &[i8]) {
        let chunk = Arc::make_mut(&mut self.chunks[place / CHUNK]);
        let place = place % CHUNK;
        chunk.rows[place] = row;
        chunk.codes[place * codes.len()..][..codes.len()].copy_from_slice(codes);
    }

    fn push(&mut self, row: Row, codes: &[i8]) {
        if self.chunks.last().is_none_or(|last| last.rows.len() == CHUNK) {
            self.chunks.push(Arc::default());
        }
        if let Some(last) = self.chunks.last_mut() {
            let last = Arc::make_mut(last);
            last.rows.push(row);
            last.codes.extend_from_slice(codes);
        }
    }

    fn pop(&mut self) -> Option<(Row, Vec<i8>)> {
        let last = Arc::make_mut(self.chunks.last_mut()?);
        let row = last.rows.pop()?;
        let codes = last.codes.split_off(last.rows.len() * self.dimensions);
        if last.rows.is_empty() {
            self.chunks.pop();
        }
        Some((row, codes))
    }
}
