//! The API, in process, over a real ledger.

mod jobs;
mod vocabulary;

use std::path::Path;
use std::sync::Arc;

use crate::archive::{Archive, BROKEN, PICTURES, TOKEN};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use docent::http::{AppState, document, router, serve};
use docent::search::{Search, SearchOptions};
use docent::store::{Catalog, Reviews};
use docent::vectors::{QdrantIndex, QdrantOptions};
use docent_models::Pack;
use docent_models::session::SessionOptions;
use docent_pipelines::{DecodeLimits, Status};
use docent_tests::qdrant::QdrantServer;
use serde_json::{Value, json};
use tower::ServiceExt;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    fn code(&self) -> Value {
        self.json()["error"]["code"].clone()
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("the router never fails");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 10_000_000).await.expect("the body is whole").to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

fn request(method: Method, path: &str, body: Option<Value>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1:1")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
        .expect("is a request")
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, request(Method::GET, path, None)).await
}

async fn post(router: &Router, path: &str, body: Option<Value>) -> Answer {
    send(router, request(Method::POST, path, body)).await
}

/// Makes an answer the same on every machine and at every time.
fn stable(archive: &Archive, mut value: Value) -> Value {
    fn walk(value: &mut Value, folder: &str) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, folder)),
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(name, field)| match (name.as_str(), &*field) {
                    ("at" | "created_at", Value::String(_)) => *field = "[time]".into(),
                    ("next", Value::String(_)) => *field = "[page]".into(),
                    _ => walk(field, folder),
                })
            }
            Value::String(text) => *text = text.replace(folder, "/pictures"),
            _ => {}
        }
    }
    walk(&mut value, &archive.folder.path().to_string_lossy());
    value
}

#[test]
fn the_document_is_the_one_that_was_agreed() {
    insta::assert_json_snapshot!("openapi", document());
}

#[tokio::test]
async fn every_documented_route_is_served() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let document = serde_json::to_value(document()).expect("serializes");
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().expect("has paths") {
        for method in methods.as_object().expect("has methods").keys() {
            routes += 1;
            // Its answer does not end; `stream.rs` listens.
            if path == "/api/v1/events" {
                continue;
            }
            let method: Method = method.to_uppercase().parse().expect("is a method");
            let answer =
                send(&router, request(method.clone(), &path.replace("{id}", &"0".repeat(32)), None)).await;
            assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(answer.status.is_success() || answer.code() != "no_route", "{method} {path}");
        }
    }
    assert_eq!(routes, 48);
}

#[tokio::test]
async fn answers_look_as_agreed() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let astronaut = &archive.assets["astronaut.jpg"];
    let face = archive.suggestion("astronaut.jpg", "face").await.id;
    for (name, path) in [
        ("assets", "/api/v1/assets?limit=2".to_owned()),
        ("asset", format!("/api/v1/assets/{astronaut}")),
        ("asset_suggestions", format!("/api/v1/assets/{astronaut}/suggestions")),
        ("suggestions", "/api/v1/suggestions?kind=tag&min_confidence=0.9&status=pending".to_owned()),
        ("suggestion", format!("/api/v1/suggestions/{face}")),
        ("search", "/api/v1/search?q=coffee".to_owned()),
        ("search_text", "/api/v1/search?q=%22broken+in%22+nas&by=text&unfinished=true".to_owned()),
        ("similar", format!("/api/v1/assets/{astronaut}/similar?k=1")),
        ("status", "/api/v1/status".to_owned()),
        ("failures", "/api/v1/failures".to_owned()),
    ] {
        let answer = get(&router, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&answer.body));
        insta::assert_json_snapshot!(name, stable(&archive, answer.json()));
    }
}

#[tokio::test]
async fn pages_join_to_the_whole() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let all = get(&router, "/api/v1/suggestions").await.json();
    let (mut joined, mut after) = (Vec::new(), String::new());
    loop {
        let part = get(&router, &format!("/api/v1/suggestions?limit=4{after}")).await.json();
        joined.extend(part["suggestions"].as_array().unwrap_or_else(|| panic!("a list, not {part}")).clone());
        match part["next"].as_str() {
            Some(next) => {
                let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
                after = format!("&after={encoded}");
            }
            None => break,
        }
    }
    assert_eq!(Value::from(joined), all["suggestions"]);
}

