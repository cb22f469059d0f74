//! Memory for tensors, used again: a fresh piece of 12 MiB costs three thousand page faults, more than filling it does.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Values of a tensor. Its memory goes back when it is dropped, for the next one of the same length.
#[derive(Debug, PartialEq)]
pub struct Buffer(Vec<f32>);

/// Pieces that nobody uses, by length.
static SPARE: Mutex<Option<HashMap<usize, Vec<Vec<f32>>>>> = Mutex::new(None);
/// Shorter ones are the allocator's business.
const LEAST: usize = 16 << 10;
/// So many spare pieces of one length are kept: what one picture in work for each of a few cores needs.
const KEPT: usize = 8;

impl Buffer {
    /// `length` values that are to be overwritten: zeros, or those of an earlier tensor.
    pub fn stale(length: usize) -> Self {
        let spare = (length >= LEAST).then(|| {
            let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
            spare.as_mut().and_then(|spare| spare.get_mut(&length)?.pop())
        });
        Self(spare.flatten().unwrap_or_else(|| vec![0.0; length]))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.0);
        if values.len() < LEAST {
            return;
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let same = spare.get_or_insert_default().entry(values.len()).or_default();
        if same.len() < KEPT {
            same.push(values);
        }
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self(values)
    }
}

impl FromIterator<f32> for Buffer {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        Self(values.into_iter().collect())
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
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        // A length that no other test uses.
        const LENGTH: usize = LEAST + 4711;
        let mut first = Buffer::stale(LENGTH);
        first.fill(7.0);
        let place = first.as_ptr();
        drop(first);
        let second = Buffer::stale(LENGTH);
        assert_eq!((second.as_ptr(), second[0]), (place, 7.0));
        assert_ne!(Buffer::stale(LENGTH).as_ptr(), place);
        let many: Vec<Buffer> = (0..3 * KEPT).map(|_| Buffer::stale(LENGTH)).collect();
        drop(many);
        let kept = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(kept.as_ref().expect("is there")[&LENGTH].len(), KEPT);
    }
}
