//! Which vectors may be among the nearest, going by their codes.

use std::cmp::Reverse;

use super::codes::Query;
use super::ids::Id;
use super::score::Score;

/// Candidates there is room for, however few are wanted. A group of pictures that are nearly the same, larger than
/// this, is told apart by its codes alone.
const ROOM: usize = 1024;

/// A vector that may be among the nearest.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    /// By its codes.
    pub(super) score: f32,
    /// Of its codes.
    pub(super) scale: f32,
    pub(super) record: Id,
    pub(super) sequence: i64,
}

impl Candidate {
    /// Grows from the best to the worst; equals are ordered by record id.
    fn rank(&self) -> (Reverse<Score>, Id) {
        (Reverse(Score(self.score)), self.record)
    }
}

/// The best candidates so far: at most twice as many as there is room for, so that the worse half goes all at once.
pub(super) struct Best {
    wanted: usize,
    room: usize,
    kept: Vec<Candidate>,
    /// The last one that has a place; worse ones need not come in.
    last: Option<(Reverse<Score>, Id)>,
}

impl Best {
    /// For the `wanted` nearest, at least one.
    pub(super) fn new(wanted: usize) -> Self {
        let room = wanted.saturating_mul(4).max(ROOM);
        Self { wanted, room, kept: Vec::new(), last: None }
    }

    pub(super) fn offer(&mut self, candidate: Candidate) {
        if self.last.is_some_and(|last| last < candidate.rank()) {
            return;
        }
        self.kept.push(candidate);
        if self.kept.len() >= self.room.saturating_mul(2) {
            self.drop_the_worst();
        }
    }

    fn drop_the_worst(&mut self) {
        if self.kept.len() > self.room {
            let (_, last, _) = self.kept.select_nth_unstable_by_key(self.room - 1, Candidate::rank);
            self.last = Some(last.rank());
            self.kept.truncate(self.room);
        }
    }

    /// Those that the error of the codes leaves a chance to be among the nearest to `query`; at least as many as are
    /// wanted, if there are so many.
    pub(super) fn with_a_chance(mut self, query: &Query) -> Vec<Candidate> {
        self.drop_the_worst();
        if self.kept.len() > self.wanted {
            let at_least = |candidate: &Candidate| Score(candidate.score - query.error(candidate.scale));
            let mut lowest: Vec<Score> = self.kept.iter().map(at_least).collect();
            let (_, needed, _) = lowest.select_nth_unstable_by_key(self.wanted - 1, |score| Reverse(*score));
            let needed = *needed;
            self.kept.retain(|one| Score(one.score + query.error(one.scale)) >= needed);
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(wanted: usize, scores: impl IntoIterator<Item = f32>, scale: f32) -> Vec<Id> {
        let mut best = Best::new(wanted);
        for (record, score) in (0..).zip(scores) {
            best.offer(Candidate { score, scale, record, sequence: 0 });
        }
        let mut kept: Vec<Id> =
            best.with_a_chance(&Query::new(&[1.0])).iter().map(|candidate| candidate.record).collect();
        kept.sort_unstable();
        kept
    }

    #[test]
    fn whoever_has_a_chance_stays() {
        let scores = [0.1, 0.5, 0.49, 0.3, 0.48, 0.2];
        assert_eq!(best(2, scores, 0.0), [1, 2]);
        // Each may be 6 * 0.002 / √12 = 0.0035 off: what is within twice of that of the second.
        assert_eq!(best(2, scores, 0.002), [1, 2]);
        assert_eq!(best(2, scores, 0.003), [1, 2, 4]);
        assert_eq!(best(6, scores, 0.0).len(), 6);
        assert_eq!(best(usize::MAX, scores, 0.0).len(), 6);
    }

    #[test]
    fn of_many_equals_the_first_by_record_id_stay() {
        let equals = std::iter::repeat_n(0.5, 10_000);
        assert_eq!(best(3, equals.clone(), 0.0), (0..ROOM as Id).collect::<Vec<_>>());
        let better = std::iter::once(0.1).chain(equals).chain([0.9]);
        assert_eq!(best(1, better, 0.0), [10_001]);
    }

    #[test]
    fn what_has_no_score_comes_last_and_fills_up() {
        let scores = [f32::NAN, 0.5, f32::NAN, 0.1];
        assert_eq!(best(2, scores, 0.0), [1, 3]);
        assert_eq!(best(3, scores, 0.0).len(), 4);
    }
}
