//! Pictures that are handed over by HTTP to the real program.

pub mod client;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use self::client::{Answer, Way, post, put, try_post};
use docent_pipelines::Fingerprint;
use docent_tests::corpus;
use docent_tests::program::{Docent, Running};
use docent_tests::random::Random;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");
/// The networks that cost least, and a limit that is quickly reached.
const CONFIG: &str = "analyzers.enabled = [\"tags\", \"embedding\"]\nassets.max_bytes = 200000\n";
/// Change it to look at other moments.
const SEED: u64 = 20_261_202;

fn docent() -> Docent {
    let docent = Docent::new(PROGRAM);
    docent.configure(CONFIG);
    docent
}

/// Starts the page, and answers where it listens.
fn serve(docent: &Docent, more: &[&str]) -> (Running, String) {
    let mut serving = docent.start(["serve", "--listen", "127.0.0.1:0"].iter().chain(more));
    serving.until_printed("http://127.0.0.1:");
    let line = serving.stdout().lines().find(|line| line.starts_with("http://")).expect("an address");
    let address = line.trim_start_matches("http://").trim_end_matches('/').to_owned();
    (serving, address)
}

fn pictures(docent: &Docent, count: usize, seed: u64) -> Vec<Vec<u8>> {
    let files = corpus::write(&docent.folder().join(format!("made-{seed}")), count, seed);
    files.iter().map(|file| std::fs::read(file).expect("reads")).collect()
}

/// Another picture for each number, as large as this one: its last coded bytes are others. Nobody decodes it here.
fn another(jpeg: &[u8], number: usize) -> Vec<u8> {
    let (coded, end) = jpeg.split_at(jpeg.len() - 2);
    assert_eq!(end, [0xff, 0xd9], "the end of a JPEG");
    [coded, format!("{number:08}").as_bytes(), end].concat()
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { BTreeSet::from([path]) }).collect()
}

/// Uploaded files, without the signs of life of processes.
fn kept(docent: &Docent) -> BTreeSet<PathBuf> {
    let mut kept = files(&docent.data().join("uploads"));
    kept.retain(|file| !file.ends_with("alive"));
    kept
}

