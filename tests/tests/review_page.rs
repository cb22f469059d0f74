//! The review page in a real browser: headless Chromium, driven over WebDriver.

use crate::archive::{self, Archive, HOSTILE, PICTURES, TOKEN};
use crate::browser::Browser;
use docent::queue::Lane;
use docent::store::{Catalog, Decision, FileStamp, FoundFile, Ledger, Page, Reviewer, Reviews};
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{Kind, Status};
use serde_json::json;

/// The suggestion that is selected, as `value/status`.
const SELECTED: &str = "(() => { const row = document.querySelector('.row.selected'); return row && !row.hasAttribute('aria-busy') && \
                        row.querySelector('.value').textContent + '/' + (row.querySelector('.chip')?.textContent ?? 'pending'); })()";

fn selected(row: &str) -> String {
    format!("{SELECTED} === {}", json!(row))
}

async fn open(archive: &Archive, name: &str) -> Browser {
    let page = archive.serve(None).await;
    let browser = Browser::open(&format!("{page}#asset={}", archive.assets[name])).await;
    browser
        .until(
            "document.querySelector('.row.selected') && document.querySelector('.picture img').naturalWidth",
        )
        .await;
    browser
}

async fn status(archive: &Archive, name: &str, value: &str) -> Status {
    archive.suggestion(name, value).await.status
}

#[tokio::test]
async fn thumbnails_are_listed_and_really_load() {
    let archive = Archive::with_pictures().await;
    let browser = Browser::open(&archive.serve(None).await).await;
    browser.until(&format!("document.querySelectorAll('.cell').length === {}", PICTURES.len())).await;
    browser
        .until(&format!(
            "[...document.querySelectorAll('.cell img')].filter(image => image.naturalWidth > 0).length === {}",
            PICTURES.len()
        ))
        .await;
    let counts = browser.value("document.getElementById('counts').innerText.replaceAll('\\n', ' ')").await;
    assert_eq!(counts, json!("4 pictures 13 to review 0 accepted 0 rejected"));
    assert_eq!(browser.value("document.querySelector('.cell .badge').textContent").await, json!("7"));
    browser.close().await;
}

#[tokio::test]
async fn an_empty_archive_says_what_to_do() {
    let archive = Archive::empty().await;
    let browser = Browser::open(&archive.serve(None).await).await;
    browser.until("document.getElementById('gallery-empty').textContent.includes('docent ingest')").await;
    let off = browser
        .value(
            "(() => { const middle = (node) => { const box = node.getBoundingClientRect(); return box.left + box.width / 2; }; \
             return Math.abs(middle(document.getElementById('gallery-empty')) - middle(document.getElementById('gallery'))); })()",
        )
        .await;
    assert!(
        off.as_f64().is_some_and(|off| off < 2.0),
        "the message is {off} pixels beside the middle of its column"
    );
    browser.close().await;
}

#[tokio::test]
async fn regions_lie_where_they_were_found() {
    let archive = Archive::with_pictures().await;
    let browser = open(&archive, "astronaut.jpg").await;
    browser.until("document.querySelectorAll('.region').length === 3").await;
    let face = archive.suggestion("astronaut.jpg", "face").await;
    let region = face.region.expect("a face has a region");
    let measured = browser
        .value(&format!(
            "(() => {{ const picture = document.querySelector('.picture img').getBoundingClientRect(); \
             const box = document.querySelector('.region[data-id=\"{}\"]').getBoundingClientRect(); \
             return [(box.x - picture.x) / picture.width, (box.y - picture.y) / picture.height, \
             box.width / picture.width, box.height / picture.height, picture.width / picture.height]; }})()",
            face.id
        ))
        .await;
    let expected = [region.x, region.y, region.width, region.height, 1.0];
    for (measured, expected) in measured.as_array().expect("a list").iter().zip(expected) {
        let measured = measured.as_f64().expect("a number");
        assert!((measured - expected).abs() < 0.01, "{measured} is not {expected}");
    }
    browser.click(&format!(".region[data-id=\"{}\"]", face.id)).await;
    browser.until(&selected("face/pending")).await;
    browser.until("document.querySelector('.label').textContent === 'face 99 %'").await;
    browser.close().await;
}

