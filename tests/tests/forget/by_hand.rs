//! Forgetting with the program, at the command line and over HTTP.

use std::ffi::OsStr;
use std::path::Path;

use docent_pipelines::Fingerprint;
use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use serde_json::{Value, json};

use crate::uploads::client::{Answer, Way, post, put, send};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

fn docent() -> Docent {
    let docent = Docent::new(PROGRAM);
    docent.configure("analyzers.enabled = [\"tags\", \"embedding\"]\n");
    docent
}

fn forget(docent: &Docent, args: &[&OsStr]) -> Vec<Value> {
    docent.json([OsStr::new("forget")].iter().chain(args).chain(&[OsStr::new("--format=json")]))
}

#[test]
fn pictures_are_forgotten_and_do_not_come_back() {
    let docent = docent();
    let folder = docent.folder().join("pictures");
    let private = folder.join("private");
    let files = corpus::write(&private, 3, 1);
    corpus::write(&folder.join("public"), 3, 2);
    std::fs::copy(&files[0], folder.join("public/copy.jpg")).expect("is copied");
    docent.ingest(&folder);
    let toll = &forget(&docent, &[private.as_os_str(), "--dry-run".as_ref()])[0];
    assert_eq!((&toll["assets"], &toll["places"], &toll["kept"]), (&json!(2), &json!(3), &json!(1)));
    // Nobody is there to be asked.
    let asked = docent.run([OsStr::new("forget"), private.as_os_str()]).expect(2);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert_eq!(docent.status()["assets"], 6);

    let row = &forget(&docent, &[private.as_os_str(), "--yes".as_ref()])[0];
    assert_eq!((&row["state"], &row["assets"], &row["files"]), (&json!("done"), &json!(2), &json!(0)));
    assert_eq!(row["suggestions"], toll["suggestions"]);
    assert_eq!((&docent.status()["assets"], &docent.status()["paths"]), (&json!(4), &json!(4)));
    assert!(files.iter().all(|file| file.exists()), "originals are never touched");

    let again = docent.ingest(&folder);
    assert_eq!((&again["forgotten"], &again["found"], &again["new"]), (&json!(2), &json!(7), &json!(0)));
    assert_eq!(docent.status()["assets"], 4);
    assert_eq!(docent.status()["paths"], 5, "a picture that also lies elsewhere is found again");
    let told = docent.run([OsStr::new("ingest"), folder.as_os_str()]).expect(0);
    assert!(told.stdout.contains("2 forgotten before") && told.stderr.contains("--readmit"), "{told:?}");

    let log = docent.listing(&["forget", "--list"]);
    assert_eq!((log.len(), &log[0]["reviewer"], &log[0]["assets"]), (1, &json!("tester"), &json!(2)));
    let marks = docent.listing(&["forget", "--barred"]);
    assert_eq!(marks.len(), 2);
    assert!(forget(&docent, &["--readmit".as_ref(), files[1].as_os_str()])[0]["readmitted"] == true);
    let mark = docent.listing(&["forget", "--barred"])[0]["mark"].as_str().expect("a mark").to_owned();
    docent.run(["forget", "--readmit", &mark]).expect(0);
    docent.run(["forget", "--readmit", &mark]).expect(1);
    assert_eq!(docent.ingest(&folder)["new"], 2);
    assert_eq!(docent.status()["assets"], 6);

    // By its id, wherever it lies; and what lies nowhere.
    let asset = Fingerprint::of(&std::fs::read(&files[0]).expect("is there")).asset_id();
    let row = &forget(&docent, &[asset.as_str()[..12].as_ref(), "--yes".as_ref()])[0];
    assert_eq!((&row["assets"], &row["places"]), (&json!(1), &json!(2)));
    docent.run(["forget", "--missing", "--yes"]).expect(1);
    std::fs::remove_file(&files[1]).expect("is removed");
    docent.ingest(&folder);
    assert_eq!(forget(&docent, &["--missing".as_ref(), "--yes".as_ref()])[0]["assets"], 1);
    docent.run(["forget"]).expect(2);
    docent.run(["forget", "--go-on"]).expect(1);
    docent.run(["forget", "0123456789ab", "--yes"]).expect(2);
}

fn serve(docent: &Docent) -> (Running, String) {
    let mut serving = docent.start(["serve", "--listen", "127.0.0.1:0"]);
    serving.until_printed("http://127.0.0.1:");
    let line = serving.stdout().lines().find(|line| line.starts_with("http://")).expect("an address");
    let address = line.trim_start_matches("http://").trim_end_matches('/').to_owned();
    (serving, address)
}

fn ask(address: &str, method: &str, target: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let target = format!("/api/v1{target}");
    send(address, (method, &target), "application/json", &body, Way::Counted).expect("an answer")
}

