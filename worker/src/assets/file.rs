//! Files on this machine, under `file://` URIs.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{AssetSource, FetchError};

/// Reads files.
#[derive(Debug, Clone, Copy)]
pub struct FileSource {
    /// Larger files are refused.
    pub max_bytes: u64,
}

#[async_trait]
impl AssetSource for FileSource {
    async fn fetch(&self, uri: &str) -> Result<Vec<u8>, FetchError> {
        let path = path_of_uri(uri).ok_or_else(|| FetchError::Invalid {
            uri: uri.to_owned(),
            reason: "not a file:// address".to_owned(),
        })?;
        let (limit, uri) = (self.max_bytes, uri.to_owned());
        let lost =
            FetchError::Unavailable { uri: uri.clone(), source: std::io::ErrorKind::Interrupted.into() };
        tokio::task::spawn_blocking(move || read(&path, &uri, limit)).await.unwrap_or(Err(lost))
    }
}

fn read(path: &Path, uri: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            FetchError::Gone { uri: uri.to_owned() }
        }
        _ => FetchError::Unavailable { uri: uri.to_owned(), source },
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FetchError::Invalid { uri: uri.to_owned(), reason: "not a regular file".to_owned() });
    }
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

/// The `file://` URI of an absolute path. Letters of any script stay readable; spaces, control characters, bytes that
/// are not UTF-8 and the characters with a meaning in URIs are percent-encoded, so every path has exactly one URI.
pub fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c.is_whitespace() || matches!(c, '%' | '?' | '#' | '"' | '<' | '>' | '\\') {
                let mut buffer = [0; 4];
                encode(&mut uri, c.encode_utf8(&mut buffer).as_bytes());
            } else {
                uri.push(c);
            }
        }
        encode(&mut uri, chunk.invalid());
    }
    uri
}

fn encode(uri: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        uri.push('%');
        uri.push(char::from(DIGITS[usize::from(byte >> 4)]));
        uri.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// The path of a `file://` URI; `None` for anything else, or if an escape in it is broken.
pub fn path_of_uri(uri: &str) -> Option<PathBuf> {
    let encoded = uri.strip_prefix("file://").filter(|rest| rest.starts_with('/'))?.as_bytes();
    let mut path = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            path.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            path.push(byte);
            rest = tail;
        }
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

/// A URI for people: the path of a `file://` URI with control characters escaped, anything else as it is.
pub fn display_path(uri: &str) -> String {
    let Some(path) = path_of_uri(uri) else { return uri.escape_debug().to_string() };
    let mut shown = String::new();
    for c in path.to_string_lossy().chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: &[u8]) -> PathBuf {
        PathBuf::from(OsString::from_vec(bytes.to_vec()))
    }

    #[test]
    fn every_path_comes_back_from_its_uri() {
        for bytes in [
            &b"/a/b.jpg"[..],
            b"/with space/100%.png",
            b"/new\nline",
            b"/\xff\xfe.jpg",
            "/été/猫.jpg".as_bytes(),
        ] {
            assert_eq!(path_of_uri(&file_uri(&path(bytes))), Some(path(bytes)));
        }
        assert_eq!(file_uri(Path::new("/été/a b.jpg")), "file:///été/a%20b.jpg");
        assert_eq!(file_uri(&path(b"/\xff")), "file:///%FF");
    }

    #[test]
    fn other_addresses_are_not_paths() {
        for uri in
            ["https://example.org/a.jpg", "file://relative", "file:///broken%2", "file:///broken%zz", ""]
        {
            assert_eq!(path_of_uri(uri), None, "{uri}");
        }
    }

    #[test]
    fn terminals_are_safe_from_names() {
        assert_eq!(display_path(&file_uri(Path::new("/a\nb\u{1b}[31m.jpg"))), "/a\\nb\\u{1b}[31m.jpg");
    }

    #[tokio::test]
    async fn limits_and_missing_files_are_told_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("a.bin");
        std::fs::write(&file, [7; 10]).expect("is written");
        let uri = file_uri(&file);
        assert_eq!(FileSource { max_bytes: 10 }.fetch(&uri).await.expect("is read"), [7; 10]);
        let source = FileSource { max_bytes: 9 };
        assert!(matches!(source.fetch(&uri).await, Err(FetchError::TooLarge { bytes: 10, limit: 9, .. })));
        assert!(matches!(source.fetch("file:///nowhere/at/all").await, Err(FetchError::Gone { .. })));
        assert!(matches!(source.fetch(&file_uri(folder.path())).await, Err(FetchError::Invalid { .. })));
    }
}
