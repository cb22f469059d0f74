//! The program watches.

use std::fs;
use std::time::{Duration, Instant};

use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
/// The networks that cost least.
const CHEAP: &str = "analyzers.enabled = [\"tags\", \"embedding\"]\n";
const LIMIT: Duration = Duration::from_secs(300);

fn docent() -> Docent {
    let docent = Docent::new(PROGRAM);
    docent.configure(CHEAP);
    docent
}

/// The sum of what was told of, by its name.
pub fn told(running: &Running, what: &str) -> u64 {
    let events = running.stdout().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["event"] == "portion").filter_map(|event| event[what].as_u64()).sum()
}

pub fn until_told(running: &mut Running, what: &str, count: u64) {
    let is_told = running.watch(LIMIT, |running| told(running, what) == count);
    assert!(
        is_told,
        "{} {what} and not {count}:\n{}\n{}",
        told(running, what),
        running.stdout(),
        running.stderr()
    );
}

fn done(docent: &Docent) -> u64 {
    docent.status()["analyzers"]["tags"]["done"].as_u64().unwrap_or(0)
}

#[test]
fn what_comes_is_analyzed_until_ctrl_c() {
    let docent = docent();
    let folder = docent.folder().join("pictures");
    corpus::write(&folder, 3, 1);
    let mut watching = docent.start(["watch", "pictures", "--settle", "1", "--format=json"]);
    until_told(&mut watching, "new", 3);
    corpus::write(&folder.join("later"), 2, 2);
    until_told(&mut watching, "new", 5);
    let analyzed =
        watching.watch(LIMIT, |running| running.progress().is_some_and(|event| event["done"] == 5));
    assert!(analyzed, "{}", watching.stdout());
    // Another process registers, and this one does the work.
    corpus::write(&docent.folder().join("others"), 2, 3);
    assert_eq!(docent.ingest(&docent.folder().join("others"))["remaining"], 0);
    watching.signal("INT");
    let ended = watching.wait().expect(0);
    let summary = ended.summary();
    assert_eq!((&summary["analyzed"], &summary["remaining"]), (&7.into(), &0.into()), "{summary}");
    let state = ended.json().into_iter().find(|event| event["event"] == "folder").expect("a state");
    assert_eq!((&state["state"], &state["reason"]), (&"watched".into(), &Value::Null));
    let again = docent.ingest(&folder);
    assert_eq!(
        (&again["unchanged"], &again["new"], &again["gone"]),
        (&5.into(), &0.into(), &0.into()),
        "{again}"
    );
}

#[test]
fn a_person_reads_a_line_for_each_portion() {
    let docent = docent();
    let folder = docent.folder().join("pictures");
    corpus::write(&folder, 2, 1);
    let mut watching = docent.start(["watch", "pictures", "--settle", "1", "--owner", "press office"]);
    watching.until_printed("pictures: 2 new\n");
    assert!(watching.stderr().contains("watching "), "{}", watching.stderr());
    let deadline = Instant::now() + LIMIT;
    while done(&docent) < 2 {
        assert!(Instant::now() < deadline, "{}", docent.status());
    }
    fs::remove_file(folder.join("0000.jpg")).expect("is removed");
    watching.until_printed("pictures: 1 gone\n");
    watching.signal("TERM");
    let ended = watching.wait().expect(0);
    assert!(ended.stdout.lines().last().expect("a line").starts_with("2 new, 1 gone in "), "{ended:?}");
    assert!(!docent.listing(&["suggestions", "--owner", "press office"]).is_empty());
}

#[test]
fn it_leaves_the_analysis_to_a_page_beside_it() {
    let docent = docent();
    let folder = docent.folder().join("pictures");
    fs::create_dir(&folder).expect("a folder");
    let mut serving = docent.start(["serve", "--listen", "127.0.0.1:0"]);
    serving.until_printed("http://127.0.0.1:");
    let mut watching = docent.start(["watch", "pictures", "--settle", "1", "--format=json"]);
    watching.until_printed("\"watched\"");
    corpus::write(&folder, 3, 1);
    until_told(&mut watching, "new", 3);
    let analyzed =
        watching.watch(LIMIT, |running| running.progress().is_some_and(|event| event["done"] == 3));
    assert!(analyzed, "{}", watching.stdout());
    // The page dies, and the watch goes on by itself.
    serving.kill();
    corpus::write(&folder.join("later"), 2, 2);
    let analyzed =
        watching.watch(LIMIT, |running| running.progress().is_some_and(|event| event["done"] == 5));
    assert!(analyzed, "{}", watching.stdout());
    watching.signal("INT");
    watching.wait().expect(0);
    assert_eq!(done(&docent), 5);
}

