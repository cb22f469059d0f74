//! Headless Chromium under chromedriver, both from Debian's packages.

use std::process::Stdio;
use std::time::Duration;

use fantoccini::actions::{
    Actions, InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction, WheelAction, WheelActions,
};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const MISSING: &str = "the tests of the review page need headless Chromium: install the Debian packages `chromium` and \
                       `chromium-driver`";
/// How long the page may take to show what is waited for. Generous: the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// Windows of this size show all three columns.
const WINDOW: &str = "--window-size=1280,800";

/// One browser with one page.
pub struct Browser {
    client: Client,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// A fresh browser on `url`.
    pub async fn open(url: &str) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{MISSING} (chromedriver: {error})"));
        let mut lines = BufReader::new(driver.stdout.take().expect("its output is piped")).lines();
        let port = loop {
            let line = lines.next_line().await.expect("its output is text").expect("it says its port");
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let profile = tempfile::tempdir().expect("a temporary folder");
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&profile))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|error| panic!("{MISSING} (chromium: {error})"));
        let browser = Self { client, driver, _profile: profile };
        browser.go(url).await;
        browser
    }

    /// Loads a page.
    pub async fn go(&self, url: &str) {
        self.client.goto(url).await.expect("the page loads");
    }

    /// What a JavaScript expression gives.
    pub async fn value(&self, expression: &str) -> Value {
        self.client
            .execute(&format!("return {expression};"), Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits, frame by frame, until a JavaScript expression is true.
    pub async fn until(&self, expression: &str) {
        let script = format!(
            "const [patience, done] = arguments; const end = Date.now() + patience; \
             const look = () => {{ let value; try {{ value = Boolean({expression}); }} catch {{ value = false; }} \
             if (value || Date.now() > end) done(value); else requestAnimationFrame(look); }}; look();"
        );
        let seen = self.client.execute_async(&script, vec![json!(PATIENCE.as_millis() as u64)]).await;
        if !matches!(seen, Ok(Value::Bool(true))) {
            let page = self.value("document.body.innerText").await;
            panic!("the page never shows {expression} ({seen:?}); it shows: {page}");
        }
    }

    async fn find(&self, selector: &str) -> Element {
        self.client.find(Locator::Css(selector)).await.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Clicks what a selector finds, where it is.
    pub async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap_or_else(|error| panic!("click {selector}: {error}"));
    }

    /// Clicks with a key held: `ctrlKey` or `shiftKey`.
    pub async fn click_with(&self, selector: &str, held: &str) {
        let script = "const [selector, held] = arguments; document.querySelector(selector).dispatchEvent(\
                      new MouseEvent('click', { bubbles: true, cancelable: true, [held]: true }));";
        self.client.execute(script, vec![json!(selector), json!(held)]).await.expect("can be clicked");
    }

    async fn perform(&self, actions: impl Into<Actions>) {
        self.client.perform_actions(actions).await.expect("the pointer moves");
    }

    /// Turns the wheel over a place.
    pub async fn wheel(&self, (x, y): (f64, f64), down: i64) {
        let scroll =
            WheelAction::Scroll { duration: None, x: x as i64, y: y as i64, delta_x: 0, delta_y: down };
        self.perform(WheelActions::new("wheel".to_owned()).then(scroll)).await;
    }

    /// Drags from one place to another.
    pub async fn drag(&self, from: (f64, f64), to: (f64, f64)) {
        let to_between = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        let drag = MouseActions::new("mouse".to_owned())
            .then(at(from))
            .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
            .then(at(to_between))
            .then(at(to))
            .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        self.perform(drag).await;
    }

    /// Clicks twice at a place.
    pub async fn double_click(&self, place: (f64, f64)) {
        let mut clicks = MouseActions::new("mouse".to_owned()).then(at(place));
        for _ in 0..2 {
            clicks = clicks
                .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
                .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        }
        self.perform(clicks).await;
    }

    /// Presses keys, wherever the page listens.
    pub async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("takes keys");
    }

    /// Replaces what a field holds.
    pub async fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        field.clear().await.expect("can be cleared");
        field.send_keys(text).await.expect("takes keys");
    }

    /// Sets a select box or a slider, by its id.
    pub async fn choose(&self, id: &str, value: &str) {
        let script = "const [id, value] = arguments; const control = document.getElementById(id); control.value = value; \
                      for (const name of ['input', 'change']) control.dispatchEvent(new Event(name, { bubbles: true }));";
        self.client.execute(script, vec![json!(id), json!(value)]).await.expect("can be set");
    }

    /// Ends the browser; a page that logged errors fails the test.
    pub async fn close(mut self) {
        let errors = self.client.issue_cmd(Errors).await.expect("has a log");
        self.client.close().await.expect("closes");
        self.driver.kill().await.expect("ends");
        let errors: Vec<_> = errors
            .as_array()
            .expect("a list")
            .iter()
            // Answers that are errors are part of what is tested; what scripts do wrong is not.
            .filter(|entry| entry["level"] == "SEVERE" && entry["source"] != "network")
            .collect();
        assert!(errors.is_empty(), "the page logged {errors:?}");
    }
}

/// Moves the pointer to a place, at once.
fn at((x, y): (f64, f64)) -> PointerAction {
    PointerAction::MoveTo { duration: None, x, y }
}

fn capabilities(profile: &TempDir) -> Map<String, Value> {
    let profile = format!("--user-data-dir={}", profile.path().display());
    let arguments = [
        "--headless",
        // Chromium's sandbox does not work for root, which containers run tests as. The pages are our own.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // The browser ends with its driver, however that ends.
        "--remote-debugging-pipe",
        WINDOW,
        profile.as_str(),
    ];
    let capabilities = json!({
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": 2 * PATIENCE.as_millis() as u64 },
    });
    match capabilities {
        Value::Object(map) => map,
        _ => unreachable!("the literal above is an object"),
    }
}

/// Chromium's own log of the page; not part of the WebDriver standard.
#[derive(Debug)]
struct Errors;

impl fantoccini::wd::WebDriverCompatibleCommand for Errors {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (axum::http::Method, Option<String>) {
        (axum::http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}
