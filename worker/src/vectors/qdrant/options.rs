//! Where Qdrant is and how to talk to it.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::names;

/// The port on which Qdrant speaks gRPC.
const PORT: u16 = 6334;

/// Where Qdrant is and how to talk to it. Neither the API key nor what stands before an `@` in the URL is ever shown.
#[derive(Clone)]
pub struct QdrantOptions {
    /// `http://host:6334` or `https://host:6334`, the gRPC port; 6334 where none is given. A password in it, or a name
    /// without a password, is the API key unless `api_key` gives one.
    pub url: String,
    /// The API key, where the server asks for one.
    pub api_key: Option<String>,
    /// What the names of all collections begin with: lower-case letters, digits, `-` and `.`.
    pub prefix: String,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time for one call, connecting included.
    pub timeout: Duration,
    /// A collection is taken to be what it was this long ago: somebody else may drop it and make another of its name.
    pub trust: Duration,
}

impl QdrantOptions {
    /// The server at `url`, everything else as usual.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            prefix: "docent".to_owned(),
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            trust: Duration::from_secs(5),
        }
    }

    /// What is needed to connect. Its errors hold nothing that is secret.
    pub(super) fn target(&self) -> anyhow::Result<Target> {
        let mut target = target(&self.url)?;
        if let Some(key) = &self.api_key {
            target.api_key = Some(key.clone());
        }
        // The client puts a key that no header can hold into its error.
        let fits = |key: &String| !key.is_empty() && key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        ensure!(target.api_key.as_ref().is_none_or(fits), "the API key must be printable ASCII");
        ensure!(
            names::is_prefix(&self.prefix),
            "a collection prefix is made of lower-case letters, digits, '-' and '.': '{}' is not",
            self.prefix
        );
        Ok(target)
    }
}

impl fmt::Debug for QdrantOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = target(&self.url).ok();
        f.debug_struct("QdrantOptions")
            .field("url", &target.as_ref().map_or("not a URL", |target| &target.endpoint))
            .field("api_key", &self.api_key.as_ref().map(|_| "not shown"))
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .field("trust", &self.trust)
            .finish()
    }
}

/// A URL taken apart.
pub(super) struct Target {
    /// Scheme, host and port, and nothing else.
    pub endpoint: String,
    pub api_key: Option<String>,
}

fn target(url: &str) -> anyhow::Result<Target> {
    let (scheme, rest) = url.split_once("://").context("a URL of Qdrant begins with http:// or https://")?;
    ensure!(matches!(scheme, "http" | "https"), "a URL of Qdrant begins with http:// or https://");
    // A password may hold a slash that should have been escaped; what follows the last '@' is no secret.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let address = rest.trim_end_matches('/');
    ensure!(!address.contains(['/', '?', '#']), "a URL of Qdrant ends with the port");
    let (host, port) = match address.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse::<u16>().context("the port in the URL of Qdrant is not a number up to 65535")?)
        }
        _ => (address, PORT),
    };
    let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    ensure!(named, "there is no host in the URL of Qdrant");
    let api_key = match user.map(|user| user.split_once(':').map_or(user, |(_, password)| password)) {
        Some("") | None => None,
        Some(key) => Some(unescape(key)?),
    };
    Ok(Target { endpoint: format!("{scheme}://{host}:{port}"), api_key })
}

/// `%2F` is `/`.
fn unescape(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            bail!("a '%' in the API key in the URL of Qdrant is not followed by two hexadecimal digits");
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok().context("the API key in the URL of Qdrant is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, endpoint, key) in [
            ("http://localhost:7000", "http://localhost:7000", None),
            ("https://qdrant.example/", "https://qdrant.example:6334", None),
            ("http://[::1]", "http://[::1]:6334", None),
            ("http://[::1]:7000/", "http://[::1]:7000", None),
            ("http://:se%2Fcret@host", "http://host:6334", Some("se/cret")),
            ("http://someone:secret@host:1", "http://host:1", Some("secret")),
            ("http://secret@host:1", "http://host:1", Some("secret")),
            ("http://someone:se/cr@et@host:1", "http://host:1", Some("se/cr@et")),
            ("http://@host:1", "http://host:1", None),
        ] {
            let target = target(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((target.endpoint.as_str(), target.api_key.as_deref()), (endpoint, key), "{url}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        for url in [
            "hunter2",
            "grpc://:hunter2@host",
            "http://:hunter2@",
            "http://:hunter2@host/?api_key=hunter2",
            "http://:hunter2@host:port",
            "http://:hunter2%@host",
            "http://:hunter2%ff@host",
            "http://:hunter2%0a@host",
            "http://someone:hunter2@host:1",
        ] {
            let options = QdrantOptions { api_key: None, ..QdrantOptions::new(url) };
            let keyed = QdrantOptions { api_key: Some("hunter2\n".to_owned()), ..options.clone() };
            for options in [options, keyed] {
                let shown = format!("{options:?} {options:#?}");
                let error =
                    options.target().err().map_or_else(String::new, |error| format!("{error:?} {error:#}"));
                assert!(!shown.contains("hunter2") && !error.contains("hunter2"), "{url}: {shown}: {error}");
            }
        }
        assert!(
            QdrantOptions { prefix: "a_b".to_owned(), ..QdrantOptions::new("http://host") }.target().is_err()
        );
        assert!(QdrantOptions::new("http://host").target().is_ok());
    }
}
