//! The identity of an asset: its picture, not its name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An asset's id: 32 lower-case hexadecimal digits, the first half of the hash that its picture had when it was registered first.
///
/// The same picture is the same asset wherever it lies; a moved or copied file is another path of it, and so is one with other
/// metadata ([`crate::identity`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetId(String);

/// Whose an asset is at one of its places: a person, a department, a collection. What the name means is the archive's
/// affair; docent keeps it and filters by it. 1 to 200 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner(String);

/// Bytes of a reader that are hashed at a time.
const HASHED_AT_ONCE: usize = 64 << 10;

/// BLAKE3 of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

/// Hashes bytes as they come.
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes.
    pub fn finish(&self) -> ContentHash {
        ContentHash(*self.0.finalize().as_bytes())
    }
}

impl ContentHash {
    /// Hashes bytes already in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Hashes everything `reader` gives, in bounded memory, and counts it.
    pub fn of_reader(mut reader: impl std::io::Read) -> std::io::Result<(Self, u64)> {
        // BLAKE3 takes sixteen of its chunks of 1 KiB at once, where it is given as many.
        let mut hasher = std::io::BufWriter::with_capacity(HASHED_AT_ONCE, blake3::Hasher::new());
        let bytes = std::io::copy(&mut reader, &mut hasher)?;
        let hasher = hasher.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok((Self(*hasher.finalize().as_bytes()), bytes))
    }

    /// A hash that was made elsewhere.
    pub(crate) fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The id of the asset with this content.
    pub fn asset_id(&self) -> AssetId {
        AssetId(self.to_hex()[..32].to_owned())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl AssetId {
    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<AssetId> for String {
    fn from(id: AssetId) -> Self {
        id.0
    }
}

impl TryFrom<String> for AssetId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_derived_id(&text) {
            Ok(Self(text))
        } else {
            Err(format!("'{text}' is not an asset id (32 hexadecimal digits)"))
        }
    }
}

impl Owner {
    const MAX_CHARS: usize = 200;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.0
    }
}

impl TryFrom<String> for Owner {
    type Error = &'static str;

    /// What is wrong with it, as the rest of a sentence about it. Space around a name is not part of it.
    fn try_from(text: String) -> Result<Self, &'static str> {
        let name = text.trim();
        if name.is_empty() {
            Err("is empty")
        } else if name.chars().count() > Self::MAX_CHARS {
            Err("has more than 200 characters")
        } else if name.contains(char::is_control) {
            Err("has a control character in it")
        } else {
            Ok(Self(name.to_owned()))
        }
    }
}

/// Whether `text` has the form of every derived id in docent: 32 lower-case hexadecimal digits.
pub(crate) fn is_derived_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// 32 hexadecimal digits derived from `parts`; the parts are length-prefixed, so no two lists collide by joining.
pub(crate) fn derived_id(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_hashed_as_its_bytes_are() {
        let bytes: Vec<u8> = (0..3 * HASHED_AT_ONCE).map(|place| (place % 251) as u8).collect();
        for (head, length) in [(0, 0), (1, 1), (512, 513), (0, HASHED_AT_ONCE), (512, 3 * HASHED_AT_ONCE - 1)]
        {
            // In two pieces, as a file whose first bytes were looked at.
            let (first, rest) = bytes[..length].split_at(head);
            let hashed = ContentHash::of_reader(std::io::Read::chain(first, rest)).expect("nothing can fail");
            assert_eq!(hashed, (ContentHash::of(&bytes[..length]), length as u64));
            let mut hasher = ContentHasher::default();
            bytes[..length].chunks(999).for_each(|chunk| hasher.update(chunk));
            assert_eq!(hasher.finish(), hashed.0);
        }
    }

    #[test]
    fn owners_are_names() {
        let owner = |text: &str| Owner::try_from(text.to_owned()).map(String::from);
        assert_eq!(owner(" Stadtarchiv "), Ok("Stadtarchiv".to_owned()));
        assert_eq!(owner(&"ß".repeat(200)), Ok("ß".repeat(200)));
        for wrong in ["", "  ", "a\nb", "\0", &"a".repeat(201)] {
            assert!(owner(wrong).is_err(), "{wrong:?}");
        }
    }
}
