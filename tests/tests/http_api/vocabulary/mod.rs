//! The vocabulary, through the API.

mod files;

use axum::Router;
use axum::http::{Method, StatusCode, header};
use docent::http::{document, router};
use docent::store::Terms;
use docent_pipelines::{Kind, Status};
use serde_json::{Value, json};

use super::{Answer, get, post, request, send};
use crate::archive::{Archive, TOKEN, made, tag};

const TERMS: &str = "/api/v1/vocabulary/terms";

async fn put(router: &Router, path: &str, body: Value) -> Answer {
    send(router, request(Method::PUT, path, Some(body))).await
}

async fn delete(router: &Router, path: &str) -> Answer {
    send(router, request(Method::DELETE, path, None)).await
}

fn named(name: &str, parents: &[&Value]) -> Value {
    json!({ "labels": [{ "language": "en", "role": "preferred", "text": name }], "parents": parents })
}

/// Adds a term; answers its id.
async fn add(router: &Router, name: &str, parents: &[&Value]) -> Value {
    let added = post(router, TERMS, Some(named(name, parents))).await;
    assert_eq!(added.status, StatusCode::CREATED, "{name}: {}", added.json());
    added.json()["term"]["id"].clone()
}

fn path_of(id: &Value) -> String {
    format!("{TERMS}/{}", id.as_str().expect("an id"))
}

