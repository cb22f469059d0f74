//! Going through an archive on the review page, in the order of the work.

mod decisions;
mod lists;
mod many;
mod vocabulary;
mod zoom;

use serde_json::json;

use crate::archive::{Archive, made};
use crate::browser::Browser;

/// What is shown, once it is there: the picture, and the suggestion that is selected.
const SHOWN: &str = "[document.getElementById('asset-name').textContent, \
                     document.querySelector('.row.selected .value')?.textContent ?? '']";

/// Nothing is on its way.
const IDLE: &str = "!document.querySelector('[aria-busy]')";

/// The start of the page.
async fn begin(archive: &Archive) -> Browser {
    let browser = Browser::open(&archive.serve(None).await).await;
    browser.until("document.querySelector('.cell')").await;
    browser
}

/// Waits until a picture is shown, and a suggestion selected.
async fn shows(browser: &Browser, picture: &str, suggestion: &str) {
    browser
        .until(&format!("JSON.stringify({SHOWN}) === {}", json!(json!([picture, suggestion]).to_string())))
        .await;
    browser.until(IDLE).await;
}

/// Names in the list, in its order.
const NAMES: &str = "[...document.querySelectorAll('.cell')].sort((a, b) => a.getAttribute('aria-posinset') - \
                     b.getAttribute('aria-posinset')).map(cell => cell.querySelector('.name').textContent)";

async fn lists(browser: &Browser, names: &[&str]) {
    browser.until(&format!("JSON.stringify({NAMES}) === {}", json!(json!(names).to_string()))).await;
}

/// Waits for a number at the top.
async fn counted(browser: &Browser, name: &str, number: u64) {
    browser
        .until(&format!("document.querySelector('[data-count=\"{name}\"] dd').textContent === '{number}'"))
        .await;
}

/// What undo would take back.
async fn would_undo(browser: &Browser, what: &str) {
    browser.until(&format!("document.getElementById('undo-what').textContent === {}", json!(what))).await;
}
