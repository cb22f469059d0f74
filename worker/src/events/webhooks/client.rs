//! Posts bodies by HTTP/1.1, and looks at the answers as little as possible.

use std::fmt;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use hyper::http::uri::Scheme;
use hyper::{HeaderMap, Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// A connection that nobody needs is kept so long: events often come in groups.
const IDLE: Duration = Duration::from_secs(30);
/// An answer's body is waited for so long; its status is enough.
const BODY: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read. A connection whose answer is longer is closed.
const MOST_READ: usize = 16 * 1024;
const AGENT: &str = concat!("docent/", env!("CARGO_PKG_VERSION"));

/// Why nothing was posted, or there is no answer. Never contains the address.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It is no address, or none of HTTP.
    #[error("the address is not one of http or https")]
    Address,
    /// It has a user or a password.
    #[error("the address has a user or a password, which are not sent; the signature tells who calls")]
    User,
    /// The system's certificate authorities cannot be read.
    #[error("read the system's certificate authorities: {0}")]
    Authorities(std::io::Error),
    /// The request cannot be made.
    #[error("make the request: {0}")]
    Request(#[from] hyper::http::Error),
    /// There is no connection, or it broke.
    #[error("{0}")]
    Connection(String),
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// The wish to be left alone for so long.
    pub retry_after: Option<Duration>,
    /// The first bytes of the body, as text.
    pub beginning: String,
}

type Over<C> = legacy::Client<C, Full<Bytes>>;

/// Posts to one address.
pub struct Client {
    uri: Uri,
    line: Line,
}

/// TLS is only set up where it is needed: a machine may have no certificate authorities.
enum Line {
    Plain(Over<HttpConnector>),
    Tls(Over<HttpsConnector<HttpConnector>>),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Makes ready; connects to nothing. A connection must be there within `timeout`.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, ClientError> {
        let uri: Uri = url.parse().map_err(|_| ClientError::Address)?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(ClientError::Address);
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(ClientError::User);
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(timeout));
        connector.set_nodelay(true);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).pool_max_idle_per_host(1);
        let line = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => Line::Plain(builder.build(connector)),
            Some(scheme) if *scheme == Scheme::HTTPS => {
                connector.enforce_http(false);
                let tls =
                    HttpsConnectorBuilder::new().with_native_roots().map_err(ClientError::Authorities)?;
                Line::Tls(builder.build(tls.https_only().enable_http1().wrap_connector(connector)))
            }
            _ => return Err(ClientError::Address),
        };
        Ok(Self { uri, line })
    }

    /// Posts JSON. Redirects are answers like any other.
    pub(super) async fn post<const N: usize>(
        &self,
        headers: [(&'static str, String); N],
        body: String,
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let answered = match &self.line {
            Line::Plain(client) => client.request(request).await,
            Line::Tls(client) => client.request(request).await,
        };
        let response = answered.map_err(|error| ClientError::Connection(words(&error)))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        // What it says counts, not whether it says it to the end.
        let beginning = tokio::time::timeout(BODY, beginning(response)).await.unwrap_or_default();
        Ok(Answer { status, retry_after, beginning })
    }
}

/// The first bytes of a body.
async fn beginning(response: Response<Incoming>) -> String {
    let mut body = response.into_body();
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(bytes) = frame.data_ref() else { continue };
        let room = MOST_READ.saturating_sub(read.len());
        read.extend(bytes.iter().take(room));
        if read.len() == MOST_READ {
            break;
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// The header `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// An error with its causes. None of them names the address.
fn words(error: &legacy::Error) -> String {
    let mut words = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if words.last() != Some(&said) {
            words.push(said);
        }
        cause = error.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_http_are_taken() {
        for url in [
            "",
            "hooks",
            "/hooks",
            "ftp://host/",
            "file:///etc/passwd",
            "http://",
            "https:///x",
            "http://a:b@c/",
        ] {
            assert!(Client::new(url, IDLE).is_err(), "{url}");
        }
        assert!(Client::new("http://127.0.0.1:9/hooks?a=b", IDLE).is_ok());
    }

    #[test]
    fn the_wish_to_be_left_alone_is_a_number_or_a_date() {
        let now = httpdate::parse_http_date("Tue, 01 Dec 2026 10:00:00 GMT").expect("is a date");
        let after = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("is a value"));
            retry_after(&headers, now).map(|after| after.as_secs())
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Tue, 01 Dec 2026 10:01:00 GMT"), Some(60));
        assert_eq!(after("Tue, 01 Dec 2026 09:00:00 GMT"), Some(0));
        assert_eq!(after("soon"), None);
    }
}
