//! Files on this machine, under `file:` addresses.

use std::io::Read;
use std::path::Path;

use async_trait::async_trait;

use super::open::{OpenError, Roots, open_file};
use super::place::normalized;
use super::{AssetSource, FetchError, path_of_uri};

/// Reads files.
#[derive(Debug, Clone, Default)]
pub struct FileSource {
    /// Larger files are refused.
    pub max_bytes: u64,
    /// Files outside of these folders are refused.
    pub roots: Roots,
}

#[async_trait]
impl AssetSource for FileSource {
    async fn fetch(&self, uri: &str) -> Result<Vec<u8>, FetchError> {
        let path = path_of_uri(uri).ok_or_else(|| FetchError::Invalid {
            uri: uri.to_owned(),
            reason: normalized(uri).err().map_or_else(String::new, |problem| format!("it {problem}")),
        })?;
        let (source, uri) = (self.clone(), uri.to_owned());
        let lost =
            FetchError::Unavailable { uri: uri.clone(), source: std::io::ErrorKind::Interrupted.into() };
        tokio::task::spawn_blocking(move || source.read(&path, &uri)).await.unwrap_or(Err(lost))
    }
}

impl FileSource {
    fn read(&self, path: &Path, uri: &str) -> Result<Vec<u8>, FetchError> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                FetchError::Gone { uri: uri.to_owned() }
            }
            _ => FetchError::Unavailable { uri: uri.to_owned(), source },
        };
        let (file, metadata) = match self.roots.allowed(path).and_then(|real| open_file(&real)) {
            Ok(opened) => opened,
            Err(OpenError::Io(error)) => return Err(failed(error)),
            Err(error) => return Err(FetchError::Invalid { uri: uri.to_owned(), reason: error.to_string() }),
        };
        let limit = self.max_bytes;
        let too_large = |bytes| FetchError::TooLarge { uri: uri.to_owned(), bytes, limit };
        if metadata.len() > limit {
            return Err(too_large(metadata.len()));
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
        // The file may grow while it is read.
        file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::file_uri;

    #[tokio::test]
    async fn limits_and_missing_files_are_told_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("a.bin");
        std::fs::write(&file, [7; 10]).expect("is written");
        let uri = file_uri(&file);
        let source = |max_bytes| FileSource { max_bytes, ..FileSource::default() };
        assert_eq!(source(10).fetch(&uri).await.expect("is read"), [7; 10]);
        let small = source(9);
        assert!(matches!(small.fetch(&uri).await, Err(FetchError::TooLarge { bytes: 10, limit: 9, .. })));
        assert!(matches!(small.fetch("file:///nowhere/at/all").await, Err(FetchError::Gone { .. })));
        assert!(matches!(small.fetch(&file_uri(folder.path())).await, Err(FetchError::Invalid { .. })));
        let roots = Roots::new(&[folder.path().join("inside")]);
        let rooted = FileSource { max_bytes: 10, roots };
        let refused = rooted.fetch(&uri).await.expect_err("is outside").to_string();
        assert!(refused.ends_with("outside of the folders that may be read (assets.roots)"), "{refused}");
        let refused = small.fetch("file://nas/a.jpg").await.expect_err("is elsewhere").to_string();
        assert!(refused.contains("it names the machine 'nas'"), "{refused}");
    }
}
