//! The address of a file: one file has one, however it is written.
//!
//! Other programs write the same place in many ways: `file:/a`, `file://localhost/a`, `%c3%a9` for `é`, `//`, `.` and `..`.
//! Every way into the ledger goes through [`normalized`] or [`file_uri`], which agree. Links are not followed: the
//! address is what somebody wrote, without what is redundant in it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Why a text is not the address of a file. Completes a sentence that names the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Another scheme, or none.
    #[error("is not a file: address")]
    Scheme,
    /// A file of another machine.
    #[error("names the machine '{0}'; a file that all machines see under one path is file:///...")]
    Host(String),
    /// It is relative to a folder that nobody names.
    #[error("does not begin with a / after file:")]
    Relative,
    /// A broken escape.
    #[error("has a % without two hexadecimal digits behind it; a plain one is written %25")]
    Escape,
    /// No path has one.
    #[error("has a NUL in it")]
    Nul,
}

/// The one way to write the address `uri`: `file://` and an absolute path without `.`, `..`, empty parts and a slash at
/// the end, escaped where it must be and nowhere else, as [`file_uri`] writes it. `..` is resolved in the text, as
/// RFC 3986 says for addresses, not in the file system.
pub fn normalized(uri: &str) -> Result<String, PlaceError> {
    path(uri).map(|path| file_uri(&path))
}

/// The path of a `file:` address, without `.`, `..` and empty parts; `None` for anything else.
pub fn path_of_uri(uri: &str) -> Option<PathBuf> {
    path(uri).ok()
}

/// The address of a path, which is made absolute. Letters of any script stay readable; spaces, control characters, bytes
/// that are not UTF-8 and the characters with a meaning in URIs are percent-encoded, so every path has exactly one
/// address.
pub fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for chunk in lexical(path).as_os_str().as_bytes().utf8_chunks() {
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

/// `path` as an absolute one without `.`, `..`, empty parts and a slash at the end. `..` takes away the part before it,
/// even where that is a link to elsewhere.
pub fn lexical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path);
    let mut plain = PathBuf::from("/");
    for part in absolute.as_deref().unwrap_or(path).components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// A URI for people: the path of a `file:` address with control characters escaped, anything else as it is.
pub fn display_path(uri: &str) -> String {
    let Some(path) = path_of_uri(uri) else { return uri.escape_debug().to_string() };
    let mut shown = String::new();
    for c in path.to_string_lossy().chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Whether a text is meant as an address and not as a path.
pub fn is_file_uri(text: &str) -> bool {
    text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
}

fn path(uri: &str) -> Result<PathBuf, PlaceError> {
    if !is_file_uri(uri) {
        return Err(PlaceError::Scheme);
    }
    let rest = &uri[5..];
    let encoded = match rest.strip_prefix("//") {
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(PlaceError::Host(host.to_owned()));
            }
            path
        }
        None => rest,
    };
    let bytes = decode(encoded.as_bytes()).ok_or(PlaceError::Escape)?;
    if bytes.contains(&0) {
        return Err(PlaceError::Nul);
    }
    if bytes.first() != Some(&b'/') {
        return Err(PlaceError::Relative);
    }
    Ok(lexical(Path::new(&OsString::from_vec(bytes))))
}

/// The bytes behind percent-encoding; `None` if an escape is broken.
fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
            // Two digits are at most 255.
            bytes.push((digit(0)? * 16 + digit(1)?) as u8);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    Some(bytes)
}

fn encode(uri: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        uri.push('%');
        uri.push(char::from(DIGITS[usize::from(byte >> 4)]));
        uri.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
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
            b"/",
        ] {
            assert_eq!(path_of_uri(&file_uri(&path(bytes))), Some(path(bytes)));
        }
        assert_eq!(file_uri(Path::new("/été/a b.jpg")), "file:///été/a%20b.jpg");
        assert_eq!(file_uri(&path(b"/\xff")), "file:///%FF");
    }

    #[test]
    fn one_file_has_one_address() {
        for other in [
            "file:///archive/été/a b.jpg",
            "file:///archive/%C3%A9t%C3%A9/a%20b.jpg",
            "file:///archive/%c3%a9t%c3%a9/%61%20b.jpg",
            "file:/archive/été/a%20b.jpg",
            "file://localhost/archive/été/a%20b.jpg",
            "FILE://LocalHost//archive/./x/../été//a%20b.jpg",
            "file:////archive/x/y/../../été/a%20b.jpg/",
            "file:///archive/x%2F..%2fété/a%20b.jpg",
            "file:///../archive/%2e/été/z/%2E%2e/a%20b.jpg",
        ] {
            assert_eq!(normalized(other).as_deref(), Ok("file:///archive/été/a%20b.jpg"), "{other}");
        }
        assert_eq!(normalized("file:///caf%e9.jpg").as_deref(), Ok("file:///caf%E9.jpg"), "Latin-1 stays");
        assert_eq!(normalized("file:///a?b#c").as_deref(), Ok("file:///a%3Fb%23c"), "files have no queries");
        assert_eq!(normalized("file:///..").as_deref(), Ok("file:///"));
    }

    #[test]
    fn other_addresses_are_not_paths() {
        for (uri, why) in [
            ("https://example.org/a.jpg", PlaceError::Scheme),
            ("/a.jpg", PlaceError::Scheme),
            ("", PlaceError::Scheme),
            ("filé:", PlaceError::Scheme),
            ("file://nas/a.jpg", PlaceError::Host("nas".to_owned())),
            ("file://relative", PlaceError::Host("relative".to_owned())),
            ("file:a.jpg", PlaceError::Relative),
            ("file:", PlaceError::Relative),
            ("file://localhost", PlaceError::Relative),
            ("file:///broken%2", PlaceError::Escape),
            ("file:///broken%zz", PlaceError::Escape),
            ("file:///broken%+1", PlaceError::Escape),
            ("file:///nul%00.jpg", PlaceError::Nul),
        ] {
            assert_eq!(normalized(uri), Err(why), "{uri}");
            assert_eq!(path_of_uri(uri), None, "{uri}");
        }
    }

    #[test]
    fn terminals_are_safe_from_names() {
        assert_eq!(display_path(&file_uri(Path::new("/a\nb\u{1b}[31m.jpg"))), "/a\\nb\\u{1b}[31m.jpg");
    }
}
