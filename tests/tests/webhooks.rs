//! Another program is told what happens by HTTP, and knows docent by its documentation alone.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use docent_tests::cluster::Worker;
use docent_tests::corpus;
use docent_tests::program::Docent;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
/// The secret as it is configured: 24 bytes that say so.
const SECRET: &str = "whsec_ZG9jZW50IHdlYmhvb2tzIHNlY3JldCEh";
const BYTES: &[u8] = b"docent webhooks secret!!";
/// Part of the address, as services have it that know who calls by that.
const TOKEN: &str = "T0pS3cretPath";
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// What a request is answered with, if not that it was taken.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Status(u16),
    /// With `Retry-After` of so many seconds.
    Busy(u64),
    /// To a place where nobody must come.
    Elsewhere,
    /// No answer at all.
    Silence,
    /// Taken, with an answer that never ends.
    Endless,
}

/// A request.
#[derive(Debug, Clone)]
struct Heard {
    id: String,
    event: Value,
    at: Instant,
    taken: bool,
}

#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<Heard>>,
    troubles: Mutex<VecDeque<Trouble>>,
    /// Each answer takes so long.
    slow: Mutex<Duration>,
    astray: Mutex<u32>,
}

/// HMAC-SHA256 by its definition, RFC 2104.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|n| key.get(n).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| {
        let group =
            chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..4)
            .map(|n| match n <= chunk.len() {
                true => char::from(DIGITS[(group >> (18 - 6 * n) & 63) as usize]),
                false => '=',
            })
            .collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}

async fn hear(State(ear): State<Arc<Ear>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers[name].to_str().expect("is a text").to_owned();
    let (id, sent, signature) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    assert_eq!(header("content-type"), "application/json");
    let signed = [format!("{id}.{sent}.").as_bytes(), &body].concat();
    assert_eq!(signature, format!("v1,{}", base64(&hmac(BYTES, &signed))));
    let age = time_now() - sent.parse::<i64>().expect("is a number");
    assert!((-5..=60).contains(&age), "signed {age} s ago");
    let slow = *ear.slow.lock().expect("not poisoned");
    tokio::time::sleep(slow).await;
    let trouble = ear.troubles.lock().expect("not poisoned").pop_front();
    let event = serde_json::from_slice(&body).expect("is JSON");
    let taken = matches!(trouble, None | Some(Trouble::Endless));
    ear.heard.lock().expect("not poisoned").push(Heard { id, event, at: Instant::now(), taken });
    match trouble {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(Trouble::Status(status)) => StatusCode::from_u16(status).expect("is one").into_response(),
        Some(Trouble::Busy(seconds)) => {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds.to_string())], "later").into_response()
        }
        Some(Trouble::Elsewhere) => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
        Some(Trouble::Silence) => std::future::pending().await,
        Some(Trouble::Endless) => {
            let chunk = || Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 4096]));
            let stream = futures_util::stream::repeat_with(chunk);
            axum::body::Body::from_stream(stream).into_response()
        }
    }
}

fn time_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("is later");
    since.as_secs().cast_signed()
}

async fn astray(State(ear): State<Arc<Ear>>) {
    *ear.astray.lock().expect("not poisoned") += 1;
}

/// A program that listens.
struct Listener {
    runtime: Runtime,
    address: SocketAddr,
    ear: Arc<Ear>,
    serving: Option<JoinHandle<()>>,
}

impl Listener {
    /// Has an address, and is away.
    fn new() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("has an address");
        Self { runtime: Runtime::new().expect("a runtime"), address, ear: Arc::default(), serving: None }
    }

    fn come(&mut self) {
        let ear = Arc::clone(&self.ear);
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind(self.address)).expect("its port");
        let routes = Router::new()
            .route(&format!("/{TOKEN}"), axum::routing::post(hear))
            .route("/elsewhere", axum::routing::any(astray))
            .with_state(ear);
        self.serving = Some(self.runtime.spawn(async move {
            axum::serve(listener, routes).await.expect("serves");
        }));
    }

    fn in_trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        self.ear.troubles.lock().expect("not poisoned").extend(troubles);
    }

    fn heard(&self) -> Vec<Heard> {
        self.ear.heard.lock().expect("not poisoned").clone()
    }

    /// What was taken, each event once.
    fn taken(&self) -> Vec<Heard> {
        let mut taken: Vec<Heard> = self.heard().into_iter().filter(|heard| heard.taken).collect();
        let mut ids = std::collections::HashSet::new();
        taken.retain(|heard| ids.insert(heard.id.clone()));
        taken
    }

    /// Waits for so many events.
    fn until(&self, count: usize) -> Vec<Heard> {
        until(&format!("{count} events"), || Some(self.taken()).filter(|taken| taken.len() >= count))
    }

    fn configuration(&self, more: &str) -> String {
        format!(
            "[analyzers]\nenabled = ['tags']\n[log]\nlevel = 'debug,sqlx::query=info'\n[[webhook]]\nname = 'our-dam'\n\
             url = 'http://{}/{TOKEN}'\ntimeout_seconds = 1\n{more}\n",
            self.address
        )
    }
}

