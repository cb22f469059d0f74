//! The review page: static files, compiled in.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ApiError;
use super::extract::Path;

const INDEX: &str = include_str!("web/index.html");

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// Name, media type, content.
const FILES: [(&str, &str, &str); 24] = [
    ("style.css", STYLE, include_str!("web/style.css")),
    ("vocabulary.css", STYLE, include_str!("web/vocabulary.css")),
    ("icon.svg", ICON, include_str!("web/icon.svg")),
    ("address.js", SCRIPT, include_str!("web/address.js")),
    ("api.js", SCRIPT, include_str!("web/api.js")),
    ("app.js", SCRIPT, include_str!("web/app.js")),
    ("asking.js", SCRIPT, include_str!("web/asking.js")),
    ("bulk.js", SCRIPT, include_str!("web/bulk.js")),
    ("carried.js", SCRIPT, include_str!("web/carried.js")),
    ("dom.js", SCRIPT, include_str!("web/dom.js")),
    ("failures.js", SCRIPT, include_str!("web/failures.js")),
    ("gallery.js", SCRIPT, include_str!("web/gallery.js")),
    ("importing.js", SCRIPT, include_str!("web/importing.js")),
    ("login.js", SCRIPT, include_str!("web/login.js")),
    ("notices.js", SCRIPT, include_str!("web/notices.js")),
    ("panel.js", SCRIPT, include_str!("web/panel.js")),
    ("proposals.js", SCRIPT, include_str!("web/proposals.js")),
    ("rows.js", SCRIPT, include_str!("web/rows.js")),
    ("stage.js", SCRIPT, include_str!("web/stage.js")),
    ("term.js", SCRIPT, include_str!("web/term.js")),
    ("tree.js", SCRIPT, include_str!("web/tree.js")),
    ("undo.js", SCRIPT, include_str!("web/undo.js")),
    ("vocabulary.js", SCRIPT, include_str!("web/vocabulary.js")),
    ("zoom.js", SCRIPT, include_str!("web/zoom.js")),
];

/// The page.
pub async fn index(headers: HeaderMap) -> Response {
    serve(&headers, HTML, INDEX)
}

/// One of its files.
pub async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let (_, media_type, content) = FILES
        .into_iter()
        .find(|(file, ..)| *file == name)
        .ok_or_else(|| ApiError::NoRoute(format!("/web/{name}")))?;
    Ok(serve(&headers, media_type, content))
}

/// Files change with docent's version only; the browser asks each time and is mostly told to keep what it has.
fn serve(headers: &HeaderMap, media_type: &'static str, content: &'static str) -> Response {
    let tag = format!("\"{}\"", blake3::hash(content.as_bytes()).to_hex());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, media_type)], content).into_response()
}