/// Everything that the ledger knows: places by asset.
fn known(address: &str) -> BTreeMap<String, Vec<String>> {
    let mut known = BTreeMap::new();
    let mut after = String::new();
    loop {
        let target = format!("/api/v1/assets?limit=1000{after}");
        let answer =
            client::send(address, ("GET", &target), "text/plain", b"", Way::Counted).expect("an answer");
        for asset in answer.body["assets"].as_array().expect("assets") {
            let uris = asset["uris"].as_array().expect("places").iter();
            let uris = uris.map(|uri| uri.as_str().expect("a text").to_owned()).collect();
            known.insert(text(&asset["asset_id"]), uris);
        }
        let Some(next) = answer.body["next"].as_str() else { return known };
        after = format!("&after={}", next.replace('"', "%22").replace('[', "%5B").replace(']', "%5D"));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn asset(answer: &Answer, place: usize) -> (String, String, bool) {
    let asset = &answer.body["assets"][place];
    (text(&asset["asset_id"]), text(&asset["uri"]), asset["created"].as_bool().expect("a flag"))
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, text(&answer.body["error"]["code"]))
}

#[test]
fn the_same_content_is_one_asset_with_one_file() {
    let docent = docent();
    let (_serving, address) = serve(&docent, &["--no-worker"]);
    let made = pictures(&docent, 3, 1);
    let first = post(&address, "?owner=press", &[("été 1.jpg", &made[0]), (r"C:\fotos\b.jpg", &made[1])]);
    assert_eq!(first.status, 201, "{first:?}");
    assert!(
        asset(&first, 0).1.ends_with("/été%201.jpg") && asset(&first, 1).1.ends_with("/b.jpg"),
        "{first:?}"
    );
    // Again, under another name, alone and in pieces.
    let again = post(&address, "", &[("other.jpg", &made[0])]);
    assert_eq!((again.status, asset(&again, 0).2), (200, false));
    assert_eq!(asset(&again, 0).1, asset(&first, 0).1);
    assert!(again.headers.contains(&format!("location: /api/v1/assets/{}", asset(&again, 0).0)));
    let named = put(&address, "c.jpg", &made[2], Way::Chunked).expect("an answer");
    assert_eq!((named.status, asset(&named, 0).2), (201, true));
    assert_eq!(kept(&docent).len(), 3);
    assert_eq!(known(&address).len(), 3);
    // Another content under a name that is taken: another asset lies there.
    let changed = put(&address, "c.jpg", &made[0], Way::Counted).expect("an answer");
    assert_eq!((changed.status, asset(&changed, 0).1), (200, asset(&named, 0).1));
    let places = known(&address);
    assert_eq!(places[&asset(&first, 0).0].len(), 2);
    assert_eq!(places[&asset(&named, 0).0], [""; 0]);
    assert_eq!(std::fs::read(docent.data().join("uploads/by-name/c.jpg")).expect("reads"), made[0]);
    // What lies in the archive already is not stored again.
    let folder = docent.folder().join("archive");
    let file = corpus::write(&folder, 1, 9).remove(0);
    docent.ingest(&folder);
    let bytes = std::fs::read(&file).expect("reads");
    let known = post(&address, "", &[("a.jpg", &bytes)]);
    assert_eq!((known.status, asset(&known, 0).1), (200, docent_tests::program::uri(&file)));
    // Unless it lies there no longer, whether or not the ledger knows that.
    let before = kept(&docent).len();
    std::fs::write(&file, &made[0]).expect("is written");
    let stored = post(&address, "", &[("a.jpg", &bytes)]);
    assert_eq!((stored.status, asset(&stored, 0).2), (200, false));
    let place = docent::assets::path_of_uri(&asset(&stored, 0).1).expect("a file");
    assert_eq!(std::fs::read(place).expect("reads"), bytes);
    assert_eq!(kept(&docent).len(), before + 1);
}

/// Many contents for one name at once: the ledger knows the one that lies there.
#[test]
fn the_last_content_of_a_name_is_the_one_that_is_known() {
    let docent = docent();
    let (_serving, address) = serve(&docent, &["--no-worker"]);
    let made = pictures(&docent, 12, 7);
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for bytes in &made {
                scope.spawn(|| put(&address, "same.jpg", bytes, Way::Counted).expect("an answer"));
            }
        });
        let lies = std::fs::read(docent.data().join("uploads/by-name/same.jpg")).expect("reads");
        let id = Fingerprint::of(&lies).asset_id();
        let known = known(&address);
        let there: Vec<&String> =
            known.iter().filter(|(_, uris)| !uris.is_empty()).map(|(id, _)| id).collect();
        assert_eq!(there, [id.as_str()]);
    }
}

#[test]
fn an_upload_is_answered_with_what_is_said_of_it() {
    let docent = docent();
    let (serving, address) = serve(&docent, &[]);
    let cat = corpus::sample_files().into_iter().find(|file| file.ends_with("cat.jpg"));
    let cat = std::fs::read(cat.unwrap_or_else(|| corpus::sample_files().remove(0))).expect("reads");
    let picture = if cat.len() < 200_000 { cat } else { pictures(&docent, 1, 2).remove(0) };
    let answer = post(&address, "?wait=120", &[("cat.jpg", &picture)]);
    assert_eq!(
        (answer.status, answer.body["assets"][0]["analyzed"].as_bool()),
        (201, Some(true)),
        "{answer:?}"
    );
    let listed = docent.suggestions();
    let said = answer.body["assets"][0]["suggestions"].as_array().expect("suggestions");
    assert_eq!(said.len(), listed.len());
    // Without a wait nothing is said, and the picture is analyzed all the same.
    let other = post(&address, "", &[("b.jpg", &pictures(&docent, 1, 3)[0])]);
    assert_eq!(other.body["assets"][0]["analyzed"], false);
    assert_eq!(post(&address, "?wait=301", &[("b.jpg", &picture)]).status, 400);
    let again = post(&address, "?wait=120", &[("b.jpg", &pictures(&docent, 1, 3)[0])]);
    assert_eq!((again.status, again.body["assets"][0]["analyzed"].as_bool()), (200, Some(true)));
    serving.signal("INT");
    serving.wait().expect(0);
}

