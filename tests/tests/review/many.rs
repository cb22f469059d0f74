//! Deciding on many pictures at once.

use docent_pipelines::Status;
use serde_json::json;

use super::{IDLE, begin, counted, lists, made, shows, would_undo};
use crate::archive::{Archive, object, tag};
use crate::browser::Browser;

async fn archive() -> Archive {
    let cup = || object("cup", 0.95, [0.1, 0.1, 0.4, 0.4]);
    Archive::with_made(vec![
        made("red 1.png", vec![tag("red", 0.9, &[]), cup()]),
        made("red 2.png", vec![tag("red", 0.8, &[])]),
        made("blue 1.png", vec![tag("blue", 0.9, &[]), cup(), tag("sky", 0.5, &[])]),
        made("blue 2.png", vec![tag("blue", 0.8, &[])]),
        made("green.png", vec![tag("green", 0.7, &[])]),
    ])
    .await
}

/// What the dialog offers, what it says of the first, and its button.
const ASKED: &str = "[[...document.querySelectorAll('#bulk-choices label')].map(label => label.textContent), \
                     document.getElementById('bulk-kinds').textContent, \
                     document.getElementById('bulk-confirm').textContent]";

async fn asks(browser: &Browser, choices: &[&str], kinds: &str, button: &str) {
    browser
        .until(&format!("JSON.stringify({ASKED}) === {}", json!(json!([choices, kinds, button]).to_string())))
        .await;
}

#[tokio::test]
async fn all_is_what_is_listed() {
    let archive = archive().await;
    let browser = begin(&archive).await;
    shows(&browser, "green.png", "green").await;
    browser.click("#accept-all").await;
    let kinds = "6 tags, 2 objects on 5 pictures";
    asks(&browser, &["all pictures of the list8", "this picture1"], kinds, "Accept 8").await;
    browser.click("#bulk-form input[value=asset]").await;
    browser.until("document.getElementById('bulk-kinds').textContent === '1 tag on 1 picture'").await;
    browser.click("#bulk-cancel").await;
    // What the filters pass …
    browser.choose("filter-min", "85").await;
    browser.choose("filter-kind", "tag").await;
    lists(&browser, &["blue 1.png", "red 1.png"]).await;
    browser.press("R").await;
    asks(&browser, &["all pictures of the list2", "this picture1"], "2 tags on 2 pictures", "Reject 2").await;
    browser.click("#bulk-cancel").await;
    browser.choose("filter-min", "0").await;
    browser.choose("filter-kind", "").await;
    // … and what a search finds.
    browser.fill("#words", "blue\n").await;
    lists(&browser, &["blue 2.png", "blue 1.png"]).await;
    browser.press("A").await;
    let found = ["2 pictures that were found4", "this picture1"];
    asks(&browser, &found, "3 tags, 1 object on 2 pictures", "Accept 4").await;
    browser.click("#bulk-confirm").await;
    counted(&browser, "accepted", 4).await;
    would_undo(&browser, "Accepted 4 suggestions").await;
    assert_eq!(archive.suggestion("blue 1.png", "sky").await.status, Status::Accepted);
    assert_eq!(archive.suggestion("red 1.png", "red").await.status, Status::Pending);
    // Nothing is left of these.
    browser
        .until("document.getElementById('gallery-empty').textContent.includes('No picture was found')")
        .await;
    browser.press("u").await;
    counted(&browser, "accepted", 0).await;
    lists(&browser, &["blue 2.png", "blue 1.png"]).await;
    // What is decided cannot be decided again.
    browser.click("#source-clear").await;
    browser.choose("filter-status", "accepted").await;
    browser.until("document.getElementById('accept-all').disabled && document.getElementById('reject-all').disabled").await;
    browser.close().await;
}

#[tokio::test]
async fn several_pictures_are_chosen_and_rejected_together() {
    let archive = archive().await;
    let browser = begin(&archive).await;
    shows(&browser, "green.png", "green").await;
    let chosen =
        "[...document.querySelectorAll('.cell.chosen .name')].map(name => name.textContent).sort().join()";
    // By clicks: this one, one more, and all between.
    browser.click_with("[title$=\"blue 2.png\"]", "ctrlKey").await;
    browser.until(&format!("{chosen} === 'blue 2.png,green.png'")).await;
    browser.click_with("[title$=\"blue 2.png\"]", "ctrlKey").await;
    browser.until(&format!("{chosen} === 'green.png'")).await;
    browser.click("[title$=\"blue 2.png\"]").await;
    shows(&browser, "blue 2.png", "blue").await;
    browser.until(&format!("{chosen} === ''")).await;
    browser.click_with("[title$=\"red 2.png\"]", "shiftKey").await;
    browser.until(&format!("{chosen} === 'blue 1.png,blue 2.png,red 2.png'")).await;
    browser.until("document.getElementById('chosen-text').textContent === '3 pictures chosen'").await;
    shows(&browser, "blue 2.png", "blue").await;
    browser.press("\u{e00c}").await;
    browser.until(&format!("{chosen} === '' && document.getElementById('chosen').hidden")).await;
    // By keys: with Shift and arrows, with x.
    browser.press("\u{e008}\u{e014}\u{e014}\u{e000}").await;
    browser.until(&format!("{chosen} === 'blue 1.png,blue 2.png,red 2.png'")).await;
    browser.press("Jx").await;
    shows(&browser, "red 1.png", "red").await;
    browser.until(&format!("{chosen} === 'blue 1.png,blue 2.png,red 1.png,red 2.png'")).await;
    browser.press("K").await;
    shows(&browser, "red 2.png", "red").await;
    browser.press("x").await;
    browser.until(&format!("{chosen} === 'blue 1.png,blue 2.png,red 1.png'")).await;

    browser.press("R").await;
    let choices = ["3 chosen pictures6", "all pictures of the list8", "this picture1"];
    asks(&browser, &choices, "4 tags, 2 objects on 3 pictures", "Reject 6").await;
    browser.click("#bulk-confirm").await;
    counted(&browser, "rejected", 6).await;
    lists(&browser, &["green.png", "red 2.png"]).await;
    would_undo(&browser, "Rejected 6 suggestions").await;
    assert_eq!(archive.suggestion("blue 1.png", "cup").await.status, Status::Rejected);
    browser.until("document.querySelector('.toast button')?.textContent === 'Undo'").await;
    browser.click(".toast button").await;
    counted(&browser, "rejected", 0).await;
    browser.until("document.querySelectorAll('.cell').length === 5").await;
    browser.until(IDLE).await;
    browser.close().await;
}