#[tokio::test]
async fn a_decision_is_guarded_and_logged() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let id = archive.suggestion("chelsea.jpg", "cat").await.id;
    let mut by_name = request(Method::POST, &format!("/api/v1/suggestions/{id}/accept"), None);
    by_name.headers_mut().insert("x-docent-reviewer", "Renée".parse().expect("is a header"));
    by_name.headers_mut().insert("x-docent-client", "web".parse().expect("is a header"));
    let accepted = send(&router, by_name).await;
    assert_eq!((accepted.status, accepted.json()["status"].clone()), (StatusCode::OK, json!("accepted")));

    let second = post(&router, &format!("/api/v1/suggestions/{id}/reject"), None).await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    let message = format!("suggestion {id} is accepted, not pending");
    let conflict = json!({ "error": { "code": "conflict", "message": message, "status": "accepted" } });
    assert_eq!(second.json(), conflict);

    assert_eq!(
        post(&router, &format!("/api/v1/suggestions/{id}/undo"), None).await.json()["status"],
        "pending"
    );
    assert_eq!(
        post(&router, &format!("/api/v1/suggestions/{id}/undo"), None).await.status,
        StatusCode::CONFLICT
    );
    let log = get(&router, &format!("/api/v1/suggestions/{id}/reviews")).await.json();
    insta::assert_json_snapshot!("reviews", stable(&archive, log));
}

