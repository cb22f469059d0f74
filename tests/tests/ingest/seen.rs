//! What a scan says of the files it saw: what is left out, and that every file is counted once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use docent::assets::{Ignored, Roots};
use docent::progress::Progress;
use docent::scanner::{Scan, Scanner};
use docent::store::{Ledger, SqliteStore, Wanted};
use docent_models::ModelRef;
use docent_pipelines::AnalyzerId;
use proptest::prelude::*;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;

/// A folder, and a ledger that it is scanned into. Nothing is analyzed.
struct Archive {
    folder: tempfile::TempDir,
    ledger: Arc<SqliteStore>,
}

impl Archive {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("pictures")).expect("a folder");
        let ledger = SqliteStore::open(&folder.path().join("ledger.sqlite")).await.expect("a ledger");
        Self { folder, ledger: Arc::new(ledger) }
    }

    fn pictures(&self) -> PathBuf {
        self.folder.path().join("pictures")
    }

    async fn scan(&self, paths: Vec<PathBuf>, patterns: &[&str], reread: bool) -> Scan {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let scanner = Scanner {
            ledger: Arc::clone(&self.ledger) as Arc<dyn Ledger>,
            wanted: Wanted::from([(AnalyzerId::Decode, ModelRef::new("decoder", "1"))]),
            owner: None,
            ignored: Ignored::try_from(patterns).expect("the patterns are sound"),
            reread,
            follow_symlinks: true,
            roots: Roots::default(),
            progress: Arc::new(Progress::default()),
            wake: Arc::new(Notify::new()),
        };
        scanner.scan(paths, &CancellationToken::new()).await.expect("scans")
    }
}

/// As much of a picture as a scan looks at.
fn picture(content: u32) -> Vec<u8> {
    // Each content has a size of its own.
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0];
    bytes.resize(100 + content as usize, 7);
    bytes
}

/// One litter of each kind, with the pattern that leaves it out and how many entries there are.
const LITTER: &[(&str, &str)] = &[
    ("1998/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "@eaDir/"),
    ("#recycle/old.jpg", "\\#recycle/"),
    ("@Recycle/old.jpg", "@Recycle/"),
    ("$RECYCLE.BIN/S-1-5-21/old.jpg", "$RECYCLE.BIN/"),
    ("System Volume Information/x.jpg", "System Volume Information/"),
    ("lost+found/x.jpg", "lost+found/"),
    (".Trash-1000/files/old.jpg", ".Trash*"),
    (".thumbnails/a.jpg", ".thumbnails/"),
    ("P.photoslibrary/resources/derivatives/a.jpg", "**/*.photoslibrary/*"),
    ("Catalog Previews.lrdata/a.jpg", "*.lrdata/"),
    ("1998/CaptureOne/Cache/Proxies/a.jpg", "**/CaptureOne/Cache/"),
    ("1998/a.jpg.part", "*.part"),
    ("1998/b.crdownload", "*.crdownload"),
    ("1998/c.tmp", "*.tmp"),
    ("1998/a.jpg~", "*~"),
    ("1998/._a.jpg", "._*"),
    ("1998/.DS_Store", ".DS_Store"),
    ("1998/Thumbs.db", "Thumbs.db"),
    ("1998/.hidden.jpg", ".*"),
];

#[tokio::test]
async fn litter_is_left_out_and_told_by_pattern() {
    let archive = Archive::new().await;
    let pictures = archive.pictures();
    let write = |name: &str, content: u32| {
        let path = pictures.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, picture(content)).expect("is written");
    };
    for (number, (name, _)) in LITTER.iter().enumerate() {
        write(name, 100 + number as u32);
    }
    write("1998/a.jpg", 1);
    write("P.photoslibrary/originals/0/b.jpg", 2);
    let folders =
        LITTER.iter().filter(|(name, rule)| rule.ends_with('/') || !name.starts_with("1998")).count();

    let scan = archive.scan(vec![pictures.clone()], &[], false).await;
    assert_eq!(
        (scan.seen.new, scan.seen.left_out + scan.folders_left_out),
        (2, LITTER.len() as u64),
        "{scan:?}"
    );
    assert_eq!(scan.folders_left_out, folders as u64, "{scan:?}");
    assert_eq!(
        scan.left_out_by,
        LITTER.iter().map(|(_, rule)| ((*rule).to_owned(), 1)).collect::<BTreeMap<_, _>>()
    );

    // A place that a person names is meant, also inside of another one that is named; patterns go on below it.
    for (name, _) in LITTER {
        let first = Path::new(name).components().next().expect("a name");
        for named in [pictures.join(name), pictures.join(first)] {
            let scan = archive.scan(vec![named.clone()], &[], false).await;
            let is_library = name.contains("photoslibrary") && named.is_dir();
            let holds_litter = name.starts_with("1998") && named.is_dir();
            let seen = scan.seen.new + scan.seen.known;
            assert!(seen >= 1, "{}: {scan:?}", named.display());
            assert_eq!(
                scan.seen.left_out + scan.folders_left_out > 0,
                is_library || holds_litter,
                "{scan:?}"
            );
        }
    }
    let inside = pictures.join("1998/@eaDir");
    let before = archive.scan(vec![pictures.clone()], &[], false).await;
    let both = archive.scan(vec![pictures.clone(), inside], &[], false).await;
    assert_eq!(both.seen.files(), before.seen.files() + 1, "each file once: {both:?}");
    assert_eq!(both.folders_left_out, before.folders_left_out - 1, "{both:?}");

    // Nothing is left out if a person wants it so.
    let all = archive.scan(vec![pictures.clone()], &["!*"], false).await;
    assert_eq!(all.seen.new + all.seen.known, 2 + LITTER.len() as u64, "{all:?}");
    assert_eq!(all.left_out_by, BTreeMap::new());
}