fn file(answer: &Answer) -> std::path::PathBuf {
    let uri = answer.body["assets"][0]["uri"].as_str().expect("a place");
    docent::assets::path_of_uri(uri).expect("a file")
}

fn asset(answer: &Answer) -> String {
    answer.body["assets"][0]["asset_id"].as_str().expect("an id").to_owned()
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == 410 && answer.body["error"]["code"] == "forgotten"
}

fn left(folder: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        match path.is_dir() {
            true if name != ".incoming" => left.extend(self::left(&path)),
            _ => left.push(name),
        }
    }
    left.sort();
    left
}

#[test]
fn uploads_go_with_their_files_while_the_page_is_open() {
    let docent = docent();
    let (_serving, address) = serve(&docent);
    let made: Vec<Vec<u8>> = corpus::write(&docent.folder().join("made"), 4, 3)
        .iter()
        .map(|file| std::fs::read(file).expect("reads"))
        .collect();
    let first = post(&address, "?wait=60&owner=zoe", &[("secret.jpg", &made[0])]);
    let second = post(&address, "?wait=60", &[("b.jpg", &made[1])]);
    let named = put(&address, "c.jpg", &made[2], Way::Counted).expect("an answer");
    assert_eq!(
        (first.status, second.status, named.status),
        (201, 201, 201),
        "{first:?} {second:?} {named:?}"
    );
    let thumbnail = format!("/assets/{}/thumbnail", asset(&first));
    assert_eq!(ask(&address, "GET", &thumbnail, &Value::Null).status, 200);

    // By the command line, beside the page.
    let row = &forget(&docent, &["--owner=zoe".as_ref(), "--yes".as_ref()])[0];
    assert_eq!(
        (&row["state"], &row["assets"], &row["files"]),
        (&json!("done"), &json!(1), &json!(1)),
        "{row}"
    );
    let uploads = docent.data().join("uploads");
    assert!(!file(&first).exists() && file(&second).exists());
    assert_eq!(left(&uploads), [".incoming", "b.jpg", "c.jpg"]);
    assert!(is_refused(&ask(&address, "GET", &thumbnail, &Value::Null)), "it was rendered before");
    assert_eq!(ask(&address, "GET", &format!("/assets/{}", asset(&first)), &Value::Null).status, 404);
    assert!(is_refused(&post(&address, "", &[("again.jpg", &made[0])])));
    let both = post(&address, "", &[("new.jpg", &made[3]), ("again.jpg", &made[0])]);
    assert!(is_refused(&both), "all or none: {both:?}");
    let over = put(&address, "c.jpg", &made[0], Way::Chunked).expect("an answer");
    assert!(is_refused(&over));
    assert_eq!(std::fs::read(uploads.join("by-name/c.jpg")).expect("is as it was"), made[2]);
    assert_eq!(left(&uploads), [".incoming", "b.jpg", "c.jpg"]);

    // Over HTTP.
    let order = json!({ "assets": [asset(&second)], "path": uploads.join("by-name") });
    let toll = ask(&address, "POST", "/forget/preview", &order);
    assert_eq!(
        (toll.status, &toll.body["assets"], &toll.body["files"]),
        (200, &json!(2), &json!(2)),
        "{toll:?}"
    );
    let done = ask(&address, "POST", "/forget", &order);
    assert_eq!((done.status, &done.body["removed"]["assets"]), (202, &json!(2)), "{done:?}");
    let number = done.body["id"].as_i64().expect("a number");
    let mut one = ask(&address, "GET", &format!("/forget/{number}"), &Value::Null);
    while one.body["state"] != "done" {
        one = ask(&address, "GET", &format!("/forget/{number}"), &Value::Null);
    }
    assert_eq!(left(&uploads), [".incoming"]);
    let nothing = ask(&address, "POST", "/forget", &json!({}));
    assert_eq!((nothing.status, &nothing.body["error"]["code"]), (422, &json!("nothing_named")));
    let orders = ask(&address, "GET", "/forget", &Value::Null);
    assert_eq!(orders.body["orders"].as_array().map(Vec::len), Some(2));
    let marks = ask(&address, "GET", "/forgotten?limit=2", &Value::Null);
    assert!(
        marks.body["marks"].as_array().map(Vec::len) == Some(2) && marks.body["next"].is_string(),
        "{marks:?}"
    );
    let mark = docent::store::Mark::of(&docent_pipelines::AssetId::try_from(asset(&first)).expect("an id"));
    assert_eq!(ask(&address, "DELETE", &format!("/forgotten/{mark}"), &Value::Null).status, 204);
    assert_eq!(ask(&address, "DELETE", &format!("/forgotten/{mark}"), &Value::Null).status, 404);
    assert_eq!(post(&address, "", &[("again.jpg", &made[0])]).status, 201);
}
