//! Where assets' bytes come from.

mod file;
mod ignore;
mod open;
mod place;

pub use self::ignore::{Ignored, PatternError};
use async_trait::async_trait;
pub use file::FileSource;
pub use open::{OpenError, Roots, open_file};
pub use place::{PlaceError, display_path, file_uri, is_file_uri, lexical, normalized, path_of_uri};

/// Why bytes did not come.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is nothing at this place any more; trying again will not help.
    #[error("fetch {uri}: not found")]
    Gone {
        /// The place.
        uri: String,
    },
    /// The asset is larger than docent is allowed to read.
    #[error("fetch {uri}: {bytes} bytes, more than the limit of {limit} (assets.max_bytes)")]
    TooLarge {
        /// The place.
        uri: String,
        /// Its size.
        bytes: u64,
        /// The configured limit.
        limit: u64,
    },
    /// This source does not understand the place.
    #[error("fetch {uri}: {reason}")]
    Invalid {
        /// The place.
        uri: String,
        /// Why not.
        reason: String,
    },
    /// It did not work now; it may later.
    #[error("fetch {uri}")]
    Unavailable {
        /// The place.
        uri: String,
        /// The system's own words.
        #[source]
        source: std::io::Error,
    },
}

/// Fetches assets.
#[async_trait]
pub trait AssetSource: Send + Sync {
    /// The whole asset at `uri`, never more than the configured limit.
    async fn fetch(&self, uri: &str) -> Result<Vec<u8>, FetchError>;
}