/// A pattern hides nothing that is known: no suggestion is lost, no place is taken for empty.
#[tokio::test]
async fn what_was_known_and_is_left_out_now_stays_known() {
    let archive = Archive::new().await;
    let pictures = archive.pictures();
    for (name, content) in [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)] {
        fs::write(pictures.join(name), picture(content)).expect("is written");
    }
    assert_eq!(archive.scan(vec![pictures.clone()], &[], false).await.seen.new, 3);
    fs::remove_file(pictures.join("c.jpg")).expect("is removed");
    let scan = archive.scan(vec![pictures.clone()], &["/b.jpg", "c.jpg"], false).await;
    assert_eq!((scan.seen.known, scan.seen.left_out, scan.gone), (1, 1, 1), "{scan:?}");
    let uris = ["a.jpg", "b.jpg", "c.jpg"].map(|name| uri(&pictures.join(name)));
    let known = archive.ledger.known_files(&uris).await.expect("looks up");
    assert_eq!(uris.map(|uri| known[&uri].gone), [false, false, true]);
    assert_eq!(archive.scan(vec![pictures], &[], false).await.seen.known, 2);
}

#[test]
fn odd_names_and_places_are_reported_and_harmless() {
    let docent = docent();
    docent.configure("[assets]\nfollow_symlinks = true\n");
    let pictures = docent.folder().join("pictures");
    let files = corpus::write(&pictures, 4, 4);
    let odd = [
        OsStr::new("new\nline.jpg"),
        OsStr::new("späce % # ? \"quote\".jpg"),
        OsStr::from_bytes(b"not-\xff-utf8.jpg"),
    ];
    for (file, name) in files.iter().zip(odd) {
        fs::rename(file, pictures.join(name)).expect("is renamed");
    }
    fs::create_dir(pictures.join(".hidden")).expect("a folder");
    corpus::write(&pictures.join(".hidden"), 1, 5);
    fs::write(pictures.join(".DS_Store"), "hidden").expect("is written");
    symlink(&pictures, pictures.join("loop")).expect("a link");
    symlink(pictures.join("nothing"), pictures.join("dangling.jpg")).expect("a link");
    let fifo =
        std::process::Command::new("mkfifo").arg(pictures.join("pipe.jpg")).status().expect("mkfifo runs");
    assert!(fifo.success());

    let args = [OsStr::new("ingest"), pictures.as_os_str(), OsStr::new(CHEAP), OsStr::new("--format=json")];
    let ended = docent.run(args).expect(0);
    let summary = ended.summary();
    assert_eq!(number(&summary, &["analyzed"]), 4, "{summary}");
    assert_eq!(number(&summary, &["left_out"]), 1, "{summary}");
    assert_eq!(number(&summary, &["left_out_folders"]), 1, "{summary}");
    assert_eq!(number(&summary, &["unreadable_count"]), 2, "{summary}");
    assert_eq!(number(&summary, &["unreadable_folders"]), 1, "{summary}");
    let unreadable = summary["unreadable"].to_string();
    for (name, reason) in
        [("loop", "a link back"), ("dangling.jpg", "No such file"), ("pipe.jpg", "a named pipe")]
    {
        assert!(unreadable.contains(name) && unreadable.contains(reason), "{unreadable}");
    }
    assert_eq!(number(&docent.status(), &["analyzers", "tags", "done"]), 4);
    // A name is one row of a listing, in JSON and in a table, and names a place that can be used again.
    let listed = docent.run(["suggestions"]).expect(0);
    assert!(!listed.stdout.contains("new\nline"), "{}", listed.stdout);
    for name in odd {
        let path = pictures.join(name);
        let args = [OsStr::new("similar"), path.as_os_str(), OsStr::new("-k1"), OsStr::new("--format=json")];
        assert_eq!(docent.json(args).len(), 1, "{name:?}");
    }
}