#[tokio::test]
async fn of_many_reviewers_at_once_one_succeeds() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let id = archive.suggestion("chelsea.jpg", "cat").await.id;
    let decisions: Vec<_> = (0..8)
        .map(|n| {
            let action = if n % 2 == 0 { "accept" } else { "reject" };
            let (router, path) = (router.clone(), format!("/api/v1/suggestions/{id}/{action}"));
            tokio::spawn(async move { post(&router, &path, None).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for decision in decisions {
        statuses.push(decision.await.expect("does not panic").as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(archive.store.reviews(&id).await.expect("lists").len(), 1);
}

#[tokio::test]
async fn filters_narrow_listings() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let folder = archive.folder.path().display();
    let assets = |query: String| {
        let router = router.clone();
        async move {
            let answer = get(&router, &format!("/api/v1/assets?{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}");
            answer.json()["assets"].as_array().expect("a list").len()
        }
    };
    assert_eq!(assets(String::new()).await, PICTURES.len() + 1);
    assert_eq!(assets("tag=cat".to_owned()).await, 1);
    assert_eq!(assets("kind=object".to_owned()).await, 2);
    assert_eq!(assets("status=accepted".to_owned()).await, 0);
    assert_eq!(assets("kind=tag&min_confidence=0.96".to_owned()).await, 1);
    assert_eq!(assets("kind=face&min_confidence=0.96&status=pending".to_owned()).await, 1);
    assert_eq!(
        assets("kind=object&min_confidence=0.96".to_owned()).await,
        0,
        "one suggestion must pass everything"
    );
    assert_eq!(assets(format!("path={folder}")).await, PICTURES.len() + 1);
    assert_eq!(assets(format!("path={folder}/")).await, PICTURES.len() + 1);
    assert_eq!(assets(format!("path={folder}/coffee.jpg")).await, 1);
    assert_eq!(
        assets(format!("path={folder}/coffee")).await,
        0,
        "a path is more than a beginning of letters"
    );
    assert_eq!(assets("path=/nowhere/at/all".to_owned()).await, 0);
    assert_eq!(assets("owner=harbor%20museum".to_owned()).await, 1);
    assert_eq!(assets(format!("owner=harbor%20museum&path={folder}/coffee.jpg")).await, 0);
    assert_eq!(assets("owner=museum".to_owned()).await, 0, "part of a name is another name");
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let unknown = "0".repeat(32);
    for (path, status, code) in [
        ("/api/v1/nothing".to_owned(), 404, "no_route"),
        ("/elsewhere".to_owned(), 404, "no_route"),
        (format!("/api/v1/assets/{unknown}"), 404, "not_found"),
        (format!("/api/v1/assets/{unknown}/suggestions"), 404, "not_found"),
        (format!("/api/v1/assets/{unknown}/similar"), 404, "not_found"),
        (format!("/api/v1/assets/{unknown}/thumbnail"), 404, "not_found"),
        (format!("/api/v1/suggestions/{unknown}"), 404, "not_found"),
        (format!("/api/v1/suggestions/{unknown}/reviews"), 404, "not_found"),
        ("/api/v1/assets/../etc".to_owned(), 404, "no_route"),
        ("/api/v1/assets/short".to_owned(), 400, "invalid"),
        ("/api/v1/assets?limit=0".to_owned(), 400, "invalid"),
        ("/api/v1/assets?limit=1001".to_owned(), 400, "invalid"),
        ("/api/v1/assets?kind=sound".to_owned(), 400, "invalid"),
        ("/api/v1/assets?colour=red".to_owned(), 400, "invalid"),
        ("/api/v1/assets?path=relative".to_owned(), 400, "invalid"),
        ("/api/v1/assets?owner=%20".to_owned(), 400, "invalid"),
        ("/api/v1/suggestions?min_confidence=2".to_owned(), 400, "invalid"),
        ("/api/v1/suggestions?asset=x".to_owned(), 400, "invalid"),
        ("/api/v1/search?q=%20".to_owned(), 400, "invalid"),
        ("/api/v1/search".to_owned(), 400, "invalid"),
        (format!("/api/v1/search?q={}&by=text", "a+".repeat(33)), 422, "too_many_words"),
        (format!("/api/v1/search?q={}", "a".repeat(501)), 400, "invalid"),
        ("/api/v1/suggestions/count?limit=3".to_owned(), 400, "invalid"),
        ("/api/v1/search?q=x&by=taste".to_owned(), 400, "invalid"),
        ("/api/v1/search?q=x&k=0".to_owned(), 400, "invalid"),
        (format!("/api/v1/assets/{}/picture?side=9999", archive.assets["china.jpg"]), 400, "invalid"),
        ("/metrics".to_owned(), 404, "not_found"),
    ] {
        let answer = get(&router, &path).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, json!(code)), "{path}");
        assert!(!answer.json()["error"]["message"].as_str().unwrap_or_default().is_empty(), "{path}");
    }
    let accept_all = "/api/v1/suggestions/accept-all";
    assert_eq!(post(&router, accept_all, Some(json!({}))).await.code(), "invalid");
    assert_eq!(post(&router, accept_all, Some(json!({ "min_confidence": -1 }))).await.code(), "invalid");
    assert_eq!(
        post(&router, accept_all, Some(json!({ "min_confidence": 0.5, "x": 1 }))).await.code(),
        "invalid"
    );
    let large = json!({ "min_confidence": 0.5, "value": "x".repeat(100_000) });
    assert_eq!(post(&router, accept_all, Some(large)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(get(&router, accept_all).await.code(), "method_not_allowed");
    assert_eq!(post(&router, "/api/v1/status", None).await.code(), "method_not_allowed");
    assert_eq!(get(&router, "/api/v1/assets?after=x").await.code(), "invalid");
    let unknown = format!("/api/v1/suggestions/{unknown}/accept");
    assert_eq!(post(&router, &unknown, None).await.code(), "not_found");
}

#[tokio::test]
async fn the_cause_of_a_failure_stays_inside() {
    let answer = get(&router(Archive::with_pictures().await.state(None)), "/api/v1/search?q=fail").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::INTERNAL_SERVER_ERROR, json!("internal")));
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
}

#[tokio::test]
async fn pictures_are_scaled_and_cached() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let china = &archive.assets["china.jpg"];
    let thumbnail = get(&router, &format!("/api/v1/assets/{china}/thumbnail")).await;
    assert_eq!(thumbnail.status, StatusCode::OK);
    assert_eq!(thumbnail.headers[header::CONTENT_TYPE], "image/jpeg");
    assert_eq!(thumbnail.headers[header::CACHE_CONTROL], "private, max-age=60");
    let decoded = image::load_from_memory(&thumbnail.body).expect("is a picture");
    assert_eq!((decoded.width(), decoded.height()), (320, 214));
    let picture = get(&router, &format!("/api/v1/assets/{china}/picture?side=500")).await;
    assert_eq!(image::load_from_memory(&picture.body).expect("is a picture").width(), 500);

    let mut again = request(Method::GET, &format!("/api/v1/assets/{china}/thumbnail"), None);
    again.headers_mut().insert(header::IF_NONE_MATCH, thumbnail.headers[header::ETAG].clone());
    let again = send(&router, again).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));

    std::fs::remove_file(archive.path("china.jpg")).expect("is removed");
    assert_eq!(
        get(&router, &format!("/api/v1/assets/{china}/thumbnail")).await.status,
        StatusCode::OK,
        "is kept"
    );
    let gone = get(&router, &format!("/api/v1/assets/{china}/picture?side=600")).await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, json!("not_found")));
}

