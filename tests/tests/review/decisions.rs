//! Deciding picture by picture: what comes next, what undo takes back, and what is decided together.

use docent::store::{Reviewer, Reviews, Step};
use docent_pipelines::Status;
use serde_json::json;

use super::{IDLE, begin, counted, made, shows, would_undo};
use crate::archive::{Archive, Made, object, tag};
use crate::browser::Browser;

const PERSON: [[f64; 4]; 4] =
    [[0.0, 0.1, 0.2, 0.9], [0.2, 0.1, 0.4, 0.9], [0.4, 0.1, 0.6, 0.9], [0.6, 0.1, 0.8, 0.9]];

async fn status(archive: &Archive, name: &str, value: &str) -> Status {
    archive.suggestion(name, value).await.status
}

fn people() -> Vec<crate::archive::Said> {
    PERSON
        .into_iter()
        .zip([0.95, 0.9, 0.7, 0.6])
        .map(|(region, sure)| object("person", sure, region))
        .collect()
}

#[tokio::test]
async fn the_next_picture_that_waits_comes_after_the_last_suggestion() {
    // Listed from the last to the first; far more than one part of the list lies between those that wait.
    let mut pictures = vec![made("first.png", vec![tag("dog", 0.9, &[]), tag("grass", 0.8, &[])])];
    pictures.extend((0..230).map(|n| made(&format!("{n}.png"), Vec::new())));
    pictures.push(made("second.png", vec![tag("cat", 0.9, &[])]));
    pictures.push(made("third.png", vec![tag("cup", 0.9, &[]), tag("tea", 0.8, &[])]));
    let archive = Archive::with_made(pictures).await;
    let browser = begin(&archive).await;
    browser.choose("filter-status", "").await;
    shows(&browser, "third.png", "cup").await;
    browser.press("ra").await;
    shows(&browser, "second.png", "cat").await;
    browser.click(".row .accept").await;
    shows(&browser, "first.png", "dog").await;
    browser.press("K").await;
    browser.until("document.getElementById('asset-name').textContent === '0.png'").await;
    // Nothing waits there; the next that does is named by a key of its own.
    browser.press("n").await;
    shows(&browser, "first.png", "dog").await;
    browser.press("aa").await;
    browser
        .until("document.querySelector('.toast')?.textContent.includes('Nothing is left to review')")
        .await;
    browser.until(IDLE).await;
    counted(&browser, "to review", 0).await;
    assert_eq!(status(&archive, "third.png", "cup").await, Status::Rejected);
    browser.close().await;
}

#[tokio::test]
async fn undo_survives_a_reload_and_says_what_it_takes_back() {
    let archive = Archive::with_made(vec![
        made("b.png", vec![tag("cat", 0.9, &[]), tag("sofa", 0.8, &[])]),
        made("a.png", vec![tag("dog", 0.9, &[])]),
    ])
    .await;
    let page = archive.serve(None).await;
    let browser = Browser::open(&page).await;
    shows(&browser, "a.png", "dog").await;
    would_undo(&browser, "Nothing to undo").await;
    assert_eq!(browser.value("document.getElementById('undo').disabled").await, json!(true));
    browser.press("a").await;
    shows(&browser, "b.png", "cat").await;
    would_undo(&browser, "Accepted “dog”").await;
    browser.press("r").await;
    would_undo(&browser, "Rejected “cat”").await;
    counted(&browser, "rejected", 1).await;
    // All that waits on both, at once.
    browser.press("A").await;
    browser.until("document.getElementById('bulk-confirm').textContent === 'Accept 1'").await;
    browser.click("#bulk-confirm").await;
    would_undo(&browser, "Accepted 1 suggestion").await;

    browser.go("about:blank").await;
    browser.go(&page).await;
    would_undo(&browser, "Accepted 1 suggestion").await;
    browser.until("document.querySelectorAll('.cell').length === 2").await;
    browser.press("u").await;
    would_undo(&browser, "Rejected “cat”").await;
    assert_eq!(status(&archive, "b.png", "sofa").await, Status::Pending);
    browser.until("document.querySelectorAll('.badge.pending').length === 1").await;
    browser.click("#undo").await;
    would_undo(&browser, "Accepted “dog”").await;
    shows(&browser, "b.png", "cat").await;
    browser.press("u").await;
    would_undo(&browser, "Nothing to undo").await;
    shows(&browser, "a.png", "dog").await;
    counted(&browser, "to review", 3).await;
    browser.press("u").await;
    browser.until("document.querySelector('.toast')?.textContent.includes('no decision to undo')").await;
    browser.close().await;
}