/// Something that happens to a folder between two scans.
#[derive(Debug, Clone)]
enum Event {
    /// A picture with one of a few contents, at one of a few places.
    Write(u8, u8),
    Copy(u8, u8),
    Rename(u8, u8),
    Delete(u8),
    Touch(u8),
    Text(u8),
    Litter(u8),
    LitterFolder(u8),
    Pipe(u8),
    Dangling(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let place = 0..12_u8;
    prop_oneof![
        4 => (place.clone(), 0..8_u8).prop_map(|(place, content)| Event::Write(place, content)),
        3 => (place.clone(), place.clone()).prop_map(|(from, to)| Event::Copy(from, to)),
        3 => (place.clone(), place.clone()).prop_map(|(from, to)| Event::Rename(from, to)),
        2 => place.clone().prop_map(Event::Delete),
        1 => place.clone().prop_map(Event::Touch),
        1 => place.clone().prop_map(Event::Text),
        1 => place.clone().prop_map(Event::Litter),
        1 => place.clone().prop_map(Event::LitterFolder),
        1 => place.clone().prop_map(Event::Pipe),
        1 => place.prop_map(Event::Dangling),
    ]
}

fn happen(pictures: &Path, event: &Event) {
    let at = |place: u8| pictures.join(format!("{}/{place}.jpg", place % 3));
    match *event {
        Event::Write(place, content) => {
            fs::write(at(place), picture(u32::from(content))).expect("is written")
        }
        Event::Copy(from, to) if from != to => drop(fs::copy(at(from), at(to))),
        Event::Rename(from, to) if from != to => drop(fs::rename(at(from), at(to))),
        Event::Delete(place) => drop(fs::remove_file(at(place))),
        Event::Touch(place) => {
            if let Ok(file) = fs::File::options().write(true).open(at(place)) {
                let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 + u64::from(place));
                file.set_times(fs::FileTimes::new().set_modified(time)).expect("takes a time");
            }
        }
        Event::Text(place) => fs::write(pictures.join(format!("{place}.txt")), "words").expect("is written"),
        Event::Litter(place) => fs::write(pictures.join(format!("{place}.tmp")), "x").expect("is written"),
        Event::LitterFolder(place) => {
            let folder = pictures.join(format!("{}/@eaDir", place % 3));
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join(format!("{place}.jpg")), picture(500)).expect("is written");
        }
        Event::Pipe(place) => {
            let path = pictures.join(format!("{place}.pipe"));
            if !path.exists() {
                assert!(
                    std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success()
                );
            }
        }
        Event::Dangling(place) => {
            drop(symlink(pictures.join("nothing"), pictures.join(format!("{place}.link.jpg"))));
        }
        Event::Copy(..) | Event::Rename(..) => {}
    }
}

