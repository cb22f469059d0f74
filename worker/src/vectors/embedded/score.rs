//! Scores as they are answered.

use std::cmp::Ordering;

/// Ordered by value; NaN is the worst.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Score(pub(super) f32);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
        number(self.0).total_cmp(&number(other.0))
    }
}
