//! Reads a file piece by piece, and hashes what counts.

use std::io::{self, BufRead, BufReader, Read, Seek};

use crate::asset::ContentHash;

/// Bytes that are read at a time.
const READ_AT_ONCE: usize = 64 << 10;

/// A file that is read from its beginning. What lies behind its end is `None`.
pub(super) struct Stream<R> {
    reader: BufReader<R>,
    /// Where the next byte is.
    at: u64,
    /// Of the file, in bytes.
    pub(super) size: u64,
}

impl<R: Read + Seek> Stream<R> {
    pub(super) fn new(file: R, size: u64) -> Self {
        Self { reader: BufReader::with_capacity(READ_AT_ONCE, file), at: 0, size }
    }

    /// The next bytes, if there are as many.
    pub(super) fn array<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut array = [0; N];
        match self.reader.read_exact(&mut array) {
            Ok(()) => {
                self.at += N as u64;
                Ok(Some(array))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next bytes, if there are as many: at most a few, whose number the caller limits.
    pub(super) fn few(&mut self, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(length);
        self.reader.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        Ok((bytes.len() == length).then_some(bytes))
    }

    /// Passes over the next bytes.
    pub(super) fn skip(&mut self, length: u64) -> io::Result<Option<()>> {
        let Ok(relative) = i64::try_from(length) else { return Ok(None) };
        self.reader.seek_relative(relative)?;
        self.at = self.at.saturating_add(length);
        Ok(Some(()))
    }

    /// Where the next byte is.
    pub(super) fn place(&self) -> u64 {
        self.at
    }

    /// Goes to a place in the file. What was read around it already is not read again.
    pub(super) fn go(&mut self, at: u64) -> io::Result<Option<()>> {
        let Ok(relative) = i64::try_from(i128::from(at) - i128::from(self.at)) else { return Ok(None) };
        if at > self.size {
            return Ok(None);
        }
        self.reader.seek_relative(relative)?;
        self.at = at;
        Ok(Some(()))
    }

    /// Gives the next bytes to `hasher`, if there are as many.
    pub(super) fn hash(&mut self, length: u64, hasher: &mut blake3::Hasher) -> io::Result<Option<()>> {
        let mut left = length;
        while left > 0 {
            let found = self.reader.fill_buf()?;
            let Some(taken) = found.get(..found.len().min(usize::try_from(left).unwrap_or(usize::MAX)))
            else {
                return Ok(None);
            };
            if taken.is_empty() {
                return Ok(None);
            }
            hasher.update(taken);
            let length = taken.len();
            left -= length as u64;
            self.at += length as u64;
            self.reader.consume(length);
        }
        Ok(Some(()))
    }

    /// Gives everything before the next `byte` to `hasher`, if there is one, and stops behind it.
    pub(super) fn hash_until(&mut self, byte: u8, hasher: &mut blake3::Hasher) -> io::Result<Option<()>> {
        loop {
            let found = self.reader.fill_buf()?;
            if found.is_empty() {
                return Ok(None);
            }
            let at = memchr::memchr(byte, found);
            let before = at.unwrap_or(found.len());
            hasher.update(&found[..before]);
            let taken = before + usize::from(at.is_some());
            self.at += taken as u64;
            self.reader.consume(taken);
            if at.is_some() {
                return Ok(Some(()));
            }
        }
    }
}

/// What makes a picture: its pixels and its colors. Each is hashed in the order of the file; programs that write metadata may move
/// one past the other.
pub(super) struct Parts {
    pub(super) pixels: blake3::Hasher,
    pub(super) colors: blake3::Hasher,
}

impl Parts {
    pub(super) fn new(context: &'static str) -> Self {
        Self { pixels: blake3::Hasher::new_derive_key(context), colors: blake3::Hasher::new() }
    }

    pub(super) fn finish(&mut self) -> ContentHash {
        self.pixels.update(self.colors.finalize().as_bytes());
        ContentHash::from_bytes(*self.pixels.finalize().as_bytes())
    }
}
