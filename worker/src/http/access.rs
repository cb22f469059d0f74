//! Who is let in.
//!
//! A server on loopback is reachable by every page open in the same browser. Two things keep those out: the host name
//! of a request must be one that cannot be bent to 127.0.0.1 by somebody else's name server, and a request that changes
//! something must carry a header that browsers do not let foreign pages send. Beyond loopback a token is required.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::extract::CLIENT_HEADER;
use super::{ApiError, AppState};

/// The cookie that stands for the token in a browser.
const SESSION_COOKIE: &str = "docent_session";
/// Shorter tokens can be guessed.
const MIN_TOKEN_CHARS: usize = 16;
/// Routes that show nothing of the archive: the page's own files, signing in, and the sign of life.
const OPEN_PREFIX: &str = "/web/";
const OPEN_ROUTES: [&str; 2] = ["/", "/healthz"];
const SESSION_ROUTE: &str = "/api/v1/session";

/// Why the server must not listen there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BindError {
    /// Others can reach the address.
    #[error("listen on {0}: others can reach this address, so a token is required")]
    TokenRequired(SocketAddr),
    /// The token can be guessed.
    #[error("listen on {0}: the token is shorter than {MIN_TOKEN_CHARS} characters")]
    TokenTooShort(SocketAddr),
}

/// Whether the server may listen on `address`: on loopback always, elsewhere only with a token of at least 16
/// characters.
pub fn check_bind(address: SocketAddr, token: Option<&str>) -> Result<(), BindError> {
    match token {
        _ if address.ip().is_loopback() => Ok(()),
        None => Err(BindError::TokenRequired(address)),
        Some(token) if token.chars().count() < MIN_TOKEN_CHARS => Err(BindError::TokenTooShort(address)),
        Some(_) => Ok(()),
    }
}

/// What a request is held against. Keeps no secret itself, only hashes, whose comparison takes constant time.
pub struct AccessPolicy {
    token: Option<blake3::Hash>,
    session: Option<(String, blake3::Hash)>,
    hosts: Vec<String>,
}

impl AccessPolicy {
    /// A policy that asks for `token`, and answers to loopback names and `hosts`.
    pub fn new(token: Option<&str>, hosts: Vec<String>) -> Self {
        let session = token.map(|token| {
            // Derived, so that signing in survives a restart and ends when the token changes.
            let key = blake3::derive_key("docent review page session 1", token.as_bytes());
            let value = blake3::Hash::from_bytes(key).to_hex().to_string();
            let hash = blake3::hash(value.as_bytes());
            (value, hash)
        });
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { token: token.map(|token| blake3::hash(token.as_bytes())), session, hosts }
    }

    /// Whether `token` is the configured one. Without one, every token is.
    pub fn admits(&self, token: &str) -> bool {
        self.token.is_none_or(|expected| blake3::hash(token.as_bytes()) == expected)
    }

    /// The `Set-Cookie` value of a browser that showed the token; `None` where none is needed.
    pub fn session_cookie(&self) -> Option<String> {
        let (value, _) = self.session.as_ref()?;
        Some(format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict"))
    }

    /// The `Set-Cookie` value that ends a session.
    pub fn no_cookie() -> String {
        format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let path = request.uri().path();
        if path == "/healthz" {
            return Ok(());
        }
        self.check_host(request)?;
        check_origin(request)?;
        let open = OPEN_ROUTES.contains(&path) || path.starts_with(OPEN_PREFIX) || path == SESSION_ROUTE;
        if open || self.is_authorized(request.headers()) { Ok(()) } else { Err(ApiError::Unauthorized) }
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let (Some(token), Some((_, session))) = (&self.token, &self.session) else { return true };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_first_chunk::<7>())
            .is_some_and(|(scheme, given)| {
                scheme.eq_ignore_ascii_case(b"bearer ") && blake3::hash(given) == *token
            });
        let cookie = || {
            headers
                .get_all(header::COOKIE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(';'))
                .filter_map(|pair| pair.trim().split_once('='))
                .any(|(name, value)| name == SESSION_COOKIE && blake3::hash(value.as_bytes()) == *session)
        };
        bearer || cookie()
    }

