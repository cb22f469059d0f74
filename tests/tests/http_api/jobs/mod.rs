//! Decisions on many suggestions, through the API.

use axum::http::StatusCode;
use docent::http::router;
use docent::store::{Reviewer, Reviews};
use docent_pipelines::Status;
use serde_json::json;

use super::{get, post};
use crate::archive::Archive;

#[tokio::test]
async fn accepting_all_takes_what_was_counted() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let by = Reviewer { name: "x".to_owned(), client: "cli".to_owned() };
    let cat = archive.suggestion("chelsea.jpg", "cat").await.id;
    archive.store.decide(&cat, docent::store::Decision::Reject, &by).await.expect("is decided");

    let counted =
        get(&router, "/api/v1/suggestions/count?status=pending&kind=tag&min_confidence=0.9").await.json();
    assert_eq!((&counted["count"], &counted["more"]), (&json!(4), &json!(false)));
    let body = json!({ "kind": "tag", "min_confidence": 0.9, "as_of": counted["as_of"] });
    let accepted = post(&router, "/api/v1/suggestions/accept-all", Some(body.clone())).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    let job = accepted.json();
    assert_eq!((&job["done"], &job["total"], &job["state"]), (&json!(4), &json!(4), &json!("done")));
    let again = post(&router, "/api/v1/suggestions/accept-all", Some(body)).await.json();
    assert_eq!((&again["done"], &again["total"]), (&json!(0), &json!(0)));
    assert_eq!(archive.suggestion("chelsea.jpg", "cat").await.status, Status::Rejected);
    assert_eq!(archive.suggestion("astronaut.jpg", "space suit").await.status, Status::Pending);
    assert_eq!(archive.suggestion("astronaut.jpg", "face").await.status, Status::Pending);
}

#[tokio::test]
async fn a_job_is_listed_logged_and_taken_back() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let body =
        json!({ "action": "reject", "kind": "tag", "min_confidence": 0.9, "path": archive.folder.path() });
    let job = post(&router, "/api/v1/suggestions/accept-all", Some(body)).await.json();
    let (created, finished) = (&job["created_at"], &job["finished_at"]);
    assert!(created.is_string() && finished.is_string(), "{job}");
    let path = archive.folder.path();
    let expected = json!({
        "id": 1, "action": "reject", "state": "done", "total": 5, "done": 5, "skipped": 0,
        "filter": { "kind": "tag", "min_confidence": 0.9, "path": path }, "reviewer": "archivist", "client": "api",
        "created_at": created, "finished_at": finished,
    });
    assert_eq!(job, expected);
    assert_eq!(archive.suggestion("chelsea.jpg", "animal").await.status, Status::Rejected);
    let id = archive.suggestion("chelsea.jpg", "animal").await.id;
    let log = get(&router, &format!("/api/v1/suggestions/{id}/reviews")).await.json();
    assert_eq!(log["reviews"][0]["job"], job["id"]);
    assert_eq!(get(&router, "/api/v1/jobs").await.json(), json!({ "jobs": [job], "next": null }));

    let number = &job["id"];
    let back = post(&router, &format!("/api/v1/jobs/{number}/revert"), None).await;
    assert_eq!((back.status, back.json()["done"].clone()), (StatusCode::ACCEPTED, job["done"].clone()));
    assert_eq!(archive.suggestion("chelsea.jpg", "animal").await.status, Status::Pending);
    let reverted = get(&router, &format!("/api/v1/jobs/{number}")).await.json();
    assert_eq!(reverted["reverted_by"], back.json()["id"]);
    let twice = post(&router, &format!("/api/v1/jobs/{}/revert", back.json()["id"]), None).await;
    assert_eq!((twice.status, twice.code()), (StatusCode::UNPROCESSABLE_ENTITY, json!("not_revertible")));
    assert_eq!(get(&router, "/api/v1/jobs/99").await.code(), "not_found");
    assert_eq!(get(&router, "/api/v1/jobs/x").await.code(), "invalid");
}