/// Waits for an answer.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

fn docent(listener: &Listener, more: &str) -> Docent {
    let docent = Docent::new(PROGRAM).with_variable("DOCENT_WEBHOOK_OUR_DAM_SECRET", SECRET);
    docent.configure(&listener.configuration(more));
    docent
}

fn serve(docent: &Docent) -> Worker {
    Worker::of(docent.start(["serve", "--listen", "127.0.0.1:0"]))
}

fn pictures(docent: &Docent, count: usize) -> std::path::PathBuf {
    let folder = docent.folder().join("pictures");
    let samples = corpus::copy_samples(&folder);
    samples[count..].iter().for_each(|path| std::fs::remove_file(path).expect("is removed"));
    folder
}

fn is_secret_free(text: &str) {
    for secret in [SECRET, &SECRET[6..], TOKEN] {
        assert!(!text.contains(secret), "a secret is told: {text}");
    }
}

fn status(serving: &Worker) -> Value {
    let answer = serving.get("/api/v1/status");
    is_secret_free(&answer);
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
    serde_json::from_str(body).expect("is JSON")
}

fn types(heard: &[Heard]) -> Vec<&str> {
    heard.iter().map(|heard| heard.event["type"].as_str().expect("a text")).collect()
}

#[test]
fn a_webhook_is_told_what_happens_and_who_tells_it() {
    let mut listener = Listener::new();
    listener.come();
    let docent = docent(&listener, "");
    let folder = pictures(&docent, 3);
    docent.run(["webhook", "test", "our-dam"]).expect(0);
    let test = listener.heard().pop().expect("is heard");
    assert_eq!((&test.event["type"], &test.event["data"]), (&json!("webhook.test"), &json!({})));
    listener.in_trouble([Trouble::Status(500), Trouble::Silence, Trouble::Elsewhere, Trouble::Busy(4)]);
    let serving = serve(&docent);
    docent.ingest(&folder);
    // The first comes again and again, always the same, and the next ones after it.
    let taken = listener.until(4);
    let heard = listener.heard();
    let (first, tries) = (&heard[1], &heard[1..6]);
    assert!(tries.iter().all(|again| again.id == first.id && again.event == first.event), "{tries:#?}");
    assert!(tries[4].taken && !tries[3].taken);
    assert!(tries[4].at - tries[3].at >= Duration::from_secs(4), "it asked to be left alone for 4 s");
    assert_eq!(*listener.ear.astray.lock().expect("not poisoned"), 0, "redirects are not followed");
    assert_eq!(types(&taken[1..]), ["suggestions.created"; 3]);
    let event = &taken[1].event;
    assert!(event["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{event}");
    assert!(
        event["data"]["places"][0]["uri"].as_str().is_some_and(|uri| uri.starts_with("file:///")),
        "{event}"
    );
    assert!(event["data"]["asset_id"].is_string() && event.as_object().is_some_and(|event| event.len() == 3));

    // Decisions of another process are told, too, in their order, also if the answer does not end.
    listener.in_trouble([Trouble::Endless]);
    let rows = docent.suggestions();
    let ids: Vec<&str> = rows.iter().take(3).map(|row| row["id"].as_str().expect("an id")).collect();
    for id in &ids {
        docent.run(["reject", id]).expect(0);
    }
    let decided = listener.until(4 + ids.len());
    let decided: Vec<&Value> = decided[4..].iter().map(|heard| &heard.event["data"]).collect();
    let told: Vec<&str> = decided.iter().filter_map(|data| data["suggestion_id"].as_str()).collect();
    let first = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(first(&told[..ids.len()]), first(&ids), "{decided:?}");
    assert!(decided.iter().all(|data| data["after"] == "rejected" && data["reviewer"] == "tester"));
    until("nothing waits", || (status(&serving)["sinks"][0]["waiting"] == 0).then_some(()));
    let metrics = serving.get("/metrics");
    assert!(metrics.contains("docent_events_refused_total{sink=\"webhook:our-dam\"} 4"), "{metrics}");
    is_secret_free(&metrics);
    is_secret_free(&serving.end().stderr);
}

#[test]
fn what_happens_while_a_webhook_is_away_is_told_afterwards_whoever_is_killed() {
    let mut listener = Listener::new();
    let docent = docent(&listener, "events = ['suggestion.*']");
    let folder = pictures(&docent, 12);
    // Nobody tells yet, and then nobody hears.
    docent.ingest(&folder);
    docent.run(["accept", "--all", "--min-confidence", "0"]).expect(0);
    let rows = docent.listing(&["suggestions", "--status", "accepted"]);
    assert!(rows.len() > 7, "{rows:?}");
    let serving = serve(&docent);
    until("it fails", || status(&serving)["sinks"][0]["failing_since"].is_string().then_some(()));
    let listed = docent.json(["webhook", "list", "--format=json"]).remove(0);
    assert_eq!((&listed["name"], &listed["state"]), (&json!("our-dam"), &json!("failing")), "{listed}");
    assert!(listed["reason"].as_str().is_some_and(|reason| reason.contains("refused")), "{listed}");
    assert!(listed["waiting"].as_u64().is_some_and(|waiting| waiting >= rows.len() as u64), "{listed}");
    *listener.ear.slow.lock().expect("not poisoned") = Duration::from_millis(100);
    listener.come();
    // Killed between two events, and in the middle of one.
    listener.until(2);
    is_secret_free(&serving.kill().stderr);
    let again = serve(&docent);
    listener.until(4);
    let before = listener.heard().len();
    until("the next", || (listener.heard().len() > before).then_some(()));
    is_secret_free(&again.kill().stderr);
    *listener.ear.slow.lock().expect("not poisoned") = Duration::ZERO;
    let last = serve(&docent);
    let taken = listener.until(rows.len());
    assert_eq!(types(&taken), vec!["suggestion.decided"; rows.len()], "others are filtered out");
    // Ids of events are numbers that grow.
    let numbers: Vec<u64> = taken
        .iter()
        .map(|heard| heard.id.rsplit('_').next().expect("a part").parse().expect("a number"))
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    until("nothing waits", || (status(&last)["sinks"][0]["waiting"] == 0).then_some(()));
    assert_eq!(listener.taken().len(), rows.len());
    last.end();
}

#[test]
fn an_address_that_is_gone_is_told_nothing_until_somebody_enables_it() {
    let mut listener = Listener::new();
    listener.come();
    listener.in_trouble([Trouble::Status(410)]);
    let docent = docent(&listener, "");
    let folder = pictures(&docent, 2);
    let serving = serve(&docent);
    docent.ingest(&folder);
    let sink = until("it is disabled", || {
        Some(status(&serving)["sinks"][0].clone()).filter(|sink| sink["disabled_at"].is_string())
    });
    assert_eq!(sink["name"], "webhook:our-dam");
    assert!(sink["reason"].as_str().is_some_and(|reason| reason.contains("410")), "{sink}");
    let metric = "docent_sink_disabled{sink=\"webhook:our-dam\"} 1";
    until("the metric says so", || serving.get("/metrics").contains(metric).then_some(()));
    let ended = docent.run(["doctor", "--format=json"]);
    is_secret_free(&ended.stdout);
    let found = ended.json();
    let finding = found.iter().find(|finding| finding["check"] == "webhook").expect("is looked at");
    assert_eq!(finding["ok"], false, "{finding}");
    assert!(
        finding["hint"].as_str().is_some_and(|hint| hint.contains("docent webhook enable our-dam")),
        "{finding}"
    );
    let listed = docent.run(["webhook", "list"]).expect(0);
    assert!(
        listed.stdout.contains("disabled") && listed.stdout.contains(&listener.address.to_string()),
        "{listed:?}"
    );
    is_secret_free(&listed.stdout);
    docent.run(["webhook", "enable", "another"]).expect(1);
    assert_eq!(listener.heard().len(), 1);
    docent.run(["webhook", "enable", "our-dam"]).expect(0);
    let taken = listener.until(2);
    assert_eq!(types(&taken), ["suggestions.created"; 2]);
    let ended = serving.end();
    assert!(ended.stderr.contains("is disabled"), "{}", ended.stderr);
    is_secret_free(&ended.stderr);
}

#[test]
fn a_webhook_without_a_usable_secret_waits_and_is_told_of() {
    let listener = Listener::new();
    let docent = Docent::new(PROGRAM);
    docent.configure(&listener.configuration("secret_file = 'secret'"));
    let folder = pictures(&docent, 1);
    docent.ingest(&folder);
    for (secret, words) in [(None, "No such file"), (Some("hunter2"), "whsec_")] {
        if let Some(secret) = secret {
            std::fs::write(docent.folder().join("secret"), secret).expect("is written");
        }
        let ended = docent.run(["webhook", "test", "our-dam"]).expect(2);
        assert!(ended.stderr.contains(words) && !ended.stderr.contains("hunter2"), "{ended:?}");
        let listed = docent.json(["webhook", "list", "--format=json"]).remove(0);
        assert_eq!((&listed["state"], &listed["waiting"]), (&json!("incomplete"), &json!(1)), "{listed}");
    }
    // An address of another kind is no configuration, and is not repeated.
    docent.configure(&format!("[[webhook]]\nname = 'x'\nurl = 'ftp://host/{TOKEN}'\n"));
    let ended = docent.run(["status"]).expect(2);
    assert!(ended.stderr.contains("webhook.0.url"), "{ended:?}");
    is_secret_free(&ended.stderr);
}