/// All files at or below a folder and outside of litter: by path from there, with the content of pictures.
fn on_disk(folder: &Path, inside: &str, found: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = format!("{inside}{}", entry.file_name().to_string_lossy());
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() && name.ends_with("@eaDir") => {}
            kind if kind.is_dir() => on_disk(&entry.path(), &format!("{name}/"), found),
            kind if kind.is_file() => {
                drop(found.insert(name, Some(fs::read(entry.path()).expect("is read"))));
            }
            _ => drop(found.insert(name, None)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens between scans, each file is counted once, and as what it is.
    #[test]
    fn every_file_is_counted_once_and_as_what_it_is(
        rounds in prop::collection::vec((prop::collection::vec(event(), 0..14), any::<bool>()), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let archive = Archive::new().await;
            let pictures = archive.pictures();
            for folder in 0..3 {
                fs::create_dir(pictures.join(folder.to_string())).expect("a folder");
            }
            // What the ledger knows: the content at each place, and whether it was seen to be gone.
            let mut known: BTreeMap<String, (Vec<u8>, bool)> = BTreeMap::new();
            let mut contents = BTreeSet::new();
            for (events, reread) in rounds {
                events.iter().for_each(|event| happen(&pictures, event));
                let mut disk = BTreeMap::new();
                on_disk(&pictures, "", &mut disk);
                let scan = archive.scan(vec![pictures.clone()], &[], reread).await;
                let seen = scan.seen;
                prop_assert_eq!(seen.files(), disk.len() as u64, "{:?}", scan);
                let ends = |end: &str| disk.keys().filter(|name| name.ends_with(end)).count() as u64;
                prop_assert_eq!(seen.left_out, ends(".tmp"));
                prop_assert_eq!(seen.other, ends(".txt"));
                prop_assert_eq!(seen.unreadable, disk.values().filter(|content| content.is_none()).count() as u64);
                let shown: BTreeMap<&String, &Vec<u8>> = disk
                    .iter()
                    .filter(|(name, _)| name.ends_with(".jpg"))
                    .filter_map(|(name, content)| Some((name, content.as_ref()?)))
                    .collect();
                let (mut same, mut changed, mut fresh) = (0, 0, BTreeMap::<&Vec<u8>, Vec<&String>>::new());
                for (name, content) in &shown {
                    match known.get(*name) {
                        Some((before, _)) if before == *content => same += 1,
                        Some(_) => changed += 1,
                        None => fresh.entry(content).or_default().push(name),
                    }
                }
                prop_assert_eq!((seen.known, seen.changed), (same, changed), "{:?}", scan);
                let (mut new, mut moved, mut copies, mut gone) = (0, 0, 0, 0);
                for (content, names) in &fresh {
                    let is_there = |name: &String| shown.get(name).is_some_and(|now| now == content);
                    let of_content = known.iter().filter(|(_, (before, _))| before == *content);
                    let places: Vec<(&String, bool)> =
                        of_content.map(|(name, (_, gone))| (name, *gone)).collect();
                    let left = places.iter().filter(|(name, gone)| !gone && !is_there(name)).count() as u64;
                    let is_anywhere = places.iter().any(|(name, _)| is_there(name));
                    let all = names.len() as u64;
                    // As many moved as places were left, or one that was nowhere any more.
                    let away = match contents.contains(*content) {
                        true if left == 0 => u64::from(!is_anywhere),
                        true => left.min(all),
                        false => 0,
                    };
                    let first = u64::from(!contents.contains(*content));
                    (new, moved, copies) = (new + first, moved + away, copies + all - away - first);
                }
                prop_assert_eq!(seen.new + seen.moved + seen.copies, new + moved + copies, "{:?}", scan);
                // What comes to a known place and to a new one is new at the one that is seen first.
                if changed == 0 {
                    prop_assert_eq!((seen.new, seen.moved, seen.copies), (new, moved, copies), "{:?}", scan);
                }
                // A folder without any file may be a drive that is not there.
                let is_swept = disk.iter().any(|(name, content)| content.is_some() && !name.ends_with(".tmp"));
                for (name, (_, was_gone)) in &mut known {
                    let is_gone = !disk.contains_key(name);
                    gone += u64::from(is_swept && is_gone && !*was_gone);
                    *was_gone |= is_swept && is_gone;
                }
                prop_assert!(scan.gone <= gone && gone <= scan.gone + seen.moved, "{:?}", scan);
                contents.extend(shown.values().map(|content| (*content).clone()));
                for (name, content) in shown {
                    known.insert(name.clone(), (content.clone(), false));
                }
            }
            Ok(())
        })?;
    }
}