#[tokio::test]
async fn what_would_be_decided_is_told_by_kind() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let [astronaut, chelsea] = ["astronaut.jpg", "chelsea.jpg"].map(|name| &archive.assets[name]);
    let path = "/api/v1/suggestions/accept-all/preview";
    let asked = async |body: serde_json::Value| post(&router, path, Some(body)).await;
    let all = asked(json!({ "min_confidence": 0, "viewable": true })).await.json();
    let kinds = json!({ "tag": 8, "caption": 1, "object": 2, "face": 1, "text": 1 });
    assert_eq!((&all["count"], &all["kinds"], &all["assets"]), (&json!(13), &kinds, &json!(4)));
    assert_eq!(all["more"], json!(false));
    let both = json!({ "min_confidence": 0.9, "assets": [astronaut, chelsea] });
    let counted = asked(both.clone()).await.json();
    assert_eq!((&counted["count"], &counted["assets"]), (&json!(5), &json!(2)));
    let mut body = both;
    body["as_of"] = counted["as_of"].clone();
    body["action"] = json!("reject");
    let job = post(&router, "/api/v1/suggestions/accept-all", Some(body)).await.json();
    assert_eq!((&job["done"], &job["filter"]["assets"]), (&json!(5), &json!([astronaut, chelsea])));
    assert_eq!(archive.suggestion("china.jpg", "building").await.status, Status::Pending);

    let cat = archive.suggestion("chelsea.jpg", "cat").await.id;
    for (wrong, says) in [
        (json!({ "min_confidence": 0, "assets": [] }), "assets has 0 ids, not 1 to 1000"),
        (json!({ "min_confidence": 0, "assets": vec![astronaut; 1001] }), "assets has 1001 ids"),
        (json!({ "min_confidence": 0, "assets": ["x"] }), "'x'"),
        (json!({ "min_confidence": 0, "suggestions": [cat] }), "suggestions are given without their asset"),
        (json!({ "min_confidence": 0, "asset": astronaut, "assets": [chelsea] }), "both given"),
    ] {
        for path in [path, "/api/v1/suggestions/accept-all"] {
            let refused = post(&router, path, Some(wrong.clone())).await;
            // What each field may be is in the document; what contradicts what is not.
            let contradicts = says.contains("without their asset") || says.contains("both given");
            let expected = if contradicts {
                (StatusCode::UNPROCESSABLE_ENTITY, json!("contradictory"))
            } else {
                (StatusCode::BAD_REQUEST, json!("invalid"))
            };
            assert_eq!((refused.status, refused.code()), expected, "{wrong}");
            let message = refused.json()["error"]["message"].to_string();
            assert!(message.contains(says), "{message} does not say {says}");
        }
    }
}

#[tokio::test]
async fn the_last_decision_is_told_and_can_be_taken_back() {
    let archive = Archive::with_pictures().await;
    let router = router(archive.state(None));
    let last = async || get(&router, "/api/v1/reviews/last").await.json();
    assert_eq!(last().await, json!({}));
    let cat = archive.suggestion("chelsea.jpg", "cat").await;
    post(&router, &format!("/api/v1/suggestions/{}/accept", cat.id), None).await;
    assert_eq!(last().await["suggestion"]["id"], json!(cat.id));
    let animal = archive.suggestion("chelsea.jpg", "animal").await;
    let body =
        json!({ "action": "reject", "min_confidence": 0, "asset": cat.asset_id, "suggestions": [animal.id] });
    let job = post(&router, "/api/v1/suggestions/accept-all", Some(body)).await.json();
    assert_eq!((&job["done"], &job["filter"]["suggestions"]), (&json!(1), &json!([animal.id])));
    assert_eq!(last().await["job"]["id"], job["id"]);
    post(&router, &format!("/api/v1/jobs/{}/revert", job["id"]), None).await;
    assert_eq!(last().await["suggestion"]["id"], json!(cat.id));
    post(&router, &format!("/api/v1/suggestions/{}/undo", cat.id), None).await;
    assert_eq!(last().await, json!({}));
}
