//! Ids as numbers: a record's and an asset's are 32 hexadecimal digits, and there are two for each vector in memory.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// 32 lower-case hexadecimal digits. Numbers are ordered as their digits are.
pub(super) type Id = u128;

/// The number of an id, if it has an id's form.
pub(super) fn number(id: &str) -> Option<Id> {
    if id.len() != 32 {
        return None;
    }
    id.bytes().try_fold(0, |number: Id, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | Id::from(digit))
    })
}

/// The digits of an id.
pub(super) fn digits(id: Id) -> String {
    format!("{id:032x}")
}

/// Some ids.
pub(super) type Ids = HashSet<Id, BuildHasherDefault<AsItIs>>;
/// Something for each id.
pub(super) type ById<T> = HashMap<Id, T, BuildHasherDefault<AsItIs>>;

/// Ids are halves of hashes already.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, id: u128) {
        // The lower half has as much chance in it as the whole.
        self.0 = id as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_numbers_that_are_ordered_alike() {
        let ids = [
            "00000000000000000000000000000000",
            "00112233445566778899aabbccddeeff",
            "0a000000000000000000000000000000",
            "ffffffffffffffffffffffffffffffff",
        ];
        let numbers = ids.map(|id| number(id).expect("has an id's form"));
        assert!(numbers.is_sorted());
        assert_eq!(numbers.map(digits), ids);
        for wrong in ["", "0", &"0".repeat(33), &"G".repeat(32), &"F".repeat(32), &"+".repeat(32)] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }
}