#[tokio::test]
async fn what_says_the_same_is_one_row() {
    let archive = Archive::with_made(vec![made("a.png", people())]).await;
    let browser = begin(&archive).await;
    shows(&browser, "a.png", "person").await;
    let rows = "[...document.querySelectorAll('.row')].map(row => row.querySelector('.head').textContent + '/' + \
                (row.querySelector('.chip')?.textContent ?? 'pending'))";
    assert_eq!(browser.value(rows).await, json!(["person× 4/pending"]));
    assert_eq!(browser.value("document.querySelectorAll('.region.selected').length").await, json!(4));
    // One of them is none: it is looked at by itself.
    browser.press("ojj").await;
    browser.until("document.querySelectorAll('.region.selected').length === 1").await;
    browser.press("r").await;
    browser.until(IDLE).await;
    let statuses = async || {
        let rows = archive.everything("a.png").await;
        rows.into_iter().map(|row| (row.confidence, row.status)).collect::<Vec<_>>()
    };
    let expected = [0.95, 0.9, 0.7, 0.6]
        .map(|sure| (sure, if sure == 0.9 { Status::Rejected } else { Status::Pending }));
    assert_eq!(statuses().await, expected);
    // All that are left, at once.
    browser.press("o").await;
    browser.until(&format!("{rows}.join() === 'person× 3/pending,person/rejected'")).await;
    browser.press("a").await;
    browser.until(&format!("{rows}.join() === 'person× 3/accepted,person/rejected'")).await;
    would_undo(&browser, "Accepted “person” × 3").await;
    counted(&browser, "accepted", 3).await;
    let by = Reviewer { name: "archivist".to_owned(), client: "web".to_owned() };
    assert!(
        matches!(archive.store.last_step(&by).await.expect("looks"), Some(Step::Many(job)) if job.done == 3)
    );
    browser.press("u").await;
    browser.until(&format!("{rows}.join() === 'person× 3/pending,person/rejected'")).await;
    assert_eq!(statuses().await, expected);
    browser.close().await;
}

#[tokio::test]
async fn a_broad_tag_is_implied_and_asked_when_the_narrow_one_is_rejected() {
    let tags = || {
        vec![
            tag("animal", 0.99, &[]),
            tag("cat", 0.98, &["animal"]),
            tag("tabby cat", 0.7, &["cat", "animal"]),
            tag("sofa", 0.6, &["furniture"]),
        ]
    };
    let archive = Archive::with_made(vec![made("b.png", tags()), made("a.png", tags())]).await;
    let browser = begin(&archive).await;
    shows(&browser, "a.png", "tabby cat").await;
    let values = "[...document.querySelectorAll('.row .value')].map(value => value.textContent).join()";
    assert_eq!(browser.value(values).await, json!("tabby cat,sofa"));
    assert_eq!(
        browser.value("document.querySelector('.covers').textContent").await,
        json!("and cat, animal")
    );
    browser.press("a").await;
    shows(&browser, "a.png", "sofa").await;
    for value in ["animal", "cat", "tabby cat"] {
        assert_eq!(status(&archive, "a.png", value).await, Status::Accepted, "{value}");
    }
    counted(&browser, "accepted", 3).await;
    would_undo(&browser, "Accepted “tabby cat” with animal, cat").await;
    browser.press("u").await;
    shows(&browser, "a.png", "tabby cat").await;
    counted(&browser, "accepted", 0).await;
    for value in ["animal", "cat", "tabby cat"] {
        assert_eq!(status(&archive, "a.png", value).await, Status::Pending, "{value}");
    }
    // It is none: then the next broader one is asked, and so on.
    browser.press("r").await;
    shows(&browser, "a.png", "cat").await;
    browser.press("r").await;
    shows(&browser, "a.png", "animal").await;
    browser.press("a").await;
    shows(&browser, "a.png", "sofa").await;
    assert_eq!(status(&archive, "a.png", "cat").await, Status::Rejected);
    assert_eq!(status(&archive, "a.png", "animal").await, Status::Accepted);
    // A narrow tag that a filter hides implies nothing.
    browser.choose("filter-min", "90").await;
    shows(&browser, "b.png", "cat").await;
    assert_eq!(browser.value(values).await, json!("cat"));
    browser.close().await;
}

/// Suggestions that are decided.
async fn decided(archive: &Archive) -> u64 {
    let mut decided = 0;
    for status in [Status::Accepted, Status::Rejected] {
        let filter = docent::store::SuggestionFilter {
            status: Some(status),
            ..docent::store::SuggestionFilter::default()
        };
        decided += archive.store.count_suggestions(&filter).await.expect("counts").count;
    }
    decided
}

#[tokio::test]
async fn hundreds_of_decisions_need_one_key_each() {
    // More pictures than one part of the list holds; rows of several and implied tags among them.
    let pictures: Vec<Made> = (0..75)
        .map(|n| {
            let mut said =
                vec![tag(&format!("tag {n}"), 0.9, &[]), tag("sofa", 0.8, &[]), tag("lamp", 0.7, &[])];
            if n % 10 == 0 {
                said.extend(people());
            }
            if n % 10 == 5 {
                said.push(tag("tabby cat", 0.6, &["cat"]));
                said.push(tag("cat", 0.65, &[]));
            }
            made(&format!("{n}.png"), said)
        })
        .collect();
    let archive = Archive::with_made(pictures).await;
    let browser = begin(&archive).await;
    shows(&browser, "74.png", "tag 74").await;
    const LEFT: &str = "Number(document.querySelector('[data-count=\"to review\"] dd').textContent)";
    let all = archive.pending().await;
    let mut left = all;
    for press in 0..220 {
        browser.press(if press % 3 == 2 { "r" } else { "a" }).await;
        // Each press decides something, and what is selected then waits.
        browser.until(&format!("{LEFT} < {left}")).await;
        browser.until("document.querySelector('.row.selected.pending')").await;
        left = archive.pending().await;
    }
    assert_eq!(decided(&archive).await, all - left);
    assert!(all - left > 220, "220 presses decide {} suggestions", all - left);
    // As fast as they can be typed, also over the end of a picture.
    for _ in 0..3 {
        let left = archive.pending().await;
        browser.press("aaaaa").await;
        browser.until(&format!("{LEFT} <= {}", left - 5)).await;
        assert!(archive.pending().await <= left - 5, "none of five is lost");
    }
    browser.close().await;
}
