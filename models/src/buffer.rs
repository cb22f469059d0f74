//! Memory for tensors, used again: a fresh piece of 12 MiB costs three thousand page faults, more than filling it does.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Values of a tensor. Its memory goes back when it is dropped, for another one that is not much shorter.
#[derive(Debug)]
pub struct Buffer {
    /// At least as many as there are values.
    memory: Vec<f32>,
    length: usize,
}

/// Pieces that nobody uses, those that came back last behind.
static SPARE: Mutex<Spare> = Mutex::new(Spare { pieces: VecDeque::new(), values: 0 });
/// Shorter ones are the allocator's business.
const LEAST: usize = 16 << 10;
/// Spare values that are kept for each core (24 MiB): the largest two tensors of a picture. Heights of canvases follow those of the
/// pictures, so that a limit for each length would be none for all of them.
const MOST_FOR_A_CORE: usize = 6 << 20;
/// A piece is taken for a tensor if it is at most so many times as long.
const SLACK: usize = 4;

struct Spare {
    pieces: VecDeque<Vec<f32>>,
    /// Of all pieces together.
    values: usize,
}

impl Spare {
    /// The shortest piece that is long enough.
    fn take(&mut self, length: usize) -> Option<Vec<f32>> {
        let fits = |piece: &Vec<f32>| (length..=SLACK * length).contains(&piece.len());
        let pieces = self.pieces.iter().enumerate().filter(|(_, piece)| fits(piece));
        let (place, _) = pieces.min_by_key(|(_, piece)| piece.len())?;
        let piece = self.pieces.remove(place)?;
        self.values -= piece.len();
        Some(piece)
    }

    /// Keeps a piece, and of the others no more than are `most` values with it: those that came back last. The rest is answered,
    /// to be dropped where nobody waits for it.
    fn keep(&mut self, piece: Vec<f32>, most: usize) -> Vec<Vec<f32>> {
        self.values += piece.len();
        self.pieces.push_back(piece);
        let mut others = Vec::new();
        while self.values > most {
            let Some(oldest) = self.pieces.pop_front() else { break };
            self.values -= oldest.len();
            others.push(oldest);
        }
        others
    }
}

fn most() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| MOST_FOR_A_CORE * std::thread::available_parallelism().map_or(1, usize::from))
}

impl Buffer {
    /// `length` values that are to be overwritten: zeros, or those of an earlier tensor.
    pub fn stale(length: usize) -> Self {
        let spare = (length >= LEAST)
            .then(|| SPARE.lock().unwrap_or_else(PoisonError::into_inner).take(length))
            .flatten();
        Self { memory: spare.unwrap_or_else(|| vec![0.0; length]), length }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if memory.len() >= LEAST {
            let rest = SPARE.lock().unwrap_or_else(PoisonError::into_inner).keep(memory, most());
            drop(rest);
        }
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self { length: values.len(), memory: values }
    }
}

impl FromIterator<f32> for Buffer {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        Vec::from_iter(values).into()
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::stale(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        // Longer than any other test's, so that these do not take it.
        const LENGTH: usize = 4 << 20;
        let mut first = Buffer::stale(LENGTH);
        first.fill(7.0);
        let place = first.as_ptr();
        drop(first);
        let shorter = Buffer::stale(LENGTH / 2);
        assert_eq!((shorter.as_ptr(), shorter[0], shorter.len()), (place, 7.0, LENGTH / 2));
        assert_ne!(Buffer::stale(LENGTH).as_ptr(), place);
    }

    #[test]
    fn what_is_kept_has_a_limit_whatever_its_lengths() {
        let mut spare = Spare { pieces: VecDeque::new(), values: 0 };
        let dropped: usize = (1..=100).map(|length| spare.keep(vec![0.0; length], 300).len()).sum();
        let kept: Vec<usize> = spare.pieces.iter().map(Vec::len).collect();
        assert_eq!((kept, spare.values, dropped), (vec![98, 99, 100], 297, 97));
        // More than all of it.
        assert_eq!(spare.keep(vec![0.0; 301], 300).len(), 4);
        assert_eq!((spare.pieces.len(), spare.values), (0, 0));
    }

    #[test]
    fn the_shortest_piece_that_is_long_enough_is_taken() {
        let lengths = [10, 40, 20, 30];
        let mut spare = Spare { pieces: lengths.map(|length| vec![0.0; length]).into(), values: 100 };
        let mut taken = |length| spare.take(length).map(|piece| piece.len());
        // The last one is left, being more than four times as long.
        assert_eq!([15, 15, 41, 9, 9].map(&mut taken), [Some(20), Some(30), None, Some(10), None]);
        assert_eq!(spare.values, 40);
    }
}