    /// A rebound name carries no token and no cookie, so with a token the name matters only where names are configured.
    fn check_host(&self, request: &Request) -> Result<(), ApiError> {
        if self.token.is_some() && self.hosts.is_empty() {
            return Ok(());
        }
        let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
        let in_uri = request.uri().authority().map(|authority| authority.as_str());
        let mut names = named.into_iter().chain(in_uri).peekable();
        if names.peek().is_some() && names.all(|name| self.answers_to(name)) {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "docent does not answer to the host name '{}'; names other than loopback are set in the configuration",
            named.or(in_uri).unwrap_or_default()
        )))
    }

    fn answers_to(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        name == "localhost"
            || name.ends_with(".localhost")
            || address.is_ok_and(|address| address.is_loopback())
            || self.hosts.contains(&name)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

/// A request that changes something must be one that a page from elsewhere cannot make a browser send.
fn check_origin(request: &Request) -> Result<(), ApiError> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE) {
        return Ok(());
    }
    let headers = request.headers();
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return Err(ApiError::Forbidden("the request comes from another site".to_owned()));
    }
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if json || headers.contains_key(header::AUTHORIZATION) || headers.contains_key(CLIENT_HEADER) {
        return Ok(());
    }
    Err(ApiError::Forbidden(
        "a request that changes something needs `Content-Type: application/json` or an `X-Docent-Client` header"
            .to_owned(),
    ))
}

/// Lets a request pass or answers in its place.
pub async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match state.access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds the headers that keep an answer from being misused; what a route does not mark as cacheable is not kept.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let mut builder = axum::http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(axum::body::Body::empty()).expect("is a request")
    }

    fn passes(access: &AccessPolicy, method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        access.check(&request(method, path, headers)).is_ok()
    }

    #[test]
    fn only_loopback_needs_no_token() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("is an address");
        assert_eq!(check_bind(address("127.0.0.1:0"), None), Ok(()));
        assert_eq!(check_bind(address("[::1]:80"), None), Ok(()));
        let open = address("0.0.0.0:80");
        assert_eq!(check_bind(open, None), Err(BindError::TokenRequired(open)));
        assert_eq!(check_bind(open, Some("short")), Err(BindError::TokenTooShort(open)));
        assert_eq!(check_bind(open, Some(TOKEN)), Ok(()));
    }

    #[test]
    fn names_that_others_control_are_refused() {
        let access = AccessPolicy::new(None, vec!["Archive.example".to_owned()]);
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80", "[::1]", "archive.example:80"]
        {
            assert!(passes(&access, "GET", "/api/v1/status", &[("host", host)]), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil", "192.168.0.1", ""] {
            assert!(!passes(&access, "GET", "/api/v1/status", &[("host", host)]), "{host}");
        }
        assert!(!passes(&access, "GET", "/api/v1/status", &[]));
        assert!(!passes(&access, "GET", "http://evil.example/api/v1/status", &[("host", "localhost")]));
        assert!(passes(&access, "GET", "/healthz", &[("host", "10.0.0.7")]));
    }

    #[test]
    fn foreign_pages_cannot_decide() {
        let access = AccessPolicy::new(None, Vec::new());
        let path = "/api/v1/suggestions/x/accept";
        let host = ("host", "localhost");
        assert!(!passes(&access, "POST", path, &[host]));
        assert!(!passes(&access, "POST", path, &[host, ("content-type", "text/plain")]));
        assert!(!passes(&access, "DELETE", "/api/v1/session", &[host]));
        assert!(passes(&access, "POST", path, &[host, ("content-type", "application/json; charset=utf-8")]));
        assert!(passes(&access, "POST", path, &[host, ("x-docent-client", "web")]));
        let cross = ("sec-fetch-site", "cross-site");
        assert!(!passes(&access, "POST", path, &[host, ("x-docent-client", "web"), cross]));
    }

    #[test]
    fn the_token_opens_by_header_or_cookie() {
        let access = AccessPolicy::new(Some(TOKEN), Vec::new());
        let bearer = format!("Bearer {TOKEN}");
        let cookie = access.session_cookie().expect("there is a token");
        let cookie = format!("other=1; {}", cookie.split(';').next().expect("has a value"));
        for path in ["/api/v1/status", "/metrics", "/readyz", "/api/v1/openapi.json", "/unknown"] {
            assert!(!passes(&access, "GET", path, &[]), "{path}");
            assert!(!passes(&access, "GET", path, &[("authorization", "Bearer wrong")]), "{path}");
            assert!(!passes(&access, "GET", path, &[("cookie", "docent_session=wrong")]), "{path}");
            assert!(passes(&access, "GET", path, &[("authorization", bearer.as_str())]), "{path}");
            assert!(passes(&access, "GET", path, &[("cookie", cookie.as_str())]), "{path}");
        }
        assert!(passes(&access, "GET", "/healthz", &[]) && passes(&access, "GET", "/", &[]));
        assert!(!cookie.contains(TOKEN), "the cookie does not give the token away");
        assert!(access.admits(TOKEN) && !access.admits("wrong"));
    }
}
