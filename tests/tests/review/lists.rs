//! Which pictures are listed, in which order, and which of them is shown.

use docent::store::{Decision, Ledger, Reviewer, Reviews};
use serde_json::json;

use super::{begin, lists, made, shows};
use crate::archive::{self, Archive, BROKEN, Made, tag};
use crate::browser::Browser;

fn somebody() -> Reviewer {
    Reviewer { name: "x".to_owned(), client: "cli".to_owned() }
}

/// The picture that is shown is in the list and in view, or there is none.
const IN_VIEW: &str = "(() => { const cell = document.querySelector('.cell.current')?.getBoundingClientRect(); \
                       const list = document.getElementById('cells').getBoundingClientRect(); \
                       return cell && cell.top >= list.top && cell.bottom <= list.bottom + 1; })()";

#[tokio::test]
async fn a_search_or_filter_shows_its_first_picture() {
    let mut pictures: Vec<Made> =
        (0..60).map(|n| made(&format!("dog {n:02}.png"), vec![tag("dog", 0.8, &[])])).collect();
    pictures.insert(1, made("cat.png", vec![archive::object("cat", 0.9, [0.1, 0.1, 0.5, 0.5])]));
    let archive = Archive::with_made(pictures).await;
    let browser = begin(&archive).await;
    shows(&browser, "dog 59.png", "dog").await;
    // From far down the list.
    browser.until("(document.getElementById('cells').scrollTop = 1e6, document.querySelector('[title$=\"dog 03.png\"]'))").await;
    browser.click("[title$=\"dog 03.png\"]").await;
    shows(&browser, "dog 03.png", "dog").await;
    browser.choose("filter-kind", "object").await;
    shows(&browser, "cat.png", "cat").await;
    browser.until(IN_VIEW).await;
    browser.choose("filter-kind", "tag").await;
    shows(&browser, "dog 59.png", "dog").await;
    browser.until(IN_VIEW).await;
    browser.fill("#words", "cat\n").await;
    browser
        .until("document.getElementById('gallery-empty').textContent.includes('No picture was found')")
        .await;
    // Nothing is found with this filter, and so nothing is shown.
    shows(&browser, "", "").await;
    assert_eq!(browser.value("document.querySelectorAll('.cell, .row').length").await, json!(0));
    browser.click("#gallery-empty button").await;
    shows(&browser, "cat.png", "cat").await;
    browser.click("#source-clear").await;
    shows(&browser, "dog 59.png", "dog").await;
    // A link to a picture far down the list shows it, in its list.
    let page = browser.value("location.href.split('#')[0]").await;
    let page = page.as_str().expect("is an address");
    browser.go("about:blank").await;
    browser.go(&format!("{page}#asset={}", archive.assets["dog 00.png"])).await;
    shows(&browser, "dog 00.png", "dog").await;
    browser.until(IN_VIEW).await;
    browser.close().await;
}

#[tokio::test]
async fn one_starts_at_what_is_to_be_reviewed() {
    let archive = Archive::with_made(vec![
        made("waits.png", vec![tag("dog", 0.8, &[])]),
        made("done.png", vec![tag("cat", 0.8, &[])]),
    ])
    .await;
    let done = archive.suggestion("done.png", "cat").await.id;
    archive.store.decide(&done, Decision::Accept, &somebody()).await.expect("is decided");
    let page = archive.serve(None).await;
    let browser = Browser::open(&page).await;
    lists(&browser, &["waits.png"]).await;
    assert_eq!(browser.value("document.getElementById('filter-status').value").await, json!("pending"));
    browser.choose("filter-status", "").await;
    lists(&browser, &["done.png", "waits.png"]).await;
    browser.click(".brand").await;
    lists(&browser, &["waits.png"]).await;
    shows(&browser, "waits.png", "dog").await;
    browser.press("a").await;
    browser
        .until("document.querySelector('.toast')?.textContent.includes('Nothing is left to review')")
        .await;
    browser.until("!document.querySelector('[aria-busy]')").await;
    // Where everything is reviewed, everything is shown.
    browser.go("about:blank").await;
    browser.go(&page).await;
    lists(&browser, &["done.png", "waits.png"]).await;
    browser.close().await;
}