#[tokio::test]
async fn files_that_cannot_be_shown_say_why() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let broken = get(&router, &format!("/api/v1/assets/{}/thumbnail", archive.assets[BROKEN])).await;
    assert_eq!((broken.status, broken.code()), (StatusCode::UNPROCESSABLE_ENTITY, json!("undecodable")));

    std::fs::copy(archive.path("coffee.jpg"), archive.path("china.jpg")).expect("is overwritten");
    let changed = get(&router, &format!("/api/v1/assets/{}/thumbnail", archive.assets["china.jpg"])).await;
    assert_eq!(changed.status, StatusCode::NOT_FOUND);
    assert!(changed.json()["error"]["message"].as_str().is_some_and(|text| text.contains("changed")));

    // What is gone is noted, and what is back.
    for (from, to, gone) in [("chelsea.jpg", "aside.jpg", true), ("aside.jpg", "chelsea.jpg", false)] {
        std::fs::rename(archive.path(from), archive.path(to)).expect("is moved");
        let cat = &archive.assets["chelsea.jpg"];
        let shown = get(&router, &format!("/api/v1/assets/{cat}/thumbnail")).await;
        assert_eq!(shown.status == StatusCode::OK, !gone);
        assert_eq!(archive.store.asset(cat).await.expect("is known").gone, gone);
    }
}

#[tokio::test]
async fn strangers_are_kept_out() {
    let archive = Archive::with_pictures().await;
    let open = router(archive.state(None));
    let mut rebound = request(Method::GET, "/api/v1/status", None);
    rebound.headers_mut().insert(header::HOST, "evil.example".parse().expect("is a header"));
    assert_eq!(send(&open, rebound).await.code(), "forbidden");

    let id = archive.suggestion("chelsea.jpg", "cat").await.id;
    let mut foreign = request(Method::POST, &format!("/api/v1/suggestions/{id}/accept"), None);
    foreign.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().expect("is a header"));
    assert_eq!(send(&open, foreign).await.code(), "forbidden");
    assert_eq!(archive.suggestion("chelsea.jpg", "cat").await.status, Status::Pending);

    let closed = router(archive.state(Some(TOKEN)));
    assert_eq!(get(&closed, "/api/v1/status").await.code(), "unauthorized");
    assert_eq!(get(&closed, "/healthz").await.status, StatusCode::OK);
    let wrong = post(&closed, "/api/v1/session", Some(json!({ "token": "wrong" }))).await;
    assert_eq!((wrong.status, wrong.headers.get(header::SET_COOKIE)), (StatusCode::UNAUTHORIZED, None));
    let right = post(&closed, "/api/v1/session", Some(json!({ "token": TOKEN }))).await;
    let cookie = right.headers[header::SET_COOKIE].to_str().expect("is text").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let mut signed_in = request(Method::GET, "/api/v1/status", None);
    let pair = cookie.split(';').next().expect("has a value").parse().expect("is a header");
    signed_in.headers_mut().insert(header::COOKIE, pair);
    assert_eq!(send(&closed, signed_in).await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let archive = Archive::with_pictures().await;
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let mut options = archive.options();
    options.metrics = Some(recorder.handle().into());
    let router = router(AppState::new(archive.ports(), options));
    // This test's thread runs the whole router.
    let _counting = metrics::set_default_local_recorder(&recorder);
    get(&router, &format!("/api/v1/assets/{}", archive.assets["china.jpg"])).await;
    get(&router, "/somewhere/else").await;
    let metrics = String::from_utf8(get(&router, "/metrics").await.body).expect("is text");
    for line in [
        "docent_http_requests_total{method=\"GET\",route=\"/api/v1/assets/{id}\",status=\"200\"} 1",
        "docent_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(
        metrics.contains("docent_http_request_seconds_count{method=\"GET\",route=\"/api/v1/assets/{id}\"} 1")
    );
}

