//! Server-sent events: what a client hears while it listens, and after it was away.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that listens.
struct Ears(BufReader<TcpStream>);

/// An event: its id, its name and what it says.
type Heard = (String, String, Value);

impl Ears {
    /// Connects; the answer's head is read. In HTTP/1.0 a body has no chunks.
    fn open(address: &str, last: Option<&str>) -> (String, Self) {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("is set");
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        write!(stream, "GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n{last}\r\n").expect("is sent");
        let mut ears = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(ears.0.read_line(&mut head).expect("answers") > 0, "{head}");
        }
        (head, ears)
    }

    /// The next event; `None` at the end.
    fn next(&mut self) -> Option<Heard> {
        let mut heard = (String::new(), String::new(), Value::Null);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("hears") == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => heard.0 = id.to_owned(),
                Some(("event", name)) => heard.1 = name.to_owned(),
                Some(("data", data)) => heard.2 = serde_json::from_str(data).expect("is JSON"),
                _ if !heard.1.is_empty() => return Some(heard),
                _ => {}
            }
        }
    }
}

fn serve(docent: &Docent) -> (Running, String) {
    let mut serving = docent.start(["serve", "--listen", "127.0.0.1:0"]);
    let is_open = |text: &str| text.lines().any(|line| line.starts_with("http://"));
    assert!(serving.watch(PATIENCE, |run| is_open(run.stdout())), "{}", serving.stderr());
    let page = serving.stdout().lines().find(|line| line.starts_with("http://")).expect("is told");
    let address = page.trim_start_matches("http://").trim_end_matches('/').to_owned();
    (serving, address)
}

#[test]
fn who_listens_hears_everything_once_also_after_a_break() {
    let docent = Docent::new(PROGRAM);
    docent.configure("[analyzers]\nenabled = ['tags']\n");
    let folder = docent.folder().join("pictures");
    let samples = corpus::copy_samples(&folder);
    samples[4..].iter().for_each(|path| std::fs::remove_file(path).expect("is removed"));
    let (serving, address) = serve(&docent);
    let (head, mut ears) = Ears::open(&address, None);
    assert!(head.starts_with("HTTP/1.0 200") && head.contains("text/event-stream"), "{head}");
    docent.ingest(&folder);
    for _ in 0..4 {
        let (_, name, event) = ears.next().expect("is told");
        assert_eq!(
            (name.as_str(), &event["type"]),
            ("suggestions.created", &Value::from("suggestions.created"))
        );
        assert!(event["data"]["places"][0]["uri"].is_string(), "{event}");
    }
    let rows = docent.suggestions();
    let ids: Vec<&str> = rows.iter().take(3).map(|row| row["id"].as_str().expect("an id")).collect();
    docent.run(["reject", ids[0]]).expect(0);
    let (last, name, event) = ears.next().expect("is told");
    assert_eq!(
        (name.as_str(), &event["data"]["suggestion_id"]),
        ("suggestion.decided", &Value::from(ids[0]))
    );
    drop(ears);

    // While it was away, and while nobody served.
    docent.run(["reject", ids[1]]).expect(0);
    serving.signal("INT");
    serving.wait().expect(0);
    docent.run(["reject", ids[2]]).expect(0);
    let (serving, address) = serve(&docent);
    let (_, mut ears) = Ears::open(&address, Some(&last));
    let (_, mut other) = Ears::open(&address, Some(&last));
    for id in &ids[1..] {
        let heard = ears.next().expect("is told");
        assert_eq!(heard.2["data"]["suggestion_id"], Value::from(*id));
        assert_eq!(heard, other.next().expect("is told"));
    }
    // What is no number is refused, and a number that no event has is told.
    let (head, _) = Ears::open(&address, Some("x"));
    assert!(head.starts_with("HTTP/1.0 400"), "{head}");
    let (_, mut foreign) = Ears::open(&address, Some("4711"));
    assert_eq!(foreign.next().expect("is told").1, "reset");
    let (_, mut late) = Ears::open(&address, None);

    // Those who listen do not hold up the end.
    let asked = Instant::now();
    serving.signal("INT");
    assert_eq!(
        [&mut ears, &mut other, &mut foreign, &mut late].map(|ears| ears.next()),
        [None, None, None, None]
    );
    let ended = serving.wait().expect(0);
    assert!(
        asked.elapsed() < Duration::from_secs(5) && !ended.stderr.contains("cut off"),
        "{}",
        ended.stderr
    );
}

#[test]
fn only_so_many_listen() {
    let docent = Docent::new(PROGRAM);
    let (serving, address) = serve(&docent);
    let open: Vec<_> = (0..64).map(|_| Ears::open(&address, None)).collect();
    assert!(open.iter().all(|(head, _)| head.starts_with("HTTP/1.0 200")));
    let (head, _) = Ears::open(&address, None);
    assert!(head.starts_with("HTTP/1.0 503"), "{head}");
    drop(open);
    let deadline = Instant::now() + PATIENCE;
    while !Ears::open(&address, None).0.starts_with("HTTP/1.0 200") {
        assert!(Instant::now() < deadline, "nobody leaves");
    }
    serving.signal("INT");
    serving.wait().expect(0);
}
