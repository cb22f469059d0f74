//! Vocabulary files, in and out.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use docent::http::router;
use docent_pipelines::vocabulary::MAX_BYTES;
use serde_json::json;

use super::super::{Answer, get, send};
use super::{TERMS, add, names};
use crate::archive::Archive;

async fn import(router: &Router, query: &str, file: impl Into<Body>) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/api/v1/vocabulary/import?{query}"))
        .header(header::HOST, "127.0.0.1:1")
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header("x-docent-client", "test")
        .body(file.into())
        .expect("is a request");
    send(router, request).await
}

const LIST: &str = "animal\n\tcat\n\t\t{pussycat}\n\tdog\n";

#[tokio::test]
async fn a_file_is_looked_at_and_then_taken() {
    let archive = Archive::empty().await;
    let router = router(archive.state(None));
    add(&router, "plant", &[]).await;
    let preview = import(&router, "format=keywords&dry_run=true", LIST).await;
    let expected = json!({
        "revision": 1, "dry_run": true, "added": 3, "changed": 0, "removed": 0, "noted": [], "noted_more": 0,
        "terms": [
            { "action": "add", "name": "animal" },
            { "action": "add", "name": "cat" },
            { "action": "add", "name": "dog" },
        ],
    });
    assert_eq!((preview.status, preview.json()), (StatusCode::OK, expected));
    assert_eq!(names(&router, "").await, ["plant"]);
    let taken = import(&router, "format=keywords&revision=1", LIST).await.json();
    assert_eq!(
        (&taken["added"], &taken["revision"], &taken["dry_run"]),
        (&json!(3), &json!(2), &json!(false))
    );
    assert_eq!(names(&router, "").await, ["animal", "cat", "dog", "plant"]);
    assert_eq!(names(&router, "q=pussy").await, ["cat"]);
    let again = import(&router, "format=keywords", LIST).await.json();
    assert_eq!((&again["added"], &again["changed"], &again["revision"]), (&json!(0), &json!(0), &json!(2)));
    let late = import(&router, "format=keywords&revision=1", "x\n").await;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, json!("outdated")));

    let replaced = import(&router, "format=keywords&replace=true", "animal\n\tcat\n\tfox\n").await.json();
    let counts = ["added", "changed", "removed"].map(|name| replaced[name].as_u64().expect("a number"));
    assert_eq!((counts[0], counts[2]), (1, 2), "{replaced}");
    assert_eq!(names(&router, "").await, ["animal", "cat", "fox"]);
}

#[tokio::test]
async fn files_that_are_none_are_refused() {
    let archive = Archive::empty().await;
    let router = router(archive.state(None));
    for (query, file, status, code) in [
        ("format=turtle", "no turtle", 422, "unreadable"),
        ("", "?", 422, "unreadable"),
        ("format=json", "{", 422, "unreadable"),
        ("format=keywords&replace=true", "", 422, "unreadable"),
        ("format=word", "x", 400, "invalid"),
        ("format=csv&colour=red", "", 400, "invalid"),
        ("format=csv&replace=perhaps", "", 400, "invalid"),
    ] {
        let refused = import(&router, query, file).await;
        let told = refused.json();
        assert_eq!(
            (refused.status.as_u16(), &told["error"]["code"]),
            (status, &json!(code)),
            "{query}: {told}"
        );
    }
    // Its limit is its own; other bodies stay small.
    let large = import(&router, "format=keywords", vec![b'\n'; MAX_BYTES + 1]).await;
    assert_eq!((large.status, large.code()), (StatusCode::PAYLOAD_TOO_LARGE, json!("too_large")));
    let fits = import(&router, "format=keywords&dry_run=true", vec![b'\n'; 1 << 20]).await;
    assert_eq!(fits.status, StatusCode::OK, "{}", fits.json());
    let body = json!({ "labels": [], "notation": "x".repeat(100_000) });
    assert_eq!(super::post(&router, TERMS, Some(body)).await.code(), "too_large");
}

#[tokio::test]
async fn every_format_is_given_and_taken_again() {
    let archive = Archive::empty().await;
    let router = router(archive.state(None));
    let csv = "name@en,parent,note@en,threshold\nanimal,,what lives,\ncat,animal,,0.5\n";
    let taken = import(&router, "", csv).await;
    assert_eq!((taken.status, &taken.json()["added"]), (StatusCode::OK, &json!(2)), "{}", taken.json());
    for (format, media, name) in [
        ("turtle", "text/turtle", "vocabulary.ttl"),
        ("rdfxml", "application/rdf+xml", "vocabulary.rdf"),
        ("keywords", "text/plain; charset=utf-8", "vocabulary.txt"),
        ("csv", "text/csv; charset=utf-8", "vocabulary.csv"),
        ("json", "application/json", "vocabulary.json"),
    ] {
        let file = get(&router, &format!("/api/v1/vocabulary/export?format={format}")).await;
        assert_eq!(file.status, StatusCode::OK, "{format}");
        assert_eq!(file.headers[header::CONTENT_TYPE], media);
        let disposition = file.headers[header::CONTENT_DISPOSITION].to_str().expect("is text");
        assert_eq!(disposition, format!("attachment; filename=\"{name}\""));
        let lost = file.headers.get("docent-lost").map(|lost| lost.to_str().expect("is text").to_owned());
        assert_eq!(lost.is_some(), matches!(format, "keywords"), "{format}: {lost:?}");
        let again = import(&router, &format!("format={format}"), file.body).await;
        assert_eq!(again.status, StatusCode::OK, "{format}: {}", again.json());
        assert_eq!(again.json()["added"], json!(0), "{format}");
    }
    let wrong = get(&router, "/api/v1/vocabulary/export?format=pdf").await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::BAD_REQUEST, json!("invalid")));
    assert_eq!(get(&router, "/api/v1/vocabulary/export").await.code(), "invalid");
}