#[tokio::test]
async fn ready_is_when_ledger_and_index_answer() {
    let archive = Archive::empty().await;
    let server = QdrantServer::start();
    let index = QdrantIndex::connect(QdrantOptions::new(server.url())).expect("is set up");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let options = SearchOptions {
        start: Arc::new(|| Ok(())),
        session: SessionOptions::default(),
        decode: DecodeLimits::default(),
    };
    let pack = Arc::new(Pack::open(&models).expect("opens"));
    let mut ports = archive.ports();
    ports.search = Arc::new(Search::new(Arc::clone(&archive.store) as _, Arc::new(index), pack, options));
    let router = router(AppState::new(ports, archive.options()));
    assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK);
    server.stop().await;
    let answer = get(&router, "/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let told: Value = serde_json::from_slice(&answer.body).expect("is JSON");
    assert_eq!(told["ready"], false);
    assert_eq!(told["backends"]["store"], json!({ "up": true }));
    assert_eq!(told["backends"]["vectors"]["up"], false);
    assert!(told["backends"]["vectors"]["reason"].as_str().is_some_and(|why| why.len() > 10), "{told}");
    assert!(!String::from_utf8_lossy(&answer.body).contains(&server.url()), "no address is told");
    assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
    server.resume();
    assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_carries_the_protective_headers() {
    let router = router(Archive::empty().await.state(None));
    for path in ["/", "/web/app.js", "/api/v1/status", "/api/v1/nothing", "/healthz"] {
        let headers = get(&router, path).await.headers;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("is text");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
    }
    assert_eq!(get(&router, "/api/v1/status").await.headers[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn the_page_asks_nobody_else() {
    let router = router(Archive::empty().await.state(None));
    let index = String::from_utf8(get(&router, "/").await.body).expect("is text");
    let mut files = vec![index.clone()];
    for file in index.split(['"', '\'']).filter(|part| part.starts_with("web/")) {
        let answer = get(&router, &format!("/{file}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        files.push(String::from_utf8(answer.body).expect("is text"));
    }
    let script = files.iter().find(|file| file.contains("import ")).expect("there is a script").clone();
    for name in script.split('"').filter_map(|part| part.strip_prefix("./")) {
        let answer = get(&router, &format!("/web/{name}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        files.push(String::from_utf8(answer.body).expect("is text"));
    }
    for file in files {
        // A namespace is a name, not an address.
        let file = file.replace("http://www.w3.org/2000/svg", "");
        for forbidden in ["http://", "https://", "innerHTML", "insertAdjacentHTML", "eval("] {
            assert!(!file.contains(forbidden), "{forbidden} in {}", &file[..60]);
        }
    }
}

#[tokio::test]
async fn a_stopped_server_does_not_wait_for_idle_connections() {
    let archive = Archive::empty().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("has an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, archive.state(None), async {
        drop(stopped.await);
    }));
    let mut connection = tokio::net::TcpStream::connect(address).await.expect("connects");
    let head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut connection, head).await.expect("writes");
    let mut answer = [0; 15];
    tokio::io::AsyncReadExt::read_exact(&mut connection, &mut answer).await.expect("reads");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stop.send(()).expect("the server runs");
    server.await.expect("does not panic").expect("ends well");
}