#[tokio::test]
async fn keys_decide() {
    let archive = Archive::with_pictures().await;
    let browser = open(&archive, "astronaut.jpg").await;
    browser.until(&selected("a woman in an orange suit/pending")).await;
    browser.press("j").await;
    browser.until(&selected("person/pending")).await;
    browser.press("a").await;
    browser.until(&selected("space suit/pending")).await;
    browser.press("r").await;
    browser.until(&selected("uniform/pending")).await;
    browser.until("document.querySelector('[data-count=rejected] dd').textContent === '1'").await;
    browser.until("!document.querySelector('[aria-busy]')").await;
    assert_eq!(status(&archive, "astronaut.jpg", "space suit").await, Status::Rejected);
    assert_eq!(browser.value("document.querySelector('.cell .badge').textContent").await, json!("5"));

    browser.press("u").await;
    browser.until(&selected("space suit/pending")).await;
    browser.until("document.querySelector('[data-count=rejected] dd').textContent === '0'").await;
    assert_eq!(status(&archive, "astronaut.jpg", "space suit").await, Status::Pending);
    browser.press("k").await;
    browser.until(&selected("person/accepted")).await;
    browser.press("u").await;
    browser.until(&selected("person/pending")).await;
    let id = archive
        .store
        .suggestions(
            &docent::store::SuggestionFilter {
                kind: Some(Kind::Tag),
                value: Some("person".to_owned()),
                ..Default::default()
            },
            &Page { limit: 1, after: None },
        )
        .await
        .expect("lists")
        .rows
        .remove(0)
        .id;
    let log = archive.store.reviews(&id).await.expect("lists");
    let log: Vec<_> = log.iter().map(|entry| (entry.action.as_str(), entry.client.as_str())).collect();
    assert_eq!(log, [("accept", "web"), ("undo", "web")]);
    browser.close().await;
}

#[tokio::test]
async fn the_last_suggestion_leads_to_the_next_picture() {
    let archive = Archive::with_pictures().await;
    let browser = open(&archive, "chelsea.jpg").await;
    browser.until(&selected("animal/pending")).await;
    browser.press("jj").await;
    browser.until(&selected("cat/pending")).await;
    browser.press("j").await;
    browser.until(&selected("building/pending")).await;
    assert_eq!(browser.value("document.getElementById('asset-name').textContent").await, json!("china.jpg"));
    browser.press("K").await;
    browser.until("document.getElementById('asset-name').textContent === 'chelsea.jpg'").await;
    browser.close().await;
}

#[tokio::test]
async fn undo_returns_to_the_picture_it_is_about() {
    let archive = Archive::with_pictures().await;
    let browser = open(&archive, "china.jpg").await;
    browser.until(&selected("building/pending")).await;
    browser.press("a").await;
    browser.until(&selected("temple/pending")).await;
    browser.press("J").await;
    browser.until(&selected("coffee/pending")).await;
    browser.press("u").await;
    browser.until(&selected("building/pending")).await;
    assert_eq!(status(&archive, "china.jpg", "building").await, Status::Pending);
    browser.close().await;
}