#[test]
fn nothing_is_left_of_what_is_refused() {
    let docent = docent();
    let (_serving, address) = serve(&docent, &["--no-worker"]);
    let made = pictures(&docent, 2, 4);
    let large = [made[0].clone(), vec![0; 200_001]].concat();
    let put = |name: &str, bytes: &[u8], way| put(&address, name, bytes, way).expect("an answer");
    assert_eq!(code(&put("a.jpg", &large, Way::Counted)), (413, "too_large".to_owned()));
    assert_eq!(code(&put("a.jpg", &large, Way::Chunked)), (413, "too_large".to_owned()));
    assert_eq!(
        code(&put("a.txt", b"a text, and nothing else", Way::Counted)),
        (422, "not_a_picture".to_owned())
    );
    assert_eq!(code(&put("a.jpg", b"", Way::Counted)), (422, "empty".to_owned()));
    for name in [".a.jpg", "a%2Fb.jpg", "..", "a%00.jpg", &"x".repeat(256)] {
        let answer = put(name, &made[0], Way::Counted);
        assert!(matches!(answer.status, 404 | 422), "{name}: {answer:?}");
    }
    // One of several: none is taken.
    let several = post(&address, "", &[("a.jpg", &made[0]), ("b.txt", b"a text"), ("c.jpg", &made[1])]);
    assert_eq!(code(&several), (422, "not_a_picture".to_owned()));
    assert_eq!(post(&address, "", &[]).status, 400);
    let many: Vec<(&str, &[u8])> = vec![("a.jpg", &made[0]); 65];
    assert_eq!(post(&address, "", &many).status, 400);
    // Broken off, at every quarter.
    for quarter in 0..4 {
        client::put(&address, "a.jpg", &made[0], Way::BrokenOff(made[0].len() * quarter / 4));
    }
    until("nothing is left", || kept(&docent).is_empty());
    assert!(known(&address).is_empty());
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Programs name pictures by their places, below the folders that docent may read.
#[test]
fn pictures_are_taken_in_where_they_lie() {
    let docent = docent();
    let folder = docent.folder().join("archive");
    let files = corpus::write(&folder, 3, 8);
    std::fs::write(folder.join("notes.txt"), "a text, and nothing else").expect("is written");
    let ask = |address: &str, uris: &[String]| {
        let body = serde_json::json!({ "uris": uris, "owner": "press", "lane": "interactive" }).to_string();
        let route = ("POST", "/api/v1/ingest");
        client::send(address, route, "application/json", body.as_bytes(), Way::Counted).expect("an answer")
    };
    let places: Vec<String> = files.iter().map(|file| docent_tests::program::uri(file)).collect();
    let (serving, address) = serve(&docent, &["--no-worker"]);
    assert_eq!(code(&ask(&address, &places)), (403, "forbidden".to_owned()), "no roots are named");
    serving.kill();
    docent.configure(&format!("{CONFIG}assets.roots = [{:?}]\n", folder.to_str().expect("a text")));
    let (_serving, address) = serve(&docent, &["--no-worker"]);
    let outside = docent_tests::program::uri(&corpus::sample_files()[0]);
    let mut asked = places.clone();
    asked.extend([
        format!("file:{}/notes.txt", folder.display()),
        outside,
        "https://example.org/a.jpg".to_owned(),
    ]);
    asked.push(format!("{}/gone.jpg", docent_tests::program::uri(&folder)));
    let answer = ask(&address, &asked);
    assert_eq!(answer.status, 200, "{answer:?}");
    let taken = answer.body["assets"].as_array().expect("a list");
    let told: Vec<&str> = taken.iter().map(|asset| asset["uri"].as_str().expect("a place")).collect();
    assert_eq!(told, places);
    assert!(taken.iter().all(|asset| asset["created"] == true), "{answer:?}");
    let refused = answer.body["refused"].as_array().expect("a list");
    let codes: Vec<&str> = refused.iter().map(|one| one["code"].as_str().expect("a code")).collect();
    assert_eq!(codes, ["not_a_picture", "unreadable", "place", "unreadable"]);
    let again = ask(&address, &places);
    assert!(again.body["assets"].as_array().expect("a list").iter().all(|asset| asset["created"] == false));
    assert_eq!(known(&address).len(), 3);
    assert_eq!(ask(&address, &[]).status, 400);
}

/// 1,000 uploads from 16 clients, 50 of them broken off and 50 over the limit.
#[test]
fn a_thousand_uploads_at_once_are_there_once_or_nowhere() {
    let docent = docent();
    let (mut serving, address) = serve(&docent, &["--no-worker"]);
    let made = pictures(&docent, 40, 5);
    let content = |number: usize| another(&made[number % made.len()], number);
    let next = AtomicUsize::new(0);
    let acknowledged = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= 1000 {
                        return;
                    }
                    let mut bytes = content(number);
                    let way = match number % 20 {
                        7 => Way::BrokenOff(bytes.len() / 2),
                        11 => {
                            bytes.resize(300_000, 0);
                            Way::Chunked
                        }
                        even if even % 2 == 0 => Way::Counted,
                        _ => Way::Chunked,
                    };
                    let answer = put(&address, &format!("{number}.jpg"), &bytes, way);
                    match (number % 20, answer) {
                        (7, None) => {}
                        (11, Some(answer)) => assert_eq!(answer.status, 413, "{answer:?}"),
                        // The line may be cut before the answer is read.
                        (11, None) => {}
                        (_, answer) => {
                            let answer = answer.expect("an answer");
                            assert_eq!(answer.status, 201, "{answer:?}");
                            let (id, uri, created) = asset(&answer, 0);
                            assert!(created);
                            acknowledged.lock().expect("whole").insert(id, uri);
                        }
                    }
                }
            });
        }
    });
    let acknowledged = acknowledged.into_inner().expect("whole");
    assert_eq!(acknowledged.len(), 900);
    until("all broken ones are gone", || kept(&docent).len() == 900);
    let known = known(&address);
    assert_eq!(known.len(), 900);
    assert!(known.iter().all(|(id, uris)| uris.len() == 1 && acknowledged.get(id) == Some(&uris[0])));
    serving.watch(Duration::from_millis(100), |_| false);
    serving.signal("INT");
    let ended = serving.wait().expect(0);
    eprintln!("{} MiB at most", ended.peak_kib / 1024);
    assert!(ended.peak_kib < 400 * 1024, "{} KiB", ended.peak_kib);
}