/// The names of a listing.
async fn names(router: &Router, query: &str) -> Vec<String> {
    let listed = get(router, &format!("{TERMS}?{query}")).await;
    assert_eq!(listed.status, StatusCode::OK, "{query}");
    let terms = listed.json()["terms"].as_array().expect("a list").clone();
    terms.iter().map(|term| term["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn a_term_is_added_changed_and_removed() {
    let archive = Archive::empty().await;
    let router = router(archive.state(None));
    let before = get(&router, "/api/v1/vocabulary").await.json();
    assert_eq!(before, json!({ "revision": 0, "language": "en", "terms": 0 }));
    let animal = add(&router, "animal", &[]).await;
    let mut cat = named(" cat ", &[&animal, &animal]);
    cat["labels"].as_array_mut().expect("a list").extend([
        json!({ "language": "de", "role": "preferred", "text": "Katze" }),
        json!({ "role": "hidden", "text": "tabby" }),
    ]);
    cat["threshold"] = json!(0.25);
    cat["uri"] = json!("https://example.org/cat");
    let added = post(&router, TERMS, Some(cat)).await.json();
    let id = added["term"]["id"].clone();
    let expected = json!({
        "revision": 2, "name": "cat", "path": "animal > cat", "children": 0, "narrower": [],
        "broader": [{ "id": animal, "name": "animal", "path": "animal" }],
        "term": {
            "id": id, "uri": "https://example.org/cat", "parents": [animal], "notes": [], "prompts": [],
            "threshold": 0.25, "enabled": true, "heading": false,
            "labels": [
                { "language": "en", "role": "preferred", "text": "cat" },
                { "language": "de", "role": "preferred", "text": "Katze" },
                { "language": "", "role": "hidden", "text": "tabby" },
            ],
        },
    });
    assert_eq!(added, expected);
    assert_eq!(get(&router, &path_of(&id)).await.json(), expected);
    assert_eq!(get(&router, &path_of(&animal)).await.json()["narrower"][0]["name"], "cat");

    let mut kitty = named("kitty", &[]);
    kitty["revision"] = json!(2);
    kitty["enabled"] = json!(false);
    let changed = put(&router, &path_of(&id), kitty.clone()).await;
    assert_eq!((changed.status, changed.json()["path"].clone()), (StatusCode::OK, json!("kitty")));
    let late = put(&router, &path_of(&id), kitty).await;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, json!("outdated")));
    let late = delete(&router, &format!("{}?revision=2", path_of(&id))).await;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, json!("outdated")));

    let removed = delete(&router, &format!("{}?revision=3", path_of(&id))).await;
    assert_eq!(removed.json(), json!({ "revision": 4, "added": 0, "changed": 0, "removed": 1 }));
    assert_eq!(get(&router, &path_of(&id)).await.code(), "not_found");
    assert_eq!(names(&router, "").await, ["animal"]);

    let log = get(&router, "/api/v1/vocabulary/log?limit=3").await.json();
    let entries = log["entries"].as_array().expect("a list");
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap_or_default()).collect();
    assert_eq!((actions.as_slice(), &log["next"]), (&["remove", "change", "add"][..], &json!("2")));
    assert_eq!((&entries[0]["reviewer"], &entries[0]["client"]), (&json!("archivist"), &json!("api")));
    assert_eq!(entries[1]["before"]["labels"][0]["text"], "cat");
    assert_eq!(entries[1]["after"]["labels"][0]["text"], "kitty");
    let rest = get(&router, "/api/v1/vocabulary/log?after=2").await.json();
    assert_eq!((&rest["entries"][0]["term"], &rest["next"]), (&animal, &Value::Null));
    let own = get(&router, &format!("/api/v1/vocabulary/log?term={}", id.as_str().expect("an id"))).await;
    assert_eq!(own.json()["entries"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn what_would_not_be_sound_is_refused() {
    let archive = Archive::empty().await;
    let router = router(archive.state(None));
    let animal = add(&router, "animal", &[]).await;
    let cat = add(&router, "cat", &[&animal]).await;
    let tabby = add(&router, "tabby", &[&cat]).await;
    let unknown = json!("0".repeat(32));
    let merge = |id: &Value| format!("{}/merge", path_of(id));
    let label = |text: &str| json!({ "labels": [{ "role": "preferred", "text": text }] });
    for (answer, status, code) in [
        (put(&router, &path_of(&animal), named("animal", &[&tabby])).await, 422, "not_sound"),
        (put(&router, &path_of(&cat), json!({ "labels": [] })).await, 422, "not_sound"),
        // What is wrong in itself is told first.
        (
            put(&router, &path_of(&cat), json!({ "labels": [], "threshold": 2, "revision": 1 })).await,
            400,
            "invalid",
        ),
        (put(&router, &path_of(&cat), named("cat", &[&unknown])).await, 422, "not_sound"),
        (put(&router, &path_of(&unknown), named("x", &[])).await, 404, "not_found"),
        (put(&router, &path_of(&cat), json!({})).await, 400, "invalid"),
        (put(&router, &path_of(&cat), json!({ "labels": [], "colour": 1 })).await, 400, "invalid"),
        (put(&router, &format!("{TERMS}/x"), named("x", &[])).await, 400, "invalid"),
        (post(&router, TERMS, Some(named("Cat", &[&animal]))).await, 409, "exists"),
        (post(&router, TERMS, Some(named("x", &[&json!("x")]))).await, 400, "invalid"),
        (post(&router, TERMS, Some(label("a\u{7}b"))).await, 422, "not_sound"),
        (post(&router, TERMS, Some(label(" "))).await, 422, "not_sound"),
        (post(&router, TERMS, Some(label(&"x".repeat(501)))).await, 422, "not_sound"),
        (post(&router, TERMS, Some(json!({ "labels": [], "threshold": 2 }))).await, 400, "invalid"),
        (
            post(&router, TERMS, Some(json!({ "labels": [], "notes": [{ "language": "x y", "text": "" }] })))
                .await,
            400,
            "invalid",
        ),
        (
            post(&router, TERMS, Some(json!({ "labels": label("x")["labels"], "uri": "no address" }))).await,
            422,
            "not_sound",
        ),
        (delete(&router, &path_of(&animal)).await, 422, "not_sound"),
        (delete(&router, &path_of(&unknown)).await, 404, "not_found"),
        (post(&router, &merge(&animal), Some(json!({ "into": tabby }))).await, 422, "not_sound"),
        (post(&router, &merge(&cat), Some(json!({ "into": cat }))).await, 422, "not_sound"),
        (post(&router, &merge(&cat), Some(json!({ "into": unknown }))).await, 404, "not_found"),
        (post(&router, &merge(&unknown), Some(json!({ "into": cat }))).await, 404, "not_found"),
        (post(&router, &merge(&cat), Some(json!({ "into": animal, "revision": 1 }))).await, 409, "outdated"),
        (get(&router, &path_of(&unknown)).await, 404, "not_found"),
        (get(&router, &format!("{TERMS}?parent=top&q=x")).await, 422, "contradictory"),
        (get(&router, &format!("{TERMS}?parent=x")).await, 400, "invalid"),
        (get(&router, &format!("{TERMS}?parent={}", "0".repeat(32))).await, 404, "not_found"),
        (get(&router, &format!("{TERMS}?q=%20")).await, 400, "invalid"),
        (get(&router, &format!("{TERMS}?q={}", "x".repeat(501))).await, 400, "invalid"),
        (get(&router, &format!("{TERMS}?limit=1001")).await, 400, "invalid"),
        (get(&router, &format!("{TERMS}?after=x")).await, 400, "invalid"),
        (get(&router, "/api/v1/vocabulary/log?after=x").await, 400, "invalid"),
        (get(&router, "/api/v1/vocabulary/log?term=x").await, 400, "invalid"),
        (put(&router, TERMS, named("x", &[])).await, 405, "method_not_allowed"),
    ] {
        let told = answer.json();
        assert_eq!((answer.status.as_u16(), &told["error"]["code"]), (status, &json!(code)), "{told}");
    }
    assert_eq!(names(&router, "").await, ["animal", "cat", "tabby"]);
    assert_eq!(archive.store.vocabulary().await.expect("reads").revision, 3);
}

#[tokio::test]
async fn terms_are_listed_below_each_other_and_by_their_words() {
    let archive = Archive::empty().await;
    let router = router(archive.state(None));
    let animal = add(&router, "animal", &[]).await;
    add(&router, "Vehicle", &[]).await;
    let dog = add(&router, "dog", &[&animal]).await;
    for name in ["Guide dog", "black dog", "doghouse"] {
        add(&router, name, &[&dog]).await;
    }
    let id = dog.as_str().expect("an id");
    assert_eq!(names(&router, "parent=top").await, ["animal", "Vehicle"]);
    assert_eq!(names(&router, &format!("parent={id}")).await, ["black dog", "doghouse", "Guide dog"]);
    assert_eq!(names(&router, "q=DOG").await, ["dog", "doghouse", "black dog", "Guide dog"]);
    assert_eq!(names(&router, "q=do%20bl").await, ["black dog"]);
    assert!(names(&router, "q=og").await.is_empty());
    let first = get(&router, &format!("{TERMS}?q=dog&limit=1")).await.json();
    let expected = json!({
        "id": dog, "name": "dog", "path": "animal > dog", "children": 3, "enabled": true, "heading": false,
        "labels": [{ "language": "en", "role": "preferred", "text": "dog" }],
    });
    assert_eq!((&first["terms"][0], &first["count"], &first["next"]), (&expected, &json!(4), &json!("1")));
    // Pages join to the whole.
    let (mut joined, mut after) = (Vec::new(), String::new());
    loop {
        let part = get(&router, &format!("{TERMS}?limit=4{after}")).await.json();
        let terms = part["terms"].as_array().expect("a list").clone();
        joined.extend(terms.into_iter().map(|term| term["name"].as_str().unwrap_or_default().to_owned()));
        match part["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(joined, names(&router, "").await);
    assert_eq!(joined.len(), 6);
    assert!(names(&router, "after=999").await.is_empty());
}

#[tokio::test]
async fn what_is_said_of_pictures_follows_the_terms() {
    let said = || vec![tag("dog", 0.9, &[]), tag("hound", 0.8, &[]), tag("lamp", 0.7, &[])];
    let archive = Archive::with_made(vec![made("a.png", said()), made("b.png", said())]).await;
    let router = router(archive.state(None));
    let dog = add(&router, "dog", &[]).await;
    // The first term makes proposals of all other words.
    let kinds = async || {
        let said = archive.everything("a.png").await;
        said.into_iter().map(|row| (row.kind, row.value, row.term.is_some())).collect::<Vec<_>>()
    };
    let row = |kind, value: &str, term| (kind, value.to_owned(), term);
    let expected = [
        row(Kind::Tag, "dog", true),
        row(Kind::Proposal, "hound", false),
        row(Kind::Proposal, "lamp", false),
    ];
    assert_eq!(kinds().await, expected);
    let asset = &archive.assets["a.png"];
    let told = get(&router, &format!("/api/v1/assets/{asset}/suggestions")).await.json();
    let terms: Vec<&Value> =
        told["suggestions"].as_array().expect("a list").iter().map(|row| &row["term"]).collect();
    assert_eq!(terms, [&dog, &Value::Null, &Value::Null]);

    let hound = add(&router, "hound", &[]).await;
    let renamed = put(&router, &path_of(&dog), named("Canis", &[])).await;
    assert_eq!(renamed.status, StatusCode::OK);
    while archive.store.advance_terms().await.expect("goes on") {}
    let expected =
        [row(Kind::Tag, "Canis", true), row(Kind::Tag, "hound", true), row(Kind::Proposal, "lamp", false)];
    assert_eq!(kinds().await, expected);
    let merged = post(&router, &format!("{}/merge", path_of(&hound)), Some(json!({ "into": dog }))).await;
    assert_eq!((merged.status, merged.json()["name"].clone()), (StatusCode::OK, json!("Canis")));
    while archive.store.advance_terms().await.expect("goes on") {}
    assert!(kinds().await.iter().all(|(kind, value, _)| *kind == Kind::Proposal || value == "Canis"));
    // Whoever knew the merged term is led on.
    assert_eq!(get(&router, &path_of(&hound)).await.json()["term"]["id"], dog);
}

#[tokio::test]
async fn proposals_are_not_to_be_reviewed_unless_they_are_asked_for() {
    let archive = Archive::with_made(vec![
        made("a.png", vec![tag("lamp", 0.9, &[])]),
        made("b.png", vec![tag("lamp", 0.9, &[]), tag("dog", 0.8, &[])]),
    ])
    .await;
    let router = router(archive.state(None));
    add(&router, "dog", &[]).await;
    let status = get(&router, "/api/v1/status").await.json();
    assert_eq!((&status["suggestions"]["pending"], &status["proposals"]), (&json!(3), &json!(2)));
    let counted = get(&router, "/api/v1/suggestions/count?status=pending&kind=proposal").await.json();
    assert_eq!(counted["count"], json!(2));
    let assets = async |query: &str| {
        let listed = get(&router, &format!("/api/v1/assets?{query}")).await;
        assert_eq!(listed.status, StatusCode::OK, "{query}");
        let assets = listed.json()["assets"].as_array().expect("a list").clone();
        assets.iter().map(|asset| asset["pending"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(assets("status=pending").await, [1, 0]);
    assert_eq!(assets("status=pending&no_proposals=true").await, [1]);
    assert_eq!(assets("status=pending&no_proposals=true&order=place").await, [1]);
    assert_eq!(assets("kind=proposal&status=pending&no_proposals=true").await, [1, 0]);
    let body = json!({ "min_confidence": 0 });
    let preview = post(&router, "/api/v1/suggestions/accept-all/preview", Some(body.clone())).await.json();
    assert_eq!((&preview["count"], &preview["kinds"]), (&json!(1), &json!({ "tag": 1 })));
    let job = post(&router, "/api/v1/suggestions/accept-all", Some(body)).await.json();
    assert_eq!((&job["done"], &job["state"]), (&json!(1), &json!("done")));
    assert_eq!(archive.suggestion("a.png", "lamp").await.status, Status::Pending);
    let body = json!({ "action": "reject", "kind": "proposal", "min_confidence": 0 });
    let job = post(&router, "/api/v1/suggestions/accept-all", Some(body)).await.json();
    assert_eq!(job["done"], json!(2));
    assert_eq!(get(&router, "/api/v1/status").await.json()["proposals"], json!(0));
}

#[tokio::test]
async fn strangers_neither_read_nor_change_the_vocabulary() {
    let archive = Archive::empty().await;
    let (open, closed) = (router(archive.state(None)), router(archive.state(Some(TOKEN))));
    let document = serde_json::to_value(document()).expect("serializes");
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().expect("has paths") {
        if !path.starts_with("/api/v1/vocabulary") {
            continue;
        }
        for method in methods.as_object().expect("has methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("is a method");
            let address = path.replace("{id}", &"0".repeat(32));
            let unknown = send(&closed, request(method.clone(), &address, None)).await;
            assert_eq!((unknown.status, unknown.code()), (StatusCode::UNAUTHORIZED, json!("unauthorized")));
            let mut known = request(method.clone(), &address, None);
            let token = format!("Bearer {TOKEN}").parse().expect("is a header");
            known.headers_mut().insert(header::AUTHORIZATION, token);
            assert_ne!(send(&closed, known).await.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            if method != Method::GET {
                let mut foreign = request(method.clone(), &address, None);
                let plain = "text/plain".parse().expect("is a header");
                foreign.headers_mut().insert(header::CONTENT_TYPE, plain);
                assert_eq!(send(&open, foreign).await.code(), "forbidden", "{method} {path}");
            }
            routes += 1;
        }
    }
    assert_eq!(routes, 10);
}