#[tokio::test]
async fn filters_narrow_the_gallery_and_the_suggestions() {
    let archive = Archive::with_pictures().await;
    let by = Reviewer { name: "x".to_owned(), client: "cli".to_owned() };
    let cat = archive.suggestion("chelsea.jpg", "animal").await.id;
    archive.store.decide(&cat, Decision::Accept, &by).await.expect("is decided");
    let browser = open(&archive, "chelsea.jpg").await;
    browser.choose("filter-kind", "object").await;
    browser.until("document.querySelectorAll('.cell').length === 2").await;
    browser.until("document.querySelectorAll('.row').length === 1").await;
    browser.choose("filter-kind", "").await;
    browser.choose("filter-status", "accepted").await;
    browser.until("document.querySelectorAll('.cell').length === 1").await;
    browser.until(&selected("animal/accepted")).await;
    browser.choose("filter-status", "").await;
    browser.choose("filter-min", "98").await;
    browser.until("document.querySelectorAll('.row').length === 1").await;
    browser.until("document.querySelectorAll('.cell').length === 2").await;
    browser.close().await;
}

#[tokio::test]
async fn pictures_are_found_by_words_and_by_likeness() {
    let archive = Archive::with_pictures().await;
    let browser = open(&archive, "astronaut.jpg").await;
    browser.press("/").await;
    browser.until("document.activeElement.id === 'words'").await;
    browser.press("coffee\n").await;
    browser.until("document.querySelectorAll('.cell').length === 1").await;
    assert_eq!(browser.value("document.querySelector('.cell .name').textContent").await, json!("coffee.jpg"));
    browser.until("document.querySelector('.badge.score').textContent === '0.600'").await;
    browser.click("#similar").await;
    // The picture that the others are like leads them.
    browser
        .until(&format!("document.querySelectorAll('.badge.score').length === {}", PICTURES.len() - 1))
        .await;
    browser.until("document.querySelector('.cell.current .name').textContent === 'coffee.jpg'").await;
    assert_eq!(browser.value("document.querySelector('.cell .name').textContent").await, json!("coffee.jpg"));
    browser.click("#source-clear").await;
    browser.until("document.querySelectorAll('.badge.score').length === 0").await;
    browser.close().await;
}

#[tokio::test]
async fn words_in_pictures_are_found_while_they_are_typed() {
    let archive = Archive::with_pictures().await;
    let browser = open(&archive, "chelsea.jpg").await;
    browser.press("/").await;
    browser.until("document.activeElement.id === 'words'").await;
    browser.press("title bro").await;
    browser.until("document.querySelectorAll('.cell').length === 1").await;
    browser.until("document.querySelector('.excerpt')?.textContent.includes('broken in')").await;
    // What was looked for is marked, the beginning of a word, too; what a file says stays text.
    let marked = "[...document.querySelectorAll('.excerpt mark')].map(mark => mark.textContent)";
    assert_eq!(browser.value(marked).await, json!(["title", "bro"]));
    assert_eq!(browser.value("document.querySelectorAll('.excerpt img').length").await, json!(0));
    browser
        .until("document.getElementById('source-text').textContent === 'Pictures that say “title bro”'")
        .await;
    // Nothing shows that, and so both together find what the text alone does.
    browser.press("ken nasa\n").await;
    browser
        .until(
            "document.getElementById('source-text').textContent === 'Pictures that fit “title broken nasa”'",
        )
        .await;
    browser.until("document.querySelectorAll('.excerpt mark').length === 3").await;
    assert_eq!(browser.value("document.querySelectorAll('.badge.score').length").await, json!(0));
    // Where only what is shown was found there is no excerpt.
    browser.fill("#words", "coffee\n").await;
    browser.until("document.querySelector('.badge.score')?.textContent === '0.600'").await;
    assert_eq!(browser.value("document.querySelectorAll('.excerpt').length").await, json!(0));
    browser.click("#source-clear").await;
    browser.until("document.querySelectorAll('.cell').length > 1").await;
    browser.close().await;
}