/// Killed at random moments of uploads: what was acknowledged is there, and nothing is there by halves.
#[test]
fn kills_amid_uploads_leave_nothing_by_halves() {
    const KILLS: usize = 50;
    let docent = docent();
    let made = pictures(&docent, 20, 6);
    let mut random = Random::new(SEED);
    let mut acknowledged = BTreeMap::new();
    let number = AtomicUsize::new(0);
    let mut amid = 0;
    for _ in 0..KILLS {
        let (serving, address) = serve(&docent, &["--no-worker"]);
        let before = number.load(Relaxed);
        let answers = Mutex::new(Vec::new());
        let stopped = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stopped.load(Relaxed) {
                        let number = number.fetch_add(1, Relaxed);
                        let bytes = another(&made[number % made.len()], number);
                        let answer = match number % 2 {
                            0 => put(&address, &format!("{}.jpg", number % 7), &bytes, Way::Counted),
                            _ => try_post(&address, "", &[("p.jpg", &bytes)]),
                        };
                        let Some(answer) = answer.filter(|answer| answer.status == 201) else { return };
                        answers.lock().expect("whole").push(asset(&answer, 0));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(u64::from(random.within(5, 120))));
            serving.kill();
            stopped.store(true, Relaxed);
        });
        let answers = answers.into_inner().expect("whole");
        amid += usize::from(answers.len() < number.load(Relaxed) - before);
        acknowledged.extend(answers.into_iter().map(|(id, uri, _)| (id, uri)));
    }
    let (serving, address) = serve(&docent, &["--no-worker"]);
    let known = known(&address);
    assert!(acknowledged.keys().all(|id| known.contains_key(id)), "an acknowledged upload is gone");
    // Each file is a place, and each place a file with that content.
    let places: BTreeMap<PathBuf, &String> = known
        .iter()
        .flat_map(|(id, uris)| {
            uris.iter().map(move |uri| (docent::assets::path_of_uri(uri).expect("a file"), id))
        })
        .collect();
    assert_eq!(kept(&docent), places.keys().cloned().collect());
    for (file, id) in places {
        let held = Fingerprint::of(&std::fs::read(&file).expect("reads"));
        assert_eq!(held.asset_id().as_str(), id, "{}", file.display());
    }
    eprintln!("{} acknowledged, {amid} of {KILLS} kills met uploads amid their way", acknowledged.len());
    assert!(amid > KILLS / 4 && acknowledged.len() > KILLS);
    serving.kill();
}