#[test]
fn a_page_watches_what_the_configuration_names() {
    let docent = docent();
    let folders = ["incoming", "scans", "away"].map(|name| docent.folder().join(name));
    for folder in &folders[..2] {
        fs::create_dir(folder).expect("a folder");
    }
    docent.configure(&format!(
        "{CHEAP}[[watch]]\npath = 'incoming'\nowner = 'press office'\nsettle_seconds = 1\n\
         [[watch]]\npath = 'scans'\nsettle_seconds = 1\npoll_seconds = 1\n[[watch]]\npath = 'away'\n"
    ));
    let mut serving = docent.start(["serve", "--listen", "127.0.0.1:0"]);
    serving.until_printed("http://127.0.0.1:");
    let line = serving.stdout().lines().find(|line| line.starts_with("http://")).expect("an address");
    let metrics = format!("{line}metrics");
    corpus::write(&folders[0], 2, 1);
    corpus::write(&folders[1], 2, 2);
    let deadline = Instant::now() + LIMIT;
    while done(&docent) < 4 {
        assert!(Instant::now() < deadline, "{}", docent.status());
    }
    // It is told of the folder that is not there, and waits for it.
    serving.until_printed("it is not there");
    let findings = docent.run(["doctor", "--format=json"]).json();
    let looked: Vec<(bool, &str)> = findings
        .iter()
        .filter(|finding| finding["check"] == "watched folder")
        .map(|finding| (finding["ok"] == true, finding["detail"].as_str().expect("a text")))
        .collect();
    assert!(looked[0].0 && looked[0].1.ends_with("watched by events, swept every 15 min 0 s"), "{looked:?}");
    assert!(looked[1].0 && looked[1].1.ends_with("swept every 1.0 s"), "{looked:?}");
    assert!(!looked[2].0 && looked[2].1.contains("No such file"), "{looked:?}");
    let told = fetched(&metrics);
    for state in ["watched", "polled", "away"] {
        let line = format!("docent_watched_folders{{state=\"{state}\"}} 1");
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
    assert!(told.lines().any(|line| line == "docent_watch_files_total{what=\"new\"} 4"), "{told}");
    let rows = docent.listing(&["suggestions", "--owner", "press office"]);
    assert!(
        !rows.is_empty()
            && rows.iter().all(|row| row["uri"].as_str().is_some_and(|uri| uri.contains("incoming")))
    );
    corpus::write(&folders[2], 1, 3);
    while done(&docent) < 5 {
        assert!(Instant::now() < deadline, "{}", docent.status());
    }
    serving.signal("INT");
    serving.wait().expect(0);
    // Another page that does not analyze does not watch, either.
    let mut page = docent.start(["serve", "--listen", "127.0.0.1:0", "--no-worker", "-v"]);
    page.until_printed("http://127.0.0.1:");
    page.signal("INT");
    assert!(!page.wait().expect(0).stderr.contains("a folder is watched"));
}

/// The body of an answer.
fn fetched(url: &str) -> String {
    use std::io::{Read, Write};
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let mut stream = std::net::TcpStream::connect(host).expect("connects");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    answer
}

#[test]
fn what_cannot_be_watched_is_refused_with_the_reason() {
    let docent = docent();
    fs::create_dir_all(docent.folder().join("a/b")).expect("a folder");
    fs::write(docent.folder().join("file"), "x").expect("is written");
    let refused = |args: &[&str]| docent.run(args.iter().copied()).expect(2).stderr;
    for (args, words) in [
        (&["watch"][..], &["no folder is named", "[[watch]]"][..]),
        (&["watch", "nowhere"], &["watch nowhere", "No such file"]),
        (&["watch", "file"], &["/file: it is not a folder"]),
        (&["watch", "a", "a/b"], &["PATH is", "/a/b", "must be outside of", "/a\""]),
        (&["watch", "a", "./a/"], &["must be outside of"]),
        (&["watch", "a", "--settle", "0"], &["--settle is 0, but must be from 1 to 3600"]),
    ] {
        let said = refused(args);
        assert!(words.iter().all(|words| said.contains(words)), "{args:?}: {said}");
    }
    for (options, words) in [
        ("[[watch]]\npath = 'a'\n[[watch]]\npath = 'a/b'\n", "watch.1.path is"),
        ("[[watch]]\nowner = 'press'\n", "watch.0.path is missing"),
        ("[[watch]]\npath = ''\n", "watch.0.path is \"\", but must be a folder"),
        ("[[watch]]\npath = 'a'\nsweep_seconds = 0\n", "watch.0.sweep_seconds is 0, but must be from 1"),
        ("[[watch]]\npath = 'a'\nevery = 3\n", "every"),
        ("[[watch]]\npath = 'a'\npoll_seconds = 'often'\n", "poll_seconds is \"often\""),
        (
            "[[watch]]\npath = 'a'\nowner = ''\n",
            "watch.0.owner is not usable, but must be a name; this one is empty",
        ),
        ("[[watch]]\npath = 'file'\n", "file: it is not a folder"),
        ("watch = ['a', 3]\n", "watch.1 is 3"),
        ("[assets]\nroots = ['a/b']\n[[watch]]\npath = 'a'\n", "assets.roots"),
    ] {
        docent.configure(&format!("{CHEAP}{options}"));
        let said = refused(&["serve", "--listen", "127.0.0.1:0"]);
        assert!(said.contains("config.toml") || said.contains("watch "), "{options}: {said}");
        assert!(said.contains(words), "{options}: {said}");
    }
}