#[tokio::test]
async fn the_order_is_chosen_and_remembered() {
    let said = || vec![tag("dog", 0.8, &[])];
    let at = |name: &str, modified_ns| Made { modified_ns, ..made(name, said()) };
    let archive =
        Archive::with_made(vec![at("b/1.png", 30), at("a/2.png", 20), at("c/3.png", 10), at("a/1.png", 40)])
            .await;
    let browser = begin(&archive).await;
    lists(&browser, &["1.png", "3.png", "2.png", "1.png"]).await;
    browser.choose("order", "place").await;
    lists(&browser, &["1.png", "2.png", "1.png", "3.png"]).await;
    browser.until("document.querySelector('.cell.current').title.endsWith('a/1.png')").await;
    browser.choose("order", "date").await;
    lists(&browser, &["1.png", "1.png", "2.png", "3.png"]).await;
    // Also where the filters are others, and at the next start.
    browser.choose("filter-status", "").await;
    lists(&browser, &["1.png", "1.png", "2.png", "3.png"]).await;
    let page = browser.value("location.href.split('#')[0]").await;
    browser.go("about:blank").await;
    browser.go(page.as_str().expect("is an address")).await;
    lists(&browser, &["1.png", "1.png", "2.png", "3.png"]).await;
    assert_eq!(browser.value("document.getElementById('order').value").await, json!("date"));
    browser.close().await;
}

#[tokio::test]
async fn parts_of_each_order_follow_each_other() {
    let pictures =
        (0..230).map(|n| Made { modified_ns: n * 7919 % 230, ..made(&format!("{n:03}.png"), Vec::new()) });
    let archive = Archive::with_made(pictures.collect()).await;
    let browser = begin(&archive).await;
    for (order, first, last) in
        [("place", "000.png", "229.png"), ("date", "151.png", "000.png"), ("", "229.png", "000.png")]
    {
        browser.choose("order", order).await;
        lists_first(&browser, first).await;
        browser
            .until(
                "(() => { const cells = document.getElementById('cells'); cells.scrollTop = cells.scrollHeight; \
                 return document.querySelector('[aria-posinset=\"230\"][aria-setsize=\"230\"]'); })()",
            )
            .await;
        let name = browser.value("document.querySelector('[aria-posinset=\"230\"] .name').textContent").await;
        assert_eq!(name, json!(last), "{order}");
    }
    browser.close().await;
}

async fn lists_first(browser: &Browser, name: &str) {
    browser
        .until(&format!(
            "document.querySelector('[aria-posinset=\"1\"] .name').textContent === {}",
            json!(name)
        ))
        .await;
}

#[tokio::test]
async fn what_cannot_be_shown_is_apart() {
    let mut archive = Archive::with_pictures().await;
    let gone = docent::assets::file_uri(&archive.path("chelsea.jpg"));
    archive.store.note_places(&[gone], &[]).await.expect("is noted");
    archive.assets.retain(|name, _| name != BROKEN);
    let browser = begin(&archive).await;
    for order in ["", "place", "date"] {
        browser.choose("order", order).await;
        for status in ["pending", ""] {
            browser.choose("filter-status", status).await;
            browser.until("document.querySelectorAll('.cell').length === 3").await;
            browser.until("document.querySelectorAll('.cell .frame.loaded').length === 3").await;
        }
    }
    browser.fill("#words", "jpg\n").await;
    browser.until("document.querySelectorAll('.badge.score').length === 3").await;
    browser.click("#show-failures").await;
    let apart = "[...document.querySelectorAll('#failures section:not([hidden])')].map(section => \
                 [section.querySelector('h2').textContent, section.querySelectorAll('tbody tr').length])";
    browser.until("document.querySelector('#failures tbody tr')").await;
    assert_eq!(browser.value(apart).await, json!([["Pictures that cannot be shown", 1]]));
    browser.close().await;
}
