//! Errors of decoding.

use super::Format;

/// Why docent cannot decode a file. The error is permanent: the same bytes with the same limits fail again.
///
/// It contains no file name; the caller knows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("empty file: 0 bytes")]
    Empty,
    /// A known format docent does not decode.
    #[error("unsupported format: {0}")]
    Unsupported(&'static str),
    /// Locked with a password or a key.
    #[error("encrypted: {0}")]
    Encrypted(&'static str),
    /// Nothing that looks like a picture.
    #[error("not a picture: {0}")]
    NotAPicture(&'static str),
    /// The end of the file is missing.
    #[error("truncated {format}: {reason}")]
    Truncated {
        /// The format.
        format: Format,
        /// What is missing.
        reason: String,
    },
    /// A picture without a single pixel.
    #[error("zero size {format}: {width} x {height} pixels")]
    ZeroSize {
        /// The format.
        format: Format,
        /// Width in the header.
        width: u64,
        /// Height in the header.
        height: u64,
    },
    /// More pixels than allowed.
    #[error("too many pixels: {width} x {height} is more than the limit of {limit} (decode.max_pixels)")]
    TooManyPixels {
        /// Width in the header.
        width: u64,
        /// Height in the header.
        height: u64,
        /// The limit.
        limit: u64,
    },
    /// More memory than allowed.
    #[error(
        "too much memory: decoding {width} x {height} takes {bytes} bytes, more than the limit of {limit} (decode.max_memory_bytes)"
    )]
    TooMuchMemory {
        /// What it would take.
        bytes: u64,
        /// Width in the header.
        width: u64,
        /// Height in the header.
        height: u64,
        /// The limit.
        limit: u64,
    },
    /// The format is right, the content is not.
    #[error("corrupt {format}: {reason}")]
    Corrupt {
        /// The format.
        format: Format,
        /// The decoder's own words.
        reason: String,
    },
    /// A kind of this format that the decoder cannot do.
    #[error("unsupported {format}: {reason}")]
    Feature {
        /// The format.
        format: Format,
        /// Which kind.
        reason: String,
    },
    /// The decoder ran into a bug of its own.
    #[error("corrupt {format}: the decoder crashed on it")]
    Crashed {
        /// The format.
        format: Format,
    },
}

impl DecodeError {
    /// The error of a part, as that of the `outer` file around it.
    pub(super) fn within(self, outer: Format) -> Self {
        match self {
            Self::Truncated { format, reason } => {
                Self::Truncated { format: outer, reason: format!("{format} in it: {reason}") }
            }
            Self::Corrupt { format, reason } => {
                Self::Corrupt { format: outer, reason: format!("{format} in it: {reason}") }
            }
            Self::Feature { format, reason } => {
                Self::Feature { format: outer, reason: format!("{format} in it: {reason}") }
            }
            other => other,
        }
    }
}