#[tokio::test]
async fn who_decided_first_is_told() {
    let archive = Archive::with_pictures().await;
    let browser = open(&archive, "chelsea.jpg").await;
    browser.until(&selected("animal/pending")).await;
    let id = archive.suggestion("chelsea.jpg", "animal").await.id;
    let other = Reviewer { name: "Somebody Else".to_owned(), client: "cli".to_owned() };
    archive.store.decide(&id, Decision::Reject, &other).await.expect("is decided");
    browser.press("a").await;
    browser
        .until("document.querySelector('.toast.conflict')?.textContent.includes('already rejected by Somebody Else (cli')")
        .await;
    browser.until("document.querySelector('.row .chip')?.textContent === 'rejected'").await;
    assert_eq!(status(&archive, "chelsea.jpg", "animal").await, Status::Rejected);
    browser.close().await;
}

#[tokio::test]
async fn a_token_is_asked_for_once() {
    let archive = Archive::with_pictures().await;
    let page = archive.serve(Some(TOKEN)).await;
    let browser = Browser::open(&page).await;
    browser.until("document.getElementById('login').open").await;
    assert_eq!(browser.value("document.querySelectorAll('.cell').length").await, json!(0));
    browser.fill("#login-token", "wrong\n").await;
    browser.until("!document.getElementById('login-error').hidden").await;
    browser.fill("#login-token", &format!("{TOKEN}\n")).await;
    browser.until("!document.getElementById('login').open").await;
    browser.until("document.querySelector('.cell img')?.naturalWidth > 0").await;
    assert_eq!(browser.value("document.cookie").await, json!(""), "scripts cannot read the session");
    browser.go(&page).await;
    browser.until("document.querySelector('.cell img')?.naturalWidth > 0").await;
    assert_eq!(browser.value("document.getElementById('login').open").await, json!(false));
    browser.close().await;
}

#[tokio::test]
async fn what_files_say_stays_text() {
    let archive = Archive::with_pictures().await;
    let browser = open(&archive, "astronaut.jpg").await;
    let hostile = archive.suggestion("astronaut.jpg", HOSTILE).await.id;
    browser.click(&format!(".row[data-id=\"{hostile}\"]")).await;
    browser.until(&selected(&format!("{HOSTILE}/pending"))).await;
    assert_eq!(browser.value("document.querySelectorAll('#panel img, .labels img').length").await, json!(0));
    assert_eq!(browser.value("document.title").await, json!("astronaut.jpg – docent"));
    browser.close().await;
}

#[tokio::test]
async fn failures_are_listed_with_their_reason() {
    let archive = Archive::with_pictures().await;
    let browser = Browser::open(&archive.serve(None).await).await;
    browser.until("document.getElementById('show-failures').textContent === 'Failures (1)'").await;
    browser.click("#show-failures").await;
    browser.until("document.querySelector('#failures tbody')?.textContent.includes('cut off')").await;
    browser.press("\u{e00c}").await;
    browser.until("document.getElementById('failures').hidden").await;
    browser.close().await;
}

#[tokio::test]
async fn large_archives_keep_the_page_small() {
    let archive = Archive::with_pictures().await;
    let files: Vec<FoundFile> = (0..3000)
        .map(|n| FoundFile {
            uri: format!("file:///nowhere/{n}.jpg"),
            stamp: FileStamp { bytes: 1, modified_ns: 0 },
            hash: ContentHash::of(format!("{n}").as_bytes()).into(),
            lane: Lane::Backfill,
            owner: None,
        })
        .collect();
    archive.store.register(&files, &archive::wanted()).await.expect("is registered");
    assert_eq!(archive.store.counts(&archive::wanted()).await.expect("counts").assets, 3005);
    let browser = Browser::open(&format!("{}#status=any", archive.serve(None).await)).await;
    browser.until("document.querySelectorAll('.cell').length > 4").await;
    // Scrolling to the end, again and again, until there is no more.
    browser
        .until(
            "(() => { const cells = document.getElementById('cells'); cells.scrollTop = cells.scrollHeight; \
             return document.querySelector('[aria-posinset=\"3004\"]'); })()",
        )
        .await;
    let shown = browser.value("document.querySelectorAll('.cell').length").await.as_u64().expect("a number");
    assert!(shown < 60, "{shown} cells are in the document");
    browser.close().await;
}
